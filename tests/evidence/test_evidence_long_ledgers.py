"""Packs of long ledgers: made and checked in pieces, by the last signature or by every one, in little memory."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hanse import __version__
from hanse.clock import ManualClock, SystemClock
from hanse.contracts import Bundle, Contract, JobRequest
from hanse.entropy import SystemEntropy
from hanse.errors import Fault, Refusal
from hanse.evidence import desk, verifier
from hanse.evidence.verifier import packed, verify
from hanse.ledger.entries import LEDGER_PREFIX, make_entry
from hanse.node.faces import facade
from hanse.node.identity.keys import load_identity
from hanse.node.office import NodeOffice
from hanse.node.storage import tables
from hanse.wire.codec import canonical

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
PARTIES = ("media-house", "retail-chain", "data-house")
AGREED, JOBS = "long-deal", 40


def contract(root: Path) -> Contract:
    cards = {p: load_identity(root / p, clock=SystemClock()).card for p in PARTIES}
    common = {
        "capacity": 1000,
        "slots": 1,
        "personal": True,
        "legal_basis": "consent",
        "evidence": "made up",
    }
    return Contract.from_fields(
        {
            "format": 1, "id": AGREED, "version": 1, "title": "A deal", "purpose": "Tests",
            "starts": NOW.date() - timedelta(days=30), "expires": NOW.date() + timedelta(days=300),
            "maximum_jobs": 5000, "seats": list(PARTIES), "independence": "Three folders.", "retention_days": 1,
            "join": {"id_type": "member", "hash": "sha256", "epsilon": 1.0, "delta": 1e-8, "epsilon_budget": 50.0},
            "privacy": {"k": 20, "epsilon_per_query": 4.0, "epsilon_budget": 40.0, "delta": 1e-8,
                        "period": "contract"},
            "parties": [{"name": p, "organisation": c.organisation, "signing_key": c.signing_key,
                         "certificate": c.fingerprint} for p, c in cards.items()],
            "datasets": [{"name": "exposures", "provider": "media-house", **common},
                         {"name": "purchases", "provider": "retail-chain", **common}],
            "computations": [{"name": "overlap", "recipients": list(PARTIES),
                              "datasets": ["exposures", "purchases"]}],
        }
    )  # fmt: skip


def request(agreed: Contract, number: int) -> JobRequest:
    return JobRequest.from_fields(
        {
            "contract_id": agreed.id, "contract_hash": agreed.hash, "computation": "overlap",
            "parameters": {"n": number}, "analyst": "media-house", "noise": True, "epsilon": 1.0,
            "epsilon_join": 1.0,
            "uses": [{"dataset": d, "purpose": "membership"} for d in ("exposures", "purchases")],
            "recipients": ["media-house"], "attempt": 1, "created": NOW.isoformat(), "nonce": f"{number:032x}",
            "code_version": __version__, "outputs": [{"name": "counts", "shape": [3]}],
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeOffice]:
    root = tmp_path_factory.mktemp("long")
    for party in PARTIES:
        facade.create_node(root / party, party, f"The {party}", None)
    agreed = contract(root)
    with facade.office_of(root / PARTIES[0]) as found:
        made = NodeOffice(found.identity, found.store, ManualClock(NOW))
        made.import_bundle(Bundle(agreed))
        for number in range(JOBS):
            asked = request(agreed, number)
            made.book.started(asked, ["provider"])
            made.book.ended(
                asked.job_hash, "failed", error={"code": "peer.lost", "message": "lost"}
            )
            made.ledger.append("dataset", {"name": f"another-{number}"})
        yield made


@pytest.fixture(scope="module")
def pack(office: NodeOffice, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("packs") / "pack.zip"
    size = desk.write_pack_file(office, AGREED, NOW, file)
    assert file.stat().st_size == size
    return file


def test_a_pack_is_the_same_in_memory_and_in_a_file_and_is_the_one_container(
    office: NodeOffice, pack: Path
) -> None:
    import zipfile

    data = pack.read_bytes()
    assert desk.make_pack(office, AGREED, NOW) == data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert packed({n: archive.read(n) for n in archive.namelist()}) == data
        assert len([n for n in archive.namelist() if n.startswith("jobs/")]) == JOBS
        assert b"another-3" not in data


@pytest.mark.parametrize("every", [True, False])
def test_it_holds_with_every_signature_and_with_the_last_one(pack: Path, every: bool) -> None:
    report = verify(pack, every=every)
    assert report.ok, report.problems
    said = "every signature checked" if every else "the last one's signature covers all"
    assert any(said in fact for fact in report.facts)
    assert verify(pack.read_bytes(), every=every).facts == report.facts


def test_without_the_library_the_last_signature_is_enough_and_every_one_can_be_asked_for(
    pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def plain(key: str) -> Any:
        def valid(message: bytes, signature: str) -> bool:
            asked.append(message)
            return verifier.ed25519(bytes.fromhex(key), message, bytes.fromhex(signature))

        return False, valid

    monkeypatch.setattr(verifier, "_verifier", plain)
    assert verify(pack).ok
    ledger = [m for m in asked if m.startswith(LEDGER_PREFIX)]
    assert len(ledger) == 1


def resealed(office: NodeOffice, pack: Path, lines: list[bytes]) -> bytes:
    """What the party itself can make with another ledger."""
    import hashlib
    import zipfile

    with zipfile.ZipFile(pack) as archive:
        parts = {n: archive.read(n) for n in archive.namelist()}
    parts["ledger.jsonl"] = b"".join(line + b"\n" for line in lines)
    manifest = json.loads(parts.pop("manifest.json"))
    del parts["manifest.sig"]
    manifest["files"] = {n: hashlib.sha256(d).hexdigest() for n, d in parts.items()}
    manifest["ledger"] = {"entries": len(lines), "head": json.loads(lines[-1])["hash"]}
    text = json.dumps(manifest).encode()
    key = office.identity.signing_key
    seal = key.sign(verifier.PACK_PREFIX + hashlib.sha256(text).digest()).hex().encode()
    return packed({**parts, "manifest.json": text, "manifest.sig": seal})


def lines_of(pack: Path) -> list[bytes]:
    import zipfile

    with zipfile.ZipFile(pack) as archive:
        return archive.read("ledger.jsonl").splitlines()


def test_even_the_last_signature_alone_finds_a_change_anywhere_in_the_chain(
    office: NodeOffice, pack: Path
) -> None:
    lines = lines_of(pack)
    assert verify(resealed(office, pack, lines), every=False).ok
    for place in (0, 7, len(lines) // 2, len(lines) - 1):
        entry = json.loads(lines[place])
        entry["commitment" if "commitment" in entry else "salt"] = "00" * (
            32 if "commitment" in entry else 16
        )
        changed = [*lines[:place], canonical(entry), *lines[place + 1 :]]
        report = verify(resealed(office, pack, changed), every=False)
        assert report.problems == [f"the ledger is broken at entry {place}"]
    without = [*lines[:5], *lines[6:]]
    assert not verify(resealed(office, pack, without), every=False).ok
    # A last entry that hangs together and that the party never signed.
    entry = json.loads(lines[-1])
    entry["signature"] = json.loads(lines[-2])["signature"]
    unsigned = [*lines[:-1], canonical(entry)]
    report = verify(resealed(office, pack, unsigned), every=False)
    assert report.problems == ["the ledger's last entry is not signed by the party"]


@pytest.mark.parametrize(
    "bend",
    [lambda line: line.replace(b'":', b'": ', 1), lambda line: line + b" ", lambda line: b" " + line,
     lambda line: line.replace(b'"body":{', b'"body":{"a":1,"a":1,'), lambda line: b"{}", lambda line: b"\xff"],
)  # fmt: skip
def test_a_line_in_another_form_is_found(office: NodeOffice, pack: Path, bend: Any) -> None:
    lines = lines_of(pack)
    place = next(n for n, line in enumerate(lines) if line.startswith(b'{"body"'))
    bent = [*lines[:place], bend(lines[place]), *lines[place + 1 :]]
    report = verify(resealed(office, pack, bent), every=False)
    assert report.problems
    assert f"entry {place}" in report.problems[0]


def test_a_broken_ledger_makes_no_pack_and_leaves_no_file(
    office: NodeOffice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = list(office.ledger.entries())
    gap = [*entries[:9], *entries[10:]]
    monkeypatch.setattr(
        office.ledger, "entries", lambda since=0: iter([e for e in gap if e.sequence >= since])
    )
    with pytest.raises(Refusal) as refusal:
        desk.write_pack_file(office, AGREED, NOW, tmp_path / "pack.zip")
    assert refusal.value.code == "evidence.ledger"
    assert "entry 9" in refusal.value.message
    assert not list(tmp_path.iterdir())
    with pytest.raises(Fault):
        desk.write_pack_file(office, AGREED, NOW, tmp_path / "nowhere" / "pack.zip")


def test_memory_does_not_grow_with_the_ledger(office: NodeOffice, tmp_path: Path) -> None:
    """Sealed entries by the thousand: neither the maker nor the verifier keeps them."""
    small = tmp_path / "small.zip"
    desk.write_pack_file(office, AGREED, NOW, small)
    before = peak(small)
    head = office.ledger.entries()
    *_, last = head
    rows, previous = [], last.hash
    for number in range(4000):
        entry = make_entry(
            sequence=last.sequence + 1 + number, moment=NOW, kind="dataset", body={"name": f"one-{number}"},
            previous=previous, signer=office.identity.signing_key, entropy=SystemEntropy(),
        )  # fmt: skip
        previous = entry.hash
        rows.append({"sequence": entry.sequence, "previous": entry.previous, "hash": entry.hash,
                     "line": entry.line()})  # fmt: skip
    with office.store.database.writing() as connection:
        connection.execute(tables.ledger.insert(), rows)
    del rows
    large = tmp_path / "large.zip"
    tracemalloc.start()
    desk.write_pack_file(office, AGREED, NOW, large)
    making = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    grown = large.stat().st_size - small.stat().st_size
    assert grown > 1_500_000
    assert peak(large) < before + grown // 2
    assert making < 24_000_000


def peak(file: Path) -> int:
    tracemalloc.start()
    assert verify(file, every=False).ok
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found
