"""One job on one table: every role in a thread of its own, over a hall, with the code that nodes run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hanse.align import Part
from hanse.contracts import JobRequest
from hanse.engine.session import Meter
from hanse.entropy import Entropy
from hanse.errors import Fault, Foul, HanseError
from hanse.gate import Gate, Record
from hanse.gate.release import Opened
from hanse.node.jobs.roles import Job, run_provider, run_recipient, run_seat
from hanse.node.jobs.rosters import Keeper
from hanse.wire import Frame, Hall, Tap


@dataclass(frozen=True)
class Message:
    """One message of a job as the tap saw it; its content is not kept. Roles are places in `Job.roles`."""

    source: int
    target: int
    step: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int


@dataclass
class Ran:
    """What a job left behind."""

    messages: list[Message] = field(default_factory=list)
    meters: dict[int, Meter] = field(default_factory=dict)
    record: Record | None = None
    result: Any = None
    opened: Opened | None = None
    seconds: float = 0.0


@dataclass
class Desk:
    """What a party brings to a job: its gate, rows and rosters. One debit, whichever of its roles comes first."""

    gate: Gate
    rows: Callable[[Job], list[Part]]
    reserved: bool
    keeper: Keeper | None = None
    committed: Record | None = None
    joined: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def commit(self, request: JobRequest, record: Record) -> None:
        """Debit and write the disclosure; all roles of a party must have been shown the same record."""
        with self.lock:
            if self.committed is None:
                if self.reserved:
                    self.gate.commit(request, record)
                self.committed = record
            elif self.committed.public().digest() != record.public().digest():
                raise Foul("gate.record", "two roles of one party were shown different records")


def run(
    job: Job, desks: Mapping[str, Desk], entropy: Callable[[int], Entropy], *,
    tap: Tap | None, patience: float, progress: Callable[[str, str, float], None],
    play: Callable[..., None] | None = None,
) -> Ran:  # fmt: skip
    """Run all roles to their end. The first error of any role ends the others' waits and is raised.

    ``play`` lives one role, with the arguments of `_role`; a question's by default.
    """
    ran = Ran()
    errors: list[HanseError] = []
    hall = Hall(len(job.roles), names=job.names, patience=patience, tap=_recording(ran, tap))

    def live(number: int) -> None:
        try:
            (play or _role)(
                hall, number, job, desks[job.roles[number][1]], entropy(number), ran, progress
            )
        except HanseError as error:
            errors.append(error)
            hall.fail(error)
        except BaseException as error:
            # It must end the others' waits too; the caller sees it as the cause.
            fault = Fault("rehearsal.internal", f"the role of {job.names[number]} failed",
                          detail=repr(error))  # fmt: skip
            fault.__cause__ = error
            errors.append(fault)
            hall.fail(fault)

    began = time.perf_counter()
    threads = [
        threading.Thread(target=live, args=(n,), name=f"rehearsal-{n}", daemon=True)
        for n in range(len(job.roles))
    ]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except BaseException:  # an interrupt: leave no thread behind
        hall.fail(Fault("rehearsal.interrupted", "the rehearsal was interrupted"))
        for thread in threads:
            thread.join()
        raise
    if errors:
        raise errors[0]
    ran.seconds = time.perf_counter() - began
    return ran


def _recording(ran: Ran, tap: Tap | None) -> Tap:
    def record(frame: Frame) -> Frame | None:
        body = frame.body
        if isinstance(body, np.ndarray):
            seen = Message(frame.source, frame.target, frame.step, str(body.dtype), body.shape,
                           body.nbytes)  # fmt: skip
        else:
            seen = Message(frame.source, frame.target, frame.step, "bytes", (len(body),), len(body))
        ran.messages.append(seen)
        return frame if tap is None else tap(frame)

    return record


def _role(
    hall: Hall, number: int, job: Job, desk: Desk, entropy: Entropy, ran: Ran,
    progress: Callable[[str, str, float], None],
) -> None:  # fmt: skip
    channel = hall.channel(number)
    role, party = job.roles[number]

    def commit(record: Record) -> None:
        desk.commit(job.request, record)

    def report(step: str, share: float) -> None:
        desk.joined = desk.joined or job.is_joined(number, step)
        progress(job.names[number], step, share)

    if number < 3:
        record, ran.meters[number] = run_seat(
            channel, number, job, entropy, commit, report, desk.keeper
        )
        ran.record = record
    elif role == "provider":
        run_provider(
            channel, party, job, entropy, lambda: desk.rows(job), commit, report, desk.keeper
        )
    else:
        ran.result, ran.opened, _ = run_recipient(channel, job, report)
