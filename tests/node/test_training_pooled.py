"""Horizontal models as jobs between nodes: three organisations with other rows of the same columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from model_federation import NAMES, ModelFederation

from hanse.errors import HanseError

ROWS = 600
COLUMNS = [
    {"name": "bought", "kind": "boolean", "uses": ["target"]},
    {"name": "spend", "kind": "number", "uses": ["feature"]},
    {"name": "city", "kind": "category", "uses": ["feature"], "values": ["north", "south"]},
]


def table(number: int) -> pa.Table:
    rng = np.random.default_rng(number)
    spend, city = rng.normal(size=ROWS) + 0.2 * number, rng.integers(0, 2, ROWS)
    bought = rng.random(ROWS) < 1 / (1 + np.exp(0.3 - 1.1 * spend - 0.8 * city))
    return pa.table({"id": [f"row-{number}-{n}" for n in range(ROWS)], "bought": bought, "spend": spend,
                     "city": np.array(["north", "south"])[city]})  # fmt: skip


@pytest.fixture(scope="module")
def terms(models: ModelFederation) -> dict[str, Any]:
    """The datasets and the model of a contract; each organisation has registered its rows."""
    datasets = []
    for number, name in enumerate(NAMES):
        models.give(f"rows-{name}", table(number))
        with models[name].office() as office:
            office.register_dataset(
                {"name": f"rows-{name}", "source": {"path": str(models.source(f"rows-{name}"))},
                 "ids": [{"column": "id", "type": "member"}],
                 "columns": [{"name": c["name"], "column": c["name"], "kind": c["kind"]} for c in COLUMNS],
                 "classification": "personal", "description": "Made-up people.",
                 "legal_basis": "consent", "evidence": "made-up people"}
            )  # fmt: skip
        datasets.append(
            {"name": f"rows-{name}", "provider": name, "capacity": ROWS, "slots": 1, "personal": True,
             "legal_basis": "consent", "evidence": "made-up people", "columns": COLUMNS}
        )  # fmt: skip
    return {"datasets": datasets}


def clause(**changes: Any) -> dict[str, Any]:
    return {
        "name": "churn", "kind": "horizontal-glm", "target": {"dataset": "rows-shop", "column": "bought"},
        "features": [{"dataset": f"rows-{n}", "columns": ["spend", "city"]} for n in NAMES],
        "alignment": "none", "authorisation": "authorised-by-people", "evidence": "Made-up forms.",
        "maximum_trainings": 3, "least_rows": 100, "expiry_days": 30,
    } | changes  # fmt: skip


def blocks(models: ModelFederation, job: str) -> dict[str, Any]:
    found = {}
    for name in NAMES:
        with models[name].office() as office:
            found[name] = office.models.document(job)
    return found


def test_every_party_ends_with_the_common_model(
    models: ModelFederation, terms: dict[str, Any]
) -> None:
    contract = models.contract(**terms, models=[clause()])
    outcome = models.train(contract)
    held = blocks(models, outcome.job)
    common = [document["block"]["common"] for document in held.values()]
    assert common[0]["coefficients"] == pytest.approx(common[1]["coefficients"], abs=1e-6)
    assert common[0]["coefficients"][0] == pytest.approx(1.1, abs=0.25)
    assert common[0]["coefficients"][1] == pytest.approx(0.8, abs=0.35)
    for document in held.values():
        card = document["card"]
        assert card["metrics"]["auc"] > 0.7
        assert card["choice"] in ("own", "mixed", "common")
        assert min(card["own_loss"], card["common_loss"]) < 0.7
    told = [o["step"] for o in models["media"].entries("disclosure")[-1]["openings"]]
    assert told[0] == "sums"
    with pytest.raises(HanseError) as raised:
        models.score(contract, outcome.job)
    assert raised.value.code in ("model.kind", "model.scores")


@pytest.mark.parametrize(
    ("kind", "settings", "learner"),
    [
        ("horizontal-mlp", {"rounds": 2}, "network"),
        ("horizontal-boosting", {"trees": 3, "depth": 2}, "trees"),
    ],
)
def test_other_learners(
    models: ModelFederation,
    terms: dict[str, Any],
    kind: str,
    settings: dict[str, Any],
    learner: str,
) -> None:
    contract = models.contract(**terms, models=[clause(kind=kind)])
    outcome = models.train(contract, **settings)
    assert blocks(models, outcome.job)["neutral"]["block"]["common"]["learner"] == learner


def test_what_is_refused(models: ModelFederation, terms: dict[str, Any]) -> None:
    two = [f for f in clause()["features"] if f["dataset"] != "rows-neutral"]
    contract = models.contract(**terms, models=[clause(features=two)])
    with pytest.raises(HanseError) as raised:  # of two parties' sum each knows the other's part
        models.train(contract)
    assert raised.value.remedy
    other = clause()["features"]
    other[1] = {"dataset": "rows-media", "columns": ["city", "spend"]}
    contract = models.contract(**terms, models=[clause(features=other)])
    with pytest.raises(HanseError) as raised:
        models.train(contract)
    assert raised.value.code == "model.columns"
    contract = models.contract(**terms, models=[clause(least_rows=ROWS + 1)])
    with pytest.raises(HanseError) as raised:
        models.train(contract)
    assert raised.value.code == "learn.rows"
