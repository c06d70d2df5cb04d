"""Evidence packs of a real federation: they verify anywhere, and no byte of them can be changed."""

from __future__ import annotations

import hashlib
import io
import json
import random
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_stage import Hanse, refused
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from running_stage import CONTRACT, Stage, stage

from hanse.clock import SystemClock
from hanse.errors import Refusal
from hanse.evidence import verifier
from hanse.evidence.verifier import MANIFEST, SIGNATURE, packed, verify
from hanse.ledger.entries import LEDGER_PREFIX
from hanse.wire.codec import canonical, digest


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("evidence")) as made:
        yield made


@pytest.fixture
def pack(hanse: Hanse, running: Stage) -> bytes:
    """The media house's pack, after a review and a job that was answered."""
    file = running.folder / "media.zip"
    if not file.exists():
        for party in running.nodes:
            folder = running.nodes[party]
            told = hanse("contract", "review", CONTRACT, "--department", "legal", "--approve",
                         "--comment", "read", "--by", "legal office", "--node", folder)  # fmt: skip
            assert told.status == 0, told.err
        asked = hanse("run", running.question("question.toml"), "--node", running.media)
        assert asked.status == 0, asked.err
        made = hanse("evidence", "make", CONTRACT, file, "--node", running.media)
        assert made.status == 0, made.err
        assert "signed by media-house" in made.out
    return file.read_bytes()


def parts_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_pack_of_each_party_verifies(hanse: Hanse, running: Stage, pack: bytes) -> None:
    told = hanse("evidence", "verify", running.folder / "media.zip", "--json")
    assert told.status == 0, told.err
    facts = "\n".join(told.json["facts"])
    assert "version 1: signed by media-house, retail-chain, data-house (all)" in facts
    assert "1 jobs; epsilon 4 spent" in facts
    assert "1 reviews" in facts
    for party in ("retail-chain", "data-house"):
        file = running.folder / f"{party}.zip"
        assert hanse("evidence", "make", CONTRACT, file, "--node", running.nodes[party]).status == 0
        assert hanse("evidence", "verify", file).status == 0


def test_the_pack_has_no_result_and_no_other_contract_s_entries(
    hanse: Hanse, running: Stage, pack: bytes
) -> None:
    with_more = running.folder / "more.zip"
    with_other = running.running["data-house"].office
    with_other.ledger.append("contract", {"id": "another-deal", "hash": "ab" * 32})
    assert hanse("evidence", "make", CONTRACT, with_more, "--node", running.data).status == 0
    data = with_more.read_bytes()
    assert verify(data).ok
    assert b"another-deal" not in data
    job = next(n for n in parts_of(pack) if n.startswith("jobs/"))
    assert "result" not in json.loads(parts_of(pack)[job])


def test_a_machine_with_python_only_verifies_it(
    hanse: Hanse, running: Stage, pack: bytes, tmp_path: Path
) -> None:
    alone = tmp_path / "verifier.py"
    assert hanse("evidence", "verifier", alone).status == 0
    file = tmp_path / "pack.zip"
    file.write_bytes(pack)

    def run() -> subprocess.CompletedProcess[str]:
        # -I -S: no environment, no site-packages, so nothing but the standard library.
        return subprocess.run(  # noqa: S603
            [sys.executable, "-I", "-S", str(alone), str(file)],
            capture_output=True,
            text=True,
            check=False,
        )

    good = run()
    assert good.returncode == 0, good.stdout + good.stderr
    assert "The pack holds" in good.stdout
    changed = bytearray(pack)
    changed[len(changed) // 2] ^= 1
    file.write_bytes(bytes(changed))
    assert run().returncode == 1


def test_any_changed_byte_is_found(pack: bytes) -> None:
    chance = random.Random(7)  # noqa: S311
    ends = [*range(30), *range(len(pack) - 30, len(pack))]
    for place in [*ends, *(chance.randrange(len(pack)) for _ in range(120))]:
        changed = bytearray(pack)
        changed[place] ^= 1 << chance.randrange(8)
        assert not verify(bytes(changed)).ok, place


def test_every_part_is_covered(pack: bytes) -> None:
    parts = parts_of(pack)
    for name, data in parts.items():
        changed = bytearray(data)
        changed[len(changed) // 2] ^= 1
        assert not verify(packed({**parts, name: bytes(changed)})).ok, name
        without = {n: d for n, d in parts.items() if n != name}
        assert not verify(packed(without)).ok, name
    assert not verify(packed({**parts, "more.txt": b"more"})).ok


def resealed(parts: dict[str, bytes], key: Ed25519PrivateKey) -> bytes:
    """What a party with its key can make of changed parts: a manifest that fits them."""
    manifest = json.loads(parts[MANIFEST])
    files = {n: d for n, d in parts.items() if n not in (MANIFEST, SIGNATURE)}
    manifest["files"] = {n: hashlib.sha256(d).hexdigest() for n, d in files.items()}
    lines = parts["ledger.jsonl"].splitlines()
    manifest["ledger"] = {"entries": len(lines), "head": json.loads(lines[-1])["hash"]}
    text = json.dumps(manifest).encode()
    seal = key.sign(verifier.PACK_PREFIX + hashlib.sha256(text).digest()).hex().encode()
    return packed({**files, MANIFEST: text, SIGNATURE: seal})


def key_of(running: Stage) -> Ed25519PrivateKey:
    return running.running["media-house"].office.identity.signing_key


def test_a_party_cannot_reseal_another_contract_text_or_drop_a_job(
    running: Stage, pack: bytes
) -> None:
    parts, key = parts_of(pack), key_of(running)
    assert verify(resealed(parts, key)).ok
    bundle = json.loads(parts["contract/version-1.json"])
    bundle["contract"]["privacy"]["k"] = 21
    changed = {**parts, "contract/version-1.json": json.dumps(bundle).encode()}
    assert any("text of contract" in p for p in verify(resealed(changed, key)).problems)
    job = next(n for n in parts if n.startswith("jobs/"))
    dropped = {n: d for n, d in parts.items() if n != job}
    assert any("not in the pack" in p for p in verify(resealed(dropped, key)).problems)
    body = json.loads(parts[job])
    body["openings"] = body["openings"][:-1]
    less = {**parts, job: json.dumps(body).encode()}
    assert any("not those in the ledger" in p for p in verify(resealed(less, key)).problems)
    body = json.loads(parts[job])
    body["request"]["epsilon"] = 0.1
    other = {**parts, job: json.dumps(body).encode()}
    assert any("name of its request" in p for p in verify(resealed(other, key)).problems)


def test_a_party_cannot_forge_the_permit_of_another_even_with_a_rewritten_ledger(
    running: Stage, pack: bytes
) -> None:
    parts, key = parts_of(pack), key_of(running)

    def forged(body: dict[str, Any]) -> dict[str, Any]:
        return {**body, "signatures": {**body["signatures"], "data-house": "00" * 64}}

    lines, previous = [], verifier.GENESIS
    for line in parts["ledger.jsonl"].decode().splitlines():
        entry = json.loads(line)
        if entry.get("kind") == "permits":
            entry["body"] = forged(entry["body"])
        commitment = entry.get("commitment") or digest(
            {n: entry[n] for n in ("time", "kind", "body", "salt")}
        )
        place = {"sequence": entry["sequence"], "previous": previous, "commitment": commitment}
        entry |= {"previous": previous, "hash": digest(place)}
        entry["signature"] = key.sign(LEDGER_PREFIX + bytes.fromhex(entry["hash"])).hex()
        previous = entry["hash"]
        lines.append(canonical(entry) + b"\n")
    report = verify(resealed({**parts, "ledger.jsonl": b"".join(lines)}, key))
    assert report.problems == [
        p for p in report.problems if "the permit of data-house is missing or not theirs" in p
    ]
    assert report.problems


def test_a_key_known_by_another_way_must_be_the_one_in_the_contract(
    hanse: Hanse, running: Stage, pack: bytes
) -> None:
    file = running.folder / "media.zip"
    right = running.running["retail-chain"].office.identity.card.signing_key
    assert hanse("evidence", "verify", file, "--key", f"retail-chain={right}").status == 0
    refused(hanse("evidence", "verify", file, "--key", f"retail-chain={'ab' * 32}"),
            "evidence.broken", "retail-chain")  # fmt: skip


def test_what_is_no_pack_is_refused_in_words(hanse: Hanse, tmp_path: Path, running: Stage) -> None:
    file = tmp_path / "no.zip"
    file.write_bytes(b"no pack")
    refused(hanse("evidence", "verify", file), "evidence.broken", "not an evidence pack")
    refused(hanse("evidence", "verify", tmp_path / "missing.zip"), "file.unreadable")
    refused(hanse("evidence", "make", "no-such", tmp_path / "new.zip", "--node", running.media),
            "contract.unknown")  # fmt: skip


def test_pure_python_signatures_agree_with_the_library() -> None:
    chance = random.Random(3)  # noqa: S311
    for _ in range(6):
        key = Ed25519PrivateKey.from_private_bytes(chance.randbytes(32))
        public, message = key.public_key().public_bytes_raw(), chance.randbytes(40)
        signature = key.sign(message)
        assert verifier.ed25519(public, message, signature)
        bent = bytearray(signature)
        bent[chance.randrange(64)] ^= 1 << chance.randrange(8)
        assert not verifier.ed25519(public, message, bytes(bent))
        assert not verifier.ed25519(public, message + b"x", signature)


def test_an_impact_draft_is_filled_in_from_the_contract(
    hanse: Hanse, running: Stage, tmp_path: Path
) -> None:
    file = tmp_path / "impact.html"
    assert hanse("evidence", "impact", CONTRACT, file, "--node", running.media).status == 0
    text = file.read_text()
    assert "not legal advice" in text
    assert "exposures" in text
    assert "consent" in text
    assert "<script" not in text


def test_signing_waits_for_the_departments(running: Stage) -> None:
    office = running.running["media-house"].office
    waiting = type(office)(
        office.identity, office.store, SystemClock(), reviewers=("legal", "risk")
    )
    with pytest.raises(Refusal) as refusal:
        waiting.sign(CONTRACT)
    assert refusal.value.code == "contract.review"
    assert "risk has not approved" in refusal.value.message
    waiting.review(CONTRACT, "risk", "object", "k is too small")
    with pytest.raises(Refusal, match="risk objects"):
        waiting.sign(CONTRACT)
    waiting.review(CONTRACT, "risk", "approve")
    waiting.review(CONTRACT, "legal", "approve")
    waiting.sign(CONTRACT)
    for department, verdict, comment, code in (
        ("kitchen", "approve", "", "review.department"),
        ("risk", "perhaps", "x", "review.verdict"),
        ("risk", "object", " ", "review.comment"),
    ):
        with pytest.raises(Refusal) as refusal:
            waiting.review(CONTRACT, department, verdict, comment)
        assert refusal.value.code == code
