"""Between rows of words and bit planes. Local: XOR shares are transposed component by component."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hanse.engine import kernels
from hanse.engine.shares import U64, Bits, Words, words_for


def slice_field(table: Words, word: int, shift: int, bits: int, rows: NDArray[np.int64]) -> Bits:
    """Bits ``shift .. shift+bits`` of column ``word`` in the given row order; planes [bits, words].

    A negative row number stands for an absent row: all its bits are a public zero.
    """
    if not 0 <= shift <= 64 - bits:
        raise ValueError("a field must lie within one word")
    left = np.empty((bits, words_for(rows.size)), np.uint64)
    right = np.empty_like(left)
    kernels.slice_words(table.left, word, rows, shift, left)
    kernels.slice_words(table.right, word, rows, shift, right)
    return Bits(left, right, rows.size)


def slice_range(table: Words, word: int, first: int, count: int) -> Bits:
    """All 64 bits of column ``word`` for ``count`` rows from ``first``; planes [64, words]."""
    left = np.empty((64, words_for(count)), np.uint64)
    right = np.empty_like(left)
    kernels.slice_column(table.left, word, first, count, left)
    kernels.slice_column(table.right, word, first, count, right)
    return Bits(left, right, count)


def planes_of(values: U64, bits: int) -> U64:
    """Public or local values [rows] as planes [bits, words]."""
    out = np.empty((bits, words_for(values.size)), np.uint64)
    rows = np.arange(values.size, dtype=np.int64)
    kernels.slice_words(np.ascontiguousarray(values).reshape(-1, 1), 0, rows, 0, out)
    return out


def values_of(planes: U64, rows: int) -> U64:
    """Planes [bits <= 64, words] back to ``rows`` values."""
    out = np.empty(rows, np.uint64)
    kernels.unslice(np.ascontiguousarray(planes), out)
    return out
