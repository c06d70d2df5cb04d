"""What is wrong with a table of values, day by day: each day is held against clean days before it.

A day of a place is judged by the median of the same weekdays before (of the last values, where a feed is not
daily). What is flagged does not enter what later days are judged by: a fault does not become the rule by lasting.
The limits are set so that real days pass: on two years of 511 subway stations and seven of 21 street counters no
holiday, festival or lockdown reaches them. A fault of a whole day is told from a real event by its pattern: a wrong
unit and rows counted twice move all places by one factor, real days do not.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hanse.places.feeds.feed import Days, Floats

Mask = NDArray[np.bool_]
LAGS_DAILY = tuple(7 * week for week in range(1, 9))
LAGS_OTHER = tuple(range(1, 9))
COPIES = 14  # days back in which a copied day is looked for
MANY = 8  # places from which the pattern over places is trusted
_LEAST = 20.0  # a place below this many is too small to be judged by ratios
_HIGHEST = 5.0  # times the most a place ever had
_UNUSUAL = 8.0  # times what such days have
_SUNK = 150.0  # a place that has less than one in so many has not lost people, but a factor
_STEP = np.log(5)  # of all places together
_TWICE = (np.log(1.9), np.log(2.1))
_CALM = np.log(1.5)  # all places together, in the week before
_TOGETHER = 1.4  # times the spread of a quiet day: moved by one factor
_QUIET = 0.02  # a spread that needs no explanation
_APART = 5.0  # times more or less than all others moved
_LONG = 7  # days


@dataclass
class Flags:
    """What is wrong: for every kind the cells [places, days] to be taken out.

    ``factor`` [places, days] is by what values of the kinds "unit" and "doubled" differ from the usual; ``source``
    [days] is the day that a day repeats, -1 if none. ``apart`` [places, days]: places that moved far from the
    others for days, which may be real.
    """

    cells: dict[str, Mask] = field(default_factory=dict)
    apart: Mask = field(default_factory=lambda: np.zeros((0, 0), np.bool_))
    factor: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    source: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def put(self, kind: str, day: int, places: Mask, shape: tuple[int, int]) -> None:
        if places.any():
            self.cells.setdefault(kind, np.zeros(shape, np.bool_))[:, day] |= places

    def any(self) -> Mask | None:
        """Cells with anything wrong."""
        return np.logical_or.reduce(list(self.cells.values())) if self.cells else None


def median(values: Floats) -> Floats:
    """Medians of the last axis over what is known; not a number where nothing is. Quick for short rows."""
    ordered = np.sort(values, axis=-1)
    count = np.isfinite(ordered).sum(axis=-1)
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    high = np.minimum(high, values.shape[-1] - 1)
    pair = np.take_along_axis(ordered, np.stack([low, high], axis=-1), axis=-1)
    return np.asarray(np.where(count > 0, pair.mean(axis=-1), np.nan))


def _quartile(values: list[float]) -> float:
    """The lower one, as `numpy.quantile` has it, which takes a hundred times longer for a few numbers."""
    ordered = sorted(values)
    at = 0.25 * (len(ordered) - 1)
    low = int(at)
    return ordered[low] + (at - low) * (ordered[min(low + 1, len(ordered) - 1)] - ordered[low])


def grain(values: Floats) -> Floats:
    """The step [places] in which values [places, days] come: twenty, where one person of a panel stands for twenty.

    The smallest difference of two values, at least one.
    """
    steps = np.diff(np.sort(np.where(values >= 0, values, np.nan), axis=1), axis=1)
    steps = np.where(steps > 1e-9, steps, np.inf)
    smallest = steps.min(axis=1, initial=np.inf)
    return np.where(np.isfinite(smallest), np.maximum(smallest, 1.0), 1.0)


def flagged(values: Floats, dates: Days, daily: bool) -> Flags:
    """All that is wrong in ``values`` [places, days]; ``dates`` ascending, every day if the feed is ``daily``."""
    found = Flags(
        apart=np.zeros(values.shape, np.bool_),
        factor=np.full(values.shape, np.nan),
        source=np.full(dates.size, -1, np.int64),
    )
    watch = _Watch(values, dates, daily)
    for day in range(dates.size):
        watch.judge(day, found)
    if "stuck" in found.cells:
        _since_it_stuck(found.cells["stuck"], values)
    return found


def _since_it_stuck(cells: Mask, values: Floats) -> None:
    """A repeated count shows at its fifth day or so; it was wrong since its first."""
    for place, day in zip(*np.nonzero(cells), strict=True):
        before = day - 1
        while (
            before >= 0 and not cells[place, before] and values[place, before] == values[place, day]
        ):
            cells[place, before] = True
            before -= 1


class _Watch:
    """The state of going through the days: what was clean, what is usual."""

    def __init__(self, values: Floats, dates: Days, daily: bool) -> None:
        places, days = values.shape
        self._values = values
        self._clean = values.copy()
        self._lags = LAGS_DAILY if daily else LAGS_OTHER
        # Which of the remembered usual values a day goes by: its weekday's, or the only one.
        self._slot = (dates.astype(np.int64) % 7) if daily else np.zeros(days, np.int64)
        self._usual = np.full((places, 7), np.nan)
        self._most = np.zeros(places)
        self._seen = np.zeros(places, np.int64)
        self._equal = np.zeros(places, np.int64)
        self._high = np.zeros(places, np.int64)
        self._grain = grain(values)
        self._moved = np.zeros(places, np.int64)
        self._away = np.zeros(places, np.int64)
        self._other_unit = np.zeros(places, np.bool_)
        self._spreads: list[float] = []
        self._shifts: list[float] = []

    def judge(self, day: int, found: Flags) -> None:
        """Flag what is wrong with one day and remember what is not."""
        shape = self._values.shape
        now = self._values[:, day]
        usual = self._usual_for(day)
        wrong = now < 0
        found.put("negative", day, wrong, shape)
        copied = self._copied(day)
        if copied >= 0:
            found.source[day] = copied
            whole = np.isfinite(now) & ~wrong
            found.put("copied", day, whole, shape)
            self._forget(day, whole | wrong)
            return
        judged = np.isfinite(now) & ~wrong & (usual >= _LEAST)
        ratio = np.full(now.size, np.nan)
        ratio[judged] = np.log(np.maximum(now[judged], 0.5) / usual[judged])
        kind, shift = self._whole_day(ratio[judged])
        if kind:
            found.factor[:, day] = float(np.exp(shift))
            whole = np.isfinite(now) & ~wrong
            found.put(kind, day, whole, shape)
            self._forget(day, whole | wrong)
            return
        for name, places in self._single(now, usual, judged, ratio, shift, day).items():
            found.put(name, day, places & ~wrong, shape)
            wrong |= places
            if name == "unit":
                found.factor[places, day] = np.exp(ratio[places])
        with np.errstate(invalid="ignore"):
            far = ~wrong & (np.abs(ratio - shift) > np.log(_APART)) & (usual >= 2 * _LEAST)
        self._away = np.where(far, self._away + 1, np.where(np.isfinite(ratio), 0, self._away))
        found.apart[:, day] = self._away >= _LONG
        self._forget(day, wrong)
        self._remember(day)

    def _usual_for(self, day: int) -> Floats:
        """What such a day has [places]: of clean days before, or what was last known of them."""
        lags = [day - lag for lag in self._lags if day >= lag]
        slot = int(self._slot[day])
        if lags:
            fresh = median(self._clean[:, lags])
            kept = self._usual[:, slot]
            self._usual[:, slot] = np.where(np.isnan(fresh), kept, fresh)
        return self._usual[:, slot]

    def _copied(self, day: int) -> int:
        """The day before this one that it repeats, -1 if none: counts of many places do not repeat by chance."""
        now = self._values[:, day]
        big = now >= _LEAST
        if not big.any():
            return -1
        first = max(0, day - COPIES)
        past = self._values[:, first:day]
        known = big[:, None] & np.isfinite(past)
        equal = known & (past == now[:, None])
        enough = equal.sum(axis=0) >= np.maximum(2, 0.6 * known.sum(axis=0))
        for before in map(int, first + np.flatnonzero(enough)[::-1]):
            both, same = known[:, before - first], equal[:, before - first]
            # The chance that so many counts are equal: about one over the root of each.
            if 0.5 * float(np.log(now[same]).sum()) > np.log(1e7) and self._differ(both, before):
                return before
        return -1

    def _differ(self, places: Mask, day: int) -> bool:
        """Whether the places moved on the day before: a feed that always repeats itself is another matter."""
        if day == 0:
            return True
        a, b = self._values[places, day], self._values[places, day - 1]
        known = np.isfinite(a) & np.isfinite(b)
        return not known.any() or float((a == b)[known].mean()) < 0.6

    def _whole_day(self, ratio: Floats) -> tuple[str, float]:
        """(kind of fault of the whole day, the logarithm of its factor); "" for none."""
        if ratio.size < 3:
            return "", 0.0
        shift = float(np.median(ratio))
        spread = float(np.median(np.abs(ratio - shift)))
        # Of a quiet day: in a long shock places move apart, which must not make the rule laxer.
        quiet = _quartile(self._spreads[-90:]) if len(self._spreads) >= 14 else 0.0
        if abs(shift) >= np.log(_SUNK):
            return "unit", shift
        if ratio.size >= MANY and 0 < spread <= max(_QUIET, _TOGETHER * quiet):
            if abs(shift) >= _STEP:
                return "unit", shift
            # In a recovery days are twice what they were too, but so were the days just before.
            calm = float(np.abs(self._shifts[-7:]).max()) < _CALM if self._shifts else False
            if calm and _TWICE[0] <= shift <= _TWICE[1]:
                return "doubled", shift
        self._spreads.append(spread)
        self._shifts.append(shift)
        return "", shift

    def _single(
        self, now: Floats, usual: Floats, judged: Mask, ratio: Floats, shift: float, day: int
    ) -> dict[str, Mask]:
        """What is wrong with single places."""
        settled = self._seen >= (2 * len(self._lags) if self._lags[0] > 1 else 4)
        limit = _HIGHEST * self._most
        high = settled & (now > limit) & (now > 100) & ~(ratio < np.log(_UNUSUAL))
        # A place that stays so, by no power of ten, is another place than it was: in a week that is believed.
        self._high = np.where(high, self._high + 1, np.where(np.isfinite(now), 0, self._high))
        high &= ~((self._high > _LONG) & (now < 6 * limit) & ~self._other_unit)
        # A place without a history of its own is held against the largest that the feed has.
        high |= ~settled & (now > 20 * max(float(self._most.max()), 500.0)) & (self._most.max() > 0)
        sunk = judged & (now > 0) & (ratio < -np.log(_SUNK)) & (usual >= 2 * _SUNK)
        with np.errstate(invalid="ignore"):
            power = np.abs(ratio) / np.log(10)
            by_ten = np.isfinite(ratio) & (np.abs(power - np.rint(power)) < 0.2) & (power > 1.8)
            # On a holiday a place in another unit is off by another factor; it is still the unit.
            by_ten = (by_ten | self._other_unit) & (now >= _LEAST)
            self._other_unit = np.where(np.isfinite(now), (high | sunk) & by_ten, self._other_unit)
        # Of few people nobody comes by chance; on a day that is quiet all over town, of more.
        zero = judged & settled & (now == 0)
        zero &= usual * np.exp(min(shift, 0.0)) >= 1.5 * _LEAST * self._grain
        if day:
            before = self._values[:, day - 1]
            same = (now == before) & (now >= 100 * self._grain)
            self._equal = np.where(same, self._equal + 1, 0)
            self._moved += np.isfinite(now) & np.isfinite(before) & (now != before)
        return {
            "unit": (high | sunk) & by_ten,
            "absurd": high & ~by_ten,
            "sunk": sunk & ~by_ten,
            "zero": zero,
            # Only what used to move can be stuck: floor space and the like is the same every day.
            "stuck": (self._equal >= self._run_of(now)) & (self._moved > self._equal),
        }

    def _run_of(self, now: Floats) -> Floats:
        """How often in a row [places] a count may repeat itself: by chance once in about 1e9 days.

        Of a Poisson count n the chance is about one in 3.5 sqrt(n). Extrapolated counts come in grains.
        """
        count = np.maximum(np.nan_to_num(now) / self._grain, 100.0)
        return np.asarray(np.ceil(9 * np.log(10) / np.log(3.5 * np.sqrt(count))))

    def _forget(self, day: int, places: Mask) -> None:
        self._clean[places, day] = np.nan

    def _remember(self, day: int) -> None:
        clean = self._clean[:, day]
        known = np.isfinite(clean)
        self._most[known] = np.maximum(self._most[known], clean[known])
        self._seen += known
