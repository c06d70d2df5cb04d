"""``hanse doctor``: each thing that is wrong is named, with its remedy."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cli_stage import Hanse, MakeNode
from running_stage import CONTRACT, Stage, stage

from hanse.clock import ManualClock, SystemClock
from hanse.entropy import SystemEntropy
from hanse.node.health import Finding, examine
from hanse.node.identity.keys import renew_certificate


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("doctor")) as made:
        yield made


def bad(found: list[dict[str, Any]] | list[Finding]) -> dict[str, str]:
    rows = [
        f if isinstance(f, dict) else {"topic": f.topic, "state": f.state, "what": f.what}
        for f in found
    ]
    return {r["topic"]: r["what"] for r in rows if r["state"] != "good"}


def test_a_healthy_federation_has_nothing_bad(hanse: Hanse, running: Stage) -> None:
    told = hanse("doctor", "--node", running.media, "--json")
    assert told.status == 0, told.out
    topics = {f["topic"]: f for f in told.json}
    assert topics["partner retail-chain"]["what"].startswith("linked, same version, clocks 0.")
    assert topics["dataset exposures"]["state"] == "good"
    assert topics["ledger"]["state"] == "good"
    assert not {t for t, f in topics.items() if f["state"] == "bad"}
    shown = hanse("doctor", "--node", running.media)
    assert "looked at: 0 bad" in shown.out


def test_a_file_that_is_gone_is_named_with_its_dataset(hanse: Hanse, running: Stage) -> None:
    file = running.retailer / "data" / "purchases.csv"
    away = file.rename(file.with_suffix(".away"))
    try:
        told = hanse("doctor", "--node", running.retailer, "--json")
    finally:
        away.rename(file)
    assert told.status == 1
    assert "dataset purchases" in bad(told.json)


def test_a_suspended_contract_is_to_be_looked_after(hanse: Hanse, running: Stage) -> None:
    assert (
        hanse("contract", "suspend", CONTRACT, "--reason", "audit", "--node", running.data).status
        == 0
    )
    told = hanse("doctor", "--node", running.data, "--json")
    assert (
        hanse("contract", "resume", CONTRACT, "--reason", "done", "--node", running.data).status
        == 0
    )
    assert told.status == 0
    assert bad(told.json)[f"contract {CONTRACT}"] == "is suspended"


def test_a_stopped_node_with_a_taken_port_and_open_keys(hanse: Hanse, make_node: MakeNode) -> None:
    folder = make_node("lonely-house")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        toml = folder / "hanse.toml"
        toml.write_text(toml.read_text().replace("port = 0", f"port = {port}"))
        (folder / "keys" / "signing.key").chmod(0o640)
        found = examine(folder, SystemClock())
    assert "keys" in bad(found)
    states = [(f.topic, f.state, f.what) for f in found if f.topic == "node"]
    assert any(
        f"port {port} cannot be opened" in what for _, state, what in states if state == "bad"
    )


def test_a_certificate_that_ends_soon_is_told_before_it_does(make_node: MakeNode) -> None:
    folder = make_node("lonely-house")
    now = SystemClock().now()
    renew_certificate(
        folder, clock=SystemClock(), entropy=SystemEntropy(), validity=timedelta(days=40)
    )
    assert "keys" not in bad(examine(folder, ManualClock(now)))
    assert (
        "in 9 days" in bad(examine(folder, ManualClock(now + timedelta(days=30, hours=1))))["keys"]
    )
    assert "expired" in bad(examine(folder, ManualClock(now + timedelta(days=41))))["keys"]


def test_no_node_is_one_finding(hanse: Hanse, tmp_path: Path) -> None:
    told = hanse("doctor", "--node", tmp_path, "--json")
    assert told.status == 1
    assert [f["topic"] for f in told.json] == ["configuration"]
    assert "hanse init" in told.json[0]["remedy"]
