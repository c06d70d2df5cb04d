"""What the command line and the console may ask of a node: its folder, its records, its running process.

Records (partners, datasets, contracts, jobs, ledger) are read and written beside a running node, which looks
them up again for each job; what needs the links goes through the node's control socket (`ask`).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hanse import menu
from hanse.catalog import Profile, register
from hanse.clock import Clock, SystemClock
from hanse.contracts import Bundle, Contract, JobRequest, composed, period_of, providers_of
from hanse.entropy import SystemEntropy
from hanse.errors import Fault, HanseError, Refusal
from hanse.gate.release import Opened
from hanse.ledger import Verdict
from hanse.node.config import (
    CONFIG_FILE,
    Listen,
    NodeConfig,
    config_text,
    load_config,
    parse_config,
)
from hanse.node.control import ask_node
from hanse.node.identity.cards import IdentityCard
from hanse.node.identity.keys import (
    IDENTITY_CARD,
    KEY_FOLDER,
    create_identity,
    load_identity,
)
from hanse.node.jobs.rosters import node_rosters
from hanse.node.models.scoring import FOLDER as SCORES
from hanse.node.office import ENDED, NodeOffice, bundle_of
from hanse.node.places import FOLDER as PLACES
from hanse.node.places import PlaceShelf
from hanse.node.storage.jobs import Job
from hanse.node.storage.store import open_store

Document = dict[str, Any]
Watch = Callable[[Document], None]


# --- the folder -------------------------------------------------------------------------------------


def create_node(
    folder: Path, party: str, organisation: str, listen: tuple[str, int] | None
) -> IdentityCard:
    """Keys, configuration and data folder of a new node; its card for partners.

    Raises `Refusal` ``node.exists`` or ``keys.exist`` rather than change an existing node, and `Fault`
    ``config.value`` for a name, organisation or port that no node can have.
    """
    if (folder / CONFIG_FILE).exists():
        raise Refusal(
            "node.exists",
            "there is a node in this folder already",
            remedy="choose another folder",
            where=str(folder),
        )
    text = config_text(
        party, organisation, Listen(host=listen[0], port=listen[1]) if listen else None
    )
    try:
        config = parse_config(text, folder)
    except Fault as fault:
        raise Fault(
            fault.code, fault.message, remedy="give the node another one", where=fault.where
        ) from fault
    identity = create_identity(
        folder, party, organisation, clock=SystemClock(), entropy=SystemEntropy()
    )
    try:
        config.data_folder.mkdir(mode=0o700, exist_ok=True)
        (folder / CONFIG_FILE).write_text(text, encoding="utf-8")
    except OSError as error:  # half a node would only be in the way of the next try
        shutil.rmtree(folder / KEY_FOLDER, ignore_errors=True)
        for name in (IDENTITY_CARD, CONFIG_FILE):
            (folder / name).unlink(missing_ok=True)
        raise Fault(
            "node.folder",
            f"the node's folder cannot be made: {error.strerror}",
            remedy="choose a folder that you may write to",
            where=str(folder),
        ) from error
    return identity.card


def configuration(folder: Path) -> NodeConfig:
    """The configuration of the node in ``folder``; `Fault` ``config.missing`` if there is none."""
    return load_config(folder)


@contextmanager
def office_of(folder: Path, clock: Clock | None = None) -> Iterator[NodeOffice]:
    """The records of the node in ``folder``, whether or not it runs."""
    clock = clock or SystemClock()
    config = load_config(folder)
    identity = load_identity(folder, clock=clock)
    store = open_store(config)
    try:
        shelf = PlaceShelf(config.data_folder / PLACES)
        rosters = node_rosters(config.data_folder, identity)
        scores = config.data_folder / SCORES
        yield NodeOffice(identity, store, clock, shelf, rosters, config.reviews, scores)
    finally:
        store.close()


# --- the running process ----------------------------------------------------------------------------


def ask(folder: Path, document: Document, watch: Watch = lambda _document: None) -> Document:
    """Ask the running node of this folder; `Refusal` ``node.stopped`` if it does not run."""
    return ask_node(load_config(folder).data_folder, document, watch)


def status(folder: Path) -> Document | None:
    """The running node's status, or None if it does not run."""
    try:
        return ask(folder, {"verb": "status"})
    except HanseError as error:
        if error.code == "node.stopped":
            return None
        raise


def take_in_partners(folder: Path) -> bool:
    """Let the node meet partners that were added or removed; False if it does not run."""
    try:
        ask(folder, {"verb": "reload"})
    except HanseError as error:
        if error.code != "node.stopped":
            raise
        return False
    return True


# --- budgets and the ledger -------------------------------------------------------------------------


@dataclass(frozen=True)
class Account:
    """One provider's privacy budget in the current period, as this node's ledger has it.

    ``spent`` and ``seats_spent`` are composed epsilons, reservations included.
    """

    provider: str
    queries: int
    spent: float
    budget: float
    seats_spent: float
    seats_budget: float

    @property
    def left(self) -> float:
        return max(0.0, self.budget - self.spent)

    @property
    def seats_left(self) -> float:
        return max(0.0, self.seats_budget - self.seats_spent)

    def body(self) -> Document:
        return {**self.__dict__, "left": self.left, "seats_left": self.seats_left}


def accounts(office: NodeOffice, contract: Contract, clock: Clock | None = None) -> list[Account]:
    """Every provider's account under the contract."""
    spend = office.spend
    period = period_of(contract.privacy.period, (clock or SystemClock()).now())
    found = []
    for provider in contract.providers:
        balance = spend.balance(contract.id, period, provider)
        found.append(
            Account(
                provider,
                len(balance.recipients),
                composed(balance.recipients, contract.privacy.delta),
                contract.privacy.epsilon_budget,
                composed(balance.seats, contract.join.delta),
                contract.join.epsilon_budget,
            )
        )
    return found


def jobs_used(office: NodeOffice, contract: Contract) -> int:
    """Jobs of the contract that count against its maximum."""
    return office.spend.jobs_used(contract.id)


def verify_ledger(office: NodeOffice) -> Verdict:
    """Check the whole ledger under the node's own key, entries that cannot be read included."""
    key = office.identity.card.signing_key
    try:
        return office.ledger.verify(key)
    except HanseError as error:
        if error.code != "ledger.damaged":
            raise
    count, head = 0, ""
    try:
        for entry in office.ledger.entries():
            count, head = count + 1, entry.hash
    except HanseError as error:
        return Verdict(False, count, count, error.message, head)
    return office.ledger.verify(key)


# --- datasets ---------------------------------------------------------------------------------------


def check_dataset(office: NodeOffice, name: str) -> tuple[Profile, list[HanseError]]:
    """The dataset's profile as it is now, and what keeps it from serving the contracts that name it.

    Raises what registration raises if the data can no longer be read as described.
    """
    profile = register(office.dataset(name))
    problems = []
    for stored in office.store.contracts.all():
        bundle = bundle_of(stored)
        clause = bundle.contract.dataset(name)
        if clause is None or clause.provider != office.party:
            continue
        try:
            office.datasets.prepare(clause, bundle)
        except HanseError as error:
            error.where = f"contract {bundle.contract.id}; {error.where}"
            problems.append(error)
        people = max(found.distinct for found in profile.ids.values())
        if people > clause.capacity:
            problems.append(
                Fault(
                    "dataset.capacity",
                    f"{name!r} has {people:,} people, the contract has room for {clause.capacity:,}",
                    remedy="agree on a larger capacity in a new version of the contract",
                    where=f"contract {bundle.contract.id}",
                )
            )
    return profile, problems


def crowd_users(office: NodeOffice, name: str) -> list[str]:
    """Contracts at this node, not ended, in which this organisation gives the package ``name``."""
    found = []
    for stored in office.store.contracts.all():
        # Plain values: models of thousands of contracts would take their time.
        given = [(d["name"], d["provider"]) for d in stored.bundle["contract"]["datasets"]]
        if (name, office.party) in given and stored.state != ENDED:
            found.append(f"{stored.id} (version {stored.version})")
    return found


# --- what a job disclosed ---------------------------------------------------------------------------


def contract_of(office: NodeOffice, job: Job) -> Contract | None:
    """The text under which the job ran, if this node still has it."""
    stored = office.store.contracts.by_hash(job.contract)
    return bundle_of(stored).contract if stored is not None else None


def drawn(office: NodeOffice, job: Job, form: str) -> str:
    """A job's result as a picture (``form`` "svg") or a page ("html"), from what this node received.

    Raises `Refusal` ``result.none`` if this node received nothing, ``result.form`` if it has no such form.
    """
    contract = contract_of(office, job)
    outputs = (job.result or {}).get("opened")
    if contract is None or outputs is None:
        raise Refusal("result.none", f"this node has no result of job {job.job[:12]}",
                      remedy="ask a recipient of the job, or wait until it is done")  # fmt: skip
    request = JobRequest.from_fields(job.request)
    entry = menu.entry(request.computation)
    plan = entry.planned(request.parameters, contract, request.epsilon, True, office.library())
    if len(outputs) != plan.release.outputs:
        raise Refusal("result.version", f"job {job.job[:12]} was opened by another version of Hanse",
                      remedy="draw it with that version, or ask again")  # fmt: skip
    result = entry.read(plan, *Opened.of(outputs))
    draw = getattr(result, f"to_{form}", None)
    if draw is None:
        raise Refusal("result.form", f"the result of {entry.name!r} has no {form} form",
                      remedy="write its tables with --out")  # fmt: skip
    return str(draw())


def disclosure(office: NodeOffice, job: Job) -> Document:
    """What was opened, to whom, and what each seat could see, from this node's own record of the job.

    A node that only asked, without a seat, data or a result, has no record; then ``openings`` is empty.
    """
    contract = contract_of(office, job)
    return disclosed(job, contract, () if contract is None else accounts(office, contract))


def disclosed(job: Job, contract: Contract | None, standing: Iterable[Account]) -> Document:
    """The same, where the job's contract and its accounts are known: of many jobs they are looked up once."""
    request = JobRequest.from_fields(job.request)
    facts = (job.result or {}).get("facts") or {}
    if contract is None:
        return {"job": job.job, "openings": facts.get("openings", []), "seats": [], "rows": {}}
    providers = providers_of(contract, request)
    rows = {
        provider: sum(
            d.capacity
            for d in contract.datasets
            if d.provider == provider and d.name in request.datasets
        )
        for provider in providers
    }
    seats = [
        {
            "seat": number,
            "party": party,
            "own_data": [d.name for d in contract.datasets
                         if d.provider == party and d.name in request.datasets],
            "receives_result": party in request.recipients,
        }
        for number, party in enumerate(contract.seats)
    ]  # fmt: skip
    return {
        "job": job.job,
        "contract": contract.id,
        "recipients": list(request.recipients),
        "epsilon": request.epsilon,
        "epsilon_join": request.epsilon_join,
        "openings": facts.get("openings", []),
        "seats": seats,
        "rows": rows,
        "spent": bool((job.result or {}).get("spent")),
        "accounts": [a.body() for a in standing if a.provider in providers],
        "work": facts.get("seat", {}),
    }


def bundle(office: NodeOffice, contract_id: str) -> Bundle:
    """The newest bundle of a contract, as it is stored."""
    return bundle_of(office.contract(contract_id))


def warm_up() -> None:
    """Compile the kernels, or load them from the disk where they were kept."""
    from hanse.catalog.warm import warm_up as warm_catalog  # noqa: PLC0415 (a second of imports)
    from hanse.engine.warm import warm_up as warm_engine  # noqa: PLC0415
    from hanse.learn.boosting.warm import warm_up as warm_boosting  # noqa: PLC0415

    warm_engine()
    warm_catalog()
    warm_boosting()
