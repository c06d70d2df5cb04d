"""Losses of boosting: first guess, gradient and curvature, mean loss, and what a score means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Fault

F64 = NDArray[np.float64]
LossName = Literal["squared", "logistic", "poisson"]
_LIMIT = 30.0  # of a score on the log or logit scale: exp stays finite


@dataclass(frozen=True)
class Loss:
    """One of the three. Scores are on the linear scale; `mean` brings them to the label's."""

    name: LossName

    def check(self, y: F64, where: str) -> None:
        """`Fault` if the labels are outside the family, or all alike where that leaves nothing to learn."""
        said = ""
        if y.ndim != 1 or not np.isfinite(y).all():
            said = "labels must be finite numbers, one a row; missing labels cannot be learned from"
        elif self.name == "logistic" and not np.isin(y, (0, 1)).all():
            said = "labels of a logistic model must be 0 or 1"
        elif self.name == "logistic" and np.unique(y).size < 2:
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

    def start(self, y: F64) -> float:
        """The best constant score."""
        mean = float(y.mean())
        if self.name == "logistic":
            return float(np.log(mean / (1 - mean)))
        return float(np.log(mean)) if self.name == "poisson" else mean

    def mean(self, score: F64) -> F64:
        """Expected label at a score."""
        clipped = np.clip(score, -_LIMIT, _LIMIT)
        if self.name == "logistic":
            return np.asarray(1 / (1 + np.exp(-clipped)))
        return np.asarray(np.exp(clipped)) if self.name == "poisson" else score

    def gradients(self, y: F64, score: F64) -> F64:
        """[2, rows]: first and second derivative of the loss by the score."""
        mean = self.mean(score)
        if self.name == "logistic":
            second = np.maximum(mean * (1 - mean), 1e-12)
        else:
            second = mean if self.name == "poisson" else np.ones_like(y)
        return np.stack([mean - y, second])

    def average(self, y: F64, score: F64) -> float:
        """Mean loss, up to what does not depend on the score."""
        clipped = np.clip(score, -_LIMIT, _LIMIT)
        if self.name == "logistic":
            return float(np.mean(np.logaddexp(0, clipped) - y * clipped))
        if self.name == "poisson":
            return float(np.mean(np.exp(clipped) - y * clipped))
        return float(np.mean((y - score) ** 2) / 2)
