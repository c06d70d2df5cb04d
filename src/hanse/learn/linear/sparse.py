"""A penalty on absolute values: each Newton step's quadratic model is minimised with it, on shares, by ADMM.

b is drawn to the model's minimum and z towards 0, u holds them together; z is what comes out, so that a coefficient
that is not needed is exactly 0. Where z stands still it is the penalised loss' own minimum whatever
the curvature was: curvature steers here as well. No row is touched within.
Reveals: nothing. Source: Lee, Sun, Saunders 2014 (proximal Newton); Boyd et al. 2011, sections 4.4 and 6.4 (ADMM).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hanse.engine.fixed import truncate
from hanse.engine.functions import product
from hanse.engine.matrices import INVERSE_BITS
from hanse.engine.multiply import matmul
from hanse.engine.ratios import shrunk
from hanse.engine.session import Session
from hanse.engine.shares import Ring
from hanse.learn.linear.curve import GRADIENT, SCALE, Steer
from hanse.learn.linear.plan import BETA

INNER_STEPS = 30
THRESHOLD = 24  # fraction bits of a column's threshold as it is shared
MOST_L1 = 10.0


def pull_of(width: int) -> float:
    """How strongly b and z are held together: about the mean eigenvalue of the scaled curvature, a power of two."""
    return 2.0 ** -round(math.log2(width / 0.75))


@dataclass(frozen=True, repr=False)
class Held:
    """Coefficients z [width] and what is left of b - z, u [width]."""

    z: Ring
    u: Ring


def proximal(s: Session, slope: Ring, held: Held, steered: Steer, thresholds: Ring) -> Held:
    """The quadratic model's minimum with ``thresholds`` [width] on absolute values; ``slope`` is that at held.z."""
    width = slope.size
    pull = round(-math.log2(pull_of(width)))
    scaled = product(s, slope, steered.scale.reshape(1, 1), GRADIENT + SCALE - BETA, "slope")
    slope = scaled.reshape(width)
    cut = THRESHOLD + SCALE - BETA
    by = product(s, thresholds, steered.scale, cut, "by").times(1 << pull)
    start, z, u = held.z, held.z, held.u
    for number in range(INNER_STEPS):
        name = f"inner{number}"
        drawn = truncate(s, z - u - start, pull, f"{name}.pull") - slope
        wide = matmul(s, steered.inverse, drawn.reshape(width, 1), f"{name}.step")
        b = start + truncate(s, wide.reshape(width), INVERSE_BITS, f"{name}.cut")
        z = shrunk(s, b + u, by, name)
        u = u + b - z
    return Held(z, u)


def none_held(width: int) -> Held:
    """Where it starts: coefficients of 0."""
    zero = Ring(np.zeros(width, np.uint64), np.zeros(width, np.uint64))
    return Held(zero, zero)
