"""From opened outputs to a portrait. Post-processing only: costs no privacy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hanse.gate.laws import noise_sd
from hanse.measure.consistency import consistent
from hanse.measure.intervals import count_interval
from hanse.measure.portrait.index import Index, Part, Z, index, pooled, share_interval
from hanse.measure.portrait.protocol import LabelPlan, PortraitPlan
from hanse.measure.portrait.release import ALL, KNOWN, UNKNOWN, Arm
from hanse.measure.portrait.result import CrossRow, KnownRow, PortraitResult, PortraitRow

_Three = tuple[float | None, float | None, float | None]
_NOTHING: _Three = (None, None, None)


def result(
    plan: PortraitPlan, values: NDArray[np.int64], published: NDArray[np.bool_]
) -> PortraitResult:
    """The portrait in the opened outputs [outputs]."""
    reading = _Reading(plan, values, published)
    rows = [
        reading.row(number, label, value)
        for number, label in enumerate(plan.labels)
        for value in range(len(label.names))
    ]
    known = [
        reading.known(number, arm)
        for number in range(len(plan.labels))
        for arm in ("crowd", "base")
    ]
    crosses = [
        cell
        for number in range(len(plan.crosses))
        for cell in reading.cross(len(plan.labels) + number, *plan.crosses[number])
    ]
    size = reading.size()
    reasons = [r.suppressed for r in rows] + [r.suppressed for r in known]
    reasons += [cell.suppressed for cell in crosses]
    return PortraitResult(
        *size, tuple(rows), tuple(known), tuple(crosses), tuple(_notes(plan, reasons))
    )


class _Reading:
    """The opened outputs by what they are; ``shown`` are those that agree with each other."""

    def __init__(
        self, plan: PortraitPlan, values: NDArray[np.int64], published: NDArray[np.bool_]
    ) -> None:
        self.plan, self.values, self.published = plan, values, published
        self.shown = consistent(plan.release, values, published)

    def get(self, block: int, arm: Arm, value: int, row: int = KNOWN) -> float | None:
        """A figure; None where it is suppressed or not told."""
        i = self.plan.output(block, arm, value, row)
        return float(self.shown[i]) if i is not None and self.published[i] else None

    def opened(self, block: int, arm: Arm, value: int) -> float:
        """A published figure as it was opened."""
        i = self.plan.output(block, arm, value)
        return 0.0 if i is None else float(self.values[i])

    def told(self, block: int, arm: Arm, value: int, row: int = KNOWN) -> _Three:
        """A figure with its interval."""
        i = self.plan.output(block, arm, value, row)
        found = self.get(block, arm, value, row)
        if i is None or found is None:
            return _NOTHING
        around = count_interval(int(self.values[i]), self.plan.release, i).holding(found)
        return found, around.low, around.high

    def why(self, block: int, arm: Arm, value: int, row: int = KNOWN) -> str:
        """Why a figure is suppressed; "" if it is not, or never told."""
        i = self.plan.output(block, arm, value, row)
        if i is None or self.published[i]:
            return ""
        return self.plan.release.why_suppressed(i)

    def sd(self, block: int, arm: Arm, value: int) -> float:
        i = self.plan.output(block, arm, value)
        return 0.0 if i is None else self.plan.release.sd(i)

    def cell_sd(self, block: int) -> float:
        """Standard deviation of one cell's noise."""
        release = self.plan.release
        return noise_sd(release.cell_epsilon(release.blocks[block]), 1) if release.noise else 0.0

    # --- labels ---------------------------------------------------------------------------------

    def row(self, block: int, label: LabelPlan, value: int) -> PortraitRow:
        reasons = [
            f"{arm}: {why}"
            for arm in ("crowd", "base")
            if (why := self.why(block, arm, value) or self.why(block, arm, KNOWN))
        ]
        found = self.index(block, label, value)
        return PortraitRow(
            label.name, label.names[value],
            *self.told(block, "crowd", value), *self.share(block, "crowd", label, value),
            *self.told(block, "base", value), *self.share(block, "base", label, value),
            *(found or _NOTHING), "; ".join(reasons),
        )  # fmt: skip

    def share(self, block: int, arm: Arm, label: LabelPlan, value: int) -> _Three:
        part, whole = self.get(block, arm, value), self.get(block, arm, KNOWN)
        if part is None or whole is None:
            return _NOTHING
        found = min(1.0, max(0.0, part / whole)) if whole > 0 else 0.0
        around = share_interval(
            self.opened(block, arm, value), self.opened(block, arm, KNOWN),
            self.sd(block, arm, value), self.sd(block, arm, KNOWN), nested=not label.several,
        ).holding(found)  # fmt: skip
        return found, around.low, around.high

    def index(self, block: int, label: LabelPlan, value: int) -> Index | None:
        counts = [
            (self.get(block, arm, value), self.get(block, arm, KNOWN)) for arm in ("crowd", "base")
        ]
        if any(n is None for pair in counts for n in pair):
            return None
        (c, crowd), (b, base) = [(pair[0] or 0.0, pair[1] or 0.0) for pair in counts]
        others = None if label.several else len(label.names) - 1
        if self.plan.against == "apart":
            # What both have in common makes the index surer; where it is suppressed it is taken as nobody.
            m, both = (self.get(block, "both", value) or 0.0, self.get(block, "both", KNOWN) or 0.0)
            parts = [
                Part(True, False, c - m, crowd - both, 1, others),
                Part(True, True, m, both, 1, others),
                Part(False, True, b - m, base - both, 1, others),
            ]
        else:
            parts = [
                Part(True, True, c, crowd, 1, others),
                Part(False, True, b - c, base - crowd, 1, others),
            ]
        return index(parts, self.cell_sd(block))

    def known(self, block: int, arm: Arm) -> KnownRow:
        reasons = [
            f"{what}: {why}"
            for what, value in (("known", KNOWN), ("unknown", UNKNOWN))
            if (why := self.why(block, arm, value))
        ]
        return KnownRow(
            self.plan.labels[block].name, arm, *self.told(block, arm, KNOWN),
            *self.told(block, arm, UNKNOWN), "; ".join(reasons),
        )  # fmt: skip

    def size(self) -> _Three:
        """People in the crowd, told once by every label."""
        blocks = [b for b in range(len(self.plan.labels)) if self.get(b, "crowd", ALL) is not None]
        if not blocks:
            return _NOTHING
        values = [self.get(b, "crowd", ALL) or 0.0 for b in blocks]
        value, sd = pooled(values, [self.sd(b, "crowd", ALL) for b in blocks])
        return value, max(0.0, value - Z * sd), value + Z * sd

    # --- cross tables ---------------------------------------------------------------------------

    def cross(self, block: int, first: int, second: int) -> list[CrossRow]:
        rows, columns = self.plan.labels[first], self.plan.labels[second]
        return [
            self.cell(block, rows, columns, row, column)
            for row in range(len(rows.names))
            for column in range(len(columns.names))
        ]

    def cell(
        self, block: int, rows: LabelPlan, columns: LabelPlan, row: int, column: int
    ) -> CrossRow:
        found = self.told(block, "cross", column, row)
        in_row = self.get(block, "cross", KNOWN, row)
        in_column = self.get(block, "cross", column)
        total = self.get(block, "cross", KNOWN)
        expected, lift = None, None
        if in_row is not None and in_column is not None and total is not None and total > 0:
            expected = max(0.0, in_row) * max(0.0, in_column) / total
            if found[0] is not None:
                lift = self.lift(block, rows, columns, (found[0], in_row), (in_column, total))
        names = rows.name, columns.name, rows.names[row], columns.names[column]
        why = self.why(block, "cross", column, row)
        return CrossRow(*names, *found, expected, *(lift or _NOTHING), why)

    def lift(
        self, block: int, rows: LabelPlan, columns: LabelPlan,
        in_row: tuple[float, float], in_all: tuple[float, float],
    ) -> Index | None:  # fmt: skip
        """The index of a column's value in one row against all rows."""
        rest = len(rows.names) - 1
        others = None if columns.several else len(columns.names) - 1
        parts = [Part(True, True, *in_row, 1, others)]
        if rest:
            apart = in_all[0] - in_row[0], in_all[1] - in_row[1]
            parts.append(Part(False, True, *apart, rest, None if others is None else rest * others))
        return index(parts, self.cell_sd(block))


def _notes(plan: PortraitPlan, reasons: Sequence[str]) -> Sequence[str]:
    base = {
        "known": "everybody who has the label",
        "around": "the question's, which holds the crowd",
        "apart": "the question's; not all of the crowd need be in it",
    }[plan.against]
    notes = [
        f"TGI is 100 x share of the crowd / share of the base; the base is {base}.",
        "Shares are of people whose label is known. Intervals are 95 %, privacy noise and sampling together "
        "(people: noise alone).",
    ]
    several = [label.name for label in plan.labels if label.several]
    if several:
        notes.append(
            f"People may have several values, whose shares add up to more than 100 %: {', '.join(several)}."
        )
    hidden = sum(map(bool, reasons))
    if hidden:
        notes.append(
            f"Suppressed: figures in {hidden} of {len(reasons)} rows and cells: fewer than {plan.release.k} "
            f"people, or too close to {plan.release.k} to tell."
        )
    return notes
