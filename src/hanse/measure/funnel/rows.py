"""The funnel's step 1 at a provider, at home: its datasets read into the fields of the plan's layout."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from hanse.align import Part
from hanse.catalog.datasets import Dataset
from hanse.catalog.requests import Condition as HomeCondition
from hanse.catalog.requests import EventGroup, LabelRequest, RowRequest
from hanse.catalog.rows import PersonRows
from hanse.contracts import Contract
from hanse.measure.funnel.protocol import FunnelPlan, SourcePlan
from hanse.measure.questions import column_of, dataset_of
from hanse.measure.reading import Reader, home_condition


def rows(
    plan: FunnelPlan, contract: Contract, party: str, datasets: dict[str, Dataset], read: Reader
) -> list[Part]:
    """One `Part` per dataset of ``party`` that the plan uses; ``datasets`` are its registrations."""
    used = [s.source.dataset for s in plan.sources if s.provider == party]
    if plan.label is not None and plan.label.provider == party:
        used.append(plan.label.dataset)
    if plan.base is not None and plan.base[0] == party:
        used.append(plan.base[1])
    return [_part(plan, contract, name, datasets[name], read) for name in dict.fromkeys(used)]


def _part(plan: FunnelPlan, contract: Contract, name: str, dataset: Dataset, read: Reader) -> Part:
    sources = [s for s in plan.sources if s.source.dataset == name]
    labelled = plan.label is not None and plan.label.dataset == name
    based = plan.base is not None and plan.base[1] == name
    request = RowRequest(
        id_type=contract.join.id_type,
        chain=contract.join.hash,
        capacity=dataset_of(contract, name).capacity,
        events=tuple(_events(plan, s) for s in sources if s.time),
        labels=(_label(plan, contract),) if labelled else (),
        keep_all=labelled or based or any(not s.time for s in sources),
    )
    people = read(dataset, request)
    fields: dict[str, NDArray[np.generic]] = {}
    for s in sources:
        fields.update(_fields(plan, s, people))
    if labelled and plan.label is not None:
        fields[plan.label.field] = _merged_codes(plan, contract)[people.labels["label"]]
    if based:
        fields["base"] = np.ones(people.ids.size, np.uint64)
    return Part(people.ids, fields)


def _events(plan: FunnelPlan, s: SourcePlan) -> EventGroup:
    ends = datetime.combine(plan.question.ends, datetime.min.time(), UTC)
    period = HomeCondition(column=s.time, between=(plan.origin, ends - timedelta(microseconds=1)))
    return EventGroup(
        name=_group(s),
        time=s.time,
        origin=plan.origin,
        where=(period, *(home_condition(c) for c in s.source.where)),
        unit_seconds=plan.unit_seconds,
        time_bits=plan.time_bits,
        slots=s.slots,
        keep="spread",
        span=plan.span,
    )


def _group(s: SourcePlan) -> str:
    return s.name.replace(".", "-")


def _fields(plan: FunnelPlan, s: SourcePlan, people: PersonRows) -> dict[str, NDArray[np.generic]]:
    """Slot-filled bits (slots fill in order) and, in ordered funnels, times."""
    if not s.time:
        return {f"{s.name}.on": np.ones(people.ids.size, np.uint64)}
    events = people.events[_group(s)]
    powers = np.uint64(1) << np.arange(s.slots, dtype=np.uint64)
    fields: dict[str, NDArray[np.generic]] = {
        f"{s.name}.on": (events.valid * powers).sum(axis=1, dtype=np.uint64)
    }
    if plan.question.ordered:
        for k in range(s.slots):
            fields[f"{s.name}.t{k}"] = np.where(events.valid[:, k], events.times[:, k], 0)
    return fields


def _label(plan: FunnelPlan, contract: Contract) -> LabelRequest:
    label = plan.label
    if label is None:
        raise ValueError("the plan has no label")
    column = column_of(contract, label.dataset, label.column)
    values = () if column.kind == "boolean" else column.values
    return LabelRequest(name="label", column=label.column, values=values)


def _merged_codes(plan: FunnelPlan, contract: Contract) -> NDArray[np.uint64]:
    """From the catalog's codes (1 + place in the contract's list) to the question's segments."""
    label = plan.label
    if label is None:
        raise ValueError("the plan has no label")
    column = column_of(contract, label.dataset, label.column)
    values = ("false", "true") if column.kind == "boolean" else column.values
    return np.array([0, *(label.codes.get(v, 0) for v in values)], np.uint64)
