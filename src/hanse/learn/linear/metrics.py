"""How good a linear model is, from rows on shares: a few sums that only the party with the label reads.

`evaluation.judging.judge` and `read` have all figures of two classes and of numbers (AUC, KS, log-loss, gain curve,
calibration; RMSE, MAE, R2, P30, a given deviance), `evaluation.classes` those of several classes.
"""

from __future__ import annotations

import numpy as np

from hanse.engine.compare import ring_bits, sign_bit
from hanse.engine.fixed import decode, truncate
from hanse.engine.functions import product
from hanse.engine.multiply import multiply
from hanse.engine.ratios import log_sum
from hanse.engine.session import Session
from hanse.engine.shares import U64, Ring, join_elements
from hanse.errors import Fault
from hanse.learn.evaluation.ranking import RANKING_SUMS, absolute, ranking, read_ranking
from hanse.learn.linear.families import ETA, WEIGHT
from hanse.learn.linear.links import log_terms, mean_of
from hanse.learn.linear.plan import Plan
from hanse.learn.linear.rows import Rows


def measured(s: Session, rows: Rows, eta: Ring, plan: Plan) -> tuple[Ring, str]:
    """(sums to open to the label party, what they are in words), of predictors [classes, rows]; see `read`."""
    if plan.family.name == "logistic":
        if rows.label_bit is None:
            raise Fault("learn.label", "a ranking wants labels of one bit")
        what = "AUC and KS of the model, exact, with the rows they come from"
        return ranking(s, eta.reshape(rows.count), rows.here_bit, rows.label_bit), what
    if plan.family.classes > 1:
        what = "the model's log loss and right answers, exact, with the rows they come from"
        return _classified(s, rows, eta, plan), what
    what = "the model's mean errors, exact, with the rows they come from"
    return _errors(s, rows, eta.reshape(rows.count), plan), what


def figures_of(plan: Plan) -> int:
    """How many sums there are."""
    if plan.family.name == "logistic":
        return RANKING_SUMS
    return 3 + plan.family.log_link + plan.weights


def read(sums: U64, plan: Plan, scale: float) -> dict[str, float | None]:
    """The metrics that opened sums stand for; ``scale`` is what the label was divided by at home.

    Rows count by their weights, if they have any; AUC and KS count each once.
    """
    f = plan.family
    if f.name == "logistic":
        return read_ranking(sums)
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
    """[rows, weights if there are any, squared errors, absolute errors, of a log link half the deviance], summed."""
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
    cut = 8
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
