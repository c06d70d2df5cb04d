"""How sure a number is: intervals that hold privacy noise and sampling together.

A count is exact but for the noise that was added, whose law is public; a rate is also a sample of how such
people behave. Intervals are two-sided, 95 % by default.
Source: rates as Wilson 1927 (the variance is taken at the rate that is tested, not at the one observed), with the
noise of both figures in that variance, as Fieller 1954 does for a ratio of two uncertain figures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from hanse.gate.laws import half_width
from hanse.gate.plan import ReleasePlan

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A closed interval."""

    low: float
    high: float

    def holding(self, value: float) -> Interval:
        """The least interval that holds this one and ``value``."""
        return Interval(min(self.low, value), max(self.high, value))


def count_interval(value: float, release: ReleasePlan, output: int) -> Interval:
    """Where the true count is, from an output's noised ``value``."""
    half = noise_half_width(release, output)
    return Interval(float(max(0, value - half)), float(value + half))


def noise_half_width(release: ReleasePlan, output: int, level: float = CONFIDENCE) -> float:
    """An output's noise is within ± this with probability ``level``; 0 without noise."""
    return float(half_width(*release.spread(output), level)) if release.noise else 0.0


def rate_interval(part: float, whole: float, part_sd: float, rest_sd: float) -> Interval:
    """Interval of part / whole, where whole = part + rest, noised by so much each.

    A rate p fits if (part - p whole)^2 <= z^2 (whole p (1-p) + (1-p)^2 part_sd^2 + p^2 rest_sd^2): the part
    and the rest are noised, the people between them are a sample. Without noise this is Wilson's interval.
    """
    if whole <= 0:
        return Interval(0.0, 1.0)
    part = min(max(0.0, part), whole)  # noise may have put it outside; no rate is
    z2 = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) ** 2
    v_part, v_rest = z2 * part_sd**2, z2 * rest_sd**2
    # The condition as a p^2 - 2 b p + c <= 0.
    a = whole**2 + z2 * whole - v_part - v_rest
    b = part * whole + z2 * whole / 2 - v_part
    c = part**2 - v_part
    if a <= 0:  # the noise is as large as the figures: any rate fits
        return Interval(0.0, 1.0)
    root = math.sqrt(max(0.0, b * b - a * c))
    return Interval(min(1.0, max(0.0, (b - root) / a)), max(0.0, min(1.0, (b + root) / a)))
