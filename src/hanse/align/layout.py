"""How a provider's private columns lie in its rows: word 0 is the id, fields are packed behind it.

Fields are bits of a declared width: a flag is one bit and cannot be two, a value is capped by its width,
whatever a provider sends. The layout follows from the job's specification, so it is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Fault

U64 = NDArray[np.uint64]


@dataclass(frozen=True)
class Field:
    """``bits`` bits (1..64) named ``name``; ``word`` and ``shift`` say where."""

    name: str
    bits: int
    word: int
    shift: int


@dataclass(frozen=True)
class Layout:
    """The fields of one provider's rows."""

    fields: tuple[Field, ...]
    width: int  # words a row, the id included

    @staticmethod
    def pack(sizes: list[tuple[str, int]]) -> Layout:
        """Place fields of the given widths, first fit; a field lies within one word."""
        room: list[int] = []
        fields = []
        for name, bits in sizes:
            if not 1 <= bits <= 64:
                raise Fault(
                    "align.layout", f"the field {name} wants {bits} bits; a field has 1..64"
                )
            word = next((w for w, used in enumerate(room) if used + bits <= 64), len(room))
            if word == len(room):
                room.append(0)
            fields.append(Field(name, bits, word + 1, room[word]))
            room[word] += bits
        if len({f.name for f in fields}) != len(fields):
            raise Fault("align.layout", "two fields have the same name")
        return Layout(tuple(fields), 1 + len(room))

    def field(self, name: str) -> Field:
        """The field called ``name``."""
        for known in self.fields:
            if known.name == name:
                return known
        raise Fault("align.layout", f"there is no field {name!r}")

    def fill(self, rows: U64, name: str, values: NDArray[np.generic]) -> None:
        """Write a field's values [rows] into ``rows`` [rows, width]; `Fault` if one is too large."""
        field = self.field(name)
        unsigned = values.astype(np.uint64)
        if field.bits < 64 and (unsigned >> np.uint64(field.bits)).any():
            raise Fault("align.value", f"a value of {name!r} does not fit {field.bits} bits")
        rows[:, field.word] |= unsigned << np.uint64(field.shift)


@dataclass(frozen=True)
class Part:
    """Fields of some people of one provider, from one dataset: ids [n] strictly rising, values [n].

    ``home`` are columns [n, ...] that stay at the provider: what it programs with (`align.programs`).
    """

    ids: U64
    fields: dict[str, NDArray[np.generic]]
    home: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)


def merged(parts: list[Part], layout: Layout) -> tuple[U64, U64]:
    """(ids [n], rows [n, width]) of all people in any part; fields a part lacks are zero."""
    if len(parts) == 1:
        ids = parts[0].ids
    else:
        ids = np.unique(np.concatenate([p.ids for p in parts] or [np.empty(0, np.uint64)]))
    rows = np.zeros((ids.size, layout.width), np.uint64)
    for part in parts:
        same = part.ids.size == ids.size
        target = rows if same else np.zeros((part.ids.size, layout.width), np.uint64)
        for name, values in part.fields.items():
            layout.fill(target, name, values)
        if not same:
            rows[np.searchsorted(ids, part.ids)] |= target
    return ids, rows
