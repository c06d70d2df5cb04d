"""Hourly counts to days, over clock changes: a day has 23, 24 or 25 hours, and a day with a hole is no day.

Days are those of the clock on the wall in a time zone. Where the clock goes forward one hour is not missed; where
it goes back, one hour may be there twice. Days with other hours missing or twice are left out and told, not filled.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hanse.errors import Fault
from hanse.places.checks.checks import KINDS, Finding
from hanse.places.feeds.feed import ONE_DAY, Days, Feed, Floats

_HOUR = np.timedelta64(1, "h")
_MOST = 40


def daily(
    keys: Sequence[str] | NDArray[Any],
    hours: ArrayLike,
    values: ArrayLike,
    *,
    zone: str,
    utc: bool = False,
    lateness: int = 0,
    name: str = "feed",
) -> tuple[Feed, tuple[Finding, ...]]:
    """(daily sums as a feed, what was left out and why), from one row [rows] a place and hour.

    ``hours`` are the hours' starts by the clock in ``zone``, or in UTC; ``values`` that are not a number do not
    count as reported. Which hours a place reports at all is learnt from its days: a shop that is shut at night has
    whole days. Raises `Fault` ``feed.zone``.
    """
    start = np.asarray(hours, "datetime64[h]")
    known = np.isfinite(np.asarray(values, np.float64)) & ~np.isnat(start)
    start, value = start[known], np.asarray(values, np.float64)[known]
    places, place = np.unique(np.asarray(keys, np.str_)[known], return_inverse=True)
    if not start.size:
        return Feed((), np.zeros(0, np.int32), *_no_days(), np.zeros(0), name), ()
    wall = start + _shift(start, _zone(zone, name)) if utc else start
    first = wall.min().astype("datetime64[D]")
    dates: Days = np.arange(first, wall.max().astype("datetime64[D]") + ONE_DAY)
    shape = len(places), dates.size
    day = (wall.astype("datetime64[D]") - first).astype(np.int64)
    hour = (wall - wall.astype("datetime64[D]")).astype(np.int64)
    counts = _rows_by_hour(place.reshape(-1), day, hour, shape)
    cell = place.reshape(-1) * shape[1] + day
    summed = np.bincount(cell, weights=value, minlength=shape[0] * shape[1])
    sums: Floats = summed.astype(np.float64).reshape(shape)
    missing, twice = _holes(counts, _lengths(dates, _zone(zone, name)))
    over = np.ones(dates.size, np.bool_)  # of the last day what is still to come is no hole
    over[-1] = int(hour[day == shape[1] - 1].max()) == 23
    whole = counts.any(axis=2) & ~missing & ~twice & over
    at, which = np.nonzero(whole.T)
    made = Feed(
        tuple(places.tolist()), which.astype(np.int32), dates[at],
        dates[at] + np.timedelta64(lateness, "D"), sums[which, at], name,
    )  # fmt: skip
    return made, _findings(name, made.places, dates, (missing | twice) & over)


def _rows_by_hour(
    place: NDArray[np.int64],
    day: NDArray[np.int64],
    hour: NDArray[np.int64],
    shape: tuple[int, int],
) -> NDArray[np.uint8]:
    """How many rows there are of each hour [places, days, 24]."""
    cell = (place * shape[1] + day) * 24 + hour
    counts = np.bincount(cell, minlength=shape[0] * shape[1] * 24)
    return np.minimum(counts, 255).astype(np.uint8).reshape(*shape, 24)


def _holes(
    counts: NDArray[np.uint8], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(days with an hour missing, days with one too many), both [places, days]."""
    seen = counts > 0
    present = seen.any(axis=2)
    days = np.maximum(present.sum(axis=1), 1)
    # An hour belongs to a place if nine of its ten days have it.
    usual = seen.sum(axis=1) >= 0.9 * days[:, None]
    lacking = (usual[:, None, :] & ~seen).sum(axis=2)
    allowed = np.where(lengths < 24, 24 - lengths, 0)
    missing = present & (lacking > allowed[None, :])
    more = np.maximum(counts.astype(np.int64) - 1, 0).sum(axis=2)
    twice = more > np.where(lengths > 24, lengths - 24, 0)[None, :]
    return missing, twice


def _lengths(dates: Days, zone: ZoneInfo) -> NDArray[np.int64]:
    """Hours that each day has by the clock of the zone."""
    out = []
    for one in dates.tolist():
        begin = _midnight(one, zone)
        end = _midnight(one + timedelta(days=1), zone)
        out.append(round((end - begin).total_seconds() / 3600))
    return np.array(out, np.int64)


def _midnight(one: date, zone: ZoneInfo) -> datetime:
    """The start of a day, in UTC, so that a difference counts the hours that passed."""
    return datetime(one.year, one.month, one.day, tzinfo=zone).astimezone(ZoneInfo("UTC"))


def _shift(start: NDArray[Any], zone: ZoneInfo) -> NDArray[Any]:
    """What to add [rows] to hours of UTC for the clock of the zone; whole hours."""
    distinct, of = np.unique(start, return_inverse=True)
    offsets = []
    for moment in distinct.tolist():
        there = moment.replace(tzinfo=ZoneInfo("UTC")).astimezone(zone).utcoffset() or timedelta()
        offsets.append(int(there.total_seconds() // 3600))
    return np.array(offsets, np.int64)[of.reshape(-1)] * _HOUR


def _zone(name: str, feed: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise Fault("feed.zone", f"there is no time zone {name!r}", where=f"feed {feed}",
                    remedy="name one of the IANA list, such as Asia/Shanghai") from error  # fmt: skip


def _no_days() -> tuple[Days, Days]:
    return np.zeros(0, "datetime64[D]"), np.zeros(0, "datetime64[D]")


def _findings(
    name: str, places: tuple[str, ...], dates: Days, bad: NDArray[np.bool_]
) -> tuple[Finding, ...]:
    """One finding a day, the last `_MOST` days; all before as one."""
    what, remedy = KINDS["hours"]
    days = np.flatnonzero(bad.any(axis=0))
    groups = [days[:-_MOST], *days[-_MOST:, None]] if days.size > _MOST else [*days[:, None]]
    found = []
    for group in groups:
        mine = np.flatnonzero(bad[:, group].any(axis=1)).tolist()
        named = () if len(mine) == len(places) else tuple(places[p] for p in mine)
        found.append(Finding(name, "hours", named, dates[group[0]], dates[group[-1]], what, remedy,
                             int(bad[:, group].sum())))  # fmt: skip
    return tuple(found)
