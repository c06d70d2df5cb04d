"""Jobs that live at one node: held until they start, run as each of its roles, ended, and their books closed."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable

from hanse.clock import Clock
from hanse.engine.session import Meter
from hanse.entropy import Entropy
from hanse.errors import Fault, HanseError, Refusal
from hanse.node.jobs.asking import HOLD_SECONDS, Document, Office
from hanse.node.jobs.roles import Progress, run_provider, run_recipient, run_seat
from hanse.node.jobs.running import Running, UnderWay, own_error, state_after
from hanse.node.models.training import run_model_role
from hanse.wire import Channel

_log = logging.getLogger("hanse.node.jobs.runner")
_LOOK_SECONDS = 0.25  # how often a waiting job is looked after
_GONE_LOOKS = 8  # after so many looks without a link, the asking node is gone
_SETTLE_SECONDS = 1.0  # pause before books that could not be closed are tried again


class Living:
    """Looks after the jobs that are ``under_way``, in threads of their own, from admission to closed books.

    ``is_linked`` tells whether a party can be heard from now.
    """

    def __init__(
        self, office: Office, under_way: UnderWay, clock: Clock, entropy: Entropy,
        is_linked: Callable[[str], bool],
    ) -> None:  # fmt: skip
        self._office, self._under_way = office, under_way
        self._clock, self._entropy, self._is_linked = clock, entropy, is_linked
        self._closing = threading.Event()

    def hold(self, running: Running) -> None:
        """Look after an admitted job until it starts."""
        threading.Thread(
            target=self._hold, args=(running,), name=f"hanse-hold-{running.name[:8]}", daemon=True
        ).start()

    def start(self, running: Running) -> None:
        """Let the roles of a permitted job begin."""
        threading.Thread(
            target=self._live, args=(running,), name=f"hanse-job-{running.name[:8]}", daemon=True
        ).start()

    def cancel(self, job: str, why: str) -> None:
        """End a job at all its nodes."""
        running = self._under_way.get(job)
        if running is None or running.ending:
            raise Refusal(
                "job.unknown", f"no running job {job[:16]}", remedy="see 'hanse job list'"
            )
        party = self._office.party
        self.end_early(
            running,
            Refusal("job.cancelled", f"{party} cancelled the job: {why or 'no reason given'}",
                    remedy=f"ask again, after a word with {party}", where=party),
        )  # fmt: skip

    def end_early(self, running: Running, error: HanseError) -> None:
        """End a job from outside its roles: they hear of it if they live, else nothing else will."""
        running.ends.abort(error)
        if not running.started:
            self.finish(running, error)

    def close(self) -> None:
        """Stop: running jobs end with an error on all sides, nothing is left half done."""
        self._closing.set()
        open_jobs = [running for running in self._under_way.all() if not running.over.is_set()]
        party = self._office.party
        for running in open_jobs:
            self.end_early(
                running,
                Fault("node.stopping", f"{party} stops its node",
                      remedy="rerun the job when it is back", where=party),
            )  # fmt: skip
        for running in open_jobs:
            running.over.wait(5.0)

    def _hold(self, running: Running) -> None:
        """Wait for the start; the job ends if that cannot come any more."""
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
                self.finish(running, error)

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
        self.finish(running, running.ends.error)

    def _role(self, running: Running, number: int) -> None:
        job, office = running.job, self._office
        channel = running.ends.channel(number)
        role, party = job.roles[number]
        keeper = office.keeper(job) if job.request.roster else None

        def progress(step: str, share: float) -> None:
            running.joined = running.joined or job.is_joined(number, step)
            office.book.progressed(running.name, role, step, share)

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

    def finish(self, running: Running, error: HanseError | None) -> None:
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
        written = False
        try:
            self._close_books(running)
            written = True
        except HanseError as problem:
            _log.error("the end of job %s cannot be written down: %s", running.name[:16], problem)
            threading.Thread(target=self._settle, args=(running,), daemon=True).start()
        finally:
            running.ends.close()
            running.over.set()
            if written:
                self._under_way.drop(running)

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
        self._office.book.ended(
            running.name, state_after(error), result=body, opened=opened, error=error.public() if error else None,
            spent=running.gate.is_spent(request), facts=running.facts,
        )  # fmt: skip

    def _settle(self, running: Running) -> None:
        """The disk was full, or the store away: try until the books are closed, or a restart does it."""
        while not self._closing.wait(_SETTLE_SECONDS):
            with contextlib.suppress(HanseError):
                self._close_books(running)
                self._under_way.drop(running)
                return


def _work(seat: int, meter: Meter) -> Document:
    """What a seat's part of a job took."""
    return {
        "number": seat, "rounds": meter.rounds, "bytes": meter.bytes, "messages": meter.messages,
        "by_step": dict(meter.by_step),
    }  # fmt: skip
