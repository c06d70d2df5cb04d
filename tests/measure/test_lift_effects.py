"""The statistics of lift: without noise the textbook's, with noise honest over many draws.

Simulations have fixed seeds. A bound on a share observed in n draws is widened by 4.5 standard deviations of such
a share, as in test_intervals.py.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lift_worlds import coverage, drawn, plan_of, shop, world
from scipy import stats

from hanse.measure.lift.effects import (
    Estimate,
    Noised,
    Z,
    difference,
    mean_of,
    p_value,
    rate_of,
    relative,
    weighted,
)


def exact(value: float) -> Noised:
    return Noised(value, 0.0)


# --- without noise: the textbook -------------------------------------------------------------------


def test_a_difference_of_shares_is_newcombe_s() -> None:
    """Newcombe 1998, table II: 56/70 against 48/80, method 10: 0.0524 to 0.3339."""
    found = difference(rate_of(exact(70), exact(56)), rate_of(exact(80), exact(48)))
    assert found.mean == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_a_p_value_of_shares_is_the_pooled_test_s() -> None:
    a, n, b, m = 130, 2000, 90, 1900
    pooled = (a + b) / (n + m)
    parts = rate_of(exact(n), exact(a), pooled), rate_of(exact(m), exact(b), pooled)
    chi = stats.chi2_contingency([[a, n - a], [b, m - b]], correction=False)
    found = p_value(a / n - b / m, parts[0].variance + parts[1].variance)
    assert found == pytest.approx(chi.pvalue, rel=1e-9)


@given(st.integers(0, 10**6))
def test_a_difference_of_means_is_welch_s(seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples = [rng.integers(0, 100, size) * rng.integers(0, 2, size) for size in (3000, 2000)]
    one, two = (mean_of(exact(x.size), exact(x.sum()), exact((x**2).sum()), 127) for x in samples)
    found = difference(one, two)
    # Of so many people Student's law is the normal law to the fourth digit.
    welch = stats.ttest_ind(*samples, equal_var=False)
    assert found.mean / math.sqrt(found.variance) == pytest.approx(welch.statistic, rel=1e-9)
    assert p_value(found.mean, found.variance) == pytest.approx(welch.pvalue, rel=0.02, abs=1e-12)
    around = welch.confidence_interval()
    assert (found.low, found.high) == pytest.approx((around.low, around.high), abs=0.002)


def test_a_ratio_of_means_is_fieller_s() -> None:
    """Fieller 1954: r with (t - r c)^2 = z^2 (var t + r^2 var c)."""
    t, c = Estimate(12.0, 12 - 1.5, 12 + 1.5, 0.0), Estimate(10.0, 9.0, 11.0, 0.0)
    lift, low, high = relative(t, c)
    assert lift == pytest.approx(0.2)
    assert low is not None
    assert high is not None
    for r in (1 + low, 1 + high):
        assert (12 - 10 * r) ** 2 == pytest.approx(1.5**2 + r**2 * 1.0)
    assert low < 0.2 < high


def test_a_ratio_to_a_control_that_may_be_nothing_is_open() -> None:
    treated = Estimate(5.0, 4.0, 6.0, 0.0)
    assert relative(treated, Estimate(0.0, 0.0, 1.0, 0.0)) == (None, None, None)
    assert relative(treated, Estimate(-0.1, -1.0, 1.0, 0.0)) == (None, None, None)
    lift, low, high = relative(treated, Estimate(1.0, -0.5, 2.5, 0.0))
    assert lift == pytest.approx(4.0)
    assert high is None
    assert low is not None
    assert low < 2.0


@given(
    st.floats(0, 1), st.floats(0, 1), st.floats(0.001, 0.5), st.floats(0.001, 0.5)
)  # fmt: skip
def test_a_ratio_s_interval_holds_the_ratio(t: float, c: float, of_t: float, of_c: float) -> None:
    around = [Estimate(m, max(0.0, m - d), min(1.0, m + d), 0.0) for m, d in ((t, of_t), (c, of_c))]
    lift, low, high = relative(*around)
    if lift is not None:
        assert low is not None
        assert -1 <= low <= lift + 1e-9
        assert high is None or lift - 1e-9 <= high


def test_a_weighted_sum_of_equal_parts_narrows_with_their_number() -> None:
    part = Estimate(0.3, 0.2, 0.45, 0.01)
    found = weighted([part] * 4, [0.25] * 4)
    assert found.mean == pytest.approx(0.3)
    assert (found.low, found.high) == pytest.approx((0.25, 0.375))
    assert found.variance == pytest.approx(0.0025)


def test_no_difference_at_all_is_no_evidence() -> None:
    assert p_value(0.0, 0.0) == 1.0
    assert p_value(0.1, 0.0) == 0.0
    assert p_value(1.96 * 0.2, 0.04) == pytest.approx(0.05, abs=1e-4)
    assert 0 < p_value(15.0, 1.0) < 1e-49


# --- with noise --------------------------------------------------------------------------------------


def test_noise_widens_every_interval() -> None:
    plain = rate_of(exact(1000), exact(100))
    noised = rate_of(Noised(1000, 20.0), Noised(100, 14.0))
    assert noised.low < plain.low < plain.high < noised.high
    assert noised.variance > plain.variance
    calm = mean_of(exact(1000), exact(5000), exact(90_000), 63)
    stirred = mean_of(Noised(1000, 10.0), Noised(5000, 300.0), Noised(90_000, 9000.0), 63)
    assert stirred.low < calm.low < calm.high < stirred.high


def test_hopeless_squares_still_leave_a_usable_interval() -> None:
    """Values from 0 to most bound the sum of squares, whatever its noise made of it."""
    people, total = Noised(1000, 5.0), Noised(5000, 300.0)
    widths = []
    for square in (-1e9, -1e6, 0.0, 1e6, 1e9):
        found = mean_of(people, total, Noised(square, 1e6), 63)
        widths.append(found.high - found.low)
    assert all(math.isfinite(w) for w in widths)
    assert max(widths) <= 2 * Z * math.sqrt(63 * 5600 / 1e6 + 0.09 + 1e-3)
    assert min(widths) >= 2 * Z * 0.3


WORLDS = {
    "few people": (2000, 0.1, (0.1, 20, 127), 1.0, False),
    "segments": (6000, 0.1, (0.1, 20, 127), 1.0, True),
    "noise as large as chance": (20_000, 0.02, (0.02, 50, 255), 0.3, False),
    "rare and skewed": (20_000, 0.01, (0.01, 90, 511), 4.0, False),
}


@pytest.mark.parametrize("name", WORLDS)
def test_intervals_are_honest(name: str) -> None:
    """Over outcomes and segments, means, differences and relative lifts are held 93 to 97 times in 100."""
    people, chance, (bought, typical, most), epsilon, by = WORLDS[name]
    w = world(people, chance, shop(bought, typical, most), 3 if by else 1)
    found = coverage(plan_of(epsilon, segments=by, most=most), w, draws=400, seed=5)
    for figure in ("mean", "difference", "relative"):
        shares = [share for key, share in found.items() if key[2] == figure]
        assert 0.93 <= np.mean(shares) <= 0.97
        assert min(shares) > 0.93 - 4.5 * math.sqrt(0.93 * 0.07 / 400)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("epsilon", [0.1, 0.3, 1.0, 4.0])
@pytest.mark.parametrize("people", [3000, 30_000])
@pytest.mark.parametrize("chance", [0.02, 0.2])
@pytest.mark.parametrize("by", [False, True])
def test_intervals_are_honest_on_a_grid(
    epsilon: float, people: int, chance: float, by: bool
) -> None:
    """Every single figure, 2,000 draws each. Where noise is as large as the figure itself, intervals end at nothing
    and hold more than they promise; there only the lower bound is asked for."""
    draws = 2000
    w = world(people, chance, shop(chance, 30, 127), 3 if by else 1)
    p = plan_of(epsilon, segments=by, most=127)
    slack = 4.5 * math.sqrt(0.95 * 0.05 / draws)
    noise = 2.83 / (epsilon * p.release.blocks[0].share) * math.sqrt(2)
    for (outcome, segment, figure), share in coverage(p, w, draws, seed=6).items():
        assert share >= 0.93 - slack, (outcome, segment, figure)
        group = people * (0.2 if by else 1.0)
        if outcome != "spent" and group * chance / 2 > 4 * noise:
            assert share <= 0.97 + slack, (outcome, segment, figure)


def test_no_lift_is_called_one_five_times_in_a_hundred() -> None:
    """The second outcome is not lifted: p-values under 0.05 come as often as they should."""
    w = world(6000, 0.1, shop(0.1, 20, 127), 1)
    p = plan_of(0.5, segments=False, most=127)
    rng = np.random.default_rng(11)
    found = [drawn(p, w, rng).row("joined", "treated").p_value for _ in range(1500)]
    values = np.array(found, np.float64)
    assert abs(np.mean(values < 0.05) - 0.05) < 4.5 * math.sqrt(0.05 * 0.95 / values.size)
    assert stats.kstest(values, "uniform").pvalue > 1e-4
