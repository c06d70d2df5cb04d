"""log(1 + exp(x)) and log of a sum of exponentials on shares: what a log-loss wants.

Reveals: nothing. Assumes: semi-honest seats, honest majority. Source: Chebyshev series as in `engine.functions`.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.polynomial import chebyshev as series
from numpy.typing import NDArray

from hanse.engine.compare import ring_bits, sign_bit
from hanse.engine.costs import costs
from hanse.engine.fixed import truncate
from hanse.engine.functions import INNER, Coefficients, chebyshev
from hanse.engine.multiply import multiply
from hanse.engine.session import Session
from hanse.engine.shares import Ring, join_elements

REACH = 12  # from here on log(1 + exp(-|x|)), 6e-6 and less, counts as its value here
DEGREE = 31  # sup error 1e-6


@lru_cache(maxsize=1)
def tail_series() -> Coefficients:
    """log(1 + exp(-6 (t + 1))) for t in [-1, 1]."""

    def tail(t: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.log1p(np.exp(-REACH / 2 * (t + 1))))

    return tuple(series.chebinterpolate(tail, DEGREE).tolist())


@costs(
    rounds="8*few+64*many+12+3*levels", bytes_per_item="32*few+16*many+16+32+32+24*products+16+16"
)
def softplus(s: Session, x: Ring, fraction: int, out: int, step: str = "softplus") -> Ring:
    """log(1 + exp(x)) of elements [n] with ``fraction`` bits; the result has ``out`` of them, error below 1e-5.

    It is max(x, 0) + log(1 + exp(-|x|)), of which the second is a series on [0, 12].
    """
    positive = s.invert(sign_bit(s, x, f"{step}.sign"))
    flag = ring_bits(s, positive.reshape(1, -1), f"{step}.flag")[0]
    above = multiply(s, flag, x, f"{step}.above")
    size = above.times(2) - x  # |x|
    over = s.public_ring(REACH << fraction)
    rest = over_limit(s, size, over, f"{step}.over")
    near = size - rest
    half = REACH // 2
    factor = round((1 << (2 * INNER - fraction)) / half)
    one = s.public_ring(np.full(x.size, 1 << INNER, np.uint64))
    t = truncate(s, near.times(factor), INNER, f"{step}.t") - one
    tail = chebyshev(s, t, tail_series(), out, f"{step}.tail")
    return (truncate(s, above, fraction - out, f"{step}.cut") if fraction > out else above) + tail


def over_limit(s: Session, x: Ring, limit: Ring, step: str) -> Ring:
    """max(x - limit, 0) of elements [n]."""
    more = x - limit
    inside = s.invert(sign_bit(s, more, f"{step}.sign"))
    flag = ring_bits(s, inside.reshape(1, -1), f"{step}.flag")[0]
    return multiply(s, flag, more, f"{step}.rest")


def log_sum_exp(s: Session, x: Ring, fraction: int, step: str = "log-sum-exp") -> Ring:
    """log(sum of exp(x)) over the first axis of x [classes, n], all with ``fraction`` bits.

    Two at a time: log(exp(a) + exp(b)) = b + softplus(a - b); an error below 1e-5 for each of log2 levels.
    """
    level = 0
    while x.shape[0] > 1:
        half = x.shape[0] // 2
        a, b = x[:half], x[half : 2 * half]
        difference = (a - b).reshape(a.size)
        folded = b + softplus(s, difference, fraction, fraction, f"{step}.{level}").reshape(
            *a.shape
        )
        x = join_elements([folded, x[2 * half :]]) if x.shape[0] % 2 else folded
        level += 1
    return x[0]
