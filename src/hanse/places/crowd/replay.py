"""An embargoed back-test: every day told with nothing but what was known on that day.

A day is told at its end: counts as reported until then (`Feed.known`), weather up to the day itself, tables of the
other parties as far as they were there when the model was trained, calendar and list of places. `Regime` says how
late the counts are, and which places are new with how many counted days.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hanse.places.crowd.federation import Federation
from hanse.places.crowd.ground import Calendar, Ground
from hanse.places.crowd.model import Crowd, CrowdSettings
from hanse.places.crowd.newcomers import Posterior
from hanse.places.crowd.outlook import Kernels
from hanse.places.crowd.regulars import Signal
from hanse.places.crowd.trees import Binned, Columns, Open
from hanse.places.feeds.feed import Feed

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
WEEK = 7
COLUMNS = ("place", "day", "truth", "point", "low", "high", "confidence", "published", "same week", "carry",
           "draw", "counted")  # fmt: skip


@dataclass(frozen=True, eq=False)
class City:
    """What a back-test runs on. ``truth`` is read through `Feed.known` and, by the judge alone, as it ended.

    ``weather`` float64 [days, features]; ``tables(day)`` gives the columns of all holders as known on a day.
    """

    ground: Ground
    calendar: Calendar
    truth: Feed
    weather: F64
    tables: Callable[[int], Columns | tuple[Binned, Open] | None]
    signal: Callable[[int], Signal] | None = None
    retrain: int = 28

    def logs(self, own: I64, day: int) -> F64:
        """[own places, days]: log counts as known at the end of ``day``, nan where unknown or not above 0."""
        return log_counts(self.truth.known(self.calendar.days[day], self.calendar.days)[own])

    def outcome(self) -> F64:
        """[places, days]: the counts as they ended, for the judge."""
        latest = max(self.truth.reported.max(), self.calendar.days[-1])
        return self.truth.known(latest, self.calendar.days)


def log_counts(counts: F64) -> F64:
    """Logarithms; nan where a count is unknown or not above 0."""
    fine = np.isfinite(counts) & (counts > 0)
    return np.asarray(np.where(fine, np.log(np.where(fine, counts, 1.0)), np.nan))


@dataclass
class Ledger:
    """What was told, a row each of `COLUMNS`, and the seconds it took."""

    rows: list[F64] = field(default_factory=list)
    train_s: float = 0.0
    days_s: float = 0.0
    days: int = 0
    weights: list[F64] = field(default_factory=list)

    def table(self) -> F64:
        """float64 [rows, COLUMNS]."""
        return np.concatenate(self.rows) if self.rows else np.zeros((0, len(COLUMNS)))


@dataclass(frozen=True)
class Newcomers:
    """Places to be told as new: ``draws[number][place]`` are the counted days of a place in a draw."""

    draws: Mapping[int, Mapping[int, I64]]


def replay_known(
    federation: Federation, city: City, own: I64, span: range, settings: CrowdSettings,
    kernels: Kernels | None = None,
) -> Ledger:  # fmt: skip
    """Own places over the days ``span``, with counts as late as the feed says."""
    ledger, outcome = Ledger(), city.outcome()[own]
    crowd = Crowd(federation, city.ground, city.calendar, own, None, settings, kernels)
    newest = -1
    for number, day in enumerate(span):
        started = time.perf_counter()
        signal = city.signal(day) if city.signal else None
        logs = city.logs(own, day)
        before, newest = newest, newest_day(federation, logs, day)
        if number % city.retrain == 0:
            crowd.train(logs, city.weather, newest, max(1, day - newest), signal)
            ledger.train_s += time.perf_counter() - started
            started = time.perf_counter()
        else:
            crowd.learn(logs, newest)
            for known in range(max(before + 1, span.start), newest + 1):
                crowd.review(logs, known, max(1, day - newest), signal)
            if number % WEEK == 0:
                crowd.weigh(signal)
        told = crowd.day(logs, day, signal)
        ledger.days_s += time.perf_counter() - started
        ledger.days += 1
        ledger.weights.append(crowd.weights)
        judged = told.judged
        ledger.rows.append(np.stack([
            own.astype(np.float64), np.full(own.size, float(day)), outcome[:, day], judged.point, judged.low,
            judged.high, judged.confidence, told.published.astype(np.float64), np.exp(told.naive[:, 0]),
            np.exp(told.naive[:, 1]), np.zeros(own.size), np.full(own.size, -1.0),
        ], axis=1))  # fmt: skip
    return ledger


def replay_new(
    federation: Federation, city: City, own: I64, held: I64, newcomers: Newcomers, span: range,
    settings: CrowdSettings, kernels: Kernels | None = None,
) -> Ledger:  # fmt: skip
    """The places ``held`` as new ones of this owner, whose other places are ``own``."""
    ledger, outcome = Ledger(), city.outcome()
    columns = city.tables(span.start)
    crowd = Crowd(federation, city.ground, city.calendar, own, columns, settings, kernels)
    for number, day in enumerate(span):
        started = time.perf_counter()
        logs = city.logs(own, day)
        newest = newest_day(federation, logs, day)
        if number == 0:
            crowd.train(logs, city.weather, newest, max(1, day - newest))
            met = meet(crowd, city, held, newcomers, day)
            ledger.train_s += time.perf_counter() - started
            started = time.perf_counter()
        else:
            crowd.learn(logs, newest)
        crowd.ahead(day)
        for draw, (posteriors, counts) in met.items():
            told = crowd.newcomers_on(day, posteriors, counts)
            judged = told.judged
            plain = _plain(city, logs, held, newcomers.draws[draw], day)
            ledger.rows.append(np.stack([
                held.astype(np.float64), np.full(held.size, float(day)), outcome[held, day], judged.point,
                judged.low, judged.high, judged.confidence, told.published.astype(np.float64), plain, plain,
                np.full(held.size, float(draw)), np.array(counts, np.float64),
            ], axis=1).reshape(held.size, len(COLUMNS)))  # fmt: skip
        ledger.days_s += time.perf_counter() - started
        ledger.days += 1
    return ledger


def meet(
    crowd: Crowd, city: City, held: I64, newcomers: Newcomers, day: int
) -> dict[int, tuple[list[Posterior], list[int]]]:
    """Posteriors of the held places by draw, from their counted days alone."""
    counts = city.logs(held, day)
    out: dict[int, tuple[list[Posterior], list[int]]] = {}
    for draw, days in newcomers.draws.items():
        posteriors = [crowd.newcomer(int(place), days[int(place)], counts[row, days[int(place)]])
                      for row, place in enumerate(held)]  # fmt: skip
        out[draw] = (posteriors, [len(days[int(place)]) for place in held])
    return out


def _plain(city: City, logs: F64, held: I64, counted: Mapping[int, I64], day: int) -> F64:
    """The naive rule for a new place: the mean of its counted days of the same weekday, else of all of them.

    Without any, the median of this owner's places on the last known day of that weekday.
    """
    calendar = city.calendar
    known = city.logs(held, day)
    out = np.full(held.size, np.nan)
    for row, place in enumerate(held):
        days = counted[int(place)]
        same = days[calendar.kind[days] == calendar.like[day]]
        used = same if same.size else days
        if np.isfinite(known[row, used]).any():
            out[row] = float(np.exp(np.nanmean(known[row, used])))
    if np.isnan(out).all():
        alike = np.nonzero((calendar.kind == calendar.like[day]) & np.isfinite(logs).any(axis=0))[0]
        if alike.size:
            out[:] = float(np.exp(np.nanmedian(logs[:, alike[-1]])))
    return out


def newest_day(federation: Federation, logs: F64, day: int) -> int:
    """The last day of which at least half of the places that report at all are known, by all owners' counts."""
    first = max(0, day - 120)
    part = np.isfinite(logs[:, first : day + 1])
    mine = np.concatenate([part.sum(axis=0), [part.any(axis=1).sum()]]).astype(np.float64)
    total = federation.sum("newest", mine)
    full = np.nonzero(total[:-1] >= 0.5 * total[-1])[0] if total[-1] else np.zeros(0, np.int64)
    return first + int(full.max()) if full.size else max(0, day - 1)


def draw_days(places: Sequence[int], days: I64, counts: Sequence[int], seeds: Sequence[int],
              known: NDArray[np.bool_]) -> Newcomers:  # fmt: skip
    """Draws of counted days: for each count and seed, so many of ``days`` a place (as many as are ``known``
    [places, days])."""
    draws: dict[int, dict[int, I64]] = {}
    for count in counts:
        for seed in seeds if count else seeds[:1]:
            chance = np.random.default_rng([seed, count])
            chosen: dict[int, I64] = {}
            for place in places:
                usable = days[known[place, days]]
                chosen[int(place)] = np.sort(
                    chance.choice(usable, min(count, usable.size), replace=False)
                )
            draws[count * 1000 + seed] = chosen
    return Newcomers(draws)
