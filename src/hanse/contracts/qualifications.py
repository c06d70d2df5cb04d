"""Qualifications: what counts as a viewable impression, a real visit or a near enough screen.

They are agreed in the contract. A question names one, and every provider filters by it at home. Definition and
version are signed with the contract, so two parties never mean different things by "viewable".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from hanse.contracts.fields import ColumnName, Document, Label, Name
from hanse.problems import ProblemsError

if TYPE_CHECKING:
    from hanse.contracts.terms import Column, Dataset

Word = bool | int | Label


class QualifyingTest(Document):
    """One test on a column: ``equals``, ``one_of``, or ``at_least`` and ``at_most`` (whole units)."""

    column: ColumnName
    equals: Word | None = None
    one_of: Annotated[tuple[Word, ...], Field(max_length=1000)] = ()
    at_least: Annotated[int, Field(ge=0)] | None = None
    at_most: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _one_test(self) -> Self:
        ranged = self.at_least is not None or self.at_most is not None
        if (self.equals is not None) + bool(self.one_of) + ranged != 1:
            raise ValueError("needs exactly one of equals, one_of, or at_least / at_most")
        if ranged and (self.at_least or 0) > (self.at_most if self.at_most is not None else 2**60):
            raise ProblemsError([("at_most", "is below at_least, so nothing would qualify")])
        return self

    def values(self) -> tuple[Word, ...]:
        """All values that the test compares with."""
        found = (self.equals, self.at_least, self.at_most)
        return (*self.one_of, *(v for v in found if v is not None))


class Qualification(Document):
    """Events of ``dataset`` that count: those that meet all of ``where``.

    Questions name it (``qualified = "viewable"``). A changed definition takes the next version, in the next version
    of the contract; one name may stand for a definition in each of several datasets.
    """

    name: Name
    version: Annotated[int, Field(ge=1)]
    dataset: Name
    title: Label
    where: Annotated[tuple[QualifyingTest, ...], Field(min_length=1, max_length=16)]

    @property
    def label(self) -> str:
        """How results name it."""
        return f"{self.name} v{self.version}"


def problems_of(
    qualifications: tuple[Qualification, ...], datasets: tuple[Dataset, ...]
) -> Iterator[tuple[str, str]]:
    """What is wrong beside the contract's datasets: (key path, sentence)."""
    seen: set[tuple[str, str]] = set()
    for item in qualifications:
        path = f"qualifications[{item.name}]"
        if (item.name, item.dataset) in seen:
            yield path, f"is given twice for {item.dataset!r}; a contract holds one version of each"
        seen.add((item.name, item.dataset))
        owner = next((d for d in datasets if d.name == item.dataset), None)
        if owner is None:
            yield (
                f"{path}.dataset",
                f"there is no dataset {item.dataset!r}; add it or correct the name",
            )
            continue
        for test in item.where:
            at = f"{path}.where[{test.column}]"
            column = owner.column(test.column)
            if column is None:
                known = ", ".join(c.name for c in owner.columns) or "none"
                yield at, f"{owner.name!r} has no such column; its columns: {known}"
            else:
                yield from ((at, problem) for problem in _column_problems(column, test))


def _column_problems(column: Column, test: QualifyingTest) -> Iterator[str]:
    if "filter" not in column.uses:
        yield 'the column may not be filtered by; give it the use "filter" or another column'
        return
    if column.kind == "time":
        yield "a time cannot qualify events; questions bound times by starts and ends"
        return
    ranged = test.at_least is not None or test.at_most is not None
    if ranged and column.kind in ("category", "boolean"):
        yield f"the column is a {column.kind}, which has no order; use equals or one_of"
    for value in test.values():
        if column.kind == "category" and value not in column.values:
            yield f"{value!r} is not in the column's list of values"
        elif column.kind == "boolean" and not isinstance(value, bool):
            yield "the column is a boolean; compare with true or false"
        elif column.maximum is not None and (
            isinstance(value, bool | str) or not 0 <= value <= column.maximum
        ):
            yield f"compare with a whole number from 0 to {column.maximum}"


def in_words(test: QualifyingTest) -> str:
    """The test as a person reads it."""
    if test.one_of:
        return f"{test.column} is one of {', '.join(map(_word, test.one_of))}"
    if test.equals is not None:
        return f"{test.column} is {_word(test.equals)}"
    low = "" if test.at_least is None else f"at least {test.at_least:,}"
    high = "" if test.at_most is None else f"at most {test.at_most:,}"
    return f"{test.column} is " + " and ".join(part for part in (low, high) if part)


def _word(value: Word) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
