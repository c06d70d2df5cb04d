"""Requests and answers between nodes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from transport_stage import Waiting, federation, three

from hanse.errors import Fault, Foul, HanseError, Refusal
from hanse.node.transport.exchange import Sent
from hanse.node.transport.requests import Document
from hanse.wire.message import Frame


def test_a_request_is_answered(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ant, bee, cat = three(nodes)
        bee.on_request(lambda party, document: {"you": party, "said": document})
        assert ant.request("bee", {"n": [1, "\u00e9"]}) == {
            "you": "ant",
            "said": {"n": [1, "\u00e9"]},
        }
        assert cat.request("bee", {})["you"] == "cat"
        assert bee.request("bee", {"x": 1})["you"] == "bee"


def test_many_requests_both_ways_at_once(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ant, bee, _ = three(nodes)
        for node in (ant, bee):
            node.on_request(lambda _party, document: {"twice": document["n"] * 2})
        results: list[bool] = []

        def ask(node_number: int) -> None:
            node, peer = ((ant, "bee"), (bee, "ant"))[node_number % 2]
            results.extend(node.request(peer, {"n": n})["twice"] == 2 * n for n in range(50))

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results == [True] * 400


def test_a_slow_handler_holds_up_neither_link_nor_other_requests(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ant, bee, _ = three(nodes)
        release = threading.Event()

        def handle(_party: str, document: Document) -> Document:
            if document.get("slow"):
                release.wait(10)
            return {"done": True}

        bee.on_request(handle)
        slow = Waiting(lambda: ant.request("bee", {"slow": True}))
        assert ant.request("bee", {}) == {"done": True}
        with pytest.raises(Fault) as fault:
            ant.request("bee", {"slow": True}, patience=0.2)
        assert fault.value.code == "peer.silent"
        release.set()
        slow._thread.join(3)
        assert slow.value == {"done": True}


def test_the_peers_error_is_raised_here_with_its_public_fields(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ant, bee, _ = three(nodes)

        def refuse(_party: str, _document: Document) -> Document:
            raise Refusal("gate.no", "no", remedy="ask otherwise", where="reach", detail="private")

        bee.on_request(refuse)
        with pytest.raises(Refusal) as refusal:
            ant.request("bee", {})
        error = refusal.value
        assert (error.code, error.remedy, error.where) == ("gate.no", "ask otherwise", "bee: reach")
        assert error.detail == ""


def test_an_unexpected_error_of_a_handler_tells_nothing_private(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with federation(tmp_path) as nodes:
        ant, bee, _ = three(nodes)

        def broken(_party: str, _document: Document) -> Document:
            raise KeyError("private-value")

        bee.on_request(broken)
        with pytest.raises(Fault) as fault:
            ant.request("bee", {})
        assert fault.value.code == "node.internal"
        assert "private-value" not in str(fault.value)
        assert "private-value" not in caplog.text
        assert "KeyError in" in caplog.text


def test_without_a_handler_the_node_is_not_ready(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ant, _, _ = three(nodes)
        with pytest.raises(Fault) as fault:
            ant.request("bee", {})
        assert fault.value.code == "node.not-ready"


def test_a_lost_peer_ends_the_wait_for_its_answer(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ant, bee, _ = three(nodes)
        release = threading.Event()

        def handle(_party: str, _document: Document) -> Document:
            release.wait(10)
            return {}

        bee.on_request(handle)
        wait = Waiting(lambda: ant.request("bee", {}))
        while not bee._requests.busy("ant"):
            pass
        closing = threading.Thread(target=bee.close)
        closing.start()
        error = wait.ended(within=3)
        assert error.code == "peer.lost"
        release.set()
        closing.join()


@pytest.mark.parametrize("document", [{"x": float("nan")}, {"x": b"bytes"}, {"x": {1, 2}}])
def test_what_json_cannot_say_is_refused_at_home(tmp_path: Path, document: Document) -> None:
    with federation(tmp_path) as nodes:
        ant = nodes.add("ant", knows=())
        with pytest.raises(Fault) as fault:
            ant.request("ant", document)
        assert fault.value.code == "wire.document"


def test_a_document_over_the_limit_is_refused_at_home(tmp_path: Path) -> None:
    with federation(tmp_path) as nodes:
        ant, _, _ = three(nodes)
        with pytest.raises(Fault) as fault:
            ant.request("bee", {"x": "y" * (17 << 20)})
        assert fault.value.code == "wire.oversized"


def meddled(tmp_path: Path, change: object) -> HanseError:
    """What a request ends with when the frames that carry it are changed on their way."""

    def tap(_party: str, frame: Frame) -> list[Sent]:
        assert callable(change)
        result: list[Sent] = change(frame)
        return result

    ended = threading.Event()

    def held(_party: str, _document: Document) -> Document:
        # No answer before the meddling is noticed: an answered request has nothing left to end.
        ended.wait(10)
        return {}

    with federation(tmp_path) as nodes:
        ant, bee, _ = three(nodes)
        bee.on_request(lambda _party, _document: {})
        ant.request("bee", {})
        bee.on_request(held)
        ant.tap = tap
        try:
            return Waiting(lambda: ant.request("bee", {})).ended(within=5)
        finally:
            ended.set()


def test_a_replayed_request_ends_the_link(tmp_path: Path) -> None:
    error = meddled(tmp_path, lambda frame: [frame, frame])
    assert isinstance(error, Foul)
    assert error.code == "wire.order"
    assert "replayed" in error.message


def test_an_unknown_control_message_ends_the_link(tmp_path: Path) -> None:
    error = meddled(
        tmp_path,
        lambda f: [Frame(f.kind, f.stream, 0, 0, f.sequence, "surprise", f.body)],
    )
    assert error.code == "wire.step"


def test_a_request_that_is_no_json_is_answered_with_an_error(tmp_path: Path) -> None:
    error = meddled(tmp_path, lambda f: [Frame(f.kind, f.stream, 0, 0, f.sequence, f.step, b"[1,")])
    assert error.code == "wire.document"
