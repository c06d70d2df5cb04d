"""The node's own door: a Unix socket in its folder through which its command line speaks to it.

Only the owner of the folder can open it. One JSON line asks; the answers are JSON lines: any number of
``{"progress": ...}``, then ``{"result": ...}`` or ``{"error": ...}``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hanse.errors import Fault, HanseError, Refusal, from_public

_log = logging.getLogger("hanse.node.control")
_LONGEST_PATH = 100  # the system's limit for a socket's path is 107 bytes
_MOST_LINE_BYTES = 4 << 20
Document = dict[str, Any]
Tell = Callable[[Document], None]
Handler = Callable[[Document, Tell], Document]


def socket_path(data_folder: Path) -> Path:
    """Where the socket is: in the data folder, or, if that path is too long, in a private temporary one."""
    path = data_folder / "control.sock"
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        return path
    name = hashlib.sha256(os.fsencode(data_folder.absolute())).hexdigest()[:20]
    return Path(tempfile.gettempdir()) / f"hanse-{os.getuid()}" / f"{name}.sock"


class ControlServer:
    """Answers the command line; one thread per connection."""

    def __init__(self, path: Path, handler: Handler) -> None:
        self._path = path
        self._handler = handler
        self._socket: socket.socket | None = None

    def start(self) -> None:
        """Open the socket. `Fault` ``node.running`` if another process of this folder has it open."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._path.exists():
            if _alive(self._path):
                raise Fault("node.running", "this node is running already",
                            remedy="stop it with 'hanse node stop' first", where=str(self._path))  # fmt: skip
            self._path.unlink()
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            server.bind(str(self._path))
        finally:
            os.umask(before)
        server.listen(16)
        self._socket = server
        threading.Thread(
            target=self._accept, args=(server,), name="hanse-control", daemon=True
        ).start()

    def close(self) -> None:
        """Close and remove the socket."""
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._path.unlink(missing_ok=True)
            self._socket = None

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rwb") as stream:

            def tell(document: Document) -> None:
                stream.write(json.dumps(document).encode() + b"\n")
                stream.flush()

            try:
                document = json.loads(stream.readline(_MOST_LINE_BYTES))
            except (OSError, ValueError):
                return  # a probe, or a client that is gone
            try:
                answer = {"result": self._handler(document, tell)}
            except HanseError as error:
                answer = {"error": error.public()}
            except OSError as error:
                # Either the client went away, and nobody reads the answer, or it is the node's trouble.
                answer = {"error": Fault("node.system", f"the node's system failed: {error.strerror}",
                                         remedy="see the node's log").public()}  # fmt: skip
            except Exception as error:
                # The text of an unexpected error may hold private values: only its place is logged.
                _log.error("a command failed: %s in %s", type(error).__name__, _place_of(error))
                answer = {"error": Fault("node.internal", f"the node failed: {type(error).__name__}",
                                         remedy="see the node's log").public()}  # fmt: skip
            with contextlib.suppress(OSError):
                tell(answer)


def _place_of(error: Exception) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace is not None else "?"


def _alive(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def ask_node(
    data_folder: Path, document: Document, on_progress: Tell = lambda _document: None
) -> Document:
    """Ask the running node of this folder. `Refusal` ``node.stopped`` if it does not run."""
    path = socket_path(data_folder)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        try:
            client.connect(str(path))
        except OSError as error:
            raise Refusal(
                "node.stopped",
                "the node of this folder does not run",
                remedy="start it with 'hanse node start'",
                where=str(data_folder),
            ) from error
        with client.makefile("rwb") as stream:
            stream.write(json.dumps(document).encode() + b"\n")
            stream.flush()
            for line in stream:
                answer = json.loads(line)
                if "progress" in answer:
                    on_progress(answer["progress"])
                elif "error" in answer:
                    raise from_public(answer["error"])
                else:
                    result: Document = answer["result"]
                    return result
    raise Fault("node.stopped", "the node stopped before it answered", remedy="see its log")
