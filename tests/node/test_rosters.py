"""What a node keeps of rosters: whole or not at all, readable by it alone, and no longer than it may."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from hanse.contracts import RosterNote
from hanse.node.jobs import rosters as shelf
from hanse.node.jobs.rosters import ORDER, SEAT, FolderRosters, MemoryRosters, Rosters, end_expired

NOW = datetime(2026, 3, 2, 6, tzinfo=UTC)
ONE, TWO = "ab" * 32, "cd" * 32
NOTE = RosterNote("march", ONE, "spring", "11" * 32, ("baskets", "exposures"),
                  {"media": 200, "shop": 200}, NOW, NOW + timedelta(days=31))  # fmt: skip
ARRAYS = {
    "index": np.arange(600, dtype=np.int32).reshape(2, 300),
    "left0": np.arange(300, dtype=np.uint32),
}
KEY = bytes(range(32))


@pytest.fixture(params=["folder", "memory"])
def rosters(request: pytest.FixtureRequest, tmp_path: Path) -> Rosters:
    return (
        FolderRosters(tmp_path / "rosters", KEY) if request.param == "folder" else MemoryRosters()
    )


@pytest.fixture
def folder(tmp_path: Path) -> FolderRosters:
    return FolderRosters(tmp_path / "rosters", KEY)


def test_what_is_kept_comes_back(rosters: Rosters) -> None:
    assert rosters.notes() == []
    assert rosters.load(ONE, SEAT) is None
    rosters.keep(NOTE, SEAT, ARRAYS)
    rosters.keep(replace(NOTE, name="another"), ORDER, {ORDER: np.arange(3, dtype=np.uint64)})
    rosters.keep(replace(NOTE, job=TWO, made=NOW + timedelta(days=1)))
    assert [n.job for n in rosters.notes()] == [ONE, TWO]
    assert rosters.notes()[0] == NOTE, "the first note stays"
    found = rosters.load(ONE, SEAT)
    assert found is not None
    assert set(found) == set(ARRAYS)
    assert all(np.array_equal(found[n], a) and found[n].dtype == a.dtype for n, a in ARRAYS.items())
    assert (rosters.has(ONE, ORDER), rosters.has(TWO, SEAT)) == (True, False)


def test_parts_go_when_the_time_is_over_and_the_note_says_what_became_of_them(
    rosters: Rosters,
) -> None:
    rosters.keep(NOTE, SEAT, ARRAYS)
    assert end_expired(rosters, NOTE.expires - timedelta(seconds=1)) == []
    assert end_expired(rosters, NOTE.expires) == [NOTE]
    assert rosters.load(ONE, SEAT) is None
    assert rosters.notes() == [NOTE]
    assert end_expired(rosters, NOTE.expires) == []
    end_expired(rosters, NOTE.expires + timedelta(days=100))
    assert rosters.notes() == []


def test_all_goes_when_the_contract_ends(rosters: Rosters) -> None:
    rosters.keep(NOTE, SEAT, ARRAYS)
    rosters.keep(replace(NOTE, job=TWO, contract_hash="22" * 32), SEAT, ARRAYS)
    assert [n.job for n in end_expired(rosters, NOW, [NOTE.contract_hash])] == [ONE]
    assert [n.job for n in rosters.notes()] == [TWO]
    assert rosters.load(ONE, SEAT) is None
    assert rosters.load(TWO, SEAT) is not None


def file_of(folder: FolderRosters, job: str = ONE, part: str = SEAT) -> Path:
    return folder._path(job, part)


def test_a_copy_without_the_nodes_key_tells_nothing(folder: FolderRosters, tmp_path: Path) -> None:
    ids = np.arange(1000, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    folder.keep(NOTE, ORDER, {ORDER: ids})
    assert FolderRosters(tmp_path / "rosters", bytes(32)).load(ONE, ORDER) is None
    kept = file_of(folder, part=ORDER).read_bytes()
    assert not any(int(i).to_bytes(8, "little") in kept for i in ids[:50])
    assert file_of(folder, part=ORDER).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("piece", [64, 1000, 1 << 26])
def test_long_parts_are_written_in_pieces_and_no_piece_can_be_left_out(
    folder: FolderRosters, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf, "_PIECE", piece)
    folder.keep(NOTE, SEAT, ARRAYS)
    found = folder.load(ONE, SEAT)
    assert found is not None
    assert np.array_equal(found["index"], ARRAYS["index"])
    path, size = file_of(folder), piece + 28
    whole = path.read_bytes()
    for spoilt in (
        whole[:-size],
        whole[size:],
        whole[: len(whole) // 2],
        b"",
        whole + whole[:size],
    ):
        path.write_bytes(spoilt)
        assert folder.load(ONE, SEAT) is None
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    path.write_bytes(bytes(flipped))
    assert folder.load(ONE, SEAT) is None


def test_a_part_in_another_rosters_place_is_none(folder: FolderRosters) -> None:
    folder.keep(NOTE, SEAT, ARRAYS)
    folder.keep(replace(NOTE, job=TWO), SEAT, ARRAYS)
    file_of(folder, ONE).replace(file_of(folder, TWO))
    assert folder.load(TWO, SEAT) is None


def test_a_disk_that_fails_leaves_no_half_part(
    folder: FolderRosters, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_file: object, *_: object) -> None:
        raise OSError(5, "input/output error")

    monkeypatch.setattr(folder, "_seal", fails)
    with pytest.raises(OSError, match="input/output"):
        folder.keep(NOTE, SEAT, ARRAYS)
    assert not folder.has(ONE, SEAT)
    assert [p.name for p in file_of(folder).parent.iterdir()] == ["roster.json"]


def test_what_has_no_note_is_swept_away_and_damaged_notes_are_not_shown(
    folder: FolderRosters,
) -> None:
    folder.keep(NOTE, SEAT, ARRAYS)
    folder.keep(replace(NOTE, job=TWO), SEAT, ARRAYS)
    (file_of(folder, TWO).parent / "roster.json").unlink()
    (file_of(folder, ONE).parent / "roster.json").write_text("{}")
    assert folder.notes() == []
    folder.sweep()
    assert not file_of(folder, ONE).parent.exists()
    assert not file_of(folder, TWO).parent.exists()


def test_a_job_that_is_no_hash_names_no_folder(folder: FolderRosters) -> None:
    for job in ("", "..", "../../etc", "AB" * 32):
        with pytest.raises(ValueError, match="hash"):
            folder.has(job, SEAT)
