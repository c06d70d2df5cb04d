"""Feeds out of files at home: CSV, Parquet or a table of a DuckDB database, one row a place and day.

The report day is a column, or the day plus a lateness that is a number of days or a column of such. Days are dates,
or texts and numbers like 2026-03-31, 20260331, 202603 (a month) and 2026Q1 or 20261 (a quarter): a month or quarter
counts as its first day. A row without a value reports nothing. Rows whose key, day or value cannot be read are left
out and counted (`Feed.unread`), for `hanse.places.checks` to tell; a file without one readable row is a `Fault`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from hanse.catalog.expressions import identifier
from hanse.catalog.files import connect, define_view, fail_reading, find_type, types_of
from hanse.errors import Fault
from hanse.places.feeds.feed import Feed

_DATABASES = (".duckdb", ".db")
# A day as text: ISO first; else digits alone, as days, months or quarters.
_DAY = """CASE
  WHEN regexp_full_match({t}, '\\d{{4}}-\\d{{2}}-\\d{{2}}.*') THEN TRY_CAST(substr({t}, 1, 10) AS DATE)
  WHEN regexp_full_match({t}, '\\d{{8}}')
    THEN TRY_CAST(concat_ws('-', substr({t}, 1, 4), substr({t}, 5, 2), substr({t}, 7, 2)) AS DATE)
  WHEN regexp_full_match({t}, '\\d{{4}}-?\\d{{2}}')
    THEN TRY_CAST(concat_ws('-', substr({t}, 1, 4), right({t}, 2), '01') AS DATE)
  WHEN regexp_full_match({t}, '\\d{{4}}-?[Qq]?[1-4]')
    THEN make_date(CAST(substr({t}, 1, 4) AS BIGINT), 3 * CAST(right({t}, 1) AS BIGINT) - 2, 1)
END"""


def read_feed(
    path: Path | str,
    *,
    key: str,
    date: str,
    value: str,
    lateness: int | str = 0,
    reported: str = "",
    table: str = "",
    places: Sequence[str] | None = None,
    name: str = "",
) -> Feed:
    """The feed in a file; see the module.

    ``key``, ``date``, ``value`` and ``reported`` are columns, ``lateness`` a number of days or a column; ``table``
    names the table of a DuckDB database. ``places`` is a list for the feed to be over. Raises `Fault`
    ``feed.empty``, ``feed.table``, ``catalog.missing-column`` and what reading a file raises.
    """
    source = Path(path)
    label = name or source.stem
    connection = _opened(source, table, label)
    try:
        types = types_of(connection, "rows")
        shown = repr(source.name)
        columns = [_text(types, key, shown, label), _day(types, date, shown, label),
                   _number(types, value, shown, label)]  # fmt: skip
        if reported:
            columns.append(_day(types, reported, shown, label))
        else:
            late = (
                str(int(lateness))
                if isinstance(lateness, int)
                else _number(types, lateness, shown, label)
            )
            columns.append(f"{columns[1]} + CAST(round({late}) AS INTEGER)")
        columns.append(f"nullif(trim(CAST({identifier(value)} AS VARCHAR)), '') IS NULL")
        return _read(connection, columns, label, shown, places)
    finally:
        connection.close()


def _opened(source: Path, table: str, label: str) -> Any:
    """A connection in which the rows are the view ``rows``."""
    if source.suffix.lower() not in _DATABASES:
        connection = connect([source])
        try:
            define_view(connection, "rows", source, label)
        except BaseException:
            connection.close()
            raise
        return connection
    if not source.is_file():
        raise Fault("catalog.missing-file", f"there is no file {source.name!r}",
                    remedy="check the path", where=f"feed {label}", detail=str(source))  # fmt: skip
    connection = duckdb.connect(":memory:")
    try:
        place = str(source.resolve()).replace("'", "''")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"ATTACH '{place}' AS source (READ_ONLY)")
        connection.execute("SET enable_external_access = false")
        connection.execute(f"CREATE TEMP VIEW rows AS SELECT * FROM source.{identifier(table)}")
    except duckdb.CatalogException as error:
        connection.close()
        raise Fault(
            "feed.table",
            f"{source.name!r} has no table {table!r}",
            remedy="name a table of the database",
            where=f"feed {label}",
            detail=str(error),
        ) from error
    except duckdb.Error as error:
        connection.close()
        fail_reading(error, label, repr(source.name))
    return connection


def _text(types: dict[str, str], column: str, shown: str, label: str) -> str:
    find_type(types, column, shown, label)
    return f"nullif(trim(CAST({identifier(column)} AS VARCHAR)), '')"


def _number(types: dict[str, str], column: str, shown: str, label: str) -> str:
    find_type(types, column, shown, label)
    return f"TRY_CAST({identifier(column)} AS DOUBLE)"


def _day(types: dict[str, str], column: str, shown: str, label: str) -> str:
    kind = find_type(types, column, shown, label)
    if kind == "DATE" or kind.startswith("TIMESTAMP"):
        return f"CAST({identifier(column)} AS DATE)"
    return _DAY.format(t=f"trim(CAST({identifier(column)} AS VARCHAR))")


def _read(
    connection: Any, columns: list[str], label: str, shown: str, places: Sequence[str] | None
) -> Feed:
    names = ("key", "date", "value", "reported", "silent")
    listed = ", ".join(
        f"{column} AS {identifier(n)}" for n, column in zip(names, columns, strict=True)
    )
    readable = "key IS NOT NULL AND date IS NOT NULL AND reported IS NOT NULL AND isfinite(value)"
    try:
        connection.execute(f"CREATE TEMP TABLE read AS SELECT *, coalesce({readable}, false) AS fine "
                           f"FROM (SELECT {listed} FROM rows)")  # fmt: skip
        connection.execute("CREATE TEMP TABLE keys AS SELECT key, row_number() OVER (ORDER BY key) - 1 AS n "
                           "FROM (SELECT DISTINCT key FROM read WHERE fine)")  # fmt: skip
        # Equal reports of one day stand in a set order, whatever order a reader of files comes to.
        found = connection.execute(
            "SELECT CAST(n AS INTEGER) AS place, date, reported, value FROM read JOIN keys USING (key) "
            "WHERE fine ORDER BY reported, date, place, value"
        ).fetchnumpy()
        known = [
            str(row[0]) for row in connection.execute("SELECT key FROM keys ORDER BY n").fetchall()
        ]
        unread = connection.execute(
            "SELECT count(*) FROM read WHERE NOT (fine OR silent OR coalesce(isnan(value), false))"
        ).fetchone()[0]
    except duckdb.Error as error:
        fail_reading(error, label, shown)
    if not known:
        raise Fault(
            "feed.empty",
            f"{shown} has no row with a readable key, day and value",
            remedy="check which columns are named, and that days are written like 2026-03-31",
            where=f"feed {label}",
        )
    made = Feed(
        tuple(known), _plain(found["place"]).astype(np.int32), _plain(found["date"]).astype("datetime64[D]"),
        _plain(found["reported"]).astype("datetime64[D]"), _plain(found["value"]).astype(np.float64),
        label, int(unread),
    )  # fmt: skip
    return made if places is None else made.over(places)


def _plain(column: Any) -> NDArray[Any]:
    """A column without its mask, which marks nothing: rows with holes were left out."""
    return np.asarray(np.ma.getdata(column))
