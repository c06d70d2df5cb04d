"""Where people live, work and go, from their visits: what a provider knows at home and brings to questions.

Home is the place of most night hours on enough nights; work is the place of most hours on weekdays by day, on
enough days, that is not home; all other visits are visits. The three tables are those that `hanse concentration`
asks for.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanse.catalog.gazetteers import Gazetteer
from hanse.places.home.visits import Visits, local_seconds

DAY = 86_400
WEEK = 7 * DAY
_FIRST_MONDAY = 4 * DAY  # 1970-01-01 was a Thursday


@dataclass(frozen=True)
class Rules:
    """Hours by the clock on the wall. Nights may pass midnight; days are those from Monday to Friday.

    A home needs ``nights`` different nights, a work place ``days`` different days of ``hours`` on average, and both
    a ``share`` of all the person's nights or days that were seen at any place.
    """

    night: tuple[int, int] = (21, 7)
    daytime: tuple[int, int] = (9, 18)
    nights: int = 5
    days: int = 5
    hours: float = 3.0
    share: float = 0.3


@dataclass(frozen=True, eq=False)
class Anchors:
    """The place of each person's home and work [people], -1 where none is sure."""

    home: NDArray[np.int64] = field(repr=False)
    work: NDArray[np.int64] = field(repr=False)


def anchors(found: Visits, zone: str, rules: Rules | None = None) -> Anchors:
    """Home and work of everybody in ``found``, over the whole time that it spans (some weeks)."""
    r = rules or Rules()
    people = len(found.people)
    begin, end = local_seconds(found.begin, zone), local_seconds(found.end, zone)
    length = (r.night[1] - r.night[0]) % 24
    nights = [(d * 24 + r.night[0], d * 24 + r.night[0] + length) for d in range(7)]
    days = [(d * 24 + r.daytime[0], d * 24 + r.daytime[1]) for d in range(5)]
    # A night is one from noon to noon, a day one from midnight to midnight.
    home = _anchor(found, begin, end, nights, DAY // 2, r.nights, 0.0, r.share, None)
    work = _anchor(found, begin, end, days, 0, r.days, r.hours, r.share, home)
    return Anchors(_of_people(home, people), _of_people(work, people))


def tables(
    found: Visits, known: Anchors, places: Gazetteer, minimum_stay: float = 10.0,
    excluded: tuple[str, ...] = (),
) -> dict[str, pa.Table]:  # fmt: skip
    """homes (id, home), works (id, work) and visits (id, at, place) as Arrow tables.

    Visits leave out home and work, and stays below ``minimum_stay`` minutes. Sensitive places (clinics, places of
    worship and so on, and what the contract ``excluded``) are in none of the tables: they are not even written
    down.
    """
    names = np.array(places.ids, np.str_)
    people = np.array(found.people, np.str_)
    hidden = places.sensitive(excluded)
    lives = (known.home >= 0) & ~hidden[known.home]
    works = (known.work >= 0) & ~hidden[known.work]
    elsewhere = (known.home[found.person] != found.place) & (
        known.work[found.person] != found.place
    )
    elsewhere &= (found.minutes >= minimum_stay) & ~hidden[found.place]
    at = found.begin[elsewhere].astype("datetime64[s]").astype("datetime64[us]")
    return {
        "homes": pa.table({"id": people[lives], "home": names[known.home[lives]]}),
        "works": pa.table({"id": people[works], "work": names[known.work[works]]}),
        "visits": pa.table({"id": people[found.person[elsewhere]], "at": at,
                            "place": names[found.place[elsewhere]]}),
    }  # fmt: skip


def _anchor(
    found: Visits, begin: NDArray[np.int64], end: NDArray[np.int64], windows: list[tuple[int, int]],
    turn: int, days: int, hours: float, share: float, taken: tuple[NDArray[np.int64], ...] | None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:  # fmt: skip
    """(people, their anchor): the place of most seconds in the windows, of those with enough days."""
    seconds = _within(end, windows) - _within(begin, windows)
    rows = np.flatnonzero(seconds > 0)
    places = int(found.place.max(initial=0)) + 1
    pair = found.person[rows] * places + found.place[rows]
    if taken is not None:
        known = np.full(len(found.people), -1, np.int64)
        known[taken[0]] = taken[1]
        free = known[found.person[rows]] != found.place[rows]
        rows, pair = rows[free], pair[free]
    # Which days a visit is of: those of its first and last moment, and all between.
    first, last = (begin[rows] - turn) // DAY, (end[rows] - turn) // DAY
    pairs, of = np.unique(pair, return_inverse=True)
    of = of.reshape(-1)
    spent = np.bincount(of, seconds[rows], pairs.size)
    seen = _distinct(of, first, last, pairs.size)
    person = pairs // places
    everywhere = _distinct(found.person[rows], first, last, len(found.people))
    enough = (seen >= days) & (seen >= share * everywhere[person])
    enough &= spent >= hours * 3600 * np.maximum(seen, 1)
    order = np.lexsort((spent[enough], person[enough]))
    person, place = person[enough][order], (pairs % places)[enough][order]
    best = np.append(person[1:] != person[:-1], True) if person.size else np.zeros(0, np.bool_)
    return person[best], place[best]


def _within(moment: NDArray[np.int64], windows: list[tuple[int, int]]) -> NDArray[np.float64]:
    """Seconds in weekly windows (hours from Monday) from the epoch's Monday until each moment."""
    since = moment - _FIRST_MONDAY
    edges: list[float] = []
    grown: list[float] = []
    total = 0.0
    cut = []
    for first, last in windows:  # a window past Sunday's end goes on on Monday
        cut += [(first, min(last, 168)), (0, last - 168)] if last > 168 else [(first, last)]
    for first, last in sorted(cut):
        edges += [first * 3600.0, last * 3600.0]
        grown += [total, total + (last - first) * 3600.0]
        total = grown[-1]
    weeks = since // WEEK
    edges, grown = [0.0, *edges, float(WEEK)], [0.0, *grown, total]
    return np.asarray(weeks * total + np.interp(since - weeks * WEEK, edges, grown))


def _distinct(
    of: NDArray[np.int64], first: NDArray[np.int64], last: NDArray[np.int64], groups: int
) -> NDArray[np.int64]:
    """How many different days [groups] the spans first..last of each group's rows cover."""
    order = np.lexsort((first, of))
    of, first, last = of[order], first[order], last[order]
    if not of.size:
        return np.zeros(groups, np.int64)
    # The days a row adds: those after all days of earlier rows of its group.
    width = int(last.max() - first.min()) + 2
    until = np.maximum.accumulate(last - first.min() + of * width)
    before = np.append(np.int64(-1), until[:-1])
    start = np.maximum(first - first.min() + of * width, before + 1)
    added = np.maximum(last - first.min() + of * width - start + 1, 0)
    return np.bincount(of, added, groups).astype(np.int64)


def _of_people(
    found: tuple[NDArray[np.int64], NDArray[np.int64]], people: int
) -> NDArray[np.int64]:
    out = np.full(people, -1, np.int64)
    out[found[0]] = found[1]
    return out
