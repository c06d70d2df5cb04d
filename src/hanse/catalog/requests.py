"""What a job asks of a dataset: events in slots and labels, one row per person."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field, model_validator

from hanse.catalog.datasets import Condition, HashChain, Name, Record

__all__ = [
    "Combine",
    "Condition",
    "EventCode",
    "EventGroup",
    "EventValue",
    "LabelRequest",
    "RowRequest",
]

Combine = Literal["latest", "most_frequent", "largest", "sum"]

MOST_VALUES = 200_000  # in a public list: of a category, or of the places of a gazetteer
MAXIMUM = 2**32 - 1


class EventCode(Record):
    """What an event is about: 1 + place in the public list `values` of a category or place column.

    0 where the value is missing or not listed; with `listed_only` such a row is no event.
    """

    column: Name
    values: tuple[str, ...] = Field(min_length=1, max_length=MOST_VALUES)
    listed_only: bool = False

    @model_validator(mode="after")
    def _is_consistent(self) -> EventCode:
        if len(set(self.values)) != len(self.values):
            raise ValueError("a value is listed twice")
        return self


class EventValue(Record):
    """How much an event is: an integer or amount column in whole units, rounded half up, capped at `maximum`.

    A missing value counts 0.
    """

    column: Name
    unit: int = Field(default=1, ge=1)
    maximum: int = Field(ge=1, le=MAXIMUM)


class EventGroup(Record):
    """Events of one kind, at most `slots` per person.

    A row is an event where all conditions of `where` hold and its time lies in [`origin`, `origin` + 2^
    `time_bits` units); its time is counted in whole units of `unit_seconds` since `origin`. Events at the same
    time are in the order of their codes, then of their values. With `distinct` only the first event of each
    code counts (with `keep` "last": the last one).

    Of somebody with more events than slots the first or the last ones are kept, or, with "spread", the first of
    each of `slots` equal stretches of the `span` (in units), and then the earliest of the others.
    """

    name: Name
    time: Name
    origin: AwareDatetime
    where: tuple[Condition, ...] = ()
    unit_seconds: int = Field(default=1, ge=1, le=31_622_400)
    time_bits: int = Field(default=24, ge=1, le=32)
    slots: int = Field(default=4, ge=1, le=32)
    keep: Literal["first", "last", "spread"] = "first"
    span: int = Field(default=0, ge=0, le=1 << 32)
    code: EventCode | None = None
    value: EventValue | None = None
    distinct: bool = False

    @model_validator(mode="after")
    def _is_consistent(self) -> EventGroup:
        if self.distinct and self.code is None:
            raise ValueError("`distinct` needs a `code`")
        if (self.keep == "spread") != (self.span > 0):
            raise ValueError("`span` and keep = spread come together")
        return self


class LabelRequest(Record):
    """A code per person, 0 where nothing is known.

    category and place: 1 + place in the public list `values`; a value outside the list is no label, unless
    `other` names the listed value that stands for all those. boolean: 1 false, 2 true. integer and
    amount: 1 + min(value in whole `unit`s, rounded half up, `maximum`). Only rows that meet all conditions of
    `where` count.

    Several rows of a person are combined: ``latest`` (by the column `time`; equal times: the lowest code),
    ``most_frequent`` (ties: the lowest code), ``largest``, or, for numbers, ``sum`` (then capped). By
    default categories and places take the most frequent, the others the largest (so a flag is true if it
    ever was). Codes are ``uint16`` where they fit, else ``uint32`` or ``uint64``.
    """

    name: Name
    column: Name
    values: tuple[str, ...] = Field(default=(), max_length=MOST_VALUES)
    other: str | None = None
    maximum: int | None = Field(default=None, ge=1, le=MAXIMUM)
    unit: int = Field(default=1, ge=1)
    where: tuple[Condition, ...] = ()
    combine: Combine | None = None
    time: Name | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> LabelRequest:
        if len(set(self.values)) != len(self.values):
            raise ValueError("a value is listed twice")
        if self.unit != 1 and self.maximum is None:
            raise ValueError("only numbers have a `unit`")
        if self.other is not None and self.other not in self.values:
            raise ValueError("`other` must be one of the listed values")
        if (self.combine == "latest") != (self.time is not None):
            raise ValueError("`time` and combine = latest come together")
        return self

    @property
    def codes(self) -> int:
        """How many codes there are, 0 included: all are below this."""
        if self.maximum is not None:
            return self.maximum + 2
        return len(self.values) + 1 if self.values else 3


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
