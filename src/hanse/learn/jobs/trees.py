"""Boosted trees as jobs: in the open, between the parties of the model; seats permit the job and write it down.

 1. keys      parties show one another their hashed keys and keep the rows that all have (`keys`)
 2. train     on the rows to learn from (`learn.boosting.training`); each party ends with its own splits
 3. test      the rows kept apart are scored together, and the label's party judges the scores at home
Scoring is step 1 and the scoring of `learn.boosting.training`; the scores go to the label's party.

Reveals: docs/claims/lattice.md; besides, all keys to all parties. As outputs leave from the first tree on, every
party commits before it begins, and what is committed says what will be told at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hanse.contracts import Contract
from hanse.contracts.fields import Document, Name
from hanse.entropy import Entropy
from hanse.errors import Fault, Refusal
from hanse.gate.histograms import LEAST_ROWS_OF_PEOPLE
from hanse.gate.record import Opening, Record
from hanse.gate.scores import ModelRelease, Told
from hanse.learn.boosting import training
from hanse.learn.boosting.blocks import Block, LabelBlock
from hanse.learn.boosting.losses import Loss, LossName
from hanse.learn.boosting.rows import Rows
from hanse.learn.boosting.settings import LEAST_ROWS, Settings
from hanse.learn.evaluation.plain import judged
from hanse.learn.jobs.keys import keys_in_common
from hanse.learn.jobs.sealed import KeysSealed
from hanse.learn.jobs.terms import (
    F64,
    U64,
    Holdout,
    HomeRows,
    Scoring,
    Side,
    Terms,
    Training,
    lots,
    read_question,
    release_of,
    require_trees,
    terms_of,
)
from hanse.learn.scoring.batch import ScoringQuestion
from hanse.wire import Channel

_FAMILIES = {"squared": "linear"}


class TreesQuestion(Document):
    """Settings of `learn.boosting.settings`; ``holdout`` is the share of ids kept to test on, ``stopping`` of the
    rows that end training early. Without a ``loss`` it follows from the target's kind."""

    model: Name
    loss: LossName | None = None
    trees: Annotated[int, Field(ge=1, le=10_000)] = 50
    depth: Annotated[int, Field(ge=1, le=10)] = 5
    bins: Annotated[int, Field(ge=2, le=254)] = 32
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.1
    l2: Annotated[float, Field(ge=0, le=1e9)] = 1.0
    minimum_rows: Annotated[int, Field(ge=LEAST_ROWS)] | None = None
    growth: Literal["level", "leaf"] = "level"
    leaves: Annotated[int, Field(ge=2, le=1024)] = 31
    row_share: Annotated[float, Field(ge=0.01, le=1)] = 1.0
    column_share: Annotated[float, Field(ge=0.01, le=1)] = 1.0
    stopping: Annotated[float, Field(ge=0, le=0.9)] = 0.0
    patience: Annotated[int, Field(ge=0, le=10_000)] = 0
    masked: bool | None = None  # sums carry masks and seats choose the splits: of people always
    own_trees: Annotated[int, Field(ge=0, le=10_000)] | None = None  # of people 1, else none
    holdout: Holdout = 0.3


@dataclass(frozen=True)
class TreesPlan(Training):
    """A training as every node plans it."""

    terms: Terms
    question: TreesQuestion
    settings: Settings
    release: ModelRelease
    openings: tuple[Opening, ...]
    way: str = "open"
    epsilon_join: float = 0.0


def plan(parameters: Mapping[str, Any], contract: Contract) -> TreesPlan:
    """The plan of a training; `Refusal` where clause or question do not fit."""
    question = read_question(TreesQuestion, parameters)
    terms = terms_of(contract, question.model)
    clause = terms.clause
    require_trees(contract, terms, question.trees)
    least = LEAST_ROWS_OF_PEOPLE if terms.personal else LEAST_ROWS
    classes = len(terms.target.values) if question.loss in (None, "multinomial") else 0
    loss = question.loss or _loss(terms)
    settings = Settings(
        loss=loss, trees=question.trees, depth=question.depth, bins=question.bins,
        learning_rate=question.learning_rate, l2=question.l2,
        minimum_rows=question.minimum_rows or least, classes=classes if loss == "multinomial" else 0,
        growth=question.growth, leaves=question.leaves, row_share=question.row_share,
        column_share=question.column_share, holdout=question.stopping, patience=question.patience,
        masked=terms.personal if question.masked is None else question.masked,
        own_trees=int(terms.personal) if question.own_trees is None else question.own_trees,
    )  # fmt: skip
    splits = question.trees * ((1 << question.depth) - 1)
    owners = clause.told(contract)
    told = [
        Told(
            f"model.{p}",
            f"the splits of the columns of {p}, at most",
            (p,) if p in owners else (),
            splits,
        )
        for p in terms.parties
    ]
    told.append(Told("metrics", "metrics of the model on rows kept apart", clause.metrics, 1))
    return TreesPlan(
        terms, question, settings, release_of(terms, told), _openings(terms, settings, told)
    )


def _loss(terms: Terms) -> LossName:
    if terms.target.values:
        return "multinomial" if len(terms.target.values) > 2 else "logistic"
    return "logistic" if terms.target.kind == "boolean" else "squared"


def _openings(terms: Terms, settings: Settings, told: list[Told]) -> tuple[Opening, ...]:
    """What is told at most, as every party commits to it."""
    parties, label = terms.parties, terms.label_party
    rows = min(side.capacity for side in terms.sides)
    splits = settings.trees * ((1 << settings.depth) - 1)
    others = tuple(p for p in parties if p != label)
    return (
        Opening("keys", "the hashed keys of all rows, to one another", parties, _keys(terms)),
        _sums(settings, label, others, splits),
        Opening("rows", "which rows each split sends left, of every tree", parties, rows * settings.trees),
        *(t.opening for t in told if t.to),
    )  # fmt: skip


def _sums(settings: Settings, label: str, others: tuple[str, ...], splits: int) -> Opening:
    if settings.masked:
        what = (
            "which unnamed column and bin of whom splits each node of each tree, chosen on shares"
        )
        return Opening("splits", what, (label, *others), splits)
    what = f"sums of gradients per group of at least {settings.minimum_rows} rows, per unnamed column of "
    return Opening(
        "sums", f"{what}{', '.join(others)}, at each node of each tree", (label,), splits
    )


def _keys(terms: Terms) -> int:
    return sum(side.capacity for side in terms.sides)


# --- at a party -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TreesHome:
    """What a party ends with: its block, and at the label's party the metrics."""

    block: Block | LabelBlock
    metrics: dict[str, float | None]
    trees: int
    rows: int


def check_rows(plan: TreesPlan, party: str, rows: HomeRows) -> None:
    """Before anybody signs: `Refusal` or `Fault` where this party's own rows cannot serve, naming the column."""
    terms = plan.terms
    dataset, least = terms.side(party).dataset, terms.clause.least_rows
    if rows.ids.size < least:
        raise Refusal("learn.rows", f"{party} has fewer rows than the {least} in common that the contract asks for",
                      remedy="register a dataset with more rows", where=f"dataset {dataset}")  # fmt: skip
    if party != terms.label_party:
        return
    where = f"{party}: {dataset}.{terms.target.name}"
    Loss(plan.settings.loss, plan.settings.classes).check(_labels(terms, rows, rows.ids), where)
    weight = rows.weight
    if weight is not None and not (
        np.isfinite(weight).all() and weight.min() >= 0 and weight.any()
    ):
        name = "" if terms.weight is None else terms.weight.name
        raise Fault("learn.weights", "weights must be finite, at least 0, and not all 0",
                    where=f"{party}: {dataset}.{name}",
                    remedy="correct the column of weights, or agree on a model without it")  # fmt: skip


def boosting_rows(terms: Terms, side: Side, rows: HomeRows, keys: U64) -> Rows:
    """A party's rows of these keys, as boosting takes them: categories as text, missing as NaN or None."""
    at = np.searchsorted(rows.ids, keys)
    columns: dict[str, NDArray[Any]] = {}
    for number, term in enumerate(side.terms):
        column = rows.values[at, number]
        if term.values:
            names = np.array([None, *term.values], object)
            columns[term.name] = names[np.nan_to_num(column, nan=0).astype(np.int64)]
        else:
            columns[term.name] = column
    return Rows(side.party, keys, columns, terms.personal, terms.clause.evidence or "")


def train(
    channel: Channel, plan: TreesPlan, party: str, rows: HomeRows, job: bytes, contract: str,
    record: Record, entropy: Entropy, sealed: KeysSealed | None = None,
) -> TreesHome:  # fmt: skip
    """One party's whole part; roles are the model's parties, the label's first. ``sealed`` binds others' keys."""
    terms, parties = plan.terms, plan.terms.parties
    side = terms.side(party)
    keys = keys_in_common(channel, terms.sides, rows.ids, "training", sealed)
    test = lots(keys, terms.clause.name, contract) < plan.question.holdout
    if (~test).sum() < terms.clause.least_rows:
        raise Refusal("learn.rows", f"the rows in common are fewer than the {terms.clause.least_rows} that the "
                      "contract asks for", remedy="bring more rows in common",
                      where=f"models[{terms.clause.name}].least_rows")  # fmt: skip
    learned = boosting_rows(terms, side, rows, keys[~test])
    tested = boosting_rows(terms, side, rows, keys[test])
    names = list(parties)
    if party != terms.label_party:
        block = training.fit_feature_holder(channel, names, learned, plan.settings, job, entropy)
        if test.any():
            training.score_feature_holder(channel, names, block, tested, job)
        trees = 1 + max((s.tree for s in block.splits), default=-1)
        return TreesHome(block, {}, trees, int((~test).sum()))
    y = _labels(terms, rows, keys)
    weights = None if rows.weight is None else rows.weight[np.searchsorted(rows.ids, keys[~test])]
    label, history = training.fit_label_holder(
        channel, names, learned, y[~test], plan.settings, job, record, entropy, weights=weights
    )
    metrics: dict[str, float | None] = {}
    if test.any():
        mean = training.score_label_holder(channel, names, label, tested, job)
        family = _FAMILIES.get(plan.settings.loss, plan.settings.loss)
        found = judged(family, mean, y[test], classes=plan.settings.classes)
        metrics = {k: v if np.isfinite(v) else None for k, v in found.items()}
        metrics["rows"] = float(test.sum())
    return TreesHome(label, metrics, history.kept, int((~test).sum()))


def choose(channel: Channel, plan: TreesPlan, job: bytes, record: Record, entropy: Entropy) -> None:
    """A seat's part, where sums carry masks; seats are roles 0 to 2, the model's parties follow."""
    training.fit_seat(channel, list(plan.terms.parties), plan.settings, job, record, entropy)


def _labels(terms: Terms, rows: HomeRows, keys: U64) -> F64:
    if rows.target is None:
        raise Refusal("learn.label", "the label's column was not read", where=terms.label_party)
    found = rows.target[np.searchsorted(rows.ids, keys)]
    return np.asarray(found - 1 if terms.target.values else found)


# --- scoring ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TreesScoring(Scoring):
    """A scoring, of all rows or, with ``one``, of the row that the receiver asks for."""

    terms: Terms
    question: ScoringQuestion
    release: ModelRelease
    openings: tuple[Opening, ...]
    one: bool = False
    way: str = "open"
    epsilon_join: float = 0.0


def scoring(
    parameters: Mapping[str, Any], contract: Contract, *, one: bool = False
) -> TreesScoring:
    """The plan of a scoring; `Refusal` unless the label's party receives it."""
    question = read_question(ScoringQuestion, parameters)
    terms = terms_of(contract, question.model)
    if question.receiver != terms.label_party:
        raise Refusal("model.recipient", "scores of trees go to the party that has the label and the leaves",
                      remedy=f"name {terms.label_party} as the receiver")  # fmt: skip
    rows = 1 if one else terms.side(question.receiver).capacity
    told = Told("scores", f"the scores of rows of {question.receiver} that all parties have, exact",
                (question.receiver,), rows)  # fmt: skip
    others = tuple(p for p in terms.parties if p != question.receiver)
    shown = (
        Opening("keys", "which row is asked for, by its hashed id", others, 1)
        if one
        else Opening("keys", "the hashed keys of all rows, to one another", terms.parties, _keys(terms))
    )  # fmt: skip
    ways = Opening("rows", "which way each split sends each row", (question.receiver,), rows)
    return TreesScoring(
        terms, question, release_of(terms, [told]), (shown, ways, told.opening), one
    )


def score(
    channel: Channel, plan: TreesScoring, party: str, rows: HomeRows, keys: U64,
    block: Block | LabelBlock, job: bytes,
) -> F64 | None:  # fmt: skip
    """One party's part for these rows; the scores [rows, classes] at the label's party."""
    terms = plan.terms
    table = boosting_rows(terms, terms.side(party), rows, keys)
    names = list(terms.parties)
    if isinstance(block, LabelBlock):
        found = training.score_label_holder(channel, names, block, table, job)
        return found.reshape(keys.size, -1)
    training.score_feature_holder(channel, names, block, table, job)
    return None


def block_of(body: Mapping[str, Any]) -> Block | LabelBlock:
    """A party's part from plain values."""
    return LabelBlock.from_body(body) if body.get("role") == "label" else Block.from_body(body)
