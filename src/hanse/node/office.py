"""The node's records put to use: partners, contracts, rosters; and the shelves and books beside them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from hanse.align import Part
from hanse.catalog import Dataset, Profile, read_rows
from hanse.clock import Clock
from hanse.contracts import Bundle, Contract, Library, contract_signed
from hanse.entropy import SystemEntropy
from hanse.errors import Fault, Refusal
from hanse.gate import Gate
from hanse.ledger import Answers, Ledger, Refusals, Spend
from hanse.node.crowd_days.home import FOLDER, CrowdDesk
from hanse.node.datasets import DatasetShelf
from hanse.node.identity.cards import IdentityCard
from hanse.node.identity.invitations import same_digits
from hanse.node.identity.keys import Identity
from hanse.node.identity.partners import Directory, Partner
from hanse.node.jobs.book import JobBook
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
from hanse.node.storage.contracts import ENDED, LIVE, PENDING, SUSPENDED, bundle_of
from hanse.node.storage.jobs import Job as StoredJob
from hanse.node.storage.store import Store, StoredContract

Document = dict[str, Any]

__all__ = ["ENDED", "LIVE", "PENDING", "SUSPENDED", "NodeOffice", "bundle_of"]


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
        self.refusals = Refusals(self.ledger, clock)
        self._shelf = shelf
        self.rosters: Rosters = MemoryRosters() if rosters is None else rosters
        self._clock = clock
        self.book = JobBook(self.party, store, self.ledger, clock)
        self.datasets = DatasetShelf(identity, store, self.ledger, clock)
        self.crowds = self.datasets.crowds
        self.models = ModelShelf(
            self.party, SqlModels(store.database), self.ledger, identity.signing_key, clock
        )
        self.desk = ModelDesk(
            self.party, self.models, self.dataset, clock, SystemEntropy(), scores,
            lambda request, line: self.book.log(request, "info", line),
        )  # fmt: skip
        self.desk.crowds = CrowdDesk(
            self.party, self.models, self.dataset, self.library, lambda: store.publications, clock, SystemEntropy(),
            None if scores is None else scores.parent / FOLDER, self.desk.tell,
        )  # fmt: skip

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
        if card == known.card:  # it is sent again: nothing to take in, and nothing to write
            return known
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
        """Check, profile and remember a dataset; see `DatasetShelf.register`."""
        return self.datasets.register(document)

    def dataset(self, name: str) -> Dataset:
        """A registered dataset, or the members of a crowd package; see `DatasetShelf.get`."""
        return self.datasets.get(name)

    # --- jobs -----------------------------------------------------------------------------------

    def job(self, prefix: str) -> StoredJob:
        """The job whose hash starts with ``prefix``; see `JobBook.get`."""
        return self.book.get(prefix)

    def rows(self, job: Job) -> list[Part]:
        """This provider's people for the job; what was dropped is told in this node's own log."""
        names = {u.dataset for u in job.request.uses}
        mine = {d.name for d in job.contract.datasets if d.provider == self.party} & names
        datasets = {name: self.dataset(name) for name in mine}

        def read(dataset: Dataset, request: Any) -> Any:
            people = read_rows(dataset, request)
            report = people.report
            self.book.log(
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
            self.book.log(job.request, "info", line)

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
            spend=self._spend, answers=self._answers, refusals=self.refusals,
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
