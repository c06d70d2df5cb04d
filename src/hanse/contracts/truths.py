"""What "the crowd" of a place is: agreed in the contract, so that everybody predicts and publishes the same number.

A truth names what is counted, who counts it, how wrong the source itself is, and how late. A prediction cannot be
better than the source that judges it; two parties that mean different things by "visitors" would train on noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hanse.contracts.fields import Document, Label, Name, Slug, TimeOfDay, TimeZone
from hanse.problems import ProblemsError

Measure = Literal["arrivals", "people", "dwell"]
LeftOut = Literal["residents", "staff", "passers-by"]

MEASURES: dict[Measure, str] = {
    "arrivals": "arrivals: how often somebody comes in; who comes twice counts twice",
    "people": "unique person-days: each person once a day, however often",
    "dwell": "dwell: the minutes that all people together stay",
}


class TruthClause(Document):
    """The crowd of the places of a list, as one party counts it.

    ``error`` is the source's own relative error (one standard deviation), ``lateness`` the days until a day is
    reported. Stays shorter than ``minimum_stay`` minutes do not count, nor do people of ``leaves_out``. A day is
    one of ``zone`` (IANA), from ``day_starts``.
    """

    name: Name
    title: Label
    measures: Measure
    provider: Slug
    gazetteer: Name
    error: Annotated[float, Field(ge=0, lt=1)]
    lateness: Annotated[int, Field(ge=0, le=400)]
    zone: TimeZone
    day_starts: TimeOfDay = "00:00"
    minimum_stay: Annotated[int, Field(ge=0, le=1440)] = 0
    leaves_out: tuple[LeftOut, ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        found = []
        if self.measures == "dwell" and not self.minimum_stay:
            found.append(("minimum_stay", "is missing; dwell needs the shortest stay that counts"))
        if "passers-by" in self.leaves_out and not self.minimum_stay:
            found.append(("minimum_stay", "is missing; it is what tells passers-by from visitors"))
        if len(set(self.leaves_out)) < len(self.leaves_out):
            found.append(("leaves_out", "names a group twice; name it once"))
        if found:
            raise ProblemsError(found)
        return self


def truth_problems(
    truths: Iterable[TruthClause], parties: Iterable[str], gazetteers: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """What is wrong beside the rest of the contract: (key path, sentence)."""
    known, lists = set(parties), set(gazetteers)
    seen: set[str] = set()
    for one in truths:
        path = f"truths[{one.name}]"
        if one.name in seen:
            yield path, "is given twice; a contract holds one definition of each name"
        seen.add(one.name)
        if one.provider not in known:
            yield (
                f"{path}.provider",
                f"there is no party {one.provider!r}; add it or correct the name",
            )
        if one.gazetteer not in lists:
            yield (
                f"{path}.gazetteer",
                f"there is no gazetteer {one.gazetteer!r}; add it or correct the name",
            )


def truth_in_words(one: TruthClause) -> str:
    """The definition as a person reads it."""
    parts = [f"{one.title} ({one.name!r}) are counted by {one.provider} at the places of {one.gazetteer!r}",
             MEASURES[one.measures]]  # fmt: skip
    if one.minimum_stay:
        parts.append(f"stays below {one.minimum_stay} minutes do not count")
    if one.leaves_out:
        parts.append(f"{' and '.join(one.leaves_out)} are left out")
    parts.append(f"a day is one of {one.zone} from {one.day_starts}")
    parts.append(
        f"the count itself is off by about {one.error:.0%} and comes after {one.lateness} days"
    )
    return "; ".join(parts) + "."
