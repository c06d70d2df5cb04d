"""What is wrong with when and how a feed reports: late, days missing, rows that contradict each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.places.feeds.feed import ONE_DAY, Days, Feed, Floats, day

_HISTORY = 120  # days from which the usual age of the newest day is learnt
_RECENT = 10  # the last of them are what is judged
_TOLERANCE = 2  # days beyond the usual age
_PAST = 14  # days that are revised at once
_RESTATED = 10  # revised values from which their common factor is judged


@dataclass(frozen=True)
class Lateness:
    """How old the newest day was, on the day that was asked about, and how old it usually is."""

    age: int
    usual: int

    @property
    def late(self) -> int:
        """Days beyond what is usual; 0 within the tolerance."""
        return self.age - self.usual if self.age - self.usual >= _TOLERANCE else 0


def lateness(feed: Feed, as_of: Any, usual: int | None = None) -> Lateness:
    """How late the feed is at the end of ``as_of``; ``usual`` is the age agreed upon, else its own in the past.

    Judged by the past are feeds with at least 14 days of it; younger ones are not late.
    """
    known = feed.as_known(as_of)
    if not len(known):
        return Lateness(0, 0)
    newest = np.maximum.accumulate(known.date)
    steps = np.diff(np.unique(known.date)).astype(np.int64)
    # Of a quarterly feed eight quarters, or its past would be the gap that is judged.
    span = max(_HISTORY, 8 * int(np.median(steps))) if steps.size else _HISTORY
    asked = np.arange(day(as_of) - np.timedelta64(span, "D"), day(as_of) + ONE_DAY)
    upto = np.searchsorted(known.reported, asked, side="right")
    there = upto > 0
    age = (asked[there] - newest[upto[there] - 1]).astype(np.int64)
    past = age[: -_RECENT - 1]
    if usual is None:
        # Quartiles: neither a few weeks without reports nor feeds that come in batches mislead them.
        low, high = np.quantile(past, [0.25, 0.75]) if past.size >= 14 else (age[-1], age[-1])
        usual = int(2 * high - low)
    return Lateness(int(age[-1]), usual)


def due(feed: Feed) -> int:
    """After how many days a day's first reports have come, 99 of 100 times."""
    if not len(feed):
        return 0
    return int(np.quantile((feed.reported - feed.date).astype(np.int64), 0.99))


def missing_days(values: Floats, daily: bool, steps: int = 28) -> NDArray[np.int64]:
    """Days [n] on which at most half of the places are there that usually are (on such weekdays, if ``daily``)."""
    there = np.isfinite(values).sum(axis=0)
    wrong = np.zeros(there.size, np.bool_)
    for now in range(1, there.size):
        before = np.arange(max(0, now - steps), now)
        if daily and now >= 14:
            before = before[(now - before) % 7 == 0]
        usual = float(np.median(there[before]))
        wrong[now] = usual >= 1 and there[now] <= 0.5 * usual
    return np.flatnonzero(wrong)


def contradictions(feed: Feed) -> tuple[NDArray[np.bool_], int]:
    """(rows that contradict another of the same place, day and report day; how many only repeat one)."""
    if not len(feed):
        return np.zeros(0, np.bool_), 0
    first, span = feed.date.min(), int((feed.date.max() - feed.date.min()).astype(int)) + 1
    cell = feed.place.astype(np.int64) * span + (feed.date - first).astype(np.int64)
    # Rows are ordered by report day, so a stable sort by cell puts rows of one cell and report day together.
    order = np.argsort(cell, kind="stable")
    together = (cell[order][1:] == cell[order][:-1]) & (
        feed.reported[order][1:] == feed.reported[order][:-1]
    )
    if not together.any():
        return np.zeros(len(feed), np.bool_), 0
    value = feed.value[order]
    same = (value[1:] == value[:-1]) | (np.isnan(value[1:]) & np.isnan(value[:-1]))
    group = np.concatenate([[0], np.cumsum(~together)])
    bad = np.zeros(int(group[-1]) + 1, np.bool_)
    bad[group[1:][together & ~same]] = True
    rows = np.zeros(len(feed), np.bool_)
    rows[order] = bad[group]
    return rows, int((together & same).sum())


@dataclass(frozen=True, eq=False)
class Restated:
    """Report days on which many values were revised by one large factor: ``rows`` are those reports."""

    rows: NDArray[np.bool_]
    days: Days
    factors: Floats


def restated(feed: Feed) -> Restated:
    """Reports that multiply what was known before by a factor of five and more, or divide it."""
    none = Restated(np.zeros(len(feed), np.bool_), np.zeros(0, "datetime64[D]"), np.zeros(0))
    if not len(feed):
        return none
    span = int((feed.date.max() - feed.date.min()).astype(int)) + 1
    cell = feed.place.astype(np.int64) * span + (feed.date - feed.date.min()).astype(np.int64)
    order = np.argsort(cell, kind="stable")
    again = np.flatnonzero(cell[order][1:] == cell[order][:-1])
    if again.size < _RESTATED:
        return none
    before, after = order[again], order[again + 1]
    old, new = feed.value[before], feed.value[after]
    judged = (old >= 20) & np.isfinite(new) & (new >= 0)
    ratio = np.log(np.maximum(new[judged], 0.5) / old[judged])
    report = feed.reported[after[judged]]
    out, days, factors = np.zeros(len(feed), np.bool_), [], []
    for one in np.unique(report):
        mine = report == one
        if int(mine.sum()) < _RESTATED:
            continue
        factor = float(np.median(ratio[mine]))
        these = after[feed.reported[after] == one]
        # A feed that fills in revises its newest days by large factors, not its past.
        if abs(factor) >= np.log(5) and np.unique(feed.date[these]).size >= _PAST:
            out[these] = True
            days.append(one)
            factors.append(float(np.exp(factor)))
    return Restated(out, np.array(days, "datetime64[D]"), np.array(factors))
