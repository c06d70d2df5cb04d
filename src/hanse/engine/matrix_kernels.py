"""Compiled inner loops of sums over many rows; columns lie in memory one after the other, [columns, rows].

All arrays are contiguous: a part of the rows is told by its first one, not by a view, which would not vectorise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

F = TypeVar("F", bound=Callable[..., Any])
_BLOCK = 1024  # rows of all columns that stay in a cache while pairs of columns are taken


def _compiled(function: F) -> F:
    return cast(F, njit(cache=True, nogil=True, boundscheck=False)(function))


@_compiled
def weigh_local(
    xl: np.ndarray, xr: np.ndarray, start: int, wl: np.ndarray, wr: np.ndarray,
    ml: np.ndarray, mr: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    """out[j] = this seat's part of column j from row ``start`` on times w [some], masked by ml - mr."""
    rows = wl.size
    for j in range(xl.shape[0]):
        left, right = xl[j, start : start + rows], xr[j, start : start + rows]
        one, other, sums = ml[j], mr[j], out[j]
        for k in range(rows):
            product = left[k] * (wl[k] + wr[k]) + right[k] * wl[k]
            sums[k] = product + one[k] - other[k]


@_compiled
def combine_local(
    xl: np.ndarray, xr: np.ndarray, bl: np.ndarray, br: np.ndarray, out: np.ndarray
) -> None:
    """out [rows] += this seat's part of the sum of b[j] * column j."""
    rows = out.size
    for first in range(0, rows, _BLOCK):
        sums = out[first : first + _BLOCK]
        for j in range(xl.shape[0]):
            both, one = bl[j] + br[j], bl[j]
            left, right = xl[j, first : first + _BLOCK], xr[j, first : first + _BLOCK]
            for k in range(sums.size):
                sums[k] += left[k] * both + right[k] * one


@_compiled
def _two_dots(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.uint64:
    """a . b + c . d; by itself, so that the loop vectorises."""
    total = np.uint64(0)
    for k in range(a.size):
        total += a[k] * b[k] + c[k] * d[k]
    return total


@_compiled
def gram_local(
    xl: np.ndarray, xr: np.ndarray, x_start: int, yl: np.ndarray, yr: np.ndarray, y_start: int,
    rows: int, out: np.ndarray,
) -> None:  # fmt: skip
    """out [pairs] += this seat's part of the sums of x[i] * y[j] over rows, i <= j, the triangle row by row."""
    columns = xl.shape[0]
    both = np.empty((columns, _BLOCK), np.uint64)
    for first in range(0, rows, _BLOCK):
        count = min(rows - first, _BLOCK)
        x0, y0 = x_start + first, y_start + first
        for j in range(columns):
            sums, left, right = both[j], yl[j, y0 : y0 + count], yr[j, y0 : y0 + count]
            for k in range(count):
                sums[k] = left[k] + right[k]
        place = 0
        for i in range(columns):
            left, right = xl[i, x0 : x0 + count], xr[i, x0 : x0 + count]
            for j in range(i, columns):
                out[place] += _two_dots(left, both[j, :count], right, yl[j, y0 : y0 + count])
                place += 1


@_compiled
def cross_local(
    xl: np.ndarray, xr: np.ndarray, yl: np.ndarray, yr: np.ndarray, start: int, stop: int,
    out: np.ndarray,
) -> None:  # fmt: skip
    """out [p, q] += this seat's part of the sums of x[i] * y[j] over rows, for x [p, rows] and y [q, rows]."""
    both = np.empty((yl.shape[0], _BLOCK), np.uint64)
    for first in range(start, stop, _BLOCK):
        last = min(stop, first + _BLOCK)
        for j in range(yl.shape[0]):
            sums, one, other = both[j], yl[j, first:last], yr[j, first:last]
            for k in range(last - first):
                sums[k] = one[k] + other[k]
        for i in range(xl.shape[0]):
            left, right = xl[i, first:last], xr[i, first:last]
            for j in range(yl.shape[0]):
                out[i, j] += _two_dots(left, both[j, : last - first], right, yl[j, first:last])
