"""Who is meant: crowds of several organisations combined with any, all, none and at least m of n.

An expression is public; its members never are. On shares every person gets one bit, and nothing opens.
Reveals: nothing. Assumes: semi-honest seats, honest majority.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from hanse.engine.boolean import all_planes, and_, any_plane
from hanse.engine.session import Session
from hanse.engine.shares import Bits, join_planes, stack
from hanse.errors import Refusal
from hanse.measure.fields import CrowdField
from hanse.measure.questions import Condition, Name, Question, Source

MOST_LEAVES = 32
MOST_DEPTH = 8
Kind = Literal["field", "least", "none"]


class Crowd(Question):
    """A crowd: people of one dataset, or a combination of crowds. Exactly one kind of thing is said.

    A leaf names a ``dataset`` (with ``where``, ``qualified``, ``at_least`` events, and its own ``starts`` and
    ``ends`` where they differ from the question's). ``any_of``, ``all_of``, ``none_of`` and ``least`` with ``of``
    (in at least so many of these) combine; ``none_of`` only narrows something positive.
    """

    dataset: Name | None = None
    qualified: Name | None = None
    where: tuple[Condition, ...] = ()
    at_least: Annotated[int, Field(ge=1, le=32)] = 1
    starts: date | None = None
    ends: date | None = None
    any_of: tuple[Crowd, ...] = ()
    all_of: tuple[Crowd, ...] = ()
    none_of: tuple[Crowd, ...] = ()
    of: tuple[Crowd, ...] = ()
    least: Annotated[int, Field(ge=1, le=MOST_LEAVES)] | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        groups = (self.any_of, self.all_of, self.none_of, self.of)
        if (self.dataset is not None) + sum(bool(g) for g in groups) != 1:
            raise ValueError("give exactly one of dataset, any_of, all_of, none_of, of")
        told = self.where or self.at_least != 1 or self.starts or self.ends or self.qualified
        if self.dataset is None and told:
            raise ValueError("where, qualified, at_least, starts and ends belong beside a dataset")
        if bool(self.of) != (self.least is not None) or (self.least or 0) > len(self.of or (0,)):
            raise ValueError("least and of come together, and least is at most their number")
        if (self.starts is None) != (self.ends is None):
            raise ValueError("give both starts and ends, or neither")
        if self.starts is not None and self.ends is not None and self.starts >= self.ends:
            raise ValueError("ends must be later than starts")
        if self.depth() > MOST_DEPTH or sum(1 for _ in self.leaves()) > MOST_LEAVES:
            raise ValueError(
                f"more than {MOST_LEAVES} crowds, or nested more than {MOST_DEPTH} deep"
            )
        return self

    def parts(self) -> tuple[Crowd, ...]:
        """What is combined; nothing for a leaf."""
        return self.any_of or self.all_of or self.none_of or self.of

    def depth(self) -> int:
        return 1 + max((p.depth() for p in self.parts()), default=0)

    def leaves(self) -> Iterator[Crowd]:
        if self.dataset is not None:
            yield self
        for part in self.parts():
            yield from part.leaves()

    def source(self) -> Source:
        """A leaf's events."""
        return Source(
            dataset=self.dataset or "",
            qualified=self.qualified,
            where=self.where,
            at_least=self.at_least,
        )


@dataclass(frozen=True)
class Expression:
    """A planned crowd: a field, or in at least ``least`` of ``parts``, or in none of them."""

    kind: Kind
    field: CrowdField | None = None
    parts: tuple[Expression, ...] = ()
    least: int = 1

    def fields(self) -> Iterator[CrowdField]:
        if self.field is not None:
            yield self.field
        for part in self.parts:
            yield from part.fields()

    def holds(self, member: Callable[[CrowdField], bool]) -> bool:
        """In the clear: is somebody a member, given which fields hold of them?"""
        if self.field is not None:
            return member(self.field)
        true = sum(p.holds(member) for p in self.parts)
        return true == 0 if self.kind == "none" else true >= self.least

    def possible(self, known_to: Collection[str]) -> bool:
        """Can somebody be a member who is known to these providers only?"""
        if self.field is not None:
            return self.field.provider in known_to
        if self.kind == "none":
            return True
        return sum(p.possible(known_to) for p in self.parts) >= self.least


def expression(crowd: Crowd, leaf: Callable[[Crowd], CrowdField]) -> Expression:
    """The crowd as an expression, its leaves planned by ``leaf``.

    `Refusal` ``question.crowd`` if people whom nobody knows would belong to it.
    """
    found = _expression(crowd, leaf)
    if found.holds(lambda _field: False):
        raise Refusal(
            "question.crowd",
            "a crowd says only who is not in it, and nobody can count the people whom nobody knows",
            remedy="combine none_of with a positive crowd: all_of = [crowd, {none_of = [...]}]",
        )
    return found


def _expression(crowd: Crowd, leaf: Callable[[Crowd], CrowdField]) -> Expression:
    if crowd.dataset is not None:
        return Expression("field", leaf(crowd))
    parts = tuple(_expression(p, leaf) for p in crowd.parts())
    if crowd.none_of:
        return Expression("none", None, parts)
    least = len(parts) if crowd.all_of else 1 if crowd.any_of else (crowd.least or 1)
    return Expression("least", None, parts, least)


def evaluate(
    s: Session, member: Callable[[CrowdField], Bits], crowd: Expression, step: str
) -> Bits:
    """One plane [words]: who is in the crowd. ``member`` gives a field's plane [words]."""
    if crowd.field is not None:
        return member(crowd.field)
    found = [
        evaluate(s, member, part, f"{step}.{number}") for number, part in enumerate(crowd.parts)
    ]
    planes = stack(found)
    if crowd.kind == "none":
        return s.invert(any_plane(s, planes, f"{step}.none"))
    if crowd.least == 1:
        return any_plane(s, planes, f"{step}.any")
    if crowd.least == len(found):
        return all_planes(s, planes, f"{step}.all")
    return _at_least(s, found, crowd.least, f"{step}.least")


def _at_least(s: Session, planes: list[Bits], least: int, step: str) -> Bits:
    """At least ``least`` of the planes: reached[j] says that more than j of those seen so far hold.

    They nest, so counting one plane in is a select: reached[j] becomes reached[j - 1] where it holds.
    """
    words = planes[0].shape[-1]
    none = np.zeros((least, words), np.uint64)
    reached = Bits(none, none, planes[0].rows)
    always = s.public_bits(np.full((1, words), ~np.uint64(0)), planes[0].rows)
    for number, plane in enumerate(planes):
        below = join_planes([always, reached[: least - 1]])
        reached = reached ^ and_(s, plane.reshape(1, words), below ^ reached, f"{step}.{number}")
    return reached[least - 1]
