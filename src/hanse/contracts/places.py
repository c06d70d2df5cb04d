"""Lists of places in a contract: which list, which places nobody may ask about, and who holds its content.

A contract names a gazetteer by its digest. A `Library` is what a party brings to planning: the lists it holds. Both
are pure; where the lists lie is the node's affair.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from hanse.contracts.fields import Document, Hash, Label, Name
from hanse.errors import Refusal
from hanse.problems import ProblemsError

if TYPE_CHECKING:
    from hanse.catalog.gazetteers import Gazetteer
    from hanse.contracts.terms import Contract

MAX_PLACES = 200_000


class GazetteerClause(Document):
    """A list of places that all parties hold: the digest of its content, and how many places it has.

    ``excluded`` are types of places that are refused besides the built-in sensitive ones.
    """

    name: Name
    places: Annotated[int, Field(ge=1, le=MAX_PLACES)]
    digest: Hash
    excluded: Annotated[tuple[Label, ...], Field(max_length=1000)] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        twice = sorted({kind for kind in self.excluded if self.excluded.count(kind) > 1})
        if twice:
            raise ProblemsError([("excluded", f"{twice[0]!r} is named twice; name it once")])
        return self


def _none(_digest: str) -> None:
    return None


@dataclass(frozen=True)
class Library:
    """The gazetteers that a party holds; ``find`` gives one by its digest, None if it is not held."""

    find: Callable[[str], Gazetteer | None] = field(default=_none, repr=False)

    @classmethod
    def of(cls, *held: Gazetteer) -> Library:
        """A library of these."""
        found: Mapping[str, Gazetteer] = {g.digest: g for g in held}
        return cls(found.get)

    def gazetteer(self, contract: Contract, name: str) -> Gazetteer:
        """The list that the contract calls ``name``.

        Raises `Refusal` ``contract.gazetteer`` (the contract names no such list) or ``gazetteer.missing`` (this
        party does not hold it).
        """
        clause = contract.gazetteer(name)
        if clause is None:
            known = ", ".join(item.name for item in contract.gazetteers)
            raise Refusal(
                "contract.gazetteer",
                f"the contract has no list of places {name!r}",
                remedy=f"use one of: {known}"
                if known
                else "agree on a contract with [[gazetteers]]",
                where=f"contract {contract.id}",
            )
        found = self.find(clause.digest)
        if found is None or found.digest != clause.digest or len(found) != clause.places:
            raise Refusal(
                "gazetteer.missing",
                f"the list of places {name!r} ({clause.places:,} places, digest {clause.digest}) is not held "
                "at this node",
                remedy="get the file from a party that holds it and run 'hanse places add FILE'; "
                "'hanse places list' shows the digests that are held",
                where=f"contract {contract.id}, gazetteer {name}",
            )
        return found
