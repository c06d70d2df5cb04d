"""The score of one row, asked in the open: all parties of the model see which row it is (`open-query`).

 1. ask    the receiver sends the row's hashed id to the other parties of the model
 2. home   each party looks the row up and makes its part of the predictor; a party that lacks it ends the job
 3. share  parts are shared with the seats, which add them up without seeing them
 4. out    under every provider's lock, to the receiver alone (`gate.scores`)

Reveals: to every party of the model the id that is asked for, and whether the others have it (the job ends if not);
to the receiver the exact predictor, with two parties the other's part as well; to seats nothing.
Assumes: semi-honest seats, honest majority.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hanse.contracts import Contract
from hanse.engine.fixed import decode, encode
from hanse.engine.session import Session
from hanse.engine.shares import SEATS, U64, Ring
from hanse.entropy import Entropy
from hanse.errors import Refusal
from hanse.gate.record import Opening, Record
from hanse.gate.scores import ModelRelease, Told
from hanse.learn.jobs.terms import F64, Scoring, Terms, read_question, release_of, terms_of
from hanse.learn.linear.keys import receive_elements, send_elements
from hanse.learn.scoring.batch import (
    FRACTION,
    ScoringQuestion,
    receive_units,
    share_units,
    units_told,
)
from hanse.wire import Channel

_U64 = np.dtype("<u8")


@dataclass(frozen=True)
class OnlinePlan(Scoring):
    """One row's scoring as every node plans it. The id itself is in no request and no ledger."""

    terms: Terms
    question: ScoringQuestion
    classes: int
    release: ModelRelease
    epsilon_join: float = 0.0
    committed: bool = False
    way: str = "shares"


def plan(parameters: Mapping[str, Any], contract: Contract) -> OnlinePlan:
    """The plan; `Refusal` where clause or question do not fit."""
    question: ScoringQuestion = read_question(ScoringQuestion, parameters)
    terms = terms_of(contract, question.model)
    if question.receiver not in terms.parties:
        raise Refusal("model.recipient", f"{question.receiver} is no party of {question.model!r}",
                      remedy="name a party of the model")  # fmt: skip
    classes = len(terms.target.values) if terms.clause.kind == "multinomial" else 1
    what = f"the predictor of the row that {question.receiver} asked for, exact"
    told = Told("score", what, (question.receiver,), classes)
    release = release_of(terms, [told, *units_told(terms, question.receiver)], ("asked",))
    return OnlinePlan(terms, question, classes, release)


# --- at a provider ----------------------------------------------------------------------------------


def ask(channel: Channel, plan: OnlinePlan, hashed: int) -> None:
    """At the receiver: tell the other parties which row it is about."""
    for number, party in enumerate(plan.terms.parties):
        if party != plan.question.receiver:
            channel.send(SEATS + number, "asked", np.array([hashed], np.uint64))


def asked(channel: Channel, plan: OnlinePlan) -> int:
    """At the others."""
    receiver = plan.terms.parties.index(plan.question.receiver)
    return int(channel.receive(SEATS + receiver, "asked", _U64, (1,))[0])


def share(
    channel: Channel,
    plan: OnlinePlan,
    party: str,
    partial: F64 | None,
    units: F64,
    entropy: Entropy,
) -> None:
    """Share this party's part of the predictor [classes]; `Refusal` ``model.no-row`` if it has no such row."""
    if partial is None or not np.isfinite(partial).all():
        raise no_row(party)
    share_units(channel, plan.release, plan.terms, party, units, entropy)
    send_elements(channel, party, "part", encode(partial, FRACTION), entropy)


def no_row(party: str) -> Refusal:
    """The refusal of a score of an id that ``party`` has no row for, or none with all values."""
    return Refusal(
        "model.no-row", f"{party} has no row with this id in which all columns of the model have a value",
        remedy="ask for an id that all parties of the model have, and fill in what is missing at home", where=party,
    )  # fmt: skip


# --- at a seat and the receiver -----------------------------------------------------------------------


def compute(s: Session, record: Record, plan: OnlinePlan) -> dict[str, Ring]:
    """The sum of the parts [classes]."""
    seen = tuple(p for p in plan.terms.parties if p != plan.question.receiver)
    record.write(
        Opening("asked", "which row is asked for, by its hashed id, told by the receiver", seen, 1)
    )
    found = receive_units(s, plan.release, plan.terms)
    total: Ring | None = None
    for number, party in enumerate(plan.terms.parties):
        part = receive_elements(s, SEATS + number, party, "part", (plan.classes,))
        total = part if total is None else total + part
    if total is None:
        raise Refusal("model.parties", "a model without parties cannot score")
    return {"score": total, **found}


def read(words: U64) -> F64:
    """Predictors [1, classes]."""
    return decode(words, FRACTION).reshape(1, -1)
