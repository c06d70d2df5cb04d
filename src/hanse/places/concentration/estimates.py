"""Figures of many areas at once, with intervals that hold privacy noise and sampling together.

A share (target people of an area among its people) is a sample of how such people are, and both of its figures are
noised; a TGI divides it by the share over all areas, of which the area is a part. Two-sided, 95 %.
Source: shares as Wilson 1927 with the noise in the variance (`measure.intervals`, here for arrays); ratios and
differences by recovering variances from the two intervals, with their correlation (Donner and Zou 2012,
"Closed-form confidence intervals for functions of the normal mean and standard deviation"; Newcombe 1998).
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.measure.intervals import CONFIDENCE

Floats = NDArray[np.float64]
Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


@dataclass(frozen=True)
class Estimate:
    """Values with their intervals, all [areas]; not a number where there is no figure."""

    value: Floats
    low: Floats
    high: Floats

    def __getitem__(self, key: Any) -> Estimate:
        return Estimate(
            np.asarray(self.value[key]), np.asarray(self.low[key]), np.asarray(self.high[key])
        )

    def times(self, factor: float | Floats) -> Estimate:
        """All three times a non-negative factor."""
        return Estimate(self.value * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True)
class Noise:
    """The variance of part - p * whole by noise alone: ``part`` + ``cross`` p + ``whole`` p^2."""

    part: float
    cross: float
    whole: float

    @staticmethod
    def apart(part: float, whole: float) -> Noise:
        """Part and whole are noised apart, with these standard deviations."""
        return Noise(part**2, 0.0, whole**2)

    @staticmethod
    def within(part: float, whole: float) -> Noise:
        """The whole's noise is the part's and that of the rest (`whole` is the whole's deviation)."""
        return Noise(part**2, -2 * part**2, whole**2)

    def variance(self, rate: Floats | float) -> Floats:
        return np.maximum(0.0, self.part + self.cross * rate + self.whole * rate**2)


def shares(part: Floats | float, whole: Floats | float, noise: Noise) -> Estimate:
    """part / whole, at least 0 and at most 1; not a number where there is nobody.

    A rate p fits if (part - p whole)^2 <= z^2 (whole p (1 - p) + noise(p)).
    """
    whole = np.asarray(whole, np.float64)
    safe = np.maximum(whole, 1.0)
    part = np.clip(np.asarray(part, np.float64), 0.0, safe)
    z2 = Z**2
    a = safe**2 + z2 * safe - z2 * noise.whole
    b = part * safe + z2 * safe / 2 + z2 * noise.cross / 2
    c = part**2 - z2 * noise.part
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt(np.maximum(0.0, b * b - a * c))
        low = np.where(a > 0, np.clip((b - root) / a, 0.0, 1.0), 0.0)
        high = np.where(a > 0, np.clip((b + root) / a, 0.0, 1.0), 1.0)
    value = np.clip(part / safe, low, high)
    nobody = whole <= 0
    return Estimate(
        np.where(nobody, np.nan, value), np.where(nobody, 0.0, low), np.where(nobody, 1.0, high)
    )


def index(
    share: Estimate, whole: Floats, noise: Noise, overall: Estimate, people: float, over: Noise
) -> Estimate:
    """TGI: 100 times the areas' shares over the share of all ``people`` (``over``: that share's noise).

    The areas' people are among all people, which makes the two shares move together. Where the overall
    share may be nothing, the interval has no upper end (infinite).
    """
    r, rate = share.value, float(overall.value)
    # Both shares hold the sampling of the area's own people: their covariance is r (1 - r) / people.
    common = r * (1 - r) / max(1.0, people)
    size = np.maximum(whole, 1.0)
    mine = np.sqrt((size * r * (1 - r) + noise.variance(r)) / size**2)
    theirs = np.sqrt((people * rate * (1 - rate) + over.variance(rate)) / max(1.0, people) ** 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        tied = np.clip(np.nan_to_num(common / (mine * theirs)), 0.0, 1.0)
        low, high = _ratio(share, overall, tied)
        value = r / rate
    return Estimate(value, low, high).times(100.0)


def _ratio(top: Estimate, bottom: Estimate, tied: Floats) -> tuple[Floats, Floats]:
    """Interval of top / bottom, whose correlation is ``tied``."""
    t, l1, u1 = top.value, top.low, top.high
    b, l2, u2 = (float(x) for x in (bottom.value, bottom.low, bottom.high))

    def end(t_off: Floats, b_end: float) -> tuple[Floats, Floats]:
        """Middle and half width of the end where the top moves by ``t_off`` and the bottom to ``b_end``."""
        b_off = abs(b_end - b)
        middle = t * b - tied * t_off * b_off
        # The squares of the two moves, less what moves together.
        product = (t**2 - t_off**2) * (b**2 - b_off**2)
        return middle, np.sqrt(np.maximum(0.0, middle**2 - product))

    low_middle, low_half = end(t - l1, u2)
    high_middle, high_half = end(u1 - t, l2)
    bounded = 2 * b > u2
    low = (low_middle - low_half) / (u2 * (2 * b - u2)) if bounded else np.zeros_like(t)
    high = (high_middle + high_half) / (l2 * (2 * b - l2)) if l2 > 0 else np.full_like(t, np.inf)
    return np.maximum(0.0, low), high


def difference(first: Estimate, second: Estimate) -> Estimate:
    """first - second, of two areas that share nobody."""
    value = first.value - second.value
    below = np.sqrt((first.value - first.low) ** 2 + (second.high - second.value) ** 2)
    above = np.sqrt((first.high - first.value) ** 2 + (second.value - second.low) ** 2)
    return Estimate(value, value - below, value + above)


def total(parts: Estimate) -> Estimate:
    """The sum over areas that share nobody."""
    value = np.asarray(parts.value.sum())
    below = np.sqrt(((parts.value - parts.low) ** 2).sum())
    above = np.sqrt(((parts.high - parts.value) ** 2).sum())
    return Estimate(value, np.maximum(0.0, value - below), value + above)
