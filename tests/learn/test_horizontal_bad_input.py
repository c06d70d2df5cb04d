"""Files of several parties' rows that do not fit together: refused in words, or learned from soundly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hanse.errors import HanseError
from hanse.learn.evaluation.rehearsal import rehearse_files
from hanse.learn.evaluation.report import Report
from hanse.learn.features.files import mark_of

ROWS = 120


def made(folder: Path, changes: dict[int, dict[str, Any]], parties: int = 3) -> list[Path]:
    """A file a party with the columns a, b and y; ``changes`` by party, None takes a column away."""
    random = np.random.default_rng(4)
    paths = []
    for number in range(parties):
        x = random.normal(size=(ROWS, 2))
        y = (random.random(ROWS) < 1 / (1 + np.exp(x[:, 1] - x[:, 0]))).astype(int)
        columns: dict[str, Any] = {
            "id": [f"{number}-{n}" for n in range(ROWS)],
            "a": x[:, 0],
            "b": x[:, 1],
            "y": y,
        }
        columns |= changes.get(number, {})
        paths.append(folder / f"p{number}.parquet")
        pq.write_table(pa.table({k: v for k, v in columns.items() if v is not None}), paths[-1])
    return paths


def learned(folder: Path, changes: dict[int, dict[str, Any]], **more: Any) -> Report:
    first, *others = made(folder, changes, more.pop("parties", 3))
    small = {"trees": 2, "depth": 2} if more.get("model") == "boosting" else {}
    return rehearse_files(f"{first}:y", others, horizontal=True, **small, **more)


FAR = np.where(np.arange(ROWS) == 3, 1e300, 0.5)
EMPTY: dict[str, Any] = {"id": pa.array([], pa.string()), "a": pa.array([], pa.float64()),
                         "b": pa.array([], pa.float64()), "y": pa.array([], pa.int64())}  # fmt: skip


@pytest.mark.parametrize("model", ["logistic", "boosting"])
@pytest.mark.parametrize(
    ("change", "code", "said", "where"),
    [
        ({"a": ["u", "v"] * (ROWS // 2)}, "learn.columns", "'a' holds numbers at p0 and text at p1", "p1"),
        ({"a": None}, "learn.columns", "no column 'a'", "p1"),
        ({"y": ["yes", "no"] * (ROWS // 2)}, "learn.label", "numbers at p0 and text at p1", "p0"),
        ({"y": None}, "learn.column", "no column 'y'", "p1.parquet"),
        ({"y": [None, *[1] * (ROWS - 1)]}, "learn.label", "missing", "p1.parquet"),
        ({"a": FAR}, "learn.column", "'a' has values beyond", "p1"),
        ({"a": [float("inf"), *[1.0] * (ROWS - 1)]}, "learn.missing", "infinite", "p1.parquet"),
        (EMPTY, "learn.rows", "no rows", "p1.parquet"),
    ],
)  # fmt: skip
def test_what_does_not_fit_names_file_and_column(
    tmp_path: Path, model: str, change: dict[str, Any], code: str, said: str, where: str
) -> None:
    with pytest.raises(HanseError) as raised:
        learned(tmp_path, {1: change}, model=model)
    error = raised.value
    assert (error.code, error.where) == (code, where)
    assert said in error.message
    assert error.remedy


def test_labels_that_are_not_two_classes_say_where(tmp_path: Path) -> None:
    with pytest.raises(HanseError) as raised:
        learned(tmp_path, {2: {"y": [0, 1, 2] * (ROWS // 3)}})
    assert raised.value.code == "learn.label"
    assert "3 values at p2" in raised.value.where


def test_one_class_only_and_too_few_rows(tmp_path: Path) -> None:
    with pytest.raises(HanseError, match="one value only at all parties"):
        learned(tmp_path, {n: {"y": [1] * ROWS} for n in range(3)})
    five = [1.0, 0.0, 1.0, 0.0, 1.0]
    short = {"id": ["r", "s", "t", "u", "v"], "a": five, "b": five, "y": five}
    with pytest.raises(HanseError, match="too few"):
        learned(tmp_path, dict.fromkeys(range(3), short))
    with pytest.raises(HanseError) as raised:
        learned(tmp_path, {}, parties=2)
    assert raised.value.code == "learn.parties"


@pytest.mark.parametrize("model", ["logistic", "boosting"])
@pytest.mark.parametrize(
    "change",
    [
        {"a": pa.nulls(ROWS, pa.float64())}, {"a": pa.nulls(ROWS)}, {"a": np.ones(ROWS)},
        {"a": [True, False] * (ROWS // 2)}, {"y": [1] * ROWS},
    ],
)  # fmt: skip
def test_what_one_party_lacks_the_others_make_up_for(
    tmp_path: Path, model: str, change: dict[str, Any]
) -> None:
    """No values, one value, truths for numbers, one class: sound, and as over all rows in one place."""
    report = learned(tmp_path, {1: change}, model=model)
    assert report.joint["auc"] == pytest.approx(report.centralised["auc"], abs=1e-4)
    if "y" in change:
        assert "p1" not in report.alone
        assert any("p1 cannot train a model of its own" in note for note in report.notes)
    if isinstance(change.get("a"), pa.Array):
        assert "p1: the column 'a' has no values at all" in report.notes


@pytest.mark.parametrize("model", ["logistic", "boosting"])
def test_a_column_without_values_at_everybody_is_left_out(tmp_path: Path, model: str) -> None:
    report = learned(
        tmp_path, {n: {"a": pa.nulls(ROWS, pa.float64())} for n in range(3)}, model=model
    )
    assert "p1: the column 'a' has no values at all and is left out" in report.notes
    with pytest.raises(HanseError) as raised:
        learned(tmp_path, {n: {"a": None, "b": pa.nulls(ROWS)} for n in range(3)}, model=model)
    assert raised.value.code == "learn.rows"


def test_classes_that_a_column_parts_perfectly(tmp_path: Path) -> None:
    given = {}
    for number in range(3):
        a = np.random.default_rng(number).normal(size=ROWS)
        given[number] = {"a": a, "y": (a > 0).astype(int)}
    report = learned(tmp_path, given)
    assert report.joint["auc"] == 1
    assert np.isfinite(report.joint["log_loss"] or np.nan)


# --- marks of two kinds, for `hanse features` --------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "since", "said"),
    [
        ([1, 1, 1], None, "one value only in all rows"),
        (["a", "b", "c"], None, "3 values, not two"),
        ([1, 2, 3], "7", "no row is positive"),
        ([1, 2, 3], "1", "every row is positive"),
        ([1, None, 0], None, "1 missing values"),
        ([1, 0, 1], "today", "no value of the column"),
    ],
)
def test_labels_that_part_nothing(values: list[Any], since: str | None, said: str) -> None:
    with pytest.raises(HanseError) as raised:
        mark_of(pa.chunked_array([values]), "y", since, "guest.parquet", period=False)
    assert said in raised.value.message
    assert raised.value.remedy
    assert raised.value.where == "guest.parquet"
