"""``hanse learn``: options of kinds, weights and offsets, and sets that nobody prepared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hanse.cli.main import invoke
from hanse.errors import HanseError, Refusal
from hanse.learn.evaluation.options import OPTIONS, check_used
from hanse.learn.features.reading import hashed

ROWS = 700
Columns = dict[str, Any]


@pytest.fixture
def sides() -> tuple[Columns, Columns]:
    random = np.random.default_rng(5)
    x = random.normal(size=(ROWS, 6))
    eta = x @ np.array([1, -0.5, 0.3, 0.8, 0.2, -0.7])
    y = (random.random(ROWS) < 1 / (1 + np.exp(-eta))).astype(int)
    counts = random.poisson(np.exp(eta / 3))
    guest = {
        "id": np.arange(ROWS),
        "y": y,
        "counts": counts,
        **dict(zip("abc", x.T[:3], strict=True)),
    }
    return guest, {"id": np.arange(ROWS), **dict(zip("def", x.T[3:], strict=True))}


def learned(folder: Path, sides: tuple[Columns, Columns], *more: str, label: str = "y") -> int:
    paths = [folder / "guest.parquet", folder / "host.parquet"]
    for path, columns in zip(paths, sides, strict=True):
        pq.write_table(pa.table(columns), path)
    left_out = [part for name in ("y", "counts") if name != label and name in sides[0]
                for part in ("--without", name)]  # fmt: skip
    return invoke(["learn", "--label", f"{paths[0]}:{label}", "--features", str(paths[1]), "--id", "id",
                   "--rehearse", "--json", *left_out, *more])  # fmt: skip


def refused(folder: Path, sides: tuple[Columns, Columns], *more: str) -> HanseError:
    with pytest.raises(HanseError) as caught:
        learned(folder, sides, *more)
    assert caught.value.remedy
    return caught.value


# --- options ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "option"),
    [
        ("logistic", ("--trees", "30")),  # though it is what it would be anyway
        ("logistic", ("--power", "1.5")),
        ("linear", ("--depth", "3")),
        ("multinomial", ("--l1", "0.1")),
        ("multinomial", ("--errors",)),
        ("multinomial", ("--offset", "a")),
        ("boosting", ("--l2", "0.1")),
        ("boosting", ("--weight", "a")),
        ("boosting", ("--open",)),
        ("boosting", ("--iterations", "20")),
        ("boosting", ("--batch-rows", "2048")),
        ("logistic", ("--horizontal", "--errors")),
        ("logistic", ("--horizontal", "--open")),
        ("boosting", ("--horizontal", "--l2", "0.1")),
    ],
)
def test_an_option_that_a_kind_does_not_use_is_refused_by_name(
    tmp_path: Path, sides: tuple[Columns, Columns], model: str, option: tuple[str, ...]
) -> None:
    error = refused(tmp_path, sides, "--model", model, *option)
    assert error.code == "learn.option"
    assert (
        next(part for part in option if part.startswith("--") and part != "--horizontal")
        in error.message
    )
    assert model in error.message


@pytest.mark.parametrize("horizontal", [False, True])
def test_every_option_serves_somebody(horizontal: bool) -> None:
    for name, option in OPTIONS.items():
        served = option.rows if horizontal else option.columns
        for model in served:
            check_used(model, [name], horizontal=horizontal)
        if not served:
            with pytest.raises(Refusal):
                check_used("logistic", [name], horizontal=horizontal)


def test_what_serves_all_kinds_is_never_refused() -> None:
    for model in ("logistic", "boosting", "multinomial"):
        check_used(model, ["holdout", "minimum_rows", "seed"])


# --- weights and offsets ----------------------------------------------------------------------------


def test_weights(
    tmp_path: Path, sides: tuple[Columns, Columns], capsys: pytest.CaptureFixture[str]
) -> None:
    """A weight of 0 takes a row out: labels that are wrong there change nothing."""
    guest, host = sides
    wrong = np.arange(ROWS) % 4 == 0
    spoilt = {**guest, "y": np.where(wrong, 1 - guest["y"], guest["y"]), "w": np.where(wrong, 0, 1)}
    assert learned(tmp_path, (spoilt, host), "--weight", "w", "--l2", "0.01", "--holdout", "0") == 0
    weighed = json.loads(capsys.readouterr().out)
    assert weighed["coefficient_difference_max"] < 1e-3
    kept = ({k: v[~wrong] for k, v in guest.items()}, host)
    assert learned(tmp_path, kept, "--l2", "0.01", "--holdout", "0") == 0
    alone = json.loads(capsys.readouterr().out)
    assert "w" not in weighed["coefficients"]["guest"]
    for party, own in alone["raw_coefficients"].items():
        for column, value in own.items():
            assert weighed["raw_coefficients"][party][column] == pytest.approx(value, abs=0.02)


def test_rivals_go_by_weights_too(
    tmp_path: Path, sides: tuple[Columns, Columns], capsys: pytest.CaptureFixture[str]
) -> None:
    guest, host = sides
    weighed = ({**guest, "w": np.random.default_rng(1).integers(1, 5, ROWS)}, host)
    options = ("--model", "poisson", "--weight", "w")
    assert learned(tmp_path, weighed, *options, label="counts") == 0
    body = json.loads(capsys.readouterr().out)
    for prefix in ("plaintext_", "alone_", "ensemble_"):
        assert np.isfinite(body[f"{prefix}deviance"])
    assert body["deviance"] == pytest.approx(body["plaintext_deviance"], rel=1e-3)
    assert body["deviance"] < body["ensemble_deviance"] < body["alone_by_party"]["host"]["deviance"]


def test_an_offset_is_added_and_has_no_coefficient(
    tmp_path: Path, sides: tuple[Columns, Columns], capsys: pytest.CaptureFixture[str]
) -> None:
    guest, host = sides
    random = np.random.default_rng(4)
    log_years = random.uniform(-1.5, 1.5, ROWS)
    mean = np.exp(0.4 * guest["a"] + 0.3 * host["d"] + log_years)
    made = ({**guest, "counts": random.poisson(mean), "log_years": log_years}, host)
    options = ("--model", "poisson", "--offset", "log_years", "--errors")
    assert learned(tmp_path, made, *options, label="counts") == 0
    body = json.loads(capsys.readouterr().out)
    assert body["coefficient_difference_max"] < 1e-3
    assert body["raw_coefficients"]["guest"]["a"] == pytest.approx(0.4, abs=0.1)
    assert "log_years" not in body["coefficients"]["guest"]


@pytest.mark.parametrize(
    ("columns", "option", "code"),
    [
        ({"w": -np.ones(ROWS)}, "--weight", "learn.weights"),
        ({"w": np.r_[1e6, np.ones(ROWS - 1)]}, "--weight", "learn.weights"),
        ({"w": ["much"] * ROWS}, "--weight", "learn.type"),
        ({}, "--weight", "learn.column"),
        ({"w": np.full(ROWS, np.nan)}, "--offset", "learn.offset"),
        ({"w": np.r_[1e6, np.ones(ROWS - 1)]}, "--offset", "learn.offset"),
    ],
)
def test_weights_and_offsets_that_cannot_serve(
    tmp_path: Path, sides: tuple[Columns, Columns], columns: Columns, option: str, code: str
) -> None:
    guest, host = sides
    error = refused(tmp_path, ({**guest, **columns}, host), option, "w")
    assert error.code == code


def test_a_column_serves_once(tmp_path: Path, sides: tuple[Columns, Columns]) -> None:
    for names in (("y", "a"), ("a", "a"), ("id", "a")):
        error = refused(tmp_path, sides, "--weight", names[0], "--offset", names[1])
        assert "cannot serve twice" in error.message


# --- sets that nobody prepared -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"e": np.arange(ROWS) * 10**15},  # beyond what a float holds exactly
        {"e": 5e12 + 1e12 * np.random.default_rng(0).normal(size=ROWS)},
        {"e": pa.array([None, *np.arange(ROWS - 1.0)])},  # one gap: no mark of a single row
        {"e": [True, False] * (ROWS // 2)},
        {"e": np.ones(ROWS)},
    ],
)
def test_odd_columns_come_to_the_plain_model(
    tmp_path: Path,
    sides: tuple[Columns, Columns],
    capsys: pytest.CaptureFixture[str],
    change: Columns,
) -> None:
    guest, host = sides
    assert learned(tmp_path, (guest, {**host, **change})) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["converged"]
    assert body["coefficient_difference_max"] < 1e-3
    assert "e=(missing)" not in body["coefficients"]["host"]


def test_a_row_kept_for_the_test_may_be_far_out(
    tmp_path: Path, sides: tuple[Columns, Columns], capsys: pytest.CaptureFixture[str]
) -> None:
    """A value of 1e9 there must not blur those of the rows to learn from."""
    guest, host = sides
    _, lots = hashed(pa.chunked_array([pa.array(guest["id"])]), "guest")
    row = int(np.flatnonzero(lots < 0.3)[0])
    far = np.where(np.arange(ROWS) == row, 1e9, host["d"])
    assert learned(tmp_path, (guest, {**host, "d": far})) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["coefficient_difference_max"] < 1e-3
    assert body["auc"] == pytest.approx(body["plaintext_auc"], abs=1e-2)


def test_a_few_words_among_numbers_are_told(tmp_path: Path, sides: tuple[Columns, Columns]) -> None:
    guest, host = sides
    words = [f"{v:.6f}" if n % 20 else "n/a" for n, v in enumerate(host["e"])]
    error = refused(tmp_path, (guest, {**host, "e": words}))
    assert error.code == "learn.text"
    assert "of them are numbers" in error.message
    assert "turn the others into numbers" in error.remedy
    error = refused(tmp_path, (guest, {**host, "e": [f"{v:.6f}" for v in host["e"]]}))
    assert "store it as numbers" in error.remedy


def test_a_test_of_one_class_says_why_it_has_no_auc(
    tmp_path: Path, sides: tuple[Columns, Columns], capsys: pytest.CaptureFixture[str]
) -> None:
    guest, host = sides
    _, lots = hashed(pa.chunked_array([pa.array(guest["id"])]), "guest")
    rare = (lots >= 0.3) & (np.arange(ROWS) % 40 == 0)
    assert learned(tmp_path, ({**guest, "y": rare.astype(np.int64)}, host)) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["auc"] is None
    assert any("of one class" in note for note in body["notes"])
    assert body["rows_noised"] is True


def test_copies_at_two_parties_are_said(
    tmp_path: Path, sides: tuple[Columns, Columns], capsys: pytest.CaptureFixture[str]
) -> None:
    """Predictions are the plain model's; whose column has the weight, next to no penalty decides."""
    guest, host = sides
    assert learned(tmp_path, (guest, {**host, "g": guest["a"]}), "--l2", "1e-6") == 0
    body = json.loads(capsys.readouterr().out)
    assert body["auc"] == pytest.approx(body["plaintext_auc"], abs=1e-3)
    said = any("a coefficient is" in note for note in body["notes"])
    assert said == (body["coefficient_difference_max"] > 1e-3)
