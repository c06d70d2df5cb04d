"""Which places are asked about, and the areas that they make up. All public, so equal at every party.

Sensitive places (`catalog.gazetteers.sensitive`, and what the contract excludes) are refused where they are named,
and left out of a whole list; how many were left out is told.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.catalog.gazetteers import Gazetteer, sensitive
from hanse.errors import Refusal
from hanse.places.concentration.questions import Level

_SHOWN = 5


@dataclass(frozen=True, eq=False)
class PlaceList:
    """The places of a gazetteer that a question is about: ``chosen`` [places] are their numbers in the list."""

    gazetteer: Gazetteer
    chosen: NDArray[np.int64]
    left_out: int  # sensitive places, of those that were asked about

    def __len__(self) -> int:
        return int(self.chosen.size)

    def code_of(self) -> NDArray[np.int64]:
        """From 1 + a place's number in the gazetteer to 1 + its number here; 0 for 0 and for the others."""
        codes = np.zeros(len(self.gazetteer) + 1, np.int64)
        codes[self.chosen + 1] = 1 + np.arange(self.chosen.size)
        return codes

    def areas(self, level: Level) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """(names of the areas, each chosen place's area [places]); places without a name of theirs: "unknown"."""
        names, owner = self.gazetteer.grouped(level)
        used, area = np.unique(owner[self.chosen], return_inverse=True)
        return tuple(names[i] or "unknown" for i in used.tolist()), area.reshape(-1).astype(
            np.int64
        )


def place_list(
    gazetteer: Gazetteer,
    excluded: tuple[str, ...],
    places: tuple[str, ...] | None,
    types: tuple[str, ...] | None,
    where: str,
) -> PlaceList:
    """The places asked about: those named, those of the types named, or all."""
    hidden = gazetteer.sensitive(excluded)
    if places is not None:
        return PlaceList(gazetteer, _named(gazetteer, hidden, places, where), 0)
    chosen = np.ones(len(gazetteer), np.bool_)
    if types is not None:
        _check_types(gazetteer, excluded, types, where)
        chosen = np.isin(np.array(gazetteer.types), types)
    left_out = int((chosen & hidden).sum())
    kept = np.flatnonzero(chosen & ~hidden)
    if not kept.size:
        raise Refusal("places.none", "no place is left to ask about: all are of sensitive types",
                      remedy="ask about other types of places", where=where)  # fmt: skip
    return PlaceList(gazetteer, kept, left_out)


def _named(
    gazetteer: Gazetteer, hidden: NDArray[np.bool_], places: tuple[str, ...], where: str
) -> NDArray[np.int64]:
    unknown = [p for p in places if p not in gazetteer.position]
    if unknown:
        raise Refusal("places.unknown", f"the public list has no place {_some(unknown)}",
                      remedy="use ids of the list of places that the contract names", where=where)  # fmt: skip
    numbers = np.unique([gazetteer.position[p] for p in places]).astype(np.int64)
    bad = [gazetteer.ids[i] for i in numbers[hidden[numbers]].tolist()]
    if bad:
        kinds = sorted({gazetteer.types[gazetteer.position[p]] for p in bad})
        raise Refusal(
            "places.sensitive",
            f"nobody may ask who is at {_some(bad)}: a place of a sensitive type ({_some(kinds)})",
            remedy="leave out clinics, places of worship, shelters, schools, military places and what the "
            "contract excludes",
            where=where,
        )  # fmt: skip
    return numbers


def _check_types(
    gazetteer: Gazetteer, excluded: tuple[str, ...], types: tuple[str, ...], where: str
) -> None:
    bad = sorted(sensitive(types, excluded))
    if bad:
        raise Refusal("places.sensitive", f"nobody may ask about places of the sensitive type {_some(bad)}",
                      remedy="ask about other types of places", where=where)  # fmt: skip
    unknown = sorted(set(types) - set(gazetteer.types))
    if unknown:
        known = sorted(set(gazetteer.types) - sensitive(gazetteer.types, excluded))
        raise Refusal("places.unknown", f"the public list has no places of the type {_some(unknown)}",
                      remedy=f"use types of the list: {_some(known, 20)}", where=where)  # fmt: skip


def _some(names: list[str], most: int = _SHOWN) -> str:
    rest = len(names) - most
    shown = ", ".join(repr(n) for n in names[:most])
    return shown + (f" and {rest} more" if rest > 0 else "")
