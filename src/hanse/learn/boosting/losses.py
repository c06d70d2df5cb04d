"""Losses of boosting: first guess, gradient and curvature, mean loss, and what a score means.

Scores are [outputs, rows], one output a class, else one. Gradients and curvatures are stacked: [2 * outputs, rows].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Fault

F64 = NDArray[np.float64]
LossName = Literal["squared", "logistic", "multinomial", "poisson"]
LOSSES = ("squared", "logistic", "multinomial", "poisson")
_LIMIT = 30.0  # of a score on the log or logit scale: exp stays finite
_LEAST_CURVE = 1e-12


@dataclass(frozen=True)
class Loss:
    """One of the four. Scores are on the linear scale; `mean` brings them to the label's."""

    name: LossName
    classes: int = 0

    @property
    def outputs(self) -> int:
        """Scores of a row."""
        return max(1, self.classes)

    def check(self, y: F64, where: str) -> None:
        """`Fault` if the labels are outside the family, or all alike where that leaves nothing to learn."""
        said = ""
        if y.ndim != 1 or not np.isfinite(y).all():
            said = "labels must be finite numbers, one a row; missing labels cannot be learned from"
        elif self.name == "logistic" and not np.isin(y, (0, 1)).all():
            said = "labels of a logistic model must be 0 or 1"
        elif self.name == "multinomial" and not np.isin(y, np.arange(self.classes)).all():
            said = f"labels of {self.classes} classes must be 0 to {self.classes - 1}"
        elif self.name in ("logistic", "multinomial") and np.unique(y).size < 2:
            said = "all labels are of one class"
        elif self.name == "poisson" and (y.min(initial=0) < 0 or y.sum() <= 0):
            said = "labels of a Poisson model must be counts of at least 0, and not all 0"
        if said:
            raise Fault(
                "learn.labels",
                said,
                where=where,
                remedy="correct the label column, or choose another loss",
            )

    def start(self, y: F64, weights: F64) -> F64:
        """The best constant scores [outputs]."""
        mean = float(np.average(y, weights=weights))
        if self.name == "multinomial":
            shares = np.bincount(y.astype(np.int64), weights, self.classes) / weights.sum()
            return np.asarray(np.log(np.maximum(shares, 1e-6)))
        if self.name == "logistic":
            inside = min(max(mean, 1e-6), 1 - 1e-6)
            return np.array([np.log(inside / (1 - inside))])
        return np.array([np.log(max(mean, 1e-9)) if self.name == "poisson" else mean])

    def mean(self, score: F64) -> F64:
        """Expected labels [rows], of several classes probabilities [rows, classes]."""
        found = self._means(score)
        return np.asarray(found.T if self.name == "multinomial" else found[0])

    def _means(self, score: F64) -> F64:
        if self.name == "multinomial":
            spread = np.exp(score - score.max(axis=0))
            return np.asarray(spread / spread.sum(axis=0))
        if self.name == "squared":
            return score
        clipped = np.clip(score, -_LIMIT, _LIMIT)
        return np.asarray(np.exp(clipped) if self.name == "poisson" else 1 / (1 + np.exp(-clipped)))

    def gradients(self, y: F64, score: F64, weights: F64) -> F64:
        """[2 * outputs, rows]: first, then second derivatives of the weighted loss by the scores."""
        mean = self._means(score)
        labels = y == np.arange(self.classes)[:, None] if self.name == "multinomial" else y
        first = mean - labels
        if self.name == "squared":
            second = np.ones_like(first)
        elif self.name == "poisson":
            second = mean
        else:
            second = np.maximum(mean * (1 - mean), _LEAST_CURVE)
        return np.concatenate([first, second]) * weights

    def average(self, y: F64, score: F64, weights: F64) -> float:
        """Weighted mean loss, up to what does not depend on the scores."""
        if self.name == "multinomial":
            top = score.max(axis=0)
            whole = top + np.log(np.exp(score - top).sum(axis=0))
            each = whole - score[y.astype(np.int64), np.arange(y.size)]
        elif self.name == "squared":
            each = (y - score[0]) ** 2 / 2
        else:
            clipped = np.clip(score[0], -_LIMIT, _LIMIT)
            rising = np.logaddexp(0, clipped) if self.name == "logistic" else np.exp(clipped)
            each = rising - y * clipped
        return float(np.average(each, weights=weights))
