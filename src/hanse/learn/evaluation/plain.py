"""How good predictions are, by plain formulas: what figures from shares are compared with, and the rivals' own.

Scores are anything that ranks; means are expected labels (probabilities for classes). Nothing here is secret: a
rehearsal has all rows, a label party its own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Fault

Column = NDArray[np.float64]
BEST_LOW = ("rmse", "mae", "deviance", "log_loss", "brier", "ece", "psi")  # the lower the better
MAIN = {  # by what a kind of model is judged first
    "logistic": "auc", "linear": "rmse", "poisson": "deviance", "gamma": "deviance",
    "tweedie": "deviance", "multinomial": "log_loss",
}  # fmt: skip
P30 = 0.3  # a prediction counts where it is within 30 % of the truth


def judged(
    family: str, mean: Column, y: Column, *, power: float = 1.5, classes: int = 0
) -> dict[str, float]:
    """All metrics of a family for expected labels [rows] (multinomial: [rows, classes]) and labels [rows]."""
    if y.size == 0:
        return dict.fromkeys((MAIN[family],), float("nan"))
    if family == "logistic":
        return {
            "auc": auc(mean, y), "ks": ks(mean, y), "log_loss": log_loss(mean, y),
            "accuracy": float(((mean >= 0.5) == (y > 0.5)).mean()), "brier": float(((mean - y) ** 2).mean()),
            "ece": calibration_error(mean, y),
        }  # fmt: skip
    if family == "multinomial":
        return multiclass(mean, y, classes or mean.shape[1])
    found = errors(mean, y)
    if family != "linear":
        found["deviance"] = deviance(family, mean, y, power)
    return found


# --- ranking ----------------------------------------------------------------------------------------


def auc(score: Column, y: Column) -> float:
    """P(a positive scores higher than a negative), ties half; nan without both."""
    order = np.unique(score, return_inverse=True)[1]
    positive, negative = np.bincount(order, weights=y), np.bincount(order, weights=1 - y)
    pairs = positive.sum() * negative.sum()
    below = np.cumsum(negative) - negative / 2
    return float((positive * below).sum() / pairs) if pairs else float("nan")


def ks(score: Column, y: Column) -> float:
    """The largest distance between the score's distributions of both classes; nan without both."""
    order = np.unique(score, return_inverse=True)[1]
    positive, negative = np.bincount(order, weights=y), np.bincount(order, weights=1 - y)
    if not positive.sum() * negative.sum():
        return float("nan")
    gap = np.cumsum(positive) / positive.sum() - np.cumsum(negative) / negative.sum()
    return float(np.abs(gap).max())


def auc_deviation(value: float, positive: float, negative: float) -> float:
    """Standard error of an AUC from so many positives and negatives (Hanley and McNeil 1982)."""
    if positive < 1 or negative < 1:
        return float("nan")
    q1, q2 = value / (2 - value), 2 * value**2 / (1 + value)
    spread = (
        value * (1 - value) + (positive - 1) * (q1 - value**2) + (negative - 1) * (q2 - value**2)
    )
    return float(np.sqrt(max(0.0, spread) / (positive * negative)))


# --- classes ----------------------------------------------------------------------------------------


def log_loss(mean: Column, y: Column) -> float:
    """Mean negative log-likelihood of 0/1 labels."""
    p = np.clip(mean, 1e-15, 1 - 1e-15)
    return float(-(y * np.log(p) + (1 - y) * np.log1p(-p)).mean())


def multiclass(mean: Column, y: Column, classes: int) -> dict[str, float]:
    """Log-loss, accuracy and mean one-against-the-rest AUC of probabilities [rows, classes]."""
    labels = y.astype(np.int64)
    own = np.clip(mean[np.arange(y.size), labels], 1e-15, 1.0)
    each = [auc(mean[:, c], (labels == c).astype(np.float64)) for c in range(classes)]
    told = [v for v in each if np.isfinite(v)]
    return {
        "log_loss": float(-np.log(own).mean()),
        "accuracy": float((mean.argmax(axis=1) == labels).mean()),
        "auc": float(np.mean(told)) if told else float("nan"),
    }


# --- numbers ----------------------------------------------------------------------------------------


def errors(mean: Column, y: Column) -> dict[str, float]:
    """RMSE, MAE, R2 and P30: the share of rows whose prediction is within 30 % of the truth."""
    off = mean - y
    spread = float(((y - y.mean()) ** 2).sum())
    return {
        "rmse": float(np.sqrt((off**2).mean())),
        "mae": float(np.abs(off).mean()),
        "r2": 1 - float((off**2).sum()) / spread if spread else float("nan"),
        "p30": float((np.abs(off) <= P30 * np.abs(y)).mean()),
    }


def deviance(family: str, mean: Column, y: Column, power: float = 1.5) -> float:
    """Mean deviance; of Tweedie for a variance power between 1 and 2."""
    mu = np.maximum(mean, 1e-12)
    if family == "poisson":
        parts = y * np.log(np.where(y > 0, y, 1.0) / np.where(y > 0, mu, 1.0)) - y + mu
    elif family == "gamma":
        parts = np.log(mu / y) + y / mu - 1
    elif family == "tweedie":
        p = power
        parts = (
            np.power(y, 2 - p) / ((1 - p) * (2 - p))
            - y * np.power(mu, 1 - p) / (1 - p)
            + np.power(mu, 2 - p) / (2 - p)
        )
    else:
        raise Fault("learn.family", f"there is no deviance of the family {family!r}")
    return float(2 * parts.mean())


# --- tables -----------------------------------------------------------------------------------------


def bands(
    score: Column, y: Column, mean: Column, count: int = 10
) -> tuple[list[float], list[float], list[float]]:
    """(rows, sum of labels, sum of expected labels) in bands of about equal rows, best scores first; rows of one
    score stay together.
    """
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    ends = np.searchsorted(-ranked, -ranked, side="right")  # how many rows score at least as high
    band = np.minimum(count - 1, ((ends - 1) * count) // max(1, score.size))
    return (
        np.bincount(band, minlength=count).astype(np.float64).tolist(),
        np.bincount(band, weights=y[order], minlength=count).tolist(),
        np.bincount(band, weights=mean[order], minlength=count).tolist(),
    )


def calibration_error(mean: Column, y: Column) -> float:
    """Expected calibration error: mean of |predicted - came true| over ten bands of the score, by rows."""
    _, labels, predicted = bands(mean, y, mean)
    return float(np.abs(np.array(labels) - np.array(predicted)).sum() / max(1, y.size))


def psi(expected: Column, actual: Column, floor: float = 0.5) -> float:
    """Population stability of counts per bin: sum (a - e) ln(a / e) of shares; empty bins count ``floor`` rows.

    Below 0.1 nothing moved, above 0.25 the population is another (the field's rule of thumb).
    """
    e, a = np.maximum(expected, floor), np.maximum(actual, floor)
    e, a = e / e.sum(), a / a.sum()
    return float(((a - e) * np.log(a / e)).sum())


def woe(positive: Column, negative: Column, floor: float = 0.5) -> tuple[Column, float]:
    """(weight of evidence by bin, information value): ln of the share of positives over that of negatives.

    Empty cells count ``floor`` rows, so that both stay finite.
    """
    p, n = np.maximum(positive, floor), np.maximum(negative, floor)
    p, n = p / p.sum(), n / n.sum()
    weights = np.log(p / n)
    return weights, float(((p - n) * weights).sum())


def vif(correlation: Column) -> Column:
    """Variance inflation of each column from their correlation matrix: the diagonal of its inverse.

    A column that others tell exactly has an infinite one.
    """
    values, directions = np.linalg.eigh(correlation)
    least = 1e-10 * max(1.0, float(values.max(initial=1.0)))
    gone = values < least
    out = ((directions[:, ~gone] ** 2) / values[~gone]).sum(axis=1)
    if gone.any():
        out = np.where((directions[:, gone] ** 2).sum(axis=1) > 1e-8, np.inf, out)
    return np.asarray(out)
