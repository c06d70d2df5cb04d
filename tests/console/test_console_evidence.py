"""Evidence through the console: a pack that the verifier's one file accepts, a draft, packs of others checked."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from console_house import AGREED, PLANTED, furnish
from console_stage import Bench, bench, new_node


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = new_node(tmp_path_factory.mktemp("evidence") / "media-house")
    furnish(folder)
    with bench(folder) as made:
        yield made


@pytest.fixture(scope="module")
def pack(house: Bench) -> bytes:
    answer = house.browser("auditor").get(f"/evidence/{AGREED}/pack.zip")
    assert (
        answer.headers["content-disposition"] == f'attachment; filename="{AGREED}-media-house.zip"'
    )
    return answer.content


def test_the_pack_and_the_verifier_leave_together_and_agree(
    house: Bench, pack: bytes, tmp_path: Path
) -> None:
    legal = house.browser("legal")
    (tmp_path / "pack.zip").write_bytes(pack)
    (tmp_path / "verify.py").write_bytes(legal.get("/evidence/verify.py").content)
    # Alone: in isolated mode, without this package.
    command = [sys.executable, "-I", str(tmp_path / "verify.py"), str(tmp_path / "pack.zip")]
    told = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert told.returncode == 0, told.stdout
    same = legal.api("POST", "/evidence/checks", files={"file": ("p.zip", pack)}).json()
    assert same["ok"] is True
    assert same["facts"]
    for fact in same["facts"]:
        assert fact in told.stdout


def test_a_changed_byte_is_found(house: Bench, pack: bytes) -> None:
    risk = house.browser("risk")
    whole = risk.api("POST", "/evidence/checks", files={"file": ("p.zip", pack)}).json()["problems"]
    changed = bytearray(pack)
    changed[len(changed) // 2] ^= 1
    found = risk.api("POST", "/evidence/checks", files={"file": ("p.zip", bytes(changed))}).json()
    assert not found["ok"]
    assert found["problems"] != whole
    page = risk.post("/evidence/check", {"keys": "media-house=00"}, files={"file": ("p.zip", pack)})
    assert page.status_code == 200
    assert "does not hold" in page.text
    assert (
        risk.post("/evidence/check", {"keys": "nonsense"}, files={"file": ("p", pack)}).status_code
        == 422
    )
    assert risk.api("POST", "/evidence/checks", files={"file": ("p", b"")}).json()["ok"] is False


def test_the_draft_is_a_page_that_runs_nothing(house: Bench) -> None:
    owner = house.browser("data-owner")
    draft = owner.get(f"/evidence/{AGREED}/impact.html")
    assert "Impact assessment" in draft.text
    assert "<script" not in draft.text
    assert PLANTED not in draft.text
    assert "script-src" not in draft.headers["content-security-policy"]
    assert "sandbox" in draft.headers["content-security-policy"]
    page = owner.get("/evidence").text
    assert "pack.zip" not in page  # those are for legal, risk, auditors
    assert "<script>alert" not in page


def test_who_takes_evidence_away_is_in_the_ledger(house: Bench, pack: bytes) -> None:
    taken = [e for e in house.ledger() if e["action"] == "evidence.make"]
    assert taken[0] == {"action": "evidence.make", "user": "the-auditor", "of": {"contract_id": AGREED},
                        "outcome": "done"}  # fmt: skip
    for role in ("analyst", "operator", "admin", "data-owner", "manager"):
        assert house.browser(role).api("GET", f"/evidence/{AGREED}/pack").status_code == 403
    assert house.browser("legal").api("GET", "/evidence/nothing/pack").status_code == 404
    assert house.browser("legal").api("GET", "/evidence/nothing/impact").status_code == 404
