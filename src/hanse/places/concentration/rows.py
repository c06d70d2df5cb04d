"""Reading where people are, at a provider, at home: codes that its programs are made of and that are never sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from hanse.align import Part
from hanse.catalog.datasets import Dataset
from hanse.catalog.requests import Condition as HomeCondition
from hanse.catalog.requests import EventCode, EventGroup, LabelRequest, RowRequest
from hanse.contracts import Contract
from hanse.measure.people import read_fields
from hanse.measure.questions import dataset_of
from hanse.measure.reading import Reader, home_condition
from hanse.places.concentration.protocol import Breakdown, ConcentrationPlan, Whereabout

UNIT_SECONDS = 60
Codes = NDArray[np.int64]


def rows(
    p: ConcentrationPlan, contract: Contract, party: str, datasets: dict[str, Dataset], read: Reader
) -> list[Part]:
    """A provider's fields, and its people's places."""
    parts = read_fields(contract, party, p.fields, datasets, read)
    for w in p.whereabouts:
        if w.provider == party:
            levels = [b for b in p.breakdowns if b.at is w]
            parts.append(_placed(p, contract, w, levels, datasets[w.asked.dataset], read))
    return parts


def _placed(
    p: ConcentrationPlan, contract: Contract, w: Whereabout, levels: list[Breakdown],
    dataset: Dataset, read: Reader,
) -> Part:  # fmt: skip
    """Each person's places of the list [people, slots], and the areas of each level where those are counted."""
    single = w.asked.slots == 1
    request = RowRequest(
        id_type=contract.join.id_type,
        chain=contract.join.hash,
        capacity=dataset_of(contract, w.asked.dataset).capacity,
        events=() if single else (_visits(p, w),),
        labels=(_usual(p, w),) if single else (),
    )
    people = read(dataset, request)
    if single:
        codes = people.labels[w.name].astype(np.int64)[:, None]
        return Part(people.ids, {}, {w.name: codes})
    codes = people.events[w.name].codes.astype(np.int64)
    home = {w.program(b.level): areas_of(codes, b.area, b.slots) for b in levels}
    return Part(people.ids, {}, home)


def areas_of(codes: Codes, area: NDArray[np.int64], slots: int) -> Codes:
    """From places to areas, each area once a person: codes [people, slots], 0 for nowhere."""
    found = np.append(0, area + 1)[codes]
    for slot in range(1, found.shape[1]):
        again = (found[:, :slot] == found[:, slot : slot + 1]).any(axis=1)
        found[again, slot] = 0
    order = np.argsort(found == 0, axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1)[:, :slots]


def _names(w: Whereabout) -> tuple[str, ...]:
    ids = w.places.gazetteer.ids
    return tuple(ids[i] for i in w.places.chosen.tolist())


def _conditions(p: ConcentrationPlan, w: Whereabout) -> tuple[HomeCondition, ...]:
    found = [home_condition(c) for c in w.asked.where]
    if w.time:
        starts, ends = (
            datetime.combine(d, datetime.min.time(), UTC)
            for d in (p.question.starts, p.question.ends)
        )
        within = starts, ends - timedelta(microseconds=1)
        found.append(HomeCondition(column=w.time, between=within))
    return tuple(found)


def _usual(p: ConcentrationPlan, w: Whereabout) -> LabelRequest:
    """The listed place that most of a person's rows name."""
    return LabelRequest(
        name=w.name,
        column=w.asked.column,
        values=_names(w),
        where=_conditions(p, w),
        combine="most_frequent",
    )


def _visits(p: ConcentrationPlan, w: Whereabout) -> EventGroup:
    """The first different listed places of a person in the period."""
    return EventGroup(
        name=w.name,
        time=w.time,
        origin=datetime.combine(p.question.starts, datetime.min.time(), UTC),
        where=_conditions(p, w),
        unit_seconds=UNIT_SECONDS,
        time_bits=24,
        slots=w.asked.slots,
        code=EventCode(column=w.asked.column, values=_names(w), listed_only=True),
        distinct=True,
    )
