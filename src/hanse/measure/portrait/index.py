"""How unlike a base a crowd is: the index (TGI) of a value, with sampling and privacy noise in its interval.

The index is the share of a value in the crowd over its share in the base, times 100. Crowd and base are made of
disjoint parts, whose counts are taken as independent Poisson counts with independent noise of a known law. The
interval is symmetric on the log scale, by the delta method: the variance of log(index) is the sum over all
counts of (derivative)^2 x (count + variance of its noise). Published counts are many noise deviations
from zero, which is what the delta method needs.
Source: log ratio of two shares as Katz et al. 1978, here for shares that have people in common and are noised.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

from hanse.measure.intervals import CONFIDENCE, Interval, rate_interval

Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
PAR = 100.0


class Part(NamedTuple):
    """People of a part of crowd and base: those with the value, and those with any; noised by so many cells each.

    ``others_cells``: ``known`` is the cells of ``having`` and so many more; or None: it is noised by itself, by as
    many cells as ``having``.
    """

    in_crowd: bool
    in_base: bool
    having: float
    known: float
    cells: int
    others_cells: int | None


class Index(NamedTuple):
    """An index with its 95 % interval."""

    value: float
    low: float
    high: float


def index(parts: Sequence[Part], cell_sd: float) -> Index | None:
    """The index of a value; None where a count is not positive."""
    c, crowd = (
        sum(n) for n in zip(*((p.having, p.known) for p in parts if p.in_crowd), strict=True)
    )
    b, base = (sum(n) for n in zip(*((p.having, p.known) for p in parts if p.in_base), strict=True))
    if min(c, crowd, b, base) <= 0:
        return None
    variance = 0.0
    for p in parts:
        rest = (
            p.in_base / base - p.in_crowd / crowd
        )  # what one more person without the value moves log(index)
        own = p.in_crowd / c - p.in_base / b
        variance += (own + rest) ** 2 * max(0.0, p.having) + rest**2 * max(0.0, p.known - p.having)
        if p.others_cells is None:
            noise = p.cells * (own**2 + rest**2)
        else:
            noise = p.cells * (own + rest) ** 2 + p.others_cells * rest**2
        variance += noise * cell_sd**2
    value = PAR * (c / crowd) / (b / base)
    factor = math.exp(min(50.0, Z * math.sqrt(variance)))
    return Index(value, value / factor, value * factor)


def share_interval(
    part: float, whole: float, part_sd: float, whole_sd: float, *, nested: bool
) -> Interval:
    """Interval of part / whole. ``nested``: the part's cells are among the whole's; else each has its own noise."""
    if nested:
        rest_sd = math.sqrt(max(0.0, whole_sd**2 - part_sd**2))
        return rate_interval(part, whole, part_sd, rest_sd)
    if whole <= 0:
        return Interval(0.0, 1.0)
    part = min(max(0.0, part), whole)
    # A share p fits if (part - p whole)^2 <= z^2 (whole p (1-p) + part_sd^2 + p^2 whole_sd^2).
    a = whole**2 + Z**2 * (whole - whole_sd**2)
    b = part * whole + Z**2 * whole / 2
    c = part**2 - (Z * part_sd) ** 2
    if a <= 0:
        return Interval(0.0, 1.0)
    root = math.sqrt(max(0.0, b * b - a * c))
    return Interval(min(1.0, max(0.0, (b - root) / a)), max(0.0, min(1.0, (b + root) / a)))


def pooled(values: Sequence[float], sds: Sequence[float]) -> tuple[float, float]:
    """(value, standard deviation) of one number told several times with independent noise."""
    if not all(sds):  # told without noise at least once
        return values[list(sds).index(0.0)], 0.0
    weights = [1 / sd**2 for sd in sds]
    whole = sum(weights)
    return sum(w * v for w, v in zip(weights, values, strict=True)) / whole, whole**-0.5
