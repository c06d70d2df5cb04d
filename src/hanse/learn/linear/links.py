"""What a row answers to a predictor: mean less label, and how much the row bends the loss; by family, on shares.

With a log link and a variance of mean**p a row's slope is x (m**(2-p) - y m**(1-p)), its weight m**(2-p); the
second term is one exponential, of log y - (p - 1) eta, so that a small mean keeps its digits. Of Gamma
(p = 2) the first term is 1 and rows weigh alike. Several classes have softmax shares.
Reveals: nothing. Source: McCullagh and Nelder 1989; Tweedie 1984; Boehning 1992 (multinomial).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from hanse.engine.fixed import truncate
from hanse.engine.functions import EXP_LOW, exponential, product, sigmoid
from hanse.engine.ratios import softmax
from hanse.engine.session import Session
from hanse.engine.shares import Ring, join_elements
from hanse.learn.linear.families import ETA, WEIGHT, Family
from hanse.learn.linear.plan import Plan
from hanse.learn.linear.rows import Rows

AT_ONCE = 1 << 17  # rows whose means are taken at a time: more take gigabytes
COARSE, FINE = 31, 47  # degrees of a logistic mean: within 2e-4 and 3e-6


@dataclass(frozen=True, repr=False)
class Response:
    """Of rows, [classes, rows], with the family's fraction bits of a mean: residuals, times the rows' own weights;
    what a row weighs in the curvature, before those, None where that is ``level`` for all; bare residuals; and what
    it weighs for a step that does not overshoot, None where that is its weight.
    """

    residual: Ring
    weight: Ring | None
    bare: Ring
    level: float = 1.0  # what each row weighs where all weigh the same, a power of two
    bend: Ring | None = None


def responses(
    s: Session, rows: Rows, eta: Ring, plan: Plan, degree: int = FINE, *, weigh: bool = True
) -> Response:
    """Of all rows, some at a time; ``eta`` [classes, rows]. Residuals are weighted where rows have weights.

    ``weigh``: whether a curvature is wanted too; else two classes have no weight, and no link one for a step.
    """
    residuals, weights, bends = [], [], []
    for first in range(0, max(1, rows.count), AT_ONCE):
        last = min(rows.count, first + AT_ONCE)
        part = s.fork(f"rows{first}")
        found, weight, bend = _response(
            part, rows.part(first, last), eta[:, first:last], plan, degree, weigh
        )
        residuals.append(found)
        if weight is not None:
            weights.append(weight)
        if bend is not None:
            bends.append(bend)
    whole = _weighed(s, rows, beside(residuals), beside(weights) if weights else None, plan)
    return replace(whole, bend=beside(bends)) if bends else whole


def beside(parts: list[Ring]) -> Ring:
    """Elements [classes, some rows] joined along the rows."""
    if len(parts) == 1:
        return parts[0]
    return Ring(
        np.concatenate([p.left for p in parts], axis=1),
        np.concatenate([p.right for p in parts], axis=1),
    )


def _weighed(s: Session, rows: Rows, bare: Ring, weight: Ring | None, plan: Plan) -> Response:
    if not plan.weights:
        return Response(bare, weight, bare)
    own = rows.more["weight"].reshape(1, rows.count)
    return Response(product(s, bare, own, WEIGHT, "residual.weight"), weight, bare)


def first_responses(s: Session, rows: Rows, plan: Plan) -> Response | None:
    """Of coefficients of 0, without any work; None where offsets make work.

    A log link starts from means halfway between the label and its average: from equal means its first step
    would overshoot. Rows of no one get values that meet only zeros.
    """
    f = plan.family
    if f.log_link:
        start = -rows.more["start"].reshape(1, rows.count)
        return _weighed(s, rows, start, _first(s, rows, plan), plan)
    if plan.offset and f.name == "logistic":
        return None
    mean = 0 if f.name == "linear" else round((1 << f.mean) / max(2, f.classes))
    residual = _public(s, mean, rows) - label_of(rows, f)
    weight = _public(s, mean, rows) if f.classes > 1 else None
    found = _weighed(s, rows, residual, weight, plan)
    return replace(found, level=f.start_weight) if weight is None else found


def _first(s: Session, rows: Rows, plan: Plan) -> Ring | None:
    f = plan.family
    if f.power == 2:
        return None
    if f.power > 1:
        return rows.more["first"].reshape(1, rows.count)
    if plan.offset:  # of Poisson weight and mean are one
        base = exponential(s, rows.more["offset"], ETA, f.mean, "first.offset")
        return truncate(s, rows.label + base.reshape(1, rows.count), 1, "first")
    return truncate(s, rows.label + _public(s, 1 << f.mean, rows), 1, "first")


def _public(s: Session, value: int, rows: Rows) -> Ring:
    return s.public_ring(np.full((max(1, rows.label.shape[0]), rows.count), value, np.uint64))


def label_of(rows: Rows, family: Family) -> Ring:
    """Labels [classes, rows] with the fraction bits of a mean."""
    return rows.label.times(1 << family.mean) if family.label_bits == 1 else rows.label


def _response(
    s: Session, rows: Rows, eta: Ring, plan: Plan, degree: int, weigh: bool
) -> tuple[Ring, Ring | None, Ring | None]:
    """(residual, weight in the curvature, weight for a step).

    Steps of a log link take the mean of what the slope's two terms weigh: of a row whose mean is far too small the
    curvature says next to nothing, and a step by it alone goes far too far. Where the model fits both are alike.
    """
    f = plan.family
    if f.name == "linear":
        return truncate(s, eta, ETA - f.mean, "identity") - label_of(rows, f), None, None
    if f.name == "logistic":
        mean = sigmoid(s, eta, ETA, degree, f.mean, "sigmoid")
        weight = mean - product(s, mean, mean, f.mean, "weight") if weigh else None
        return mean - label_of(rows, f), weight, None
    if f.classes > 1:
        shares = softmax(s, eta, ETA, "softmax")
        return shares - label_of(rows, f), shares, None
    flat = eta.reshape(rows.count)
    if f.power == 1:
        first, second = exponential(s, flat, ETA, f.mean, "exp"), rows.label.reshape(rows.count)
    else:
        first, second = log_terms(s, rows, flat, f, "exp")
    first, second = first.reshape(1, rows.count), second.reshape(1, rows.count)
    bend = truncate(s, first + second, 1, "bend") if weigh else None
    return first - second, None if f.power == 2 else first, bend


def log_terms(s: Session, rows: Rows, eta: Ring, family: Family, step: str) -> tuple[Ring, Ring]:
    """(m**(2-p), y m**(1-p)) [rows] of predictors [rows] for p above 1; the second is 0 where y is."""
    told = rows.more["log"]
    if family.power == 2:
        second = exponential(s, told - eta, ETA, family.mean, step)
        return s.public_ring(np.full(rows.count, 1 << family.mean, np.uint64)), second
    cut = 16
    up, down = (round(v * (1 << cut)) for v in (2 - family.power, family.power - 1))
    both = truncate(s, join_elements([eta.times(up), eta.times(down)]), cut, f"{step}.power")
    raised = join_elements([both[: rows.count], told - both[rows.count :]])
    found = exponential(s, raised, ETA, family.mean + 4, f"{step}.both")
    least = s.public_ring(round(math.exp(EXP_LOW) * (1 << (family.mean + 4))))
    second = Ring(found.left - least.left, found.right - least.right)[rows.count :]
    cut_both = truncate(s, join_elements([found[: rows.count], second]), 4, f"{step}.cut")
    return cut_both[: rows.count], cut_both[rows.count :]


def mean_of(s: Session, eta: Ring, plan: Plan) -> Ring:
    """The inverse link of predictors [rows], with the family's fraction bits; linear or log."""
    f = plan.family
    if f.log_link:
        return exponential(s, eta, ETA, f.mean, "mean")
    return truncate(s, eta, ETA - f.mean, "mean")
