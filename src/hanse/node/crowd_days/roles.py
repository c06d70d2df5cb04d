"""Training and telling crowds as each role lives it: seats add changes, holders and owners unlock, owners tell.

Seats and providers live as in any model job (`hanse.node.models.training`); for several owners the seats then also
add up what these learn together. A recipient that is an owner reads the sums,
works at home, and tells the figures of its places to the other recipients; those wait for them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from hanse.clock import SystemClock
from hanse.engine.session import Session
from hanse.engine.shares import Ring
from hanse.engine.stage import agree
from hanse.entropy import Entropy
from hanse.errors import Foul
from hanse.gate.record import Record
from hanse.gate.scores import flat, read_unlocked
from hanse.learn.horizontal.seats import SummingSeat
from hanse.learn.horizontal.sums import SummingParty
from hanse.learn.jobs.renumbered import Renumbered
from hanse.node.crowd_days.home import CrowdDesk, Opened
from hanse.node.jobs.roles import Job, Progress, receive_record
from hanse.places.crowd.federation import Alone, Federation, Secure
from hanse.places.crowd.trees import Columns
from hanse.places.daily import changes, tables
from hanse.places.daily.jobs import ROWS, CrowdPlan
from hanse.places.daily.run import ELSEWHERE, REASONS, REGIMES, DayTold, Figures
from hanse.wire import Channel, Frame, PatientChannel, canonical

_U8, _U64 = np.dtype("u1"), np.dtype("<u8")
_MOST_WORDS = 1 << 16


def compute(s: Session, record: Record, plan: CrowdPlan) -> dict[str, Ring]:
    """At a seat: the sums of changes; what owners will tell recipients is written down."""
    terms = plan.terms
    for opening in plan.besides:
        record.write(opening)
    out = changes.add(s, terms.parties, terms.holders, len(plan.targets), plan.places)
    if not terms.holders:
        out = s.public_ring(np.zeros(plan.output, np.uint64))
    return {"changes": out}


def run_recipient(
    channel: Channel, party: str, job: Job, desk: CrowdDesk, progress: Progress
) -> tuple[Any, Record]:
    """A recipient's whole part: its result, and the record."""
    plan: CrowdPlan = job.plan
    progress("waiting for the seats", 0.0)
    record = receive_record(channel)
    plan.release.require_announced(record, party)
    parties = plan.terms.parties
    providers = [(p, job.provider_role(p)) for p in parties]
    opened: Opened = {
        told.step: read_unlocked(channel, told, providers, parties)
        for told in plan.release.of(party)
    }
    if plan.trains:
        with (
            _joined(channel, party, job, desk) as federation,
            _tables(channel, party, job, desk) as columns,
        ):
            result: Any = desk.train(job, opened, record, federation, progress, columns)
        progress("done", 1.0)
        return result, record
    own: DayTold | None = None
    if party in plan.terms.owners:
        with _joined(channel, party, job, desk) as federation:
            own = desk.day(job, opened, federation, progress)
        _tell(channel, party, job, own)
    progress("publishing", 0.0)
    figures, said = _heard(channel, party, job, own)
    result = desk.publish(job, figures, said, own)
    progress("done", 1.0)
    return result, record


# --- trees over tables that stay with their holders ---------------------------------------------------


@contextmanager
def _tables(channel: Channel, party: str, job: Job, desk: CrowdDesk) -> Iterator[Columns | None]:
    """At an owner: the columns of all who keep tables, until the training is over; None where nobody does.

    What opens is announced by the seats as one entry (`CrowdPlan.besides`); single sums are noted at the gate.
    """
    plan: CrowdPlan = job.plan
    if not plan.terms.keepers:
        yield None
        return
    inner = Renumbered(channel, plan.table_roles(job))
    first = len(plan.terms.owners)
    holders = [(first + number, name) for number, name in enumerate(plan.terms.keepers)]
    name = bytes.fromhex(job.request.job_hash)
    found = tables.hidden(inner, holders, party, desk.ground(job), name, desk.entropy, Record())
    yield found
    found.end()


def serve_table(
    channel: Channel, party: str, job: Job, desk: CrowdDesk, progress: Progress
) -> None:
    """At a provider: if it keeps a table, it adds up owners' ciphertexts until their training is over."""
    plan: CrowdPlan = job.plan
    if party not in plan.terms.keepers:
        return
    progress("adding up ciphertexts", 0.0)
    inner = Renumbered(channel, plan.table_roles(job))
    name = bytes.fromhex(job.request.job_hash)
    tables.serve(inner, range(len(plan.terms.owners)), desk.bins(job), name, desk.entropy)
    progress("done", 1.0)


# --- several owners -----------------------------------------------------------------------------------


class _Patient(Renumbered):
    """A job's channel, numbered as the sums over owners are."""

    def __init__(self, inner: Channel, roles: Sequence[int]) -> None:
        super().__init__(inner, roles)
        self._patient, self._of = cast(PatientChannel, inner), tuple(roles)

    def next_frame(self, source: int, patience: float) -> Frame:
        """See `PatientChannel`."""
        return self._patient.next_frame(self._of[source], patience)


def serve(channel: Channel, seat: int, job: Job, entropy: Entropy, progress: Progress) -> None:
    """A seat adds what owners bring until all of them have ended; nothing to do for one owner."""
    plan: CrowdPlan = job.plan
    if plan.joint is None:
        return
    inner = _Patient(channel, plan.joint_roles(job))
    s = agree(inner, seat, entropy, b"crowd-sums|" + bytes.fromhex(job.request.job_hash))
    SummingSeat(s, inner, plan.joint, Record(), entropy, SystemClock(), progress=progress).serve()


@contextmanager
def _joined(channel: Channel, party: str, job: Job, desk: CrowdDesk) -> Iterator[Federation]:
    """This owner's end of the sums: its own numbers if it is the only one."""
    plan: CrowdPlan = job.plan
    if plan.joint is None:
        yield Alone()
        return
    number = plan.terms.owners.index(party)
    end = SummingParty(_Patient(channel, plan.joint_roles(job)), plan.joint, number, desk.entropy)
    yield Secure(end, number, len(plan.terms.owners))
    end.end()


# --- figures ------------------------------------------------------------------------------------------


def _tell(channel: Channel, party: str, job: Job, told: DayTold) -> None:
    """The figures of this owner's places to every other recipient that the contract names."""
    words = np.frombuffer(canonical(list(told.said)), np.uint8)[:_MOST_WORDS]
    for other in job.plan.terms.clause.recipients:
        if other != party:
            role = job.recipient_role(other)
            channel.send(role, f"figures.{party}", flat(told.figures.stacked()))
            channel.send(role, f"said.{party}.size", np.array([words.size], np.uint64))
            channel.send(role, f"said.{party}", words)


def _heard(
    channel: Channel, party: str, job: Job, own: DayTold | None
) -> tuple[Figures, tuple[str, ...]]:
    """Every place by the owner that counts it; a recipient that the contract does not name has its own alone."""
    plan: CrowdPlan = job.plan
    shape = (ROWS, plan.places, len(plan.told))
    figures = own.figures if own is not None else Figures.none(*shape[1:], ELSEWHERE)
    said = list(own.said) if own is not None else []
    if party not in plan.terms.clause.recipients:
        return figures, tuple(said)
    for owner in plan.terms.owners:
        if owner == party:
            continue
        role = job.recipient_role(owner)
        words = np.asarray(channel.receive(role, f"figures.{owner}", _U64, (math.prod(shape),)))
        theirs = _checked(words.view(np.float64).reshape(shape), owner)
        size = int(channel.receive(role, f"said.{owner}.size", _U64, (1,))[0])
        if size > _MOST_WORDS:
            raise Foul("crowd.figures", f"{owner} says too much about its figures", where=owner)
        said += _words(channel.receive(role, f"said.{owner}", _U8, (size,)).tobytes(), owner)
        figures = _merged(figures, theirs)
    return figures, tuple(dict.fromkeys(said))


def _checked(values: NDArray[np.float64], owner: str) -> Figures:
    """[6, places, days] as figures; `Foul` naming the owner if they are none."""
    shown = values[4] == 0
    fine = np.isin(values[4], range(len(REASONS))).all() and np.isfinite(values[:4, shown]).all()
    fine = fine and np.isin(values[5], range(len(REGIMES))).all()
    if not fine or (values[:4, shown] < 0).any():
        raise Foul("crowd.figures", f"{owner} told figures that are none", where=owner,
                   remedy=f"{owner} must check its node; nothing was published")  # fmt: skip
    return Figures.of(values)


def _words(text: bytes, owner: str) -> list[str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Foul(
            "crowd.figures", f"what {owner} says about its figures cannot be read", where=owner
        ) from error
    return [f"{owner}: {str(line)[:300]}" for line in found] if isinstance(found, list) else []


def _merged(first: Figures, second: Figures) -> Figures:
    """A place's figures by the owner that counts it; of the first one if both do."""
    take = (first.reason == ELSEWHERE) & (second.reason != ELSEWHERE)
    parts = [
        np.where(take, getattr(second, name), getattr(first, name))
        for name in ("point", "low", "high", "confidence")
    ]
    reason = np.where(take, second.reason, first.reason).astype(np.uint8)
    regime = np.where(take, second.regime, first.regime).astype(np.uint8)
    return Figures(parts[0], parts[1], parts[2], parts[3], reason, regime)
