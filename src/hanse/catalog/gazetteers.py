"""Gazetteers: public lists of places that all parties of a contract agree on, so that cells do not depend on data.

A contract names a gazetteer by its digest; every party holds the same file. Places are kept in the order of their
ids, so the place of an id in the list is the same everywhere, whatever order a file was in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import h3
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanse.catalog.expressions import identifier
from hanse.catalog.files import connect, define_view, fetch, find_type, types_of
from hanse.errors import Fault
from hanse.wire.codec import digest

MOST_PLACES = 200_000
RESOLUTION = 8  # of H3 cells: about 0.7 km^2 each
MOST_ID_CHARACTERS = 128
_MOST_TEXT = 500
_REQUIRED = ("id", "name", "type", "lat", "lon")
_OPTIONAL = ("h3", "district", "city")
# 1e-7 degrees are about a centimetre; finer digits would make two copies of one list differ.
_STEPS = 10_000_000

Grouping = Literal["place", "h3", "district", "city", "type"]

# Words that make a type of place sensitive: where somebody is seen there says something about health, belief, need,
# children or state secrets. A type is sensitive if it contains one as a word ("private_clinic", "clinics").
SENSITIVE_WORDS = frozenset(
    {
        # health
        "abortion", "addiction", "clinic", "dentist", "doctor", "healthcare", "hospice", "hospital", "maternity",
        "medical", "nursing", "psychiatry", "rehabilitation", "sanatorium", "therapist",
        # belief
        "abbey", "cathedral", "cemetery", "chapel", "church", "convent", "gurdwara", "monastery", "mosque",
        "religion", "religious", "shrine", "synagogue", "temple", "worship",
        # need
        "asylum", "food_bank", "homeless", "orphanage", "refuge", "shelter", "social_facility",
        # children
        "childcare", "creche", "daycare", "kindergarten", "nursery", "playground", "preschool", "school",
        # the state
        "airbase", "army", "barracks", "consulate", "courthouse", "embassy", "jail", "military", "naval", "navy",
        "police", "prison",
    }
)  # fmt: skip
# The same in Chinese, which has no spaces: any type that contains one of these.
SENSITIVE_SIGNS = (
    "医院", "诊所", "卫生院", "妇幼", "疗养", "养老院", "福利院", "救助", "庇护", "孤儿",
    "教堂", "清真", "寺", "庙", "道观", "宗教",
    "学校", "小学", "中学", "幼儿园", "托儿",
    "军", "监狱", "看守所", "派出所", "公安", "法院", "使馆",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Gazetteer:
    """Places in ascending order of `ids`; all columns have the same length.

    `lat` and `lon` ``float64[places]`` in degrees (WGS 84), `h3` the cell of resolution 8 as text; `district` and
    `city` "" where unknown. Make one with `gazetteer`, `read_gazetteer` or `from_table`, which check.
    """

    ids: tuple[str, ...] = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    types: tuple[str, ...] = field(repr=False)
    lat: NDArray[np.float64] = field(repr=False)
    lon: NDArray[np.float64] = field(repr=False)
    h3: tuple[str, ...] = field(repr=False)
    districts: tuple[str, ...] = field(repr=False)
    cities: tuple[str, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Gazetteer) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the canonical content, in hexadecimal: what a contract names."""
        rows = zip(
            self.ids, self.names, self.types,
            np.rint(self.lat * _STEPS).astype(np.int64).tolist(),
            np.rint(self.lon * _STEPS).astype(np.int64).tolist(),
            self.h3, self.districts, self.cities, strict=True,
        )  # fmt: skip
        return digest({"gazetteer": 1, "places": [list(row) for row in rows]})

    @cached_property
    def position(self) -> dict[str, int]:
        """Place in the list by id, from 0; codes of people's places are 1 + this."""
        return {place: number for number, place in enumerate(self.ids)}

    def grouped(self, by: Grouping) -> tuple[tuple[str, ...], NDArray[np.int32]]:
        """(names of the groups ascending, each place's group ``int32[places]``)."""
        columns: dict[str, Sequence[str]] = {
            "place": self.ids, "h3": self.h3, "district": self.districts, "city": self.cities,
            "type": self.types,
        }  # fmt: skip
        names = sorted(set(columns[by]))
        number = {name: i for i, name in enumerate(names)}
        return tuple(names), np.array([number[name] for name in columns[by]], np.int32)

    def sensitive(self, excluded: Iterable[str] = ()) -> NDArray[np.bool_]:
        """Which places are of a sensitive type ``bool[places]``; ``excluded`` is what the contract adds."""
        bad = sensitive(self.types, excluded)
        return np.array([kind in bad for kind in self.types], np.bool_)

    def to_arrow(self) -> pa.Table:
        """The list as a table, with the columns that `from_table` reads."""
        return pa.table(
            {
                "id": pa.array(self.ids, pa.string()), "name": pa.array(self.names, pa.string()),
                "type": pa.array(self.types, pa.string()), "lat": self.lat, "lon": self.lon,
                "h3": pa.array(self.h3, pa.string()),
                "district": pa.array(self.districts, pa.string()),
                "city": pa.array(self.cities, pa.string()),
            }
        )  # fmt: skip


def sensitive(types: Iterable[str], excluded: Iterable[str] = ()) -> frozenset[str]:
    """Those of ``types`` that are sensitive: by the built-in words, or as ``excluded`` names them.

    Upper and lower case, plurals and marks between words make no difference; an excluded type is also excluded
    where it is one word of several.
    """
    more = [_normal(kind) for kind in excluded]
    words = SENSITIVE_WORDS.union(*map(_singulars, more))
    signs = (*SENSITIVE_SIGNS, *(kind for kind in more if kind and not kind.isascii()))
    return frozenset(
        kind
        for kind in types
        if not words.isdisjoint(_runs(kind)) or any(sign in kind for sign in signs)
    )


def _runs(kind: str) -> set[str]:
    """All runs of neighbouring words in a type, and their singulars."""
    parts = _normal(kind).split("_")
    runs = ("_".join(parts[i:j]) for i in range(len(parts)) for j in range(i + 1, len(parts) + 1))
    return {form for run in runs for form in _singulars(run)}


def _singulars(word: str) -> set[str]:
    return {word, word.removesuffix("s"), word.removesuffix("es")} - {""}


def _normal(kind: str) -> str:
    return "_".join(re.findall(r"\w+", kind.casefold().replace("_", " ")))


# --- reading ----------------------------------------------------------------------------------------


def read_gazetteer(path: Path, name: str = "") -> Gazetteer:
    """The list in a CSV or Parquet file. Raises `Fault` as `gazetteer` does, or what reading a file raises."""
    where = name or path.name
    connection = connect([path])
    try:
        define_view(connection, "places", path, where)
        return _selected(connection, repr(path.name), where)
    finally:
        connection.close()


def from_table(table: pa.Table, name: str = "places") -> Gazetteer:
    """The list in an Arrow table with the columns id, name, type, lat, lon; perhaps h3, district, city."""
    connection = connect([])
    try:
        connection.register("places", table)
        return _selected(connection, f"gazetteer {name!r}", name)
    finally:
        connection.close()


def _selected(connection: Any, label: str, where: str) -> Gazetteer:
    types = types_of(connection, "places")
    for column in _REQUIRED:
        find_type(types, column, label, where)
    wanted = [c for c in (*_REQUIRED, *_OPTIONAL) if c in types]
    chosen = ", ".join(
        f"TRY_CAST({identifier(c)} AS DOUBLE)"
        if c in ("lat", "lon")
        else f"trim(coalesce(CAST({identifier(c)} AS VARCHAR), ''))"
        for c in wanted
    )
    rows = fetch(connection, f"SELECT {chosen} FROM places LIMIT {MOST_PLACES + 1}", where, label)
    columns: dict[str, list[Any]] = {c: [row[i] for row in rows] for i, c in enumerate(wanted)}
    return gazetteer(**columns, where=where)


def gazetteer(
    *, id: Sequence[str], name: Sequence[str], type: Sequence[str],
    lat: Sequence[float | None], lon: Sequence[float | None], h3: Sequence[str] | None = None,
    district: Sequence[str] | None = None, city: Sequence[str] | None = None, where: str = "places",
) -> Gazetteer:  # fmt: skip
    """A checked gazetteer. Raises `Fault` ``gazetteer.size``, ``.id``, ``.duplicate``, ``.text``, ``.coordinates``
    or ``.cell``.
    """
    count = len(id)
    if not 1 <= count <= MOST_PLACES:
        raise _fault("size", f"the list has {'no places' if not count else f'more than {MOST_PLACES:,} places'}",
                     f"list between 1 and {MOST_PLACES:,} places", where)  # fmt: skip
    _check_texts(id, name, type, where)
    order = sorted(range(count), key=lambda i: id[i])
    for before, after in pairwise(order):
        if id[before] == id[after]:
            raise _fault("duplicate", f"the place id {id[after]!r} is there twice",
                         "give every place an id of its own", where)  # fmt: skip
    degrees = [_degrees(values, limit, id, where, axis)
               for values, limit, axis in ((lat, 90.0, "lat"), (lon, 180.0, "lon"))]  # fmt: skip

    def text(values: Sequence[str] | None) -> tuple[str, ...]:
        return ("",) * count if values is None else tuple(values[i] for i in order)

    lats, lons = (np.ascontiguousarray(values[order]) for values in degrees)
    for values in (lats, lons):
        values.setflags(write=False)
    return Gazetteer(text(id), text(name), text(type), lats, lons,
                     _cells(text(h3), lats, lons, text(id), where), text(district), text(city))  # fmt: skip


def _check_texts(
    ids: Sequence[str], names: Sequence[str], types: Sequence[str], where: str
) -> None:
    for number, (place, name, kind) in enumerate(zip(ids, names, types, strict=True), start=1):
        if not place or len(place) > MOST_ID_CHARACTERS:
            raise _fault("id", f"place {number} has no id or one of over {MOST_ID_CHARACTERS} characters",
                         "give every place a short id", where)  # fmt: skip
        if not kind:
            raise _fault("text", f"the place {place!r} has no type",
                         "give every place a type, so that sensitive ones can be left out", where)  # fmt: skip
        if len(name) > _MOST_TEXT or len(kind) > _MOST_TEXT:
            raise _fault("text", f"the name or type of the place {place!r} is over {_MOST_TEXT} characters",
                         "shorten it", where)  # fmt: skip


def _degrees(
    values: Sequence[float | None], limit: float, ids: Sequence[str], where: str, axis: str
) -> NDArray[np.float64]:
    found = np.array([np.nan if v is None else v for v in values], np.float64)
    wrong = np.flatnonzero(~(np.abs(found) <= limit))
    if wrong.size:
        raise _fault(
            "coordinates",
            f"{axis} of the place {ids[int(wrong[0])]!r} is missing or not between -{limit:g} and {limit:g}"
            + (f" (and of {wrong.size - 1} more)" if wrong.size > 1 else ""),
            "give degrees of WGS 84: lat from -90 to 90, lon from -180 to 180",
            where,
        )
    return np.rint(found * _STEPS) / _STEPS + 0.0  # no negative zero


def _cells(
    given: tuple[str, ...], lat: NDArray[np.float64], lon: NDArray[np.float64],
    ids: tuple[str, ...], where: str,
) -> tuple[str, ...]:  # fmt: skip
    """The cells given, checked, and those that are missing, computed."""
    cells = []
    for place, cell, y, x in zip(ids, given, lat.tolist(), lon.tolist(), strict=True):
        if not cell:
            cell = h3.latlng_to_cell(y, x, RESOLUTION)  # noqa: PLW2901 - filled in
        elif not h3.is_valid_cell(cell) or h3.get_resolution(cell) != RESOLUTION:
            raise _fault("cell", f"h3 of the place {place!r} is not a cell of resolution {RESOLUTION}",
                         "correct it, or leave the column h3 out: it is computed then", where)  # fmt: skip
        cells.append(str(cell))
    return tuple(cells)


def _fault(code: str, message: str, remedy: str, where: str) -> Fault:
    return Fault(f"gazetteer.{code}", message, remedy=remedy, where=f"gazetteer {where}")
