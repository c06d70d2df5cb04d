"""How sure a number is: intervals that hold privacy noise and sampling together.

A count is exact but for the noise that was added, whose law is public; a rate is also a sample of how such
people behave. Intervals are two-sided, 95 % by default.
Source: for rates Wilson 1927, with the sample size reduced until its variance holds the noise as well.
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

    The noise moves the ratio by ((1 - p) e_part - p e_rest) / whole to first order.
    """
    if whole <= 0:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    p = min(1.0, max(0.0, part / whole))
    guarded = (part + 1) / (whole + 2)
    guarded = min(1 - 1e-9, max(1e-9, guarded))
    sampling = guarded * (1 - guarded) / whole
    added = 0.0
    if noise:
        one = noise_sd(epsilon_per_cell, 1) ** 2
        added = one * ((1 - p) ** 2 * part_cells + p**2 * rest_cells) / whole**2
    size = guarded * (1 - guarded) / (sampling + added)
    centre = (p + z * z / (2 * size)) / (1 + z * z / size)
    half = z * math.sqrt(p * (1 - p) / size + z * z / (4 * size * size)) / (1 + z * z / size)
    return Interval(max(0.0, centre - half), min(1.0, centre + half))
