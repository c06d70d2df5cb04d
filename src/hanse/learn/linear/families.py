"""The families of generalised linear models: what the label may be, its mean and variance, and their ranges.

Every number on shares has declared integer and fraction bits, so that what could overflow is found before a job
starts (`mean_products` adds up only as many rows at a time as fit). Link functions are identity, logit and log.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Refusal

Column = NDArray[np.float64]

COLUMN_WHOLE = 5  # integer bits of a feature as it is shared: home scales it into (-32, 32)
ETA = 20  # fraction bits of the linear predictor


@dataclass(frozen=True)
class Family:
    """Bits: fraction of features (x), of labels and means, of weights; whole of residuals and of weights.

    A feature has at most 21 bits, sign and `COLUMN_WHOLE` included, so that a word carries three.
    """

    name: str
    x: int
    mean: int
    weight: int
    residual_whole: int
    weight_whole: int
    label_bits: int  # as shared, two's complement where the label may be negative
    start_weight: float  # of a row while all coefficients are 0

    @property
    def column_bits(self) -> int:
        return 1 + COLUMN_WHOLE + self.x


FAMILIES = {
    f.name: f
    for f in (
        Family("linear", 15, 16, 0, 8, 0, 22, 1.0),
        Family("logistic", 15, 20, 12, 0, -2, 1, 0.25),
        Family("poisson", 12, 14, 6, 15, 12, 27, 1.0),
    )
}


@dataclass(frozen=True)
class Label:
    """A label as the model sees it: ``values`` = (raw - shift) / scale; linear and Poisson are scaled at home."""

    values: Column
    shift: float
    scale: float


def family_of(name: str) -> Family:
    """The family called ``name``; `Refusal` if there is none."""
    found = FAMILIES.get(name)
    if found is None:
        raise Refusal(
            "learn.model", f"there is no model {name!r}", remedy=f"use one of {', '.join(FAMILIES)}"
        )
    return found


def label_of(raw: Column, training: NDArray[np.bool_], family: Family, where: str) -> Label:
    """The label, checked: `Refusal` where a value is outside the family or all are alike.

    ``training`` marks the rows to learn from; shift and scale come from them.
    """
    if not np.isfinite(raw).all():
        raise _outside(where, "has missing or infinite values", "leave rows without a label out")
    seen = raw[training]
    if seen.size == 0 or (seen == seen[0]).all():
        raise _outside(where, "has one value only", "a model needs rows of at least two kinds")
    if family.name == "logistic":
        values = np.unique(raw)
        if not (np.isin(values, (0, 1)).all() or np.isin(values, (-1, 1)).all()):
            raise _outside(where, "has other values than two classes", "code the label as 0 and 1")
        return Label((raw > 0).astype(np.float64), 0.0, 1.0)
    if family.name == "poisson":
        if (raw < 0).any():
            raise _outside(where, "has negative values", "a Poisson label is a count, 0 or more")
        scale = float(seen.mean())
        if (raw / scale >= 1 << family.weight_whole).any():
            raise _outside(where, "has a value of over 4096 times its mean", "cap or split it")
        return Label(raw / scale, 0.0, scale)
    shift, spread = float(seen.mean()), float(seen.std())
    most = float(np.abs(raw - shift).max())
    scale = max(spread, most / (31.9))
    return Label((raw - shift) / scale, shift, scale)


def _outside(where: str, what: str, remedy: str) -> Refusal:
    return Refusal("learn.label", f"the label {what}", where=where, remedy=remedy)
