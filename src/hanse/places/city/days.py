"""The sample city's days: weather, holidays, events and a shock, which everybody may know, and what they do."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanse.places.city.town import CATEGORIES, Town
from hanse.places.feeds.feed import Days, Floats, days_between

_YEAR = 365.25
_SHOCK_DAYS = 24


@dataclass(frozen=True, eq=False)
class Almanac:
    """``holiday``, ``wet`` bool [days], ``warmth`` in degrees; ``events`` (place, day, factor); the shock's days.

    ``shock`` [districts, days] is the logarithm by which a sudden trouble changes a district's days.
    """

    dates: Days = field(repr=False)
    holiday: NDArray[np.bool_] = field(repr=False)
    wet: NDArray[np.bool_] = field(repr=False)
    rain: Floats = field(repr=False)
    warmth: Floats = field(repr=False)
    event_place: NDArray[np.int64] = field(repr=False)
    event_day: NDArray[np.int64] = field(repr=False)
    event_factor: Floats = field(repr=False)
    shock: Floats = field(repr=False)

    def table(self) -> pa.Table:
        """What is public of every day."""
        return pa.table(
            {
                "date": pa.array(self.dates, pa.date32()), "temp_avg": np.round(self.warmth, 1),
                "rain_mm": np.round(self.rain, 1), "holiday": self.holiday,
                "holiday_name": np.where(self.holiday, "holiday", ""),
            }
        )  # fmt: skip


def almanac(town: Town, starts: np.datetime64, days: int, seed: int, shock: bool) -> Almanac:
    """The days from ``starts`` on; the shock, if wanted, in their last quarter."""
    random = np.random.default_rng([seed, 2])
    dates = days_between(starts, starts + np.timedelta64(days - 1, "D"))
    season = np.cos(2 * np.pi * (dates.astype(np.int64) - 20) / _YEAR)  # 1 in January
    warmth = 15 - 11 * season + _wandering(random, days, 0.8, 2.5)
    wet = _wandering(random, days, 0.5, 1.0) > 0.75
    rain = np.where(wet, random.gamma(1.2, 8.0, days), 0.0)
    several = max(1, round(0.6 * len(town) * days / 365))
    place = random.choice(
        len(town), several, p=np.exp(town.level) ** 0.5 / (np.exp(town.level) ** 0.5).sum()
    )
    trouble = np.zeros((len(town.districts), days))
    if shock and days >= 4 * _SHOCK_DAYS:
        first = int(days * 0.8)
        # Drawn apart, so that a town with and without a shock is the same before it.
        depth = np.random.default_rng([seed, 20]).normal(-0.9, 0.35, len(town.districts))[:, None]
        fade = np.exp(-np.arange(min(_SHOCK_DAYS, days - first)) / 18.0)[None]
        trouble[:, first : first + fade.shape[1]] = np.minimum(depth, 0.0) * fade
    return Almanac(dates, _holidays(dates), wet, rain, warmth, place, random.integers(0, days, several),
                   random.normal(0.5, 0.3, several), trouble)  # fmt: skip


def means(town: Town, days: Almanac, seed: int) -> Floats:
    """The logarithm of expected arrivals [places, days]: what a perfect model of all that is regular would know."""
    random = np.random.default_rng([seed, 3])
    places, count = len(town), days.dates.size
    kinds = list(CATEGORIES.values())
    weekday = (days.dates.astype(np.int64) + 3) % 7  # 0 is Monday
    week = np.log(np.array([c.week for c in kinds]))[town.kind]
    week = week * random.normal(1.0, 0.15, (places, 1)) + random.normal(0, 0.05, (places, 7))
    out = town.level[:, None] + week[:, weekday]
    out += (
        np.array([c.holiday for c in kinds])[town.kind][:, None]
        * days.holiday[None]
        * random.normal(1, 0.2, (places, 1))
    )
    out += np.array([c.rain for c in kinds])[town.kind][:, None] * days.wet[None]
    summer = -np.cos(2 * np.pi * (days.dates.astype(np.int64) - 20) / _YEAR)
    out += np.array([c.summer for c in kinds])[town.kind][:, None] * summer[None]
    mood = np.stack([_wandering(random, count, 0.8, 0.05) for _ in town.districts])
    out += (mood + days.shock)[town.district]
    # What changes at a place by itself: works next door, a new line, a summer menu.
    out += _wandering_rows(random, places, count, 0.97, 0.15)
    np.add.at(out, (days.event_place, days.event_day), days.event_factor)
    return np.asarray(out, np.float64)


def arrivals(logarithm: Floats, seed: int) -> tuple[Floats, NDArray[np.bool_]]:
    """(arrivals [places, days] as they were, which places were open); a few open late or close early."""
    random = np.random.default_rng([seed, 4])
    places, days = logarithm.shape
    chance = random.normal(0, 0.06, logarithm.shape)
    drawn = random.poisson(np.exp(logarithm + chance)).astype(np.float64)
    opened = np.where(random.random(places) < 0.03, random.integers(0, days, places), 0)
    closed = np.where(random.random(places) < 0.02, random.integers(0, days, places), days)
    at = np.arange(days)[None]
    is_open = (at >= opened[:, None]) & (at < np.where(closed > opened, closed, days)[:, None])
    return np.where(is_open, drawn, 0.0), is_open


def _holidays(dates: Days) -> NDArray[np.bool_]:
    """New Year, three days in early May, a week in early October, two at the end of the year."""
    month = dates.astype("datetime64[M]")
    number = month.astype(np.int64) % 12 + 1
    day = (dates - month).astype(np.int64) + 1
    return np.asarray(
        ((number == 1) & (day == 1))
        | ((number == 5) & (day <= 3))
        | ((number == 10) & (day <= 7))
        | ((number == 12) & (day >= 25) & (day <= 26))
    )


def _wandering(random: np.random.Generator, days: int, hold: float, spread: float) -> Floats:
    """A series that keeps ``hold`` of itself from day to day, with a standard deviation of ``spread``."""
    return np.asarray(_wandering_rows(random, 1, days, hold, spread)[0], np.float64)


def _wandering_rows(
    random: np.random.Generator, rows: int, days: int, hold: float, spread: float
) -> Floats:
    steps = random.normal(0, spread * np.sqrt(1 - hold**2), (days, rows))
    steps[0] = random.normal(0, spread, rows)
    for day in range(1, days):
        steps[day] += hold * steps[day - 1]
    return np.ascontiguousarray(steps.T)
