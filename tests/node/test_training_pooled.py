"""Horizontal models as jobs between nodes: three organisations with other rows of the same columns."""

from __future__ import annotations

from typing import Any

import pytest
from model_federation import NAMES, ModelFederation
from pooled_rows import ROWS, pooled_clause, pooled_terms

from hanse.errors import HanseError


@pytest.fixture(scope="module")
def terms(models: ModelFederation) -> dict[str, Any]:
    return pooled_terms(models)


def blocks(models: ModelFederation, job: str) -> dict[str, Any]:
    found = {}
    for name in NAMES:
        with models[name].office() as office:
            found[name] = office.models.document(job)
    return found


def test_every_party_ends_with_the_common_model(
    models: ModelFederation, terms: dict[str, Any]
) -> None:
    contract = models.contract(**terms, models=[pooled_clause()])
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
    contract = models.contract(**terms, models=[pooled_clause(kind=kind)])
    outcome = models.train(contract, **settings)
    assert blocks(models, outcome.job)["neutral"]["block"]["common"]["learner"] == learner


def test_what_is_refused(models: ModelFederation, terms: dict[str, Any]) -> None:
    two = [f for f in pooled_clause()["features"] if f["dataset"] != "rows-neutral"]
    contract = models.contract(**terms, models=[pooled_clause(features=two)])
    with pytest.raises(HanseError) as raised:  # of two parties' sum each knows the other's part
        models.train(contract)
    assert raised.value.remedy
    other = pooled_clause()["features"]
    other[1] = {"dataset": "rows-media", "columns": ["city", "spend"]}
    contract = models.contract(**terms, models=[pooled_clause(features=other)])
    with pytest.raises(HanseError) as raised:
        models.train(contract)
    assert raised.value.code == "model.columns"
    contract = models.contract(**terms, models=[pooled_clause(least_rows=ROWS + 1)])
    with pytest.raises(HanseError) as raised:
        models.train(contract)
    assert raised.value.code == "learn.rows"
