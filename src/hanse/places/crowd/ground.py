"""What all parties know: which places there are and where, and what kind of day each day is.

Nothing here is anybody's secret: place keys, coordinates and labels (lines, brands, malls) are the open list that
rows are aligned by; holidays are printed in calendars; weather is public once it was measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Fault

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]
Days = NDArray[np.datetime64]

WEEKEND = (5, 6)  # Monday is 0
_WIDEST_LABEL = 64


@dataclass(frozen=True, eq=False)
class Ground:
    """The places: ``keys``, ``position`` float64 [places, 2] in km, and ``labels`` bool [places, labels]."""

    keys: tuple[str, ...]
    position: F64
    labels: Flags = field(default_factory=lambda: np.zeros((0, 0), np.bool_))

    def __post_init__(self) -> None:
        if self.position.shape != (len(self.keys), 2) or not np.isfinite(self.position).all():
            raise Fault("crowd.places", "each place needs two coordinates",
                        remedy="leave out places without a position, or give them one")  # fmt: skip
        if self.labels.size == 0:
            object.__setattr__(self, "labels", np.zeros((len(self.keys), 0), np.bool_))

    @property
    def size(self) -> int:
        """How many places."""
        return len(self.keys)


def label_table(texts: Sequence[str], separator: str = "|") -> Flags:
    """[places, labels] from texts like ``"line 2|line 9"``; labels of fewer than two places say nothing."""
    split = [[part.strip() for part in text.split(separator) if part.strip()] for text in texts]
    names = sorted({name for row in split for name in row})
    table = np.array([[name in row for name in names] for row in split], np.bool_)
    table = table.reshape(len(texts), len(names))
    wide = table.sum(axis=0)
    kept = np.argsort(-wide, kind="stable")[:_WIDEST_LABEL]
    return table[:, np.sort(kept[wide[kept] > 1])]


@dataclass(frozen=True, eq=False)
class Calendar:
    """The days, in a row without gaps, and what is known beforehand of each.

    ``kind`` int64 [days]: 0..6 a weekday, 7 a holiday; ``like`` the weekday it is taken for (a holiday counts as
    the last day of the weekend); ``off`` bool; ``features`` float64 [days, features].
    """

    days: Days
    names: tuple[str, ...]  # of holidays and of days next to them, "" for others
    kind: I64
    like: I64
    off: Flags
    features: F64

    @property
    def size(self) -> int:
        """How many days."""
        return int(self.days.size)

    def at(self, day: object) -> int:
        """The number of a day; `Fault` outside the calendar."""
        number = int((np.datetime64(day, "D") - self.days[0]).astype(int))  # type: ignore[call-overload]
        if not 0 <= number < self.size:
            raise Fault(
                "crowd.day", f"{day} is not in the calendar", remedy="give a longer calendar"
            )
        return number


def calendar(
    first: object,
    last: object,
    holidays: Mapping[str, str] | None = None,
    weekend: Sequence[int] = WEEKEND,
) -> Calendar:
    """All days from ``first`` to ``last``; ``holidays`` maps ISO dates to names."""
    begins: int = np.datetime64(str(first), "D").astype(int)
    ends: int = np.datetime64(str(last), "D").astype(int)
    days = np.arange(begins, ends + 1).astype("datetime64[D]")
    weekday = (days.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    given = _every_year(dict(holidays or {}), int(str(days[-1])[:4]) + 1)
    names = tuple(given.get(str(d), "") for d in days)
    holiday = np.array([bool(n) for n in names])
    free = np.isin(weekday, weekend)
    kind = np.where(holiday, 7, weekday)
    like = np.where(holiday, max(weekend), weekday)
    off = holiday | free
    wide = np.arange(days[0] - 3, days[-1] + 4)  # the first day may be the day after a holiday
    around = _around([given.get(str(d), "") for d in wide])[3:-3]
    return Calendar(days, around, kind, like, off, _features(days, holiday, free, off))


def _every_year(given: dict[str, str], last: int) -> dict[str, str]:
    """With holidays of a fixed date carried on to the year ``last``, where the table ends before."""
    dates: dict[tuple[str, str], list[int]] = {}
    for date, name in given.items():
        dates.setdefault((date[5:10], name), []).append(int(date[:4]))
    end = max(given, default="")
    for (date, name), years in dates.items():
        if len(years) > 1 and len(years) == max(years) - min(years) + 1:
            coming = [f"{year}-{date}" for year in range(max(years) + 1, last + 1)]
            given |= {day: name for day in coming if day > end}
    return given


def _around(names: Sequence[str]) -> tuple[str, ...]:
    """Names of holidays, and of the days next to one: "Christmas -1" is like every Christmas Eve."""
    out = list(names)
    for number, name in enumerate(names):
        if name:
            continue
        for offset in (1, -1, 2, -2):
            other = number + offset
            if 0 <= other < len(names) and names[other]:
                out[number] = f"{names[other]} {-offset:+d}"
                break
    return tuple(out)


def _features(days: Days, holiday: Flags, free: Flags, off: Flags) -> F64:
    """What makes a day unlike others of its weekday. Columns are flags [days, 9]."""
    work = ~off
    before, after = _shifted(off, 1), _shifted(off, -1)
    holiday_before, holiday_after = _shifted(holiday, 1), _shifted(holiday, -1)
    near = holiday_before | holiday_after | _shifted(holiday, 2) | _shifted(holiday, -2)
    text = [str(d)[5:] for d in days]
    year_end = np.array([t >= "12-24" or t <= "01-02" for t in text])
    columns = [
        holiday & ~free,
        holiday & free,
        work & before & after,  # a bridge
        holiday & (holiday_before | holiday_after),  # one of several in a row
        work & holiday_after,
        work & holiday_before,
        free & ~holiday & near,  # a long weekend
        off,
        work & year_end,
    ]
    return np.stack(columns, axis=1).astype(np.float64)


def _shifted(flags: Flags, by: int) -> Flags:
    out = np.zeros_like(flags)
    if by > 0:
        out[by:] = flags[:-by]
    else:
        out[:by] = flags[-by:]
    return out


def weather_features(weather: F64, off: Flags) -> F64:
    """[days, 2 columns a measure] from daily measures [days, measures]: unlike the last fortnight, on working and
    on free days.

    A measure that is mostly near nothing (rain) counts by its logarithm, others by how far they are from the mean
    of the 15 days before; a day that is not known yet counts as nothing unusual.
    """
    if weather.shape[1] == 0:
        return np.zeros((weather.shape[0], 0))
    columns = []
    for measure in weather.T:
        known = np.isfinite(measure)
        values = np.where(known, measure, 0.0)
        if known.any() and values.min() >= 0 and np.median(values[known]) < values.mean() / 2:
            unusual = np.log1p(values)
        else:
            total = np.cumsum(np.r_[0.0, values])
            count = np.cumsum(np.r_[0, known])
            start = np.maximum(np.arange(values.size) - 15, 0)
            stop = np.arange(values.size)
            mean = (total[stop] - total[start]) / np.maximum(count[stop] - count[start], 1)
            spread = max(float(np.std(values[known])) if known.any() else 0.0, 1e-9)
            unusual = np.where(known & (count[stop] > count[start]), (values - mean) / spread, 0.0)
        unusual = np.where(known, unusual, 0.0)
        columns += [unusual * ~off, unusual * off]
    return np.stack(columns, axis=1)
