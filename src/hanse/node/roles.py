"""A job as each role lives it: a seat, a provider, a recipient. The same code at a node and in a rehearsal.

The roles talk through channels only; what differs between a node and a rehearsal (transport, ledger, files)
comes in as arguments. Roles 0, 1, 2 are the seats, then the providers in sorted order, then the recipients.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np

from hanse import __version__
from hanse.align.join import JoinPolicy, Upload, align
from hanse.align.layout import Part, merged
from hanse.align.upload import padded, receive_lock, receive_rows, send_lock, send_rows
from hanse.contracts import Contract, JobRequest
from hanse.contracts.requests import providers_of
from hanse.engine.session import Meter
from hanse.engine.shares import Words
from hanse.engine.stage import agree
from hanse.entropy import Entropy
from hanse.errors import Foul
from hanse.gate.record import Opening, Record
from hanse.gate.release import Opened, lock_counts, read_locked, send_locked
from hanse.menu import Entry
from hanse.wire import Channel, canonical

_U64 = np.dtype("<u8")
_U8 = np.dtype("u1")
_MOST_RECORD_BYTES = 1 << 20
SEAT_ROLES = (0, 1, 2)
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
) -> JobRequest:
    """The job that a planned question about people amounts to."""
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
            "epsilon_join": contract.join.epsilon if len(providers) > 1 else 0.0,
            "recipients": list(recipients),
            "attempt": attempt,
            "created": created.isoformat(),
            "nonce": nonce,
            "commitments": commitments,
            "code_version": __version__,
            "outputs": [{"name": "counts", "shape": [plan.release.outputs]}],
        }
    )


def run_seat(
    channel: Channel, seat: int, job: Job, entropy: Entropy,
    commit: Callable[[Record], None], progress: Progress,
) -> tuple[Record, Meter]:  # fmt: skip
    """A seat's whole part. ``commit`` debits the budget; outputs leave only after it returned."""
    plan, request = job.plan, job.request
    s = agree(channel, seat, entropy, bytes.fromhex(request.job_hash), progress=progress)
    record = Record()
    locks = []

    def receive(party: str) -> Words:
        role = job.provider_role(party)
        progress(f"rows of {party}", 0.0)
        rows = receive_rows(s, role, party, plan.capacities[party], plan.layouts[party].width)
        locks.append(receive_lock(s, role, party, plan.release.outputs))
        return rows

    uploads = [Upload(p, plan.layouts[p], partial(receive, p)) for p in job.providers]
    policy = JoinPolicy(request.epsilon_join, job.contract.join.delta)
    people = align(s, record, uploads, policy, plan.keep)
    progress(job.entry.title, 0.0)
    counts = job.entry.compute(s.fork("compute"), people, plan)
    locked = lock_counts(s, record, counts, plan.release, locks, request.recipients)
    s.check_equal("record", canonical(record.body()), "records of what was opened")
    for role in range(3, len(job.roles)):
        _send_record(channel, role, record, whole=seat == 0)
    commit(record)
    send_locked(channel, locked, job.recipient_roles)
    progress("done", 1.0)
    return record, s.meter


def run_provider(
    channel: Channel, party: str, job: Job, entropy: Entropy, read: Callable[[], list[Part]],
    commit: Callable[[Record], None], progress: Progress,
) -> Record:  # fmt: skip
    """A provider's whole part: share rows and a lock, then, if its own gate agrees, tell the lock."""
    plan = job.plan
    layout = plan.layouts[party]
    progress("reading", 0.0)
    ids, columns = merged(read(), layout)
    rows = padded(ids, columns, plan.capacities[party], layout, entropy)
    progress("sharing", 0.0)
    send_rows(channel, SEAT_ROLES, party, rows, entropy)
    lock = send_lock(channel, SEAT_ROLES, party, plan.release.outputs, entropy)
    del ids, columns, rows
    progress("waiting for the seats", 0.0)
    record = _receive_record(channel)
    commit(record)
    for role in job.recipient_roles:
        channel.send(role, f"unlock.{party}", lock)
    progress("done", 1.0)
    return record


def run_recipient(
    channel: Channel, job: Job, progress: Progress
) -> tuple[Any, Opened, Record]:
    """A recipient's whole part: the result, what was opened, the record."""
    progress("waiting for the seats", 0.0)
    record = _receive_record(channel)
    outputs = job.plan.release.outputs
    locks = [
        np.asarray(channel.receive(job.provider_role(p), f"unlock.{p}", _U64, (outputs,)))
        for p in job.providers
    ]
    opened = read_locked(channel, job.plan.release, locks)
    progress("done", 1.0)
    return job.entry.read(job.plan, *opened), opened, record


def _send_record(channel: Channel, role: int, record: Record, *, whole: bool) -> None:
    """The public record's digest from every seat, and its text from seat 0.

    What the seats saw on the way (noised pattern counts) was paid for towards seats only.
    """
    record = record.public()
    channel.send(role, "record.digest", np.frombuffer(bytes.fromhex(record.digest()), np.uint8))
    if whole:
        text = np.frombuffer(canonical(record.body()), np.uint8)
        channel.send(role, "record.size", np.array([text.size], np.uint64))
        channel.send(role, "record.text", text)


def _receive_record(channel: Channel) -> Record:
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
