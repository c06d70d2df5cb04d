"""Published figures made to agree with each other, at no privacy cost.

Noise is drawn per cell, so published figures can contradict what everybody knows: later stages of a funnel nest in
earlier ones, a crowd has no fewer people than its part, segments and regions add up, nobody is there less than
zero times. All these say one thing: figures are sums of cells, and a cell holds nobody or somebody. So the figures
are moved to the nearest ones that are sums of nonnegative cells; distance is in standard deviations of their noise.

Only published figures and public facts go in: post-processing. The truth is such a sum itself, and moving to the
nearest point of a convex set never moves away from any point in it: the sum of squared errors, each in its own
standard deviations, cannot grow (up to rounding to whole people). What was opened stays as it is, and intervals
are made from it: whoever shows a moved figure widens its interval to hold it, and so never covers less.
Source: Hay, Rastogi, Miklau, Suciu 2010, "Boosting the Accuracy of Differentially Private Histograms Through
Consistency"; post-processing: Dwork and Roth 2014, proposition 2.1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hanse.gate.plan import ReleasePlan

MOST_CELLS = 1024  # of a block, told apart by its published figures; more are left as they are
_FULL_EXCHANGES = 4  # without progress, before pivots go one by one
_MOST_EXCHANGES = 300
_TINY = 1e-9
_EXACT = 0.01  # people: figures nearer than this to agreement agree

Floats = NDArray[np.float64]


def consistent(
    release: ReleasePlan, values: NDArray[np.int64], published: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Values [outputs] with the published counts moved as little as makes them agree; whole numbers.

    Sums of values and suppressed outputs stay as they are, and so does all that agrees already. Blocks are noised
    apart and are taken one by one.
    """
    found = values.copy()
    if not release.noise:
        return found
    counts = published & ~release.is_value
    for block in range(len(release.blocks)):
        outputs = np.flatnonzero(counts & (release.block_of == block))
        if outputs.size > 1:
            found[outputs] = _agreeing(release, outputs, values[outputs])
    return found


def descending(values: Floats, variances: Floats) -> Floats:
    """The nearest values [n] that never rise (weights 1/variance): what `consistent` gives for one funnel.

    Source: pool adjacent violators (Ayer, Brunk, Ewing, Reid, Silverman 1955): neighbours that rise are replaced by
    their weighted mean, until none do.
    """
    pools: list[tuple[float, float, int]] = []  # (mean, weight, how many)
    for value, variance in zip(values, variances, strict=True):
        pool = float(value), 1 / float(variance), 1
        while pools and pools[-1][0] < pool[0]:
            mean, weight, count = pools.pop()
            total = weight + pool[1]
            pool = (mean * weight + pool[0] * pool[1]) / total, total, count + pool[2]
        pools.append(pool)
    return np.repeat([m for m, _, _ in pools], [c for _, _, c in pools])


def _agreeing(
    release: ReleasePlan, outputs: NDArray[np.int64], values: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The nearest values that are sums of nonnegative cells, for outputs of one block."""
    members = _members(release, outputs)
    if members.shape[1] > MOST_CELLS:
        return values
    weights = np.array([1 / release.sd(int(i)) for i in outputs])
    scaled = members * weights[:, None]
    cells = nonnegative(scaled, values * weights)
    if np.abs(members @ cells - values).max() < _EXACT:
        return values
    # Fractions are rounded along their running sum: cells stay nonnegative, and sums of neighbours are off by less
    # than one.
    whole = np.floor(cells + _EXACT)
    fractions = np.where(cells - whole > _EXACT, cells - whole, 0.0)
    whole += np.diff(np.rint(np.cumsum(fractions) + _TINY), prepend=0.0)
    return np.asarray(np.rint(members @ whole), np.int64)


def _members(release: ReleasePlan, outputs: NDArray[np.int64]) -> Floats:
    """0/1 [outputs, groups of cells]: cells that are in the same outputs are one group, in the cells' order."""
    touched = [release.sums.member(int(i)) for i in outputs]
    cells, place = np.unique(np.concatenate(touched), return_inverse=True)
    matrix = np.zeros((outputs.size, cells.size), np.uint8)
    matrix[np.repeat(np.arange(outputs.size), [t.size for t in touched]), place.reshape(-1)] = 1
    _, firsts = np.unique(np.packbits(matrix, axis=0), axis=1, return_index=True)
    return np.asarray(matrix[:, np.sort(firsts)], np.float64)


def nonnegative(matrix: Floats, target: Floats) -> Floats:
    """x >= 0 with the least |matrix x - target|: matrix [m, n], target [m], x [n].

    Block principal pivoting (Portugal, Judice, Vicente 1994; Kim and Park 2011): all wrong signs are exchanged at
    once, and one by one (Murty) when that stops helping. A ridge far below the rounding makes the solution unique.
    If exchanges run out, x is nonnegative but not the nearest.
    """
    hessian = matrix.T @ matrix
    hessian += np.eye(len(hessian)) * _TINY * max(1e-12, float(np.trace(hessian)) / len(hessian))
    slope = matrix.T @ target
    scale = _TINY * max(1.0, float(np.abs(slope).max()))
    free = np.ones(len(slope), np.bool_)
    best, left = len(slope) + 1, _FULL_EXCHANGES
    x = np.zeros(len(slope))
    for _ in range(_MOST_EXCHANGES):
        x = np.zeros(len(slope))
        x[free] = np.linalg.solve(hessian[np.ix_(free, free)], slope[free])
        gradient = hessian @ x - slope
        wrong = np.where(free, x < -_TINY * max(1.0, float(np.abs(x).max())), gradient < -scale)
        count = int(wrong.sum())
        if count == 0:
            break
        if count < best:
            best, left = count, _FULL_EXCHANGES
            free ^= wrong
        elif left > 0:
            left -= 1
            free ^= wrong
        else:
            last = int(np.flatnonzero(wrong)[-1])
            free[last] = not free[last]
    return np.maximum(x, 0.0)
