"""Whether each party's part is as small as it was declared to be, found on shares: one bit a party.

A part of up to 768 elements is checked itself: every element, and the exact norm. A longer one is checked in six
*sketches*: the seats draw, after all parts were handed in and committed to, for each element a bucket out of
128 and a sign, and add the elements up; that is linear, so each seat does it on its own part. A part passes if
every bucket is below twice the limit and each sketch's norm below sqrt(3) times. Honest parts pass (a norm
within the limit fails with probability below 2**-60, unless three or four elements carry nearly all of it). A
cheating party passes with an element of 4 times the limit or more with probability at most 2**-42: whatever the
others are, at most one bucket may be too large before the largest element falls, and it must fall there. Below
that no bucket wraps around (64-bit elements), a sketch's squared norm has the right mean and a variance of at
most 2/128 of its square, so a norm of 4 times the limit passes each sketch with probability 2**-5.4 (Chebyshev)
and all six with 2**-32. For 32-bit elements the first bound holds and the second is not proved.
Reveals: nothing here; `gate.sums` opens one bit a party to the seats. Assumes: semi-honest seats, honest majority.
Source: Charikar, Chen, Farach-Colton 2002 (count sketch; its variance: Thorup and Zhang 2004); checking norms of
secret updates by random projections: Zhu et al. 2023, "RiseFL".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hanse.engine.boolean import any_plane, or_
from hanse.engine.compare import sign_bit
from hanse.engine.fixed import truncate
from hanse.engine.masks import Stream
from hanse.engine.multiply import dot, reshare
from hanse.engine.session import Session
from hanse.engine.shares import U64, Bits, Ring
from hanse.gate.sums import Terms, Words

SKETCHES = 6
BUCKETS = 128
DIRECT = SKETCHES * BUCKETS  # elements: up to here they are checked themselves
_NARROW = 25  # bits of an element before it is squared
_LANES = 64
F = TypeVar("F", bound=Callable[..., Any])


def _compiled(function: F) -> F:
    compiled: Any = njit(cache=True, nogil=True, boundscheck=False)(function)
    return cast("F", compiled)


@_compiled
def _sketch(part: NDArray[Any], chance: U64, lift: int, out: U64) -> None:
    """out[6, 128] += part, each element under six signs in six buckets: 8 bits of chance a time."""
    for i in range(part.size):
        word = chance[i]
        value = np.uint64(part[i]) << np.uint64(lift)
        for k in range(6):
            bits = word >> np.uint64(8 * k)
            bucket = np.int64(bits & np.uint64(127))
            if bits & np.uint64(128):
                out[k, bucket] -= value
            else:
                out[k, bucket] += value


_AT_ONCE = 1 << 15


class Rows:
    """One seat's parts, added up and sketched one after another: a part itself need not be kept.

    ``total`` [length] is the sum; ``sketches`` [parties, sketches, buckets] are lifted to the top of 64 bits.
    """

    def __init__(self, terms: Terms, coin: bytes) -> None:
        self.total = np.zeros(terms.length, terms.dtype)
        self._terms = terms
        self._coin = coin
        self._lift = 64 - terms.width
        self._found: list[U64] = []

    def add(self, portions: Iterable[tuple[slice, Words]]) -> None:
        """A party's part, in portions of at most 32,768 elements in order."""
        direct = self._terms.length <= DIRECT
        out = np.zeros((1, self._terms.length) if direct else (SKETCHES, BUCKETS), np.uint64)
        stream = Stream(self._coin)
        for where, part in portions:
            self.total[where] += part
            if direct:
                out[0, where] = part.astype(np.uint64) << np.uint64(self._lift)
            else:
                _sketch(part, stream.take(part.size), self._lift, out)
        self._found.append(out)

    @property
    def sketches(self) -> U64:
        return np.stack(self._found)


def beyond(s: Session, rows: U64, terms: Terms) -> Bits:
    """Words [parties] whose lowest bit is 1 if the party's part breaks the declared bound. About 25 rounds."""
    lift = 64 - terms.width
    direct = terms.length <= DIRECT
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
    signs = [part.reshape(parties, -1) for part in (x + edge, edge - x, ceiling - norms)]
    return _any_negative(s, _beside(signs))


def _beside(parts: list[Ring]) -> Ring:
    """Columns of [parties, n] side by side, with zeros up to a whole number of words."""
    width = sum(part.shape[1] for part in parts)
    spare = np.zeros((parts[0].shape[0], -width % _LANES), np.uint64)
    left = np.concatenate([*(part.left for part in parts), spare], axis=1)
    right = np.concatenate([*(part.right for part in parts), spare], axis=1)
    return Ring(left, right)


def _any_negative(s: Session, x: Ring) -> Bits:
    """Words [parties]: the lowest bit is 1 if any of a party's elements [parties, n] is negative."""
    parties, width = x.shape
    plane = sign_bit(s, x, "signs")
    left, right = (_by_word(part, parties, width // _LANES) for part in (plane.left, plane.right))
    by_word = Bits(left, right, _LANES)
    folded = any_plane(s, by_word, "words")
    for shift in (32, 16, 8, 4, 2, 1):
        move = np.uint64(shift)
        moved = Bits(folded.left >> move, folded.right >> move, _LANES)
        folded = or_(s, folded, moved, f"lanes.{shift}")
    lowest = np.uint64(1)
    return Bits(folded.left & lowest, folded.right & lowest, _LANES)


def _by_word(plane: U64, parties: int, words: int) -> U64:
    return np.ascontiguousarray(plane.reshape(parties, words).T)


def _allowed(terms: Terms, shift: int, buckets: int, direct: bool) -> int:
    """The largest squared norm of a row after ``shift`` bits were cut off, each element off by one at most."""
    limit = (terms.limit >> shift) + 1
    squared = limit * limit if direct else 3 * limit * limit
    return squared if shift == 0 else squared + 4 * limit * math.isqrt(buckets) + buckets
