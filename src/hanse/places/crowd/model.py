"""The crowd of every place, every day: the joint model on one page.

    train   1. the shared rhythm of the days, and each place's traits at home        (`rhythm`)
            2. what to expect of places without counts, from everybody's columns     (`newcomers`, `trees`)
            3. how the rules did on days told beforehand: their blend                (`regulars`)
            4. how far off that was: points, intervals, confidence                   (`judgement`)
    day     5. the newest days of the rhythm, as the counts come in                  (sums)
            6. the outlook for the day to tell, from calendar, weather, other years  (public)
            7. places with history by the blend, others by their posterior           (at home)
            8. published, or not

Every owner runs this over its own places. What crosses between owners are the sums that each part names, through
`Federation.sum`; what crosses from map, operator and payments are histograms in `trees`. Nothing else does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hanse.places.crowd.federation import Federation
from hanse.places.crowd.ground import Calendar, Ground
from hanse.places.crowd.judgement import Judged, Scores, calibrate, together
from hanse.places.crowd.newcomers import Posterior, Prior, after, expect, tell
from hanse.places.crowd.outlook import Kernels, Outlook, Outlooks
from hanse.places.crowd.regulars import (
    NAIVE,
    RULES,
    SAME_WEEK,
    SIGNALLED,
    Signal,
    blend_weights,
    drift,
    rules,
    taken_over,
    upheaval,
)
from hanse.places.crowd.rhythm import Rhythm, Traits, day_rows, fit_rhythm, own_weekdays
from hanse.places.crowd.trees import Binned, Columns, Open, TreeSettings

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]
_DRAW = 8.0  # days of the average place's errors that each place's deviation starts from
_FRESH = 28.0  # days, after which an error counts half for intervals
_LATELY = 14  # known days that say whether a naive rule is better now
_STEPS, _STEP = 8, 0.2  # turns to learn a day in, while its common part moves by more than this
SIMULATED = (0, 1, 2, 3, 5, 7, 14, 28)  # counted days of newcomers that calibration plays through


@dataclass(frozen=True)
class CrowdSettings:
    """The same at all owners."""

    factors: int = 6
    window: int = 400  # days that traits are fitted on
    judged: int = 63  # days told beforehand that blend and calibration rest on
    history: int = 90  # days in which a place must have
    least: int = 14  # so many counted days to count as one with a history
    boosted: int = 6  # traits that trees are grown for, besides the level
    publish: float = 0.6  # share of what is published that must be within 30 %
    margin: float = 0.0  # that much more is asked of the days told beforehand
    trees: TreeSettings = field(default_factory=TreeSettings)
    seed: int = 1


@dataclass(frozen=True, eq=False)
class Told:
    """One day of some places: ``log`` prediction, ``deviation``, what is made of it, and the naive rules [n, 2]."""

    log: F64
    deviation: F64
    judged: Judged
    published: Flags
    naive: F64


@dataclass(frozen=True, eq=False)
class Kept:
    """All that a trained model is, as `Crowd.state` gives it and `Crowd.restore` takes it.

    ``days`` [days of the calendar, 1 + factors] and ``newest`` count by the calendar, ``deviation`` and ``traits``
    by ``own`` places; ``newcomers`` are scores by number of counted days, without a ``prior`` none.
    """

    own: I64
    days: F64
    newest: int
    lag: int
    rhythm: Rhythm
    traits: Traits
    weights: F64
    deviation: F64
    regular: Scores
    prior: Prior | None
    newcomers: Mapping[int, Scores]


class Crowd:
    """One owner's side of the model. ``own`` int64: the numbers of its places in ``ground``."""

    def __init__(
        self, federation: Federation, ground: Ground, calendar: Calendar, own: I64,
        columns: Columns | tuple[Binned, Open] | None, settings: CrowdSettings | None = None,
        kernels: Kernels | None = None,
    ) -> None:  # fmt: skip
        self.settings = settings or CrowdSettings()
        self.own = own
        self._federation = federation
        self._ground = ground
        self._calendar = calendar
        self._columns = columns[1] if isinstance(columns, tuple) else columns
        self._kernels = kernels or Kernels(calendar)
        self._newest = -1
        self._asked = self.settings.publish + self.settings.margin

    # --- training ---------------------------------------------------------------------------------

    def train(
        self, logs: F64, weather: F64, newest: int, lag: int, signal: Signal | None = None
    ) -> None:
        """From ``logs`` [own places, days], known up to the day ``newest``; ``lag`` days before the day to tell."""
        settings, stop = self.settings, newest + 1
        window = slice(max(0, stop - settings.window), stop)
        start = contrasts(self._calendar, window)
        self.rhythm, self.traits = fit_rhythm(
            self._federation, logs[:, window], start, settings.factors
        )
        own = own_weekdays(self._federation, logs[:, window], self.rhythm, self.traits,
                           self._calendar.like[window])  # fmt: skip
        self.rhythm = replace(self.rhythm, weekdays=own)
        self._days = np.full((self._calendar.size, 1 + self.rhythm.factors), np.nan)
        self._days[window] = self.rhythm.days
        self._newest = newest
        self._rows_before(logs, window.start)
        self._outlooks = Outlooks(self._kernels, self._days, weather)
        self.prior = self._expect()
        self._told: dict[int, Outlook] = {}
        self._review(logs, newest, lag, signal)

    def _rows_before(self, logs: F64, first: int) -> None:
        """Days before the window, from the traits of today: for what earlier years teach."""
        if first <= 0:
            return
        past = logs[:, :first]
        blank, gram = np.zeros((first, self._days.shape[1])), self.rhythm.gram
        rows = day_rows(self._federation, past, self.traits, gram, "before", blank, first=True)
        self._days[:first] = rows

    def _expect(self) -> Prior | None:
        if self._columns is None:
            return None
        return expect(self._federation, self._ground, self._columns, self.own, self.traits,
                      self.settings.trees, self.settings.boosted, self.settings.seed)  # fmt: skip

    # --- days told beforehand: blend and calibration ------------------------------------------------

    def _review(self, logs: F64, newest: int, lag: int, signal: Signal | None) -> None:
        """Tell the last known days as they would have been told, and learn from the errors."""
        self._lag = lag
        first = max(lag + 70, newest + 1 - self.settings.judged)
        self._errors = np.full((len(logs), 0, len(RULES)), np.nan)
        self._judged_days: list[int] = []
        for day in range(first, newest + 1):
            told = self._outlooks.ahead(day, day - lag)
            self._told[day] = told
            self._note(logs, day, told, lag, signal)
        self._weigh(signal)
        if self.prior is not None:
            self._newcomer_scores = self._simulate(logs, newest)

    def _note(self, logs: F64, day: int, told: Outlook, lag: int, signal: Signal | None) -> None:
        change = self._change(signal, day, lag, today=self._newest + lag)
        said = rules(self._kernels, logs, self._days, self.traits, told, day, day - lag, change)
        said[~self._regular(logs, day - lag)] = np.nan
        self._errors = np.concatenate([self._errors, (logs[:, day, None] - said)[:, None]], axis=1)
        self._judged_days.append(day)
        keep = self.settings.judged
        self._errors, self._judged_days = self._errors[:, -keep:], self._judged_days[-keep:]

    def _weigh(self, signal: Signal | None) -> None:
        """Weights of the rules, deviations of the places, calibration of both."""
        usable = np.ones(len(RULES), np.bool_)
        usable[list(SIGNALLED)] = signal is not None
        self.weights = blend_weights(
            self._federation, self._errors.reshape(-1, len(RULES)), "blend", usable, self._lag
        )
        self._signalled = self._nearer() if signal is not None else SIGNALLED[0]
        error = self._errors @ self.weights
        self._deviation, deviation = self._deviations(error)
        age = np.array([self._judged_days[-1] - day for day in self._judged_days])
        fresh = 0.5 ** (age / _FRESH)
        widen = together(self._federation, error / deviation, fresh, self._lag, "regular")
        self._regular_scores = calibrate(
            self._federation, error.ravel(), deviation.ravel(), "regular", self._asked, widen,
            np.broadcast_to(fresh, error.shape).ravel(),
        )  # fmt: skip

    def _deviations(self, error: F64) -> tuple[F64, F64]:
        """([own places, 2], [own places, days]): size of the error on working and on free days, drawn to the
        average place's; and of each day told beforehand as if that day were not known."""
        off = self._calendar.off[self._judged_days] if self._judged_days else np.zeros(0, np.bool_)
        out, left_out = np.zeros((len(error), 2)), np.full(error.shape, np.nan)
        for column, group in enumerate((~off, off)):
            known = np.isfinite(error[:, group])
            square = np.where(known, np.clip(error[:, group], -1, 1) ** 2, 0.0)
            count = known.sum(axis=1)
            total = self._federation.sum("deviation", np.array([square.sum(), float(count.sum())]))
            average = max(total[0] / total[1] if total[1] > 0 else 0.02, 1e-4)
            whole = square.sum(axis=1) + _DRAW * average
            out[:, column] = np.sqrt(whole / (count + _DRAW))
            left_out[:, group] = np.sqrt((whole[:, None] - square) / (count + _DRAW - 1)[:, None])
        return out, left_out

    def _simulate(self, logs: F64, newest: int) -> dict[int, Scores]:
        """Play own places as if they were new, with 0, 1, 2, ... counted days, on the days told beforehand."""
        prior, scores = self.prior, dict[int, Scores]()
        if prior is None:
            return scores
        days = [day for day in self._told if day <= newest]
        rows = np.array([self._told[day].row for day in days]).reshape(len(days), -1)
        ahead = self._with_weekdays(rows, days)
        pool = np.arange(max(0, newest - 150), max(1, newest - self.settings.judged + 1))
        chance = np.random.default_rng(self.settings.seed)
        for count in SIMULATED:
            played, kept = [], []
            for row, place in enumerate(self.own):
                picked = chance.choice(pool, min(count, pool.size), replace=False)
                if not self.traits.teach[row]:
                    continue
                played.append(
                    self._posterior(place, prior.left_out[place], picked, logs[row, picked])
                )
                kept.append(row)
            log, deviation = tell(played, ahead, self._day_noise)
            error = logs[np.ix_(kept, days)] - log
            scores[count] = calibrate(
                self._federation, error.ravel(), deviation.ravel(), f"new.{count}", self._asked
            )
        return scores

    # --- every day --------------------------------------------------------------------------------

    def learn(self, logs: F64, newest: int) -> None:
        """Take in the days that became known since, up to ``newest``."""
        if newest <= self._newest:
            return
        fresh = slice(self._newest + 1, newest + 1)
        before = np.array([self._outlook_of(day).row for day in range(fresh.start, fresh.stop)])
        for turn in range(_STEPS):
            rows = day_rows(
                self._federation,
                logs[:, fresh],
                self.traits,
                self.rhythm.gram,
                f"day.{turn}",
                before,
            )
            # A shock is further from what was told than one step goes: a place's error is cut, not the city's.
            moved = np.abs(rows[:, 0] - before[:, 0])
            before = np.where(np.isfinite(rows), rows, before)
            if not (moved > _STEP).any():
                break
        self._days[fresh] = rows
        self._newest = newest

    def review(self, logs: F64, day: int, lag: int, signal: Signal | None = None) -> None:
        """Take a day that was told by `day` and is known now into blend and calibration."""
        told = self._told.get(day)
        if told is not None:
            self._note(logs, day, told, lag, signal)

    def weigh(self, signal: Signal | None = None) -> None:
        """Renew blend and calibration from what `review` took in."""
        self._weigh(signal)

    def ahead(self, target: int) -> Outlook:
        """The outlook for ``target`` from what is known; kept for `review`."""
        told = self._outlooks.ahead(target, self._newest)
        self._told[target] = told
        return told

    def _outlook_of(self, day: int) -> Outlook:
        """What was told of a day before it was known, or would be now."""
        return self._told[day] if day in self._told else self._outlooks.ahead(day, self._newest)

    def day(self, logs: F64, target: int, signal: Signal | None = None) -> Told:
        """Own places with a history on ``target``; not a number for places without."""
        told = self.ahead(target)
        lag = max(1, target - self._newest)
        change = self._change(signal, target, lag)
        said = rules(
            self._kernels, logs, self._days, self.traits, told, target, self._newest, change
        )
        said[~self._regular(logs, self._newest)] = np.nan
        log = said @ self.weights
        rule, share = self._better_lately()
        log = log + share * (said[:, rule] - log)
        log = log + upheaval(self._days[:, 0], self._newest) * (said[:, SAME_WEEK] - log)
        if signal is not None and change is not None:
            log = log + self._drift(signal, target, lag) * (said[:, self._signalled] - log)
        off = int(self._calendar.off[target])
        judged = self._regular_scores.judge(log, self._deviation[:, off])
        return Told(log, self._deviation[:, off], judged, judged.published, said[:, NAIVE[:2]])

    def newcomer(self, place: int, days: I64, logs: F64) -> Posterior:
        """What is known of a place from its counted ``days`` and their ``logs``; `newcomers_on` tells from it."""
        if self.prior is None:
            raise ValueError("the model was trained without newcomers")
        return self._posterior(place, self.prior.mean[place], days, logs)

    def newcomers_on(
        self, target: int, posteriors: Sequence[Posterior], counts: Sequence[int]
    ) -> Told:
        """Places with ``counts`` counted days each, on ``target``; `ahead` must have told it."""
        log, deviation = (
            a[:, 0]
            for a in tell(
                posteriors,
                self._with_weekdays(self._told[target].row[None], [target]),
                self._day_noise,
            )
        )
        kind = np.array([max(c for c in SIMULATED if c <= n) for n in counts], np.int64)
        point, low, high, confidence = np.zeros((4, kind.size))
        judged = Judged(point, low, high, confidence, np.zeros(kind.size, np.bool_))
        for count in np.unique(kind):
            part = kind == count
            found = self._newcomer_scores[int(count)].judge(log[part], deviation[part])
            for name in ("point", "low", "high", "confidence", "published"):
                getattr(judged, name)[part] = getattr(found, name)
        blank = np.full((kind.size, 2), np.nan)
        return Told(log, deviation, judged, judged.published, blank)

    # --- kept between days ------------------------------------------------------------------------

    def state(self) -> Kept:
        """What a trained model is; its arrays are not copied."""
        newcomers = {} if self.prior is None else self._newcomer_scores
        return Kept(self.own, self._days, self._newest, self._lag, self.rhythm, self.traits, self.weights,
                    self._deviation, self._regular_scores, self.prior, newcomers)  # fmt: skip

    def restore(self, kept: Kept, weather: F64) -> None:
        """Be the model that ``kept`` says, on this one's calendar; ``weather`` [days, measures]."""
        self.own, self._days, self._newest, self._lag = kept.own, kept.days, kept.newest, kept.lag
        self.rhythm, self.traits, self.weights = kept.rhythm, kept.traits, kept.weights
        gone = len(RULES) - self.weights.size  # rules that a model from before them does not know
        self.weights = np.r_[self.weights, np.zeros(gone)]
        area, city = self.weights[list(SIGNALLED)]
        self._signalled = SIGNALLED[int(city >= area)]
        self._deviation, self._regular_scores = kept.deviation, kept.regular
        self.prior, self._newcomer_scores = kept.prior, dict(kept.newcomers)
        self._outlooks = Outlooks(self._kernels, self._days, weather)
        self._told = {}
        self._errors, self._judged_days = np.full((len(self.own), 0, len(RULES)), np.nan), []

    @property
    def newest(self) -> int:
        """The newest day of the calendar that the model has learned."""
        return self._newest

    def back_to(self, newest: int) -> None:
        """Learn the days after ``newest`` again: `learn` takes in what follows it."""
        self._newest = newest

    def regulars(self, logs: F64) -> Flags:
        """[own places]: which have a history, by ``logs`` [own places, days]."""
        return self._regular(logs, self._newest)

    def learned(self) -> Flags:
        """[days]: of which days the rhythm is known."""
        return np.asarray(np.isfinite(self._days).all(axis=1))

    # --- parts ------------------------------------------------------------------------------------

    def _posterior(self, place: int, mean: F64, days: I64, logs: F64) -> Posterior:
        prior = self.prior
        assert prior is not None  # noqa: S101 (for the type checker)
        scale = np.ones(mean.size)
        scale[0] = prior.spread[place]
        size = mean.size
        covariance = np.eye(size + 7) * max(self.rhythm.weekdays, 1e-6)
        covariance[:size, :size] = prior.covariance * np.outer(scale, scale)
        rows = self._with_weekdays(self._days[days].reshape(len(days), size), days)
        return after(np.r_[mean, np.zeros(7)], covariance, rows, logs, self._day_noise)

    def _with_weekdays(self, rows: F64, days: Sequence[int] | I64) -> F64:
        """[days, 1 + factors + 7]: ``rows`` of the rhythm (a day that is not known is like any other), and which
        weekday each of ``days`` is like."""
        return np.asarray(
            np.c_[np.nan_to_num(rows), np.eye(7)[self._calendar.like[np.asarray(days, np.int64)]]]
        )

    @property
    def _day_noise(self) -> float:
        """Variance of a place's day that neither traits nor its own weekdays explain."""
        return self.rhythm.noise - self.rhythm.weekdays

    def _regular(self, logs: F64, newest: int) -> Flags:
        recent = logs[:, max(0, newest + 1 - self.settings.history) : newest + 1]
        return np.asarray(np.isfinite(recent).sum(axis=1) >= self.settings.least)

    def _change(self, signal: Signal | None, target: int, lag: int, today: int = -1) -> F64 | None:
        """[own places, 2]: the signal's change at the place, and the median place's."""
        if signal is None:
            return None
        found = signal.change(self._kernels, target, lag, today)
        known = found[np.isfinite(found)]
        common = float(np.median(known)) if known.size else np.nan
        return np.stack([found[self.own], np.full(self.own.size, common)], axis=1)

    def _nearer(self) -> int:
        """Which of the rules of a signal was nearer on the days told beforehand."""
        errors = self._errors.reshape(-1, len(RULES))[:, SIGNALLED]
        cut = np.clip(errors[np.isfinite(errors).all(axis=1)], -1.0, 1.0)
        total = self._federation.sum("signalled", (cut**2).sum(axis=0))
        return SIGNALLED[int(total.argmin())]

    def _better_lately(self) -> tuple[int, float]:
        """(a naive rule, how far it takes over): all of it where it was clearly nearer on the last known weeks.

        Means over weeks lag behind a city in motion, and their weights rest on calmer days.
        """
        recent = [n for n, day in enumerate(self._judged_days) if day > self._newest - _LATELY]
        if len(recent) < _LATELY // 2:
            return SAME_WEEK, 0.0
        errors = self._errors[:, recent].reshape(-1, len(RULES))
        fine = np.isfinite(errors).all(axis=1)
        tried = np.stack([self.weights, *(np.eye(len(RULES))[rule] for rule in NAIVE[:2])])
        near = (np.abs(np.expm1(-errors[fine] @ tried.T)) <= 0.3).sum(axis=0)
        total = self._federation.sum("lately", np.r_[near, fine.sum()].astype(np.float64))
        return taken_over(total[:-1], float(total[-1]), self._lag)

    def _drift(self, signal: Signal, target: int, lag: int) -> float:
        past = range(max(0, target - 120), target + 1)
        changes = np.full(target + 1, np.nan)
        for day in past:
            column = signal.change(self._kernels, day, lag)
            if np.isfinite(column).any():
                changes[day] = float(np.nanmedian(column))
        return drift(changes, target)


def contrasts(calendar: Calendar, window: slice) -> F64:
    """[days, 7] first guesses of loadings: free days, the weekend's last day, season, trend, the first free."""
    off = calendar.off[window].astype(np.float64)
    like = calendar.like[window]
    turn = calendar.days[window].astype(np.int64) / 365.25 * 2 * np.pi
    columns = [off, like == int(like.max()), np.linspace(-1, 1, off.size), np.sin(turn), np.cos(turn), like == 4,
               off * np.sin(turn)]  # fmt: skip
    table = np.stack([np.asarray(c, np.float64) for c in columns], axis=1)
    return np.asarray(table - table.mean(axis=0))
