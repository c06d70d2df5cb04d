"""Reach and frequency over N organisations: how many people saw it, how often, what each organisation added.

 1. plan       each provider's row: how often the person was exposed there (so many bits, capped)
 2. align      the providers' rows into anonymous people                                   (room `align`)
 3. add        a person's exposures at all providers, on shares
 4. frequency  one of the cells 1, 2, ... "most or more" (and 0 for people of a universe), by segment
 5. first      which exposure, in the question's order, is the first that reached the person
 6. count      each cell, in shares
 7. release    two blocks: frequency x segment, and first; k+ reach and reach in order are sums (room `gate`)

Reveals: to recipients, the noised sums that reach the threshold; to seats, what `align` reveals. Assumes:
semi-honest seats, honest majority. A person is in one cell of each block at most, whatever providers send.
Frequency is min(sum of the capped counts, most): a count is capped at ``most`` or above, so a provider whose
count is full puts the person into the last cell, where the true sum belongs too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from hanse.align import Aligned, Layout, Part
from hanse.catalog.datasets import Dataset
from hanse.contracts import Contract, Use
from hanse.engine.add import add_many
from hanse.engine.boolean import and_, any_plane, one_hot
from hanse.engine.count import count_rows
from hanse.engine.session import Session
from hanse.engine.shares import Bits, Ring, join_elements, join_planes, stack
from hanse.errors import Refusal
from hanse.gate.plan import Block, ReleasePlan, Sums
from hanse.measure import crowd_cost
from hanse.measure.algebra import Crowd, Expression
from hanse.measure.fields import UNKNOWN, CountField, LabelField, PersonField
from hanse.measure.people import Planner, members, planes, read_fields
from hanse.measure.questions import Name, Question, Segment, Source
from hanse.measure.reading import Reader

MOST_EXPOSURES = 8
MOST_FREQUENCY = 30
MOST_CELLS = 4096
LEAST_SHARE = 0.1  # of epsilon, for the block that tells what each exposure added
ALL = "all"
Kind = Literal["reach", "frequency", "universe", "added", "together"]


class Exposure(Source):
    """Events of one dataset, each one contact; ``name`` (by default the dataset's) is what it is called."""

    name: Name | None = None

    @property
    def called(self) -> str:
        return self.name or self.dataset

    @property
    def source(self) -> Source:
        """The events alone."""
        return Source.model_validate({f: getattr(self, f) for f in Source.model_fields})

    @model_validator(mode="after")
    def _every_contact(self) -> Self:
        if self.at_least != 1:
            raise ValueError("every event is a contact; at_least has no meaning here")
        return self


class ReachQuestion(Question):
    """People who were exposed, and how often over all ``exposures`` together.

    ``exposures`` are in the order in which added reach is told. ``most_frequency`` and more are one cell.
    ``universe`` is a number of people, of which reach is a share; or a crowd: then its members alone are
    counted. ``by`` tells every segment's reach and frequency too.
    """

    exposures: Annotated[tuple[Exposure, ...], Field(min_length=1, max_length=MOST_EXPOSURES)]
    starts: date
    ends: date
    most_frequency: Annotated[int, Field(ge=1, le=MOST_FREQUENCY)] = 10
    universe: Annotated[int, Field(ge=1)] | Crowd | None = None
    by: Segment | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.starts >= self.ends:
            raise ValueError("ends must be later than starts")
        if len({e.called for e in self.exposures}) < len(self.exposures):
            raise ValueError("two exposures have the same name; give them names")
        sources = [e.source for e in self.exposures]
        if any(source in sources[:i] for i, source in enumerate(sources)):
            raise ValueError("the same events are given twice and would count twice")
        merged = self.by.merge if self.by is not None and self.by.merge is not None else {}
        if UNKNOWN in merged or ALL in merged:
            raise ValueError(f"the segment names {UNKNOWN!r} and {ALL!r} are taken")
        return self


@dataclass(frozen=True)
class Output:
    """What one output is.

    ``reach``: at least ``times`` contacts; ``frequency``: exactly (the last: or more); ``universe``: everybody
    counted, reached or not; ``added``: reached by exposure ``times`` and none before; ``together``: by any up to
    exposure ``times``.
    """

    kind: Kind
    segment: str
    times: int


@dataclass(frozen=True)
class ReachPlan:
    """Everything that follows from the question and the contract; equal at every node."""

    question: ReachQuestion
    counts: tuple[CountField, ...]  # in the question's order
    universe: Expression | None
    label: LabelField | None
    fields: tuple[PersonField, ...]
    providers: tuple[str, ...]
    layouts: dict[str, Layout]
    capacities: dict[str, int]
    uses: tuple[Use, ...]
    release: ReleasePlan
    outputs: tuple[Output, ...]

    def keep(self, mask: int) -> bool:
        """Whether people known to exactly these providers can be in any cell."""
        known = {p for i, p in enumerate(self.providers) if mask >> i & 1}
        if self.universe is not None:
            return self.universe.possible(known)
        return any(count.provider in known for count in self.counts)

    @property
    def most(self) -> int:
        """The frequency at which counting ends."""
        return self.question.most_frequency

    @property
    def levels(self) -> range:
        """Frequencies that have a cell."""
        return range(0 if self.universe is not None else 1, self.most + 1)


# --- 1. plan ----------------------------------------------------------------------------------------


def plan(
    question: ReachQuestion, contract: Contract, *, epsilon: float, noise: bool = True
) -> ReachPlan:
    """The plan, or a `Refusal` that names what the contract does not have."""
    planner = Planner(contract, question.starts, question.ends)
    counts = tuple(planner.count(e.source, question.most_frequency) for e in question.exposures)
    if len({count.name for count in counts}) < len(counts):
        raise Refusal("question.twice", "two exposures are the same events, which would count twice",
                      remedy="drop one; a qualification is its conditions in other words")  # fmt: skip
    universe = None
    if isinstance(question.universe, Crowd):
        universe = planner.expression(question.universe)
    label = planner.label(question.by) if question.by else None
    outputs, release = _release(
        label, universe is not None, question.most_frequency, len(counts),
        epsilon, contract.privacy.k, noise,
    )  # fmt: skip
    providers, layouts, capacities = planner.laid_out()
    return ReachPlan(
        question, counts, universe, label, tuple(planner.fields), providers, layouts, capacities,
        planner.used(), release, outputs,
    )  # fmt: skip


def segment_names(label: LabelField | None) -> tuple[str, ...]:
    """Segments in the order of cells: people without a label first."""
    return (UNKNOWN, *label.names) if label else (ALL,)


def _release(
    label: LabelField | None, whole: bool, most: int, exposures: int, epsilon: float, k: int, noise: bool
) -> tuple[tuple[Output, ...], ReleasePlan]:  # fmt: skip
    """Outputs and cells: segment by segment the frequencies (from 0 for a whole universe), then who was first."""
    segments = segment_names(label)
    levels = most + whole
    cells = len(segments) * levels
    if cells > MOST_CELLS:
        raise Refusal("question.cells", f"{cells} cells are more than {MOST_CELLS}",
                      remedy="merge segments or lower most_frequency")  # fmt: skip
    outputs: list[Output] = []
    found: list[list[int]] = []
    order = [*range(1, len(segments)), 0] if label else []
    for segment, places in [(ALL, range(len(segments))), *((segments[i], (i,)) for i in order)]:
        # The last `most` cells of a segment are the frequencies 1 to most.
        ones = [place * levels + whole for place in places]
        for times in range(1, most + 1):
            outputs.append(Output("reach", segment, times))
            found.append([one + f - 1 for one in ones for f in range(times, most + 1)])
        for times in range(1, most + 1):
            outputs.append(Output("frequency", segment, times))
            found.append([one + times - 1 for one in ones])
        if whole:
            outputs.append(Output("universe", segment, 0))
            found.append([one + f - 1 for one in ones for f in range(most + 1)])
    sums = Sums.lists(found, cells)
    if exposures == 1:
        return tuple(outputs), ReleasePlan(sums, epsilon, k, noise)
    outputs += [Output("added", ALL, i) for i in range(exposures)]
    outputs += [Output("together", ALL, i) for i in range(exposures)]
    first = Sums.lists([*([i] for i in range(exposures)), *(range(i + 1) for i in range(exposures))],
                       exposures)  # fmt: skip
    share = first_share(cells)
    blocks = (Block(cells, 1 - share), Block(exposures, share))
    return tuple(outputs), ReleasePlan(Sums.stacked([sums, first]), epsilon, k, noise, blocks)


def first_share(cells: int) -> float:
    """The share of epsilon for added reach: so that a figure of it is about as noisy as 1+ reach.

    1+ reach sums all frequency cells, so its noise is sqrt(cells) times a cell's; added reach is a cell.
    """
    return max(LEAST_SHARE, 1 / (1 + math.sqrt(cells)))


def rows(
    p: ReachPlan, contract: Contract, party: str, datasets: dict[str, Dataset], read: Reader
) -> list[Part]:
    """Step 1 at a provider, at home."""
    return read_fields(contract, party, p.fields, datasets, read)


# --- 3 to 6: on shares ------------------------------------------------------------------------------


def compute(s: Session, people: Aligned, p: ReachPlan) -> Ring:
    """Counts of the cells [cells]: the page's steps 3 to 6."""
    counts = [planes(people, count) for count in p.counts]
    universe = None if p.universe is None else members(s, people, p.universe, "universe")
    cells = _by_segment(s, people, p, _frequencies(s, p, counts, universe))
    found = [count_rows(s, cells, "count")]
    if len(counts) > 1:
        found.append(count_rows(s, _first(s, counts, universe), "count-first"))
    return join_elements(found)


def _frequencies(s: Session, p: ReachPlan, counts: list[Bits], universe: Bits | None) -> Bits:
    """Steps 3 and 4: planes [levels, words], one of which is 1 for a person who is counted."""
    numbers = Bits(
        np.stack([c.left for c in counts], axis=1), np.stack([c.right for c in counts], axis=1),
        counts[0].rows,
    )  # fmt: skip
    total = add_many(s, numbers, "total")
    below = one_hot(s, total, p.most, "frequency")
    # Whoever is in no cell below is in the last one.
    some = below[0]
    for place in range(1, p.most):
        some = some ^ below[place]
    levels = join_planes([below, s.invert(some).reshape(1, -1)])
    if universe is None:
        return levels[1:]
    return and_(s, levels, universe.reshape(1, -1), "counted")


def _by_segment(s: Session, people: Aligned, p: ReachPlan, levels: Bits) -> Bits:
    """Step 4: planes [segments * levels, words]."""
    if p.label is None:
        return levels
    hot = one_hot(s, planes(people, p.label), len(p.label.names) + 1, "segment")
    words = levels.shape[-1]
    parts = and_(s, hot.reshape(-1, 1, words), levels.reshape(1, -1, words), "cells")
    return parts.reshape(-1, words)


def _first(s: Session, counts: list[Bits], universe: Bits | None) -> Bits:
    """Step 5: planes [exposures, words]: reached by this one and by none before it."""
    seen: Bits | None = None
    found = []
    for number, count in enumerate(counts):
        reached = any_plane(s, count, f"reached.{number}")
        if seen is not None:
            reached = and_(s, reached, s.invert(seen), f"first.{number}")
        seen = reached if seen is None else seen ^ reached
        found.append(reached)
    first = stack(found)
    return first if universe is None else and_(s, first, universe.reshape(1, -1), "first-counted")


def most_bytes(p: ReachPlan, people: int) -> int:
    """Bytes that a seat sends at most in the computation itself, for so many anonymous people."""
    bits, number = p.counts[0].bits, len(p.counts)
    wide = bits + max(0, number - 1).bit_length()
    ands = (number - 1) * wide + p.most + 2 * wide  # added, one-hot
    ands += number * bits if number > 1 else 0  # who was first
    if p.universe is not None:
        ands += crowd_cost.ands_of(p.universe) + p.most + 1 + number
    if p.label is not None:
        ands += 2 * (len(p.label.names) + 1) + p.release.blocks[0].cells
    return crowd_cost.most_bytes(ands, p.release.cells, people)
