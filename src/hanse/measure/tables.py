"""How a result is shown: tables of plain values that a terminal, a page or a file can print as they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hanse.tables import Table

Cell = str | int | float | None
SUPPRESSED = "suppressed"


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
