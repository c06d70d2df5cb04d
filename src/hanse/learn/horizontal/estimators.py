"""Any scikit-learn linear model with ``coef_`` and ``intercept_`` as a local model.

A round is `partial_fit` where the estimator has it, `fit` with a warm start where it can, `fit` from scratch else
(Ridge, say: then one round of averaging is all there is to it). What an estimator warns of, such as a round that
did not converge, is passed on. scikit-learn itself is not imported here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hanse.errors import Fault, Refusal
from hanse.learn.horizontal.home import Rows
from hanse.learn.horizontal.kinds import F64, Kind


class EstimatorModel:
    """``estimator`` over so many columns; ``epochs`` calls of `partial_fit` a round.

    Parameters: coef_, then intercept_.
    """

    def __init__(self, kind: Kind, columns: int, estimator: Any, *, epochs: int = 1) -> None:
        if kind.name not in ("linear", "logistic", "multinomial"):
            raise Refusal("learn.estimator", f"scikit-learn's models are not averaged for {kind.name} labels",
                          remedy="use the generalised linear model of this package")  # fmt: skip
        if not hasattr(estimator, "fit"):
            raise Refusal(
                "learn.estimator",
                "the estimator has no fit",
                remedy="give a scikit-learn linear model",
            )
        self.kind = kind
        self._estimator = estimator
        self._epochs = epochs
        self._shape = (kind.outputs, columns)
        self._vector = np.zeros(kind.outputs * (columns + 1))
        self._fitted = False

    def parameters(self) -> F64:
        return self._vector.copy()

    def load(self, vector: F64) -> None:
        self._vector = np.array(vector, np.float64)

    def predictor(self, x: F64) -> F64:
        coefficients = self._vector[: -self.kind.outputs].reshape(self._shape)
        eta = x @ coefficients.T + self._vector[-self.kind.outputs :]
        return np.asarray(eta if self.kind.outputs > 1 else eta[:, 0])

    def train(self, rows: Rows, *, proximal: float = 0.0) -> None:
        if proximal:
            raise Refusal("learn.proximal", "scikit-learn's estimators know no proximal term",
                          remedy="set it to 0, or use the generalised linear model of this package")  # fmt: skip
        classifier = self.kind.name != "linear"
        labels = rows.y.astype(np.int64) if classifier else rows.y
        try:
            self._fit(rows.x, labels, classifier)
        except ValueError as error:
            raise Fault(
                "learn.local",
                "the local estimator cannot learn from these rows",
                remedy="a party with one class only should leave itself out",
                detail=str(error),
            ) from error
        self._read()

    def _fit(self, x: F64, labels: Any, classifier: bool) -> None:
        estimator = self._estimator
        if hasattr(estimator, "partial_fit"):
            extra = {"classes": np.arange(max(2, self.kind.outputs))} if classifier else {}
            if not self._fitted:  # makes the arrays that the parameters are put into
                estimator.partial_fit(x[:1], labels[:1], **extra)
                self._fitted = True
            self._write()
            for _ in range(self._epochs):
                estimator.partial_fit(x, labels)
            return
        if "warm_start" in estimator.get_params():
            estimator.set_params(warm_start=True)
            if not self._fitted:
                estimator.fit(x, labels)
                self._fitted = True
            self._write()
        estimator.fit(x, labels)

    def _write(self) -> None:
        estimator, outputs = self._estimator, self.kind.outputs
        coefficients = self._vector[:-outputs].reshape(np.shape(estimator.coef_))
        offsets = self._vector[-outputs:].reshape(np.shape(estimator.intercept_))
        estimator.coef_ = np.ascontiguousarray(coefficients, np.asarray(estimator.coef_).dtype)
        estimator.intercept_ = (
            np.array(offsets, np.asarray(estimator.intercept_).dtype)
            if np.ndim(offsets)
            else float(offsets)
        )

    def _read(self) -> None:
        coefficients = np.asarray(self._estimator.coef_, np.float64).reshape(-1)
        offsets = np.asarray(self._estimator.intercept_, np.float64).reshape(-1)
        if coefficients.size != self._shape[0] * self._shape[1] or offsets.size not in (
            1,
            self._shape[0],
        ):
            raise Fault("learn.local", "the local estimator has other parameters than was agreed",
                        remedy="all parties need rows of the same classes and the same columns")  # fmt: skip
        self._vector = np.concatenate([coefficients, np.broadcast_to(offsets, self._shape[0])])
