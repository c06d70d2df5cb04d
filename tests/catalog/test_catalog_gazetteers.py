"""Lists of places: the same content everywhere whatever the file, every way to be wrong, sensitive types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h3
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from hanse.catalog.gazetteers import (
    MOST_PLACES,
    RESOLUTION,
    from_table,
    read_gazetteer,
    sensitive,
)
from hanse.errors import Fault

PLACES: dict[str, list[Any]] = {
    "id": ["s-2", "c-9", "m-1"],
    "name": ["Corner shop", "Eye clinic", "Mall"],
    "type": ["shop", "Clinics", "mall"],
    "lat": [37.5, 37.51, -12.25],
    "lon": [127.0, 127.01, 0.0],
    "district": ["north", "north", "south"],
}


def table(**changed: Any) -> pa.Table:
    columns = {**PLACES, **changed}
    return pa.table({name: column for name, column in columns.items() if column is not None})


def test_places_are_in_the_order_of_their_ids_with_cells() -> None:
    found = from_table(table())
    assert found.ids == ("c-9", "m-1", "s-2")
    assert found.position == {"c-9": 0, "m-1": 1, "s-2": 2}
    assert found.lat.tolist() == [37.51, -12.25, 37.5]
    assert found.h3 == tuple(
        h3.latlng_to_cell(lat, lon, RESOLUTION)
        for lat, lon in [(37.51, 127.01), (-12.25, 0.0), (37.5, 127.0)]
    )
    assert found.cities == ("", "", "")
    names, groups = found.grouped("district")
    assert [names[g] for g in groups] == ["north", "south", "north"]
    with pytest.raises(ValueError, match="read-only"):
        found.lat[0] = 1.0


def test_the_digest_is_of_the_content_alone(tmp_path: Path) -> None:
    first = from_table(table())
    turned = table().take([2, 0, 1]).select(["lon", "type", "id", "district", "lat", "name"])
    pa.parquet.write_table(turned, tmp_path / "places.parquet")
    pa.csv.write_csv(turned, tmp_path / "places.csv")
    for name in ("places.parquet", "places.csv"):
        read = read_gazetteer(tmp_path / name)
        assert read == first
        assert read.digest == first.digest
    assert from_table(first.to_arrow()) == first
    nearly = from_table(table(lat=[37.5 + 1e-9, 37.51, -12.25]))
    assert nearly.digest == first.digest
    for other in (
        {"lat": [37.5001, 37.51, -12.25]}, {"name": ["Shop", "Eye clinic", "Mall"]},
        {"type": ["shop", "Clinics", "shop"]}, {"district": None}, {"id": ["s-3", "c-9", "m-1"]},
    ):  # fmt: skip
        assert from_table(table(**other)) != first


@pytest.mark.parametrize(
    ("changed", "code", "told"),
    [
        ({"id": ["a", "b", "a"]}, "gazetteer.duplicate", "'a'"),
        ({"id": ["a", None, "c"]}, "gazetteer.id", "place 2"),
        ({"type": ["shop", "", "mall"]}, "gazetteer.text", "'c-9'"),
        ({"lat": [37.5, 90.5, 0.0]}, "gazetteer.coordinates", "lat of the place 'c-9'"),
        ({"lon": ["127", "east", "0"]}, "gazetteer.coordinates", "lon of the place 'c-9'"),
        ({"lat": [float("nan"), 1.0, 0.0]}, "gazetteer.coordinates", "lat of the place 's-2'"),
        ({"h3": ["", "8830e1d9b3fffff", "nonsense"]}, "gazetteer.cell", "'m-1'"),
        ({"h3": ["", h3.latlng_to_cell(1, 1, 7), ""]}, "gazetteer.cell", "'c-9'"),
        ({"name": ["x" * 501, "b", "c"]}, "gazetteer.text", "'s-2'"),
        ({"lon": None}, "catalog.missing-column", "'lon'"),
        ({"type": None}, "catalog.missing-column", "'type'"),
        (
            {name: [] for name in PLACES} | {"lat": pa.array([], pa.float64())},
            "gazetteer.size",
            "no places",
        ),
    ],
)
def test_what_is_wrong_is_named(changed: dict[str, Any], code: str, told: str) -> None:
    with pytest.raises(Fault) as caught:
        from_table(table(**changed), "towns")
    assert caught.value.code == code
    assert told in caught.value.message
    assert "towns" in caught.value.where
    assert caught.value.remedy


def test_a_list_has_a_largest_size() -> None:
    numbers = np.arange(MOST_PLACES + 1)
    columns = {
        "id": numbers.astype(str), "name": numbers.astype(str), "type": np.full(len(numbers), "x"),
        "lat": np.zeros(len(numbers)), "lon": np.zeros(len(numbers)),
    }  # fmt: skip
    with pytest.raises(Fault) as caught:
        from_table(pa.table(columns))
    assert caught.value.code == "gazetteer.size"
    assert "200,000" in caught.value.message


def test_sensitive_types_are_found_by_their_words() -> None:
    bad = {
        "clinic", "Private Clinics", "dog-clinic", "hospital", "Church", "churches", "amenity:mosque",
        "Pre-School", "school", "kindergarten", "place_of_worship", "homeless shelter", "food bank",
        "military", "Army base", "小学", "人民医院", "派出所",
    }  # fmt: skip
    good = {
        "shop",
        "mall",
        "schoolbag shop",
        "churchill monument",
        "restaurant",
        "商场",
        "car park",
    }
    assert sensitive(bad | good) == bad
    assert sensitive(good, ["Car parks"]) == {"car park"}
    assert sensitive(good, ["restaurant", "商"]) == {"restaurant", "商场"}
    assert sensitive(good, ["", "-"]) == set()
    assert from_table(table()).sensitive(["malls"]).tolist() == [True, True, False]
