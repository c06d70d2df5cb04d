"""Attribution as its recipient reads it: conversions and value by channel, with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanse.measure.attribution.picture import bars
from hanse.measure.attribution.plan import (
    ROUNDING,
    TOTAL,
    UNATTRIBUTED,
    WHOLE,
    AttributionPlan,
    Output,
)
from hanse.measure.intervals import noise_half_width
from hanse.measure.tables import SUPPRESSED, number, people, percent, told
from hanse.tables import Table

MODELS = {
    "last": "the last touch takes all",
    "first": "the first touch takes all",
    "linear": "all touches alike",
    "time_decay": "the younger a touch, the more",
    "position": "by position: first, between, last",
}


@dataclass(frozen=True)
class AttributionRow:
    """One channel; or "unattributed" (no touch counted), "rounding" (what sharing out left over), "total".

    ``people`` are those with a conversion that the channel was credited for (of "total": with any conversion),
    ``conversions`` the credit, ``share`` its part of all conversions, ``value`` the value credited, in the
    question's ``value_unit``s. None where suppressed, or where there is no such figure.
    """

    channel: str
    people: int | None
    people_low: float | None
    people_high: float | None
    conversions: float | None
    conversions_low: float | None
    conversions_high: float | None
    share: float | None
    value: float | None
    value_low: float | None
    value_high: float | None
    suppressed: str  # "" or why

    def body(self) -> dict[str, Any]:
        return dict(self.__dict__)


_SCHEMA = pa.schema(
    [("channel", pa.string()), ("people", pa.int64())]
    + [
        (name, pa.float64())
        for name in (
            "people_low", "people_high", "conversions", "conversions_low", "conversions_high", "share",
            "value", "value_low", "value_high",
        )
    ]
    + [("suppressed", pa.string())]
)  # fmt: skip


@dataclass(frozen=True)
class AttributionResult:
    """Channels in the plan's order, then "unattributed", "rounding" and "total"."""

    model: str
    rows: tuple[AttributionRow, ...]
    valued: bool
    notes: tuple[str, ...]

    def row(self, channel: str) -> AttributionRow:
        """One row. KeyError if there is none."""
        for row in self.rows:
            if row.channel == channel:
                return row
        raise KeyError(channel)

    @property
    def channels(self) -> tuple[AttributionRow, ...]:
        """The channels alone."""
        return self.rows[:-3]

    def to_arrow(self) -> pa.Table:
        """One row per channel; the columns are `AttributionRow`'s, null where suppressed."""
        return pa.Table.from_pylist([row.body() for row in self.rows], schema=_SCHEMA)

    def to_svg(self) -> str:
        """Bars of the conversions credited to each channel, with intervals, as SVG text."""
        return bars(f"Conversions by channel: {MODELS[self.model]}", self.rows[:-2])

    def tables(self) -> tuple[Table, ...]:
        """What to print: channels and what is below them."""
        heads: tuple[str, ...] = ("channel", "people", "conversions", "of all")
        if self.valued:
            heads += ("value",)
        lines = [
            _line(row, self.valued)
            for row in self.rows
            if row.channel != ROUNDING or self.model not in ("last", "first")
        ]
        title = f"Conversions by channel: {MODELS[self.model]}"
        return (Table(title, heads, tuple(lines), tuple(range(1, len(heads)))),)

    def body(self) -> dict[str, Any]:
        """Plain values for storage and the wire."""
        return {
            "computation": "attribution",
            "model": self.model,
            "tables": [table.body() for table in self.tables()],
            "notes": list(self.notes),
            "rows": [row.body() for row in self.rows],
        }

    def __str__(self) -> str:
        return told(self.tables(), ["\n".join(f"- {note}" for note in self.notes)])


def _line(row: AttributionRow, valued: bool) -> tuple[str, ...]:
    if row.suppressed:
        return (row.channel, SUPPRESSED, *([""] * (3 if valued else 2)))
    who = "" if row.people is None else people(row.people, row.people_low, row.people_high)
    line = [
        row.channel, who,
        number(row.conversions, row.conversions_low, row.conversions_high, places=1),
        percent(row.share),
    ]  # fmt: skip
    if valued:
        line.append(number(row.value, row.value_low, row.value_high))
    return tuple(line)


# --- from the opened outputs ------------------------------------------------------------------------


def result(
    p: AttributionPlan, values: NDArray[np.int64], published: NDArray[np.bool_]
) -> AttributionResult:
    """The figures from the opened outputs [outputs]. Post-processing only: costs no privacy."""
    place = {output: i for i, output in enumerate(p.outputs)}
    names = (*p.channels, UNATTRIBUTED, ROUNDING, TOTAL)
    rows = tuple(_row(p, name, place, values, published) for name in names)
    return AttributionResult(p.question.model, rows, p.conversions.value_bits > 0, _notes(p, rows))


Figure = tuple[float | None, float | None, float | None]


def _row(
    p: AttributionPlan, name: str, place: dict[Output, int], values: NDArray[np.int64],
    published: NDArray[np.bool_],
) -> AttributionRow:  # fmt: skip
    def figure(kind: Any, unit: float) -> Figure:
        """An output in units, with its interval; never below nothing."""
        i = place.get(Output(kind, name))
        if i is None or not published[i]:
            return None, None, None
        half = noise_half_width(p.release, i)
        value = float(values[i])
        low, middle, high = (max(0.0, x * unit) for x in (value - half, value, value + half))
        return middle, low, high

    conversions = figure("conversions", 1 / p.whole)
    worth = figure("value", 1 / p.whole)
    who, low, high = figure("people", 1)
    total = place[Output("conversions", TOTAL)]
    share = None
    if conversions[0] is not None and published[total] and values[total] > 0:
        share = min(1.0, conversions[0] * p.whole / float(values[total]))
    shown = place[Output("conversions", name)]
    why = "" if published[shown] else p.release.why_suppressed(shown)
    return AttributionRow(
        name, None if who is None else round(who), low, high, *conversions, share, *worth, why
    )


def _notes(p: AttributionPlan, rows: tuple[AttributionRow, ...]) -> tuple[str, ...]:
    q = p.question
    notes = [
        f"a touch counts for a conversion up to {q.window_days:g} days later; up to {p.conversions.slots} "
        "conversions of a person, and of each source up to "
        + ", ".join(f"{t.slots} touches ({t.source.dataset})" for t in p.touches)
    ]
    if q.model == "position":
        notes.append("first, between and last touch: {} / {} / {} percent".format(*q.position))
    if q.model == "time_decay":
        step = (1 << p.age_shift()) * p.unit_seconds / 86400
        notes.append(
            f"credit halves with every {q.half_life_days:g} days before the conversion, in steps of {step:.2g} days"
        )
    if p.whole > 1:
        notes.append(
            f"credit is shared out in 1/{WHOLE} of a conversion, rounded down; the rest is the row {ROUNDING!r}"
        )
    if p.left_out:
        notes.append(f"{p.left_out:,} places of sensitive types are not credited")
    reasons = (row.suppressed.partition(" (")[0] for row in rows if row.suppressed)
    notes += dict.fromkeys(f"{SUPPRESSED}: {reason}" for reason in reasons)
    return tuple(notes)
