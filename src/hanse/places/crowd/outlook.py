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
_WARM_UP = 60  # days of history before errors are learned from
_YEAR = 364  # days: the same weekday a year before
_AROUND = 10  # days to each side of it
_SHRINK = 2.0  # days' worth of "no change" in the mean of a year before
_PENALTY = 3.0
_MEMORY = 365.0  # days in which a past error counts for half
_FARTHEST = 400  # days back that a mean of weekdays reaches


@dataclass(eq=False)
class Kernels:
    """Weights of known days by lateness and half-life, made once per calendar; rows are the days to tell."""

    calendar: Calendar
    _same: dict[tuple[int, float], F64] = field(default_factory=dict)
    _past: dict[int, tuple[F64, F64]] = field(default_factory=dict)

    def same(self, lag: int, half_life: float) -> F64:
        """[days, days]: weights of the ordinary days of the same weekday, at least ``lag`` days before."""
        key = (lag, half_life)
        if key not in self._same:
            gap = self._gap()
            usable = (gap >= lag) & (gap <= lag + _FARTHEST)
            fits = (self.calendar.like[:, None] == self.calendar.kind[None, :]) & usable
            self._same[key] = np.where(fits, 0.5 ** ((gap - lag) / half_life), 0.0)
        return self._same[key]

    def every(self, lag: int, half_life: float) -> F64:
        """[days, days]: weights of all days at least ``lag`` before, whatever their weekday."""
        key = (-lag, half_life)
        if key not in self._same:
            gap = self._gap()
            usable = (gap >= lag) & (gap <= lag + _FARTHEST)
            self._same[key] = np.where(usable, 0.5 ** ((gap - lag) / half_life), 0.0)
        return self._same[key]

    def past(self, lag: int) -> tuple[F64, F64]:
        """(weights of days about a year or two before, weights of earlier days of the same holiday)."""
        if lag not in self._past:
            calendar, gap = self.calendar, self._gap()
            ordinary = calendar.kind != 7
            alike = (calendar.off[:, None] == calendar.off[None, :]) & ordinary[None, :]
            year = np.zeros(gap.shape)
            for years, weight in ((1, 1.0), (2, 0.5)):
                near = np.abs(gap - years * _YEAR) <= _AROUND
                year += weight * (near & alike & (gap >= lag))
            names = np.array(calendar.names)
            named = (names[:, None] == names[None, :]) & (names != "")[:, None] & (gap > 300)
            self._past[lag] = (year, named.astype(np.float64))
        return self._past[lag]

    def _gap(self) -> F64:
        number = np.arange(self.calendar.size, dtype=np.float64)
        return np.asarray(number[:, None] - number[None, :])


def weighted(weights: F64, rows: F64, shrink: float = 0.0) -> F64:
    """Means of ``rows`` [days, columns] by ``weights`` [out, days] over known rows; nan (0 if shrunk) without."""
    known = np.isfinite(rows).all(axis=1)
    total = weights[:, known] @ rows[known]
    count = weights[:, known].sum(axis=1, keepdims=True)
    if shrink:
        return np.asarray(total / (count + shrink))
    return np.asarray(np.where(count > 1e-12, total / np.maximum(count, 1e-12), np.nan))


@dataclass(frozen=True, eq=False)
class Outlook:
    """``row`` [1 + factors] of the day to tell, ``plain`` the same without correction."""

    row: F64
    plain: F64


def outlook(
    kernels: Kernels, days: F64, weather: F64, target: int, newest: int, half_life: float = 60.0
) -> Outlook:
    """The day ``target`` from day rows known up to ``newest``.

    ``days`` [days, 1 + factors] beyond ``newest`` are not looked at; ``weather`` [days, features] may hold the
    target's.
    """
    lag = max(1, target - newest)
    known = days.copy()
    known[newest + 1 :] = np.nan
    stop = target + 1
    base = weighted(kernels.same(lag, half_life)[:stop], known)
    error = known[:stop] - base
    error[:_WARM_UP] = np.nan
    finite = np.isfinite(error).all(axis=1)
    if finite.sum() < _WARM_UP:
        return Outlook(base[target], base[target])
    year, named = kernels.past(lag)
    padded = np.full_like(known, np.nan)
    padded[:stop] = error
    spread = np.maximum(np.std(error[finite], axis=0), 1e-9)
    padded /= spread
    a_year = weighted(year[:stop], padded, _SHRINK)
    a_name = weighted(named[:stop], padded, 0.25)
    shared = np.c_[kernels.calendar.features[:stop], weather[:stop]]
    row = base[target].copy()
    age = np.nonzero(finite)[0]
    weight = 0.5 ** ((newest - age) / _MEMORY)
    for column in range(known.shape[1]):
        design = np.c_[shared, a_year[:, column], a_name[:, column]]
        used = design[age]
        gram = (used * weight[:, None]).T @ used + _PENALTY * np.eye(design.shape[1])
        moment = (used * weight[:, None]).T @ np.clip(padded[age, column], -4, 4)
        change = float(design[target] @ np.linalg.solve(gram, moment))
        row[column] += spread[column] * float(np.clip(change, -4, 4))
    return Outlook(row, base[target])
