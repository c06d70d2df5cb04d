"""The words in which attribution is asked: touches, conversions, a model, a window."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hanse.measure.questions import Name, Question, Source

MOST_TOUCH_SOURCES = 6
MOST_SLOTS = 32
USUAL_SLOTS = (
    4  # of a source that does not say, at most: every slot costs work, of conversions noise too
)
Model = Literal["last", "first", "linear", "time_decay", "position"]
Level = Literal["place", "h3", "district", "city", "type"]
Slots = Annotated[int, Field(ge=1, le=MOST_SLOTS)]
Percent = Annotated[int, Field(ge=0, le=100)]


class Touch(Source):
    """Events that may be credited: all of them to one channel ``name``, or each to what ``credit`` (a category or
    place column) says.

    ``merge`` joins values of a category into channels: {"video": ["tv", "web video"], ...}; values that it does
    not name are no touches. Of a place column ``places`` names the ids that count (without it, all); ``level``
    credits the district (h3 cell, city, type) they lie in. ``slots`` is how many touches of a person are kept.
    """

    name: Name | None = None
    credit: Name | None = None
    merge: dict[Name, tuple[Name, ...]] | None = None
    places: Annotated[tuple[str, ...], Field(min_length=1, max_length=1000)] | None = None
    level: Level = "place"
    slots: Slots | None = None

    @model_validator(mode="after")
    def _one_credit(self) -> Self:
        if (self.name is None) == (self.credit is None):
            raise ValueError("give either a name or the column to credit")
        if self.credit is None and (
            self.merge is not None or self.places is not None or self.level != "place"
        ):
            raise ValueError("merge, places and level belong beside a column to credit")
        if self.at_least != 1:
            raise ValueError("every touch counts by itself: leave out at_least")
        return self


class Conversions(Source):
    """What is credited: each event, and what it is worth in the integer or amount column ``value``.

    Values count in whole ``value_unit``s; a person's conversions together count at most ``value_maximum`` of them
    (by default the column's maximum in the contract), raised to 2**bits - 1.
    """

    value: Name | None = None
    value_unit: Annotated[int, Field(ge=1)] = 1
    value_maximum: Annotated[int, Field(ge=1)] | None = None
    slots: Slots | None = None

    @model_validator(mode="after")
    def _value(self) -> Self:
        if self.value is None and (self.value_maximum is not None or self.value_unit != 1):
            raise ValueError("value_unit and value_maximum belong beside a value")
        if self.at_least != 1:
            raise ValueError("every conversion counts by itself: leave out at_least")
        return self


class AttributionQuestion(Question):
    """Which touches conversions are credited to.

    Conversions lie in [``starts``, ``ends``) (UTC); a touch counts for a conversion if it is not after it and at
    most ``window_days`` before. Models: the last or the first such touch takes all; ``linear``: all alike;
    ``time_decay``: half as much for every ``half_life_days`` before the conversion; ``position``: so many percent
    to the first, to all between, to the last.
    """

    touches: Annotated[tuple[Touch, ...], Field(min_length=1, max_length=MOST_TOUCH_SOURCES)]
    conversions: Conversions
    starts: date
    ends: date
    model: Model = "last"
    window_days: Annotated[float, Field(gt=0, le=366)] = 28
    half_life_days: Annotated[float, Field(gt=0, le=366)] = 7
    position: tuple[Percent, Percent, Percent] = (40, 20, 40)
    time_unit: Literal["second", "minute", "hour", "day"] = "minute"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.starts >= self.ends:
            raise ValueError("ends must be later than starts")
        if sum(self.position) != 100:
            raise ValueError("the three parts of position must make up 100 percent")
        return self
