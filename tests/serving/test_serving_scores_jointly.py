"""Scores over the API of nodes that run: a batch that they made together, and one row that they are asked for."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

sys.path.append(str(Path(__file__).parents[1] / "node"))  # organisations that train models together

from model_federation import NAMES, PEOPLE, ModelFederation, clause, person
from serving_stage import Served

from hanse.node.faces.serving import score_one
from hanse.serving.app import create_app


@dataclass
class Joint:
    api: Served
    models: ModelFederation
    contract: str
    training: str


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Joint]:
    models = ModelFederation.found(tmp_path_factory.mktemp("joint"))
    try:
        models.start()
        contract = models.contract()
        training = models.train(contract).job
        shop = models["shop"].running.office
        app = create_app(
            shop.store, webhooks=False, scores=shop.desk.folder,
            score_one=lambda model, row: score_one(shop, models["shop"].folder, model, row),
        )  # fmt: skip
        with TestClient(app, client=("127.0.0.1", 5000)) as client:
            api = Served(shop.store, client, "")
            api.key = api.consumer("campaigns", scopes=("scores",), rate=1000.0)
            yield Joint(api, models, contract, training)
    finally:
        models.stop()


def test_what_the_nodes_scored_together_is_read_in_pages_and_whole(joint: Joint) -> None:
    job = joint.models.score(joint.contract, joint.training).job
    get, headers = joint.api.client.get, joint.api.headers()
    assert [s["job"] for s in get("/v1/scores", headers=headers).json()["scores"]] == [job]
    rows, after = [], 0
    while after is not None:
        page = get(f"/v1/scores/{job}?after={after}&limit=900", headers=headers).json()
        rows, after = rows + page["rows"], page["next"]
    table = pq.read_table(
        io.BytesIO(get(f"/v1/scores/{job}?form=parquet", headers=headers).content)
    )
    assert table.column("id").to_pylist() == [r["id"] for r in rows]
    assert table.column("score").to_pylist() == [r["score"] for r in rows]
    assert len(rows) == PEOPLE
    assert sum(r["score"] is None for r in rows) == 300  # whom the media company does not know


def test_one_row_is_scored_by_all_or_not_at_all(joint: Joint) -> None:
    job = joint.models.score(joint.contract, joint.training).job
    data = joint.api.client.get(f"/v1/scores/{job}?form=parquet", headers=joint.api.headers())
    known = dict(zip(*pq.read_table(io.BytesIO(data.content)).to_pydict().values(), strict=True))

    def ask(id: str, model: str = "churn") -> tuple[int, dict[str, object]]:
        answer = joint.api.client.post(
            f"/v1/models/{model}/score", json={"id": id}, headers=joint.api.headers()
        )
        return answer.status_code, answer.json()

    status, body = ask(person(777))
    assert status == 200
    assert np.isclose(body["score"], known[person(777)], atol=1e-5)
    status, body = ask(person(5))  # the media company does not have it
    assert (status, body["code"]) == (404, "model.no-row")
    assert "score" not in body
    assert ask("nobody")[1]["code"] == "model.no-row"
    assert ask(person(777), "no-such-model")[0] == 404
    joint.models["media"].stop()
    status, body = ask(person(777))
    assert status in (502, 503)
    assert "score" not in body
    joint.models.start()
    joint.models.settle()
    for name in NAMES:  # which row was asked stands in no record
        with joint.models[name].office() as office:
            entries = json.dumps([e.body for e in office.ledger.entries()])
            jobs = json.dumps([[j.request, j.result, j.error] for j in office.store.jobs.all()])
            assert person(777) not in entries + jobs


def test_a_contract_without_single_rows_allows_none(joint: Joint) -> None:
    joint.models["shop"].running.office.set_state(joint.contract, "ended", "a test")
    contract = joint.models.contract(models=[clause(online="no")])
    joint.models.train(contract)
    answer = joint.api.client.post(
        "/v1/models/churn/score", json={"id": person(777)}, headers=joint.api.headers()
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "model.online")
    assert joint.api.client.get("/v1/scores", headers=joint.api.headers()).json()["scores"] == []
