"""Crowds as fields of a provider's rows: one bit a person, who met the conditions often enough in the period.

The provider makes them at home; what follows says what to read and how to pack it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from hanse.align import Layout, Part
from hanse.catalog.datasets import Dataset
from hanse.catalog.requests import Condition as HomeCondition
from hanse.catalog.requests import EventGroup, RowRequest
from hanse.catalog.rows import PersonRows
from hanse.contracts import Contract, Use
from hanse.measure.funnel_rows import home_condition
from hanse.measure.questions import (
    Source,
    capacities,
    condition_uses,
    dataset_of,
    event_time,
)

Reader = Callable[[Dataset, RowRequest], PersonRows]


@dataclass(frozen=True)
class CrowdField:
    """One bit: the person has at least ``source.at_least`` events of the source within the period.

    A dataset without a time column only says who is in it: ``time`` is "".
    """

    name: str
    provider: str
    source: Source
    time: str


@dataclass
class Planner:
    """Collects what a question needs; `refuse` by raising as soon as the contract does not have it."""

    contract: Contract
    crowds: list[CrowdField] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)

    def crowd(self, source: Source) -> CrowdField:
        """A crowd of ``source`` as a field; equal sources share one."""
        dataset = dataset_of(self.contract, source.dataset)
        for known in self.crowds:
            if known.source == source:
                return known
        self.uses.append(Use(dataset=dataset.name, purpose="membership"))
        self.uses += condition_uses(self.contract, source)
        time = event_time(self.contract, source, ordered=False, uses=self.uses)
        found = CrowdField(f"crowd{len(self.crowds)}", dataset.provider, source, time)
        self.crowds.append(found)
        return found

    def laid_out(self) -> tuple[tuple[str, ...], dict[str, Layout], dict[str, int]]:
        """(providers, layouts, capacities) of everything collected."""
        sizes: dict[str, list[tuple[str, int]]] = {}
        for crowd in self.crowds:
            sizes.setdefault(crowd.provider, []).append((crowd.name, 1))
        layouts = {p: Layout.pack(fields) for p, fields in sorted(sizes.items())}
        return tuple(sorted(sizes)), layouts, capacities(self.contract, layouts, self.uses)


def read_crowds(
    contract: Contract,
    party: str,
    crowds: Iterable[CrowdField],
    period: tuple[date, date],
    datasets: dict[str, Dataset],
    read: Reader,
) -> list[Part]:
    """A provider's crowds, read at home: one `Part` per dataset."""
    mine = [c for c in crowds if c.provider == party]
    names = dict.fromkeys(c.source.dataset for c in mine)
    return [
        _part(contract, [c for c in mine if c.source.dataset == name], period, datasets[name], read)
        for name in names
    ]


def _part(
    contract: Contract,
    crowds: list[CrowdField],
    period: tuple[date, date],
    dataset: Dataset,
    read: Reader,
) -> Part:
    timed = [c for c in crowds if c.time]
    request = RowRequest(
        id_type=contract.join.id_type,
        chain=contract.join.hash,
        capacity=dataset_of(contract, crowds[0].source.dataset).capacity,
        events=tuple(_events(c, period) for c in timed),
        keep_all=len(timed) < len(crowds),
    )
    people = read(dataset, request)
    fields: dict[str, NDArray[np.generic]] = {}
    for c in crowds:
        if c.time:
            fields[c.name] = people.events[c.name].valid[:, c.source.at_least - 1].astype(np.uint64)
        else:
            fields[c.name] = np.ones(people.ids.size, np.uint64)
    return Part(people.ids, fields)


def _events(crowd: CrowdField, period: tuple[date, date]) -> EventGroup:
    starts, ends = (datetime.combine(d, datetime.min.time(), UTC) for d in period)
    within = HomeCondition(column=crowd.time, between=(starts, ends - timedelta(microseconds=1)))
    return EventGroup(
        name=crowd.name,
        time=crowd.time,
        origin=starts,
        where=(within, *(home_condition(c) for c in crowd.source.where)),
        unit_seconds=86_400,
        time_bits=24,
        slots=crowd.source.at_least,
    )
