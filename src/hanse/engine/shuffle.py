"""Secret shuffle: rows in an order that no seat knows, and back.

Three permutations, each known to one pair of seats, so every seat misses one. Two seats hold the table as two
masked halves and pass them around; the third is never sent anything. XOR-shared words and ring elements move
alike, each with its own masks: by XOR, or by plus and minus.
Reveals: nothing (every message is masked by a stream its reader does not hold). Assumes: semi-honest seats,
honest majority. Source: Asharov, Hamada, Ikarashi, Kikuchi, Nof, Pinkas, Takahashi, Tomida, "Efficient
Secure Three-Party Sorting with Applications to Data Analysis and Heavy Hitters", CCS 2022, section 3
(the shuffle of Araki et al., "Secure Graph Analysis at Scale", CCS 2021, with seed-derived masks).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hanse.engine import kernels
from hanse.engine.costs import costs
from hanse.engine.masks import Stream
from hanse.engine.session import Session
from hanse.engine.shares import SEATS, U64, Ring, Silent, Words
from hanse.errors import Fault

Order = NDArray[np.uint32]
Table = TypeVar("Table", Words, Ring)  # [rows, width]
_SPARE = 64


@dataclass(frozen=True)
class _Masking:
    """The kernels of one way of sharing; for XOR plus and minus are the same."""

    both: Callable[..., Any]
    pair: Callable[..., Any]
    plus: Callable[..., Any]
    minus: Callable[..., Any]
    add: Callable[..., Any]
    subtract: Callable[..., Any]


_XOR = _Masking(
    kernels.gather_both, kernels.gather_pair, kernels.gather_masked, kernels.gather_masked,
    kernels.xor_into, kernels.xor_into,
)  # fmt: skip
_SUM = _Masking(
    kernels.gather_both_sums, kernels.gather_pair_sums, kernels.gather_plus, kernels.gather_minus,
    kernels.add_into, kernels.subtract_from,
)  # fmt: skip


def draw_permutation(stream: Stream, rows: int) -> Order:
    """A uniform permutation of ``rows`` from a stream that two seats share."""
    if rows >= 1 << 32:
        raise Fault("shuffle.size", f"cannot shuffle {rows} rows at once; the limit is 2**32 - 1")
    order = np.empty(rows, np.uint32)
    if not kernels.permutation(stream.take(rows + _SPARE), order):
        raise Fault("shuffle.draw", "the random words ran out", remedy="rerun the job")
    return order


@dataclass(frozen=True, eq=False, repr=False)
class Permutation(Silent):
    """A seat's two of the three factors of a secret permutation (the third is another pair's).

    The factors act in the order ``first``, ``second``, ``third`` of `shuffle`; ``turn`` says which seat
    plays the one that is sent nothing, so that N tables can share the work evenly.
    """

    rows: int
    turn: int
    left: Order  # known to this seat and its left neighbour
    right: Order  # known to this seat and its right neighbour


def secret_permutation(s: Session, rows: int, turn: int = 0) -> Permutation:
    """Draw a permutation of ``rows`` that no seat knows; no message."""
    return Permutation(
        rows, turn % SEATS, draw_permutation(s.left, rows), draw_permutation(s.right, rows)
    )


def _inverse(order: Order) -> Order:
    out = np.empty_like(order)
    kernels.invert(order, out)
    return out


def _composed(first: Order, second: Order) -> Order:
    """Gathering by ``first``, then by ``second``."""
    out = np.empty_like(second)
    kernels.compose(first, second, out)
    return out


@costs(rounds=2, bytes_per_item="16*width")
def shuffle(s: Session, table: Words, by: Permutation, step: str = "shuffle") -> Words:
    """Rows of ``table`` in the secret order. At most 16 bytes a word sent by one seat, 32 in all."""
    return _forward(s, table, by, step, _XOR, table.rows)


@costs(rounds=2, bytes_per_item="16*width")
def unshuffle(s: Session, table: Words, by: Permutation, step: str = "unshuffle") -> Words:
    """Undo `shuffle` with the same permutation."""
    return _backward(s, table, by, step)


@costs(rounds=2, bytes_per_item="8*width+8*width*first/rows")
def shuffle_sums(
    s: Session, table: Ring, by: Permutation, first: int, step: str = "shuffle-sums"
) -> Ring:
    """The ``first`` rows of ring elements [rows, width] in the secret order; the others stay behind.

    They are left out of the last pass, which brings each row to its place.
    """
    return _forward(s, table, by, step, _SUM, first)


def _check(rows: int, by: Permutation) -> None:
    if rows != by.rows:
        raise Fault("shuffle.size", f"a permutation of {by.rows} rows cannot move {rows}")


def _forward(
    s: Session, table: Table, by: Permutation, step: str, way: _Masking, first: int
) -> Table:
    """Seats take the parts one, two, three from ``turn`` on; A, B, C are the table's components.

    With orders p12, p31, p23 of the pairs, in this order, and + and - standing for XOR if the shares are:
      one (A, B):  X = p31(p12(A + B) - Z12) - Z31  -> two
      two (B, C):  Y = p12(C) + Z12                 -> three
      two:   X' = p23(X) - Z23;   three (C, A):  Y' = p23(p31(Y) + Z31) + Z23
      result X' + Y', reshared with the new A drawn by (three, one) and the new B by (one, two).
    """
    rows, width = table.left.shape
    _check(rows, by)
    part = (s.seat - by.turn) % SEATS
    kind = type(table)

    def masks(stream: Stream, number: int) -> U64:
        return stream.take(number * width).reshape(number, width)

    s.meter.rounds += 2
    if part == 0:  # right is p12 (with two), left is p31 (with three)
        z12 = masks(s.right, rows)
        x = masks(s.left, rows)
        way.both(table.left, table.right, _composed(by.right, by.left), z12, by.left, x)
        s.send(s.right_seat, f"{step}.x", x)
        new_left, new_right = masks(s.left, first), masks(s.right, first)
        return kind(new_left, new_right)
    if part == 1:  # left is p12 (with one), right is p23 (with three)
        y = masks(s.left, rows)
        way.plus(table.right, by.left, y)
        s.send(s.right_seat, f"{step}.y", y)
        half = masks(s.right, first)  # Z23
        new_left = masks(s.left, first)
        x = s.receive(s.left_seat, f"{step}.x", (rows, width))
        way.minus(x, by.right, half)
        way.subtract(half.reshape(-1), new_left.reshape(-1))
        s.send(s.right_seat, f"{step}.c1", half)
        other = s.receive(s.right_seat, f"{step}.c2", (first, width))
        way.add(half.reshape(-1), other.reshape(-1))
        return kind(new_left, half)
    # three: left is p23 (with two), right is p31 (with one)
    z31 = masks(s.right, rows)
    half = masks(s.left, first)  # Z23
    new_right = masks(s.right, first)
    y = s.receive(s.left_seat, f"{step}.y", (rows, width))
    last = by.left[:first]
    way.pair(y, _composed(by.right, last), z31, last, half)
    way.subtract(half.reshape(-1), new_right.reshape(-1))
    s.send(s.left_seat, f"{step}.c2", half)
    other = s.receive(s.left_seat, f"{step}.c1", (first, width))
    way.add(half.reshape(-1), other.reshape(-1))
    return kind(half, new_right)


def _backward(s: Session, table: Words, by: Permutation, step: str) -> Words:
    """Undo p12, p31, p23: first p23 backwards, then p31, then p12.

    Mirror image of the forward pass: three (C, A) plays one's part with p23 and p31, two (B, C) keeps B:
      three: X = p31'(p23'(C ^ A) ^ Z23) ^ Z31  -> two;   two: Y = p23'(B) ^ Z23  -> one
      two: X' = p12'(X) ^ Z12;   one: Y' = p12'(p31'(Y) ^ Z31) ^ Z12
      the new A is drawn by (three, one), the new C by (two, three), B is what two and one exchange.
    """
    rows, width = table.left.shape
    _check(rows, by)
    part = (s.seat - by.turn) % SEATS
    size = rows * width

    def masks(stream: Stream) -> U64:
        return stream.take(size).reshape(rows, width)

    s.meter.rounds += 2
    left, right = _inverse(by.left), _inverse(by.right)
    if part == 2:  # left is p23, right is p31; components: left C, right A
        z23 = masks(s.left)
        x = masks(s.right)
        kernels.gather_both(table.left, table.right, _composed(left, right), z23, right, x)
        s.send(s.left_seat, f"{step}.x", x)
        new_right, new_left = masks(s.right), masks(s.left)
        return Words(new_left, new_right)
    if part == 1:  # left is p12, right is p23; components: left B, right C
        y = masks(s.right)
        kernels.gather_masked(table.left, right, y)
        s.send(s.left_seat, f"{step}.y", y)
        half = masks(s.left)  # Z12
        new_right = masks(s.right)
        x = s.receive(s.right_seat, f"{step}.x", (rows, width))
        kernels.gather_masked(x, left, half)
        kernels.xor_into(half.reshape(-1), new_right.reshape(-1))
        s.send(s.left_seat, f"{step}.b1", half)
        other = s.receive(s.left_seat, f"{step}.b2", (rows, width))
        kernels.xor_into(half.reshape(-1), other.reshape(-1))
        return Words(half, new_right)
    # one: left is p31, right is p12; components: left A, right B
    z31 = masks(s.left)
    half = masks(s.right)  # Z12
    new_left = masks(s.left)
    y = s.receive(s.right_seat, f"{step}.y", (rows, width))
    kernels.gather_pair(y, _composed(left, right), z31, right, half)
    kernels.xor_into(half.reshape(-1), new_left.reshape(-1))
    s.send(s.right_seat, f"{step}.b2", half)
    other = s.receive(s.right_seat, f"{step}.b1", (rows, width))
    kernels.xor_into(half.reshape(-1), other.reshape(-1))
    return Words(new_left, half)
