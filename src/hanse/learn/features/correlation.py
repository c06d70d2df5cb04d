"""Correlation and variance inflation of columns of several parties, on shares.

1. home     each party standardises its columns by its own rows and cuts them to (-8, 8)
2. moments  sums, squares and products over matched rows: one matrix, never opened
3. scale    products over the roots of squares: Newton's step for 1 / sqrt(v), eighteen times
4. out      correlations of approved pairs of parties, to these two; of others nothing
5. inflate  the correlation matrix is inverted on shares; each owner reads the diagonal at its own columns

Reveals: what is approved, exact averages over all matched people; so for people their authorisation is needed, as
for coefficients (docs/claims/evaluation.md). Assumes: semi-honest seats, honest majority.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from hanse.align import Aligned
from hanse.engine.compare import ring_bits
from hanse.engine.fixed import truncate
from hanse.engine.functions import product
from hanse.engine.matrices import INVERSE_BITS, MATRIX_BITS, inverse, mean_gram
from hanse.engine.multiply import multiply
from hanse.engine.session import Session
from hanse.engine.shares import SEATS, Ring, join_elements
from hanse.gate.model import send_numbers
from hanse.gate.record import Record
from hanse.learn.features.fields import signed_numbers
from hanse.learn.features.plan import FRACTION, WHOLE, FeaturePlan
from hanse.wire import Channel

MOMENT_BITS = 26  # fraction bits of a mean of products, which are below 2**6
ROOT_BITS = 24  # and of 1 / sqrt(v), below 2**8
ROOT_STEPS = 18  # from 1/8 on: right for v from 1/256 to 64
FLOOR = 16  # the scaled matrix gets 2**-16 on its diagonal, so that it has an inverse
_INVERSE_STEPS = FLOOR + 4
Matrix = NDArray[np.float64]
Telling = Callable[[Channel, Record, Ring, str, tuple[int, str], str], None]


def columns_of(s: Session, people: Aligned, plan: FeaturePlan) -> Ring:
    """[1 + columns, rows] with `FRACTION` bits: whether there is somebody, then all parties' columns."""
    here = ring_bits(s, people.field(plan.marked, "here"), "here")
    fields = [people.field(p.name, f"x{c}") for p in plan.parties for c in range(p.columns)]
    values = signed_numbers(s, fields, "values")
    return join_elements([here.times(1 << FRACTION), values])


def correlations(s: Session, columns: Ring) -> Ring:
    """The correlation matrix [columns, columns] with `MATRIX_BITS` of `columns_of` rows.

    With m = sum / scale: m(1) m(xy) - m(x) m(y), over the roots of the same for xx and yy; so the number of people
    cancels. A column that does not vary among them has (nearly) zeros in its row and its diagonal too.
    """
    rows = columns.shape[1]
    scale = max(6, math.ceil(math.log2(max(1, rows))))
    bits = 2 * (WHOLE + FRACTION)
    sums = mean_gram(s, columns, columns, bits, 2 * FRACTION + scale - MOMENT_BITS, "moments")
    both = product(s, sums[1:, 1:], sums[0, 0].reshape(1, 1), MOMENT_BITS, "moments.people")
    size = columns.shape[0] - 1
    means = sums[0, 1:]
    spread = both - product(
        s, means.reshape(size, 1), means.reshape(1, size), MOMENT_BITS, "moments.means"
    )
    diagonal = Ring(np.diag(spread.left).copy(), np.diag(spread.right).copy())
    root = inverse_root(s, diagonal, "root")
    half = product(s, spread, root.reshape(size, 1), ROOT_BITS, "scaled.rows")
    cut = MOMENT_BITS + ROOT_BITS - MATRIX_BITS
    return product(s, half, root.reshape(1, size), cut, "scaled.columns")


def inverse_root(s: Session, v: Ring, step: str) -> Ring:
    """1 / sqrt(v) [n] with `ROOT_BITS`; v has `MOMENT_BITS` and is from 1/256 to 64; less gives too little."""
    y = s.public_ring(np.full(v.size, 1 << (ROOT_BITS - 3), np.uint64))
    three = s.public_ring(np.full(v.size, 3 << MOMENT_BITS, np.uint64))
    for number in range(ROOT_STEPS):
        name = f"{step}.{number}"
        near = product(s, product(s, v, y, ROOT_BITS, f"{name}.v"), y, ROOT_BITS, f"{name}.near")
        y = product(s, y, three - near, MOMENT_BITS + 1, f"{name}.y")
    return y


def inflation(s: Session, matrix: Ring) -> Ring:
    """The diagonal of the inverse of a correlation matrix [n, n], [n] with `INVERSE_BITS`; at most
    `most_inflation`.
    """
    size = matrix.shape[0]
    down = scale_bits(size)
    scaled = truncate(s, matrix, down, "inflation.scaled") if down else matrix
    floor = s.public_ring(np.eye(size, dtype=np.uint64) << np.uint64(MATRIX_BITS - FLOOR))
    turned = inverse(s, scaled + floor, _INVERSE_STEPS, "inflation")
    # The floor f makes it (R + f)**-1; adding f times its square leaves an error of the second order.
    short = truncate(s, turned, INVERSE_BITS // 2, "inflation.short")
    squares = multiply(s, short, short, "inflation.squares").sum(axis=1)
    diagonal = Ring(np.diag(turned.left).copy(), np.diag(turned.right).copy())
    whole = diagonal + truncate(s, squares, FLOOR, "inflation.floor")
    return truncate(s, whole, down, "inflation.cut") if down else whole


def scale_bits(columns: int) -> int:
    """log2 of what a correlation matrix is divided by, so that no eigenvalue is above 1."""
    return math.ceil(math.log2(max(1, columns)))


def most_inflation(columns: int) -> float:
    """What an inflation is told as at most: from about a tenth of it on read it as "at least"."""
    return float(2 ** (FLOOR - scale_bits(columns)))


def release_correlations(
    s: Session, record: Record, people: Aligned, plan: FeaturePlan, tell: Telling = send_numbers
) -> None:
    """A seat's part: approved blocks to both their owners, inflation to each column's owner."""
    inner = s.fork("correlation")
    matrix = correlations(inner, columns_of(inner, people, plan))
    places = plan.places()
    for a, b in plan.pairs:
        block = matrix[places[a], places[b]]
        names = plan.parties[a].name, plan.parties[b].name
        what = f"correlations of the columns of {names[0]} with those of {names[1]}, exact"
        for number, name in zip((a, b), names, strict=True):
            tell(s.channel, record, block.reshape(block.size), what, (SEATS + number, name),
                 f"correlation.{a}.{b}")  # fmt: skip
    if plan.inflation:
        told = inflation(inner, matrix)
        for number, brings in enumerate(plan.parties):
            if brings.columns:
                tell(s.channel, record, told[places[number]],
                     f"variance inflation of the columns of {brings.name}, exact",
                     (SEATS + number, brings.name), f"inflation.{brings.name}")  # fmt: skip


__all__ = [
    "INVERSE_BITS", "Telling", "columns_of", "correlations", "inflation", "inverse_root", "most_inflation",
    "release_correlations",
]  # fmt: skip
