"""What the departments of this organisation say of a contract before it signs: kept in the ledger only.

A node's configuration may name departments that must approve (``reviews = ["legal", "data-owner", "risk"]``); then
signing is refused until each has approved this very text. A later review of a department replaces its earlier one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from hanse.contracts import Contract
from hanse.errors import Refusal
from hanse.ledger import Entry, Ledger

Verdict = Literal["approve", "object", "comment"]
DEPARTMENTS = ("legal", "data-owner", "risk", "government-affairs")
MAX_COMMENT = 4000


@dataclass(frozen=True, slots=True)
class Review:
    """One department's word on one text of a contract."""

    time: str
    contract: str
    version: int
    hash: str
    department: str
    verdict: Verdict
    comment: str
    by: str  # who wrote it, as this organisation names them: an office, an account

    @classmethod
    def of(cls, entry: Entry) -> Review:
        return cls(entry.time, **entry.body)


def record_review(
    ledger: Ledger, contract: Contract, department: str, verdict: str, comment: str, by: str
) -> Review:
    """Write a review into the ledger.

    Raises `Refusal` ``review.department``, ``review.verdict`` or ``review.comment`` (an objection needs a reason).
    """
    if department not in DEPARTMENTS:
        raise Refusal("review.department", f"{department[:40]!r} is not a department that reviews contracts",
                      remedy="use one of " + ", ".join(DEPARTMENTS))  # fmt: skip
    if verdict not in get_args(Verdict):
        raise Refusal("review.verdict", f"{verdict[:40]!r} is not a verdict",
                      remedy="use one of " + ", ".join(get_args(Verdict)))  # fmt: skip
    if len(comment) > MAX_COMMENT or (verdict != "approve" and not comment.strip()):
        raise Refusal("review.comment", f"a review that does not approve says why, in at most {MAX_COMMENT} "
                      "characters", remedy="write what must change")  # fmt: skip
    body: dict[str, Any] = {
        "contract": contract.id,
        "version": contract.version,
        "hash": contract.hash,
        "department": department,
        "verdict": verdict,
        "comment": comment.strip(),
        "by": by[:200],
    }
    return Review.of(ledger.append("review", body))


def reviews_of(ledger: Ledger, contract_id: str) -> list[Review]:
    """Every review of every version of a contract, oldest first."""
    return [
        Review.of(entry)
        for entry in ledger.entries(kind="review")
        if entry.body["contract"] == contract_id
    ]


def require_approvals(ledger: Ledger, contract: Contract, departments: Iterable[str]) -> None:
    """`Refusal` ``contract.review`` naming who has not approved this very text."""
    latest: dict[str, Review] = {}
    for review in reviews_of(ledger, contract.id):
        if review.hash == contract.hash and review.verdict != "comment":
            latest[review.department] = review
    lacking = [d for d in departments if d not in latest]
    against = [d for d in departments if d in latest and latest[d].verdict == "object"]
    if lacking or against:
        said = [f"{d} has not approved it" for d in lacking] + [f"{d} objects" for d in against]
        raise Refusal(
            "contract.review",
            f"contract {contract.id!r}, version {contract.version}, may not be signed: {'; '.join(said)}",
            remedy=f"let them review it: hanse contract review {contract.id} --department NAME --approve",
            where=f"contract {contract.id}",
        )
