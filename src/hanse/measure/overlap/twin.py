"""The overlap's plain twin and its example: the same question over everybody's tables in one place.

For tests and rehearsals; no node ever runs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanse.contracts import Contract
from hanse.measure.examples import Example, ExampleTable
from hanse.measure.overlap.protocol import OverlapPlan
from hanse.measure.people_twin import belonging, everybody


def twin(p: OverlapPlan, tables: Mapping[str, Any], _contract: Contract) -> NDArray[np.int64]:
    """Exact people per output."""
    people = everybody(tables)
    crowds = [belonging(crowd, people, tables) for crowd in p.crowds]
    cells = np.zeros(p.release.cells, np.int64)
    for person in set().union(*crowds):
        region = sum(1 << i for i, crowd in enumerate(crowds) if person in crowd)
        cells[region - 1] += 1
    return p.release.sums.apply(cells)


def example() -> Example:
    """Four crowds, one of them combined, at three organisations; forty alike people in most regions."""
    rows: dict[str, list[dict[str, Any]]] = {"screens": [], "visits": [], "orders": []}
    began = datetime(2026, 3, 2, 12)
    for region in range(1, 8):
        for copy in range(40 if region != 7 else 6):
            for number, name in enumerate(rows):
                if region >> number & 1:
                    at = began + timedelta(days=copy % 20)
                    rows[name] += [{"id": f"person-{region}-{copy}", "at": at}] * (1 + copy % 2)

    def table(name: str, provider: str) -> ExampleTable:
        return ExampleTable(name, provider, pa.Table.from_pylist(rows[name]), "id", "at", {})

    return Example(
        {
            "crowds": [
                {"name": "saw a screen", "dataset": "screens"},
                {"name": "visited twice", "dataset": "visits", "at_least": 2},
                {"name": "ordered", "dataset": "orders"},
                {
                    "name": "in two places",
                    "least": 2,
                    "of": [{"dataset": name} for name in rows],
                },
            ],
            "starts": "2026-03-01",
            "ends": "2026-04-01",
            "universe": 1000,
        },
        (table("screens", "media"), table("visits", "mall"), table("orders", "shop")),
    )
