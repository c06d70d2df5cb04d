"""Jobs at one node: asking for one (`asking`), agreeing to one (here), running this node's roles (`living`).

    asking node                          every node of the job
    prepare  ->  providers: are the datasets there? what do they hold (commitments)?
    admit    ->  contract, price and plan are checked against the node's own records, the budget is
                 reserved, the stream opened, the permit signed
    start    ->  all permits are checked; the roles begin
    (abandon ->  if anything above was refused: nothing was spent)

Nobody trusts the asking node: each plans the question by itself and refuses what it would not ask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hanse import __version__, menu
from hanse.clock import Clock
from hanse.contracts import Bundle, JobRequest, Permit, permitting_parties
from hanse.entropy import Entropy
from hanse.errors import Foul, HanseError, Refusal, from_public
from hanse.node.jobs.asking import Asker, Document, Office, Outcome, Question
from hanse.node.jobs.living import Living
from hanse.node.jobs.roles import Job
from hanse.node.jobs.running import Running, own_error, state_after
from hanse.node.transport.exchange import Exchange
from hanse.node.transport.greeting import reported

STATES = ("asked", "admitted", "running", "done", "failed", "refused", "cancelled")

__all__ = ["STATES", "Office", "Outcome", "Question", "Runner"]


class Runner(Asker):
    """Asks for jobs and takes part in those of others."""

    def __init__(self, office: Office, exchange: Exchange, clock: Clock, entropy: Entropy) -> None:
        super().__init__(office, exchange, clock, entropy)
        self._living = Living(office, self._under_way, clock, entropy, self._is_linked)

    def cancel(self, job: str, why: str) -> None:
        """End a job at all its nodes; `Refusal` ``job.unknown`` if it does not run here."""
        self._living.cancel(job, why)

    def close(self) -> None:
        """Stop: running jobs end with an error on all sides, nothing is left half done."""
        self._living.close()
        self._askers.shutdown(wait=False)

    # --- agreeing -------------------------------------------------------------------------------

    def answer(self, party: str, document: Document) -> Document:
        """Answer a partner's (or this node's own) request about a job."""
        handlers: dict[str, Callable[[str, Document], Document]] = {
            "prepare": self._prepare,
            "admit": self._admit,
            "start": self._start,
            "abandon": self._abandon,
            "recorded": self._recorded,
            "state": self._state,
        }
        handler = handlers.get(str(document.get("ask")))
        if handler is None:
            raise Foul("job.ask", "the request is not one that this version knows",
                       remedy="run the same Hanse version on all nodes")  # fmt: skip
        try:
            return handler(party, document)
        except HanseError as error:
            raise own_error(self._office.party, error) from error

    def _request(self, party: str, document: Document) -> tuple[JobRequest, Bundle, Any]:
        with self._noting(party):
            fields = document.get("request")
            request = JobRequest.from_fields(fields if isinstance(fields, dict) else {})
            if request.analyst != party:
                raise Foul("job.analyst", f"{party} asks in the name of {request.analyst}",
                           remedy="ask in the own name; a modified node must be mended", where=party)  # fmt: skip
            if request.code_version != __version__:
                raise Refusal(
                    "job.version",
                    f"{party} runs Hanse {request.code_version}, {self._office.party} runs {__version__}",
                    remedy="bring all nodes of the contract to one version",
                )
            bundle = self._office.bundle(request.contract_id)
            plan = menu.entry(request.computation).planned(
                request.parameters, bundle.contract, request.epsilon, request.noise,
                self._office.library(),
            )  # fmt: skip
        return request, bundle, plan

    def _prepare(self, party: str, document: Document) -> Document:
        request, bundle, plan = self._request(party, document)
        with self._noting(party, request.job_hash):
            self._office.gate(bundle).preview(request, plan, budget=False)
        found = (bundle.contract.dataset(name) for name in request.datasets)
        mine = [d for d in found if d is not None and d.provider == self._office.party]
        if menu.entry(request.computation).model:
            for dataset in (
                mine if plan.way != "crowd" else ()
            ):  # places have no ids that people are joined on
                self._office.datasets.fitting(dataset, bundle)
            return self._office.desk.prepare(plan, bundle.contract, request)
        return {dataset.name: self._office.datasets.prepare(dataset, bundle) for dataset in mine}

    def _recorded(self, party: str, document: Document) -> Document:
        """The job whose recorded answer this recipient holds to the same question over the same data."""
        request, bundle, _ = self._request(party, document)
        known = self._office.gate(bundle).recorded(request)
        mine = self._office.party in request.recipients
        if known is None or not mine or self._office.book.outputs_of(known) is None:
            return {}
        return {"job": known.job}

    def _admit(self, party: str, document: Document) -> Document:
        request, bundle, plan = self._request(party, document)
        entry = menu.entry(request.computation)
        job = Job(request, bundle.contract, entry, plan)
        mine = [i for i, (_, p) in enumerate(job.roles) if p == self._office.party]
        gate = self._office.gate(bundle)
        needed = self._office.party in permitting_parties(bundle.contract, request)
        with self._noting(party, request.job_hash):
            if not mine:
                raise Refusal("job.role", f"{self._office.party} has no part in this job",
                              remedy="ask the seats, providers and recipients only")  # fmt: skip
            if not needed:
                gate.preview(request, plan)
        if needed:
            gate.admit(request, plan)
        try:
            ends = self._exchange.open_stream(bytes.fromhex(request.job_hash)[:16], job.roles, mine)
        except HanseError as error:
            gate.abandon(request, error)
            raise
        running = Running(
            self._office.party, job, gate, ends, mine, self._clock.monotonic(), needed
        )
        self._under_way.put(running)
        try:
            self._office.book.started(request, [job.roles[i][0] for i in mine])
            running.noted = True
            permit = gate.permit(request).fields() if needed else None
        except HanseError as error:
            self._living.finish(running, own_error(self._office.party, error))
            raise
        self._living.hold(running)
        return {"permit": permit} if permit is not None else {}

    def _start(self, party: str, document: Document) -> Document:
        running = self._known(party, document)
        running.start()
        try:
            items = document.get("permits")
            permits = [Permit.from_fields(i) for i in items] if isinstance(items, list) else []
            running.gate.require_permits(running.job.request, permits)
        except HanseError as error:
            self._living.finish(running, own_error(self._office.party, error))
            raise
        self._living.start(running)
        return {}

    def _abandon(self, party: str, document: Document) -> Document:
        running = self._under_way.get(str(document.get("job")))
        if running is not None and running.analyst == party:
            fields = document.get("error")
            error = from_public(fields if isinstance(fields, dict) else {})
            self._living.end_early(
                running, error if party == self._office.party else reported(error, party)
            )
        return {}

    def _state(self, party: str, document: Document) -> Document:
        job = str(document.get("job"))
        running = self._under_way.get(job)
        if running is None:  # over, and dropped when it was written down
            return self._office.book.state_for(party, job)
        if party not in {p for _, p in running.job.roles} | {running.analyst}:
            return {}
        if not running.over.is_set():
            return {"state": "running"}
        state: Document = {"state": state_after(running.error)}
        return state if running.error is None else state | {"error": running.error.public()}

    def _known(self, party: str, document: Document) -> Running:
        job = str(document.get("job"))
        running = self._under_way.get(job)
        if running is None and self._office.book.state_for(party, job):
            raise self._office.book.error_of(job) or Refusal(
                "job.over", "the job has ended, and no job is started twice",
                remedy="ask again; a rerun is a new attempt", where=self._office.party,
            )  # fmt: skip
        if running is None or running.analyst != party:
            raise Refusal(
                "job.unknown",
                "this node has not admitted the job",
                remedy="ask again as a new attempt",
                where=self._office.party,
            )
        return running
