"""Asking for a job across the federation: draft, prepare, admit, start, wait; and telling all if it is given up."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as futures_wait
from dataclasses import dataclass, replace
from typing import Any, Protocol

from hanse import menu
from hanse.align import Part
from hanse.clock import Clock
from hanse.contracts import Bundle, JobRequest, Library, permitting_parties
from hanse.contracts.requests import providers_of
from hanse.contracts.rosters import note_of
from hanse.entropy import Entropy
from hanse.errors import Fault, Foul, HanseError, Refusal, from_public
from hanse.gate import Gate
from hanse.gate.release import Opened
from hanse.ledger import Refusals
from hanse.node.datasets import DatasetShelf
from hanse.node.jobs.book import JobBook
from hanse.node.jobs.roles import Job, request_for
from hanse.node.jobs.rosters import Keeper, Rosters, newest
from hanse.node.jobs.running import USUAL_REMEDY, Running, UnderWay
from hanse.node.models.desk import ModelDesk
from hanse.node.models.training import model_request
from hanse.node.transport.exchange import Exchange
from hanse.node.transport.greeting import reported
from hanse.node.transport.links import stopping

_log = logging.getLogger("hanse.node.jobs.runner")
Document = dict[str, Any]
Watcher = Callable[[str, float], None]
HOLD_SECONDS = 60.0  # how long an admitted job may wait for its start
_FAREWELL_SECONDS = 1.0  # how long an error waits for the others to hear that the job is given up


class Office(Protocol):
    """What a runner needs of its node: records, data, and a place to write down what happens."""

    party: str
    refusals: Refusals
    rosters: Rosters

    def bundle(self, contract_id: str) -> Bundle:
        """The contract, or `Refusal` ``contract.unknown``."""
        ...

    def gate(self, bundle: Bundle) -> Gate:
        """This node's gate for the contract."""
        ...

    def library(self) -> Library:
        """The lists of places that this node holds."""
        ...

    @property
    def datasets(self) -> DatasetShelf:
        """What this node can bring, checked to fit a contract."""
        ...

    @property
    def book(self) -> JobBook:
        """Where what happens to jobs is written down."""
        ...

    def rows(self, job: Job) -> list[Part]:
        """This provider's people for the job."""
        ...

    def keeper(self, job: Job) -> Keeper:
        """This node's rosters, for the job's roles."""
        ...

    @property
    def desk(self) -> ModelDesk:
        """What this node brings to model jobs and takes home from them."""
        ...


@dataclass(frozen=True)
class Question:
    """What an analyst asks for."""

    contract: str
    computation: str
    parameters: Document
    epsilon: float
    recipients: tuple[str, ...] = ()
    attempt: int = 1
    roster: str = ""  # the name of a roster to use, or to make if there is none of that name
    asked: str = ""  # the id whose score is wanted; it stays at this node, and is in no request


@dataclass(frozen=True)
class Outcome:
    """How a job ended for the one who asked. ``result`` is None unless this node is a recipient."""

    job: str
    state: str
    result: Document | None
    recorded: bool = False


class Asker:
    """The asking half of a node's jobs. The other half answers (`jobs.Runner`), this node's own questions too."""

    def __init__(self, office: Office, exchange: Exchange, clock: Clock, entropy: Entropy) -> None:
        self._office = office
        self._exchange = exchange
        self._clock = clock
        self._entropy = entropy
        self._under_way = UnderWay()
        self._askers = ThreadPoolExecutor(16, thread_name_prefix="hanse-ask")

    def answer(self, party: str, document: Document) -> Document:
        """Answer a partner's (or this node's own) request about a job."""
        raise NotImplementedError

    def draft(self, question: Question, commitments: dict[str, str]) -> tuple[JobRequest, Any]:
        """The request and plan that a question amounts to; `Refusal` if this node would refuse it."""
        bundle = self._office.bundle(question.contract)
        contract = bundle.contract
        entry = menu.entry(question.computation)
        plan = entry.planned(
            question.parameters, contract, question.epsilon, True, self._office.library()
        )
        if entry.model:
            request = model_request(
                contract, plan, computation=question.computation, parameters=question.parameters,
                analyst=self._office.party, attempt=question.attempt, created=self._clock.now(),
                nonce=self._entropy.take(16).hex(), commitments=commitments,
            )  # fmt: skip
            return request, plan
        computation = contract.computation(question.computation)
        allowed = computation.recipients if computation else ()
        roster = None
        if question.roster:
            roster = newest(self._office.rosters, contract, question.roster)
        request = request_for(
            contract,
            plan,
            computation=question.computation,
            parameters=question.parameters,
            analyst=self._office.party,
            epsilon=question.epsilon,
            recipients=question.recipients or allowed,
            attempt=question.attempt,
            created=self._clock.now(),
            nonce=self._entropy.take(16).hex(),
            commitments=commitments,
            roster=question.roster,
            roster_job="" if roster is None else roster.job,
        )
        return request, plan

    def ask(self, question: Question, watch: Watcher = lambda _step, _share: None) -> Outcome:
        """Run a job across the federation and wait for its end.

        Raises the first refusal or failure, naming the party. Each node's record of the job says
        whether its price was spent there; before the first commit nothing is.
        """
        if question.asked:  # the id stays here, under a handle that means nothing elsewhere
            handle = self._entropy.take(16).hex()
            with self._office.desk.single.expecting(handle, question.asked):
                parameters = {**question.parameters, "handle": handle}
                return self.ask(replace(question, parameters=parameters, asked=""), watch)
        with self._noting(self._office.party):
            request, plan = self.draft(question, {})
            bundle = self._office.bundle(question.contract)
            gate = self._office.gate(bundle)
            gate.preview(request, plan, budget=False)
        providers = providers_of(bundle.contract, request)
        watch("asking the providers", 0.0)
        prepared = self._of_all(providers, {"ask": "prepare", "request": request.fields()})
        commitments = {k: v for answer in prepared.values() for k, v in answer.items()}
        request, plan = self.draft(question, commitments)
        if menu.entry(question.computation).model:  # another training is another model
            with self._noting(self._office.party):
                gate.preview(request, plan)
            return self._run(request, bundle, watch)
        recorded = gate.recorded(request)
        outputs = None if recorded is None else self._office.book.outputs_of(recorded)
        # Another version of this software may have cut the question into other outputs.
        fits = outputs is not None and len(outputs) == plan.release.outputs
        if recorded is not None and outputs is not None and fits:
            result = menu.entry(question.computation).read(plan, *Opened.of(outputs))
            return Outcome(recorded.job, "done", result.body(), recorded=True)
        held = self._held_by_recipients(request)
        if held:
            return Outcome(held, "done", None, recorded=True)
        with self._noting(self._office.party):
            gate.preview(request, plan)
        outcome = self._run(request, bundle, watch)
        if request.roster and not request.roster_job:  # who only asks remembers it, too
            made = note_of(bundle.contract, request, plan.capacities, self._clock.now())
            with contextlib.suppress(HanseError, OSError):
                self._office.rosters.keep(made)
        return outcome

    def _held_by_recipients(self, request: JobRequest) -> str:
        """The job that answered this before, if all recipients hold its answer and this node is none; else ""."""
        if self._office.party in request.recipients:
            return ""
        document = {"ask": "recorded", "request": request.fields()}
        answers = self._of_all(request.recipients, document).values()
        jobs = {str(answer.get("job", "")) for answer in answers}
        return jobs.pop() if len(jobs) == 1 else ""

    def _run(self, request: JobRequest, bundle: Bundle, watch: Watcher) -> Outcome:
        parties = self._parties(bundle, request)
        watch("asking for permits", 0.0)
        running = None  # this node's part of it, for a job that is dropped as soon as it is over
        try:
            answers = self._of_all(parties, {"ask": "admit", "request": request.fields()})
            running = self._under_way.get(request.job_hash)
            permits = [a["permit"] for a in answers.values() if a.get("permit")]
            start = {"ask": "start", "job": request.job_hash, "permits": permits}
            self._of_all(parties, start)
        except HanseError as error:
            running = running or self._under_way.get(request.job_hash)
            raise self._given_up(request, parties, error, running) from error
        if running is None:  # this node has no role: the recipients know
            return self._await_remote(request, watch)
        watch("running", 0.0)
        running.over.wait()
        if running.error is not None:
            raise running.error.again()
        body = running.result.body() if running.result is not None else None
        return Outcome(request.job_hash, "done", body)

    def _given_up(
        self, request: JobRequest, parties: tuple[str, ...], error: HanseError, running: Running | None
    ) -> HanseError:  # fmt: skip
        """Tell everybody that the job is given up; the error to raise.

        If the job has failed here already, that is what the other nodes have heard of too.
        """
        failed = (
            self._office.book.error_of(request.job_hash) if running is None else running.ends.error
        )
        error = failed or error
        error.remedy = error.remedy or USUAL_REMEDY
        self._tell_all(
            parties, {"ask": "abandon", "job": request.job_hash, "error": error.public()}
        )
        return error.again()

    def _await_remote(self, request: JobRequest, watch: Watcher) -> Outcome:
        watch("waiting for the recipients", 0.0)
        pause = threading.Event()
        while True:
            answers = self._of_all(request.recipients, {"ask": "state", "job": request.job_hash})
            for party, answer in sorted(answers.items()):
                if isinstance(answer.get("error"), dict):
                    raise reported(from_public(answer["error"]), party)
                if answer.get("state") not in ("running", "done"):
                    raise Fault("job.failed", f"{party} no longer knows the job, whose result it was to have",
                                remedy=f"ask {party} about its node, then ask again", where=party)  # fmt: skip
            if all(a["state"] == "done" for a in answers.values()):
                return Outcome(request.job_hash, "done", None)
            pause.wait(0.3)

    @staticmethod
    def _parties(bundle: Bundle, request: JobRequest) -> tuple[str, ...]:
        required = permitting_parties(bundle.contract, request)
        return tuple(sorted({*required, *request.recipients}))

    def _of_all(self, parties: Iterable[str], document: Document) -> dict[str, Document]:
        """The answers of several parties at once; the first error (in order of names) is raised."""
        names = sorted(parties)
        futures = {p: self._asked(p, document) for p in names}
        answers, errors = {}, []
        for party, future in futures.items():
            try:
                answers[party] = future.result()
            except HanseError as error:
                if party not in error.where:
                    error.where = f"{party}: {error.where}" if error.where else party
                errors.append(error)
        if errors:
            raise errors[0]
        return answers

    def _asked(self, party: str, document: Document) -> Future[Document]:
        try:
            return self._askers.submit(self._of_one, party, document)
        except RuntimeError as error:  # the pool is shut
            raise stopping(self._office.party) from error

    def _of_one(self, party: str, document: Document) -> Document:
        if party == self._office.party:
            return self.answer(party, document)
        return self._exchange.request(party, document, patience=HOLD_SECONDS)

    def _tell_all(self, parties: Iterable[str], document: Document) -> None:
        """Say something to all, and wait for those who can hear it; used on the way out of an error."""
        with contextlib.suppress(HanseError):  # a stopping node says so by itself
            futures = {p: self._asked(p, document) for p in parties}
            reachable = [future for party, future in futures.items() if self._is_linked(party)]
            futures_wait(reachable, _FAREWELL_SECONDS)

    def _is_linked(self, party: str) -> bool:
        links = {one.party: one.connected for one in self._exchange.status()}
        return party == self._office.party or links.get(party, False)

    @contextlib.contextmanager
    def _noting(self, analyst: str, job: str = "") -> Iterator[None]:
        """Write down what this node refuses in here; what its gate refuses to admit, the gate writes down."""
        try:
            yield
        except (Refusal, Foul) as error:
            try:
                self._office.refusals.note(analyst, job, error)
            except HanseError as problem:  # the refusal itself is what the analyst must hear
                _log.error("a refusal could not be written down: %s", problem)
            raise
