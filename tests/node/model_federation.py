"""Three organisations that train and score together: a shop with the target, a media company, a neutral seat.

Their nodes run in this process (`start`), or as processes of their own (`processes`). The data have a known answer:
the target follows from columns of both by a logistic law, so that the joint model must beat the shop's own.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hanse.clock import Clock, SystemClock
from hanse.contracts import Bundle, Contract
from hanse.entropy import SystemEntropy
from hanse.node.config import Listen, config_text, load_config
from hanse.node.control import ask_node
from hanse.node.daemon import Node
from hanse.node.identity.keys import Identity, create_identity
from hanse.node.identity.partners import Partner
from hanse.node.jobs.runner import Outcome, Question
from hanse.node.models.scoring import FOLDER
from hanse.node.office import OPEN_STATES, NodeOffice
from hanse.node.storage.store import open_store
from hanse.node.transport.exchange import Tap

NAMES = ("shop", "media", "neutral")
OWNERS = {"customers": "shop", "audience": "media"}
PEOPLE = 2000
CAPACITY = 2600
Document = dict[str, Any]

COLUMNS: dict[str, list[Document]] = {
    "customers": [
        {"name": "bought", "kind": "boolean", "uses": ["target"]},
        {"name": "spend", "kind": "number", "uses": ["feature"]},
        {"name": "member", "kind": "boolean", "uses": ["feature"]},
    ],
    "audience": [
        {"name": "minutes", "kind": "number", "uses": ["feature"]},
        {"name": "city", "kind": "category", "uses": ["feature"],
         "values": ["north", "south", "west"]},
        {"name": "visits", "kind": "integer", "uses": ["feature"], "maximum": 100},
    ],
}  # fmt: skip


def person(number: int) -> str:
    return f"member-{number:06d}"


def tables(seed: int = 7, people: int = PEOPLE) -> dict[str, pa.Table]:
    """Numbers 0 to people are customers, 300 to people + 300 the audience; the rest of both is in common."""
    rng = np.random.default_rng(seed)
    everybody = people + 300
    spend, minutes = rng.normal(size=everybody), rng.normal(size=everybody)
    member, city = rng.random(everybody) < 0.4, rng.integers(0, 3, everybody)
    visits = rng.integers(0, 20, everybody)
    eta = -0.5 + 0.7 * spend + 0.8 * member - 1.1 * minutes + 0.9 * (city == 1) + 0.05 * visits
    bought = rng.random(everybody) < 1 / (1 + np.exp(-eta))
    first, second = np.arange(people), np.arange(300, everybody)
    cities = np.array(["north", "south", "west"])
    return {
        "customers": pa.table({"id": [person(i) for i in first], "bought": bought[first],
                               "spend": spend[first], "member": member[first]}),
        "audience": pa.table({"id": [person(i) for i in second], "minutes": minutes[second],
                              "city": cities[city[second]], "visits": visits[second]}),
    }  # fmt: skip


def clause(**changes: Any) -> Document:
    """The model that may be trained."""
    return {
        "name": "churn", "kind": "logistic", "target": {"dataset": "customers", "column": "bought"},
        "features": [{"dataset": "customers", "columns": ["spend", "member"]},
                     {"dataset": "audience", "columns": ["minutes", "city", "visits"]}],
        "alignment": "hidden", "authorisation": "authorised-by-people",
        "evidence": "Made-up forms, kept by nobody.", "metrics": ["shop"], "scores": ["shop"],
        "online": "open-query", "maximum_trainings": 5, "least_rows": 500, "expiry_days": 30,
    } | changes  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(true: Callable[[], bool], seconds: float, what: str) -> None:
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < seconds, f"after {seconds:g} s: not {what}"
        time.sleep(0.02)


@dataclass
class Member:
    """One organisation."""

    name: str
    folder: Path
    identity: Identity
    address: tuple[str, int]
    node: Node | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def running(self) -> Node:
        assert self.node is not None, f"{self.name} does not run in this process"
        return self.node

    def start(self, *, clock: Clock | None = None, tap: Tap | None = None) -> None:
        self.node = Node(self.folder, clock=clock, tap=tap)
        self.node.start()

    def stop(self) -> None:
        node, self.node = self.node, None
        if node is not None:
            node.stop()

    @contextmanager
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

    def entries(self, kind: str) -> list[Document]:
        with self.office() as office:
            return [dict(entry.body) for entry in office.ledger.entries(kind)]


@dataclass
class ModelFederation:
    """The three, by name."""

    root: Path
    members: dict[str, Member] = field(default_factory=dict)
    contracts: int = 0
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    @classmethod
    def found(cls, root: Path) -> ModelFederation:
        made = cls(root)
        for name in NAMES:
            folder, address = root / name, ("127.0.0.1", free_port())
            organisation = f"The {name} company (made up)"
            identity = create_identity(
                folder, name, organisation, clock=SystemClock(), entropy=SystemEntropy()
            )
            text = config_text(name, organisation, Listen(host=address[0], port=address[1]))
            (folder / "hanse.toml").write_text(text)
            (folder / "data").mkdir()
            made.members[name] = Member(name, folder, identity, address)
        for name, table in tables().items():
            made.give(name, table)
        for member in made.members.values():
            with member.office() as office:
                for other in made.members.values():
                    if other is not member:
                        office.add_partner(Partner(other.identity.card, other.address))
        for name in OWNERS:
            made.register(name)
        return made

    def source(self, dataset: str) -> Path:
        return self.root / f"{dataset}.parquet"

    def give(self, dataset: str, table: pa.Table) -> None:
        pq.write_table(table, self.source(dataset))

    def register(self, dataset: str) -> None:
        columns = [
            {"name": c["name"], "column": c["name"], "kind": c["kind"]} for c in COLUMNS[dataset]
        ]
        with self.members[OWNERS[dataset]].office() as office:
            office.register_dataset(
                {"name": dataset, "source": {"path": str(self.source(dataset))},
                 "ids": [{"column": "id", "type": "member"}], "columns": columns,
                 "classification": "personal", "description": "Made-up people.",
                 "legal_basis": "consent", "evidence": "made-up people"}
            )  # fmt: skip

    def terms(self, **changes: Any) -> Document:
        """The fields of a new contract."""
        self.contracts += 1
        return {
            "format": 1, "id": f"models-{self.contracts}", "version": 1, "title": "Models",
            "purpose": "See whether models are trained as agreed.", "starts": date(2020, 1, 1),
            "expires": date(2100, 1, 1), "maximum_jobs": 1000, "seats": list(NAMES),
            "independence": "Made-up companies.", "retention_days": 30,
            "join": {"id_type": "member", "hash": "sha256", "epsilon": 1.0, "delta": 1e-8,
                     "epsilon_budget": 1e6},
            "privacy": {"k": 20, "epsilon_per_query": 1.0, "epsilon_budget": 10.0, "delta": 1e-8,
                        "period": "contract"},
            "parties": [
                {"name": m.name, "organisation": m.identity.organisation,
                 "signing_key": m.identity.card.signing_key,
                 "certificate": m.identity.card.fingerprint}
                for m in self.members.values()
            ],
            "datasets": [
                {"name": name, "provider": owner, "capacity": CAPACITY, "slots": 1, "personal": True,
                 "legal_basis": "consent", "evidence": "made-up people", "columns": deepcopy(COLUMNS[name])}
                for name, owner in OWNERS.items()
            ],
            "models": [clause()],
        } | changes  # fmt: skip

    def contract(self, **changes: Any) -> str:
        """Agree on a contract at all nodes; its id."""
        bundle = Bundle(Contract.from_fields(self.terms(**changes)))
        for name in NAMES:
            bundle = bundle.signed(name, self.members[name].identity.signing_key)
        for member in self.members.values():
            with member.office() as office:
                office.import_bundle(bundle)
        return bundle.contract.id

    # --- running --------------------------------------------------------------------------------

    def start(self) -> None:
        for member in self.members.values():
            if member.node is None:
                member.start()
        until(lambda: all(s.connected for m in self.members.values()
                          for s in m.running.exchange.status()), 15, "linked")  # fmt: skip

    def stop(self) -> None:
        for member in self.members.values():
            member.stop()

    def train(self, contract: str, asking: str = "shop", **parameters: Any) -> Outcome:
        return self.ask(contract, "train", asking, {"model": "churn", **parameters})

    def score(
        self, contract: str, training: str, asking: str = "shop", receiver: str = "shop"
    ) -> Outcome:
        parameters = {"model": "churn", "training": training, "receiver": receiver}
        return self.ask(contract, "score", asking, parameters)

    def ask(
        self, contract: str, computation: str, asking: str, parameters: Document, asked: str = ""
    ) -> Outcome:
        question = Question(contract, computation, parameters, 0.0, asked=asked)
        return self.members[asking].running.runner.ask(question)

    def settle(self) -> None:
        """Wait until no node that runs here has an open job, and all have written down how the last one ended."""

        def settled() -> bool:
            offices = [m.node.office for m in self.members.values() if m.node is not None]
            if any(office.store.jobs.all(states=OPEN_STATES, limit=1) for office in offices):
                return False
            return all(
                any(
                    e.body["job"] == office.store.jobs.all(limit=1)[0].job
                    for e in office.ledger.entries("job")
                )
                for office in offices
                if office.store.jobs.all(limit=1)
            )

        until(settled, 10, "settled")

    # --- as processes ---------------------------------------------------------------------------

    def processes(self, names: Iterable[str] = NAMES) -> None:
        """Start nodes as processes of their own and wait until they are linked."""
        for name in names:
            command = [
                sys.executable,
                "-m",
                "hanse.cli",
                "node",
                "start",
                "--node",
                str(self[name].folder),
            ]
            with (self.root / f"{name}.log").open("ab") as log:
                self.running.append(subprocess.Popen(command, stdout=log, stderr=log))  # noqa: S603

        def linked() -> bool:
            try:
                found = [ask_node(self[n].data, {"verb": "status"})["links"] for n in NAMES]
            except Exception:
                return False
            return all(link["connected"] for links in found for link in links)

        until(linked, 40, "linked")

    def tell(self, name: str, document: Document) -> Document:
        """Ask a node's process through its control socket."""
        return ask_node(self[name].data, document)

    def end(self) -> None:
        for process in self.running:
            process.terminate()
        for process in self.running:
            process.wait(15)
        self.running.clear()
