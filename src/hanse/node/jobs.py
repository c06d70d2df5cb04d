"""Jobs at one node: asking for one, agreeing to one, running this node's roles, and how it ended.

    asking node                          every node of the job
    prepare  ->  providers: are the datasets there? what do they hold (commitments)?
    admit    ->  contract, price and plan are checked against the node's own records, the budget is
                 reserved, the stream opened, the permit signed
    start    ->  all permits are checked; the roles begin
    (abandon ->  if anything above was refused: nothing was spent)

Nobody trusts the asking node: each plans the question by itself and refuses what it would not ask.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from hanse import __version__, menu
from hanse.align import Part
from hanse.clock import Clock
from hanse.contracts import Bundle, Dataset, JobRequest, Permit, permitting_parties
from hanse.contracts.requests import providers_of
from hanse.entropy import Entropy
from hanse.errors import Fault, Foul, HanseError, Refusal
from hanse.gate import Gate, Record
from hanse.node.exchange import Exchange
from hanse.node.roles import Job, run_provider, run_recipient, run_seat
from hanse.node.streams import StreamEnds

Document = dict[str, Any]
Watcher = Callable[[str, float], None]
HOLD_SECONDS = 60.0  # how long an admitted job may wait for its start
STATES = ("asked", "admitted", "running", "done", "failed", "refused", "cancelled")


class Office(Protocol):
    """What a runner needs of its node: records, data, and a place to write down what happens."""

    party: str

    def bundle(self, contract_id: str) -> Bundle:
        """The contract, or `Refusal` ``contract.unknown``."""
        ...

    def gate(self, bundle: Bundle) -> Gate:
        """This node's gate for the contract."""
        ...

    def prepare(self, dataset: Dataset, contract: Bundle) -> str:
        """Check that the contract's dataset is registered and fits; its commitment, or ""."""
        ...

    def rows(self, job: Job) -> list[Part]:
        """This provider's people for the job."""
        ...

    def job_started(self, request: JobRequest, roles: list[str]) -> None: ...
    def job_progress(self, job: str, role: str, step: str, share: float) -> None: ...
    def job_ended(self, job: str, state: str, **facts: Any) -> None: ...


@dataclass
class Running:
    """A job at this node, from its admission to its end."""

    job: Job
    gate: Gate
    ends: StreamEnds
    my_roles: list[int]
    held_at: float
    reserved: bool
    started: bool = False
    committed: Record | None = None
    result: Any = None
    facts: Document = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    over: threading.Event = field(default_factory=threading.Event)
    error: HanseError | None = None

    @property
    def name(self) -> str:
        return self.job.request.job_hash

    def commit(self, record: Record) -> None:
        """Debit once, whichever of this node's roles comes first; all must have the same record."""
        with self.lock:
            if self.committed is not None:
                if self.committed.digest() != record.digest():
                    raise Foul("gate.record", "two roles of one node were shown different records")
                return
            if self.reserved:
                self.gate.commit(self.job.request, record)
            self.committed = record


@dataclass(frozen=True)
class Question:
    """What an analyst asks for."""

    contract: str
    computation: str
    parameters: Document
    epsilon: float
    recipients: tuple[str, ...] = ()
    attempt: int = 1


@dataclass(frozen=True)
class Outcome:
    """How a job ended for the one who asked. ``result`` is None unless this node is a recipient."""

    job: str
    state: str
    result: Document | None
    recorded: bool = False


class Runner:
    """Asks for jobs and takes part in those of others."""

    def __init__(self, office: Office, exchange: Exchange, clock: Clock, entropy: Entropy) -> None:
        self._office = office
        self._exchange = exchange
        self._clock = clock
        self._entropy = entropy
        self._jobs: dict[str, Running] = {}
        self._lock = threading.Lock()
        self._askers = ThreadPoolExecutor(16, thread_name_prefix="hanse-ask")

    # --- asking ---------------------------------------------------------------------------------

    def draft(self, question: Question, commitments: dict[str, str]) -> tuple[JobRequest, Any]:
        """The request and plan that a question amounts to; `Refusal` if this node would refuse it."""
        bundle = self._office.bundle(question.contract)
        contract = bundle.contract
        entry = menu.entry(question.computation)
        plan = entry.plan(question.parameters, contract, question.epsilon, True)
        computation = contract.computation(question.computation)
        allowed = computation.recipients if computation else ()
        people = {d.provider for d in contract.datasets if d.name in {u.dataset for u in plan.uses}}
        request = JobRequest.from_fields(
            {
                "contract_id": contract.id,
                "contract_hash": contract.hash,
                "computation": question.computation,
                "parameters": question.parameters,
                "analyst": self._office.party,
                "uses": [u.model_dump(mode="json") for u in plan.uses],
                "noise": True,
                "epsilon": question.epsilon,
                "epsilon_join": contract.join.epsilon if len(people) > 1 else 0.0,
                "recipients": list(question.recipients or allowed),
                "attempt": question.attempt,
                "created": self._clock.now().isoformat(),
                "nonce": self._entropy.take(16).hex(),
                "commitments": commitments,
                "code_version": __version__,
                "outputs": [{"name": "counts", "shape": [plan.release.outputs]}],
            }
        )
        return request, plan

    def ask(self, question: Question, watch: Watcher = lambda _step, _share: None) -> Outcome:
        """Run a job across the federation and wait for its end.

        Raises the first refusal or failure, naming the party; then nothing was spent unless the
        error came after the commit, which it says.
        """
        request, plan = self.draft(question, {})
        bundle = self._office.bundle(question.contract)
        gate = self._office.gate(bundle)
        gate.preview(request, plan)
        providers = providers_of(bundle.contract, request)
        watch("asking the providers", 0.0)
        prepared = self._of_all(providers, {"ask": "prepare", "request": request.fields()})
        commitments = {k: v for answer in prepared.values() for k, v in answer.items()}
        request, plan = self.draft(question, commitments)
        recorded = gate.recorded(request)
        if recorded is not None:
            return Outcome(recorded.job, "done", dict(recorded.value), recorded=True)
        return self._run(request, bundle, watch)

    def _run(self, request: JobRequest, bundle: Bundle, watch: Watcher) -> Outcome:
        parties = self._parties(bundle, request)
        watch("asking for permits", 0.0)
        document = {"ask": "admit", "request": request.fields()}
        try:
            answers = self._of_all(parties, document)
        except HanseError as error:
            self._tell_all(
                parties, {"ask": "abandon", "job": request.job_hash, "error": error.public()}
            )
            raise
        permits = [a["permit"] for a in answers.values() if a.get("permit")]
        try:
            start = {"ask": "start", "job": request.job_hash, "permits": permits}
            self._of_all(parties, start)
        except HanseError as error:
            self._tell_all(
                parties, {"ask": "abandon", "job": request.job_hash, "error": error.public()}
            )
            raise
        return self._await(request, watch)

    def _await(self, request: JobRequest, watch: Watcher) -> Outcome:
        with self._lock:
            running = self._jobs.get(request.job_hash)
        if running is None:  # this node has no role: the recipients know
            return self._await_remote(request, watch)
        watch("running", 0.0)
        running.over.wait()
        if running.error is not None:
            raise running.error.again()
        body = running.result.body() if running.result is not None else None
        return Outcome(request.job_hash, "done", body)

    def _await_remote(self, request: JobRequest, watch: Watcher) -> Outcome:
        watch("waiting for the recipients", 0.0)
        pause = threading.Event()
        while True:
            answers = self._of_all(request.recipients, {"ask": "state", "job": request.job_hash})
            states = {a.get("state") for a in answers.values()}
            if states == {"done"}:
                return Outcome(request.job_hash, "done", None)
            if states & {"failed", "refused", "cancelled", None}:
                raise Fault(
                    "job.failed", "the job did not end well at a recipient",
                    remedy="see the job's log at the recipients", where=", ".join(request.recipients),
                )  # fmt: skip
            pause.wait(0.3)

    @staticmethod
    def _parties(bundle: Bundle, request: JobRequest) -> tuple[str, ...]:
        required = permitting_parties(bundle.contract, request)
        return tuple(sorted({*required, *request.recipients}))

    def _of_all(self, parties: Iterable[str], document: Document) -> dict[str, Document]:
        """The answers of several parties at once; the first error (in order of names) is raised."""
        names = sorted(parties)
        futures = {p: self._askers.submit(self._of_one, p, document) for p in names}
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

    def _of_one(self, party: str, document: Document) -> Document:
        if party == self._office.party:
            return self.answer(party, document)
        return self._exchange.request(party, document, patience=HOLD_SECONDS)

    def _tell_all(self, parties: Iterable[str], document: Document) -> None:
        """Say something to all who can be reached; used on the way out of an error."""
        futures = [self._askers.submit(self._of_one, p, document) for p in parties]
        for future in futures:
            future.exception()

    # --- agreeing -------------------------------------------------------------------------------

    def answer(self, party: str, document: Document) -> Document:
        """Answer a partner's (or this node's own) request about a job."""
        handlers: dict[str, Callable[[str, Document], Document]] = {
            "prepare": self._prepare,
            "admit": self._admit,
            "start": self._start,
            "abandon": self._abandon,
            "state": self._state,
        }
        handler = handlers.get(str(document.get("ask")))
        if handler is None:
            raise Foul("job.ask", "the request is not one that this version knows",
                       remedy="run the same Hanse version on all nodes")  # fmt: skip
        return handler(party, document)

    def _request(self, party: str, document: Document) -> tuple[JobRequest, Bundle, Any]:
        fields = document.get("request")
        request = JobRequest.from_fields(fields if isinstance(fields, dict) else {})
        if request.analyst != party:
            raise Foul("job.analyst", f"{party} asks in the name of {request.analyst}")
        if request.code_version != __version__:
            raise Refusal(
                "job.version",
                f"{party} runs Hanse {request.code_version}, {self._office.party} runs {__version__}",
                remedy="bring all nodes of the contract to one version",
            )
        bundle = self._office.bundle(request.contract_id)
        plan = menu.entry(request.computation).plan(
            request.parameters, bundle.contract, request.epsilon, request.noise
        )
        return request, bundle, plan

    def _prepare(self, party: str, document: Document) -> Document:
        request, bundle, plan = self._request(party, document)
        self._office.gate(bundle).preview(request, plan)
        commitments = {}
        for name in request.datasets:
            dataset = bundle.contract.dataset(name)
            if dataset is not None and dataset.provider == self._office.party:
                commitments[name] = self._office.prepare(dataset, bundle)
        return commitments

    def _admit(self, party: str, document: Document) -> Document:
        self._expire()
        request, bundle, plan = self._request(party, document)
        entry = menu.entry(request.computation)
        job = Job(request, bundle.contract, entry, plan)
        mine = [i for i, (_, p) in enumerate(job.roles) if p == self._office.party]
        if not mine:
            raise Refusal("job.role", f"{self._office.party} has no part in this job")
        gate = self._office.gate(bundle)
        needed = self._office.party in permitting_parties(bundle.contract, request)
        if needed:
            gate.admit(request, plan)
        else:
            gate.preview(request, plan)
        try:
            ends = self._exchange.open_stream(bytes.fromhex(request.job_hash)[:16], job.roles, mine)
        except HanseError as error:
            gate.abandon(request, error)
            raise
        running = Running(job, gate, ends, mine, self._clock.monotonic(), needed)
        with self._lock:
            self._jobs[request.job_hash] = running
        self._office.job_started(request, [job.roles[i][0] for i in mine])
        return {"permit": gate.permit(request).fields()} if needed else {}

    def _start(self, party: str, document: Document) -> Document:
        running = self._known(party, document)
        with running.lock:
            if running.started:
                raise Foul("job.replay", "the job was started already")
            running.started = True
        try:
            items = document.get("permits")
            permits = [Permit.from_fields(i) for i in items] if isinstance(items, list) else []
            running.gate.require_permits(running.job.request, permits)
        except HanseError as error:
            self._finish(running, error)
            raise
        threading.Thread(
            target=self._live, args=(running,), name=f"hanse-job-{running.name[:8]}", daemon=True
        ).start()
        return {}

    def _abandon(self, party: str, document: Document) -> Document:
        with self._lock:
            running = self._jobs.get(str(document.get("job")))
        if (
            running is not None
            and running.job.request.analyst == party
            and not running.over.is_set()
        ):
            fields = document.get("error")
            text = fields.get("message", "") if isinstance(fields, dict) else ""
            code = fields.get("code", "") if isinstance(fields, dict) else ""
            error = Refusal(
                str(code)[:80] or "job.abandoned", str(text)[:500] or "the job was abandoned"
            )
            if running.started:
                running.ends.abort(error)
            else:
                self._finish(running, error)
        return {}

    def _state(self, party: str, document: Document) -> Document:
        with self._lock:
            running = self._jobs.get(str(document.get("job")))
        if running is None or party not in {p for _, p in running.job.roles} | {
            running.job.request.analyst
        }:
            return {}
        if not running.over.is_set():
            return {"state": "running"}
        return {"state": "done" if running.error is None else "failed"}

    def _known(self, party: str, document: Document) -> Running:
        with self._lock:
            running = self._jobs.get(str(document.get("job")))
        if running is None or running.job.request.analyst != party:
            raise Refusal(
                "job.unknown",
                "this node has not admitted the job",
                remedy="ask again as a new attempt",
                where=self._office.party,
            )
        return running

    def _expire(self) -> None:
        """Jobs that were admitted but never started give their budget back."""
        now = self._clock.monotonic()
        with self._lock:
            stale = [
                r for r in self._jobs.values()
                if not r.started and not r.over.is_set() and now - r.held_at > HOLD_SECONDS
            ]  # fmt: skip
        for running in stale:
            self._finish(
                running,
                Fault("job.not-started", "the asking node never started the job it had asked for",
                      remedy="ask again", where=running.job.request.analyst),
            )  # fmt: skip

    # --- running --------------------------------------------------------------------------------

    def cancel(self, job: str, why: str) -> None:
        """End a job at all its nodes."""
        with self._lock:
            running = self._jobs.get(job)
        if running is None or running.over.is_set():
            raise Refusal(
                "job.unknown", f"no running job {job[:16]}", remedy="see 'hanse job list'"
            )
        error = Refusal("job.cancelled", f"{self._office.party} cancelled the job: {why}")
        if running.started:
            running.ends.abort(error)
        else:
            self._finish(running, error)

    def close(self) -> None:
        """Stop: running jobs end with an error on all sides, nothing is left half done."""
        with self._lock:
            open_jobs = [r for r in self._jobs.values() if not r.over.is_set()]
        for running in open_jobs:
            error = Fault("node.stopping", f"{self._office.party} stops its node",
                          remedy="rerun the job when it is back")  # fmt: skip
            running.ends.abort(error)
            if not running.started:
                self._finish(running, error)
        for running in open_jobs:
            running.over.wait(5.0)
        self._askers.shutdown(wait=False)

    def _live(self, running: Running) -> None:
        """Run all of this node's roles, a thread each, and finish the job."""
        failures: list[HanseError] = []

        def live(role: int) -> None:
            try:
                self._role(running, role)
            except HanseError as error:
                failures.append(error)
                running.ends.abort(error)
            except Exception as error:
                fault = _internal(self._office.party, error)
                failures.append(fault)
                running.ends.abort(fault)

        threads = [threading.Thread(target=live, args=(r,), daemon=True) for r in running.my_roles]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # The stream keeps the first error; a role may have failed later for a lesser reason.
        self._finish(running, running.ends.error or (failures[0] if failures else None))

    def _role(self, running: Running, number: int) -> None:
        job, office = running.job, self._office
        channel = running.ends.channel(number)
        role, party = job.roles[number]

        def progress(step: str, share: float) -> None:
            office.job_progress(running.name, role, step, share)

        if number < 3:
            record, meter = run_seat(channel, number, job, self._entropy, running.commit, progress)
            running.facts["seat"] = {
                "number": number, "rounds": meter.rounds, "bytes": meter.bytes,
                "messages": meter.messages, "by_step": dict(meter.by_step),
            }  # fmt: skip
            running.facts["openings"] = record.body()
        elif role == "provider":
            record = run_provider(
                channel,
                party,
                job,
                self._entropy,
                lambda: office.rows(job),
                running.commit,
                progress,
            )
            running.facts["openings"] = record.body()
        else:
            running.result, _, record = run_recipient(channel, job, progress)
            running.facts["openings"] = record.body()

    def _finish(self, running: Running, error: HanseError | None) -> None:
        with running.lock:
            if running.over.is_set():
                return
            running.error = error
        request = running.job.request
        try:
            if error is not None:
                running.gate.abandon(request, error)
            elif running.result is not None:
                running.gate.record_answer(request, running.result.body())
        except HanseError as failure:
            running.error = error = error or failure
        body = running.result.body() if running.result is not None and error is None else None
        state = "done" if error is None else _state_after(error)
        spent = running.committed is not None
        try:
            self._office.job_ended(
                running.name, state, result=body, error=error.public() if error else None,
                spent=spent, facts=running.facts,
            )  # fmt: skip
        finally:
            running.ends.close()
            running.over.set()


def _state_after(error: HanseError) -> str:
    if error.code == "job.cancelled":
        return "cancelled"
    return "refused" if isinstance(error, Refusal) else "failed"


def _internal(party: str, error: Exception) -> Fault:
    """An unexpected error: its class and place are logged, its text may be private and is not."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace is not None else "?"
    return Fault(
        "node.internal",
        f"the node of {party} failed on this job",
        remedy=f"ask {party} to look into its node's log",
        detail=f"{type(error).__name__} in {place}",
    )
