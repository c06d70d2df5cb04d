"""Files as tables: a locked-down DuckDB connection that reads CSV and Parquet where they lie.

CSV columns are all read as text, so that no guess about types can eat a leading zero. The
connection may read the files it is given and nothing else. A reader's own words may quote data, so
they go to an error's `detail` only.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import duckdb

from hanse.catalog.expressions import identifier, literal
from hanse.errors import Fault

_TEXT_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_GLOB = {"[": "[[]", "*": "[*]", "?": "[?]"}


def connect(paths: list[Path]) -> Any:
    """An in-memory DuckDB that may read `paths` only, cannot load extensions or be reconfigured."""
    connection = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "preserve_insertion_order": "false",
        },
    )
    folders = ", ".join(literal(str(p.resolve())) for p in paths if p.is_dir())
    files = ", ".join(literal(str(p.resolve())) for p in paths if not p.is_dir())
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET allowed_directories = [{folders}]")
    connection.execute(f"SET allowed_paths = [{files}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def define_view(connection: Any, view: str, path: Path, dataset: str, headed: bool = True) -> None:
    """Create the temporary view `view` over a CSV or Parquet file or a folder of Parquet files."""
    files = _files_at(path, dataset)
    listed = ", ".join(literal(_escaped(file)) for file in files)
    if path.name.lower().endswith(_TEXT_SUFFIXES):
        header = "true" if headed else "false"
        reader = f"read_csv([{listed}], all_varchar = true, header = {header})"
    else:
        reader = f"read_parquet([{listed}], union_by_name = true)"
    query = f"CREATE TEMP VIEW {identifier(view)} AS SELECT * FROM {reader}"
    try:
        connection.execute(query)
    except duckdb.Error as error:
        fail_reading(error, dataset, repr(path.name))


def find_type(types: Mapping[str, str], column: str, label: str, dataset: str) -> str:
    """A column's DuckDB type; `Fault` ``catalog.missing-column`` naming those with a similar name."""
    if column in types:
        return types[column]
    close = difflib.get_close_matches(column.lower(), [name.lower() for name in types], 3)
    similar = [name for name in types if name.lower() in close]
    hint = f"did you mean {' or '.join(repr(name) for name in similar)}? " if similar else ""
    raise Fault(
        "catalog.missing-column",
        f"{label} has no column {column!r}",
        remedy=f"{hint}its columns are: {', '.join(list(types)[:40])}",
        where=f"{dataset}.{column}",
    )


def types_of(connection: Any, view: str) -> dict[str, str]:
    """Columns of a view and their DuckDB types, in order."""
    rows = connection.sql(f"DESCRIBE {identifier(view)}").fetchall()
    return {str(row[0]): str(row[1]) for row in rows}


def _files_at(path: Path, dataset: str) -> list[Path]:
    """The files to read, each checked for existence, size and permission."""
    if not path.exists():
        raise Fault(
            "catalog.missing-file",
            f"there is no file {path.name!r}",
            remedy="check the path in the dataset's description; it is read at every run",
            where=dataset,
            detail=str(path),
        )
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    name = path.name.lower()
    if not path.is_dir() and not name.endswith((*_TEXT_SUFFIXES, ".parquet")):
        raise Fault(
            "catalog.unreadable",
            f"{path.name!r} is of no known kind",
            remedy="give a .csv, .tsv (also .gz) or .parquet file, or a folder of .parquet files",
            where=dataset,
        )
    if not files:
        raise Fault(
            "catalog.empty-file",
            f"the folder {path.name!r} holds no .parquet file",
            remedy="put the data there, or name the right folder",
            where=dataset,
        )
    for file in files:
        if not os.access(file, os.R_OK):
            raise Fault(
                "catalog.permission",
                f"{file.name!r} may not be read",
                remedy="let the account that runs the node read the file",
                where=dataset,
                detail=str(file),
            )
        if file.stat().st_size == 0:
            raise Fault(
                "catalog.empty-file",
                f"{file.name!r} is empty",
                remedy="export the data again; a file needs at least its headings",
                where=dataset,
            )
    return [file.resolve() for file in files]


def _escaped(path: Path) -> str:
    """The path with DuckDB's wildcards switched off."""
    return "".join(_GLOB.get(character, character) for character in str(path))


def fail_reading(error: duckdb.Error, dataset: str, label: str) -> NoReturn:
    """Turn a DuckDB error into a `Fault`: its text may quote data, so it goes to `detail` only."""
    text = str(error)
    if isinstance(error, duckdb.PermissionException) or "Permission denied" in text:
        code, found = "catalog.permission", "may not be read"
        remedy = "let the account that runs the node read the file"
    elif isinstance(error, duckdb.OutOfMemoryException):
        code, found = "catalog.memory", "does not fit into memory"
        remedy = "give the node more memory or split the dataset"
    elif "utf-8" in text.lower() or "unicode" in text.lower():
        code, found = "catalog.unreadable", "is not UTF-8 text"
        remedy = "convert it to UTF-8, for instance with iconv -f GB18030 -t UTF-8"
    elif isinstance(error, duckdb.IOException | duckdb.InvalidInputException):
        code, found = (
            "catalog.unreadable",
            "cannot be read: it is damaged or not what its name says",
        )
        remedy = "export it again as CSV with headings or as Parquet"
    else:
        code, found = "catalog.unreadable", "cannot be read"
        remedy = "look into the node's log for the reader's own words"
    line = _line_in(text)
    where = f"{dataset}, line {line}" if line else dataset
    raise Fault(code, f"{label} {found}", remedy=remedy, where=where, detail=text) from error


def _line_in(text: str) -> str:
    """The line number in a CSV reader's message, "" without one."""
    for marker in ("Line: ", "line: ", "LINE: "):
        _, found, rest = text.partition(marker)
        if found:
            digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
            return digits if digits != "" else ""
    return ""
