"""Results to files: Parquet, CSV or JSON, by the file's ending."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import typer

from hanse.errors import Fault

ENDINGS = (".parquet", ".csv", ".json")


def check_target(path: Path) -> None:
    """Usage error for an ending that is none of ours, `Fault` for a folder that is not there: before a job runs."""
    if path.suffix.lower() not in ENDINGS:
        raise typer.BadParameter(
            f"--out ends in {path.suffix or 'nothing'!r}; use {', '.join(ENDINGS)}"
        )
    check_folder(path)


def check_folder(path: Path) -> None:
    """`Fault` unless a file can be written there."""
    folder = path.absolute().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK) or path.is_dir():
        raise Fault("file.unwritable", "the result's file cannot be written",
                    remedy="name a file in a folder that exists and that you may write to",
                    where=str(path))  # fmt: skip


def check_drawing(path: Path, ending: str) -> None:
    """As `check_target`, for a picture (".svg") or a page (".html")."""
    if path.suffix.lower() != ending:
        raise typer.BadParameter(f"{path.name} should end in {ending}")
    check_folder(path)


def write_text(path: Path, text: str) -> None:
    """Write a picture or a page."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Fault("file.unwritable", f"the file cannot be written: {error.strerror or error}",
                    remedy="the result is kept: see 'hanse job draw', and write it elsewhere",
                    where=str(path)) from error  # fmt: skip


def write_result(path: Path, answer: dict[str, Any]) -> None:
    """Rows to Parquet or CSV, the whole answer with its disclosure report to JSON."""
    from hanse.node.faces.results import csv_of, rows_of

    rows = rows_of(answer.get("result") or {})
    ending = path.suffix.lower()
    try:
        if ending == ".json":
            path.write_text(
                json.dumps(answer, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
            )
        elif ending == ".csv":
            path.write_text(csv_of(rows), encoding="utf-8", newline="")
        else:
            import pyarrow as pa
            import pyarrow.parquet as pq

            pq.write_table(pa.Table.from_pylist(rows), path)
    except OSError as error:
        raise Fault("file.unwritable", f"the result's file cannot be written: {error.strerror or error}",
                    remedy="the result is kept: see 'hanse job show', and write it elsewhere",
                    where=str(path)) from error  # fmt: skip
