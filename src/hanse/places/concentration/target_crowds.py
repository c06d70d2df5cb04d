"""How many of a target group are at a place on a day: the crowd times the group's share, with one interval.

The crowd comes from the daily model with its interval, the share from a concentration (`TargetFigures.share`) with
its own. Both are skewed and positive, so distances are taken as logarithms and added in squares: the square root of
the sum recovers the variance of the product from the two intervals (Zou, Donner and Qiu 2007, "MOVER", on the
logarithm; Newcombe 2013). Where the two are independent this covers as its parts do; a share that may be nothing
leaves the lower end at nothing.

Assumed: who is at a place on a given day is as who is usually there. A share over a month says nothing about what
kind of people a festival brings.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Fault
from hanse.measure.intervals import CONFIDENCE
from hanse.places.concentration.estimates import Estimate

Floats = NDArray[np.float64]
CROWD_CONFIDENCE = 0.90  # of the daily model's intervals
_TIED = 0.5


def target_crowds(
    crowd: Estimate,
    share: Estimate,
    *,
    crowd_confidence: float = CROWD_CONFIDENCE,
    share_confidence: float = CONFIDENCE,
    confidence: float = CROWD_CONFIDENCE,
) -> Estimate:
    """Target people [places, days] (or [places]) from a crowd of this shape and shares [places].

    Not a number where either is. Raises `Fault` ``places.shapes``.
    """
    if share.value.shape[0] != crowd.value.shape[0]:
        raise Fault(
            "places.shapes",
            f"{crowd.value.shape[0]} places have a crowd, {share.value.shape[0]} have a share",
            remedy="bring both to one list of places first",
            where="target crowds",
        )
    spread = (slice(None), *(None,) * (crowd.value.ndim - 1))
    s = Estimate(share.value[spread], share.low[spread], share.high[spread])
    c_below, c_above = _distances(crowd, _factor(crowd_confidence, confidence))
    s_below, s_above = _distances(s, _factor(share_confidence, confidence))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        value = crowd.value * s.value
        low = value * np.exp(-np.hypot(c_below, s_below))
        high = value * np.exp(np.hypot(c_above, s_above))
        # A place with no target person now still has an upper end: the crowd times the share's.
        high = np.where(value > 0, high, crowd.value * s.high)
        # Nobody is of the target group who is not there at all.
        high = np.minimum(high, crowd.high)
    known = np.isfinite(crowd.value) & np.isfinite(s.value)
    return Estimate(*(np.where(known, x, np.nan) for x in (value, np.nan_to_num(low), high)))


def filled(share: Estimate, area: NDArray[np.int64], areas: Estimate) -> Estimate:
    """Shares [places] in which a place that was suppressed takes its area's, with an interval that is wider.

    ``area`` [places] counts in ``areas``. How much wider is learnt from how far told places are from their
    areas, as logarithms, beyond what their own intervals explain.
    """
    theirs = Estimate(areas.value[area], areas.low[area], areas.high[area])
    told = (
        np.isfinite(share.value)
        & np.isfinite(theirs.value)
        & (share.value > 0)
        & (theirs.value > 0)
    )
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    between = 0.5  # if too few places are told to know
    if told.sum() >= 8:
        off = np.log(share.value[told] / theirs.value[told])
        below, above = _distances(share, 1.0)
        noise = np.minimum((below + above)[told] / (2 * z), 3.0)
        between = float(np.sqrt(max(np.median(off**2) / 0.455 - np.median(noise**2), 0.01)))
    below, above = _distances(theirs, 1.0)
    value = theirs.value
    with np.errstate(invalid="ignore", over="ignore"):
        low = value * np.exp(-np.hypot(below, z * between))
        high = np.minimum(value * np.exp(np.hypot(above, z * between)), 1.0)
    own = np.isfinite(share.value)
    return Estimate(
        np.where(own, share.value, value), np.where(own, share.low, np.nan_to_num(low)),
        np.where(own, share.high, high),
    )  # fmt: skip


def over(parts: Estimate, group: NDArray[np.int64], groups: int, tied: float = _TIED) -> Estimate:
    """Sums of places [places, ...] over stores, areas or whatever ``group`` [places] says (-1: none).

    ``tied`` is the correlation of the places' errors: a day that is busier than forecast is so all over town.
    Places without a number are left out of the sum, so compare sums only of the same places.
    """
    known = np.isfinite(parts.value) & (group >= 0).reshape(-1, *(1,) * (parts.value.ndim - 1))
    at = np.maximum(group, 0)

    def summed(values: Floats) -> Floats:
        out = np.zeros((groups, *values.shape[1:]))
        np.add.at(out, at, np.where(known, values, 0.0))
        return out

    value = summed(parts.value)
    ends = []
    for distance in (parts.value - parts.low, parts.high - parts.value):
        apart, together = summed(distance**2), summed(distance) ** 2
        ends.append(np.sqrt((1 - tied) * apart + tied * together))
    some = summed(np.ones_like(parts.value)) > 0
    low, high = np.maximum(value - ends[0], 0.0), value + ends[1]
    return Estimate(*(np.where(some, x, np.nan) for x in (value, low, high)))


def _distances(of: Estimate, factor: float) -> tuple[Floats, Floats]:
    """How far the ends are as logarithms, below and above; infinite below where the low end is nothing."""
    with np.errstate(invalid="ignore", divide="ignore"):
        below = np.where(of.low > 0, np.log(of.value / of.low), np.inf)
        above = np.where(of.value > 0, np.log(of.high / of.value), np.inf)
    return np.maximum(below, 0.0) * factor, np.maximum(above, 0.0) * factor


def _factor(given: float, wanted: float) -> float:
    """From the half width at one confidence to that at another."""
    normal = NormalDist()
    return normal.inv_cdf((1 + wanted) / 2) / normal.inv_cdf((1 + given) / 2)
