"""The funnel as its recipient reads it: counts, rates, intervals, and what was suppressed and why."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanse.measure.consistency import consistent
from hanse.measure.funnel.picture import picture
from hanse.measure.funnel.protocol import FunnelPlan
from hanse.measure.intervals import count_interval, rate_interval


@dataclass(frozen=True)
class FunnelRow:
    """People of one arm and segment at one stage. ``people`` is None where suppressed.

    Figures agree with each other (stages never rise, segments add up); an interval is that of the opened value,
    widened where it must be to hold the figure shown.
    """

    arm: str
    segment: str
    stage: str
    people: int | None
    low: float | None
    high: float | None
    rate: float | None  # of the previous stage
    rate_low: float | None
    rate_high: float | None
    overall: float | None  # of the first stage
    overall_low: float | None
    overall_high: float | None
    suppressed: str  # "" or why

    def body(self) -> dict[str, Any]:
        return dict(self.__dict__)


_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("arm", "segment", "stage")]
    + [("people", pa.int64())]
    + [
        (name, pa.float64())
        for name in (
            "low", "high", "rate", "rate_low", "rate_high", "overall", "overall_low", "overall_high",
        )
    ]
    + [("suppressed", pa.string())]
)  # fmt: skip


@dataclass(frozen=True)
class FunnelResult:
    """All rows, in the order: arm, segment ("all" first), stage."""

    rows: tuple[FunnelRow, ...]

    def to_arrow(self) -> pa.Table:
        """One row per arm, segment and stage; the columns are `FunnelRow`'s, null where suppressed."""
        return pa.Table.from_pylist([row.body() for row in self.rows], schema=_SCHEMA)

    def to_svg(self, *segments: str) -> str:
        """A picture of these segments (by default of "all"), as SVG text; every arm has its own bars."""
        chosen = segments or ("all",)
        return picture([row for row in self.rows if row.segment in chosen])

    def __str__(self) -> str:
        """A table for people to read."""
        heads = ("", "people", "95 % interval", "of the stage before", "of the first")
        lines = [heads]
        group = ("", "")
        for row in self.rows:
            if (row.arm, row.segment) != group:
                group = row.arm, row.segment
                named = " · ".join(part for part in group if part != "all") or "everybody"
                lines.append((named, "", "", "", ""))
            lines.append(("  " + row.stage, *_cells_of(row)))
        widths = [max(len(line[i]) for line in lines) for i in range(len(heads))]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        )

    def body(self) -> dict[str, Any]:
        """Plain values for storage and the wire."""
        return {"computation": "funnel", "rows": [row.body() for row in self.rows]}

    def row(self, stage: str, segment: str = "all", arm: str | None = None) -> FunnelRow:
        """One row; the first arm by default. KeyError if there is none."""
        for row in self.rows:
            if row.stage == stage and row.segment == segment and arm in (None, row.arm):
                return row
        raise KeyError((arm, segment, stage))


def _cells_of(row: FunnelRow) -> tuple[str, str, str, str]:
    """A row's figures as text."""
    if row.people is None or row.low is None or row.high is None:
        return "suppressed", "", "", ""
    return (
        f"{row.people:,}",
        f"{row.low:,.0f}–{row.high:,.0f}",
        _percent(row.rate, row.rate_low, row.rate_high),
        _percent(row.overall, row.overall_low, row.overall_high),
    )


def _percent(rate: float | None, low: float | None, high: float | None) -> str:
    if rate is None or low is None or high is None:
        return ""
    return f"{rate:.1%} ({low:.1%}–{high:.1%})"


def result(
    plan: FunnelPlan, values: NDArray[np.int64], published: NDArray[np.bool_]
) -> FunnelResult:
    """The rows from the opened outputs [outputs], made to agree. Post-processing only: costs no privacy."""
    shown = consistent(plan.release, values, published)
    firsts: dict[tuple[str, str], int] = {}
    rows = []
    previous: int | None = None
    for i, (arm, segment, stage) in enumerate(plan.outputs):
        if (arm, segment) not in firsts:
            firsts[arm, segment] = i
            previous = None
        if not published[i]:
            why = plan.release.why_suppressed(i)
            rows.append(FunnelRow(arm, segment, stage, *(None,) * 9, why))
            previous = i
            continue
        people = int(shown[i])
        count = count_interval(int(values[i]), plan.release, i).holding(people)
        step = _rate(plan, values, shown, published, i, previous)
        first = firsts[arm, segment]
        overall = _rate(plan, values, shown, published, i, first if first != i else None)
        rows.append(
            FunnelRow(arm, segment, stage, people, count.low, count.high, *step, *overall, "")
        )
        previous = i
    return FunnelResult(tuple(rows))


def _rate(
    plan: FunnelPlan, values: NDArray[np.int64], shown: NDArray[np.int64], published: NDArray[np.bool_],
    part: int, whole: int | None,
) -> tuple[float | None, float | None, float | None]:  # fmt: skip
    """(rate, low, high) of output ``part`` in output ``whole``, or Nones if either is not shown."""
    if whole is None or not published[whole] or not published[part]:
        return None, None, None
    # The part's cells are among the whole's, so the rest's noise is what is left of the whole's.
    part_sd, whole_sd = plan.release.sd(part), plan.release.sd(whole)
    rest_sd = math.sqrt(max(0.0, whole_sd**2 - part_sd**2))
    a, b = int(shown[part]), int(shown[whole])
    rate = min(1.0, max(0.0, a / b)) if b > 0 else 0.0
    around = rate_interval(int(values[part]), int(values[whole]), part_sd, rest_sd).holding(rate)
    return rate, around.low, around.high
