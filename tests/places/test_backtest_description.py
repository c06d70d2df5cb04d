"""A description that cannot be run is one error that names the key, the column or the days."""

from __future__ import annotations

from pathlib import Path

import pytest

from hanse.errors import Fault
from hanse.places.backtest.tables import load

_GOOD = """
test = ["2024-03-01", "2024-03-20"]
[places]
path = "places.csv"
key = "place"
latitude = "lat"
longitude = "lon"
[owner]
path = "counts.csv"
key = "place"
date = "day"
value = "people"
[[map]]
path = "places.csv"
key = "place"
values = "shops"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    names = ["a", "b", "c"]
    lines = [f"{n},-36.8{i},174.7{i},{i + 1}" for i, n in enumerate(names)]
    (tmp_path / "places.csv").write_text("place,lat,lon,shops\n" + "\n".join(lines) + "\n")
    days = [f"2024-{1 + d // 28:02d}-{1 + d % 28:02d}" for d in range(80)]
    rows = [f"{n},{day},{100 + d}" for n in names for d, day in enumerate(days)]
    (tmp_path / "counts.csv").write_text("place,day,people\n" + "\n".join(rows) + "\n")
    return tmp_path


def described(folder: Path, old: str = "", new: str = "") -> Path:
    assert old in _GOOD
    path = folder / "city.toml"
    path.write_text(_GOOD.replace(old, new, 1) if old else _GOOD)
    return path


def test_a_good_description_is_read(folder: Path) -> None:
    found = load(described(folder))
    assert found.city.ground.keys == ("a", "b", "c")
    assert len(found.test) == 20
    assert found.holders == ["map"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('["2024-03-01", "2024-03-20"]', '"2024"', "not a first and a last day"),
        ('["2024-03-01", "2024-03-20"]', '["x", "y"]', "not a first and a last day"),
        ('["2024-03-01", "2024-03-20"]', '["2024-03-20", "2024-03-01"]', "no span of days"),
        ('["2024-03-01", "2024-03-20"]', '["2025-03-01", "2025-03-20"]', "no place was counted"),
        ('["2024-03-01", "2024-03-20"]', '["2024-01-09", "2024-03-20"]', "8 days were counted before"),
        ('key = "place"\nlatitude', 'key = "name"\nlatitude', "no column 'name'"),
        ('latitude = "lat"', 'latitude = "north"', "no column 'north'"),
        ('latitude = "lat"\nlongitude = "lon"\n', "", "coordinates are needed"),
        ('value = "people"\n', "", "'value' is missing"),
        ('value = "people"', 'value = "people"\ncolour = 1', "'colour' is no key here"),
        ('values = "shops"', 'values = "inns*"', "no column matches"),
        ('values = "shops"', "", "'values' is missing"),
        ('path = "counts.csv"', 'path = "gone.csv"', "not there"),
    ],
)  # fmt: skip
def test_a_bad_description_is_one_error(folder: Path, old: str, new: str, says: str) -> None:
    with pytest.raises(Fault, match=says) as caught:
        load(described(folder, old, new))
    assert caught.value.code == "bench.config"
    assert caught.value.remedy
