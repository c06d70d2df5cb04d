"""What a credited column can credit: values of a category, joined or not; places, or the areas they lie in.

All of it is public: lists of the contract and of the gazetteer. Sensitive places are never credited.
"""

from __future__ import annotations

import numpy as np

from hanse.contracts import Contract, Library, Use
from hanse.errors import Refusal
from hanse.measure.attribution.question import Touch
from hanse.measure.questions import column_of

Names = dict[str, tuple[str, ...]]


def credited(
    touch: Touch, contract: Contract, library: Library, uses: list[Use]
) -> tuple[tuple[str, ...], Names, int]:
    """(public list, channel -> its values, sensitive places left out) of the credited column."""
    column = column_of(contract, touch.dataset, touch.credit or "")
    where = f"dataset {touch.dataset}, column {column.name}"
    if column.kind == "place" and column.gazetteer is not None:
        uses.append(Use(dataset=touch.dataset, column=column.name, purpose="place"))
        return _places(touch, contract, library, column.gazetteer, where)
    if column.kind != "category":
        raise Refusal("contract.purpose", f"column {column.name!r} is a {column.kind}, which cannot be credited",
                      remedy="credit a category or place column, or give the source a name",
                      where=where)  # fmt: skip
    if touch.places is not None or touch.level != "place":
        raise Refusal("question.credit", f"column {column.name!r} is a category, not a place",
                      remedy="leave out places and level; `merge` joins values", where=where)  # fmt: skip
    uses.append(Use(dataset=touch.dataset, column=column.name, purpose="segment"))
    if touch.merge is None:
        return column.values, {value: (value,) for value in column.values}, 0
    # A merge is an object in JSON, whose keys have no order: sorted, so that all nodes number alike.
    merged = dict(sorted(touch.merge.items()))
    named = [value for members in merged.values() for value in members]
    for value in named:
        if value not in column.values or named.count(value) > 1:
            raise Refusal("contract.value", f"a channel merges {value!r}, which is not a value of "
                          f"{column.name!r} or is merged twice",
                          remedy="use each of " + ", ".join(column.values) + " at most once",
                          where=where)  # fmt: skip
    return column.values, merged, 0


def _places(
    touch: Touch, contract: Contract, library: Library, name: str, where: str
) -> tuple[tuple[str, ...], Names, int]:
    """Places as channels, or the areas they lie in; sensitive ones are refused, or left out of a whole list."""
    if touch.merge is not None:
        raise Refusal("question.credit", "places are joined by `level`, not by `merge`",
                      remedy='ask with level = "district", "city", "h3" or "type"', where=where)  # fmt: skip
    gazetteer = library.gazetteer(contract, name)
    clause = contract.gazetteer(name)
    hidden = gazetteer.sensitive(clause.excluded if clause is not None else ())
    if touch.places is None:
        chosen = np.flatnonzero(~hidden).tolist()
    else:
        unknown = [p for p in touch.places if p not in gazetteer.position]
        chosen = sorted({gazetteer.position[p] for p in touch.places if p not in unknown})
        bad = [gazetteer.ids[i] for i in chosen if hidden[i]]
        if unknown or bad:
            raise Refusal(
                "places.unknown" if unknown else "places.sensitive",
                f"{(unknown or bad)[0]!r} is " + (f"no place of the list {name!r}" if unknown else
                                                  "a place of a sensitive type: nobody may ask who is there"),
                remedy="name places of the list that are not sensitive", where=where,
            )  # fmt: skip
    groups, owner = gazetteer.grouped(touch.level)
    names: dict[str, list[str]] = {}
    for i in chosen:
        group = groups[owner[i]] or "unknown"
        channel = f"{gazetteer.names[i]} ({group})" if touch.level == "place" else group
        names.setdefault(channel, []).append(gazetteer.ids[i])
    listed = tuple(gazetteer.ids[i] for i in chosen)
    left_out = int(hidden.sum()) if touch.places is None else 0
    return listed, {channel: tuple(ids) for channel, ids in sorted(names.items())}, left_out
