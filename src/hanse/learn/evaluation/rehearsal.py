"""A rehearsal of any kind of model over several parties' files, told as one report.

Training runs as it would between organisations (see each kind's own page); the rivals are fitted in the clear.
Small sets are learned from too, with a note: what a contract would refuse, a rehearsal says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.align import JoinPolicy
from hanse.errors import Fault, Refusal
from hanse.learn.evaluation.plain import judged
from hanse.learn.evaluation.report import Report
from hanse.learn.evaluation.rivals import Learn, Rivals, of_columns
from hanse.learn.features.reading import Prepared
from hanse.learn.linear.families import family_of
from hanse.learn.linear.plain import irls, mean_and_weight
from hanse.learn.linear.rehearsal import Outcome, rehearse
from hanse.learn.linear.tables import Table

MODELS = ("logistic", "linear", "poisson")
LEAST_MATCHED = 30  # rows to learn from: with fewer not even a rehearsal says anything
CONTRACT_ROWS, CONTRACT_PER_COLUMN = 1000, 20
# With fewer rows a coefficient than a contract wants the penalty is firmer, unless one is asked for.
FIRM_L2 = 1e-2
SMALL_JOIN, JOIN = JoinPolicy(1.0, 1e-6), JoinPolicy(0.1, 1e-8)
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """What to train. ``l2`` None: next to none, firmer where rows are few."""

    model: str = "logistic"
    l2: float | None = None
    holdout: float = 0.3
    minimum_rows: int | None = None
    iterations: int = 20
    seed: str = "rehearsal"


@dataclass(frozen=True)
class Matched:
    """Rows that all parties have, in one place: columns by party [rows, columns], labels, the test's rows."""

    blocks: Mapping[str, Matrix]
    names: Mapping[str, tuple[str, ...]]
    y: Matrix
    test: NDArray[np.bool_]

    @property
    def rows(self) -> int:
        return int(self.y.size)

    @property
    def judging(self) -> NDArray[np.bool_]:
        """The rows metrics are of: the test's, or all where none are kept."""
        return self.test if self.test.any() else ~self.test


def train(parties: Sequence[Prepared], asked: Asked, *, horizontal: bool = False) -> Report:
    """Train over columns (vertical; the first party has the label) or over rows (horizontal) and report."""
    names = [p.table.name for p in parties]
    if len(names) < 2 or len(set(names)) != len(names):
        raise Refusal("learn.parties", "a joint model takes two parties or more, each of another name",
                      remedy="name the file of each other party with --features")  # fmt: skip
    if not 0 <= asked.holdout <= 0.9:
        raise Refusal("learn.holdout", f"a share of {asked.holdout} for the test is out of range",
                      remedy="choose 0 to 0.9")  # fmt: skip
    if horizontal:
        raise Refusal(
            "learn.model", "there is no horizontal model yet", remedy="leave --horizontal out"
        )
    return vertical(parties, asked)


def vertical(parties: Sequence[Prepared], asked: Asked) -> Report:
    """One model over the columns of all parties, the first of which has the label."""
    matched = matched_rows([p.table for p in parties], asked.holdout)
    _check_matched(matched, asked)
    notes = [note for p in parties for note in p.notes]
    if asked.model in MODELS:
        return _linear(parties, matched, asked, notes)
    raise Refusal("learn.model", f"there is no model {asked.model!r}",
                  remedy=f"use one of {', '.join(MODELS)}")  # fmt: skip


def matched_rows(tables: Sequence[Table], holdout: float) -> Matched:
    """What only a rehearsal can have."""
    first = tables[0]
    if first.label is None:
        raise Fault("learn.label", "the first party has no label")
    shared = first.ids
    for table in tables[1:]:
        shared = np.intersect1d(shared, table.ids)
    shared = np.sort(shared)
    blocks: dict[str, Matrix] = {}
    places = []
    for table in tables:
        order = np.argsort(table.ids)
        places.append(order[np.searchsorted(table.ids[order], shared)])
        blocks[table.name] = table.columns.values[places[-1]]
    return Matched(
        blocks, {t.name: t.columns.names for t in tables}, first.label[places[0]],
        first.lots[places[0]] < holdout,
    )  # fmt: skip


def _check_matched(matched: Matched, asked: Asked) -> None:
    learning = int((~matched.test).sum())
    least = max(LEAST_MATCHED, asked.minimum_rows or 0)
    if learning < least:
        raise Refusal(
            "learn.rows", f"{matched.rows} rows match, {learning} of them to learn from: a model needs {least}",
            remedy="check that all files have the same ids in the column that --id names; bring more rows in "
            "common, or keep fewer for the test (--holdout)",
        )  # fmt: skip
    y = matched.y[~matched.test]
    if (y == y[0]).all():
        raise Refusal("learn.label", "the label has one value only in the rows that match",
                      remedy="a model needs rows of at least two kinds")  # fmt: skip
    centred = matched.y - matched.y.mean()
    for party, block in matched.blocks.items():
        moved = block - block.mean(axis=0)
        size = np.sqrt((moved**2).sum(axis=0) * (centred**2).sum())
        same = np.abs(moved.T @ centred) > (1 - 1e-12) * size
        copies = np.flatnonzero(same & (size > 0))
        if copies.size:
            name = matched.names[party][int(copies[0])]
            raise Refusal("learn.leak", f"the column {name!r} tells the label exactly", where=party,
                          remedy=f"leave it out with --without {name.partition('=')[0]}")  # fmt: skip


# --- linear models ----------------------------------------------------------------------------------


def _linear(
    parties: Sequence[Prepared], matched: Matched, asked: Asked, notes: list[str]
) -> Report:
    learning = int((~matched.test).sum())
    columns = 1 + sum(block.shape[1] for block in matched.blocks.values())
    l2, firm = _penalty(asked, learning, columns)
    notes += firm
    wanted = max(CONTRACT_ROWS, CONTRACT_PER_COLUMN * columns)
    small = learning < wanted
    if small and asked.minimum_rows is None:
        notes.append(
            f"{learning} rows to learn from are few: between organisations a model of people with these "
            f"{columns} coefficients needs {wanted} and would be refused"
        )
    outcome = rehearse(
        [p.table for p in parties], asked.model, l2=l2, holdout=asked.holdout,
        least_rows=asked.minimum_rows if not small else (asked.minimum_rows or 0), seed=asked.seed,
        iterations=asked.iterations, policy=SMALL_JOIN if small else JOIN,
    )  # fmt: skip
    rivals = of_columns(
        matched.blocks, matched.y, ~matched.test, matched.judging, linear_learner(asked.model, l2),
        lambda mean, y: judged(asked.model, mean, y), dict(outcome.plaintext),
    )  # fmt: skip
    return _reported(outcome, rivals, matched, notes)


def _penalty(asked: Asked, rows: int, columns: int) -> tuple[float, list[str]]:
    if asked.l2 is not None:
        return asked.l2, []
    if rows >= CONTRACT_PER_COLUMN * columns:
        return 1e-6, []
    return FIRM_L2, [
        f"{rows} rows for {columns} coefficients: the penalty is {FIRM_L2} (choose another with --l2)"
    ]


def linear_learner(model: str, l2: float) -> Learn:
    """The plain fit of a family as a rival learns it: columns standardised, labels scaled as on shares."""
    family = family_of(model)

    def learn(x: Matrix, y: Matrix, judging: Matrix) -> Matrix:
        mean, sd = x.mean(axis=0), x.std(axis=0)
        kept = sd > 1e-9 * np.maximum(1e-300, np.abs(mean))
        shift, scale = (
            (y.mean(), y.std() or 1.0) if model == "linear"
            else (0.0, y.mean()) if model == "poisson" else (0.0, 1.0)
        )  # fmt: skip
        fit = irls(((x - mean) / np.where(kept, sd, 1.0))[:, kept], (y - shift) / scale, family, l2)
        eta = fit.predictor(((judging - mean) / np.where(kept, sd, 1.0))[:, kept])
        return np.asarray(mean_and_weight(eta, family)[0] * scale + shift)

    return learn


def _reported(outcome: Outcome, rivals: Rivals, matched: Matched, notes: list[str]) -> Report:
    first = outcome.parties[0]
    body = outcome.body()
    alone: dict[str, Mapping[str, float | None]] = {**rivals.alone, first: outcome.alone}
    told = set(outcome.metrics)
    y = matched.y[matched.judging]
    two = outcome.model == "logistic"
    positive = float((y > y.min()).sum()) if two else float(y.size)
    shown: dict[str, Any] = {
        name: body[name] for name in (
            "iterations", "converged", "plaintext_converged", "coefficient_difference_max", "coefficients",
            "raw_coefficients", "intercepts",
        ) if name in body
    }  # fmt: skip
    return Report(
        outcome.model, "vertical", outcome.parties, outcome.metrics, outcome.plaintext,
        {party: _only(own, told) for party, own in alone.items()}, _only(rivals.ensemble, told),
        rows_matched=outcome.rows_matched,
        rows_tested=(positive, float(y.size) - positive), weights=outcome.coefficients,
        wall_s=outcome.wall_s, cpu_s=outcome.cpu_s, plaintext_s=outcome.plaintext_s, bytes=outcome.bytes,
        openings=outcome.openings, extra=shown,
        notes=(*(n for n in outcome.notes if "was lowered to 0;" not in n), *notes),
    )  # fmt: skip


def _only(metrics: Mapping[str, float | None], names: set[str]) -> dict[str, float | None]:
    return {name: value for name, value in metrics.items() if name in names}


__all__ = ["MODELS", "Asked", "Matched", "linear_learner", "matched_rows", "train", "vertical"]
