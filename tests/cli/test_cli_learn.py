"""``hanse learn``."""

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
from hanse.errors import Refusal

KEYS = {
    "wall_s", "cpu_s", "bytes", "auc", "plaintext_auc", "alone_auc", "ks", "plaintext_ks", "alone_ks", "auc_error",
    "coefficient_difference_max", "iterations", "rows_matched", "converged", "plaintext_s", "notes",
}  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    random = np.random.default_rng(1)
    x = random.normal(size=(900, 4))
    y = (random.random(900) < 1 / (1 + np.exp(-x.sum(axis=1)))).astype(int)
    ids = [f"p{n}" for n in range(900)]
    paths = [tmp_path / "guest.parquet", tmp_path / "host.csv", tmp_path / "more.parquet"]
    pa.parquet.write_table(pa.table({"id": ids, "y": y, "a": x[:, 0]}), paths[0])
    pa.csv.write_csv(pa.table({"id": ids, "b": x[:, 1], "c": x[:, 2]}), paths[1])
    pa.parquet.write_table(pa.table({"id": ids, "d": x[:, 3]}), paths[2])
    return paths


def run(files: list[Path], *more: str) -> int:
    features = [part for path in files[1:] for part in ("--features", str(path))]
    return invoke(["learn", "--label", f"{files[0]}:y", *features, "--id", "id", *more])


def test_json(files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(files, "--model", "logistic", "--rehearse", "--minimum-rows", "300", "--json") == 0
    body: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert set(body) >= KEYS
    assert body["auc"] == pytest.approx(body["plaintext_auc"], abs=1e-3)
    assert body["auc"] > body["alone_auc"] + 0.05
    assert body["coefficient_difference_max"] < 1e-3
    assert set(body["coefficients"]) == {"guest", "host", "more"}
    assert body["bytes"] > 100_000


def test_the_report_shows_three_models(
    files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(files[:2], "--rehearse", "--minimum-rows", "300", "--model", "linear") == 0
    shown = capsys.readouterr()
    assert "guest alone" in shown.out
    assert "told to host only" in shown.out
    assert "authorisation" in shown.err


def test_too_few_rows_say_how_to_go_on(files: list[Path]) -> None:
    with pytest.raises(Refusal) as caught:
        run(files, "--rehearse")
    assert caught.value.code == "learn.rows"


def test_without_a_contract_there_is_only_a_rehearsal(files: list[Path]) -> None:
    with pytest.raises(Refusal) as caught:
        run(files)
    assert caught.value.code == "learn.contract"
    assert "--rehearse" in caught.value.remedy


def test_files_of_one_name_get_numbers(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    same = other / "guest.csv"
    same.write_bytes(files[1].read_bytes())
    assert run([files[0], same], "--rehearse", "--minimum-rows", "300", "--json") == 0
    assert json.loads(capsys.readouterr().out)["parties"] == ["guest-1", "guest-2"]
