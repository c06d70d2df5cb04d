"""Sums of secret bits per place, where only their owner knows which row is at which place.

The owner of the rows (a provider) *programs* two permutations: it draws two of a permutation's three factors at
random, and the third follows from the order that it wants. Each factor goes to the two seats that may know it, so
every seat sees two factors that are uniform together, whatever the order is.

 1. entries   every row once per slot (a person may be at several places), and a zero entry per place: its sentinel
 2. sort      the first permutation brings the entries of each place together, its sentinel behind them
 3. sum up    bits to ring elements; running sums (local)
 4. read off  the second permutation brings the sentinels to the front, in the order of the public list; their
              running sums differ by the sum of each place (local)

Both are bijections: each entry is summed at most once, so a row moves all places together by at most its slots in
each column, whatever the owner programs. For that the sentinels must come to the front in the order in which they
lie; `sentinels` gives the positions to check it by (`gate.opening.require_rising`).
Reveals: nothing; the numbers of rows, slots, places and columns are public. Assumes: semi-honest seats, honest
majority; nothing of the owner. Cost: 16 bytes an entry and seat for the sort, 16 an entry and column.
Source: the shuffle of `engine.shuffle` (Asharov et al. 2022), its factors chosen by a client; sums as differences
of running sums at the ends of sorted blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.engine import kernels
from hanse.engine.compare import ring_bits
from hanse.engine.costs import costs
from hanse.engine.masks import KEY_BYTES, Stream
from hanse.engine.session import Session
from hanse.engine.shares import Ring, Silent, Words, join_elements
from hanse.engine.shuffle import Order, Permutation, draw_permutation, shuffle, shuffle_sums
from hanse.engine.slicing import slice_field
from hanse.entropy import Entropy
from hanse.errors import Fault

MOST_COLUMNS = 64  # bits of one word
_WAVE = 1 << 21  # elements summed at once: what memory and the reader of the network can take


@dataclass(frozen=True)
class Shape:
    """What is public of the rows' places: ``rows`` of the owner, ``slots`` places each, ``places`` listed."""

    rows: int
    slots: int
    places: int

    @property
    def entries(self) -> int:
        """Rows of the programmed permutations."""
        return self.rows * self.slots + self.places


@dataclass(frozen=True, eq=False, repr=False)
class Program(Silent):
    """A seat's part of both permutations."""

    shape: Shape
    sort: Permutation
    read: Permutation


@dataclass(frozen=True, eq=False, repr=False)
class Factors(Silent):
    """A programmed permutation as its owner hands it out.

    Component 0 (of seats 0 and 2) and component 1 (of seats 0 and 1) are drawn from ``seeds``, component 2 (of
    seats 1 and 2) is ``last``.
    """

    seeds: tuple[bytes, bytes]
    last: Order


# --- at the owner -----------------------------------------------------------------------------------


def orders(codes: NDArray[np.integer], shape: Shape) -> tuple[Order, Order]:
    """The two orders for ``codes`` [rows, slots]: 1 + the place's number, or 0 for nowhere.

    A row must not name a place twice, or it counts twice there. `Fault` if a code is out of range.
    """
    if codes.shape != (shape.rows, shape.slots):
        raise Fault("programmed.shape", f"codes of shape {codes.shape} do not fit {shape}")
    # Slot after slot, as the seats repeat the rows.
    blocks = codes.T.reshape(-1).astype(np.int64) - 1
    if blocks.size and not -1 <= blocks.min() <= blocks.max() < shape.places:
        raise Fault("programmed.place", "a place's code is not in the public list")
    blocks[blocks < 0] = shape.places
    ends = np.bincount(blocks, minlength=shape.places + 1)[: shape.places].astype(np.int64)
    sort = np.empty(shape.entries, np.uint32)
    read = np.empty(shape.entries, np.uint32)
    kernels.order_by_block(blocks, ends, sort, read)
    return sort, read


def factored(order: Order, entropy: Entropy) -> Factors:
    """Factors of the permutation that gathers by ``order`` (row i of the result is row order[i])."""
    seeds = entropy.take(KEY_BYTES), entropy.take(KEY_BYTES)
    third_first, first = (draw_permutation(Stream(seed), order.size) for seed in seeds)
    # Rows are gathered by p12 (component 1), p31 (0), p23 (2): p12[p31[p23]] is to be the order.
    both, back, last = (np.empty_like(order) for _ in range(3))
    kernels.compose(first, third_first, both)
    kernels.invert(both, back)
    kernels.compose(back, order, last)
    return Factors(seeds, last)


# --- at the seats -----------------------------------------------------------------------------------


def is_permutation(order: Order) -> bool:
    """Whether every row occurs once: what makes each entry count once."""
    return bool(kernels.is_permutation(order, np.zeros(order.size, np.bool_)))


def assembled(seat: int, seeds: dict[int, bytes], last: Order | None, rows: int) -> Permutation:
    """A seat's factors from what the owner sent it: ``seeds`` by component, and component 2."""

    def component(number: int) -> Order:
        if number == 2:
            if last is None:
                raise Fault("programmed.factor", f"seat {seat} must hold component 2")
            return last
        return draw_permutation(Stream(seeds[number]), rows)

    return Permutation(rows, 0, component(seat), component((seat + 1) % 3))


@costs(rounds=2, bytes_per_item="8+8*places/entries")
def sentinels(s: Session, program: Program, step: str = "sentinels") -> Ring:
    """Where each place's sentinel lies after the sort [places]; they must rise strictly."""
    entries = program.shape.entries
    positions = s.public_ring(np.arange(entries, dtype=np.uint64)[:, None])
    return shuffle_sums(s, positions, program.read, program.shape.places, step).reshape(-1)


@costs(
    rounds="2+4*waves",
    bytes_per_item="16+16*columns+8*columns*places/entries",
)
def sums_by_place(
    s: Session, bits: Words, columns: int, program: Program, step: str = "places"
) -> Ring:
    """Sums [places, columns] of the lowest ``columns`` bits of ``bits`` [rows, 1], rows in the owner's order."""
    shape = program.shape
    if (bits.rows, bits.width) != (shape.rows, 1) or not 1 <= columns <= MOST_COLUMNS:
        raise Fault("programmed.shape", f"{columns} columns of {bits.rows} rows do not fit {shape}")
    sorted_ = shuffle(s, _entries(bits, shape), program.sort, f"{step}.sort")
    everything = np.arange(shape.entries, dtype=np.int64)
    wave = max(1, min(columns, _WAVE // shape.entries))
    found = []
    for first in range(0, columns, wave):
        count = min(wave, columns - first)
        planes = slice_field(sorted_, 0, first, count, everything)
        running = _running(ring_bits(s, planes, f"{step}.{first}.ring"))
        found.append(shuffle_sums(s, running, program.read, shape.places, f"{step}.{first}.read"))
    ends = found[0] if len(found) == 1 else _side_by_side(found)
    return ends - _shifted(ends)


def waves(shape: Shape, columns: int) -> int:
    """In how many parts the columns are summed."""
    return -(-columns // max(1, min(columns, _WAVE // max(1, shape.entries))))


def _entries(bits: Words, shape: Shape) -> Words:
    """The rows once per slot, slot after slot, then a zero for each place."""
    sides = []
    for side in (bits.left, bits.right):
        whole = np.zeros((shape.entries, 1), np.uint64)
        for slot in range(shape.slots):
            whole[slot * shape.rows : (slot + 1) * shape.rows] = side
        sides.append(whole)
    return Words(sides[0], sides[1])


def _running(ones: Ring) -> Ring:
    """Running sums along the entries, as rows: [columns, entries] to [entries, columns]."""
    np.cumsum(ones.left, axis=1, out=ones.left)
    np.cumsum(ones.right, axis=1, out=ones.right)
    return Ring(np.ascontiguousarray(ones.left.T), np.ascontiguousarray(ones.right.T))


def _side_by_side(parts: list[Ring]) -> Ring:
    return Ring(
        np.concatenate([p.left for p in parts], axis=1),
        np.concatenate([p.right for p in parts], axis=1),
    )


def _shifted(ends: Ring) -> Ring:
    """What each row has before it: the row above, nothing above the first."""
    none = Ring(np.zeros((1, ends.shape[1]), np.uint64), np.zeros((1, ends.shape[1]), np.uint64))
    return join_elements([none, ends[:-1]])
