"""What goes wrong on the way or at a peer: one clear error on every side, within seconds."""

from __future__ import annotations

import contextlib
import logging
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from transport_stage import (
    QUICK,
    ROLES,
    Proxy,
    Waiting,
    federation,
    new_stream,
    open_all,
    three,
)

from hanse.errors import Fault, Foul, HanseError, Refusal
from hanse.node.transport.exchange import Sent
from hanse.node.transport.streams import StreamEnds
from hanse.wire.codec import HEAD_BYTES, encode
from hanse.wire.message import Frame, Kind

U8 = np.dtype("u1")
WITHIN = 5.0


def encoded(frame: Frame) -> bytes:
    head, payload = encode(
        frame.kind, frame.stream, frame.source, frame.target, frame.sequence, frame.step, frame.body
    )
    return head + bytes(payload)


def all_fail(ends: list[StreamEnds], code: str, name: str) -> list[HanseError]:
    """Every role waits for another; each must get an error of this code that names ``name``."""
    waits = [
        Waiting(
            lambda role=role, one=one: one.channel(role).receive((role + 1) % 3, "never", U8, (1,))
        )
        for role, one in enumerate(ends)
    ]
    errors = [wait.ended(WITHIN) for wait in waits]
    for error in errors:
        assert error.code == code, str(error)
        assert name in str(error)
    return errors


class Meddler:
    """A tap that does something to the Nth array frame towards one party, once."""

    def __init__(self, party: str, change: Callable[[Frame], list[Sent]], nth: int = 1) -> None:
        self._party = party
        self._change = change
        self._left = nth

    def __call__(self, party: str, frame: Frame) -> list[Sent]:
        if party == self._party and frame.kind is Kind.ARRAY:
            self._left -= 1
            if self._left == 0:
                return self._change(frame)
        return [frame]


def run_meddled(
    folder: Path, change: Callable[[Frame], list[Sent]], code: str, nth: int = 2
) -> list[HanseError]:
    """ant sends three frames to bee, the Nth is meddled with; all three parties must fail."""
    with federation(folder) as nodes:
        ends = open_all(*three(nodes, ant=Meddler("bee", change, nth)))
        for _ in range(3):
            try:
                ends[0].channel(0).send(1, "x", np.arange(100, dtype=U8))
            except HanseError as error:
                assert error.code == code  # noqa: PT017
                break
        return all_fail(ends, code, "ant")


def changed(**fields: object) -> Callable[[Frame], list[Sent]]:
    def change(frame: Frame) -> list[Sent]:
        values = {name: getattr(frame, name) for name in Frame.__dataclass_fields__} | fields
        return [Frame(**values)]

    return change


def test_a_replayed_frame(tmp_path: Path) -> None:
    errors = run_meddled(tmp_path, lambda frame: [frame, frame], "wire.order")
    assert all("replayed" in error.message for error in errors)
    assert all(isinstance(error, Foul) for error in errors)


def test_a_skipped_frame(tmp_path: Path) -> None:
    errors = run_meddled(tmp_path, lambda _: [], "wire.order")
    assert all("out of order" in error.message for error in errors)


def test_a_frame_in_the_name_of_another_party(tmp_path: Path) -> None:
    run_meddled(tmp_path, changed(source=2), "wire.role")


def test_a_frame_for_a_role_that_is_elsewhere(tmp_path: Path) -> None:
    run_meddled(tmp_path, changed(target=2), "wire.role")


def test_a_frame_of_an_unknown_role(tmp_path: Path) -> None:
    run_meddled(tmp_path, changed(source=65535), "wire.role")


def test_an_oversized_frame_is_refused_before_it_is_read(tmp_path: Path) -> None:
    def huge(frame: Frame) -> list[Sent]:
        head = bytearray(encoded(frame))
        head[HEAD_BYTES - 8 : HEAD_BYTES] = struct.pack("<Q", 1 << 60)
        return [bytes(head)]

    run_meddled(tmp_path, huge, "wire.oversized")


def test_a_shape_that_does_not_fit_the_payload(tmp_path: Path) -> None:
    def reshaped(frame: Frame) -> list[Sent]:
        data = bytearray(encoded(frame))
        data[HEAD_BYTES : HEAD_BYTES + 8] = struct.pack("<Q", 101)
        return [bytes(data)]

    run_meddled(tmp_path, reshaped, "wire.shape")


def test_bytes_that_are_no_frame(tmp_path: Path) -> None:
    run_meddled(tmp_path, lambda _: [b"GET / HTTP/1.1\r\n" * 20], "wire.magic")


def test_a_truncated_frame_shows_at_the_next_one(tmp_path: Path) -> None:
    run_meddled(tmp_path, lambda frame: [encoded(frame)[:-10]], "wire.magic")


def test_a_document_within_a_stream(tmp_path: Path) -> None:
    run_meddled(tmp_path, changed(kind=Kind.DOCUMENT, body=b"{}"), "wire.kind")


def test_a_frame_cut_off_by_the_end_of_the_connection(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        bee = nodes.add("bee", knows=("ant",))
        assert bee.address is not None
        proxy = Proxy(bee.address)
        ant = nodes.add("ant", knows=("bee",), addresses={"bee": proxy.address})
        ant.wait_for("bee", 3)
        stream = new_stream()
        ends = [ex.open_stream(stream, ROLES[:2], [i]) for i, ex in enumerate((ant, bee))]
        waits = [
            Waiting(lambda: ends[0].channel(0).receive(1, "x", U8, (1,))),
            Waiting(lambda: ends[1].channel(1).receive(0, "x", U8, (1 << 20,))),
        ]
        ant.tap = lambda _party, frame: encoded(frame)[: 1 << 19]
        ends[0].channel(0).send(1, "x", np.zeros(1 << 20, U8))
        time.sleep(0.1)
        proxy.close()
        for wait, peer in zip(waits, ("bee", "ant"), strict=True):
            error = wait.ended(WITHIN)
            assert error.code == "peer.lost"
            assert f"'{peer}'" in error.message


def test_a_bit_flipped_on_the_way(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        bee = nodes.add("bee", knows=("ant", "cat"))
        assert bee.address is not None
        proxy = Proxy(bee.address)
        cat = nodes.add("cat", knows=("bee", "ant"))
        ant = nodes.add("ant", knows=("bee", "cat"), addresses={"bee": proxy.address})
        bee.wait_for("ant", 3)
        cat.wait_for("ant", 3)
        cat.wait_for("bee", 3)
        ends = open_all(ant, bee, cat)
        proxy.flip_next = True
        with contextlib.suppress(HanseError):  # the news may arrive while this is still sending
            ends[0].channel(0).send(1, "x", np.zeros(1 << 20, U8))
        errors = all_fail(ends, "link.tampered", "altered on the way")
        assert "'ant'" in errors[1].message
        assert "'bee'" in errors[0].message
        assert errors[2].where.startswith(("ant", "bee"))
        ant.wait_for("bee", 3)  # a new connection, and the next job can run
        proxy.close()


def test_an_abort_reaches_all_and_keeps_its_public_fields_only(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ends = open_all(*three(nodes))
        waits = [
            Waiting(lambda: ends[0].channel(0).receive(1, "x", U8, (1,))),
            Waiting(lambda: ends[2].channel(2).receive(0, "x", U8, (1,))),
        ]
        ends[1].abort(
            Refusal(
                "gate.budget",
                "the budget is spent",
                remedy="wait for the next period",
                where="exposures",
                detail="private",
            )
        )
        for wait in waits:
            error = wait.ended(within=2)
            assert isinstance(error, Refusal)
            assert error.code == "gate.budget"
            assert error.remedy == "wait for the next period"
            assert error.where == "bee: exposures"
            assert error.detail == ""
        with pytest.raises(Refusal):
            ends[1].channel(1).receive(0, "x", U8, (1,))
        with pytest.raises(Refusal):
            ends[0].channel(0).send(2, "x", np.zeros(1, U8))


def test_the_first_of_two_aborts_stays(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ends = open_all(*three(nodes))
        ends[0].abort(Fault("first", "one"))
        ends[0].abort(Fault("second", "two"))
        all_fail(ends, "first", "one")


def test_a_party_outside_a_stream_cannot_end_it(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ant, bee, cat = three(nodes)
        stream = new_stream()
        ends = [ex.open_stream(stream, ROLES[:2], [i]) for i, ex in enumerate((ant, bee))]
        outsider = cat.open_stream(stream, (*ROLES[:2], ("seat 2", "cat")), [2])
        outsider.abort(Fault("cat.says", "stop"))
        time.sleep(0.3)
        ends[0].channel(0).send(1, "x", np.ones(1, U8))
        ends[1].channel(1).receive(0, "x", U8, (1,))


def test_a_peer_that_is_ahead_is_heard_when_the_stream_opens(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ant, bee, _ = three(nodes)
        stream = new_stream()
        early = ant.open_stream(stream, ROLES, [0])
        for number in range(5):
            early.channel(0).send(1, f"step {number}", np.full(1000, number, U8))
        time.sleep(0.3)
        late = bee.open_stream(stream, ROLES, [1])
        early.channel(0).send(1, "step 5", np.full(1000, 5, U8))
        for number in range(6):
            got = late.channel(1).receive(0, f"step {number}", U8, (1000,))
            assert (got == number).all()


def test_an_abort_before_the_stream_opens_is_heard(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ant, bee, _ = three(nodes)
        stream = new_stream()
        ant.open_stream(stream, ROLES, [0]).abort(Fault("early.abort", "no"))
        time.sleep(0.3)
        late = bee.open_stream(stream, ROLES, [1])
        with pytest.raises(Fault) as fault:
            late.channel(1).receive(0, "x", U8, (1,))
        assert fault.value.code == "early.abort"


def test_a_stream_that_never_opens_ends_at_its_sender(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ant, bee, _ = three(nodes)
        stream = new_stream()
        ends = ant.open_stream(stream, ROLES, [0])
        wait = Waiting(lambda: ends.channel(0).receive(1, "x", U8, (1,)))
        ends.channel(0).send(1, "x", np.ones(1, U8))
        error = wait.ended(QUICK.early + 2)
        assert error.code == "stream.late"
        assert "'bee'" in error.message
        with pytest.raises(Fault) as fault:
            bee.open_stream(stream, ROLES, [1])
        assert fault.value.code == "stream.late"


def test_too_much_ahead_ends_the_stream_and_spares_the_link(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ant, bee, _ = three(nodes)
        ends = ant.open_stream(new_stream(), ROLES, [0])

        def flood() -> None:
            for _ in range(100):
                ends.channel(0).send(1, "x", np.zeros(4 << 20, U8))
            ends.channel(0).receive(1, "x", U8, (1,))

        error = Waiting(flood).ended(WITHIN)
        assert error.code == "stream.late"
        bee.on_request(lambda _party, _document: {"alive": True})
        assert ant.request("bee", {}) == {"alive": True}


def test_a_stream_id_is_used_once(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ant, _, _ = three(nodes)
        stream = new_stream()
        ant.open_stream(stream, ROLES, [0]).close()
        with pytest.raises(Refusal) as refusal:
            ant.open_stream(stream, ROLES, [0])
        assert refusal.value.code == "stream.reused"


def test_frames_for_a_closed_stream_are_ignored(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ant, bee, cat = three(nodes)
        ends = open_all(ant, bee, cat)
        ends[1].close()
        ends[0].channel(0).send(1, "x", np.ones(1000, U8))
        ends[0].channel(0).send(2, "x", np.ones(1, U8))
        ends[2].channel(2).receive(0, "x", U8, (1,))
        with pytest.raises(Fault) as fault:
            ends[1].channel(1).receive(0, "x", U8, (1000,))
        assert fault.value.code == "stream.closed"
        assert ends[0].error is None


def test_the_memory_limit_ends_the_stream_that_goes_over_it(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        bee = nodes.add("bee", knows=("ant",), memory=10 << 20)
        ant = nodes.add("ant", knows=("bee",))
        ant.wait_for("bee", 3)
        bee.on_request(lambda _party, _document: {"alive": True})

        def pair() -> tuple[StreamEnds, StreamEnds]:
            stream = new_stream()
            return ant.open_stream(stream, ROLES[:2], [0]), bee.open_stream(stream, ROLES[:2], [1])

        here, there = pair()
        for _ in range(30):  # what is taken gives its memory back
            here.channel(0).send(1, "x", np.zeros(4 << 20, U8))
            there.channel(1).receive(0, "x", U8, (4 << 20,))
        for _ in range(3):
            here.channel(0).send(1, "x", np.zeros(4 << 20, U8))
        wait = Waiting(lambda: here.channel(0).receive(1, "x", U8, (1,)))
        error = wait.ended(WITHIN)
        assert error.code == "node.memory"
        assert error.where.startswith("bee")
        assert "limits.memory" in error.remedy
        there.close()
        here, there = pair()  # the failed stream's memory is free again
        here.channel(0).send(1, "x", np.zeros(8 << 20, U8))
        there.channel(1).receive(0, "x", U8, (8 << 20,))


def test_a_tap_that_raises_fails_the_sender_and_tells_the_others(tmp_path: Path) -> None:
    def broken(_frame: Frame) -> list[Sent]:
        raise Fault("test.injected", "injected")

    with federation(tmp_path) as nodes:
        ends = open_all(*three(nodes, ant=Meddler("bee", broken)))
        with pytest.raises(Fault) as fault:
            ends[0].channel(0).send(1, "x", np.ones(1, U8))
        assert fault.value.code == "test.injected"
        all_fail(ends, "test.injected", "injected")


def test_a_value_that_may_not_be_sent_is_refused_at_home(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ends = open_all(*three(nodes))
        with pytest.raises(Fault) as fault:
            ends[0].channel(0).send(1, "x", np.ones(1, np.float64))
        assert fault.value.code == "wire.dtype"


def test_logs_hold_no_values(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="hanse")
    secret = b"\xabsecretsecret"
    with federation(tmp_path) as nodes:
        ends = open_all(*three(nodes))
        ends[0].channel(0).send(1, "x", np.frombuffer(secret, dtype=U8))
        ends[1].abort(Fault("test.end", "over", detail="detail-secret"))
        all_fail(ends, "test.end", "over")
    assert caplog.records
    assert "secret" not in caplog.text
    assert all(record.name.startswith("hanse.node.") for record in caplog.records)
