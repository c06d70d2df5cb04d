"""The way in: each node checks every job against its own copy of the contract and its own ledger.

Order of a job at one node: `admit` (contract, price, plan; the budget is reserved), `permit` (signed, bound
to the job's hash), the protocol, `commit` (before the first output leaves; from then on nothing is refunded),
or `abandon` (if it stopped before). No coordinator can do any of this for another node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hanse.clock import Clock
from hanse.contracts import (
    Bundle,
    Grant,
    History,
    JobRequest,
    ModelNote,
    Permit,
    RosterNote,
    Use,
    check,
    permitting_parties,
    sign_permit,
    verify_permits,
)
from hanse.contracts import Spend as Spent
from hanse.contracts.accounting import period_of
from hanse.contracts.crowds import CROWD_JOBS, CROWD_TRAIN
from hanse.contracts.model_check import trainings_of
from hanse.contracts.models import CONTRIBUTIONS, MODEL_JOBS, SCORE, SCORE_ONE, TRAIN
from hanse.contracts.requests import providers_of
from hanse.contracts.similarity import Sketch, similar, sketch_of
from hanse.errors import HanseError, Refusal
from hanse.gate.plan import ReleasePlan
from hanse.gate.record import Record
from hanse.gate.scores import ModelRelease
from hanse.ledger import Answer, Answers, Ledger, Refusals, Spend, Standing, answer_key
from hanse.wire.codec import digest

MOST_OUTPUTS_IN_LEDGER = 4000
_TRAININGS = (TRAIN, CONTRIBUTIONS, CROWD_TRAIN)


class Planned(Protocol):
    """What the gate needs to know of an analytic's plan: what it touches and what it opens."""

    @property
    def uses(self) -> tuple[Use, ...]: ...
    @property
    def release(self) -> ReleasePlan | ModelRelease: ...


class Gate:
    """One node's gate for one contract.

    ``rosters`` gives what the party holds of the roster that a job uses: None unless it has all its parts.
    ``models`` gives what it holds of the model that a job scores with.
    ``spend``, ``answers`` and ``refusals`` are the ledger's, kept between jobs so that it need not be read from its
    start again.
    """

    def __init__(
        self,
        party: str,
        bundle: Bundle,
        ledger: Ledger,
        key: Ed25519PrivateKey,
        clock: Clock,
        *,
        suspended: bool = False,
        rehearsal: bool = False,
        rosters: Callable[[JobRequest], RosterNote | None] = lambda _request: None,
        models: Callable[[JobRequest], ModelNote | None] = lambda _request: None,
        spend: Spend | None = None,
        answers: Answers | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        self.party = party
        self.bundle = bundle
        self._ledger = ledger
        self._spend = spend or Spend(ledger)
        self._answers = answers or Answers(ledger)
        self._refusals = refusals or Refusals(ledger, clock)
        self._key = key
        self._clock = clock
        self._suspended = suspended
        self._rehearsal = rehearsal
        self._rosters = rosters
        self._models = models

    def preview(self, request: JobRequest, planned: Planned, *, budget: bool = True) -> Grant:
        """What `admit` would say now, without reserving anything.

        Without ``budget`` only the terms are checked: a question that was answered before may be
        answered again from the record when the budget is gone.
        """
        self._match(request, planned)
        contract = self.bundle.contract
        now = self._clock.now()
        period = period_of(contract.privacy.period, now)
        providers = providers_of(contract, request)
        spent = {p: Spent(*_pair(self._spend.balance(contract.id, period, p))) for p in providers}
        used = self._spend.jobs_used(contract.id)
        asked = _sketches(self._spend.asked(contract.id, period))
        trained = self._spend.trainings(contract.id, _model_of(request))
        history = (
            History(used, spent, self._suspended, asked=asked, trainings=trained)
            if budget
            else History(suspended=self._suspended)
        )
        return check(self.bundle, request, self._holding(history, request), now)

    def _holding(self, history: History, request: JobRequest) -> History:
        """With what this party holds of the job's roster or model, if it must hold a part."""
        if request.computation in (SCORE, SCORE_ONE):
            owners = providers_of(self.bundle.contract, request)
            if self.party not in owners:
                return history
            return replace(history, holder=self.party, model=self._models(request))
        needed = permitting_parties(self.bundle.contract, request) if request.roster_job else ()
        if self.party not in needed:
            return history
        return replace(history, holder=self.party, roster=self._rosters(request))

    def similar(self, request: JobRequest) -> dict[str, str]:
        """The period's jobs at this node that asked almost the same, and how they differ."""
        contract = self.bundle.contract
        period = period_of(contract.privacy.period, self._clock.now())
        return similar(request, _sketches(self._spend.asked(contract.id, period)))

    def admit(self, request: JobRequest, planned: Planned) -> Grant:
        """Check the job and reserve its price; `Refusal` names the clause, and is noted."""
        try:
            return self._admit(request, planned)
        except Refusal as refusal:
            self._refusals.note(request.analyst, request.job_hash, refusal)
            raise

    def _admit(self, request: JobRequest, planned: Planned) -> Grant:
        self._match(request, planned)
        contract = self.bundle.contract
        now = self._clock.now()
        grants: list[Grant] = []

        def limit(standing: Standing) -> None:
            spent = {p: Spent(*_pair(b)) for p, b in standing.spent.items()}
            asked = _sketches(standing.asked)
            trained = standing.trainings
            history = History(
                standing.jobs_used, spent, self._suspended, asked=asked, trainings=trained
            )
            grants[:] = [check(self.bundle, request, self._holding(history, request), now)]

        self._spend.reserve(
            request.job_hash,
            contract=contract.id,
            period=period_of(contract.privacy.period, now),
            providers=providers_of(contract, request),
            epsilon=request.epsilon,
            epsilon_join=request.epsilon_join,
            limit=limit,
            asked=sketch_of(request).body(),
            model=_model_of(request) if request.computation in _TRAININGS else "",
            trainings=max(1, trainings_of(contract, request)),
        )
        return grants[0]

    def _match(self, request: JobRequest, planned: Planned) -> None:
        """The request must say exactly what its question amounts to here; nothing is taken on trust."""
        release = planned.release.checked(rehearsal=self._rehearsal)
        shapes = tuple(o.shape for o in request.outputs)
        same = (
            set(request.uses) == set(planned.uses)
            and shapes == release.shapes
            and request.epsilon == (release.epsilon if release.noise else 0)
            and request.noise == release.noise
            and release.k == self.bundle.contract.privacy.k
        )
        if request.computation in (*MODEL_JOBS, *CROWD_JOBS):
            # Its seats match rows at the plan's price, whatever the request says; and who reads is not the asker's
            # to choose: a party left out would work for a model that only others keep.
            same = (
                same
                and request.epsilon_join == getattr(planned, "epsilon_join", 0.0)
                and set(request.recipients) == set(getattr(planned, "recipients", ()))
            )
        if not same:
            raise Refusal(
                "gate.request",
                "the request does not say what its question amounts to (columns, outputs, epsilon, recipients, k)",
                remedy="check that all nodes run the same Hanse version and hold the same contract",
                where=f"job {request.job_hash[:16]}",
            )

    def permit(self, request: JobRequest) -> Permit:
        """This party's signed permit for the job it has admitted."""
        permit = sign_permit(self.bundle.contract, request.job_hash, self.party, self._key)
        self._ledger.append("permit", {"job": request.job_hash, "party": self.party})
        return permit

    def require_permits(self, request: JobRequest, permits: Iterable[Permit]) -> None:
        """`Refusal` or `Foul` unless every seat and provider permitted this very job; the permits are kept."""
        given = list(permits)
        required = permitting_parties(self.bundle.contract, request)
        verify_permits(self.bundle.contract, request.job_hash, given, required)
        signatures = {permit.party: permit.signature for permit in given}
        self._ledger.append("permits", {"job": request.job_hash, "signatures": signatures})

    def commit(self, request: JobRequest, record: Record) -> None:
        """Debit the price and write the disclosure; when this returns, outputs may leave."""
        self._spend.commit(request.job_hash)
        self._ledger.append(
            "disclosure",
            {"job": request.job_hash, "record": record.digest(), "openings": record.body()},
        )

    def abandon(self, request: JobRequest, reason: HanseError, *, joined: bool = False) -> None:
        """The job stopped: give the price back unless it was committed. Never raises for the state.

        If seats may have seen the alignment (``joined``), its price stays.
        """
        held = self._spend.reservation(request.job_hash)
        if held is not None and held.state == "reserved":
            self._spend.release(request.job_hash, reason.code, joined=joined)

    def is_spent(self, request: JobRequest) -> bool:
        """Whether this node has committed the job's price."""
        held = self._spend.reservation(request.job_hash)
        return held is not None and held.state == "committed"

    def recorded(self, request: JobRequest) -> Answer | None:
        """The answer to the same question over the same data, if this node has it: costs nothing."""
        key = self._key_of(request)
        return None if key is None else self._answers.find(key)

    def record_answer(self, request: JobRequest, outputs: Sequence[int | None]) -> None:
        """Keep what was opened, if the data it came from can be named.

        A long answer leaves only its digest in the ledger; the node's store keeps the figures.
        """
        key = self._key_of(request)
        if key is not None:
            value: dict[str, Any] = {"digest": digest(list(outputs))}
            if len(outputs) <= MOST_OUTPUTS_IN_LEDGER:
                value["outputs"] = list(outputs)
            self._answers.record(key, request.job_hash, value)

    @staticmethod
    def _key_of(request: JobRequest) -> str | None:
        complete = set(request.commitments) == set(request.datasets)
        if not complete or not all(request.commitments.values()):
            return None
        return answer_key(request.question(), request.commitments)


def _sketches(asked: Mapping[str, Mapping[str, Any]]) -> dict[str, Sketch]:
    return {job: Sketch.of(body) for job, body in asked.items()}


def _model_of(request: JobRequest) -> str:
    if request.computation in CROWD_JOBS:
        return str(request.parameters.get("crowd", ""))
    return str(request.parameters.get("model", "")) if request.computation in MODEL_JOBS else ""


def _pair(balance: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return balance.recipients, balance.seats
