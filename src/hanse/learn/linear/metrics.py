"""How good a linear model is, from rows on shares: a few sums that only the party with the label reads.

Two classes and numbers have all figures of `evaluation.judging`, with the gain and calibration curve, several
classes those of `evaluation.classes`; where rows are weighted, there are the sums below.
"""

from __future__ import annotations

import numpy as np

from hanse.engine.compare import ring_bits, sign_bit
from hanse.engine.fixed import decode, truncate
from hanse.engine.functions import product, sigmoid
from hanse.engine.multiply import multiply
from hanse.engine.ratios import log_sum
from hanse.engine.session import Session
from hanse.engine.shares import U64, Ring, join_elements
from hanse.errors import Fault
from hanse.learn.evaluation.classes import (
    JudgedClasses,
    judge_classes,
    read_classes,
    sums_of_classes,
)
from hanse.learn.evaluation.judging import Judged, judge, sums_of
from hanse.learn.evaluation.judging import read as judged_figures
from hanse.learn.evaluation.ranking import RANKING_SUMS, absolute, ranking, read_ranking
from hanse.learn.evaluation.report import Curve
from hanse.learn.linear.families import ETA, WEIGHT
from hanse.learn.linear.links import AT_ONCE, FINE, log_terms, mean_of
from hanse.learn.linear.plan import Plan
from hanse.learn.linear.rows import Rows


def measured(s: Session, rows: Rows, eta: Ring, plan: Plan) -> tuple[Ring, str]:
    """(sums to open to the label party, what they are in words), of predictors [classes, rows]; see `read`."""
    if plan.family.name == "logistic" and rows.label_bit is None:
        raise Fault("learn.label", "a ranking wants labels of one bit")
    if _judged(plan):
        what = "the model's figures and ten bands of its score, exact, with the rows they come from"
        return judge(s, _as_judged(s, rows, eta.reshape(rows.count), plan)), what
    if plan.family.name == "logistic" and rows.label_bit is not None:
        what = "AUC and KS of the model, exact, with the rows they come from"
        return ranking(s, eta.reshape(rows.count), rows.here_bit, rows.label_bit), what
    if plan.family.classes > 1 and not plan.weights:
        what = "the model's log loss, right answers and each class's AUC, exact, with the rows they come from"
        return judge_classes(s, JudgedClasses(eta, rows.label, rows.here, rows.here_bit)), what
    if plan.family.classes > 1:
        what = "the model's log loss and right answers, exact, with the rows they come from"
        return _classified(s, rows, eta, plan), what
    what = "the model's mean errors, exact, with the rows they come from"
    return _errors(s, rows, eta.reshape(rows.count), plan), what


def figures_of(plan: Plan) -> int:
    """How many sums there are."""
    if _judged(plan):
        return sums_of(classes=plan.family.name == "logistic", deviance=plan.family.log_link)
    if plan.family.classes > 1 and not plan.weights:
        return sums_of_classes(plan.family.classes)
    if plan.family.name == "logistic":
        return RANKING_SUMS
    return 3 + plan.family.log_link + plan.weights


def _judged(plan: Plan) -> bool:
    return plan.family.classes == 1 and not plan.weights


def _as_judged(s: Session, rows: Rows, eta: Ring, plan: Plan) -> Judged:
    f, half = plan.family, None
    label = rows.label.reshape(rows.count)
    if f.name == "logistic":
        mean = join_elements(
            [
                sigmoid(s, eta[first : first + AT_ONCE], ETA, FINE, f.mean, f"sigmoid{first}")
                for first in range(0, max(1, rows.count), AT_ONCE)
            ]
        )
        return Judged(
            eta, mean, label.times(1 << f.mean), rows.here, rows.here_bit, rows.label_bit, f.mean
        )
    mean = mean_of(s, eta, plan)
    if f.log_link:
        off = multiply(s, rows.here, mean - label, "off")
        each = _half_deviance(s, rows, eta, off, plan)
        half = multiply(s, rows.here, each, "deviance.here").sum().reshape(1)
    return Judged(eta, mean, label, rows.here, rows.here_bit, None, f.mean, half)


def curve_of(sums: U64, plan: Plan, scale: float, shift: float = 0.0) -> Curve | None:
    """The bands of the score that opened sums have, in the label's units; None where they have none."""
    return _read(sums, plan, scale, shift)[1] if _judged(plan) else None


def _read(
    sums: U64, plan: Plan, scale: float, shift: float
) -> tuple[dict[str, float | None], Curve]:
    f = plan.family
    return judged_figures(
        sums, classes=f.name == "logistic", deviance=f.log_link, fraction=f.mean, scale=scale, shift=shift,
        deviance_scale=scale ** (2 - f.power),
    )  # fmt: skip


def read(sums: U64, plan: Plan, scale: float) -> dict[str, float | None]:
    """The metrics that opened sums stand for; ``scale`` is what the label was divided by at home.

    Rows count by their weights, if they have any; AUC and KS count each once.
    """
    f = plan.family
    if _judged(plan):
        told = _read(sums, plan, scale, 0.0)[0]
        if f.name == "linear":
            del told["p30"]  # the label was centred at home: 30 % of that is not 30 % of the truth
        return told
    if f.name == "logistic":
        return read_ranking(sums)
    if f.classes > 1 and not plan.weights:
        return read_classes(sums, f.classes)
    rows = float(sums.view(np.int64)[0])
    real = decode(sums[1:], f.mean).tolist()
    count = max(2.0**-f.mean, real.pop(0)) if plan.weights else max(1.0, rows)
    if f.classes > 1:
        return {"rows": rows, "log_loss": real[0] / count, "accuracy": real[1] / count}
    found: dict[str, float | None] = {
        "rows": rows, "rmse": float(np.sqrt(max(0.0, real[0]) / count)) * scale,
        "mae": real[1] / count * scale,
    }  # fmt: skip
    if f.log_link:
        found["deviance"] = 2 * real[2] / count * scale ** (2 - f.power)
    return found


def _errors(s: Session, rows: Rows, eta: Ring, plan: Plan) -> Ring:
    """[rows, weights if there are any, squared and absolute errors, of a log link half the deviance], summed."""
    label = rows.label.reshape(rows.count)
    off = multiply(s, rows.here, mean_of(s, eta, plan) - label, "off")
    sums = [product(s, off, off, plan.family.mean, "squares"), absolute(s, off, "absolute")]
    if plan.family.log_link:
        half = _half_deviance(s, rows, eta, off, plan)
        sums.append(multiply(s, rows.here, half, "deviance.here"))
    return _summed(s, rows, sums, plan)


def _half_deviance(s: Session, rows: Rows, eta: Ring, off: Ring, plan: Plan) -> Ring:
    """Of each row [rows], with the fraction bits of a mean."""
    f = plan.family
    if f.power == 1:  # y log y - y log m + m - y
        told = product(s, rows.label.reshape(rows.count), eta, ETA, "told")
        return rows.more["entropy"] - told + off
    first, second = log_terms(s, rows, eta, f, "terms")
    if f.power == 2:  # y / m - 1 - log(y / m)
        return second - first - truncate(s, rows.more["log"] - eta, ETA - f.mean, "told")
    cut = 20
    over = [round((1 << cut) / divisor) for divisor in (2 - f.power, f.power - 1)]
    terms = first.times(over[0]) + second.times(over[1])
    return rows.more["entropy"] + truncate(s, terms, cut, "told")


def _summed(s: Session, rows: Rows, sums: list[Ring], plan: Plan) -> Ring:
    """[rows, weights if there are any, and the sums of numbers [rows], by weight]."""
    found = [rows.here.sum().reshape(1)]
    if plan.weights:
        weight = rows.more["weight"]
        found.append(weight.sum().reshape(1).times(1 << (plan.family.mean - WEIGHT)))
        sums = [product(s, x, weight, WEIGHT, f"weighted{n}") for n, x in enumerate(sums)]
    return join_elements([*found, *(x.sum().reshape(1) for x in sums)])


def _classified(s: Session, rows: Rows, eta: Ring, plan: Plan) -> Ring:
    """[rows, weights if there are any, log loss, rows whose own class scores highest], summed."""
    mean = plan.family.mean
    wide, top = log_sum(s, eta, ETA, "log-sum")
    own = multiply(s, rows.label, eta, "own").sum(axis=0)
    miss = ring_bits(s, sign_bit(s, own - top, "miss").reshape(1, -1), "miss.flag")[0]
    loss = multiply(s, rows.here, wide - own, "loss")  # ETA is the fraction of a mean here
    hits = rows.here - multiply(s, rows.here, miss, "hits")
    return _summed(s, rows, [loss, hits.times(1 << mean)], plan)
