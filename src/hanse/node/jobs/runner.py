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

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any

from hanse import __version__, menu
from hanse.clock import Clock
from hanse.contracts import Bundle, JobRequest, Permit, permitting_parties
from hanse.engine.session import Meter
from hanse.entropy import Entropy
from hanse.errors import Fault, Foul, HanseError, Refusal, from_public
from hanse.node.jobs.asking import HOLD_SECONDS, Asker, Document, Office, Outcome, Question
from hanse.node.jobs.roles import Job, Progress, run_provider, run_recipient, run_seat
from hanse.node.jobs.running import Running, own_error, state_after
from hanse.node.models.training import run_model_role
from hanse.node.transport.exchange import Exchange
from hanse.node.transport.greeting import reported
from hanse.wire import Channel

_log = logging.getLogger("hanse.node.jobs.runner")
_LOOK_SECONDS = 0.25  # how often a waiting job is looked after
_GONE_LOOKS = 8  # after so many looks without a link, the asking node is gone
_SETTLE_SECONDS = 1.0  # pause before books that could not be closed are tried again
STATES = ("asked", "admitted", "running", "done", "failed", "refused", "cancelled")

__all__ = ["STATES", "Office", "Outcome", "Question", "Runner"]


class Runner(Asker):
    """Asks for jobs and takes part in those of others."""

    def __init__(self, office: Office, exchange: Exchange, clock: Clock, entropy: Entropy) -> None:
        super().__init__(office, exchange, clock, entropy)
        self._closing = threading.Event()

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
                self._office.fitting(dataset, bundle)
            return self._office.desk.prepare(plan, bundle.contract, request)
        return {dataset.name: self._office.prepare(dataset, bundle) for dataset in mine}

    def _recorded(self, party: str, document: Document) -> Document:
        """The job whose recorded answer this recipient holds to the same question over the same data."""
        request, bundle, _ = self._request(party, document)
        known = self._office.gate(bundle).recorded(request)
        mine = self._office.party in request.recipients
        if known is None or not mine or self._office.outputs_of(known) is None:
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
        with self._lock:
            self._jobs[request.job_hash] = running
        try:
            self._office.job_started(request, [job.roles[i][0] for i in mine])
            running.noted = True
            permit = gate.permit(request).fields() if needed else None
        except HanseError as error:
            self._finish(running, own_error(self._office.party, error))
            raise
        threading.Thread(
            target=self._hold, args=(running,), name=f"hanse-hold-{running.name[:8]}", daemon=True
        ).start()
        return {"permit": permit} if permit is not None else {}

    def _start(self, party: str, document: Document) -> Document:
        running = self._known(party, document)
        running.start()
        try:
            items = document.get("permits")
            permits = [Permit.from_fields(i) for i in items] if isinstance(items, list) else []
            running.gate.require_permits(running.job.request, permits)
        except HanseError as error:
            self._finish(running, own_error(self._office.party, error))
            raise
        threading.Thread(
            target=self._live, args=(running,), name=f"hanse-job-{running.name[:8]}", daemon=True
        ).start()
        return {}

    def _abandon(self, party: str, document: Document) -> Document:
        with self._lock:
            running = self._jobs.get(str(document.get("job")))
        if running is not None and running.analyst == party:
            fields = document.get("error")
            error = from_public(fields if isinstance(fields, dict) else {})
            self._end_early(
                running, error if party == self._office.party else reported(error, party)
            )
        return {}

    def _end_early(self, running: Running, error: HanseError) -> None:
        """End a job from outside its roles: they hear of it if they live, else nothing else will."""
        running.ends.abort(error)
        if not running.started:
            self._finish(running, error)

    def _state(self, party: str, document: Document) -> Document:
        with self._lock:
            running = self._jobs.get(str(document.get("job")))
        if running is None or party not in {p for _, p in running.job.roles} | {running.analyst}:
            return {}
        if not running.over.is_set():
            return {"state": "running"}
        state: Document = {"state": state_after(running.error)}
        return state if running.error is None else state | {"error": running.error.public()}

    def _known(self, party: str, document: Document) -> Running:
        with self._lock:
            running = self._jobs.get(str(document.get("job")))
        if running is None or running.analyst != party:
            raise Refusal(
                "job.unknown",
                "this node has not admitted the job",
                remedy="ask again as a new attempt",
                where=self._office.party,
            )
        return running

    def _hold(self, running: Running) -> None:
        """Look after an admitted job until it starts: it ends if its start cannot come any more."""
        gone = 0
        while not running.decided.wait(_LOOK_SECONDS):
            gone = 0 if self._is_linked(running.analyst) else gone + 1
            error = running.ends.error
            if error is None and gone >= _GONE_LOOKS:
                error = Fault("peer.lost", f"the node of {running.analyst!r}, which asked for the job, was lost",
                              remedy="check that its node is running and reachable, then ask again",
                              where=running.analyst)  # fmt: skip
            if error is None and self._clock.monotonic() - running.held_at > HOLD_SECONDS:
                error = Fault("job.not-started", f"{running.analyst} never started the job it had asked for",
                              remedy="ask again", where=running.analyst)  # fmt: skip
            if error is not None:
                self._finish(running, error)

    # --- running --------------------------------------------------------------------------------

    def cancel(self, job: str, why: str) -> None:
        """End a job at all its nodes."""
        with self._lock:
            running = self._jobs.get(job)
        if running is None or running.ending:
            raise Refusal(
                "job.unknown", f"no running job {job[:16]}", remedy="see 'hanse job list'"
            )
        party = self._office.party
        self._end_early(
            running,
            Refusal("job.cancelled", f"{party} cancelled the job: {why or 'no reason given'}",
                    remedy=f"ask again, after a word with {party}", where=party),
        )  # fmt: skip

    def close(self) -> None:
        """Stop: running jobs end with an error on all sides, nothing is left half done."""
        self._closing.set()
        with self._lock:
            open_jobs = [r for r in self._jobs.values() if not r.over.is_set()]
        party = self._office.party
        for running in open_jobs:
            self._end_early(
                running,
                Fault("node.stopping", f"{party} stops its node",
                      remedy="rerun the job when it is back", where=party),
            )  # fmt: skip
        for running in open_jobs:
            running.over.wait(5.0)
        self._askers.shutdown(wait=False)

    def _live(self, running: Running) -> None:
        """Run all of this node's roles, a thread each, and finish the job."""

        def live(role: int) -> None:
            try:
                self._role(running, role)
            except Exception as error:
                if running.ends.error is None:  # else this is only the echo of it
                    running.ends.abort(own_error(self._office.party, error))

        threads = [threading.Thread(target=live, args=(r,), daemon=True) for r in running.my_roles]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self._finish(running, running.ends.error)

    def _role(self, running: Running, number: int) -> None:
        job, office = running.job, self._office
        channel = running.ends.channel(number)
        role, party = job.roles[number]
        keeper = office.keeper(job) if job.request.roster else None

        def progress(step: str, share: float) -> None:
            running.joined = running.joined or job.is_joined(number, step)
            office.job_progress(running.name, role, step, share)

        if job.entry.model:
            self._model_role(running, number, channel, progress)
            return
        if number < 3:
            record, meter = run_seat(
                channel, number, job, self._entropy, running.commit, progress, keeper
            )
            running.facts["seat"] = _work(number, meter)
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
                keeper,
            )
            running.facts.setdefault("openings", record.body())
        else:
            running.result, running.opened, record = run_recipient(channel, job, progress)
            running.facts.setdefault("openings", record.body())
            if keeper is not None and not job.request.roster_job:
                keeper.keep(job.contract, job.request, job.plan.capacities)

    def _model_role(
        self, running: Running, number: int, channel: Channel, progress: Progress
    ) -> None:
        lived = run_model_role(
            channel, number, running.job, self._office.desk, self._entropy, running.commit, progress
        )
        if lived.meter is not None:
            running.facts["seat"] = _work(number, lived.meter)
        if lived.result is not None:
            running.result = lived.result
        running.facts.setdefault("openings", lived.record.body())

    def _finish(self, running: Running, error: HanseError | None) -> None:
        """End the job here, tell the others if it failed, and close its books."""
        if not running.end(error):
            return
        try:
            if error is not None:
                running.ends.abort(error)
            elif running.opened is not None:
                running.gate.record_answer(running.job.request, running.opened.outputs())
        except HanseError as failure:
            running.error = own_error(self._office.party, failure)
        if running.job.entry.model:
            self._office.desk.release(running.job)
        try:
            self._close_books(running)
        except HanseError as problem:
            _log.error("the end of job %s cannot be written down: %s", running.name[:16], problem)
            threading.Thread(target=self._settle, args=(running,), daemon=True).start()
        finally:
            running.ends.close()
            running.over.set()

    def _close_books(self, running: Running) -> None:
        """Give the price back unless it was committed, and write down how the job ended."""
        error, request = running.error, running.job.request
        if error is not None:
            running.gate.abandon(request, error, joined=running.joined)
        if not running.noted:
            return
        shown = error is None and running.result is not None
        body = running.result.body() if shown else None
        opened = running.opened.outputs() if shown and running.opened is not None else None
        self._office.job_ended(
            running.name, state_after(error), result=body, opened=opened, error=error.public() if error else None,
            spent=running.gate.is_spent(request), facts=running.facts,
        )  # fmt: skip

    def _settle(self, running: Running) -> None:
        """The disk was full, or the store away: try until the books are closed, or a restart does it."""
        while not self._closing.wait(_SETTLE_SECONDS):
            with contextlib.suppress(HanseError):
                self._close_books(running)
                return


def _work(seat: int, meter: Meter) -> Document:
    """What a seat's part of a job took."""
    return {
        "number": seat, "rounds": meter.rounds, "bytes": meter.bytes, "messages": meter.messages,
        "by_step": dict(meter.by_step),
    }  # fmt: skip
