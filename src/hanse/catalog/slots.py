"""From rows to one row per person: events into time-ordered slots, values into one code."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hanse.catalog.crowd import Crowd

Ticks = NDArray[np.int64]
NO_EVENT = -1
_LOW_BITS = np.uint64(0xFFFFFFFF)
_CODES = 65_536


def fill_slots(
    crowd: Crowd, ticks: Ticks, slots: int, keep_last: bool
) -> tuple[NDArray[np.uint32], NDArray[np.bool_], NDArray[np.int64]]:
    """Each person's first (or last) `slots` events, ascending.

    `ticks` ``int64[rows]`` is each row's time, `NO_EVENT` where it is none, below 2^32. Returns times
    ``uint32[people, slots]`` (0 in unused slots), valid ``bool[people, slots]`` (used slots come first) and
    the number of events that each person had, ``int64[people]``.
    """
    people = len(crowd.ids)
    times = np.zeros((people, slots), np.uint32)
    valid = np.zeros((people, slots), np.bool_)
    ordered = ticks[crowd.order]
    happened = ordered != NO_EVENT
    if people == len(ordered):  # one row each: nothing to sort
        times[:, 0] = np.where(happened, ordered, 0)
        valid[:, 0] = happened
        return times, valid, happened.astype(np.int64)
    person = np.repeat(np.arange(people), np.diff(crowd.starts, append=len(ordered)))[happened]
    # One 64-bit key per event sorts by person and then by time, whatever order the rows came in.
    key = (person.astype(np.uint64) << np.uint64(32)) | ordered[happened].astype(np.uint64)
    key.sort()
    counts = np.bincount(person, minlength=people)
    rank = np.arange(len(key)) - np.repeat(np.cumsum(counts) - counts, counts)
    if keep_last:
        rank -= np.repeat(np.maximum(counts - slots, 0), counts)
    kept = (rank >= 0) & (rank < slots)
    who, where = (key[kept] >> np.uint64(32)).astype(np.int64), rank[kept]
    times[who, where] = (key[kept] & _LOW_BITS).astype(np.uint32)
    valid[who, where] = True
    return times, valid, counts


def latest_code(crowd: Crowd, codes: Ticks, moments: Ticks) -> Ticks:
    """The code of each person's latest row with one; equal moments: the lowest code; 0 without."""
    ordered = codes[crowd.order]
    moment = np.where(ordered > 0, moments[crowd.order], np.iinfo(np.int64).min)
    last = np.repeat(
        np.maximum.reduceat(moment, crowd.starts), np.diff(crowd.starts, append=len(ordered))
    )
    candidates = np.where((moment == last) & (ordered > 0), ordered, _CODES)
    lowest = np.minimum.reduceat(candidates, crowd.starts)
    return np.where(lowest == _CODES, 0, lowest)


def most_frequent_code(crowd: Crowd, codes: Ticks) -> Ticks:
    """Each person's most frequent code above 0; ties: the lowest; 0 without."""
    people = len(crowd.ids)
    ordered = codes[crowd.order]
    person = np.repeat(np.arange(people), np.diff(crowd.starts, append=len(ordered)))
    keys, counts = np.unique((person * _CODES + ordered)[ordered > 0], return_counts=True)
    owner = keys // _CODES
    score = counts * _CODES + (_CODES - 1 - keys % _CODES)
    found = np.zeros(people, np.int64)
    np.maximum.at(found, owner, score)
    return np.where(found > 0, _CODES - 1 - found % _CODES, 0)


def largest_code(crowd: Crowd, codes: Ticks) -> Ticks:
    """Each person's largest code."""
    return np.maximum.reduceat(codes[crowd.order], crowd.starts)


def summed_code(crowd: Crowd, codes: Ticks, values: Ticks, maximum: int) -> Ticks:
    """1 + min(sum of each person's values, maximum); 0 where no row has a value (code 0)."""
    known = codes[crowd.order] > 0
    total = np.add.reduceat(np.where(known, values[crowd.order], 0), crowd.starts)
    any_known = np.maximum.reduceat(known, crowd.starts)
    return np.where(any_known, np.minimum(total, maximum) + 1, 0)
