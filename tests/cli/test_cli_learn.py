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
import typer

from hanse.cli.main import invoke
from hanse.errors import HanseError, Refusal

KEYS = {
    "wall_s", "cpu_s", "bytes", "auc", "plaintext_auc", "alone_auc", "ks", "plaintext_ks", "alone_ks", "auc_error",
    "coefficient_difference_max", "iterations", "rows_matched", "converged", "plaintext_s", "notes", "ensemble_auc",
    "alone_by_party", "verdict", "beats_alone_and_ensemble", "main_metric", "opened", "arrangement",
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
    assert run(files, "--model", "logistic", "--rehearse", "--json") == 0
    body: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert set(body) >= KEYS
    assert body["auc"] == pytest.approx(body["plaintext_auc"], abs=1e-3)
    assert body["auc"] > body["alone_auc"] + 0.05
    assert set(body["alone_by_party"]) == {"guest", "host", "more"}
    assert body["coefficient_difference_max"] < 1e-3
    assert set(body["coefficients"]) == {"guest", "host", "more"}
    assert body["bytes"] > 100_000


def test_the_report_shows_all_models(files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(files[:2], "--rehearse", "--model", "linear") == 0
    shown = capsys.readouterr()
    assert "guest alone" in shown.out
    assert "host alone" in shown.out
    assert "ensemble" in shown.out
    assert "told to host only" in shown.out
    assert "authorisation" in shown.err


def test_few_rows_are_learned_from_with_a_note(
    files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(files[:2], "--rehearse") == 0
    assert "would be refused" in capsys.readouterr().err
    with pytest.raises(Refusal) as caught:
        run(files[:2], "--rehearse", "--minimum-rows", "1000")
    assert caught.value.code == "learn.rows"


def test_the_picture_is_a_picture(files: list[Path], tmp_path: Path) -> None:
    picture = tmp_path / "model.svg"
    assert run(files[:2], "--rehearse", "--json", "--picture", str(picture)) == 0
    drawn = picture.read_text()
    assert drawn.startswith("<svg")
    assert {"Gain", "Calibration"} <= set(drawn.replace("<", ">").split(">"))
    assert drawn.count("<circle") == 10


def test_a_picture_that_cannot_be_is_refused_before_anything_runs(
    files: list[Path], tmp_path: Path
) -> None:
    nowhere = [files[0], tmp_path / "nowhere.parquet"]  # is not even looked for
    assert refused(nowhere, "--picture", str(tmp_path / "no" / "p.svg")).code == "file.unwritable"
    with pytest.raises(typer.BadParameter, match=r"\.svg"):
        run(nowhere, "--rehearse", "--picture", str(tmp_path / "p.png"))


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
    assert run([files[0], same], "--rehearse", "--json") == 0
    assert json.loads(capsys.readouterr().out)["parties"] == ["guest-1", "guest-2"]


# --- kinds of models ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "main"),
    [("linear", "rmse"), ("poisson", "deviance"), ("gamma", "deviance"), ("tweedie", "deviance"),
     ("multinomial", "log_loss"), ("boosting", "auc")],
)  # fmt: skip
def test_every_kind_has_the_same_report(
    files: list[Path], capsys: pytest.CaptureFixture[str], model: str, main: str
) -> None:
    table = pa.parquet.read_table(files[0])
    a, y = np.array(table.column("a")), np.array(table.column("y"))
    label = {
        "multinomial": [["x", "y", "z"][int(v > 0) + w] for v, w in zip(a, y, strict=True)],
        "boosting": y,
    }
    changed(files[0], y=label.get(model, np.exp(0.3 * a + 0.4 * y)))
    assert run(files[:2], "--model", model, "--rehearse", "--json") == 0
    body = json.loads(capsys.readouterr().out)
    assert (body["model"], body["main_metric"]) == (model, main)
    for prefix in ("", "plaintext_", "alone_", "ensemble_"):
        assert np.isfinite(body[prefix + main]), prefix
    # Boosting's groups of at least 20 rows make other trees than the plain ones where rows are few.
    near = (0.06 if model == "boosting" else 2e-3) * abs(body[f"plaintext_{main}"])
    assert body[main] == pytest.approx(body[f"plaintext_{main}"], abs=near)
    assert body["verdict"]


def test_more_classes_and_columns_than_shares_can_take(files: list[Path]) -> None:
    random = np.random.default_rng(4)
    changed(files[0], y=[f"class {n % 16}" for n in ROWS])
    changed(files[2], **{f"x{n}": random.normal(size=900) for n in range(260)})
    error = refused([files[0], files[2]], "--model", "multinomial")
    assert error.code == "learn.columns"
    assert "--model boosting --loss multinomial" in error.remedy


def test_standard_errors_in_the_open(files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(files[:2], "--model", "linear", "--rehearse", "--errors", "--open") == 0
    shown = capsys.readouterr().out
    assert "p-value" in shown
    assert "rows to learn from matched;" in shown, "open rows are counted exactly"
    assert run(files[:2], "--rehearse", "--errors", "--json") == 0
    body = json.loads(capsys.readouterr().out)
    assert set(body["p_values"]["host"]) == {"b", "c"}
    assert body["p_values"]["host"]["b"] < 0.01


@pytest.mark.parametrize("loss", ["squared", "poisson"])
def test_a_loss_of_boosting(
    files: list[Path], capsys: pytest.CaptureFixture[str], loss: str
) -> None:
    assert run(files[:2], "--model", "boosting", "--loss", loss, "--rehearse", "--json") == 0
    body = json.loads(capsys.readouterr().out)
    assert (body["loss"], body["main_metric"]) == (
        loss,
        {"squared": "rmse", "poisson": "deviance"}[loss],
    )
    with pytest.raises(Refusal, match="no loss"):
        run(files[:2], "--model", "linear", "--loss", loss, "--rehearse")


def test_rows_of_several_parties(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One file parted in three: as good as pooled, and no party keeps what is worse than its own."""
    whole = pa.parquet.read_table(files[0])
    x = np.array(whole.column("a"))
    town = np.array(["a", "b", "c"])[np.arange(900) % 3]
    y = np.where(np.array(whole.column("y")) > 0, "yes", "no")
    parts = []
    for number, rows in enumerate((slice(0, 300), slice(300, 700), slice(700, 900))):
        parts.append(tmp_path / f"shop{number}.csv")
        pa.csv.write_csv(pa.table({"y": y[rows], "x": x[rows], "town": town[rows]}), parts[-1])
    assert run(parts, "--horizontal", "--rehearse", "--json") == 0
    body = json.loads(capsys.readouterr().out)
    assert body["arrangement"] == "horizontal"
    assert body["auc"] == pytest.approx(body["plaintext_auc"], abs=5e-3)
    assert len(body["alone_by_party"]) == 3
    for own in body["each"].values():
        assert own["chosen"] >= own["own"] - 1e-9


def test_rows_of_other_columns_are_refused(files: list[Path]) -> None:
    changed(files[1], y=[n % 2 for n in ROWS])
    changed(files[2], y=[n % 2 for n in ROWS])
    error = refused(files, "--horizontal")
    assert error.code == "learn.columns"
    assert "--without" in error.remedy


# --- bad input --------------------------------------------------------------------------------------


def changed(path: Path, **columns: Any) -> None:
    """Write the file anew with these columns in place of, or beside, its own."""
    suffix = path.suffix
    table = pa.csv.read_csv(path) if suffix == ".csv" else pa.parquet.read_table(path)
    whole = {name: table.column(name) for name in table.column_names} | columns
    (pa.csv.write_csv if suffix == ".csv" else pa.parquet.write_table)(pa.table(whole), path)


def refused(files: list[Path], *more: str) -> HanseError:
    with pytest.raises(HanseError) as caught:
        run(files, "--rehearse", *more)
    assert caught.value.remedy
    return caught.value


ROWS = range(900)


@pytest.mark.parametrize(
    ("columns", "code", "said", "where"),
    [
        ({"id": ["p0", *(f"p{n}" for n in range(899))]}, "learn.id", "twice", "guest.parquet, column id"),
        ({"id": [None, *(f"p{n}" for n in range(899))]}, "learn.id", "no id", "guest.parquet, column id"),
        ({"id": [n + 0.5 for n in ROWS]}, "learn.id", "fractions", "guest.parquet, column id"),
        ({"id": [float("nan"), *map(float, range(899))]}, "learn.id", "no id", "guest.parquet, column id"),
        ({"y": [1] * 900}, "learn.label", "one value", "guest"),
        ({"y": ["", *(["no", "yes"][n % 2] for n in range(899))]}, "learn.label", "missing", "guest.parquet"),
        ({"y": [n % 3 for n in ROWS]}, "learn.label", "two classes", "guest"),
        ({"y": [None, *(n % 2 for n in range(899))]}, "learn.label", "missing", "guest.parquet"),
        ({"y": [float("nan"), *(n % 2 for n in range(899))]}, "learn.label", "missing", "guest.parquet"),
        ({"when": pa.array(range(900), pa.timestamp("s"))}, "learn.type", "'when'", "guest.parquet"),
        ({"list": [[1.0]] * 900}, "learn.type", "'list'", "guest.parquet"),
        ({"far": [float("inf")] * 900}, "learn.missing", "'far'", "guest.parquet"),
        ({"text": [f"t{n}" for n in ROWS]}, "learn.text", "'text'", "guest.parquet"),
    ],
    ids=["twice", "null", "fraction", "nan", "one class", "blank label", "three classes", "no label",
         "nan label", "dates", "lists", "infinite", "free text"],
)  # fmt: skip
def test_what_cannot_serve_is_refused_naming_file_and_column(
    files: list[Path], columns: dict[str, Any], code: str, said: str, where: str
) -> None:
    changed(files[0], **columns)
    error = refused(files[:2])
    assert (error.code, said in error.message) == (code, True), error
    assert where in error.where


def test_a_column_that_is_the_label(files: list[Path]) -> None:
    label = pa.parquet.read_table(files[0]).column("y")
    changed(files[1], same=pa.array([5 - 2 * v for v in label.to_pylist()]))
    error = refused(files[:2])
    assert (error.code, error.where) == ("learn.leak", "host")
    assert "--without same" in error.remedy
    assert run(files[:2], "--rehearse", "--json", "--without", "same") == 0


@pytest.mark.parametrize("matched", [0, 5])
def test_hardly_any_rows_in_common(files: list[Path], matched: int) -> None:
    changed(files[1], id=[f"p{n}" if n < matched else f"q{n}" for n in ROWS])
    error = refused(files[:2])
    assert error.code == "learn.rows"
    assert f"{matched} rows match" in error.message


def test_a_party_without_columns(files: list[Path], tmp_path: Path) -> None:
    bare = tmp_path / "bare.csv"
    pa.csv.write_csv(pa.table({"id": [f"p{n}" for n in ROWS]}), bare)
    for model in ("logistic", "boosting"):
        error = refused([files[0], bare], "--model", model)
        assert (error.code, error.where) == ("learn.columns", "bare")


def test_one_file_twice_has_the_label_among_its_columns(files: list[Path]) -> None:
    assert refused([files[0], files[0]]).code == "learn.leak"


def test_a_file_with_semicolons(files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    text = files[1].read_text().replace(",", ";")
    files[1].write_text(text)
    assert run(files[:2], "--rehearse", "--json") == 0
    assert set(json.loads(capsys.readouterr().out)["coefficients"]["host"]) == {"b", "c"}


def test_seven_parties(files: list[Path], tmp_path: Path) -> None:
    many = [files[0]]
    for number in range(6):
        many.append(tmp_path / f"host{number}.csv")
        many[-1].write_bytes(files[1].read_bytes())
    assert refused(many).code == "learn.parties"


def test_ids_of_different_types_match(
    files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    changed(files[0], id=pa.array(range(900), pa.int64()))
    changed(files[1], id=[float(n) for n in ROWS])
    changed(files[2], id=[str(n) for n in ROWS])
    assert run(files, "--rehearse", "--json") == 0
    body = json.loads(capsys.readouterr().out)
    assert body["auc"] == pytest.approx(body["plaintext_auc"], abs=1e-3)
    assert body["auc"] > body["alone_auc"] + 0.05


def test_text_booleans_and_gaps_become_columns(
    files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(2)
    gaps = random.normal(size=900)
    gaps[::9] = np.nan
    changed(
        files[2],
        town=[["a", "b", "c", None][n % 4] for n in ROWS], flag=[n % 7 < 3 for n in ROWS], gaps=gaps,
        blanks=[["", "a", "b"][n % 3] for n in ROWS], __index_level_0__=list(ROWS),
        nothing=pa.nulls(900), flat=[1.5] * 900, many=[f"v{n * n % 97}" for n in ROWS],
    )  # fmt: skip
    changed(files[0], y=[["no", "yes"][n % 2] for n in ROWS])
    assert run(files, "--rehearse", "--json") == 0
    body = json.loads(capsys.readouterr().out)
    made = set(body["coefficients"]["more"])
    assert {"flag", "gaps", "gaps=(missing)"} <= made
    assert len({name for name in made if name.startswith("town=")}) == 3
    assert "blanks=" not in made, "text with nothing in it is missing"
    assert "__index_level_0__" not in made, "row numbers are no feature"
    assert "many=(other)" in made
    assert "nothing" not in made
    assert "flat" not in made
    notes = " ".join(body["notes"])
    for said in (
        "is coded 'no' = 0, 'yes' = 1",
        "'nothing' has no values",
        "100 missing values of 'gaps'",
        "rare values",
    ):
        assert said in notes


def test_gaps_are_refused_where_asked(files: list[Path]) -> None:
    changed(files[1], b=[None, *([1.0, 2.0] * 449), 3.0])
    error = refused(files[:2], "--missing", "refuse")
    assert (error.code, error.where) == ("learn.missing", "host.csv")


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (("--model", "forest"), "learn.model"),
        (("--without", "misspelt"), "learn.column"),
        (("--without", "y"), "learn.column"),
        (("--holdout", "1"), "learn.holdout"),
        (("--l2", "-1"), "learn.l2"),
        (("--id", "nowhere"), "learn.column"),
        (("--id", "y"), "learn.column"),
    ],
)
def test_options_that_make_no_sense(files: list[Path], more: tuple[str, ...], code: str) -> None:
    assert refused(files[:2], *more).code == code


def test_a_file_that_is_none(files: list[Path], tmp_path: Path) -> None:
    assert refused([files[0], tmp_path / "nowhere.parquet"]).code == "learn.file"
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 not really")
    assert refused([files[0], broken]).code == "learn.file"
    empty = tmp_path / "empty.csv"
    empty.write_text("id,b\n")
    assert refused([files[0], empty]).code == "learn.rows"
    twice = tmp_path / "twice.csv"
    twice.write_text("id,b,b\np1,2,3\n")
    assert refused([files[0], twice]).code == "learn.column"


@pytest.mark.parametrize("name", ["城市", "city"], ids=["name", "values"])
def test_a_file_in_another_encoding(files: list[Path], tmp_path: Path, name: str) -> None:
    lines = [f"id,{name}", *(f"p{n},{['北京', '上海'][n % 2]}" for n in ROWS)]
    path = tmp_path / "gbk.csv"
    path.write_text("\n".join(lines), encoding="gbk")
    error = refused([files[0], path])
    assert (error.code, error.where) == ("learn.file", "gbk.csv")
    assert "UTF-8" in error.message
