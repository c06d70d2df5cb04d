"""The API and the pages over three running nodes: from a signed contract to a result, its report and the record."""

from __future__ import annotations

import csv
import io
import json
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq
import pytest
from console_stage import Bench, Browser, bench
from running_stage import CONTRACT, PEOPLE, QUESTION, Stage, stage

from hanse.console import Console, Settings
from hanse.errors import Fault
from hanse.node.faces import facade


def plain(text: str) -> dict[str, Any]:
    return dict(json.loads(json.dumps(tomllib.loads(text), default=str)))


ASKED = plain(QUESTION)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("federation")) as made:
        yield made


@pytest.fixture(scope="module")
def media(running: Stage) -> Iterator[Bench]:
    with bench(running.media) as made:
        yield made


@pytest.fixture(scope="module")
def analyst(media: Bench) -> Browser:
    return media.browser("analyst")


def answered(browser: Browser, ask: str) -> dict[str, Any]:
    for _ in range(600):
        found = browser.api("GET", f"/asks/{ask}").json()
        if found["state"] != "asking":
            return dict(found)
        time.sleep(0.05)
    raise AssertionError("the question is not answered")


@pytest.fixture(scope="module")
def job(analyst: Browser) -> str:
    """A job that was asked for through the API."""
    begun = analyst.api("POST", "/jobs", json=ASKED)
    assert begun.status_code == 202, begun.text
    ended = answered(analyst, begun.json()["ask"])
    assert ended["state"] == "done", ended
    return str(ended["job"])


def test_the_node_and_its_links_are_seen(analyst: Browser) -> None:
    node = analyst.api("GET", "/node").json()
    assert node["party"] == "media-house"
    assert {link["party"]: link["connected"] for link in node["running"]["links"]} == {
        "retail-chain": True, "data-house": True,
    }  # fmt: skip
    assert all(p["linked"] for p in analyst.api("GET", "/partners").json()["rows"])
    assert "the node runs" in analyst.get("/").text


def test_a_dry_run_costs_nothing_and_is_shown_before_asking(media: Bench, analyst: Browser) -> None:
    found = analyst.api("POST", "/previews", json=ASKED).json()
    assert (found["epsilon"], found["k"]) == (4.0, 20)
    form = {"contract": CONTRACT, "computation": "funnel", "epsilon": "2", "recipients": "media-house",
            "stage_0": "exposures", "name_0": "seen", "stage_1": "purchases", "days_1": "60",
            "by": "purchases.band", "ordered": "1", "starts": "2026-01-01", "ends": "2026-03-01"}  # fmt: skip
    page = analyst.post("/ask/form", form)
    assert page.status_code == 200, page.text
    assert "What it would cost and show" in page.text
    assert "ε 2" in page.text
    text = page.text.split('name="text" value="')[1].split('"')[0].replace("&#34;", '"')
    question = tomllib.loads(text)
    assert question["parameters"]["stages"][1] == {
        "name": "purchases", "any_of": [{"dataset": "purchases"}], "within_days": 60,
    }  # fmt: skip
    assert question["parameters"]["by"] == {"dataset": "purchases", "column": "band"}
    accounts = analyst.api("GET", f"/contracts/{CONTRACT}/budget").json()["accounts"]
    assert all(a["spent"] == 0 for a in accounts) or media.ledger("commit")


def test_a_form_that_is_not_filled_in_says_what_is_missing_and_keeps_the_rest(
    analyst: Browser,
) -> None:
    form = {"contract": CONTRACT, "computation": "funnel", "epsilon": "1.5", "starts": "2026-01-01",
            "ends": "2026-03-01"}  # fmt: skip
    page = analyst.post("/ask/form", form)
    assert page.status_code == 422
    assert "nothing is chosen for stages" in page.text
    assert 'value="1.5"' in page.text
    bad = analyst.post("/ask/text", {"text": QUESTION.replace("purchases", "nowhere")})
    assert "contract.dataset" in bad.text or "has no dataset" in bad.text
    assert "nowhere" in bad.text


def test_a_result_as_tables_files_picture_and_report(analyst: Browser, job: str) -> None:
    told = analyst.api("GET", f"/jobs/{job}/result").json()
    people = {(r["segment"], r["stage"]): r["people"] for r in told["rows"]}
    assert people["all", "exposed"] == pytest.approx(PEOPLE, abs=30)
    rows = list(csv.DictReader(io.StringIO(analyst.api("GET", f"/jobs/{job}/result.csv").text)))
    assert [r["stage"] for r in rows] == [r["stage"] for r in told["rows"]]
    table = pq.read_table(io.BytesIO(analyst.api("GET", f"/jobs/{job}/result.parquet").content))
    assert table.to_pylist() == told["rows"]
    whole = analyst.api("GET", f"/jobs/{job}/result.json").json()
    assert whole["result"] == told
    picture = analyst.api("GET", f"/jobs/{job}/picture")
    assert picture.headers["content-type"] == "image/svg+xml"
    assert "script-src" not in picture.headers["content-security-policy"]
    report = analyst.api("GET", f"/jobs/{job}/disclosure").json()
    assert {tuple(o["to"]) for o in report["openings"]} == {("seats",), ("media-house",)}
    page = analyst.get(f"/jobs/{job}").text
    for wanted in ("Disclosure report", "What each seat could see", "bought", 'data-kind="funnel"'):
        assert wanted in page
    assert analyst.api("GET", f"/jobs/{job}/result.exe").status_code == 404
    assert analyst.api("GET", f"/jobs/{'0' * 64}").json()["code"] == "job.unknown"


def test_progress_comes_as_events_and_ends(analyst: Browser, job: str) -> None:
    text = analyst.api("GET", f"/jobs/{job}/events").text
    last = text.strip().split("\n\n")[-1]
    assert last.startswith("event: end")
    said = json.loads(last.partition("data: ")[2])
    assert said["state"] == "done"
    assert any("admitted" in line["message"] for line in said["log"])


def test_the_same_question_is_answered_from_the_record(analyst: Browser, job: str) -> None:
    ended = answered(analyst, analyst.api("POST", "/jobs", json=ASKED).json()["ask"])
    assert (ended["job"], ended["recorded"]) == (job, True)
    asked = analyst.post("/ask/run", {"text": QUESTION})
    assert asked.status_code == 303
    ended = answered(analyst, asked.headers["location"].rpartition("/")[2])
    page = analyst.get(asked.headers["location"])
    assert page.headers["location"] == f"/jobs/{job}?recorded=1"


def test_a_refusal_reaches_who_asked_with_its_remedy(analyst: Browser) -> None:
    dear = {**ASKED, "epsilon": 4.5}
    ended = answered(analyst, analyst.api("POST", "/jobs", json=dear).json()["ask"])
    assert ended["state"] == "failed"
    assert ended["error"]["remedy"]
    assert analyst.api("POST", "/jobs", json={**ASKED, "contract": "nothing"}).status_code == 404
    assert analyst.api("POST", "/jobs", json={**ASKED, "colour": "red"}).status_code == 422


def test_who_asks_is_in_the_ledger(media: Bench, job: str) -> None:
    asked = [e for e in media.ledger() if e["action"] == "job.ask" and e["outcome"] == "done"]
    assert asked[0]["user"] == "the-analyst"
    assert asked[0]["of"]["contract"] == CONTRACT
    assert any(e["action"] == "result.export" and e["of"]["job"] == job for e in media.ledger())
    assert not any("member-" in json.dumps(e) for e in media.ledger())


def test_a_contract_is_drafted_reviewed_signed_and_pushed_by_its_people(
    running: Stage, media: Bench
) -> None:
    legal, analyst, risk = media.browser("legal"), media.browser("analyst"), media.browser("risk")
    text = analyst.api("GET", f"/contracts/{CONTRACT}/text").json()["toml"]
    text = text.replace(f'id = "{CONTRACT}"', 'id = "second-journey"').replace(
        "A little", "A second"
    )
    assert (
        analyst.api("POST", "/contracts/drafts", json={"toml": text}).json()["state"] == "pending"
    )
    legal.get("/")
    assert "Read and sign: A second journey" in legal.get("/").text
    page = legal.get("/contracts/second-journey")
    assert "Who gives what" in page.text
    found = legal.api("GET", "/contracts/second-journey").json()
    review = {"department": "risk", "verdict": "approve"}
    assert legal.api("POST", "/contracts/second-journey/reviews", json=review).status_code == 403
    assert risk.api("POST", "/contracts/second-journey/reviews", json=review).status_code == 201
    # A text that was not read is not signed.
    assert (
        legal.api(
            "POST", "/contracts/second-journey/signature", json={"hash": "0" * 64}
        ).status_code
        == 409
    )
    assert (
        legal.post("/contracts/second-journey/sign", {"hash": found["hash"]}).status_code == 409
    )  # not ticked
    signed = legal.post("/contracts/second-journey/sign", {"hash": found["hash"], "read": "1"})
    assert signed.status_code == 303
    pushed = legal.api("POST", "/contracts/second-journey/push").json()
    assert pushed["parties"] == {"retail-chain": "pending", "data-house": "pending"}
    for home in (running.retailer, running.data):
        with facade.office_of(home) as office:
            office.sign("second-journey")
    assert legal.api("POST", "/contracts/second-journey/push").json()["state"] == "live"
    listed = legal.api("GET", "/contracts", params={"search": "second"}).json()["rows"]
    assert [(c["id"], c["state"], c["missing"]) for c in listed] == [("second-journey", "live", [])]
    entries = [
        e for e in media.ledger() if e["of"] and e["of"].get("contract_id") == "second-journey"
    ]
    assert {(e["action"], e["user"], e["outcome"]) for e in entries} >= {
        ("contract.review", "the-legal", "role.missing"), ("contract.review", "the-risk", "done"),
        ("contract.sign", "the-legal", "contract.hash"), ("contract.sign", "the-legal", "done"),
    }  # fmt: skip


def test_versions_are_compared_and_a_suspended_contract_refuses(media: Bench) -> None:
    legal, analyst = media.browser("legal"), media.browser("analyst")
    text = analyst.api("GET", f"/contracts/{CONTRACT}/text").json()["toml"]
    changed = text.replace("version = 1", "version = 2").replace(
        "maximum_jobs = 50", "maximum_jobs = 60"
    )
    assert analyst.api("POST", "/contracts/drafts", json={"toml": changed}).status_code == 201
    rows = legal.api("GET", f"/contracts/{CONTRACT}/changes", params={"old": 1, "new": 2}).json()[
        "rows"
    ]
    assert {"where": "maximum_jobs", "before": "50", "after": "60"} in rows
    assert len(rows) == 2
    page = legal.get(f"/contracts/{CONTRACT}/changes").text
    assert '<del class="was">50</del>' in page
    assert '<ins class="is">60</ins>' in page
    move = {"to": "suspended", "reason": ""}
    assert (
        legal.api("POST", f"/contracts/{CONTRACT}/state", json=move).json()["code"]
        == "contract.reason"
    )
    assert (
        legal.api(
            "POST", f"/contracts/{CONTRACT}/state", json={**move, "reason": "audit"}
        ).status_code
        == 200
    )
    refused = analyst.api("POST", "/previews", json=ASKED)
    assert refused.status_code == 409
    assert refused.json()["code"] in ("contract.suspended", "contract.unsigned")
    assert (
        legal.api(
            "POST", f"/contracts/{CONTRACT}/state", json={"to": "live", "reason": "over"}
        ).status_code
        == 200
    )


def test_a_dataset_is_registered_looked_at_and_checked(media: Bench, running: Stage) -> None:
    owner = media.browser("data-owner")
    path = running.media / "data" / "exposures.csv"
    text = f"""
name = "more-exposures"
source = {{ path = "{path}" }}
ids = [{{ column = "member", type = "member" }}]
classification = "personal"
description = "made-up people"
legal_basis = "consent"
evidence = "made up"

[[columns]]
name = "at"
column = "at"
kind = "time"
"""
    owner.get("/data")
    assert (
        owner.post("/data/datasets", {"text": text}).headers["location"]
        == "/data/datasets/more-exposures"
    )
    found = owner.api("GET", "/datasets/more-exposures").json()
    assert found["profile"]["rows"] == PEOPLE
    page = owner.get("/data/datasets/more-exposures")
    assert "900" in page.text
    assert "It can serve" in owner.post("/data/datasets/more-exposures/check").text
    assert owner.api("POST", "/datasets/checks").json()["rows"][0]["problems"] == []
    crowd = {"name": "many-times", "purpose": "tests", "evidence": "made up", "expires": "2031-01-01",
             "events": {"of": "more-exposures", "at_least": 1}}  # fmt: skip
    made = owner.api("POST", "/crowds", json=crowd)
    assert made.status_code == 201, made.text
    assert owner.get("/data/crowds/many-times").status_code == 200
    assert owner.api("DELETE", "/crowds/many-times").json()["contracts"] == []


def test_a_standing_question_is_kept_and_removed(analyst: Browser) -> None:
    body = {"name": "every-day", "daily": "06:30", "question": ASKED}
    assert analyst.api("POST", "/standing", json=body).status_code == 201
    assert "every-day" in analyst.get("/standing").text
    assert analyst.api("POST", "/standing", json={**body, "daily": "25:00"}).status_code == 409
    assert analyst.post("/standing/every-day/remove").status_code == 303
    assert analyst.api("GET", "/standing").json()["rows"] == []


def test_the_ledger_is_paged_filtered_verified_and_exported(media: Bench) -> None:
    auditor = media.browser("auditor")
    first = auditor.api("GET", "/ledger", params={"limit": 5}).json()
    second = auditor.api("GET", "/ledger", params={"limit": 5, "before": first["next"]}).json()
    numbers = [e["sequence"] for e in first["rows"] + second["rows"]]
    assert numbers == list(range(numbers[0], numbers[0] - 10, -1))
    only = auditor.api("GET", "/ledger", params={"kind": "commit"}).json()["rows"]
    assert only
    assert {e["kind"] for e in only} == {"commit"}
    assert auditor.api("GET", "/ledger/verification").json()["ok"] is True
    lines = auditor.api("GET", "/ledger/export").text.splitlines()
    assert len(lines) > numbers[0]
    assert media.ledger()[-1]["action"] == "ledger.export"


def test_a_console_inside_the_node_s_process_answers_too(running: Stage) -> None:
    node = running.running["retail-chain"]
    console = Console(node.office, running.retailer, Settings(port=0))
    console.start()
    try:
        with urllib.request.urlopen(f"{console.url}/api/v1/health") as answer:  # noqa: S310
            assert json.load(answer)["console"] == "lives"
        assert console.desk.status() is not None
        with pytest.raises(Fault) as taken:
            Console(
                node.office, running.retailer, Settings(port=(console.address or ("", 0))[1])
            ).start()
        assert taken.value.code == "console.port"
    finally:
        console.stop()
    alone = Console(node.office)  # without the folder: everything but the running node
    assert alone.desk.status() is None
