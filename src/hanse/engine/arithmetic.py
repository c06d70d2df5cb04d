"""Differences, products and shares of secret numbers on bit planes.

Reveals: nothing. Assumes: semi-honest seats, honest majority.
Source: ripple borrow with one AND a bit (the borrow is the majority of one digit inverted, the other, and the
borrow); products by carry-save addition of shifted numbers (Wallace 1964); restoring division.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hanse.engine.add import add_bits
from hanse.engine.boolean import and_, choose, mux_step
from hanse.engine.costs import costs
from hanse.engine.session import Session
from hanse.engine.shares import U64, Bits, join_planes, stack


@costs(rounds="bits", bytes_per_item="bits/8")
def subtract_bits(s: Session, x: Bits, y: Bits, step: str = "subtract") -> tuple[Bits, Bits]:
    """(x - y modulo 2**bits, 1 where x < y) for planes [bits, ..., words] of one shape, low bit first."""
    zero = np.zeros(x.shape[1:], np.uint64)
    borrow = Bits(zero, zero, x.rows)
    borrows = [borrow]
    for bit in range(x.shape[0]):
        borrow = mux_step(s, borrow, x[bit], y[bit], f"{step}.{bit}")
        borrows.append(borrow)
    return x ^ y ^ stack(borrows[:-1]), borrow


@costs(rounds="2*log2numbers+bits", bytes_per_item="numbers*bits/8")
def sum_planes(s: Session, numbers: Sequence[Bits], width: int, step: str = "sum") -> Bits:
    """The sum modulo 2**width of numbers [bits <= width, ..., words]: planes [width, ..., words].

    Three numbers become two with one AND a bit, until two are left. ``bits`` in the cost is the width.
    """
    level, left = 0, list(numbers)
    while len(left) > 2:
        third = len(left) // 3
        size = min(width, 1 + max(n.shape[0] for n in left))
        a, b, c = (
            stack([widened(n, size) for n in left[i * third : (i + 1) * third]]) for i in range(3)
        )
        majority = c ^ and_(s, a ^ c, b ^ c, f"{step}.{level}")
        ones = a ^ b ^ c
        rest = left[3 * third :]
        left = [ones[i] for i in range(third)]
        left += [raised(majority[i], 1, size) for i in range(third)]
        left += rest
        level += 1
    if len(left) == 1:
        return widened(left[0], width)
    size = min(width, max(n.shape[0] for n in left))
    total = add_bits(s, widened(left[0], size), widened(left[1], size), f"{step}.last")
    return widened(total, width)


@costs(rounds="1+2*log2other+bits", bytes_per_item="one*other/8+other*bits/8")
def multiply_bits(s: Session, x: Bits, y: Bits, step: str = "product") -> Bits:
    """x * y for planes [x bits, ..., words] and [y bits, ..., words] (axes between broadcast): all bits of it.

    In the cost x has ``one`` bits, y ``other``, the product ``bits``.
    """
    width = x.shape[0] + y.shape[0]
    parts = and_(s, x[None], y[:, None], f"{step}.parts")
    shifted = [raised(parts[i], i, width) for i in range(y.shape[0])]
    return sum_planes(s, shifted, width, f"{step}.sum")


@costs(rounds="fraction*bits+2*fraction+bits", bytes_per_item="2*fraction*bits/8+fraction/8+bits/8")
def divide_bits(s: Session, part: Bits, whole: Bits, fraction: int, step: str = "share") -> Bits:
    """floor(part * 2**fraction / whole) for part <= whole, whole > 0: planes [fraction + 1, ..., words].

    Both [bits, ..., words]. A part that is larger, or a whole of 0, gives some number of that width.
    """
    bits = whole.shape[0]
    digits = []
    rest = part
    for place in range(fraction + 1):
        if place:
            rest = raised(rest, 1, bits + 1)
        size = rest.shape[0]
        less, below = subtract_bits(s, rest, widened(whole, size), f"{step}.{place}")
        digits.append(s.invert(below))
        if place < fraction:
            # What is left is below the whole, so it has its width.
            rest = choose(s, below[None], rest[:bits], less[:bits], f"{step}.{place}.rest")
    return stack(digits[::-1])


def widened(x: Bits, bits: int) -> Bits:
    """Planes [bits, ..., words]: zeros on top, or the top cut off."""
    if x.shape[0] >= bits:
        return x[:bits]
    zero = np.zeros((bits - x.shape[0], *x.shape[1:]), np.uint64)
    return join_planes([x, Bits(zero, zero, x.rows)])


def raised(x: Bits, places: int, bits: int) -> Bits:
    """x * 2**places modulo 2**bits: planes [bits, ..., words]."""
    if not places:
        return widened(x, bits)
    zero: U64 = np.zeros((places, *x.shape[1:]), np.uint64)
    return widened(join_planes([Bits(zero, zero, x.rows), x]), bits)
