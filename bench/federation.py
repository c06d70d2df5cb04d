"""A federation of node processes on this machine, with its meters: what the benchmarks run on.

Every node is `node_process.py` in a process of its own, with keys, store and data folder of its own, linked by
mutual TLS on loopback (or on the addresses given).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hanse.clock import SystemClock
from hanse.contracts import Bundle, Contract
from hanse.entropy import SystemEntropy
from hanse.errors import HanseError
from hanse.node.config import Listen, config_text
from hanse.node.control import ask_node
from hanse.node.daemon import Node
from hanse.node.identity.keys import Identity, create_identity
from hanse.node.identity.partners import Partner

HERE = Path(__file__).resolve().parent
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Member:
    """One organisation's node process."""

    name: str
    folder: Path
    identity: Identity
    address: tuple[str, int]
    prefix: tuple[str, ...] = ()  # words before the command, such as a network namespace
    process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def ask(self, document: dict[str, Any]) -> dict[str, Any]:
        """Ask this node over its control socket."""
        return ask_node(self.data, document)

    def cpu_s(self) -> float:
        """User and system seconds that the process has used."""
        if self.process is None:
            return 0.0
        text = Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = text.rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def peak_mib(self) -> float:
        """Largest resident size so far, in MiB."""
        if self.process is None:
            return 0.0
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(x for x in text.splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1024


@dataclass
class Federation:
    """Members by name."""

    members: dict[str, Member] = field(default_factory=dict)

    def cpu_s(self) -> float:
        return sum(m.cpu_s() for m in self.members.values())

    def peak_mib(self) -> float:
        return max(m.peak_mib() for m in self.members.values())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def found(
    root: Path, names: Sequence[str], addresses: dict[str, tuple[str, int]] | None = None,
    prefixes: dict[str, tuple[str, ...]] | None = None, *, warm_mib: int = 0,
) -> Federation:  # fmt: skip
    """Make keys and folders; nothing runs yet."""
    federation = Federation()
    for name in names:
        address = (addresses or {}).get(name) or ("127.0.0.1", _free_port())
        folder = root / name
        organisation = f"Organisation {name}"
        identity = create_identity(
            folder, name, organisation, clock=SystemClock(), entropy=SystemEntropy()
        )
        text = config_text(name, organisation, Listen(host=address[0], port=address[1]))
        text = text.replace("[limits]\n", f'[limits]\nwarm_memory = "{warm_mib} MiB"\n')
        (folder / "hanse.toml").write_text(text)
        prefix = (prefixes or {}).get(name, ())
        federation.members[name] = Member(name, folder, identity, address, prefix)
    return federation


def set_up(
    federation: Federation,
    contract: Contract,
    datasets: dict[str, list[dict[str, Any]]],
    routes: dict[str, dict[str, tuple[str, int]]] | None = None,
    places: Path | None = None,
) -> None:
    """Exchange cards, register datasets, sign the contract at every node.

    ``routes``: by member, where it dials the others, if not at their own addresses. ``places``: a list of
    places that every member is given.
    """
    bundle = Bundle(contract)
    for member in federation.members.values():
        bundle = bundle.signed(member.name, member.identity.signing_key)
    for member in federation.members.values():
        node = Node(member.folder)
        try:
            for other in federation.members.values():
                if other.name != member.name:
                    address = (routes or {}).get(member.name, {}).get(other.name, other.address)
                    node.office.add_partner(Partner(other.identity.card, address))
            for document in datasets.get(member.name, []):
                node.office.register_dataset(document)
            if places is not None:
                node.office.shelf.add(places)
            node.office.import_bundle(bundle)
        finally:
            node.store.close()


@contextmanager
def running(federation: Federation, patience: float = 90.0) -> Iterator[Federation]:
    """Start all node processes, wait until all are linked, stop them in the end."""
    try:
        for member in federation.members.values():
            command = [
                *member.prefix,
                sys.executable,
                str(HERE / "node_process.py"),
                str(member.folder),
            ]
            log = (member.folder / "node.log").open("wb")
            member.process = subprocess.Popen(command, stdout=log, stderr=log)
        _wait_linked(federation, patience)
        yield federation
    finally:
        for member in federation.members.values():
            if member.process is not None:
                member.process.terminate()
        for member in federation.members.values():
            if member.process is not None:
                try:
                    member.process.wait(15)
                except subprocess.TimeoutExpired:
                    member.process.kill()


def _wait_linked(federation: Federation, patience: float) -> None:
    deadline = time.monotonic() + patience
    for member in federation.members.values():
        while True:
            if member.process is not None and member.process.poll() is not None:
                raise SystemExit((member.folder / "node.log").read_text()[-2000:])
            try:
                links = member.ask({"verb": "status"})["links"]
                if all(link["connected"] for link in links):
                    break
            except HanseError:
                pass
            if time.monotonic() > deadline:
                raise SystemExit(
                    f"{member.name} is not linked: {(member.folder / 'node.log').read_text()[-2000:]}"
                )
            time.sleep(0.05)
