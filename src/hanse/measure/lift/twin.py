"""Lift's plain twin and its example: the same question over everybody's tables in one place.

For tests and rehearsals; no node ever runs it. Tables have the contract's column names and an ``id`` column.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanse.contracts import Contract
from hanse.measure.examples import Example, ExampleTable
from hanse.measure.lift.protocol import LiftPlan
from hanse.measure.lift.release import ALL
from hanse.measure.people_twin import belonging, everybody, labelled, valued


def twin(p: LiftPlan, tables: Mapping[str, Any], contract: Contract) -> NDArray[np.int64]:
    """Exact figures [outputs]."""
    people = everybody(tables)
    arms = [belonging(arm, people, tables) for arm in p.arms]
    if p.question.exposed is not None:
        arms[1] -= arms[0]
    times = Counter(person for arm in arms for person in arm)
    codes = labelled(p.label, tables, contract) if p.label is not None else {}
    crowds = [o.name for o in p.question.outcomes if o.column is None]
    having = {
        name: belonging(crowd, people, tables) for name, crowd in zip(crowds, p.crowds, strict=True)
    }
    sums = [o.name for o in p.question.outcomes if o.column is not None]
    worth = {name: valued(field, tables) for name, field in zip(sums, p.values, strict=True)}
    found = []
    for figure in p.figures:
        if figure.kind == "twice":
            found.append(sum(n > 1 for n in times.values()))
            continue
        group = {
            person
            for person in arms[p.names.index(figure.arm)]
            if times[person] == 1
            and figure.segment in (ALL, p.segments[codes.get(person, 0)])
        }  # fmt: skip
        if figure.kind == "people":
            found.append(len(group))
        elif figure.kind == "crowd":
            found.append(len(group & having[figure.outcome]))
        else:
            power = 1 if figure.kind == "sum" else 2
            found.append(sum(worth[figure.outcome].get(person, 0) ** power for person in group))
    return np.array(found, np.int64)


# Letter, age group, whether they visited, what they paid in two orders; each stands for sixty alike people.
_LIVES: tuple[tuple[str, str | None, bool, tuple[int, ...]], ...] = (
    ("flyer", "under 45", True, (12, 5)),
    ("flyer", "under 45", True, ()),
    ("flyer", "45 and over", True, (30,)),
    ("flyer", "45 and over", False, ()),
    ("flyer", None, True, (7,)),
    ("nothing", "under 45", True, (4,)),
    ("nothing", "under 45", False, ()),
    ("nothing", "45 and over", False, ()),
    ("nothing", "45 and over", True, (21,)),
    ("nothing", None, False, (80,)),
)
_ALIKE = 60


def example() -> Example:
    """Who was sent a flyer, who visited and what they paid, at three organisations; by age group."""
    rows: dict[str, list[dict[str, Any]]] = {n: [] for n in ("letters", "visits", "orders")}
    began = datetime(2026, 3, 2, 9)
    for number, (letter, age, visited, orders) in enumerate(_LIVES):
        for copy in range(_ALIKE):
            person, at = f"person-{number}-{copy}", began + timedelta(hours=copy)
            rows["letters"].append({"id": person, "at": at, "letter": letter, "age": age})
            if visited:
                rows["visits"].append({"id": person, "at": at + timedelta(days=2)})
            for order, amount in enumerate(orders):
                later = at + timedelta(days=3 + order)
                rows["orders"].append({"id": person, "at": later, "amount": amount})
    for copy in range(5):  # sent both, by mistake
        for letter in ("flyer", "nothing"):
            rows["letters"].append(
                {"id": f"person-twice-{copy}", "at": began, "letter": letter, "age": "under 45"}
            )

    def table(name: str, provider: str, *columns: str) -> ExampleTable:
        return ExampleTable(
            name, provider, pa.Table.from_pylist(rows[name]), "id", "at", {c: c for c in columns}
        )

    def arm(name: str, letter: str) -> dict[str, Any]:
        where = [{"column": "letter", "equals": letter}]
        return {"name": name, "dataset": "letters", "where": where}

    return Example(
        {
            "arms": [arm("control", "nothing"), arm("flyer", "flyer")],
            "control": "control",
            "outcomes": [
                {"name": "visited", "dataset": "visits"},
                {"name": "paid", "dataset": "orders", "column": "amount", "most": 63},
            ],
            "starts": "2026-03-01",
            "ends": "2026-04-01",
            "by": {"dataset": "letters", "column": "age"},
            "randomised": True,
        },
        (
            table("letters", "media", "letter", "age"),
            table("visits", "mall"),
            table("orders", "shop", "amount"),
        ),
    )
