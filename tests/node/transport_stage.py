"""Nodes with real sockets on this machine, for the transport's tests."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from hanse.clock import Clock, SystemClock
from hanse.entropy import SystemEntropy
from hanse.errors import HanseError
from hanse.node.identity.keys import Identity, create_identity
from hanse.node.identity.partners import Directory, Partner
from hanse.node.transport.exchange import Exchange, Tap
from hanse.node.transport.streams import StreamEnds
from hanse.node.transport.timing import Timing

QUICK = Timing(
    heartbeat=0.25,
    lost_after=1.6,
    connect=1.2,
    retry_first=0.05,
    retry_most=0.5,
    fallback=0.6,
    early=1.0,
    linger=0.5,
)
_numbers = itertools.count()


def make_identity(
    folder: Path, party: str, *, clock: Clock | None = None, days: float = 30.0
) -> Identity:
    """Fresh keys for ``party`` in a folder of their own."""
    return create_identity(
        folder / f"{party}-{next(_numbers)}",
        party,
        f"{party} (test)",
        clock=clock or SystemClock(),
        entropy=SystemEntropy(),
        validity=timedelta(days=days),
    )


class Federation:
    """Exchanges that know each other; a node is started when it is added."""

    def __init__(self, folder: Path, timing: Timing = QUICK) -> None:
        self.folder = folder
        self.timing = timing
        self.identities: dict[str, Identity] = {}
        self.exchanges: dict[str, Exchange] = {}

    def identity(self, party: str) -> Identity:
        if party not in self.identities:
            self.identities[party] = make_identity(self.folder, party)
        return self.identities[party]

    def add(
        self,
        party: str,
        *,
        knows: tuple[str, ...],
        listens: bool = True,
        tap: Tap | None = None,
        clock: Clock | None = None,
        addresses: dict[str, tuple[str, int] | None] | None = None,
        memory: int = 1 << 30,
    ) -> Exchange:
        """Start a node that knows the named parties; listening ones must have been added before."""
        directory = Directory()
        for name in knows:
            known = self.exchanges.get(name)
            address = known.address if known is not None else None
            if addresses is not None and name in addresses:
                address = addresses[name]
            directory.put(Partner(self.identity(name).card, address))
        exchange = Exchange(
            self.identity(party),
            directory,
            listen=("127.0.0.1", 0) if listens else None,
            timing=self.timing,
            clock=clock,
            tap=tap,
            memory=memory,
        )
        self.exchanges[party] = exchange
        exchange.start()
        return exchange

    def close(self) -> None:
        for exchange in self.exchanges.values():
            exchange.close()


@contextlib.contextmanager
def federation(folder: Path, timing: Timing = QUICK) -> Iterator[Federation]:
    """A `Federation` that is closed at the end."""
    made = Federation(folder, timing)
    try:
        yield made
    finally:
        made.close()


def new_stream() -> bytes:
    """A stream id that no test used before."""
    return secrets.token_bytes(16)


class ShiftedClock(SystemClock):
    """The machine's clock, with another date."""

    def __init__(self, shift: timedelta) -> None:
        self._shift = shift

    def now(self) -> datetime:
        return super().now() + self._shift


def three(folder_of: Federation, **taps: Tap) -> tuple[Exchange, Exchange, Exchange]:
    """Linked nodes "ant", "bee" and "cat", which all listen; taps by party."""
    names = ("cat", "bee", "ant")  # the smaller name dials, so the larger starts first
    for name in names:
        others = tuple(other for other in names if other != name)
        folder_of.add(name, knows=others, tap=taps.get(name))
    ant, bee, cat = (folder_of.exchanges[name] for name in ("ant", "bee", "cat"))
    ant.wait_for("bee", 5)
    ant.wait_for("cat", 5)
    bee.wait_for("cat", 5)
    bee.wait_for("ant", 5)
    cat.wait_for("ant", 5)
    cat.wait_for("bee", 5)
    return ant, bee, cat


ROLES = (("seat 0", "ant"), ("seat 1", "bee"), ("seat 2", "cat"))


def open_all(*exchanges: Exchange) -> list[StreamEnds]:
    """One stream over nodes that hold one seat of `ROLES` each, in order."""
    stream = new_stream()
    return [one.open_stream(stream, ROLES, [role]) for role, one in enumerate(exchanges)]


class Waiting:
    """A call on a thread of its own, and how it ended."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.error: BaseException | None = None
        self.value: object = None
        self.seconds = 0.0

        def run() -> None:
            started = time.monotonic()
            try:
                self.value = function()
            except BaseException as error:
                self.error = error
            self.seconds = time.monotonic() - started

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def ended(self, within: float) -> HanseError:
        """The `HanseError` that the call must raise within so many seconds."""
        self._thread.join(within)
        if self._thread.is_alive():
            raise AssertionError(f"still waiting after {within:g} s")
        if not isinstance(self.error, HanseError):
            raise AssertionError(f"ended with {self.error!r}, {self.value!r}")
        return self.error


class Proxy:
    """A TCP relay in front of a node: it can flip a bit, or go silent without closing."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.flip_next = False  # towards the target
        self.held = False
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = [self._listening]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._listening.getsockname()
        return str(host), int(port)

    def close(self) -> None:
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(self._target)
                self._sockets += [near, far]
                for source, sink, forth in ((near, far, True), (far, near, False)):
                    threading.Thread(
                        target=self._relay, args=(source, sink, forth), daemon=True
                    ).start()

    def _relay(self, source: socket.socket, sink: socket.socket, forth: bool) -> None:
        with contextlib.suppress(OSError):
            while data := bytearray(source.recv(1 << 16)):
                while self.held:
                    time.sleep(0.01)
                if forth and self.flip_next and len(data) > 100:
                    data[50] ^= 1
                    self.flip_next = False
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
