"""Rehearsals of boosting over anybody's tables: matched in the open, beside the plain model, or a clear refusal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from boosted import auc

from hanse.errors import HanseError, Refusal
from hanse.learn.boosting import Settings
from hanse.learn.boosting.rehearsal import Outcome, rehearse
from hanse.learn.features.reading import Prepared, Preparing, prepared, read_party

KEEP = Preparing("keep", 0.3, classes=True, codes=True)


def party(name: str, ids: np.ndarray, label: str | None = None, **columns: object) -> Prepared:
    table = pa.table({"id": ids, **columns})
    return prepared(table, "id", label, name, f"{name}.parquet", KEEP)


def two(
    rows: int, seed: int, host_ids: np.ndarray | None = None, y: object = None
) -> list[Prepared]:
    random = np.random.default_rng(seed)
    a, b = random.standard_normal((2, rows))
    town = random.choice(["north", "south", "west"], rows)
    label = (a + b + 2.0 * (town == "south") + random.standard_normal(rows) > 0.7).astype(float)
    ids = np.arange(rows)
    theirs = ids[::-1] if host_ids is None else host_ids
    back = (
        np.argsort(theirs, kind="stable")[: theirs.size]
        if host_ids is None
        else np.arange(theirs.size)
    )
    return [
        party("guest", ids, "y", y=label if y is None else y, a=a),
        party("host", theirs, None, b=b[back][: theirs.size], town=town[back][: theirs.size]),
    ]


def run(parties: list[Prepared], **asked: object) -> Outcome:
    return rehearse(
        [p.table for p in parties], classes=parties[0].classes,
        texts={p.table.name: p.values for p in parties}, **asked,
    )  # fmt: skip


def test_rows_are_matched_by_id_and_the_joint_model_is_the_better_one() -> None:
    outcome = run(two(3_000, 71), trees=8, depth=3)
    assert outcome.loss == "logistic"
    assert outcome.rows_matched == 3_000
    joint, plain, alone = (
        auc(outcome.y, mean) for mean in (outcome.mean, outcome.centralised, outcome.alone["guest"])
    )
    assert 600 < outcome.y.size < 1_200
    assert abs(joint - plain) < 0.01
    assert joint > alone + 0.05
    assert set(outcome.importance["host"]) == {"b", "town"}
    assert outcome.importance["host"]["town"] > 0  # split by categories
    assert outcome.shares["host"] > 0.3
    assert outcome.bytes > 100_000
    assert sum(o["values"] for o in outcome.openings) > 100
    assert "authorisation" in outcome.notes[0]


def test_words_are_classes_and_numbers_are_numbers() -> None:
    random = np.random.default_rng(72)
    a = random.standard_normal(1_500)
    words = np.where(a < -0.4, "low", np.where(a < 0.5, "mid", "top"))
    outcome = run(two(1_500, 73, y=words), trees=2, depth=2)
    assert outcome.loss == "multinomial"
    assert outcome.mean.shape == (outcome.y.size, 3)
    outcome = run(two(1_500, 73, y=a * 7), trees=2, depth=2, holdout=0.0)
    assert outcome.loss == "squared"
    assert outcome.y.size == 1_500
    assert any("no rows were kept" in note for note in outcome.notes)


@pytest.mark.parametrize(
    ("matched", "code"), [(0, "learn.rows"), (5, "learn.rows"), (39, "learn.rows")]
)
def test_too_few_rows(matched: int, code: str) -> None:
    ids = np.concatenate([np.arange(matched), np.arange(10_000, 10_300)])
    with pytest.raises(HanseError) as raised:
        run(two(600, 74, host_ids=ids), holdout=0.0)
    assert raised.value.code == code
    assert raised.value.remedy


def test_labels_that_cannot_serve() -> None:
    for label, asked in (
        (np.ones(600), {}),
        (np.where(np.arange(600) < 3, np.nan, 1.0), {}),
        (np.arange(600.0), {"loss": "logistic"}),
        (np.arange(600.0), {"loss": "multinomial"}),
        (-np.arange(600.0), {"loss": "poisson"}),
    ):
        with pytest.raises(Refusal) as raised:
            run(two(600, 75, y=pa.array(label)), **asked)
        assert raised.value.code == "learn.label"


def test_breast_as_in_one_place(hanse_data: Path) -> None:
    folder = hanse_data / "vfl"
    parties = [
        read_party(folder / f"breast_hetero_{name}.parquet", "id", label, name, KEEP)
        for name, label in (("guest", "y"), ("host", None))
    ]
    outcome = run(parties, settings=Settings(trees=10, depth=3, learning_rate=0.3))
    assert outcome.rows_matched == 569
    assert auc(outcome.y, outcome.mean) > 0.975  # XGBoost on another holdout: 0.988


def test_perfect_separation_is_a_sound_model() -> None:
    random = np.random.default_rng(76)
    b = random.standard_normal(1_000)
    parties = [
        party("guest", np.arange(1_000), "y", y=(b > 0.3).astype(float), a=random.random(1_000)),
        party("host", np.arange(1_000), None, b=b),
    ]
    outcome = run(parties, trees=20, depth=2)
    assert auc(outcome.y, outcome.mean) > 0.999
    assert np.isfinite(outcome.mean).all()
    assert 0 < outcome.mean.min() < 0.1
    assert 0.9 < outcome.mean.max() < 1
