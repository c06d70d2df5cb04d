"""log(1 + exp(x)) on shares: what the log-loss of two classes wants.

Reveals: nothing. Assumes: semi-honest seats, honest majority. Source: Chebyshev series as in `engine.functions`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev as series

from hanse.engine.compare import ring_bits, sign_bit
from hanse.engine.costs import costs
from hanse.engine.fixed import truncate
from hanse.engine.functions import INNER, Coefficients, chebyshev
from hanse.engine.multiply import multiply
from hanse.engine.session import Session
from hanse.engine.shares import Ring

REACH = 12  # from here on log(1 + exp(-|x|)), 6e-6 and less, counts as its value here
DEGREE = 31  # sup error 1e-6


@lru_cache(maxsize=1)
def tail_series() -> Coefficients:
    """log(1 + exp(-6 (t + 1))) for t in [-1, 1]."""

    def tail(t: Any) -> Any:
        return np.log1p(np.exp(-REACH / 2 * (t + 1)))

    fit: Any = series.chebinterpolate
    return tuple(fit(tail, DEGREE).tolist())


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
