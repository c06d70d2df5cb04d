"""A generalised linear model as a job: what is agreed, what each party shares, what each one makes of its part.

The protocol is `learn.linear.glm`; here are its two ends. Widths and numbers of rows follow from the contract, so
that a column that does not vary at one party, or how many rows it has, tells nobody anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hanse.align.upload import send_rows
from hanse.contracts import Contract
from hanse.contracts.fields import Document, Name
from hanse.engine.fixed import decode
from hanse.engine.session import Session
from hanse.engine.shares import SEATS, U64, Ring
from hanse.entropy import Entropy
from hanse.errors import Refusal
from hanse.gate.record import Record
from hanse.gate.scores import ModelRelease, Told
from hanse.learn.jobs.blocks import LinearBlock
from hanse.learn.jobs.committed import Upload, commitment_of
from hanse.learn.jobs.sealed import Seal, keys_hash, root_of, swapped
from hanse.learn.jobs.terms import (
    F64,
    Holdout,
    HomeRows,
    Terms,
    Training,
    lots,
    read_question,
    release_of,
    split_rows,
    terms_of,
)
from hanse.learn.linear import metrics
from hanse.learn.linear.certainty import VARIANCE
from hanse.learn.linear.families import Label, family_of, label_of
from hanse.learn.linear.glm import run_seat
from hanse.learn.linear.home import Basis, Columns, basis_of
from hanse.learn.linear.keys import send_elements
from hanse.learn.linear.party import share_penalties
from hanse.learn.linear.plan import (
    BETA,
    LEAST_BATCH,
    LEAST_ROWS,
    LEAST_TEST,
    MOST_BATCH,
    ROWS_PER_COLUMN,
    Plan,
    Provider,
)
from hanse.learn.linear.rows import open_rows, packed, values_of
from hanse.learn.linear.whole import show_keys
from hanse.wire import Channel

SEAT_ROLES = (0, 1, 2)
Numbers = dict[str, U64]


class LinearQuestion(Document):
    """``l2`` and ``l1`` are penalties on standardised coefficients, ``holdout`` the share of ids to test on;
    ``batch_rows`` are in a seat's memory at a time, the others in a file."""

    model: Name
    l2: Annotated[float, Field(ge=0, le=10)] = 1e-6
    l1: Annotated[float, Field(ge=0, le=10)] = 0.0
    iterations: Annotated[int, Field(ge=3, le=100)] = 20
    holdout: Holdout = 0.3
    power: Annotated[float, Field(gt=1, lt=2)] = 1.5  # Tweedie's
    batch_rows: Annotated[int, Field(ge=LEAST_BATCH, le=MOST_BATCH)] | None = (
        None  # None: all at once
    )


@dataclass(frozen=True)
class LinearPlan(Training):
    """A training as every node plans it; providers of ``linear`` are the parties of ``terms``, in order."""

    terms: Terms
    question: LinearQuestion
    linear: Plan
    release: ModelRelease
    way: str = "shares"

    @property
    def epsilon_join(self) -> float:
        return self.terms.policy.epsilon if self.hidden else 0.0

    @property
    def committed(self) -> bool:
        """Uploads are made before the job is signed; of open rows all, and seats take out those in common."""
        return True

    @property
    def hidden(self) -> bool:
        return self.terms.clause.alignment == "hidden"

    def number(self, party: str) -> int:
        return self.terms.parties.index(party)


def plan(parameters: Mapping[str, Any], contract: Contract) -> LinearPlan:
    """The plan of a training; `Refusal` where clause or question do not fit."""
    return plan_of(LinearQuestion, parameters, contract)


def plan_of(
    kind: type[LinearQuestion], parameters: Mapping[str, Any], contract: Contract
) -> LinearPlan:
    """The same, its parameters read as this kind of question."""
    question = read_question(kind, parameters)
    terms = terms_of(contract, question.model)
    clause = terms.clause
    family = family_of(clause.kind, question.power, max(3, len(terms.target.values)))
    if clause.kind == "multinomial" and len(terms.target.values) != family.classes:
        raise Refusal("learn.classes", "a multinomial model predicts three values or more",
                      remedy="use a logistic model for two", where=f"models[{clause.name}]")  # fmt: skip
    providers = tuple(
        Provider(side.party, side.width, *split_rows(side.capacity, question.holdout))
        for side in terms.sides
    )
    wide = Plan(
        family, providers, question.l2, terms.policy, question.iterations, clause.least_rows,
        question.l1, clause.alignment, weights=terms.weight is not None,
        offset=terms.offset is not None, errors=bool(clause.p_values), whole=clause.alignment == "open",
        batch_rows=question.batch_rows,
    )  # fmt: skip
    if terms.personal:
        needed = max(LEAST_ROWS, ROWS_PER_COLUMN * wide.width * family.classes)
        wide = replace(wide, least_rows=max(clause.least_rows, needed), least_test=LEAST_TEST)
    wide.check()
    besides = () if clause.alignment == "hidden" else ("training.keys", "holdout.keys")
    return LinearPlan(
        terms, question, wide, release_of(terms, _told(contract, terms, wide), besides)
    )


def _told(contract: Contract, terms: Terms, plan: Plan) -> list[Told]:
    clause, classes = terms.clause, plan.family.classes
    sizes = [block.stop - block.start for block in plan.blocks()]
    owners = clause.told(contract)
    found = [
        Told(
            f"model.{p}",
            f"the coefficients of the columns of {p}",
            (p,) if p in owners else (),
            n * classes,
        )
        for p, n in zip(terms.parties, sizes, strict=True)
    ]
    if plan.errors:
        found += [
            Told(f"errors.{p}", f"the variances of the coefficients of {p}",
                 (p,) if p in clause.p_values else (), 1 + n)
            for p, n in zip(terms.parties, sizes, strict=True)
        ]  # fmt: skip
    what = "metrics of the model on rows kept apart, exact, with how many these are"
    found.append(Told("metrics", what, clause.metrics, metrics.figures_of(plan)))
    everybody = tuple(sorted({party for told in found for party in told.to}))
    found.append(Told("facts", "how many iterations it took and whether it settled", everybody, 2))
    return found


# --- at a seat --------------------------------------------------------------------------------------


def compute(s: Session, record: Record, plan: LinearPlan) -> dict[str, Ring]:
    """All outputs by step; nothing has left yet."""
    kept: dict[str, Ring] = {}

    def keep(
        _channel: Channel, _record: Record, x: Ring, _what: str, _to: tuple[int, str], step: str
    ) -> None:
        kept[step] = x

    seen = run_seat(s, record, plan.linear, keep)
    kept["facts"] = s.public_ring(np.array([seen.iterations, seen.settled], np.uint64))
    return kept


# --- at a provider ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class DeclaredBasis(Basis):
    """A basis of all declared columns: those in ``dead`` do not vary here, are shared as 0 and held at 0."""

    dead: NDArray[np.int64] = None  # type: ignore[assignment]

    @staticmethod
    def of(basis: Basis) -> DeclaredBasis:
        width = len(basis.names)
        dead = np.setdiff1d(np.arange(width), basis.kept)
        mean, sd, turn = np.zeros(width), np.ones(width), np.zeros((width, width))
        mean[basis.kept], sd[basis.kept] = basis.mean, basis.sd
        turn[np.ix_(basis.kept, basis.kept)] = basis.turn
        return DeclaredBasis(basis.names, np.arange(width), mean, sd, turn, dead)

    def penalty(self, l2: float) -> F64:
        found = super().penalty(l2)
        found[self.dead, self.dead] = 1.0
        return found


@dataclass(frozen=True)
class LinearHome:
    """What stays at home of a training: the way back from shared coefficients, and the label's scale."""

    party: str
    basis: DeclaredBasis
    label: Label | None
    rows: int
    constant: tuple[str, ...]


@dataclass(frozen=True)
class _Split:
    ids: U64
    values: dict[str, F64]


def at_home(
    plan: LinearPlan, party: str, rows: HomeRows, contract: str
) -> tuple[LinearHome, dict[str, _Split]]:
    """(what stays, the numbers of rows to learn from and to test on) of this party's rows."""
    side, family = plan.terms.side(party), plan.linear.family
    test = lots(rows.ids, plan.terms.clause.name, contract) < plan.question.holdout
    where = f"dataset {side.dataset}"
    if rows.ids.size == 0 or test.all():
        raise Refusal("learn.rows", f"{party} has no rows to learn from", where=where,
                      remedy="register a dataset with rows")  # fmt: skip
    matrix = side.encoded(rows.values)
    ridge = plan.question.l2 / family.start_weight
    basis = basis_of(Columns(side.names, matrix), ~test, where, ridge, whiten=not plan.question.l1)
    declared = DeclaredBasis.of(basis)
    label = None
    if party == plan.terms.label_party:
        values = _labels(plan.terms, rows, where)
        label = label_of(values, ~test, family, where, rows.weight, rows.offset)
    shared = declared.shared(matrix)
    parts = {}
    for part, chosen in (("training", ~test), ("holdout", test)):
        if part == "training" or plan.linear.holdout:
            own = None if label is None else label.part(chosen)
            numbers = values_of(shared[chosen], own, family, int(chosen.sum()))
            parts[part] = _Split(rows.ids[chosen], numbers)
    return LinearHome(party, declared, label, int(rows.ids.size), basis.constant), parts


def _labels(terms: Terms, rows: HomeRows, where: str) -> F64:
    if rows.target is None:
        raise Refusal("learn.label", "the label's column was not read", where=where)
    # Codes of a category begin with 1; a missing one is NaN, which the label's check refuses.
    return rows.target - 1 if terms.target.values else rows.target


def share(
    channel: Channel,
    plan: LinearPlan,
    home: LinearHome,
    parts: Mapping[str, _Split],
    entropy: Entropy,
) -> None:
    """Share rows and the penalty with the seats, roles 0 to 2."""
    number, linear = plan.number(home.party), plan.linear
    if not plan.hidden:
        _share_whole(channel, plan, home, parts, entropy)
        return
    provider, layout = linear.providers[number], linear.layout(number)
    for part, split in parts.items():
        capacity = provider.training if part == "training" else provider.holdout
        table = packed(split.ids, split.values, linear.numbers(number), layout, capacity, entropy)
        send_rows(channel, SEAT_ROLES, f"{home.party}.{part}", table, entropy)
        if part == "training":
            share_penalties(channel, linear, number, home.basis, home.label, entropy)


def _share_whole(
    channel: Channel,
    plan: LinearPlan,
    home: LinearHome,
    parts: Mapping[str, _Split],
    entropy: Entropy,
) -> None:
    """All rows, in rising order of their keys, whichever of them will be in common."""
    number, linear = plan.number(home.party), plan.linear
    for part, split in parts.items():
        elements, planes = open_rows(split.values, linear.numbers(number), split.ids.size)
        send_elements(channel, home.party, part, elements, entropy)
        if number == 0 and planes.size:
            send_rows(channel, SEAT_ROLES, f"{home.party}.{part}.flags", planes, entropy)
        if part == "training":
            share_penalties(channel, linear, number, home.basis, home.label, entropy)


def send_open(
    channel: Channel, plan: LinearPlan, upload: Upload, seal: Seal, parts: Mapping[str, _Split],
    commitments: Mapping[str, str],
) -> None:  # fmt: skip
    """Send what was recorded, and show keys where the seats will ask which rows are in common.

    `Foul` ``model.swapped`` for a party whose keys are not those that its commitment (by party) is over.
    """
    number, parties = plan.number(upload.party), plan.terms.parties
    seen: dict[str, list[U64]] = {}

    def before(step: str) -> None:
        for part, split in parts.items():
            if part not in seen and step.startswith(f"elements.{upload.party}.{part}."):
                most = [
                    (p.name, p.training if part == "training" else p.holdout)
                    for p in plan.linear.providers
                ]
                seen[part] = show_keys(channel, number, most, part, split.ids)

    upload.send(channel, before)
    own = b"".join([*upload.parts[:-1], seal.keys, seal.rest, seal.nonces[0]])
    others = [(n, p) for n, p in enumerate(parties) if n != number]
    for n, _ in others:
        channel.send(SEATS + n, f"keys.sealed.{upload.party}", np.frombuffer(own, np.uint8))
    for n, party in others:
        raw = channel.receive(
            SEATS + n, f"keys.sealed.{party}", np.dtype("u1"), (len(own),)
        ).tobytes()
        *seats, keys, rest, nonce = (raw[i : i + 32] for i in range(0, len(raw), 32))
        if commitment_of([*seats, root_of(keys, rest)]) != commitments.get(party):
            raise swapped(party, "starts the job with other rows than it had committed to")
        if keys_hash(nonce, np.sort(np.concatenate([s[n] for s in seen.values()]))) != keys:
            raise swapped(party, "shows other keys than it had committed to")


# --- what a party reads -----------------------------------------------------------------------------


def block_of(plan: LinearPlan, home: LinearHome, opened: Numbers) -> LinearBlock:
    """This party's part of the model, in its own raw columns."""
    number, family = plan.number(home.party), plan.linear.family
    told = decode(opened[f"model.{home.party}"], BETA).reshape(family.classes, -1)
    coefficients, intercepts = [], []
    for row in told:
        own, offset = home.basis.raw(row[1:] if number == 0 else row)
        coefficients.append(tuple(float(v) for v in own))
        intercepts.append(float(offset + (row[0] if number == 0 else 0.0)))
    label = None
    if home.label is not None:
        label = {
            "family": family.name, "shift": home.label.shift, "scale": home.label.scale,
            "classes": list(plan.terms.target.values), "power": family.power,
            "offset_shift": home.label.offset_shift,
        }  # fmt: skip
    return LinearBlock(
        home.party, plan.terms.side(home.party).terms, tuple(coefficients), tuple(intercepts), label,
        _errors(plan, home, opened),
    )  # fmt: skip


def _errors(plan: LinearPlan, home: LinearHome, opened: Numbers) -> tuple[float, ...] | None:
    """Standard errors of raw coefficients, if told; 0 for columns that do not vary."""
    step = f"errors.{home.party}"
    if step not in opened:
        return None
    words = opened[step]  # the first one says by which power of two the others are too large
    told = decode(words[1:], VARIANCE) / 2.0 ** int(words[0])
    own = told[1:] if plan.number(home.party) == 0 else told
    found = np.sqrt(np.maximum(0.0, own)) / home.basis.sd
    found[home.basis.dead] = 0.0
    return tuple(float(v) for v in found)


def measured(plan: LinearPlan, home: LinearHome | None, opened: Numbers) -> dict[str, float | None]:
    """Metrics, if told; in the label's units at its own party, in its deviations elsewhere."""
    if "metrics" not in opened:
        return {}
    scale = home.label.scale if home is not None and home.label is not None else 1.0
    return dict(metrics.read(opened["metrics"], plan.linear, scale))


def facts(opened: Numbers) -> dict[str, Any]:
    """Iterations and whether it settled."""
    if "facts" not in opened:
        return {}
    return {"iterations": int(opened["facts"][0]), "converged": bool(opened["facts"][1])}
