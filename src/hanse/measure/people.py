"""The planner that all questions share: from words and the contract to fields, layouts, uses and rows.

Everything here follows from the question and the contract, so it is equal at every node; `read_fields` runs at a
provider, at home, and reads one row per person.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TypeGuard, TypeVar

import numpy as np
from numpy.typing import NDArray

from hanse.align import Aligned, Layout, Part
from hanse.catalog.datasets import Dataset
from hanse.catalog.requests import Condition as HomeCondition
from hanse.catalog.requests import EventGroup, LabelRequest, RowRequest
from hanse.catalog.rows import PersonRows
from hanse.contracts import Contract, Use
from hanse.engine.session import Session
from hanse.engine.shares import Bits
from hanse.errors import Refusal
from hanse.measure.algebra import Crowd, Expression, evaluate, expression
from hanse.measure.fields import CountField, CrowdField, LabelField, PersonField, ValueField
from hanse.measure.questions import (
    Condition,
    Segment,
    Source,
    capacities,
    column_of,
    condition_uses,
    dataset_of,
    event_time,
    segment_codes,
    segments_of,
    spelled_out,
)
from hanse.measure.reading import Reader, home_condition

MOST_VALUE_BITS = 31
_F = TypeVar("_F", bound=PersonField)


@dataclass
class Planner:
    """Collects what a question needs; refuses by raising as soon as the contract does not have it."""

    contract: Contract
    starts: date
    ends: date
    fields: list[PersonField] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)

    def crowd(
        self, source: Source, starts: date | None = None, ends: date | None = None
    ) -> CrowdField:
        """A crowd of ``source`` as a field; equal ones share one."""
        source = spelled_out(self.contract, source)
        provider, time = self._source(source, filtered=True)
        period = starts or self.starts, ends or self.ends
        return self._noted(CrowdField(self._name("crowd"), provider, source, time, *period))

    def expression(self, crowd: Crowd) -> Expression:
        """A combination of crowds, its leaves as fields."""
        return expression(crowd, lambda leaf: self.crowd(leaf.source(), leaf.starts, leaf.ends))

    def count(self, source: Source, most: int) -> CountField:
        """How many events of ``source`` a person has, up to ``most`` (raised to 2**bits - 1)."""
        source = spelled_out(self.contract, source)
        provider, time = self._source(source)
        return self._noted(
            CountField(self._name("count"), provider, source, time, self.starts, self.ends,
                       max(1, most.bit_length()))
        )  # fmt: skip

    def label(self, by: Segment) -> LabelField:
        """A label of people, its values merged as ``by`` says."""
        groups = segments_of(self.contract, by, self.uses)
        codes = segment_codes(groups)
        provider = dataset_of(self.contract, by.dataset).provider
        return self._noted(
            LabelField(self._name("label"), provider, by.dataset, by.column, tuple(groups), codes)
        )

    def flags(self, by: Segment) -> tuple[tuple[str, ...], tuple[CrowdField, ...]]:
        """(names, fields) of a label of which a person may have several values, merged as ``by`` says.

        A bit for each: some row of the person (within the period, if rows are dated) has such a value.
        """
        groups = segments_of(self.contract, by, self.uses)
        if column_of(self.contract, by.dataset, by.column).kind == "boolean":
            raise Refusal(
                "contract.purpose",
                f"column {by.column!r} of {by.dataset!r} is true or false, of which nobody has several",
                remedy="leave `several` out",
                where=f"dataset {by.dataset}",
            )
        dataset = dataset_of(self.contract, by.dataset)
        self.uses.append(Use(dataset=dataset.name, purpose="membership"))
        source = Source(dataset=dataset.name)
        time = event_time(self.contract, source, ordered=False, uses=self.uses)
        return tuple(groups), tuple(
            self._noted(
                CrowdField(self._name("crowd"), dataset.provider, Source(
                    dataset=dataset.name, where=(Condition(column=by.column, one_of=values),)
                ), time, self.starts, self.ends)
            )
            for values in groups.values()
        )  # fmt: skip

    def value(
        self, source: Source, column: str, *, most: int | None = None, unit: int = 1,
        starts: date | None = None, ends: date | None = None,
    ) -> ValueField:  # fmt: skip
        """``column`` summed over a person's events, in whole ``unit``s, at most ``most`` of them.

        ``most`` (by default the column's maximum in the contract, in units) is raised to 2**bits - 1.
        """
        owner = column_of(self.contract, source.dataset, column)
        if owner.maximum is None:
            raise Refusal(
                "contract.purpose",
                f"column {column!r} of {source.dataset!r} is a {owner.kind}, which cannot be summed",
                remedy="sum an integer or amount column",
                where=f"dataset {source.dataset}",
            )
        source = spelled_out(self.contract, source)
        provider, time = self._source(source)
        self.uses.append(Use(dataset=source.dataset, column=column, purpose="value"))
        bits = max(1, (most or -(-owner.maximum // unit)).bit_length())
        if bits > MOST_VALUE_BITS:
            raise Refusal(
                "question.value",
                f"a person's sum of {column!r} may reach {1 << bits:,}, too much to hide in noise",
                remedy="give a lower cap for a person, or count in larger units",
                where=f"dataset {source.dataset}",
            )
        return self._noted(
            ValueField(self._name("value"), provider, source, time, starts or self.starts,
                       ends or self.ends, column, unit, bits)
        )  # fmt: skip

    def laid_out(
        self, more: Iterable[tuple[str, str, int]] = ()
    ) -> tuple[tuple[str, ...], dict[str, Layout], dict[str, int]]:
        """(providers, layouts, capacities) of everything collected, and of ``more`` (provider, name, bits)."""
        sizes: dict[str, list[tuple[str, int]]] = {}
        for known in self.fields:
            sizes.setdefault(known.provider, []).append((known.name, known.bits))
        for provider, name, bits in more:
            sizes.setdefault(provider, []).append((name, bits))
        layouts = {p: Layout.pack(fields) for p, fields in sorted(sizes.items())}
        return tuple(sorted(sizes)), layouts, capacities(self.contract, layouts, self.uses)

    def used(self) -> tuple[Use, ...]:
        """All uses, each once, in the order in which they came up."""
        return tuple(dict.fromkeys(self.uses))

    def _name(self, kind: str) -> str:
        return f"{kind}{len(self.fields)}"

    def _source(self, source: Source, *, filtered: bool = False) -> tuple[str, str]:
        """(provider, time column) of a source, its uses noted."""
        dataset = dataset_of(self.contract, source.dataset)
        self.uses.append(Use(dataset=dataset.name, purpose="membership"))
        self.uses += condition_uses(self.contract, source)
        time = event_time(self.contract, source, ordered=False, uses=self.uses, filtered=filtered)
        return dataset.provider, time

    def _noted(self, found: _F) -> _F:
        """``found``, or the equal field that is there already (names apart)."""
        for known in self.fields:
            if type(known) is type(found) and {**known.__dict__, "name": ""} == {
                **found.__dict__,
                "name": "",
            }:
                return known
        self.fields.append(found)
        return found


# --- at the seats -----------------------------------------------------------------------------------


def planes(people: Aligned, known: PersonField) -> Bits:
    """A field of every person: planes [bits, words], low bit first."""
    return people.field(known.provider, known.name)


def members(s: Session, people: Aligned, crowd: Expression, step: str) -> Bits:
    """One plane [words]: who is in the crowd."""
    return evaluate(s, lambda f: planes(people, f)[0], crowd, step)


# --- at a provider, at home -------------------------------------------------------------------------


def read_fields(
    contract: Contract,
    party: str,
    fields: Iterable[PersonField],
    datasets: dict[str, Dataset],
    read: Reader,
) -> list[Part]:
    """A provider's fields, read at home: one `Part` per dataset."""
    mine = [f for f in fields if f.provider == party]
    names = dict.fromkeys(_dataset(f) for f in mine)
    return [
        _part(contract, name, [f for f in mine if _dataset(f) == name], datasets[name], read)
        for name in names
    ]


def _dataset(known: PersonField) -> str:
    return known.dataset if isinstance(known, LabelField) else known.source.dataset


def _part(
    contract: Contract, name: str, fields: list[PersonField], dataset: Dataset, read: Reader
) -> Part:
    timed = [f for f in fields if isinstance(f, CrowdField | CountField) and f.time]
    labels = [f for f in fields if isinstance(f, LabelField | ValueField) or _is_told(f)]
    request = RowRequest(
        id_type=contract.join.id_type,
        chain=contract.join.hash,
        capacity=dataset_of(contract, name).capacity,
        events=tuple(_events(f) for f in timed),
        labels=tuple(_label(contract, f) for f in labels),
        keep_all=len(timed) < len(fields),
    )
    people = read(dataset, request)
    return Part(people.ids, {f.name: _values(contract, f, people) for f in fields})


def _is_told(known: PersonField) -> TypeGuard[CrowdField]:
    """Whether a crowd is a filter over undated rows: somebody with a row that meets it."""
    return isinstance(known, CrowdField) and not known.time and bool(known.source.where)


def _values(contract: Contract, known: PersonField, people: PersonRows) -> NDArray[np.generic]:
    """A field's value for every person [people]."""
    if isinstance(known, LabelField):
        column = column_of(contract, known.dataset, known.column)
        listed = ("false", "true") if column.kind == "boolean" else column.values
        to_code = np.array([0, *(known.codes.get(v, 0) for v in listed)], np.uint64)
        return to_code[people.labels[known.name]]
    if isinstance(known, ValueField):
        # The catalog's code is one more than the sum, 0 where there is no event.
        codes = people.labels[known.name].astype(np.uint64)
        return np.minimum(codes - (codes > 0), np.uint64(known.most))
    if _is_told(known):
        return np.asarray(people.labels[known.name] > 0).astype(np.uint64)
    if not known.time:
        return np.ones(people.ids.size, np.uint64)
    valid = people.events[known.name].valid
    if isinstance(known, CountField):
        return np.asarray(valid.sum(axis=1, dtype=np.uint64))
    return np.asarray(valid[:, known.source.at_least - 1].astype(np.uint64))


def _period(known: CrowdField | CountField | ValueField) -> HomeCondition:
    starts, ends = (
        datetime.combine(d, datetime.min.time(), UTC) for d in (known.starts, known.ends)
    )
    return HomeCondition(column=known.time, between=(starts, ends - timedelta(microseconds=1)))


def _conditions(known: CrowdField | CountField | ValueField) -> tuple[HomeCondition, ...]:
    period = (_period(known),) if known.time else ()
    return (*period, *(home_condition(c) for c in known.source.where))


def _events(known: CrowdField | CountField) -> EventGroup:
    slots = known.source.at_least if isinstance(known, CrowdField) else (1 << known.bits) - 1
    return EventGroup(
        name=known.name,
        time=known.time,
        origin=datetime.combine(known.starts, datetime.min.time(), UTC),
        where=_conditions(known),
        unit_seconds=86_400,
        time_bits=24,
        slots=slots,
    )


def _label(contract: Contract, known: LabelField | ValueField | CrowdField) -> LabelRequest:
    if isinstance(known, CrowdField):
        # Any code says that there is a row; a listed value, or a number, makes one.
        first = column_of(contract, known.source.dataset, known.source.where[0].column)
        return LabelRequest(
            name=known.name,
            column=first.name,
            values=first.values,
            maximum=1 if first.kind in ("integer", "amount") else None,
            where=_conditions(known),
        )
    if isinstance(known, ValueField):
        return LabelRequest(
            name=known.name,
            column=known.column,
            where=_conditions(known),
            unit=known.unit,
            maximum=known.most,
            combine="sum",
        )
    column = column_of(contract, known.dataset, known.column)
    values = () if column.kind == "boolean" else column.values
    return LabelRequest(name=known.name, column=known.column, values=values)
