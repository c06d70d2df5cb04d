"""How certain coefficients are: their variances, from the inverse of the curvature at the end.

var = dispersion * diag(T (X' W X)**-1 T'), with T the party's own turn from the shared basis to standardised
columns, secret as well. The dispersion is known for logistic and Poisson (to the label party, whose scale of counts
is in it), else the sum of squared residuals over the
variance, by rows less coefficients (Pearson). Only the variances are opened, each party's own to it.
Reveals: nothing by itself. Source: McCullagh and Nelder 1989, sections 2.5 and 9.2.4.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hanse.engine.fixed import encode, truncate
from hanse.engine.functions import INNER, exponential, product
from hanse.engine.matrices import INVERSE_BITS
from hanse.engine.multiply import matmul, multiply
from hanse.engine.ratios import reciprocal
from hanse.engine.session import Session
from hanse.engine.shares import U64, Ring, join_elements
from hanse.errors import Refusal
from hanse.learn.linear.curve import FLOOR, SCALE, Steer, scale_of
from hanse.learn.linear.families import ETA, Family, Label
from hanse.learn.linear.links import Response
from hanse.learn.linear.plan import Plan
from hanse.learn.linear.rows import Rows

TURN = 16  # fraction bits of a party's turn as it is shared
VARIANCE = 28  # fraction bits of a variance times 2**scale
DISPERSION = 24
MOST_DISPERSION = 64.0
_SHORT = 8


class Certainty(NamedTuple):
    """A coefficient's standard error, and how likely one so far from 0 is where the true one is 0 (normal)."""

    error: float
    p_value: float


def variances(
    s: Session, steered: Steer, turns: list[Ring], dispersion: Ring, plan: Plan
) -> list[Ring]:
    """By party, variances of standardised coefficients times 2**`scale_of`; the label party's begin with the
    centred intercept's."""
    whole = _without_floor(s, steered.inverse)
    found = []
    for number, block in enumerate(plan.blocks()):
        part = s.fork(f"party{number}")
        first = block.start + (number == 0)
        inside = whole[first : block.stop, first : block.stop]
        values = _diagonal(part, inside, turns[number])
        if number == 0:
            values = join_elements([whole[0, :1], values])
        bare = product(part, values, steered.scale, INVERSE_BITS + SCALE - DISPERSION, "bare")
        found.append(product(part, bare, dispersion, 2 * DISPERSION - VARIANCE, "variance"))
    return found


def _without_floor(s: Session, inverse: Ring) -> Ring:
    """What was added to the diagonal taken off again, in first order: V + 2**-FLOOR V V."""
    short = truncate(s, inverse, INVERSE_BITS - _SHORT, "short")
    return inverse + truncate(
        s, matmul(s, short, short, "floor"), FLOOR + 2 * _SHORT - INVERSE_BITS, "floor.cut"
    )


def _diagonal(s: Session, inside: Ring, turn: Ring) -> Ring:
    """diag(T V T') [columns]."""
    if not turn.size:
        return turn.reshape(0)
    turned = truncate(s, matmul(s, turn, inside, "turned"), TURN, "turned.cut")
    return truncate(s, multiply(s, turned, turn, "diagonal").sum(axis=1), TURN, "diagonal.cut")


def pearson(s: Session, rows: Rows, eta: Ring, response: Response, plan: Plan) -> Ring:
    """The dispersion, [1] with `DISPERSION` fraction bits, from what predictors [1, rows] are off by."""
    f = plan.family
    scale = scale_of(rows)
    off, bare = response.residual.reshape(rows.count), response.bare.reshape(rows.count)
    if 1 < f.power < 2:  # (m - y)**2 / m**p = residual**2 / m**(2-p)
        factor = round((f.power - 2) * (1 << 16))
        turned = truncate(s, eta.reshape(rows.count).times(factor), 16, "power")
        bare = product(s, bare, exponential(s, turned, ETA, f.mean, "over"), f.mean, "over.off")
    squares = product(s, off, bare, f.mean, "squares").sum().reshape(1)
    mean = truncate(s, squares.times(1 << (DISPERSION - f.mean)), scale, "mean")
    count = rows.here.sum().reshape(1) - s.public_ring(np.full(1, plan.width, np.uint64))
    share = (
        count.times(1 << (INNER - scale))
        if scale <= INNER
        else truncate(s, count, scale - INNER, "share")
    )
    over, power = reciprocal(s, share, INNER, "over.rows")
    return product(s, multiply(s, mean, power, "power"), over, INNER, "dispersion")


def known(family: Family) -> bool:
    """Whether a family's dispersion is not found from the data."""
    return family.name in ("logistic", "poisson")


def told_dispersion(label: Label, family: Family, where: str) -> U64:
    """[1], as the label party shares it."""
    value = label.dispersion(family) if known(family) else 1.0
    if not value < MOST_DISPERSION:
        raise Refusal("learn.errors", "counts or weights are too small for standard errors", where=where,
                      remedy="count over longer times or larger units; give weights a mean of 1")  # fmt: skip
    return encode(np.array([value]), DISPERSION)


def certainty_of(
    coefficients: NDArray[np.float64], variances: NDArray[np.float64]
) -> list[Certainty]:
    """At a party: from its standardised coefficients and their variances."""
    errors = np.sqrt(np.maximum(0.0, variances))
    return [
        Certainty(float(e), math.erfc(abs(b) / e / math.sqrt(2)) if e > 0 else float("nan"))
        for b, e in zip(coefficients, errors, strict=True)
    ]
