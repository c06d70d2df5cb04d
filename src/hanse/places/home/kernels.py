"""The inner loops of a provider's own preparation, compiled once by numba. Plain arrays in, plain arrays out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def _compiled(function: F) -> F:
    return cast("F", njit(cache=True, nogil=True)(function))


@_compiled
def stays_of(
    device: np.ndarray, second: np.ndarray, x: np.ndarray, y: np.ndarray, radius: float,
    longest_gap: int, stay: np.ndarray,
) -> int:  # fmt: skip
    """Number the stay that each ping [pings] belongs to, in ``stay``; how many there are. Sorted by device and
    time.

    A ping belongs to the stay while it is within ``radius`` of the mean of the stay's pings and no gap of
    silence is longer than ``longest_gap`` seconds. Two pings in a row that are away begin another; one alone is
    a stray and gets
    -1 (a wrong fix does not cut a stay in two).
    """
    count = -1
    at_x, at_y, pings = 0.0, 0.0, 0
    last = -1  # the last ping of the stay
    n = device.size
    i = 0
    while i < n:
        same = last >= 0 and device[i] == device[last] and second[i] - second[last] <= longest_gap
        near = same and (x[i] - at_x) ** 2 + (y[i] - at_y) ** 2 <= radius * radius
        if same and not near and i + 1 < n and device[i + 1] == device[i]:
            soon = second[i + 1] - second[last] <= longest_gap
            back = (x[i + 1] - at_x) ** 2 + (y[i + 1] - at_y) ** 2 <= radius * radius
            if soon and back:
                stay[i] = -1
                i += 1
                continue
        if near:
            pings += 1
            at_x += (x[i] - at_x) / pings
            at_y += (y[i] - at_y) / pings
        else:
            count += 1
            at_x, at_y, pings = x[i], y[i], 1
        stay[i] = count
        last = i
        i += 1
    return count + 1


@_compiled
def nearest(
    x: np.ndarray, y: np.ndarray, place_x: np.ndarray, place_y: np.ndarray, start: np.ndarray,
    columns: int, rows: int, low_x: float, low_y: float, side: float, reach: np.ndarray,
    found: np.ndarray,
) -> None:  # fmt: skip
    """The nearest place [points] within its own reach, in ``found``; -1 without one.

    Places are sorted by the cell of a grid of ``side`` (at least the largest reach) that they lie in; ``start``
    [columns * rows + 1] is where each cell's places begin.
    """
    for i in range(x.size):
        found[i] = -1
        column, row = int((x[i] - low_x) // side), int((y[i] - low_y) // side)
        best = np.inf
        for r in range(max(0, row - 1), min(rows, row + 2)):
            for c in range(max(0, column - 1), min(columns, column + 2)):
                for p in range(start[r * columns + c], start[r * columns + c + 1]):
                    far = (x[i] - place_x[p]) ** 2 + (y[i] - place_y[p]) ** 2
                    if far <= reach[p] * reach[p] and far < best:
                        best = far
                        found[i] = p


@_compiled
def merged(
    person: np.ndarray, place: np.ndarray, begin: np.ndarray, end: np.ndarray, apart: int,
    visit: np.ndarray,
) -> int:  # fmt: skip
    """Number the visit that each stay [stays] belongs to; how many there are. Sorted by person, place and begin.

    Stays of one person at one place that overlap, or are at most ``apart`` seconds from each other, are one visit,
    whichever of the person's devices saw them.
    """
    count = -1
    until = np.int64(0)
    for i in range(person.size):
        new = i == 0 or person[i] != person[i - 1] or place[i] != place[i - 1]
        if new or begin[i] > until + apart:
            count += 1
            until = end[i]
        else:
            until = max(until, end[i])
        visit[i] = count
    return count + 1


@_compiled
def bounded_least_squares(
    gram: np.ndarray, right: np.ndarray, low: np.ndarray, weight: np.ndarray, sweeps: int
) -> None:
    """Minimise w' G w / 2 - r' w with w >= low by coordinate descent, for each of ``gram`` [places, k, k] apart.

    ``weight`` [places, k] holds the start and then the result.
    """
    places, k = right.shape
    for p in range(places):
        for _ in range(sweeps):
            moved = 0.0
            for j in range(k):
                if gram[p, j, j] <= 0.0:
                    continue
                slope = right[p, j]
                for i in range(k):
                    slope -= gram[p, j, i] * weight[p, i]
                new = max(low[p, j], weight[p, j] + slope / gram[p, j, j])
                moved = max(moved, abs(new - weight[p, j]))
                weight[p, j] = new
            if moved < 1e-9:
                break
