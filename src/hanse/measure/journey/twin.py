"""The cross-scenario report's plain twin and its example. For tests and rehearsals; no node ever runs it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanse.contracts import Contract
from hanse.measure.examples import Example, ExampleTable
from hanse.measure.funnel import twin as funnel_twin
from hanse.measure.journey.protocol import JourneyPlan


def twin(p: JourneyPlan, tables: Mapping[str, Any], contract: Contract) -> NDArray[np.int64]:
    """Exact people per output, piece after piece."""
    return np.concatenate([funnel_twin.twin(piece.plan, tables, contract) for piece in p.pieces])


# Days from the first exposure to each stage; None: it never came. By kind of exposure and city.
_LIVES: tuple[tuple[str | None, str, dict[str, int]], ...] = (
    ("screen", "north", {"mall": 2, "visit": 3, "pay": 5, "again": 20}),
    ("screen", "north", {"visit": 4, "pay": 6, "topic": 8}),
    ("screen", "south", {"scan": 1, "visit": 9}),
    ("screen", "south", {"mall": 1}),
    ("banner", "north", {"visit": 2, "pay": 3}),
    ("banner", "south", {}),
    (None, "north", {"mall": 6, "visit": 7}),
    (None, "south", {"visit": 5, "pay": 8}),
    (None, "south", {}),
    (None, "north", {}),
)
_DATASETS = {"mall": "mall-visits", "visit": "store-visits", "scan": "scans", "pay": "payments",
             "again": "payments", "topic": "topics"}  # fmt: skip
_ALIKE = 60


def example() -> Example:
    """A campaign on screens and banners, at four organisations; every person stands for sixty alike ones."""
    rows: dict[str, list[dict[str, Any]]] = {
        name: [] for name in (*_DATASETS.values(), "exposures", "people")
    }
    began = datetime(2026, 3, 2, 9)
    for number, (kind, city, days) in enumerate(_LIVES):
        for copy in range(_ALIKE):
            person, at = f"person-{number}-{copy}", began + timedelta(hours=copy)
            rows["people"].append({"id": person, "city": city})
            if kind is not None:
                rows["exposures"].append({"id": person, "at": at, "kind": kind})
            for what, after in days.items():
                rows[_DATASETS[what]].append({"id": person, "at": at + timedelta(days=after)})

    def table(name: str, provider: str, time: str | None, *columns: str) -> ExampleTable:
        return ExampleTable(
            name, provider, pa.Table.from_pylist(rows[name]), "id", time, {c: c for c in columns}
        )

    def where(kind: str) -> dict[str, Any]:
        return {"dataset": "exposures", "where": [{"column": "kind", "equals": kind}]}

    return Example(
        {
            "campaign": "Spring",
            "starts": "2026-03-01",
            "ends": "2026-05-01",
            "offline": [where("screen")],
            "online": [where("banner")],
            "online_mall": [{"dataset": "mall-visits"}],
            "stores": [{"dataset": "store-visits"}],
            "scans": [{"dataset": "scans"}],
            "payments": [{"dataset": "payments"}],
            "repeats": [{"dataset": "payments"}],
            "topics": [{"dataset": "topics"}],
            "compare_with": "people",
            "by": [{"dataset": "people", "column": "city"}],
            "channels": [{"name": "screens", "exposures": [where("screen")]}],
        },
        (
            table("exposures", "media", "at", "kind"),
            table("mall-visits", "media", "at"),
            table("topics", "media", "at"),
            table("store-visits", "operator", "at"),
            table("scans", "coupon", "at"),
            table("payments", "retailer", "at"),
            table("people", "operator", None, "city"),
        ),
        epsilon=4.0,
    )
