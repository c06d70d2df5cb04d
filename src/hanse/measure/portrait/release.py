"""What a portrait releases: a block of cells per label and per cross table, each with its part of epsilon.

Of a label with one value a person is in one cell (arm and value): two cells move by one when somebody changes.
Of a label with several values all of them may move, and the cell "known" besides: hence 2 x (values + 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hanse.errors import Refusal
from hanse.gate.plan import Block, ReleasePlan, Sums

MOST_CELLS = 4096
ALL, KNOWN, UNKNOWN = (
    -3,
    -2,
    -1,
)  # instead of a value's number: everybody, those with a value, those without
Arm = Literal["crowd", "base", "both", "cross"]
# How crowd and base meet: each label's base is whoever has it; the base holds the crowd; neither holds the other.
Against = Literal["known", "around", "apart"]


@dataclass(frozen=True)
class Sizes:
    """A label's cells in one arm: [without a value], [with any value, if several count], one per value."""

    values: int
    several: bool

    def cells(self, *, unknown: bool) -> int:
        return unknown + self.several + self.values

    def of(self, value: int, *, unknown: bool) -> list[int]:
        """The cells that make up a value's number, ``KNOWN``, ``UNKNOWN`` or ``ALL``."""
        if value == UNKNOWN:
            return [0]
        if value == ALL:
            return [0, *self.of(KNOWN, unknown=unknown)]
        if value == KNOWN:
            first = int(unknown)
            return [first] if self.several else list(range(first, first + self.values))
        return [unknown + self.several + value]

    @property
    def sensitivity(self) -> int:
        return 2 * (self.values + 1) if self.several else 2


@dataclass(frozen=True)
class Figure:
    """What one output is: people of an arm who have a value of the block's label.

    Of a cross table ``row`` and ``value`` are values of its two labels (or ``KNOWN``: any).
    """

    block: int
    arm: Arm
    value: int
    row: int = KNOWN


def arms_of(against: Against) -> tuple[tuple[Arm, tuple[int, ...]], ...]:
    """Each arm's parts; parts are disjoint, and are counted."""
    if against == "apart":  # the crowd alone, both, the base alone
        return ("crowd", (0, 1)), ("base", (1, 2)), ("both", (1,))
    return ("crowd", (0,)), ("base", (0, 1))  # the crowd, the rest of the base


def parts_of(against: Against) -> tuple[bool, ...]:
    """For each part, whether its people without a value are counted."""
    return {"known": (True, False), "around": (True, True), "apart": (True, True, True)}[against]


def release_of(
    names: Sequence[str], labels: Sequence[Sizes], crosses: Sequence[tuple[Sizes, Sizes]],
    weights: dict[str, float], against: Against, *, epsilon: float, k: int, noise: bool,
) -> tuple[ReleasePlan, tuple[Figure, ...]]:  # fmt: skip
    """The release and what each output is. ``names`` are the blocks', labels first."""
    whole = sum(weights.get(name, 1.0) for name in names)
    blocks: list[Block] = []
    sums: list[Sums] = []
    figures: list[Figure] = []
    found = [_label(number, label, against) for number, label in enumerate(labels)]
    found += [
        _cross(len(labels) + number, rows, columns)
        for number, (rows, columns) in enumerate(crosses)
    ]
    sensitivities = [label.sensitivity for label in labels]
    sensitivities += [columns.sensitivity for _, columns in crosses]
    for name, (outputs, members, cells), sensitivity in zip(
        names, found, sensitivities, strict=True
    ):
        blocks.append(Block(cells, weights.get(name, 1.0) / whole, sensitivity))
        sums.append(Sums.lists(members, cells))
        figures += outputs
    total = sum(b.cells for b in blocks)
    if total > MOST_CELLS:
        raise Refusal("question.cells", f"{total} cells are more than {MOST_CELLS}",
                      remedy="merge values, or ask for fewer labels or cross tables at once")  # fmt: skip
    return ReleasePlan(Sums.stacked(sums), epsilon, k, noise, tuple(blocks)), tuple(figures)


def _label(block: int, label: Sizes, against: Against) -> tuple[list[Figure], list[list[int]], int]:
    """(figures, their cells, number of cells) of one label."""
    parts = parts_of(against)
    firsts = [sum(label.cells(unknown=u) for u in parts[:i]) for i in range(len(parts))]
    figures, members = [], []
    for arm, chosen in arms_of(against):
        values = [ALL, KNOWN, UNKNOWN, *range(label.values)]
        if arm == "both" or not all(parts[i] for i in chosen):
            values = [KNOWN, *range(label.values)]
        for value in values:
            figures.append(Figure(block, arm, value))
            members.append(
                [firsts[i] + c for i in chosen for c in label.of(value, unknown=parts[i])]
            )
    return figures, members, sum(label.cells(unknown=u) for u in parts)


def _cross(block: int, rows: Sizes, columns: Sizes) -> tuple[list[Figure], list[list[int]], int]:
    """(figures, their cells, number of cells) of a cross table: row after row, only people with both values."""
    width = columns.cells(unknown=False)
    figures, members = [], []
    for row in (KNOWN, *range(rows.values)):
        chosen = range(rows.values) if row == KNOWN else [row]
        for value in (KNOWN, *range(columns.values)):
            figures.append(Figure(block, "cross", value, row))
            members.append(
                [r * width + c for r in chosen for c in columns.of(value, unknown=False)]
            )
    return figures, members, rows.values * width
