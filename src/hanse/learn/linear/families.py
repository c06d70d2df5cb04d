"""The families of generalised linear models: what the label may be, its mean and variance, and their ranges.

Every number on shares has declared integer and fraction bits, so that what could overflow is found before a job
starts (`mean_products` adds up only as many rows at a time as fit). Link functions are identity, logit, log, and
the softmax of several classes. A log link's variance is the mean to a power: 1 for Poisson, 2 for Gamma,
between them for Tweedie (sums of claims, say: many zeros, and amounts where there are any).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Refusal

Column = NDArray[np.float64]

COLUMN_WHOLE = 5  # integer bits of a feature as it is shared: home scales it into (-32, 32)
ETA = 20  # fraction bits of the linear predictor, of an offset, and of a label's logarithm
MOST_CLASSES = 16
WEIGHT = 12  # fraction bits of a row's weight
WEIGHT_WHOLE = 6  # a row weighs less than 64 times the average row
LABEL_WHOLE = 12  # a label of a log link is less than 4096 times its mean


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
    power: float = 0.0  # the variance is the mean to this power; of a log link
    classes: int = 1  # each has coefficients of its own

    @property
    def column_bits(self) -> int:
        return 1 + COLUMN_WHOLE + self.x

    @property
    def log_link(self) -> bool:
        return self.power > 0

    @property
    def flat(self) -> bool:
        """Whether all rows weigh the same in a step whatever the coefficients are."""
        return self.name == "linear"


FAMILIES = {
    f.name: f
    for f in (
        Family("linear", 15, 16, 0, 8, 0, 22, 1.0),
        Family("logistic", 15, 20, 12, 0, -2, 1, 0.25),
        Family("poisson", 12, 14, 6, 15, 12, 27, 1.0, 1.0),
        Family("gamma", 12, 16, 6, 12, 12, 29, 1.0, 2.0),
        Family("tweedie", 12, 14, 6, 14, 12, 27, 1.0, 1.5),
        Family("multinomial", 12, 20, 9, 0, 0, 1, 0.25, 0.0, 3),
    )
}


@dataclass(frozen=True)
class Label:
    """A label as the model sees it: ``values`` = (raw - shift) / scale; of a log link it is divided by its mean.

    Of several classes ``values`` is the number of a row's class, and ``classes`` are their names in order.
    ``weight`` has the mean 1, having been divided by ``weight_mean``; ``offset`` is what is added to the predictor,
    less its mean ``offset_shift``.
    """

    values: Column
    shift: float
    scale: float
    classes: tuple[float, ...] = ()
    weight: Column | None = None
    offset: Column | None = None
    offset_shift: float = 0.0
    weight_mean: float = 1.0

    def dispersion(self, family: Family) -> float:
        """Of a scaled label whose own variance is known: that of a count divided by c is its mean divided by c."""
        return 1 / self.weight_mean / (self.scale if family.name == "poisson" else 1.0)

    def part(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Label:
        """The label of some rows."""
        return replace(
            self,
            values=self.values[rows],
            weight=None if self.weight is None else self.weight[rows],
            offset=None if self.offset is None else self.offset[rows],
        )


def family_of(name: str, power: float = 1.5, classes: int = 3) -> Family:
    """The family called ``name``; `Refusal` if there is none. ``power`` is Tweedie's, ``classes`` multinomial's."""
    found = FAMILIES.get(name)
    if found is None:
        raise Refusal(
            "learn.model", f"there is no model {name!r}", remedy=f"use one of {', '.join(FAMILIES)}"
        )
    if name == "tweedie":
        if not 1.05 <= power <= 1.95:
            raise Refusal("learn.power", f"a Tweedie power of {power} is out of range",
                          remedy="choose 1.05 to 1.95; 1 is Poisson, 2 is Gamma")  # fmt: skip
        return replace(found, power=float(power))
    if name == "multinomial":
        if not 3 <= classes <= MOST_CLASSES:
            raise Refusal("learn.classes", f"a multinomial model has 3 to {MOST_CLASSES} classes, not {classes}",
                          remedy="use a logistic model for two classes, or group rare ones")  # fmt: skip
        return replace(found, classes=classes)
    return found


def label_of(
    raw: Column, training: NDArray[np.bool_], family: Family, where: str,
    weight: Column | None = None, offset: Column | None = None,
) -> Label:  # fmt: skip
    """The label, checked: `Refusal` where a value is outside the family or all are alike.

    ``training`` marks the rows to learn from; shift and scale come from them.
    """
    if not np.isfinite(raw).all():
        raise _outside(where, "has missing or infinite values", "leave rows without a label out")
    seen = raw[training]
    if seen.size == 0 or (seen == seen[0]).all():
        raise _outside(where, "has one value only", "a model needs rows of at least two kinds")
    heavy = 1.0
    if weight is not None:
        weight = _weight_of(weight, training, where)
        heavy = float(weight[training].mean())
        weight = weight / heavy
    offset, shift = (None, 0.0) if offset is None else _offset_of(offset, training, family, where)
    return replace(_values_of(raw, training, family, where, offset),
                   weight=weight, offset=offset, offset_shift=shift, weight_mean=heavy)  # fmt: skip


def _values_of(
    raw: Column, training: NDArray[np.bool_], family: Family, where: str, offset: Column | None
) -> Label:
    if family.name == "multinomial":
        found, place = np.unique(raw, return_inverse=True)
        if found.size != family.classes or np.unique(place[training]).size != family.classes:
            raise _outside(where, "has a class that no row to learn from shows",
                           "leave rows of such a class out")  # fmt: skip
        return Label(place.astype(np.float64), 0.0, 1.0, tuple(found.tolist()))
    if family.name == "logistic":
        values = np.unique(raw)
        if not (np.isin(values, (0, 1)).all() or np.isin(values, (-1, 1)).all()):
            raise _outside(where, "has other values than two classes", "code the label as 0 and 1")
        return Label((raw > 0).astype(np.float64), 0.0, 1.0)
    seen = raw[training]
    if family.log_link:
        if family.name == "gamma" and (raw <= 0).any():
            raise _outside(where, "has values that are not above 0", "a Gamma label is an amount")
        if (raw < 0).any():
            raise _outside(where, "has negative values",
                           "a Poisson or Tweedie label is a count or an amount, 0 or more")  # fmt: skip
        share = 1.0 if offset is None else float(np.exp(np.clip(offset[training], -12, 8)).mean())
        scale = float(seen.mean()) / share
        if (raw / scale >= 1 << LABEL_WHOLE).any():
            raise _outside(where, "has a value of over 4096 times its mean", "cap or split it")
        return Label(raw / scale, 0.0, scale)
    seen = seen if offset is None else (raw - offset)[training]
    raw = raw if offset is None else raw - offset
    shift, spread = float(seen.mean()), float(seen.std())
    most = float(np.abs(raw - shift).max())
    scale = max(spread, most / (31.9))
    return Label((raw - shift) / scale, shift, scale)


def _weight_of(weight: Column, training: NDArray[np.bool_], where: str) -> Column:
    if not np.isfinite(weight).all() or (weight < 0).any() or not weight[training].sum():
        raise Refusal("learn.weights", "the weights are not all finite and 0 or more, or all are 0",
                      where=where, remedy="give each row a weight of 0 or more")  # fmt: skip
    if weight.max() >= weight[training].mean() * (1 << WEIGHT_WHOLE):
        raise Refusal("learn.weights", "a row weighs over 64 times the average row", where=where,
                      remedy="cap the weights")  # fmt: skip
    return weight


def _offset_of(
    offset: Column, training: NDArray[np.bool_], family: Family, where: str
) -> tuple[Column, float]:
    if family.name == "multinomial":
        raise Refusal("learn.offset", "a multinomial model takes no offset", where=where,
                      remedy="use a model of one class against the others")  # fmt: skip
    if not np.isfinite(offset).all():
        raise Refusal("learn.offset", "the offset has missing or infinite values", where=where,
                      remedy="fill them in at home, or leave these rows out")  # fmt: skip
    if family.name == "linear":
        return offset, 0.0
    shift = float(offset[training].mean())
    if np.abs(offset - shift).max() >= 30:
        raise Refusal("learn.offset", "an offset is over 30 from the average offset", where=where,
                      remedy="an offset is in the predictor's units: of a log link a logarithm")  # fmt: skip
    return offset - shift, shift


def _outside(where: str, what: str, remedy: str) -> Refusal:
    return Refusal("learn.label", f"the label {what}", where=where, remedy=remedy)
