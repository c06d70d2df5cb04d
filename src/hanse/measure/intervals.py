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

import numpy as np

from hanse.gate.release import noise_law, noise_sd

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A closed interval."""

    low: float
    high: float


def count_interval(
    value: int, epsilon_per_cell: float, cells: int, *, noise: bool = True
) -> Interval:
    """Where the true count is, from a noised sum over ``cells`` cells."""
    if not noise:
        return Interval(float(value), float(value))
    offset, law = noise_law(epsilon_per_cell, cells)
    cumulative = np.cumsum(law)
    half = int(np.searchsorted(cumulative, (1 + CONFIDENCE) / 2)) - offset
    return Interval(float(max(0, value - half)), float(value + half))


def rate_interval(
    part: int,
    whole: int,
    epsilon_per_cell: float,
    part_cells: int,
    rest_cells: int,
    *,
    noise: bool = True,
) -> Interval:
    """Interval of part / whole, where whole = part + rest, each a noised sum of so many cells.

    A rate p fits if (part - p whole)^2 <= z^2 (whole p (1-p) + v ((1-p)^2 part_cells + p^2 rest_cells)), with v
    the variance of one cell's noise: the part and the rest are noised, the people between them are a sample.
    Without noise this is Wilson's interval.
    """
    if whole <= 0:
        return Interval(0.0, 1.0)
    part = min(part, whole)  # noise may have put it above; no rate is
    z2 = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) ** 2
    v = z2 * noise_sd(epsilon_per_cell, 1) ** 2 if noise else 0.0
    # The condition as a p^2 - 2 b p + c <= 0.
    a = whole**2 + z2 * whole - v * (part_cells + rest_cells)
    b = part * whole + z2 * whole / 2 - v * part_cells
    c = part**2 - v * part_cells
    if a <= 0:  # the noise is as large as the figures: any rate fits
        return Interval(0.0, 1.0)
    root = math.sqrt(max(0.0, b * b - a * c))
    return Interval(min(1.0, max(0.0, (b - root) / a)), max(0.0, min(1.0, (b + root) / a)))
