"""Node processes that die when they are told to, forked from one process that has loaded everything.

As a program it reads one JSON command a line and answers one line: ``{"start": folder, "log": file}`` forks a
node and says its process id, ``{"reap": process}`` waits for its end. A node that gets SIGUSR1 reads its orders
from ``orders.json`` in its folder and counts its outgoing messages from then on.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fault_federation import LINKED, Federation, until

from hanse.errors import HanseError
from hanse.node.control import ask_node
from hanse.wire.codec import encode
from hanse.wire.message import Frame

PATIENCE = 15.0
NEVER_ENDED = -1
ORDERS, ARMED = "orders.json", "armed"
Document = dict[str, Any]


class Mortal:
    """A tap that kills its own process: instead of, or in the middle of, the Nth message.

    Orders: ``at`` (the number of a message, counted from 1), or ``step`` (the first message of that step);
    with ``half`` the message's first half is sent, with ``freeze`` the process stops instead of dying. Without
    either it only counts.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._orders: Document = {}
        self._lock = threading.Lock()
        self._dying = False
        self.sent = 0

    def arm(self, *_: object) -> None:
        """Take the orders, and say how many messages were sent since the last ones."""
        self._orders = json.loads((self._folder / ORDERS).read_text())
        counted, self.sent = self.sent, 0
        draft = self._folder / f".{ARMED}"
        draft.write_text(str(counted))
        draft.rename(self._folder / ARMED)

    def __call__(self, _party: str, frame: Frame) -> Sequence[Frame | bytes]:
        if self._dying:
            time.sleep(PATIENCE)  # nothing may follow half a frame
        orders = self._orders
        if orders:
            with self._lock:
                self.sent += 1
                its_turn = self.sent == orders.get("at") or frame.step == orders.get("step")
            if its_turn:
                self._orders = {}
                if not orders.get("half"):
                    os.kill(os.getpid(), signal.SIGSTOP if orders.get("freeze") else signal.SIGKILL)
                    return [frame]
                head, payload = encode(
                    frame.kind, frame.stream, frame.source, frame.target, frame.sequence,
                    frame.step, frame.body,
                )  # fmt: skip
                whole = head + bytes(payload)
                self._dying = True
                threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGKILL)).start()
                return [whole[: len(whole) // 2]]
        return [frame]


def _live(folder: Path, log: Path) -> None:
    """A node's whole life, in a process of its own."""
    from hanse.node.daemon import Node

    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    from hanse.cli.node_log import start_log

    start_log("debug")
    mortal = Mortal(folder)
    signal.signal(signal.SIGUSR1, mortal.arm)
    Node(folder, tap=mortal).run()


def _serve() -> None:
    import hanse.node.daemon  # noqa: F401 (what is loaded here, the forks need not load)
    from hanse.engine.warm import warm_up

    warm_up()
    children: set[int] = set()
    for line in sys.stdin:
        command = json.loads(line)
        if "start" in command:
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    _live(Path(command["start"]), Path(command["log"]))
                    code = 0
                finally:
                    os._exit(code)
            children.add(child)
            answer = child
        else:
            children.discard(command["reap"])
            answer = _reaped(command["reap"])
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()
    for child in children:  # whoever asked for them is gone
        os.kill(child, signal.SIGKILL)


def _reaped(process: int) -> int:
    """The signal that ended a process: SIGKILL after `PATIENCE` seconds if it would not end by itself."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return NEVER_ENDED


class Nursery:
    """The other end of the program: starts the members' nodes as processes."""

    def __init__(self, federation: Federation) -> None:
        self.federation = federation
        self.processes: dict[str, int] = {}
        here = Path(__file__).resolve()
        self._program = subprocess.Popen(  # noqa: S603 (our own interpreter and file)
            [sys.executable, str(here)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(here.parents[1])},  # where node_stage is
        )  # fmt: skip

    def _command(self, **command: Any) -> int:
        if self._program.stdin is None or self._program.stdout is None:
            raise AssertionError("the nursery has no pipes")
        self._program.stdin.write(json.dumps(command) + "\n")
        self._program.stdin.flush()
        return int(self._program.stdout.readline())

    def start(self, *names: str) -> None:
        """Start these nodes and wait until all nodes are linked."""
        for name in names:
            member = self.federation[name]
            log = member.folder / "node.log"
            self.processes[name] = self._command(start=str(member.folder), log=str(log))
        self.wait_linked()

    def wait_linked(self) -> None:
        """Wait until all nodes are linked with each other."""
        for name in self.processes:
            until(lambda name=name: self._is_linked(name), LINKED, f"linked: {name}")

    def _is_linked(self, name: str) -> bool:
        try:
            links = self.ask(name, {"verb": "status"})["links"]
        except HanseError:
            return False
        others = set(self.processes) - {name}
        return others <= {link["party"] for link in links if link["connected"]}

    def arm(self, name: str, **orders: Any) -> None:
        """Give a node its orders; it counts from now on."""
        folder = self.federation[name].folder
        (folder / ARMED).unlink(missing_ok=True)
        (folder / ORDERS).write_text(json.dumps(orders))
        os.kill(self.processes[name], signal.SIGUSR1)
        until((folder / ARMED).exists, 5, f"armed: {name}")

    def counted(self, name: str) -> int:
        """How many messages a node has sent since its last orders."""
        self.arm(name)
        return int((self.federation[name].folder / ARMED).read_text())

    def reap(self, name: str) -> int:
        """Wait until the node's process has ended; the signal that ended it, 0 if it left by itself."""
        return self._command(reap=self.processes.pop(name))

    def ask(self, name: str, document: Document) -> Document:
        """Ask a node through its control socket."""
        return ask_node(self.federation[name].data, document)

    def is_alive(self, name: str) -> bool:
        """Whether the node's process has not ended (a zombie has)."""
        status = Path(f"/proc/{self.processes[name]}/stat").read_text()
        return status.rpartition(")")[2].split()[0] != "Z"

    def close(self) -> None:
        """Stop all nodes, and the program."""
        for name in list(self.processes):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.processes[name], signal.SIGTERM)
        for name in list(self.processes):
            self.reap(name)
        if self._program.stdin is not None:
            self._program.stdin.close()
        self._program.wait(10)
        if self._program.stdout is not None:
            self._program.stdout.close()


if __name__ == "__main__":
    _serve()
