"""What was published every morning, kept so that it can be held against the truth, and never silently rewritten.

Numbers lie in append-only stores (`hanse.places.feeds.store`), one each for point, ends, confidence and whether the
number was published or withheld. A number that changes later is a revision with a version and a day; the scoreboard
judges what was said first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hanse.errors import Fault
from hanse.places.feeds.feed import Days, Feed, Floats, day
from hanse.places.feeds.store import FeedStore
from hanse.places.scoreboard.scoreboard import Told

PARTS = ("point", "low", "high", "confidence", "published")


@dataclass(frozen=True)
class Revision:
    """A number that was published and then changed."""

    place: str
    date: np.datetime64
    before: float
    after: float
    revised: np.datetime64


@dataclass(frozen=True)
class Receipt:
    """What a morning added: numbers of new place-days, and numbers that changed."""

    published_on: str
    added: int
    revised: int


@dataclass(frozen=True)
class Publications:
    """The numbers published by one node for one contract, in ``folder``."""

    folder: Path = field(repr=False)

    def publish(self, told: Told, on: date) -> Receipt:
        """Keep a morning's numbers. Raises what `FeedStore.append` raises."""
        added = revised = 0
        for part in PARTS:
            version = self._store(part).append(_feed(told, part, on), on)
            if version is not None and part == "point":
                added, revised = version.added, version.revised
        return Receipt(on.isoformat(), added, revised)

    def told(self, as_of: Any, dates: ArrayLike, *, first: bool = True) -> Told:
        """What was published of ``dates`` until ``as_of``: what was said ``first``, or the newest word.

        Raises `Fault` ``publications.none``.
        """
        wanted: Days = np.asarray(dates, "datetime64[D]").reshape(-1)
        feeds = {part: self._read(part) for part in PARTS}
        places = feeds["point"].places
        values = {
            part: _known(feed.over(places), as_of, wanted, first) for part, feed in feeds.items()
        }
        shown: NDArray[np.bool_] = values["published"] > 0.5
        return Told(
            places, wanted, values["point"], values["low"], values["high"], values["confidence"],
            shown,
        )  # fmt: skip

    def revisions(self, since: Any) -> tuple[Revision, ...]:
        """Every published number that changed on or after a day."""
        point = self._read("point")
        cell = point.place.astype(np.int64) * 10**6 + point.date.astype(np.int64)
        order = np.argsort(cell, kind="stable")  # rows of a cell stay in the order of their reports
        again = np.flatnonzero(cell[order][1:] == cell[order][:-1])
        found = []
        for a, b in zip(order[again].tolist(), order[again + 1].tolist(), strict=True):
            if point.reported[b] >= day(since):
                found.append(Revision(point.places[point.place[b]], point.date[b], float(point.value[a]),
                                      float(point.value[b]), point.reported[b]))  # fmt: skip
        return tuple(found)

    def verify(self) -> None:
        """Check that nothing published was changed or taken out. Raises `Fault` ``feed.changed``."""
        for part in PARTS:
            self._store(part).verify()

    def _store(self, part: str) -> FeedStore:
        return FeedStore(self.folder / part)

    def _read(self, part: str) -> Feed:
        if not (self.folder / part).is_dir():
            raise Fault("publications.none", "nothing was published yet", where="publications",
                        remedy="run the daily job first")  # fmt: skip
        return self._store(part).read()


def _feed(told: Told, part: str, on: date) -> Feed:
    """One part of a morning's numbers; what has no point is not there at all."""
    values: Floats = np.asarray(getattr(told, part), np.float64)
    at, place = np.nonzero(np.isfinite(told.point).T)
    reported = np.full(at.size, day(on))
    return Feed(
        told.places, place.astype(np.int32), told.dates[at], reported, values[place, at], part
    )


def _known(feed: Feed, as_of: Any, dates: Days, first: bool) -> Floats:
    return feed.first_known(as_of, dates) if first else feed.known(as_of, dates)
