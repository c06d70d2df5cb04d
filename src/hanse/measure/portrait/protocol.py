"""The portrait of a crowd: who its people are by the labels of others, against a base.

 1. plan     each provider's row: a bit per crowd, a code per label, a bit per value where several count
 2. align    the providers' rows into anonymous people                                     (room `align`)
 3. parts    crowd and base as disjoint parts: the crowd, the rest of the base (and what is in both, where
             the base does not hold the crowd); without a base, whoever has a label is that label's base
 4. values   one plane per value of each label; within each part, one AND a value
 5. count    each part and value, in shares; people without a value are what is left
 6. cross    pairs of labels within the crowd
 7. release  a block with its own noise per label and table; arms and totals are sums of cells (room `gate`)

Reveals: to recipients, the noised counts that reach the threshold; to seats, what `align` reveals. Assumes:
semi-honest seats, honest majority. A code lights one plane at most and a flag is one bit, so nobody moves more
than the block's sensitivity says, whatever a provider sends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from hanse.align import Aligned, Layout, Part
from hanse.catalog.datasets import Dataset
from hanse.contracts import Contract, Use
from hanse.engine.boolean import and_, any_plane, one_hot
from hanse.engine.count import count_rows
from hanse.engine.session import Session
from hanse.engine.shares import Bits, Ring, join_elements, join_planes, stack
from hanse.gate.plan import ReleasePlan
from hanse.measure.algebra import Expression
from hanse.measure.fields import CrowdField, LabelField, PersonField
from hanse.measure.people import Planner, members, planes, read_fields
from hanse.measure.portrait.question import Label, PortraitQuestion
from hanse.measure.portrait.release import KNOWN, Against, Arm, Figure, Sizes, parts_of, release_of
from hanse.measure.reading import Reader

TURN_WORDS = 1 << 21  # planes are counted in turns of about 16 MB a component

__all__ = ["Label", "LabelPlan", "PortraitPlan", "PortraitQuestion", "compute", "plan", "rows"]


@dataclass(frozen=True)
class LabelPlan:
    """A label: its name, its values' names, and its fields (a code, or a flag per value)."""

    name: str
    names: tuple[str, ...]
    code: LabelField | None
    flags: tuple[CrowdField, ...] = ()

    @property
    def several(self) -> bool:
        return self.code is None

    @property
    def sizes(self) -> Sizes:
        return Sizes(len(self.names), self.several)

    @property
    def provider(self) -> str:
        return self.code.provider if self.code is not None else self.flags[0].provider


@dataclass(frozen=True)
class PortraitPlan:
    """Everything that follows from the question and the contract; equal at every node."""

    question: PortraitQuestion
    crowd: Expression
    base: Expression | None
    against: Against
    labels: tuple[LabelPlan, ...]
    fields: tuple[PersonField, ...]
    providers: tuple[str, ...]
    layouts: dict[str, Layout]
    capacities: dict[str, int]
    uses: tuple[Use, ...]
    release: ReleasePlan
    figures: tuple[Figure, ...]  # what each output is

    def keep(self, mask: int) -> bool:
        """Whether people known to exactly these providers can be in any cell."""
        known = {p for i, p in enumerate(self.providers) if mask >> i & 1}
        if self.crowd.possible(known):
            return True
        if self.base is not None:
            return self.base.possible(known)
        return any(label.provider in known for label in self.labels)

    @property
    def crosses(self) -> tuple[tuple[int, int], ...]:
        """The numbers of each cross table's labels."""
        numbers = {label.name: number for number, label in enumerate(self.labels)}
        return tuple((numbers[a], numbers[b]) for a, b in self.question.cross)

    @cached_property
    def outputs(self) -> dict[tuple[int, Arm, int, int], int]:
        """Output of a figure's block, arm, value and row."""
        return {(f.block, f.arm, f.value, f.row): i for i, f in enumerate(self.figures)}

    def output(self, block: int, arm: Arm, value: int, row: int = KNOWN) -> int | None:
        """The number of an output; None if it is not told."""
        return self.outputs.get((block, arm, value, row))


# --- 1. plan ----------------------------------------------------------------------------------------


def plan(
    question: PortraitQuestion, contract: Contract, *, epsilon: float, noise: bool = True
) -> PortraitPlan:
    """The plan, or a `Refusal` that names what the contract does not have."""
    planner = Planner(contract, question.starts, question.ends)
    crowd = planner.expression(question.crowd)
    base = None if question.base is None else planner.expression(question.base)
    against: Against = (
        "known" if base is None else "around" if holds_all_of(base, crowd) else "apart"
    )
    labels = tuple(_label(planner, label) for label in question.labels)
    sizes = {label.name: label.sizes for label in labels}
    release, figures = release_of(
        question.block_names(), list(sizes.values()),
        [(sizes[a], sizes[b]) for a, b in question.cross], question.weights, against,
        epsilon=epsilon, k=contract.privacy.k, noise=noise,
    )  # fmt: skip
    providers, layouts, capacities = planner.laid_out()
    return PortraitPlan(
        question, crowd, base, against, labels, tuple(planner.fields), providers, layouts,
        capacities, planner.used(), release, figures,
    )  # fmt: skip


def _label(planner: Planner, label: Label) -> LabelPlan:
    if label.several:
        names, flags = planner.flags(label)
        return LabelPlan(label.name, names, None, flags)
    code = planner.label(label)
    return LabelPlan(label.name, code.names, code)


def holds_all_of(base: Expression, crowd: Expression) -> bool:
    """Whether everybody in ``crowd`` is in ``base`` by what the two say. Only figures hang on it, not privacy."""
    if base == crowd:
        return True
    if base.field is not None and crowd.field is not None:
        return _wider(base.field, crowd.field)
    every = crowd.kind == "least" and crowd.least == len(crowd.parts) > 0
    if every and any(holds_all_of(base, part) for part in crowd.parts):
        return True
    if crowd.kind == "least" and all(holds_all_of(base, part) for part in crowd.parts):
        return True
    if base.kind == "least" and base.least == 1:
        return any(holds_all_of(part, crowd) for part in base.parts)
    return base.kind == "least" and all(holds_all_of(part, crowd) for part in base.parts)


def _wider(base: CrowdField, crowd: CrowdField) -> bool:
    """Whether events that make somebody one of ``crowd`` also make them one of ``base``."""
    return (
        base.source.dataset == crowd.source.dataset
        and base.source.at_least <= crowd.source.at_least
        and base.source.qualified in (None, crowd.source.qualified)
        and set(base.source.where) <= set(crowd.source.where)
        and base.starts <= crowd.starts
        and base.ends >= crowd.ends
    )


def rows(
    p: PortraitPlan, contract: Contract, party: str, datasets: dict[str, Dataset], read: Reader
) -> list[Part]:
    """Step 1 at a provider, at home."""
    return read_fields(contract, party, p.fields, datasets, read)


# --- 3 to 6: on shares ------------------------------------------------------------------------------


def compute(s: Session, people: Aligned, p: PortraitPlan) -> Ring:
    """Counts of all cells [cells], block after block: the page's steps 3 to 6."""
    parts = _parts(s, people, p)
    sizes = count_rows(s, parts, "parts")
    first = {a for a, _ in p.crosses}
    second = {b for _, b in p.crosses}
    within: dict[int, Bits] = {}  # of labels that are crossed: values within the crowd
    values: dict[int, Bits] = {}
    found: list[Ring] = []
    for turn, numbers in enumerate(turns(p, parts.shape[-1])):
        planes_of_turn = []
        for number in numbers:
            step = f"label{number}"
            told = _values(s, people, p.labels[number], step)
            cells = _split(s, p, parts, told, step)
            planes_of_turn.append(cells.reshape(-1, cells.shape[-1]))
            if number in first:
                within[number] = cells[0] ^ cells[1] if p.against == "apart" else cells[0]
            if number in second:
                values[number] = told
        counts = count_rows(s, join_planes(planes_of_turn), f"count.{turn}")
        found += _labels(p, numbers, counts, sizes)
    for number, (a, b) in enumerate(p.crosses):
        found.append(_cross(s, within[a], values[b], f"cross{number}"))
    return join_elements(found)


def _parts(s: Session, people: Aligned, p: PortraitPlan) -> Bits:
    """Step 3: disjoint planes [parts, words]; the rest of a base that is "known" differs by label."""
    crowd = members(s, people, p.crowd, "crowd")
    if p.base is None:
        return crowd.reshape(1, -1)
    base = members(s, people, p.base, "base")
    both = and_(s, base, crowd, "both")
    if p.against == "apart":
        return stack([crowd ^ both, both, base ^ both])
    return stack([crowd, base ^ both])


def _values(s: Session, people: Aligned, label: LabelPlan, step: str) -> Bits:
    """Step 4: planes [values, words]; with several values, first a plane of who has any."""
    if label.code is not None:
        return one_hot(s, planes(people, label.code), len(label.names) + 1, step)[1:]
    flags = join_planes([planes(people, f) for f in label.flags])
    known = any_plane(s, flags, f"{step}.known")
    return join_planes([known.reshape(1, -1), flags])


def _split(s: Session, p: PortraitPlan, parts: Bits, told: Bits, step: str) -> Bits:
    """Step 4: planes [parts, values, words]."""
    count, words = told.shape
    cells = and_(s, parts.reshape(-1, 1, words), told.reshape(1, count, words), f"{step}.parts")
    if p.against != "known":
        return cells
    return stack([cells[0], told ^ cells[0]])


def _labels(p: PortraitPlan, numbers: Sequence[int], counts: Ring, sizes: Ring) -> Iterator[Ring]:
    """Step 5: the labels' cells, from the counts of their planes and of the parts."""
    start = 0
    for number in numbers:
        label = p.labels[number]
        width = label.sizes.cells(unknown=False)
        for part, unknown in enumerate(parts_of(p.against)):
            cells = counts[start : start + width]
            start += width
            if unknown:
                known = cells[0:1] if label.several else cells.sum().reshape(1)
                yield sizes[part : part + 1] - known
            yield cells


def _cross(s: Session, within: Bits, values: Bits, step: str) -> Ring:
    """Step 6: people with both values, row after row."""
    count, words = within.shape
    found = []
    size = max(1, TURN_WORDS // max(1, values.shape[0] * words))
    for start in range(0, count, size):
        some = within[start : start + size].reshape(-1, 1, words)
        cells = and_(s, some, values.reshape(1, -1, words), f"{step}.{start}.cells")
        found.append(count_rows(s, cells.reshape(-1, words), f"{step}.{start}.count"))
    return join_elements(found)


def turns(p: PortraitPlan, words: int) -> list[list[int]]:
    """Labels that are counted together, so that memory stays bounded and rounds few."""
    found: list[list[int]] = []
    room = 0
    for number, label in enumerate(p.labels):
        size = label.sizes.cells(unknown=False) * len(parts_of(p.against)) * words
        if not found or room + size > TURN_WORDS:
            found.append([])
            room = 0
        found[-1].append(number)
        room += size
    return found
