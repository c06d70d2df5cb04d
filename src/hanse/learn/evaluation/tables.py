"""Tables of ready text, which a terminal, a page or a file can print as they are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Table:
    """One table: ``heads`` and ``rows`` of ready text; ``right`` are the columns that align to the right."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[int, ...] = ()

    def body(self) -> dict[str, Any]:
        """Plain values for storage and the wire."""
        return {"title": self.title, "heads": list(self.heads), "rows": [list(r) for r in self.rows],
                "right": list(self.right)}  # fmt: skip

    def __str__(self) -> str:
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


def figure(value: float | None, digits: int = 5) -> str:
    """A number in a few digits; "none" where there is none."""
    if value is None or math.isnan(value):
        return "none"
    return f"{value:,.{digits}g}" if abs(value) < 1e5 else f"{value:,.0f}"
