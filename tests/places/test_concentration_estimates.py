"""Intervals that are honest: 95 % of them hold the truth, privacy noise included."""

from __future__ import annotations

import numpy as np
import pytest

from hanse.gate.laws import noise_sd
from hanse.measure.intervals import rate_interval
from hanse.places.concentration.estimates import Estimate, Noise, difference, index, shares, total

RUNS = 4000


def noise(random: np.random.Generator, epsilon: float, size: int) -> np.ndarray:
    """Discrete Laplace values."""
    p = -np.expm1(-epsilon)
    return random.geometric(p, size) - random.geometric(p, size)


# people of the area, its rate, people of all areas, the others' rate, epsilon of the area's and of all cells
POPULATIONS = [
    (150, 0.10, 20_000, 0.08, 0.3, 0.05),
    (400, 0.30, 20_000, 0.20, 0.1, 0.03),
    (3_000, 0.20, 20_000, 0.18, 0.1, 0.03),
    (12_000, 0.20, 20_000, 0.16, 0.1, 0.03),
    (16_000, 0.30, 20_000, 0.10, 0.1, 0.03),
]


@pytest.mark.parametrize("within", [True, False])
@pytest.mark.parametrize("population", POPULATIONS)
def test_intervals_cover_the_truth(population: tuple[float, ...], within: bool) -> None:
    """Shares, TGI and differences of shares: 93 to 97 % of 4,000 each."""
    area, rate, everybody, rest_rate, epsilon, over_epsilon = population
    area, everybody = int(area), int(everybody)
    random = np.random.default_rng(area)
    inside = random.binomial(area, rate, RUNS)
    outside = random.binomial(everybody - area, rest_rate, RUNS)
    truth = (area * rate + (everybody - area) * rest_rate) / everybody
    part, whole, law = _figures(random, inside, area, epsilon, within)
    all_part, all_whole, over = _figures(random, inside + outside, everybody, over_epsilon, within)
    share = shares(part, whole, law)
    assert 0.93 <= ((share.low <= rate) & (rate <= share.high)).mean() <= 0.97
    held = 0
    for run in range(RUNS):
        overall = shares(all_part[run], all_whole[run], over)
        one = index(share[run : run + 1], whole[run : run + 1], law, overall, all_whole[run], over)
        held += bool(one.low[0] <= 100 * rate / truth <= one.high[0])
    assert 0.93 <= held / RUNS <= 0.97
    other_part, other_whole, other_law = _figures(
        random, outside, everybody - area, epsilon, within
    )
    apart = difference(share, shares(other_part, other_whole, other_law))
    gap = rate - rest_rate
    assert 0.93 <= ((apart.low <= gap) & (gap <= apart.high)).mean() <= 0.97


def _figures(
    random: np.random.Generator, part: np.ndarray, whole: int, epsilon: float, within: bool
) -> tuple[np.ndarray, np.ndarray, Noise]:
    """Noised part and whole: by the part and the rest, or apart."""
    sd = noise_sd(epsilon, 1)
    noised = (part + noise(random, epsilon, RUNS)).astype(float)
    if not within:
        return noised, (whole + noise(random, epsilon, RUNS)).astype(float), Noise.apart(sd, sd)
    rest = whole - part + noise(random, epsilon, RUNS)
    return noised, noised + rest, Noise.within(sd, noise_sd(epsilon, 2))


@pytest.mark.parametrize(("part", "whole"), [(0, 50), (20, 50), (50, 50), (300, 4000), (70, 60)])
def test_shares_are_those_of_single_rates(part: float, whole: float) -> None:
    """The same interval as `measure.intervals.rate_interval`, for arrays."""
    found = shares(np.array([part]), np.array([whole]), Noise.within(3.0, np.hypot(3.0, 4.0)))
    want = rate_interval(part, whole, 3.0, 4.0)
    assert found.low[0] == pytest.approx(want.low)
    assert found.high[0] == pytest.approx(want.high)


def test_an_area_that_is_everybody_has_a_tgi_of_about_100() -> None:
    none = Noise(0.0, 0.0, 0.0)
    overall = shares(50.0, 200.0, none)
    here = shares(np.array([50.0]), np.array([200.0]), none)
    same = index(here, np.array([200.0]), none, overall, 200.0, none)
    assert same.value[0] == pytest.approx(100)
    assert 95 < same.low[0] <= 100 <= same.high[0] < 105


def test_nobody_and_nothing_have_no_figure() -> None:
    none = Noise(0.0, 0.0, 0.0)
    found = shares(np.array([0.0, np.nan]), np.array([0.0, np.nan]), none)
    assert np.isnan(found.value).all()
    overall = shares(0.0, 100.0, Noise.apart(2.0, 2.0))
    here = shares(np.array([5.0]), np.array([50.0]), none)
    unbounded = index(here, np.array([50.0]), none, overall, 100.0, none)
    assert not np.isfinite(unbounded.value[0])
    assert np.isinf(unbounded.high[0])


def test_totals_add_squares_of_half_widths() -> None:
    parts = Estimate(np.array([10.0, 20.0]), np.array([7.0, 16.0]), np.array([16.0, 28.0]))
    whole = total(parts)
    assert (float(whole.value), float(whole.low), float(whole.high)) == (30.0, 25.0, 40.0)
