"""What labels may be: the loss of a linear predictor, its slope and curvature, and the expected label.

Predictors and labels are in the model's units: a linear label is standardised, one of a log link divided by its
mean. A multinomial predictor is [rows, classes], all others are [rows].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Refusal

F64 = NDArray[np.float64]
NAMES = ("linear", "logistic", "poisson", "gamma", "tweedie", "multinomial")
_POWERS = {"poisson": 1.0, "gamma": 2.0}
_LOW, _HIGH = -12.0, 8.0  # of a predictor behind a log link, as for models on shares
_LOGIT = 30.0


@dataclass(frozen=True)
class Kind:
    """A family of labels. ``power``: of the mean, in the variance of a log link; ``classes``: of a multinomial."""

    name: str
    power: float = 0.0
    classes: int = 1

    @property
    def log_link(self) -> bool:
        return self.power > 0

    @property
    def outputs(self) -> int:
        """Predictors a row."""
        return self.classes if self.name == "multinomial" else 1

    def check(self, y: F64, where: str) -> None:
        """`Refusal` where a label is outside the family; one class only is fine here: others may have the rest."""
        said = ""
        if not np.isfinite(y).all():
            said = "has missing or infinite values"
        elif self.name == "logistic" and not np.isin(y, (0, 1)).all():
            said = "has other values than 0 and 1"
        elif self.name == "multinomial" and not np.isin(y, np.arange(self.classes)).all():
            said = f"has other values than the classes 0 to {self.classes - 1}"
        elif self.name == "gamma" and (y <= 0).any():
            said = "has values that are not above 0"
        elif self.log_link and (y < 0).any():
            said = "has negative values"
        if said:
            raise Refusal("learn.label", f"the label {said}", where=where,
                          remedy="correct the label column, or choose another model")  # fmt: skip

    def mean(self, eta: F64) -> F64:
        """Expected labels; of several classes their probabilities [rows, classes]."""
        if self.name == "linear":
            return eta
        if self.name == "logistic":
            return np.asarray(1 / (1 + np.exp(-np.clip(eta, -_LOGIT, _LOGIT))))
        if self.name == "multinomial":
            high = np.exp(eta - eta.max(axis=1, keepdims=True))
            return np.asarray(high / high.sum(axis=1, keepdims=True))
        return np.asarray(np.exp(np.clip(eta, _LOW, _HIGH)))

    def slopes(self, eta: F64, y: F64) -> tuple[F64, F64]:
        """(first, expected second) derivative of a row's loss by its predictor, in the predictor's shape."""
        mean = self.mean(eta)
        if self.name == "multinomial":
            return mean - np.eye(self.classes)[y.astype(np.int64)], mean * (1 - mean)
        if self.name == "linear":
            return mean - y, np.ones_like(mean)
        if self.name == "logistic":
            return mean - y, mean * (1 - mean)
        return (mean - y) * mean ** (1 - self.power), mean ** (2 - self.power)

    def losses(self, eta: F64, y: F64) -> F64:
        """Each row's loss [rows], up to what hangs on the label alone."""
        if self.name == "linear":
            return np.asarray((eta - y) ** 2 / 2)
        if self.name == "logistic":
            bounded = np.clip(eta, -_LOGIT, _LOGIT)
            return np.asarray(np.logaddexp(0, bounded) - y * bounded)
        if self.name == "multinomial":
            own = eta[np.arange(y.size), y.astype(np.int64)]
            top = eta.max(axis=1)
            return np.asarray(top + np.log(np.exp(eta - top[:, None]).sum(axis=1)) - own)
        bounded = np.clip(eta, _LOW, _HIGH)
        mean, p = np.exp(bounded), self.power
        if p == 1:
            return np.asarray(mean - y * bounded)
        if p == 2:
            return np.asarray(y / mean + bounded)
        return np.asarray(mean ** (2 - p) / (2 - p) - y * mean ** (1 - p) / (1 - p))


def kind_of(name: str, *, power: float = 1.5, classes: int = 3) -> Kind:
    """The family called ``name``; `Refusal` if there is none."""
    if name not in NAMES:
        raise Refusal(
            "learn.model", f"there is no model {name!r}", remedy=f"use one of {', '.join(NAMES)}"
        )
    if name == "multinomial":
        if classes < 2:
            raise Refusal(
                "learn.classes", f"{classes} classes are too few", remedy="give at least 2"
            )
        return Kind(name, classes=classes)
    if name == "tweedie":
        if not 1 < power < 2:
            raise Refusal("learn.power", f"a Tweedie power of {power} is out of range",
                          remedy="choose one between 1 and 2")  # fmt: skip
        return Kind(name, power)
    return Kind(name, _POWERS.get(name, 0.0))
