"""Who stands in when a source is missing: the order in which the daily numbers degrade, and what is said of it.

Each kind of source has a list of what is used in its place, best first, and what that costs the reader: a wider
interval, a later day, or no number at all. `degraded` looks at the feeds and their findings and says which rung
each stands on today; the daily report carries it, so nobody takes a stand-in's number for one from the source.

This is about sources as a whole. A single place whose values were taken out has no news of its own, and goes the
same way down alone: its values are not known, as if they had not come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hanse.places.checks.checks import Finding
from hanse.places.checks.reports import lateness
from hanse.places.feeds.feed import ONE_DAY, Feed, day

Source = Literal["truth", "area", "panel", "weather", "calendar", "places"]
SOURCES: tuple[Source, ...] = ("truth", "area", "panel", "weather", "calendar", "places")


@dataclass(frozen=True)
class Rung:
    """One step down: what is used, what it asks for, what it means for the numbers."""

    name: str
    uses: str
    needs: str
    effect: str


# The order, source by source, best first. `docs/guide/feeds.md` prints this table.
LADDER: Mapping[Source, tuple[Rung, ...]] = {
    "truth": (
        Rung("fresh", "the owner's own counts", "counts as new as agreed", "the numbers as they should be"),
        Rung("late", "the newest counts, carried forward by weekday and the area's change",
             "counts of the last 60 days", "wider intervals, from errors at this lateness"),
        Rung("few", "the rhythm of other owners, at the level of the few days there are",
             "at least one accurate day", "intervals of places with few days"),
        Rung("none", "the level of like places", "the list of places",
             "the regime of places never measured: many places are withheld"),
    ),
    "area": (
        Rung("fresh", "today's change of the area", "the operator's feed as new as usual",
             "the numbers as they should be"),
        Rung("completed", "partial days, completed by the delay model", "at least 5 % of a day",
             "wider intervals by the delay model's deviation"),
        Rung("panel", "the change of the map's panel in the area", "a fresh panel", "wider intervals"),
        Rung("none", "no change: the rhythm alone", "nothing", "in a shock the numbers lag; drift is told"),
    ),
    "panel": (
        Rung("fresh", "the map's place-precise panel", "the panel as new as usual",
             "the numbers as they should be"),
        Rung("last", "its last level of each place", "a panel of the last 60 days",
             "it says how large a place is, no more how today differs"),
        Rung("none", "the area's change", "the operator's feed", "wider intervals"),
    ),
    "weather": (
        Rung("fresh", "weather of the day, or its forecast", "a report of the day",
             "the numbers as they should be"),
        Rung("none", "usual weather of the season", "nothing", "a little wider on days out of doors"),
    ),
    "calendar": (
        Rung("fresh", "weekdays, holidays and events", "a calendar that covers the day",
             "the numbers as they should be"),
        Rung("none", "weekdays alone", "nothing", "holidays are withheld where they are known to be one"),
    ),
    "places": (
        Rung("fresh", "the list of places with its kinds and areas", "a list that names the place",
             "the numbers as they should be"),
        Rung("none", "no number", "nothing", "a place that is in no list gets no number"),
    ),
}  # fmt: skip
_RECENT = 60  # days in which an old number still says something
_FEW = 28  # days of counts below which a place is one with few days
_TOLERANCE = 2  # days beyond the usual age


@dataclass(frozen=True)
class Standing:
    """On which rung a source stands today and why; ``steps`` down from the best."""

    source: Source
    feed: str
    rung: Rung
    steps: int
    why: str

    def __str__(self) -> str:
        return f"{self.source} ({self.feed or 'no feed'}): {self.rung.uses}; {self.rung.effect}. Why: {self.why}"


def degraded(
    feeds: Mapping[Source, Feed | None],
    findings: Sequence[Finding],
    as_of: Any,
    *,
    usual: Mapping[Source, int] | None = None,
    gradual: Sequence[Source] = (),
) -> tuple[Standing, ...]:
    """Where each source stands at the end of ``as_of``, in the order of `SOURCES`.

    ``feeds`` are checked ones (`checks.checked`), None where there is none; sources that are not named
    are not asked about. ``usual`` are ages of the newest day that were agreed, else the feeds' own past decides;
    ``gradual`` are sources that fill in and have a delay model.
    """
    agreed = usual or {}
    out = []
    for source in SOURCES:
        if source in feeds:
            feed = feeds[source]
            told = [f for f in findings if feed is not None and f.feed == feed.name]
            out.append(_standing(source, feed, told, as_of, agreed.get(source), source in gradual))
    return tuple(out)


def _standing(
    source: Source, feed: Feed | None, findings: Sequence[Finding], as_of: Any, usual: int | None,
    gradual: bool,
) -> Standing:  # fmt: skip
    if feed is None or not len(feed.as_known(as_of)):
        return _at(source, feed, "none", "there is no report")
    newest = _newest_whole_day(feed, as_of)
    age = int((day(as_of) - newest).astype(np.int64))
    expected = lateness(feed, as_of, usual).usual if usual is None else usual
    if age > _RECENT and source not in ("places", "calendar"):
        return _at(source, feed, "none", f"the newest whole day is {age} days old")
    if source == "truth" and _median_days(feed, as_of) < _FEW:
        return _at(source, feed, "few", f"most places have fewer than {_FEW} days of counts")
    if age - expected >= _TOLERANCE:
        why = _reason(findings, feed, newest, as_of) or (
            f"the newest whole day is {age} days old, {age - expected} more than usual"
        )
        worse = {"truth": "late", "area": "panel", "panel": "last"}.get(source, "none")
        return _at(source, feed, worse, why)
    if source == "area" and gradual:
        return _at(source, feed, "completed", "its newest days are not whole yet")
    return _at(source, feed, "fresh", "as usual")


def _newest_whole_day(feed: Feed, as_of: Any) -> np.datetime64:
    """The newest day on which at least half as many places are known as usually are."""
    known = feed.as_known(as_of)
    first = known.last_day - np.timedelta64(_RECENT, "D")
    dates = np.arange(first, known.last_day + ONE_DAY)
    there = np.isfinite(known.known(as_of, dates)).sum(axis=0)
    usual = float(np.median(there[there > 0])) if there.any() else 0.0
    whole = np.flatnonzero(there >= max(1.0, 0.5 * usual))
    return dates[whole[-1]] if whole.size else first


def _reason(findings: Sequence[Finding], feed: Feed, newest: np.datetime64, as_of: Any) -> str:
    """The findings about most places that explain why there is no whole day after ``newest``; "" if none does."""
    most = 0.4 * np.unique(feed.place).size
    told = [
        f"{one.kind}: {one.what}"
        for one in findings
        if (one.removed or one.kind in ("late", "missing-day"))
        and (not one.places or len(one.places) >= most)
        and one.last > newest
        and one.first <= day(as_of)
    ]
    return "; ".join(dict.fromkeys(told))


def _median_days(feed: Feed, as_of: Any) -> float:
    """Days with a value in the last `_RECENT`, the median of the places that ever had one: a list of places is of
    all owners' places."""
    last = day(as_of)
    reported = np.unique(feed.as_known(as_of).place)
    dates = np.arange(last - np.timedelta64(_RECENT + 60, "D"), last + np.timedelta64(1, "D"))
    return float(np.median(np.isfinite(feed.known(as_of, dates)[reported]).sum(axis=1)))


def _at(source: Source, feed: Feed | None, name: str, why: str) -> Standing:
    ladder = LADDER[source]
    steps = [rung.name for rung in ladder].index(name)
    return Standing(source, feed.name if feed is not None else "", ladder[steps], steps, why)


def ladder_text() -> str:
    """The whole order as a Markdown table: what the documentation shows."""
    lines = ["| source | in order | needs | what it means |", "|---|---|---|---|"]
    for source in SOURCES:
        for number, rung in enumerate(LADDER[source], start=1):
            lines.append(f"| {source} | {number}. {rung.uses} | {rung.needs} | {rung.effect} |")
    return "\n".join(lines)
