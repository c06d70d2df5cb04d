"""What each party adds to a model, as it was measured by jobs whose result this node received.

Statements take the shares as their key: those of the last measurement of a model before the period ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from hanse.contracts.models import CONTRIBUTIONS
from hanse.node.office import NodeOffice

_SHARE = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Measured:
    """One measurement: when it ended, its job, and its result (`learn.jobs.contributions.Contributed`)."""

    at: datetime
    job: str
    contract: str
    model: str
    result: dict[str, Any]

    @property
    def key(self) -> dict[str, Decimal]:
        """Shares that a payment is parted by: of those who add something, in ten-thousandths; they add up to 1.

        A party that adds nothing, or harms, has none; what rounding leaves goes to the largest.
        """
        added = {c["party"]: max(0.0, self._added(c)) for c in self.result["contributions"]}
        whole = sum(added.values())
        if whole <= 0:
            return dict.fromkeys(added, Decimal(0))
        shares = {
            party: Decimal(value / whole).quantize(_SHARE, ROUND_HALF_EVEN)
            for party, value in added.items()
        }
        largest = max(shares, key=lambda party: (shares[party], party))
        shares[largest] += Decimal(1) - sum(shares.values(), Decimal(0))
        return shares

    @staticmethod
    def _added(one: dict[str, Any]) -> float:
        return float(one["shapley"])

    def body(self) -> dict[str, Any]:
        """Plain values, with what each party adds and the settlement key."""
        return {
            "at": self.at.isoformat(timespec="seconds"), "job": self.job, "contract": self.contract,
            "key": {party: str(share) for party, share in self.key.items()}, **self.result,
        }  # fmt: skip


def measured(
    office: NodeOffice, contract: str = "", model: str = "", until: date | None = None
) -> list[Measured]:
    """Measurements of one contract or of all, the newest first; those that ended on ``until`` (UTC) or before."""
    found = []
    for reservation in office.spend.trained(contract):
        if model not in ("", reservation.model):
            continue
        stored = office.store.jobs.get(reservation.job)
        if stored is None or stored.request.get("computation") != CONTRIBUTIONS:
            continue
        told, ended = (stored.result or {}).get("result"), stored.finished
        if told is None or ended is None or (until is not None and ended.date() > until):
            continue
        found.append(
            Measured(ended, stored.job, reservation.contract, reservation.model, dict(told))
        )
    return sorted(found, key=lambda m: (m.at, m.job), reverse=True)
