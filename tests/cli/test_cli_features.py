"""``hanse features``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from hanse.cli.main import invoke
from hanse.errors import HanseError


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    random = np.random.default_rng(1)
    rows = 900
    x = random.normal(size=(rows, 4))
    town = np.array(["a", "b", "c"])[random.integers(0, 3, rows)]
    y = random.random(rows) < 1 / (1 + np.exp(-x[:, 1] - 1.5 * (town == "b") + 0.5))
    gaps = x[:, 2].copy()
    gaps[::10] = np.nan
    ids = [f"p{n}" for n in range(rows)]
    day = pa.array(range(rows), pa.int32()).cast(pa.date32())
    paths = [tmp_path / "guest.parquet", tmp_path / "host.parquet"]
    pa.parquet.write_table(pa.table({"id": ids, "y": y, "day": day, "a": x[:, 0]}), paths[0])
    host = {"id": ids, "b": x[:, 1], "twin": x[:, 0] + 0.1 * x[:, 3], "gaps": gaps, "town": town}
    pa.parquet.write_table(pa.table(host), paths[1])
    return paths


def run(files: list[Path], *more: str, column: str = "y") -> int:
    label = f"{files[0]}:{column}"
    return invoke(["features", "--label", label, "--features", str(files[1]), "--rehearse", *more])


def body_of(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_evidence_and_inflation_beside_plain_figures(
    files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(files, "--exact", "--json", "--without", "day") == 0
    body = body_of(capsys)
    values = {c["column"]: c for c in body["columns"]}
    assert set(values) == {"a", "b", "twin", "gaps", "town"}
    assert values["b"]["information_value"] > 0.3 > values["gaps"]["information_value"]
    assert values["gaps"]["bins"][0]["bin"] == "(missing)"
    assert {b["bin"] for b in values["town"]["bins"]} == {"a", "b", "c"}
    for column in values.values():
        shown = all(b["weight"] is not None for b in column["bins"])
        if shown:
            assert column["value"] == pytest.approx(column["plaintext_information_value"], rel=1e-9)
    inflation = {(i["party"], i["column"]): i for i in body["inflation"]}
    assert inflation["guest", "a"]["vif"] > 30
    for told in inflation.values():
        assert told["vif"] == pytest.approx(told["plaintext_vif"], rel=0.05)
    pairs = {(p["first"][1], p["second"][1]): p["value"] for p in body["correlations"]}
    assert pairs["a", "twin"] == pytest.approx(0.995, abs=0.005)
    assert ("b", "twin") not in pairs, "columns of one party are its own affair"
    assert {"party": "guest", "column": "a", "why": body["dropped"][0]["why"]} in body[
        "dropped"
    ] or any(d["column"] in ("a", "twin") for d in body["dropped"])


def test_noise_has_a_price_and_an_interval(
    files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(files, "--woe", "--json", "--bins", "4", "--without", "day") == 0
    body = body_of(capsys)
    assert body["epsilon"] == 4.0
    told = [o for o in body["opened"] if o["what"].startswith("counts")]
    assert sum(o["epsilon"] for o in told) == pytest.approx(4.0)
    assert {tuple(o["to"]) for o in told} == {("host", "guest")}
    b = next(c for c in body["columns"] if c["column"] == "b")
    assert b["low"] < b["high"]
    assert b["low"] - 0.1 < b["plaintext_information_value"] < b["high"] + 0.1


def test_stability_between_two_periods(
    files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    table = pa.parquet.read_table(files[1])
    moved = np.array(table.column("b")) + np.where(np.arange(900) >= 450, 2.0, 0.0)
    pa.parquet.write_table(table.set_column(1, "b", pa.array(moved)), files[1])
    assert run(files, "--psi", "--since", "1971-03-27", "--exact", "--bins", "5", column="day") == 0
    out = capsys.readouterr()
    assert "the later period are rows with 'day' of 1971-03-27 or more" in out.err
    assert (
        run(
            files,
            "--psi",
            "--since",
            "1971-03-27",
            "--exact",
            "--bins",
            "5",
            "--json",
            column="day",
        )
        == 0
    )
    index = {c["column"]: c for c in body_of(capsys)["columns"]}
    assert index["b"]["told"] == "moved"
    assert index["twin"]["told"] == "stable"


def test_the_tables(files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(files, "--without", "day") == 0
    shown = capsys.readouterr().out
    for said in (
        "Information value of each column",
        "weight of evidence",
        "Variance inflation",
        "Correlations between",
    ):
        assert said in shown


@pytest.mark.parametrize(
    ("column", "more", "code"),
    [
        ("id", (), "learn.column"),
        ("nowhere", (), "learn.column"),
        ("day", ("--since", "soon"), "learn.label"),
        ("y", ("--bins", "1"), "learn.bins"),
        ("y", ("--epsilon", "40"), "gate.epsilon"),
        ("y", ("-k", "3"), "gate.k"),
        ("y", (), "learn.type"),
    ],
)
def test_what_makes_no_sense(
    files: list[Path], column: str, more: tuple[str, ...], code: str
) -> None:
    more = tuple("--k" if m == "-k" else m for m in more)
    with pytest.raises(HanseError) as caught:
        run(files, *more, *(() if code == "learn.type" else ("--without", "day") if column == "y" else ()),
            column=column)  # fmt: skip
    assert caught.value.code == code
    assert caught.value.remedy


def test_only_a_rehearsal(files: list[Path]) -> None:
    with pytest.raises(HanseError, match="contract"):
        invoke(["features", "--label", f"{files[0]}:y", "--features", str(files[1])])
