"""Noise on shares follows the two-sided geometric law, and what the law promises is computed, not sampled."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy import stats

from hanse.engine import noise
from hanse.engine.session import Session
from hanse.engine.stage import on_stage
from hanse.errors import Fault
from secret_stage import opened

ALPHA = 1e-6


def draws(epsilon: float, cells: int, seed: str = "noise") -> np.ndarray:
    seats = on_stage(
        lambda s: opened(s, noise.geometric_difference(s, epsilon, cells)), seed=f"{seed}{epsilon}"
    )
    assert (seats[0] == seats[1]).all()
    assert (seats[0] == seats[2]).all()
    return seats[0].view(np.int64)


def pmf(epsilon: float, x: np.ndarray) -> np.ndarray:
    """Discrete Laplace: P(x) proportional to exp(-epsilon * |x|)."""
    a = math.exp(-epsilon)
    return (1 - a) / (1 + a) * a ** np.abs(x)


def fits(values: np.ndarray, epsilon: float) -> float:
    """P-value of a chi-square against the exact law; the tails are pooled to at least 8 expected."""
    reach = 1
    while values.size * pmf(epsilon, np.array([reach + 1]))[0] / (1 - math.exp(-epsilon)) >= 8:
        reach += 1
    inside = np.arange(-reach, reach + 1)
    expected = values.size * pmf(epsilon, inside)
    tail = (values.size - expected.sum()) / 2
    seen = np.bincount(np.clip(values, -reach - 1, reach + 1) + reach + 1, minlength=2 * reach + 3)
    return float(stats.chisquare(seen, [tail, *expected, tail]).pvalue)


@pytest.mark.parametrize("epsilon", [0.05, 0.5, 1.0, 2.0])
def test_the_law_of_the_noise(epsilon: float) -> None:
    """30,000 draws against the exact probabilities, chi-square, alpha 1e-6."""
    values = draws(epsilon, 30_000)
    assert fits(values, epsilon) > ALPHA
    a = math.exp(-epsilon)
    sd = math.sqrt(2 * a) / (1 - a)
    assert abs(values.mean()) < 6 * sd / math.sqrt(values.size)


def test_many_cells_are_drawn_in_waves(monkeypatch: pytest.MonkeyPatch) -> None:
    """The law holds across waves, and no two waves are alike: 20,000 draws in 9 waves, alpha 1e-6."""
    coins = 2 * noise.digits_for(1.0)
    monkeypatch.setattr(noise, "_WAVE_COINS", 2500 * coins)
    values = draws(1.0, 20_100, "waves")
    assert values.size == 20_100
    assert fits(values, 1.0) > ALPHA
    waves = [values[first : first + 2500] for first in range(0, 20_000, 2500)]
    assert all((a != b).any() for a, b in pairwise(waves))


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [0.02, 0.25, 4.0])
def test_the_law_of_the_noise_in_a_million_draws(epsilon: float) -> None:
    values = np.concatenate([draws(epsilon, 100_000, f"{i}") for i in range(10)])
    assert fits(values, epsilon) > ALPHA


@pytest.mark.parametrize("wrong", [0.95, 1.05])
def test_a_law_off_by_a_twentieth_is_noticed(wrong: float) -> None:
    assert fits(draws(1.0 * wrong, 30_000), 1.0) < ALPHA


def test_neighbouring_draws_are_independent() -> None:
    """Chi-square of the signs and parities of neighbouring cells, 30,000 draws, alpha 1e-6."""
    values = draws(0.5, 30_000, "pairs")
    for feature in (values > 0, values % 2 == 1):
        table = np.zeros((2, 2))
        np.add.at(table, (feature[:-1].astype(int), feature[1:].astype(int)), 1)
        assert stats.chi2_contingency(table).pvalue > ALPHA


def test_each_call_draws_afresh() -> None:
    def protocol(s: Session) -> Any:
        return [
            opened(s, noise.geometric_difference(s, 0.1, 50, f"n{i}"), f"o{i}") for i in range(2)
        ]

    first, second = on_stage(protocol)[0]
    assert (first != second).any()


def test_the_cost_of_a_cell() -> None:
    """2 * digits coins a cell, each at most 126 ANDs and a ring element: 24 bytes; 8 rounds."""
    cells, epsilon = 320, 0.5

    def protocol(s: Session) -> tuple[int, int]:
        before = s.meter.bytes, s.meter.rounds
        noise.geometric_difference(s, epsilon, cells)
        return s.meter.bytes - before[0], s.meter.rounds - before[1]

    coins = 2 * noise.digits_for(epsilon) * cells
    for sent, rounds in on_stage(protocol):
        assert sent <= 24 * coins
        assert rounds <= 8
    assert max(sent for sent, _ in on_stage(protocol)) >= 23 * coins


# --- the exact law that the coins give ----------------------------------------------------------


def exact_law(epsilon: float) -> dict[int, Fraction]:
    """P(x) of the difference of two rows of coins, as the thresholds define it: no rounding at all."""
    one: dict[int, Fraction] = {0: Fraction(1)}
    for j, threshold in enumerate(noise.coin_thresholds(epsilon)):
        p = Fraction(threshold, 1 << 64)
        one = {v + (bit << j): q * (p if bit else 1 - p) for v, q in one.items() for bit in (0, 1)}
    size = len(one)
    numbers = [int(one[v] * (1 << 64 * len(noise.coin_thresholds(epsilon)))) for v in range(size)]
    scale = 1 << 2 * 64 * len(noise.coin_thresholds(epsilon))
    law: dict[int, Fraction] = {}
    for x in range(size):
        total = sum(a * b for a, b in zip(numbers[x:], numbers, strict=False))
        law[x] = law[-x] = Fraction(total, scale)
    return law


WORST = 41 / 64  # a power of two below the tail that is cut off: the least that a digit may weigh


@pytest.mark.parametrize("epsilon", [0.5, WORST, 1.0, 2 * WORST, 2.0])
def test_the_law_is_exact_up_to_2_to_the_minus_58(epsilon: float) -> None:
    """Total variation between the coins' law and the discrete Laplace law, in exact arithmetic."""
    law = exact_law(epsilon)
    assert sum(law.values()) == 1
    with localcontext() as context:
        context.prec = 60
        a = (-Decimal(epsilon)).exp()
        middle = (1 - a) / (1 + a)
        distance = Decimal(0)
        for x, p in law.items():
            distance += abs(Decimal(p.numerator) / Decimal(p.denominator) - middle * a ** abs(x))
        outside = 2 * middle * a ** (max(law) + 1) / (1 - a)
        assert (distance + outside) / 2 <= Decimal(2) ** -58
        assert (distance + outside) / 2 > Decimal(2) ** -70, "the law is cut off; it must show"


@pytest.mark.parametrize("epsilon", [0.5, WORST, 1.0, 2 * WORST, 2.0])
def test_a_count_that_moves_by_one_is_private(epsilon: float) -> None:
    """Hockey-stick divergence of law and law + 1 at epsilon, both ways: at most 2**-57 (see noise.md)."""
    law = exact_law(epsilon)
    with localcontext() as context:
        context.prec = 60
        factor = Decimal(epsilon).exp()

        def p(x: int) -> Decimal:
            q = law.get(x, Fraction(0))
            return Decimal(q.numerator) / Decimal(q.denominator)

        top = max(law)
        for shift in (1, -1):
            delta = sum(max(Decimal(0), p(x) - factor * p(x - shift)) for x in range(-top, top + 2))
            assert delta <= Decimal(2) ** -57
            cheaper = (Decimal(epsilon) * Decimal("0.99")).exp()
            loss = sum(max(Decimal(0), p(x) - cheaper * p(x - shift)) for x in range(-top, top + 2))
            assert loss > Decimal("1e-4"), "and epsilon is not smaller than stated"


@pytest.mark.parametrize("epsilon", [1e-3, 0.01, 0.3, 1.0, 4.0, 40.0])
def test_coins_are_biased_as_the_digits_of_a_geometric_number(epsilon: float) -> None:
    """P(digit j = 1) = 1 / (1 + exp(2**j * epsilon)) to 2**-64; what is cut off weighs below 2**-58."""
    thresholds = noise.coin_thresholds(epsilon)
    with localcontext() as context:
        context.prec = 60
        for j, threshold in enumerate(thresholds):
            want = (1 << 64) / (1 + (Decimal(epsilon) * (1 << j)).exp())
            assert 0 <= want - threshold < 1
        assert (-Decimal(epsilon) * (1 << len(thresholds))).exp() < Decimal(2) ** -58


@pytest.mark.parametrize("epsilon", [0, -1, 1e-14, 65, math.nan, math.inf])
def test_an_epsilon_out_of_range_is_refused(epsilon: float) -> None:
    with pytest.raises(Fault) as caught:
        noise.digits_for(epsilon)
    assert caught.value.code == "noise.epsilon"
