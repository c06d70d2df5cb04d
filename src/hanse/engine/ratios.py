"""Ratios of fixed-point shares: softmax and its logarithm, the reciprocal of one number, shrinking towards zero.

Reveals: nothing. Assumes: semi-honest seats, honest majority.
Source: Chebyshev series as in `engine.functions`; scores are taken off their largest before exponentials, so that
the sum of K of them is from 1 to K, where its reciprocal and logarithm are polynomials.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev as series
from numpy.typing import NDArray

from hanse.engine.compare import ring_bits, sign_bit
from hanse.engine.costs import costs
from hanse.engine.fixed import truncate
from hanse.engine.functions import (
    INNER,
    Coefficients,
    chebyshev,
    exponential,
    power_below,
    product,
)
from hanse.engine.multiply import multiply
from hanse.engine.session import Session
from hanse.engine.shares import Ring, join_elements

Function = Callable[[NDArray[np.float64]], NDArray[np.float64]]
SHARE = 20  # fraction bits of a softmax, and of exponentials on the way


@costs(rounds="11*levels", bytes_per_item="48*classes")
def largest(s: Session, x: Ring, step: str = "largest") -> Ring:
    """The largest of x [classes, n] in each column: [n]; differences below 2**62."""
    level = 0
    while x.shape[0] > 1:
        half = x.shape[0] // 2
        a, b = x[:half], x[half : 2 * half]
        gap = b - a
        less = ring_bits(
            s, sign_bit(s, gap, f"{step}.{level}").reshape(1, -1), f"{step}.{level}.flag"
        )
        kept = a + gap - multiply(s, less[0].reshape(*gap.shape), gap, f"{step}.{level}.pick")
        x = join_elements([kept, x[2 * half :]])
        level += 1
    return x[0]


def reciprocal_series(classes: int) -> Coefficients:
    """1 / ((classes + 1 + (classes - 1) t) / 2) for t in [-1, 1], within 1e-8."""
    return _between(classes, False)


def logarithm_series(classes: int) -> Coefficients:
    """log((classes + 1 + (classes - 1) t) / 2) for t in [-1, 1], within 1e-8."""
    return _between(classes, True)


@lru_cache(maxsize=64)
def _between(classes: int, logarithm: bool) -> Coefficients:
    pole = (classes + 1) / (classes - 1)
    degree = math.ceil(math.log(1e8) / math.log(pole + math.sqrt(pole * pole - 1)))

    def of(t: NDArray[np.float64]) -> NDArray[np.float64]:
        x = (classes + 1 + (classes - 1) * t) / 2
        return np.log(x) if logarithm else 1 / x

    return _interpolated(of, degree)


def softmax(s: Session, x: Ring, fraction: int, step: str = "softmax") -> Ring:
    """exp(x) / sum of exp(x) over the classes, for x [classes, n]; `SHARE` fraction bits.

    A class 12 or more below the largest counts as 12 below: its share is off by at most 6e-6, the largest's by
    their sum.
    """
    parts, t, _ = _exponentials(s, x, fraction, step)
    over = chebyshev(s, t, reciprocal_series(x.shape[0]), 24, f"{step}.over")
    return product(s, parts, over.reshape(1, over.size), 24, f"{step}.share")


def log_sum(s: Session, x: Ring, fraction: int, step: str = "log-sum") -> tuple[Ring, Ring]:
    """(log of the sum of exp(x) over the classes, the largest x), for x [classes, n], ``fraction`` bits as x."""
    _, t, top = _exponentials(s, x, fraction, step)
    return chebyshev(s, t, logarithm_series(x.shape[0]), fraction, f"{step}.log") + top, top


def _exponentials(s: Session, x: Ring, fraction: int, step: str) -> tuple[Ring, Ring, Ring]:
    """(exp(x - largest) [classes, n], their sum as a place in [-1, 1] with `INNER` bits [n], largest [n])."""
    classes, count = x.shape
    top = largest(s, x, f"{step}.top")
    parts = exponential(s, x - top.reshape(1, count), fraction, SHARE, f"{step}.exp")
    factor = round(2 * (1 << INNER) / (classes - 1))
    place = truncate(s, parts.sum(axis=0).times(factor), SHARE, f"{step}.place")
    middle = s.public_ring(round((1 << INNER) * (classes + 1) / (classes - 1)))
    return parts, Ring(place.left - middle.left, place.right - middle.right), top


def reciprocal(s: Session, x: Ring, fraction: int, step: str = "reciprocal") -> tuple[Ring, Ring]:
    """(m, e) with 1 / x = m * e for a single x > 0 with ``fraction`` bits: m from 1 to 2 with `INNER`, e whole.

    x is from 2**-fraction to 1, and ``fraction`` at most `INNER`; e is a power of two, from 1 to 2**fraction.
    """
    power = power_below(s, x, fraction, 0, fraction, f"{step}.power")  # 2**-(e + 1), 1 or more
    half = multiply(s, x, power, f"{step}.half")  # in [1/2, 1) with ``fraction``
    t = half.times(4 << (INNER - fraction)) - s.public_ring(np.full(1, 3 << INNER, np.uint64))
    return chebyshev(s, t, half_series(), INNER, f"{step}.series"), power


@lru_cache(maxsize=1)
def half_series() -> Coefficients:
    """1 / x for x = (3 + t) / 4 in [1/2, 1]."""
    return _interpolated(lambda t: 4 / (3 + t), 12)


def _interpolated(of: Function, degree: int) -> Coefficients:
    fit: Any = series.chebinterpolate
    return tuple(fit(of, degree).tolist())


@costs(rounds="3+8*few+64*many", bytes_per_item="64*few+32*many+32")
def shrunk(s: Session, x: Ring, by: Ring, step: str = "shrunk") -> Ring:
    """x moved towards 0 by ``by`` >= 0, and 0 where it would pass it; both [n], below 2**61."""
    above, below = x - by, x + by
    signs = sign_bit(s, join_elements([-above, below]), f"{step}.sign")
    flags = ring_bits(s, signs.reshape(1, -1), f"{step}.flags")[0]
    moved = multiply(s, flags, join_elements([above, below]), f"{step}.moved")
    return moved[: x.size] + moved[x.size :]
