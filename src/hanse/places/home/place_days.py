"""A provider's own events to numbers of places and days: what it then brings to a job, as shares.

 1. stays      where a device was for a while                                        (`stays`)
 2. places     the nearest place of the public list                                  (`visits`)
 3. people     devices of one person become one; their stays one visit               (`visits`)
 4. qualified  long enough, not residents, not staff: as the contract says           (`visits`)
 5. weights    what each member of the panel stands for among all people             (`population`)
 6. counted    arrivals, unique people or minutes of each place and day, bounded a person
 7. protected  too few people: nothing; all else with noise                          (`protect`)

Everything happens at home, on the provider's own machine. Before step 7 nothing is written or given to anything
else; after it a person's day is protected by ``epsilon`` even from who reads the aggregates.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hanse.entropy import Entropy
from hanse.places.feeds.feed import Days, Feed, Floats
from hanse.places.home.protect import Protection, protected, scale
from hanse.places.home.visits import Visits

Measure = Literal["arrivals", "people", "dwell"]


@dataclass(frozen=True)
class Bounds:
    """What one person's day may add: at most so many places, arrivals at one place, and minutes there.

    ``usual_minutes`` is a usual stay, by which minimum counts of minutes are judged.
    """

    places: int = 6
    arrivals: int = 2
    minutes: float = 480.0
    usual_minutes: float = 30.0

    def of(self, measure: Measure) -> float:
        """The most that a person adds to one place and day, before weights."""
        return {"arrivals": float(self.arrivals), "people": 1.0, "dwell": self.minutes}[measure]


@dataclass(frozen=True, eq=False)
class PlaceDays:
    """``value`` [places, days] of the measure, extrapolated; ``people`` behind it, members of the panel.

    ``deviation`` [places, days] is the standard deviation by sampling members, and after `protect` by noise as
    well. Before `protect` this is raw and stays in memory.
    """

    places: tuple[str, ...] = field(repr=False)
    dates: Days = field(repr=False)
    value: Floats = field(repr=False)
    people: NDArray[np.int64] = field(repr=False)
    measure: Measure
    most: float  # that one person adds to a place and day
    person: float  # what one usually adds
    bounds: Bounds
    grain: float
    noise: float = 0.0

    @property
    def deviation(self) -> Floats:
        """The standard deviation [places, days] by sampling and noise; not a number where there is no value."""
        return np.asarray(np.sqrt(self.value * self.grain + self.noise**2), np.float64)

    def feed(self, name: str, lateness: int) -> Feed:
        """The values as a feed; what is not a number is not reported."""
        at, place = np.nonzero(np.isfinite(self.value.T))
        date: Days = self.dates[at]
        reported: Days = date + np.timedelta64(lateness, "D")
        return Feed(
            self.places, place.astype(np.int32), date, reported, self.value[place, at], name
        )


def counted(
    found: Visits,
    places: tuple[str, ...],
    dates: Days,
    measure: Measure,
    *,
    weights: Floats | None = None,
    bounds: Bounds | None = None,
) -> PlaceDays:
    """Step 6, of qualified visits; ``weights`` [people] are what each stands for (1 without).

    Of a person's places of a day the longest visited count. Sampling error: a member of weight w stands for w - 1
    people who are not in the panel, so a sum has the variance of its squares times w (w - 1) (Horvitz and Thompson
    1952), here by its mean over all places and days.
    """
    limit = bounds or Bounds()
    weight = np.ones(len(found.people)) if weights is None else np.asarray(weights, np.float64)
    inside = (found.date >= dates[0]) & (found.date <= dates[-1])
    day = (found.date[inside] - dates[0]).astype(np.int64)
    person, place, minutes = found.person[inside], found.place[inside], found.minutes[inside]
    person, place, day, times, minutes = _person_days(person, place, day, minutes)
    kept = _longest(person, day, minutes, limit.places)
    person, place, day = person[kept], place[kept], day[kept]
    amount = {
        "arrivals": np.minimum(times[kept], limit.arrivals).astype(np.float64),
        "people": np.ones(person.size),
        "dwell": np.minimum(minutes[kept], limit.minutes),
    }[measure]
    shape = len(places), dates.size
    cell = place * shape[1] + day
    w = weight[person]
    value = np.bincount(cell, w * amount, shape[0] * shape[1]).astype(np.float64).reshape(shape)
    behind = np.bincount(cell, minlength=shape[0] * shape[1]).astype(np.int64).reshape(shape)
    spread = float((np.maximum(w * (w - 1), 0) * amount**2).sum())
    most = limit.of(measure) * float(weight.max(initial=1e-9))
    grain = spread / max(float((w * amount).sum()), 1e-12)
    person = float(weight.mean()) * (limit.usual_minutes if measure == "dwell" else 1.0)
    return PlaceDays(places, dates, value, behind, measure, most, person, limit, grain)


def protect(raw: PlaceDays, rules: Protection, entropy: Entropy | None = None) -> PlaceDays:
    """Step 7: values with noise, none where fewer than ``k`` people may be behind them."""
    value = protected(
        raw.value.reshape(-1), rules, places_a_day=raw.bounds.places, most=raw.most,
        person=raw.person, entropy=entropy,
    ).reshape(raw.value.shape)  # fmt: skip
    # How many are behind a value is not told, only that there are enough.
    people = np.where(np.isfinite(value), rules.k, 0).astype(np.int64)
    noise = float(np.sqrt(2)) * scale(rules, raw.bounds.places, raw.most)
    return replace(raw, value=value, people=people, noise=noise)


def _person_days(
    person: NDArray[np.int64], place: NDArray[np.int64], day: NDArray[np.int64], minutes: Floats
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], Floats]:
    """Visits summed up by person, day and place: (person, place, day, visits, minutes)."""
    order = np.lexsort((place, day, person))
    person, place, day, minutes = person[order], place[order], day[order], minutes[order]
    if not person.size:
        return person, place, day, person, minutes
    new = (person[1:] != person[:-1]) | (day[1:] != day[:-1]) | (place[1:] != place[:-1])
    first = np.concatenate([[0], np.flatnonzero(new) + 1])
    times = np.diff(np.append(first, person.size))
    return person[first], place[first], day[first], times, np.add.reduceat(minutes, first)


def _longest(
    person: NDArray[np.int64], day: NDArray[np.int64], minutes: Floats, most: int
) -> NDArray[np.int64]:
    """Rows of the ``most`` longest visited places of every person and day."""
    order = np.lexsort((-minutes, day, person))
    if not order.size:
        return order
    p, d = person[order], day[order]
    new = np.concatenate([[True], (p[1:] != p[:-1]) | (d[1:] != d[:-1])])
    start = np.maximum.accumulate(np.where(new, np.arange(order.size), 0))
    return np.sort(order[np.arange(order.size) - start < most])
