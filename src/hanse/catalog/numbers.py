"""Columns of a dataset as numbers, one row per id: what models learn from and score, read at home.

A category is the place of its value in the contract's public list, counted from 1, and NaN where it is missing or
not listed; a boolean is 0 or 1; amounts are whole units. The source is read in one streamed pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hanse.catalog.crowd import gather
from hanse.catalog.datasets import Dataset, PackageSource
from hanse.catalog.expressions import expression, identifier, remedy_for
from hanse.catalog.identifiers import Hasher
from hanse.catalog.rows import choose_id_column
from hanse.catalog.scan import id_expression
from hanse.catalog.sources import Source, no_rows_of_its_own, open_source
from hanse.catalog.withdrawn import withdrawn_people
from hanse.errors import Fault

F64 = NDArray[np.float64]
U64 = NDArray[np.uint64]
_KINDS = ("category", "boolean", "integer", "amount", "number")


@dataclass(frozen=True)
class NumberRequest:
    """Which columns, by contract name; ``values`` are the public lists of categories.

    ``texts``: keep the ids as they are written, to hand results back; they stay at home.
    """

    id_type: str
    chain: str
    capacity: int
    columns: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    texts: bool = False


@dataclass(frozen=True)
class NumberBatch:
    """Rows with valid ids: hashed ids and check hashes [rows], values [rows, columns], the ids' texts if wanted."""

    ids: U64 = field(repr=False)
    checks: U64 = field(repr=False)
    values: F64 = field(repr=False)
    texts: Any = field(repr=False, default=None)


@dataclass(frozen=True)
class NumberRows:
    """One row per id: ``ids`` rise strictly, ``values`` [people, columns], NaN where missing.

    ``rows`` were read, ``left_out`` had no valid id or collided, ``withdrawn`` people are gone.
    """

    ids: U64 = field(repr=False)
    values: F64 = field(repr=False)
    texts: Any = field(repr=False)
    rows: int
    left_out: int
    withdrawn: int


def stream_numbers(dataset: Dataset, wanted: NumberRequest) -> Iterator[NumberBatch]:
    """Batches of rows that may be used; people who withdrew are not in them.

    Raises `Fault` as `rows.read_rows` does, and ``catalog.number`` for a column that is no number.
    """
    if isinstance(dataset.source, PackageSource):
        raise no_rows_of_its_own(dataset)
    chosen = choose_id_column(dataset, wanted.id_type, wanted.chain)
    with open_source(dataset) as source:
        gone = withdrawn_people(source, dataset, chosen, wanted.chain)  # type: ignore[arg-type]
        where = f"{dataset.name}.{chosen.column}"
        hasher = Hasher(chosen.type, chosen.format, wanted.chain, chosen.region, where)  # type: ignore[arg-type]
        query, broken = _query(source, dataset, wanted, id_expression(source, chosen))
        for batch in source.stream(query):
            _refuse_broken(source, dataset, batch, broken)
            hashed = hasher.hash(batch.column("id"))
            kept = hashed.valid
            if len(gone):
                kept = kept & ~np.isin(hashed.ids, gone)
            values = np.stack(
                [_numbers(batch.column(f"c{n}"), wanted, name) for n, name in enumerate(wanted.columns)],
                axis=1,
            ) if wanted.columns else np.zeros((batch.num_rows, 0))  # fmt: skip
            texts = batch.column("id").filter(pa.array(kept)) if wanted.texts else None
            yield NumberBatch(hashed.ids[kept], hashed.checks[kept], values[kept], texts)


def read_numbers(dataset: Dataset, wanted: NumberRequest) -> NumberRows:
    """All rows, sorted by hashed id. `Fault` ``catalog.repeated`` if an id has two rows, ``catalog.capacity``."""
    batches = list(stream_numbers(dataset, wanted))
    ids = np.concatenate([b.ids for b in batches] or [np.zeros(0, np.uint64)])
    checks = np.concatenate([b.checks for b in batches] or [np.zeros(0, np.uint64)])
    values = np.concatenate([b.values for b in batches] or [np.zeros((0, len(wanted.columns)))])
    order = one_each(dataset, ids, checks, wanted.capacity)
    texts = None
    if wanted.texts:
        texts = pa.chunked_array([b.texts for b in batches], pa.large_string()) if not batches else (
            pa.chunked_array([b.texts.cast(pa.large_string()) for b in batches])
        )  # fmt: skip
        texts = texts.combine_chunks().take(pa.array(order))
    return NumberRows(
        ids[order], values[order], texts, int(ids.size), int(ids.size - order.size), 0
    )


def one_each(dataset: Dataset, ids: U64, checks: U64, capacity: int) -> NDArray[np.int64]:
    """The order of rows by id, colliding hashes left out. `Fault` if an id has two rows, or there are too many."""
    crowd = gather(ids, checks)
    if crowd.order.size > crowd.ids.size:
        raise Fault(
            "catalog.repeated",
            f"an id has more than one row in dataset {dataset.name!r}; a model needs one row per id",
            remedy="join or sum up the rows of an id at home, and register the result",
            where=dataset.name,
            detail=f"{crowd.order.size - crowd.ids.size} rows too many",
        )
    if crowd.ids.size > capacity:
        raise Fault(
            "catalog.capacity",
            f"dataset {dataset.name!r} has more rows than its declared capacity of {capacity}",
            remedy="sign a contract version with a larger capacity, or register a smaller dataset",
            where=dataset.name,
            detail=f"{crowd.ids.size} rows, capacity {capacity}",
        )
    return crowd.order


def _query(
    source: Source, dataset: Dataset, wanted: NumberRequest, id_text: str
) -> tuple[str, tuple[str, ...]]:
    """(SQL with the columns id, c0, c1, ... and broken, the names of columns that may be broken)."""
    parts, flags, names = [f"{id_text} AS id"], [], []
    for number, name in enumerate(wanted.columns):
        column = dataset.column(name)
        where = f"{dataset.name}.{name}"
        if column.kind not in _KINDS:
            raise Fault(
                "catalog.number",
                f"column {name!r} is {column.kind}, which is no number and no category",
                remedy="use a column of kind number, integer, amount, boolean or category",
                where=where,
            )
        made = expression(column, source.type_of(column.column), where)
        sql = made.sql if column.kind == "category" else f"CAST(({made.sql}) AS DOUBLE)"
        parts.append(f"{sql} AS {identifier(f'c{number}')}")
        if made.broken is not None:
            flags.append(made.broken)
            names.append(name)
    parts.append(f"({' OR '.join(flags) or 'false'}) AS broken")
    return f"SELECT {', '.join(parts)} FROM source", tuple(names)


def _refuse_broken(source: Source, dataset: Dataset, batch: Any, names: tuple[str, ...]) -> None:
    if names and pc.any(batch.column("broken")).as_py():
        kinds = sorted({dataset.column(name).kind for name in names})
        raise Fault(
            "catalog.malformed",
            f"{source.label} holds values that cannot be read in {', '.join(map(repr, names))}",
            remedy="register the dataset again to see where; " + "; ".join(map(remedy_for, kinds)),
            where=dataset.name,
        )


def _numbers(column: Any, wanted: NumberRequest, name: str) -> F64:
    values = wanted.values.get(name)
    if values:
        found = pc.index_in(column, value_set=pa.array(values, column.type))
        return np.asarray(
            pc.add(pc.cast(found, pa.float64()), 1.0).to_numpy(zero_copy_only=False), np.float64
        )
    return np.asarray(pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False), np.float64)
