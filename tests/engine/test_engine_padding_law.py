"""The law of the dummies: its draws against its exact probabilities, its privacy computed exactly.

Numbers of the padding review: dummies per provider, shifts, and deltas (docs/claims/padding.md).
"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from hanse.align import JoinPolicy, dummies_per_provider
from hanse.align.join import padding_law
from hanse.engine.masks import Stream
from hanse.engine.noise import ShiftedLaplace
from hanse.errors import Fault

ALPHA = 1e-6
EPSILONS = [1.0, 0.5, 0.1, 0.02]
LAWS = [(e, d) for e in (4.0, 1.0, 0.1, 0.02) for d in (1e-8, 1e-5)] + [(1.0, 0.01), (0.05, 5e-9)]


def weights(law: ShiftedLaplace) -> list[int]:
    """P(n) in units of 2**-64, exactly as `draw` gives them."""
    return [b - a for a, b in pairwise([0, *law.thresholds, 1 << 64])]


def hockey_stick(one: np.ndarray, other: np.ndarray, epsilon: float) -> float:
    """Smallest delta for which ``one`` <= e**epsilon * ``other`` + delta on all events."""
    return float(np.maximum(0.0, one - math.exp(epsilon) * other).sum())


@pytest.mark.parametrize(
    ("epsilon", "delta"), [(1.0, 1e-8), (0.1, 1e-8), (0.05, 5e-9), (1.0, 0.01)]
)
def test_a_million_draws_follow_the_law(epsilon: float, delta: float) -> None:
    """Chi-square against the exact probabilities, rare ends pooled to 8 expected, alpha 1e-6."""
    law = ShiftedLaplace.for_privacy(epsilon, delta)
    count = 1_000_000
    values = law.draw(Stream(bytes(32)), count)
    assert values.min() >= 0
    assert values.max() <= 2 * law.shift
    expected = count * np.array([w / 2**64 for w in weights(law)])
    seen = np.bincount(values, minlength=expected.size)
    often = expected >= 8
    rest = [] if often.all() else [expected[~often].sum()]
    pooled = [seen[~often].sum()][: len(rest)]
    assert stats.chisquare([*seen[often], *pooled], [*expected[often], *rest]).pvalue > ALPHA
    wrong = np.roll(expected, 1)[often]
    wrong *= seen[often].sum() / wrong.sum()
    assert stats.chisquare(seen[often], wrong).pvalue < ALPHA, "a law that is one off is noticed"


@pytest.mark.parametrize(("epsilon", "delta"), LAWS)
def test_the_probabilities_are_those_of_a_cut_discrete_laplace(
    epsilon: float, delta: float
) -> None:
    """To 2**-64 each; the mass at either end is at most delta, and one shift less would be more."""
    law = ShiftedLaplace.for_privacy(epsilon, delta)
    got = weights(law)
    with localcontext() as context:
        context.prec = 60
        shape = [(-Decimal(epsilon) * abs(k)).exp() for k in range(-law.shift, law.shift + 1)]
        mass = sum(shape)
        for have, want in zip(got, shape, strict=True):
            assert abs(have - want / mass * (1 << 64)) <= 1
        assert shape[0] / mass <= Decimal(delta)
        assert shape[1] / (mass - 2 * shape[0]) > Decimal(delta)
    assert law.probabilities() == pytest.approx([w / 2**64 for w in got], rel=1e-12)
    assert sum(got) == 1 << 64


@pytest.mark.parametrize(("epsilon", "delta"), LAWS)
def test_one_count_that_moves_by_one(epsilon: float, delta: float) -> None:
    """N = 2: exact hockey-stick divergence at epsilon, both directions, integers and 60 digits."""
    law = ShiftedLaplace.for_privacy(epsilon, delta)
    p = [*weights(law), 0]
    with localcontext() as context:
        context.prec = 60
        factor = Decimal(epsilon).exp()
        up = sum(max(Decimal(0), p[n] - factor * p[n - 1]) for n in range(len(p)))  # p[-1] is 0
        down = sum(max(Decimal(0), p[n - 1] - factor * p[n]) for n in range(len(p)))
        for loss in (up, down):
            assert loss / (1 << 64) <= Decimal(delta) + Decimal(2) ** -50
        assert max(up, down) / (1 << 64) >= Decimal(delta) * (-Decimal(epsilon)).exp() * Decimal(
            "0.9"
        )


@pytest.mark.parametrize("providers", [3, 4, 5, 6])
@pytest.mark.parametrize("epsilon", [1.0, 0.5, 0.1])
def test_two_counts_that_move_by_one(providers: int, epsilon: float) -> None:
    """N >= 3: one person leaves one pattern and enters another; every pair of shifts, computed on the
    whole plane. The review's figures: 7e-9 to 9.8e-9 at delta 1e-8."""
    delta = 1e-8
    p = padding_law(providers, JoinPolicy(epsilon, delta)).probabilities()
    still, moved = np.append(p, 0.0), np.insert(p, 0, 0.0)  # the law, and the law one further up
    plane = np.outer(still, still)
    losses = []
    for first, second in [(moved, still), (still, moved), (moved, moved)]:
        other = np.outer(first, second)
        losses += [hockey_stick(plane, other, epsilon), hockey_stick(other, plane, epsilon)]
    swapped = hockey_stick(np.outer(moved, still), np.outer(still, moved), epsilon)
    assert max(*losses, swapped) <= delta
    assert swapped > 6e-9


def test_half_the_noise_would_not_do() -> None:
    """The same computation notices a law meant for twice the epsilon, and one with the counts' own delta."""
    right = ShiftedLaplace.for_privacy(0.25, 5e-9)
    assert right == padding_law(3, JoinPolicy(0.5, 1e-8))
    for wrong in (ShiftedLaplace.for_privacy(0.5, 5e-9), ShiftedLaplace.for_privacy(0.25, 2e-8)):
        p = wrong.probabilities()
        still, moved = np.append(p, 0.0), np.insert(p, 0, 0.0)
        assert hockey_stick(np.outer(moved, still), np.outer(still, moved), 0.5) > 1e-8


# The review has 4,158 ... 257,982 in its last column (shifts 693 and 1,387); the smallest shifts that
# meet delta there are 691 and 1,382, which is what its own definition asks for.
TABLE = [
    (2, [108, 210, 930, 4146]),
    (3, [648, 1242, 5562, 24_876]),
    (4, [1512, 2898, 12_978, 58_044]),
    (5, [3240, 6210, 27_810, 124_380]),
    (6, [6696, 12_834, 57_474, 257_052]),
]


@pytest.mark.parametrize(("providers", "rows"), TABLE)
def test_dummies_per_provider(providers: int, rows: list[int]) -> None:
    """The review's table at delta 1e-8: three pairs, each pattern a provider is part of, 2 * shift slots."""
    assert [dummies_per_provider(providers, JoinPolicy(e, 1e-8)) for e in EPSILONS] == rows


def test_shifts_of_the_review() -> None:
    assert [padding_law(2, JoinPolicy(e, 1e-8)).shift for e in EPSILONS] == [18, 35, 155, 691]
    assert [padding_law(3, JoinPolicy(e, 1e-8)).shift for e in EPSILONS] == [36, 69, 309, 1382]
    assert dummies_per_provider(1, JoinPolicy(0.1, 1e-8)) == 0


@pytest.mark.parametrize("epsilon", [1e-4, 1e-3])
def test_the_least_epsilon_has_a_law_too(epsilon: float) -> None:
    law = ShiftedLaplace.for_privacy(epsilon, 1e-8)
    assert law.shift == pytest.approx(math.log(math.tanh(epsilon / 2) / 1e-8) / epsilon, abs=3)


OUT_OF_RANGE = [
    (0.0, 1e-8),
    (-1.0, 1e-8),
    (1e-5, 1e-8),
    (11.0, 1e-8),
    (1.0, 0.0),
    (1.0, 1.0),
    (math.nan, 0.1),
]


@pytest.mark.parametrize(("epsilon", "delta"), OUT_OF_RANGE)
def test_a_law_out_of_range_is_refused(epsilon: float, delta: float) -> None:
    with pytest.raises(Fault) as caught:
        ShiftedLaplace.for_privacy(epsilon, delta)
    assert caught.value.code == "noise.padding"


def test_two_seats_that_share_a_stream_draw_the_same() -> None:
    law = ShiftedLaplace.for_privacy(0.1, 1e-8)
    mine, theirs = Stream(b"\7" * 32), Stream(b"\7" * 32)
    assert (law.draw(mine, 100) == law.draw(theirs, 100)).all()
    assert (mine.take(3) == theirs.take(3)).all()
