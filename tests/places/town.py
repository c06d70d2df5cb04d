"""A made-up town for tests: people with labels, homes and visits at three organisations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from hanse.places.concentration.protocol import ConcentrationPlan
from hanse.places.concentration.protocol import plan as planned
from hanse.places.concentration.questions import ConcentrationQuestion
from hanse.rehearsal import Column, Federation

TYPES = ("mall", "office", "market", "clinic", "station")
DISTRICTS, CITIES = 4, 2


def places(number: int) -> pa.Table:
    """``number`` places; every fifth is a clinic."""
    return pa.Table.from_pylist(
        [
            {
                "id": f"p{n:04}", "name": f"{TYPES[n % 5]} {n}", "type": TYPES[n % 5],
                "lat": 31.0 + n % 50 * 0.01, "lon": 121.0 + n // 50 * 0.01,
                "district": f"d{n % DISTRICTS}" if n % 7 else "", "city": f"c{n % DISTRICTS % CITIES}",
            }
            for n in range(number)
        ]
    )  # fmt: skip


def tables(people: int, number: int, seed: int) -> dict[str, pa.Table]:
    """Labels, homes (several rows for some) and visits of overlapping sets of people."""
    random = np.random.default_rng(seed)
    labels = [
        {"id": f"i{n}", "car": random.choice(["yes", "no"]), "pet": random.choice(["cat", "dog", "none"])}
        for n in range(people)
        if random.random() < 0.9
    ]  # fmt: skip
    homes, visits = [], []
    for n in range(people):
        homes += [
            {"id": f"i{n}", "home": f"p{random.integers(0, number):04}"}
            for _ in range(random.integers(0, 4))
        ]
        for _ in range(random.integers(0, 7)):
            at = np.datetime64("2026-02-25") + np.timedelta64(
                int(random.integers(0, 40 * 1440)), "m"
            )
            visits.append(
                {"id": f"i{n}", "at": at.astype("datetime64[us]").item(), "mode": random.choice(["foot", "car"]),
                 "place": f"p{random.integers(0, number + 2):04}"}
            )  # fmt: skip
    return {name: pa.Table.from_pylist(rows)
            for name, rows in (("labels", labels), ("homes", homes), ("visits", visits))}  # fmt: skip


def federation(people: int = 400, number: int = 10, seed: int = 1, **options: Any) -> Federation:
    """Three organisations, one list of places."""
    fed = Federation(**{"k": 20, "seed": f"town {seed}", "join_epsilon": 1.0, **options})
    fed.places("town", places(number), excluded=["station"])
    found = tables(people, number, seed)
    fed.dataset(
        "labels", "insurer", found["labels"], id="id", columns=["car", "pet"], capacity=people
    )
    fed.dataset("homes", "operator", found["homes"], id="id", capacity=people,
                columns={"home": Column("home", gazetteer="town")})  # fmt: skip
    fed.dataset("visits", "mall", found["visits"], id="id", time="at", capacity=people,
                columns={"place": Column("place", gazetteer="town"), "mode": "mode"})  # fmt: skip
    return fed


def crowd(column: str, value: str) -> dict[str, Any]:
    return {"dataset": "labels", "where": [{"column": column, "equals": value}]}


def question(**more: Any) -> dict[str, Any]:
    """Drivers by home, unless said otherwise."""
    return {
        "targets": {"drivers": crowd("car", "yes")},
        "at": [{"name": "home", "dataset": "homes", "column": "home"}],
        "starts": "2026-03-01",
        "ends": "2026-04-01",
        **more,
    }


def plan(
    fed: Federation, epsilon: float = 1.0, noise: bool = True, **more: Any
) -> ConcentrationPlan:
    """The plan of `question`."""
    library = fed._lists.library()
    asked = ConcentrationQuestion.read(question(**more))
    return planned(asked, fed.contract, library, epsilon=epsilon, noise=noise)
