"""Fields in the clear, for plain twins: everybody's tables in one place, in SQL and sets.

For tests and rehearsals; no node ever runs it. Tables have the contract's column names and an ``id`` column.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import duckdb

from hanse.contracts import Contract
from hanse.measure.algebra import Expression
from hanse.measure.clauses import quoted, where_clause
from hanse.measure.fields import CountField, CrowdField, LabelField, ValueField
from hanse.measure.questions import column_of

Tables = Mapping[str, Any]
Person = Any


def present(known: CrowdField, tables: Tables) -> set[Person]:
    """The people in a crowd."""
    return {p for p, times in _times(known, tables).items() if times >= known.source.at_least}


def counted(known: CountField, tables: Tables) -> dict[Person, int]:
    """How many events each person has, capped; people without one are left out."""
    most = (1 << known.bits) - 1
    return {p: min(times, most) for p, times in _times(known, tables).items()}


def labelled(known: LabelField, tables: Tables, contract: Contract) -> dict[Person, int]:
    """Code of each person who has a listed value, 0 where the question does not name that value.

    The most frequent one counts, of equally frequent ones the one listed first; a flag that was ever true is true.
    """
    column = column_of(contract, known.dataset, known.column)
    boolean = column.kind == "boolean"
    listed = ("false", "true") if boolean else column.values
    places = {value: place for place, value in enumerate(listed)}
    rows = _rows(
        tables[known.dataset],
        f"select id, {quoted(known.column)}::varchar as value, count(*) as times from data "
        f"where {quoted(known.column)} is not null group by all",
        [],
    )
    best: dict[Person, tuple[int, int, int]] = {}
    for person, value, times in rows:
        if value in places:
            place = places[value]
            order = (0, -place) if boolean else (-times, place)
            found = (*order, known.codes.get(value, 0))
            best[person] = min(best.get(person, found), found)
    return {person: code for person, (_, _, code) in best.items()}


def valued(known: ValueField, tables: Tables) -> dict[Person, int]:
    """Each person's capped sum; people without an event are left out."""
    where, values = _filter(known)
    column = quoted(known.column)
    rows = _rows(
        tables[known.source.dataset],
        f"select id, sum(floor({column} / {known.unit} + 0.5)::hugeint) from data "
        f"where {where} and {column} is not null group by id",
        values,
    )
    return {person: min(int(total), known.most) for person, total in rows}


def belonging(crowd: Expression, people: Iterable[Person], tables: Tables) -> set[Person]:
    """Those of ``people`` who are in the crowd."""
    crowds = {f: present(f, tables) for f in crowd.fields()}

    def belongs(person: Person) -> bool:
        return crowd.holds(lambda known: person in crowds[known])

    return set(filter(belongs, people))


def everybody(tables: Tables) -> set[Person]:
    """All ids of all tables."""
    return {
        row[0]
        for table in tables.values()
        for row in _rows(table, "select distinct id from data", [])
    }


def _times(known: CrowdField | CountField, tables: Tables) -> dict[Person, int]:
    where, values = _filter(known)
    rows = _rows(
        tables[known.source.dataset],
        f"select id, count(*) from data where {where} group by id",
        values,
    )
    # Without times a dataset only says who is in it.
    return dict(rows) if known.time else {person: 1 for person, _ in rows}


def _filter(known: CrowdField | CountField | ValueField) -> tuple[str, list[Any]]:
    values: list[Any] = []
    where = where_clause(known.source.where, values)
    if known.time:
        time = f"{quoted(known.time)}::timestamp"
        where += f" and {time} >= ?::timestamp and {time} < ?::timestamp"
        values += [known.starts.isoformat(), known.ends.isoformat()]
    return where, values


def _rows(table: Any, query: str, values: list[Any]) -> list[tuple[Any, ...]]:
    with duckdb.connect() as db:
        db.register("data", table)
        return db.execute(query, values).fetchall()
