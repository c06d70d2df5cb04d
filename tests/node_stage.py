"""Organisations with a node each, for every suite that runs federations: folders, keys, cards exchanged, contracts.

Their nodes run in this process (`Nodes.start`) or as processes of their own (`Nodes.processes`).
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Self

from hanse.clock import Clock, SystemClock
from hanse.contracts import Bundle, Contract
from hanse.entropy import SystemEntropy
from hanse.errors import HanseError
from hanse.ledger import Spend
from hanse.node.config import Listen, config_text, load_config
from hanse.node.control import ask_node
from hanse.node.daemon import Node
from hanse.node.identity.keys import Identity, create_identity
from hanse.node.identity.partners import Partner
from hanse.node.jobs.book import OPEN_STATES
from hanse.node.models.scoring import FOLDER
from hanse.node.office import NodeOffice
from hanse.node.storage.jobs import Job
from hanse.node.storage.store import open_store
from hanse.node.transport.exchange import Tap

LINKED = 30.0  # seconds in which nodes must find each other
Document = dict[str, Any]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(true: Callable[[], bool], seconds: float, what: str) -> float:
    """Wait for something to be true; the seconds that it took."""
    begun = time.monotonic()
    while not true():
        if time.monotonic() - begun > seconds:
            raise AssertionError(f"after {seconds:g} s: not {what}")
        time.sleep(0.02)
    return time.monotonic() - begun


@dataclass
class Member:
    """One organisation: its folder, its keys, and its node while that runs in this process."""

    name: str
    folder: Path
    identity: Identity
    address: tuple[str, int]
    node: Node | None = None

    @classmethod
    def made(cls, root: Path, name: str) -> Self:
        """A new one, with a free port."""
        folder, address = root / name, ("127.0.0.1", free_port())
        organisation = f"The {name} company (made up)"
        identity = create_identity(
            folder, name, organisation, clock=SystemClock(), entropy=SystemEntropy()
        )
        text = config_text(name, organisation, Listen(host=address[0], port=address[1]))
        (folder / "hanse.toml").write_text(text)
        (folder / "data").mkdir()
        return cls(name, folder, identity, address)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def running(self) -> Node:
        if self.node is None:
            raise AssertionError(f"{self.name} does not run in this process")
        return self.node

    def start(self, *, clock: Clock | None = None, tap: Tap | None = None) -> Node:
        """Start the node in this process."""
        self.node = Node(self.folder, clock=clock, tap=tap)
        self.node.start()
        return self.node

    def stop(self) -> None:
        node, self.node = self.node, None
        if node is not None:
            node.stop()

    @contextlib.contextmanager
    def office(self) -> Iterator[NodeOffice]:
        """The node's records, wherever it runs or if it does not."""
        if self.node is not None:
            yield self.node.office
            return
        store = open_store(load_config(self.folder))
        try:
            yield NodeOffice(self.identity, store, SystemClock(), scores=self.data / FOLDER)
        finally:
            store.close()

    def party(self) -> Document:
        """As contracts name it."""
        card = self.identity.card
        return {"name": self.name, "organisation": self.identity.organisation,
                "signing_key": card.signing_key, "certificate": card.fingerprint}  # fmt: skip

    # --- what it remembers ----------------------------------------------------------------------

    def jobs(self) -> dict[str, Job]:
        """The jobs that the node remembers, by hash."""
        with self.office() as office:
            return {job.job: job for job in office.store.jobs.all()}

    def open_jobs(self) -> set[str]:
        """Jobs that have not ended here, or whose price is still reserved."""
        with self.office() as office:
            stored = {job.job for job in office.store.jobs.all(states=OPEN_STATES)}
            return stored | set(Spend(office.ledger).open_jobs())

    def entries(self, kind: str) -> list[Document]:
        """The bodies of the ledger's entries of a kind, oldest first."""
        with self.office() as office:
            return [dict(entry.body) for entry in office.ledger.entries(kind)]

    def budget_of(self, job: str) -> str:
        """What became of the job's price here: "", reserved, committed or released."""
        with self.office() as office:
            found = Spend(office.ledger).reservation(job)
            return found.state if found is not None else ""


@dataclass
class Nodes:
    """The organisations of one federation, by name; the first three hold the seats."""

    root: Path
    members: dict[str, Member] = field(default_factory=dict)
    contracts: int = 0
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    def each(self, names: Iterable[str] | None = None) -> list[Member]:
        return [self.members[name] for name in (self.members if names is None else names)]

    def settle_in(self, names: Iterable[str]) -> None:
        """Make the organisations, and let each have the others' cards."""
        self.members |= {name: Member.made(self.root, name) for name in names}
        for member in self.members.values():
            with member.office() as office:
                for other in self.members.values():
                    if other is not member:
                        office.add_partner(Partner(other.identity.card, other.address))

    # --- contracts ------------------------------------------------------------------------------

    def common_terms(self, kind: str, **terms: Any) -> Document:
        """The fields of a new contract of this kind; ``terms`` are added, or stand for those of the same name."""
        self.contracts += 1
        return {
            "format": 1, "id": f"{kind}-{self.contracts}", "version": 1, "title": kind.title(),
            "purpose": f"See whether {kind} go as agreed.", "starts": date(2020, 1, 1),
            "expires": date(2100, 1, 1), "maximum_jobs": 10_000, "seats": list(self.members)[:3],
            "independence": "Made-up companies.", "retention_days": 30,
            "join": {"id_type": "member", "hash": "sha256", "epsilon": 1.0, "delta": 1e-8,
                     "epsilon_budget": 1e6},
            "privacy": {"k": 20, "epsilon_per_query": 1.0, "epsilon_budget": 10.0, "delta": 1e-8,
                        "period": "contract"},
            "parties": [member.party() for member in self.members.values()],
        } | terms  # fmt: skip

    def terms(self, **changes: Any) -> Document:
        """The fields of a new contract of this federation."""
        raise NotImplementedError

    def signed(self, fields: Document, signers: Iterable[str] | None = None) -> Bundle:
        """The contract of these terms with signatures, of all or some."""
        bundle = Bundle(Contract.from_fields(fields))
        for member in self.each(signers):
            bundle = bundle.signed(member.name, member.identity.signing_key)
        return bundle

    def hand_out(self, bundle: Bundle, names: Iterable[str] | None = None) -> None:
        """Import the bundle at these nodes, or at all."""
        for member in self.each(names):
            with member.office() as office:
                office.import_bundle(bundle)

    def contract(self, *, signers: Iterable[str] | None = None, **changes: Any) -> str:
        """Agree on a contract at all nodes; its id."""
        bundle = self.signed(self.terms(**changes), signers)
        self.hand_out(bundle)
        return bundle.contract.id

    # --- in this process ------------------------------------------------------------------------

    def start(self, taps: dict[str, Tap] | None = None) -> None:
        """Start all that do not run, and wait until they are linked."""
        for member in self.members.values():
            if member.node is None:
                member.start(tap=(taps or {}).get(member.name))
        self.linked()

    def stop(self) -> None:
        with ThreadPoolExecutor(len(self.members)) as pool:
            list(pool.map(lambda member: member.stop(), self.members.values()))

    @contextlib.contextmanager
    def run(self) -> Iterator[Self]:
        """All of them started, and stopped at the end, whatever happens."""
        try:
            self.start()
            yield self
        finally:
            self.stop()

    def linked(self, seconds: float = LINKED) -> None:
        """Wait until all the nodes that run here have found each other."""
        running = {m.name: m.running.exchange for m in self.each() if m.node is not None}

        def all_linked() -> bool:
            return all(
                status.connected
                for exchange in running.values()
                for status in exchange.status()
                if status.party in running
            )

        until(all_linked, seconds, "all linked")

    # --- as processes ---------------------------------------------------------------------------

    def processes(self) -> None:
        """Start the nodes as processes of their own, and wait until they are linked."""
        for member in self.members.values():
            command = [sys.executable, "-m", "hanse.cli", "node", "start", "--node", member.folder]
            with (self.root / f"{member.name}.log").open("ab") as log:
                self.running.append(subprocess.Popen(command, stdout=log, stderr=log))  # noqa: S603

        def linked() -> bool:
            try:
                found = [self.command(name, {"verb": "status"})["links"] for name in self.members]
            except (HanseError, OSError):  # not yet there
                return False
            return all(link["connected"] for links in found for link in links)

        until(linked, 2 * LINKED, "linked")

    def command(self, name: str, document: Document) -> Document:
        """Ask a node's process through its control socket."""
        return ask_node(self[name].data, document)

    def end(self) -> None:
        """End the processes."""
        for process in self.running:
            process.terminate()
        for process in self.running:
            process.wait(15)
        self.running.clear()
