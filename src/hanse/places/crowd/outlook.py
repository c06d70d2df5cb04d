"""The outlook: the rhythm of a day that nobody has counted yet, from the days that are known.

    row(t) = mean of known days of the same weekday, recent ones more        (`Kernels.same`)
           + what holidays, bridges, weather and the same weeks of earlier years did to that mean before

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
_HALF_LIFE = 60.0


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
    return weights[known] @ rows[known] / count if count > 1e-12 else np.full(rows.shape[1], np.nan)


@dataclass(frozen=True, eq=False)
class Outlook:
    """``row`` [1 + factors] of the day to tell, ``plain`` the same without correction."""

    row: F64
    plain: F64


@dataclass(eq=False)
class _Past:
    """What the mean of weekdays said at one lateness, and how it erred, day by day; nan where not known."""

    base: F64  # [days, 1 + factors]
    error: F64
    years: F64  # mean error of the same weeks of earlier years
    names: F64  # of the same holiday
    until: int = 0  # days before this one are worked out


@dataclass(eq=False)
class Outlooks:
    """Outlooks over one state of the rhythm. ``days`` [days, 1 + factors] may be filled in as days become known;
    ``weather`` [days, features]."""

    kernels: Kernels
    days: F64
    weather: F64
    _past: dict[int, _Past] = field(default_factory=dict)

    def ahead(self, target: int, newest: int) -> Outlook:
        """The day ``target`` from day rows known up to ``newest``, and the target's own weather."""
        lag = max(1, target - newest)
        past = self._until(target, lag, newest)
        plain = past.base[target]
        age = np.nonzero(np.isfinite(past.error[: newest + 1, 0]))[0]
        if age.size < WARM_UP or not np.isfinite(plain).all():
            return Outlook(plain, plain)
        spread = np.maximum(past.error[age].std(axis=0), 1e-9)
        weight = 0.5 ** ((newest - age) / _MEMORY)
        shared = np.c_[self.kernels.calendar.features, self.weather]
        row = plain.copy()
        for column in range(row.size):
            extra = (
                np.stack([past.years[:, column], past.names[:, column]], axis=1) / spread[column]
            )
            used = np.c_[shared[age], extra[age]]
            gram = (used * weight[:, None]).T @ used + _PENALTY * np.eye(used.shape[1])
            aim = np.clip(past.error[age, column] / spread[column], -_LARGEST, _LARGEST)
            change = float(
                np.r_[shared[target], extra[target]]
                @ np.linalg.solve(gram, used.T @ (weight * aim))
            )
            row[column] += spread[column] * float(np.clip(change, -_LARGEST, _LARGEST))
        return Outlook(row, plain)

    def _until(self, target: int, lag: int, newest: int) -> _Past:
        """The past of a lateness up to ``target``. A day's base rests on days at least ``lag`` before it alone, so
        it stays as it is once it was worked out, and its error comes when the day is known."""
        if lag not in self._past:
            blank = np.full(self.days.shape, np.nan)
            self._past[lag] = _Past(blank, blank.copy(), np.zeros_like(blank), np.zeros_like(blank))
        past = self._past[lag]
        for day in range(past.until, target + 1):
            span, weights = self.kernels.same(day, lag, _HALF_LIFE)
            past.base[day] = mean_row(self.days[span], weights)
            if day >= WARM_UP and day <= newest:
                past.error[day] = self.days[day] - past.base[day]
            self._other_years(past, day, lag)
        for day in range(
            max(WARM_UP, min(past.until, newest + 1) - 2 * lag - 60), min(past.until, newest + 1)
        ):
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
