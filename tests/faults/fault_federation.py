"""Five organisations that can fail, and what must be true at each of them after every fault.

    ash    seat 0 and provider (exposures)      dune   provider without a seat (baskets)
    birch  seat 1                               elm    asks and reads the result
    cedar  seat 2

A member's node runs in this process (`Member.start`) or as a process of its own (`fault_nursery`).
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fault_people import CAPACITY, EPSILON, baskets, exposures, parameters, registration

from hanse.clock import Clock, SystemClock
from hanse.contracts import Bundle, Contract
from hanse.entropy import SystemEntropy
from hanse.errors import HanseError
from hanse.ledger import Spend
from hanse.node.config import Listen, config_text, load_config
from hanse.node.daemon import Node
from hanse.node.identity.keys import Identity, create_identity
from hanse.node.identity.partners import Partner
from hanse.node.jobs.runner import Outcome, Question
from hanse.node.office import OPEN_STATES, NodeOffice
from hanse.node.storage.jobs import Job
from hanse.node.storage.store import open_store
from hanse.node.transport.exchange import Tap

NAMES = ("ash", "birch", "cedar", "dune", "elm")
SEATS = ("ash", "birch", "cedar")
OWNERS = {"exposures": "ash", "baskets": "dune"}
CHARGED = ("ash", "birch", "cedar", "dune")  # who reserves and commits a job's price
RECIPIENTS = ("elm", "ash")
K = 20
LINKED = 15.0  # seconds in which restarted nodes must find each other
ENDED = 10.0  # seconds in which every survivor must have ended the job
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


class ShiftedClock(SystemClock):
    """The machine's clock with another date."""

    def __init__(self, days: float) -> None:
        self._shift = timedelta(days=days)

    def now(self) -> datetime:
        return super().now() + self._shift


@dataclass
class Member:
    """One organisation: its folder, its keys, and its node while that runs in this process."""

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
            yield NodeOffice(self.identity, store, SystemClock())
        finally:
            store.close()

    def jobs(self) -> dict[str, Job]:
        """The jobs that the node remembers, by hash."""
        with self.office() as office:
            return {job.job: job for job in office.store.jobs.all()}

    def open_jobs(self) -> set[str]:
        """Jobs that have not ended here, or whose price is still reserved."""
        with self.office() as office:
            stored = {job.job for job in office.store.jobs.all(states=OPEN_STATES)}
            return stored | set(Spend(office.ledger).open_jobs())

    def refusals(self) -> list[Document]:
        """The refusals in the node's ledger, oldest first."""
        with self.office() as office:
            return [dict(entry.body) for entry in office.ledger.entries("refusal")]

    def budget_of(self, job: str) -> str:
        """What became of the job's price here: "", reserved, committed or released."""
        with self.office() as office:
            found = Spend(office.ledger).reservation(job)
            return found.state if found is not None else ""


@dataclass
class Federation:
    """The five, by name; `contract` gives them something to ask under."""

    root: Path
    members: dict[str, Member] = field(default_factory=dict)
    contracts: int = 0

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    def each(self, names: Iterable[str] = NAMES) -> list[Member]:
        return [self.members[name] for name in names]

    # --- setting up ---------------------------------------------------------------------------------

    @classmethod
    def found(cls, root: Path) -> Federation:
        """Keys, folders, cards exchanged, data registered; nothing runs."""
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
        made.give("exposures", exposures())
        made.give("baskets", baskets())
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
        """Put a table where the owner of ``dataset`` keeps it."""
        pq.write_table(table, self.source(dataset))

    def register(self, dataset: str, path: Path | None = None) -> None:
        """Let the owner register its dataset."""
        with self.members[OWNERS[dataset]].office() as office:
            office.register_dataset(registration(dataset, path or self.source(dataset)))

    def terms(self, **changes: Any) -> Document:
        """The fields of a new contract; a change of a table changes the fields it names."""
        self.contracts += 1
        fields: Document = {
            "format": 1, "id": f"faults-{self.contracts}", "version": 1, "title": "Faults",
            "purpose": "See what happens when something breaks.", "starts": date(2020, 1, 1),
            "expires": date(2100, 1, 1), "maximum_jobs": 10_000, "seats": list(SEATS),
            "independence": "Made-up companies.", "retention_days": 30,
            "join": {"id_type": "member", "hash": "sha256", "epsilon": 1.0, "delta": 1e-8,
                     "epsilon_budget": 1e6},
            "privacy": {"k": K, "epsilon_per_query": EPSILON, "epsilon_budget": 1e6, "similar_questions": 10_000,
                        "delta": 1e-8, "period": "contract"},
            "parties": [
                {"name": m.name, "organisation": m.identity.organisation,
                 "signing_key": m.identity.card.signing_key,
                 "certificate": m.identity.card.fingerprint}
                for m in self.members.values()
            ],
            "datasets": [_terms_of(name) for name in OWNERS],
            "computations": [{"name": "funnel", "recipients": list(RECIPIENTS),
                              "datasets": list(OWNERS)}],
        }  # fmt: skip
        for name, value in changes.items():
            fields[name] = fields[name] | value if isinstance(value, dict) else value
        return fields

    def signed(self, fields: Document, signers: Iterable[str] = NAMES) -> Bundle:
        """The contract of these terms with signatures."""
        bundle = Bundle(Contract.from_fields(fields))
        for name in signers:
            bundle = bundle.signed(name, self.members[name].identity.signing_key)
        return bundle

    def contract(self, *, signers: Iterable[str] = NAMES, **changes: Any) -> str:
        """Agree on a contract of its own at all nodes; its id."""
        bundle = self.signed(self.terms(**changes), signers)
        self.hand_out(bundle)
        return bundle.contract.id

    def hand_out(self, bundle: Bundle, names: Iterable[str] = NAMES) -> None:
        """Import the bundle at these nodes."""
        for member in self.each(names):
            with member.office() as office:
                office.import_bundle(bundle)

    def introduce(self, name: str) -> None:
        """Give the member's present card to all the others."""
        member = self.members[name]
        for other in self.members.values():
            if other is member:
                continue
            partner = Partner(member.identity.card, member.address)
            with other.office() as office:
                office.add_partner(partner)
            if other.node is not None:
                other.node.exchange.meet(partner)

    # --- running in this process --------------------------------------------------------------------

    def start(self) -> None:
        for member in self.members.values():
            if member.node is None:
                member.start()
        self.linked()

    def stop(self) -> None:
        with ThreadPoolExecutor(len(NAMES)) as pool:
            list(pool.map(lambda member: member.stop(), self.members.values()))

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

    def question(self, contract: str, **changes: Any) -> Question:
        fields: Document = {
            "contract": contract, "computation": "funnel", "parameters": parameters(),
            "epsilon": EPSILON, "recipients": ("elm",),
        }  # fmt: skip
        return Question(**(fields | changes))

    def ask(self, question: Question, asking: str = "elm") -> Outcome:
        return self.members[asking].running.runner.ask(question)

    def people(self, question: Question, asking: str = "elm") -> list[int | None]:
        """The counts in the answer, stage by stage."""
        result = self.ask(question, asking).result
        assert result is not None, "no answer"
        return [row["people"] for row in result["rows"]]

    def fails(
        self, question: Question, *, asking: str = "elm", within: float | None = None
    ) -> tuple[HanseError, str]:
        """The error of a job that must fail, once it has ended everywhere with its books in order, and the job.

        ``within`` bounds the seconds from the question to the end at the last node. The job is "" if no
        node had admitted it.
        """
        before, begun = self.known_jobs(), time.monotonic()
        try:
            outcome = self.ask(question, asking)
        except HanseError as raised:
            error = raised
        else:
            raise AssertionError(f"no error but {outcome}")
        self.wait_over()
        if within is not None:
            assert time.monotonic() - begun < within
        jobs = self.known_jobs() - before
        assert len(jobs) <= 1
        self.check_records()
        for job in jobs:
            self.check_result_was_paid(job)
        return error, next(iter(jobs), "")

    # --- afterwards ---------------------------------------------------------------------------------

    def known_jobs(self) -> set[str]:
        """Every job that any member remembers."""
        return {job for member in self.members.values() for job in member.jobs()}

    def wait_over(
        self, names: Iterable[str] = NAMES, *, within: float = ENDED, quiet: float = 0.0
    ) -> float:
        """Wait until no job is open and nothing is reserved at these nodes; the seconds it took.

        ``quiet``: and for so long, where a request may still be on its way to them.
        """
        members, since = self.each(names), time.monotonic()

        def over() -> bool:
            nonlocal since
            if any(member.open_jobs() for member in members):
                since = time.monotonic()
                return False
            return time.monotonic() - since >= quiet

        return until(over, within + quiet, f"over at {', '.join(names)}")

    def check_records(self, names: Iterable[str] = NAMES) -> None:
        """Every job ends, nothing stays reserved, ledgers verify."""
        self.wait_over(names)
        for member in self.each(names):
            with member.office() as office:
                verdict = office.ledger.verify(member.identity.card.signing_key)
                assert verdict.ok, f"{member.name}: {verdict.reason}"

    def check_result_was_paid(self, job: str) -> None:
        """Nobody has the job's result unless every seat and provider has committed its price."""
        for member in self.members.values():
            stored = member.jobs().get(job)
            if stored is None or not (stored.result or {}).get("result"):
                continue
            unpaid = [name for name in CHARGED if self[name].budget_of(job) != "committed"]
            assert not unpaid, f"{member.name} has a result that {unpaid} did not commit"

    def stories(self, job: str, names: Iterable[str] = NAMES) -> dict[str, Document]:
        """The stored error of the job by node, for nodes that know the job and did not finish it."""
        found = {member.name: member.jobs().get(job) for member in self.each(names)}
        return {
            name: stored.error or {}
            for name, stored in found.items()
            if stored is not None and stored.state != "done"
        }

    def check_story(
        self, error: HanseError, job: str, code: str, party: str, names: Iterable[str] = NAMES
    ) -> None:
        """The asking node and every node of the job tell the same story, which names the party."""
        assert error.code == code, str(error)
        assert party in str(error), str(error)
        assert error.remedy, str(error)
        stories = self.stories(job, names)
        assert stories, "nobody remembers the job"
        for name, story in stories.items():
            assert story.get("code") == code, f"{name}: {story}"
            assert party in f"{story['message']} {story['where']}", f"{name}: {story}"
            assert story["remedy"], f"{name}: {story}"


def _terms_of(dataset: str) -> Document:
    columns: dict[str, list[Document]] = {
        "exposures": [
            {"name": "at", "kind": "time", "uses": ["order"]},
            {"name": "kind", "kind": "category", "uses": ["filter", "segment"],
             "values": ["email", "tv"]},
        ],
        "baskets": [
            {"name": "at", "kind": "time", "uses": ["order"]},
            {"name": "amount", "kind": "amount", "uses": ["filter"], "maximum": 100_000},
        ],
    }  # fmt: skip
    return {
        "name": dataset, "provider": OWNERS[dataset], "capacity": CAPACITY, "slots": 2,
        "personal": True, "legal_basis": "consent", "evidence": "made-up people",
        "columns": columns[dataset],
    }  # fmt: skip
