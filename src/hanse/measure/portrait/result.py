"""A portrait as its recipient reads it: each label's distribution in crowd and base, indices, cross tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import pyarrow as pa

from hanse.measure.portrait.picture import picture
from hanse.measure.tables import SUPPRESSED, number, people, percent, told
from hanse.tables import Table

_TEXT = (
    "label", "value", "arm", "row_label", "column_label", "row", "column", "suppressed",
)  # fmt: skip


@dataclass(frozen=True)
class PortraitRow:
    """A value of a label in crowd and base; None where suppressed.

    Shares are of the people whose label is known. ``tgi`` is 100 x share in the crowd / share in the base.
    """

    label: str
    value: str
    crowd: float | None
    crowd_low: float | None
    crowd_high: float | None
    crowd_share: float | None
    crowd_share_low: float | None
    crowd_share_high: float | None
    base: float | None
    base_low: float | None
    base_high: float | None
    base_share: float | None
    base_share_low: float | None
    base_share_high: float | None
    tgi: float | None
    tgi_low: float | None
    tgi_high: float | None
    suppressed: str  # "" or which figure is, and why

    def body(self) -> dict[str, Any]:
        return dict(self.__dict__)


@dataclass(frozen=True)
class KnownRow:
    """How many people of an arm ("crowd" or "base") have a label, and how many have none."""

    label: str
    arm: str
    known: float | None
    known_low: float | None
    known_high: float | None
    unknown: float | None
    unknown_low: float | None
    unknown_high: float | None
    suppressed: str

    def body(self) -> dict[str, Any]:
        return dict(self.__dict__)


@dataclass(frozen=True)
class CrossRow:
    """People of the crowd with a value of each of two labels, and of how many it would be without a link.

    ``tgi`` is 100 x people / expected: the share of the column's value in the row over its share in all rows.
    """

    row_label: str
    column_label: str
    row: str
    column: str
    people: float | None
    people_low: float | None
    people_high: float | None
    expected: float | None
    tgi: float | None
    tgi_low: float | None
    tgi_high: float | None
    suppressed: str

    def body(self) -> dict[str, Any]:
        return dict(self.__dict__)


@dataclass(frozen=True)
class PortraitResult:
    """Rows by label and value, in the question's order; the crowd's size from all labels together."""

    size: float | None
    size_low: float | None
    size_high: float | None
    rows: tuple[PortraitRow, ...]
    known: tuple[KnownRow, ...]
    crosses: tuple[CrossRow, ...]
    notes: tuple[str, ...]

    def row(self, label: str, value: str) -> PortraitRow:
        """One row. KeyError if there is none."""
        for row in self.rows:
            if (row.label, row.value) == (label, value):
                return row
        raise KeyError((label, value))

    def cross(self, row: str, column: str) -> CrossRow:
        """The first cell with these two values. KeyError if there is none."""
        for cell in self.crosses:
            if (cell.row, cell.column) == (row, column):
                return cell
        raise KeyError((row, column))

    def to_arrow(self) -> pa.Table:
        """One row per label and value; the columns are `PortraitRow`'s, null where suppressed."""
        return _arrow(PortraitRow, self.rows)

    def known_to_arrow(self) -> pa.Table:
        """One row per label and arm; the columns are `KnownRow`'s."""
        return _arrow(KnownRow, self.known)

    def crosses_to_arrow(self) -> pa.Table:
        """One row per cell of a cross table; the columns are `CrossRow`'s."""
        return _arrow(CrossRow, self.crosses)

    def to_svg(self, *labels: str) -> str:
        """Indices with their intervals around 100, of these labels (by default all), as SVG text."""
        rows = [r for r in self.rows if not labels or r.label in labels]
        if not rows:
            raise KeyError(labels)
        return picture(rows)

    def tables(self) -> list[Table]:
        """People with and without each label, one table per label, one per cross table."""
        labels = list(dict.fromkeys(r.label for r in self.rows))
        pairs = list(dict.fromkeys((c.row_label, c.column_label) for c in self.crosses))
        return [
            _known(self.known),
            *(_label(label, [r for r in self.rows if r.label == label]) for label in labels),
            *(
                _cross(pair, [c for c in self.crosses if (c.row_label, c.column_label) == pair])
                for pair in pairs
            ),
        ]

    def body(self) -> dict[str, Any]:
        """Plain values for storage and the wire."""
        return {
            "computation": "portrait",
            "size": [self.size, self.size_low, self.size_high],
            "tables": [table.body() for table in self.tables()],
            "notes": list(self.notes),
            "rows": [row.body() for row in self.rows],
            "known": [row.body() for row in self.known],
            "crosses": [row.body() for row in self.crosses],
        }

    def __str__(self) -> str:
        """The crowd's size, tables and notes for people to read."""
        head = f"People in the crowd: {people(self.size, self.size_low, self.size_high)}"
        return "\n\n".join([head, told(self.tables(), ["\n".join(f"- {n}" for n in self.notes)])])


def _arrow(kind: type, rows: Sequence[Any]) -> pa.Table:
    schema = pa.schema(
        [(f.name, pa.string() if f.name in _TEXT else pa.float64()) for f in fields(kind)]
    )
    return pa.Table.from_pylist([row.body() for row in rows], schema=schema)


# --- tables -----------------------------------------------------------------------------------------


def _known(rows: Sequence[KnownRow]) -> Table:
    lines = tuple(
        (
            r.label,
            r.arm,
            people(r.known, r.known_low, r.known_high),
            # A base of those who have the label has nobody without.
            "" if r.unknown is None and not r.suppressed else people(r.unknown, r.unknown_low, r.unknown_high),
        )
        for r in rows
    )  # fmt: skip
    return Table("People whose label is known", ("label", "in", "known", "unknown"), lines, (2, 3))


def _label(label: str, rows: Sequence[PortraitRow]) -> Table:
    lines = tuple(
        (
            r.value,
            people(r.crowd, r.crowd_low, r.crowd_high),
            percent(r.crowd_share, r.crowd_share_low, r.crowd_share_high) or SUPPRESSED,
            percent(r.base_share, r.base_share_low, r.base_share_high) or SUPPRESSED,
            number(r.tgi, r.tgi_low, r.tgi_high) or SUPPRESSED,
        )
        for r in rows
    )
    heads = ("", "people in the crowd", "share of the crowd", "share of the base", "TGI")
    return Table(label, heads, lines, (1, 2, 3, 4))


def _cross(pair: tuple[str, str], cells: Sequence[CrossRow]) -> Table:
    """People, and behind them the index."""
    columns = list(dict.fromkeys(c.column for c in cells))
    found = {(c.row, c.column): c for c in cells}
    lines = tuple(
        (row, *(_cell(found[row, column]) for column in columns))
        for row in dict.fromkeys(c.row for c in cells)
    )
    title = f"{pair[0]} x {pair[1]} within the crowd: people, TGI"
    return Table(title, ("", *columns), lines, tuple(range(1, len(columns) + 1)))


def _cell(cell: CrossRow) -> str:
    if cell.people is None or cell.tgi is None:
        return people(cell.people)
    return f"{people(cell.people)}, {number(cell.tgi, cell.tgi_low, cell.tgi_high)}"
