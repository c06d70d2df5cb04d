"""Compiling the kernels before they are needed: the first time takes seconds, then they are on disk."""

from __future__ import annotations

import numpy as np

from hanse.engine import kernels
from hanse.engine.boolean import and_
from hanse.engine.compare import less_than, ripple_less_than
from hanse.engine.count import count_rows
from hanse.engine.group import group
from hanse.engine.multiply import matmul, multiply
from hanse.engine.prf import secret_key, tags
from hanse.engine.programmed import (
    Program,
    Shape,
    assembled,
    factored,
    is_permutation,
    orders,
    sentinels,
    sums_by_place,
)
from hanse.engine.session import Session
from hanse.engine.shares import Words
from hanse.engine.shuffle import secret_permutation, shuffle, unshuffle
from hanse.engine.slicing import slice_field, values_of
from hanse.engine.stage import on_stage
from hanse.entropy import SeededEntropy

_ROWS = 64


def warm_up() -> None:
    """Run every protocol once on a few rows, so that all kernels are compiled or loaded from the cache."""
    kernels.invert(np.zeros(1, np.uint32), np.zeros(1, np.uint32))
    on_stage(_everything, seed="warm-up")


def _everything(s: Session) -> None:
    rows = s.random_ring(_ROWS, 2)
    table = Words(rows.left, rows.right)
    by = secret_permutation(s, _ROWS)
    table = unshuffle(s, shuffle(s, table, by), by)
    encrypted = tags(s, table, secret_key(s))
    field = slice_field(table, 1, 0, 8, np.arange(_ROWS, dtype=np.int64))
    less = ripple_less_than(s, field, and_(s, field, field))
    count_rows(s, less.reshape(1, -1))
    x = rows[:, 0]
    multiply(s, x, x)
    less_than(s, x, x, "few")
    matmul(s, rows, rows[:2])
    group([values_of(encrypted.left, _ROWS)])
    codes = np.arange(_ROWS).reshape(-1, 1) % 3
    shape = Shape(_ROWS, 1, 2)
    made = [factored(order, SeededEntropy("warm-up")) for order in orders(codes, shape)]
    sort, read = (assembled(s.seat, dict(enumerate(f.seeds)), f.last, shape.entries) for f in made)
    is_permutation(made[0].last)
    program = Program(shape, sort, read)
    sentinels(s, program)
    kernels.scatter(np.zeros(1, np.uint64), np.zeros(1, np.int64), np.zeros(1, np.uint64))
    sums_by_place(s, table[:, :1], 2, program)
