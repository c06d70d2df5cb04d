"""A training and a day at an owner of counters: what is used, what is told, what is said about it.

    1. The owner's reports until the day's end, known no earlier than agreed, are checked; what is wrong is out.
    2. A training keeps a new model only if it tells the last 28 known days as well as the model there is, or within
       half a point of P30: day by day, each with what was known before it. If it does not, that one stays.
    3. A day gives every place of the list a number, an interval and a confidence, or the reason why there is none.
    4. Sources that are late, missing or broken step down in the order of `feeds.standins`, and the result
       says where each stands.

Pure: tables come in as feeds, what other holders tell as `changes.Received`, time as days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.contracts.crowds import CrowdClause
from hanse.contracts.truths import TruthClause
from hanse.errors import Refusal
from hanse.places.checks.checks import Finding
from hanse.places.crowd.federation import Federation
from hanse.places.crowd.ground import Calendar, Ground
from hanse.places.crowd.judgement import Judged
from hanse.places.crowd.model import Crowd, CrowdSettings
from hanse.places.crowd.newcomers import Posterior, public_columns
from hanse.places.crowd.outlook import Kernels
from hanse.places.crowd.regulars import drift
from hanse.places.crowd.replay import log_counts, newest_day
from hanse.places.crowd.trees import Columns, Open, binned
from hanse.places.daily.changes import CARRIED, FRESH, NONE, Received
from hanse.places.daily.kept import clean
from hanse.places.daily.state import crowd_of, state_of
from hanse.places.daily.tables import BOOSTED, MOST_EXPECTED, TREES
from hanse.places.feeds.feed import Feed
from hanse.places.feeds.standins import Rung, Standing, degraded
from hanse.places.truth import WITHIN, agreed

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]
Document = dict[str, Any]
GUARDED = 28  # known days on which a new model must not be worse
TOLERANCE = 0.005  # of P30: a difference that is none
LEAST_DAYS = 120  # known days before a model can be trained
ALARM = 0.5  # drift from which it is told
REASONS = (
    "",
    "the expected accuracy is too low to publish a number",
    "too few counted days, and no expectation of places without counts",
    "this owner has no counts of the place",
    "there is no model",
)
PUBLISHED, UNSURE, FEW, ELSEWHERE, UNTRAINED = range(len(REASONS))
REGIMES = ("history", "few days", "never measured", "")
HISTORY, FEW_DAYS, NEVER, UNKNOWN = range(len(REGIMES))

_AREA = {
    FRESH: Rung("fresh", "today's change, summed over holders", "the day at two holders",
                "the numbers as they should be"),
    CARRIED: Rung("carried", "the newest change of the last week", "a day of the last week at two holders",
                  "the numbers lag by its days"),
    NONE: Rung("none", "no change: the rhythm alone", "nothing", "in a shock the numbers lag; drift is told"),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Known:
    """What an owner knows at the end of a day: ``logs`` [places, days], which places it counts, what was found."""

    logs: F64
    own: I64
    feed: Feed
    findings: tuple[Finding, ...]


@dataclass(frozen=True, eq=False)
class Scene:
    """The public part of a training or day. ``ends`` is the number of the last day known in ``calendar``."""

    clause: CrowdClause
    truth: TruthClause
    ground: Ground
    calendar: Calendar
    ends: int
    settings: CrowdSettings = field(default_factory=CrowdSettings)

    @property
    def as_of(self) -> np.datetime64:
        found: np.datetime64 = self.calendar.days[self.ends]
        return found


def known(scene: Scene, feed: Feed, found: Sequence[Finding] = ()) -> Known:
    """The owner's counts, agreed, checked and laid out; `Refusal` ``crowd.counts`` if nothing is left.

    ``found`` is what was found on the way (`hanse.places.daily.kept`).
    """
    fine, more = clean(agreed(feed, scene.truth), scene.as_of, scene.ground.keys, scene.calendar.days[0],
                       scene.truth.lateness)  # fmt: skip
    findings = tuple(dict.fromkeys([*found, *more]))
    logs = log_counts(fine.known(scene.as_of, scene.calendar.days))
    own = np.flatnonzero(np.isfinite(logs).any(axis=1))
    if own.size == 0:
        raise Refusal("crowd.counts", "no count of the last days is left after the checks",
                      remedy="see what the checks say of the dataset, and mend it", where=feed.name)  # fmt: skip
    return Known(logs, own, fine, findings)


# --- training -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Guard:
    """How the new model did against the one there was: P30 on the last known days, None where there was none.

    ``signals`` is P30 of the new model on these days with the sums of all holders and without any, where there are
    holders: what they contribute together. What one of them does, only its own number would tell.
    """

    new: float | None
    old: float | None
    days: int
    adopted: bool
    signals: tuple[float, float] | None = None

    def __str__(self) -> str:
        if self.old is None or self.new is None:
            return "the new model is kept: there is none to compare it with"
        told = f"P30 of the last {self.days} known days: {self.new:.1%} new, {self.old:.1%} old"
        if self.adopted:
            return f"the new model is kept; {told}"
        return f"the old model stays: the new one is worse; {told}"


def train(
    federation: Federation, scene: Scene, now: Known, received: Received | None,
    old: Mapping[str, Any] | None, tables: Columns | None = None,
) -> tuple[Document, Guard]:  # fmt: skip
    """(the state to keep, how the guard decided). All owners decide alike: they compare sums over all of them.

    ``tables`` are other holders' columns (`hanse.places.daily.tables`), for places without counts.
    """
    kernels = Kernels(scene.calendar)
    logs = now.logs[now.own]
    newest = newest_day(federation, logs, scene.ends)
    lag = max(1, scene.ends - newest)
    days = float(np.isfinite(logs).any(axis=0).sum())
    if federation.sum("days", np.array([days]))[0] < LEAST_DAYS * federation.owners:
        raise Refusal("crowd.days", f"there are counts of fewer than {LEAST_DAYS} days",
                      remedy="wait, or register more of the past", where=scene.clause.name)  # fmt: skip
    columns, settings = _columns(federation, scene), scene.settings
    if tables is not None:
        columns, settings = tables, replace(settings, trees=TREES, boosted=BOOSTED)
    crowd = Crowd(federation, scene.ground, scene.calendar, now.own, columns, settings, kernels)
    crowd.train(logs, _weather(scene), newest, lag, received)
    state = state_of(crowd, scene.calendar, scene.ground.keys)
    guard = _guarded(federation, scene, now, received, state, old, kernels, newest, lag)
    return (state if guard.adopted or old is None else dict(old)), guard


def _columns(federation: Federation, scene: Scene) -> Any:
    """Without tables, what is expected of places without counts rests on position, kind and spacing."""
    if federation.owners > 1 or scene.ground.size > MOST_EXPECTED:
        return None
    made = binned([public_columns(scene.ground)])
    return made, Open(made.codes)


def _guarded(
    federation: Federation, scene: Scene, now: Known, received: Received | None, new: Mapping[str, Any],
    old: Mapping[str, Any] | None, kernels: Kernels, newest: int, lag: int,
) -> Guard:  # fmt: skip
    """Both models have seen most of the days they are compared on: this finds what got worse, and is no measure of
    how good either is. The scoreboard is."""

    def score(state: Mapping[str, Any], signal: Received | None, step: int = 1) -> float:
        crowd = crowd_of(state, federation, scene.ground, scene.calendar, scene.settings, kernels)
        return _p30(federation, crowd, now.logs, range(first, newest + 1, step), lag, signal)

    first = max(0, newest - GUARDED + 1)
    having = federation.sum("guard.old", np.array([float(old is not None)]))[0]
    fresh = None if old is None or having < federation.owners else score(new, received)
    signals = None
    if received is not None:
        step = (
            1 if scene.ground.size <= MOST_EXPECTED else 4
        )  # of a large list a day in four is enough
        whole = fresh if fresh is not None and step == 1 else score(new, received, step)
        signals = whole, score(new, None, step)
    if old is None or fresh is None:
        return Guard(None, None, 0, adopted=True, signals=signals)
    before = score(old, received)
    return Guard(fresh, before, newest + 1 - first, fresh >= before - TOLERANCE, signals)


def _p30(
    federation: Federation, crowd: Crowd, logs: F64, days: range, lag: int, received: Received | None,
) -> float:  # fmt: skip
    """P30 of known days told as they would have been, day by day, over all owners' places with a history."""
    hits = total = 0.0
    own = logs[crowd.own]
    crowd.back_to(days.start - lag - 1)  # the days since are learned again, by either model alike
    for day in days:
        crowd.learn(own, day - lag)
        told = crowd.day(own, day, received)
        true = np.exp(own[:, day])
        fine = np.isfinite(true) & np.isfinite(told.judged.point)
        hits += float((np.abs(told.judged.point[fine] - true[fine]) <= WITHIN * true[fine]).sum())
        total += float(fine.sum())
    both = federation.sum("guard", np.array([hits, total]))
    return float(both[0] / both[1]) if both[1] else 0.0


def _weather(scene: Scene) -> F64:
    return np.zeros((scene.calendar.size, 0))


# --- a day --------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Figures:
    """Numbers of all places of the list [places, days]; ``reason`` counts in `REASONS`, 0 is published, ``regime``
    in `REGIMES`: what the number rests on."""

    point: F64
    low: F64
    high: F64
    confidence: F64
    reason: NDArray[np.uint8]
    regime: NDArray[np.uint8]

    @classmethod
    def none(cls, places: int, days: int, reason: int) -> Figures:
        """Nothing to tell."""
        blank = [np.full((places, days), np.nan) for _ in range(4)]
        codes = [np.full((places, days), code, np.uint8) for code in (reason, UNKNOWN)]
        return cls(blank[0], blank[1], blank[2], blank[3], codes[0], codes[1])

    def stacked(self) -> F64:
        """[6, places, days], to be told to recipients: nothing of a number that is withheld."""
        shown = self.reason == PUBLISHED
        numbers = [
            np.where(shown, v, np.nan) for v in (self.point, self.low, self.high, self.confidence)
        ]
        return np.stack([*numbers, self.reason.astype(np.float64), self.regime.astype(np.float64)])

    @classmethod
    def of(cls, stacked: F64) -> Figures:
        """What a recipient was told."""
        return cls(stacked[0], stacked[1], stacked[2], stacked[3], stacked[4].astype(np.uint8),
                   stacked[5].astype(np.uint8))  # fmt: skip


@dataclass(frozen=True, eq=False)
class DayTold:
    """A day's figures and what is said about it."""

    figures: Figures
    standings: tuple[Standing, ...]
    findings: tuple[Finding, ...]
    drift: float
    newest: np.datetime64

    @property
    def said(self) -> tuple[str, ...]:
        """One sentence a source that is not at its best, and the drift alarm: for all recipients."""
        told = [f"{s.source}: {s.rung.uses}; {s.rung.effect}" for s in self.standings if s.steps]
        if self.drift >= ALARM:
            told.append("drift: the area is far out of what it usually is; the signal takes over")
        return tuple(told)


def tell(
    federation: Federation, scene: Scene, now: Known | None, received: Received | None,
    state: Mapping[str, Any], targets: Sequence[int],
) -> DayTold:  # fmt: skip
    """The figures of the days ``targets``. ``now`` is None where the owner's feed has nothing at all."""
    kernels = Kernels(scene.calendar)
    crowd = crowd_of(state, federation, scene.ground, scene.calendar, scene.settings, kernels)
    logs = np.full((scene.ground.size, scene.calendar.size), np.nan) if now is None else now.logs
    own = logs[crowd.own]
    crowd.learn(own, newest_day(federation, own, scene.ends))
    figures = Figures.none(scene.ground.size, len(targets), ELSEWHERE)
    figures.reason[crowd.own], figures.regime[crowd.own] = FEW, FEW_DAYS
    expected = _expected(federation, crowd, logs)
    for column, target in enumerate(targets):
        told = crowd.day(own, target, received)
        _put(figures, crowd.own, column, told.judged, told.published, HISTORY)
        if expected is not None:
            places, posteriors, counts = expected
            new = crowd.newcomers_on(target, posteriors, counts)
            regime = np.where(np.array(counts) > 0, FEW_DAYS, NEVER)
            _put(figures, places, column, new.judged, new.published, regime)
    return DayTold(
        figures, _standings(scene, now, received), () if now is None else now.findings,
        _drift(scene, received), scene.calendar.days[max(0, min(crowd.newest, scene.ends))],
    )  # fmt: skip


def _put(
    figures: Figures, places: I64, column: int, judged: Judged, published: Flags, regime: int | I64
) -> None:
    told = np.isfinite(judged.point)
    rows = places[told]
    for name in ("point", "low", "high", "confidence"):
        getattr(figures, name)[rows, column] = getattr(judged, name)[told]
    figures.reason[rows, column] = np.where(published[told], PUBLISHED, UNSURE)
    figures.regime[rows, column] = np.broadcast_to(regime, told.shape)[told]


def _expected(
    federation: Federation, crowd: Crowd, logs: F64
) -> tuple[I64, list[Posterior], list[int]] | None:
    """The posterior of every place without a history, from its counted days, where the model has an expectation.

    A place that another owner counts is that one's to tell.
    """
    if crowd.prior is None:
        return None
    mine: Flags = np.asarray(np.isfinite(logs).any(axis=1))
    told = federation.sum("counted", mine.astype(np.float64)) < 0.5
    told[mine] = True
    regular = np.zeros(logs.shape[0], np.bool_)
    regular[crowd.own] = crowd.regulars(logs[crowd.own])
    places = np.flatnonzero(told & ~regular)
    if places.size == 0:
        return None
    learned = crowd.learned()
    posteriors, counts = [], []
    for place in places.tolist():
        days = np.flatnonzero(np.isfinite(logs[place]) & learned)[-60:]
        posteriors.append(crowd.newcomer(place, days, logs[place, days]))
        counts.append(int(days.size))
    return places, posteriors, counts


def _standings(scene: Scene, now: Known | None, received: Received | None) -> tuple[Standing, ...]:
    feed = None if now is None else now.feed
    found = degraded({"truth": feed}, () if now is None else now.findings, scene.as_of,
                     usual={"truth": scene.truth.lateness})  # fmt: skip
    return (*found, _area(scene, received))


def _area(scene: Scene, received: Received | None) -> Standing:
    """Where the summed change of the day stands."""
    if received is None:
        return Standing(
            "area", "", _AREA[NONE], 2, "the contract names no holders, or all were left out"
        )
    at = np.flatnonzero(received.targets == scene.ends)
    words = {
        party: int(flags[at[0]]) if at.size else NONE for party, flags in received.presence.items()
    }
    fresh = sum(word == FRESH for word in words.values())
    some = sum(word != NONE for word in words.values())
    level = FRESH if fresh >= 2 else CARRIED if some >= 2 else NONE
    if level == FRESH and fresh == len(words):
        return Standing("area", "", _AREA[FRESH], 0, "all holders have the day")
    names = {CARRIED: "has older days only", NONE: "has nothing to compare"}
    why = "; ".join(f"{party} {names[word]}" for party, word in words.items() if word != FRESH)
    steps = {FRESH: 0, CARRIED: 1, NONE: 2}[level]
    return Standing("area", "", _AREA[level], steps, why or "fewer than two holders took part")


def _drift(scene: Scene, received: Received | None) -> float:
    if received is None:
        return 0.0
    changes = np.full(scene.ends + 1, np.nan)
    for day, values in received.by_day.items():
        if day <= scene.ends:
            changes[day] = float(np.median(values))
    return drift(changes, scene.ends)
