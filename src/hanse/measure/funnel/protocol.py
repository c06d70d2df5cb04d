"""The cross-scenario funnel: people per stage, each stage at any organisation, nobody's path opened.

 1. plan     each provider's row: per source K event slots (times, valid bits); one label code; one base bit
 2. align    the providers' rows into anonymous people                                     (room `align`)
 3. chain    slot j of stage s is reached if some reached slot i of stage s-1 has t_i <= t_j <= t_i + window
 4. arms     exposed: the chain from stage 1. Not exposed: base and not stage 1, the chain from stage 2
 5. cells    furthest stage x segment x arm: every person is in at most one cell
 6. count    each cell, in shares
 7. release  noise per cell; stage counts are sums of cells; threshold; output locks           (room `gate`)

Reveals: to recipients, the noised stage counts per arm and segment that reach the threshold; to seats, what
`align` reveals. Assumes: semi-honest seats, honest majority. Two sources of different datasets may meet at the
same moment (t_i <= t_j); events of one dataset must differ (t_i < t_j), so a purchase is not its own repeat.
Source: released as disjoint cells after Dwork et al. 2006; chains as in sequential attribution windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from hanse.align.join import Aligned
from hanse.align.layout import Layout
from hanse.contracts import Contract, Use
from hanse.engine.boolean import and_, any_plane, one_hot
from hanse.engine.compare import add_public, less_than_bits
from hanse.engine.count import count_rows
from hanse.engine.session import Session
from hanse.engine.shares import Bits, Ring, join_planes, stack
from hanse.errors import Refusal
from hanse.gate.plan import ReleasePlan, Sums
from hanse.measure.questions import (
    UNIT_SECONDS,
    FunnelQuestion,
    Segment,
    Source,
    capacities,
    condition_uses,
    dataset_of,
    event_time,
    segment_codes,
    segments_of,
    spelled_out,
)

UNKNOWN = "unknown"
MOST_CELLS = 4096


@dataclass(frozen=True)
class SourcePlan:
    """One source of one stage: where its slots are in the provider's row."""

    stage: int
    number: int
    provider: str
    source: Source
    slots: int
    time: str  # the contract's time column; "" if the dataset has none (unordered funnels only)
    field: str = ""  # its name in the row, where several funnels share one

    @property
    def name(self) -> str:
        return self.field or f"s{self.stage}.{self.number}"


@dataclass(frozen=True)
class LabelPlan:
    """The segment: code 0 is unknown, code v + 1 is ``names[v]``."""

    provider: str
    dataset: str
    column: str
    names: tuple[str, ...]
    codes: dict[str, int]  # value in the data -> code
    field: str = "label"

    @property
    def bits(self) -> int:
        return len(self.names).bit_length()


@dataclass(frozen=True)
class FunnelPlan:
    """Everything that follows from the question and the contract; equal at every node."""

    question: FunnelQuestion
    providers: tuple[str, ...]
    sources: tuple[SourcePlan, ...]
    label: LabelPlan | None
    base: tuple[str, str] | None  # provider, dataset
    layouts: dict[str, Layout]
    capacities: dict[str, int]
    time_bits: int
    uses: tuple[Use, ...]
    release: ReleasePlan
    # What each output is: (arm, segment, stage)
    outputs: tuple[tuple[str, str, str], ...]

    @property
    def origin(self) -> datetime:
        """Time zero of event times."""
        return datetime.combine(self.question.starts, datetime.min.time(), UTC)

    @property
    def unit_seconds(self) -> int:
        return UNIT_SECONDS[self.question.time_unit]

    @property
    def span(self) -> int:
        """Length of the period in time units; events beyond the slots are dropped evenly over it."""
        return (self.question.ends - self.question.starts).days * 86400 // self.unit_seconds

    def window(self, stage: int) -> int | None:
        """The stage's window in time units."""
        days = self.question.stages[stage].within_days
        return None if days is None else max(1, round(days * 86400 / self.unit_seconds))

    def keep(self, mask: int) -> bool:
        """Whether people known to exactly these providers can be in any cell."""
        first = {s.provider for s in self.sources if s.stage == 0}
        if self.base is not None:
            first.add(self.base[0])
        return any(mask >> i & 1 and p in first for i, p in enumerate(self.providers))


# --- 1. plan --------------------------------------------------------------------------------------


def plan(
    question: FunnelQuestion, contract: Contract, *, epsilon: float, noise: bool = True
) -> FunnelPlan:
    """The plan, or a `Refusal` that names what the contract does not have."""
    uses: list[Use] = []
    sources = []
    for number, stage in enumerate(question.stages):
        for index, asked in enumerate(stage.any_of):
            source = spelled_out(contract, asked)
            dataset = dataset_of(contract, source.dataset)
            uses.append(Use(dataset=dataset.name, purpose="membership"))
            uses += condition_uses(contract, source)
            column = event_time(contract, source, ordered=question.ordered, uses=uses)
            if source.at_least > dataset.slots:
                raise Refusal(
                    "question.slots",
                    f"stage {stage.name!r} asks for {source.at_least} events, but {dataset.name!r} "
                    f"keeps {dataset.slots} per person",
                    remedy=f"ask for at most {dataset.slots}, or agree on more slots in the contract",
                )
            sources.append(
                SourcePlan(number, index, dataset.provider, source, dataset.slots, column)
            )
    label = _label(question.by, contract, uses) if question.by else None
    base = None
    if question.compare_with is not None:
        owner = dataset_of(contract, question.compare_with)
        uses.append(Use(dataset=owner.name, purpose="membership"))
        base = owner.provider, owner.name
    return _laid_out(question, contract, sources, label, base, uses, epsilon, noise)


def _label(by: Segment, contract: Contract, uses: list[Use]) -> LabelPlan:
    groups = segments_of(contract, by, uses)
    provider = dataset_of(contract, by.dataset).provider
    return LabelPlan(provider, by.dataset, by.column, tuple(groups), segment_codes(groups))


def _laid_out(
    question: FunnelQuestion, contract: Contract, sources: list[SourcePlan], label: LabelPlan | None,
    base: tuple[str, str] | None, uses: list[Use], epsilon: float, noise: bool,
) -> FunnelPlan:  # fmt: skip
    providers = {s.provider for s in sources}
    providers |= {label.provider} if label else set()
    providers |= {base[0]} if base else set()
    span = (question.ends - question.starts).days * 86400 // UNIT_SECONDS[question.time_unit]
    longest = max((stage.within_days or 0 for stage in question.stages), default=0)
    reach = span + round(longest * 86400 / UNIT_SECONDS[question.time_unit])
    bits = max(1, reach.bit_length())
    if bits > 32:
        raise Refusal("question.span", "the campaign is too long for its time unit",
                      remedy="choose a coarser time_unit or nearer dates")  # fmt: skip
    layouts = {}
    for provider in sorted(providers):
        sizes: list[tuple[str, int]] = []
        for s in sources:
            if s.provider == provider:
                sizes.append((f"{s.name}.on", s.slots))
                if question.ordered:
                    sizes += [(f"{s.name}.t{k}", bits) for k in range(s.slots)]
        if label and label.provider == provider:
            sizes.append((label.field, label.bits))
        if base and base[0] == provider:
            sizes.append(("base", 1))
        layouts[provider] = Layout.pack(sizes)
    outputs, sums = _outputs(question, label, base is not None)
    if sums.cells > MOST_CELLS:
        raise Refusal("question.cells", f"{sums.cells} cells are more than {MOST_CELLS}",
                      remedy="merge segments or drop stages")  # fmt: skip
    return FunnelPlan(
        question, tuple(sorted(providers)), tuple(sources), label, base, layouts,
        capacities(contract, layouts, uses), bits,
        tuple(dict.fromkeys(uses)), ReleasePlan(sums, epsilon, contract.privacy.k, noise), outputs,
    )  # fmt: skip


def segment_names(label: LabelPlan | None) -> tuple[str, ...]:
    """Segments in cell order; people without a label last in reports, first in cells."""
    return (UNKNOWN, *label.names) if label else ("all",)


def _outputs(
    question: FunnelQuestion, label: LabelPlan | None, compared: bool
) -> tuple[tuple[tuple[str, str, str], ...], Sums]:
    """Outputs and the cells of each: stage counts are sums over further stages.

    Cells are numbered arm-major, then segment, then furthest stage.
    """
    stages = len(question.stages)
    segments = segment_names(label)
    arms = ("exposed", "not exposed") if compared else ("all",)
    cells = len(arms) * len(segments) * stages
    names, rows = [], []
    for a, arm in enumerate(arms):
        groups: list[tuple[str, Sequence[int]]] = [("all", range(len(segments)))]
        if label:
            order = [*range(1, len(segments)), 0]
            groups += [(segments[i], [i]) for i in order]
        for segment, members in groups:
            for stage in range(stages):
                starts = [(a * len(segments) + m) * stages for m in members]
                rows.append([cell for x in starts for cell in range(x + stage, x + stages)])
                first = a == 1 and stage == 0
                names.append(
                    (arm, segment, "not exposed" if first else question.stages[stage].name)
                )
    return tuple(names), Sums.lists(rows, cells)


# --- 3 to 6: on shares ----------------------------------------------------------------------------


def compute(s: Session, people: Aligned, p: FunnelPlan) -> Ring:
    """Counts of the cells [cells]: the page's steps 3 to 6."""
    return count_rows(s, split(s, people, p, furthest(s, people, p)), "count")


def furthest(s: Session, people: Aligned, p: FunnelPlan) -> Bits:
    """Steps 3 and 4: planes [arms * stages, words], 1 where that stage is the furthest one reached."""
    chain = _Chain(s, people, p)
    reached = chain.run(None)
    arms = [reached]
    if p.base is not None:
        base = people.field(p.base[0], "base")[0]
        unexposed = and_(s, base, s.invert(reached[0]), "unexposed")
        arms.append([unexposed, *chain.run(unexposed)])
    return join_planes([_furthest(stages) for stages in arms])


def split(s: Session, people: Aligned, p: FunnelPlan, cells: Bits) -> Bits:
    """Step 5: `furthest`'s planes by segment: planes [arms * segments * stages, words]."""
    if p.label is None:
        return cells
    code = people.field(p.label.provider, p.label.field)
    hot = one_hot(s, code, len(p.label.names) + 1, "segment")
    by_arm = cells.reshape(-1, 1, len(p.question.stages), cells.shape[-1])
    parts = and_(s, by_arm, hot.reshape(1, hot.shape[0], 1, -1), "cells")
    return parts.reshape(-1, cells.shape[-1])


def _furthest(reached: list[Bits]) -> Bits:
    """Plane s is 1 where stage s is the furthest one reached (stages nest, so XOR is a difference)."""
    later = reached[1:]
    return stack([r ^ after for r, after in zip(reached, later, strict=False)] + [reached[-1]])


class _Chain:
    """The slots of all sources as planes, and the walk along the stages."""

    def __init__(self, s: Session, people: Aligned, p: FunnelPlan) -> None:
        self.s, self.p = s, p
        self.on = {x.name: people.field(x.provider, f"{x.name}.on") for x in p.sources}
        self.times = {
            x.name: stack([people.field(x.provider, f"{x.name}.t{k}") for k in range(x.slots)])
            for x in p.sources
            if p.question.ordered
        }

    def sources(self, stage: int) -> list[SourcePlan]:
        return [x for x in self.p.sources if x.stage == stage]

    def run(self, entry: Bits | None) -> list[Bits]:
        """One plane per stage: from stage 1 on, or, with ``entry``, from stage 2 for those people."""
        first = 0 if entry is None else 1
        tag = "exposed" if entry is None else "others"
        before: list[tuple[SourcePlan, Bits]] = []
        reached: list[Bits] = []
        person = entry
        for stage in range(first, len(self.p.question.stages)):
            step = f"{tag}.{stage}"
            if self.p.question.ordered:
                before = [
                    (x, self._slots(x, before, person, stage, f"{step}.{x.number}"))
                    for x in self.sources(stage)
                ]
                planes = join_planes([slots for _, slots in before])
                person = None
            else:
                planes = join_planes([self._occurred(x) for x in self.sources(stage)])
            now = any_plane(self.s, planes, f"{step}.any")
            if not self.p.question.ordered and person is not None:
                now = and_(self.s, person, now, f"{step}.and")
            if not self.p.question.ordered:
                person = now
            reached.append(now)
        return reached

    def _occurred(self, x: SourcePlan) -> Bits:
        """Slot at_least - 1 is filled exactly if there are that many events (slots fill in order)."""
        return self.on[x.name][x.source.at_least - 1 : x.source.at_least]

    def _slots(
        self,
        x: SourcePlan,
        before: list[tuple[SourcePlan, Bits]],
        person: Bits | None,
        stage: int,
        step: str,
    ) -> Bits:
        """Planes [slots]: slot j completes the stage. With ``at_least`` m it is the m-th of m events in a
        row that all come after (and the last within the window of) the previous stage's event.
        """
        skip = x.source.at_least - 1
        on = self.on[x.name][skip:]
        if not before:
            return on if person is None else and_(self.s, on, person, f"{step}.enter")
        found = [
            self._after(x, skip, y, reached, stage, f"{step}.{y.number}") for y, reached in before
        ]
        planes = found[0]
        for number, more in enumerate(found[1:]):
            planes = planes ^ more ^ and_(self.s, planes, more, f"{step}.or{number}")
        return and_(self.s, on, planes, f"{step}.on")

    def _after(
        self, x: SourcePlan, skip: int, y: SourcePlan, reached: Bits, stage: int, step: str
    ) -> Bits:
        """Planes [slots of x - skip]: some reached slot i of y comes before slot j, within the window."""
        s = self.s
        t_x, t_y = self.times[x.name], self.times[y.name][-reached.shape[0] :]
        slots, earlier = t_x.shape[0] - skip, t_y.shape[0]
        first, last, start = (
            _pairs(t_x[:slots], earlier, repeat_each=True),
            _pairs(t_x[skip:], earlier, repeat_each=True),
            _pairs(t_y, slots, repeat_each=False),
        )
        if x.source.dataset == y.source.dataset:
            late = less_than_bits(s, start, first, f"{step}.after")
        else:
            late = s.invert(less_than_bits(s, first, start, f"{step}.after"))
        window = self.p.window(stage)
        if window is not None:
            limit = _pairs(_shifted(s, t_y, window, f"{step}.limit"), slots, repeat_each=False)
            over = less_than_bits(s, limit, last, f"{step}.window")
            late = and_(s, late, s.invert(over), f"{step}.both")
        gates = _tiled(reached, slots)
        hits = and_(s, late, gates, f"{step}.from")  # [slots * earlier, words]
        by_slot = hits.reshape(slots, earlier, -1)
        turned = Bits(
            np.ascontiguousarray(by_slot.left.swapaxes(0, 1)),
            np.ascontiguousarray(by_slot.right.swapaxes(0, 1)),
            hits.rows,
        )
        return any_plane(s, turned, f"{step}.some")


def _shifted(s: Session, times: Bits, window: int, step: str) -> Bits:
    """times + window, planes [slots, bits, words]."""
    turned = Bits(times.left.swapaxes(0, 1), times.right.swapaxes(0, 1), times.rows)
    total = add_public(s, turned, window, step)
    return Bits(total.left.swapaxes(0, 1), total.right.swapaxes(0, 1), times.rows)


def _pairs(times: Bits, count: int, *, repeat_each: bool) -> Bits:
    """Times [slots, bits, words] as planes [bits, slots * count, words] for all pairs."""

    def arranged(side: NDArray[np.uint64]) -> NDArray[np.uint64]:
        turned = side.swapaxes(0, 1)
        if repeat_each:
            return np.repeat(turned, count, axis=1)
        return np.tile(turned, (1, count, 1))

    return Bits(arranged(times.left), arranged(times.right), times.rows)


def _tiled(planes: Bits, count: int) -> Bits:
    return Bits(np.tile(planes.left, (count, 1)), np.tile(planes.right, (count, 1)), planes.rows)
