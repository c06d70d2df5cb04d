"""A node's record of its jobs: admitted, how far they are, how they ended, what was logged of them."""

from __future__ import annotations

import threading
from typing import Any

from hanse.clock import Clock
from hanse.contracts import JobRequest, permitting_parties
from hanse.errors import Fault, HanseError, Refusal, from_public
from hanse.ledger import Answer, Ledger, Spend
from hanse.node.storage.contracts import bundle_of
from hanse.node.storage.jobs import Job as StoredJob
from hanse.node.storage.store import Store
from hanse.wire.codec import digest

Document = dict[str, Any]
OPEN_STATES = ("admitted", "running")


class JobBook:
    """The jobs of the node of ``party``, in its store and ledger. Thread-safe."""

    def __init__(self, party: str, store: Store, ledger: Ledger, clock: Clock) -> None:
        self._party, self._store, self._ledger, self._clock = party, store, ledger, clock
        self._progress: dict[str, dict[str, tuple[str, float]]] = {}
        self._lock = threading.Lock()

    def started(self, request: JobRequest, roles: list[str]) -> None:
        """Remember an admitted job."""
        self._store.jobs.create(
            request.job_hash, request.attempt, contract=request.contract_hash,
            request=request.fields(), state="admitted", at=self._clock.now(),
        )  # fmt: skip
        self.log(request, "info", f"admitted as {', '.join(roles)}; asked by {request.analyst}")

    def progressed(self, job: str, role: str, step: str, share: float) -> None:
        """Note where a role is. In memory only: progress is not history."""
        with self._lock:
            self._progress.setdefault(job, {})[role] = (step, share)

    def progress(self, job: str) -> dict[str, tuple[str, float]]:
        """(step, share done) by role."""
        with self._lock:
            return dict(self._progress.get(job, {}))

    def progress_for(self, party: str, job: str) -> Document:
        """`progress` for a party of the job's contract; nothing for anybody else."""
        stored = self._store.jobs.get(job)
        contract = self._store.contracts.by_hash(stored.contract) if stored is not None else None
        if contract is None or bundle_of(contract).contract.party(party) is None:
            return {}
        return {role: [step, share] for role, (step, share) in self.progress(job).items()}

    def seats_of(self, job: str) -> tuple[str, ...]:
        """Who holds the seats of a job that this node knows."""
        contract = self._store.contracts.by_hash(self.get(job).contract)
        return bundle_of(contract).contract.seats if contract is not None else ()

    def newest(self, contract: str = "", after: str = "") -> str:
        """The last job that this node asked for (under ``contract``), "" if there is none after ``after``."""
        for stored in self._store.jobs.all(limit=20):
            if stored.job == after:
                return ""
            request = stored.request
            if request["analyst"] == self._party and contract in ("", request["contract_id"]):
                return stored.job
        return ""

    def ended(self, job: str, state: str, **facts: Any) -> None:
        """Write down how the job ended."""
        stored = self.get(job)
        request = JobRequest.from_fields(stored.request)
        now = self._clock.now()
        result = {
            "result": facts.get("result"),
            "facts": facts.get("facts"),
            "spent": facts.get("spent"),
            "opened": facts.get("opened"),
        }
        self._store.jobs.move(
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
        self._ledger.append(
            "job",
            {"job": job, "state": state, "spent": bool(facts.get("spent")),
             "analyst": request.analyst, "computation": request.computation,
             "error": error["code"] if error else ""},
        )  # fmt: skip
        with self._lock:
            self._progress.pop(job, None)

    def state_for(self, party: str, job: str) -> Document:
        """How a job ended here, for a party that had a part in it or asked; nothing for anybody else."""
        stored = self._store.jobs.get(job)
        contract = self._store.contracts.by_hash(stored.contract) if stored is not None else None
        if stored is None or contract is None:
            return {}
        request = JobRequest.from_fields(stored.request)
        taking_part = permitting_parties(bundle_of(contract).contract, request)
        if party not in {*taking_part, *request.recipients, request.analyst}:
            return {}
        state = "running" if stored.state in OPEN_STATES else stored.state
        return {"state": state} if stored.error is None else {"state": state, "error": stored.error}

    def error_of(self, job: str) -> HanseError | None:
        """Why a job failed here, if it did."""
        stored = self._store.jobs.get(job)
        return None if stored is None or stored.error is None else from_public(stored.error)

    def outputs_of(self, answer: Answer) -> list[int | None] | None:
        """The opened outputs of a recorded answer; None if the store has lost those of a long one."""
        outputs = answer.value.get("outputs")
        if outputs is None:
            stored = self._store.jobs.get(answer.job)
            outputs = ((stored.result if stored else None) or {}).get("opened")
        if outputs is None or digest(list(outputs)) != answer.value.get("digest"):
            return None
        return list(outputs)

    def get(self, prefix: str) -> StoredJob:
        """The job whose hash starts with ``prefix`` (at least 6 digits, or all of a shorter list)."""
        found = self._store.jobs.get(prefix)
        if found is not None:
            return found
        matching = [j for j in self._store.jobs.all() if j.job.startswith(prefix)] if prefix else []
        if len({j.job for j in matching}) != 1:
            raise Refusal(
                "job.unknown",
                f"{'no job' if not matching else 'more than one job'} starts with {prefix!r}",
                remedy="see 'hanse job list'",
            )
        return matching[0]

    def log(self, request: JobRequest, level: str, message: str) -> None:
        """Add to the job's log at this node. Never an id or a share."""
        self._store.jobs.log(request.job_hash, request.attempt, level, message, self._clock.now())

    def recover(self) -> tuple[str, ...]:
        """After a restart: jobs that were under way have failed, and unspent budget is given back."""
        released = Spend(self._ledger).release_dead()
        for stored in self._store.jobs.all(states=OPEN_STATES):
            error = Fault("node.restarted", f"the node of {self._party} stopped while the job ran",
                          remedy="rerun the job").public()  # fmt: skip
            self.ended(stored.job, "failed", error=error, spent=stored.job not in released)
        return released
