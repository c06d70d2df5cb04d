"""Which figures a lift question releases, and which share of epsilon each kind gets.

A person is in one cell of the first block at most: arm x segment x which of the 0/1 outcomes happened. A value
outcome adds two blocks of arm x segment: sums, and sums of squares, from which the standard error comes. Pure:
the plan of a question and the power of one that nobody asked yet both stand on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hanse.errors import Refusal
from hanse.gate.plan import Block, ReleasePlan, Sums

ALL = "all"
TWICE = "in two arms"
MOST_CELLS = 4096
MOST_BITS = 16  # of a person's sum: beyond it squares are all noise
# Weights of the blocks' shares of epsilon. Value sums get the most: their noise grows with a person's cap. Squares
# get a quarter of what sums get: they say only how wide the interval is, and an error of a third in the variance
# moves a width by a sixth. People alone (without 0/1 outcomes) are but the denominators.
PEOPLE_WITH_OUTCOMES, PEOPLE_ALONE, VALUE_SUM, VALUE_SQUARE = 1.0, 0.5, 1.6, 0.4
Kind = Literal["people", "crowd", "sum", "square", "twice"]


@dataclass(frozen=True)
class Figure:
    """What one output is: a figure of an arm in a segment ("all": in every segment)."""

    arm: str
    segment: str
    kind: Kind
    outcome: str = ""


@dataclass(frozen=True)
class Value:
    """A value outcome; a person's sum has so many bits, so it is at most 2**bits - 1."""

    name: str
    bits: int

    @property
    def most(self) -> int:
        return (1 << self.bits) - 1


def blocks(groups: int, crowds: int, values: Sequence[Value], *, twice: bool) -> tuple[Block, ...]:
    """The blocks of ``groups`` = arms x segments; one cell more with ``twice`` (people in two arms)."""
    people = PEOPLE_WITH_OUTCOMES if crowds else PEOPLE_ALONE
    whole = people + len(values) * (VALUE_SUM + VALUE_SQUARE)
    found = [Block((groups << crowds) + twice, people / whole)]
    for value in values:
        # A person may move from one group to another: out of one cell, into another.
        found.append(Block(groups, VALUE_SUM / whole, 2 * value.most))
        found.append(Block(groups, VALUE_SQUARE / whole, 2 * value.most**2))
    return tuple(found)


def release_of(
    arms: Sequence[str], segments: Sequence[str], crowds: Sequence[str], values: Sequence[Value], *,
    twice: bool, epsilon: float, k: int, noise: bool,
) -> tuple[ReleasePlan, tuple[Figure, ...]]:  # fmt: skip
    """The release and what each of its outputs is, arm by arm: everybody, then each segment.

    Cells of the first block are numbered arm, segment, outcomes (the first one is the highest bit); then,
    value by value, sums and squares by arm and segment. ``segments`` is ("all",) without a breakdown.
    """
    groups = len(arms) * len(segments)
    parts = blocks(groups, len(crowds), values, twice=twice)
    cells = sum(b.cells for b in parts)
    if cells > MOST_CELLS:
        raise Refusal("question.cells", f"{cells} cells are more than {MOST_CELLS}",
                      remedy="merge segments, or ask for fewer outcomes at once")  # fmt: skip
    figures: list[Figure] = []
    members: list[list[int]] = []
    guards: list[int] = []
    starts = np.cumsum([0, *(b.cells for b in parts)]).tolist()
    for a, arm in enumerate(arms):
        for segment, chosen in _segments(segments):
            guard = len(figures)
            of = [a * len(segments) + place for place in chosen]
            for kind, outcome, first, patterns in _kinds(crowds, values, starts):
                width = (1 << len(crowds)) if first == 0 else 1
                figures.append(Figure(arm, segment, kind, outcome))
                members.append([first + g * width + pattern for g in of for pattern in patterns])
                guards.append(guard)
    if twice:
        guards.append(len(figures))
        figures.append(Figure("", ALL, "twice"))
        members.append([starts[1] - 1])
    release = ReleasePlan(
        Sums.lists(members, cells), epsilon, k, noise, parts, np.array(guards, np.int64)
    )
    return release, tuple(figures)


def _segments(segments: Sequence[str]) -> Iterator[tuple[str, Sequence[int]]]:
    """Everybody, then each segment; the first (people without a label) last."""
    yield ALL, range(len(segments))
    if len(segments) > 1:
        for place in (*range(1, len(segments)), 0):
            yield segments[place], (place,)


def _kinds(
    crowds: Sequence[str], values: Sequence[Value], starts: Sequence[int]
) -> Iterator[tuple[Kind, str, int, list[int]]]:
    """(kind, outcome, first cell of its block, patterns that count) of each figure of a group."""
    patterns = range(1 << len(crowds))
    yield "people", "", 0, list(patterns)
    for place, name in enumerate(crowds):
        bit = 1 << (len(crowds) - 1 - place)
        yield "crowd", name, 0, [p for p in patterns if p & bit]
    for number, value in enumerate(values):
        yield "sum", value.name, starts[1 + 2 * number], [0]
        yield "square", value.name, starts[2 + 2 * number], [0]
