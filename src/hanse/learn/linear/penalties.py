"""The penalty in the basis in which columns are shared, as secret as the basis itself; and what else hangs on it.

Each party shares one matrix: its penalty on squares [columns, columns], and as agreed a column of thresholds for
absolute values and its turn to standardised columns, which variances want.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hanse.engine.fixed import encode, truncate
from hanse.engine.functions import product
from hanse.engine.session import Session
from hanse.engine.shares import SEATS, U64, Ring, join_elements
from hanse.learn.linear.certainty import TURN
from hanse.learn.linear.curve import GRADIENT, scale_of
from hanse.learn.linear.families import WEIGHT
from hanse.learn.linear.home import Basis
from hanse.learn.linear.keys import receive_elements
from hanse.learn.linear.plan import Plan
from hanse.learn.linear.rows import Rows
from hanse.learn.linear.sparse import THRESHOLD

PENALTY = 34  # fraction bits of a party's penalty as it is shared; its elements stay below 2**8
SHARE = 16


@dataclass(frozen=True, repr=False)
class Penalties:
    """Times rows / 2**scale: on squares [width, width] with `GRADIENT` bits, on absolute values [width] with
    `THRESHOLD`, if any; where variances are agreed, each party's turn, and the label party's dispersion [1]."""

    square: Ring
    thresholds: Ring | None
    turns: list[Ring]
    dispersion: Ring | None


def matrix_of(basis: Basis, plan: Plan) -> U64:
    """What a party shares, [columns, columns and more]."""
    parts = [encode(basis.penalty(plan.l2), PENALTY)]
    if plan.l1:
        parts.append(encode(plan.l1 * np.diag(basis.standard)[:, None], THRESHOLD))
    if plan.errors:
        parts.append(encode(basis.standard, TURN))
    return np.ascontiguousarray(np.concatenate(parts, axis=1))


def widths_of(columns: int, plan: Plan) -> tuple[int, int]:
    """The shape of that matrix."""
    return columns, columns * (1 + plan.errors) + (plan.l1 > 0)


def receive_penalties(s: Session, rows: Rows, plan: Plan) -> Penalties:
    """At a seat, from all parties; the intercept has no penalty."""
    left = np.zeros((plan.width, plan.width), np.uint64)
    right, first = np.zeros_like(left), 1
    zero = np.zeros(1, np.uint64)
    thresholds, turns = [Ring(zero, zero)], []
    for number, provider in enumerate(plan.providers):
        columns = provider.columns
        end = first + columns
        matrix = receive_elements(
            s, SEATS + number, provider.name, "penalty", widths_of(columns, plan)
        )
        left[first:end, first:end] = matrix.left[:, :columns]
        right[first:end, first:end] = matrix.right[:, :columns]
        if plan.l1:
            thresholds.append(matrix[:, columns])
        if plan.errors:
            turns.append(matrix[:, -columns:] if columns else matrix)
        first = end
    dispersion = None
    if plan.errors:
        dispersion = receive_elements(s, SEATS, plan.label_party, "dispersion", (1,))
    share = _share(s, rows, plan)
    square = product(
        s, Ring(left, right), share.reshape(1, 1), PENALTY + SHARE - GRADIENT, "penalty.scaled"
    )
    if not plan.l1:
        return Penalties(square, None, turns, dispersion)
    limits = product(s, join_elements(thresholds), share, SHARE, "penalty.l1")
    return Penalties(square, limits, turns, dispersion)


def _share(s: Session, rows: Rows, plan: Plan) -> Ring:
    """Rows, by weight, / 2**scale: [1] with `SHARE` bits."""
    scale = scale_of(rows)
    if not plan.weights:
        whole = rows.here.sum().reshape(1).times(1 << SHARE)
        return truncate(s, whole, scale, "penalty.share")
    return truncate(
        s, rows.more["weight"].sum().reshape(1).times(1 << (SHARE - WEIGHT)), scale, "penalty.share"
    )
