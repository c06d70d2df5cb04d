"""The node's records put to use: contracts, datasets, partners, jobs; what runners and faces ask of it."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hanse.align import Part
from hanse.catalog import Dataset, PackageSource, Profile, parse_dataset, read_rows, register
from hanse.clock import Clock
from hanse.contracts import Bundle, Contract, JobRequest, Library, contract_signed
from hanse.contracts import Dataset as ContractDataset
from hanse.entropy import SystemEntropy
from hanse.errors import Fault, Refusal
from hanse.gate import Gate
from hanse.ledger import Answer, Answers, Ledger, Spend
from hanse.node.crowd_days.home import FOLDER, CrowdDesk
from hanse.node.crowds import CrowdShelf
from hanse.node.identity.cards import IdentityCard
from hanse.node.identity.invitations import same_digits
from hanse.node.identity.keys import Identity
from hanse.node.identity.partners import Directory, Partner
from hanse.node.jobs.roles import Job
from hanse.node.jobs.rosters import (
    FolderRosters,
    Keeper,
    MemoryRosters,
    Rosters,
    all_ids,
    end_expired,
    held,
)
from hanse.node.models.desk import ModelDesk
from hanse.node.models.parts import ModelShelf, SqlModels
from hanse.node.people.reviews import Review, record_review, require_approvals
from hanse.node.places import PlaceShelf
from hanse.node.storage.jobs import Job as StoredJob
from hanse.node.storage.store import Store, StoredContract
from hanse.wire.codec import digest

Document = dict[str, Any]
OPEN_STATES = ("admitted", "running")
LIVE, PENDING, SUSPENDED, ENDED = "live", "pending", "suspended", "ended"


class NodeOffice:
    """One node's office. Thread-safe; the command line uses it beside a running node."""

    def __init__(
        self, identity: Identity, store: Store, clock: Clock, shelf: PlaceShelf | None = None,
        rosters: Rosters | None = None, reviewers: Iterable[str] = (), scores: Path | None = None,
    ) -> None:  # fmt: skip
        self.reviewers = tuple(reviewers)
        self.party = identity.party
        self.identity = identity
        self.store = store
        self.ledger = Ledger(store.ledger, identity.signing_key, clock)
        self._spend, self._answers = Spend(self.ledger), Answers(self.ledger)
        self._shelf = shelf
        self.rosters: Rosters = MemoryRosters() if rosters is None else rosters
        self._clock = clock
        self.crowds = CrowdShelf(store, self.ledger, clock, self._registered)
        self.models = ModelShelf(
            self.party, SqlModels(store.database), self.ledger, identity.signing_key, clock
        )
        self.desk = ModelDesk(
            self.party, self.models, self.dataset, clock, SystemEntropy(), scores,
            lambda request, line: self.log(request, "info", line),
        )  # fmt: skip
        self.desk.crowds = CrowdDesk(
            self.party, self.models, self.dataset, self.library, lambda: store.publications, clock, SystemEntropy(),
            None if scores is None else scores.parent / FOLDER, self.desk.tell,
        )  # fmt: skip
        self._progress: dict[str, dict[str, tuple[str, float]]] = {}
        self._lock = threading.Lock()

    @property
    def spend(self) -> Spend:
        """The budgets' books, read once and followed: many looks cost little."""
        return self._spend

    # --- partners -------------------------------------------------------------------------------

    def directory(self) -> Directory:
        """The partner directory as it is stored."""
        return Directory(self.store.partners.all())

    def add_partner(self, partner: Partner) -> None:
        """Add or replace a partner, and note it in the ledger."""
        if partner.name == self.party:
            raise Refusal("partner.self", f"{partner.name!r} is this node itself",
                          remedy="add the cards of the other organisations")  # fmt: skip
        known = Directory(p for p in self.store.partners.all() if p.name != partner.name)
        known.put(partner)
        self.store.partners.put(partner, self._clock.now())
        self.ledger.append(
            "partner",
            {"party": partner.name, "certificate": partner.fingerprint,
             "signing_key": partner.card.signing_key, "confirmed": partner.is_confirmed},
        )  # fmt: skip

    def partner(self, name: str) -> Partner:
        """The partner of that name; `Refusal` ``partner.unknown`` naming those there are."""
        found = next((p for p in self.store.partners.all() if p.name == name), None)
        if found is None:
            known = ", ".join(p.name for p in self.store.partners.all()) or "none"
            raise Refusal("partner.unknown", f"{self.party} has no partner {name[:64]!r}",
                          remedy=f"use one of those there are ({known})")  # fmt: skip
        return found

    def confirm_partner(self, name: str, digits: str) -> Partner:
        """Note that people compared the digits of a partner's card; `Refusal` ``partner.digits`` if they differ."""
        partner = self.partner(name)
        if not same_digits(partner.card, digits):
            raise Refusal("partner.digits", f"the digits are not those of the card that this node has of {name}",
                          remedy="let the partner read out the digits of its card again; if they still differ, "
                          "somebody is between you: remove it and ask for the card by another way")  # fmt: skip
        partner = replace(partner, confirmed=partner.card.spoken)
        self.add_partner(partner)
        return partner

    def revoke_partner(self, name: str, reason: str) -> list[str]:
        """Forget a partner and suspend every contract with it, at once; the contracts' ids."""
        self.partner(name)
        self.remove_partner(name)
        suspended = []
        for stored in self.store.contracts.all():
            with_it = bundle_of(stored).contract.party(name) is not None
            if with_it and stored.state in (LIVE, PENDING) and stored.id not in suspended:
                self.set_state(stored.id, SUSPENDED, f"partner {name} revoked: {reason}")
                suspended.append(stored.id)
        return suspended

    def remove_partner(self, name: str) -> None:
        """Forget a partner; its link ends. `Refusal` if there is none of that name."""
        self.partner(name)
        self.store.partners.remove(name)
        self.ledger.append("partner", {"party": name, "removed": True})

    def renew_partner(self, party: str, card: IdentityCard) -> Partner:
        """Take in a partner's new certificate, for which its known signing key vouches.

        Raises `Refusal` ``partner.renewal`` for a card of another party or key, or an older certificate.
        """
        known = next((p for p in self.store.partners.all() if p.name == party), None)
        if known is None or (card.party, card.signing_key) != (party, known.card.signing_key):
            raise Refusal("partner.renewal", f"{party} sent a card that its known signing key does not vouch for",
                          remedy="send a new card as a file, and compare its digits by telephone")  # fmt: skip
        if card.x509().not_valid_before_utc < known.card.x509().not_valid_before_utc:
            raise Refusal("partner.renewal", f"{party} sent an older certificate than the one known here",
                          remedy="send the card of the certificate in use")  # fmt: skip
        partner = replace(known, card=card, confirmed=card.spoken if known.is_confirmed else "")
        self.add_partner(partner)
        return partner

    # --- places ---------------------------------------------------------------------------------

    @property
    def shelf(self) -> PlaceShelf:
        """The lists of places; `Fault` where the office was opened without its folder."""
        if self._shelf is None:
            raise Fault("gazetteer.folder", "this node's folder of places is not known here",
                        remedy="open the node by its folder")  # fmt: skip
        return self._shelf

    def library(self) -> Library:
        """The lists of places that this node brings to planning."""
        return self._shelf.library() if self._shelf is not None else Library()

    # --- datasets -------------------------------------------------------------------------------

    def register_dataset(self, document: Document) -> Profile:
        """Check, profile and remember a dataset. Raises what `catalog.register` raises."""
        dataset = parse_dataset(document)
        if dataset.name in self.crowds.names():
            raise Refusal("dataset.name", f"there is a crowd package {dataset.name!r}; contracts could not "
                          "tell them apart", remedy="give the dataset another name")  # fmt: skip
        profile = register(dataset)
        registration = {"dataset": dataset.model_dump(mode="json"),
                        "profile": profile.model_dump(mode="json")}  # fmt: skip
        self.store.datasets.put(dataset.name, registration, self._clock.now())
        self.ledger.append(
            "dataset",
            {"name": dataset.name, "classification": dataset.classification,
             "columns": [c.name for c in dataset.columns], "legal_basis": dataset.legal_basis},
        )  # fmt: skip
        return profile

    def dataset(self, name: str) -> Dataset:
        """A registered dataset, or the members of a crowd package; `Fault` naming those there are.

        `Refusal` ``crowd.expired`` or ``crowd.changed`` for a package that cannot serve now.
        """
        return self.crowds.dataset(name) if name in self.crowds.names() else self._registered(name)

    def _registered(self, name: str) -> Dataset:
        found = self.store.datasets.get(name)
        if found is None:
            known = ", ".join(d.name for d in self.store.datasets.all()) or "none"
            raise Fault(
                "dataset.unregistered",
                f"{self.party} has not registered the dataset {name!r}",
                remedy=f"register it with 'hanse dataset add' under this name (registered: {known})",
                where=f"dataset {name}",
            )
        return parse_dataset(found.registration["dataset"])

    def prepare(self, dataset: ContractDataset, bundle: Bundle) -> str:
        """Check that the contract's dataset is here and fits; its commitment ("" for a database)."""
        return self._commitment(self.fitting(dataset, bundle))

    def fitting(self, dataset: ContractDataset, bundle: Bundle) -> Dataset:
        """The registered dataset, checked to fit the contract's."""
        mine = self.dataset(dataset.name)
        for column in dataset.columns:
            have = next((c for c in mine.columns if c.name == column.name), None)
            if have is None or have.kind != column.kind:
                found = "missing" if have is None else f"a column of kind {have.kind}"
                raise Fault(
                    "dataset.column",
                    f"column {column.name!r} of {dataset.name!r} is {found} at {self.party}, "
                    f"the contract says {column.kind}",
                    remedy="register the dataset again with this column, or agree on the contract",
                    where=f"dataset {dataset.name}, column {column.name}",
                )
        join = bundle.contract.join.id_type
        if all(i.type != join for i in mine.ids):
            raise Fault(
                "dataset.id-type",
                f"{dataset.name!r} has no id column of type {join!r}, on which the contract joins",
                remedy="register the dataset again with such a column",
                where=f"dataset {dataset.name}",
            )
        self._check_capacity(dataset, join)
        return mine

    def _check_capacity(self, dataset: ContractDataset, id_type: str) -> None:
        """A dataset must fit its capacity whatever is asked of it.

        Else a question fails exactly if more people meet it than the capacity, and that is a count.
        """
        found = self.store.datasets.get(dataset.name)
        ids = found.registration["profile"]["ids"] if found is not None else {}
        people = [int(p["distinct"]) for p in ids.values() if p["type"] == id_type]
        if people and min(people) > dataset.capacity:
            raise Fault(
                "catalog.capacity",
                f"dataset {dataset.name!r} was registered with more people than its declared capacity of "
                f"{dataset.capacity}",
                remedy="sign a contract version with a larger capacity, or register a smaller dataset",
                where=f"dataset {dataset.name}",
            )

    def _commitment(self, dataset: Dataset) -> str:
        """A keyed hash of the source's bytes: equal data, equal commitment; tells others nothing else."""
        below = ""
        if isinstance(dataset.source, PackageSource):  # its definition, over all that it is made of
            below = self._commitment(dataset.source.of)
        path = getattr(dataset.source, "path", None)
        if path is None and not below:
            return ""
        secret = self.identity.signing_key.private_bytes(
            Encoding.Raw, PrivateFormat.Raw, NoEncryption()
        )
        mac = hmac.new(
            hashlib.sha256(b"hanse-commitment-v1|" + secret).digest(), digestmod="sha256"
        )
        mac.update(json.dumps(dataset.model_dump(mode="json"), sort_keys=True).encode())
        mac.update(below.encode())
        files = [w.path for w in dataset.withdrawals]
        if dataset.derive is not None:
            files.append(dataset.derive.schedule)
        for file in (*(_files(Path(path)) if path is not None else ()), *files):
            try:
                with Path(file).open("rb") as stream:
                    mac.update(hashlib.file_digest(stream, "sha256").digest())
            except OSError as error:
                raise Fault(
                    "catalog.missing-file",
                    f"a file of dataset {dataset.name!r} cannot be read at {self.party}",
                    remedy=f"{self.party} must put the file back or register the dataset again",
                    where=f"dataset {dataset.name}",
                    detail=str(error),
                ) from error
        return mac.hexdigest()

    def rows(self, job: Job) -> list[Part]:
        """This provider's people for the job; what was dropped is told in this node's own log."""
        names = {u.dataset for u in job.request.uses}
        mine = {d.name for d in job.contract.datasets if d.provider == self.party} & names
        datasets = {name: self.dataset(name) for name in mine}

        def read(dataset: Dataset, request: Any) -> Any:
            people = read_rows(dataset, request)
            report = people.report
            self.log(
                job.request, "info",
                f"{dataset.name}: {report.source_rows} rows read, {report.people} people shared, "
                f"{sum(report.ids.invalid.values())} invalid and {report.ids.empty} empty ids, "
                f"{report.withdrawn} withdrawn, {report.without_events} without a matching event",
            )  # fmt: skip
            return people

        parts: list[Part] = job.entry.rows(job.plan, job.contract, self.party, datasets, read)
        return parts

    # --- rosters --------------------------------------------------------------------------------

    def keeper(self, job: Job) -> Keeper:
        """This node's rosters as the roles of a job use them; what they say goes into the job's log here."""

        def everybody() -> list[Any]:
            mine = {d.name for d in job.contract.datasets if d.provider == self.party}
            datasets = {n: self.dataset(n) for n in job.request.datasets if n in mine}
            return all_ids(job.contract, job.request, datasets, read_rows)

        def tell(line: str) -> None:
            self.log(job.request, "info", line)

        return Keeper(self.party, self.rosters, self._clock, everybody, tell)

    def end_rosters(self) -> list[str]:
        """Delete rosters that expired, or whose contract ended here or has a newer version; their names."""
        if isinstance(self.rosters, FolderRosters):
            self.rosters.sweep()
        if not self.rosters.notes():
            return []
        contracts = self.store.contracts.all()
        live = {c.id: c.version for c in contracts if c.state == LIVE}
        ended = [
            c.hash for c in contracts if c.state == ENDED or c.version < live.get(c.id, c.version)
        ]
        return [note.name for note in end_expired(self.rosters, self._clock.now(), ended)]

    # --- contracts ------------------------------------------------------------------------------

    def import_bundle(self, bundle: Bundle) -> StoredContract:
        """Keep a contract, or add the signatures that a bundle brings; `Refusal` if it is not ours."""
        contract = bundle.contract
        me = contract.party(self.party)
        if me is None:
            raise Refusal("contract.party", f"{self.party} is not a party to {contract.id!r}",
                          remedy="import contracts that name this organisation")  # fmt: skip
        self._check_own(contract)
        wrong = [p for p, s in bundle.signatures.items() if not contract_signed(contract, p, s)]
        if wrong:
            raise Refusal("contract.signature", f"the signature of {', '.join(wrong)} does not fit",
                          remedy="ask for the bundle again", where=f"contract {contract.id}")  # fmt: skip
        known = self.store.contracts.get(contract.id, contract.version)
        if known is not None:
            bundle = bundle_of(known).merged(bundle)
        state = known.state if known is not None and known.state in (SUSPENDED, ENDED) else (
            PENDING if bundle.missing() else LIVE
        )  # fmt: skip
        self._keep(bundle, state)
        if known is None or set(bundle_of(known).signatures) != set(bundle.signatures):
            self.ledger.append(
                "contract",
                {"id": contract.id, "version": contract.version, "hash": contract.hash,
                 "state": state, "signed": sorted(bundle.signatures)},
            )  # fmt: skip
        return self.contract(contract.id)

    def sign(self, contract_id: str) -> Bundle:
        """Add this party's signature; `Refusal` ``contract.review`` while a department here has not approved."""
        bundle = bundle_of(self.contract(contract_id))
        require_approvals(self.ledger, bundle.contract, self.reviewers)
        signed = bundle.signed(self.party, self.identity.signing_key)
        self.import_bundle(signed)
        return signed

    def review(
        self, contract_id: str, department: str, verdict: str, comment: str = "", by: str = ""
    ) -> Review:
        """A department's word on the newest version of a contract. Raises as `record_review`."""
        contract = bundle_of(self.contract(contract_id)).contract
        return record_review(self.ledger, contract, department, verdict, comment, by)

    def contract(self, contract_id: str) -> StoredContract:
        """The newest version; `Refusal` naming those there are."""
        found = self.store.contracts.get(contract_id)
        if found is None:
            known = ", ".join(sorted({c.id for c in self.store.contracts.all()})) or "none"
            raise Refusal(
                "contract.unknown",
                f"{self.party} has no contract {contract_id!r}",
                remedy=f"import it with 'hanse contract import' (there are: {known})",
            )
        return found

    def bundle(self, contract_id: str) -> Bundle:
        """The bundle that jobs run under; `Refusal` if a partner's keys are not those that the contract names.

        The newest version that all have signed serves until all have signed the next one: a draft, which any
        party may push, must not end what is agreed.
        """
        newest = self.contract(contract_id)
        versions = self.store.contracts.all(contract_id)
        agreed = [c for c in versions if c.state != PENDING]
        bundle = bundle_of(agreed[-1] if agreed else newest)
        self._check_own(bundle.contract)
        for party in bundle.contract.parties:
            partner = next((p for p in self.store.partners.all() if p.name == party.name), None)
            if partner is None or party.name == self.party:
                continue
            # The signing key vouches for the certificate of the day (its card is signed with it).
            if partner.card.signing_key != party.signing_key:
                raise Refusal(
                    "contract.partner",
                    f"the keys of {party.name} in contract {contract_id!r} are not those on its "
                    f"identity card at {self.party}",
                    remedy="compare the card's fingerprint with the partner by telephone, then "
                    "correct the contract or the partner's card",
                    where=f"party {party.name}",
                )
        return bundle

    def gate(self, bundle: Bundle) -> Gate:
        """This node's gate for the contract."""
        state = self.contract(bundle.contract.id).state
        return Gate(
            self.party, bundle, self.ledger, self.identity.signing_key, self._clock,
            suspended=state in (SUSPENDED, ENDED),
            rosters=lambda request: held(
                self.rosters, bundle.contract, request, self.party, self._clock.now()
            ),
            models=lambda request: self.models.note(str(request.parameters.get("training", ""))),
            spend=self._spend, answers=self._answers,
        )  # fmt: skip

    def set_state(self, contract_id: str, state: str, reason: str) -> None:
        """Suspend, resume or end a contract at this node; holds from the next job on."""
        stored = self.contract(contract_id)
        bundle = bundle_of(stored)
        if state == LIVE and bundle.missing():
            state = PENDING
        self._keep(bundle, state)
        self.ledger.append("contract", {"id": contract_id, "hash": stored.hash, "state": state,
                                        "reason": reason[:500]})  # fmt: skip
        self.end_rosters()

    def _keep(self, bundle: Bundle, state: str) -> None:
        contract = bundle.contract
        self.store.contracts.put(
            contract.id, contract.version, hash=contract.hash, state=state,
            bundle=json.loads(bundle.to_json()), at=self._clock.now(),
        )  # fmt: skip

    def _check_own(self, contract: Contract) -> None:
        me = contract.party(self.party)
        card = self.identity.card
        if me is not None and me.signing_key != card.signing_key:
            raise Refusal(
                "contract.key",
                f"contract {contract.id!r} names other keys for {self.party} than this node has",
                remedy="put this node's identity card into the contract and let all sign again",
                where=f"party {self.party}",
            )

    # --- jobs -----------------------------------------------------------------------------------

    def job_started(self, request: JobRequest, roles: list[str]) -> None:
        """Remember an admitted job."""
        self.store.jobs.create(
            request.job_hash, request.attempt, contract=request.contract_hash,
            request=request.fields(), state="admitted", at=self._clock.now(),
        )  # fmt: skip
        self.log(request, "info", f"admitted as {', '.join(roles)}; asked by {request.analyst}")

    def job_progress(self, job: str, role: str, step: str, share: float) -> None:
        """Note where a role is. In memory only: progress is not history."""
        with self._lock:
            self._progress.setdefault(job, {})[role] = (step, share)

    def progress(self, job: str) -> dict[str, tuple[str, float]]:
        """(step, share done) by role."""
        with self._lock:
            return dict(self._progress.get(job, {}))

    def progress_for(self, party: str, job: str) -> Document:
        """`progress` for a party of the job's contract; nothing for anybody else."""
        stored = self.store.jobs.get(job)
        contract = self.store.contracts.by_hash(stored.contract) if stored is not None else None
        if contract is None or bundle_of(contract).contract.party(party) is None:
            return {}
        return {role: [step, share] for role, (step, share) in self.progress(job).items()}

    def seats_of(self, job: str) -> tuple[str, ...]:
        """Who holds the seats of a job that this node knows."""
        contract = self.store.contracts.by_hash(self.job(job).contract)
        return bundle_of(contract).contract.seats if contract is not None else ()

    def newest_job(self, contract: str = "", after: str = "") -> str:
        """The last job that this node asked for (under ``contract``), "" if there is none after ``after``."""
        for stored in self.store.jobs.all(limit=20):
            if stored.job == after:
                return ""
            request = stored.request
            if request["analyst"] == self.party and contract in ("", request["contract_id"]):
                return stored.job
        return ""

    def job_ended(self, job: str, state: str, **facts: Any) -> None:
        """Write down how the job ended."""
        stored = self.job(job)
        request = JobRequest.from_fields(stored.request)
        now = self._clock.now()
        result = {
            "result": facts.get("result"),
            "facts": facts.get("facts"),
            "spent": facts.get("spent"),
            "opened": facts.get("opened"),
        }
        self.store.jobs.move(
            stored.job, stored.attempt, of=OPEN_STATES, to=state, finished=now, result=result,
            error=facts.get("error"),
        )  # fmt: skip
        error = facts.get("error")
        note = (
            f"ended: {state}"
            if not error
            else f"ended: {state} [{error['code']}] {error['message']}"
        )
        self.log(request, "info" if state == "done" else "error", note)
        self.ledger.append(
            "job",
            {"job": job, "state": state, "spent": bool(facts.get("spent")),
             "analyst": request.analyst, "computation": request.computation,
             "error": error["code"] if error else ""},
        )  # fmt: skip
        with self._lock:
            self._progress.pop(job, None)

    def outputs_of(self, answer: Answer) -> list[int | None] | None:
        """The opened outputs of a recorded answer; None if the store has lost those of a long one."""
        outputs = answer.value.get("outputs")
        if outputs is None:
            stored = self.store.jobs.get(answer.job)
            outputs = ((stored.result if stored else None) or {}).get("opened")
        if outputs is None or digest(list(outputs)) != answer.value.get("digest"):
            return None
        return list(outputs)

    def job(self, prefix: str) -> StoredJob:
        """The job whose hash starts with ``prefix`` (at least 6 digits, or all of a shorter list)."""
        found = self.store.jobs.get(prefix)
        if found is not None:
            return found
        matching = [j for j in self.store.jobs.all() if j.job.startswith(prefix)] if prefix else []
        if len({j.job for j in matching}) != 1:
            raise Refusal(
                "job.unknown",
                f"{'no job' if not matching else 'more than one job'} starts with {prefix!r}",
                remedy="see 'hanse job list'",
            )
        return matching[0]

    def log(self, request: JobRequest, level: str, message: str) -> None:
        """Add to the job's log at this node. Never an id or a share."""
        self.store.jobs.log(request.job_hash, request.attempt, level, message, self._clock.now())

    def recover(self) -> tuple[str, ...]:
        """After a restart: jobs that were under way have failed, and unspent budget is given back."""
        released = Spend(self.ledger).release_dead()
        for stored in self.store.jobs.all(states=OPEN_STATES):
            error = Fault("node.restarted", f"the node of {self.party} stopped while the job ran",
                          remedy="rerun the job").public()  # fmt: skip
            self.job_ended(stored.job, "failed", error=error, spent=stored.job not in released)
        return released


def _files(path: Path) -> Iterable[Path]:
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.is_file())
    return [path]


def bundle_of(stored: StoredContract) -> Bundle:
    """The bundle of a stored contract."""
    return Bundle.from_json(json.dumps(stored.bundle))
