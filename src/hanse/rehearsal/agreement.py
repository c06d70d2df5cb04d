"""The parties of a rehearsal and their contract: real keys and signatures, a gate and a ledger each."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hanse.catalog import Dataset, PackageSource
from hanse.clock import Clock
from hanse.contracts import Bundle, Contract
from hanse.contracts.accounting import composed, period_of
from hanse.errors import Fault
from hanse.gate import Gate
from hanse.ledger import Answers, Ledger, MemoryStore, Spend
from hanse.menu import MENU
from hanse.node.jobs.rosters import MemoryRosters, held
from hanse.node.models.parts import MemoryModels, ModelShelf
from hanse.rehearsal.description import Described

CONTRACT_ID = "rehearsal"
_MOST_DELTA = 1e-8


@dataclass(frozen=True)
class Terms:
    """What the parties of a rehearsal agree on, besides their datasets. Field names are the contract's."""

    k: int
    epsilon_per_query: float
    epsilon_budget: float
    join_epsilon: float
    join_budget: float
    period: str
    id_type: str
    seats: tuple[str, ...]
    roster_days: int = 0
    similar_questions: int = 10


@dataclass(frozen=True)
class Budget:
    """A provider's account of one kind in the current period: epsilons composed, and what they may reach."""

    provider: str
    towards: str  # "recipients" or "seats"
    spent: float
    allowed: float


class Member:
    """One party: its keys, its ledger, its rosters. ``signs`` and ``suspended`` are for rehearsing refusals."""

    def __init__(self, name: str, secret: bytes, clock: Clock) -> None:
        self.name = name
        self.key = Ed25519PrivateKey.from_private_bytes(secret)
        self.ledger = Ledger(MemoryStore(), self.key, clock)
        self._spend, self._answers = Spend(self.ledger), Answers(self.ledger)
        self.signs = True
        self.suspended = False
        self.rosters = MemoryRosters()
        self.models = ModelShelf(name, MemoryModels(), self.ledger, self.key, clock)
        self._clock = clock
        self._commitment_key = hashlib.sha256(b"hanse-commitment-v1|" + secret).digest()

    def __repr__(self) -> str:
        return f"<Member {self.name!r}>"

    @property
    def signing_key(self) -> str:
        """The public key, hexadecimal."""
        return self.key.public_key().public_bytes_raw().hex()

    def gate(self, bundle: Bundle) -> Gate:
        """This party's gate for the contract."""
        return Gate(
            self.name, bundle, self.ledger, self.key, self._clock,
            suspended=self.suspended, rehearsal=True,
            rosters=lambda request: held(
                self.rosters, bundle.contract, request, self.name, self._clock.now()
            ),
            models=lambda request: self.models.note(str(request.parameters.get("training", ""))),
            spend=self._spend, answers=self._answers,
        )  # fmt: skip

    def budgets(self, contract: Contract) -> tuple[Budget, Budget]:
        """This provider's accounts as its own ledger has them: towards recipients, towards seats."""
        privacy, join = contract.privacy, contract.join
        period = period_of(privacy.period, self._clock.now())
        balance = self._spend.balance(contract.id, period, self.name)
        return (
            Budget(self.name, "recipients", composed(balance.recipients, privacy.delta),
                   privacy.epsilon_budget),
            Budget(self.name, "seats", composed(balance.seats, join.delta), join.epsilon_budget),
        )  # fmt: skip

    def commitment(self, dataset: Dataset) -> str:
        """A keyed hash of the dataset's bytes and description ("" for a database), as a node makes it.

        Without paths: a table given in memory lies somewhere else at every rehearsal.
        """
        below = ""
        described = dataset.model_dump(mode="json", exclude={"source", "withdrawals", "derive"})
        if isinstance(dataset.source, PackageSource):  # its definition, over all that it is made of
            below = self.commitment(dataset.source.of)
            described["made of"] = [below, dataset.source.model_dump(mode="json", exclude={"of"})]
        path = getattr(dataset.source, "path", None)
        if path is None and not below:
            return ""
        mac = hmac.new(
            self._commitment_key, json.dumps(described, sort_keys=True).encode(), "sha256"
        )
        files = [
            *(_files(path) if path is not None else ()),
            *(w.path for w in dataset.withdrawals),
        ]
        if dataset.derive is not None:
            files.append(dataset.derive.schedule)
        for file in files:
            try:
                with file.open("rb") as stream:
                    mac.update(hashlib.file_digest(stream, "sha256").digest())
            except OSError as error:
                raise Fault(
                    "catalog.missing-file",
                    f"the file {file.name!r} of dataset {dataset.name!r} cannot be read",
                    remedy="put it back, or start a new rehearsal",
                    where=f"dataset {dataset.name}",
                    detail=str(error),
                ) from error
        return mac.hexdigest()


def _files(path: Path) -> Iterable[Path]:
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def agreed(
    terms: Terms, version: int, members: Mapping[str, Member], datasets: Sequence[Described],
    clock: Clock, gazetteers: Sequence[Mapping[str, Any]] = (),
    qualifications: Sequence[Mapping[str, Any]] = (), models: Sequence[Mapping[str, Any]] = (),
) -> Bundle:  # fmt: skip
    """The contract over these datasets, signed by every member that signs."""
    fields = _fields(terms, version, members, datasets, clock)
    contract = Contract.from_fields(
        {
            **fields,
            "gazetteers": list(gazetteers),
            "qualifications": list(qualifications),
            "models": list(models),
        }
    )
    bundle = Bundle(contract)
    for member in members.values():
        if member.signs:
            bundle = bundle.signed(member.name, member.key)
    return bundle


def _fields(
    terms: Terms, version: int, members: Mapping[str, Member], datasets: Sequence[Described],
    clock: Clock,
) -> dict[str, Any]:  # fmt: skip
    today = clock.now().date()
    people = max((d.clause["capacity"] for d in datasets), default=1)
    delta = min(_MOST_DELTA, 1 / (10 * people))
    recipients = sorted({d.provider for d in datasets})
    names = [d.dataset.name for d in datasets]
    return {
        "format": 1,
        "id": CONTRACT_ID,
        "version": version,
        "title": "A rehearsal",
        "purpose": "To try questions out before the parties agree on a contract",
        "starts": today - timedelta(days=1),
        "expires": today + timedelta(days=3650),
        "maximum_jobs": 1_000_000,
        "seats": list(terms.seats),
        "independence": "A rehearsal runs in one process: nobody is independent of anybody.",
        "retention_days": 1,
        "join": {
            "id_type": terms.id_type, "hash": _chain(datasets), "epsilon": terms.join_epsilon,
            "delta": delta, "epsilon_budget": terms.join_budget,
            "roster_days": terms.roster_days,
        },
        "privacy": {
            "k": terms.k, "epsilon_per_query": terms.epsilon_per_query,
            "epsilon_budget": terms.epsilon_budget, "delta": _MOST_DELTA, "period": terms.period,
            "similar_questions": terms.similar_questions,
        },
        "parties": [
            {
                "name": m.name, "organisation": f"{m.name} (rehearsal)",
                "signing_key": m.signing_key,
                "certificate": hashlib.sha256(m.signing_key.encode()).hexdigest(),
            }
            for m in members.values()
        ],
        "datasets": [d.clause for d in datasets],
        "computations": [
            {"name": name, "recipients": recipients, "datasets": names} for name in sorted(MENU)
        ],
    }  # fmt: skip


def _chain(datasets: Sequence[Described]) -> str:
    """The weakest pre-hashed form that any provider holds."""
    formats = {column.format for d in datasets for column in d.dataset.ids}
    return "md5+sha256" if formats & {"md5", "md5+sha256"} else "sha256"
