"""Webhooks: signed, in order, tried again, nothing lost."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest
from serving_stage import ABOUT, figures

from hanse.client import check_signature
from hanse.clock import ManualClock
from hanse.entropy import SystemEntropy
from hanse.errors import Refusal
from hanse.node.storage.database import open_sqlite
from hanse.node.storage.store import Store
from hanse.serving.webhooks import SIGNATURE, Courier


class Receiver:
    """A system that takes deliveries, or refuses them."""

    def __init__(self) -> None:
        self.status = 200
        self.got: list[tuple[dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.got.append((dict(self.headers), body))
                self.send_response(outer.status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(open_sqlite(tmp_path))
    made.publications.publish("crowd", ABOUT, figures(), NOW)
    yield made
    made.close()


NOW = datetime.now(UTC)


def test_changes_are_delivered_signed_and_once(store: Store, receiver: Receiver) -> None:
    clock = ManualClock(NOW)
    hook = store.webhooks.add("daily", "analytics", receiver.url, "crowd", SystemEntropy(), NOW)
    courier = Courier(store, clock)
    with httpx2.Client() as client:
        courier.deliver(client, hook)
        assert receiver.got == []  # only what changes from now on
        store.publications.publish("crowd", ABOUT, figures(more=2.0), NOW)
        hook = courier.deliver(client, hook)
        courier.deliver(client, store.webhooks.all()[0])
    ((headers, body),) = receiver.got
    late = {"patience": 3600.0}  # this clock stands still since the tests were collected
    assert check_signature(hook.secret, headers[SIGNATURE], body, **late)
    assert not check_signature(hook.secret, headers[SIGNATURE], body + b" ", **late)
    assert not check_signature("another", headers[SIGNATURE], body, **late)
    assert not check_signature(hook.secret, headers[SIGNATURE].replace("t=", "t=1"), body, **late)
    assert not check_signature(hook.secret, headers[SIGNATURE], body, patience=-1.0)
    said = json.loads(body)
    assert [c["number"] for c in said["changes"]] == list(range(16, 28))
    assert store.webhooks.all()[0].sent == 27


@pytest.mark.parametrize("status", [500, 404, 302])
def test_a_refused_delivery_waits_longer_each_time_and_comes_later(
    store: Store, receiver: Receiver, status: int
) -> None:
    clock = ManualClock(NOW)
    receiver.status = status
    hook = store.webhooks.add("daily", "analytics", receiver.url, "crowd", SystemEntropy(), NOW)
    store.publications.publish("crowd", ABOUT, figures(more=2.0), NOW)
    courier = Courier(store, clock)
    waits = []
    with httpx2.Client(follow_redirects=False) as client:
        for _ in range(3):
            hook = courier.deliver(client, hook)
            waits.append((hook.due - clock.now()).total_seconds())
            courier.deliver(client, hook)  # not due yet: nothing is sent
            clock.advance(hook.due - clock.now())
        assert waits == [10, 20, 40]
        assert len(receiver.got) == 3
        assert str(status) in store.webhooks.all()[0].problem
        receiver.status = 204
        hook = courier.deliver(client, hook)
    assert (hook.tries, hook.problem, hook.sent) == (0, "", 27)


def test_an_address_that_is_gone_is_a_problem_told_without_an_end(store: Store) -> None:
    clock = ManualClock(NOW)
    hook = store.webhooks.add(
        "gone", "analytics", "http://127.0.0.1:9/x", "crowd", SystemEntropy(), NOW
    )
    store.publications.publish("crowd", ABOUT, figures(more=2.0), NOW)
    with httpx2.Client() as client:
        for _ in range(12):
            hook = Courier(store, clock).deliver(client, hook)
            clock.advance(hook.due - clock.now())
    assert "could not be reached" in hook.problem
    assert hook.failed("again", clock.now()).due - clock.now() == timedelta(hours=1)


@pytest.mark.parametrize(
    "url",
    ["http://example.com/x", "ftp://127.0.0.1/x", "https://", "https://user:pass@example.com/", "file:///etc/passwd",
     "https://example.com:99999/", "nonsense"],
)  # fmt: skip
def test_only_addresses_that_can_be_trusted_to_arrive(store: Store, url: str) -> None:
    with pytest.raises(Refusal) as refusal:
        store.webhooks.add("bad", "analytics", url, "crowd", SystemEntropy(), NOW)
    assert refusal.value.code == "webhook.url"


def test_the_courier_delivers_by_itself(store: Store, receiver: Receiver) -> None:
    from hanse.clock import SystemClock

    store.webhooks.add("daily", "analytics", receiver.url, "crowd", SystemEntropy(), NOW)
    courier = Courier(store, SystemClock())
    courier.start()
    store.publications.publish("crowd", ABOUT, figures(more=3.0), SystemClock().now())
    for _ in range(80):
        if receiver.got:
            break
        threading.Event().wait(0.1)
    courier.close()
    assert len(receiver.got) == 1
