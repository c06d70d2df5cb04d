"""Discrete noise that no seat knows, sampled on shares; and counts of dummies that two seats know.

`geometric_difference`: the binary digits of a geometric variable are independent coins with
P(digit j = 1) = 1 / (1 + exp(2**j * eps)), so a two-sided geometric (discrete Laplace) value is the difference
of two rows of biased coins, each coin a comparison of 64 random bits with a public constant.
Reveals: nothing. Assumes: semi-honest seats, honest majority. The law is exact up to 2**-58.
Source: Dwork et al. 2006, "Our Data, Ourselves", section 4; Champion, shelat, Ullman 2019, section 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context, Decimal, localcontext
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hanse.engine.compare import combine, ring_bits
from hanse.engine.masks import Stream
from hanse.engine.session import Session
from hanse.engine.shares import U64, Bits, Ring, join_elements, words_for
from hanse.errors import Fault

_PRECISION = Context(prec=60)
_WAVE_COINS = 1 << 19  # at once: more do not fit a cache, and take gigabytes
_TAIL = Decimal("41")  # exp(-41) < 2**-58


def digits_for(epsilon: float) -> int:
    """Binary digits of the geometric variable, so that what is cut off has mass below 2**-58."""
    if not 2**-45 <= epsilon <= 64:
        raise Fault("noise.epsilon", f"epsilon {epsilon} is outside 2**-45..64")
    digits = 1
    while Decimal(epsilon) * (1 << digits) < _TAIL:
        digits += 1
    return digits


@lru_cache(maxsize=64)
def coin_thresholds(epsilon: float) -> tuple[int, ...]:
    """floor(2**64 * P(digit j = 1)) for each digit, low first."""
    with localcontext(_PRECISION):
        two64 = Decimal(1 << 64)
        out = []
        for j in range(digits_for(epsilon)):
            p = 1 / (1 + (Decimal(epsilon) * (1 << j)).exp())
            out.append(int((p * two64).to_integral_value(ROUND_FLOOR)))
    return tuple(out)


def geometric_difference(s: Session, epsilon: float, cells: int, step: str = "noise") -> Ring:
    """``cells`` independent draws with P(x) proportional to exp(-epsilon * |x|).

    About 125 ANDs a coin, 2 * digits coins a cell; 7 rounds and two for the conversion, for each wave of cells.
    """
    thresholds = coin_thresholds(epsilon)
    wave = _WAVE_COINS // (2 * len(thresholds))
    if cells <= wave:
        return _drawn(s, thresholds, cells, step)
    firsts = range(0, cells, wave)
    return join_elements(
        [_drawn(s, thresholds, min(wave, cells - first), f"{step}.{first}") for first in firsts]
    )


def _drawn(s: Session, thresholds: tuple[int, ...], cells: int, step: str) -> Ring:
    digits = len(thresholds)
    coins = 2 * digits * cells
    random = s.random_bits(64, rows=coins)
    below = _public_planes(np.tile(np.array(thresholds, np.uint64), 2 * cells), coins)
    bits = less_than_public(s, random, below, step)
    ones = ring_bits(s, bits, f"{step}.ring").reshape(cells, 2, digits)
    powers = np.array([1 << j for j in range(digits)], np.uint64)
    values = ones.times(powers).sum(axis=2)
    return values[:, 0] - values[:, 1]


def _public_planes(values: U64, rows: int) -> U64:
    out = np.zeros((64, words_for(rows)), np.uint64)
    octets = np.ascontiguousarray(values).view(np.uint8).reshape(rows, 8)
    bits = np.unpackbits(octets, axis=1, bitorder="little")  # [rows, 64]
    padded = np.zeros((64, out.shape[1] * 64), np.uint8)
    padded[:, :rows] = bits.T
    out[:] = np.packbits(padded, axis=1, bitorder="little").view(np.uint64)
    return out


def less_than_public(s: Session, x: Bits, constant: U64, step: str) -> Bits:
    """x < constant, rowwise, for planes [64, words] and public planes of the same shape."""
    inverted = s.invert(x)
    less = Bits(inverted.left & constant, inverted.right & constant, x.rows)
    flip = s.public_bits(~constant, x.rows)
    return combine(s, less, x ^ flip, step)


@dataclass(frozen=True)
class ShiftedLaplace:
    """Numbers of dummies: shift + discrete Laplace, cut to 0..2*shift (so never negative).

    ``shift`` is the smallest for which the two cut-off tails have mass at most ``delta`` each:
    then adding the number to a count makes the pair (count) epsilon, delta private for a change by one.
    """

    epsilon: float
    shift: int
    thresholds: tuple[int, ...]  # cumulative, in units of 2**-64

    @staticmethod
    @lru_cache(maxsize=64)
    def for_privacy(epsilon: float, delta: float) -> ShiftedLaplace:
        """The law for one count that one person changes by at most one."""
        if not 0 < delta < 1 or not 1e-4 <= epsilon <= 10:
            raise Fault("noise.padding", "padding needs 1e-4 <= epsilon <= 10 and 0 < delta < 1")
        with localcontext(_PRECISION):
            ratio = (-Decimal(epsilon)).exp()
            shift = _smallest_shift(ratio, Decimal(delta))
            half = [Decimal(1)]
            for _ in range(shift):
                half.append(half[-1] * ratio)
            weights = [*reversed(half), *half[1:]]
            mass = sum(weights, Decimal(0))
            total, out = Decimal(0), []
            for weight in weights[:-1]:
                total += weight
                out.append(int((total / mass * (1 << 64)).to_integral_value(ROUND_FLOOR)))
        return ShiftedLaplace(epsilon, shift, tuple(out))

    def probabilities(self) -> NDArray[np.float64]:
        """The law itself, for tests and reports: P(n) for n = 0 .. 2*shift."""
        edges = np.array([0, *self.thresholds, 1 << 64], dtype=object)
        return np.array([float(b - a) / 2.0**64 for a, b in pairwise(edges)])

    def draw(self, stream: Stream, count: int) -> NDArray[np.int64]:
        """``count`` numbers from a stream that two seats share (both draw the same)."""
        table = np.array(self.thresholds, np.uint64)
        return np.searchsorted(table, stream.take(count), side="right").astype(np.int64)


def _smallest_shift(ratio: Decimal, delta: Decimal) -> int:
    """The smallest s with ratio**s / (1 + 2 * (ratio + ... + ratio**s)) <= delta."""

    def tail(shift: int) -> Decimal:
        power = ratio**shift
        return power / (1 + 2 * ratio * (1 - power) / (1 - ratio))

    low, high = (
        0,
        1,
    )  # tail(low) > delta >= tail(high), once high is found; tail falls with the shift
    while tail(high) > delta:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if tail(middle) > delta else (low, middle)
    return high
