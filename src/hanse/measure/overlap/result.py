"""The overlap as its recipient reads it: regions, crowds, pairs, reach in order, with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanse.measure.consistency import consistent
from hanse.measure.intervals import count_interval, rate_interval
from hanse.measure.overlap.picture import upset
from hanse.measure.overlap.protocol import OverlapPlan
from hanse.measure.tables import SUPPRESSED, people, percent, told
from hanse.tables import Table


@dataclass(frozen=True)
class OverlapRow:
    """One figure; None where suppressed. ``share`` is of the universe, if there is one.

    ``kind``: region (in exactly these crowds), crowd, both, added (in this crowd and none before it), reach (in
    any up to this crowd), at least (in so many crowds).
    """

    kind: str
    crowd: str
    people: int | None
    low: float | None
    high: float | None
    share: float | None
    share_low: float | None
    share_high: float | None
    suppressed: str  # "" or why

    def body(self) -> dict[str, Any]:
        return dict(self.__dict__)


@dataclass(frozen=True)
class SharedPart:
    """Which part of ``crowd`` is in ``other`` too; None where a figure behind it is suppressed.

    The interval holds the noise, and that people are a sample of how such people behave.
    """

    crowd: str
    other: str
    rate: float | None
    low: float | None
    high: float | None

    def body(self) -> dict[str, Any]:
        return dict(self.__dict__)


Rate = tuple[float | None, float | None, float | None]
_SCHEMA = pa.schema(
    [("kind", pa.string()), ("crowd", pa.string()), ("people", pa.int64())]
    + [(name, pa.float64()) for name in ("low", "high", "share", "share_low", "share_high")]
    + [("suppressed", pa.string())]
)


@dataclass(frozen=True)
class OverlapResult:
    """All figures, by kind: region, crowd, both, added, reach (in the question's order), at least.

    Figures agree with each other (there are regions of nobody or more that add up to all of them); an interval is
    that of the opened value, widened where it must be to hold the figure shown.
    ``members`` are the crowds of each row, as places in ``names``.
    """

    names: tuple[str, ...]
    rows: tuple[OverlapRow, ...]
    members: tuple[tuple[int, ...], ...]
    parts: tuple[SharedPart, ...]

    def row(self, kind: str, crowd: str) -> OverlapRow:
        """One row. KeyError if there is none."""
        for row in self.rows:
            if (row.kind, row.crowd) == (kind, crowd):
                return row
        raise KeyError((kind, crowd))

    def part(self, crowd: str, other: str) -> SharedPart:
        """Which part of ``crowd`` is in ``other``. KeyError if there is no such pair."""
        for part in self.parts:
            if (part.crowd, part.other) == (crowd, other):
                return part
        raise KeyError((crowd, other))

    def of(self, kind: str) -> tuple[OverlapRow, ...]:
        """The rows of one kind."""
        return tuple(row for row in self.rows if row.kind == kind)

    def to_arrow(self) -> pa.Table:
        """One row per figure; the columns are `OverlapRow`'s, null where suppressed."""
        return pa.Table.from_pylist([row.body() for row in self.rows], schema=_SCHEMA)

    def to_svg(self) -> str:
        """An UpSet plot: people by region, largest first, over a matrix of crowds; as SVG text."""
        regions = [
            (crowds, row)
            for row, crowds in zip(self.rows, self.members, strict=True)
            if row.kind == "region"
        ]
        return upset(self.names, self.of("crowd"), regions)

    def tables(self) -> tuple[Table, ...]:
        """What to print: crowds in order with what each adds, regions by size, shared parts."""
        found = [self._order(), self._regions()]
        if self.parts:
            found.append(self._parts())
        several = self.of("at least")
        if several:
            lines = tuple((f"at least {r.crowd}", people(r.people, r.low, r.high)) for r in several)
            found.append(Table("People in several crowds", ("in", "people"), lines, (1,)))
        return tuple(found)

    def notes(self) -> tuple[str, ...]:
        """What to say beside the tables: why figures are suppressed."""
        reasons = (r.suppressed.partition(" (")[0] for r in self.rows if r.suppressed)
        return tuple(dict.fromkeys(f"{SUPPRESSED}: {reason}" for reason in reasons))

    def __str__(self) -> str:
        return told(self.tables(), self.notes())

    def body(self) -> dict[str, Any]:
        """Plain values for storage and the wire."""
        return {
            "computation": "overlap",
            "tables": [table.body() for table in self.tables()],
            "notes": list(self.notes()),
            "rows": [row.body() for row in self.rows],
            "parts": [part.body() for part in self.parts],
        }

    def _order(self) -> Table:
        shared = any(r.share is not None for r in self.of("reach"))
        heads: tuple[str, ...] = ("crowd", "people", "added to those before", "reach so far")
        lines = []
        for crowd, added, reach in zip(
            self.of("crowd"), self.of("added"), self.of("reach"), strict=True
        ):
            line = [crowd.crowd, *(people(r.people, r.low, r.high) for r in (crowd, added, reach))]
            if shared:
                line.append(percent(reach.share, reach.share_low, reach.share_high))
            lines.append(tuple(line))
        if shared:
            heads += ("of the universe",)
        return Table("Reach, crowd by crowd", heads, tuple(lines), tuple(range(1, len(heads))))

    def _regions(self) -> Table:
        every = self.of("region")
        shown = sorted((r for r in every if r.people is not None), key=lambda r: -(r.people or 0))
        lines = [(r.crowd, people(r.people, r.low, r.high)) for r in shown]
        if len(shown) < len(every):
            lines.append((f"{len(every) - len(shown)} of {len(every)} regions", SUPPRESSED))
        return Table(
            "Regions: people in exactly these crowds", ("crowds", "people"), tuple(lines), (1,)
        )

    def _parts(self) -> Table:
        lines = tuple(
            (p.crowd, p.other, percent(p.rate, p.low, p.high) or SUPPRESSED) for p in self.parts
        )
        return Table("Shared parts", ("of", "are also in", "share"), lines, (2,))


# --- from the opened outputs ------------------------------------------------------------------------


def result(
    p: OverlapPlan, values: NDArray[np.int64], published: NDArray[np.bool_]
) -> OverlapResult:
    """The figures from the opened outputs [outputs], made to agree. Post-processing only: costs no privacy."""
    shown = consistent(p.release, values, published)
    rows = tuple(_row(p, i, values, shown, published) for i in range(len(p.outputs)))
    return OverlapResult(
        p.names, rows, tuple(o.crowds for o in p.outputs), _parts(p, values, shown, published)
    )


def _row(
    p: OverlapPlan, i: int, values: NDArray[np.int64], shown: NDArray[np.int64],
    published: NDArray[np.bool_],
) -> OverlapRow:  # fmt: skip
    output = p.outputs[i]
    if not published[i]:
        return OverlapRow(output.kind, output.label, *(None,) * 6, p.release.why_suppressed(i))
    count = int(shown[i])
    around = count_interval(int(values[i]), p.release, i).holding(count)
    universe = p.question.universe
    share, low, high = (
        (None if universe is None else min(1.0, max(0.0, x / universe)))
        for x in (count, around.low, around.high)
    )
    return OverlapRow(
        output.kind, output.label, count, around.low, around.high, share, low, high, ""
    )


def _parts(
    p: OverlapPlan,
    values: NDArray[np.int64],
    shown: NDArray[np.int64],
    published: NDArray[np.bool_],
) -> tuple[SharedPart, ...]:
    crowd_of = {o.crowds[0]: i for i, o in enumerate(p.outputs) if o.kind == "crowd"}
    found = []
    for i, output in enumerate(p.outputs):
        if output.kind != "both":
            continue
        for crowd, other in (output.crowds, output.crowds[::-1]):
            whole = crowd_of[crowd]
            figures: Rate = (None, None, None)
            if published[i] and published[whole]:
                figures = _rate(p, values, shown, i, whole)
            found.append(SharedPart(p.names[crowd], p.names[other], *figures))
    return tuple(found)


def _rate(
    p: OverlapPlan, values: NDArray[np.int64], shown: NDArray[np.int64], part: int, whole: int
) -> Rate:
    """(rate, low, high) of one output in another that holds all its regions."""
    part_sd, whole_sd = p.release.sd(part), p.release.sd(whole)
    rest_sd = math.sqrt(max(0.0, whole_sd**2 - part_sd**2))
    a, b = int(shown[part]), int(shown[whole])
    rate = min(1.0, max(0.0, a / b)) if b > 0 else 0.0
    around = rate_interval(int(values[part]), int(values[whole]), part_sd, rest_sd).holding(rate)
    return rate, around.low, around.high
