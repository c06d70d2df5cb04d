"""Sums and means of products over many rows, and the inverse of a small matrix, on fixed-point shares.

Many rows lie as columns, [columns, rows].

Reveals: nothing. Assumes: semi-honest seats, honest majority.
Source: Newton-Schulz iteration (Schulz 1933; Higham, "Functions of Matrices", section 7.3).
"""

from __future__ import annotations

import numpy as np

from hanse.engine import matrix_kernels
from hanse.engine.costs import costs
from hanse.engine.fixed import truncate
from hanse.engine.multiply import matmul, reshare
from hanse.engine.session import Session
from hanse.engine.shares import U64, Ring
from hanse.errors import Fault

MATRIX_BITS = 28  # fraction bits of a matrix that is to be inverted
INVERSE_BITS = 16  # and of its inverse, whose elements may reach 2**16
TILE = 1 << 13  # rows that are weighted at a time


def rows_at_once(bits: int) -> int:
    """How many products of ``bits`` bits (sign apart) may be added up below 2**62. `Fault` if not 64."""
    if bits > 56:
        raise Fault("matrices.range", f"products of {bits} bits leave no room for their sum")
    return 1 << (62 - bits)


@costs(rounds=1, bytes_per_item=8)
def cross(s: Session, x: Ring, y: Ring, step: str = "cross") -> Ring:
    """x @ y.T for x [p, n] and y [q, n]: p * q elements travel, however long the rows."""
    part = np.zeros((x.shape[0], y.shape[0]), np.uint64)
    matrix_kernels.cross_local(*_sides(x), *_sides(y), 0, x.shape[1], part)
    part += s.left.take(part.size).reshape(part.shape)
    part -= s.right.take(part.size).reshape(part.shape)
    return reshare(s, part, step)


@costs(rounds=3, bytes_per_item="24*blocks")
def mean_cross(s: Session, x: Ring, y: Ring, bits: int, cut: int, step: str = "means") -> Ring:
    """x @ y.T / 2**cut for x [p, n] and y [q, n]; products of two elements have at most ``bits`` bits.

    Rows are taken in blocks that cannot overflow; p * q elements travel for each, whatever its length.
    """
    rows, most = x.shape[1], rows_at_once(bits)
    blocks = max(1, -(-rows // most))
    part = np.zeros((blocks, x.shape[0], y.shape[0]), np.uint64)
    sides = (*_sides(x), *_sides(y))
    for number in range(blocks):
        first = number * most
        matrix_kernels.cross_local(*sides, first, min(rows, first + most), part[number])
    part += s.left.take(part.size).reshape(part.shape)
    part -= s.right.take(part.size).reshape(part.shape)
    return truncate(s, reshare(s, part, step), cut, f"{step}.cut").sum(axis=0)


@costs(rounds=3, bytes_per_item="24*blocks")
def mean_gram(s: Session, x: Ring, y: Ring, bits: int, cut: int, step: str = "gram") -> Ring:
    """x @ y.T / 2**cut, which must be symmetric, for x, y [p, n]: as `mean_cross`, but half the work.

    An item is one of p (p + 1) / 2 elements.
    """
    sums = _Sums(s, x.shape[0], x.shape[1], bits)
    sums.add(x, 0, y)
    return sums.mean(cut, step)


@costs(rounds=4, bytes_per_item="8*columns")
def weighted_gram(
    s: Session, x: Ring, w: Ring, bits: int, cut: int, step: str = "weighted-gram"
) -> Ring:
    """x diag(w) x.T / 2**cut for x [p, n], w [n]; a product of two elements of x and one of w has at most ``bits``.

    Weighted columns travel some rows at a time, the next ones on their way while these are added up, so that little
    memory is wanted whatever n is. An item is a row; 24 bytes travel besides for each pair of columns and block.
    """
    columns, count = x.shape
    sums = _Sums(s, columns, count, bits)
    waiting: tuple[int, U64] | None = None
    for first in [*range(0, count, TILE), count]:
        sent: tuple[int, U64] | None = None
        if first < count:
            part = _weighed(s, x, w[first : first + TILE], first)
            s.send(s.left_seat, f"{step}.{first}", part)
            sent = first, part
        if waiting is not None:
            before, mine = waiting
            other = s.receive(s.right_seat, f"{step}.{before}", mine.shape)
            sums.add(x, before, Ring(mine, other))
        waiting = sent
    s.meter.rounds += 1
    return sums.mean(cut, step)


class _Sums:
    """This seat's parts of a symmetric matrix, [blocks, pairs]: sums over blocks of rows that cannot overflow."""

    def __init__(self, s: Session, columns: int, rows: int, bits: int) -> None:
        self._session, self._columns, self._most = s, columns, rows_at_once(bits)
        blocks = max(1, -(-rows // self._most))
        self._parts = np.zeros((blocks, columns * (columns + 1) // 2), np.uint64)

    def add(self, x: Ring, first: int, y: Ring) -> None:
        """Products of x [p, n] from row ``first`` on with all of y [p, some]."""
        of_x, of_y, rows, done = _sides(x), _sides(y), y.shape[1], 0
        while done < rows:
            block = (first + done) // self._most
            count = min(rows - done, (block + 1) * self._most - first - done)
            matrix_kernels.gram_local(*of_x, first + done, *of_y, done, count, self._parts[block])
            done += count

    def mean(self, cut: int, step: str) -> Ring:
        """The matrix [p, p], divided by 2**cut."""
        s, part, size = self._session, self._parts, self._columns
        part += s.left.take(part.size).reshape(part.shape)
        part -= s.right.take(part.size).reshape(part.shape)
        sums = truncate(s, reshare(s, part, step), cut, f"{step}.cut").sum(axis=0)
        upper = np.triu_indices(size)
        found = np.empty((2, size, size), np.uint64)
        for side, triangle in zip(found, (sums.left, sums.right), strict=True):
            side[upper] = triangle
            side.T[upper] = triangle
        return Ring(found[0], found[1])


@costs(rounds=1, bytes_per_item=8)
def combined(s: Session, x: Ring, b: Ring, step: str = "combined") -> Ring:
    """The sum of b[j] * x[j] for columns x [p, n]: elements [n]."""
    part = np.zeros(x.shape[1], np.uint64)
    matrix_kernels.combine_local(*_sides(x), b.left, b.right, part)
    part += s.left.take(part.size)
    part -= s.right.take(part.size)
    return reshare(s, part, step)


@costs(rounds=1, bytes_per_item=8)
def weighted(s: Session, x: Ring, w: Ring, step: str = "weighted", first: int = 0) -> Ring:
    """Each column of x [p, n], from row ``first`` on, times w [some]: [p, some]."""
    return reshare(s, _weighed(s, x, w, first), step)


def _weighed(s: Session, x: Ring, w: Ring, first: int) -> U64:
    part = np.empty((x.shape[0], w.size), np.uint64)
    mask = s.left.take(part.size).reshape(part.shape)
    other = s.right.take(part.size).reshape(part.shape)
    matrix_kernels.weigh_local(*_sides(x), first, *_sides(w), mask, other, part)
    return part


def _sides(x: Ring) -> tuple[U64, U64]:
    return np.ascontiguousarray(x.left), np.ascontiguousarray(x.right)


@costs(rounds="6*steps", bytes_per_item="48*steps")
def inverse(s: Session, h: Ring, steps: int, step: str = "inverse") -> Ring:
    """The inverse of h [p, p] with `INVERSE_BITS` fraction bits.

    h is symmetric with `MATRIX_BITS` fraction bits and eigenvalues from 2**-16 to 1: V becomes V (2 - h V). The
    identity is the first V; so log2(1 / least eigenvalue) + 4 steps reach the rounding.
    """
    size = h.shape[0]
    eye = np.eye(size, dtype=np.uint64)
    v = s.public_ring(eye << np.uint64(INVERSE_BITS))
    two = s.public_ring(eye << np.uint64(MATRIX_BITS + 1))
    for number in range(steps):
        name = f"{step}.{number}"
        near = truncate(s, matmul(s, h, v, f"{name}.h"), INVERSE_BITS, f"{name}.a")
        v = truncate(s, matmul(s, v, two - near, f"{name}.v"), MATRIX_BITS, f"{name}.b")
    return v
