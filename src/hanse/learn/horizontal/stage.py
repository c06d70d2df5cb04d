"""All seats and parties of a job's sums in one process, a thread each: for rehearsals, tests, other rooms."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from hanse.clock import SystemClock
from hanse.engine.shares import SEATS
from hanse.engine.stage import SEAT_NAMES, agree, all_at_once
from hanse.entropy import SeededEntropy
from hanse.gate.record import Record
from hanse.gate.sums import SumPolicy
from hanse.learn.horizontal.seats import Patience, SummingSeat
from hanse.learn.horizontal.sums import SummingParty
from hanse.wire import Frame, Hall, Tap
from hanse.wire.hall import HallChannel

T = TypeVar("T")


class Dropout(Exception):
    """Raised by a party's work in a rehearsal to vanish without a word."""


@dataclass
class Played(Generic[T]):
    """What came of a rehearsal: results by party (None for one that dropped out), seat 0's record, bytes sent."""

    results: list[T | None]
    record: Record
    bytes: int
    by_role: list[int]


def together(
    work: Sequence[Callable[[SummingParty], T]], policy: SumPolicy, *, seed: str = "rehearsal",
    patience: Patience | None = None, tap: Tap | None = None,
) -> Played[T]:  # fmt: skip
    """Run ``work[i]`` as party i of ``policy.parties`` with three seats; the first error of any role is raised."""
    policy.check()
    patience = patience or Patience()
    wait = 2 * patience.deadline + 60.0  # longer than any round may take
    roles = SEATS + len(work)
    sent = [0] * roles
    lock = threading.Lock()

    def weighed(frame: Frame) -> Frame | None:
        size = frame.body.nbytes if isinstance(frame.body, np.ndarray) else len(frame.body)
        with lock:
            sent[frame.source] += size
        return frame if tap is None else tap(frame)

    hall = Hall(roles, names=(*SEAT_NAMES, *policy.parties), tap=weighed, patience=wait)
    record = Record()

    def seat(number: int) -> Callable[[HallChannel], None]:
        def serve(channel: HallChannel) -> None:
            s = agree(channel, number, SeededEntropy(f"{seed}|seat {number}"), seed.encode())
            own = record if number == 0 else Record()
            entropy = SeededEntropy(f"{seed}|sums of seat {number}")
            SummingSeat(s, channel, policy, own, entropy, SystemClock(), patience=patience).serve()

        return serve

    def party(number: int) -> Callable[[HallChannel], T | None]:
        def take_part(channel: HallChannel) -> T | None:
            entropy = SeededEntropy(f"{seed}|party {number}")
            end = SummingParty(channel, policy, number, entropy, patience=wait)
            try:
                result = work[number](end)
                end.end()
            except Dropout:
                for inbox in hall.inboxes:
                    inbox.finish(SEATS + number)
                return None
            return result

        return take_part

    lived = [*(seat(n) for n in range(SEATS)), *(party(n) for n in range(len(work)))]
    results = all_at_once(hall, lived, "learn.stage")[SEATS:]
    return Played(results, record, sum(sent), sent)
