"""The curvature of the loss on shares, X' W X and penalty, and its inverse: they steer, and are never opened.

The curvature is divided by a secret power of two above its trace, so that its eigenvalues are below 1, and gets
2**-16 on its diagonal, so that it has an inverse. Of several classes it is the whole of
diag(p) - p p' by class and column. A curvature may be taken from some of the rows: it only steers.
Reveals: nothing. Source: as `engine.matrices`; for several classes Boehning 1992.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hanse.engine.fixed import truncate
from hanse.engine.functions import clip, power_below, product
from hanse.engine.matrices import (
    INVERSE_BITS,
    MATRIX_BITS,
    inverse,
    mean_gram,
    weighted,
    weighted_gram,
)
from hanse.engine.multiply import matmul
from hanse.engine.session import Session
from hanse.engine.shares import Ring, join_elements
from hanse.errors import Fault
from hanse.learn.linear.families import COLUMN_WHOLE, WEIGHT, WEIGHT_WHOLE
from hanse.learn.linear.links import Response
from hanse.learn.linear.plan import BETA, Plan
from hanse.learn.linear.rows import Rows

GRADIENT = 30  # fraction bits of a gradient and of the penalty
LONGEST_STEP = 16 << BETA
FLOOR = 16
SCALE, MOST_SCALE = (
    22,
    10,
)  # fraction and whole bits of what the curvature is times: 2**-22 .. 2**10
AT_ONCE = 1 << 15  # rows of all classes that are weighted at a time


@dataclass(frozen=True, repr=False)
class Steer:
    """The inverse of the scaled curvature [size, size], and the scale [1]."""

    inverse: Ring
    scale: Ring


def scale_of(rows: Rows) -> int:
    """log2 of what sums over all rows are divided by: public, at least their number."""
    return max(6, math.ceil(math.log2(max(1, rows.count))))


def steer(s: Session, curve: Ring, floor: float = 2.0**-FLOOR) -> Steer:
    """Of a curvature [size, size] with `MATRIX_BITS`; ``floor`` is added to its scaled diagonal."""
    scale, scaled = scaled_down(s, curve)
    size = curve.shape[0]
    least = np.eye(size, dtype=np.uint64) * np.uint64(round(floor * (1 << MATRIX_BITS)))
    steps = math.ceil(-math.log2(floor)) + 4
    return Steer(inverse(s, scaled + s.public_ring(least), steps, "inverse"), scale)


def scaled_down(s: Session, curve: Ring) -> tuple[Ring, Ring]:
    """(the scale [1], the curvature times it: its trace is from 1/2 to 1)."""
    trace = Ring(np.trace(curve.left).reshape(1), np.trace(curve.right).reshape(1))
    scale = power_below(s, trace, MATRIX_BITS, SCALE, MOST_SCALE, "scale")
    return scale, product(s, curve, scale.reshape(1, 1), SCALE, "scaled")


def newton(s: Session, slope: Ring, steered: Steer, classes: int) -> Ring:
    """inverse * gradient [size], at most 16 each way, with the fraction bits of a coefficient.

    Of several classes the moves add up to 0: shares do not change where all classes move alike.
    """
    scaled = product(s, slope, steered.scale.reshape(1, 1), GRADIENT + SCALE - BETA, "slope")
    wide = matmul(s, steered.inverse, scaled, "move")
    move = truncate(s, wide.reshape(slope.size), INVERSE_BITS, "move.cut")
    move = clip(s, move, -LONGEST_STEP, LONGEST_STEP, "move.clip")
    if classes == 1:
        return move
    each = move.reshape(classes, slope.size // classes)
    alike = truncate(s, each.sum(axis=0).times(round((1 << 20) / classes)), 20, "move.alike")
    return (each - alike.reshape(1, alike.size)).reshape(slope.size)


# --- X' W X -----------------------------------------------------------------------------------------


def curvature(
    s: Session, rows: Rows, answer: Response, plan: Plan, scale: int, *, bare: bool = False
) -> Ring:
    """X' W X / 2**scale, [classes * width]**2, with `MATRIX_BITS` fraction bits.

    Unless it is ``bare`` it is for a step: weights are those for steps, and get a unit in the last place more, as
    they vanish where labels are told apart perfectly, and steps would grow without end.
    """
    f = plan.family
    cut = 2 * f.x + scale - MATRIX_BITS - round(math.log2(answer.level))
    each = answer.weight if bare or answer.bend is None else answer.bend
    if each is None and not plan.weights:
        return mean_gram(s, rows.columns, rows.columns, plan.curvature_bits, cut, "gram")
    size = rows.count if f.classes == 1 else AT_ONCE // f.classes
    found: Ring | None = None
    for first in range(0, max(1, rows.count), max(1, size)):
        some = slice(first, first + size)
        curve = None if each is None else each[:, some]
        own = rows.more["weight"][some].reshape(1, -1) if plan.weights else None
        weights = _Weights(curve, own, 0 if bare else 1)
        part = _gram(s.fork(f"curve{first}"), rows, first, weights, plan, cut)
        found = part if found is None else found + part
    if found is None:
        raise Fault("learn.curve", "there are no rows to take a curvature of")
    return found


def penalised(s: Session, curve: Ring, penalty: Ring, plan: Plan, step: str = "curve") -> Ring:
    """A curvature, [classes * width]**2 or of a class, and the penalty's [width]**2, with `MATRIX_BITS`."""
    total = truncate(s, penalty, GRADIENT - MATRIX_BITS, f"{step}.penalty")
    return curve + (_classes(s, total, plan) if curve.shape[0] > plan.width else total)


@dataclass(frozen=True, repr=False)
class _Weights:
    """Of some rows [classes, some], in the curvature, or None where all are one; their own; units added."""

    curve: Ring | None
    own: Ring | None
    more: int


def _gram(s: Session, rows: Rows, first: int, weights: _Weights, plan: Plan, cut: int) -> Ring:
    """Of so many rows from ``first`` on as there are weights."""
    one, own = weights.curve, weights.own
    fraction = plan.weight_fraction if weights.more else plan.weight_fraction_most
    bits = plan.curvature_bits_of(fraction)
    if one is not None:
        more = s.public_ring(np.full(one.shape, weights.more, np.uint64))
        one = truncate(s, one, plan.family.mean - fraction, "weight.cut") + more
        both = one if own is None else product(s, one, own, WEIGHT, "weight.row")
    elif own is not None:
        fraction = 6  # only rows' own weights count here
        bits = 2 * (plan.family.x + COLUMN_WHOLE) + WEIGHT_WHOLE + fraction
        one = both = truncate(s, own, WEIGHT - fraction, "weight.cut")
    else:
        raise Fault("learn.curve", "rows that weigh alike are not weighted")
    if plan.family.classes > 1:
        return _many(s, rows, first, (one, both), plan, cut + fraction)
    return weighted_gram(s, rows.columns, both[0], bits, cut + fraction, "gram")


def _many(
    s: Session, rows: Rows, first: int, weights: tuple[Ring, Ring], plan: Plan, cut: int
) -> Ring:
    """Of several classes: the weighted sums of each on the diagonal, less those of all pairs."""
    width, classes, x = plan.width, plan.family.classes, rows.columns
    bits, fraction = plan.curvature_bits, plan.weight_fraction
    light = heavy = [weighted(s, x, weights[0][c], f"shares{c}", first) for c in range(classes)]
    if plan.weights:
        heavy = [weighted(s, x, weights[1][c], f"weights{c}", first) for c in range(classes)]
    some = _some(x, first, light[0].shape[1])
    own = [mean_gram(s, some, heavy[c], bits - fraction, cut, f"own{c}") for c in range(classes)]
    out = -mean_gram(s, join_elements(light), join_elements(heavy), bits, cut + fraction, "pairs")
    for c in range(classes):
        place = slice(c * width, (c + 1) * width)
        out.left[place, place] += own[c].left
        out.right[place, place] += own[c].right
    return out


def _some(x: Ring, first: int, count: int) -> Ring:
    if first == 0 and count == x.shape[1]:
        return x
    return Ring(
        *(np.ascontiguousarray(side[:, first : first + count]) for side in (x.left, x.right))
    )


def _classes(s: Session, penalty: Ring, plan: Plan) -> Ring:
    """The penalty of each class, and along the direction in which all classes move alike a curvature of its own.

    Shares do not change along it, so that nothing else would bend the loss there.
    """
    classes, width = plan.family.classes, plan.width
    eye = np.eye(classes, dtype=np.uint64)
    alike = np.ones((classes, classes), np.uint64) * np.uint64(
        round((1 << MATRIX_BITS) / classes**2)
    )
    return Ring(np.kron(eye, penalty.left), np.kron(eye, penalty.right)) + s.public_ring(
        np.kron(alike, np.eye(width, dtype=np.uint64))
    )
