"""What the recipients of a concentration read: people, shares and TGI per area, ranked, with intervals.

A TGI of 100 means that the target group is as common in an area as everywhere; 200, twice as common. Columns, not
rows: a list of 100,000 places is a few arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanse.gate.laws import half_width
from hanse.gate.plan import ReleasePlan
from hanse.measure.intervals import CONFIDENCE
from hanse.measure.tables import told
from hanse.places.concentration import picture, tables
from hanse.places.concentration.estimates import Estimate, Noise, difference, index, shares, total
from hanse.places.concentration.protocol import Breakdown, ConcentrationPlan
from hanse.tables import Table

MOST_FIGURES = 100_000  # areas times targets whose TGI is stored with the counts
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TargetFigures:
    """A target group in the areas of one level, arrays [areas]; not a number where suppressed; rank 0: unranked."""

    name: str
    people: Estimate
    share: Estimate  # of the base in the area
    tgi: Estimate
    rank: NDArray[np.int64]
    spread: Estimate  # the area's part of all target people


@dataclass(frozen=True)
class Level:
    """One level of one kind of whereabouts. ``ids`` name the areas, ``labels`` show them."""

    at: str
    level: str
    ids: tuple[str, ...] = field(repr=False)
    labels: tuple[str, ...] = field(repr=False)
    lat: Floats = field(repr=False)
    lon: Floats = field(repr=False)
    base: Estimate = field(repr=False)
    targets: tuple[TargetFigures, ...] = field(repr=False)
    suppressed: str
    slots: int
    left_out: int

    @property
    def shown(self) -> NDArray[np.int64]:
        """Areas whose base is told."""
        return np.flatnonzero(~np.isnan(self.base.value))

    def target(self, name: str) -> TargetFigures:
        """One target's figures. KeyError if there is none."""
        for found in self.targets:
            if found.name == name:
                return found
        raise KeyError(name)


@dataclass(frozen=True)
class Extrapolated:
    """A target group among the people of areas whose population was given."""

    at: str
    target: str
    areas: tuple[str, ...]
    people: Estimate  # [areas]
    whole: Estimate
    covered: int  # population of the areas that could be used
    given: int


@dataclass(frozen=True)
class Compared:
    """Two sites: how much more common the target is at the first (in parts of its people), and people more."""

    first: str
    second: str
    target: str
    share: Estimate
    people: Estimate


@dataclass(frozen=True)
class SiteList:
    """Sites chosen for a target, in order. ``people`` adds them up, overlap not deducted."""

    target: str
    at: str
    sites: tuple[str, ...]
    labels: tuple[str, ...]
    people: Estimate  # [sites]
    tgi: Estimate  # [sites]
    prices: tuple[float, ...]
    whole: Estimate


@dataclass(frozen=True, eq=False)
class ConcentrationResult:
    """All figures of the answer. ``everybody`` has base and target people wherever they are."""

    k: int
    names: tuple[str, ...]
    everybody: Estimate  # [1 + targets]
    levels: tuple[Level, ...]
    extrapolated: tuple[Extrapolated, ...]
    compared: tuple[Compared, ...]
    sites: SiteList | None
    top: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ConcentrationResult) and self.body() == other.body()

    def __hash__(self) -> int:
        return hash(tuple(np.nan_to_num(self.everybody.value).tolist()))

    def level(self, level: str, at: str = "") -> Level:
        """A level of the first, or of the named, whereabouts. KeyError if it was not asked for."""
        for found in self.levels:
            if found.level == level and at in ("", found.at):
                return found
        raise KeyError((level, at))

    def tables(self) -> tuple[Table, ...]:
        """What is printed: everybody, the top areas of each level and target, and what else was asked."""
        return tables.all_of(self)

    def notes(self) -> tuple[str, ...]:
        """What a reader must know of these figures."""
        return tables.notes(self)

    def body(self) -> dict[str, Any]:
        """Plain values for storage and the wire: tables of the top areas, and columns of all that are told."""
        return {
            "computation": "concentration",
            "k": self.k,
            "tables": [table.body() for table in self.tables()],
            "notes": list(self.notes()),
            "areas": [_columns(level) for level in self.levels],
        }

    def to_arrow(self) -> Any:
        """One row per area and target that is told."""
        parts = [_long(level, t) for level in self.levels for t in level.targets]
        return pa.concat_tables(parts)

    def to_svg(self, level: str = "", target: str = "", at: str = "") -> str:
        """Ranked bars with intervals, and a map of the areas, of one level and target (by default the first)."""
        found = self.level(level or self.levels[0].level, at)
        return picture.svg(found, found.target(target or self.names[0]))

    def __str__(self) -> str:
        return told(self.tables(), self.notes())


def result(
    p: ConcentrationPlan, values: NDArray[np.int64], published: NDArray[np.bool_]
) -> ConcentrationResult:
    """The figures from the opened outputs."""
    kinds = len(p.targets) + 1
    names = tuple(sorted(p.question.targets))
    everybody = _counts(p.release, values, published, 0, kinds)
    rates = [_rate(p, everybody, t) for t in range(1, kinds)]
    levels = tuple(_level(p, b, values, published, names, everybody, rates) for b in p.breakdowns)
    return ConcentrationResult(
        p.release.k, names, everybody[:, 0], levels, _extrapolated(p, levels), _compared(p, levels),
        _sites(p, levels), p.question.top,
    )  # fmt: skip


def _counts(
    release: ReleasePlan, values: NDArray[np.int64], published: NDArray[np.bool_], first: int,
    kinds: int, areas: int = 1,
) -> Estimate:  # fmt: skip
    """Counts [kinds, areas] with the noise's intervals."""
    cut = slice(first, first + kinds * areas)
    found = np.where(published[cut], values[cut].astype(np.float64), np.nan).reshape(areas, kinds).T
    halves = np.array([_half(release, first + kind) for kind in range(kinds)])[:, None]
    return Estimate(np.maximum(found, 0.0), np.maximum(found - halves, 0.0), found + halves)


def _half(release: ReleasePlan, output: int) -> float:
    return float(half_width(*release.spread(output), CONFIDENCE)) if release.noise else 0.0


def _noise(p: ConcentrationPlan, first: int, target: int) -> Noise:
    """Of a target's share in an area whose outputs begin at ``first``."""
    whole, part = p.release.sd(first), p.release.sd(first + target)
    return Noise.within(part, whole) if p.apart else Noise.apart(part, whole)


def _rate(p: ConcentrationPlan, everybody: Estimate, target: int) -> tuple[Estimate, Noise]:
    noise = _noise(p, 0, target)
    return shares(everybody.value[target, 0], everybody.value[0, 0], noise), noise


def _level(
    p: ConcentrationPlan, b: Breakdown, values: NDArray[np.int64], published: NDArray[np.bool_],
    names: tuple[str, ...], everybody: Estimate, rates: list[tuple[Estimate, Noise]],
) -> Level:  # fmt: skip
    kinds, areas = len(names) + 1, len(b.names)
    counts = _counts(p.release, values, published, b.first, kinds, areas)
    targets = []
    for t, name in enumerate(names, start=1):
        noise = _noise(p, b.first, t)
        overall, over = rates[t - 1]
        share = shares(counts.value[t], counts.value[0], noise)
        tgi = index(share, counts.value[0], noise, overall, float(everybody.value[0, 0]), over)
        part = Noise.apart(p.release.sd(b.first + t), p.release.sd(t))
        spread = shares(counts.value[t], everybody.value[t, 0], part)
        rank = _ranks(tgi.value, counts.value[0], p.question.least)
        targets.append(TargetFigures(name, counts[t], share, tgi, rank, spread))
    gazetteer, chosen = b.at.places.gazetteer, b.at.places.chosen
    size = np.maximum(1, np.bincount(b.area, minlength=areas))
    lat, lon = (
        np.bincount(b.area, weights=degrees[chosen], minlength=areas) / size
        for degrees in (gazetteer.lat, gazetteer.lon)
    )
    labels = b.names
    if b.level == "place":
        labels = tuple(gazetteer.names[i] or gazetteer.ids[i] for i in chosen.tolist())
    return Level(
        b.at.asked.name, b.level, b.names, labels, lat, lon, counts[0], tuple(targets),
        p.release.why_suppressed(b.first), b.slots, b.at.places.left_out,
    )  # fmt: skip


def _ranks(tgi: Floats, base: Floats, least: int) -> NDArray[np.int64]:
    """1 for the highest TGI; 0 where there is none, or where too few people are."""
    ranked = np.flatnonzero(~np.isnan(tgi) & np.isfinite(tgi) & (base >= least))
    order = ranked[np.argsort(-tgi[ranked], kind="stable")]
    ranks = np.zeros(tgi.size, np.int64)
    ranks[order] = 1 + np.arange(order.size)
    return ranks


def _extrapolated(p: ConcentrationPlan, levels: tuple[Level, ...]) -> tuple[Extrapolated, ...]:
    """Each area's population times the target's share in it; areas that are not told are left out."""
    asked = p.question.population
    if asked is None:
        return ()
    level = _level_of(levels, asked.level, asked.at)
    population = np.array([asked.people.get(name, 0) for name in level.ids], np.float64)
    found = []
    for t in level.targets:
        used = np.flatnonzero((population > 0) & ~np.isnan(t.share.value))
        people = t.share[used].times(population[used])
        found.append(
            Extrapolated(
                level.at, t.name, tuple(level.ids[i] for i in used.tolist()), people, total(people),
                int(population[used].sum()), sum(asked.people.values()),
            )
        )  # fmt: skip
    return tuple(found)


def _level_of(levels: tuple[Level, ...], level: str, at: str | None) -> Level:
    return next(x for x in levels if x.level == level and at in (None, x.at))


def _compared(p: ConcentrationPlan, levels: tuple[Level, ...]) -> tuple[Compared, ...]:
    """All pairs of candidate sites, for every target."""
    if len(p.question.compare) < 2:
        return ()
    level = _level_of(levels, "place", None)
    number = {name: i for i, name in enumerate(level.ids)}
    sites = [number[s] for s in p.question.compare]
    pairs = [(a, b) for i, a in enumerate(sites) for b in sites[i + 1 :]]
    return tuple(
        Compared(level.labels[a], level.labels[b], t.name, difference(t.share[a], t.share[b]),
                 difference(t.people[a], t.people[b]))
        for t in level.targets
        for a, b in pairs
    )  # fmt: skip


def _sites(p: ConcentrationPlan, levels: tuple[Level, ...]) -> SiteList | None:
    """Sites by greedy choice. Without prices it is the best list for its measure; with them, nearly."""
    asked = p.question.sites
    if asked is None:
        return None
    level = _level_of(levels, "place", asked.at)
    target = level.target(asked.target)
    price = np.array(
        [asked.prices.get(name, np.nan if asked.prices else 0.0) for name in level.ids]
    )
    worth = target.people.value if asked.by == "people" else target.tgi.value
    fits = ~np.isnan(worth) & np.isfinite(worth) & ~np.isnan(price)
    fits &= np.nan_to_num(target.tgi.value, posinf=0.0) >= asked.floor
    gain = np.where(fits, worth, 0.0)
    if asked.prices and asked.by == "people":
        gain = gain / np.maximum(np.nan_to_num(price), 1e-9)
    chosen: list[int] = []
    left = np.inf if asked.money is None else asked.money
    for i in np.argsort(-gain, kind="stable").tolist():
        if len(chosen) == asked.sites:
            break
        if fits[i] and price[i] <= left:
            chosen.append(i)
            left -= price[i]
    picked = np.array(chosen, np.int64)
    people = target.people[picked]
    return SiteList(
        target.name, level.at, tuple(level.ids[i] for i in chosen),
        tuple(level.labels[i] for i in chosen), people, target.tgi[picked],
        tuple(float(x) for x in price[picked]) if asked.prices else (), total(people),
    )  # fmt: skip


def _columns(level: Level) -> dict[str, Any]:
    """The counts of a level's areas that are told; their TGI too, unless there are very many."""
    shown = level.shown
    columns: dict[str, Any] = {
        "at": level.at,
        "level": level.level,
        "told": int(shown.size),
        "suppressed": len(level.ids) - int(shown.size),
        "area": [level.ids[i] for i in shown.tolist()],
        "base": level.base.value[shown].astype(np.int64).tolist(),
        "people": {t.name: _rounded(t.people.value[shown], 0) for t in level.targets},
    }
    if shown.size * len(level.targets) <= MOST_FIGURES:
        for name in ("value", "low", "high"):
            columns["tgi" if name == "value" else f"tgi_{name}"] = {
                t.name: _rounded(getattr(t.tgi, name)[shown], 1) for t in level.targets
            }
    return columns


def _rounded(values: Floats, digits: int) -> list[float | None]:
    """Plain numbers; None where there is none."""
    there = np.isfinite(values)
    found = np.round(np.where(there, values, 0.0), digits)
    plain = (found if digits else found.astype(np.int64)).tolist()
    return [value if told else None for value, told in zip(plain, there.tolist(), strict=True)]


def _long(level: Level, target: TargetFigures) -> Any:
    shown = level.shown
    columns: dict[str, Any] = {
        "at": [level.at] * shown.size,
        "level": [level.level] * shown.size,
        "area": [level.ids[i] for i in shown.tolist()],
        "label": [level.labels[i] for i in shown.tolist()],
        "target": [target.name] * shown.size,
        "lat": level.lat[shown],
        "lon": level.lon[shown],
        "base": level.base.value[shown],
    }
    for name, estimate in (
        ("people", target.people), ("share", target.share), ("tgi", target.tgi), ("spread", target.spread),
    ):  # fmt: skip
        for part, suffix in (
            (estimate.value, ""),
            (estimate.low, "_low"),
            (estimate.high, "_high"),
        ):
            values = np.broadcast_to(part, level.base.value.shape)[shown]
            missing = np.isnan(np.broadcast_to(estimate.value, level.base.value.shape)[shown])
            columns[name + suffix] = pa.array(values, mask=missing | ~np.isfinite(values))
    columns["rank"] = pa.array(target.rank[shown], mask=target.rank[shown] == 0)
    return pa.table(columns)
