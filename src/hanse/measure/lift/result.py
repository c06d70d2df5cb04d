"""Lift as its recipient reads it: every arm, its difference to the control, and what of that may be chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import pyarrow as pa

from hanse.measure.lift.picture import forest
from hanse.measure.lift.release import ALL
from hanse.measure.tables import number, people, told
from hanse.tables import Table

STANDARDISED = "standardised"
_TEXT = ("outcome", "kind", "segment", "arm", "suppressed")


@dataclass(frozen=True)
class LiftRow:
    """An outcome in an arm and segment, and its difference to the control; None where suppressed or not told.

    ``kind`` is "share" (``mean`` is the share of people who have it) or "value" (per person, in the outcome's
    units). ``total`` is the people who have it, or the sum. ``segment`` is "all", a segment, or "standardised":
    then ``people`` are those whose segments were weighed. ``incremental`` is the difference times these people.
    """

    outcome: str
    kind: str
    segment: str
    arm: str
    people: float | None
    people_low: float | None
    people_high: float | None
    total: float | None
    total_low: float | None
    total_high: float | None
    mean: float | None
    mean_low: float | None
    mean_high: float | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    relative: float | None
    relative_low: float | None
    relative_high: float | None
    p_value: float | None
    incremental: float | None
    incremental_low: float | None
    incremental_high: float | None
    suppressed: str

    def body(self) -> dict[str, Any]:
        return dict(self.__dict__)


class Against(NamedTuple):
    """What is told of a difference to the control."""

    difference: float | None = None
    low: float | None = None
    high: float | None = None
    relative: float | None = None
    relative_low: float | None = None
    relative_high: float | None = None
    p_value: float | None = None
    incremental: float | None = None
    incremental_low: float | None = None
    incremental_high: float | None = None


_SCHEMA = pa.schema(
    [(f.name, pa.string() if f.name in _TEXT else pa.float64()) for f in fields(LiftRow)]
)


@dataclass(frozen=True)
class LiftResult:
    """All rows, by outcome, then segment ("all", "standardised", then each), then arm (the control first)."""

    control: str
    randomised: bool
    rows: tuple[LiftRow, ...]
    notes: tuple[str, ...]

    @property
    def word(self) -> str:
        """What a difference may be called: only chance makes it an effect."""
        if self.randomised:
            return "effect"
        matched = any(r.segment == STANDARDISED for r in self.rows)
        return "difference between matched groups" if matched else "difference between groups"

    def title(self, outcome: str) -> str:
        """What is told of an outcome, and against whom."""
        return f"{outcome}: {self.word} (control: {self.control})"

    def row(self, outcome: str, arm: str, segment: str = ALL) -> LiftRow:
        """One row. KeyError if there is none."""
        for row in self.rows:
            if (row.outcome, row.arm, row.segment) == (outcome, arm, segment):
                return row
        raise KeyError((outcome, arm, segment))

    def to_arrow(self) -> pa.Table:
        """One row per outcome, segment and arm; the columns are `LiftRow`'s, null where suppressed."""
        return pa.Table.from_pylist([row.body() for row in self.rows], schema=_SCHEMA)

    def to_svg(self, outcome: str = "") -> str:
        """A forest plot of one outcome's differences (by default the first's), as SVG text."""
        chosen = outcome or self.rows[0].outcome
        rows = [r for r in self.rows if r.outcome == chosen and r.arm != self.control]
        if not rows:
            raise KeyError(outcome)
        return forest(self.title(chosen), rows)

    def tables(self) -> list[Table]:
        """One table per outcome."""
        return [
            _table(self, [r for r in self.rows if r.outcome == outcome])
            for outcome in dict.fromkeys(r.outcome for r in self.rows)
        ]

    def body(self) -> dict[str, Any]:
        """Plain values for storage and the wire."""
        return {
            "computation": "lift",
            "control": self.control,
            "randomised": self.randomised,
            "tables": [table.body() for table in self.tables()],
            "notes": list(self.notes),
            "rows": [row.body() for row in self.rows],
        }

    def __str__(self) -> str:
        """Tables and notes for people to read."""
        return told(self.tables(), ["\n".join(f"- {note}" for note in self.notes)])


# --- tables -----------------------------------------------------------------------------------------


def _table(result: LiftResult, rows: Sequence[LiftRow]) -> Table:
    by = any(r.segment != ALL for r in rows)
    share = rows[0].kind == "share"
    heads = (
        *(("segment",) if by else ()), "arm", "people", "share" if share else "per person",
        "points over control" if share else "over control", "relative", "p", "incremental",
    )  # fmt: skip
    lines = tuple((*((r.segment,) if by else ()), r.arm, *_cells(r, share=share)) for r in rows)
    return Table(
        result.title(rows[0].outcome), heads, lines, tuple(range(len(heads) - 6, len(heads)))
    )


def _cells(r: LiftRow, *, share: bool) -> tuple[str, ...]:
    """A row's figures as text."""
    if r.people is None or r.mean is None:
        return (people(None), "", "", "", "", "")
    if share:
        mean = _percent(r.mean, r.mean_low or 0.0, r.mean_high or 0.0)
        more = _signed(r.difference, r.difference_low, r.difference_high, 100, 2)
    else:
        places = _places(max(abs(r.mean_low or 0.0), abs(r.mean_high or 0.0)))
        mean = number(r.mean, r.mean_low, r.mean_high, places)
        more = _signed(r.difference, r.difference_low, r.difference_high, 1, places)
    p = "" if r.p_value is None else "< 0.0001" if r.p_value < 0.0001 else f"{r.p_value:.4f}"
    lift = _signed(r.relative, r.relative_low, r.relative_high, 100, 0)
    extra = _signed(r.incremental, r.incremental_low, r.incremental_high, 1, 0)
    return people(r.people), mean, more, lift and f"{lift} %", p, extra


def _percent(share: float, low: float, high: float) -> str:
    """"12.3 % (11.9–12.8)"; rare outcomes with a figure more."""  # fmt: skip
    places = 1 if high >= 0.1 else 2
    return f"{share * 100:.{places}f} % ({low * 100:.{places}f}–{high * 100:.{places}f})"


def _places(largest: float) -> int:
    """Decimals that leave about three digits."""
    return min(4, max(0, 2 - math.floor(math.log10(largest)))) if largest > 0 else 0


def _signed(
    value: float | None, low: float | None, high: float | None, factor: float, places: int
) -> str:
    """"+1.2 (+0.9 to +1.5)"; an open end is told as such."""  # fmt: skip
    if value is None:
        return ""
    ends = ["open" if end is None else f"{end * factor:+,.{places}f}" for end in (low, high)]
    return f"{value * factor:+,.{places}f} ({ends[0]} to {ends[1]})"
