"""Joint batch scoring of a linear model, on shares, for one receiver.

 1. home    each party makes its part of every row's predictor: coefficients times its own columns
 2. bucket  rows are parted by their hashed ids into buckets of declared size, so that memory stays bounded
 3. join    bucket by bucket, rows are aligned without anybody learning who is in both (`align`)
 4. sum     the parts of a row are added on its bits; rows that not all parties have are zero
 5. home    the sums go back into the receiver's own order of rows (`align.programs.brought_home`)
 6. out     under every provider's lock, to the receiver alone (`gate.scores`)

Reveals: to the receiver the exact predictor of each of its rows that all parties have, and which these are; with
two parties it can take its own part off and read the other's. To the seats, noised numbers of rows in common, once
per bucket; a person is in one bucket, so that the price is that of one alignment. Never a part without the others:
a row that a party lacks has no score, and a party that is missing ends the job.
Assumes: semi-honest seats, honest majority.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hanse.align import Layout, Upload, align, padded
from hanse.align.programs import brought_home
from hanse.align.upload import receive_rows, send_rows
from hanse.contracts import Contract
from hanse.contracts.fields import Document, Hash, Name, Slug
from hanse.contracts.models import LINEAR_KINDS
from hanse.engine.add import add_bits
from hanse.engine.boolean import and_
from hanse.engine.session import Session
from hanse.engine.shares import SEATS, Bits, Ring, Words, join_planes
from hanse.entropy import Entropy
from hanse.errors import Fault, Refusal
from hanse.gate.record import Record
from hanse.gate.scores import ModelRelease, Told, flat
from hanse.learn.jobs.terms import F64, U64, Scoring, Terms, read_question, release_of, terms_of
from hanse.learn.linear.keys import receive_elements, send_elements
from hanse.wire import Channel

FRACTION = 20  # bits of a predictor
BITS = 40
_WHOLE = 16  # a party's part is below 2**16 each way; eight of them fit
_BUCKET_ROWS = 1 << 17
SEAT_ROLES = (0, 1, 2)


class ScoringQuestion(Document):
    """``training`` is the job that made the model, ``receiver`` who reads the scores.

    ``handle`` tells the receiver's own node which row it has asked for; it means nothing to anybody else.
    """

    model: Name
    training: Hash
    receiver: Slug
    handle: Annotated[str, Field(pattern="^([0-9a-f]{32})?$")] = ""


@dataclass(frozen=True)
class ScoringPlan(Scoring):
    """A scoring as every node plans it."""

    terms: Terms
    question: ScoringQuestion
    classes: int
    buckets: int
    release: ModelRelease
    single: bool = False  # the receiver brings one row, in whichever bucket
    committed: bool = True  # uploads are made before the job is signed
    way: str = "shares"

    @property
    def epsilon_join(self) -> float:
        return self.terms.policy.epsilon

    def rows(self, party: str) -> int:
        """Declared rows of the party in one bucket: eight deviations more than the share of its capacity."""
        if self.single and party == self.question.receiver:
            return 1
        capacity = self.terms.side(party).capacity
        if self.buckets == 1:
            return capacity
        share = capacity / self.buckets
        return min(capacity, math.ceil(share + 8 * math.sqrt(share) + 64))

    @property
    def layout(self) -> Layout:
        fields = [(f"score{c}", BITS) for c in range(self.classes)]
        return Layout.pack([*fields, ("here", 1)])


def plan(parameters: Mapping[str, Any], contract: Contract, *, single: bool = False) -> ScoringPlan:
    """The plan of a scoring, of all rows or of one that stays hidden; `Refusal` where something does not fit."""
    question = read_question(ScoringQuestion, parameters)
    terms = terms_of(contract, question.model)
    if terms.clause.kind not in LINEAR_KINDS:
        raise Refusal("model.kind", f"a model of kind {terms.clause.kind} is not scored on shares",
                      remedy="ask with 'hanse model score', which knows the ways of its kind")  # fmt: skip
    if question.receiver not in terms.parties:
        raise Refusal("model.recipient", f"{question.receiver} brings no rows to {question.model!r}, so it has "
                      "none to be told scores of", remedy="name a party of the model")  # fmt: skip
    largest = max(side.capacity for side in terms.sides)
    buckets = 1 << max(0, math.ceil(math.log2(largest / _BUCKET_ROWS)))
    classes = len(terms.target.values) if terms.clause.kind == "multinomial" else 1
    made = ScoringPlan(terms, question, classes, buckets, ModelRelease((), terms.k), single)
    size = classes * buckets * made.rows(question.receiver)
    what = f"the predictors of the rows of {question.receiver} that all parties have, exact"
    if single:
        what = f"the predictor of a row that {question.receiver} asks for, if all parties have it, exact"
    told = Told("scores", what, (question.receiver,), size, words=True)
    return replace(made, release=release_of(terms, [told, *units_told(terms, question.receiver)]))


def units_told(terms: Terms, receiver: str) -> list[Told]:
    """Predictors of a linear model are in deviations of the label: what they are, its party tells the receiver."""
    if terms.clause.kind != "linear" or receiver == terms.label_party:
        return []
    what = "the label's mean and deviation in the rows that were learned from"
    return [Told("units", what, (receiver,), 2)]


# --- the label's units ------------------------------------------------------------------------------


def share_units(
    channel: Channel, release: ModelRelease, terms: Terms, party: str, units: F64, entropy: Entropy
) -> None:
    """At the label's party: shift and scale [2] as they are, if they are told at all."""
    if party == terms.label_party and any(t.step == "units" for t in release.told):
        send_elements(channel, party, "units", flat(units), entropy)


def receive_units(s: Session, release: ModelRelease, terms: Terms) -> dict[str, Ring]:
    """At a seat."""
    if not any(t.step == "units" for t in release.told):
        return {}
    return {"units": receive_elements(s, SEATS, terms.label_party, "units", (2,))}


# --- at a provider ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Places:
    """Where a provider's rows are: for each bucket the places of its real rows, and which rows of its table."""

    real: tuple[NDArray[np.int64], ...]
    rows: tuple[NDArray[np.int64], ...]


def share(
    channel: Channel,
    plan: ScoringPlan,
    party: str,
    ids: U64,
    partial: F64,
    units: F64,
    entropy: Entropy,
) -> Places:
    """Send every bucket's rows to the seats. ``ids`` [rows] rise, ``partial`` [rows, classes]."""
    share_units(channel, plan.release, plan.terms, party, units, entropy)
    scaled = np.rint(partial * float(1 << FRACTION))
    if not (np.abs(scaled) < float(1 << (_WHOLE + FRACTION))).all():
        raise Fault(
            "model.range",
            f"a row of {party} has a part of a score that is out of range, or a missing value",
            where=f"dataset {plan.terms.side(party).dataset}",
            remedy="look for missing and far-out values in the columns that the model uses",
        )
    words = scaled.astype(np.int64).view(np.uint64) & np.uint64((1 << BITS) - 1)
    layout, capacity = plan.layout, plan.rows(party)
    edges = bucket_edges(ids, plan.buckets)
    real, rows = [], []
    for bucket in range(plan.buckets):
        part = slice(int(edges[bucket]), int(edges[bucket + 1]))
        size = part.stop - part.start
        if size > capacity:
            raise Fault("model.buckets", f"the ids of {party} are not spread evenly enough to be scored",
                        where=f"dataset {plan.terms.side(party).dataset}",
                        remedy="agree on a larger capacity")  # fmt: skip
        columns = np.zeros((size, layout.width), np.uint64)
        for c in range(plan.classes):
            layout.fill(columns, f"score{c}", words[part, c])
        layout.fill(columns, "here", np.ones(size, np.uint64))
        table = padded(ids[part], columns, capacity, layout, entropy)
        send_rows(channel, SEAT_ROLES, f"{party}.{bucket}", table, entropy)
        real.append(np.searchsorted(table[:, 0], ids[part]))
        rows.append(np.arange(part.start, part.stop))
    return Places(tuple(real), tuple(rows))


def bucket_edges(ids: U64, buckets: int) -> NDArray[np.int64]:
    """Where each bucket begins in rising ids: by their first bits."""
    width = (1 << 64) // buckets
    starts = np.array([b * width for b in range(buckets)], np.uint64)
    return np.append(np.searchsorted(ids, starts), ids.size)


# --- at a seat --------------------------------------------------------------------------------------


def compute(s: Session, record: Record, plan: ScoringPlan) -> dict[str, Words | Ring]:
    """The sums in the receiver's order, [classes * buckets * rows] words: flag in bit `BITS`, sum below."""
    units = receive_units(s, plan.release, plan.terms)
    found: list[list[Words]] = [[] for _ in range(plan.classes)]
    for bucket in range(plan.buckets):
        s.report("bucket", bucket / plan.buckets)
        for c, words in enumerate(_bucket(s.fork(f"bucket{bucket}"), record, plan, bucket)):
            found[c].append(words)
    return {"scores": _joined(part for parts in found for part in parts), **units}


def _bucket(s: Session, record: Record, plan: ScoringPlan, bucket: int) -> Iterable[Words]:
    parties = plan.terms.parties
    uploads = [Upload(p, plan.layout, _receiver(s, plan, n, bucket)) for n, p in enumerate(parties)]
    everybody = (1 << len(parties)) - 1
    own = Record()
    people = align(s, own, uploads, plan.terms.policy, lambda mask: mask == everybody)
    for opening in own.openings:
        record.write(replace(opening, step=f"bucket{bucket}.{opening.step}"))
    here = people.field(parties[0], "here")
    for number, party in enumerate(parties[1:], 1):
        here = and_(s, here, people.field(party, "here"), f"here.{number}")
    receiver = plan.question.receiver
    rows = plan.rows(receiver)
    out = []
    for c in range(plan.classes):
        total = people.field(parties[0], f"score{c}")
        for number, party in enumerate(parties[1:], 1):
            added = add_bits(s, total, people.field(party, f"score{c}"), f"add.{c}.{number}")
            total = Bits(added.left[:BITS], added.right[:BITS], added.rows)  # two's complement
        told = join_planes([and_(s, total, here, f"shown.{c}"), here])
        out.append(brought_home(s, people, receiver, told, rows, f"home.{c}"))
    return out


def _receiver(s: Session, plan: ScoringPlan, number: int, bucket: int) -> Callable[[], Words]:
    party = plan.terms.parties[number]
    return lambda: receive_rows(
        s, SEATS + number, f"{party}.{bucket}", plan.rows(party), plan.layout.width
    )


def _joined(parts: Iterable[Words]) -> Words:
    found = list(parts)
    return Words(
        np.concatenate([p.left.reshape(-1) for p in found]),
        np.concatenate([p.right.reshape(-1) for p in found]),
    )


# --- at the receiver --------------------------------------------------------------------------------


def read(plan: ScoringPlan, words: U64, places: Places, rows: int) -> tuple[F64, NDArray[np.bool_]]:
    """(predictors [rows, classes], whether all parties have the row [rows]) in the order of the receiver's rows."""
    shaped = words.reshape(plan.classes, plan.buckets, -1)
    eta, matched = np.full((rows, plan.classes), np.nan), np.zeros(rows, bool)
    for bucket in range(plan.buckets):
        where, mine = places.real[bucket], places.rows[bucket]
        for c in range(plan.classes):
            word = shaped[c, bucket, where]
            here = (word >> np.uint64(BITS)) & np.uint64(1) == 1
            # The sign bit of 40 moves to that of 64, and back.
            value = (word << np.uint64(64 - BITS)).view(np.int64) >> (64 - BITS)
            eta[mine[here], c] = value[here] / float(1 << FRACTION)
            matched[mine] = here
    return eta, matched
