"""Synthetic people on places, for demonstrations, documentation and benchmarks. **Nobody here exists.**

`sample_places` makes up a town; `sample_people` puts made-up people on any list of places, real ones too. Whoever
shows figures made from this must call them synthetic.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

SYNTHETIC = "synthetic people"
_TYPES = ("apartments", "office", "mall", "market", "cinema", "gym", "clinic", "school")
_OFTEN = (0.40, 0.22, 0.08, 0.12, 0.05, 0.05, 0.04, 0.04)
_SITES_OF_VISIT = ("mall", "market", "cinema", "gym")


def sample_places(places: int, seed: int = 1, districts: int = 12) -> pa.Table:
    """A made-up town: ``places`` with the columns of a gazetteer, in ``districts`` of three cities."""
    random = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(districts)))
    district = random.integers(0, districts, places)
    kinds = random.choice(_TYPES, places, p=_OFTEN)
    lat = 31.0 + 0.08 * (district // side) + random.normal(0, 0.015, places)
    lon = 121.0 + 0.08 * (district % side) + random.normal(0, 0.015, places)
    return pa.table(
        {
            "id": [f"place-{n:05}" for n in range(places)],
            "name": [f"{kind} {n}" for n, kind in enumerate(kinds.tolist())],
            "type": kinds.tolist(),
            "lat": np.round(lat, 6),
            "lon": np.round(lon, 6),
            "district": [f"district {d + 1}" for d in district.tolist()],
            "city": [f"city {'ABC'[d * 3 // districts]}" for d in district.tolist()],
        }
    )  # fmt: skip


def sample_people(places: pa.Table, people: int, seed: int = 1) -> dict[str, pa.Table]:
    """Made-up people on ``places`` (a gazetteer's columns): tables by name.

    labels (id, age, car: "intends" or "none"), homes (id, home), works (id, work), visits (id, at, place). Who
    intends to buy a car is more frequent in some districts and at some places, so that there is something to
    find. Each table knows nine in ten.
    """
    random = np.random.default_rng([seed, people])
    kinds = np.array(places["type"].to_pylist())
    ids = np.array(places["id"].to_pylist())
    home = _pick(random, kinds, ("apartments",), people)
    work = _pick(random, kinds, ("office",), people)
    known, district = np.unique(places["district"].to_pylist(), return_inverse=True)
    wish = np.exp(random.normal(0, 0.45, known.size))[district] * np.exp(
        random.normal(0, 0.3, ids.size)
    )
    chance = np.clip(0.15 * np.sqrt(wish[home] * wish[work]), 0.01, 0.8)
    intends = random.random(people) < chance
    names = np.array([f"synthetic-{n}" for n in range(people)])
    ages = random.choice(
        ["18-29", "30-44", "45-59", "60 and over"], people, p=[0.25, 0.3, 0.25, 0.2]
    )
    return {
        "labels": _known(random, {"id": names, "age": ages, "car": np.where(intends, "intends", "none")}),
        "homes": _known(random, {"id": names, "home": ids[home]}),
        "works": _known(random, {"id": names, "work": ids[work]}),
        "visits": _visits(random, names, kinds, ids, wish, intends),
    }  # fmt: skip


def _pick(
    random: np.random.Generator, kinds: NDArray[Any], wanted: tuple[str, ...], count: int
) -> NDArray[np.int64]:
    """Places of the wanted types, some more popular; any place if the list has none of them."""
    fits = np.flatnonzero(np.isin(kinds, wanted))
    if not fits.size:
        fits = np.arange(kinds.size)
    weight = random.lognormal(0, 0.6, fits.size)
    return random.choice(fits, count, p=weight / weight.sum())


def _visits(
    random: np.random.Generator, names: NDArray[Any], kinds: NDArray[Any], ids: NDArray[Any],
    wish: NDArray[np.float64], intends: NDArray[np.bool_],
) -> pa.Table:  # fmt: skip
    """About three visits each in March 2026; those who intend to buy a car prefer some places."""
    times = random.poisson(3.0, names.size)
    who = np.repeat(np.arange(names.size), times)
    usual = _pick(random, kinds, _SITES_OF_VISIT, who.size)
    other = _pick(random, kinds, _SITES_OF_VISIT, who.size)
    drawn = intends[who] & (wish[other] > wish[usual])
    start = np.datetime64("2026-03-01T08:00", "us")
    at = start + random.integers(0, 30 * 24 * 60, who.size).astype("timedelta64[m]")
    return pa.table({"id": names[who], "at": at, "place": ids[np.where(drawn, other, usual)]})


def _known(random: np.random.Generator, columns: dict[str, NDArray[Any]]) -> pa.Table:
    """Nine in ten of the rows."""
    kept = random.random(next(iter(columns.values())).size) < 0.9
    return pa.table({name: values[kept] for name, values in columns.items()})
