"""Short words for funnels in a notebook; they become the very parameters that a job at a node carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Literal

from hanse.errors import Refusal
from hanse.measure import Segment, Source, Stage

Where = Mapping[str, Any]
StageLike = Stage | tuple[str, str] | tuple[str, str, float]
TimeUnit = Literal["second", "minute", "hour", "day"]


def source(
    dataset: str, *, where: Where | None = None, at_least: int = 1, qualified: str | None = None
) -> Source:
    """Events of a dataset: at least so many that meet ``where``, and the contract's qualification.

    ``where`` maps columns to what they must be: a value, a list of values, or a range such as
    {"at_least": 500, "at_most": 2000}.
    """
    conditions = []
    for column, test in (where or {}).items():
        if isinstance(test, Mapping):
            conditions.append({"column": column, **test})
        elif isinstance(test, list | tuple | set | frozenset):
            values = sorted(test, key=str) if isinstance(test, set | frozenset) else list(test)
            conditions.append({"column": column, "one_of": values})
        else:
            conditions.append({"column": column, "equals": test})
    return Source.read(
        {"dataset": dataset, "where": conditions, "at_least": at_least, "qualified": qualified}
    )


def stage(
    name: str, *any_of: str | Source, within_days: float | None = None,
    where: Where | None = None, at_least: int = 1, qualified: str | None = None,
) -> Stage:  # fmt: skip
    """A stage, reached through any of these datasets or sources.

    ``where``, ``at_least`` and ``qualified`` apply to the datasets that are given by name.
    """
    sources = [
        s
        if isinstance(s, Source)
        else source(s, where=where, at_least=at_least, qualified=qualified)
        for s in any_of
    ]
    if all(isinstance(s, Source) for s in any_of) and (where or at_least != 1 or qualified):
        raise _unclear(f"stage {name!r} gives conditions, but no dataset by name that they apply to",
                       "give them to source(...)")  # fmt: skip
    return Stage.read(
        {
            "name": name,
            "any_of": [s.model_dump(mode="json") for s in sources],
            "within_days": within_days,
        }
    )


def funnel_parameters(
    stages: Sequence[StageLike], starts: date | str, ends: date | str, *, ordered: bool,
    by: str | Segment | None, merge: Mapping[str, Sequence[str]] | None,
    compare_with: str | None, time_unit: TimeUnit,
) -> dict[str, Any]:  # fmt: skip
    """A funnel question as a job's parameters; what is not given is left out."""
    parameters: dict[str, Any] = {
        "stages": [_plain(_stage_of(item)) for item in stages],
        "starts": str(starts),
        "ends": str(ends),
    }
    if not ordered:
        parameters["ordered"] = False
    segment = _segment_of(by, merge)
    if segment is not None:
        parameters["by"] = _plain(segment)
    if compare_with is not None:
        parameters["compare_with"] = compare_with
    if time_unit != "minute":
        parameters["time_unit"] = time_unit
    return parameters


def _plain(model: Stage | Segment) -> dict[str, Any]:
    found: dict[str, Any] = model.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return found


def _stage_of(item: StageLike) -> Stage:
    if isinstance(item, Stage):
        return item
    if isinstance(item, tuple) and len(item) in (2, 3):
        name, dataset = item[0], item[1]
        return stage(name, dataset, within_days=item[2] if len(item) == 3 else None)
    raise _unclear(
        "a stage is neither a Stage nor (name, dataset) nor (name, dataset, within_days)",
        'write ("paid", "baskets", 30), or stage("paid", "baskets", within_days=30) for more',
    )


def _segment_of(
    by: str | Segment | None, merge: Mapping[str, Sequence[str]] | None
) -> Segment | None:
    if isinstance(by, Segment):
        if merge is not None:
            raise _unclear("`merge` is given beside a Segment", "put it into the Segment")
        return by
    if by is None:
        if merge is not None:
            raise _unclear("`merge` is given without `by`", 'name the column: by="people.age"')
        return None
    dataset, dot, column = by.partition(".")
    if not (dataset and dot and column):
        raise _unclear(f"by={by!r} does not name a column", 'write by="dataset.column"')
    return Segment.read(
        {"dataset": dataset, "column": column,
         "merge": None if merge is None else {k: list(v) for k, v in merge.items()}}
    )  # fmt: skip


def _unclear(message: str, remedy: str) -> Refusal:
    return Refusal("question.malformed", message, remedy=remedy)
