"""The plan of an attribution question: channels, slots, windows, public tables of credit, blocks and guards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np

from hanse.align import Layout
from hanse.contracts import Contract, Library, Use
from hanse.errors import Refusal
from hanse.gate.plan import Block, ReleasePlan, Sums
from hanse.measure.attribution.channels import Names, credited
from hanse.measure.attribution.question import USUAL_SLOTS, AttributionQuestion, Conversions, Touch
from hanse.measure.questions import (
    UNIT_SECONDS,
    capacities,
    column_of,
    condition_uses,
    conditions_of,
    dataset_of,
    time_column,
)

MOST_TOUCHES = 64  # slots of all sources together
MOST_CHANNELS = 128
MOST_VALUE_BITS = 24
WHOLE = 256  # a conversion that several touches share is credited in 1/256
FRACTION_BITS = 8
TOP_WEIGHT = 63  # of a touch at the moment of the conversion, where weights fall with age
MOST_BUCKETS = 64  # of age
UNATTRIBUTED, ROUNDING, TOTAL = "unattributed", "rounding", "total"
Kind = Literal["people", "conversions", "value"]
# Of epsilon: people, conversions, value. People get as much as credit does: their noise makes the threshold.
_SHARES = {False: (0.5, 0.5), True: (0.35, 0.3, 0.35)}


@dataclass(frozen=True)
class TouchPlan:
    """One source of touches. ``codes[1 + place in values]`` is 1 + place in ``channels``, 0 for no touch."""

    number: int
    provider: str
    source: Touch
    slots: int
    time: str
    values: tuple[str, ...]  # the public list of the credited column; none where the name is fixed
    codes: tuple[int, ...]
    channels: tuple[int, ...]  # what it can credit, as numbers of the plan's channels
    strict: bool  # of the conversions' own dataset: a touch must be before the conversion

    @property
    def field(self) -> str:
        return f"touch{self.number}"

    @property
    def code_bits(self) -> int:
        """Width of a touch's code; 0 where the name is fixed."""
        return len(self.channels).bit_length() if self.values else 0


@dataclass(frozen=True)
class ConversionPlan:
    """The conversions; ``value_bits`` is 0 without a value."""

    provider: str
    source: Conversions
    slots: int
    time: str
    value_bits: int

    @property
    def most(self) -> int:
        """The most that one person's conversions together can be worth, in units."""
        return (1 << self.value_bits) - 1


@dataclass(frozen=True)
class Output:
    """What an output is: a figure of a channel, or of one of the rows below the channels."""

    kind: Kind
    row: str


@dataclass(frozen=True)
class AttributionPlan:
    """Everything that follows from the question and the contract; equal at every node."""

    question: AttributionQuestion
    touches: tuple[TouchPlan, ...]
    conversions: ConversionPlan
    channels: tuple[str, ...]
    left_out: int  # sensitive places that were not asked about
    providers: tuple[str, ...]
    layouts: dict[str, Layout]
    capacities: dict[str, int]
    uses: tuple[Use, ...]
    release: ReleasePlan
    outputs: tuple[Output, ...]

    @property
    def unit_seconds(self) -> int:
        return UNIT_SECONDS[self.question.time_unit]

    @property
    def window(self) -> int:
        """The window in time units."""
        return window_of(self.question)

    @property
    def span(self) -> int:
        """All times are below this."""
        return span_of(self.question)

    @property
    def time_bits(self) -> int:
        return self.span.bit_length()

    @property
    def starts(self) -> datetime:
        """From when on conversions count."""
        return datetime.combine(self.question.starts, datetime.min.time(), UTC)

    @property
    def origin(self) -> datetime:
        """Time zero, from which on touches may count."""
        return self.starts - timedelta(seconds=self.window * self.unit_seconds)

    @property
    def slots(self) -> int:
        """Touches of a person."""
        return sum(t.slots for t in self.touches)

    @property
    def whole(self) -> int:
        """The unit of credit: one conversion is so many."""
        return 1 if self.question.model in ("last", "first") else WHOLE

    def slots_of(self, dataset: str) -> int:
        """How many events of the dataset are kept of a person, where the fewest are."""
        found = [t.slots for t in self.touches if t.source.dataset == dataset]
        if self.conversions.source.dataset == dataset:
            found.append(self.conversions.slots)
        return min(found)

    def keep(self, mask: int) -> bool:
        """Whether people known to exactly these providers can have converted."""
        return bool(mask >> self.providers.index(self.conversions.provider) & 1)

    def age_shift(self) -> int:
        """Ages are told in steps of 2**shift time units: about a quarter of the half-life."""
        shift = max(0, int(self._half_life / 4).bit_length() - 1)
        while (self.window >> shift) + 1 > MOST_BUCKETS:
            shift += 1
        return shift

    def weights(self) -> tuple[int, ...]:
        """Weight of a touch by its age in steps: halved with every half-life, never below 1."""
        shift = self.age_shift()
        return tuple(
            max(1, round(TOP_WEIGHT * 2.0 ** (-(step << shift) / self._half_life)))
            for step in range((self.window >> shift) + 1)
        )

    @property
    def _half_life(self) -> float:
        return self.question.half_life_days * 86400 / self.unit_seconds


def window_of(question: AttributionQuestion) -> int:
    """The window in time units, at least one."""
    return max(1, round(question.window_days * 86400 / UNIT_SECONDS[question.time_unit]))


def span_of(question: AttributionQuestion) -> int:
    """Time units from the earliest touch to the end."""
    days = (question.ends - question.starts).days
    return window_of(question) + days * 86400 // UNIT_SECONDS[question.time_unit]


def plan(
    question: AttributionQuestion, contract: Contract, library: Library, *, epsilon: float,
    noise: bool = True,
) -> AttributionPlan:  # fmt: skip
    """The plan, or a `Refusal` that names what the contract does not have."""
    uses: list[Use] = []
    channels: list[str] = []
    left_out = 0
    touches = []
    for number, touch in enumerate(question.touches):
        found, hidden = _touch(touch, number, question, contract, library, channels, uses)
        touches.append(found)
        left_out += hidden
    conversions = _conversions(question.conversions, contract, uses)
    _check_sizes(question, touches, channels)
    bits = span_of(question).bit_length()
    sizes: dict[str, list[tuple[str, int]]] = {conversions.provider: []}
    for t in touches:
        fields = sizes.setdefault(t.provider, [])
        fields.append((f"{t.field}.on", t.slots))
        for k in range(t.slots):
            fields.append((f"{t.field}.t{k}", bits))
            if t.code_bits:
                fields.append((f"{t.field}.c{k}", t.code_bits))
    fields = sizes[conversions.provider]
    fields.append(("converted.on", conversions.slots))
    for k in range(conversions.slots):
        fields.append((f"converted.t{k}", bits))
        if conversions.value_bits:
            fields.append((f"converted.v{k}", conversions.value_bits))
    layouts = {p: Layout.pack(s) for p, s in sorted(sizes.items())}
    release, outputs = _release(
        question, touches, conversions, channels, epsilon=epsilon, k=contract.privacy.k, noise=noise
    )
    return AttributionPlan(
        question, tuple(touches), conversions, tuple(channels), left_out, tuple(layouts), layouts,
        capacities(contract, layouts, uses), tuple(dict.fromkeys(uses)), release, outputs,
    )  # fmt: skip


def _touch(
    touch: Touch, number: int, question: AttributionQuestion, contract: Contract, library: Library,
    channels: list[str], uses: list[Use],
) -> tuple[TouchPlan, int]:  # fmt: skip
    """A source of touches (new channels are added to ``channels``), and how many sensitive places it leaves out."""
    dataset = dataset_of(contract, touch.dataset)
    uses.append(Use(dataset=dataset.name, purpose="membership"))
    uses += condition_uses(contract, touch)
    # Plans hold qualifications as conditions, so rows and twin need not know of them.
    spelled = {"where": conditions_of(contract, touch), "qualified": None}
    touch = touch.model_copy(update=spelled)
    time = time_column(contract, dataset.name).name
    uses.append(Use(dataset=dataset.name, column=time, purpose="order"))
    left_out = 0
    if touch.credit is None:
        values: tuple[str, ...] = ()
        names: Names = {touch.name or "": ()}
    else:
        values, names, left_out = credited(touch, contract, library, uses)
    own = tuple(names)
    for name in own:
        if name not in channels:
            channels.append(name)
    place = {value: 1 + own.index(name) for name, members in names.items() for value in members}
    plan = TouchPlan(
        number, dataset.provider, touch, touch.slots or min(dataset.slots, USUAL_SLOTS), time, values,
        (0, *(place.get(value, 0) for value in values)), tuple(channels.index(name) for name in own),
        touch.dataset == question.conversions.dataset,
    )  # fmt: skip
    _check_slots(touch.dataset, plan.slots, dataset.slots)
    return plan, left_out


def _conversions(conversions: Conversions, contract: Contract, uses: list[Use]) -> ConversionPlan:
    dataset = dataset_of(contract, conversions.dataset)
    uses.append(Use(dataset=dataset.name, purpose="membership"))
    uses += condition_uses(contract, conversions)
    spelled = {"where": conditions_of(contract, conversions), "qualified": None}
    conversions = conversions.model_copy(update=spelled)
    time = time_column(contract, dataset.name).name
    uses.append(Use(dataset=dataset.name, column=time, purpose="order"))
    bits = 0
    if conversions.value is not None:
        column = column_of(contract, dataset.name, conversions.value)
        where = f"dataset {dataset.name}, column {column.name}"
        if column.maximum is None:
            raise Refusal("contract.purpose", f"column {column.name!r} is a {column.kind}, which has no value",
                          remedy="take an integer or amount column", where=where)  # fmt: skip
        uses.append(Use(dataset=dataset.name, column=column.name, purpose="value"))
        most = conversions.value_maximum or -(-column.maximum // conversions.value_unit)
        bits = most.bit_length()
        if bits > MOST_VALUE_BITS:
            raise Refusal("question.value", f"a person may be worth {most:,} units: their noise would hide all",
                          remedy="count in a larger value_unit, or give a lower value_maximum",
                          where=where)  # fmt: skip
    slots = conversions.slots or min(dataset.slots, USUAL_SLOTS)
    _check_slots(dataset.name, slots, dataset.slots)
    return ConversionPlan(dataset.provider, conversions, slots, time, bits)


def _check_slots(dataset: str, wanted: int, have: int) -> None:
    if wanted > have:
        raise Refusal("question.slots", f"{wanted} events of {dataset!r} are asked for, the contract keeps {have}",
                      remedy=f"ask for at most {have}, or agree on more slots",
                      where=f"dataset {dataset}")  # fmt: skip


def _check_sizes(
    question: AttributionQuestion, touches: Sequence[TouchPlan], channels: Sequence[str]
) -> None:
    if sum(t.slots for t in touches) > MOST_TOUCHES:
        raise Refusal("question.slots", f"all sources together keep more than {MOST_TOUCHES} touches of a person",
                      remedy="give fewer slots or sources")  # fmt: skip
    if len(channels) > MOST_CHANNELS:
        raise Refusal("question.cells", f"{len(channels)} channels are more than {MOST_CHANNELS}",
                      remedy="merge values, name the places that count, or credit a larger level")  # fmt: skip
    if {UNATTRIBUTED, ROUNDING, TOTAL} & set(channels):
        raise Refusal("question.credit", "a channel has the name of a row of the result: "
                      f"{UNATTRIBUTED}, {ROUNDING} or {TOTAL}",
                      remedy="rename the channel with merge")  # fmt: skip
    if span_of(question).bit_length() > 32:
        raise Refusal("question.span", "the period is too long for its time unit",
                      remedy="choose a coarser time_unit or nearer dates")  # fmt: skip


def _release(
    question: AttributionQuestion, touches: Sequence[TouchPlan], conversions: ConversionPlan,
    channels: Sequence[str], *, epsilon: float, k: int, noise: bool,
) -> tuple[ReleasePlan, tuple[Output, ...]]:  # fmt: skip
    """Blocks of people, conversions and value. In each the channels, then what they left over."""
    cells = len(channels) + 2
    single = question.model in ("last", "first")
    slots = sum(t.slots for t in touches)
    # A person is with the channels of so many touches at most, and may move from those to others.
    reached = min(len(channels), conversions.slots if single else slots)
    whole = 1 if single else WHOLE
    # Credit of a conversion, with what is left over, is one whole: by construction, see `attribution`.
    most = [min(len(channels), 2 * reached) + 2, 2 * whole * conversions.slots]
    kinds: list[Kind] = ["people", "conversions"]
    if conversions.value_bits:
        most.append(2 * whole * conversions.most)
        kinds.append("value")
    shares = _SHARES[len(kinds) == 3]
    rows = (*channels, UNATTRIBUTED, ROUNDING)
    outputs = [Output("people", row) for row in (*channels, UNATTRIBUTED, TOTAL)]
    guards = [*range(cells)]
    sums = [Sums.each(cells)]
    for kind in kinds[1:]:
        outputs += [Output(kind, row) for row in (*rows, TOTAL)]
        guards += [*range(cells), cells - 1]
        sums.append(Sums.lists([*([i] for i in range(cells)), range(cells)], cells))
    release = ReleasePlan(
        Sums.stacked(sums), epsilon, k, noise,
        tuple(Block(cells, share, m) for share, m in zip(shares, most, strict=True)),
        np.asarray(guards, np.int64),
    )  # fmt: skip
    return release, tuple(outputs)
