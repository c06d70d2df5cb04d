"""Local models: parameters as one vector, training at home, predictors. GLMs here; networks and others beside.

Whatever has `LocalModel`'s functions can be averaged between parties.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from hanse.learn.horizontal.home import Rows
from hanse.learn.horizontal.kinds import F64, Kind


class LocalModel(Protocol):
    """A model as rounds of federated averaging see it."""

    kind: Kind

    def parameters(self) -> F64:
        """All parameters [n], a copy; n is the same at all parties."""
        ...

    def load(self, vector: F64) -> None:
        """Take over parameters [n]."""
        ...

    def train(self, rows: Rows, *, proximal: float = 0.0) -> None:
        """Some training on ``rows`` from where the parameters are; ``proximal`` pulls back to there (FedProx)."""
        ...

    def predictor(self, x: F64) -> F64:
        """Predictors of standardised columns [rows, columns]: [rows], or [rows, classes]."""
        ...


def mean_loss(model: LocalModel, rows: Rows) -> float:
    """A model's mean loss on rows; infinite where it is no number."""
    if rows.count == 0:
        return 0.0
    value = float(model.kind.losses(model.predictor(rows.x), rows.y).mean())
    return value if np.isfinite(value) else float("inf")


class LinearModel:
    """A generalised linear model; ``steps`` Newton steps a round. Parameters: intercept, then coefficients."""

    def __init__(self, kind: Kind, columns: int, *, l2: float = 1e-6, steps: int = 2) -> None:
        self.kind = kind
        self.beta = np.zeros(columns + 1)
        self._l2 = l2
        self._steps = steps

    def parameters(self) -> F64:
        return self.beta.copy()

    def load(self, vector: F64) -> None:
        self.beta = np.array(vector, np.float64)

    def train(self, rows: Rows, *, proximal: float = 0.0) -> None:
        anchor = self.beta.copy()
        for _ in range(self._steps):
            slope, curve = derivatives(self.kind, self.beta, rows)
            slope, curve = slope / rows.count, curve / rows.count
            slope, curve = penalised(slope, curve, self.beta, self._l2)
            slope = slope + proximal * (self.beta - anchor)
            curve = curve + proximal * np.eye(self.beta.size)
            self.beta = self.beta - step_of(slope, curve)

    def predictor(self, x: F64) -> F64:
        return np.asarray(x @ self.beta[1:] + self.beta[0])


def derivatives(kind: Kind, beta: F64, rows: Rows) -> tuple[F64, F64]:
    """Sums over rows of the loss's gradient [n] and expected Hessian [n, n] by intercept and coefficients."""
    slope, weight = kind.slopes(rows.x @ beta[1:] + beta[0], rows.y)
    whole = np.column_stack([np.ones(rows.count), rows.x])
    return whole.T @ slope, (whole * weight[:, None]).T @ whole


def penalised(slope: F64, curve: F64, beta: F64, l2: float) -> tuple[F64, F64]:
    """With l2 / 2 |coefficients|**2 added to the mean loss; the intercept is free."""
    penalty = np.full(beta.size, l2)
    penalty[0] = 0.0
    return slope + penalty * beta, curve + np.diag(penalty)


def step_of(slope: F64, curve: F64) -> F64:
    """A Newton step, of no element beyond 5: where classes part perfectly, coefficients grow slowly."""
    move = np.linalg.lstsq(curve, slope, rcond=None)[0]
    return np.asarray(move * min(1.0, 5.0 / max(1e-300, float(np.abs(move).max()))))
