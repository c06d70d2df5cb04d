"""A party's table as it is given: a file where it lies, or a table in memory, which is written to a file first.

A node reads files (or a database), so a rehearsal does too: what is read here is read the same way there.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hanse.errors import Fault

Table = str | Path | Mapping[str, Sequence[Any]] | Any
"""A path (.parquet, .csv, a folder of .parquet), an Arrow table, a pandas or polars frame, or {column: values}."""


class Spool:
    """A private folder for tables given in memory. It vanishes with the last object that refers to it."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    def path_of(self, table: Table, name: str) -> Path:
        """The table's file: its own, or a Parquet copy of what was in memory."""
        if isinstance(table, str | Path):
            return Path(table)
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="hanse-rehearsal-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        path = self._folder / f"{name}.parquet"
        pq.write_table(arrow_of(table, name), path)
        return path


def arrow_of(table: Any, name: str) -> pa.Table:
    """Any table in memory as Arrow."""
    try:
        if isinstance(table, pa.Table):
            return table
        if type(table).__module__.partition(".")[0] == "pandas":
            return pa.Table.from_pandas(table, preserve_index=False)
        if isinstance(table, Mapping) or hasattr(table, "__arrow_c_stream__"):
            return pa.table(table)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise Fault(
            "rehearsal.table",
            f"the table given for {name!r} cannot be made an Arrow table",
            remedy="give every column one type: text, whole numbers, times, true/false",
            where=f"dataset {name}",
            detail=str(error),
        ) from error
    raise Fault(
        "rehearsal.table",
        f"{name!r} was given a {type(table).__name__}, which is no table",
        remedy="give a path, an Arrow table, a pandas or polars frame, or {column: values}",
        where=f"dataset {name}",
    )
