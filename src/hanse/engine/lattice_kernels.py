"""The inner loops of lattice histograms, compiled by numba: windows, Gaussian draws, folded transforms.

A ring sample of dimension n is kept as ``2 n`` words, reversed(a) then -reversed(a): the public vector of its
row j is the window that begins at n - 1 - j, so a sum over rows is a sum over overlapping windows and no
vector is ever built. Everything is modulo 2**32, by overflow.
"""

from __future__ import annotations

import numpy as np

from hanse.engine.kernels import _compiled

DIMENSION = 1024
SAMPLER_SIZE = 256  # outcomes of the Gaussian table: -128 .. 127


@_compiled
def add_windows(
    windows: np.ndarray,
    body: np.ndarray,
    rows: np.ndarray,
    codes: np.ndarray,
    groups: np.ndarray,
    tile: int,
    sums: np.ndarray,
    body_sums: np.ndarray,
) -> None:
    """sums[g] += public vector, body_sums[g] += body words, of every row in group g; a row counts once a column.

    windows [2n * blocks] u32, body [outputs, all rows] u32, rows [m] i64 rising, codes [columns, all rows] u8,
    groups [columns, codes] i64 (where in ``sums`` a code's group is; -1: not summed), sums [groups, n] u32,
    body_sums [groups, outputs] u32. Rows are taken ``tile`` at a time, sorted by group within a tile: the tile's
    windows stay in the second cache and the group's sum in the first.
    """
    columns, positions = groups.shape
    outputs = body.shape[0]
    starts = np.empty(positions + 1, np.int64)
    order = np.empty(min(tile, rows.size), np.int64)
    for first in range(0, rows.size, tile):
        last = min(first + tile, rows.size)
        for column in range(columns):
            code = codes[column]
            starts[:] = 0
            for t in range(first, last):
                starts[code[rows[t]] + 1] += 1
            for p in range(positions):
                starts[p + 1] += starts[p]
            for t in range(first, last):
                c = code[rows[t]]
                order[starts[c]] = rows[t]
                starts[c] += 1  # ends as the start of the next position
            begin = 0
            for p in range(positions):
                end = starts[p]
                g = groups[column, p]
                if g >= 0 and end > begin:
                    for k in range(outputs):
                        total = np.uint32(0)
                        for t in range(begin, end):
                            total += body[k, order[t]]
                        body_sums[g, k] += total
                    _add_rows(windows, order, begin, end, sums[g])
                begin = end


@_compiled
def add_bodies(
    body: np.ndarray, rows: np.ndarray, codes: np.ndarray, groups: np.ndarray, body_sums: np.ndarray
) -> None:
    """The body words alone, where the sums of public vectors are known already; shapes as in `add_windows`."""
    outputs = body.shape[0]
    for column in range(codes.shape[0]):
        code, group = codes[column], groups[column]
        for t in range(rows.size):
            g = group[code[rows[t]]]
            if g >= 0:
                for k in range(outputs):
                    body_sums[g, k] += body[k, rows[t]]


@_compiled
def count_codes(codes: np.ndarray, rows: np.ndarray, out: np.ndarray) -> None:
    """out[column, code] += 1 for each of ``rows``; codes [columns, all rows] u8, out [columns, codes] i64."""
    for column in range(codes.shape[0]):
        code, counted = codes[column], out[column]
        for t in range(rows.size):
            counted[code[rows[t]]] += 1


@_compiled
def _window(windows: np.ndarray, row: int) -> np.ndarray:
    start = (row // 1024) * 2048 + 1023 - row % 1024
    return windows[start : start + 1024]


@_compiled
def _add_rows(
    windows: np.ndarray, order: np.ndarray, begin: int, end: int, total: np.ndarray
) -> None:
    t = begin
    while t + 4 <= end:  # four at once: the sum is loaded and stored a quarter as often
        a = _window(windows, order[t])
        b = _window(windows, order[t + 1])
        c = _window(windows, order[t + 2])
        d = _window(windows, order[t + 3])
        for i in range(1024):
            total[i] += a[i] + b[i] + c[i] + d[i]
        t += 4
    while t < end:
        a = _window(windows, order[t])
        for i in range(1024):
            total[i] += a[i]
        t += 1


@_compiled
def add_up(firsts: np.ndarray, sums: np.ndarray, body_sums: np.ndarray) -> None:
    """Each sum becomes the sum of itself and those before it, up to the last one where ``firsts`` [groups]
    is set."""
    for g in range(1, sums.shape[0]):
        if not firsts[g]:
            for i in range(sums.shape[1]):
                sums[g, i] += sums[g - 1, i]
            for k in range(body_sums.shape[1]):
                body_sums[g, k] += body_sums[g - 1, k]


@_compiled
def gaussian(random: np.ndarray, bounds: np.ndarray, other: np.ndarray, out: np.ndarray) -> None:
    """out = discrete Gaussian draws (i8) by Walker's alias table, one 64-bit word each; flat."""
    for i in range(out.size):
        word = random[i]
        slot = np.int64(word & np.uint64(255))
        kept = np.int64((word >> np.uint64(8)) < bounds[slot])
        second = np.int64(other[slot])
        out[i] = second + kept * (slot - 128 - second)  # no branch: it could not be predicted


@_compiled
def fold(values: np.ndarray, twist: np.ndarray, out: np.ndarray) -> None:
    """out[r, j] = (x_j + i x_(j + n/2)) * twist_j: the half-size complex form of X**n + 1."""
    half = twist.size
    for r in range(values.shape[0]):
        for j in range(half):
            out[r, j] = complex(values[r, j], values[r, j + half]) * twist[j]


@_compiled
def unfold(values: np.ndarray, twist: np.ndarray, out: np.ndarray) -> None:
    """The inverse of `fold`, rounded to the nearest integer, modulo 2**32."""
    half = twist.size
    for r in range(values.shape[0]):
        for j in range(half):
            z = values[r, j] * np.conj(twist[j])
            out[r, j] = np.uint32(np.int64(np.rint(z.real)))
            out[r, j + half] = np.uint32(np.int64(np.rint(z.imag)))


@_compiled
def add_first_window(products: np.ndarray, errors: np.ndarray, sums: np.ndarray) -> None:
    """sums[r] += window 0 of the ring elements products[r] + errors[r]."""
    n = products.shape[1]
    for r in range(products.shape[0]):
        sums[r, 0] += products[r, 0] + np.uint32(errors[r, 0])
        for i in range(1, n):
            sums[r, i] -= products[r, n - i] + np.uint32(errors[r, n - i])


@_compiled
def first_coefficients(key: np.ndarray, small: np.ndarray, out: np.ndarray) -> None:
    """out[r, k] += coefficient 0 of key[k] * small[r], for small [rows, n] i8 and key [outputs, n] u32."""
    outputs, n = key.shape
    for r in range(small.shape[0]):
        for k in range(outputs):
            total = key[k, 0] * np.uint32(small[r, 0])
            for i in range(1, n):
                total -= key[k, n - i] * np.uint32(small[r, i])
            out[r, k] += np.uint32(total)


@_compiled
def subtract_products(sums: np.ndarray, secrets: np.ndarray, body: np.ndarray) -> None:
    """body[r, k] -= <sums[r], secrets[k]>, for sums [rows, n] u32 and secrets [outputs, n] u32."""
    outputs, n = secrets.shape
    for r in range(sums.shape[0]):
        for k in range(outputs):
            total = np.uint32(0)
            for i in range(n):
                total += sums[r, i] * secrets[k, i]
            body[r, k] -= np.uint32(total)
