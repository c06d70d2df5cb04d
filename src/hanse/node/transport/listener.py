"""A node's one open port: accepts connections, greets each in a thread of its own."""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from hanse.clock import Clock
from hanse.errors import Fault, HanseError
from hanse.node.transport.connection import tune
from hanse.node.transport.greeting import Greeter, Met, NotMet
from hanse.node.transport.threads import Threads

_log = logging.getLogger("hanse.node.transport.listener")
# Strangers may connect: so many greetings run at a time, the rest is hung up on.
_MAX_GREETINGS = 32
_KEPT_REFUSALS = 100


@dataclass(frozen=True, slots=True)
class Refused:
    """A connection that was not accepted: when, from which address, and why."""

    at: datetime
    address: str
    error: HanseError


class Listener:
    """``greeted(met)`` is called on the connection's own thread and keeps it until the end;
    ``refused(why)`` is called when a greeting fails."""

    def __init__(
        self,
        where: tuple[str, int],
        greeter: Greeter,
        clock: Clock,
        *,
        greeted: Callable[[Met], None],
        refused: Callable[[NotMet], None],
    ) -> None:
        self._where = where
        self._greeter = greeter
        self._clock = clock
        self._greeted = greeted
        self._refused = refused
        self._socket: socket.socket | None = None
        self._free = threading.BoundedSemaphore(_MAX_GREETINGS)
        self._refusals: deque[Refused] = deque(maxlen=_KEPT_REFUSALS)
        self._threads = Threads()
        self._lock = threading.Lock()
        self._closing = False

    def start(self) -> None:
        """Bind and accept. Raises `Fault` ``node.port``."""
        host, port = self._where
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            family, kind, protocol, _, address = found[0]
            listening = socket.socket(family, kind, protocol)
            try:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tune(listening)
                listening.bind(address)
                listening.listen(_MAX_GREETINGS)
                listening.setblocking(False)
            except OSError:
                listening.close()
                raise
        except OSError as error:
            raise Fault(
                "node.port",
                f"the node cannot listen on {host}:{port}: {error.strerror or error}",
                remedy="stop what uses that port, or change listen in hanse.toml",
                where=f"{host}:{port}",
            ) from error
        self._socket = listening
        self._threads.spawn(lambda: self._accept(listening), "accept")

    @property
    def address(self) -> tuple[str, int] | None:
        """Where it listens, once started."""
        if self._socket is None:
            return None
        host, port = self._socket.getsockname()[:2]
        return str(host), int(port)

    def refusals(self) -> list[Refused]:
        """The latest refused connections, oldest first."""
        with self._lock:
            return list(self._refusals)

    def close(self) -> None:
        """Stop accepting; connections that were greeted go on."""
        self._closing = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # Wakes the accepting thread on systems where a close would not.
                self._socket.shutdown(socket.SHUT_RDWR)

    def join(self, patience: float) -> None:
        """Wait for the threads to end, up to ``patience`` seconds each."""
        self._threads.join(patience)

    def _accept(self, listening: socket.socket) -> None:
        poll = select.poll()
        poll.register(listening.fileno(), select.POLLIN)
        with listening:
            while not self._closing:
                poll.poll(1000)
                with contextlib.suppress(OSError):
                    plain, address = listening.accept()
                    self._greet(plain, f"{address[0]}:{address[1]}")

    def _greet(self, plain: socket.socket, address: str) -> None:
        if self._closing or not self._free.acquire(blocking=False):
            plain.close()
            return

        def greet() -> None:
            try:
                plain.setblocking(True)
                met = self._greeter.answer(plain)
            finally:
                self._free.release()
            if isinstance(met, Met):
                self._greeted(met)
            elif met.error.code != "link.duplicate":
                self._note(address, met)

        self._threads.spawn(greet, "peer")

    def _note(self, address: str, refused: NotMet) -> None:
        with self._lock:
            last = self._refusals[-1].error.message if self._refusals else ""
            if last != refused.error.message:
                _log.warning("refused a connection from %s: %s", address, refused.error)
            self._refusals.append(Refused(self._clock.now(), address, refused.error))
        self._refused(refused)
