"""What rows say of coefficients: slope and curvature of the loss, from all rows, in batches, or from a sample.

A batch is so many rows at a time, whose parts add up; it changes nothing but the memory that is wanted. A sample is
the first 1/2**n of the rows, which stand in an order that says nothing of them: that of hashed keys, or the secret
one of the join. Two classes of many rows are looked at so:

 1. at coefficients of 0, where a row answers 1/2 without any work: all rows, slope g and curvature G = X'X / 4
 2. the slope at b is g + G b + the mean of x (sigmoid(x'b) - 1/2 - x'b / 4), which is small: from a sample; G times
    the sample's mean weight over 1/4 is the curvature. So the second look is nearly for nothing
 3. from then on all rows

So the result is the one of all rows, and a sample's chance is only in where the third look begins.
Reveals: nothing. Source: Johnson, Zhang 2013 (variance reduction).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from hanse.engine.fixed import truncate
from hanse.engine.functions import INNER, product
from hanse.engine.matrices import MATRIX_BITS, combined, mean_cross
from hanse.engine.multiply import matmul, multiply
from hanse.engine.ratios import reciprocal
from hanse.engine.session import Session
from hanse.engine.shares import Ring, join_elements
from hanse.errors import Fault
from hanse.learn.linear.apart import curvatures, first_curvature
from hanse.learn.linear.curve import GRADIENT, curvature, penalised, scale_of
from hanse.learn.linear.families import ETA, WEIGHT
from hanse.learn.linear.links import (
    COARSE,
    FINE,
    Response,
    beside,
    first_responses,
    label_of,
    responses,
)
from hanse.learn.linear.plan import BETA, Plan
from hanse.learn.linear.rows import Rows

BOUNDED = 3
LEAST_SAMPLE, PER_COLUMN = 12_000, 256  # rows of a sample
MOST_SAMPLE = 1 << 17
MOST_SPREAD = 3  # a sample is an eighth of the rows, or MOST_SAMPLE where that is less
_QUARTER = 20  # fraction bits of 4 / rows
_SHORT = 20  # and of a coefficient that meets a curvature


@dataclass(frozen=True)
class Sample:
    """The first ``count`` rows; all rows are 2**``spread`` times as many."""

    count: int
    spread: int


def sample_of(rows: Rows, plan: Plan) -> Sample | None:
    """What a sample would be, if one serves: two classes, no offset, many rows for each column."""
    if plan.family.name != "logistic" or plan.offset:
        return None
    least = max(LEAST_SAMPLE, PER_COLUMN * plan.width)
    spread = min(MOST_SPREAD, math.floor(math.log2(max(1, rows.count / least))))
    while rows.count >> spread > max(MOST_SAMPLE, least):
        spread += 1
    return Sample(-(-rows.count >> spread), spread) if spread > 0 else None


def bounded(plan: Plan, number: int) -> bool:
    """Offsets may be far from what the label says, where Newton's steps overshoot: the first steps of a logistic
    model then take 1/4 for all rows, which is never too little."""
    return plan.offset and plan.family.name == "logistic" and number <= BOUNDED


def predictor(s: Session, rows: Rows, beta: Ring, plan: Plan) -> Ring:
    """X b, and the offset if there is one: [classes, rows] with `ETA` fraction bits."""
    found = []
    filed = plan.filed(rows.count)
    for number, part in enumerate(rows.parts(plan.batch_rows if filed else None)):
        own = s.fork(f"predictor{number}") if filed else s
        wide = [combined(own, part.columns, beta[c], f"predictor{c}") for c in range(beta.shape[0])]
        whole = join_elements([w.reshape(1, part.count) for w in wide])
        eta = truncate(own, whole, plan.family.x + BETA - ETA, "predictor.cut")
        if "offset" in part.more:
            eta = eta + part.more["offset"].reshape(1, part.count)
        found.append(eta)
    return beside(found)


class Looks:
    """Looks at the same rows, one an iteration; ``penalty`` [width, width] is that on squares."""

    def __init__(self, rows: Rows, plan: Plan, penalty: Ring) -> None:
        self._rows, self._plan, self._penalty = rows, plan, penalty
        self._scale, self._sample = scale_of(rows), sample_of(rows, plan)
        self._first: tuple[Ring, Ring] | None = None  # slope and curvature at 0, without penalties

    def at(self, s: Session, beta: Ring, number: int, *, curved: bool) -> tuple[Ring, list[Ring]]:
        """(slope [classes * width, 1] with `GRADIENT` bits, curvature with `MATRIX_BITS` if ``curved``).

        The curvature is one, of all classes; or one of each (`apart`), or one that all have; else none.

        ``beta`` [classes, width]: the coefficients of iteration ``number``, from 1 on, which are 0 in the first.
        """
        if self._sample is not None and number == 2:
            return self._guessed(s, self._sample, beta), []
        loss, curves = self._of_all(s, beta, number, curved=curved)
        return self._pulled(s, loss, beta), [
            penalised(s, curve, self._penalty, self._plan, f"curve{n}")
            for n, curve in enumerate(curves)
        ]

    def _pulled(self, s: Session, loss: Ring, beta: Ring) -> Ring:
        """The slope with that of the penalty, [classes * width, 1]."""
        short = truncate(s, beta, BETA - _SHORT, "penalty.beta")
        pulled = truncate(s, matmul(s, short, self._penalty, "penalty"), _SHORT, "penalty.cut")
        return (loss + pulled).reshape(loss.size, 1)

    def _of_all(
        self, s: Session, beta: Ring, number: int, *, curved: bool
    ) -> tuple[Ring, list[Ring]]:
        loss: Ring | None = None
        curves: list[Ring] = []
        for place, part in enumerate(self._rows.parts(self._plan.batch_rows)):
            own = s.fork(f"batch{place}")
            answer = _answer(own, part, beta, self._plan, number, weigh=curved)
            more = _loss(own, part, answer.residual, self._plan, self._scale)
            loss = more if loss is None else loss + more
            if curved:
                more_curves = self._curves(own, part, answer, number)
                curves = (
                    [_added(c, m) for c, m in zip(curves, more_curves, strict=True)]
                    if curves
                    else more_curves
                )
        if loss is None:
            raise _no_rows()
        if number == 1 and curves:
            self._first = loss, curves[0]
        return loss, curves

    def _curves(self, s: Session, part: Rows, answer: Response, number: int) -> list[Ring]:
        plan, scale = self._plan, self._scale
        if not plan.apart or answer.weight is None:
            return [curvature(s, part, answer, plan, scale)]
        if number == 1:
            return [first_curvature(s, part, plan, scale)]
        return curvatures(s, part, answer.weight, plan, scale)

    # --- from a sample ------------------------------------------------------------------------------

    def _guessed(self, s: Session, sample: Sample, beta: Ring) -> Ring:
        """The slope [width, 1] at the coefficients of the second look, over what weights are of 1/4."""
        if self._first is None:
            raise _no_rows()
        slope, curve = self._first
        plan, scale = self._plan, self._scale - sample.spread
        off: Ring | None = None
        heavy: Ring | None = None
        for place, part in enumerate(self._rows.parts(plan.batch_rows, sample.count)):
            own = s.fork(f"batch{place}")
            eta = predictor(own, part, beta, replace(plan, batch_rows=None))
            answer = responses(own, part, eta, plan, FINE)
            if answer.weight is None:
                raise _no_rows()
            rest = _bent(own, part, eta, answer, plan)
            off = _added(off, _loss(own, part, rest, plan, scale, more=6))
            heavy = _added(heavy, answer.weight.sum().reshape(1))
        if off is None or heavy is None:
            raise _no_rows()
        short = truncate(s, beta.reshape(beta.size, 1), BETA - _SHORT, "guess.beta")
        straight = matmul(s, curve, short, "guess")
        cut = truncate(s, straight, MATRIX_BITS + _SHORT - GRADIENT, "guess.cut")
        whole = self._pulled(s, slope + cut.reshape(*slope.shape) + off, beta)
        share = heavy.times(round((4 << _QUARTER) / sample.count))
        mean = truncate(s, share, plan.family.mean + _QUARTER - INNER, "mean-weight")
        over, power = reciprocal(s, mean, INNER, "over.weight")
        raised = multiply(s, whole, power.reshape(1, 1), "guess.power")
        return product(s, raised, over.reshape(1, 1), INNER, "guess.over")


def _added(x: Ring | None, more: Ring) -> Ring:
    return more if x is None else x + more


def _answer(
    s: Session, rows: Rows, beta: Ring, plan: Plan, number: int, *, weigh: bool
) -> Response:
    first = first_responses(s, rows, plan) if number == 1 else None
    if first is not None:
        return first
    eta = predictor(s, rows, beta, replace(plan, batch_rows=None))
    degree = COARSE if number == 2 else FINE
    flat = bounded(plan, number)
    found = responses(s, rows, eta, plan, degree, weigh=weigh and not flat)
    return replace(found, weight=None, level=0.25) if flat else found


def _bent(s: Session, rows: Rows, eta: Ring, answer: Response, plan: Plan) -> Ring:
    """sigmoid(eta) - 1/2 - eta / 4, times rows' own weights: [1, rows] with the fraction bits of a mean."""
    f = plan.family
    half = s.public_ring(np.full((1, rows.count), 1 << (f.mean - 1), np.uint64))
    line = truncate(s, eta, ETA + 2 - f.mean, "line")
    rest = answer.bare + label_of(rows, f) - half - line
    if not plan.weights:
        return rest
    return product(s, rest, rows.more["weight"].reshape(1, rows.count), WEIGHT, "line.weight")


def _loss(
    s: Session, rows: Rows, residual: Ring, plan: Plan, scale: int, more: int = 0
) -> Ring:  # fmt: skip
    """X' residual / 2**scale, [classes, width] with `GRADIENT` bits; residuals may have ``more`` whole bits."""
    cut = plan.family.x + plan.family.mean + scale - GRADIENT
    return mean_cross(s, residual, rows.columns, plan.gradient_bits + more, cut, "gradient")


def _no_rows() -> Fault:
    return Fault("learn.curve", "there are no rows to take a slope or a curvature of")
