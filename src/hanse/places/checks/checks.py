"""Checks: what is wrong with a feed is flagged by name and taken out, never averaged in.

`checked` gives the feed without what is certainly wrong, and findings that say what, where, since when and how to
mend it. A value that was taken out is unknown: whatever uses the feed falls back as `feeds.standins` says.
Real surprises (holidays, festivals, lockdowns) are not flagged; `docs/guide/feeds.md` has how often that fails.
Where a flag is wrong, an `Accepted` of the operator's lets the values through and stays in the findings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.places.checks import places as check_places
from hanse.places.checks import reports as check_reports
from hanse.places.checks.rules import Flags, Mask, flagged
from hanse.places.feeds.delays import Delays
from hanse.places.feeds.feed import ONE_DAY, Days, Feed, day

_PASSES = 3
_GAP = 7  # steps between two flags of a place that belong to one finding
_MOST = 40  # findings of one kind; the rest are told as one
_SHOWN = 4

# kind: (what was found, how to mend it). Kinds with values taken out come first.
KINDS: dict[str, tuple[str, str]] = {
    "negative": ("negative counts", "ask the source; a count is never below nothing"),
    "copied": ("the whole day repeats the counts of {source}", "ask the source for the day's own counts"),
    "unit": ("values are {factor} what they were: another unit",
             "ask the source which unit it reports in, and convert"),
    "doubled": ("every place has twice what such days have: rows counted twice",
                "ask the source; add up each row once"),
    "absurd": ("values far beyond anything that the places ever had", "ask the source for the true counts"),
    "sunk": ("nearly nothing is left of the usual counts", "look at the counter; if it is true, accept it"),
    "zero": ("zeros at places that are never empty", "look at the counter; if the place is closed, accept it"),
    "stuck": ("the same count day after day", "look at the counter: it may repeat its last value"),
    "contradiction": ("several values for one place, day and report", "ask the source which one holds"),
    "restated": ("the source restated its past: {factor} what it was", "ask the source which unit it reports in"),
    "renamed": ("place ids vanished on the day on which like ones appeared: {pairs}",
                "map the new ids to the old with `Feed.renamed`"),
    "future": ("days that had not come yet", "check the dates and the time zone of the source"),
    "hours": ("days with hours missing or twice", "ask the source for whole days"),
    "late": ("the newest day is {age} days old, {late} more than usual", "ask the source when the next days come"),
    "missing-day": ("days on which most places are missing", "ask the source for these days"),
    "appeared": ("places that are new in the feed", "add them to the list of places if they are real"),
    "closed": ("places that stopped reporting", "ask the source whether they closed for good"),
    "apart": ("places that moved five times more or less than all others, for days",
              "look at the counter or the street; nothing was taken out"),
    "unread": ("{count} rows without a readable place, day or value", "look at the source's export"),
    "repeated": ("{count} rows are there twice, alike", "export each row once; nothing was lost"),
}  # fmt: skip
TAKEN_OUT = tuple(KINDS)[: tuple(KINDS).index("late")]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a feed. ``kind`` is stable (`KINDS`), ``what`` and ``remedy`` are for people.

    ``places`` are all the places it is about, () for the feed as a whole; ``first`` and ``last`` its days.
    ``removed`` values were taken out; ``accepted`` ones were let through because the operator said so.
    """

    feed: str
    kind: str
    places: tuple[str, ...]
    first: np.datetime64
    last: np.datetime64
    what: str
    remedy: str
    removed: int = 0
    accepted: bool = False

    @property
    def dates(self) -> tuple[np.datetime64, np.datetime64]:
        return self.first, self.last

    def __str__(self) -> str:
        shown = ", ".join(self.places[:_SHOWN])
        more = len(self.places) - _SHOWN
        named = f"{shown} and {more} more" if more > 0 else shown or "all places"
        when = f"{self.first}" if self.first == self.last else f"{self.first} to {self.last}"
        taken = f"; {self.removed:,} values taken out" if self.removed else ""
        told = "; accepted" if self.accepted else ""
        return f"{self.feed}: {self.kind}: {self.what} ({named}; {when}){taken}{told}. To mend it: {self.remedy}"


@dataclass(frozen=True)
class Accepted:
    """An operator's word that findings of a kind are true: at ``places`` (() for all), on these days."""

    kind: str
    first: Any
    last: Any
    places: tuple[str, ...] = ()


def checked(
    feed: Feed,
    as_of: Any,
    *,
    since: Any = None,
    usual_lateness: int | None = None,
    ahead: bool = False,
    accepted: Sequence[Accepted] = (),
    gradual: Delays | None = None,
) -> tuple[Feed, tuple[Finding, ...]]:
    """(the feed as known at the end of ``as_of`` without what is wrong with it, what was found).

    ``since`` is the first day that is judged (all by default); give about 120 days for quick daily checks.
    ``usual_lateness`` is how old the newest day may be, where that is agreed; ``ahead`` allows days to come.
    Of a feed that fills in, give the delay model (``gradual``): days that are not whole yet are judged as they will
    be, and kept as they are.
    """
    known = feed.as_known(as_of)
    if since is not None:
        known = known.where(known.date >= day(since))
    found = list(_of_rows(feed, known))
    known, more = _of_reports(known, as_of, usual_lateness, ahead)
    found += more
    for turn in range(_PASSES):
        if not len(known):
            break
        table = _Table(known, as_of, gradual)
        wrong, more = _of_values(table, accepted)
        found += [
            f
            for f in more
            if not (turn and f.kind in ("appeared", "closed", "missing-day", "apart"))
        ]
        if not wrong.any():
            break
        # Where a wrong report revised an earlier one, the earlier one stands, if it is not wrong as well.
        known, older = table.without(wrong, newest_only=turn < _PASSES - 1)
        if not older:
            break
    return known, tuple(
        sorted(found, key=lambda f: (tuple(KINDS).index(f.kind), f.first, f.places))
    )


def rows_checked(feed: Feed, as_of: Any) -> tuple[Feed, tuple[Finding, ...]]:
    """(the reports up to ``as_of`` without rows that cannot be true whatever their values, what was found).

    For a feed on its way into a store, which keeps one value a place, day and report day. `checked` is for what
    the store gives.
    """
    known = feed.as_known(as_of)
    found = _of_rows(feed, known)
    return _possible(known, as_of, found), tuple(found)


# --- rows and reports ---------------------------------------------------------------------------------


def _of_rows(feed: Feed, known: Feed) -> list[Finding]:
    found = []
    if feed.unread:
        found.append(_finding(feed.name, "unread", (), *_span(known), count=f"{feed.unread:,}"))
    _, repeated = check_reports.contradictions(known)
    if repeated:
        found.append(_finding(feed.name, "repeated", (), *_span(known), count=f"{repeated:,}"))
    return found


def _of_reports(
    known: Feed, as_of: Any, usual: int | None, ahead: bool
) -> tuple[Feed, list[Finding]]:
    """Rows that contradict, restate or foretell are taken out; a late feed is told."""
    found: list[Finding] = []
    known = _possible(known, as_of, found, ahead=ahead)
    again = check_reports.restated(known)
    for report, factor in zip(again.days, again.factors.tolist(), strict=True):
        rows = again.rows & (known.reported == report)
        found.append(_rows_finding(known, rows, "restated", factor=_times(factor)))
    known = known.where(~again.rows) if again.days.size else known
    late = check_reports.lateness(known, as_of, usual)
    if late.late and not ahead:
        newest = known.last_day
        found.append(_finding(known.name, "late", (), newest + ONE_DAY, day(as_of), age=f"{late.age}",
                              late=f"{late.late}"))  # fmt: skip
    return known, found


def _possible(known: Feed, as_of: Any, found: list[Finding], *, ahead: bool = False) -> Feed:
    """Without days to come and without rows that contradict each other."""
    if not ahead and len(known):
        known = _taken(known, known.date > day(as_of), "future", found)
    bad, _ = check_reports.contradictions(known)
    return _taken(known, bad, "contradiction", found)


def _taken(known: Feed, rows: NDArray[np.bool_], kind: str, found: list[Finding]) -> Feed:
    if not rows.any():
        return known
    found.append(_rows_finding(known, rows, kind))
    return known.where(~rows)


def _rows_finding(known: Feed, rows: NDArray[np.bool_], kind: str, factor: str = "") -> Finding:
    places = tuple(known.places[p] for p in np.unique(known.place[rows]).tolist())
    dates = known.date[rows]
    return _finding(
        known.name, kind, places, dates.min(), dates.max(), int(rows.sum()), factor=factor
    )


# --- values -------------------------------------------------------------------------------------------


class _Table:
    """A feed as known, as a table of places and days: every day, or the days that a sparse feed has."""

    def __init__(self, feed: Feed, as_of: Any, gradual: Delays | None) -> None:
        self.feed = feed
        self.as_of = as_of
        used = np.unique(feed.date)
        steps = np.diff(used).astype(np.int64)
        self.daily = not steps.size or float(np.median(steps)) <= 1
        self.dates: Days = np.arange(used[0], used[-1] + ONE_DAY) if self.daily else used
        self.values = (
            feed.known(as_of, self.dates)
            if gradual is None
            else gradual.completed(feed, as_of, self.dates).values
        )

    def without(self, wrong: Mask, newest_only: bool) -> tuple[Feed, bool]:
        """(the feed without the reports behind these cells, whether older reports about them are left)."""
        column = np.searchsorted(self.dates, self.feed.date)
        rows = wrong[self.feed.place, column]
        if newest_only:
            newest = self.feed.reported_on(self.as_of, self.dates)
            rows &= self.feed.reported == newest[self.feed.place, column]
        left = self.feed.where(~rows)
        column = column[~rows]
        return left, bool(wrong[left.place, column].any())


def _of_values(table: _Table, accepted: Sequence[Accepted]) -> tuple[Mask, list[Finding]]:
    """(cells to be taken out, findings about values and places)."""
    feed, dates = table.feed, table.dates
    flags = flagged(table.values, dates, table.daily)
    wrong = np.zeros(table.values.shape, np.bool_)
    found: list[Finding] = []
    for kind, cells in flags.cells.items():
        true = _accepted(cells, feed.places, dates, kind, accepted)
        found += _grouped(feed, dates, kind, cells & ~true, flags)
        found += _grouped(feed, dates, kind, cells & true, flags, accepted=True)
        wrong |= cells & ~true
    found += _grouped(feed, dates, "apart", flags.apart & ~wrong, flags)
    seen = np.where(wrong, np.nan, table.values)
    names, cells = _of_places(table, accepted)
    found += names
    wrong |= cells
    lacking = check_reports.missing_days(table.values, table.daily)
    waited = day(table.as_of) - np.timedelta64(check_reports.due(feed), "D")
    for at in _runs(lacking[dates[lacking] <= waited]):
        count = int((~np.isfinite(seen[:, at[0]])).sum())
        places = tuple(np.array(feed.places)[~np.isfinite(table.values[:, at[0]])].tolist())
        found.append(_finding(feed.name, "missing-day", places if count < len(feed.places) else (),
                              dates[at[0]], dates[at[1]]))  # fmt: skip
    return wrong, found


def _of_places(table: _Table, accepted: Sequence[Accepted]) -> tuple[list[Finding], Mask]:
    feed, dates = table.feed, table.dates
    come = check_places.comings(table.values, feed.places, table.daily)
    wrong = np.zeros(table.values.shape, np.bool_)
    found = []
    fresh = np.array(sorted({b for _, b in come.renamed} | set(come.bulk.tolist())), np.int64)
    if fresh.size:
        pairs = ", ".join(
            f"{feed.places[a]!r} is {feed.places[b]!r}" for a, b in come.renamed[:_SHOWN]
        )
        more = fresh.size - min(len(come.renamed), _SHOWN)
        cells = np.zeros_like(wrong)
        cells[fresh] = np.isfinite(table.values[fresh])
        true = _accepted(cells, feed.places, dates, "renamed", accepted)
        wrong |= cells & ~true
        told = f"{pairs or f'{fresh.size:,} at once'}" + (
            f" and {more:,} more" if pairs and more else ""
        )
        found.append(_finding(feed.name, "renamed", tuple(feed.places[p] for p in fresh.tolist()),
                              dates[come.first[fresh].min()], dates[-1], int((cells & ~true).sum()),
                              accepted=bool(true.any()), pairs=told))  # fmt: skip
    for kind, places, at in (
        ("appeared", come.appeared, come.first),
        ("closed", come.closed, come.last),
    ):
        for when in np.unique(at[places]).tolist():
            mine = tuple(feed.places[p] for p in places[at[places] == when].tolist())
            since = dates[when] if kind == "appeared" else dates[when] + ONE_DAY
            found.append(_finding(feed.name, kind, mine, since, dates[-1]))
    return found, wrong


def _accepted(
    cells: Mask, places: tuple[str, ...], dates: Days, kind: str, accepted: Sequence[Accepted]
) -> Mask:
    """Those of the cells that an operator accepted."""
    true = np.zeros_like(cells)
    for one in accepted:
        if one.kind == kind:
            inside = (dates >= day(one.first)) & (dates <= day(one.last))
            mine = (
                np.isin(np.array(places), one.places)
                if one.places
                else np.ones(len(places), np.bool_)
            )
            true |= cells & mine[:, None] & inside[None, :]
    return true


# --- findings -----------------------------------------------------------------------------------------


def _grouped(
    feed: Feed, dates: Days, kind: str, cells: Mask, flags: Flags, accepted: bool = False
) -> list[Finding]:
    """One finding for places that are wrong on the same days; what is many is told together."""
    groups: dict[tuple[int, int], list[int]] = {}
    counts: dict[tuple[int, int], int] = {}
    for place in np.flatnonzero(cells.any(axis=1)).tolist():
        at = np.flatnonzero(cells[place])
        for run in _runs(at):
            groups.setdefault(run, []).append(place)
            counts[run] = counts.get(run, 0) + int(((at >= run[0]) & (at <= run[1])).sum())
    removed = kind != "apart" and not accepted
    largest = sorted(groups, key=lambda run: (-counts[run], run))
    found = []
    for run in largest[:_MOST]:
        words = _words(kind, run, groups[run], dates, flags)
        found.append(_finding(feed.name, kind, tuple(feed.places[p] for p in groups[run]), dates[run[0]],
                              dates[run[1]], counts[run] * removed, accepted, **words))  # fmt: skip
    rest = largest[_MOST:]
    if rest:
        places = sorted({p for run in rest for p in groups[run]})
        first, last = min(run[0] for run in rest), max(run[1] for run in rest)
        found.append(_finding(feed.name, kind, tuple(feed.places[p] for p in places), dates[first],
                              dates[last], sum(counts[run] for run in rest) * removed, accepted,
                              **_words(kind, rest[0], groups[rest[0]], dates, flags)))  # fmt: skip
    return found


def _words(
    kind: str, run: tuple[int, int], places: list[int], dates: Days, flags: Flags
) -> dict[str, str]:
    """What a kind's sentence needs to know."""
    days = np.arange(run[0], run[1] + 1)
    if kind == "copied":
        source = flags.source[days]
        return {"source": f"{dates[source[source >= 0][0]]}"}
    if kind == "unit":
        factor = flags.factor[places][:, days]
        known = factor[np.isfinite(factor)]
        # Without a history of its own a place is held against the whole feed: no factor is known.
        return {"factor": _times(float(np.median(known))) if known.size else "many times"}
    return {}


def _times(factor: float) -> str:
    """A factor in words: "about 1,000 times", "about 1/1,000 of". Near a power of ten it is taken for one."""
    power = np.log10(factor)
    if abs(power - np.rint(power)) < 0.15:
        factor = float(10 ** np.rint(power))
    return f"about {factor:,.0f} times" if factor >= 1 else f"about 1/{1 / factor:,.0f} of"


def _runs(at: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Stretches (first, last) of steps that follow each other within `_GAP`."""
    if not at.size:
        return []
    cut = np.flatnonzero(np.diff(at) > _GAP) + 1
    return [(int(part[0]), int(part[-1])) for part in np.split(at, cut)]


def _span(known: Feed) -> tuple[np.datetime64, np.datetime64]:
    return (known.date.min(), known.date.max()) if len(known) else (known.last_day, known.last_day)


def _finding(
    name: str, kind: str, places: tuple[str, ...], first: Any, last: Any, removed: int = 0,
    accepted: bool = False, **words: str,
) -> Finding:  # fmt: skip
    what, remedy = KINDS[kind]
    return Finding(
        name, kind, places, first, last, what.format_map(words), remedy, removed, accepted
    )
