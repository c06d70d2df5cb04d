"""A rehearsal of a linear model over several parties' columns, with its rivals, as a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hanse.align import JoinPolicy
from hanse.errors import Refusal
from hanse.learn.evaluation.asked import CONTRACT_PER_COLUMN, CONTRACT_ROWS, Asked, Matched, Matrix
from hanse.learn.evaluation.plain import MAIN, judged
from hanse.learn.evaluation.report import Report
from hanse.learn.evaluation.rivals import Judge, Learn, Rivals, of_columns
from hanse.learn.features.reading import Prepared
from hanse.learn.linear.families import Family, family_of
from hanse.learn.linear.plain import irls, mean_and_weight
from hanse.learn.linear.plain import metrics as weighted_metrics
from hanse.learn.linear.plan import MOST_COEFFICIENTS, MOST_TOGETHER
from hanse.learn.linear.rehearsal import Outcome, rehearse

# With fewer rows a coefficient than a contract wants the penalty is firmer, unless one is asked for.
APART_ITERATIONS = 40
FIRM_L2, NEXT_TO_NONE = 1e-2, 1e-6
SMALL_JOIN, JOIN = JoinPolicy(1.0, 1e-6), JoinPolicy(0.1, 1e-8)
_OWN = (
    "iterations", "converged", "plaintext_converged", "coefficient_difference_max", "coefficients",
    "raw_coefficients", "intercepts", "standard_errors", "p_values", "standard_error_difference_max",
)  # fmt: skip


def linear(parties: Sequence[Prepared], matched: Matched, asked: Asked, notes: list[str]) -> Report:
    """Train on shares, fit the rivals in the clear."""
    classes = np.unique(matched.y).size if asked.model == "multinomial" else 1
    coefficients = (1 + matched.columns) * classes
    if classes > 1 and coefficients > MOST_COEFFICIENTS:
        raise Refusal(
            "learn.columns", f"{coefficients} coefficients of {classes} classes are too many for one model",
            remedy=f"select columns (hanse features tells which) until there are {MOST_COEFFICIENTS}, or "
            "take --model boosting --loss multinomial for rows that are not people",
        )  # fmt: skip
    l2, firm = penalty(asked, matched.learning, coefficients)
    wanted = max(CONTRACT_ROWS, CONTRACT_PER_COLUMN * coefficients)
    small = matched.learning < wanted
    if small and asked.minimum_rows is None:
        notes = [*notes, f"{matched.learning} rows to learn from are few: between organisations a model of people "
                 f"with these {coefficients} coefficients needs {wanted} and would be refused"]  # fmt: skip
    outcome = rehearse(
        [p.table for p in parties], asked.model, l2=l2, holdout=asked.holdout,
        least_rows=(asked.minimum_rows or 0) if small else asked.minimum_rows, seed=asked.seed,
        iterations=_iterations(asked, coefficients, classes), policy=SMALL_JOIN if small else JOIN,
        power=asked.power, l1=asked.l1, alignment=asked.alignment, errors=asked.errors,
        batch_rows=asked.batch_rows,
    )  # fmt: skip
    y = matched.y
    if asked.model == "multinomial":
        y = np.unique(matched.y, return_inverse=True)[1].astype(np.float64)
    beside, weight = _beside(parties[0], matched)
    judging = judge(
        asked.model, asked.power, classes, None if weight is None else weight[matched.judging]
    )
    rivals = of_columns(
        matched.blocks, y, ~matched.test, matched.judging,
        learner(asked.model, l2, asked.power, classes, asked.l1, beside),
        judging, MAIN[asked.model],
        dict(outcome.plaintext) if classes > 2 or (weight is not None and asked.model != "logistic") else None,
    )  # fmt: skip
    made = _reported(outcome, rivals, matched, [*notes, *firm], parties[0].classes)
    return replace(made, rows_noised=asked.alignment == "hidden")


def _iterations(asked: Asked, coefficients: int, classes: int) -> int:
    """Classes that are turned by themselves take more of them, unless a number is asked for."""
    apart = classes > 1 and coefficients > MOST_TOGETHER
    return APART_ITERATIONS if apart and asked.iterations == Asked.iterations else asked.iterations


def penalty(asked: Asked, rows: int, coefficients: int) -> tuple[float, list[str]]:
    """(l2, what to say of it)."""
    if asked.l2 is not None:
        return asked.l2, []
    if rows >= CONTRACT_PER_COLUMN * coefficients:
        return NEXT_TO_NONE, []
    return FIRM_L2, [
        f"{rows} rows for {coefficients} coefficients: the penalty is {FIRM_L2} (choose another with --l2)"
    ]


def judge(model: str, power: float, classes: int, weight: Matrix | None = None) -> Judge:
    """Metrics of a family, by ``weight`` where the rows judged have some; AUC and KS count each row once."""
    if weight is None or model == "logistic":
        return lambda mean, y: judged(model, mean, y, power=power, classes=classes)
    family = family_of(model, power, max(3, classes))
    return lambda mean, y: weighted_metrics(_linked(mean, family), y, family, 1.0, weight)


def _linked(mean: Matrix, family: Family) -> Matrix:
    """The predictors that expected labels come from."""
    if family.classes > 1 or family.log_link:
        return np.asarray(np.log(np.maximum(mean, 1e-300)))
    return mean


@dataclass(frozen=True)
class Beside:
    """What belongs to the label of rows to learn from, and of rows to judge: None where there is none."""

    weight: Matrix | None = None
    offset: Matrix | None = None
    judging: Matrix | None = None  # their offsets


def _beside(first: Prepared, matched: Matched) -> tuple[Beside, Matrix | None]:
    """(what rivals learn with, the weights of all matched rows)."""
    table, rows = first.table, matched.rows_of[first.table.name]
    weight = None if table.weight is None else table.weight[rows]
    offset = None if table.offset is None else table.offset[rows]
    learning = ~matched.test
    return Beside(
        None if weight is None else weight[learning],
        None if offset is None else offset[learning],
        None if offset is None else offset[matched.judging],
    ), weight


def learner(
    model: str, l2: float, power: float = 1.5, classes: int = 1, l1: float = 0.0,
    beside: Beside = Beside(),
) -> Learn:  # fmt: skip
    """The plain fit of a family as a rival learns it: columns standardised, labels scaled as on shares."""
    family = family_of(model, power, max(3, classes))

    def learn(x: Matrix, y: Matrix, judging: Matrix) -> Matrix:
        mean, sd = x.mean(axis=0), x.std(axis=0)
        kept = sd > 1e-9 * np.maximum(1e-300, np.abs(mean))
        over = np.where(kept, sd, 1.0)
        shift, scale, start, more = 0.0, 1.0, beside.offset, beside.judging
        if model == "linear":
            y = y if start is None else y - start
            shift, scale = float(y.mean()), float(y.std()) or 1.0
        elif family.log_link:
            scale = float(y.mean()) or 1.0
            if start is not None:
                middle = float(start.mean())
                start, more = start - middle, None if more is None else more - middle
                scale = scale / float(np.exp(start).mean())
        inside = None if model == "linear" else start
        fit = irls(
            ((x - mean) / over)[:, kept], (y - shift) / scale, family, l2, l1, beside.weight, inside
        )
        eta = fit.predictor(((judging - mean) / over)[:, kept])
        if model == "linear":
            return np.asarray(eta * scale + shift + (0 if more is None else more))
        return np.asarray(mean_and_weight(eta if more is None else eta + more, family)[0] * scale)

    return learn


def _reported(
    outcome: Outcome, rivals: Rivals, matched: Matched, notes: list[str], classes: tuple[str, ...]
) -> Report:
    first = outcome.parties[0]
    body = outcome.body()
    told = set(outcome.metrics)
    # The label party alone may learn from all its rows, matched or not; so may everything in one place not.
    alone: dict[str, Mapping[str, float | None]] = dict(rivals.alone)
    alone[first] = {**rivals.alone[first], **outcome.alone}
    shown: dict[str, Any] = {name: body[name] for name in _OWN if name in body}
    if classes:
        shown["classes"] = list(classes)
    return Report(
        outcome.model, "vertical", outcome.parties, outcome.metrics,
        _only({**rivals.centralised, **outcome.plaintext}, told),
        {party: _only(own, told) for party, own in alone.items()}, _only(rivals.ensemble, told),
        spreads=rivals.spreads, rows_matched=outcome.rows_matched, rows_tested=matched.tested,
        weights=outcome.coefficients,
        wall_s=outcome.wall_s, cpu_s=outcome.cpu_s, plaintext_s=outcome.plaintext_s, bytes=outcome.bytes,
        openings=outcome.openings, extra=shown, curve=outcome.curve, certainty=outcome.certainty,
        notes=(*(n for n in outcome.notes if "was lowered to 0;" not in n), *notes),
    )  # fmt: skip


def _only(metrics: Mapping[str, float | None], names: set[str]) -> dict[str, float | None]:
    return {name: value for name, value in metrics.items() if name in names}
