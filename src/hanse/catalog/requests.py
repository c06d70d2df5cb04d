"""What a job asks of a dataset: events in slots and labels, one row per person."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal

from pydantic import AwareDatetime, Field, StrictBool, StrictInt, StrictStr, model_validator

from hanse.catalog.datasets import HashChain, Name, Record

Value = StrictBool | StrictInt | StrictStr | datetime | date
Combine = Literal["latest", "most_frequent", "largest", "sum"]

MAXIMUM_CODE = 65_535


class Condition(Record):
    """One comparison on a column (by its contract name); exactly one of the five is given.

    Amounts are compared in whole units (after `scale`); times need an offset.
    """

    column: Name
    equals: Value | None = None
    among: tuple[Value, ...] | None = None
    at_least: Value | None = None
    at_most: Value | None = None
    between: tuple[Value, Value] | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Condition:
        given = [self.equals, self.among, self.at_least, self.at_most, self.between]
        if sum(value is not None for value in given) != 1:
            raise ValueError("give exactly one of equals, among, at_least, at_most, between")
        if self.among is not None and not self.among:
            raise ValueError("`among` needs at least one value")
        return self


class EventGroup(Record):
    """Events of one kind, at most `slots` per person.

    A row is an event where all conditions of `where` hold and its time lies in [`origin`, `origin` + 2^
    `time_bits` units); its time is counted in whole units of `unit_seconds` since `origin`.
    """

    name: Name
    time: Name
    origin: AwareDatetime
    where: tuple[Condition, ...] = ()
    unit_seconds: int = Field(default=1, ge=1, le=31_622_400)
    time_bits: int = Field(default=24, ge=1, le=32)
    slots: int = Field(default=4, ge=1, le=32)
    keep: Literal["first", "last"] = "first"


class LabelRequest(Record):
    """A code of 16 bits per person, 0 where nothing is known.

    category: 1 + place in the public list `values`; a value outside the list is no label, unless `other`
    names the listed value that stands for all those. boolean: 1 false, 2 true. integer and
    amount: 1 + min(value, `maximum`).

    Several rows of a person are combined: ``latest`` (by the column `time`; equal times: the lowest code),
    ``most_frequent`` (ties: the lowest code), ``largest``, or, for numbers, ``sum`` (then capped). By
    default categories take the most frequent, the others the largest (so a flag is true if it ever was).
    """

    name: Name
    column: Name
    values: tuple[str, ...] = ()
    other: str | None = None
    maximum: int | None = Field(default=None, ge=1, le=MAXIMUM_CODE - 1)
    combine: Combine | None = None
    time: Name | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> LabelRequest:
        if len(set(self.values)) != len(self.values):
            raise ValueError("a value is listed twice")
        if len(self.values) > MAXIMUM_CODE:
            raise ValueError("too many values for a code of 16 bits")
        if self.other is not None and self.other not in self.values:
            raise ValueError("`other` must be one of the listed values")
        if (self.combine == "latest") != (self.time is not None):
            raise ValueError("`time` and combine = latest come together")
        return self


class RowRequest(Record):
    """The rows that a job needs of one dataset.

    Without event groups, or with `keep_all`, everybody in the table is kept (the base population); else
    people without an event are left out. `capacity` is the contract's public row count.
    """

    id_type: Name
    capacity: int = Field(ge=1)
    chain: HashChain = "sha256"
    events: tuple[EventGroup, ...] = ()
    labels: tuple[LabelRequest, ...] = ()
    keep_all: bool = False

    @model_validator(mode="after")
    def _names_are_unique(self) -> RowRequest:
        for names in ([e.name for e in self.events], [label.name for label in self.labels]):
            if len(set(names)) != len(names):
                raise ValueError("a name is given twice")
        return self
