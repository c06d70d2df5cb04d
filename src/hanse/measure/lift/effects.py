"""What a difference between two groups is worth: intervals and p-values that hold sampling and noise together.

A group comes as noised figures: people, and of an outcome the people who have it, or the sum of their values
and the sum of squares. Noise laws are public, so their variances are known; how people differ is estimated.
Source: rates as in `intervals.rate_interval`; differences, ratios and weighted sums from each part's own
interval: Newcombe 1998 (method 10), Donner and Zou 2012, Zou and Donner 2008 ("MOVER"; for symmetric intervals
the ratio is Fieller 1954); p-values from the pooled two-proportion test and from Welch's test, noise added.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from hanse.measure.intervals import CONFIDENCE, Interval, rate_interval

Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Noised:
    """A released figure and the standard deviation of its noise."""

    value: float
    sd: float


@dataclass(frozen=True)
class Estimate:
    """A mean per person with its 95 % interval. ``variance`` is what a test of no difference uses."""

    mean: float
    low: float
    high: float
    variance: float

    @property
    def interval(self) -> Interval:
        return Interval(self.low, self.high)


# --- one group --------------------------------------------------------------------------------------


def rate_of(people: Noised, having: Noised, pooled: float | None = None) -> Estimate:
    """The share of ``people`` who have it. ``pooled`` is the share if there were no difference.

    The noise is left in: the share may lie a little outside 0 to 1, so that sums and differences of shares are not
    biased. What is shown is cut to 0 to 1.
    """
    whole = max(1.0, people.value)
    rest_sd = math.sqrt(max(0.0, people.sd**2 - having.sd**2))  # disjoint cells make up the people
    around = rate_interval(having.value, whole, having.sd, rest_sd)
    mean = having.value / whole
    inside = min(1.0, max(0.0, mean))
    half = Z * math.sqrt(_rate_noise(inside, having.sd, rest_sd)) / whole
    p = inside if pooled is None else pooled
    variance = (whole * p * (1 - p) + _rate_noise(p, having.sd, rest_sd)) / whole**2
    # At 0 or 1 the interval ends where shares end; how far the figure may be off does not.
    return Estimate(mean, min(around.low, mean - half), max(around.high, mean + half), variance)


def _rate_noise(p: float, having_sd: float, rest_sd: float) -> float:
    """Variance of having - p * people, of which having is a part."""
    return ((1 - p) * having_sd) ** 2 + (p * rest_sd) ** 2


def mean_of(people: Noised, total: Noised, square: Noised, most: int) -> Estimate:
    """The mean of a value from 0 to ``most`` per person. It may be negative: the noise is left in."""
    whole = max(2.0, people.value)
    mean = total.value / whole
    spread = max(0.0, _square(whole, total, square, most) - mean * total.value)
    spread += total.sd**2 / whole  # the squared mean came out too large by its own noise
    sampling = whole * spread / (whole - 1)
    noise = total.sd**2 + (mean * people.sd) ** 2
    variance = (sampling + noise) / whole**2
    half = Z * math.sqrt(variance)
    return Estimate(mean, mean - half, mean + half, variance)


def _square(whole: float, total: Noised, square: Noised, most: int) -> float:
    """The sum of squares, as far as it is known.

    Values are whole numbers from 0 to ``most``, so it lies between max(sum, sum^2 / people) and most * sum. Within
    these bounds, where it is as likely as its noise says: the mean of a truncated normal law.
    """
    if not square.sd:
        return square.value
    least, largest = (max(0.0, total.value + side * Z * total.sd) for side in (-1, 1))
    low, high = max(least, least**2 / whole), most * largest
    if high <= low:
        return low
    a, b = (low - square.value) / square.sd, (high - square.value) / square.sd
    inside = _NORMAL.cdf(b) - _NORMAL.cdf(a)
    if inside < 1e-12:  # far outside: at the nearer bound
        return low if a > 0 else high
    return square.value + square.sd * (_NORMAL.pdf(a) - _NORMAL.pdf(b)) / inside


# --- two groups, and several ------------------------------------------------------------------------


def weighted(parts: Sequence[Estimate], weights: Sequence[float]) -> Estimate:
    """The sum of weight * mean."""
    mean = sum(w * e.mean for w, e in zip(weights, parts, strict=True))
    low = math.hypot(*(w * (e.mean - e.low) for w, e in zip(weights, parts, strict=True)))
    high = math.hypot(*(w * (e.high - e.mean) for w, e in zip(weights, parts, strict=True)))
    variance = sum(w**2 * e.variance for w, e in zip(weights, parts, strict=True))
    return Estimate(mean, mean - low, mean + high, variance)


def difference(treated: Estimate, control: Estimate, extra: float = 0.0) -> Estimate:
    """treated - control; ``extra`` is a variance of its own (of noised weights)."""
    mean = treated.mean - control.mean
    more = Z * math.sqrt(extra)
    low = math.hypot(treated.mean - treated.low, control.high - control.mean, more)
    high = math.hypot(treated.high - treated.mean, control.mean - control.low, more)
    return Estimate(mean, mean - low, mean + high, treated.variance + control.variance + extra)


def relative(
    treated: Estimate, control: Estimate
) -> tuple[float | None, float | None, float | None]:
    """(lift, low, high) of treated / control - 1; None where the control may be zero.

    A ratio r fits if (t - r c)^2 <= (t's half width)^2 + r^2 (c's half width)^2, each on the side that matters.
    """  # fmt: skip
    t, c = max(0.0, treated.mean), control.mean
    if c <= 0:
        return None, None, None
    low = _root(t, c, t - treated.low, control.high - c)
    high = _root(t, c, treated.high - t, c - control.low, upper=True)
    return t / c - 1, max(0.0, low) - 1 if low is not None else -1.0, high - 1 if high else None


def _root(t: float, c: float, of_t: float, of_c: float, *, upper: bool = False) -> float | None:
    """A root of (c^2 - of_c^2) r^2 - 2 t c r + (t^2 - of_t^2) = 0; None if the ratio has no bound there."""
    a, e = c * c - of_c * of_c, t * t - of_t * of_t
    inside = (t * c) ** 2 - a * e
    if upper:
        return (t * c + math.sqrt(max(0.0, inside))) / a if a > 1e-12 * c * c else None
    below = t * c + math.sqrt(max(0.0, inside))
    return e / below if inside >= 0 and below > 0 else None


def p_value(difference: float, variance: float) -> float:
    """Two-sided: how often chance and noise alone make a difference as large."""
    if variance <= 0:
        return 1.0 if difference == 0 else 0.0
    return math.erfc(abs(difference) / math.sqrt(2 * variance))
