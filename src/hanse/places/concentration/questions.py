"""The words in which the concentration of target groups at places is asked for."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hanse.measure.algebra import Crowd
from hanse.measure.questions import Condition, Name, Question

MOST_TARGETS = 8
MOST_FACETS = 3
MOST_SLOTS = 8
MOST_SITES = 1000
MOST_COMPARED = 12
Level = Literal["place", "h3", "district", "city"]
LEVELS: tuple[Level, ...] = ("place", "h3", "district", "city")
PlaceId = Annotated[str, Field(min_length=1, max_length=128)]
Amount = Annotated[float, Field(ge=0, le=1e12)]


class Whereabouts(Question):
    """Where people are: a place column of one dataset, homes, workplaces and visits apart.

    ``slots`` is at how many different places a person counts: 1 where people live or work (the place that most
    of their rows name), more for places of visit (the first ones within the question's period). Only rows that
    meet ``where`` (and ``qualified``, a qualification of the contract) count, and only those that name a place
    that is asked about.
    """

    name: Name
    dataset: Name
    column: Name
    qualified: Name | None = None
    where: tuple[Condition, ...] = ()
    slots: Annotated[int, Field(ge=1, le=MOST_SLOTS)] = 1


class Sites(Question):
    """A list of sites for advertising: at most ``sites`` of them, or as many as ``money`` pays.

    Sites are taken by the people of ``target`` there (``by`` "people", per money where there are ``prices``), or by
    its TGI, among those whose TGI reaches ``floor``.
    """

    target: Name
    at: Name | None = None
    sites: Annotated[int, Field(ge=1, le=MOST_SITES)] = 10
    by: Literal["people", "tgi"] = "people"
    floor: Annotated[float, Field(ge=0, le=100_000)] = 0.0
    prices: dict[PlaceId, Amount] = Field(default_factory=dict)
    money: Annotated[float, Field(gt=0, le=1e15)] | None = None

    @model_validator(mode="after")
    def _priced(self) -> Self:
        if self.money is not None and not self.prices:
            raise ValueError("money needs prices")
        return self


class Population(Question):
    """How many people live in each area of ``level``, by the area's name: what shares are extrapolated to."""

    level: Literal["district", "city"] = "district"
    people: Annotated[dict[Name, Annotated[int, Field(ge=0, le=10**10)]], Field(min_length=1)]
    at: Name | None = None


class ConcentrationQuestion(Question):
    """Where target groups are found more often than elsewhere.

    ``targets`` are crowds by name; ``base`` is what they are compared with (by default everybody in the
    targets' datasets). ``at`` says where people are; ``levels`` which areas are told, each with its part of
    epsilon (``shares``, by default equal parts). ``places`` or ``types`` narrow the public list.
    ``least`` people must be in an area for it to be ranked, ``top`` areas are shown in tables.
    ``compare`` are candidate sites.
    """

    targets: Annotated[dict[Name, Crowd], Field(min_length=1, max_length=MOST_TARGETS)]
    base: Crowd | None = None
    at: Annotated[tuple[Whereabouts, ...], Field(min_length=1, max_length=MOST_FACETS)]
    starts: date
    ends: date
    levels: Annotated[tuple[Level, ...], Field(min_length=1, max_length=4)] = ("place",)
    shares: dict[Level, Annotated[float, Field(gt=0, le=1)]] | None = None
    places: Annotated[tuple[PlaceId, ...], Field(max_length=MOST_SITES)] | None = None
    types: tuple[Name, ...] | None = None
    least: Annotated[int, Field(ge=0)] = 0
    top: Annotated[int, Field(ge=1, le=1000)] = 30
    compare: Annotated[tuple[PlaceId, ...], Field(max_length=MOST_COMPARED)] = ()
    sites: Sites | None = None
    population: Population | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.starts >= self.ends:
            raise ValueError("ends must be later than starts")
        if len({w.name for w in self.at}) < len(self.at):
            raise ValueError("two kinds of whereabouts have the same name")
        if len(set(self.levels)) < len(self.levels):
            raise ValueError("a level is named twice")
        if self.shares is not None and set(self.shares) != set(self.levels):
            raise ValueError("give a share for every level, or none")
        if self.places is not None and (not self.places or self.types is not None):
            raise ValueError("give places or types, not both, and at least one")
        if "base" in self.targets:
            raise ValueError("the name 'base' is taken")
        if (self.compare or self.sites) and "place" not in self.levels:
            raise ValueError("sites are places: ask for the level place, too")
        if self.population is not None and self.population.level not in self.levels:
            raise ValueError("ask for the level of the population, too")
        for part in (self.sites, self.population):
            if part is not None and part.at not in (None, *(w.name for w in self.at)):
                raise ValueError(f"there are no whereabouts {part.at!r}")
        if self.sites is not None and self.sites.target not in self.targets:
            raise ValueError(f"there is no target {self.sites.target!r}")
        return self
