"""AUC and KS of a score on shares: five sums that one party reads, and how far the AUC may be off.

Scores are counted in 4,096 or 8,192 bins, apart for both classes, with secret counts; AUC and KS come from these.
Bins are at most 1/256 of the scores' standard deviation wide (found on shares, within a factor of 2) and reach at
least 4 of them each way. Pairs within one bin count half: the AUC is off by at most half of their share, which is
told with it; KS by at most the largest bin's share of one class.
Reveals: nothing. Assumes: semi-honest seats, honest majority.
"""

from __future__ import annotations

import numpy as np

from hanse.engine.boolean import and_, one_hot
from hanse.engine.compare import bits_of, ring_bits, sign_bit
from hanse.engine.fixed import truncate
from hanse.engine.functions import clip, power_below, product
from hanse.engine.matrices import cross
from hanse.engine.multiply import dot, multiply
from hanse.engine.session import Session
from hanse.engine.shares import U64, Bits, Ring, join_elements, join_planes, words_for

ETA = 20  # fraction bits of a score
RANKING_SUMS = 5
COARSE_BITS = FINE_BITS = 6  # 4,096 bins; twice as many where there are few rows
FEW_ROWS = 1 << 14
_REACH = 4  # the bins' range each way, in units of 1 to 2 standard deviations
_LEAST, _MOST = 6, 10  # such a unit is 2**-10 .. 2**6
_SCORE_BITS = ETA + _LEAST + 3  # of the score in its range: 2 * _REACH = 2**3
_WIDEST = 64
_ROWS_AT_ONCE = 1 << 14  # whole words


def read_ranking(sums: U64) -> dict[str, float | None]:
    """Rows, AUC, its error bound and KS from opened `ranking` sums [5]; None without both classes."""
    twice, ties, positive, negative, gap = (int(v) for v in sums.view(np.int64).tolist())
    pairs = positive * negative
    return {
        "rows": float(positive + negative),
        "auc": twice / 2 / pairs if pairs else None,
        "auc_error": ties / 2 / pairs if pairs else None,
        "ks": gap / pairs if pairs else None,
    }


def ranking(s: Session, eta: Ring, here: Bits, label: Bits) -> Ring:
    """Scores [rows] with `ETA` fraction bits, planes [words] of who is somebody and who positive (a part of them):

    [2 * pairs in order, pairs within one bin, positives, negatives, KS * positives * negatives]."""
    positive, negative = _histogram(s, eta, here, label)
    below_p, below_n = _running(positive), _running(negative)
    ordered = dot(s, positive, below_n.times(2) - negative, "ordered").reshape(1)
    ties = dot(s, positive, negative, "ties").reshape(1)
    all_p, all_n = positive.sum().reshape(1), negative.sum().reshape(1)
    first = multiply(s, below_p, all_n, "gaps.positive")
    gaps = first - multiply(s, below_n, all_p, "gaps.negative")
    most = _largest(s, absolute(s, gaps, "gap"))
    return join_elements([ordered, ties, all_p, all_n, most])


def _running(x: Ring) -> Ring:
    return Ring(np.cumsum(x.left, dtype=np.uint64), np.cumsum(x.right, dtype=np.uint64))


def _histogram(s: Session, eta: Ring, here: Bits, label: Bits) -> tuple[Ring, Ring]:
    """Positives and negatives in each bin [bins].

    A bin is a coarse part and a fine part of the score; counts of pairs of both are a product of two matrices
    of zeros and ones, coarse by rows and rows by fine.
    """
    fine = FINE_BITS if eta.size > FEW_ROWS else FINE_BITS + 1
    score = _score(s, eta)
    counts: Ring | None = None
    for first in range(0, eta.size, _ROWS_AT_ONCE):
        part = slice(first, first + _ROWS_AT_ONCE)
        name = f"bins.{first}"
        size = score[part].size
        lowest = _SCORE_BITS - COARSE_BITS - fine
        bits = bits_of(s, score[part], f"{name}.bits")[lowest:_SCORE_BITS]
        words = slice(first // 64, words_for(first + size))
        label_part, here_part = (_part(b, words, size) for b in (label, here))
        # Rows of no one have a code past all that is coarse.
        past = join_planes([bits[fine:], s.invert(here_part)])
        coarse = one_hot(s, past, 1 << COARSE_BITS, f"{name}.coarse")
        hot = one_hot(s, bits[:fine], 1 << fine, f"{name}.fine")
        both = join_planes([hot, and_(s, hot, label_part, f"{name}.label")])
        found = cross(
            s, ring_bits(s, coarse, f"{name}.left"), ring_bits(s, both, f"{name}.right"), name
        )
        counts = found if counts is None else counts + found
    if counts is None:
        nothing = np.zeros((1 << COARSE_BITS, 2 << fine), np.uint64)
        counts = Ring(nothing, nothing)
    size = 1 << (COARSE_BITS + fine)
    everybody, positive = counts[:, : 1 << fine].reshape(size), counts[:, 1 << fine :].reshape(size)
    return positive, everybody - positive


def _part(plane: Bits, words: slice, size: int) -> Bits:
    return Bits(plane.left[None, words], plane.right[None, words], size)


def _score(s: Session, eta: Ring) -> Ring:
    """Predictors [rows], moved and stretched to the bins' range, [0, 2 * _REACH) with ETA + _LEAST fraction bits.

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


def absolute(s: Session, x: Ring, step: str) -> Ring:
    """|x| for elements [n]."""
    negative = ring_bits(s, sign_bit(s, x, f"{step}.sign").reshape(1, -1), f"{step}.flag")[0]
    return x - multiply(s, negative, x, f"{step}.turn").times(2)


def _largest(s: Session, x: Ring) -> Ring:
    """The largest of elements [2**n], as [1]."""
    level = 0
    while x.size > 1:
        a, b = x[: x.size // 2], x[x.size // 2 :]
        less = ring_bits(
            s, sign_bit(s, a - b, f"largest.{level}").reshape(1, -1), f"largest.{level}.flag"
        )[0]
        x = a + multiply(s, less, b - a, f"largest.{level}.pick")
        level += 1
    return x
