"""A model job as each role lives it, whatever the model: seats compute, providers unlock, recipients read.

The same code at a node and in a rehearsal. A provider's upload was made and committed to before the job was signed
(`learn.jobs.committed`); every output leaves under locks of all providers, which each of them opens when its own
gate has seen what the seats are about to open (`gate.scores`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hanse import __version__
from hanse.align.upload import compare_held
from hanse.contracts import Contract, JobRequest
from hanse.engine.session import Meter, Session
from hanse.engine.shares import SEATS, Ring, Words
from hanse.engine.stage import agree
from hanse.entropy import Entropy
from hanse.gate.record import Record
from hanse.gate.scores import (
    locked_numbers,
    locked_words,
    read_unlocked,
    receive_lock_seeds,
    send_locked,
    unlock,
)
from hanse.learn.jobs import contributions, linear, pooled, trees
from hanse.learn.jobs.committed import Verified
from hanse.learn.jobs.renumbered import Renumbered
from hanse.learn.jobs.sealed import Seal, commitments_of, show, shown
from hanse.learn.scoring import batch, online
from hanse.node.crowd_days import roles as crowd_days_roles
from hanse.node.crowd_days.home import CrowdDesk
from hanse.node.jobs.roles import Job, Progress, receive_record, send_record
from hanse.places.daily.jobs import CrowdPlan
from hanse.wire import Channel, canonical

Opened = dict[str, NDArray[np.uint64]]
Hashes = Mapping[str, bytes]  # of keys, by party


class Home(Protocol):
    """What a party brings to model jobs and takes home (`models_desk.ModelDesk`)."""

    def send(self, job: Job) -> Callable[[Channel], list[bytes]]: ...
    def sealed(self, job: Job) -> Seal | None: ...
    def play(self, job: Job, progress: Progress) -> Callable[[Channel, Hashes], None]: ...
    def finish(self, job: Job, opened: Mapping[str, NDArray[np.uint64]], record: Record) -> Any: ...

    @property
    def crowd_desk(self) -> CrowdDesk: ...


@dataclass(frozen=True)
class Lived:
    """How one role of a model job ended: the record, what a seat sent, what a recipient has."""

    record: Record
    meter: Meter | None = None
    result: Any = None


def run_model_role(
    channel: Channel, number: int, job: Job, home: Home, entropy: Entropy,
    commit: Callable[[Record], None], progress: Progress,
) -> Lived:  # fmt: skip
    """One role of a training or scoring, whichever it is and whatever the model."""
    role, party = job.roles[number]
    if job.plan.way == "open":
        if number < SEATS:
            return Lived(run_open_seat(channel, number, job, entropy, commit, progress))
        if role == "provider":
            return Lived(run_open_provider(channel, party, job, home, commit, progress))
        record = run_open_recipient(channel, party, job, progress)
        return Lived(record, result=home.finish(job, {}, record))
    if number < SEATS:
        record, meter = run_model_seat(channel, number, job, entropy, commit, progress)
        if job.plan.way == "crowd":
            crowd_days_roles.serve(channel, number, job, entropy, progress)
        return Lived(record, meter)
    if role == "provider":
        record = run_model_provider(channel, party, job, home.send(job), commit, progress)
        if job.plan.way == "crowd":
            crowd_days_roles.serve_table(channel, party, job, home.crowd_desk, progress)
        return Lived(record)
    if job.plan.way == "crowd":
        result, record = crowd_days_roles.run_recipient(
            channel, party, job, home.crowd_desk, progress
        )
        return Lived(record, result=result)
    opened, record = run_model_recipient(channel, party, job, progress)
    return Lived(record, result=home.finish(job, opened, record))


_COMPUTE: dict[type, Callable[[Session, Record, Any], Mapping[str, Ring | Words]]] = {
    linear.LinearPlan: linear.compute,
    contributions.ContributionPlan: contributions.compute,
    batch.ScoringPlan: batch.compute,
    online.OnlinePlan: online.compute,
    CrowdPlan: crowd_days_roles.compute,
}


def model_request(
    contract: Contract, plan: Any, *, computation: str, parameters: dict[str, Any], analyst: str,
    attempt: int, created: datetime, nonce: str, commitments: dict[str, str],
) -> JobRequest:  # fmt: skip
    """The job that a planned training or scoring amounts to."""
    return JobRequest.from_fields(
        {
            "contract_id": contract.id,
            "contract_hash": contract.hash,
            "computation": computation,
            "parameters": parameters,
            "analyst": analyst,
            "uses": [u.model_dump(mode="json") for u in plan.uses],
            "noise": False,
            "epsilon": 0.0,
            "epsilon_join": plan.epsilon_join,
            "recipients": list(plan.recipients),
            "attempt": attempt,
            "created": created.isoformat(),
            "nonce": nonce,
            "commitments": commitments,
            "code_version": __version__,
            "outputs": [
                {"name": told.step.replace(".", "-"), "shape": [told.size]}
                for told in plan.release.told
            ],
        }
    )


def run_model_seat(
    channel: Channel, seat: int, job: Job, entropy: Entropy, commit: Callable[[Record], None],
    progress: Progress,
) -> tuple[Record, Meter]:  # fmt: skip
    """A seat's whole part. Outputs leave locked, and only after ``commit`` returned."""
    plan, terms = job.plan, job.plan.terms
    inner = Renumbered(channel, terms.channel_roles(job))
    providers = {SEATS + n: p for n, p in enumerate(terms.parties)}
    commitments = commitments_of(job, terms.sides)
    verified: Channel = inner
    if plan.committed:
        verified = Verified(inner, seat, providers, commitments)
    s = agree(verified, seat, entropy, bytes.fromhex(job.request.job_hash), progress=progress)
    record = Record()
    locks = []
    for role, party in providers.items():
        seeds = receive_lock_seeds(verified, role, party)
        compare_held(s, f"lock.{party}", seeds, party, "locks")
        locks.append(seeds)
    progress(job.entry.title, 0.0)
    outputs = _COMPUTE[type(plan)](s.fork("compute"), record, plan)
    locked = []
    for told in plan.release.told:
        x = outputs[told.step]
        if isinstance(x, Words):
            locked.append(locked_words(record, x, told, locks))
        else:
            locked.append(locked_numbers(record, x, told, locks))
    s.check_equal("record", canonical(record.body()), "records of what was opened")
    for role in range(SEATS, len(job.roles)):
        send_record(channel, role, record, whole=seat == 0)
    commit(record)
    for told, x in zip(plan.release.told, locked, strict=True):
        for party in told.to:
            send_locked(channel, x, told, job.recipient_role(party), locks)
    progress("done", 1.0)
    return record, s.meter


def run_model_provider(
    channel: Channel, party: str, job: Job, send: Callable[[Channel], list[bytes]],
    commit: Callable[[Record], None], progress: Progress,
) -> Record:  # fmt: skip
    """A provider's whole part.

    ``send`` shares what it brings, on a channel numbered as the model's parties are; it gives the lock's seeds.
    """
    progress("sharing", 0.0)
    seeds = send(Renumbered(channel, job.plan.terms.channel_roles(job)))
    progress("rows shared", 0.0)
    record = receive_record(channel)
    job.plan.release.require_announced(record, party)
    commit(record)
    for told in job.plan.release.told:
        for reader in told.to:
            unlock(channel, party, seeds, told, job.recipient_role(reader))
    progress("done", 1.0)
    return record


def run_model_recipient(
    channel: Channel, party: str, job: Job, progress: Progress
) -> tuple[Opened, Record]:
    """A recipient's whole part: what it was told, by step, and the record."""
    progress("waiting for the seats", 0.0)
    record = receive_record(channel)
    job.plan.release.require_announced(record, party)
    parties = job.plan.terms.parties
    providers = [(p, job.provider_role(p)) for p in parties]
    opened = {
        told.step: read_unlocked(channel, told, providers, parties)
        for told in job.plan.release.of(party)
    }
    progress("done", 1.0)
    return opened, record


# --- models that are trained in the open, between their parties ---------------------------------------


def open_record(plan: Any) -> Record:
    """What every party commits to before an open job begins: what it tells at most."""
    record = Record()
    for opening in plan.openings:
        record.write(opening)
    return record


def run_open_seat(
    channel: Channel, seat: int, job: Job, entropy: Entropy, commit: Callable[[Record], None],
    progress: Progress,
) -> Record:  # fmt: skip
    """A seat writes down what is told. It also adds up what parties with rows of their own learned at home, or
    chooses splits on shares where sums carry masks."""
    record = open_record(job.plan)
    _all_sealed(channel, job, None)
    commit(record)
    name = bytes.fromhex(job.request.job_hash)
    if isinstance(job.plan, trees.TreesPlan) and job.plan.settings.masked:
        progress("choosing splits", 0.0)
        inner = Renumbered(channel, job.plan.terms.channel_roles(job))
        trees.choose(inner, job.plan, name, Record(), entropy)
    elif isinstance(job.plan, pooled.PooledPlan):
        pooled.sum_up(channel, seat, job.plan, name, entropy, progress)
    progress("done", 1.0)
    return record


def run_open_provider(
    channel: Channel, party: str, job: Job, home: Home,
    commit: Callable[[Record], None], progress: Progress,
) -> Record:  # fmt: skip
    """A party's whole part: its rows and all others' must be those that were committed to, before anybody pays."""
    record, play = open_record(job.plan), home.play(job, progress)
    hashes = _all_sealed(channel, job, home.sealed(job))
    commit(record)
    progress("with the other parties", 0.0)
    play(channel, hashes)
    if party in job.request.recipients:  # this party's own other role
        channel.send(job.recipient_role(party), "played", np.ones(1, np.uint8))
    progress("done", 1.0)
    return record


def _all_sealed(channel: Channel, job: Job, own: Seal | None) -> Hashes:
    """Show the seal of this role's rows, and check those of all parties against what was signed; hashes of keys."""
    commitments = commitments_of(job, job.plan.terms.sides)
    if not any(commitments.values()):  # rows are looked up one by one
        return {}
    roles = {party: job.provider_role(party) for party in commitments}
    if own is not None:
        show(
            channel,
            [*range(SEATS), *(r for p, r in roles.items() if p != own.party)],
            own.party,
            own,
        )
        del roles[own.party]
    return shown(channel, roles, commitments)


def run_open_recipient(channel: Channel, party: str, job: Job, progress: Progress) -> Record:
    """Wait for this party's own work; its result lies at home."""
    channel.receive(job.provider_role(party), "played", np.dtype("u1"), (1,))
    progress("done", 1.0)
    return open_record(job.plan)
