"""Registering: what is checked, what is reported, and one clear error for everything that is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from hanse.catalog import Dataset, register
from hanse.errors import Fault

Maker = Callable[..., Dataset]
TIME = [{"name": "seen", "column": "seen", "kind": "time"}]


def column(kind: str, **options: Any) -> list[dict[str, Any]]:
    return [{"name": "value", "column": "value", "kind": kind, **options}]


def fault(dataset: Dataset) -> Fault:
    with pytest.raises(Fault) as caught:
        register(dataset)
    assert caught.value.remedy
    assert caught.value.where.startswith("visits")
    return caught.value


ROWS = {
    "person": ["a", "b", "a", "", None, "c"],
    "phone": ["13812345678", "138", "+8613812345678", None, "13900000000", "x"],
    "channel": ["tv", "tv", "mail", None, "", "tv"],
    "pieces": [1, 2, None, 4, 5, 6],
    "price": [1.25, 0.0, 2.5, 3.75, None, 10.0],
    "seen": [
        "2017-01-05 10:00:00",
        "2017-01-01",
        None,
        "2017-03-01T00:00:00Z",
        "",
        "2017-02-01 01:02",
    ],
    "member": ["yes", "no", "", None, "true", "0"],
}
COLUMNS = [
    {"name": "channel", "column": "channel", "kind": "category"},
    {"name": "pieces", "column": "pieces", "kind": "integer"},
    {"name": "price", "column": "price", "kind": "amount", "scale": 100},
    {"name": "seen", "column": "seen", "kind": "time"},
    {"name": "member", "column": "member", "kind": "boolean"},
]
IDS = [
    {"column": "person", "type": "household"},
    {"column": "phone", "type": "phone", "region": "CN"},
]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_profile_counts_what_is_there(make_dataset: Maker, suffix: str) -> None:
    profile = register(make_dataset(ROWS, suffix=suffix, ids=IDS, columns=COLUMNS))
    assert profile.rows == 6
    person, phone = profile.ids["person"], profile.ids["phone"]
    assert (person.distinct, person.empty, person.duplicates, person.invalid) == (3, 2, 1, {})
    assert (phone.distinct, phone.empty, phone.duplicates) == (2, 1, 1)
    assert sum(phone.invalid.values()) == 2
    found = profile.columns
    assert [found[name].filled for name in ("channel", "pieces", "price", "seen", "member")] == [
        4,
        5,
        5,
        4,
        4,
    ]
    assert found["channel"].coverage == pytest.approx(4 / 6, abs=1e-6)
    assert found["channel"].distinct == 2
    assert (found["pieces"].minimum, found["pieces"].maximum) == (1, 6)
    assert (found["price"].minimum, found["price"].maximum) == (0, 1000)
    assert found["seen"].first == datetime(2017, 1, 1, tzinfo=UTC)
    assert found["seen"].last == datetime(2017, 3, 1, tzinfo=UTC)
    assert profile.model_validate_json(profile.model_dump_json()) == profile


def test_a_folder_of_parquet_is_one_table(tmp_path: Path, make_dataset: Maker) -> None:
    folder = tmp_path / "all"
    (folder / "2017").mkdir(parents=True)
    for number, name in enumerate(("one.parquet", "2017/two.parquet")):
        pyarrow.parquet.write_table(pa.table({"person": [f"p{number}"]}), folder / name)
    profile = register(make_dataset(source={"path": str(folder)}))
    assert profile.ids["person"].distinct == 2


def test_odd_file_and_column_names_are_only_names(tmp_path: Path, make_dataset: Maker) -> None:
    odd = 'p"; DROP TABLE source; --'
    path = tmp_path / "r'ow[s]*?.parquet"
    pyarrow.parquet.write_table(pa.table({odd: ["a", "b"]}), path)
    pyarrow.parquet.write_table(pa.table({odd: ["wrong"]}), tmp_path / "r'ows*?.parquet")
    ids = [{"column": odd, "type": "household"}]
    assert register(make_dataset(source={"path": str(path)}, ids=ids)).ids[odd].distinct == 2


def test_a_leading_zero_in_csv_is_kept(make_dataset: Maker) -> None:
    profile = register(make_dataset(text="person\n007\n7\n07\n", suffix=".csv"))
    assert profile.ids["person"].distinct == 3


def test_a_missing_file(make_dataset: Maker) -> None:
    error = fault(make_dataset(source={"path": "/nowhere/rows.csv"}))
    assert error.code == "catalog.missing-file"
    assert "rows.csv" in error.message
    assert "/nowhere" not in error.message


def test_an_empty_file_and_a_file_without_rows(make_dataset: Maker) -> None:
    assert fault(make_dataset(text="", suffix=".csv")).code == "catalog.empty-file"
    assert fault(make_dataset(text="person\n", suffix=".csv")).code == "catalog.no-rows"
    assert fault(make_dataset({"person": pa.array([], pa.string())})).code == "catalog.no-rows"


def test_an_empty_folder(tmp_path: Path, make_dataset: Maker) -> None:
    (tmp_path / "nothing").mkdir()
    assert (
        fault(make_dataset(source={"path": str(tmp_path / "nothing")})).code == "catalog.empty-file"
    )


def test_files_that_are_not_what_they_say(make_dataset: Maker) -> None:
    damaged = fault(make_dataset(text="no parquet at all, just 13812345678", suffix=".parquet"))
    assert damaged.code == "catalog.unreadable"
    assert "13812345678" not in str(damaged)
    assert fault(make_dataset(text="x", suffix=".xlsx")).code == "catalog.unreadable"


def test_a_csv_that_is_not_utf8(make_dataset: Maker) -> None:
    dataset = make_dataset(text="person,x\n", suffix=".csv")
    path = dataset.source.path  # type: ignore[union-attr]
    path.write_bytes(b"person,x\n" + "名字,上海\n".encode("gb18030") * 40)
    error = fault(dataset)
    assert error.code == "catalog.unreadable"
    assert "UTF-8" in error.message


def test_a_csv_line_with_too_many_fields_is_located(make_dataset: Maker) -> None:
    lines = "".join(f"p{i},1\n" for i in range(50))
    error = fault(make_dataset(text=f"person,x\n{lines}secret,1,2,3\n{lines}", suffix=".csv"))
    assert error.code == "catalog.unreadable"
    assert "secret" not in str(error)
    assert "line 52" in error.where


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_without_permission(make_dataset: Maker) -> None:
    dataset = make_dataset({"person": ["a"]})
    dataset.source.path.chmod(0)  # type: ignore[union-attr]
    assert fault(dataset).code == "catalog.permission"


def test_permission_denied_is_told_apart(
    make_dataset: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hanse.catalog.files.os.access", lambda *_: False)
    error = fault(make_dataset({"person": ["a"]}))
    assert error.code == "catalog.permission"


def test_a_missing_column_suggests_close_names(make_dataset: Maker) -> None:
    error = fault(
        make_dataset(
            {"Person_ID": ["a"], "x": [1]}, ids=[{"column": "person_id", "type": "household"}]
        )
    )
    assert error.code == "catalog.missing-column"
    assert "'person_id'" in error.message
    assert "did you mean 'Person_ID'" in error.remedy


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("category", [1.5]),
        ("time", [20170105]),
        ("time", [True]),
        ("integer", [True]),
        ("integer", [b"1"]),
        ("amount", [datetime(2017, 1, 1)]),
        ("boolean", [0.5]),
        ("category", [["a"]]),
    ],
)
def test_a_column_of_the_wrong_type(make_dataset: Maker, kind: str, values: list[Any]) -> None:
    error = fault(make_dataset({"person": ["a"], "value": values}, columns=column(kind)))
    assert error.code == "catalog.wrong-type"
    assert error.where == "visits.value"


def test_ids_with_fractions_are_a_wrong_type(make_dataset: Maker) -> None:
    assert fault(make_dataset({"person": [1.0]})).code == "catalog.wrong-type"


@pytest.mark.parametrize(
    ("kind", "good", "bad", "shape"),
    [
        ("time", "2017-01-05", "31/12/2017 9pm", "99/99/9999 9aa"),
        ("time", "2017-01-05", "2017-13-45", "9999-99-99"),
        ("integer", "3", "-1", "-9"),
        ("integer", "3", "1.5", "9.9"),
        ("integer", "3", "1e3", "9a9"),
        ("amount", "3.5", "-0.5", "-9.9"),
        ("amount", "3.5", "nan", "aaa"),
        ("amount", "3.5", "12 EUR", "99 aaa"),
        ("boolean", "yes", "perhaps", "aaaaaaa"),
    ],
)
def test_malformed_values_are_counted_and_located(
    make_dataset: Maker, kind: str, good: str, bad: str, shape: str
) -> None:
    values = [good, "", bad, bad]
    dataset = make_dataset(
        {"person": list("abcd"), "value": values}, suffix=".csv", columns=column(kind)
    )
    error = fault(dataset)
    assert error.code == "catalog.malformed"
    assert "2 values" in error.message
    assert "row 3" in error.message
    assert repr(shape) in error.message
    if any(c.isalpha() for c in bad):
        assert bad not in error.message


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("integer", [1, -2]),
        ("integer", [1.0, 2.5]),
        ("amount", [1.0, -0.01]),
        ("amount", [1.0, float("nan")]),
        ("amount", [1.0, float("inf")]),
        ("amount", [1, 2**60]),
        ("boolean", [1, 2]),
    ],
)
def test_numbers_out_of_range_in_parquet(make_dataset: Maker, kind: str, values: list[Any]) -> None:
    error = fault(make_dataset({"person": ["a", "b"], "value": values}, columns=column(kind)))
    assert error.code == "catalog.malformed"
    assert "row 2" in error.message


def test_a_column_without_a_single_valid_id(make_dataset: Maker) -> None:
    error = fault(make_dataset({"phone": ["x", "1", ""]}, ids=IDS[1:]))
    assert error.code == "catalog.no-ids"
    assert "empty 1" in error.message
    assert "region" in error.remedy


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        (["2017-06-01 08:00:00"], {"zone": "Asia/Shanghai"}, datetime(2017, 6, 1, tzinfo=UTC)),
        (["2017-06-01 08:00:00+08"], {"zone": "America/New_York"}, datetime(2017, 6, 1, tzinfo=UTC)),
        (["2017-06-01T00:00:00Z"], {"zone": "Asia/Shanghai"}, datetime(2017, 6, 1, tzinfo=UTC)),
        ([1_496_275_200], {"epoch": "seconds"}, datetime(2017, 6, 1, tzinfo=UTC)),
        (["1496275200000"], {"epoch": "milliseconds"}, datetime(2017, 6, 1, tzinfo=UTC)),
        (pa.array([datetime(2017, 6, 1, 8)], pa.timestamp("ns")), {"zone": "Asia/Shanghai"},
         datetime(2017, 6, 1, tzinfo=UTC)),
        (pa.array([datetime(2017, 6, 1)], pa.timestamp("ms", "Asia/Shanghai")), {},
         datetime(2017, 6, 1, tzinfo=UTC)),
        (pa.array([datetime(2017, 6, 1).date()]), {}, datetime(2017, 6, 1, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_times_mean_instants(
    make_dataset: Maker, values: Any, options: dict[str, str], expected: datetime
) -> None:
    dataset = make_dataset({"person": ["a"], "value": values}, columns=column("time", **options))
    assert register(dataset).columns["value"].first == expected


def test_a_missing_or_useless_withdrawal_list(tmp_path: Path, make_dataset: Maker) -> None:
    path = tmp_path / "gone.csv"
    listing = [{"path": str(path), "type": "household"}]
    assert (
        fault(make_dataset({"person": ["a"]}, withdrawals=listing)).code == "catalog.missing-file"
    )
    path.write_text("a\nb\n", encoding="utf-8")
    assert register(make_dataset({"person": ["a"]}, withdrawals=listing)).withdrawn == 2
    path.write_text("", encoding="utf-8")
    assert register(make_dataset({"person": ["a"]}, withdrawals=listing)).withdrawn == 0
    path.write_text("null\n", encoding="utf-8")
    assert fault(make_dataset({"person": ["a"]}, withdrawals=listing)).code == "catalog.withdrawals"
