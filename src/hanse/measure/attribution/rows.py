"""Attribution's step 1 at a provider, at home: touches and conversions read into the slots of the plan's layout."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from hanse.align import Part
from hanse.catalog.datasets import Dataset
from hanse.catalog.requests import Condition as HomeCondition
from hanse.catalog.requests import EventCode, EventGroup, EventValue, RowRequest
from hanse.catalog.rows import Events
from hanse.contracts import Contract
from hanse.measure.attribution.plan import AttributionPlan, TouchPlan
from hanse.measure.questions import Condition, dataset_of
from hanse.measure.reading import Reader, home_condition

_CONVERTED = "converted"
Fields = dict[str, NDArray[np.generic]]


def rows(
    p: AttributionPlan, contract: Contract, party: str, datasets: dict[str, Dataset], read: Reader
) -> list[Part]:
    """One `Part` per dataset of ``party`` that the plan uses; ``datasets`` are its registrations."""
    used = [t.source.dataset for t in p.touches if t.provider == party]
    if p.conversions.provider == party:
        used.append(p.conversions.source.dataset)
    return [_part(p, contract, name, datasets[name], read) for name in dict.fromkeys(used)]


def _part(
    p: AttributionPlan, contract: Contract, name: str, dataset: Dataset, read: Reader
) -> Part:
    touches = [t for t in p.touches if t.source.dataset == name]
    converts = p.conversions.source.dataset == name
    groups = [_touches(p, t) for t in touches]
    if converts:
        groups.append(_conversions(p))
    people = read(
        dataset,
        RowRequest(
            id_type=contract.join.id_type,
            chain=contract.join.hash,
            capacity=dataset_of(contract, name).capacity,
            events=tuple(groups),
        ),
    )
    fields: Fields = {}
    for t in touches:
        fields.update(_touch_fields(t, people.events[t.field]))
    if converts:
        fields.update(_conversion_fields(p, people.events[_CONVERTED]))
    return Part(people.ids, fields)


def _touches(p: AttributionPlan, t: TouchPlan) -> EventGroup:
    code = None
    if t.values:
        # Values that are no channel are no touches: they must not take a slot.
        listed = tuple(v for v, code in zip(t.values, t.codes[1:], strict=True) if code)
        code = EventCode(column=t.source.credit or "", values=listed, listed_only=True)
    return EventGroup(
        name=t.field,
        time=t.time,
        origin=p.origin,
        where=_where(t.time, p.origin, _end(p), t.source.where),
        unit_seconds=p.unit_seconds,
        time_bits=p.time_bits,
        slots=t.slots,
        keep="spread",
        span=p.span,
        code=code,
    )


def _conversions(p: AttributionPlan) -> EventGroup:
    c = p.conversions
    value = None
    if c.value_bits:
        value = EventValue(column=c.source.value or "", unit=c.source.value_unit, maximum=c.most)
    return EventGroup(
        name=_CONVERTED,
        time=c.time,
        origin=p.starts,
        where=_where(c.time, p.starts, _end(p), c.source.where),
        unit_seconds=p.unit_seconds,
        time_bits=p.time_bits,
        slots=c.slots,
        keep="spread",
        span=p.span - p.window,
        value=value,
    )


def _end(p: AttributionPlan) -> datetime:
    return datetime.combine(p.question.ends, datetime.min.time(), UTC)


def _where(
    time: str, starts: datetime, ends: datetime, conditions: Iterable[Condition]
) -> tuple[HomeCondition, ...]:
    period = HomeCondition(column=time, between=(starts, ends - timedelta(microseconds=1)))
    return (period, *(home_condition(c) for c in conditions))


def _touch_fields(t: TouchPlan, events: Events) -> Fields:
    fields: Fields = {f"{t.field}.on": _filled(events)}
    codes = np.array([0, *(code for code in t.codes[1:] if code)], np.uint64)
    for k in range(t.slots):
        fields[f"{t.field}.t{k}"] = events.times[:, k]
        if t.code_bits:
            fields[f"{t.field}.c{k}"] = codes[events.codes[:, k]]
    return fields


def _conversion_fields(p: AttributionPlan, events: Events) -> Fields:
    fields: Fields = {f"{_CONVERTED}.on": _filled(events)}
    for k in range(p.conversions.slots):
        times = events.times[:, k].astype(np.uint64) + np.uint64(p.window)
        fields[f"{_CONVERTED}.t{k}"] = np.where(events.valid[:, k], times, 0)
        if p.conversions.value_bits:
            fields[f"{_CONVERTED}.v{k}"] = events.values[:, k]
    return fields


def _filled(events: Events) -> NDArray[np.uint64]:
    """Which slots are filled, as bits (slots fill in order)."""
    powers = np.uint64(1) << np.arange(events.valid.shape[1], dtype=np.uint64)
    return np.asarray((events.valid * powers).sum(axis=1, dtype=np.uint64))
