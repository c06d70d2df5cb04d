"""The words of a portrait: a crowd, what it is compared with, the labels that describe it."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Self

from pydantic import Field, model_validator

from hanse.measure.algebra import Crowd
from hanse.measure.questions import Name, Question, Segment

MOST_LABELS = 32
MOST_CROSSES = 16
Weight = Annotated[float, Field(gt=0, le=1000)]


class Label(Segment):
    """What describes people: a category or boolean column of any provider, its values merged if wanted.

    A person has one value: the most frequent one in the provider's rows. With ``several`` all values count that
    some row of the person (within the question's period, if rows are dated) has, such as interests.
    """

    name: Name
    several: bool = False

    @model_validator(mode="after")
    def _merges(self) -> Self:
        if self.merge is not None and not all(self.merge.values()):
            raise ValueError("a merged value joins nothing; name the values that it joins")
        return self


class PortraitQuestion(Question):
    """Who the people of ``crowd`` are, by ``labels``, against the people of ``base``.

    Without ``base`` each label compares with everybody who has that label. ``cross`` are pairs of labels
    whose values are counted together within the crowd; of each pair the second may have ``several`` values.
    ``weights`` share out epsilon, 1 by default, by label name and by "first x second" for a cross table.
    """

    crowd: Crowd
    labels: Annotated[tuple[Label, ...], Field(min_length=1, max_length=MOST_LABELS)]
    starts: date
    ends: date
    base: Crowd | None = None
    cross: Annotated[tuple[tuple[Name, Name], ...], Field(max_length=MOST_CROSSES)] = ()
    weights: dict[str, Weight] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.starts >= self.ends:
            raise ValueError("ends must be later than starts")
        if self.base == self.crowd:
            raise ValueError("crowd and base are the same, so nothing can differ between them")
        labels = {label.name: label for label in self.labels}
        if len(labels) < len(self.labels):
            raise ValueError("two labels have the same name")
        for first, second in self.cross:
            if first not in labels or second not in labels or first == second:
                raise ValueError(
                    f"cross {first!r}, {second!r}: name two different labels of the question"
                )
            if labels[first].several:
                raise ValueError(
                    f"cross {first!r}, {second!r}: only the second may have several values"
                )
        blocks = self.block_names()
        if len(set(blocks)) < len(blocks):
            raise ValueError("a pair of labels is crossed twice, or is named like a label")
        unknown = sorted(set(self.weights) - set(blocks))
        if unknown:
            raise ValueError(f"weights: {unknown[0]!r} is neither a label nor a cross table")
        return self

    def block_names(self) -> list[str]:
        """Labels and cross tables, as ``weights`` names them, in the order of the release."""
        return [label.name for label in self.labels] + [f"{a} x {b}" for a, b in self.cross]
