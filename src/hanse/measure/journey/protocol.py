"""The cross-scenario report of a campaign (P0): cognition, attraction, action, loyalty, in one job.

 1. parts    what was asked, as funnels: exposed offline -> online mall; exposed offline -> scan; exposed ->
             malls or stores -> paid -> bought again or joined a topic; the last one by channel too
 2. align    all providers' rows once                                                       (room `align`)
 3. chain    each funnel's furthest stages, once                                          (page `funnel`)
 4. split    for everybody and for each breakdown
 5. release  every (funnel, breakdown) is a block of disjoint cells with its share of epsilon  (room `gate`)

Reveals and assumes what the funnel does. One person is in at most one cell of each block, and the blocks' shares
of epsilon add up to the job's, so more breakdowns mean more noise in each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from typing import Annotated, Self

from pydantic import Field, model_validator

from hanse.align import Aligned, Layout, Part
from hanse.catalog.datasets import Dataset
from hanse.contracts import Contract, Use
from hanse.engine.count import count_rows
from hanse.engine.session import Session
from hanse.engine.shares import Ring, join_elements
from hanse.gate.plan import Block, ReleasePlan, Sums
from hanse.measure.funnel import cost as funnel_cost
from hanse.measure.funnel import protocol as funnel
from hanse.measure.funnel import rows as funnel_rows
from hanse.measure.funnel.protocol import FunnelPlan, LabelPlan, SourcePlan
from hanse.measure.questions import (
    MOST_SOURCES,
    FunnelQuestion,
    Name,
    Question,
    Segment,
    Source,
    Stage,
    capacities,
)
from hanse.measure.reading import Reader

MOST_BREAKDOWNS = 6
MOST_CHANNELS = 8
Sources = Annotated[tuple[Source, ...], Field(max_length=MOST_SOURCES)]
Days = Annotated[float, Field(gt=0, le=3660)]


class Channel(Question):
    """One way in which people were exposed: its exposures, under a name."""

    name: Name
    exposures: Annotated[tuple[Source, ...], Field(min_length=1, max_length=MOST_SOURCES)]


class JourneyQuestion(Question):
    """A campaign's stages by organisation; those that nobody has are left out.

    ``offline`` and ``online`` are exposures, ``online_mall``, ``stores`` (shopping malls and stores) and ``scans``
    what people are driven to, ``payments`` what they pay, ``repeats`` and ``topics`` whether they come back.
    Windows run from each stage to the next. ``compare_with`` names the people who could have been exposed;
    ``by`` are breakdowns (city, age, ...), ``channels`` parts of the exposures.
    """

    campaign: Name
    starts: date
    ends: date
    offline: Sources = ()
    online: Sources = ()
    online_mall: Sources = ()
    stores: Sources = ()
    scans: Sources = ()
    payments: Sources = ()
    repeats: Sources = ()
    topics: Sources = ()
    attraction_days: Days = 30
    action_days: Days = 30
    loyalty_days: Days = 60
    compare_with: Name | None = None
    by: Annotated[tuple[Segment, ...], Field(max_length=MOST_BREAKDOWNS)] = ()
    channels: Annotated[tuple[Channel, ...], Field(max_length=MOST_CHANNELS)] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.starts >= self.ends:
            raise ValueError("ends must be later than starts")
        if not self.offline and not self.online:
            raise ValueError("give exposures: offline, online or both")
        if not self.parts():
            raise ValueError(
                "give something that people are driven to: online_mall, stores or scans (for the first and "
                "the last, exposures offline)"
            )
        if (self.repeats or self.topics) and not self.payments:
            raise ValueError("repeats and topics follow payments; give those too")
        if len(self.offline) + len(self.online) > MOST_SOURCES:
            raise ValueError(f"offline and online together have more than {MOST_SOURCES} sources")
        if len({c.name for c in self.channels}) < len(self.channels):
            raise ValueError("two channels have the same name")
        return self

    def parts(self) -> tuple[Leg, ...]:
        """The funnels of the report, in order."""
        found = []
        if self.offline and self.online_mall:
            stages = self._stage("online mall", self.online_mall, self.attraction_days)
            found.append(Leg("exposed offline to the online mall", "", (self._offline(), stages)))
        if self.offline and self.scans:
            stages = self._stage("scanned", self.scans, self.attraction_days)
            found.append(Leg("exposed offline to a scan", "", (self._offline(), stages)))
        if self.stores:
            exposed = Stage(name="exposed", any_of=(*self.offline, *self.online))
            found.append(Leg(self._way(), "", (exposed, *self._to_loyalty())))
            found += [
                Leg(self._way(), c.name, (Stage(name="exposed", any_of=c.exposures), *self._to_loyalty()))
                for c in self.channels
            ]  # fmt: skip
        return tuple(found)

    def _offline(self) -> Stage:
        return Stage(name="exposed offline", any_of=self.offline)

    def _to_loyalty(self) -> Iterator[Stage]:
        yield self._stage("malls and stores", self.stores, self.attraction_days)
        if self.payments:
            yield self._stage("paid", self.payments, self.action_days)
        if self.repeats or self.topics:
            loyal = (*self.repeats, *self.topics)
            yield self._stage("bought again or joined", loyal, self.loyalty_days)

    def _way(self) -> str:
        ends = (
            "loyalty"
            if self.repeats or self.topics
            else "payment"
            if self.payments
            else "malls and stores"
        )
        return f"exposed to {ends}"

    def _stage(self, name: str, sources: tuple[Source, ...], days: float) -> Stage:
        return Stage(name=name, any_of=sources, within_days=days)


@dataclass(frozen=True)
class Leg:
    """One funnel of the report; ``channel`` is "" for all exposures."""

    title: str
    channel: str
    stages: tuple[Stage, ...]


@dataclass(frozen=True)
class Piece:
    """One block of the release: a leg, for everybody ("") or by a segment's column."""

    leg: Leg
    breakdown: str
    plan: FunnelPlan


@dataclass(frozen=True)
class JourneyPlan:
    """All funnels over one set of rows: their sources, labels and base are fields that they share."""

    question: JourneyQuestion
    pieces: tuple[Piece, ...]
    providers: tuple[str, ...]
    layouts: dict[str, Layout]
    capacities: dict[str, int]
    uses: tuple[Use, ...]
    release: ReleasePlan

    def keep(self, mask: int) -> bool:
        """Whether people known to exactly these providers can be in any cell of any funnel."""
        return any(piece.plan.keep(mask) for piece in self.pieces)

    def starts(self) -> list[int]:
        """The first output of each piece."""
        sizes = [piece.plan.release.outputs for piece in self.pieces]
        return [sum(sizes[:i]) for i in range(len(sizes))]


def plan(
    question: JourneyQuestion, contract: Contract, *, epsilon: float, noise: bool = True
) -> JourneyPlan:
    """The plan, or a `Refusal` that names what the contract does not have."""
    wanted: list[tuple[Leg, Segment | None]] = []
    for leg in question.parts():
        breakdowns = () if leg.channel else question.by
        wanted += [(leg, None), *((leg, by) for by in breakdowns)]
    share = 1 / len(wanted)
    drafts = [
        Piece(
            leg,
            "" if by is None else by.column,
            funnel.plan(_funnel(question, leg, by), contract, epsilon=epsilon * share, noise=noise),
        )
        for leg, by in wanted
    ]
    uses = tuple(dict.fromkeys(use for piece in drafts for use in piece.plan.uses))
    pieces, layouts = _shared(drafts)
    release = ReleasePlan(
        Sums.stacked([piece.plan.release.sums for piece in pieces]),
        epsilon,
        contract.privacy.k,
        noise,
        tuple(Block(piece.plan.release.cells, share) for piece in pieces),
    )
    providers = tuple(layouts)
    room = capacities(contract, providers, uses)
    pieces = tuple(
        replace(p, plan=replace(p.plan, providers=providers, layouts=layouts, capacities=room))
        for p in pieces
    )
    return JourneyPlan(question, pieces, providers, layouts, room, uses, release)


def _funnel(question: JourneyQuestion, leg: Leg, by: Segment | None) -> FunnelQuestion:
    return FunnelQuestion(
        stages=leg.stages,
        starts=question.starts,
        ends=question.ends,
        by=by,
        compare_with=question.compare_with,
    )


def _shared(drafts: list[Piece]) -> tuple[tuple[Piece, ...], dict[str, Layout]]:
    """The pieces with their sources and labels renamed to fields that equal ones share; the layouts."""
    bits = max(piece.plan.time_bits for piece in drafts)
    sources: dict[tuple[object, ...], SourcePlan] = {}
    labels: dict[tuple[object, ...], LabelPlan] = {}
    sizes: dict[str, dict[str, int]] = {}

    def source(x: SourcePlan) -> SourcePlan:
        key = (x.provider, x.source, x.slots)
        known = sources.setdefault(key, replace(x, field=f"e{len(sources)}"))
        fields = sizes.setdefault(x.provider, {})
        fields[f"{known.field}.on"] = x.slots
        fields.update({f"{known.field}.t{k}": bits for k in range(x.slots)})
        return replace(x, field=known.field)

    def label(x: LabelPlan | None) -> LabelPlan | None:
        if x is None:
            return None
        key = (x.provider, x.dataset, x.column, x.names, tuple(sorted(x.codes.items())))
        known = labels.setdefault(key, replace(x, field=f"label{len(labels)}"))
        sizes.setdefault(x.provider, {})[known.field] = x.bits
        return known

    pieces = []
    for piece in drafts:
        p = piece.plan
        renamed = replace(
            p, sources=tuple(source(x) for x in p.sources), label=label(p.label), time_bits=bits
        )
        if p.base is not None:
            sizes.setdefault(p.base[0], {})["base"] = 1
        pieces.append(replace(piece, plan=renamed))
    layouts = {p: Layout.pack(list(fields.items())) for p, fields in sorted(sizes.items())}
    return tuple(pieces), layouts


def rows(
    p: JourneyPlan, contract: Contract, party: str, datasets: dict[str, Dataset], read: Reader
) -> list[Part]:
    """At a provider: every shared field once."""
    first = p.pieces[0].plan
    sources = {x.name: x for piece in p.pieces for x in piece.plan.sources}
    labels = {x.field: x for x in (piece.plan.label for piece in p.pieces) if x is not None}
    every = replace(first, sources=tuple(sources.values()), label=None)
    parts = funnel_rows.rows(every, contract, party, datasets, read)
    for label in labels.values():
        alone = replace(first, sources=(), base=None, label=label)
        parts += funnel_rows.rows(alone, contract, party, datasets, read)
    return parts


def compute(s: Session, people: Aligned, p: JourneyPlan) -> Ring:
    """Counts of all cells, piece after piece; a leg's chain is walked once for all its breakdowns."""
    counts = []
    for number, piece in enumerate(p.pieces):
        part = s.fork(f"piece{number}")
        if not piece.breakdown:
            cells = funnel.furthest(part, people, piece.plan)
        counts.append(count_rows(part, funnel.split(part, people, piece.plan, cells), "count"))
    return join_elements(counts)


def most_bytes(p: JourneyPlan, people: int) -> int:
    """Bytes that a seat sends at most in the computation itself, for so many anonymous people."""
    return sum(
        funnel_cost.most_bytes(piece.plan, people, walked=bool(piece.breakdown))
        for piece in p.pieces
    )
