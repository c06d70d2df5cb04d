"""Active choice: at which five places would a temporary counter help most?

A week of counts turns a place's own number from a guess into a fact, and teaches the ridge of `newcomers` something
about places with the same labels. Both are worked out beforehand, from what is public (labels, which places are
counted) and the prior's errors: no count is needed to say where to count. Greedy, one place after the other, as two
places that teach the same are worth less together. What is won is expected P30, weighted by the expected crowd if
asked.

Source: greedy experimental design for linear models (Krause and Guestrin 2007 for why greedy is near the best).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import erf, sqrt

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Fault
from hanse.places.crowd.ground import Ground
from hanse.places.crowd.judgement import NEAR
from hanse.places.crowd.newcomers import Prior, public_design, ridge_inverse

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]
_COUNTED = 0.1  # log deviation of a place's usual day after a week of counts


@dataclass(frozen=True)
class Choice:
    """A place worth a counter: ``own`` and ``others`` are points of P30 won there and summed over the others."""

    place: int
    key: str
    own: float
    others: float


def choose(
    prior: Prior, ground: Ground, counted: Flags, *, count: int = 5, candidates: Sequence[int] | None = None,
    weights: F64 | None = None,
) -> list[Choice]:  # fmt: skip
    """The ``count`` best of ``candidates`` (all places that are not ``counted``, if not given).

    ``weights`` [places] of a point of P30 at each place, 1 if not given. Raises `Fault` ``crowd.choice`` if there
    is nothing to choose from.
    """
    left = [p for p in (range(ground.size) if candidates is None else candidates) if not counted[p]]
    if not left or count < 1:
        raise Fault("crowd.choice", "there is no place without a counter to choose from",
                    remedy="name candidates that are not counted yet")  # fmt: skip
    value = np.ones(ground.size) if weights is None else weights
    design = public_design(ground, counted)
    inverse = ridge_inverse(design, counted)
    variance = prior.covariance[0, 0] * prior.spread**2
    # Part of a place's error is the ridge's own doubt, which counts elsewhere can take away.
    doubt = variance.mean() * np.einsum("pi,ij,pj->p", design, inverse, design)
    rest = np.maximum(variance - doubt, 0.25 * variance)
    known = counted.copy()
    out: list[Choice] = []
    for _ in range(min(count, len(left))):
        doubt = variance.mean() * np.einsum("pi,ij,pj->p", design, inverse, design)
        now = np.where(known, 0.0, p30_of(np.sqrt(rest + doubt)))
        best: Choice | None = None
        score = -1.0
        for place in left:
            fewer = _after(inverse, design[place])
            later = variance.mean() * np.einsum("pi,ij,pj->p", design, fewer, design)
            won = np.where(known, 0.0, p30_of(np.sqrt(rest + later)) - now)
            won[place] = p30_of(np.array([_COUNTED]))[0] - now[place]
            total = float(won @ value)
            if total > score:
                others = 100 * float(won.sum() - won[place])
                best, score = (
                    Choice(place, ground.keys[place], 100 * float(won[place]), others),
                    total,
                )
        if best is None:
            break
        out.append(best)
        left.remove(best.place)
        known[best.place] = True
        inverse = _after(inverse, design[best.place])
    return out


def p30_of(deviation: F64) -> F64:
    """Expected P30 of the best point under a normal log error of this deviation."""
    half = (NEAR[1] - NEAR[0]) / 2  # the point lies in the middle of what counts as near
    return np.array([erf(half / (sqrt(2) * max(float(d), 1e-6))) for d in deviation])


def _after(inverse: F64, row: F64) -> F64:
    """The inverse once a row is added (Sherman and Morrison)."""
    step = inverse @ row
    return np.asarray(inverse - np.outer(step, step) / (1 + row @ step))
