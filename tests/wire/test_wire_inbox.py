"""The inbox and the hall: order, replay, flood, type and shape are checked; every wait can end."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.errors import Fault, Foul, HanseError, Refusal
from hanse.wire import Frame, Hall, Inbox, Kind, inbox

U64 = np.dtype("<u8")
ARRAY = np.arange(4, dtype=np.uint64)


def frame(
    source: int = 0, sequence: int = 0, step: str = "x", body: Any = ARRAY, kind: Kind = Kind.ARRAY
) -> Frame:
    return Frame(kind, bytes(16), source, 1, sequence, step, body)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 2), max_size=30))
def test_each_sources_frames_come_out_in_its_order(sources: list[int]) -> None:
    box, sent = Inbox(3), [0, 0, 0]
    for source in sources:
        box.put(frame(source, sent[source], f"{sent[source]}"))
        sent[source] += 1
    for source in range(3):
        assert [box.take(source, 0.1).step for _ in range(sent[source])] == [
            str(i) for i in range(sent[source])
        ]


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10))
def test_only_the_next_number_is_accepted(already: int, number: int) -> None:
    box = Inbox(2, ("coupon",))
    for sequence in range(already):
        box.put(frame(0, sequence))
    if number == already:
        box.put(frame(0, number))
        return
    with pytest.raises(Foul) as caught:
        box.put(frame(0, number, "late"))
    assert caught.value.code == "wire.order"
    assert ("replayed" if number < already else "out of order") in caught.value.message
    assert "coupon" in caught.value.message
    assert caught.value.where == "late"
    assert caught.value.remedy


def test_a_replay_is_noticed_after_the_frame_was_read() -> None:
    box = Inbox(1)
    box.put(frame())
    box.take(0, 1)
    with pytest.raises(Foul, match="replayed"):
        box.put(frame())


@pytest.mark.parametrize("source", [3, 65535])
def test_an_unknown_role_is_a_foul(source: int) -> None:
    with pytest.raises(Foul) as caught:
        Inbox(3).put(frame(source))
    assert caught.value.code == "wire.role"


def test_a_flood_is_a_foul_and_reading_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "MAX_WAITING_BYTES", 2000)
    box = Inbox(2)
    for sequence in range(3):
        box.put(frame(0, sequence))
    box.put(frame(1, 0))  # another source has room of its own
    with pytest.raises(Foul) as caught:
        box.put(frame(0, 3))
    assert caught.value.code == "wire.flood"
    box.take(0, 1)
    box.put(frame(0, 3))
    with pytest.raises(Foul):
        box.put(frame(1, 1, body=bytes(1500), kind=Kind.DOCUMENT))


def test_a_flood_of_empty_frames_is_a_foul(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "MAX_WAITING_BYTES", 10_000)
    box = Inbox(1)

    def flood() -> None:
        for sequence in range(100_000):
            box.put(frame(0, sequence, body=np.empty(0, np.uint64)))

    with pytest.raises(Foul):
        flood()


WRONG = {
    "document": (frame(body=b"{}", kind=Kind.DOCUMENT), "wire.kind"),
    "other step": (frame(step="y"), "wire.step"),
    "other type": (frame(body=ARRAY.astype(np.uint32)), "wire.shape"),
    "other signedness": (frame(body=ARRAY.astype(np.int64)), "wire.shape"),
    "other size": (frame(body=ARRAY[:3]), "wire.shape"),
    "other shape": (frame(body=ARRAY.reshape(2, 2)), "wire.shape"),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_array_that_the_protocol_does_not_expect_is_a_foul(name: str) -> None:
    wrong, code = WRONG[name]
    box = Inbox(1, ("retailer",))
    box.put(wrong)
    with pytest.raises(Foul) as caught:
        box.take_array(0, "x", U64, (4,), 1)
    assert caught.value.code == code
    assert caught.value.where == "x"
    assert "retailer" in caught.value.message


def test_silence_is_a_fault_that_names_the_silent() -> None:
    box = Inbox(2, ("media", "retailer"))
    with pytest.raises(Fault) as caught:
        box.take(1, 0.05)
    assert caught.value.code == "peer.silent"
    assert "retailer" in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize(
    "error", [Fault("a.b", "lost"), Foul("c.d", "cheated"), Refusal("e.f", "no")]
)
def test_a_failure_ends_every_wait_at_once(error: HanseError) -> None:
    box, seen = Inbox(3), []

    def wait(source: int) -> None:
        try:
            box.take(source, 30)
        except HanseError as raised:
            seen.append(raised)

    threads = [threading.Thread(target=wait, args=(source,)) for source in range(3)]
    for thread in threads:
        thread.start()
    started = time.monotonic()
    box.fail(error)
    box.fail(Fault("later.one", "the first error stays"))
    for thread in threads:
        thread.join()
    assert time.monotonic() - started < 5
    assert [(type(e), e.code) for e in seen] == [(type(error), error.code)] * 3
    assert len({id(e) for e in seen}) == 3, "each thread raises a copy with a trace of its own"


def test_a_failed_job_hands_out_nothing_that_had_arrived() -> None:
    box = Inbox(1)
    box.put(frame())
    box.fail(Fault("a.b", "stopped"))
    with pytest.raises(Fault, match="stopped"):
        box.take(0, 1)


# --- the hall -----------------------------------------------------------------------------------


def test_arrays_cross_the_hall_as_copies() -> None:
    hall = Hall(2)
    mine = ARRAY.copy()
    hall.channel(0).send(1, "x", mine)
    mine[:] = 0
    got = hall.channel(1).receive(0, "x", U64, (4,))
    assert (got == ARRAY).all()
    got[:] = 9  # and may be written to


def test_what_a_node_could_not_send_a_rehearsal_cannot() -> None:
    with pytest.raises(Fault) as caught:
        Hall(2).channel(0).send(1, "x", np.zeros(3))
    assert caught.value.code == "wire.dtype"


def test_a_tap_reads_changes_and_drops() -> None:
    seen: list[str] = []

    def tap(passing: Frame) -> Frame | None:
        seen.append(passing.step)
        if passing.step == "lost":
            return None
        assert isinstance(passing.body, np.ndarray)
        return Frame(passing.kind, passing.stream, passing.source, passing.target, passing.sequence,
                     passing.step, passing.body + np.uint64(1))  # fmt: skip

    hall = Hall(2, tap=tap, patience=0.05)
    sender, reader = hall.channel(0), hall.channel(1)
    sender.send(1, "x", ARRAY)
    assert (reader.receive(0, "x", U64, (4,)) == ARRAY + np.uint64(1)).all()
    sender.send(1, "lost", ARRAY)
    with pytest.raises(Fault, match="sent nothing"):
        reader.receive(0, "lost", U64, (4,))
    with pytest.raises(Foul, match="out of order"):
        sender.send(1, "after", ARRAY)
    assert seen == ["x", "lost", "after"]


def test_one_roles_failure_reaches_the_whole_hall() -> None:
    hall = Hall(3)
    hall.fail(Refusal("gate.closed", "no"))
    for role in range(3):
        with pytest.raises(Refusal):
            hall.channel(role).receive((role + 1) % 3, "x", U64, (4,))
