"""Feeds that fill in gradually: what share of a day is known after so many days, and what the day will be.

An operator tells three quarters of a day after a week and the rest over a month. Taken as they are, the newest
days look quiet. The model learns from days that are settled how much of the final value was there after d days, by
weekday, divides by it, and says how unsure that makes the number. It looks only at reports until ``as_of``, so a
back-test learns what could have been learnt.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hanse.errors import Fault
from hanse.places.feeds.feed import ONE_DAY, Days, Feed, Floats, day

_LEAST_SHARE = 0.05  # less than this of a day says nothing about it
_LEAST_CELLS = 30  # of a weekday; fewer lean on all weekdays
_LEAST_VALUE = 10.0  # final values below are left out of the spread: their shares are all noise
_MOST_CELLS = 20_000


@dataclass(frozen=True, eq=False)
class Completed:
    """Values [places, days] as they will be, with ``deviation``: the standard deviation of their logarithm.

    ``share`` [days] is how much of each day is expected to be known. Settled days have deviation 0 and share 1;
    days of which next to nothing is known are not a number.
    """

    values: Floats
    deviation: Floats
    share: Floats


@dataclass(frozen=True, eq=False)
class Delays:
    """``share`` and ``deviation`` [7, delays]: of weekday (0 is Thursday, 1970-01-01) and days after the day.

    ``settled`` is after how many days values are taken as final.
    """

    share: Floats = field(repr=False)
    deviation: Floats = field(repr=False)
    settled: int

    @property
    def gradual(self) -> bool:
        """Whether the feed fills in at all: some share is known early that is not yet the whole."""
        told = self.share[np.isfinite(self.share)]
        return bool(told.size) and bool((np.abs(told - 1) > 0.02).any())

    def completed(self, feed: Feed, as_of: Any, dates: ArrayLike) -> Completed:
        """What the feed's days will be, from what is known at the end of ``as_of``."""
        wanted: Days = np.asarray(dates, "datetime64[D]").reshape(-1)
        known = feed.known(as_of, wanted)
        age = (day(as_of) - wanted).astype(np.int64)
        weekday = wanted.astype(np.int64) % 7
        partial = (age >= 0) & (age < self.settled)
        share, deviation = np.ones(wanted.size), np.zeros(wanted.size)
        share[partial] = self.share[weekday[partial], age[partial]]
        deviation[partial] = self.deviation[weekday[partial], age[partial]]
        usable = share >= _LEAST_SHARE
        values = np.where(usable, known / np.where(usable, share, 1.0), np.nan)
        return Completed(values, np.where(np.isfinite(values), deviation, np.nan), share)


def learn(feed: Feed, as_of: Any, *, settled: int = 60, days: int = 120) -> Delays:
    """How the feed fills in, from the ``days`` days that are settled at the end of ``as_of``.

    Raises `Fault` ``feed.delays`` if there are fewer than 14 such days.
    """
    last = day(as_of) - np.timedelta64(settled, "D")
    first = last - np.timedelta64(days - 1, "D")
    known = feed.as_known(as_of)
    known = known.where((known.date >= first) & (known.date <= last))
    if np.unique(known.date).size < 14:
        raise Fault(
            "feed.delays",
            f"the feed {feed.name!r} has fewer than 14 days that are {settled} days old",
            remedy="wait until there are, or take a smaller number of days after which values are settled",
            where=f"feed {feed.name}",
        )
    weekday, told = _told(known, first, settled)
    return Delays(*_shares(weekday, told), settled)


def _told(known: Feed, first: np.datetime64, settled: int) -> tuple[NDArray[np.int64], Floats]:
    """(weekday [cells], what was known of each place and day after 0..settled days [cells, settled + 1])."""
    span = int((known.date.max() - first) / ONE_DAY) + 1
    cell = known.place.astype(np.int64) * span + (known.date - first).astype(np.int64)
    cells, of = np.unique(cell, return_inverse=True)
    if cells.size > _MOST_CELLS:  # evenly spread over places and days
        chosen = np.unique(np.linspace(0, cells.size - 1, _MOST_CELLS).astype(np.int64))
        number = np.full(cells.size, -1, np.int64)
        number[chosen] = np.arange(chosen.size)
        of, cells = number[of.reshape(-1)], cells[chosen]
    rows = np.flatnonzero(of.reshape(-1) >= 0)
    late = np.clip((known.reported[rows] - known.date[rows]).astype(np.int64), 0, settled)
    table = np.full((cells.size, settled + 1), np.nan)
    table[of.reshape(-1)[rows], late] = known.value[rows]  # in the order of their reports
    at = np.where(np.isfinite(table), np.arange(settled + 1), -1)
    at = np.maximum.accumulate(at, axis=1)
    filled = np.where(at >= 0, np.take_along_axis(table, np.maximum(at, 0), axis=1), np.nan)
    weekday = (first.astype(np.int64) + cells % span) % 7
    return weekday, filled


def _shares(weekday: NDArray[np.int64], told: Floats) -> tuple[Floats, Floats]:
    """(share, deviation) [7, settled]: of what was reported at all, weighted by size; deviations are robust."""
    final = told[:, -1]
    good = np.isfinite(final) & (final > 0)
    weekday, told, final = weekday[good], told[good], final[good]
    share = np.full((7, told.shape[1] - 1), np.nan)
    deviation = np.full_like(share, np.nan)
    for delay in range(share.shape[1]):
        known = np.isfinite(told[:, delay])
        if not known.any():
            continue
        part, whole = told[known, delay], final[known]
        overall = float(part.sum() / whole.sum())
        big = whole >= _LEAST_VALUE
        for one in range(7):
            mine = weekday[known] == one
            count = int(mine.sum())
            lean = _LEAST_CELLS / (count + _LEAST_CELLS)
            own = float(part[mine].sum() / whole[mine].sum()) if count else overall
            share[one, delay] = lean * overall + (1 - lean) * own
            judged = big & (mine if count >= _LEAST_CELLS else np.ones_like(mine)) & (part > 0)
            if judged.any() and share[one, delay] > 0:
                off = np.log(part[judged] / whole[judged] / share[one, delay])
                deviation[one, delay] = _deviation(off)
    return share, deviation


def _deviation(off: Floats) -> float:
    """Half of what 68 % of the logarithms lie in: a standard deviation that a few wild ones do not move."""
    low, high = np.quantile(off, [0.16, 0.84])
    return float(max(high - low, 0.0) / 2)
