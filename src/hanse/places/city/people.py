"""The sample city's people: homes, work, groups, incomes, trips; a campaign shown to some, and what they buy.

Made for the questions about people (funnel, lift, portrait, concentration). Whether the campaign works is known:
`EFFECT` is what it truly adds, and who might see it was drawn by lot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanse.places.city.town import KINDS, Town
from hanse.places.feeds.feed import Days

GROUPS = ("students", "young professionals", "families", "older couples", "retired")
AGES = ("18-29", "30-44", "45-59", "60 and over")
INCOMES = ("low", "middle", "high")
CHANNELS = ("feed", "video", "screen")
EFFECT = 0.02  # added to the chance to buy, if the campaign was shown
_BASE = 0.05
_SHARES = (0.14, 0.24, 0.30, 0.18, 0.14)
_AGE_OF: tuple[tuple[float, ...], ...] = (
    (1.0, 0, 0, 0),
    (0.45, 0.5, 0.05, 0),
    (0.05, 0.7, 0.24, 0.01),
    (0, 0.05, 0.65, 0.3),
    (0, 0, 0.05, 0.95),
)
_RICH = (-0.8, 0.4, 0.3, 0.3, -0.4)
_CAR = (0.04, 0.16, 0.26, 0.12, 0.05)
_TRIPS = {"mall": 0.14, "market": 0.12, "supermarket": 0.3, "restaurant": 0.22, "cafe": 0.12, "cinema": 0.03,
          "gym": 0.05, "park": 0.09, "museum": 0.01}  # fmt: skip


@dataclass(frozen=True, eq=False)
class People:
    """Tables by name; ``home``, ``work`` and ``group`` [people] for the generator's own use."""

    tables: dict[str, pa.Table]
    home: NDArray[np.int64]
    work: NDArray[np.int64]
    group: NDArray[np.int64]


def people(town: Town, count: int, dates: Days, seed: int) -> People:
    """``count`` people; their trips fall on the last 28 of ``dates``, the campaign on the first 14 of these."""
    random = np.random.default_rng([seed, 6])
    names = np.char.add("synthetic-", np.arange(count).astype(str))
    home = _pick(random, town, "apartments", count)
    work = _pick(random, town, "office", count)
    group = random.choice(len(GROUPS), count, p=_SHARES)
    # Districts differ in who lives there, or there would be nothing to find.
    taste = random.normal(0, 0.5, (len(town.districts), len(GROUPS)))
    lean = np.log(np.array(_SHARES))[None] + taste[town.district[home]]
    group = (lean + random.gumbel(0, 1, lean.shape)).argmax(axis=1)
    works = random.random(count) < np.array([0.3, 0.95, 0.75, 0.6, 0.05])[group]
    age = _drawn(random, np.array(_AGE_OF)[group])
    wealth = np.array(_RICH)[group] + random.normal(0, 0.7, count)
    income = np.digitize(wealth, [-0.4, 0.6])
    car = random.random(count) < np.array(_CAR)[group]
    labels = pa.table({
        "id": names, "group": np.array(GROUPS)[group], "age": np.array(AGES)[age],
        "income": np.array(INCOMES)[income], "car": np.where(car, "intends", "none"),
        "district": np.array(town.districts)[town.district[home]],
    })  # fmt: skip
    ids = np.array(town.places.ids)
    window = dates[-28:]
    tables = {
        "labels": labels,
        "homes": pa.table({"id": names, "home": ids[home]}),
        "works": pa.table({"id": names[works], "work": ids[work[works]]}),
        "visits": _visits(random, town, names, group, home, window),
    }
    tables |= _campaign(random, town, names, car, home, window)
    return People(tables, home, np.where(works, work, -1), group)


def _pick(random: np.random.Generator, town: Town, kind: str, count: int) -> NDArray[np.int64]:
    """Places of a kind, the busy ones more often; any place if there is none of the kind."""
    fits = np.flatnonzero(town.kind == KINDS.index(kind))
    if not fits.size:
        fits = np.arange(len(town))
    weight = np.exp(town.level[fits])
    chosen: NDArray[np.int64] = random.choice(fits, count, p=weight / weight.sum())
    return chosen


def _drawn(random: np.random.Generator, chances: NDArray[np.float64]) -> NDArray[np.int64]:
    """One column of each row, by its chances."""
    above = random.random((chances.shape[0], 1)) > chances.cumsum(axis=1)
    column: NDArray[np.int64] = above.sum(axis=1)
    return np.asarray(np.minimum(column, chances.shape[1] - 1), np.int64)


def _visits(
    random: np.random.Generator, town: Town, names: NDArray[np.str_], group: NDArray[np.int64],
    home: NDArray[np.int64], window: Days,
) -> pa.Table:  # fmt: skip
    """Trips: the kind by habit, the place by how busy it is, in one's own district half of the time."""
    kinds = list(_TRIPS)
    often = np.array(list(_TRIPS.values())) * np.exp(
        random.normal(0, 0.4, (len(GROUPS), len(kinds)))
    )
    who: list[NDArray[np.int64]] = []
    where: list[NDArray[np.int64]] = []
    for column, kind in enumerate(kinds):
        times = random.poisson(often[group, column] * window.size)
        person = np.repeat(np.arange(names.size), times)
        place = _pick(random, town, kind, person.size)
        near = random.random(person.size) < 0.5
        place[near] = _near(random, town, kind, town.district[home[person[near]]], place[near])
        who.append(person)
        where.append(place)
    person, place = np.concatenate(who), np.concatenate(where)
    day = random.integers(0, window.size, person.size)
    minute = random.normal(15 * 60, 200, person.size).clip(8 * 60, 22 * 60).astype("timedelta64[m]")
    at = window[day].astype("datetime64[us]") + minute
    order = np.argsort(at, kind="stable")
    return pa.table({"id": names[person[order]], "at": at[order],
                     "place": np.array(town.places.ids)[place[order]]})  # fmt: skip


def _near(
    random: np.random.Generator, town: Town, kind: str, district: NDArray[np.int64],
    otherwise: NDArray[np.int64],
) -> NDArray[np.int64]:  # fmt: skip
    """A place of the kind in the district; the other one where the district has none."""
    fits = np.flatnonzero(town.kind == KINDS.index(kind))
    fits = fits[np.argsort(town.district[fits], kind="stable")]
    start = np.searchsorted(town.district[fits], np.arange(len(town.districts) + 1))
    many = (start[1:] - start[:-1])[district]
    chosen = start[district] + (random.random(district.size) * many).astype(np.int64)
    return np.where(
        many > 0, fits[np.minimum(chosen, fits.size - 1)] if fits.size else otherwise, otherwise
    )


def _campaign(
    random: np.random.Generator, town: Town, names: NDArray[np.str_], car: NDArray[np.bool_],
    home: NDArray[np.int64], window: Days,
) -> dict[str, pa.Table]:  # fmt: skip
    """assignment (id, arm), exposures (id, channel, at) and purchases (id, amount, at, place) of one campaign."""
    chosen = random.random(names.size) < 0.8  # whom the media know at all
    shown = chosen & (random.random(names.size) < 0.5)
    begins = window[0].astype("datetime64[us]")
    times = np.where(shown, 1 + random.poisson(1.5, names.size), 0)
    person = np.repeat(np.arange(names.size), times)
    seen = begins + random.integers(0, 14 * 24 * 60, person.size).astype("timedelta64[m]")
    channel = random.choice(len(CHANNELS), person.size, p=[0.5, 0.3, 0.2])
    chance = _BASE + EFFECT * shown + 0.04 * car
    buys = np.flatnonzero(random.random(names.size) < chance)
    bought = begins + (7 * 24 * 60 + random.integers(0, 20 * 24 * 60, buys.size)).astype(
        "timedelta64[m]"
    )
    store = _near(
        random, town, "mall", town.district[home[buys]], _pick(random, town, "mall", buys.size)
    )
    amount = np.round(np.exp(random.normal(5.2, 0.6, buys.size)), 2)
    return {
        "assignment": pa.table({"id": names[chosen], "arm": np.where(shown[chosen], "shown", "control")}),
        "exposures": pa.table({"id": names[person], "campaign": ["spring"] * person.size,
                               "channel": np.array(CHANNELS)[channel], "at": seen}),
        "purchases": pa.table({"id": names[buys], "amount": amount, "at": bought,
                               "place": np.array(town.places.ids)[store]}),
    }  # fmt: skip
