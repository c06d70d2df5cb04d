"""A job at one node, from its admission to its end: what it holds, and when it may start, commit and end."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from typing import Any

from hanse.errors import Fault, Foul, HanseError, Refusal
from hanse.gate import Gate, Record
from hanse.gate.release import Opened
from hanse.node.jobs.roles import Job
from hanse.node.transport.streams import StreamEnds
from hanse.node.transport.threads import place_of

_log = logging.getLogger("hanse.node.jobs.runner")
Document = dict[str, Any]
USUAL_REMEDY = "rerun the job; if it happens again, ask that party about its node"


@dataclass
class Running:
    """A job at the node of ``party``. ``noted``: the store knows it; ``over``: it has ended and is written down."""

    party: str
    job: Job
    gate: Gate
    ends: StreamEnds
    my_roles: list[int]
    held_at: float
    reserved: bool
    noted: bool = False
    started: bool = False
    joined: bool = False  # seats may have seen the alignment
    ending: bool = False
    committed: Record | None = None
    result: Any = None
    opened: Opened | None = None
    facts: Document = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    decided: threading.Event = field(default_factory=threading.Event)  # started, or ended before
    over: threading.Event = field(default_factory=threading.Event)
    error: HanseError | None = None

    @property
    def name(self) -> str:
        return self.job.request.job_hash

    @property
    def analyst(self) -> str:
        return self.job.request.analyst

    def start(self) -> None:
        """Take the job's only start; raises why it cannot have one."""
        with self.lock:
            if self.ending:
                raise self.error or Refusal(
                    "job.over", "the job has ended before it was started", remedy="ask again"
                )
            if self.started:
                raise Foul("job.replay", "the job was started already",
                           remedy="ask again; a rerun is a new attempt", where=self.analyst)  # fmt: skip
            self.started = True
            self.decided.set()

    def end(self, error: HanseError | None) -> bool:
        """Take the job's only end; false if it has ended already."""
        with self.lock:
            if self.ending:
                return False
            self.ending = True
            self.error = None if error is None else self._told(error)
            self.decided.set()
            return True

    def _told(self, error: HanseError) -> HanseError:
        """The error as this node keeps it: it names a party of the job, and says what to do."""
        error = error.again()
        if not any(party in f"{error.message} {error.where}" for party in self.ends.parties):
            error.where = f"{self.party}: {error.where}" if error.where else self.party
        error.remedy = error.remedy or USUAL_REMEDY
        return error

    def commit(self, record: Record) -> None:
        """Debit once, whichever of this node's roles comes first; all must have the same record."""
        with self.lock:
            self.ends.check()  # a job that has failed meanwhile must not be paid for
            if self.committed is not None:
                if self.committed.public().digest() != record.public().digest():
                    raise Foul("gate.record", "two roles of one node were shown different records",
                               remedy="compare the seats' ledgers before a rerun")  # fmt: skip
                return
            if self.reserved:
                self.gate.commit(self.job.request, record)
            self.committed = record


class UnderWay:
    """The jobs that a node has admitted and whose books are open; the store has the others. Thread-safe."""

    def __init__(self) -> None:
        self._jobs: dict[str, Running] = {}
        self._lock = threading.Lock()

    def put(self, running: Running) -> None:
        """Keep a job that was admitted."""
        with self._lock:
            self._jobs[running.name] = running

    def get(self, job: str) -> Running | None:
        """The job of that hash, while it is under way."""
        with self._lock:
            return self._jobs.get(job)

    def drop(self, running: Running) -> None:
        """Let go of a job that has ended and is written down."""
        with self._lock:
            if self._jobs.get(running.name) is running:
                del self._jobs[running.name]

    def all(self) -> list[Running]:
        """Every job under way."""
        with self._lock:
            return list(self._jobs.values())


def own_error(party: str, error: Exception) -> HanseError:
    """An error of one of this node's roles, as the other nodes may hear it.

    Not told are the text of an unexpected error, which may be private, and where on its disk a node lives.
    """
    if not isinstance(error, HanseError):
        place = place_of(error)
        _log.error("a job failed here: %s", place)
        return Fault(
            "node.internal",
            f"the node of {party} failed on this job",
            remedy=f"ask {party} to look into its node's log",
            where=party,
            detail=place,
        )
    if error.code.startswith(("disk.", "store.", "ledger.")):
        _log.error("a job failed here: %s", error)
        return Fault(
            error.code,
            f"at {party}: {error.message}",
            remedy=f"{party} must mend its node (see its log), then rerun the job",
            where=party,
            detail=str(error),
        )
    return error


def state_after(error: HanseError | None) -> str:
    """The state that a job ends in."""
    if error is None:
        return "done"
    if error.code == "job.cancelled":
        return "cancelled"
    return "refused" if isinstance(error, Refusal) else "failed"
