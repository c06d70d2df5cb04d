"""The words in which questions are asked: conditions, sources of events, stages, segments.

Frozen models of a job's ``parameters``; unknown keys are refused. Everything in a question is public to
the parties of the job: it names columns and values of the contract's public lists, never people.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hanse.contracts import Column, Contract, Dataset, Use, check_value
from hanse.errors import Refusal
from hanse.problems import keys_of, refusal

MOST_STAGES = 8
MOST_SOURCES = 4
Name = Annotated[str, Field(pattern=r"^[^\x00-\x1f]{1,64}$")]
Scalar = str | int | float | bool


class Question(BaseModel):
    """Base of all questions."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def read(cls, parameters: dict[str, Any]) -> Self:
        """The question in a job's parameters; `Refusal` ``question.malformed`` in plain words."""
        try:
            return cls.model_validate(parameters)
        except ValidationError as error:
            keys = keys_of(cls)
            raise refusal("question.malformed", "the question", error, parameters, keys) from error


class Condition(Question):
    """A test on one column, evaluated by the provider at home. Exactly one kind of test."""

    column: Name
    equals: Scalar | None = None
    one_of: tuple[Scalar, ...] | None = None
    at_least: int | float | None = None
    at_most: int | float | None = None

    @model_validator(mode="after")
    def _one_test(self) -> Self:
        exact = [self.equals is not None, self.one_of is not None]
        ranged = self.at_least is not None or self.at_most is not None
        if sum(exact) + ranged != 1:
            raise ValueError("needs exactly one of equals, one_of, or at_least / at_most")
        return self

    def values(self) -> tuple[Scalar, ...]:
        """All values that the condition compares with."""
        if self.one_of is not None:
            return self.one_of
        return tuple(v for v in (self.equals, self.at_least, self.at_most) if v is not None)


class Source(Question):
    """Events of one dataset: those that meet ``where``, at least ``at_least`` of them.

    ``qualified`` names a qualification of the contract, which they must meet too.
    """

    dataset: Name
    qualified: Name | None = None
    where: tuple[Condition, ...] = ()
    at_least: Annotated[int, Field(ge=1, le=32)] = 1


class Stage(Question):
    """One step of a funnel, reached through any of its sources.

    ``within_days`` limits the time since the event that reached the previous stage.
    """

    name: Name
    any_of: Annotated[tuple[Source, ...], Field(min_length=1, max_length=MOST_SOURCES)]
    within_days: Annotated[float, Field(gt=0, le=3660)] | None = None


class Segment(Question):
    """A breakdown by a category or boolean column of any provider's dataset.

    ``merge`` joins values into fewer, larger segments: {"under 45": ["19-24", "25-34", "35-44"], ...};
    values that it does not name count as "unknown".
    """

    dataset: Name
    column: Name
    merge: dict[Name, tuple[Name, ...]] | None = None


class FunnelQuestion(Question):
    """People per stage, in order, within windows; by segment; exposed against not exposed.

    ``starts`` and ``ends`` bound the events (UTC, the end is exclusive). With ``compare_with`` (a dataset that
    says who could have been exposed) people of that dataset who did not reach the first stage form a
    second arm, which enters at the second stage with no window before it.
    """

    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=MOST_STAGES)]
    starts: date
    ends: date
    ordered: bool = True
    by: Segment | None = None
    compare_with: Name | None = None
    time_unit: Literal["second", "minute", "hour", "day"] = "minute"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.starts >= self.ends:
            raise ValueError("ends must be later than starts")
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError("two stages have the same name")
        if not self.ordered and any(stage.within_days is not None for stage in self.stages):
            raise ValueError("within_days needs an ordered funnel")
        if self.compare_with is not None and len(self.stages) < 2:
            raise ValueError("a comparison needs at least two stages")
        if self.by is not None and self.by.merge is not None and "unknown" in self.by.merge:
            raise ValueError("the segment name 'unknown' is taken by people without a label")
        return self


UNIT_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


def dataset_of(contract: Contract, name: str) -> Dataset:
    """The contract's dataset; `Refusal` naming those there are."""
    found = contract.dataset(name)
    if found is None:
        known = ", ".join(d.name for d in contract.datasets)
        raise Refusal("contract.dataset", f"the contract has no dataset {name!r}",
                      remedy=f"use one of {known}", where=f"contract {contract.id}")  # fmt: skip
    return found


def column_of(contract: Contract, dataset: str, name: str) -> Column:
    """The dataset's column; `Refusal` naming those there are."""
    owner = dataset_of(contract, dataset)
    found = owner.column(name)
    if found is None:
        known = ", ".join(c.name for c in owner.columns) or "none"
        raise Refusal("contract.column", f"dataset {dataset!r} gives no column {name!r}",
                      remedy=f"use one of {known}", where=f"dataset {dataset}")  # fmt: skip
    return found


def time_column(contract: Contract, dataset: str) -> Column:
    """The column of ``dataset`` that orders its events."""
    owner = dataset_of(contract, dataset)
    times = [c for c in owner.columns if c.kind == "time" and "order" in c.uses]
    if len(times) != 1:
        raise Refusal(
            "contract.time",
            f"dataset {dataset!r} has {len(times)} time columns that may order events, not one",
            remedy='give it one column of kind "time" with the use "order"',
            where=f"dataset {dataset}",
        )
    return times[0]


def event_time(
    contract: Contract, source: Source, *, ordered: bool, uses: list[Use], filtered: bool = False
) -> str:
    """The column that dates the source's events, its use noted; "" if the dataset only says who is in it.

    Without times nothing can be ordered or counted, nor filtered unless ``filtered``: `Refusal` ``contract.time``.
    """
    dataset = dataset_of(contract, source.dataset)
    if ordered or any(c.kind == "time" for c in dataset.columns):
        column = time_column(contract, dataset.name).name
        uses.append(Use(dataset=dataset.name, column=column, purpose="order"))
        return column
    if (source.where and not filtered) or source.at_least > 1:
        raise Refusal(
            "contract.time",
            f"dataset {dataset.name!r} has no time column, so it only says who is in it",
            remedy="drop the filter and at_least, or agree on a time column",
            where=f"dataset {dataset.name}",
        )
    return ""


def capacities(contract: Contract, providers: Iterable[str], uses: Iterable[Use]) -> dict[str, int]:
    """Declared rows per provider: the sum over its datasets in use (a person may be in each)."""
    names = {u.dataset for u in uses}
    return {
        p: sum(d.capacity for d in contract.datasets if d.name in names and d.provider == p)
        for p in providers
    }


def conditions_of(contract: Contract, source: Source) -> tuple[Condition, ...]:
    """All that an event must meet: the contract's qualification spelled out, then ``where``.

    `Refusal` ``contract.qualification`` where the contract does not say what the name means for the dataset.
    """
    if source.qualified is None:
        return source.where
    found = contract.qualification(source.qualified, dataset_of(contract, source.dataset).name)
    if found is None:
        known = [q.name for q in contract.qualifications if q.dataset == source.dataset]
        agree = "agree on a [[qualifications]] entry in the next version of the contract"
        raise Refusal(
            "contract.qualification",
            f"the contract does not say when an event of {source.dataset!r} is {source.qualified!r}",
            remedy=f"use one of: {', '.join(known)}" if known else agree,
            where=f"contract {contract.id}, dataset {source.dataset}",
        )
    tests = (
        Condition(
            column=t.column, equals=t.equals, one_of=t.one_of or None, at_least=t.at_least,
            at_most=t.at_most,
        )
        for t in found.where
    )  # fmt: skip
    return (*tests, *source.where)


def spelled_out(contract: Contract, source: Source) -> Source:
    """The source as plans hold it: its qualification as conditions, so rows and twins need not know of it."""
    if source.qualified is None:
        return source
    where = conditions_of(contract, source)
    return source.model_copy(update={"where": where, "qualified": None})


def condition_uses(contract: Contract, source: Source) -> list[Use]:
    """Checks every condition against the contract's public lists; the uses they amount to."""
    uses = []
    for condition in conditions_of(contract, source):
        column = column_of(contract, source.dataset, condition.column)
        for value in condition.values():
            check_value(column, value)
        ranged = condition.at_least is not None or condition.at_most is not None
        if ranged and column.kind in ("category", "boolean"):
            raise Refusal("question.condition",
                          f"column {column.name!r} is a {column.kind}; it has no order",
                          remedy="use equals or one_of", where=f"dataset {source.dataset}")  # fmt: skip
        broken = any(isinstance(v, float) and not v.is_integer() for v in condition.values())
        if broken and column.kind in ("integer", "amount"):
            raise Refusal("question.condition", f"column {column.name!r} is compared in whole units",
                          remedy="give a whole number", where=f"dataset {source.dataset}")  # fmt: skip
        if column.kind == "time":
            raise Refusal("question.condition", "times are bounded by starts and ends",
                          remedy="leave the time column out of `where`")  # fmt: skip
        uses.append(Use(dataset=source.dataset, column=column.name, purpose="filter"))
    return uses


def segments_of(contract: Contract, by: Segment, uses: list[Use]) -> dict[str, tuple[str, ...]]:
    """A segment's values by name, merged as ``by`` says; its use is noted.

    `Refusal` ``contract.purpose`` or ``contract.value`` unless the column has values and each is named once.
    """
    column = column_of(contract, by.dataset, by.column)
    values = ("false", "true") if column.kind == "boolean" else column.values
    if not values:
        raise Refusal(
            "contract.purpose",
            f"column {by.column!r} of {by.dataset!r} is a {column.kind}, which has no values to segment by",
            remedy="segment by a category or boolean column",
            where=f"dataset {by.dataset}",
        )
    uses.append(Use(dataset=by.dataset, column=by.column, purpose="segment"))
    # A merge is an object in JSON, whose keys have no order: sorted, so that all nodes number alike.
    groups: dict[str, tuple[str, ...]] = {v: (v,) for v in values}
    if by.merge is not None:
        groups = dict(sorted(by.merge.items()))
    seen: set[str] = set()
    for name, found in groups.items():
        for value in found:
            if value not in values or value in seen:
                raise Refusal(
                    "contract.value",
                    f"segment {name!r} merges {value!r}, which is not a value of {by.column!r} "
                    "or is merged twice",
                    remedy="use each of " + ", ".join(values) + " at most once",
                    where=f"dataset {by.dataset}, column {by.column}",
                )
            seen.add(value)
    return groups


def segment_codes(groups: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    """The code of each value in the data: 1 + the place of its segment; 0 is left for the unknown."""
    return {value: code for code, found in enumerate(groups.values(), start=1) for value in found}
