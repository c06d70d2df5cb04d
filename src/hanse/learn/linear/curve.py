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
from hanse.engine.matrices import INVERSE_BITS, MATRIX_BITS, inverse, mean_gram, weighted
from hanse.engine.multiply import matmul
from hanse.engine.session import Session
from hanse.engine.shares import Ring, join_elements
from hanse.learn.linear.families import WEIGHT
from hanse.learn.linear.plan import BETA, Plan
from hanse.learn.linear.rows import Rows

GRADIENT = 30  # fraction bits of a gradient and of the penalty
LONGEST_STEP = 16 << BETA
FLOOR = 16
INVERSE_STEPS = FLOOR + 4
SCALE, MOST_SCALE = 22, 10  # fraction and whole bits of what the curvature is times: 2**-22 .. 2**10
AT_ONCE = 1 << 16  # rows that are weighted at a time: each takes several words a column


@dataclass(frozen=True, repr=False)
class Steer:
    """The inverse of the scaled curvature [size, size], and the scale [1]."""

    inverse: Ring
    scale: Ring


def scale_of(rows: Rows) -> int:
    """log2 of what sums over rows are divided by: public, at least the number of rows."""
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
    s: Session, rows: Rows, weight: Ring | None, plan: Plan, penalty: Ring, *, bare: bool = False
) -> Ring:
    """X' W X / 2**scale + penalty, [classes * width]**2, with `MATRIX_BITS` fraction bits.

    Weights get a unit in the last place more, unless ``bare``: where labels are told apart perfectly, weights
    vanish, and steps would grow without end.
    """
    f = plan.family
    total: Ring | None = None
    for first in range(0, max(1, rows.count), AT_ONCE):
        last = min(rows.count, first + AT_ONCE)
        part = s.fork(f"curve{first}")
        some = None if weight is None else weight[:, first:last]
        found = _gram(part, rows.part(first, last), some, plan, scale_of(rows), 0 if bare else 1)
        total = found if total is None else total + found
    if total is None:
        raise ValueError("no rows")
    shrunk = truncate(s, penalty, GRADIENT - MATRIX_BITS, "curve.penalty")
    if f.classes == 1:
        return total + shrunk
    return total + _classes(s, shrunk, plan)


def _gram(s: Session, rows: Rows, weight: Ring | None, plan: Plan, scale: int, more: int) -> Ring:
    f, x = plan.family, rows.columns
    cut = 2 * f.x + scale - MATRIX_BITS
    if weight is None and not plan.weights:
        return mean_gram(s, x, x, plan.curvature_bits, cut, "gram")
    fraction = plan.weight_fraction
    if weight is None:
        one = truncate(s, rows.more["weight"].reshape(1, rows.count), WEIGHT - fraction, "weight.cut")
    else:
        unit = s.public_ring(np.full(weight.shape, more, np.uint64))
        one = truncate(s, weight, f.mean - fraction, "weight.cut") + unit
    both = one
    if weight is not None and plan.weights:
        both = product(s, one, rows.more["weight"].reshape(1, rows.count), WEIGHT, "weight.row")
    if f.classes == 1:
        heavy = weighted(s, x, both[0], "weighted")
        return mean_gram(s, x, heavy, plan.curvature_bits, cut + fraction, "gram")
    return _many(s, rows, one, both, plan, cut + fraction)


def _many(s: Session, rows: Rows, shares: Ring, weights: Ring, plan: Plan, cut: int) -> Ring:
    """Of several classes: the weighted sums of each on the diagonal, less those of all pairs."""
    f, width = plan.family, plan.width
    classes, fraction = f.classes, plan.weight_fraction
    light = [weighted(s, rows.columns, shares[c], f"shares{c}") for c in range(classes)]
    heavy = light if not plan.weights else [
        weighted(s, rows.columns, weights[c], f"weights{c}") for c in range(classes)
    ]  # fmt: skip
    bits = plan.curvature_bits
    own = [mean_gram(s, rows.columns, heavy[c], bits - fraction, cut, f"own{c}") for c in range(classes)]
    pairs = mean_gram(s, join_elements(light), join_elements(heavy), bits, cut + fraction, "pairs")
    out = -pairs
    for c in range(classes):
        place = slice(c * width, (c + 1) * width)
        out.left[place, place] += own[c].left
        out.right[place, place] += own[c].right
    return out


def _classes(s: Session, penalty: Ring, plan: Plan) -> Ring:
    """The penalty of each class, and along the direction in which all classes move alike a curvature of its own.

    Shares do not change along it, so that nothing else would bend the loss there.
    """
    classes, width = plan.family.classes, plan.width
    eye = np.eye(classes, dtype=np.uint64)
    alike = np.ones((classes, classes), np.uint64) * np.uint64(round((1 << MATRIX_BITS) / classes**2))
    return Ring(np.kron(eye, penalty.left), np.kron(eye, penalty.right)) + s.public_ring(
        np.kron(alike, np.eye(width, dtype=np.uint64))
    )
