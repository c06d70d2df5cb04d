"""A job as each role lives it: a seat, a provider, a recipient. The same code at a node and in a rehearsal.

The roles talk through channels only; what differs between a node and a rehearsal (transport, ledger, files)
comes in as arguments. Roles 0, 1, 2 are the seats, then the providers in sorted order, then the recipients.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np

from hanse import __version__
from hanse.align.join import JoinPolicy, Upload, align
from hanse.align.layout import U64, Layout, Part, merged
from hanse.align.programs import Placement, receive_programs, send_programs
from hanse.align.roster import Roster, chosen, columns_of, known, realign, without_ids
from hanse.align.upload import padded, receive_lock, receive_rows, send_lock, send_rows
from hanse.contracts import Contract, JobRequest
from hanse.contracts.requests import providers_of
from hanse.engine.programmed import Program
from hanse.engine.session import Meter
from hanse.engine.shares import Words
from hanse.engine.stage import agree
from hanse.entropy import Entropy
from hanse.errors import Fault, Foul
from hanse.gate.record import Opening, Record
from hanse.gate.release import Opened, lock_counts, read_locked, send_locked
from hanse.menu import Entry
from hanse.node.jobs.rosters import ORDER, SEAT, Keeper
from hanse.wire import Channel, canonical

_U64 = np.dtype("<u8")
_U8 = np.dtype("u1")
_MOST_RECORD_BYTES = 1 << 20
SEAT_ROLES = (0, 1, 2)
SHARED = "rows shared"  # a provider has no more part in the alignment
Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Job:
    """A job that all parties have admitted, with what follows from it at every node."""

    request: JobRequest
    contract: Contract
    entry: Entry
    plan: Any

    @property
    def providers(self) -> tuple[str, ...]:
        return providers_of(self.contract, self.request)

    def placements(self, party: str) -> tuple[Placement, ...]:
        """What ``party`` programs for the plan (`hanse.align.programs`): for most plans nothing."""
        found: tuple[Placement, ...] = getattr(self.plan, "placements", {}).get(party, ())
        return found

    @property
    def roles(self) -> tuple[tuple[str, str], ...]:
        """(role name, party) in role order."""
        return (
            *((f"seat {i}", party) for i, party in enumerate(self.contract.seats)),
            *(("provider", party) for party in self.providers),
            *(("recipient", party) for party in self.request.recipients),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Role names for messages: the party first."""
        return tuple(f"{party} ({role})" for role, party in self.roles)

    def is_joined(self, role: int, step: str) -> bool:
        """Whether a role that reports this step has handed over its rows, or seen the alignment.

        From then on seats may know how many people providers share, and the price of that is not given back.
        """
        return step == (self.entry.title if role in SEAT_ROLES else SHARED)

    def provider_role(self, party: str) -> int:
        return 3 + self.providers.index(party)

    def recipient_role(self, party: str) -> int:
        return 3 + len(self.providers) + self.request.recipients.index(party)

    @property
    def recipient_roles(self) -> list[int]:
        return [self.recipient_role(p) for p in self.request.recipients]


def request_for(
    contract: Contract,
    plan: Any,
    *,
    computation: str,
    parameters: dict[str, Any],
    analyst: str,
    epsilon: float,
    recipients: Iterable[str],
    attempt: int,
    created: datetime,
    nonce: str,
    commitments: dict[str, str],
    roster: str = "",
    roster_job: str = "",
) -> JobRequest:
    """The job that a planned question about people amounts to.

    ``roster`` is a roster's name, ``roster_job`` the job that made it, "" if this one shall.
    """
    used = {u.dataset for u in plan.uses}
    providers = {d.provider for d in contract.datasets if d.name in used}
    return JobRequest.from_fields(
        {
            "contract_id": contract.id,
            "contract_hash": contract.hash,
            "computation": computation,
            "parameters": parameters,
            "analyst": analyst,
            "uses": [u.model_dump(mode="json") for u in plan.uses],
            "noise": True,
            "epsilon": epsilon,
            "epsilon_join": contract.join.epsilon if len(providers) > 1 and not roster_job else 0.0,
            "recipients": list(recipients),
            "attempt": attempt,
            "created": created.isoformat(),
            "nonce": nonce,
            "commitments": commitments,
            "code_version": __version__,
            "outputs": [{"name": "counts", "shape": [plan.release.outputs]}],
            "roster": roster,
            "roster_job": roster_job,
        }
    )


def run_seat(
    channel: Channel, seat: int, job: Job, entropy: Entropy,
    commit: Callable[[Record], None], progress: Progress, keeper: Keeper | None = None,
) -> tuple[Record, Meter]:  # fmt: skip
    """A seat's whole part. ``commit`` debits the budget; outputs leave only after it returned.

    ``keeper`` has the party's rosters, for jobs that name one.
    """
    plan, request = job.plan, job.request
    kept = _kept(job, keeper)
    capacities, layouts = (kept.rows, kept.layouts) if kept else (plan.capacities, plan.layouts)
    s = agree(channel, seat, entropy, bytes.fromhex(request.job_hash), progress=progress)
    record = Record()
    locks = []
    programs: dict[str, Program] = {}

    def receive(party: str) -> Words:
        role = job.provider_role(party)
        progress(f"rows of {party}", 0.0)
        rows = receive_rows(s, role, party, capacities[party], layouts[party].width)
        locks.append(receive_lock(s, role, party, plan.release.outputs))
        wanted = job.placements(party)
        programs.update(receive_programs(s, record, role, party, wanted, capacities[party]))
        return rows

    uploads = [Upload(p, layouts[p], partial(receive, p)) for p in job.providers]
    policy = JoinPolicy(request.epsilon_join, job.contract.join.delta)
    made: Roster | None = None
    if kept:
        people = realign(s, kept.roster, uploads, plan.keep)
    elif request.roster:
        whole = align(s, record, uploads, policy)
        made, people = Roster.of(whole), replace(whole, groups=chosen(whole.groups, plan.keep))
    else:
        people = align(s, record, uploads, policy, plan.keep)
    people = replace(people, programs=programs)
    progress(job.entry.title, 0.0)
    counts = job.entry.compute(s.fork("compute"), people, plan)
    locked = lock_counts(s, record, counts, plan.release, locks, request.recipients)
    s.check_equal("record", canonical(record.body()), "records of what was opened")
    for role in range(3, len(job.roles)):
        send_record(channel, role, record, whole=seat == 0)
    commit(record)
    if made is not None and keeper is not None:  # it is paid for
        keeper.keep(job.contract, request, plan.capacities, SEAT, made.arrays())
    send_locked(channel, locked, job.recipient_roles)
    progress("done", 1.0)
    return record, s.meter


def run_provider(
    channel: Channel, party: str, job: Job, entropy: Entropy, read: Callable[[], list[Part]],
    commit: Callable[[Record], None], progress: Progress, keeper: Keeper | None = None,
) -> Record:  # fmt: skip
    """A provider's whole part: share rows and a lock, then, if its own gate agrees, tell the lock.

    ``keeper`` has the party's rosters, for jobs that name one.
    """
    plan = job.plan
    progress("reading", 0.0)
    if job.request.roster_job:
        parts, order, rows = _rows_of_roster(job, party, read, keeper)
    else:
        parts, order, rows = _fresh_rows(job, party, read, entropy, keeper)
    progress("sharing", 0.0)
    send_rows(channel, SEAT_ROLES, party, rows, entropy)
    lock = send_lock(channel, SEAT_ROLES, party, plan.release.outputs, entropy)
    wanted = job.placements(party)
    send_programs(channel, SEAT_ROLES, party, wanted, parts, order, entropy)
    made = {ORDER: order.copy()} if job.request.roster and not job.request.roster_job else None
    del parts, order, rows
    progress(SHARED, 0.0)
    record = receive_record(channel)
    commit(record)
    if made is not None and keeper is not None:  # it is paid for
        keeper.keep(job.contract, job.request, plan.capacities, ORDER, made)
    for role in job.recipient_roles:
        channel.send(role, f"unlock.{party}", lock)
    progress("done", 1.0)
    return record


def _fresh_rows(
    job: Job, party: str, read: Callable[[], list[Part]], entropy: Entropy, keeper: Keeper | None
) -> tuple[list[Part], U64, U64]:
    """(parts, ids in row order, rows with their ids) for an alignment; for a roster, of everybody."""
    layout = job.plan.layouts[party]
    parts = read()
    everybody = []
    if job.request.roster:
        everybody = [Part(ids, {}) for ids in _of(keeper).everybody()]
    ids, columns = merged([*parts, *everybody], layout)
    rows = padded(ids, columns, job.plan.capacities[party], layout, entropy)
    return parts, rows[:, 0], rows


def _rows_of_roster(
    job: Job, party: str, read: Callable[[], list[Part]], keeper: Keeper | None
) -> tuple[list[Part], U64, U64]:
    """(parts, ids in row order, columns without ids) in the order that the roster has."""
    keeper = _of(keeper)
    order = keeper.load(job.request, ORDER)[ORDER]
    parts, waiting = known(read(), order)
    if waiting:
        keeper.tell(
            f"{waiting} people are not in roster {job.request.roster} and wait for the next one"
        )
    return parts, order, columns_of(parts, order, without_ids(job.plan.layouts[party]))


@dataclass(frozen=True)
class _Kept:
    """What a seat kept of a roster, and the layouts of what will be sent over it."""

    roster: Roster
    rows: Mapping[str, int]
    layouts: dict[str, Layout]


def _kept(job: Job, keeper: Keeper | None) -> _Kept | None:
    if not job.request.roster_job:
        return None
    keeper = _of(keeper)
    note = keeper.note(job.request)
    roster = Roster.from_arrays(job.providers, keeper.load(job.request, SEAT))
    layouts = {p: without_ids(job.plan.layouts[p]) for p in job.providers}
    return _Kept(roster, note.rows, layouts)


def _of(keeper: Keeper | None) -> Keeper:
    if keeper is None:
        raise Fault("roster.keeper", "a job that names a roster was started without a place for it")
    return keeper


def run_recipient(channel: Channel, job: Job, progress: Progress) -> tuple[Any, Opened, Record]:
    """A recipient's whole part: the result, what was opened, the record."""
    progress("waiting for the seats", 0.0)
    record = receive_record(channel)
    outputs = job.plan.release.outputs
    locks = [
        np.asarray(channel.receive(job.provider_role(p), f"unlock.{p}", _U64, (outputs,)))
        for p in job.providers
    ]
    opened = read_locked(channel, job.plan.release, locks)
    progress("done", 1.0)
    return job.entry.read(job.plan, *opened), opened, record


def send_record(channel: Channel, role: int, record: Record, *, whole: bool) -> None:
    """The public record's digest from every seat, and its text from seat 0.

    What the seats saw on the way (noised pattern counts) was paid for towards seats only.
    """
    record = record.public()
    channel.send(role, "record.digest", np.frombuffer(bytes.fromhex(record.digest()), np.uint8))
    if whole:
        text = np.frombuffer(canonical(record.body()), np.uint8)
        channel.send(role, "record.size", np.array([text.size], np.uint64))
        channel.send(role, "record.text", text)


def receive_record(channel: Channel) -> Record:
    """The seats' record, checked to be the same at all three."""
    digests = {}
    text = b""
    for seat in SEAT_ROLES:
        digests[seat] = channel.receive(seat, "record.digest", _U8, (32,)).tobytes().hex()
        if seat == 0:
            size = int(channel.receive(seat, "record.size", _U64, (1,))[0])
            if size > _MOST_RECORD_BYTES:
                raise Foul("gate.record", "the record of what was opened is oversized")
            text = channel.receive(seat, "record.text", _U8, (size,)).tobytes()
    record = Record()
    try:
        for item in json.loads(text):
            record.write(Opening(**{**item, "to": tuple(item["to"])}))
        ours = record.digest()
    except (ValueError, TypeError, KeyError) as error:
        raise Foul("gate.record", "the record of what was opened cannot be read") from error
    if set(digests.values()) != {ours}:
        raise Foul(
            "gate.record",
            "the seats do not agree about what was opened",
            remedy="compare the seats' ledgers before a rerun",
        )
    return record
