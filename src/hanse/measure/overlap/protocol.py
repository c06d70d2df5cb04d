"""Overlap of crowds at N organisations: how many people, in which of them, never who.

 1. plan     one bit a person and crowd, made at home; crowds may combine several organisations' bits
 2. align    the providers' rows into anonymous people                                     (room `align`)
 3. members  which crowds each person is in, on shares
 4. regions  which set of crowds that is: one of 2**N - 1 cells
 5. count    each region, in shares
 6. release  noise per region; crowds, pairs, reach in order and "at least m" are sums of regions (room `gate`)

Reveals: to recipients, the noised sums that reach the threshold; to seats, what `align` reveals. Assumes:
semi-honest seats, honest majority. A person is in one region at most, whatever providers send.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from itertools import combinations
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hanse.align import Aligned, Layout, Part
from hanse.catalog.datasets import Dataset
from hanse.contracts import Contract, Use
from hanse.engine.boolean import one_hot
from hanse.engine.count import count_rows
from hanse.engine.session import Session
from hanse.engine.shares import Ring, stack
from hanse.gate.plan import ReleasePlan, Sums
from hanse.measure import crowd_cost
from hanse.measure.algebra import Crowd, Expression
from hanse.measure.fields import PersonField
from hanse.measure.people import Planner, members, read_fields
from hanse.measure.questions import Name, Question
from hanse.measure.reading import Reader

MOST_CROWDS = 6
Kind = Literal["region", "crowd", "both", "added", "reach", "at least"]


class NamedCrowd(Crowd):
    """A crowd with a name: people of one dataset, or a combination of crowds."""

    name: Name


class OverlapQuestion(Question):
    """Crowds in the order in which incremental reach is told; ``universe`` people make reach a share."""

    crowds: Annotated[tuple[NamedCrowd, ...], Field(min_length=1, max_length=MOST_CROWDS)]
    starts: date
    ends: date
    universe: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.starts >= self.ends:
            raise ValueError("ends must be later than starts")
        if len({c.name for c in self.crowds}) < len(self.crowds):
            raise ValueError("two crowds have the same name")
        return self


@dataclass(frozen=True)
class Output:
    """What one output is: people in exactly these crowds (region), in a crowd, in two of them (both), in a
    crowd and none before it (added), in any up to a crowd (reach), in at least so many crowds.

    ``crowds`` are numbers of crowds in the question's order.
    """

    kind: Kind
    label: str
    crowds: tuple[int, ...]


@dataclass(frozen=True)
class OverlapPlan:
    """Everything that follows from the question and the contract. Cell r - 1 is region r (a bit mask)."""

    question: OverlapQuestion
    crowds: tuple[Expression, ...]  # in the question's order
    fields: tuple[PersonField, ...]
    providers: tuple[str, ...]
    layouts: dict[str, Layout]
    capacities: dict[str, int]
    uses: tuple[Use, ...]
    release: ReleasePlan
    outputs: tuple[Output, ...]

    def keep(self, mask: int) -> bool:
        """Whether people known to exactly these providers can be in any crowd."""
        known = {p for i, p in enumerate(self.providers) if mask >> i & 1}
        return any(crowd.possible(known) for crowd in self.crowds)

    @property
    def names(self) -> tuple[str, ...]:
        """The crowds' names in order."""
        return tuple(c.name for c in self.question.crowds)


def plan(
    question: OverlapQuestion, contract: Contract, *, epsilon: float, noise: bool = True
) -> OverlapPlan:
    """The plan, or a `Refusal` that names what the contract does not have."""
    planner = Planner(contract, question.starts, question.ends)
    crowds = tuple(planner.expression(c) for c in question.crowds)
    providers, layouts, capacities = planner.laid_out()
    outputs, sums = _outputs([c.name for c in question.crowds])
    release = ReleasePlan(sums, epsilon, contract.privacy.k, noise)
    return OverlapPlan(
        question, crowds, tuple(planner.fields), providers, layouts, capacities, planner.used(),
        release, outputs,
    )  # fmt: skip


def _outputs(names: list[str]) -> tuple[tuple[Output, ...], Sums]:
    """What is told, each a set of regions."""
    count = len(names)
    regions = range(1, 1 << count)
    found: list[tuple[Output, list[bool]]] = []
    for r in regions:
        inside = tuple(i for i in range(count) if r >> i & 1)
        label = " + ".join(names[i] for i in inside)
        found.append((Output("region", label, inside), [x == r for x in regions]))
    for i, name in enumerate(names):
        found.append((Output("crowd", name, (i,)), [bool(x >> i & 1) for x in regions]))
    for i, j in combinations(range(count), 2):
        both = (1 << i) | (1 << j)
        label = f"{names[i]} and {names[j]}"
        found.append((Output("both", label, (i, j)), [x & both == both for x in regions]))
    for i, name in enumerate(names):
        upto, own = (1 << (i + 1)) - 1, 1 << i
        found.append((Output("added", name, (i,)), [x & upto == own for x in regions]))
    for i in range(count):
        upto = (1 << (i + 1)) - 1
        label = " or ".join(names[: i + 1])
        order = tuple(range(i + 1))
        found.append((Output("reach", label, order), [bool(x & upto) for x in regions]))
    for m in range(2, count + 1):
        some = [x.bit_count() >= m for x in regions]
        found.append((Output("at least", f"{m} crowds", tuple(range(count))), some))
    return tuple(output for output, _ in found), Sums.of([cells for _, cells in found])


def rows(
    p: OverlapPlan, contract: Contract, party: str, datasets: dict[str, Dataset], read: Reader
) -> list[Part]:
    """Step 1 at a provider, at home."""
    return read_fields(contract, party, p.fields, datasets, read)


def compute(s: Session, people: Aligned, p: OverlapPlan) -> Ring:
    """Steps 3 to 5: counts of the regions [2**N - 1]."""
    code = stack([members(s, people, crowd, f"crowd{i}") for i, crowd in enumerate(p.crowds)])
    regions = one_hot(s, code, 1 << len(p.crowds), "regions")
    return count_rows(s, regions[1:], "count")


def most_bytes(p: OverlapPlan, people: int) -> int:
    """Bytes that a seat sends at most in the computation itself, for so many anonymous people."""
    ands = sum(map(crowd_cost.ands_of, p.crowds)) + (1 << len(p.crowds)) - 1
    return crowd_cost.most_bytes(ands, p.release.cells, people)
