"""A PostgreSQL table as Arrow batches, through ADBC (the Arrow project's driver over libpq's COPY).

Optional: the driver comes with the extra ``postgres``. Only the columns that the dataset declares
are asked for, in a read-only session. Types that Arrow has no equal for (numeric, uuid, enum,
citext) arrive as text, which the column expressions read like a CSV cell.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, NoReturn

from hanse.catalog.datasets import PostgresSource
from hanse.catalog.expressions import identifier
from hanse.catalog.files import find_type
from hanse.errors import Fault

_AS_THEY_ARE = frozenset(
    (
        "smallint", "integer", "bigint", "real", "double precision", "boolean", "text", "date",
        "character varying", "timestamp without time zone", "timestamp with time zone",
    )
)  # fmt: skip
_COLUMNS = """
SELECT column_name::text, data_type::text FROM information_schema.columns
WHERE table_schema = $1 AND table_name = $2 ORDER BY ordinal_position
"""


class PostgresTable:
    """One table of a database. `reader` starts a new pass over its declared columns.

    Raises `Fault`: ``catalog.postgres``, ``catalog.connection``, ``catalog.missing-table``,
    ``catalog.missing-column``, ``catalog.permission``.
    """

    view = "postgres_rows"

    def __init__(self, source: PostgresSource, dataset: str, columns: Sequence[str]) -> None:
        self._dataset = dataset
        self._label = f"table {source.table!r}"
        self._cursor: Any = None
        driver = _driver()
        self._error: type[Exception] = driver.Error
        try:
            self._connection = driver.connect(source.dsn)
        except driver.Error as error:
            self._fail(error)
        try:
            self._query = self._selection(source, columns)
        except BaseException:
            self.close()
            raise

    def _selection(self, source: PostgresSource, columns: Sequence[str]) -> str:
        try:
            with self._connection.cursor() as cursor:
                cursor.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
                cursor.execute(_COLUMNS, parameters=(source.schema_name, source.table))
                types = dict(cursor.fetchall())
            self._connection.commit()
        except self._error as error:
            self._fail(error)
        if not types:
            raise Fault(
                "catalog.missing-table",
                f"there is no {self._label} in schema {source.schema_name!r} that this user may see",
                remedy="check its name and schema, and grant SELECT on it to the node's user",
                where=self._dataset,
            )
        wanted = []
        for column in columns:
            kind = find_type(types, column, self._label, self._dataset)
            cast = "" if kind in _AS_THEY_ARE else "::text"
            wanted.append(f"{identifier(column)}{cast} AS {identifier(column)}")
        place = f"{identifier(source.schema_name)}.{identifier(source.table)}"
        return f"SELECT {', '.join(wanted)} FROM {place}"

    def reader(self) -> Any:
        """A pyarrow RecordBatchReader over all rows; it ends the one before."""
        try:
            if self._cursor is not None:
                self._cursor.close()
            self._cursor = self._connection.cursor()
            self._cursor.execute(self._query)
            return self._cursor.fetch_record_batch()
        except self._error as error:
            self._fail(error)

    def close(self) -> None:
        """End the session."""
        if self._cursor is not None:
            self._cursor.close()
            self._cursor = None
        self._connection.close()

    def _fail(self, error: Exception) -> NoReturn:
        state = str(getattr(error, "sqlstate", "") or "")
        text = str(error)
        if state.startswith("42501") or "permission denied" in text:
            code, found = "catalog.permission", f"{self._label} may not be read"
            remedy = "grant SELECT on it to the node's user"
        elif state and not state.startswith(("08", "28", "3D", "57")):
            code, found = "catalog.unreadable", f"{self._label} cannot be read"
            remedy = "look into the node's log for the database's own words"
        else:
            code, found = "catalog.connection", "the database does not let us in"
            remedy = (
                "check the dsn, that the server runs and listens there, and the user's password in "
                "~/.pgpass or PGPASSWORD"
            )
        raise Fault(code, found, remedy=remedy, where=self._dataset, detail=text) from error


def _driver() -> Any:
    try:
        return importlib.import_module("adbc_driver_postgresql.dbapi")
    except ImportError as error:
        raise Fault(
            "catalog.postgres",
            "reading PostgreSQL needs a driver that is not installed",
            remedy='install it with: pip install "hanse[postgres]"',
        ) from error
