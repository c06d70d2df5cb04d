"""How a result is shown: tables of plain values that a terminal, a page or a file can print as they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Cell = str | int | float | None
SUPPRESSED = "suppressed"


@dataclass(frozen=True)
class Table:
    """One table: ``heads`` and ``rows`` of ready text; ``right`` are the columns that align to the right."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[int, ...] = ()

    def body(self) -> dict[str, Any]:
        """Plain values for storage and the wire."""
        return {
            "title": self.title,
            "heads": list(self.heads),
            "rows": [list(row) for row in self.rows],
            "right": list(self.right),
        }

    def __str__(self) -> str:
        """The table for people to read."""
        lines = [self.heads, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.heads))]
        text = [
            "  ".join(
                cell.rjust(width) if i in self.right else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        return "\n".join([self.title, *text] if self.title else text)


def told(tables: Iterable[Table], notes: Sequence[str] = ()) -> str:
    """Tables and notes as one text."""
    return "\n\n".join([*map(str, tables), *notes])


def people(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """A count with its interval: "1,234 (1,200–1,268)"; "suppressed" for None."""
    if value is None:
        return SUPPRESSED
    around = f" ({low:,.0f}–{high:,.0f})" if low is not None and high is not None else ""
    return f"{value:,.0f}{around}"


def percent(rate: float | None, low: float | None = None, high: float | None = None) -> str:
    """A rate with its interval: "12.3 % (11.9–12.8)"; nothing for None."""
    if rate is None:
        return ""
    around = f" ({low * 100:.1f}–{high * 100:.1f})" if low is not None and high is not None else ""
    return f"{rate * 100:.1f} %{around}"


def number(
    value: float | None, low: float | None = None, high: float | None = None, places: int = 0
) -> str:
    """A number with its interval; nothing for None."""
    if value is None:
        return ""
    around = (
        f" ({low:,.{places}f}–{high:,.{places}f})" if low is not None and high is not None else ""
    )
    return f"{value:,.{places}f}{around}"
