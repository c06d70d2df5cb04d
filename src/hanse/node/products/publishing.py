"""Figures to publish, read from a file that another program or a job wrote."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from hanse.errors import Fault, Refusal
from hanse.node.products.publications import Figure

_NUMBERS = ("value", "low", "high", "confidence")
_COLUMNS = ("place", "date", *_NUMBERS, "reason")
_MOST_TEXT = 300
_PLAIN = re.compile(
    r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL\([0-9,]+\)|BOOLEAN|"
    r'DATE|TIME(STAMP)?[A-Z_ ]*|UUID|VARCHAR|"NULL"'
)
MOST_ROWS = 5_000_000


def read_figures(path: Path, most: int = MOST_ROWS) -> list[Figure]:
    """The figures of a Parquet or CSV file with the columns place, date, value and, if it likes, the others.

    Raises `Fault` ``publish.file``, `Refusal` ``publish.size`` for more than ``most`` rows, ``publish.columns`` or
    ``publish.value`` naming column and row.
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
            described = connection.execute(f"DESCRIBE SELECT * FROM {reader}(?)", [str(path)])
            kinds = {row[0]: row[1] for row in described.fetchall()}
            names = [name for name in _COLUMNS if name in kinds]
            for name in names:
                # In a small file lists can be as long as they like.
                if _PLAIN.fullmatch(kinds[name]) is None:
                    raise Refusal("publish.columns", f"column {name} holds neither numbers, days nor texts",
                                  remedy="write plain values", where=str(path))  # fmt: skip
            # A small file can hold long texts many times: none is read whole.
            asked = ", ".join(
                f'left("{name}", {_MOST_TEXT})' if kinds[name] == "VARCHAR" else f'"{name}"'
                for name in names
            )
            query = f"SELECT {asked or '1'} FROM {reader}(?) LIMIT {most + 1}"
            rows = connection.execute(query, [str(path)]).fetchall()
    except duckdb.Error as error:
        raise Fault("publish.file", f"the file cannot be read as {path.suffix[1:]}",
                    remedy="write it again", where=str(path), detail=str(error)) from error  # fmt: skip
    if len(rows) > most:
        raise Refusal("publish.size", f"the file has more than {most:,} rows",
                      remedy="give fewer days at once", where=str(path))  # fmt: skip
    missing = sorted({"place", "date", "value"} - set(names))
    if missing:
        wanted = ", ".join(_COLUMNS)
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
