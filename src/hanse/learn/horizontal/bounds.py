"""Whether each party's part is as small as it was declared to be, found on shares: one bit a party.

A part of up to 2,048 elements is checked itself: every element, and the exact norm. A longer one is checked in four
*sketches*: the seats draw, after all parts were handed in and committed to, for each element a bucket out of 1,024
and a sign, and add the elements up; that is linear, so each seat does it on its own part. A part passes if every
bucket is below twice the limit and each sketch's norm below sqrt(3) times.
Honest parts pass (a norm within the limit fails with probability below 2**-30, unless a handful of elements carry
it). A cheating party passes with an element of 4 times the limit or more with probability at most 2**-40: whatever
the others are, at most one bucket may be too large before the largest element falls, and it must fall there. Below
that no bucket wraps around (64-bit elements), a sketch's squared norm has the right mean and a variance of at most
2/1,024 of its square, so a norm of 4 times the limit passes each sketch with probability 2**-8.4 (Chebyshev)
and all four with 2**-33. For 32-bit elements the first bound holds and the second is not proved.
Reveals: nothing here; `gate.sums` opens one bit a party to the seats. Assumes: semi-honest seats, honest majority.
Source: Charikar, Chen, Farach-Colton 2002 (count sketch; its variance: Thorup and Zhang 2004); the idea of checking
norms of secret updates by random projections: Zhu et al. 2023, "RiseFL".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hanse.engine.compare import RIPPLE_ROWS, ring_bits, sign_bit
from hanse.engine.fixed import truncate
from hanse.engine.masks import Stream
from hanse.engine.multiply import dot, reshare
from hanse.engine.session import Session
from hanse.engine.shares import U64, Bits, Ring, join_elements
from hanse.gate.sums import Terms, Words

DIRECT = 2048  # elements: up to here they are checked themselves
SKETCHES = 4
BUCKETS = 1024
_NARROW = 25  # bits of an element before it is squared
F = TypeVar("F", bound=Callable[..., Any])


def _compiled(function: F) -> F:
    compiled: Any = njit(cache=True, nogil=True, boundscheck=False)(function)
    return cast("F", compiled)


@_compiled
def _sketch(part: NDArray[Any], chance: U64, lift: int, out: U64) -> None:
    """out[4, 1024] += part, each element under four signs in four buckets: 16 bits of chance a time."""
    for i in range(part.size):
        word = chance[i]
        value = np.uint64(part[i]) << np.uint64(lift)
        for k in range(4):
            bits = word >> np.uint64(16 * k)
            bucket = np.int64(bits & np.uint64(1023))
            if bits & np.uint64(1 << 15):
                out[k, bucket] -= value
            else:
                out[k, bucket] += value


_AT_ONCE = 1 << 17


def rows_of(parts: list[Words], terms: Terms, coin: bytes) -> U64:
    """[parties, sketches, buckets] of one seat's parts [length] each; elements are lifted to the top of 64 bits."""
    lift = 64 - terms.width
    if terms.length <= DIRECT:
        lifted = [part.astype(np.uint64) << np.uint64(lift) for part in parts]
        return np.stack(lifted)[:, None, :]
    out = np.zeros((len(parts), SKETCHES, BUCKETS), np.uint64)
    stream = Stream(coin)
    for first in range(0, terms.length, _AT_ONCE):
        chance = stream.take(min(_AT_ONCE, terms.length - first))
        for number, part in enumerate(parts):
            _sketch(part[first : first + _AT_ONCE], chance, lift, out[number])
    return out


def beyond(s: Session, parts: list[Words], terms: Terms, coin: bytes) -> Bits:
    """A plane with one bit a party: 1 if its part breaks the declared bound. About 26 rounds."""
    lift = 64 - terms.width
    direct = terms.length <= DIRECT
    rows = rows_of(parts, terms, coin)
    parties, sketches, buckets = rows.shape
    flat = rows.reshape(-1)
    z = flat + s.left.take(flat.size) - s.right.take(flat.size)
    x = reshare(s, z, "parts")
    most = (terms.limit if direct else 2 * terms.limit) + 1
    shift = lift + max(0, most.bit_length() - _NARROW)
    small = truncate(s, x, shift, "narrow") if shift else x
    small = small.reshape(parties * sketches, buckets)
    norms = dot(s, small, small, "norms")
    edge = s.public_ring(np.full(x.size, most << lift, np.uint64))
    allowed = _allowed(terms, shift - lift, buckets, direct)
    ceiling = s.public_ring(np.full(norms.size, allowed, np.uint64))
    signs = join_elements([x + edge, edge - x, ceiling - norms])
    broken = _signs(s, signs, "broken")
    every = parties * sketches * buckets
    found = broken[: 2 * every].reshape(2, parties, sketches * buckets).sum(axis=2).sum(axis=0)
    found = found + broken[2 * every :].reshape(parties, sketches).sum(axis=1)
    return sign_bit(s, -found, "any")


def _allowed(terms: Terms, shift: int, buckets: int, direct: bool) -> int:
    """The largest squared norm of a row after ``shift`` bits were cut off, each element off by one at most."""
    limit = (terms.limit >> shift) + 1
    squared = limit * limit if direct else 3 * limit * limit
    return squared if shift == 0 else squared + 4 * limit * math.isqrt(buckets) + buckets


def _signs(s: Session, x: Ring, step: str) -> Ring:
    """The sign bits of elements [n] as ring elements; in portions that take few rounds."""
    portions = []
    for first in range(0, x.size, RIPPLE_ROWS - 64):
        part = x[first : first + RIPPLE_ROWS - 64]
        bits = sign_bit(s, part, f"{step}.{first}")
        portions.append(ring_bits(s, bits.reshape(1, -1), f"{step}.{first}.ring")[0])
    return join_elements(portions)
