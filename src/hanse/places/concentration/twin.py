"""The concentration's plain twin: the same question over everybody's tables in one place.

For tests and rehearsals; no node ever runs it. Tables have the contract's column names and an ``id`` column.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from hanse.contracts import Contract
from hanse.measure.clauses import quoted, where_clause
from hanse.measure.people_twin import belonging, everybody
from hanse.places.concentration.protocol import Breakdown, ConcentrationPlan, Whereabout
from hanse.places.concentration.rows import UNIT_SECONDS


def twin(p: ConcentrationPlan, tables: Mapping[str, Any], _contract: Contract) -> NDArray[np.int64]:
    """Exact people per output."""
    people = everybody(tables)
    base = belonging(p.base, people, tables)
    groups = [base, *(base & belonging(t, people, tables) for t in p.targets)]
    found = [np.array([len(g) for g in groups])]
    places = {w.name: _places(p, w, tables[w.asked.dataset]) for w in p.whereabouts}
    found += [_counted(b, groups, places[b.at.name]) for b in p.breakdowns]
    return np.concatenate(found).astype(np.int64)


def _counted(
    b: Breakdown, groups: list[set[Any]], places: dict[Any, list[int]]
) -> NDArray[np.int64]:
    """People of each group in each area: [areas * groups]."""
    counts = np.zeros((len(b.names), len(groups)), np.int64)
    for person, numbers in places.items():
        areas = {int(b.area[n]) for n in numbers}
        for g, group in enumerate(groups):
            if person in group:
                for area in areas:
                    counts[area, g] += 1
    return counts.reshape(-1)


def _places(p: ConcentrationPlan, w: Whereabout, table: Any) -> dict[Any, list[int]]:
    """Each person's listed places: the most frequent one, or the first different ones."""
    ids = w.places.gazetteer.ids
    number = {ids[i]: n for n, i in enumerate(w.places.chosen.tolist())}
    values: list[Any] = []
    where = where_clause(w.asked.where, values)
    tick = "0"
    if w.time:
        time = f"{quoted(w.time)}::timestamp"
        where += f" and {time} >= ?::timestamp and {time} < ?::timestamp"
        values += [p.question.starts.isoformat(), p.question.ends.isoformat()]
        tick = f"epoch_us(min({time})) // {UNIT_SECONDS * 1_000_000}"
    column = quoted(w.asked.column)
    with duckdb.connect() as db:
        db.register("data", table)
        rows = db.execute(
            f"select id, {column}::varchar as place, count(*), {tick} from data where {where} group by all",
            values,
        ).fetchall()
    found: dict[Any, list[tuple[int, int]]] = {}
    for person, place, times, first in rows:
        if place in number:
            order = -times if w.asked.slots == 1 else first
            found.setdefault(person, []).append((order, number[place]))
    return {
        person: [n for _, n in sorted(named)[: w.asked.slots]] for person, named in found.items()
    }
