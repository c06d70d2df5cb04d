"""Feeds: what a source said about places and days, and when it said so.

A row is one report: on ``reported`` the source said that ``place`` had ``value`` on ``date``. A later report about
the same place and day is a revision: it is added, it never replaces the row. So anybody can ask what was known on
any day (`Feed.known`), a back-test sees nothing that came later, and a number that changed can be shown to have
changed.

A report whose value is not a number withdraws: from that day on nothing is known again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hanse.errors import Fault

Days = NDArray[np.datetime64]  # datetime64[D]
Floats = NDArray[np.float64]
Places = NDArray[np.int32]
ONE_DAY = np.timedelta64(1, "D")


def day(value: Any) -> np.datetime64:
    """A date, an ISO text or a datetime64 as datetime64[D]."""
    return np.datetime64(value, "D")


def days_between(first: Any, last: Any) -> Days:
    """All days from ``first`` to ``last``, both included."""
    return np.arange(day(first), day(last) + ONE_DAY, dtype="datetime64[D]")


@dataclass(frozen=True, eq=False)
class Feed:
    """Reports of one source. ``place`` int32 [reports] counts in ``places``; ``date`` and ``reported`` are
    datetime64[D] [reports], ``value`` float64 [reports]. Rows are kept in the order in which they were reported.

    A value may be reported before its day (a forecast, a calendar). ``unread`` counts rows of the source that had
    no readable key, date or value. Raises `Fault` ``feed.shape`` if the columns do not fit together.
    """

    places: tuple[str, ...] = field(repr=False)
    place: Places = field(repr=False)
    date: Days = field(repr=False)
    reported: Days = field(repr=False)
    value: Floats = field(repr=False)
    name: str = "feed"
    unread: int = 0

    def __post_init__(self) -> None:
        columns = {
            "place": np.asarray(self.place, np.int32),
            "date": np.asarray(self.date, "datetime64[D]"),
            "reported": np.asarray(self.reported, "datetime64[D]"),
            "value": np.asarray(self.value, np.float64),
        }
        _check(self.name, len(self.places), columns)
        if np.any(columns["reported"][1:] < columns["reported"][:-1]):
            order = np.argsort(columns["reported"], kind="stable")
            columns = {name: column[order] for name, column in columns.items()}
        for name, column in columns.items():
            object.__setattr__(self, name, column)

    def __len__(self) -> int:
        return int(self.value.size)

    # --- what was known -------------------------------------------------------------------------

    def known(self, as_of: Any, dates: ArrayLike) -> Floats:
        """What was known at the end of the day ``as_of``: [places, days], not a number where nothing was.

        Of several reports about a place and day the newest counts, of several of one day the last.
        """
        wanted = np.asarray(dates, "datetime64[D]").reshape(-1)
        out = np.full((len(self.places), wanted.size), np.nan)
        rows, column = self._within(as_of, wanted)
        # Rows are in the order of their reports, and of assignments to one cell the last stands.
        out.reshape(-1)[self.place[rows].astype(np.int64) * wanted.size + column] = self.value[rows]
        return out

    def first_known(self, as_of: Any, dates: ArrayLike) -> Floats:
        """As `known`, with the *oldest* report of each place and day: what was said before any revision."""
        wanted = np.asarray(dates, "datetime64[D]").reshape(-1)
        out = np.full((len(self.places), wanted.size), np.nan)
        rows, column = self._within(as_of, wanted)
        cell = self.place[rows].astype(np.int64) * wanted.size + column
        out.reshape(-1)[cell[::-1]] = self.value[rows][::-1]
        return out

    def reported_on(self, as_of: Any, dates: ArrayLike) -> Days:
        """When the reports that `known` uses were made: [places, days], not a time where there is none."""
        wanted = np.asarray(dates, "datetime64[D]").reshape(-1)
        out = np.full((len(self.places), wanted.size), "NaT", "datetime64[D]")
        rows, column = self._within(as_of, wanted)
        cell = self.place[rows].astype(np.int64) * wanted.size + column
        out.reshape(-1)[cell] = self.reported[rows]
        return out

    def as_known(self, as_of: Any) -> Feed:
        """The feed with only the reports up to the end of ``as_of``."""
        return self._rows(slice(0, self._reports_until(as_of)))

    def revisions(self, place: str, date: Any) -> tuple[tuple[np.datetime64, float], ...]:
        """Every report about one place and day, the oldest first."""
        if place not in self.position:
            return ()
        rows = (self.place == self.position[place]) & (self.date == day(date))
        return tuple(zip(self.reported[rows], self.value[rows].tolist(), strict=True))

    @cached_property
    def position(self) -> dict[str, int]:
        """Where a place is in ``places``."""
        return {name: number for number, name in enumerate(self.places)}

    @cached_property
    def last_day(self) -> np.datetime64:
        """The newest day that is reported on; not a time in an empty feed."""
        return self.date.max() if len(self) else np.datetime64("NaT", "D")

    @cached_property
    def _lead(self) -> np.timedelta64:
        """How long before its day a value was reported at most."""
        return (self.date - self.reported).max() if len(self) else np.timedelta64(0, "D")

    def _reports_until(self, as_of: Any) -> int:
        return int(np.searchsorted(self.reported, day(as_of), side="right"))

    def _within(self, as_of: Any, wanted: Days) -> tuple[Any, NDArray[np.int64]]:
        """(rows reported until ``as_of`` about wanted days, which day each is about)."""
        if not wanted.size:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        order = np.argsort(wanted, kind="stable")
        ascending = wanted[order]
        if np.any(ascending[1:] == ascending[:-1]):
            raise Fault("feed.dates", f"the same day is asked for twice of the feed {self.name!r}",
                        remedy="ask for each day once", where=f"feed {self.name}")  # fmt: skip
        # No row about the first wanted day was reported longer before it than the feed's lead.
        first = int(np.searchsorted(self.reported, ascending[0] - self._lead, side="left"))
        last = max(first, self._reports_until(as_of))
        date = self.date[first:last]
        if ascending[-1] - ascending[0] == (wanted.size - 1) * ONE_DAY:
            place_in = (date - ascending[0]).astype(np.int64)
            inside = (place_in >= 0) & (place_in < wanted.size)
        else:
            place_in = np.minimum(np.searchsorted(ascending, date), wanted.size - 1)
            inside = ascending[place_in] == date
        if inside.all():
            return slice(first, last), order[place_in]
        kept = np.flatnonzero(inside)
        return first + kept, order[place_in[kept]]

    # --- other feeds from this one --------------------------------------------------------------

    def _rows(self, rows: Any) -> Feed:
        return replace(
            self, place=self.place[rows], date=self.date[rows], reported=self.reported[rows],
            value=self.value[rows],
        )  # fmt: skip

    def where(self, rows: NDArray[np.bool_]) -> Feed:
        """The feed with only these reports, over the same places."""
        return self._rows(np.asarray(rows, np.bool_))

    def over(self, places: Sequence[str]) -> Feed:
        """The feed over a list of places of the caller's: reports about others are left out."""
        wanted = {name: number for number, name in enumerate(places)}
        number = np.array([wanted.get(name, -1) for name in self.places], np.int32)
        place = number[self.place] if len(self) else self.place
        kept = place >= 0
        return replace(
            self, places=tuple(places), place=place[kept], date=self.date[kept],
            reported=self.reported[kept], value=self.value[kept],
        )  # fmt: skip

    def renamed(self, names: Mapping[str, str]) -> Feed:
        """The feed with place ids replaced, new to old; reports under both names become one place's."""
        called = [names.get(name, name) for name in self.places]
        places = tuple(dict.fromkeys(called))
        number = {name: n for n, name in enumerate(places)}
        new = np.array([number[name] for name in called], np.int32)
        return replace(self, places=places, place=new[self.place] if len(self) else self.place)

    def later(self, days: int) -> Feed:
        """The feed as it would be with every report ``days`` later (or earlier, if negative)."""
        return replace(self, reported=self.reported + np.timedelta64(days, "D"))

    def and_then(self, other: Feed) -> Feed:
        """This feed's reports and the other's, whose reports of the same day count as the later ones."""
        places = (*self.places, *(name for name in other.places if name not in self.position))
        second = other.over(places)
        return replace(
            self, places=places, place=np.concatenate([self.place, second.place]),
            date=np.concatenate([self.date, second.date]),
            reported=np.concatenate([self.reported, second.reported]),
            value=np.concatenate([self.value, second.value]), unread=self.unread + other.unread,
        )  # fmt: skip


def feed(
    keys: Sequence[str] | NDArray[Any],
    dates: ArrayLike,
    values: ArrayLike,
    *,
    lateness: int | ArrayLike = 0,
    reported: ArrayLike | None = None,
    places: Sequence[str] | None = None,
    name: str = "feed",
) -> Feed:
    """A feed from columns: ``keys`` [reports] are place ids, ``lateness`` days from the day to its report.

    ``reported`` [reports] overrides ``lateness``. ``places`` is a list to be over; without it, all keys in order.
    """
    known, number = np.unique(np.asarray(keys, np.str_), return_inverse=True)
    day_of: Days = np.asarray(dates, "datetime64[D]")
    if reported is None:
        report: Days = day_of + np.asarray(lateness).astype("timedelta64[D]")
    else:
        report = np.asarray(reported, "datetime64[D]")
    made = Feed(
        tuple(known.tolist()), number.reshape(-1).astype(np.int32), day_of,
        np.broadcast_to(report, day_of.shape), np.asarray(values, np.float64), name,
    )  # fmt: skip
    return made if places is None else made.over(places)


def from_matrix(
    places: Sequence[str], dates: ArrayLike, values: ArrayLike, *, lateness: int = 0, name: str = "feed"
) -> Feed:  # fmt: skip
    """A feed from ``values`` [places, days], each known ``lateness`` days after its day; holes are not reported."""
    table = np.asarray(values, np.float64)
    day_of: Days = np.asarray(dates, "datetime64[D]")
    if table.shape != (len(places), day_of.size):
        raise _fault(
            name, f"values have the shape {table.shape}, not one row a place and one column a day"
        )
    at, place = np.nonzero(np.isfinite(table.T))
    date = day_of[at]
    reported: Days = date + np.timedelta64(lateness, "D")
    return Feed(tuple(places), place.astype(np.int32), date, reported, table[place, at], name)


def _check(name: str, places: int, columns: dict[str, NDArray[Any]]) -> None:
    if any(column.ndim != 1 for column in columns.values()) or (
        len({column.size for column in columns.values()}) != 1
    ):
        raise _fault(name, "place, date, reported and value are not columns of one length")
    place = columns["place"]
    if place.size and not 0 <= int(place.min()) <= int(place.max()) < places:
        raise _fault(name, "place holds numbers that are in no list of places")
    if np.isnat(columns["date"]).any() or np.isnat(columns["reported"]).any():
        raise _fault(name, "a report has no date")


def _fault(name: str, message: str) -> Fault:
    return Fault(
        "feed.shape",
        f"the feed {name!r} does not fit together: {message}",
        remedy="give one place, day, report day and value for every report",
        where=f"feed {name}",
    )
