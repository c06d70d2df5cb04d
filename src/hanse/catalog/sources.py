"""Opening a dataset's source: one DuckDB connection in which `source` is the table of rows.

Files are read where they lie (`files`), a PostgreSQL table is streamed through Arrow (`postgres`), and a
presence dataset shows the exposures derived from it (`exposures`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from hanse.catalog.datasets import Dataset, FileSource, PackageSource, PostgresSource
from hanse.catalog.exposures import VisitCounts, count_visits, derive_exposures
from hanse.catalog.expressions import identifier
from hanse.catalog.files import connect, define_view, fail_reading, find_type, types_of
from hanse.catalog.postgres import PostgresTable
from hanse.errors import Fault

BATCH_ROWS = 131_072


@dataclass
class Source:
    """An opened source. `types` maps its columns to DuckDB type names, in the source's order.

    `visits` counts what a presence dataset's visits lack, None for other datasets.
    """

    dataset: str
    label: str
    types: dict[str, str]
    connection: Any = field(repr=False)
    table: PostgresTable | None = field(default=None, repr=False)
    visits: VisitCounts | None = None

    def stream(
        self, query: str, values: Mapping[str, object] | None = None, *, rewind: bool = True
    ) -> Iterator[Any]:
        """Arrow record batches of a query; `Fault` where the data cannot be read.

        `rewind` False is for queries that do not touch `source` or `visits`.
        """
        try:
            if rewind:
                self.rewind()
            relation = self.connection.sql(query, params=dict(values or {}))
            yield from relation.to_arrow_reader(BATCH_ROWS)
        except duckdb.Error as error:
            fail_reading(error, self.dataset, self.label)

    def row(self, query: str, values: Mapping[str, object] | None = None) -> tuple[Any, ...]:
        """The single row of a query over `source`."""
        try:
            self.rewind()
            found = self.connection.sql(query, params=dict(values or {})).fetchall()
        except duckdb.Error as error:
            fail_reading(error, self.dataset, self.label)
        return tuple(found[0])

    def rewind(self) -> None:
        """A database table is a stream that can be read once: start it again for every query."""
        if self.table is not None:
            self.connection.register(self.table.view, self.table.reader())

    def type_of(self, column: str) -> str:
        """The column's type; `Fault` ``catalog.missing-column`` naming those with a similar name."""
        return find_type(self.types, column, self.label, self.dataset)


@contextmanager
def open_source(dataset: Dataset) -> Iterator[Source]:
    """The dataset's rows as the table `source` (for a presence dataset: the derived exposures).

    Raises `Fault`: ``catalog.missing-file``, ``catalog.empty-file``, ``catalog.permission``,
    ``catalog.unreadable``, ``catalog.connection``, ``catalog.missing-column``, for presence datasets
    also ``catalog.malformed`` and ``catalog.schedule``.
    """
    if isinstance(dataset.source, PackageSource):
        raise no_rows_of_its_own(dataset)
    connection = connect(_readable_paths(dataset))
    table: PostgresTable | None = None
    try:
        if isinstance(dataset.source, PostgresSource):
            wanted = _wanted_columns(dataset)
            table = PostgresTable(dataset.source, dataset.name, wanted)
            view, label = table.view, f"table {dataset.source.table!r}"
            connection.register(view, table.reader())
            connection.execute(f"CREATE TEMP VIEW visits AS SELECT * FROM {identifier(view)}")
        else:
            label = repr(dataset.source.path.name)
            define_view(connection, "visits", dataset.source.path, dataset.name)
        visits = None
        if dataset.derive is None:
            connection.execute("CREATE TEMP VIEW source AS SELECT * FROM visits")
        else:
            visits = count_visits(connection, dataset, label)
            derive_exposures(connection, dataset, label)
        yield Source(dataset.name, label, types_of(connection, "source"), connection, table, visits)
    finally:
        if table is not None:
            table.close()
        connection.close()


def no_rows_of_its_own(dataset: Dataset) -> Fault:
    """A package is read through `read_rows` only."""
    return Fault(
        "catalog.package",
        f"{dataset.name!r} is a crowd package: it says who is in it, and has no rows or columns of its own",
        remedy="name the dataset that it is made of, or ask for bare membership",
        where=dataset.name,
    )


def _readable_paths(dataset: Dataset) -> list[Path]:
    paths = [w.path for w in dataset.withdrawals]
    if isinstance(dataset.source, FileSource):
        paths.append(dataset.source.path)
    if dataset.derive is not None:
        paths.append(dataset.derive.schedule)
    return paths


def _wanted_columns(dataset: Dataset) -> list[str]:
    """Source columns that any job could need, so that no other leaves the database."""
    wanted = [column.column for column in dataset.ids]
    if dataset.derive is None:
        wanted += [column.column for column in dataset.columns]
    else:
        d = dataset.derive
        wanted += [c for c in (d.screen, d.arrival, d.departure, d.dwell_seconds, d.distance) if c]
    return list(dict.fromkeys(wanted))


def exposures_from_presence(dataset: Dataset) -> Any:
    """The exposures that a presence dataset (`derive`) gives, as a pyarrow table.

    Columns: the person id columns, campaign, screen, exposed_at (timestamp, UTC) and overlap_seconds.
    """
    with open_source(dataset) as source:
        try:
            source.rewind()
            return source.connection.sql("SELECT * FROM source").to_arrow_table()
        except duckdb.Error as error:
            fail_reading(error, dataset.name, source.label)
