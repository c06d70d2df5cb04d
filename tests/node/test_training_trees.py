"""Boosted trees as jobs between nodes: trained, kept and scored in the open, where the contract allows it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from model_federation import ModelFederation, clause, person, tables

from hanse.errors import HanseError
from hanse.learn.boosting.blocks import Block, LabelBlock
from hanse.learn.boosting.rows import Rows

SETTINGS = {"trees": 4, "depth": 3, "minimum_rows": 100}


def trees(**changes: Any) -> dict[str, Any]:
    return clause(kind="boosting", alignment="open", maximum_trees=10, **changes)


@pytest.fixture(scope="module")
def trained(models: ModelFederation) -> tuple[str, str]:
    contract = models.contract(models=[trees()])
    return contract, models.train(contract, **SETTINGS).job


def test_each_party_has_its_splits_and_the_label_party_the_metrics(
    models: ModelFederation, trained: tuple[str, str]
) -> None:
    training = trained[1]
    with models["shop"].office() as office:
        document = office.models.document(training)
        mine = LabelBlock.from_body(document["block"])
    with models["media"].office() as office:
        other = office.models.document(training)
        theirs = Block.from_body(other["block"])
    assert len(mine.trees) == 4
    assert mine.split_counts()[1] == len(theirs.splits) > 0
    assert "minutes" in {s.column for s in theirs.splits}
    assert 0.7 < document["card"]["metrics"]["auc"] < 0.9
    assert other["card"]["metrics"] == {}
    openings = models["neutral"].entries("disclosure")[-1]["openings"]
    assert [o["step"] for o in openings][:3] == ["keys", "splits", "rows"]


def test_scores_are_those_of_all_splits_together(
    models: ModelFederation, trained: tuple[str, str]
) -> None:
    contract, training = trained
    outcome = models.score(contract, training)
    path = models["shop"].data / "scores" / f"{outcome.job}.parquet"
    found = dict(zip(*pq.read_table(path).to_pydict().values(), strict=True))
    with models["shop"].office() as office:
        mine = LabelBlock.from_body(office.models.document(training)["block"])
    with models["media"].office() as office:
        theirs = Block.from_body(office.models.document(training)["block"])
    both = tables()
    left, right = (t.to_pandas().set_index("id") for t in both.values())
    keys = [k for k in left.index if k in right.index]
    here = {
        "spend": left.loc[keys, "spend"].to_numpy(),
        "member": left.loc[keys, "member"].to_numpy(float),
    }
    there = {c: right.loc[keys, c].to_numpy() for c in ("minutes", "city", "visits")}
    directions = [
        mine.own.directions(Rows("shop", keys, here, False)),
        theirs.directions(Rows("media", keys, there, False)),
    ]
    wanted = mine.predict(directions, len(keys))
    assert np.allclose([found[k] for k in keys], wanted)
    assert sum(v is not None for v in found.values()) == len(keys)
    parameters = {"model": "churn", "training": training, "receiver": "shop"}
    one = models.ask(contract, "score-one", "shop", parameters, asked=keys[7])
    assert one.result
    assert abs(one.result["score"] - wanted[7]) < 1e-9
    with pytest.raises(HanseError) as raised:
        models.ask(contract, "score-one", "shop", parameters, asked=person(3))
    assert raised.value.code == "model.no-row"


def test_what_is_refused(models: ModelFederation) -> None:
    contract = models.contract(models=[trees()])
    for parameters, code in (
        ({"trees": 11}, "model.trees"),
        ({"minimum_rows": 50}, "learn.personal.rows"),
        ({"masked": False}, "learn.personal.masks"),
        ({"depth": 99}, "question.malformed"),
    ):
        with pytest.raises(HanseError) as raised:
            models.train(contract, **(SETTINGS | parameters))
        assert raised.value.code == code
    with pytest.raises(HanseError) as raised:
        models.contract(models=[trees(scores=["media"])])
    assert "models[churn].scores" in raised.value.message
    with pytest.raises(HanseError) as raised:
        models.contract(models=[trees(authorisation="not-personal", evidence=None)])
    assert "models[churn].authorisation" in raised.value.message


def test_too_few_rows_in_common(models: ModelFederation) -> None:
    contract = models.contract(models=[trees(least_rows=1700)])
    with pytest.raises(HanseError) as raised:
        models.train(contract, **SETTINGS)
    assert raised.value.code == "learn.rows"
    assert "models[churn].least_rows" in raised.value.where
