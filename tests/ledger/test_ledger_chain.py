"""The chain: what it holds, which changes are found, and writers that race."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_samples import KEY, OTHER, PUBLIC, START, filled_ledger, new_ledger

from hanse.clock import ManualClock
from hanse.errors import Fault
from hanse.ledger import (
    GENESIS,
    Entry,
    Ledger,
    MemoryStore,
    StaleHeadError,
    Verdict,
    verify_lines,
)
from hanse.ledger.chain import MAX_ATTEMPTS

LINES = list(filled_ledger().lines())
FILE = "".join(line + "\n" for line in LINES).encode()


def verdict_of(data: bytes) -> Verdict:
    return verify_lines(data.splitlines(keepends=True), PUBLIC)


def test_an_empty_ledger_is_good() -> None:
    assert new_ledger().verify(PUBLIC) == Verdict(True, 0, None, "", GENESIS)


def written(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def test_entries_are_chained_and_signed_as_documented() -> None:
    previous = GENESIS
    for sequence, entry in enumerate(filled_ledger().entries()):
        content = {
            "time": "2026-07-15T12:00:00.000000+00:00",
            "kind": entry.kind,
            "body": entry.body,
            "salt": entry.salt,
        }
        commitment = hashlib.sha256(written(content)).hexdigest()
        place = {"sequence": sequence, "previous": previous, "commitment": commitment}
        assert entry.hash == hashlib.sha256(written(place)).hexdigest()
        message = b"hanse-ledger-v2|" + bytes.fromhex(entry.hash)
        assert entry.signature == KEY.sign(message).hex()
        previous = entry.hash


def test_a_good_ledger_verifies_in_place_and_from_its_export() -> None:
    ledger = filled_ledger()
    verdict = ledger.verify(PUBLIC)
    assert (verdict.ok, verdict.count, verdict.first_bad) == (True, 4, None)
    assert verdict.head == list(ledger.entries())[-1].hash
    assert verify_lines(ledger.lines(), PUBLIC) == verdict
    assert verdict_of(FILE) == verdict


def test_sealed_entries_keep_the_chain_and_tell_nothing() -> None:
    ledger = filled_ledger()
    lines = list(ledger.lines(lambda entry: entry.kind == "job"))
    assert verify_lines(lines, PUBLIC) == ledger.verify(PUBLIC)
    kinds = [entry.kind for entry in ledger.entries()]
    for line, kind, whole in zip(lines, kinds, LINES, strict=True):
        shown = set(json.loads(line))
        assert shown == (
            set(json.loads(whole))
            if kind == "job"
            else {"sequence", "commitment", "previous", "hash", "signature"}
        )


def test_a_sealed_entry_cannot_be_guessed_without_its_salt() -> None:
    first, second = new_ledger(), new_ledger()
    commitments = {
        ledger.append("job", {"job": "11" * 32}).sealed().commitment for ledger in (first, second)
    }
    assert len(commitments) == 2


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6))
def test_every_flipped_bit_of_a_sealed_export_is_found(place: int) -> None:
    data = "".join(line + "\n" for line in filled_ledger().lines(lambda _e: False)).encode()
    bit = place % (8 * len(data))
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << (bit % 8)
    assert not verdict_of(bytes(changed)).ok


def test_the_time_is_the_clock_s() -> None:
    clock = ManualClock(START)
    ledger = Ledger(MemoryStore(), KEY, clock)
    first = ledger.append("job", {})
    clock.advance(timedelta(minutes=1))
    assert ledger.append("job", {}).time > first.time == START.isoformat(timespec="microseconds")


def test_entries_can_be_read_by_kind_and_from_a_point_on() -> None:
    ledger = filled_ledger()
    assert [entry.sequence for entry in ledger.entries(since=2)] == [2, 3]
    assert [entry.kind for entry in ledger.entries(kind="job")] == ["job"]
    assert list(ledger.entries(kind="job", since=2)) == []


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(FILE) * 8 - 1))
def test_every_flipped_bit_of_an_export_is_found(bit: int) -> None:
    changed = bytearray(FILE)
    changed[bit // 8] ^= 1 << (bit % 8)
    verdict = verdict_of(bytes(changed))
    line = FILE[: bit // 8].count(b"\n")
    assert not verdict.ok
    assert verdict.first_bad is not None
    # A broken line break spoils its own line; everything before stays good.
    assert verdict.first_bad == verdict.count == line
    assert verdict.reason


@pytest.mark.parametrize("where", range(len(LINES) - 1))
def test_a_removed_entry_is_found(where: int) -> None:
    lines = LINES[:where] + LINES[where + 1 :]
    verdict = verify_lines(lines, PUBLIC)
    assert (verdict.ok, verdict.first_bad) == (False, where)
    assert "missing or out of order" in verdict.reason


@pytest.mark.parametrize("where", range(len(LINES) - 1))
def test_swapped_entries_are_found(where: int) -> None:
    lines = list(LINES)
    lines[where], lines[where + 1] = lines[where + 1], lines[where]
    assert verify_lines(lines, PUBLIC).first_bad == where


@pytest.mark.parametrize("where", range(len(LINES)))
def test_a_repeated_entry_is_found(where: int) -> None:
    lines = [*LINES[: where + 1], *LINES[where:]]
    assert verify_lines(lines, PUBLIC).first_bad == where + 1


def test_a_forger_without_the_key_cannot_change_an_entry_even_with_a_right_hash() -> None:
    forged = list(filled_ledger(key=OTHER).lines())
    verdict = verify_lines([*LINES[:1], *forged[1:]], PUBLIC)
    assert (verdict.ok, verdict.first_bad) == (False, 1)
    assert "not signed with this node's key" in verdict.reason


def test_entries_of_another_ledger_of_the_same_node_do_not_fit() -> None:
    other = new_ledger()
    other.append("contract", {"id": "autumn-2026"})
    other.append("job", {"job": "11" * 32})
    verdict = verify_lines([LINES[0], list(other.lines())[1]], PUBLIC)
    assert (verdict.first_bad, verdict.reason) == (
        1,
        "the entry does not follow the one before it",
    )


def test_a_cut_off_end_is_found_with_a_head_that_others_recorded() -> None:
    entries = list(filled_ledger().entries())
    known = [(3, entries[3].hash)]
    assert verify_lines(LINES[:3], PUBLIC).ok
    verdict = verify_lines(LINES[:3], PUBLIC, known)
    assert (verdict.ok, verdict.first_bad) == (False, 3)
    assert "ends before entry 3" in verdict.reason
    assert verify_lines(LINES, PUBLIC, known).ok


def test_a_chain_rewritten_with_the_own_key_is_found_with_a_recorded_head() -> None:
    rewritten = new_ledger()
    rewritten.append("contract", {"id": "spring-2026", "hash": "cd" * 32})
    known = [(0, json.loads(LINES[0])["hash"])]
    assert rewritten.verify(PUBLIC).ok
    verdict = rewritten.verify(PUBLIC, known)
    assert (verdict.ok, verdict.first_bad) == (False, 0)
    assert "another hash was recorded elsewhere" in verdict.reason


def test_two_different_recorded_heads_for_one_entry_are_found() -> None:
    right = json.loads(LINES[0])["hash"]
    assert not verify_lines(LINES, PUBLIC, [(0, "ee" * 32), (0, right)]).ok
    assert not verify_lines(LINES, PUBLIC, [(0, right), (0, "ee" * 32)]).ok


def tampered(change: Callable[[Entry], Entry]) -> Verdict:
    entries = list(filled_ledger().entries())
    entries[2] = change(entries[2])
    return Ledger(MemoryStore(entries), KEY, ManualClock(START)).verify(PUBLIC)


@pytest.mark.parametrize(
    "change",
    [
        {"body": {"epsilon": 0.01, "providers": ["media", "retailer"]}},
        {"kind": "release"},
        {"time": "2026-07-15T12:00:01.000000+00:00"},
        {"hash": "ab" * 32},
        {"previous": GENESIS},
        {"signature": "00" * 64},
        {"sequence": 7},
        {"body": {"value": b"bytes"}},
        {"signature": "zz"},
    ],
    ids="-".join,
)
def test_an_entry_changed_in_the_store_is_found(change: dict[str, Any]) -> None:
    verdict = tampered(lambda entry: replace(entry, **change))
    assert (verdict.ok, verdict.count, verdict.first_bad) == (False, 2, 2)
    assert verdict.reason


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        LINES[0].replace('"sequence":0', '"sequence":false'),
        LINES[0].replace('"sequence":0', '"sequence":0,"sequence":0'),
        LINES[0].replace('"sequence":0', '"sequence": 0'),
        LINES[0].replace('"kind":"contract"', '"kind":5'),
        LINES[0] + " ",
        LINES[0] + "\r\n",
    ],
)
def test_lines_that_are_no_entries_are_found_not_raised(line: str) -> None:
    verdict = verify_lines([line], PUBLIC)
    assert (verdict.ok, verdict.first_bad) == (False, 0)


@pytest.mark.parametrize("key", ["", "abc", "zz" * 32, "ab" * 31])
def test_a_key_that_is_none_is_a_fault(key: str) -> None:
    with pytest.raises(Fault) as caught:
        verify_lines(LINES, key)
    assert caught.value.code == "ledger.key"


@pytest.mark.parametrize("kind", ["", "Job", "job entry", "x" * 60, "9lives", "job\n"])
def test_a_kind_is_a_slug(kind: str) -> None:
    ledger = new_ledger()
    with pytest.raises(Fault) as caught:
        ledger.append(kind, {})
    assert caught.value.code == "ledger.kind"
    assert list(ledger.entries()) == []


json_bodies = st.dictionaries(
    st.text("abc é", min_size=1, max_size=6),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=30)
    | st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=5),
    max_size=5,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(json_bodies, max_size=6))
def test_any_plain_body_survives_the_export(bodies: list[dict[str, Any]]) -> None:
    ledger = new_ledger()
    for body in bodies:
        ledger.append("job", body)
    assert [json.loads(line)["body"] for line in ledger.lines()] == bodies
    assert verify_lines(ledger.lines(), PUBLIC).count == len(bodies)
    assert ledger.verify(PUBLIC).ok


def test_a_body_changed_by_its_caller_later_stays_as_written() -> None:
    ledger = new_ledger()
    body = {"cells": [1, 2]}
    ledger.append("answer", body)
    body["cells"].append(3)
    assert ledger.verify(PUBLIC).ok


def test_racing_writers_all_get_their_entry_in() -> None:
    store = MemoryStore()
    ledgers = [new_ledger(store) for _ in range(4)]
    start = threading.Barrier(4)

    def write(number: int) -> None:
        start.wait()
        for count in range(15):
            ledgers[number].append("job", {"writer": number, "count": count})

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledgers[0].verify(PUBLIC).count == 60
    for number in range(4):
        own = [e.body["count"] for e in ledgers[0].entries() if e.body["writer"] == number]
        assert own == list(range(15))


class CrowdedStore(MemoryStore):
    """Somebody else adds an entry just before each of the first ``times`` of ours."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self._times = times
        self.other = new_ledger(MemoryStoreView(self))

    def append(self, entry: Entry, expected_previous: str) -> None:
        if self._times:
            self._times -= 1
            self.other.append("job", {"from": "another process"})
        super().append(entry, expected_previous)


class MemoryStoreView:
    """The same entries, without the crowd."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def append(self, entry: Entry, expected_previous: str) -> None:
        MemoryStore.append(self._store, entry, expected_previous)

    def read(self, since: int = 0) -> list[Entry]:
        return self._store.read(since)

    def head(self) -> Entry | None:
        return self._store.head()


def test_a_writer_that_comes_late_looks_again() -> None:
    store = CrowdedStore(times=3)
    ledger = new_ledger(store)
    assert ledger.append("job", {"from": "us"}).sequence == 3
    assert ledger.verify(PUBLIC).count == 4


def test_an_entry_is_not_added_after_a_head_that_is_no_longer_the_last() -> None:
    store = CrowdedStore(times=1)
    ledger = new_ledger(store)
    with pytest.raises(StaleHeadError):
        ledger.append_after(None, "job", {})
    assert [entry.body for entry in ledger.entries()] == [{"from": "another process"}]


def test_a_writer_that_always_comes_late_gives_up_in_words() -> None:
    class Stuck(MemoryStore):
        def append(self, entry: Entry, expected_previous: str) -> None:
            attempts.append(1)
            raise StaleHeadError

    attempts: list[int] = []
    with pytest.raises(Fault) as caught:
        new_ledger(Stuck()).append("job", {})
    assert caught.value.code == "ledger.contended"
    assert len(attempts) == MAX_ATTEMPTS
