"""Files as tables: a locked-down DuckDB connection that reads CSV and Parquet where they lie.

CSV columns are all read as text, so that no guess about types can eat a leading zero. The
connection may read the files it is given and nothing else. A reader's own words may quote data, so
they go to an error's `detail` only.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import duckdb

from hanse.catalog.expressions import identifier, literal
from hanse.errors import Fault

_TEXT_SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_DELIMITERS = (",", ";", "\t", "|")
_CSV = """auto_detect = false, quote = '"', escape = '"'"""
_MAX_HEADING = 1 << 20
_NOT_UTF8 = "convert it to UTF-8, for instance with iconv -f GB18030 -t UTF-8"
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
    folder_names = [str(p.resolve()) for p in paths if p.is_dir()]
    folders = ", ".join(
        literal(name) for name in dict.fromkeys([*folder_names, *map(_escaped, folder_names)])
    )
    names = [str(p.resolve()) for p in paths if not p.is_dir()]
    # A name with wildcards in it is checked both as it is and as it is written to switch them off.
    files = ", ".join(literal(name) for name in dict.fromkeys([*names, *map(_escaped, names)]))
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET allowed_directories = [{folders}]")
    connection.execute(f"SET allowed_paths = [{files}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def define_view(connection: Any, view: str, path: Path, dataset: str, headed: bool = True) -> None:
    """Create the temporary view `view` over a CSV or Parquet file or a folder of Parquet files."""
    files = _files_at(path, dataset)
    listed = ", ".join(literal(_escaped(str(file))) for file in files)
    if path.name.lower().endswith(_TEXT_SUFFIXES):
        reader = _csv_reader(files[0], listed, dataset, headed)
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


def fetch(connection: Any, query: str, dataset: str, label: str) -> list[tuple[Any, ...]]:
    """All rows of a small query; `Fault` where a file behind it cannot be read."""
    try:
        return [tuple(row) for row in connection.sql(query).fetchall()]
    except duckdb.Error as error:
        fail_reading(error, dataset, label)


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


def _escaped(path: str) -> str:
    """The path with DuckDB's wildcards switched off."""
    return "".join(_GLOB.get(character, character) for character in path)


def _csv_reader(file: Path, listed: str, dataset: str, headed: bool) -> str:
    """SQL that reads one CSV file by its own headings, every column as text, nothing guessed."""
    if not headed:
        return f"read_csv({listed}, columns = {{'id': 'VARCHAR'}}, {_CSV}, header = false, delim = '\x1f')"
    opener = gzip.open if file.name.lower().endswith(".gz") else open
    try:
        with opener(file, "rt", encoding="utf-8-sig", newline="") as lines:
            first = lines.readline(_MAX_HEADING)
    except (UnicodeDecodeError, OSError, EOFError) as error:
        is_text = isinstance(error, UnicodeDecodeError)
        raise Fault(
            "catalog.unreadable",
            f"{file.name!r} is not UTF-8 text" if is_text else f"{file.name!r} cannot be read",
            remedy=_NOT_UTF8 if is_text else "export it again as CSV with headings",
            where=dataset,
            detail=str(error),
        ) from error
    delimiter = max(_DELIMITERS, key=first.count)
    names = next(csv.reader([first], delimiter=delimiter), [])
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or "" in names:
        found = (
            f"two columns called {twice[0]!r}" if twice and twice[0] else "a column without a name"
        )
        raise Fault(
            "catalog.unreadable",
            f"{file.name!r} has {found} in its first line",
            remedy="give every column a heading of its own",
            where=dataset,
        )
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
    return f"read_csv({listed}, columns = {{{columns}}}, {_CSV}, header = true, delim = {literal(delimiter)})"


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
        remedy = _NOT_UTF8
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
