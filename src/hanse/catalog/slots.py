"""From rows to one row per person: events into time-ordered slots, values into one code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hanse.catalog.crowd import Crowd

Ticks = NDArray[np.int64]
Keep = Literal["first", "last", "spread"]
NO_EVENT = -1
_LOW_BITS = np.uint64(0xFFFFFFFF)
_WORD = 64


def fill_slots(
    crowd: Crowd, ticks: Ticks, slots: int, keep: Keep, span: int = 0
) -> tuple[NDArray[np.uint32], NDArray[np.bool_], NDArray[np.int64]]:
    """`slots` events of each person, ascending: the first, the last, or spread over [0, `span`).

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
    rank = _ranks(counts, (key & _LOW_BITS).astype(np.int64), slots, keep, span)
    kept = (rank >= 0) & (rank < slots)
    who, where = (key[kept] >> np.uint64(32)).astype(np.int64), rank[kept]
    times[who, where] = (key[kept] & _LOW_BITS).astype(np.uint32)
    valid[who, where] = True
    return times, valid, counts


def _ranks(
    counts: NDArray[np.int64], ticks: Ticks, slots: int, keep: Keep, span: int
) -> NDArray[np.int64]:
    """The slot of each event (people's events one after the other, ascending); outside of 0..slots if it has none.

    Spread: `span` is cut into `slots` equal stretches; of somebody with more events than slots the first event of
    each stretch is kept, and then the earliest of the others. So whoever comes often is seen all along.
    """
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    rank: NDArray[np.int64] = np.arange(len(ticks)) - starts
    if keep == "last":
        dropped: NDArray[np.int64] = np.repeat(np.maximum(counts - slots, 0), counts)
        return rank - dropped
    if keep == "first" or not len(ticks):
        return rank
    stretch = ticks * slots // span
    first = np.ones(len(ticks), np.bool_)
    first[1:] = (stretch[1:] != stretch[:-1]) | (rank[1:] == 0)
    seen = np.cumsum(first)
    firsts = seen - (seen[starts] - 1)  # up to and with this event
    most = np.repeat(
        np.bincount(np.cumsum(rank == 0) - 1, first).astype(np.int64), counts[counts > 0]
    )
    kept = np.where(first, firsts - 1, most + rank - firsts) < slots
    order = np.cumsum(kept)
    return np.where(kept, order - (order[starts] - kept[starts]) - 1, slots)


@dataclass(frozen=True)
class Filled:
    """Events in slots, all ``[people, slots]``: see `fill_slots`; ``codes`` and ``values`` where there are any."""

    times: NDArray[np.uint32]
    valid: NDArray[np.bool_]
    codes: NDArray[np.uint32]
    values: NDArray[np.uint32]
    counts: NDArray[np.int64]


def fill_coded_slots(
    crowd: Crowd, ticks: Ticks, codes: Ticks, values: Ticks, slots: int, keep: Keep, span: int,
    distinct: bool,
) -> Filled:  # fmt: skip
    """As `fill_slots`, with each event's code and value ``int64[rows]`` below 2^32; equal times by these.

    With `distinct` only the first (or last) event of each code counts.
    """
    people = len(crowd.ids)
    shape = people, slots
    found = Filled(np.zeros(shape, np.uint32), np.zeros(shape, np.bool_), np.zeros(shape, np.uint32),
                   np.zeros(shape, np.uint32), np.zeros(people, np.int64))  # fmt: skip
    ordered = ticks[crowd.order]
    happened = ordered != NO_EVENT
    person = np.repeat(np.arange(people), np.diff(crowd.starts, append=len(ordered)))[happened]
    rows = crowd.order[happened]
    person, *events = _by_time(person, ordered[happened], codes[rows], values[rows])
    if distinct:
        kept = _first_of_each(person, events[1], keep == "last")
        person, *events = (column[kept] for column in (person, *events))
    counts = np.bincount(person, minlength=people)
    rank = _ranks(counts, events[0].astype(np.int64), slots, keep, span)
    inside = (rank >= 0) & (rank < slots)
    at = person[inside], rank[inside]
    found.valid[at] = True
    for target, column in zip((found.times, found.codes, found.values), events, strict=True):
        target[at] = column[inside]
    found.counts[:] = counts
    return found


def _by_time(person: Ticks, *columns: Ticks) -> tuple[Ticks, ...]:
    """Events sorted by person, then by the columns in turn."""
    widths = [int(c.max(initial=0)).bit_length() for c in columns]
    if int(person.max(initial=0)).bit_length() + sum(widths) > _WORD:
        order = np.lexsort((*columns[::-1], person))
        return tuple(column[order] for column in (person, *columns))
    # One word holds an event, and sorting words is several times faster than sorting places.
    key = person.astype(np.uint64)
    for column, width in zip(columns, widths, strict=True):
        key = (key << np.uint64(width)) | column.astype(np.uint64)
    key.sort()
    found: list[Ticks] = []
    for width in reversed(widths):
        found.insert(0, (key & np.uint64((1 << width) - 1)).astype(np.int64))
        key >>= np.uint64(width)
    return key.astype(np.int64), *found


def _first_of_each(person: Ticks, codes: Ticks, keep_last: bool) -> NDArray[np.bool_]:
    """Which events are the first (or last) of their person with their code."""
    order = np.lexsort((codes, person))  # stable: events of one code stay in order
    new = np.ones(len(order), np.bool_)
    new[1:] = np.diff(person[order]).astype(np.bool_) | np.diff(codes[order]).astype(np.bool_)
    if keep_last:
        new = np.append(new[1:], True)[: len(order)]
    kept = np.zeros(len(order), np.bool_)
    kept[order] = new
    return kept


def latest_code(crowd: Crowd, codes: Ticks, moments: Ticks) -> Ticks:
    """The code of each person's latest row with one; equal moments: the lowest code; 0 without."""
    none = np.iinfo(np.int64).max
    ordered = codes[crowd.order]
    moment = np.where(ordered > 0, moments[crowd.order], np.iinfo(np.int64).min)
    last = np.repeat(
        np.maximum.reduceat(moment, crowd.starts), np.diff(crowd.starts, append=len(ordered))
    )
    candidates = np.where((moment == last) & (ordered > 0), ordered, none)
    lowest = np.minimum.reduceat(candidates, crowd.starts)
    return np.where(lowest == none, 0, lowest)


def most_frequent_code(crowd: Crowd, codes: Ticks) -> Ticks:
    """Each person's most frequent code above 0; ties: the lowest; 0 without."""
    people = len(crowd.ids)
    bound = 1 << int(codes.max(initial=0)).bit_length()  # a power of two: cheap to divide by
    ordered = codes[crowd.order]
    person = np.repeat(np.arange(people), np.diff(crowd.starts, append=len(ordered)))
    keys, counts = np.unique((person * bound + ordered)[ordered > 0], return_counts=True)
    owner = keys // bound
    score = counts * bound + (bound - 1 - keys % bound)
    found = np.zeros(people, np.int64)
    np.maximum.at(found, owner, score)
    return np.where(found > 0, bound - 1 - found % bound, 0)


def largest_code(crowd: Crowd, codes: Ticks) -> Ticks:
    """Each person's largest code."""
    return np.maximum.reduceat(codes[crowd.order], crowd.starts)


def summed_code(crowd: Crowd, codes: Ticks, values: Ticks, maximum: int) -> Ticks:
    """1 + min(sum of each person's values, maximum); 0 where no row has a value (code 0)."""
    known = codes[crowd.order] > 0
    # Capped before the sum as well, so that it cannot overflow.
    counted = np.where(known, np.minimum(values[crowd.order], maximum), 0)
    total = np.add.reduceat(counted, crowd.starts)
    any_known = np.maximum.reduceat(known, crowd.starts)
    return np.where(any_known, np.minimum(total, maximum) + 1, 0)
