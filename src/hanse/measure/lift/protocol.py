"""Incremental lift: what treated people did beyond a control group, arm and outcomes at different organisations.

 1. plan     each provider's row: a bit per crowd, a code per segment, a value of so many bits
 2. align    the providers' rows into anonymous people                                     (room `align`)
 3. arms     one bit per arm; people in two arms are in none of them and counted apart
 4. groups   arm x segment, and in each which of the 0/1 outcomes happened: one cell per person
 5. moments  sum and sum of squares of each value in each group, from the counts of its bits and pairs of bits:
             v = sum 2^i v_i, v^2 = sum 4^i v_i + 2 sum_{i<j} 2^(i+j) v_i v_j
 6. release  counts, sums and squares are blocks with their own noise; guarded by the people of arm and segment
                                                                                            (room `gate`)

Reveals: to recipients, the noised figures of groups that reach the threshold; to seats, what `align` reveals.
Assumes: semi-honest seats, honest majority. What a provider sends cannot move a figure further than the bits of
its field allow: squares are made here, not at home.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from hanse.align import Aligned, Layout, Part
from hanse.catalog.datasets import Dataset
from hanse.contracts import Contract, Use
from hanse.engine.boolean import and_, one_hot, or_
from hanse.engine.count import count_rows
from hanse.engine.session import Session
from hanse.engine.shares import Bits, Ring, join_elements, join_planes, stack
from hanse.errors import Refusal
from hanse.gate.plan import ReleasePlan
from hanse.measure.algebra import Crowd, Expression
from hanse.measure.fields import UNKNOWN, LabelField, PersonField, ValueField
from hanse.measure.lift.release import ALL, MOST_BITS, Figure, Value, release_of
from hanse.measure.people import Planner, members, planes, read_fields
from hanse.measure.questions import Name, Question, Segment
from hanse.measure.reading import Reader

MOST_ARMS = 6
MOST_OUTCOMES = 4  # of each kind
CHUNK_WORDS = 1 << 22  # pairs of bits are multiplied in chunks of about 32 MB


class Arm(Crowd):
    """One arm of a comparison: a crowd with a name."""

    name: Name


class Outcome(Crowd):
    """What is compared: a crowd (it happened or not), or with ``column`` a value summed per person.

    A value counts round(value / ``unit``) for each event, at most ``most`` (of these units) a person, raised to
    2**bits - 1; by default the column's maximum in the contract.
    """

    name: Name
    column: Name | None = None
    most: Annotated[int, Field(ge=1)] | None = None
    unit: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _value(self) -> Self:
        if self.column is None and (self.most is not None or self.unit != 1):
            raise ValueError("most and unit belong beside a column")
        if self.column is not None and (self.dataset is None or self.at_least != 1):
            raise ValueError("a column is summed over the events of one dataset, without at_least")
        return self


class LiftQuestion(Question):
    """Arms, one of them the control, and the outcomes in which they are compared.

    Either ``arms`` with ``control`` naming one of them, or ``exposed`` and ``base``: then people of the base who
    were not exposed are the control. ``by`` compares like with like, segment by segment; the standardised
    total weighs segments by the treated people in them, or with ``weights`` "all" by the people of both arms.
    ``randomised`` says whether chance alone put people into the arms: only then is a difference an effect.
    """

    outcomes: Annotated[tuple[Outcome, ...], Field(min_length=1, max_length=2 * MOST_OUTCOMES)]
    starts: date
    ends: date
    arms: Annotated[tuple[Arm, ...], Field(max_length=MOST_ARMS)] = ()
    control: Name | None = None
    exposed: Crowd | None = None
    base: Crowd | None = None
    by: Segment | None = None
    weights: Literal["treated", "all"] = "treated"
    randomised: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.starts >= self.ends:
            raise ValueError("ends must be later than starts")
        pair = self.exposed is not None and self.base is not None
        if (self.exposed is None) != (self.base is None) or pair == bool(self.arms):
            raise ValueError("give either arms and control, or exposed and base")
        names = [a.name for a in self.arms]
        if self.arms and (len(names) < 2 or self.control not in names):
            raise ValueError("give at least two arms, and in control the name of one of them")
        if pair and self.control is not None:
            raise ValueError("with exposed and base the control is: in the base and not exposed")
        for given in (names, [o.name for o in self.outcomes]):
            if len(set(given)) < len(given):
                raise ValueError("two arms or two outcomes have the same name")
        valued = sum(o.column is not None for o in self.outcomes)
        if max(valued, len(self.outcomes) - valued) > MOST_OUTCOMES:
            raise ValueError(f"at most {MOST_OUTCOMES} crowds and {MOST_OUTCOMES} values at once")
        merged = self.by.merge if self.by is not None and self.by.merge is not None else {}
        if UNKNOWN in merged or ALL in merged:
            raise ValueError(f"the segment names {UNKNOWN!r} and {ALL!r} are taken")
        return self


@dataclass(frozen=True)
class LiftPlan:
    """Everything that follows from the question and the contract; equal at every node."""

    question: LiftQuestion
    names: tuple[str, ...]  # of the arms, in the order of cells
    control: str
    arms: tuple[Expression, ...]  # or, without arms in the question: exposed and base
    crowds: tuple[Expression, ...]
    values: tuple[ValueField, ...]
    label: LabelField | None
    fields: tuple[PersonField, ...]
    providers: tuple[str, ...]
    layouts: dict[str, Layout]
    capacities: dict[str, int]
    uses: tuple[Use, ...]
    release: ReleasePlan
    figures: tuple[Figure, ...]  # what each output is

    @property
    def segments(self) -> tuple[str, ...]:
        """Segments in the order of cells."""
        return segment_names(self.label)

    def keep(self, mask: int) -> bool:
        """Whether people known to exactly these providers can be in any arm."""
        known = {p for i, p in enumerate(self.providers) if mask >> i & 1}
        return any(arm.possible(known) for arm in self.arms)


def segment_names(label: LabelField | None) -> tuple[str, ...]:
    """Segments in the order of cells: people without a label first."""
    return (UNKNOWN, *label.names) if label else (ALL,)


# --- 1. plan ----------------------------------------------------------------------------------------


def plan(
    question: LiftQuestion, contract: Contract, *, epsilon: float, noise: bool = True
) -> LiftPlan:
    """The plan, or a `Refusal` that names what the contract does not have."""
    planner = Planner(contract, question.starts, question.ends)
    pair = question.exposed is not None and question.base is not None
    wanted = (question.exposed, question.base) if pair else question.arms
    arms = tuple(planner.expression(crowd) for crowd in wanted if crowd is not None)
    names = ("exposed", "not exposed") if pair else tuple(a.name for a in question.arms)
    crowds = [o for o in question.outcomes if o.column is None]
    values = [o for o in question.outcomes if o.column is not None]
    happened = tuple(planner.expression(crowd) for crowd in crowds)
    sums = tuple(_value(planner, outcome) for outcome in values)
    label = planner.label(question.by) if question.by else None
    release, figures = release_of(
        names, segment_names(label), [o.name for o in crowds],
        [Value(o.name, field.bits) for o, field in zip(values, sums, strict=True)],
        twice=not pair, epsilon=epsilon, k=contract.privacy.k, noise=noise,
    )  # fmt: skip
    providers, layouts, capacities = planner.laid_out()
    return LiftPlan(
        question, names, names[1] if pair else question.control or "", arms, happened, sums, label,
        tuple(planner.fields), providers, layouts, capacities, planner.used(), release, figures,
    )  # fmt: skip


def _value(planner: Planner, outcome: Outcome) -> ValueField:
    field = planner.value(
        outcome.source(), outcome.column or "", most=outcome.most, unit=outcome.unit,
        starts=outcome.starts, ends=outcome.ends,
    )  # fmt: skip
    if field.bits > MOST_BITS:
        raise Refusal(
            "question.value",
            f"{outcome.name!r} may reach {field.most:,} for one person, more than {(1 << MOST_BITS) - 1:,}: "
            "its noise would hide every effect",
            remedy="count in a larger unit, or give a lower cap: most",
            where=f"dataset {outcome.dataset}",
        )
    return field


def rows(
    p: LiftPlan, contract: Contract, party: str, datasets: dict[str, Dataset], read: Reader
) -> list[Part]:
    """Step 1 at a provider, at home."""
    return read_fields(contract, party, p.fields, datasets, read)


# --- 3 to 5: on shares ------------------------------------------------------------------------------


def compute(s: Session, people: Aligned, p: LiftPlan) -> Ring:
    """Counts, sums and squares of all cells [cells]: the page's steps 3 to 5."""
    arms, twice = _arms(s, people, p)
    groups = _groups(s, people, p, arms)
    happened = [members(s, people, c, f"outcome{i}") for i, c in enumerate(p.crowds)]
    cells = _patterns(s, groups, happened)
    if twice is not None:
        cells = join_planes([cells, twice.reshape(1, -1)])
    found = [count_rows(s, cells, "people")]
    for number, field in enumerate(p.values):
        found += _moments(s.fork(f"value{number}"), groups, planes(people, field))
    return join_elements(found)


def _arms(s: Session, people: Aligned, p: LiftPlan) -> tuple[Bits, Bits | None]:
    """Step 3: planes [arms, words] of which a person has one at most, and who is in two [words]."""
    found = stack([members(s, people, arm, f"arm{i}") for i, arm in enumerate(p.arms)])
    if p.question.exposed is not None:
        exposed, base = found[0], found[1]
        return stack([exposed, and_(s, base, s.invert(exposed), "control")]), None
    seen, twice = found[0], None
    for number in range(1, len(p.arms)):
        both = and_(s, seen, found[number], f"both.{number}")
        seen = seen ^ found[number] ^ both
        twice = both if twice is None else or_(s, twice, both, f"twice.{number}")
    if twice is None:
        return found, None
    return and_(s, found, s.invert(twice).reshape(1, -1), "alone"), twice


def _groups(s: Session, people: Aligned, p: LiftPlan, arms: Bits) -> Bits:
    """Step 4: planes [arms * segments, words]."""
    if p.label is None:
        return arms
    hot = one_hot(s, planes(people, p.label), len(p.label.names) + 1, "segment")
    words = arms.shape[-1]
    parts = and_(s, arms.reshape(-1, 1, words), hot.reshape(1, -1, words), "groups")
    return parts.reshape(-1, words)


def _patterns(s: Session, groups: Bits, happened: Sequence[Bits]) -> Bits:
    """Step 4: planes [groups * 2**outcomes, words]: every outcome halves each cell, no first, yes second."""
    words = groups.shape[-1]
    for number, outcome in enumerate(happened):
        yes = and_(s, groups, outcome.reshape(1, words), f"pattern.{number}")
        halves = stack([groups ^ yes, yes])  # [2, cells, words]
        groups = Bits(
            halves.left.swapaxes(0, 1).reshape(-1, words),
            halves.right.swapaxes(0, 1).reshape(-1, words),
            groups.rows,
        )
    return groups


def _moments(s: Session, groups: Bits, value: Bits) -> list[Ring]:
    """Step 5: sums [groups] and sums of squares [groups] of planes [bits, words]."""
    count, words = groups.shape
    bits = value.shape[0]
    ones = and_(s, groups.reshape(count, 1, words), value.reshape(1, bits, words), "bits")
    single = count_rows(s, ones.reshape(count * bits, words), "single").reshape(count, bits)
    powers = np.uint64(1) << np.arange(bits, dtype=np.uint64)
    total = single.times(powers).sum(axis=1)
    square = single.times(powers * powers).sum(axis=1)
    for number, pairs in enumerate(_pair_chunks(bits, count, words)):
        first, second = np.array(pairs).T
        both = and_(s, ones[:, first], value[second].reshape(1, -1, words), f"pairs.{number}")
        counts = count_rows(s, both.reshape(-1, words), f"pair-counts.{number}")
        factors = np.uint64(2) * powers[first] * powers[second]
        square = square + counts.reshape(count, len(pairs)).times(factors).sum(axis=1)
    return [total, square]


def _pair_chunks(bits: int, groups: int, words: int) -> list[list[tuple[int, int]]]:
    """All pairs i < j of bits, in chunks that fit the memory."""
    every = list(combinations(range(bits), 2))
    size = max(1, CHUNK_WORDS // max(1, groups * words))
    return [every[i : i + size] for i in range(0, len(every), size)]
