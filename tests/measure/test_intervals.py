"""95 % intervals hold the truth 95 times in 100: by the law, with the protocol's own noise, and by simulation.

Simulations have a fixed seed. A bound on a share observed in n draws is widened by 4.5 standard deviations of such
a share, so that over seeds a correct interval fails one of the (at most 250) bounds with probability below 0.002.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanse.engine.noise import geometric_difference
from hanse.engine.reveal import open_ring
from hanse.engine.session import Session
from hanse.engine.stage import on_stage
from hanse.gate import ReleasePlan, Sums
from hanse.gate.laws import margin, noise_sd
from hanse.measure.intervals import count_interval, rate_interval

Z = 1.959963984540054


def _allowed(share: float, draws: int) -> float:
    return 4.5 * math.sqrt(share * (1 - share) / draws)


def _noise(rng: np.random.Generator, epsilon: float, cells: int, draws: int) -> np.ndarray:
    """Sums of two-sided geometric values, drawn as differences of one-sided ones."""
    p = 1 - math.exp(-epsilon)
    shape = draws, cells
    return np.asarray((rng.geometric(p, shape) - rng.geometric(p, shape)).sum(axis=1))


# --- counts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("epsilon", [0.05, 0.25, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("cells", [1, 2, 12])
def test_count_interval_is_the_narrowest_that_holds_95_percent(epsilon: float, cells: int) -> None:
    plan = ReleasePlan(Sums.of(np.ones((1, cells))), 2 * epsilon, 20)
    interval = count_interval(100_000, plan, 0)
    half = int(interval.high) - 100_000
    assert 100_000 - int(interval.low) == half
    # The law by itself: powers of one cell's probabilities, long enough that the tails do not matter.
    reach = int(80 / epsilon)
    one = np.exp(-epsilon * np.abs(np.arange(-reach, reach + 1)))
    law = np.ones(1)
    for _ in range(cells):
        law = np.convolve(law, one / one.sum())
    middle = law.size // 2
    assert law[middle - half : middle + half + 1].sum() >= 0.95
    assert law[middle - half + 1 : middle + half].sum() < 0.95


def test_count_interval_covers_what_the_protocol_draws() -> None:
    draws, epsilon = 6000, 0.5

    def protocol(s: Session) -> np.ndarray:
        return open_ring(s, geometric_difference(s, epsilon, draws), "noise").view(np.int64)

    noise = on_stage(protocol, seed="coverage")[0]
    found = count_interval(500, ReleasePlan(Sums.each(1), 2 * epsilon, 20), 0)
    low, high = found.low, found.high
    share = float(np.mean((500 + noise >= low) & (500 + noise <= high)))
    assert 0.95 - _allowed(0.95, draws) <= share <= 0.97 + _allowed(0.97, draws)


def test_count_interval_never_promises_fewer_than_nobody() -> None:
    sums = Sums.of(np.ones((1, 4)))
    assert count_interval(3, ReleasePlan(sums, 0.2, 20), 0).low == 0.0
    assert count_interval(70, ReleasePlan(sums, 0.2, 20, noise=False), 0).low == 70.0


# --- rates ----------------------------------------------------------------------------------------


def _coverage(
    people: int, rate: float, epsilon: float, part_cells: int, rest_cells: int, draws: int
) -> float:
    rng = np.random.default_rng([people, part_cells, rest_cells, int(1000 * rate)])
    reached = rng.binomial(people, rate, draws)
    part = reached + _noise(rng, epsilon, part_cells, draws)
    whole = part + people - reached + _noise(rng, epsilon, rest_cells, draws)
    held = 0
    for a, b in zip(part.tolist(), whole.tolist(), strict=True):
        interval = rate_interval(a, b, noise_sd(epsilon, part_cells), noise_sd(epsilon, rest_cells))
        held += interval.low <= rate <= interval.high
    return held / draws


def _check_coverage(
    people: int, rate: float, epsilon: float, cells: tuple[int, int], draws: int
) -> None:
    share = _coverage(people, rate, epsilon, *cells, draws)
    # Where the rate is near 1 the interval is cut there, and what is left holds it more often.
    most = 0.97 if rate <= 0.9 else 0.995
    assert share >= 0.93 - _allowed(0.93, draws), share
    assert share <= most + _allowed(most, draws), share


@pytest.mark.parametrize(
    ("people", "rate", "epsilon", "cells"),
    [
        (400, 0.5, 0.25, (1, 1)),
        (400, 0.8, 0.5, (3, 2)),
        (2000, 0.1, 0.5, (1, 3)),
        (2000, 0.3, 0.25, (12, 9)),
        (20000, 0.02, 1.0, (3, 21)),
        (2000, 0.99, 0.125, (1, 1)),
        (200, 0.4, 2.0, (1, 1)),
    ],
)
def test_rate_interval_covers_sampling_and_noise(
    people: int, rate: float, epsilon: float, cells: tuple[int, int]
) -> None:
    _check_coverage(people, rate, epsilon, cells, 3000)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_rate_interval_covers_wherever_figures_are_published() -> None:
    tried = 0
    for epsilon in (0.125, 0.25, 0.5, 1.0, 2.0):
        for cells in ((1, 1), (1, 3), (3, 2), (12, 9), (3, 21)):
            for people in (150, 400, 2000, 20000):
                for rate in (0.02, 0.1, 0.3, 0.5, 0.8, 0.97):
                    # Both figures must pass the threshold, or no rate is shown at all.
                    if people * rate > 20 + margin(epsilon, cells[0]) and people >= 400:
                        _check_coverage(people, rate, epsilon, cells, 4000)
                        tried += 1
    assert tried > 150


@given(
    st.integers(20, 10**7), st.floats(-0.1, 1.1), st.floats(0.01, 4), st.integers(1, 64),
    st.integers(1, 64), st.booleans(),
)  # fmt: skip
def test_rates_and_intervals_stay_within_0_and_1(
    whole: int, share: float, epsilon: float, part_cells: int, rest_cells: int, noise: bool
) -> None:
    part = round(whole * share)
    sds = [noise_sd(epsilon, cells) if noise else 0.0 for cells in (part_cells, rest_cells)]
    interval = rate_interval(part, whole, *sds)
    shown = min(1.0, max(0.0, part / whole))
    assert 0.0 <= interval.low <= shown + 1e-12
    assert shown - 1e-12 <= interval.high <= 1.0


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_without_noise_the_interval_is_wilsons(whole: int, share: float) -> None:
    part = round(whole * share)
    interval = rate_interval(part, whole, 0.0, 0.0)
    p = part / whole
    centre = (p + Z**2 / (2 * whole)) / (1 + Z**2 / whole)
    half = Z * math.sqrt(p * (1 - p) / whole + Z**2 / (4 * whole**2)) / (1 + Z**2 / whole)
    assert interval.low == pytest.approx(max(0.0, centre - half), abs=1e-9)
    assert interval.high == pytest.approx(min(1.0, centre + half), abs=1e-9)


def test_more_noise_makes_wider_intervals() -> None:
    widths = []
    for epsilon in (2.0, 0.5, 0.25, 0.125):
        interval = rate_interval(300, 1000, noise_sd(epsilon, 2), noise_sd(epsilon, 2))
        widths.append(interval.high - interval.low)
    assert widths == sorted(widths)
    nothing = rate_interval(300, 0, 2.0, 2.0)
    assert (nothing.low, nothing.high) == (0.0, 1.0)
