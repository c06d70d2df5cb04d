"""A model's card: what it is, what it rests on, who holds what, what was told to whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hanse import __version__
from hanse.contracts import ModelClause, ModelNote
from hanse.contracts.model_check import expiry_of
from hanse.contracts.models import BOOSTING_KINDS
from hanse.gate.record import Record
from hanse.learn.jobs.terms import Terms
from hanse.node.jobs.roles import Job

Document = dict[str, Any]


@dataclass(frozen=True)
class Made:
    """What a training gave one party: the card, and its own part ({} if it was told none)."""

    card: Document
    block: Document

    def body(self) -> Document:
        """Plain values, as the job's result; what was opened is in the job's disclosure report."""
        card = {name: value for name, value in self.card.items() if name != "disclosures"}
        return {"model": card["model"], "card": card, "holds_part": bool(self.block)}


def _part_of(clause: ModelClause) -> str:
    """What each party holds of a model of this kind."""
    if clause.horizontal:
        return "the whole common model, and its own"
    if clause.kind in BOOSTING_KINDS:
        return "the splits of its own columns; the leaves are with the label's party"
    return "the coefficients of its own columns"


def card_of(
    job: Job,
    party: str,
    now: datetime,
    metrics: Mapping[str, Any],
    facts: Mapping[str, Any],
    record: Record,
) -> tuple[ModelNote, Document]:
    """(note for decisions, card for people) of the model that the job has trained, as ``party`` knows it."""
    terms: Terms = job.plan.terms
    clause, contract = terms.clause, job.contract
    expires = expiry_of(contract, clause, now)
    note = ModelNote(
        clause.name, job.request.job_hash, contract.id, clause.digest, now, expires, "held"
    )
    card: Document = {
        "model": clause.name,
        "kind": clause.kind,
        "training": job.request.job_hash,
        "asked_by": job.request.analyst,
        "made": now.isoformat(timespec="seconds"),
        "expires": expires.isoformat(timespec="seconds"),
        "held_by": party,
        "contract": {"id": contract.id, "version": contract.version, "hash": contract.hash},
        "authorisation": clause.authorisation,
        "evidence": clause.evidence or "",
        "alignment": clause.alignment,
        "target": f"{clause.target.dataset}.{clause.target.column}",
        "data": [
            {"party": s.party, "dataset": s.dataset, "columns": [t.name for t in s.terms],
             "commitment": job.request.commitments.get(s.dataset, "")}
            for s in terms.sides
        ],
        "holds": dict.fromkeys(clause.told(contract), _part_of(clause)),
        "settings": {k: v for k, v in job.plan.question.model_dump().items() if k != "model"},
        "metrics": dict(metrics),
        "metrics_told_to": list(clause.metrics),
        **facts,
        "disclosures": record.public().body(),
        "software": __version__,
    }  # fmt: skip
    return note, card
