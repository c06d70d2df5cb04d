"""The portrait's plain twin and its example: the same question over everybody's tables in one place.

For tests and rehearsals; no node ever runs it. Tables have the contract's column names and an ``id`` column.
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
from hanse.measure.people_twin import Person, belonging, everybody, labelled, present
from hanse.measure.portrait.protocol import LabelPlan, PortraitPlan
from hanse.measure.portrait.release import ALL, KNOWN, UNKNOWN


def twin(p: PortraitPlan, tables: Mapping[str, Any], contract: Contract) -> NDArray[np.int64]:
    """Exact people [outputs]."""
    people = everybody(tables)
    crowd = belonging(p.crowd, people, tables)
    base = people if p.base is None else belonging(p.base, people, tables)
    if p.against == "around":
        base = base | crowd
    arms = {"crowd": crowd, "base": base, "both": crowd & base, "cross": crowd}
    having = [_having(label, tables, contract) for label in p.labels]
    found = []
    for figure in p.figures:
        group = arms[figure.arm]
        number = figure.block
        if figure.arm == "cross":
            row, number = p.crosses[figure.block - len(p.labels)]
            group = group & _with(having[row], figure.row)
        if figure.value == UNKNOWN:
            group = group - _with(having[number], KNOWN)
        elif figure.value != ALL:
            group = group & _with(having[number], figure.value)
        found.append(len(group))
    return np.array(found, np.int64)


def _having(label: LabelPlan, tables: Mapping[str, Any], contract: Contract) -> list[set[Person]]:
    """The people with each of a label's values."""
    if label.code is None:
        return [present(flag, tables) for flag in label.flags]
    codes = labelled(label.code, tables, contract)
    return [{p for p, code in codes.items() if code == v + 1} for v in range(len(label.names))]


def _with(having: list[set[Person]], value: int) -> set[Person]:
    """The people with one value, or with any."""
    return set().union(*having) if value == KNOWN else having[value]


# Seen the campaign, age group, home, interests; each stands for fifty alike people.
_LIVES: tuple[tuple[bool, str | None, str | None, tuple[str, ...]], ...] = (
    (True, "under 45", "city", ("sport", "travel")),
    (True, "under 45", "city", ("sport",)),
    (True, "under 45", None, ("travel",)),
    (True, "45 and over", "country", ("garden",)),
    (True, None, "city", ()),
    (False, "under 45", "country", ("sport",)),
    (False, "45 and over", "city", ("garden", "travel")),
    (False, "45 and over", "country", ("garden",)),
    (False, "45 and over", "country", ()),
    (False, None, None, ("sport",)),
)
_ALIKE = 50


def example() -> Example:
    """Whom a campaign reached: age and home from one organisation, interests from another, and two cross tables."""
    rows: dict[str, list[dict[str, Any]]] = {n: [] for n in ("exposures", "people", "topics")}
    began = datetime(2026, 3, 2, 9)
    for number, (seen, age, home, interests) in enumerate(_LIVES):
        for copy in range(_ALIKE):
            person, at = f"person-{number}-{copy}", began + timedelta(hours=copy)
            if seen:
                rows["exposures"].append({"id": person, "at": at})
            rows["people"].append({"id": person, "age": age, "home": home})
            rows["topics"] += [{"id": person, "at": at, "topic": topic} for topic in interests]
    for copy in range(7):  # in one table only, and too few to be told
        rows["people"].append({"id": f"person-alone-{copy}", "age": None, "home": "island"})
        rows["exposures"].append({"id": f"person-{copy}", "at": began})

    def table(name: str, provider: str, time: str | None, *columns: str) -> ExampleTable:
        return ExampleTable(name, provider, pa.Table.from_pylist(rows[name]), "id", time,
                            {c: c for c in columns})  # fmt: skip

    return Example(
        {
            "crowd": {"dataset": "exposures"},
            "labels": [
                {"name": "age group", "dataset": "people", "column": "age"},
                {"name": "home", "dataset": "people", "column": "home"},
                {"name": "interests", "dataset": "topics", "column": "topic", "several": True},
            ],
            "cross": [["age group", "interests"], ["home", "age group"]],
            "weights": {"interests": 2},
            "starts": "2026-03-01",
            "ends": "2026-06-01",
        },
        (
            table("exposures", "media", "at"),
            table("people", "insight", None, "age", "home"),
            table("topics", "forum", "at", "topic"),
        ),
        epsilon=4.0,
    )  # fmt: skip
