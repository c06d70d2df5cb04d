"""Rows counted by their score on shares: a secret histogram of 4,096 or 8,192 bins, with sums of columns beside it.

Bins are at most 1/256 of the scores' standard deviation wide (found on shares, within a factor of 2) and reach at
least 4 of them each way. A bin is a coarse part and a fine part of the score; counts of pairs of both are a product
of two matrices, coarse by rows and rows by fine, so that what travels hangs on the rows and not on the bins.
Reveals: nothing. Assumes: semi-honest seats, honest majority.
"""

from __future__ import annotations

import numpy as np

from hanse.engine.boolean import and_, one_hot
from hanse.engine.compare import bits_of, ring_bits
from hanse.engine.fixed import truncate
from hanse.engine.functions import clip, power_below, product
from hanse.engine.matrices import cross
from hanse.engine.multiply import multiply
from hanse.engine.session import Session
from hanse.engine.shares import Bits, Ring, join_elements, join_planes, words_for

ETA = 20  # fraction bits of a score
# 4,096 bins; twice as many where there are few rows. Labels and weights cost a row as many planes as fine parts.
COARSE_BITS, FINE_BITS = 7, 5
FEW_ROWS = 1 << 14
_REACH = 4  # the bins' range each way, in units of 1 to 2 standard deviations
_LEAST, _MOST = 6, 10  # such a unit is 2**-10 .. 2**6
_SCORE_BITS = ETA + _LEAST + 3  # of the score in its range: 2 * _REACH = 2**3
_WIDEST = 64
_ROWS_AT_ONCE = 1 << 14  # whole words


def histogram(
    s: Session, score: Ring, here: Bits, label: Bits | None = None, weights: tuple[Ring, ...] = ()
) -> Ring:
    """[1 + label + weights, bins]: rows in each bin, positives among them, sums of each weight; low scores first.

    ``score`` [rows] with `ETA` fraction bits; ``here`` and ``label`` planes [words]; ``weights`` [rows] each.
    """
    fine = FINE_BITS if score.size > FEW_ROWS else FINE_BITS + 1
    channels = 1 + (label is not None) + len(weights)
    placed = _placed(s, score)
    counts: Ring | None = None
    for first in range(0, score.size, _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        name = f"bins.{first}"
        size = placed[rows].size
        words = slice(first // 64, words_for(first + size))
        lowest = _SCORE_BITS - COARSE_BITS - fine
        bits = bits_of(s, placed[rows], f"{name}.bits")[lowest:_SCORE_BITS]
        # Rows of no one have a code past all that is coarse.
        past = join_planes([bits[fine:], s.invert(_part(here, words, size))])
        coarse = ring_bits(s, one_hot(s, past, 1 << COARSE_BITS, f"{name}.coarse"), f"{name}.left")
        hot = one_hot(s, bits[:fine], 1 << fine, f"{name}.fine")
        planes = [hot]
        if label is not None:
            planes.append(and_(s, hot, _part(label, words, size), f"{name}.label"))
        fines = ring_bits(s, join_planes(planes), f"{name}.right")
        parts = [fines]
        for number, weight in enumerate(weights):
            heavy = weight[rows].reshape(1, size)
            parts.append(multiply(s, fines[: 1 << fine], heavy, f"{name}.weight{number}"))
        found = cross(s, coarse, join_elements(parts), name)
        counts = found if counts is None else counts + found
    if counts is None:
        nothing = np.zeros((1 << COARSE_BITS, channels << fine), np.uint64)
        counts = Ring(nothing, nothing)
    return Ring(*(_by_bin(side, channels) for side in (counts.left, counts.right)))


def _by_bin(counts: np.ndarray[tuple[int, ...], np.dtype[np.uint64]], channels: int) -> np.ndarray[
    tuple[int, ...], np.dtype[np.uint64]
]:  # fmt: skip
    """[coarse, channels * fine] to [channels, coarse * fine]."""
    parted = counts.reshape(counts.shape[0], channels, -1)
    return np.ascontiguousarray(parted.transpose(1, 0, 2).reshape(channels, -1))


def _part(plane: Bits, words: slice, size: int) -> Bits:
    return Bits(plane.left[None, words], plane.right[None, words], size)


def _placed(s: Session, eta: Ring) -> Ring:
    """Scores [rows], moved and stretched to the bins' range, [0, 2 * _REACH) with ETA + _LEAST fraction bits.

    By mean and spread over all rows, those of no one too: only the bins' width hangs on it.
    """
    share = round((1 << ETA) / max(1, eta.size))
    mean = truncate(s, eta.sum().reshape(1).times(share), ETA, "score.mean")
    far = clip(s, eta - mean, -_WIDEST << ETA, _WIDEST << ETA, "score.far")
    squares = product(s, far, far, ETA, "score.square").sum().reshape(1)
    spread = truncate(s, squares.times(share), ETA, "score.spread")
    unit = power_below(s, spread, ETA, _LEAST, _MOST, "score.unit", root=True)
    middle = s.public_ring(np.full(eta.size, _REACH << (ETA + _LEAST), np.uint64))
    score = multiply(s, far, unit, "score") + middle
    return clip(s, score, 0, (2 * _REACH << (ETA + _LEAST)) - 1, "score.bins")
