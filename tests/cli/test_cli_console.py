"""``hanse user`` and ``hanse console``: who may use it, and a console beside a node that does not run."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from cli_stage import Hanse, MakeNode, refused

from hanse.node.faces import facade


def test_the_first_admin_is_made_and_all_is_in_the_ledger(
    hanse: Hanse, make_node: MakeNode
) -> None:
    node = make_node("media-house")
    made = hanse("user", "add", "head", "--department", "Board", "--role", "admin", "--role", "legal",
                 "--node", node, "--json").json  # fmt: skip
    assert made["roles"] == ["admin", "legal"]
    assert made["state"] == "fresh"
    assert re.fullmatch("[a-z0-9]{5}(-[a-z0-9]{5}){3}", made["password"])
    listed = hanse("user", "list", "--node", node)
    assert "Board" in listed.out
    assert made["password"] not in listed.out
    with facade.office_of(node) as office:
        entry = [e.body for e in office.ledger.entries(kind="console")][-1]
    assert entry["action"] == "user added"
    assert entry["user"] == "command line"
    assert made["password"] not in json.dumps(entry)


def test_roles_change_and_passwords_are_reset(hanse: Hanse, make_node: MakeNode) -> None:
    node = make_node("media-house")
    first = hanse(
        "user", "add", "head", "--department", "Board", "--role", "admin", "--node", node, "--json"
    ).json
    hanse(
        "user",
        "add",
        "a-colleague",
        "--department",
        "Insights",
        "--role",
        "analyst",
        "--node",
        node,
    )
    assert (
        hanse("user", "role", "a-colleague", "--role", "auditor", "--off", "--node", node).status
        == 0
    )
    rows = {r["name"]: r for r in hanse("user", "list", "--json", "--node", node).json}
    assert (rows["a-colleague"]["roles"], rows["a-colleague"]["state"]) == (["auditor"], "off")
    again = hanse("user", "reset", "head", "--node", node, "--json").json
    assert again["password"] != first["password"]
    refused(hanse("user", "role", "head", "--role", "legal", "--node", node), "user.last-admin")
    refused(hanse("user", "role", "nobody", "--on", "--node", node), "user.unknown")
    refused(
        hanse("user", "add", "a-colleague", "--department", "x", "--role", "legal", "--node", node),
        "user.exists",
    )
    refused(
        hanse(
            "user", "add", "A colleague!", "--department", "x", "--role", "legal", "--node", node
        ),
        "user.name",
    )
    refused(
        hanse("user", "add", "another", "--department", "x", "--role", "king", "--node", node),
        "user.role",
        "king",
    )
    refused(hanse("user", "add", "another", "--department", "x", "--node", node), "user.role")


def test_a_console_answers_beside_its_node_and_ends_when_told(make_node: MakeNode) -> None:
    node = make_node("media-house")
    command = [sys.executable, "-m", "hanse.cli", "console", "--folder", str(node), "--port", "0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(  # noqa: S603
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = line.rpartition(" ")[2].strip()
        assert url.startswith("http://127.0.0.1:"), line
        with urllib.request.urlopen(f"{url}/api/v1/health") as answer:  # noqa: S310
            assert json.load(answer)["console"] == "lives"
        with urllib.request.urlopen(f"{url}/openapi.json") as answer:  # noqa: S310
            assert "/api/v1/contracts" in json.load(answer)["paths"]
        with urllib.request.urlopen(f"{url}/sign-in") as answer:  # noqa: S310
            assert "Organisation media-house" in answer.read().decode()
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "hanse user add" in said  # nobody may use it yet


def test_a_console_for_others_needs_tls(hanse: Hanse, make_node: MakeNode, tmp_path: Path) -> None:
    node = make_node("media-house")
    refused(hanse("console", "--node", node, "--host", "0.0.0.0"), "console.plain", "TLS")  # noqa: S104
    refused(hanse("console", "--node", node, "--certificate", tmp_path / "c.pem"), "console.tls")
    refused(hanse("console", "--node", tmp_path / "nothing"), "config.missing")
