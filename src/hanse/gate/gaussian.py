"""Discrete Gaussian noise for vectors, and what it buys: zero-concentrated privacy, shown as (epsilon, delta).

P(x) is proportional to exp(-x**2 / (2 sigma**2)) on the integers. The law is right to about 2**-50 (coins compare
53 random bits with a double). Two independent draws add up to a discrete Gaussian of the summed variance within a
relative error of 10 exp(-pi**2 sigma**2), nothing at the sizes used here.
Source: Canonne, Kamath, Steinke 2020, "The Discrete Gaussian for Differential Privacy" (sampler: algorithms 1, 3;
conversion: proposition 12); Kairouz, Liu, Steinke 2021, "The Distributed Discrete Gaussian Mechanism" (sums).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hanse.engine.masks import Stream
from hanse.errors import Fault

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]
_LEAST_SIGMA, _MOST_SIGMA = 4.0, 2.0**55
_AT_ONCE = 1 << 18


def discrete_gaussian(stream: Stream, sigma: float, count: int) -> I64:
    """``count`` independent draws [count] of standard deviation ``sigma`` (4 to 2**55)."""
    if not _LEAST_SIGMA <= sigma <= _MOST_SIGMA:
        raise Fault("gate.noise", f"noise of deviation {sigma:g} cannot be drawn")
    out = np.empty(count, np.int64)
    done = 0
    while done < count:
        found = _accepted(stream, sigma, min(_AT_ONCE, 2 * (count - done) + 64))
        size = min(found.size, count - done)
        out[done : done + size] = found[:size]
        done += size
    return out


def _accepted(stream: Stream, sigma: float, tries: int) -> I64:
    """Draws from a discrete Laplace law of scale t, those kept that make the law Gaussian.

    t is the power of two next to sigma: a uniform number below it is then a whole number of bits.
    """
    exponent = max(1, round(math.log2(sigma)))
    t = 1 << exponent
    low = (stream.take(tries) >> np.uint64(64 - exponent)).astype(np.int64)
    low = low[_coins(stream, low.size) < np.exp(-low / t)]
    high = np.floor(-np.log(1 - _coins(stream, low.size))).astype(np.int64)  # P(high >= k) = e**-k
    size = low + t * high
    negative = (stream.take(size.size) & np.uint64(1)).astype(np.bool_)
    kept = ~(negative & (size == 0))
    size, negative = size[kept], negative[kept]
    kept = _coins(stream, size.size) < np.exp(-(((size - sigma**2 / t) / sigma) ** 2) / 2)
    return np.asarray(np.where(negative, -size, size)[kept])


def _coins(stream: Stream, count: int) -> F64:
    """Uniform numbers [count] in [0, 1) of 53 bits."""
    return np.asarray((stream.take(count) >> np.uint64(11)) * 2.0**-53)


def zcdp_of(multiplier: float) -> float:
    """rho of one sum whose noise is ``multiplier`` times the norm bound, for one party's whole part changing.

    A change moves the sum by at most twice the bound: rho = 2**2 / (2 multiplier**2).
    """
    return 2.0 / multiplier**2


def epsilon_of(rho: float, delta: float) -> float:
    """The smallest epsilon for which rho-zCDP implies (epsilon, delta); rho adds up over sums."""
    if rho <= 0:
        return 0.0
    if not 0 < delta < 1:
        raise Fault("gate.delta", "delta must lie between 0 and 1")
    best = math.inf
    start = 1 + math.sqrt(math.log(1 / delta) / rho)
    for alpha in 1 + (start - 1) * np.geomspace(0.01, 100, 4001):
        below = math.log(1 / delta) + (alpha - 1) * math.log1p(-1 / alpha) - math.log(alpha)
        best = min(best, rho * alpha + below / (alpha - 1))
    return max(0.0, float(best))
