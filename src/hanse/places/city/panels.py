"""What organisations see of the sample city: counters, a map's panel, an operator's cells, a payments company.

Each sees less than the truth, in its own way: few places, a biased sample, late, with gaps.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hanse.places.city.days import Almanac
from hanse.places.city.town import CATEGORIES, KINDS, OWNERS, Town
from hanse.places.feeds.feed import Days, Feed, Floats, from_matrix


@dataclass(frozen=True)
class Views:
    """How well the organisations see. Shares are of all arrivals; ``bias`` is a deviation of logarithms a place."""

    counted: float = 0.2  # of places that have an accurate counter
    counter_error: float = 0.03
    counter_lateness: int = 7
    counter_gaps: float = 0.004
    map_share: float = 0.03
    map_bias: float = 0.35
    map_lateness: int = 1
    payments_share: float = 0.12
    payments_bias: float = 0.35
    payments_lateness: int = 2
    operator_share: float = 0.3
    low_share: float = 0.05  # of the operator, in some districts
    low_districts: float = 0.2
    operator_lateness: tuple[int, int] = (30, 50)
    area_lateness: int = 1
    gaps: float = 0.002  # of a panel's place-days that are missing


@dataclass(frozen=True, eq=False)
class Panels:
    """The feeds. ``counters`` is over the counted places, ``owner`` [its places] says whose each is."""

    counters: Feed
    owner: NDArray[np.int64] = field(repr=False)
    map_panel: Feed
    payments: Feed
    operator: Feed
    area: Feed
    share: Floats = field(repr=False)  # of the operator [districts], what the census says


def panels(
    town: Town, days: Almanac, truth: Floats, is_open: NDArray[np.bool_], seed: int, views: Views
) -> Panels:
    """All feeds of ``truth`` [places, days]."""
    random = np.random.default_rng([seed, 5])
    names, dates = town.places.ids, days.dates
    counters, owner = _counters(random, town, dates, truth, is_open, views)
    share = np.full(len(town.districts), views.operator_share)
    low = random.choice(share.size, round(share.size * views.low_districts), replace=False)
    share[low] = views.low_share
    return Panels(
        counters, owner,
        _map(random, town, names, dates, truth, is_open, views),
        _payments(random, town, names, dates, truth, is_open, views),
        _operator(random, town, dates, truth, share, views),
        _area(random, town, dates, truth, share, views),
        share,
    )  # fmt: skip


def _counters(
    random: np.random.Generator, town: Town, dates: Days, truth: Floats, is_open: NDArray[np.bool_],
    views: Views,
) -> tuple[Feed, NDArray[np.int64]]:  # fmt: skip
    """Accurate counts at some places, all owners having some."""
    some = max(OWNERS, round(views.counted * len(town)))
    chosen = np.sort(random.choice(len(town), min(some, len(town)), replace=False))
    seen = truth[chosen] * np.exp(random.normal(0, views.counter_error, (chosen.size, dates.size)))
    seen = np.where(
        is_open[chosen] & _present(random, seen.shape, views.counter_gaps), np.round(seen), np.nan
    )
    names = [town.places.ids[p] for p in chosen.tolist()]
    return (
        from_matrix(names, dates, seen, lateness=views.counter_lateness, name="counters"),
        town.owner[chosen],
    )


def _map(
    random: np.random.Generator, town: Town, names: tuple[str, ...], dates: Days, truth: Floats,
    is_open: NDArray[np.bool_], views: Views,
) -> Feed:  # fmt: skip
    """Place-precise and fresh, of a few per cent who have an app: more of them at some kinds of places."""
    likes = random.normal(0, 0.25, len(KINDS))[town.kind]
    bias = random.normal(0, views.map_bias, len(town))
    # The app's users grow in number, with a step when a partner leaves.
    grown = 0.15 * np.arange(dates.size) / max(1, dates.size) - 0.12 * (
        np.arange(dates.size) > 0.55 * dates.size
    )
    rate = views.map_share * np.exp((likes + bias)[:, None] + grown[None])
    seen = random.poisson(rate * truth**0.96).astype(np.float64)
    seen = np.where(is_open & _present(random, seen.shape, views.gaps), seen, np.nan)
    return from_matrix(names, dates, seen, lateness=views.map_lateness, name="map")


def _payments(
    random: np.random.Generator, town: Town, names: tuple[str, ...], dates: Days, truth: Floats,
    is_open: NDArray[np.bool_], views: Views,
) -> Feed:  # fmt: skip
    """Payments at places where people pay, by one company's customers."""
    paid = np.array([c.paid for c in CATEGORIES.values()])[town.kind]
    bias = np.exp(random.normal(0, views.payments_bias, len(town)))
    seen = random.poisson(
        np.minimum(views.payments_share * paid * bias, 1.0)[:, None] * truth
    ).astype(np.float64)
    # More is bought at the end of the month.
    seen *= is_open
    kept = is_open & _present(random, seen.shape, views.gaps) & (paid > 0)[:, None]
    return from_matrix(names, dates, np.where(kept, seen, np.nan), lateness=views.payments_lateness,
                       name="payments")  # fmt: skip


def _operator(
    random: np.random.Generator, town: Town, dates: Days, truth: Floats, share: Floats, views: Views
) -> Feed:
    """People by cell: those at its places, those who live there, those who pass; extrapolated, and late."""
    cells = len(town.cell_names)
    there = np.zeros((cells, dates.size))
    np.add.at(there, town.cell, truth)
    through = np.exp(random.normal(5.5, 0.8, cells)) * (town.cell_side / 200.0)
    weekday = (dates.astype(np.int64) + 3) % 7
    rhythm = np.array([1.05, 1.05, 1.05, 1.05, 1.08, 0.9, 0.82])[weekday]
    rate = share[town.cell_district]
    seen = random.poisson((there + through[:, None] * rhythm[None]) * rate[:, None])
    # The operator scales up by the share it believes in, which is off by some.
    believed = rate * np.exp(random.normal(0, 0.15, cells))
    told = from_matrix(town.cell_names, dates, np.round(seen / believed[:, None]), name="operator")
    late = random.integers(views.operator_lateness[0], views.operator_lateness[1] + 1, dates.size)
    of = (told.date - dates[0]).astype(np.int64)
    return replace(told, reported=told.date + late[of].astype("timedelta64[D]"))


def _area(
    random: np.random.Generator, town: Town, dates: Days, truth: Floats, share: Floats, views: Views
) -> Feed:
    """The operator's quick sums by district: coarse, but of yesterday."""
    there = np.zeros((len(town.districts), dates.size))
    np.add.at(there, town.district, truth)
    lives = np.exp(random.normal(9.5, 0.4, len(town.districts)))[:, None]
    seen = random.poisson((there + lives) * share[:, None]) / share[:, None]
    seen = seen * np.exp(random.normal(0, 0.02, seen.shape))
    return from_matrix(
        town.districts, dates, np.round(seen), lateness=views.area_lateness, name="area"
    )


def _present(random: np.random.Generator, shape: tuple[int, int], gaps: float) -> NDArray[np.bool_]:
    """Which place-days are there: single ones are missing, and runs of some days."""
    out = random.random(shape) >= gaps / 2
    runs = random.poisson(shape[0] * shape[1] * gaps / 2 / 6)
    place, start = random.integers(0, shape[0], runs), random.integers(0, shape[1], runs)
    for p, s, n in zip(
        place.tolist(), start.tolist(), random.integers(3, 10, runs).tolist(), strict=True
    ):
        out[p, s : s + n] = False
    return out
