"""How good a linear model is, from rows on shares: a few sums that only the party with the label reads."""

from __future__ import annotations

import numpy as np

from hanse.engine.fixed import decode, truncate
from hanse.engine.functions import exponential, product
from hanse.engine.multiply import multiply
from hanse.engine.session import Session
from hanse.engine.shares import U64, Ring, join_elements
from hanse.learn.evaluation.ranking import absolute, ranking, read_ranking
from hanse.learn.linear.families import ETA
from hanse.learn.linear.plan import Plan
from hanse.learn.linear.rows import Rows


def measured(s: Session, rows: Rows, eta: Ring, plan: Plan) -> tuple[Ring, str]:
    """(sums to open to the label party, what they are in words); `read` turns them into metrics."""
    if plan.family.name == "logistic":
        return ranking(
            s, eta, rows.here_bit, rows.label_bit
        ), "AUC and KS of the model, exact, with the rows they come from"
    return _errors(
        s, rows, eta, plan
    ), "the model's mean errors, exact, with the rows they come from"


def figures_of(plan: Plan) -> int:
    """How many sums there are."""
    return {"logistic": 5, "linear": 3, "poisson": 4}[plan.family.name]


def read(sums: U64, plan: Plan, scale: float) -> dict[str, float | None]:
    """The metrics that opened sums stand for; ``scale`` is what the label was divided by at home."""
    whole = [int(v) for v in sums.view(np.int64).tolist()]
    f = plan.family
    if f.name == "logistic":
        return read_ranking(sums)
    count = max(1, whole[0])
    real = decode(sums, f.mean)
    rmse, mae = np.sqrt(max(0.0, real[1]) / count), real[2] / count
    found: dict[str, float | None] = {
        "rows": float(whole[0]), "rmse": float(rmse) * scale, "mae": float(mae) * scale,
    }  # fmt: skip
    if f.name == "poisson":
        found["deviance"] = 2 * float(real[3]) / count * scale
    return found


# --- errors -----------------------------------------------------------------------------------------


def _errors(s: Session, rows: Rows, eta: Ring, plan: Plan) -> Ring:
    """[rows, squared errors, absolute errors, and for Poisson half the deviance], sums over the rows."""
    f = plan.family
    if f.name == "poisson":
        mean = exponential(s, eta, ETA, f.mean, "exp")
        off = multiply(s, rows.here, mean - rows.label, "off")  # exp(0) is 1 in rows of no one
    else:
        off = truncate(s, eta, ETA - f.mean, "identity") - rows.label
    squares = product(s, off, off, f.mean, "squares").sum().reshape(1)
    sums = [rows.here.sum().reshape(1), squares, absolute(s, off, "absolute").sum().reshape(1)]
    if rows.entropy is not None:
        told = product(s, rows.label, eta, ETA, "told")
        sums.append((rows.entropy - told + off).sum().reshape(1))
    return join_elements(sums)
