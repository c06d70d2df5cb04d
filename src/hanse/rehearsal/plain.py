"""Everybody's tables in one place, for the plain twin: possible in a rehearsal and nowhere else.

Identifiers and values are brought to their normal form with the catalog's own words; how events are chosen,
ordered, joined and counted is the twin's own.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from hanse.catalog import Condition, Dataset, Hasher, PackageSource
from hanse.catalog.expressions import expression, identifier
from hanse.catalog.rows import choose_id_column
from hanse.catalog.scan import id_expression
from hanse.catalog.sources import Source, open_source
from hanse.catalog.withdrawn import withdrawn_people
from hanse.contracts import Contract


def plain_tables(contract: Contract, datasets: dict[str, Dataset]) -> dict[str, Any]:
    """An Arrow table per dataset: ``id`` (hashed), and the columns of the contract in its units."""
    join = contract.join
    return {name: _plain(dataset, join.id_type, join.hash) for name, dataset in datasets.items()}


def _plain(dataset: Dataset, id_type: str, chain: Any) -> pa.Table:
    if isinstance(dataset.source, PackageSource):
        return _members(dataset.source, _plain(dataset.source.of, id_type, chain))
    chosen = choose_id_column(dataset, id_type, chain)
    hasher = Hasher(chosen.type, chosen.format, chain, chosen.region, dataset.name)
    with open_source(dataset) as source:
        columns = [_column(source, dataset, number) for number in range(len(dataset.columns))]
        query = (
            f"SELECT {', '.join([f'{id_expression(source, chosen)} AS id', *columns])} FROM source"
        )
        batches = []
        for batch in source.stream(query):
            hashed = hasher.hash(batch.column("id"))
            table = pa.table(batch).set_column(0, "id", pa.array(hashed.ids))
            batches.append(table.filter(pa.array(hashed.valid)))
        gone = withdrawn_people(source, dataset, chosen, chain)
    table = pa.concat_tables(batches)
    if len(gone):
        table = table.filter(pa.array(~np.isin(table.column("id").to_numpy(), gone)))
    return table


def _members(source: PackageSource, table: pa.Table) -> pa.Table:
    """Ids of a package's members: those with enough rows that meet its conditions."""
    tests, values = ["true"], []
    if source.time is not None:
        tests.append(f"{identifier(source.time)} IS NOT NULL")
    for condition in source.where:
        test, found = _test(condition)
        tests.append(test)
        values += found
    with duckdb.connect() as db:
        db.register("data", table)
        return db.sql(
            f"SELECT id FROM data WHERE {' AND '.join(tests)} GROUP BY id "
            f"HAVING count(*) >= {source.at_least}",
            params=values,
        ).to_arrow_table()


def _test(condition: Condition) -> tuple[str, list[Any]]:
    c = condition
    column = identifier(c.column)
    if c.among is not None:
        return f"{column} IN ({', '.join('?' * len(c.among))})", list(c.among)
    if c.between is not None:
        bounds = [b.replace(tzinfo=None) if isinstance(b, datetime) else b for b in c.between]
        return f"{column} BETWEEN ? AND ?", bounds
    if c.equals is not None:
        return f"{column} = ?", [c.equals]
    return (
        (f"{column} >= ?", [c.at_least])
        if c.at_least is not None
        else (f"{column} <= ?", [c.at_most])
    )


def _column(source: Source, dataset: Dataset, number: int) -> str:
    """SQL of a column's value under its contract name; times as timestamps in UTC."""
    column = dataset.columns[number]
    sql = expression(column, source.type_of(column.column), f"{dataset.name}.{column.name}").sql
    if column.kind == "time":
        sql = f"make_timestamp({sql})"
    return f"{sql} AS {identifier(column.name)}"
