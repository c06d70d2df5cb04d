"""Visits: stays at places, one per person however many devices saw it, qualified as the contract says.

1. each stay goes to the nearest place in reach, or to none
2. devices become people, so that a phone and a tablet do not count twice
3. stays of a person at a place that overlap or nearly touch become one visit
4. too short visits, residents and staff are left out where the definition of the crowd says so
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from hanse.catalog.gazetteers import Gazetteer
from hanse.contracts.truths import TruthClause
from hanse.places.feeds.feed import Days
from hanse.places.home import kernels
from hanse.places.home.stays import Stays, metres

REACH = 80.0  # metres from a place's point, if nothing else is known
_APART = 15  # minutes between two stays of one visit
_STAFF_DAYS, _STAFF_HOURS = 8, 4.0  # so many days in the span, so long on most of them
_MOST_CELLS = 4_000_000


@dataclass(frozen=True, eq=False)
class Visits:
    """Sorted by person, place and begin. ``person`` counts in ``people``, ``place`` in the list of places.

    ``begin`` and ``end`` are seconds UTC [visits]; ``date`` is the day that each belongs to, the one it begins on.
    """

    people: tuple[str, ...] = field(repr=False)
    person: NDArray[np.int64] = field(repr=False)
    place: NDArray[np.int64] = field(repr=False)
    begin: NDArray[np.int64] = field(repr=False)
    end: NDArray[np.int64] = field(repr=False)
    date: Days = field(repr=False)

    def __len__(self) -> int:
        return int(self.begin.size)

    @property
    def minutes(self) -> NDArray[np.float64]:
        """How long each visit lasts."""
        return np.asarray((self.end - self.begin) / 60.0, np.float64)

    def where(self, rows: NDArray[np.bool_]) -> Visits:
        """Only these."""
        return replace(
            self, person=self.person[rows], place=self.place[rows], begin=self.begin[rows],
            end=self.end[rows], date=self.date[rows],
        )  # fmt: skip


def visits(
    stays: Stays,
    places: Gazetteer,
    *,
    zone: str,
    day_starts: str = "00:00",
    reach: float | NDArray[np.float64] = REACH,
    owners: Mapping[str, str] | None = None,
) -> Visits:
    """All visits to ``places``, qualified by nothing yet.

    ``reach`` is metres, for all places or each [places]; ``owners`` says whose a device is (a device without an
    entry is somebody of its own).
    """
    at = places_of(stays.lat, stays.lon, places, reach)
    people, owner = _people(stays.devices, owners or {})
    there = at >= 0
    person, place = owner[stays.device[there]], at[there]
    begin, end = stays.begin[there], stays.end[there]
    order = np.lexsort((begin, place, person))
    person, place, begin, end = person[order], place[order], begin[order], end[order]
    number = np.empty(person.size, np.int64)
    count = kernels.merged(person, place, begin, end, _APART * 60, number)
    first = np.searchsorted(number, np.arange(count))
    until = np.full(count, np.iinfo(np.int64).min)
    np.maximum.at(until, number, end)
    return Visits(people, person[first], place[first], begin[first], until,
                  local_days(begin[first], zone, day_starts))  # fmt: skip


def qualified(found: Visits, clause: TruthClause, homes: NDArray[np.int64] | None = None) -> Visits:
    """The visits that count as the crowd by the contract's definition.

    ``homes`` [people] is the place that each lives at, -1 if unknown; it is needed where residents are left out.
    """
    kept = found.minutes >= clause.minimum_stay
    if "residents" in clause.leaves_out and homes is not None:
        kept &= homes[found.person] != found.place
    if "staff" in clause.leaves_out:
        kept &= ~_staff(found)
    return found.where(kept)


def places_of(
    lat: NDArray[np.float64],
    lon: NDArray[np.float64],
    places: Gazetteer,
    reach: float | NDArray[np.float64] = REACH,
) -> NDArray[np.int64]:
    """The nearest place in reach of each point [points], by its number in the list; -1 without one."""
    middle = float(np.median(places.lat))
    x, y = metres(lat, lon, middle)
    place_x, place_y = metres(places.lat, places.lon, middle)
    far = np.broadcast_to(np.asarray(reach, np.float64), place_x.shape)
    low_x, low_y = float(place_x.min()), float(place_y.min())
    wide, tall = float(place_x.max()) - low_x, float(place_y.max()) - low_y
    # Cells as wide as the largest reach, but no more of them than fit into memory, however wide the list is.
    side = max(float(far.max()), 1.0, float(np.sqrt(wide * tall / _MOST_CELLS)), wide / _MOST_CELLS)
    columns, rows = int(wide // side) + 1, int(tall // side) + 1
    column, row = (place_x - low_x) // side, (place_y - low_y) // side
    cell = row.astype(np.int64) * columns + column.astype(np.int64)
    order = np.argsort(cell, kind="stable")
    start = np.searchsorted(cell[order], np.arange(columns * rows + 1))
    found = np.empty(x.size, np.int64)
    kernels.nearest(x, y, place_x[order], place_y[order], start, columns, rows, low_x, low_y, side,
                    far[order], found)  # fmt: skip
    return np.where(found >= 0, order[np.maximum(found, 0)], -1)


def local_days(second: NDArray[np.int64], zone: str, day_starts: str = "00:00") -> Days:
    """The day of ``zone`` that each moment [moments] (seconds UTC) is of, days beginning at ``day_starts``."""
    hour, minute = (int(part) for part in day_starts.split(":"))
    return np.asarray(
        (local_seconds(second, zone) - (hour * 60 + minute) * 60) // 86_400, "datetime64[D]"
    )


def local_seconds(second: NDArray[np.int64], zone: str) -> NDArray[np.int64]:
    """Seconds UTC as seconds by the clock on the wall of a zone. Offsets change on quarter hours at most."""
    quarter, of = np.unique(second // 900, return_inverse=True)
    where = ZoneInfo(zone)
    utc = ZoneInfo("UTC")
    moments = (quarter * 900).astype("datetime64[s]").tolist()
    shift = [m.replace(tzinfo=utc).astimezone(where).utcoffset().total_seconds() for m in moments]
    return second + np.array(shift, np.int64)[of.reshape(-1)]


def _people(
    devices: tuple[str, ...], owners: Mapping[str, str]
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """(people ascending, each device's [devices])."""
    called = [owners.get(name, name) for name in devices]
    people = sorted(set(called))
    number = {name: n for n, name in enumerate(people)}
    return tuple(people), np.array([number[name] for name in called], np.int64)


def _staff(found: Visits) -> NDArray[np.bool_]:
    """Visits [visits] of people who are at a place on many days for hours: they work there."""
    pair = found.person * (int(found.place.max(initial=0)) + 1) + found.place
    day = found.date.astype(np.int64)
    key = np.stack([pair, day], axis=1)
    days, of = np.unique(key, axis=0, return_inverse=True)
    hours = np.bincount(of.reshape(-1), found.minutes) / 60
    pairs, which = np.unique(days[:, 0], return_inverse=True)
    long = np.bincount(which, hours >= _STAFF_HOURS)
    staff = pairs[(long >= _STAFF_DAYS) & (long >= 0.5 * np.bincount(which))]
    return np.isin(pair, staff)
