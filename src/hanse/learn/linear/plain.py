"""The twin: the same model with all columns in one place, and the metrics of any model. Plain numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.learn.linear.families import Family

Matrix = NDArray[np.float64]
STEPS = 50


@dataclass(frozen=True)
class Fit:
    """Coefficients of standardised columns [columns], the intercept, and how many steps they took."""

    coefficients: Matrix
    intercept: float
    iterations: int
    settled: bool

    def predictor(self, standard: Matrix) -> Matrix:
        return np.asarray(standard @ self.coefficients + self.intercept)


def irls(standard: Matrix, y: Matrix, family: Family, l2: float) -> Fit:
    """Minimise mean loss + l2 / 2 |coefficients|**2 by Newton steps (iteratively reweighted least squares)."""
    rows = np.column_stack([np.ones(y.size), standard])
    penalty = l2 * np.eye(rows.shape[1])
    penalty[0, 0] = 0.0
    beta = np.zeros(rows.shape[1])
    for step in range(1, STEPS + 1):
        mean, weight = mean_and_weight(rows @ beta, family)
        gradient = rows.T @ (mean - y) / y.size + penalty @ beta
        hessian = (rows * weight[:, None]).T @ rows / y.size + penalty
        move = np.linalg.lstsq(hessian, gradient, rcond=None)[0]
        move *= min(1.0, 5.0 / max(1e-300, float(np.abs(move).max())))
        beta = beta - move
        if np.abs(move).max() < 1e-9:
            return Fit(beta[1:], float(beta[0]), step, True)
    return Fit(beta[1:], float(beta[0]), STEPS, False)


def mean_and_weight(eta: Matrix, family: Family) -> tuple[Matrix, Matrix]:
    """(mean, its derivative) at a linear predictor, clipped as on shares."""
    if family.name == "linear":
        return eta, np.ones_like(eta)
    if family.name == "logistic":
        mean = 1 / (1 + np.exp(-np.clip(eta, -12, 12)))
        return mean, mean * (1 - mean)
    mean = np.exp(np.clip(eta, -12, 8))
    return mean, mean


def metrics(eta: Matrix, y: Matrix, family: Family, scale: float) -> dict[str, float]:
    """What the family is judged by, for linear predictors and labels [rows], both in units of ``scale``."""
    if family.name == "logistic":
        return {"auc": auc(eta, y), "ks": ks(eta, y)}
    mean, _ = mean_and_weight(eta, family)
    off = mean - y
    found = {
        "rmse": float(np.sqrt((off**2).mean())) * scale,
        "mae": float(np.abs(off).mean()) * scale,
    }
    if family.name == "poisson":
        logs = np.log(np.where(y > 0, y, 1.0))
        found["deviance"] = float(2 * (y * logs - y * eta - y + mean).mean()) * scale
    return found


def auc(score: Matrix, y: Matrix) -> float:
    """P(a positive scores higher than a negative), ties half; nan without both."""
    order = np.unique(score, return_inverse=True)[1]
    positive = np.bincount(order, weights=y)
    negative = np.bincount(order, weights=1 - y)
    pairs = positive.sum() * negative.sum()
    below = np.cumsum(negative) - negative / 2
    return float((positive * below).sum() / pairs) if pairs else float("nan")


def ks(score: Matrix, y: Matrix) -> float:
    """The largest distance between the score's distributions of both classes; nan without both."""
    order = np.unique(score, return_inverse=True)[1]
    positive = np.bincount(order, weights=y)
    negative = np.bincount(order, weights=1 - y)
    if not positive.sum() * negative.sum():
        return float("nan")
    gap = np.cumsum(positive) / positive.sum() - np.cumsum(negative) / negative.sum()
    return float(np.abs(gap).max())
