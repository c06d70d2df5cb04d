"""Several classes with many coefficients: each class is turned by the inverse of its own curvature alone.

The curvature of softmax couples all classes: a matrix of (classes * columns)**2, which is inverted at each step.
Where that would be large only its blocks on the diagonal are taken, X' diag(p (1 - p)) X by class. Beside them
the whole has eigenvalues of 0.3 to 2 (measured; mostly above 0.5), but for the direction in which all classes move
alike and the loss stays as it is; so steps of a fixed length with a little of the last one (Polyak's heavy ball for
0.4 to 2) come about half as close each, and the solution, where the slope is 0, is the same. At the start all
classes have one curvature, and the whole is C / (C - 1) of it.
Reveals: nothing. Source: McCullagh, Nelder 1989; Polyak 1964.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hanse.engine.fixed import truncate
from hanse.engine.functions import product
from hanse.engine.matrices import MATRIX_BITS, mean_gram, weighted_gram
from hanse.engine.session import Session
from hanse.engine.shares import Ring, join_elements
from hanse.learn.linear.curve import Steer, newton
from hanse.learn.linear.families import COLUMN_WHOLE, WEIGHT
from hanse.learn.linear.plan import Plan
from hanse.learn.linear.rows import Rows

LOW, HIGH = 0.4, 2.0
STEP = 4 / (math.sqrt(HIGH) + math.sqrt(LOW)) ** 2
KEPT = ((math.sqrt(HIGH) - math.sqrt(LOW)) / (math.sqrt(HIGH) + math.sqrt(LOW))) ** 2
REFRESH = (1, 2, 4, 8, 16)  # iterations that look at the curvatures anew
_FRACTION = 12  # bits of a row's weight
_LEVEL = 20


def curvatures(s: Session, rows: Rows, shares: Ring, plan: Plan, scale: int) -> list[Ring]:
    """X' diag(p (1 - p)) X / 2**scale by class, [width, width] with `MATRIX_BITS`; ``shares`` p [classes, rows]."""
    f = plan.family
    cut = 2 * f.x + scale - MATRIX_BITS
    weights = truncate(
        s, shares - product(s, shares, shares, f.mean, "weights"), f.mean - _FRACTION, "weights.cut"
    )
    # Where a class is told perfectly its rows weigh nothing, and steps would grow without end.
    weights = weights + s.public_ring(np.ones(weights.shape, np.uint64))
    if plan.weights:
        own = rows.more["weight"].reshape(1, rows.count)
        weights = product(s, weights, own, WEIGHT, "weights.own")
    bits, cut = _bits(plan), cut + _FRACTION
    return [
        weighted_gram(s, rows.columns, weights[c], bits, cut, f"own{c}") for c in range(f.classes)
    ]


def first_curvature(s: Session, rows: Rows, plan: Plan, scale: int) -> Ring:
    """The same at coefficients of 0, where it is one for all classes: (1 - 1 / C) / C of X' X."""
    f = plan.family
    cut = 2 * f.x + scale - MATRIX_BITS
    if plan.weights:
        own = truncate(s, rows.more["weight"], WEIGHT - 6, "weight.cut")
        whole = weighted_gram(s, rows.columns, own, _bits(plan), cut + 6, "first")
    else:
        whole = mean_gram(s, rows.columns, rows.columns, 2 * (f.x + COLUMN_WHOLE), cut, "first")
    level = (1 - 1 / f.classes) / f.classes
    return truncate(s, whole.times(round(level * (1 << _LEVEL))), _LEVEL, "first.level")


def _bits(plan: Plan) -> int:
    return plan.curvature_bits_of(_FRACTION) - _FRACTION


def step(
    s: Session, slope: Ring, steers: Sequence[Steer], last: Ring | None, classes: int
) -> Ring:  # fmt: skip
    """The move [size] to be taken off coefficients of such a ``slope`` [size, 1]; ``last`` is the one before.

    ``steers``: one for each class, or one for all, which is that of the start.
    """
    width = slope.size // classes
    each, first = slope.reshape(classes, width), len(steers) == 1
    moves = [
        newton(s.fork(f"class{c}"), each[c].reshape(width, 1), steers[0 if first else c], 1)
        for c in range(classes)
    ]
    whole = join_elements([m.reshape(1, width) for m in moves])
    # What all classes have in common does not change their shares, and a penalty wants none of it.
    alike = truncate(s, whole.sum(axis=0).times(round((1 << _LEVEL) / classes)), _LEVEL, "alike")
    whole = (whole - alike.reshape(1, width)).reshape(slope.size)
    length = (1 - 1 / classes) if first else STEP
    out = whole.times(round(length * (1 << _LEVEL)))
    if last is not None and not first:
        out = out + last.times(round(KEPT * (1 << _LEVEL)))
    return truncate(s, out, _LEVEL, "length")
