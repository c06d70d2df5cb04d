"""What reading a crowd package asks of the dataset under it: its conditions as an event group or a label."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hanse.catalog.datasets import Dataset, PackageSource
from hanse.catalog.requests import EventGroup, LabelRequest, RowRequest
from hanse.errors import Fault

if TYPE_CHECKING:
    from hanse.catalog.rows import PersonRows

GROUP = "members"
MOST_PEOPLE = (
    1 << 40
)  # the package's capacity bounds its members, not the dataset they are chosen from
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def member_request(dataset: Dataset, source: PackageSource, request: RowRequest) -> RowRequest:
    """The rows of ``source.of`` that tell the members of the package ``dataset``.

    `Fault` ``catalog.package`` if more than bare membership is asked for.
    """
    if request.events or request.labels:
        raise Fault(
            "catalog.package",
            f"{dataset.name!r} is a crowd package: it says who is in it and has no columns",
            remedy="ask for bare membership, or name the dataset that it is made of",
            where=dataset.name,
        )
    wanted = RowRequest(
        id_type=request.id_type, chain=request.chain, capacity=MOST_PEOPLE, keep_all=True
    )
    if source.time is not None:
        group = EventGroup(
            name=GROUP,
            time=source.time,
            origin=_LONG_AGO,
            where=source.where,
            unit_seconds=86_400,
            slots=source.at_least,
        )
        return wanted.model_copy(update={"events": (group,), "keep_all": False})
    if source.where:
        return wanted.model_copy(update={"labels": (_label(source),)})
    return wanted


def are_members(source: PackageSource, found: PersonRows) -> NDArray[np.bool_]:
    """Which of the people that `member_request` found are in the package, ``bool[people]``."""
    if GROUP in found.events:
        return found.events[GROUP].valid[:, source.at_least - 1]
    if GROUP in found.labels:
        return np.asarray(found.labels[GROUP] > 0)
    return np.ones(found.ids.size, np.bool_)


def _label(source: PackageSource) -> LabelRequest:
    """Undated rows: any code of the first condition's column, among rows that meet all, makes a member."""
    first = source.where[0]
    kind = source.of.column(first.column).kind
    listed = (first.equals,) if first.among is None else first.among
    return LabelRequest(
        name=GROUP,
        column=first.column,
        values=tuple(str(v) for v in listed) if kind in ("category", "place") else (),
        maximum=1 if kind in ("integer", "amount") else None,
        where=source.where,
    )
