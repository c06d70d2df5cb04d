"""Comparison and addition on bit planes, and less-than on ring elements.

Reveals: nothing. Assumes: semi-honest seats, honest majority.
Source: ripple and parallel-prefix circuits as in Mohassel and Rindal 2018 ("ABY3", section 5.3); the most
significant bit of a ring element is found by adding (c0 + c1), known to one seat, and c2 on bits.

Two shapes of the same circuit: a ripple has one AND per bit and as many rounds as bits, a tree has about
three ANDs per bit and log2 rounds. Many rows want the ripple (bytes count), few rows the tree (rounds count).
"""

from __future__ import annotations

import numpy as np

from hanse.engine import kernels
from hanse.engine.boolean import all_planes, and_, mux_step
from hanse.engine.costs import costs
from hanse.engine.multiply import multiply
from hanse.engine.session import Session
from hanse.engine.shares import U64, Bits, Ring, join_planes, words_for
from hanse.engine.slicing import planes_of

RIPPLE_ROWS = 1 << 15  # from here on a round's message is large enough to hide the round trip


@costs(rounds="few+few*log2bits+many*bits", bytes_per_item="few*3*bits/8+many*bits/8")
def less_than_bits(s: Session, x: Bits, y: Bits, step: str = "less-than") -> Bits:
    """x < y for unsigned planes [bits, ..., words], low bit first; one plane [..., words]."""
    if x.rows * max(1, x.planes // x.shape[0]) >= RIPPLE_ROWS:
        return ripple_less_than(s, x, y, step)
    return tree_less_than(s, x, y, step)


@costs(rounds="bits", bytes_per_item="bits/8")
def ripple_less_than(s: Session, x: Bits, y: Bits, step: str = "ripple") -> Bits:
    """x < y: from the low bit up, where the bits differ y's bit decides."""
    zero = np.zeros(x.shape[1:], np.uint64)
    result = Bits(zero, zero, x.rows)
    for bit in range(x.shape[0]):
        result = mux_step(s, result, x[bit], y[bit], f"{step}.{bit}")
    return result


@costs(rounds="1+log2bits", bytes_per_item="3*bits/8")
def tree_less_than(s: Session, x: Bits, y: Bits, step: str = "tree") -> Bits:
    """x < y in 1 + log2(bits) rounds: (less, equal) of neighbouring digits combine."""
    less = and_(s, s.invert(x), y, f"{step}.digit")
    equal = s.invert(x ^ y)
    return combine(s, less, equal, step)


@costs(rounds="log2bits", bytes_per_item="2*bits/8")
def combine(s: Session, less: Bits, equal: Bits, step: str) -> Bits:
    """Fold digits (low first) of (less, equal) to the less bit of the whole number.

    Also the carry of an adder, with less = generate and equal = propagate.
    """
    level = 0
    while less.shape[0] > 1:
        count = less.shape[0]
        odd = count % 2
        low, high = slice(odd, count, 2), slice(odd + 1, count, 2)
        # The lowest digit that is left over stays in front: it has nothing below it.
        factors = join_planes([less[low], equal[low]])
        top = equal[high]
        products = and_(s, factors, join_planes([top, top]), f"{step}.{level}")
        half = (count - odd) // 2
        new_less = less[high] ^ products[:half]
        new_equal = products[half:]
        less = join_planes([less[:odd], new_less]) if odd else new_less
        equal = join_planes([equal[:odd], new_equal]) if odd else new_equal
        level += 1
    return less[0]


@costs(rounds="log2bits", bytes_per_item="bits/8")
def equal_bits(s: Session, x: Bits, y: Bits, step: str = "equal") -> Bits:
    """x == y for planes [bits, ..., words]."""
    return all_planes(s, s.invert(x ^ y), step)


@costs(rounds="bits", bytes_per_item="bits/8")
def add_public(s: Session, x: Bits, constant: int, step: str = "add-public") -> Bits:
    """x + constant on planes [bits, ..., words], modulo 2**bits. Ripple; zero low bits are free.

    For a public bit 1 the carry becomes x | c, for 0 it becomes x & c: one AND either way.
    """
    ones = s.public_bits(np.full(x.shape[1:], ~np.uint64(0)), x.rows)
    carry: Bits | None = None
    out: list[Bits] = []
    for bit in range(x.shape[0]):
        digit = x[bit]
        set_bit = bool(constant >> bit & 1)
        last = bit == x.shape[0] - 1
        if carry is None:
            out.append(digit ^ ones if set_bit else digit)
            carry = digit if set_bit else None
            continue
        total = digit ^ carry
        out.append(total ^ ones if set_bit else total)
        if last:
            break
        both = and_(s, digit, carry, f"{step}.{bit}")
        carry = total ^ both if set_bit else both
    result_left = np.stack([b.left for b in out])
    result_right = np.stack([b.right for b in out])
    return Bits(result_left, result_right, x.rows)


def _input_halves(s: Session, x: Ring, step: str) -> tuple[Bits, Bits]:
    """x = a + b with a = c0 + c1 entered by seat 0 and b = c2 held by seats 1 and 2, as planes [64, words]."""
    flat_left, flat_right = x.left.reshape(-1), x.right.reshape(-1)
    shape = (64, words_for(x.size))
    a_planes: U64 | None = None
    if s.seat == 0:
        a_planes = planes_of(flat_left + flat_right, 64)
    a = Bits(*s.input_from(0, f"{step}.input", a_planes, shape, xor=True), x.size)
    known: U64 | None = None
    if s.seat == 1:
        known = planes_of(flat_right, 64)
    elif s.seat == 2:
        known = planes_of(flat_left, 64)
    b = Bits(*s.component(2, known, shape), x.size)
    return a, b


@costs(rounds="8*few+64*many", bytes_per_item="32*few+16*many")
def sign_bit(s: Session, x: Ring, step: str = "sign") -> Bits:
    """The most significant bit of each element (1 = negative), one plane over the flattened elements."""
    a, b = _input_halves(s, x, step)
    if x.size >= RIPPLE_ROWS:
        zero = np.zeros(a.shape[1:], np.uint64)
        carry = Bits(zero, zero, x.size)
        not_a = s.invert(a)  # where a == b the carry becomes b: mux_step wants "differs"
        for bit in range(63):
            carry = mux_step(s, carry, not_a[bit], b[bit], f"{step}.{bit}")
    else:
        generate = and_(s, a[:63], b[:63], f"{step}.generate")
        carry = combine(s, generate, a[:63] ^ b[:63], f"{step}.carry")
    return a[63] ^ b[63] ^ carry


@costs(rounds=64, bytes_per_item=16)
def bits_of(s: Session, x: Ring, step: str = "bits") -> Bits:
    """All 64 bits of each element as planes [64, words] (arithmetic to boolean). Ripple adder, 64 rounds."""
    a, b = _input_halves(s, x, step)
    total = a ^ b
    zero = np.zeros(a.shape[1:], np.uint64)
    carry = Bits(zero, zero, x.size)
    not_a = s.invert(a)
    carries = [carry]
    for bit in range(63):
        carry = mux_step(s, carry, not_a[bit], b[bit], f"{step}.{bit}")
        carries.append(carry)
    left = np.stack([c.left for c in carries])
    right = np.stack([c.right for c in carries])
    return total ^ Bits(left, right, x.size)


@costs(rounds="8*few+64*many", bytes_per_item="32*few+16*many")
def less_than(s: Session, x: Ring, y: Ring, step: str = "less") -> Bits:
    """x < y for signed elements whose difference lies within 2**63; one plane over the flattened elements."""
    return sign_bit(s, x - y, step)


@costs(rounds=2, bytes_per_item=8)
def ring_bits(s: Session, x: Bits, step: str = "ring") -> Ring:
    """Bits as ring elements 0 or 1 (boolean to arithmetic), shape [*leading, rows]. Two rounds.

    b = u ^ v = u + v - 2uv with u = c0 ^ c1, which seat 0 knows, and v = c2, which seats 1 and 2 know. Seat 0
    splits u in r (drawn with seat 1) and u - r (sent to seat 2); then seats 1 and 2 hold r (1 - 2v) + v and
    (u - r) (1 - 2v), which add up to b. Masked with the new components c1 and c0 they make up c2.
    """
    shape = (*x.shape[:-1], x.rows)
    size = int(np.prod(shape))
    s.meter.rounds += 2
    if s.seat == 0:
        rest = _unpacked(x.left ^ x.right, x.rows).reshape(-1)
        rest -= s.right.take(size)
        s.send(s.left_seat, f"{step}.input", rest)
        return Ring(s.left.take(size).reshape(shape), s.right.take(size).reshape(shape))
    if s.seat == 1:
        part = s.left.take(size)
        kept = s.left.take(size)
        kernels.flip(_rows(x.right), part.reshape(x.planes, x.rows), 1)
        to, of = s.right_seat, "a"
    else:
        part = np.array(s.receive(s.right_seat, f"{step}.input", (size,)))
        kept = s.right.take(size)
        kernels.flip(_rows(x.left), part.reshape(x.planes, x.rows), 0)
        to, of = s.left_seat, "b"
    part -= kept
    s.send(to, f"{step}.{of}", part)
    other = s.receive(to, f"{step}.{'b' if of == 'a' else 'a'}", (size,))
    total = (part + other).reshape(shape)
    kept = kept.reshape(shape)
    return Ring(kept, total) if s.seat == 1 else Ring(total, kept)


def _rows(planes: U64) -> U64:
    """Planes [*leading, words] as [planes, words]."""
    return np.ascontiguousarray(planes).reshape(int(np.prod(planes.shape[:-1])), planes.shape[-1])


def _unpacked(planes: U64, rows: int) -> U64:
    """Planes [*leading, words] as 0/1 words [*leading, rows]."""
    flat = _rows(planes)
    out = np.empty((flat.shape[0], rows), np.uint64)
    kernels.unpack(flat, rows, out)
    return out.reshape(*planes.shape[:-1], rows)


@costs(rounds=1, bytes_per_item=8)
def select(s: Session, condition: Ring, yes: Ring, no: Ring, step: str = "select") -> Ring:
    """``yes`` where the 0/1 element is 1, else ``no``; one product."""
    return no + multiply(s, condition, yes - no, step)
