"""Models through the console, between three running nodes: trained, shown, scored, handed out once, deleted."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq
import pytest
from console_stage import Bench, Browser, bench
from model_federation import PEOPLE, ModelFederation, person


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelFederation]:
    made = ModelFederation.found(tmp_path_factory.mktemp("models"))
    try:
        made.contract()
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def shop(federation: ModelFederation) -> Iterator[Bench]:
    with bench(federation["shop"].folder) as made:
        yield made


@pytest.fixture(scope="module")
def analyst(shop: Bench) -> Browser:
    return shop.browser("analyst")


def ended(browser: Browser, answer: Any) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    for _ in range(1200):
        found = browser.api("GET", f"/asks/{answer.json()['ask']}").json()
        if found["state"] != "asking":
            return dict(found)
        time.sleep(0.05)
    raise AssertionError("the question is not answered")


@pytest.fixture(scope="module")
def trained(analyst: Browser) -> str:
    asked = analyst.api("POST", "/models/churn/trainings", json={"settings": {"iterations": 8}})
    found = ended(analyst, asked)
    assert found["state"] == "done", found
    return str(found["job"])


def test_what_may_be_trained_is_listed(analyst: Browser) -> None:
    found = analyst.api("GET", "/models").json()
    assert [(a["model"], a["contract"], a["parties"]) for a in found["allowed"]] == [
        ("churn", "models-1", ["shop", "media"])
    ]
    page = analyst.get("/models").text
    assert "churn" in page
    assert "Train a model" in page
    assert "模型" in analyst.get("/models", headers={"accept-language": "zh-CN"}).text


def test_a_trained_model_has_a_card_and_our_own_part_alone(
    shop: Bench, analyst: Browser, trained: str
) -> None:
    found = analyst.api("GET", "/models/churn").json()
    assert found["training"] == trained
    columns = [r["column"] for c in found["block"]["classes"] for r in c["rows"]]
    assert {"spend", "member"} <= set(columns)
    assert not {"minutes", "visits"} & set(columns)  # the media company's
    page = analyst.get(f"/models/{trained[:12]}").text
    for wanted in ("customers.bought", "spend", "Made-up forms", "authorised by the people"):
        assert wanted in page
    # Who may not read results sees the card without the part.
    legal = shop.browser("legal")
    assert legal.api("GET", "/models/churn").json()["block"] is None
    assert "Our own part" not in legal.get("/models/churn").text
    assert f"/models/{trained[:12]}" in analyst.get(f"/jobs/{trained}").text


def test_scores_are_handed_out_once(shop: Bench, analyst: Browser, trained: str) -> None:
    job = ended(analyst, analyst.api("POST", "/models/churn/scorings", json={}))["job"]
    assert "Take the scores" in analyst.get(f"/jobs/{job}").text
    assert "Take the scores" not in shop.browser("auditor").get(f"/jobs/{job}").text
    taken = analyst.post(f"/jobs/{job}/scores.parquet")
    table = pq.read_table(io.BytesIO(taken.content))
    assert table.num_rows == PEOPLE
    assert "Take the scores" not in analyst.get(f"/jobs/{job}").text
    again = analyst.api("POST", f"/jobs/{job}/scores")
    assert again.json()["code"] == "model.scores"


def test_one_row_is_scored_and_its_id_is_written_down_nowhere_here(
    shop: Bench, analyst: Browser, trained: str
) -> None:
    told = analyst.api("POST", "/models/churn/rows", json={"id": person(500)})
    assert told.status_code == 200, told.text
    assert 0 < next(iter(told.json()["scores"].values())) < 1
    assert "The score" in analyst.post("/models/churn/row", {"id": person(501)}).text
    assert (
        analyst.api("POST", "/models/churn/rows", json={"id": "nobody"}).json()["code"]
        == "model.no-row"
    )
    entries = [e.body for e in shop.console.desk.office.ledger.entries()]
    assert person(500) not in json.dumps(entries, default=str)
    assert [e["outcome"] for e in shop.ledger() if e["action"] == "model.score"][-3:] == [
        "done", "done", "model.no-row"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [("nothing", {}, 404), ("churn", {"contract": "nothing"}, 404), ("churn", {"colour": 1}, 422),
     ("churn", {"settings": {"l2": [1]}}, 422), ("<script>", {}, 404)],
)  # fmt: skip
def test_a_training_that_is_wrong_is_refused(
    analyst: Browser, name: str, body: dict[str, Any], status: int
) -> None:
    answer = analyst.api("POST", f"/models/{name}/trainings", json=body)
    assert answer.status_code == status, answer.text
    page = analyst.post("/models/train", {"model": "churn", "settings": "l2 = = 1"})
    assert page.status_code == 422
    assert "l2 = = 1" in page.text


def test_the_part_leaves_with_the_ledger_knowing_and_is_deleted_with_a_reason(
    shop: Bench, analyst: Browser, trained: str
) -> None:
    risk, auditor = shop.browser("risk"), shop.browser("auditor")
    assert risk.get("/models/churn/part.json").status_code == 403
    part = auditor.get("/models/churn/part.json").json()
    assert part["party"] == "shop"
    assert part["signature"]
    assert any(e["action"] == "model.export" and e["user"] == "the-auditor" for e in shop.ledger())
    assert analyst.api("POST", "/models/churn/deletion", json={"reason": "x"}).status_code == 403
    assert (
        risk.api("POST", "/models/churn/deletion", json={"reason": " "}).json()["code"]
        == "model.reason"
    )
    risk.get("/models/churn")
    assert risk.post("/models/churn/delete", {"reason": "the campaign is over"}).status_code == 303
    assert "Our part is gone" in risk.get(f"/models/{trained[:12]}").text
    assert analyst.api("POST", "/models/churn/rows", json={"id": person(500)}).status_code >= 400
