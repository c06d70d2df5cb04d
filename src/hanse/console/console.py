"""The console of one node, started beside its process or inside it.

console = Console(node.office, node.config.folder)    # inside the running node's process
console.start()                                       # a thread; `console.address` says where
console.stop()

with serving(folder) as console: ...                  # beside a node that runs, or does not
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from hanse.clock import Clock
from hanse.console.app import make_app
from hanse.console.desk import Desk
from hanse.console.hardening import Hardening
from hanse.console.settings import Settings
from hanse.errors import Fault
from hanse.node.faces import facade
from hanse.node.faces.users import NodeOffice, UserDesk

_log = logging.getLogger("hanse.console")
_START_SECONDS = 10.0


class Console:
    """A web server over a node's office. ``folder`` is the node's: through it the running node is asked."""

    def __init__(
        self, office: NodeOffice, folder: Path | None = None, settings: Settings | None = None,
        clock: Clock | None = None, users: UserDesk | None = None,
    ) -> None:  # fmt: skip
        self.settings = settings or Settings()
        self.desk = Desk(office, folder, self.settings, clock, users)
        self.routes = make_app(self.desk)
        self.app: ASGIApp = Hardening(self.routes, self.settings)
        self.address: tuple[str, int] | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where a browser finds it, once it is started."""
        host, port = self.address or (self.settings.host, self.settings.port)
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self.settings.certificate else 'http'}://{shown}:{port}"

    def start(self) -> None:
        """Serve in a thread. Raises `Fault` ``console.port`` or ``console.start``."""
        bound = self._bind()
        self.address = (self.settings.host, int(bound.getsockname()[1]))
        server = self._server = uvicorn.Server(self._config())
        self._thread = threading.Thread(
            target=lambda: server.run(sockets=[bound]), name="hanse-console", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise Fault("console.start", "the console did not start", remedy="see the log",
                            where=self.url)  # fmt: skip
            time.sleep(0.01)
        # The budgets' books are read once; the first page should not wait for a long ledger.
        threading.Thread(target=self._warm, name="hanse-console-warm", daemon=True).start()
        _log.info("the console of %s is at %s", self.desk.party, self.url)

    def wait(self) -> None:
        """Stay until it is stopped."""
        while self._thread is not None and self._thread.is_alive():
            self._thread.join(0.5)

    def stop(self) -> None:
        """Stop serving. Idempotent."""
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(_START_SECONDS)
        self._server = self._thread = None

    def _bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.settings.host else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((self.settings.host, self.settings.port))
        except OSError as error:
            bound.close()
            raise Fault("console.port", f"the console cannot listen: {error.strerror}",
                        remedy="choose another --port, or stop what listens there",
                        where=f"{self.settings.host}:{self.settings.port}") from error  # fmt: skip
        return bound

    def _config(self) -> uvicorn.Config:
        s = self.settings
        return uvicorn.Config(
            self.app, log_config=None, access_log=False, server_header=False, proxy_headers=False,
            lifespan="off", timeout_graceful_shutdown=3, h11_max_incomplete_event_size=64 << 10,
            ssl_certfile=str(s.certificate) if s.certificate else None,
            ssl_keyfile=str(s.key) if s.key else None,
        )  # fmt: skip

    def _warm(self) -> None:
        try:
            self.desk.office.spend.open_jobs()
        except Exception as error:  # the page that needs it will say so
            _log.warning("the ledger could not be read ahead: %s", type(error).__name__)


@contextlib.contextmanager
def serving(folder: Path, settings: Settings | None = None) -> Iterator[Console]:
    """The console of the node in ``folder``, which may run or not, until the block is left."""
    with facade.office_of(folder) as office:
        console = Console(office, folder, settings)
        console.start()
        try:
            yield console
        finally:
            console.stop()
