"""Backups: everything comes back, nothing in the clear, no change goes unnoticed; stores move."""

from __future__ import annotations

import errno
import os
import random
import socket
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hanse.clock import SystemClock
from hanse.entropy import SystemEntropy
from hanse.errors import Fault, HanseError, Refusal
from hanse.node.backup import back_up, copy_store, restore
from hanse.node.daemon import Node
from hanse.node.faces import facade
from hanse.node.identity.keys import load_identity, renew_certificate
from hanse.node.identity.partners import Partner
from hanse.node.storage.database import open_sqlite

WORDS = "correct horse battery"


def node_with_history(folder: Path, party: str = "media-house") -> Path:
    facade.create_node(folder, party, f"Organisation {party}", ("127.0.0.1", 0))
    with facade.office_of(folder) as office:
        for number in range(30):
            office.ledger.append("note", {"number": number})
        now = datetime(2026, 5, 1, tzinfo=UTC)
        office.store.jobs.create(
            "a" * 64, 1, contract="b" * 64, request={"question": 1}, state="done", at=now
        )
        office.store.jobs.log("a" * 64, 1, "info", "admitted as seat 0", now)
    (folder / "data" / "places").mkdir()
    (folder / "data" / "places" / "list.parquet").write_bytes(bytes(range(256)) * 9000)
    return folder


def backed_up(folder: Path, to: Path, words: str = WORDS) -> Path:
    back_up(folder, to, words, SystemClock(), SystemEntropy())
    return to


def test_a_node_comes_back_whole(tmp_path: Path) -> None:
    old = node_with_history(tmp_path / "old")
    file = backed_up(old, tmp_path / "backup")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert restore(file, tmp_path / "new", WORDS) == "media-house"
    new = tmp_path / "new"
    for name in (
        "hanse.toml",
        "identity.json",
        "keys/signing.key",
        "keys/tls.key",
        "data/places/list.parquet",
    ):
        assert (new / name).read_bytes() == (old / name).read_bytes()
        assert stat.S_IMODE((new / name).stat().st_mode) & 0o077 == (
            0o044 if name in ("hanse.toml", "identity.json") else 0
        )
    with facade.office_of(old) as before, facade.office_of(new) as after:
        assert list(after.ledger.lines()) == list(before.ledger.lines())
        assert facade.verify_ledger(after).ok
    Node(new).start  # noqa: B018 - keys, configuration and store load


def test_nothing_of_a_backup_is_in_the_clear(tmp_path: Path) -> None:
    old = node_with_history(tmp_path / "old")
    data = backed_up(old, tmp_path / "backup").read_bytes()
    for secret in (
        (old / "keys" / "signing.key").read_bytes()[40:80],
        b"SQLite format",
        bytes(range(200)),
    ):
        assert secret not in data


def test_a_changed_byte_a_cut_end_and_a_wrong_passphrase_are_refused(tmp_path: Path) -> None:
    old = node_with_history(tmp_path / "old")
    data = backed_up(old, tmp_path / "backup").read_bytes()
    chance = random.Random(5)  # noqa: S311
    changed = tmp_path / "changed"

    def refused(content: bytes, words: str = WORDS) -> None:
        changed.write_bytes(content)
        with pytest.raises(HanseError) as error:
            restore(changed, tmp_path / "new", words)
        assert error.value.code in ("backup.wrong", "backup.malformed")
        assert not (tmp_path / "new").exists()

    refused(data, "another passphrase")
    for place in (0, 9, 30, *(chance.randrange(len(data)) for _ in range(4))):
        bent = bytearray(data)
        bent[place] ^= 1
        refused(bytes(bent))
    chunk = (1 << 20) + 16
    refused(data[:-1])
    refused(data[: len(data) - (len(data) % chunk) - chunk])
    refused(data + b"more")
    refused(b"")


def test_restoring_never_overwrites_and_short_passphrases_are_refused(tmp_path: Path) -> None:
    old = node_with_history(tmp_path / "old")
    file = backed_up(old, tmp_path / "backup")
    with pytest.raises(Refusal, match="not empty"):
        restore(file, old, WORDS)
    with pytest.raises(Refusal, match="exists already"):
        backed_up(old, file)
    with pytest.raises(Refusal, match="shorter"):
        backed_up(old, tmp_path / "other", "short")
    with pytest.raises(Fault):
        restore(tmp_path / "missing", tmp_path / "new", WORDS)


def test_a_backup_that_fails_leaves_no_file_and_says_which_file_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = node_with_history(tmp_path / "old")
    with pytest.raises(Fault) as fault:
        backed_up(old, tmp_path / "nowhere" / "backup")
    assert (fault.value.code, fault.value.where) == (
        "backup.files",
        str(tmp_path / "nowhere" / "backup"),
    )
    real = os.fsync

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Fault) as fault:
        backed_up(old, tmp_path / "backup")
    assert fault.value.code == "disk.full"
    assert not (tmp_path / "backup").exists()
    assert [p.name for p in (old / "data").iterdir() if p.name.startswith(".backup-")] == []
    monkeypatch.setattr(os, "fsync", real)
    backed_up(old, tmp_path / "backup")


def test_a_store_is_copied_whole_and_only_into_an_empty_one(tmp_path: Path) -> None:
    old = node_with_history(tmp_path / "old")
    source, target = open_sqlite(old / "data"), open_sqlite(tmp_path / "target")
    counts = copy_store(source, target)
    assert (counts["ledger"], counts["jobs"], counts["job_log"]) == (30, 1, 1)
    with pytest.raises(Refusal, match="has rows"):
        copy_store(source, target)


def pair(tmp_path: Path) -> tuple[Node, Node]:
    """Two linked nodes."""
    nodes, ports = [], []
    for party in ("ant-house", "bee-house"):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(int(probe.getsockname()[1]))
        facade.create_node(tmp_path / party, party, party, ("127.0.0.1", ports[-1]))
    folders = [tmp_path / "ant-house", tmp_path / "bee-house"]
    cards = [load_identity(f, clock=SystemClock()).card for f in folders]
    for own, other in ((0, 1), (1, 0)):
        with facade.office_of(folders[own]) as office:
            office.add_partner(Partner(cards[other], ("127.0.0.1", ports[other])))
    for folder in folders:
        node = Node(folder)
        node.start()
        nodes.append(node)
    nodes[0].exchange.wait_for("bee-house", 20)
    return nodes[0], nodes[1]


def test_a_renewed_certificate_is_taken_in_by_partners_and_links_again(tmp_path: Path) -> None:
    ant, bee = pair(tmp_path)
    try:
        old = ant.office.identity.card.fingerprint
        folder = tmp_path / "ant-house"
        new = renew_certificate(folder, clock=SystemClock(), entropy=SystemEntropy()).card
        assert facade.ask(folder, {"verb": "announce"})["parties"] == {"bee-house": "knows it"}
        ant.stop()
        ant = Node(folder)
        ant.start()
        ant.exchange.wait_for("bee-house", 20)
        known = bee.office.directory().get("ant-house")
        assert known is not None
        assert known.fingerprint == new.fingerprint != old
        assert [e.body["certificate"] for e in bee.office.ledger.entries(kind="partner")][
            -1
        ] == new.fingerprint
    finally:
        ant.stop()
        bee.stop()


def test_a_card_of_another_key_or_party_is_no_renewal(tmp_path: Path) -> None:
    node = node_with_history(tmp_path / "old")
    cards = {}
    for name, party in (("first", "bee-house"), ("forged", "bee-house"), ("other", "cat-house")):
        facade.create_node(tmp_path / name, party, party, None)
        cards[name] = load_identity(tmp_path / name, clock=SystemClock()).card
    with facade.office_of(node) as office:
        office.add_partner(Partner(cards["first"]))
        for wrong in ("forged", "other"):
            with pytest.raises(Refusal) as refusal:
                office.renew_partner("bee-house", cards[wrong])
            assert refusal.value.code == "partner.renewal"
        with pytest.raises(Refusal):
            office.renew_partner("cat-house", cards["other"])
