"""Reach's plain twin and its example: the same question over everybody's tables in one place.

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
from hanse.measure.people_twin import belonging, counted, everybody, labelled
from hanse.measure.reach.protocol import ReachPlan


def twin(p: ReachPlan, tables: Mapping[str, Any], contract: Contract) -> NDArray[np.int64]:
    """Exact people per output, cell by cell."""
    counts = [counted(count, tables) for count in p.counts]
    label = labelled(p.label, tables, contract) if p.label is not None else {}
    reached = set().union(*counts)
    people = reached if p.universe is None else belonging(p.universe, everybody(tables), tables)
    blocks = p.release.blocks
    frequency = np.zeros(blocks[0].cells, np.int64)
    first = np.zeros(len(p.counts), np.int64)
    for person in people:
        times = [count.get(person, 0) for count in counts]
        level = min(sum(times), p.most) - p.levels.start
        frequency[label.get(person, 0) * len(p.levels) + level] += 1
        if any(times):
            first[next(i for i, t in enumerate(times) if t)] += 1
    cells = np.concatenate([frequency, first]) if len(blocks) > 1 else frequency
    return p.release.sums.apply(cells)


def example() -> Example:
    """Three media with different audiences; people of a panel, by region; contacts up to far over the cap."""
    rows: dict[str, list[dict[str, Any]]] = {"screens": [], "web": [], "radio": []}
    panel = []
    began = datetime(2026, 3, 2, 12)
    for number in range(360):
        person = f"person-{number}"
        times = {"screens": number % 4, "web": (number // 4) % 3, "radio": 9 * (number % 12 == 7)}
        for name, count in times.items():
            rows[name] += [
                {"id": person, "at": began + timedelta(days=(number + i) % 20)}
                for i in range(count)
            ]
        if number % 5:
            region = ("north", "south")[number % 2] if number % 10 < 9 else None
            panel.append({"id": person, "at": began, "region": region})

    def table(name: str, provider: str) -> ExampleTable:
        return ExampleTable(name, provider, pa.Table.from_pylist(rows[name]), "id", "at", {})

    people = pa.Table.from_pylist(panel)
    return Example(
        {
            "exposures": [
                {"name": "screens outdoors", "dataset": "screens"},
                {"dataset": "web"},
                {"dataset": "radio"},
            ],
            "starts": "2026-03-01",
            "ends": "2026-04-01",
            "most_frequency": 5,
            "universe": {"dataset": "panel"},
            "by": {"dataset": "panel", "column": "region"},
        },
        (
            table("screens", "outdoor"),
            table("web", "online"),
            table("radio", "station"),
            ExampleTable("panel", "station", people, "id", "at", {"region": "region"}),
        ),
    )
