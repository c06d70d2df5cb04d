"""Fixed-point numbers on ring elements: scaling, and truncation that is right to the last place.

A real x is round(x * 2**f). After a product the scale doubles; `truncate` divides by 2**f with at most one
unit in the last place, unbiased, for all |x| < 2**62. (Truncating each component by itself, as ABY3 and
SecureML do, fails with probability |x| / 2**64 and then by 2**(64-f); it is not offered.)
Reveals: nothing (the two seats that open x + r see a value masked by a uniform r). Assumes: semi-honest
seats, honest majority. Source: Dalskov, Escudero, Keller 2020, "Secure Evaluation of Quantized Neural
Networks", section 4; Escudero et al. 2020, "Improved Primitives for MPC over Mixed Arithmetic-Binary
Circuits", section 5.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hanse.engine.costs import costs
from hanse.engine.masks import Stream
from hanse.engine.session import Session
from hanse.engine.shares import U64, Ring
from hanse.errors import Fault

_HALF = np.uint64(1 << 62)
_LOW63 = np.uint64((1 << 63) - 1)


def encode(values: NDArray[np.float64], fraction_bits: int) -> U64:
    """round(x * 2**f) in two's complement; `Fault` outside the range that truncation can hold."""
    scaled = np.rint(np.asarray(values, np.float64) * float(1 << fraction_bits))
    if not np.isfinite(scaled).all() or np.abs(scaled).max(initial=0.0) >= 2.0**62:
        raise Fault("fixed.range", f"a value does not fit {62 - fraction_bits} integer bits")
    return scaled.astype(np.int64).view(np.uint64)


def decode(elements: U64, fraction_bits: int) -> NDArray[np.float64]:
    """The real numbers that opened elements stand for."""
    return np.ascontiguousarray(elements).view(np.int64) / float(1 << fraction_bits)


@costs(rounds=2, bytes_per_item=16)
def truncate(s: Session, x: Ring, bits: int, step: str = "truncate") -> Ring:
    """x / 2**bits, rounded down or up at random with the right mean; |x| < 2**62.

    Seat 2 knows a uniform r and deals two-party shares of (r mod 2**63) >> bits and of r's top bit to seats
    0 and 1, who open c = x + 2**62 + r to each other (seat 2, who knows r, never sees c). As
    0 <= x + 2**62 < 2**63, the carry into the top is top(c) xor top(r), linear in top(r) for a known c:
    (x + 2**62) >> bits = ((c mod 2**63) >> bits) + carry * 2**(63-bits) - ((r mod 2**63) >> bits).
    Their two parts of the result are then reshared among three.
    """
    if not 1 <= bits <= 61:
        raise Fault("fixed.truncate", f"cannot truncate by {bits} bits")
    shape, count = x.shape, x.size
    s.meter.rounds += 2

    def draw(stream: Stream, *leading: int) -> U64:
        return stream.take(count * int(np.prod(leading))).reshape(*leading, *shape)

    if s.seat == 2:  # left stream: with seat 1; right stream: with seat 0
        r = draw(s.left) + draw(s.right)
        dealt = np.stack([(r & _LOW63) >> np.uint64(bits), r >> np.uint64(63)]) - draw(s.left, 2)
        s.send(0, f"{step}.deal", dealt)
        return Ring(draw(s.left), draw(s.right))
    other = 1 - s.seat
    if s.seat == 0:  # holds c0 + c1 of x
        mine = x.left + x.right + draw(s.left)
        stream = s.left
    else:  # holds c2 of x
        mine = x.right + draw(s.right)
        hidden = draw(s.right, 2)
        stream = s.right
    s.send(other, f"{step}.open", mine)
    if s.seat == 0:
        hidden = s.receive(2, f"{step}.deal", (2, *shape))
    c = mine + s.receive(other, f"{step}.open", shape) + _HALF
    low, top = hidden[0], hidden[1]
    c_top = c >> np.uint64(63)
    part = (np.uint64(1) - np.uint64(2) * c_top) * top
    if s.seat == 0:
        part += c_top
    part = (part << np.uint64(63 - bits)) - low
    if s.seat == 0:
        part += ((c & _LOW63) >> np.uint64(bits)) - (_HALF >> np.uint64(bits))
    kept = draw(stream)  # component 0 at seats 0 and 2, component 2 at seats 1 and 2
    rest = part - kept
    s.send(other, f"{step}.rest", rest)
    middle = rest + s.receive(other, f"{step}.rest", shape)
    return Ring(kept, middle) if s.seat == 0 else Ring(middle, kept)
