"""The concentration's example: a small made-up town, for the conformance suite."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from hanse.measure.examples import Example, ExampleTable

_TYPES = ("mall", "office", "market", "clinic", "station", "park")


def town() -> Any:
    """Twelve places in three districts of two cities; two of them are clinics."""
    return pa.Table.from_pylist(
        [
            {
                "id": f"p{n:02}", "name": f"{_TYPES[n % 6]} {n}", "type": _TYPES[n % 6],
                "lat": 31.2 + n // 4 * 0.05 + n % 4 * 0.002, "lon": 121.4 + n % 4 * 0.004,
                "district": f"district {n // 4}", "city": "north" if n >= 8 else "south",
            }
            for n in range(12)
        ]
    )  # fmt: skip


def example() -> Example:
    """Labels at one organisation, homes at another, visits at a third."""
    labels, homes, visits = [], [], []
    began = datetime(2026, 3, 2, 12)
    for n in range(620):
        person = f"person-{n}"
        place = n * n % 7 if n % 5 else n % 12
        if n % 11:
            labels.append({"id": person, "car": "yes" if n % 3 == 0 or place == 4 else "no"})
        if n % 13:
            homes.append({"id": person, "home": f"p{place:02}"})
        for step in range(n % 4):
            seen = (place + step * 5) % 12
            at = began + timedelta(days=n % 20, hours=step)
            visits += [{"id": person, "at": at, "place": f"p{seen:02}"}] * (1 + step % 2)

    def table(
        name: str, provider: str, rows: list[dict[str, Any]], time: str | None,
        columns: dict[str, str], lists: dict[str, str],
    ) -> ExampleTable:  # fmt: skip
        return ExampleTable(name, provider, pa.Table.from_pylist(rows), "id", time, columns, lists)

    return Example(
        {
            "targets": {"drivers": {"dataset": "labels", "where": [{"column": "car", "equals": "yes"}]}},
            "at": [
                {"name": "home", "dataset": "homes", "column": "home"},
                {"name": "visited", "dataset": "visits", "column": "place", "slots": 2},
            ],
            "levels": ["place", "district", "city"],
            "starts": "2026-03-01",
            "ends": "2026-04-01",
            "compare": ["p00", "p01", "p02"],
            "sites": {"target": "drivers", "sites": 3},
            "population": {"level": "district", "people": {"district 0": 9000, "district 1": 5000}},
        },
        (
            table("labels", "insurer", labels, None, {"car": "car"}, {}),
            table("homes", "operator", homes, None, {"home": "home"}, {"home": "town"}),
            table("visits", "mall", visits, "at", {"place": "place"}, {"place": "town"}),
        ),
        epsilon=4.0,
        places={"town": town()},
    )  # fmt: skip
