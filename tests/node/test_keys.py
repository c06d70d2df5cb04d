"""Keys and identity cards: made once, kept private, and refused with the reason when not sound."""

from __future__ import annotations

import errno
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hanse.clock import ManualClock
from hanse.entropy import SeededEntropy
from hanse.errors import Fault, Foul, Refusal
from hanse.node.identity import keys
from hanse.node.identity.cards import IdentityCard, fingerprint_of, read_card
from hanse.node.identity.keys import Identity, create_identity, load_identity, renew_certificate
from hanse.wire.codec import canonical

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


def create(folder: Path, clock: ManualClock, seed: str = "a", **more: object) -> Identity:
    return create_identity(
        folder, "media", "A media company", clock=clock, entropy=SeededEntropy(seed), **more
    )


def test_created_keys_load_again_and_sign_alike(tmp_path: Path, clock: ManualClock) -> None:
    made = create(tmp_path, clock)
    loaded = load_identity(tmp_path, clock=clock)
    assert loaded.card == made.card
    assert loaded.party == "media"
    assert loaded.organisation == "A media company"
    assert loaded.sign(b"purpose|x") == made.sign(b"purpose|x")


def test_key_files_are_for_the_owner_only(tmp_path: Path, clock: ManualClock) -> None:
    create(tmp_path, clock)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "keys").iterdir()}
    assert modes == {"signing.key": 0o600, "tls.key": 0o600, "tls.crt": 0o600}
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_private_keys_do_not_print(tmp_path: Path, clock: ManualClock) -> None:
    identity = create(tmp_path, clock)
    secret = identity.signing_key.private_bytes_raw().hex()
    assert "signing_key=<" not in repr(identity)
    assert secret not in repr(identity)


def test_entropy_decides_the_keys(tmp_path: Path, clock: ManualClock) -> None:
    one = create(tmp_path / "1", clock, "same")
    two = create(tmp_path / "2", clock, "same")
    other = create(tmp_path / "3", clock, "other")
    assert one.card.signing_key == two.card.signing_key
    assert one.card.x509().public_key() == two.card.x509().public_key()
    assert one.card.signing_key != other.card.signing_key


def test_existing_keys_are_never_overwritten(tmp_path: Path, clock: ManualClock) -> None:
    made = create(tmp_path, clock)
    with pytest.raises(Refusal) as refusal:
        create(tmp_path, clock, "b")
    assert refusal.value.code == "keys.exist"
    assert load_identity(tmp_path, clock=clock).card == made.card


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(Fault) as fault:
        create(tmp_path / "file" / "node", clock)
    assert fault.value.code == "keys.unwritable"


def test_a_full_disk_leaves_no_half_made_keys(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(Fault) as fault:
        create(tmp_path, clock)
    assert fault.value.code == "disk.full"
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    create(tmp_path, clock)


def failing(name: str, number: int) -> Any:
    """As `_write_new`, but the disk fails at the file of this name."""
    real = keys._write_new

    def write(path: Path, data: bytes, mode: int = 0o600) -> None:
        if name in path.name:
            raise OSError(number, os.strerror(number))
        real(path, data, mode)

    return write


def test_a_card_that_cannot_be_written_leaves_no_keys(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "_write_new", failing("identity", errno.EROFS))
    with pytest.raises(Fault) as fault:
        create(tmp_path, clock)
    assert fault.value.code == "keys.unwritable"
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    create(tmp_path, clock)


def test_a_renewal_that_cannot_be_written_changes_nothing(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = create(tmp_path, clock)
    monkeypatch.setattr(keys, "_write_new", failing("tls.crt", errno.EROFS))
    with pytest.raises(Fault) as fault:
        renew_certificate(tmp_path, clock=clock, entropy=SeededEntropy("new"))
    assert fault.value.code == "keys.unwritable"
    assert load_identity(tmp_path, clock=clock).card == made.card
    assert [p.name for p in (tmp_path / "keys").iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("party", ["", "ab", "Media", "-media", "media company", "m" * 65])
def test_a_party_name_is_a_slug(tmp_path: Path, clock: ManualClock, party: str) -> None:
    with pytest.raises(Refusal) as refusal:
        create_identity(tmp_path, party, "X", clock=clock, entropy=SeededEntropy("a"))
    assert refusal.value.code == "keys.party"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["signing.key", "tls.key", "tls.crt"])
def test_each_missing_file_is_named(tmp_path: Path, clock: ManualClock, name: str) -> None:
    create(tmp_path, clock)
    (tmp_path / "keys" / name).unlink()
    with pytest.raises(Fault) as fault:
        load_identity(tmp_path, clock=clock)
    assert fault.value.code == "keys.missing"
    assert name in fault.value.message


@pytest.mark.parametrize("name", ["signing.key", "tls.key"])
def test_a_key_that_others_can_read_is_refused(
    tmp_path: Path, clock: ManualClock, name: str
) -> None:
    create(tmp_path, clock)
    (tmp_path / "keys" / name).chmod(0o640)
    with pytest.raises(Fault) as fault:
        load_identity(tmp_path, clock=clock)
    assert fault.value.code == "keys.permissions"
    assert "0640" in fault.value.message
    assert "chmod 600" in fault.value.remedy


@pytest.mark.parametrize("name", ["signing.key", "tls.key", "tls.crt"])
@pytest.mark.parametrize("content", [b"", b"not a key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_a_corrupt_file_is_named(
    tmp_path: Path, clock: ManualClock, name: str, content: bytes
) -> None:
    create(tmp_path, clock)
    (tmp_path / "keys" / name).write_bytes(content)
    with pytest.raises(Fault) as fault:
        load_identity(tmp_path, clock=clock)
    assert fault.value.code == "keys.corrupt"
    assert name in fault.value.message


def test_swapped_keys_are_corrupt(tmp_path: Path, clock: ManualClock) -> None:
    create(tmp_path, clock)
    keys = tmp_path / "keys"
    (keys / "signing.key").write_bytes((keys / "tls.key").read_bytes())
    with pytest.raises(Fault) as fault:
        load_identity(tmp_path, clock=clock)
    assert fault.value.code == "keys.corrupt"


def test_a_certificate_of_another_key_is_a_mismatch(tmp_path: Path, clock: ManualClock) -> None:
    create(tmp_path / "1", clock, "one")
    create(tmp_path / "2", clock, "two")
    other = (tmp_path / "2" / "keys" / "tls.crt").read_bytes()
    (tmp_path / "1" / "keys" / "tls.crt").write_bytes(other)
    with pytest.raises(Fault) as fault:
        load_identity(tmp_path / "1", clock=clock)
    assert fault.value.code == "keys.mismatch"


def test_an_expired_certificate_names_the_date_and_can_be_renewed(
    tmp_path: Path, clock: ManualClock
) -> None:
    old = create(tmp_path, clock, validity=timedelta(days=30))
    clock.advance(timedelta(days=31))
    with pytest.raises(Fault) as fault:
        load_identity(tmp_path, clock=clock)
    assert fault.value.code == "keys.expired"
    assert "2026-01-31" in fault.value.message
    renewed = renew_certificate(tmp_path, clock=clock, entropy=SeededEntropy("new"))
    assert renewed.card.signing_key == old.card.signing_key
    assert renewed.card.fingerprint != old.card.fingerprint
    assert load_identity(tmp_path, clock=clock).card == renewed.card
    assert read_card((tmp_path / "identity.json").read_bytes()) == renewed.card


def test_a_certificate_from_the_future_names_the_date(tmp_path: Path, clock: ManualClock) -> None:
    create(tmp_path, clock)
    clock.advance(timedelta(days=-2))
    with pytest.raises(Fault) as fault:
        load_identity(tmp_path, clock=clock)
    assert fault.value.code == "keys.not-yet-valid"
    assert "2025-12-31" in fault.value.message


def test_the_written_card_reads_back(tmp_path: Path, clock: ManualClock) -> None:
    identity = create(tmp_path, clock)
    card = read_card((tmp_path / "identity.json").read_bytes())
    assert card == identity.card
    assert card.fingerprint == fingerprint_of(card.x509())


@pytest.mark.parametrize("name", ["party", "organisation", "signing_key", "fingerprint"])
def test_an_altered_card_shows(tmp_path: Path, clock: ManualClock, name: str) -> None:
    mine = create(tmp_path / "1", clock, "one").card.document()
    other = create_identity(
        tmp_path / "2", "retailer", "Y", clock=clock, entropy=SeededEntropy("two")
    )
    altered = {**mine, name: other.card.document()[name]}
    with pytest.raises(Foul) as foul:
        read_card(canonical(altered))
    assert foul.value.code == "identity.tampered"


def test_a_card_with_anothers_certificate_shows(tmp_path: Path, clock: ManualClock) -> None:
    mine = create(tmp_path / "1", clock, "one")
    other = create_identity(
        tmp_path / "2", "retailer", "Y", clock=clock, entropy=SeededEntropy("two")
    )
    forged = IdentityCard.sign("media", "A media company", mine.signing_key, other.card.x509())
    with pytest.raises(Foul) as foul:
        read_card(forged.document())
    assert foul.value.code == "identity.tampered"
    assert "another party name" in foul.value.message


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[1]", b"\xff\xfe", b'{"format": 1, "party": "media"}']
)
def test_what_is_no_card_is_malformed(data: bytes) -> None:
    with pytest.raises(Foul) as foul:
        read_card(data)
    assert foul.value.code == "identity.malformed"


def test_the_spoken_form_differs_between_cards(tmp_path: Path, clock: ManualClock) -> None:
    one = create(tmp_path / "1", clock, "one").card
    two = create(tmp_path / "2", clock, "two").card
    assert one.spoken != two.spoken
    assert [len(part) for part in one.spoken.split()] == [4, 4, 4, 4]
