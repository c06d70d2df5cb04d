"""Places that come and go: appearing, closing, and the same places under other names."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.places.checks.rules import median
from hanse.places.feeds.feed import Floats

Index = NDArray[np.int64]
_NEAR = 3  # days between the last of an old name and the first of a new one
_ALIKE = 0.12  # mean logarithm by which two places may differ to be taken for one
_ENOUGH = 5  # days of the new name that are compared
_MOST_PAIRS = 2000  # more names than these are not compared one by one
_MANY = 0.3  # of all places: then the names changed, whatever the values


@dataclass(frozen=True, eq=False)
class Comings:
    """``first`` and ``last`` [places] are the days with a first and last value, -1 without any.

    ``appeared`` and ``closed`` are places; ``renamed`` are pairs of an old and a new one; ``bulk`` are places that
    appeared when as many vanished, too many to be told apart.
    """

    first: Index
    last: Index
    appeared: Index
    closed: Index
    renamed: tuple[tuple[int, int], ...]
    bulk: Index


def comings(values: Floats, names: tuple[str, ...], daily: bool) -> Comings:
    """Who came and went in ``values`` [places, days]."""
    there = np.isfinite(values)
    days = values.shape[1]
    any_day = there.any(axis=1)
    first = np.where(any_day, there.argmax(axis=1), -1)
    last = np.where(any_day, days - 1 - there[:, ::-1].argmax(axis=1), -1)
    end = int(last.max()) if any_day.any() else -1
    # The first days of a feed are no news.
    came = np.flatnonzero(any_day & (first > min(7, days // 4)))
    left = np.flatnonzero(any_day & (last < end))
    longest = _longest_gap(there)
    quiet = np.maximum(7 if daily else 2, 2 * longest)
    gone = left[end - last[left] > quiet[left]]
    pairs, bulk = _renamed(values, names, came, left, first, last, int(any_day.sum()))
    old = {a for a, _ in pairs}
    new = {b for _, b in pairs} | set(bulk.tolist())
    return Comings(
        first, last, np.array([p for p in came.tolist() if p not in new], np.int64),
        np.array([p for p in gone.tolist() if p not in old], np.int64), pairs, bulk,
    )  # fmt: skip


def _longest_gap(there: NDArray[np.bool_]) -> Index:
    """The most days in a row [places] that are missing between a first and a last one."""
    days = np.arange(there.shape[1])
    seen = np.where(there, days, -1)
    before = np.maximum.accumulate(seen, axis=1)
    gap = np.where(there[:, 1:] & (before[:, :-1] >= 0), days[1:] - before[:, :-1] - 1, 0)
    return np.asarray(gap.max(axis=1, initial=0), np.int64)


def _renamed(
    values: Floats, names: tuple[str, ...], came: Index, left: Index, first: Index, last: Index,
    places: int,
) -> tuple[tuple[tuple[int, int], ...], Index]:  # fmt: skip
    nothing = np.zeros(0, np.int64)
    if not came.size or not left.size:
        return (), nothing
    pairs: list[tuple[int, int]] = []
    bulk: list[int] = []
    for start in np.unique(first[came]).tolist():
        new = came[first[came] == start]
        old = left[np.abs(last[left] + 1 - start) <= _NEAR]
        if not old.size:
            continue
        many = min(new.size, old.size) >= max(3, _MANY * places)
        if max(new.size, old.size) > _MOST_PAIRS:
            bulk += new.tolist() if many else []
            continue
        found = _matched(values, names, new, old, start, many)
        pairs += found
        if many:
            bulk += sorted(set(new.tolist()) - {b for _, b in found})
    return tuple(sorted(pairs)), np.array(bulk, np.int64)


def _matched(
    values: Floats, names: tuple[str, ...], new: Index, old: Index, start: int, many: bool
) -> list[tuple[int, int]]:
    """Old and new names of one place: alike in writing, or each the other's nearest by level and weekdays."""
    written = {_letters(names[p]): p for p in old.tolist()}
    pairs = [
        (written[_letters(names[p])], p) for p in new.tolist() if _letters(names[p]) in written
    ]
    taken = {a for a, _ in pairs} | {b for _, b in pairs}
    new = np.array([p for p in new.tolist() if p not in taken], np.int64)
    old = np.array([p for p in old.tolist() if p not in taken], np.int64)
    days = np.arange(start, min(values.shape[1], start + 28))
    known = np.isfinite(values[new][:, days]).sum(axis=1)
    new = new[known >= (1 if many else _ENOUGH)]
    if not new.size or not old.size:
        return pairs
    distance = _distance(values, new, old, start, days)
    best_old, best_new = distance.argmin(axis=1), distance.argmin(axis=0)
    for i, j in enumerate(best_old.tolist()):
        if best_new[j] == i and distance[i, j] <= _ALIKE:
            pairs.append((int(old[j]), int(new[i])))
    return pairs


def _distance(values: Floats, new: Index, old: Index, start: int, days: Index) -> Floats:
    """How far [new, old] the new places' values are from what the old ones had on such weekdays."""
    profile = np.full((old.size, 7), np.nan)
    for weekday in range(7):
        before = np.array(
            [d for d in range(max(0, start - 42), start) if d % 7 == weekday], np.int64
        )
        if before.size:
            profile[:, weekday] = median(values[old][:, before])
    level = np.log(np.maximum(profile, 0.5))
    total = np.zeros((new.size, old.size))
    count = np.zeros((new.size, old.size))
    for column in days.tolist():
        apart = np.abs(
            np.log(np.maximum(values[new, column], 0.5))[:, None] - level[:, column % 7][None]
        )
        known = np.isfinite(apart)
        total += np.where(known, apart, 0.0)
        count += known
    return np.where(count > 0, total / np.maximum(count, 1), np.inf)


def _letters(name: str) -> str:
    """A name without case, spaces and marks."""
    return re.sub(r"[\W_]+", "", name.casefold())
