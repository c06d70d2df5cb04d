"""Batches, samples and classes that are turned by themselves come to the same model as all rows at once."""

from __future__ import annotations

import gc
import os
from typing import Any

import numpy as np
import pytest
from worlds import frames, learned

from hanse.align import JoinPolicy
from hanse.errors import Fault, Refusal
from hanse.learn.linear import glm, looks, plan
from hanse.learn.linear.families import family_of
from hanse.learn.linear.filed import Side, filed, from_column
from hanse.learn.linear.plan import Plan, Provider
from hanse.learn.linear.rows import Rows

BATCH = 1024


def logistic_plan(columns: int, **options: Any) -> Plan:
    providers = (Provider("a", columns, 10**6, 0), Provider("b", 1, 10**6, 0))
    return Plan(family_of("logistic"), providers, 1e-6, JoinPolicy(1.0, 1e-6), **options)


def rows_of_size(count: int) -> Rows:
    class Columns:
        shape = (3, count)

    return Rows(Columns(), None, None, {}, None, None)  # type: ignore[arg-type]


# --- batches ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "alignment", "errors"),
    [("logistic", "open", True), ("poisson", "hidden", True), ("multinomial", "open", False)],
)
def test_batches_come_to_the_same_model(model: str, alignment: str, errors: bool) -> None:
    made = frames(model, 2900)
    whole = learned(made, model, alignment=alignment, errors=errors)
    parted = learned(made, model, alignment=alignment, errors=errors, batch_rows=BATCH)
    assert parted.settled
    assert parted.difference < 1e-4
    assert parted.error_difference < 2e-3
    for name, value in whole.metrics.items():
        assert parted.metrics[name] == pytest.approx(value, rel=1e-3, abs=1e-3), name


def test_weights_and_penalties_in_batches() -> None:
    made: list[dict[str, Any]] = frames("logistic", 2600)
    made[0]["weight"] = np.random.default_rng(2).integers(1, 4, made[0]["id"].size)
    outcome = learned(made, "logistic", batch_rows=BATCH, l1=0.01, l2=0.01)
    assert outcome.difference < 1e-3


def test_open_rows_of_batches_go_a_column_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """No party sends a seat more than one column at once, and waits for the seats."""
    received: list[int] = []
    plain = glm.receive_columns

    def counted(s: Any, role: int, name: str, part: str, count: int, into: Any) -> None:
        received.append(len(into[1]))
        plain(s, role, name, part, count, into)

    monkeypatch.setattr(glm, "receive_columns", counted)
    learned(frames("logistic", 2000), "logistic", alignment="open", batch_rows=BATCH, holdout=0.0)
    assert received == [4] * 6, "three seats, two parties of four columns"


def test_rows_to_test_on_come_in_batches_too() -> None:
    made = frames("logistic", 3000)
    outcome = learned(
        made, "logistic", alignment="open", batch_rows=BATCH, holdout=0.5, errors=True
    )
    assert outcome.metrics["rows"] > BATCH
    assert outcome.metrics["auc"] == pytest.approx(outcome.plaintext["auc"], abs=1e-3)
    assert outcome.difference < 1e-4


def test_a_batch_is_neither_tiny_nor_all_there_is() -> None:
    with pytest.raises(Refusal) as caught:
        learned(frames("logistic", 600), "logistic", batch_rows=plan.LEAST_BATCH - 1)
    assert caught.value.code == "learn.batch"


# --- files ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 2, 63, 1001])
def test_a_filed_side_reads_as_an_array_does(rows: int) -> None:
    values = np.random.default_rng(rows).integers(0, 2**63, (5, rows), dtype=np.uint64)
    side = Side(5, rows)
    for column in reversed(range(5)):
        side[column] = values[column]
    assert np.array_equal(side[3], values[3])
    for first, last in ((0, rows), (rows // 3, rows), (rows // 2, rows // 2), (rows - 1, rows)):
        assert np.array_equal(side[:, first:last], values[:, first:last])
    assert np.array_equal(side[[4, 1]], values[[4, 1]])
    assert np.array_equal(side.below(2)[:, 0:rows], values[2:])
    assert side.below(2).shape == (3, rows)


def test_what_lies_in_the_file_is_not_what_was_put_there() -> None:
    side = Side(2, 500)
    side[0], side[1] = np.zeros(500, np.uint64), np.zeros(500, np.uint64)
    raw = np.frombuffer(os.pread(side._file.number, 8000, 0), np.uint64)
    assert raw.size == 1000
    assert np.unique(raw).size == 1000, "every word is under its own place of the key's stream"


def test_the_file_has_no_name_and_goes_with_the_rows() -> None:
    ring = filed(2, 10)
    number = ring.left._file.number  # type: ignore[attr-defined]
    assert os.fstat(number).st_nlink == 0
    below = from_column(ring, 1)
    assert below.shape == (1, 10)
    del ring, below
    gc.collect()
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(number)


# --- samples ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [
        (20_000, 3, None),  # too few
        (24_000, 3, (12_000, 1)),
        (100_000, 39, (12_500, 3)),
        (100_000, 180, (50_000, 1)),  # many columns want many rows
        (4_000_000, 39, (125_000, 5)),
    ],
)
def test_how_large_a_sample_is(rows: int, columns: int, expected: tuple[int, int] | None) -> None:
    found = looks.sample_of(rows_of_size(rows), logistic_plan(columns))
    assert (found and (found.count, found.spread)) == expected


def test_only_two_classes_without_an_offset_have_samples() -> None:
    rows = rows_of_size(100_000)
    assert looks.sample_of(rows, logistic_plan(3, offset=True)) is None
    other = Plan(family_of("poisson"), logistic_plan(3).providers, 0.0, JoinPolicy(1.0, 1e-6))
    assert looks.sample_of(rows, other) is None


@pytest.mark.parametrize("weights", [False, True])
def test_a_sample_on_the_way_changes_nothing_of_the_result(
    monkeypatch: pytest.MonkeyPatch, weights: bool
) -> None:
    made: list[dict[str, Any]] = frames("logistic", 9000, share=1.0)
    if weights:
        made[0]["weight"] = np.random.default_rng(2).integers(1, 4, 9000)
    whole = learned(made, "logistic", alignment="open", holdout=0.0)
    monkeypatch.setattr(looks, "LEAST_SAMPLE", 2000)
    monkeypatch.setattr(looks, "PER_COLUMN", 16)
    for batch in (None, BATCH):
        sampled = learned(made, "logistic", alignment="open", holdout=0.0, batch_rows=batch)
        assert sampled.settled
        assert sampled.difference < 1e-4
        assert sampled.trained_bytes < 0.9 * whole.trained_bytes or batch
        assert abs(sampled.iterations - whole.iterations) <= 1


# --- several classes with many coefficients -----------------------------------------------------------


def many_classes(rows: int, columns: int, classes: int) -> list[dict[str, Any]]:
    random = np.random.default_rng(4)
    x = random.normal(size=(rows, columns))
    score = x @ random.normal(size=(columns, classes)) + random.gumbel(size=(rows, classes))
    ids = np.arange(rows)
    half = columns // 2
    return [
        {"id": ids, "y": score.argmax(axis=1), **{f"a{c}": x[:, c] for c in range(half)}},
        {"id": ids, **{f"b{c}": x[:, c] for c in range(half, columns)}},
    ]


@pytest.mark.parametrize("weights", [False, True])
def test_classes_turned_by_themselves(monkeypatch: pytest.MonkeyPatch, weights: bool) -> None:
    made = many_classes(1600, 6, 4)
    if weights:
        made[0]["weight"] = np.random.default_rng(2).integers(1, 4, 1600)
    monkeypatch.setattr(plan, "MOST_TOGETHER", 20)
    outcome = learned(made, "multinomial", alignment="open", l2=0.01, iterations=30)
    assert outcome.settled
    assert outcome.difference < 1e-3
    for name in ("log_loss", "accuracy"):
        assert outcome.metrics[name] == pytest.approx(outcome.plaintext[name], abs=1e-3), name
    sums = [
        sum(v for k, v in outcome.coefficients["p1"].items() if k.startswith(f"b{c} "))
        for c in range(3, 6)
    ]
    assert np.allclose(sums, 0, atol=1e-4), "a column's coefficients of all classes add up to 0"


@pytest.mark.slow
def test_two_thousand_coefficients() -> None:
    outcome = learned(
        many_classes(9000, 200, 10), "multinomial", alignment="open", l2=0.01, iterations=30
    )
    assert outcome.settled
    assert outcome.difference < 1e-3


def test_the_plain_model_of_many_coefficients_is_the_direct_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from hanse.learn.linear import plain

    random = np.random.default_rng(3)
    x = random.normal(size=(800, 5))
    y = (x[:, :4] + random.gumbel(size=(800, 4))).argmax(axis=1).astype(float)
    family = family_of("multinomial", classes=4)
    direct = plain.irls(x, y, family, 1e-3)
    monkeypatch.setattr(plain, "MOST_SOLVED", 1)
    found = plain.irls(x, y, family, 1e-3)
    assert found.settled
    assert np.allclose(found.coefficients, direct.coefficients, atol=1e-6)
    assert np.allclose(found.intercept, direct.intercept, atol=1e-6)


def test_a_disk_without_room_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    side = Side(1, 10)
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(Fault, match="no room on the disk"):
        side[0] = np.zeros(10, np.uint64)
