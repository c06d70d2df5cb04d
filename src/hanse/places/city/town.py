"""The sample city's ground: districts, places with categories on coordinates, and an operator's cells over them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanse.catalog.gazetteers import Gazetteer, from_table
from hanse.places.feeds.feed import Floats

Index = NDArray[np.int64]
OWNERS = 3


@dataclass(frozen=True)
class Category:
    """How a kind of place behaves. ``level`` is the logarithm of its usual arrivals a day, ``spread`` its
    deviation.

    ``week`` are factors from Monday to Sunday; ``holiday``, ``rain`` (a wet day) and ``summer`` are logarithms;
    ``paid`` is the share of arrivals that pay, 0 where nobody does.
    """

    often: float
    level: float
    spread: float
    week: tuple[float, ...]
    holiday: float
    rain: float
    summer: float
    paid: float


_WORK = (1.1, 1.15, 1.15, 1.15, 1.05, 0.25, 0.15)
_LEISURE = (0.8, 0.8, 0.85, 0.9, 1.05, 1.4, 1.2)
_DAILY = (0.95, 0.95, 0.97, 1.0, 1.08, 1.1, 0.95)
CATEGORIES: dict[str, Category] = {
    "apartments": Category(0.24, 5.6, 0.5, (0.97, 0.97, 0.98, 0.98, 1.0, 1.06, 1.04), -0.05, -0.02, -0.03, 0.0),
    "office": Category(0.14, 6.3, 0.8, _WORK, -1.4, -0.02, -0.08, 0.0),
    "mall": Category(0.05, 8.3, 0.7, _LEISURE, 0.35, 0.08, 0.0, 0.35),
    "market": Category(0.08, 6.8, 0.7, _DAILY, -0.1, -0.12, 0.0, 0.6),
    "supermarket": Category(0.08, 6.9, 0.5, _DAILY, -0.15, -0.05, 0.0, 0.75),
    "restaurant": Category(0.14, 5.3, 0.6, (0.85, 0.88, 0.92, 0.98, 1.15, 1.25, 0.97), 0.2, -0.06, 0.02, 0.9),
    "cafe": Category(0.08, 5.2, 0.6, (0.98, 1.0, 1.02, 1.02, 1.08, 1.05, 0.85), 0.05, -0.08, 0.04, 0.9),
    "cinema": Category(0.02, 6.4, 0.5, (0.6, 0.6, 0.65, 0.7, 1.1, 1.75, 1.6), 0.5, 0.1, 0.05, 0.8),
    "gym": Category(0.04, 5.2, 0.5, (1.2, 1.15, 1.1, 1.05, 0.9, 0.85, 0.75), -0.5, 0.0, -0.1, 0.1),
    "park": Category(0.04, 6.5, 0.9, (0.75, 0.75, 0.78, 0.8, 0.9, 1.55, 1.47), 0.5, -0.8, 0.35, 0.0),
    "station": Category(0.03, 9.0, 0.7, (1.06, 1.07, 1.07, 1.07, 1.12, 0.88, 0.73), -0.35, -0.04, 0.0, 0.0),
    "museum": Category(0.02, 6.0, 0.7, (0.2, 0.85, 0.9, 0.95, 1.0, 1.65, 1.45), 0.6, 0.12, 0.1, 0.5),
    "hotel": Category(0.04, 5.8, 0.6, (0.95, 0.95, 0.98, 1.0, 1.08, 1.1, 0.94), 0.25, 0.0, 0.1, 0.5),
}  # fmt: skip
KINDS = tuple(CATEGORIES)


@dataclass(frozen=True, eq=False)
class Town:
    """Places of a gazetteer and what is true of them and of nobody's knowledge.

    All [places] but ``cell_*`` [cells]: ``kind`` counts in `KINDS`, ``district`` in ``districts``, ``owner`` is the
    organisation that would count there, ``level`` the logarithm of usual arrivals, ``area`` square metres.
    """

    places: Gazetteer = field(repr=False)
    kind: Index = field(repr=False)
    district: Index = field(repr=False)
    districts: tuple[str, ...]
    owner: Index = field(repr=False)
    area: Floats = field(repr=False)
    level: Floats = field(repr=False)
    cell: Index = field(repr=False)
    cell_names: tuple[str, ...] = field(repr=False)
    cell_lat: Floats = field(repr=False)
    cell_lon: Floats = field(repr=False)
    cell_side: Floats = field(repr=False)
    cell_district: Index = field(repr=False)

    def __len__(self) -> int:
        return len(self.places)


def build(
    count: int, seed: int, given: Gazetteer | None = None, kinds: tuple[str, ...] = ()
) -> Town:
    """A town of ``count`` places of ``kinds`` (all without any), or on the places of ``given``.

    Kinds of given places that are unknown behave like markets.
    """
    random = np.random.default_rng([seed, 1])
    listed = given if given is not None else _made_up(random, count, kinds or KINDS)
    names, district = listed.grouped("district")
    kind = np.array([KINDS.index(k) if k in KINDS else KINDS.index("market") for k in listed.types])
    # Districts differ in what they have and how busy they are.
    busy = random.normal(0, 0.35, len(names))
    told = np.array([c.level for c in CATEGORIES.values()])[kind]
    spread = np.array([c.spread for c in CATEGORIES.values()])[kind]
    size = random.normal(0, 1, len(listed))
    # Size tells of half of the differences, sub-linearly; where it lies of some; the rest is nobody's to know.
    level = told + busy[district] + spread * (0.7 * size + 0.7 * random.normal(0, 1, len(listed)))
    area = np.round(np.exp(told * 0.9 + 0.5 + 1.1 * spread * size), 0)
    owner = _owners(random, district, len(names))
    return Town(listed, kind, district.astype(np.int64), tuple(n or "unknown" for n in names), owner, area,
                level, *_cells(listed, district))  # fmt: skip


def _usual_districts(count: int) -> int:
    return int(np.clip(round(np.sqrt(count)), 6, 60))


def _made_up(random: np.random.Generator, count: int, wanted: tuple[str, ...]) -> Gazetteer:
    """Places around the centres of districts, which lie around the centre of a town of nowhere."""
    districts = _usual_districts(count)
    angle = random.uniform(0, 2 * np.pi, districts)
    far = np.sqrt(random.uniform(0, 1, districts)) * (0.015 + 0.013 * np.sqrt(districts))
    middle_lat, middle_lon = 31.0 + far * np.sin(angle), 121.0 + far * np.cos(angle) * 1.16
    weight = np.exp(-far / far.max())  # the middle is dense
    district = random.choice(districts, count, p=weight / weight.sum())
    district[:districts] = np.arange(min(districts, count))  # none is empty
    often = np.array([CATEGORIES[k].often for k in wanted])
    kinds = [wanted[k] for k in random.choice(len(wanted), count, p=often / often.sum())]
    return from_table(
        pa.table(
            {
                "id": [f"place-{n:05}" for n in range(count)],
                "name": [f"{k} {n}" for n, k in enumerate(kinds)],
                "type": kinds,
                "lat": middle_lat[district] + random.normal(0, 0.008, count),
                "lon": middle_lon[district] + random.normal(0, 0.009, count),
                "district": [f"district {d + 1:02}" for d in district.tolist()],
                "city": ["sample city"] * count,
            }
        )
    )  # fmt: skip


def _owners(random: np.random.Generator, district: NDArray[np.int32], districts: int) -> Index:
    """Three organisations that share the districts out among themselves."""
    of = random.permutation(np.arange(districts) % OWNERS)
    return of[district].astype(np.int64)


def _cells(
    places: Gazetteer, district: NDArray[np.int32]
) -> tuple[Index, tuple[str, ...], Floats, Floats, Floats, Index]:
    """Cells of 200 m where places are dense, of 1 km where they are not: (each place's cell, and the cells)."""
    north = 1 / 111_195.0
    east = north / np.cos(np.radians(float(np.median(places.lat))))
    y, x = (places.lat - places.lat.min()) / north, (places.lon - places.lon.min()) / east
    coarse = np.stack([y // 1000, x // 1000], axis=1).astype(np.int64)
    _, of, crowd = np.unique(coarse, axis=0, return_inverse=True, return_counts=True)
    around = crowd[of.reshape(-1)]
    dense = around >= np.median(around)
    side = np.where(dense, 200.0, 1000.0)
    key = np.stack([side, y // side, x // side], axis=1).astype(np.int64)
    cells, cell = np.unique(key, axis=0, return_inverse=True)
    cell = cell.reshape(-1).astype(np.int64)
    sides = cells[:, 0].astype(np.float64)
    lat = places.lat.min() + (cells[:, 1] + 0.5) * sides * north
    lon = places.lon.min() + (cells[:, 2] + 0.5) * sides * east
    first = np.zeros(len(cells), np.int64)
    first[cell[::-1]] = np.arange(cell.size)[::-1]
    names = tuple(f"cell-{int(s)}-{r}-{c}" for s, r, c in cells.tolist())
    return cell, names, lat, lon, sides, district[first].astype(np.int64)
