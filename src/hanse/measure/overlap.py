"""Reach and overlap of crowds at N providers: how many people, in which of them, never who.

 1. plan     one bit a person and crowd, made at home
 2. align    the providers' rows into anonymous people                                     (room `align`)
 3. regions  which set of crowds each person is in: one of 2**N - 1 cells
 4. count    each region, in shares
 5. release  noise per region; reach, overlaps and k+ reach are sums of regions             (room `gate`)

Reveals: to recipients, the noised sums that reach the threshold; to seats, what `align` reveals. Assumes:
semi-honest seats, honest majority.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from itertools import combinations
from typing import Annotated, Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from hanse.align import Aligned, Layout, Part
from hanse.catalog.datasets import Dataset
from hanse.contracts import Contract, Use
from hanse.engine.boolean import one_hot
from hanse.engine.count import count_rows
from hanse.engine.session import Session
from hanse.engine.shares import Ring, join_planes
from hanse.gate.plan import ReleasePlan, Sums
from hanse.measure.crowds import CrowdField, Planner, Reader, read_crowds
from hanse.measure.intervals import Interval, count_interval
from hanse.measure.questions import Name, Question, Source

MOST_CROWDS = 6


class NamedCrowd(Source):
    """A crowd with a name: people of one dataset who meet the conditions often enough."""

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
class OverlapPlan:
    """Everything that follows from the question and the contract. Cell r - 1 is region r (a bit mask)."""

    question: OverlapQuestion
    fields: tuple[CrowdField, ...]  # in the question's order
    providers: tuple[str, ...]
    layouts: dict[str, Layout]
    capacities: dict[str, int]
    uses: tuple[Use, ...]
    release: ReleasePlan
    outputs: tuple[tuple[str, str], ...]  # (kind, label)

    def keep(self, mask: int) -> bool:
        """Everybody counts who is known to anybody."""
        return mask != 0


def plan(
    question: OverlapQuestion, contract: Contract, *, epsilon: float, noise: bool = True
) -> OverlapPlan:
    """The plan, or a `Refusal` that names what the contract does not have."""
    planner = Planner(contract)
    fields = tuple(
        planner.crowd(Source(dataset=c.dataset, where=c.where, at_least=c.at_least))
        for c in question.crowds
    )
    providers, layouts, capacities = planner.laid_out()
    outputs, sums = _outputs([c.name for c in question.crowds])
    release = ReleasePlan(sums, epsilon, contract.privacy.k, noise)
    return OverlapPlan(
        question, fields, providers, layouts, capacities, tuple(dict.fromkeys(planner.uses)),
        release, outputs,
    )  # fmt: skip


def _outputs(names: list[str]) -> tuple[tuple[tuple[str, str], ...], Sums]:
    """What is told, each a set of regions: regions, crowds, pairs, reach in order, at least m crowds."""
    count = len(names)
    regions = range(1, 1 << count)
    sets: list[tuple[str, str, list[bool]]] = []
    for r in regions:
        label = " + ".join(n for i, n in enumerate(names) if r >> i & 1)
        sets.append(("region", label, [x == r for x in regions]))
    for i, name in enumerate(names):
        sets.append(("crowd", name, [bool(x >> i & 1) for x in regions]))
    for i, j in combinations(range(count), 2):
        both = (1 << i) | (1 << j)
        sets.append(("both", f"{names[i]} and {names[j]}", [x & both == both for x in regions]))
    for i in range(count):
        first = (1 << (i + 1)) - 1
        sets.append(("reach", " or ".join(names[: i + 1]), [bool(x & first) for x in regions]))
    sets.extend(
        ("at least", f"{m} crowds", [x.bit_count() >= m for x in regions])
        for m in range(2, count + 1)
    )
    sums = Sums.of([members for _, _, members in sets])
    return tuple((kind, label) for kind, label, _ in sets), sums


def rows(
    p: OverlapPlan, contract: Contract, party: str, datasets: dict[str, Dataset], read: Reader
) -> list[Part]:
    """Step 1 at a provider."""
    period = p.question.starts, p.question.ends
    return read_crowds(contract, party, dict.fromkeys(p.fields), period, datasets, read)


def compute(s: Session, people: Aligned, p: OverlapPlan) -> Ring:
    """Steps 3 and 4: counts of the regions [2**N - 1]."""
    code = join_planes([people.field(f.provider, f.name) for f in p.fields])
    regions = one_hot(s, code, 1 << len(p.fields), "regions")
    return count_rows(s, regions[1:], "count")


@dataclass(frozen=True)
class OverlapRow:
    """One figure. ``share`` is of the universe; None where suppressed or without a universe."""

    kind: str
    crowd: str
    people: int | None
    low: float | None
    high: float | None
    share: float | None
    share_low: float | None
    share_high: float | None
    suppressed: str

    def body(self) -> dict[str, Any]:
        return dict(self.__dict__)


@dataclass(frozen=True)
class OverlapResult:
    """All figures, by kind: region, crowd, both, reach (in the question's order), at least."""

    rows: tuple[OverlapRow, ...]

    def body(self) -> dict[str, Any]:
        """Plain values for storage and the wire."""
        return {"computation": "overlap", "rows": [row.body() for row in self.rows]}

    def to_arrow(self) -> Any:
        """The rows as an Arrow table."""
        return pa.Table.from_pylist([row.body() for row in self.rows])

    def row(self, kind: str, crowd: str) -> OverlapRow:
        """One row. KeyError if there is none."""
        for row in self.rows:
            if (row.kind, row.crowd) == (kind, crowd):
                return row
        raise KeyError((kind, crowd))


def result(
    p: OverlapPlan, values: NDArray[np.int64], published: NDArray[np.bool_]
) -> OverlapResult:
    """The rows from the opened outputs."""
    out = []
    for i, (kind, label) in enumerate(p.outputs):
        if not published[i]:
            why = p.release.why_suppressed(i)
            out.append(OverlapRow(kind, label, *(None,) * 6, why))
            continue
        people = int(values[i])
        around = count_interval(people, p.release, i)
        out.append(
            OverlapRow(kind, label, people, around.low, around.high,
                       *_share(people, around, p.question.universe), "")
        )  # fmt: skip
    return OverlapResult(tuple(out))


def _share(
    people: int, around: Interval, universe: int | None
) -> tuple[float | None, float | None, float | None]:
    if universe is None:
        return None, None, None
    return tuple(min(1.0, max(0.0, x / universe)) for x in (people, around.low, around.high))  # type: ignore[return-value]
