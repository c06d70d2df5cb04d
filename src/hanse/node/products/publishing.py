"""Figures to publish, read from a file that another program or a job wrote."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from hanse.errors import Fault, Refusal
from hanse.node.products.publications import Figure

_NUMBERS = ("value", "low", "high", "confidence")


def read_figures(path: Path) -> list[Figure]:
    """The figures of a Parquet or CSV file with the columns place, date, value and, if it likes, the others.

    Raises `Fault` ``publish.file``, `Refusal` ``publish.columns`` or ``publish.value`` naming column and row.
    """
    reader = {".parquet": "read_parquet", ".csv": "read_csv"}.get(path.suffix.lower())
    if reader is None or not path.is_file():
        raise Fault(
            "publish.file",
            "there is no such Parquet or CSV file",
            remedy="check the path",
            where=str(path),
        )
    try:
        with duckdb.connect(":memory:") as connection:
            relation = connection.execute(f"SELECT * FROM {reader}(?)", [str(path)])
            names = [d[0] for d in relation.description]
            rows = relation.fetchall()
    except duckdb.Error as error:
        raise Fault("publish.file", f"the file cannot be read as {path.suffix[1:]}",
                    remedy="write it again", where=str(path), detail=str(error)) from error  # fmt: skip
    missing = sorted({"place", "date", "value"} - set(names))
    if missing:
        wanted = ", ".join(("place", "date", *_NUMBERS, "reason"))
        raise Refusal("publish.columns", f"the file has no column {missing[0]!r}",
                      remedy=f"name the columns {wanted}", where=str(path))  # fmt: skip
    return [
        _figure(dict(zip(names, row, strict=True)), number, path)
        for number, row in enumerate(rows, 1)
    ]


def _figure(row: dict[str, Any], number: int, path: Path) -> Figure:
    def wrong(column: str, what: str) -> Refusal:
        return Refusal(
            "publish.value",
            f"row {number}: {column} {what}",
            remedy="correct the file",
            where=str(path),
        )

    day = row["date"]
    if isinstance(day, str):
        try:
            day = date.fromisoformat(day[:10])
        except ValueError as error:
            raise wrong("date", "is not a date") from error
    day = getattr(day, "date", lambda: day)() if not type(day) is date else day  # noqa: E714
    if not isinstance(day, date) or row["place"] is None:
        raise wrong("place or date", "is empty")
    numbers: dict[str, float | None] = {}
    for name in _NUMBERS:
        value = row.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise wrong(name, "is not a number")
        numbers[name] = None if value is None or value != value else float(value)  # noqa: PLR0124 - NaN
    return Figure(str(row["place"]), day, **numbers, reason=str(row.get("reason") or ""))
