"""The law of the noise: its spread, its quantiles, the margin that keeps small crowds unseen.

A cell's noise is discrete Laplace, P(x) proportional to exp(-epsilon * |x|); an output's is the sum of its
cells'. All of it is public, so whoever reads a figure can be told how far off it may be.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

FALSE_PUBLISH = 1e-6  # P(an output is published although fewer than k people are in it)
_FINEST = 0.0005  # below it the law is computed on a coarser grid: its shape no longer changes


@lru_cache(maxsize=256)
def noise_law(epsilon: float, draws: int) -> tuple[int, NDArray[np.float64]]:
    """(offset, probabilities): P(sum of ``draws`` discrete Laplace values = i - offset).

    By FFT, on a circle wide enough that nothing of weight wraps around; right to about 1e-15.
    """
    if not draws:
        return 0, np.ones(1)
    reach = math.ceil(40 / epsilon) + math.ceil(12 * noise_sd(epsilon, draws))
    size = 1 << (2 * reach).bit_length()
    distance = np.minimum(np.arange(size), size - np.arange(size))
    one = np.exp(-epsilon * distance)
    one /= one.sum()
    law = np.fft.irfft(np.fft.rfft(one) ** draws, size)
    return reach, np.maximum(0.0, np.roll(law, reach)[: 2 * reach + 1])


@lru_cache(maxsize=1024)
def margin(epsilon: float, draws: int) -> int:
    """Smallest m with P(noise > m) <= FALSE_PUBLISH: what a count of k - 1 must not exceed by luck."""
    if epsilon < _FINEST:
        return math.ceil((margin(_FINEST, draws) + 1) * _FINEST / epsilon)
    offset, law = noise_law(epsilon, draws)
    upper = np.cumsum(law[::-1])[::-1]  # P(noise >= i - offset)
    allowed = np.flatnonzero(upper <= FALSE_PUBLISH)
    return max(0, int(allowed[0]) - offset - 1) if allowed.size else offset


@lru_cache(maxsize=1024)
def half_width(epsilon: float, draws: int, level: float) -> int:
    """The least h such that the noise of so many cells is within ± h with probability ``level``."""
    if epsilon < _FINEST:
        return math.ceil(half_width(_FINEST, draws, level) * _FINEST / epsilon)
    offset, law = noise_law(epsilon, draws)
    return int(np.searchsorted(np.cumsum(law), (1 + level) / 2)) - offset


def noise_sd(epsilon: float, draws: int) -> float:
    """Standard deviation of the sum of ``draws`` discrete Laplace values."""
    return math.sqrt(draws * 2 * math.exp(-epsilon)) / -math.expm1(-epsilon)
