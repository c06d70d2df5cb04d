"""Some nodes on this machine, each a process with its own keys, store and data, and nobody left behind.

Set-up goes through the command line itself: what the demo runs is what a user would type.
"""

from __future__ import annotations

import contextlib
import io
import shlex
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hanse.cli.demo.documents import ORGANISATIONS, Organisation
from hanse.cli.node_process import Starting, launch
from hanse.errors import Fault

LINK_SECONDS = 30.0
STOP_SECONDS = 10.0
Told = Callable[[str], None]


@dataclass
class Member:
    """One organisation's node."""

    about: Organisation
    folder: Path
    address: str
    starting: Starting | None = None

    @property
    def name(self) -> str:
        return self.about.name

    @property
    def data(self) -> Path:
        return self.folder / "data"


@dataclass
class Federation:
    """The members; ``tell`` hears of every command before it runs."""

    folder: Path
    tell: Told
    members: dict[str, Member] = field(default_factory=dict)
    organisations: tuple[Organisation, ...] = ORGANISATIONS

    def found(self) -> None:
        """Make the nodes' folders and exchange their identity cards. Nothing runs yet."""
        for about, port in zip(
            self.organisations, _free_ports(len(self.organisations)), strict=True
        ):
            member = Member(about, self.folder / about.name, f"127.0.0.1:{port}")
            self.members[about.name] = member
            run("init", str(member.folder), "--party", about.name, "--organisation", about.organisation,
                "--listen", member.address, tell=self.tell)  # fmt: skip
        for member in self.all():
            for other in self.all():
                if other is not member:
                    self.do(member, "partner", "add", str(other.folder / "identity.json"),
                            "--address", other.address)  # fmt: skip

    def all(self) -> list[Member]:
        return list(self.members.values())

    def do(self, member: Member, *words: str) -> str:
        """Run a command of ``hanse`` as this member; what it printed."""
        return run(*words, "--node", str(member.folder), tell=self.tell)

    def start(self) -> None:
        """Start the processes; `wait` until they are linked."""
        for member in self.all():
            self.tell(f"hanse node start --node {member.folder}")
            member.starting = launch(member.folder, lifeline=True)

    def wait(self) -> None:
        """Until every node listens and has a link to every other. Raises why one does not."""
        from hanse.node.faces import facade

        for member in self.all():
            if member.starting is not None:
                member.starting.wait()
        deadline = time.monotonic() + LINK_SECONDS
        for member in self.all():
            while True:
                links = facade.ask(member.folder, {"verb": "status"})["links"]
                missing = [x for x in links if not x["connected"]]
                if not missing:
                    break
                if time.monotonic() > deadline:
                    raise Fault("demo.links", f"{member.name} has no link to {missing[0]['party']}: "
                                f"{missing[0]['problem']}", remedy="see the nodes' logs",
                                where=str(self.folder))  # fmt: skip
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop every node process, by force if need be. Never raises, and may be called twice."""
        running = [m.starting for m in self.all() if m.starting is not None]
        for starting in running:
            starting.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for starting in running:
            starting.end(deadline - time.monotonic())

    def bytes_sent(self) -> int:
        """What all nodes have sent over their links so far."""
        from hanse.node.faces import facade

        return sum(
            int(link["bytes_sent"])
            for member in self.all()
            for link in facade.ask(member.folder, {"verb": "status"})["links"]
        )


def run(*words: str, tell: Told) -> str:
    """Run one command of ``hanse`` in this process; raises what it raises, returns what it printed."""
    from hanse.cli.main import INTERRUPTED, invoke

    tell("hanse " + shlex.join(words))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
        status = invoke(words)
    if status == INTERRUPTED:
        raise KeyboardInterrupt
    if status:
        raise Fault("demo.command", f"'hanse {' '.join(words[:2])}' ended with status {status}",
                    detail=printed.getvalue())  # fmt: skip
    return printed.getvalue()


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Within, SIGTERM ends the demo as Ctrl-C does: through its clean-up."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Within, a second Ctrl-C does not cut the clean-up short."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _free_ports(count: int) -> list[int]:
    """Ports that are free now; all are held until all are chosen, so that no two are equal."""
    with contextlib.ExitStack() as held:
        ports = []
        for _ in range(count):
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            ports.append(int(probe.getsockname()[1]))
        return ports
