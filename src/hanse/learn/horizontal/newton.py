"""Generalised linear models exactly as over pooled rows: sums of gradients and of X'WX, a Newton step at everybody.

Each iteration opens the pooled gradient and Hessian at the common coefficients; rows are never pooled. The
coefficients are those of iteratively reweighted least squares on all rows together, to fixed-point precision.
Reveals: to all parties those sums, per iteration. They are exact: X'WX holds pooled means and covariances of
columns.
Source: McCullagh and Nelder 1989 (IRLS); summed derivatives between sites: Wu et al. 2012, "GLORE".
"""

from __future__ import annotations

import numpy as np

from hanse.errors import Refusal
from hanse.learn.horizontal.home import Rows, Scaling
from hanse.learn.horizontal.kinds import Kind
from hanse.learn.horizontal.models import LinearModel, derivatives, penalised, step_of
from hanse.learn.horizontal.rounds import Progress
from hanse.learn.horizontal.sums import Summing

ITERATIONS = 30
_SETTLED = 1e-8
_LOG_ROOM = 4096.0  # of a label or mean of a log link, in units of the mean label


def newton(
    party: Summing, model: LinearModel, learn: Rows, scaling: Scaling, *, l2: float = 1e-6,
    iterations: int = ITERATIONS,
) -> tuple[Progress, bool]:  # fmt: skip
    """Fit ``model`` together; (what it was like, whether it settled)."""
    kind = scaling.kind
    if kind.name == "multinomial":
        raise Refusal("learn.method", "exact steps are for one predictor",
                      remedy="average models instead: a network without hidden layers is the same")  # fmt: skip
    seen = Progress()
    size = model.beta.size
    upper = np.triu_indices(size)
    norm = _norm(kind, scaling.total, size)
    step, settled, halvings = np.zeros(size), False, 0
    last = float("inf")
    for number in range(iterations):
        slope, curve = derivatives(kind, model.beta, learn)
        loss = float(kind.losses(model.predictor(learn.x), learn.y).sum())
        part = np.concatenate([slope, curve[upper], [learn.count, loss]])
        told = party.sum(f"newton.{number}", part, norm=norm)
        seen.note(told)
        count = max(1.0, float(told.values[-2]))
        beta = model.beta
        value = float(told.values[-1]) / count + l2 / 2 * float(beta[1:] @ beta[1:])
        if value > last + 1e-12 * (1 + abs(last)) + 2.0**-30 and halvings < 8 and step.any():
            halvings += 1
            step = step / 2
            model.beta = beta + step  # the last step was too long: half of it back
            continue
        last = value
        seen.losses.append(value)
        curve = np.zeros((size, size))
        curve[upper] = told.values[size:-2] / count
        curve = curve + np.triu(curve, 1).T
        slope, curve = penalised(told.values[:size] / count, curve, beta, l2)
        step, halvings = step_of(slope, curve), 0
        model.beta = beta - step
        if float(np.abs(step).max()) < _SETTLED:
            settled = True
            break
    seen.kept = len(seen.losses)
    return seen, settled


def _norm(kind: Kind, total: int, size: int) -> float:
    """No party's part is longer: pooled standardised columns have squares that add up to the pooled rows.

    A log link's labels and means are taken to stay below 4,096 times the mean label.
    """
    room = _LOG_ROOM if kind.log_link else 8.0
    return total * float(size + 2) * room
