"""AUC, KS and the gain curve of a score on shares: a few sums that one party reads.

All come from secret counts in thousands of bins (`histogram`). Pairs within one bin count half: the AUC is off by
at most half of their share, which is told with it. KS is taken where bins end: it is never too large, and too small
by at most the smaller share of both classes in one bin, so by at most the root of that share. Bands of the gain
curve end where bins end, and their rows are told, so its points are exact; they lie within one bin of the wanted
share of rows.
Reveals: nothing. Assumes: semi-honest seats, honest majority.
"""

from __future__ import annotations

import math

import numpy as np

from hanse.engine.compare import ring_bits, sign_bit
from hanse.engine.multiply import dot, matmul, multiply
from hanse.engine.session import Session
from hanse.engine.shares import U64, Bits, Ring, join_elements
from hanse.learn.evaluation.histogram import histogram

RANKING_SUMS = 5


def ranking(s: Session, score: Ring, here: Bits, label: Bits) -> Ring:
    """`RANKING_SUMS` of scores [rows] with `histogram.ETA` fraction bits, planes [words] of rows and positives."""
    return ranking_of(s, histogram(s, score, here, label))


def ranking_of(s: Session, counts: Ring) -> Ring:
    """[2 * pairs in order, pairs within one bin, positives, negatives, KS * positives * negatives].

    ``counts`` [2 or more, bins]: rows and positives.
    """
    positive = counts[1]
    negative = counts[0] - positive
    below_p, below_n = _running(positive), _running(negative)
    ordered = dot(s, positive, below_n.times(2) - negative, "ordered").reshape(1)
    ties = dot(s, positive, negative, "ties").reshape(1)
    all_p, all_n = positive.sum().reshape(1), negative.sum().reshape(1)
    first = multiply(s, below_p, all_n, "gaps.positive")
    gaps = first - multiply(s, below_n, all_p, "gaps.negative")
    most = largest(s, absolute(s, gaps, "gap"))
    return join_elements([ordered, ties, all_p, all_n, most])


def read_ranking(sums: U64) -> dict[str, float | None]:
    """Rows, AUC and KS with their error bounds from opened sums [5]; None without both classes."""
    twice, ties, positive, negative, gap = (int(v) for v in sums.view(np.int64).tolist())
    pairs = positive * negative
    return {
        "rows": float(positive + negative),
        "auc": twice / 2 / pairs if pairs else None,
        "auc_error": ties / 2 / pairs if pairs else None,
        "ks": gap / pairs if pairs else None,
        "ks_error": math.sqrt(ties / pairs) if pairs else None,
    }


def gains(s: Session, counts: Ring, bands: int) -> Ring:
    """[channels, bands]: every channel of a histogram [channels, bins] in bands of about equal rows, best first.

    A bin belongs to the band in which the rows from it on upwards end.
    """
    best = Ring(
        np.ascontiguousarray(counts.left[:, ::-1]), np.ascontiguousarray(counts.right[:, ::-1])
    )
    reached = _running(best[0])  # rows from the best bin to this one
    limits = np.arange(1, bands, dtype=np.uint64)[:, None]
    everybody = best[0].sum().reshape(1, 1)
    # bands * reached > g * everybody: the bin lies past band g
    past = everybody.times(limits) - reached.reshape(1, reached.size).times(bands)
    beyond = ring_bits(
        s, sign_bit(s, past.reshape(past.size), "bands").reshape(1, -1), "bands.flag"
    )
    inside = s.public_ring(np.ones((bands - 1, reached.size), np.uint64)) - beyond.reshape(
        *past.shape
    )
    cumulated = matmul(s, best, _turned(inside), "bands.sums")  # [channels, bands - 1]
    whole = best.sum(axis=1).reshape(best.shape[0], 1)
    left, right = (
        np.diff(np.concatenate([np.zeros_like(w), c, w], axis=1), axis=1)
        for c, w in ((cumulated.left, whole.left), (cumulated.right, whole.right))
    )
    return Ring(left, right)


def _turned(x: Ring) -> Ring:
    return Ring(np.ascontiguousarray(x.left.T), np.ascontiguousarray(x.right.T))


def _running(x: Ring) -> Ring:
    return Ring(np.cumsum(x.left, dtype=np.uint64), np.cumsum(x.right, dtype=np.uint64))


def absolute(s: Session, x: Ring, step: str) -> Ring:
    """|x| for elements [n]."""
    negative = ring_bits(s, sign_bit(s, x, f"{step}.sign").reshape(1, -1), f"{step}.flag")[0]
    return x - multiply(s, negative, x, f"{step}.turn").times(2)


def largest(s: Session, x: Ring) -> Ring:
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
