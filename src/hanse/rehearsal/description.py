"""From a party's table to a registered dataset and to its clause in the contract.

Kinds, lists of values, caps and capacities are read off the data here. Parties of a real contract agree on them
before anybody looks, since what a contract says is public: take the drafted clause as a start, not as a rule.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hanse.catalog import Dataset, FileSource, IdColumn, Profile, parse_dataset, register
from hanse.catalog.datasets import Column as HomeColumn
from hanse.catalog.datasets import Kind
from hanse.catalog.expressions import expression
from hanse.catalog.sources import Source, open_source
from hanse.contracts.terms import USES_OF_KIND
from hanse.errors import Fault

MOST_VALUES = 500  # a longer list of values is not a category anybody would agree on
_NAME = re.compile("[a-z][a-z0-9_]{0,62}")
# For text files, in this order.
_GUESSES: tuple[Kind, ...] = ("integer", "amount", "time", "boolean")


@dataclass(frozen=True)
class Column:
    """What a source column means, where its type does not say it.

    ``kind``: category, integer, amount, time, boolean or place. ``scale``: whole units in one of an amount (100 for
    cents); questions then speak in whole units. ``zone``: of times without an offset. ``epoch``: of times that are
    numbers. ``values`` and ``maximum``: the public list of a category and the cap of a number, else read
    off the data. ``gazetteer``: the list of places (`Federation.places`) whose ids the column holds; its kind
    is then "place".
    """

    column: str
    kind: Kind | None = None
    scale: int = 1
    zone: str = "UTC"
    epoch: Literal["seconds", "milliseconds"] | None = None
    values: tuple[str, ...] | None = None
    maximum: int | None = None
    gazetteer: str | None = None


Columns = Sequence[str] | Mapping[str, str | Column]


@dataclass(frozen=True)
class Described:
    """A registered dataset of ``provider``: its private description and its public clause."""

    provider: str
    dataset: Dataset
    profile: Profile
    clause: dict[str, Any]


def described(
    name: str, provider: str, path: Path, ids: tuple[IdColumn, ...], time: str | Column | None,
    columns: Columns, *, capacity: int | None, slots: int,
) -> Described:  # fmt: skip
    """Describe and register a file's columns, guessing the kinds that are not given."""
    wanted = _wanted(name, time, columns)
    document: dict[str, Any] = {
        "name": name,
        "source": FileSource(path=path),
        "ids": ids,
        "classification": "personal",
        "description": "a table of a rehearsal",
        "legal_basis": "consent",
        "evidence": "a rehearsal: not kept",
    }
    with open_source(parse_dataset(document)) as source:
        kinds = {
            contract_name: column.kind
            or ("place" if column.gazetteer else None)
            or _kind(source, contract_name, column, _is_text_file(path))
            for contract_name, column in wanted.items()
        }
    document["columns"] = tuple(
        HomeColumn(
            name=n, column=c.column, kind=kinds[n], scale=c.scale, zone=c.zone, epoch=c.epoch
        )
        for n, c in wanted.items()
    )
    order = next(iter(wanted)) if time is not None else None
    return clause_of(
        parse_dataset(document), provider, order=order, capacity=capacity, slots=slots,
        values={n: c.values for n, c in wanted.items() if c.values is not None},
        maxima={n: c.maximum for n, c in wanted.items() if c.maximum is not None},
        gazetteers={n: c.gazetteer for n, c in wanted.items() if c.gazetteer is not None},
    )  # fmt: skip


def clause_of(
    dataset: Dataset, provider: str, *, order: str | None, capacity: int | None, slots: int,
    values: Mapping[str, Sequence[str]], maxima: Mapping[str, int],
    gazetteers: Mapping[str, str],
) -> Described:  # fmt: skip
    """Register a dataset and draft its clause; ``order`` is the time column that orders events."""
    profile = register(dataset)
    lists: dict[str, Sequence[str]] = dict(values)
    with open_source(dataset) as source:
        for column in dataset.columns:
            if column.kind == "category" and column.name not in lists:
                lists[column.name] = _values(source, dataset, column)
            if column.kind == "amount" and column.scale == 1:
                _refuse_fractions(source, dataset, column)
    if order is None:
        order = next((c.name for c in dataset.columns if c.kind == "time"), None)
    clauses: list[dict[str, Any]] = []
    for column in dataset.columns:
        uses = sorted(USES_OF_KIND[column.kind] - ({"order"} if column.name != order else set()))
        entry: dict[str, Any] = {"name": column.name, "kind": column.kind, "uses": uses}
        if column.kind == "category":
            entry["values"] = list(lists[column.name])
        if column.kind == "place":
            if column.name not in gazetteers:
                raise Fault(
                    "rehearsal.places", f"the place column {column.name!r} names no list of places",
                    remedy='say which: Column(..., gazetteer="..."), a list given with places(...)',
                    where=f"{dataset.name}.{column.name}",
                )  # fmt: skip
            entry["gazetteer"] = gazetteers[column.name]
        if column.kind in ("integer", "amount"):
            found = profile.columns[column.name].maximum or 0
            entry["maximum"] = maxima.get(column.name, rounded_up(max(1, found)))
        clauses.append(entry)
    people = max(found.distinct for found in profile.ids.values())
    clause: dict[str, Any] = {
        "name": dataset.name,
        "provider": provider,
        "capacity": capacity or rounded_up(people),
        "slots": slots,
        "personal": True,
        "legal_basis": "consent",
        "evidence": "a rehearsal: to be agreed",
        "columns": clauses,
    }
    return Described(provider, dataset, profile, clause)


def rounded_up(number: int) -> int:
    """The next number with two significant digits: a declared size should not be the true one."""
    unit = int(10 ** max(0, len(str(number)) - 2))
    return -(-number // unit) * unit


def _wanted(name: str, time: str | Column | None, columns: Columns) -> dict[str, Column]:
    """Contract name -> column; the time column comes first."""
    wanted: dict[str, Column] = {}
    if time is not None:
        chosen = time if isinstance(time, Column) else Column(time, kind="time")
        if chosen.kind is None:
            chosen = Column(chosen.column, "time", zone=chosen.zone, epoch=chosen.epoch)
        fits = _NAME.fullmatch(chosen.column) is not None
        wanted[chosen.column if fits else "time"] = chosen
    if isinstance(columns, str):
        columns = [columns]
    pairs = columns if isinstance(columns, Mapping) else {c: c for c in columns}
    for contract_name, column in pairs.items():
        if not _NAME.fullmatch(contract_name):
            raise Fault(
                "rehearsal.column",
                f"{contract_name!r} cannot be a column's name in a contract",
                remedy=f'give it one of small letters, digits and "_": columns={{"short_name": '
                f"{contract_name!r}}}",
                where=f"dataset {name}",
            )
        if contract_name in wanted:
            raise Fault(
                "rehearsal.column", f"the column {contract_name!r} of {name!r} is given twice",
                remedy="leave the time column out of `columns`, or give it another name",
                where=f"dataset {name}",
            )  # fmt: skip
        wanted[contract_name] = column if isinstance(column, Column) else Column(column)
    return wanted


def _is_text_file(path: Path) -> bool:
    return path.name.lower().removesuffix(".gz").endswith((".csv", ".tsv"))


def _kind(source: Source, name: str, column: Column, from_text: bool) -> Kind:
    """The kind that the column's type means; in a text file, the first that all its values can be read as."""
    found = source.type_of(column.column)
    if found == "BOOLEAN":
        return "boolean"
    if found == "DATE" or found.startswith("TIMESTAMP"):
        return "time"
    if found.endswith(("INT", "INTEGER")):
        return "time" if column.epoch else "integer"
    if found in ("FLOAT", "DOUBLE") or found.startswith("DECIMAL"):
        return "amount"
    if from_text:
        for kind in _GUESSES:
            if _reads_as(source, name, column, kind, found):
                return kind
    if found in ("VARCHAR", "UUID") or found.startswith("ENUM"):
        return "category"
    raise Fault(
        "rehearsal.kind",
        f"column {column.column!r} of {source.label} is {found}, which no kind of column can hold",
        remedy="keep text, numbers, times or true/false in it, or leave it out",
        where=f"{source.dataset}.{name}",
    )


def _reads_as(source: Source, name: str, column: Column, kind: Kind, found: str) -> bool:
    home = HomeColumn(name=name, column=column.column, kind=kind, scale=column.scale,
                      zone=column.zone, epoch=column.epoch if kind == "time" else None)  # fmt: skip
    made = expression(home, found, f"{source.dataset}.{name}")
    filled, broken = source.row(
        f"SELECT count({made.sql}), count(*) FILTER ({made.broken or 'false'}) FROM source"
    )
    return bool(filled) and not broken


def _values(source: Source, dataset: Dataset, column: HomeColumn) -> list[str]:
    """The category's values in the data, sorted."""
    where = f"{dataset.name}.{column.name}"
    made = expression(column, source.type_of(column.column), where)
    batches = source.stream(
        f"SELECT DISTINCT value FROM (SELECT {made.sql} AS value FROM source) "
        f"WHERE trim(value) <> '' ORDER BY value LIMIT {MOST_VALUES + 1}"
    )
    values = [str(v) for batch in batches for v in batch.column("value").to_pylist()]
    if not values or len(values) > MOST_VALUES:
        many = f"more than {MOST_VALUES}" if values else "no"
        raise Fault(
            "rehearsal.values",
            f"column {column.column!r} of {source.label} has {many} different values; a category "
            "needs a public list of a few",
            remedy=f"give the list, Column({column.column!r}, values=(...)), another kind, or leave it out",
            where=where,
        )
    return values


def _refuse_fractions(source: Source, dataset: Dataset, column: HomeColumn) -> None:
    """An amount with fractions and no scale would be rounded without a word."""
    found = source.type_of(column.column)
    if found.endswith(("INT", "INTEGER")):
        return
    number = f'TRY_CAST("{column.column.replace(chr(34), chr(34) * 2)}" AS DOUBLE)'
    (broken,) = source.row(f"SELECT count(*) FILTER ({number} <> floor({number})) FROM source")
    if broken:
        raise Fault(
            "rehearsal.fraction",
            f"column {column.column!r} of {source.label} holds fractions, but contracts count in "
            "whole units",
            remedy=f"say what one is in whole units: Column({column.column!r}, scale=100) for cents",
            where=f"{dataset.name}.{column.name}",
        )
