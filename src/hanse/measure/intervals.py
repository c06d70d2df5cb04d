"""How sure a number is: intervals that hold privacy noise and sampling together.

A count is exact but for the noise that was added, whose law is public; a rate is also a sample of how such
people behave. Intervals are two-sided, 95 % by default.

What is suppressed has no interval, so of small crowds only those are seen that noise (or chance) lifted over the
threshold: a published figure that lies just above it is more often too high than too low. There intervals reach
further down, as far as the published ones need to hold the truth 95 times in 100, but no further than the
contract's k: fewer people than that are published once in a million times.
Source: rates as Wilson 1927 (the variance is taken at the rate that is tested, not at the one observed), with the
noise of both figures in that variance, as Fieller 1954 does for a ratio of two uncertain figures; figures that are
seen only beyond a threshold: the law given that, as Zhong and Prentice 2008 do for the "winner's curse", its lower end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from hanse.gate.laws import half_width, margin, noise_law
from hanse.gate.plan import ReleasePlan

CONFIDENCE = 0.95
TAIL = (1 - CONFIDENCE) / 2
Z = NormalDist().inv_cdf(1 - TAIL)
_FINEST = 0.01  # of a law's parameter: below it a coarser grid has the same shape
CHOSEN_TAIL = 0.035  # of the low end near a threshold: there the high end misses hardly ever
_FAR = 4.0  # half widths (or deviations) above the threshold: further up nothing is chosen


@dataclass(frozen=True)
class Interval:
    """A closed interval."""

    low: float
    high: float

    def holding(self, value: float) -> Interval:
        """The least interval that holds this one and ``value``."""
        return Interval(min(self.low, value), max(self.high, value))


# --- counts -----------------------------------------------------------------------------------------


def count_interval(value: float, release: ReleasePlan, output: int) -> Interval:
    """Where the true count is, from a published output's noised ``value``."""
    half = noise_half_width(release, output)
    low = value - half - float(threshold_slack(value, release, output))
    return Interval(max(0.0, low), float(value + half))


def noise_half_width(release: ReleasePlan, output: int, level: float = CONFIDENCE) -> float:
    """An output's noise is within ± this with probability ``level``; 0 without noise."""
    return float(half_width(*release.spread(output), level)) if release.noise else 0.0


def threshold_slack(
    value: float | NDArray[np.float64], release: ReleasePlan, output: int
) -> NDArray[np.float64]:
    """How much further down than its noise's half width a published count's interval reaches [as ``value``].

    Zero but just above the threshold. Values below it (which are not published) have the slack of the threshold.
    """
    above = np.asarray(value, np.float64)
    if not release.noise:
        return np.zeros(above.shape)
    epsilon, draws = release.spread(output)
    limit = margin(epsilon, draws)
    excess = np.maximum(0.0, above - release.k - limit)
    grid, slack = _slack(epsilon, draws)
    most = np.maximum(0.0, excess + limit - half_width(epsilon, draws, CONFIDENCE))  # down to k
    return np.asarray(np.minimum(most, np.interp(excess, grid, slack, right=0.0)))


@lru_cache(maxsize=256)
def _slack(epsilon: float, draws: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(people above the threshold, slack beyond the half width there).

    ``reach`` is the furthest such that noise of at least that much is not rarer than ``CHOSEN_TAIL`` among the noise that
    lifts the same count over the threshold: P(noise >= reach) > CHOSEN_TAIL P(noise >= reach - excess).
    """
    if epsilon < _FINEST:
        scale = _FINEST / epsilon
        excess, slack = _slack(_FINEST, draws)
        return excess * scale, slack * scale
    offset, law = noise_law(epsilon, draws)
    upper = np.cumsum(law[::-1])[::-1]  # P(noise >= i - offset)
    half, limit = half_width(epsilon, draws, CONFIDENCE), margin(epsilon, draws)
    excess = np.arange(math.ceil(_FAR * half) + 1)

    def least(noise: NDArray[np.int64]) -> NDArray[np.float64]:
        return upper[np.clip(noise + offset, 0, upper.size - 1)]

    low, high = np.zeros(excess.size, np.int64), excess + limit + 1  # fits, and taken not to
    while (high - low > 1).any():
        middle = (low + high) // 2
        fits = least(middle) > CHOSEN_TAIL * least(middle - excess)
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    return excess.astype(np.float64), np.maximum(0.0, low.astype(np.float64) - half)


# --- rates ------------------------------------------------------------------------------------------


def rate_interval(
    part: float, whole: float, part_sd: float, rest_sd: float, part_slack: float = 0.0,
    whole_slack: float = 0.0,
) -> Interval:  # fmt: skip
    """Interval of part / whole, where whole = part + rest, noised by so much each.

    A rate p fits if (part - p whole)^2 <= z^2 (whole p (1-p) + (1-p)^2 part_sd^2 + p^2 rest_sd^2): the part
    and the rest are noised, the people between them are a sample. Without noise this is Wilson's interval.
    ``part_slack`` and ``whole_slack`` say how much lower the two figures may have been because a threshold chose
    them: the interval's low end is taken with the one less, its high end with the other less.
    """
    low = _fitting(part - part_slack, whole, part_sd, rest_sd).low
    return Interval(low, _fitting(part, whole - whole_slack, part_sd, rest_sd).high)


def _fitting(part: float, whole: float, part_sd: float, rest_sd: float) -> Interval:
    if whole <= 0:
        return Interval(0.0, 1.0)
    part = min(max(0.0, part), whole)  # noise may have put it outside; no rate is
    v_part, v_rest = Z**2 * part_sd**2, Z**2 * rest_sd**2
    # The condition as a p^2 - 2 b p + c <= 0.
    a = whole**2 + Z**2 * whole - v_part - v_rest
    b = part * whole + Z**2 * whole / 2 - v_part
    c = part**2 - v_part
    if a <= 0:  # the noise is as large as the figures: any rate fits
        return Interval(0.0, 1.0)
    root = math.sqrt(max(0.0, b * b - a * c))
    return Interval(min(1.0, max(0.0, (b - root) / a)), max(0.0, min(1.0, (b + root) / a)))


def published_rate(
    release: ReleasePlan, part: tuple[int, float], whole: tuple[int, float]
) -> Interval:
    """Interval of one published count in another that holds all its cells: (output, value) each."""
    part_sd, whole_sd = release.sd(part[0]), release.sd(whole[0])
    rest_sd = math.sqrt(max(0.0, whole_sd**2 - part_sd**2))
    return rate_interval(
        part[1], whole[1], part_sd, rest_sd, sampled_slack(release, *part, whole[1]),
        float(threshold_slack(whole[1], release, whole[0])),
    )  # fmt: skip


def sampled_slack(release: ReleasePlan, output: int, value: float, whole: float) -> float:
    """How much lower a published count may be than its noise and sampling say, as it is one that was published.

    As `threshold_slack`, for what is a sample too: chance in the ``whole`` that it is part of lifts it as noise does.
    """
    if not release.noise:
        return 0.0
    noise, limit = release.sd(output), margin(*release.spread(output))
    share = min(1.0, max(0.0, value / max(1.0, whole)))
    sampling = math.sqrt(max(0.0, value) * (1 - share))
    sd, excess = math.hypot(noise, sampling), max(0.0, value - release.k - limit)
    if sd == 0 or excess >= _FAR * sd:
        return 0.0
    grid, slack = _normal_slack()
    most = excess + limit + Z * sampling - Z * sd  # down to what k people can come from
    return max(0.0, min(most, sd * float(np.interp(excess / sd, grid, slack))))


@lru_cache(maxsize=1)
def _normal_slack() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """As `_slack` for a normal law, in its deviations."""
    normal, grid = NormalDist(), np.linspace(0.0, _FAR, 201)
    found = []
    for excess in grid.tolist():
        low, high = 0.0, 30.0
        for _ in range(50):
            reach = (low + high) / 2
            fits = normal.cdf(-reach) > CHOSEN_TAIL * normal.cdf(excess - reach)
            low, high = (reach, high) if fits else (low, reach)
        found.append(max(0.0, low - Z))
    return grid, np.array(found)
