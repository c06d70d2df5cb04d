"""Rosters: an alignment made once and used by jobs of many days; what a node remembers of one, when it serves.

Pure, like the rest of the room: the clock and what the node holds are arguments. Clauses of their own:

    roster.forbidden   the contract allows no rosters
    roster.unknown     this party does not hold its part (any more)
    roster.expired     the roster has lived as long as the contract lets it
    roster.layout      the job is not about what the roster was made for: contract, providers or datasets
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from hanse.contracts.requests import JobRequest, providers_of
from hanse.contracts.terms import Contract
from hanse.errors import Fault, Refusal


@dataclass(frozen=True, slots=True)
class RosterNote:
    """What every party of the job that made a roster remembers of it; nothing in it is secret.

    ``job`` is the job that made it, and the roster's id; ``rows`` are the declared rows by provider.
    """

    name: str
    job: str
    contract: str  # id
    contract_hash: str
    datasets: tuple[str, ...]
    rows: Mapping[str, int]
    made: datetime
    expires: datetime

    @property
    def providers(self) -> tuple[str, ...]:
        """Sorted."""
        return tuple(sorted(self.rows))

    def to_json(self) -> str:
        """A document for the disk."""
        fields = asdict(self) | {"made": self.made.isoformat(), "expires": self.expires.isoformat()}
        return json.dumps(fields, sort_keys=True, indent=1)

    @classmethod
    def from_json(cls, text: str) -> RosterNote:
        """Read `to_json`; `Fault` ``roster.damaged`` for anything else."""
        try:
            fields: dict[str, Any] = json.loads(text)
            times = {name: datetime.fromisoformat(fields[name]) for name in ("made", "expires")}
            return cls(**{**fields, **times, "datasets": tuple(fields["datasets"])})
        except (ValueError, TypeError, KeyError) as error:
            raise Fault("roster.damaged", "what is kept of a roster cannot be read",
                        remedy="remove it with 'hanse roster remove', then ask with a new roster name",
                        detail=str(error)) from error  # fmt: skip


def note_of(
    contract: Contract, request: JobRequest, rows: Mapping[str, int], now: datetime
) -> RosterNote:
    """The note on the roster that ``request`` makes, at its end. No roster outlives its contract."""
    made = now.astimezone(UTC)
    over = datetime.combine(contract.expires, time(), UTC)
    return RosterNote(
        request.roster, request.job_hash, contract.id, contract.hash, request.datasets, dict(rows),
        made, min(over, made + timedelta(days=contract.join.roster_days)),
    )  # fmt: skip


def check_allowed(contract: Contract, request: JobRequest) -> None:
    """`Refusal` if the job names a roster that the contract has no room for, or prices it wrongly."""
    if not request.roster:
        return
    if not contract.join.roster_days:
        raise _refusal(
            contract,
            "forbidden",
            "the contract allows no rosters",
            "ask without one, or agree on roster_days in the contract's [join]",
        )
    if request.roster_job and request.epsilon_join != 0:
        raise Refusal(
            "contract.join",
            "a job over a roster shows the seats nothing, so it cannot spend an epsilon_join",
            remedy="ask with an epsilon_join of 0",
            where=f"contract {contract.id}",
        )


def check_held(
    contract: Contract, request: JobRequest, note: RosterNote | None, now: datetime, *, party: str
) -> None:
    """`Refusal` unless ``party`` can play its part in a job over a roster; ``note`` is None if it has lost it."""
    if not request.roster_job:
        return
    another = "ask with a new roster name, which makes a new roster"
    if note is None or note.name != request.roster:
        raise _refusal(
            contract,
            "unknown",
            f"{party} does not hold its part of roster {request.roster!r}",
            another,
        )
    if now >= note.expires:
        raise _refusal(
            contract,
            "expired",
            f"roster {request.roster!r} of {note.made:%Y-%m-%d} has expired at {party} after "
            f"{contract.join.roster_days} days",
            another,
        )
    if note.contract_hash != contract.hash:
        raise _refusal(
            contract,
            "layout",
            f"roster {request.roster!r} at {party} was made under another version of the contract",
            another,
        )
    providers = providers_of(contract, request)
    if providers != note.providers or not set(request.datasets) <= set(note.datasets):
        raise _refusal(
            contract,
            "layout",
            f"roster {request.roster!r} was made for {', '.join(note.datasets)} of "
            f"{', '.join(note.providers)}, not for {', '.join(request.datasets)} of {', '.join(providers)}",
            f"{another}, or ask about those datasets of all those providers",
        )


def _refusal(contract: Contract, code: str, message: str, remedy: str) -> Refusal:
    return Refusal(f"roster.{code}", message, remedy=remedy, where=f"contract {contract.id}")
