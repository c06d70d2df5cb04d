"""The outlook: the rhythm of a day that nobody has counted yet, from the days that are known.

    row(t) = mean of known days of the same weekday, recent ones more        (`Kernels.same`)
           + what holidays, bridges, weather and the same weeks of earlier years did to that mean before,
             damped by how much of it came true lately

Everything here is public: day rows were opened as sums, calendar and weather are everybody's. So every party
computes the same outlook by itself, and nothing crosses. The correction is a ridge regression of the mean's own
past errors, made at the same lateness, so it cannot use what was not known.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hanse.places.crowd.ground import Calendar

F64 = NDArray[np.float64]
Flags = NDArray[np.bool_]
WARM_UP = 60  # days of history before errors are learned from
FARTHEST = 400  # days back that a mean of weekdays reaches
_YEAR = 364  # days: the same weekday a year before
_AROUND = 10  # days to each side of it
_SHRINK = 2.0  # days' worth of "no change" in the mean of a year before
_SHRINK_NAME = 0.25
_APART = 300  # days between two holidays of one name
_PENALTY = 3.0
_MEMORY = 180.0  # days in which a past error counts for half
_LARGEST = 4.0  # deviations beyond which an error teaches no more and a correction goes no further
HALF_LIVES = (7.0, 21.0, 60.0)  # days
_LATELY = 63  # days on which the correction is checked
_DAMPED = 21.0  # days of half-life in that check
_TRUST = 5.0  # days' worth of trust in the correction before any check


@dataclass(frozen=True, eq=False)
class Kernels:
    """Weights of known days for a day to tell."""

    calendar: Calendar

    def same(self, target: int, lag: int, half_life: float) -> tuple[slice, F64]:
        """(a span of days, weights of its ordinary days of the same weekday), at least ``lag`` days before."""
        span, age = self._span(target, lag)
        fits = self.calendar.kind[span] == self.calendar.like[target]
        return span, np.where(fits, 0.5 ** (age / half_life), 0.0)

    def every(self, target: int, lag: int, half_life: float) -> tuple[slice, F64]:
        """The same over all days, whatever their weekday."""
        span, age = self._span(target, lag)
        return span, 0.5 ** (age / half_life)

    def years(self, target: int, lag: int) -> tuple[slice, F64]:
        """Weights of the days about a year and two years before that are free if the target is."""
        last = max(0, min(target - _YEAR + _AROUND, target - lag) + 1)
        span = slice(max(0, target - 2 * _YEAR - _AROUND), last)
        gap = target - np.arange(span.start, last)
        calendar = self.calendar
        alike = (calendar.off[span] == calendar.off[target]) & (calendar.kind[span] != 7)
        first, second = np.abs(gap - _YEAR) <= _AROUND, np.abs(gap - 2 * _YEAR) <= _AROUND
        return span, alike * (first + 0.5 * second)

    def named(self, target: int) -> NDArray[np.int64]:
        """Days of earlier years that are the same holiday."""
        name = self.calendar.names[target]
        if not name:
            return np.zeros(0, np.int64)
        found = [d for d in range(max(0, target - _APART)) if self.calendar.names[d] == name]
        return np.array(found, np.int64)

    def _span(self, target: int, lag: int) -> tuple[slice, F64]:
        last = max(0, target - lag + 1)
        span = slice(max(0, target - lag - FARTHEST), last)
        return span, (target - lag - np.arange(span.start, last)).astype(np.float64)


def mean_row(rows: F64, weights: F64, shrink: float = 0.0) -> F64:
    """[columns] mean of ``rows`` [days, columns] over known ones; nan (0 if shrunk) without any."""
    known = (weights > 0) & np.isfinite(rows[:, 0])
    count = float(weights[known].sum())
    if shrink:
        return np.asarray(weights[known] @ rows[known] / (count + shrink))
    return (
        np.asarray(weights[known] @ rows[known] / count)
        if count > 1e-12
        else np.full(rows.shape[1], np.nan)
    )


@dataclass(frozen=True, eq=False)
class Outlook:
    """``rows`` [half-lives, 1 + factors] of the day to tell, by `HALF_LIVES`; ``row`` their mean, which is used: a
    short half-life follows a shock, a long one does not chase noise."""

    rows: F64
    row: F64


@dataclass(eq=False)
class _Past:
    """What a mean of weekdays said at one lateness and half-life, and how it erred; nan where not known."""

    base: F64  # [days, 1 + factors]
    error: F64
    years: F64  # mean error of the same weeks of earlier years
    names: F64  # of the same holiday
    change: F64  # what the correction said beforehand, before it was damped
    until: int = 0  # days before this one are worked out


@dataclass(eq=False)
class Outlooks:
    """Outlooks over one state of the rhythm. ``days`` [days, 1 + factors] may be filled in as days become known;
    ``weather`` [days, features]."""

    kernels: Kernels
    days: F64
    weather: F64
    _past: dict[tuple[int, float], _Past] = field(default_factory=dict)

    def ahead(self, target: int, newest: int) -> Outlook:
        """The day ``target`` from day rows known up to ``newest``, and the target's own weather."""
        lag = max(1, target - newest)
        rows = np.array([self._one(target, newest, lag, half_life) for half_life in HALF_LIVES])
        return Outlook(rows, rows.mean(axis=0))

    def _one(self, target: int, newest: int, lag: int, half_life: float) -> F64:
        past = self._until(target, newest, lag, half_life)
        plain = past.base[target]
        age = np.nonzero(np.isfinite(past.error[: newest + 1, 0]))[0]
        if age.size < WARM_UP or not np.isfinite(plain).all():
            return np.asarray(plain)
        past.change[target] = self._change(past, target, newest, age)
        return np.asarray(plain + _damping(past, newest) * past.change[target])

    def _change(self, past: _Past, target: int, newest: int, age: NDArray[np.int64]) -> F64:
        """[1 + factors]: what calendar, weather and earlier years add to the mean of weekdays."""
        spread = np.maximum(past.error[age].std(axis=0), 1e-9)
        weight = 0.5 ** ((newest - age) / _MEMORY)
        shared = np.c_[self.kernels.calendar.features, self.weather]
        out = np.zeros(spread.size)
        for column in range(out.size):
            extra = (
                np.stack([past.years[:, column], past.names[:, column]], axis=1) / spread[column]
            )
            used = np.c_[shared[age], extra[age]]
            gram = (used * weight[:, None]).T @ used + _PENALTY * np.eye(used.shape[1])
            aim = np.clip(past.error[age, column] / spread[column], -_LARGEST, _LARGEST)
            solved = np.linalg.solve(gram, used.T @ (weight * aim))
            change = float(np.r_[shared[target], extra[target]] @ solved)
            out[column] = spread[column] * float(np.clip(change, -_LARGEST, _LARGEST))
        return out

    def _until(self, target: int, newest: int, lag: int, half_life: float) -> _Past:
        """The past up to ``target``. A day's base rests on days at least ``lag`` before it alone, so it stays as it
        is once it was worked out, and its error comes when the day is known."""
        if (lag, half_life) not in self._past:
            blank, none = np.full(self.days.shape, np.nan), np.zeros(self.days.shape)
            made = _Past(blank, blank.copy(), none, none.copy(), blank.copy())
            self._past[lag, half_life] = made
        past = self._past[lag, half_life]
        for day in range(past.until, target + 1):
            span, weights = self.kernels.same(day, lag, half_life)
            past.base[day] = mean_row(self.days[span], weights)
            if WARM_UP <= day <= newest:
                past.error[day] = self.days[day] - past.base[day]
            self._other_years(past, day, lag)
        last = min(past.until, newest + 1)
        for day in range(max(WARM_UP, last - 2 * lag - 60), last):
            if np.isnan(past.error[day, 0]):
                past.error[day] = self.days[day] - past.base[day]
        past.until = max(past.until, target + 1)
        return past

    def _other_years(self, past: _Past, day: int, lag: int) -> None:
        if day < WARM_UP:
            return
        span, weights = self.kernels.years(day, lag)
        if weights.any():
            past.years[day] = mean_row(past.error[span], weights, _SHRINK)
        named = self.kernels.named(day)
        if named.size:
            past.names[day] = mean_row(past.error[named], np.ones(named.size), _SHRINK_NAME)


def _damping(past: _Past, newest: int) -> F64:
    """[1 + factors] in 0..1: how much of what the correction said beforehand turned out true lately. After a shock
    earlier years are no guide, and this says so."""
    first = max(0, newest + 1 - _LATELY)
    said, true = past.change[first : newest + 1], past.error[first : newest + 1]
    known = np.isfinite(said[:, 0]) & np.isfinite(true[:, 0])
    if not known.any():
        return np.ones(said.shape[1])
    said, true = said[known], true[known]
    weight = 0.5 ** ((newest - first - np.nonzero(known)[0]) / _DAMPED)
    size = weight @ said**2
    trust = _TRUST * size / max(float(weight.sum()), 1e-9)
    damping = (weight @ (said * true) + trust) / np.maximum(size + trust, 1e-12)
    return np.asarray(np.clip(damping, 0.0, 1.0))
