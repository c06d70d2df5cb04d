"""One party's part of a model as plain values, and what it makes of that party's rows.

A part of a linear model gives partial predictors, which add up to the model's; the mean follows from their sum by
the link. The label's scale is part of the label party's block and of nobody else's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Fault, Refusal
from hanse.learn.jobs.terms import Side, Term

F64 = NDArray[np.float64]
LOG_LINKS = ("poisson", "gamma", "tweedie")


@dataclass(frozen=True)
class LinearBlock:
    """``coefficients`` [classes][encoded columns] of raw columns, ``intercepts`` [classes] are this party's parts.

    ``label`` is there at the label party only: family, power, shift, scale, classes, offset_shift.
    """

    party: str
    terms: tuple[Term, ...]
    coefficients: tuple[tuple[float, ...], ...]
    intercepts: tuple[float, ...]
    label: dict[str, Any] | None = None
    errors: tuple[float, ...] | None = None  # standard errors of raw coefficients, if told

    @property
    def classes(self) -> int:
        return len(self.intercepts)

    def partial(self, values: F64) -> F64:
        """This party's part of the predictors [rows, classes], from rows [rows, terms] as they are read.

        The label party of a log link adds what makes the mean one in the label's units; an offset, if the model has
        one, is the column behind the others.
        """
        features = len(self.terms)
        encoded = Side(self.party, "", self.terms, len(values)).encoded(values[:, :features])
        out = encoded @ np.array(self.coefficients, np.float64).reshape(self.classes, -1).T
        out = out + np.array(self.intercepts)
        if self.label is not None and self.label["family"] in LOG_LINKS:
            out = out + math.log(self.label["scale"])
        if self.label is not None and values.shape[1] > features:
            offset = values[:, features : features + 1]
            linear = self.label["family"] == "linear"
            out = out + (
                offset / self.label["scale"] if linear else offset - self.label["offset_shift"]
            )
        return np.asarray(out)

    def body(self) -> dict[str, Any]:
        """Plain values."""
        found: dict[str, Any] = {
            "form": "linear",
            "party": self.party,
            "terms": [
                {"name": t.name, "kind": t.kind, "values": list(t.values)} for t in self.terms
            ],
            "columns": [name for t in self.terms for name in t.names],
            "coefficients": [list(row) for row in self.coefficients],
            "intercepts": list(self.intercepts),
        }
        if self.label is not None:
            found["label"] = self.label
        if self.errors is not None:
            found["errors"] = list(self.errors)
            found["p_values"] = p_values(self)
        return found

    @staticmethod
    def of(body: dict[str, Any]) -> LinearBlock:
        """From plain values; `Fault` ``model.damaged`` for anything else."""
        try:
            return LinearBlock(
                str(body["party"]),
                tuple(Term(t["name"], t["kind"], tuple(t["values"])) for t in body["terms"]),
                tuple(tuple(map(float, row)) for row in body["coefficients"]),
                tuple(map(float, body["intercepts"])),
                body.get("label"),
                tuple(map(float, body["errors"])) if "errors" in body else None,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise damaged("its part cannot be read") from error


def p_values(block: LinearBlock) -> list[float | None]:
    """Two-sided, of the hypothesis that a coefficient is 0, by the normal approximation; None if unknown."""
    found: list[float | None] = []
    for value, error in zip(block.coefficients[0], block.errors or (), strict=False):
        found.append(math.erfc(abs(value / error) / math.sqrt(2)) if error > 0 else None)
    return found


def damaged(why: str) -> Fault:
    return Fault("model.damaged", f"a model in this node's store is damaged: {why}",
                 remedy="delete it with 'hanse model delete' and train again")  # fmt: skip


# --- from predictors to predictions -----------------------------------------------------------------


@dataclass(frozen=True)
class Units:
    """What a receiver of scores needs of the label: for a linear model its shift and scale."""

    shift: float = 0.0
    scale: float = 1.0


def predictions(family: str, eta: F64, units: Units) -> F64:
    """Expected labels [rows], of several classes probabilities [rows, classes], of predictors [rows, classes]."""
    if family == "logistic":
        return np.asarray(1 / (1 + np.exp(-np.clip(eta[:, 0], -700, 700))))
    if family == "multinomial":
        spread = np.exp(eta - eta.max(axis=1, keepdims=True))
        return np.asarray(spread / spread.sum(axis=1, keepdims=True))
    if family in LOG_LINKS:
        return np.asarray(np.exp(np.clip(eta[:, 0], -700, 700)))
    if family == "linear":
        return np.asarray(units.shift + units.scale * eta[:, 0])
    raise Refusal("model.family", f"there are no predictions of a {family!r} model")
