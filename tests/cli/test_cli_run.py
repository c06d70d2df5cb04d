"""``hanse run``, ``hanse job`` and ``hanse ledger`` against three running nodes."""

from __future__ import annotations

import csv
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from cli_stage import Hanse, MakeNode, refused
from running_stage import CONTRACT, PEOPLE, QUESTION, Stage, stage

from hanse.cli.run_command import read_question
from hanse.errors import HanseError
from hanse.node.faces import facade
from hanse.node.storage.database import STORE_FILE

TRUTH = {
    ("all", "exposed"): PEOPLE,
    ("all", "bought"): PEOPLE * 2 // 3,
    ("younger", "exposed"): PEOPLE // 6,
    ("younger", "bought"): PEOPLE // 6,
    ("older", "exposed"): PEOPLE // 2,
    ("older", "bought"): PEOPLE // 2,
    ("unknown", "exposed"): PEOPLE // 3,
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("running")) as made:
        yield made


def spent(hanse: Hanse, node: Path) -> dict[str, float]:
    accounts = hanse("ledger", "balance", CONTRACT, "--json", "--node", node).json["accounts"]
    return {a["provider"]: a["spent"] for a in accounts}


def people(rows: list[dict[str, Any]]) -> dict[tuple[str, str], int | None]:
    return {(r["segment"], r["stage"]): r["people"] for r in rows}


def test_a_dry_run_shows_the_price_and_spends_nothing(hanse: Hanse, running: Stage) -> None:
    file = running.question("dry.toml")
    before = spent(hanse, running.media)
    jobs = len(hanse("job", "list", "--json", "--node", running.media).json)
    found = hanse("run", file, "--dry-run", "--json", "--node", running.media).json
    assert (found["epsilon"], found["epsilon_join"], found["k"]) == (4.0, 1.0, 20)
    assert found["recipients"] == ["media-house"]
    assert all(limit > 20 for limit in found["thresholds"])
    assert all(0 < noise < 20 for noise in found["noise"])
    after = found["after"]["media-house"]
    assert after["recipients"] == pytest.approx(before["media-house"] + 4.0)
    text = hanse("run", file, "--dry-run", "--node", running.media).out
    assert "nothing is spent" in text
    assert f"±{found['noise'][0]}" in text
    assert spent(hanse, running.media) == before
    assert len(hanse("job", "list", "--json", "--node", running.media).json) == jobs


def test_a_question_is_answered_once_and_then_from_the_record(hanse: Hanse, running: Stage) -> None:
    file = running.question("first.toml")
    out = running.folder / "first.parquet"
    before = spent(hanse, running.media)
    ran = hanse("run", file, "--json", "--out", out, "--node", running.media)
    assert ran.status == 0, ran.err
    answer = ran.json
    assert answer["recorded"] is False
    # The order in which a question lists its segments is lost on the wire; it must not matter.
    for cell, count in people(answer["result"]["rows"]).items():
        if cell in TRUTH:
            assert count == pytest.approx(TRUTH[cell], abs=30), cell
        else:
            assert count is None, cell
    assert pq.read_table(out).to_pylist() == answer["result"]["rows"]
    report = answer["disclosure"]
    assert {tuple(o["to"]) for o in report["openings"]} == {("seats",), ("media-house",)}
    assert report["rows"] == {"media-house": 1000, "retail-chain": 1000}
    assert report["work"]["bytes"] > 0
    assert {a["provider"]: a["spent"] for a in report["accounts"]} == {
        p: s + 4.0 for p, s in before.items()
    }
    assert [s["receives_result"] for s in report["seats"]] == [True, False, False]

    again = hanse("run", file, "--node", running.media)
    assert "it cost nothing more" in " ".join(again.out.split())
    for wanted in ("exposed", "younger", "suppressed (1)", "Disclosure report of job", "What each seat could see",
                   "Privacy budget", "Took "):  # fmt: skip
        assert wanted in again.out, wanted
    assert spent(hanse, running.media)["media-house"] == before["media-house"] + 4.0


def test_results_as_csv_and_json(hanse: Hanse, running: Stage) -> None:
    file = running.question("first.toml")
    table, whole = running.folder / "r.csv", running.folder / "r.json"
    rows = hanse("run", file, "--json", "--out", table, "--node", running.media).json["result"][
        "rows"
    ]
    hanse("run", file, "--json", "--out", whole, "--node", running.media)
    with table.open(newline="") as lines:
        read = list(csv.DictReader(lines))
    assert [r["people"] for r in read] == [
        "" if r["people"] is None else str(r["people"]) for r in rows
    ]
    assert json.loads(whole.read_text())["result"]["rows"] == rows


def test_who_is_no_recipient_learns_nothing(hanse: Hanse, running: Stage) -> None:
    text = QUESTION.replace("epsilon = 4.0", "epsilon = 3.0")
    ran = hanse("run", running.question("other.toml", text), "--node", running.retailer)
    assert ran.status == 0, ran.err
    assert "this node is not one of them" in ran.out
    assert "younger" not in ran.out
    job = hanse("job", "list", "--json", "--node", running.retailer).json[0]["job"]
    at_home = hanse("job", "show", job, "--json", "--node", running.retailer).json
    assert at_home["result"] is None
    received = hanse("job", "show", job[:10], "--json", "--node", running.media).json
    assert people(received["result"]["rows"])["all", "exposed"] is not None


def test_jobs_are_listed_shown_and_logged(hanse: Hanse, running: Stage) -> None:
    hanse("run", running.question("first.toml"), "--node", running.media)
    newest = hanse("job", "list", "--json", "--limit", "1", "--node", running.data).json[0]
    assert (newest["state"], newest["contract"]) == ("done", CONTRACT)
    name = newest["job"][:12]
    assert name in hanse("job", "list", "--node", running.data).out
    shown = hanse("job", "show", name, "--node", running.data).out
    assert "done" in shown
    assert "Seat 2, data-house: nothing else." in shown
    log = hanse("job", "log", name, "--node", running.data)
    assert "admitted as seat 2" in log.out
    assert "ended: done" in log.out
    assert "member-" not in log.out
    messages = [
        x["message"] for x in hanse("job", "log", name, "--json", "--node", running.data).json
    ]
    assert messages[-1] == "ended: done"


def test_a_rerun_is_the_next_attempt_and_gives_the_recorded_answer(
    hanse: Hanse, running: Stage
) -> None:
    answer = hanse("run", running.question("first.toml"), "--json", "--node", running.media).json
    again = hanse("job", "rerun", answer["job"][:12], "--json", "--node", running.media)
    assert again.status == 0, again.err
    assert again.json["recorded"] is True
    assert again.json["result"] == answer["result"]


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (("epsilon = 4.0", "epsilon = 5.0"), "gate.epsilon", "5"),
        (("epsilon = 4.0", 'epsilon = "4"'), "question.malformed", "epsilon must be a number"),
        (("epsilon = 4.0\n", ""), "question.malformed", "epsilon is missing"),
        (("recipients", "recipiants"), "question.malformed", "recipiants"),
        (('["media-house"]', '["data-house"]'), "contract.recipient", "data-house"),
        ((CONTRACT, "no-such-contract"), "contract.unknown", CONTRACT),
        (('"funnel"', '"tunnel"'), "menu.unknown", "funnel"),
        (("exposures", "expositions"), "contract.dataset", "exposures"),
        (('column = "band"', 'column = "age"'), "contract.column", "band"),
        (('["young"]', '["yong"]'), "contract.value", "yong"),
        (("ends = 2026-03-01", "ends = 2025-03-01"), "question.malformed", "ends must be later"),
        (("[[parameters.stages]]", "[[parameters.stages]"), "file.syntax", "line"),
    ],
)
def test_bad_questions_give_one_error_and_spend_nothing(
    hanse: Hanse, running: Stage, change: tuple[str, str], code: str, said: str
) -> None:
    before = spent(hanse, running.media)
    assert change[0] in QUESTION
    file = running.question("bad.toml", QUESTION.replace(*change))
    refused(hanse("run", file, "--node", running.media), code, said)
    assert spent(hanse, running.media) == before


def test_a_result_that_cannot_be_written_is_refused_before_anything_is_spent(
    hanse: Hanse, running: Stage
) -> None:
    file = running.question("new.toml", QUESTION.replace("epsilon = 4.0", "epsilon = 1.0"))
    before = spent(hanse, running.media)
    run = ["run", file, "--node", running.media, "--out"]
    refused(hanse(*run, running.folder / "result.xlsx"), "usage", ".parquet", status=2)
    refused(hanse(*run, running.folder / "none" / "result.csv"), "file.unwritable")
    assert spent(hanse, running.media) == before


def test_data_that_is_gone_is_told_by_the_party_that_lost_it(hanse: Hanse, running: Stage) -> None:
    data = running.retailer / "data" / "purchases.csv"
    text = data.read_text()
    before = spent(hanse, running.media)
    file = running.question("gone.toml", QUESTION.replace("epsilon = 4.0", "epsilon = 2.5"))
    data.unlink()
    try:
        refused(hanse("run", file, "--node", running.media), "catalog.missing-file", "retail-chain")
    finally:
        data.write_text(text)
    assert spent(hanse, running.media) == before


def test_unknown_jobs_and_jobs_that_are_over(hanse: Hanse, running: Stage) -> None:
    answer = hanse("run", running.question("first.toml"), "--json", "--node", running.media).json
    for words in (
        ["show", "ffffffff"],
        ["log", "ffffffff"],
        ["rerun", "ffffffff"],
        ["cancel", "ffffffff"],
    ):
        refused(hanse("job", *words, "--node", running.media), "job.unknown", "hanse job list")
    refused(
        hanse("job", "cancel", answer["job"], "--node", running.media), "job.unknown", "running"
    )


def test_a_running_job_is_watched_and_cancelled(
    hanse: Hanse, running: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    office, held = running.running["retail-chain"].office, threading.Event()
    read = office.rows

    def slowly(job: Any) -> Any:
        held.wait(30)
        return read(job)

    monkeypatch.setattr(office, "rows", slowly)
    before = spent(hanse, running.media)
    question = read_question(
        running.question("slow.toml", QUESTION.replace("epsilon = 4.0", "epsilon = 1.5"))
    )
    said: list[dict[str, Any]] = []
    with ThreadPoolExecutor(1) as asking:
        asked = asking.submit(
            facade.ask, running.media, {"verb": "run", "question": question}, said.append
        )
        try:
            deadline = time.monotonic() + 20
            while not any("seat 1 (retail-chain)" in one["roles"] for one in said):
                assert time.monotonic() < deadline, said[-3:]
                time.sleep(0.05)
            # Reserved while it runs, given back when it is cancelled.
            assert spent(hanse, running.media)["retail-chain"] == before["retail-chain"] + 1.5
            job = said[-1]["job"]
            cancelled = hanse(
                "job", "cancel", job[:12], "--reason", "a test", "--node", running.media
            )
            assert cancelled.status == 0, cancelled.err
        finally:
            held.set()
        with pytest.raises(HanseError) as raised:
            asked.result(20)
    assert raised.value.code == "job.cancelled"
    assert "a test" in raised.value.message
    assert {"seat 0 (media-house)", "seat 2 (data-house)"} <= set(said[-1]["roles"])
    for node in (running.media, running.data):
        ended = hanse("job", "show", job[:12], "--json", "--node", node).json
        assert (ended["state"], ended["error"]["code"]) == ("cancelled", "job.cancelled")
    assert spent(hanse, running.media) == before
    again = hanse("job", "rerun", job[:12], "--json", "--node", running.media)
    assert again.status == 0, again.err
    assert again.json["job"] != job
    assert spent(hanse, running.media)["retail-chain"] == before["retail-chain"] + 1.5


def test_a_suspended_contract_is_refused_and_resumed(hanse: Hanse, running: Stage) -> None:
    file = running.question("suspended.toml", QUESTION.replace("epsilon = 4.0", "epsilon = 2.0"))
    assert (
        hanse("contract", "suspend", CONTRACT, "--reason", "a test", "--node", running.data).status
        == 0
    )
    try:
        refused(hanse("run", file, "--node", running.media), "contract.suspended", "data-house")
    finally:
        assert (
            "live now"
            in hanse("contract", "resume", CONTRACT, "--reason", "x", "--node", running.data).out
        )


def test_links_are_shown_and_contracts_pushed(hanse: Hanse, running: Stage) -> None:
    status = hanse("node", "status", "--json", "--node", running.media).json
    assert {x["party"]: x["connected"] for x in status["links"]} == {
        "retail-chain": True,
        "data-house": True,
    }
    listed = hanse("partner", "list", "--json", "--node", running.media).json
    assert [p["linked"] for p in listed] == [True, True]
    pushed = hanse("contract", "push", CONTRACT, "--node", running.media)
    assert pushed.status == 0, pushed.err
    assert "data-house: live" in pushed.out
    assert "20" not in hanse("dataset", "check", "--node", running.media).err


def test_the_ledger_verifies_here_and_as_an_export(hanse: Hanse, running: Stage) -> None:
    assert "holds" in hanse("ledger", "verify", "--node", running.media).out
    file, card = running.folder / "ledger.jsonl", running.media / "identity.json"
    exported = hanse("ledger", "export", file, "--node", running.media)
    assert exported.status == 0, exported.err
    refused(hanse("ledger", "export", file, "--node", running.media), "file.exists")
    assert hanse("ledger", "verify", file, "--card", card).status == 0
    refused(
        hanse("ledger", "verify", file, "--card", running.data / "identity.json"),
        "ledger.broken",
        "entry 0",
    )
    refused(hanse("ledger", "verify", file), "usage", "--card", status=2)
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*lines[:2], lines[2].replace('"kind":"', '"kind":"x'), *lines[3:]]))
    refused(hanse("ledger", "verify", file, "--card", card), "ledger.broken", "entry 2")
    told = hanse("ledger", "verify", file, "--card", card, "--json")
    assert (told.status, told.json["ok"], told.json["first_bad"]) == (1, False, 2)
    assert (
        "disclosure" in hanse("ledger", "list", "--kind", "disclosure", "--node", running.data).out
    )


@pytest.mark.parametrize("damage", ["changed", "unreadable", "removed"])
def test_a_broken_ledger_is_named_by_entry(hanse: Hanse, make_node: MakeNode, damage: str) -> None:
    node, partners = make_node("media-house"), [make_node(f"partner-{i}") for i in range(4)]
    for partner in partners:
        hanse("partner", "add", partner / "identity.json", "--node", node)
    store = node / "data" / STORE_FILE
    database = sqlite3.connect(store)
    with database:
        if damage == "removed":
            database.execute("delete from ledger where sequence = 2")
        else:
            new = "replace(line, 'partner-2', 'partner-9')" if damage == "changed" else "'{'"
            database.execute(f"update ledger set line = {new} where sequence = 2")
    database.close()
    refused(hanse("ledger", "verify", "--node", node), "ledger.broken", "entry 2")
    assert hanse("ledger", "verify", "--json", "--node", node).json["first_bad"] == 2


# --- verbs, pictures, pages -------------------------------------------------------------------------

JOURNEY = f"""
contract = "{CONTRACT}"
epsilon = 4.0
recipients = ["media-house"]

[parameters]
campaign = "Winter"
starts = 2026-01-01
ends = 2026-03-01
offline = [{{ dataset = "exposures" }}]
stores = [{{ dataset = "purchases" }}]
attraction_days = 90
"""


def test_a_verb_asks_its_computation_and_draws_it(
    hanse: Hanse, running: Stage, tmp_path: Path
) -> None:
    file = running.question("journey.toml", JOURNEY)
    picture, page = tmp_path / "journey.svg", tmp_path / "journey.html"
    asked = hanse("journey", file, "--picture", picture, "--page", page, "--node", running.media)
    assert "went on to: malls and stores" in asked.out
    assert "exposed to malls and stores" in asked.out
    assert picture.read_text().startswith("<svg")
    text = page.read_text()
    assert text.startswith("<!doctype html>")
    assert "http" not in text.replace("http://www.w3.org/2000/svg", ""), "the page loads something"
    assert "Winter" in text
    job = hanse("job", "list", "--json", "--node", running.media).json[0]["job"]
    again = tmp_path / "again.svg"
    hanse("job", "draw", job, again, "--node", running.media)
    assert again.read_text() == picture.read_text()
    refused(
        hanse("job", "draw", job, tmp_path / "x.png", "--node", running.media), "usage", status=2
    )
    refused(hanse("job", "draw", job, again, "--node", running.retailer), "result.none")
    recorded = hanse("journey", file, "--json", "--node", running.media).json
    assert recorded["recorded"]
    assert recorded["result"]["rows"]


def test_a_verb_refuses_another_computation(hanse: Hanse, running: Stage) -> None:
    file = running.question("other.toml", QUESTION)
    found = hanse("journey", file, "--node", running.media)
    refused(found, "question.malformed", "funnel")


def test_a_dataset_larger_than_its_capacity_is_refused_whatever_is_asked(
    hanse: Hanse, running: Stage
) -> None:
    """Were it refused only where more people than that meet the question, the refusal would count them."""
    few, many = running.media / "data" / "exposures.csv", running.media / "data" / "many.csv"
    many.write_text("member,at\n" + "".join(f"member-{i:04},2020-01-05\n" for i in range(1100)))
    with facade.office_of(running.media) as office:
        document = office.dataset("exposures").model_dump(mode="json")
        office.register_dataset({**document, "source": {"path": str(many)}})
        try:
            file = running.question(
                "large.toml", QUESTION.replace("epsilon = 4.0", "epsilon = 3.5")
            )
            found = hanse("run", file, "--node", running.media)
            refused(found, "catalog.capacity", "exposures")
            assert "1100" not in found.err
        finally:
            office.register_dataset({**document, "source": {"path": str(few)}})
