"""Figures of a model of several classes on shares: log-loss, right guesses, one class against the rest.

Reveals: nothing until the gate opens the sums, to the label party alone (docs/claims/evaluation.md).
Assumes: semi-honest seats, honest majority.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hanse.engine.compare import ring_bits, sign_bit
from hanse.engine.multiply import multiply
from hanse.engine.ratios import log_sum
from hanse.engine.session import Session
from hanse.engine.shares import U64, Bits, Ring, join_elements
from hanse.learn.evaluation.histogram import ETA, histogram
from hanse.learn.evaluation.ranking import RANKING_SUMS, ranking_of, read_ranking


@dataclass(frozen=True, repr=False)
class JudgedClasses:
    """Predictors ``eta`` [classes, rows] with `histogram.ETA` fraction bits; ``label`` [classes, rows] of 0 and 1,
    ``here`` [rows] as elements and as a plane [words]; rows of no one are zero in all but eta.
    """

    eta: Ring
    label: Ring
    here: Ring
    here_bit: Bits


def judge_classes(s: Session, rows: JudgedClasses) -> Ring:
    """[rows, log-losses, right guesses] and `ranking` of each class against the rest, by log of its share."""
    classes, count = rows.eta.shape
    whole, top = log_sum(s, rows.eta, ETA, "log-sum")
    taken = multiply(s, rows.label, rows.eta, "taken").sum(
        axis=0
    )  # the predictor of a row's own class
    both = multiply(s, rows.here.reshape(1, count), _beside(whole, top), "here")
    loss = (both[0] - taken).sum().reshape(1)
    one = s.public_ring(np.ones(count, np.uint64))
    hit = ring_bits(s, sign_bit(s, both[1] - taken - one, "hit").reshape(1, -1), "hit.flag")[0]
    right = multiply(s, hit, rows.here, "right").sum().reshape(1)
    ranks = []
    for c in range(classes):
        own = s.fork(f"class{c}")
        counts = histogram(own, rows.eta[c] - whole, rows.here_bit, None, (rows.label[c],))
        ranks.append(ranking_of(own, counts))
    return join_elements([rows.here.sum().reshape(1), loss, right, *ranks])


def _beside(a: Ring, b: Ring) -> Ring:
    return Ring(np.stack([a.left, b.left]), np.stack([a.right, b.right]))


def sums_of_classes(classes: int) -> int:
    """How many sums `judge_classes` makes."""
    return 3 + RANKING_SUMS * classes


def read_classes(sums: U64, classes: int) -> dict[str, float | None]:
    """Log-loss, accuracy, the mean AUC of each class against the rest and its error bound, from opened sums."""
    rows, loss, right = (float(v) for v in sums[:3].view(np.int64))
    ranks = [
        read_ranking(sums[3 + RANKING_SUMS * c : 3 + RANKING_SUMS * (c + 1)])
        for c in range(classes)
    ]
    known = [(r["auc"], r["auc_error"] or 0.0) for r in ranks if r["auc"] is not None]
    return {
        "rows": rows,
        "log_loss": loss / (1 << ETA) / rows if rows > 0 else None,
        "accuracy": right / rows if rows > 0 else None,
        "auc": sum(a for a, _ in known if a is not None) / len(known) if known else None,
        "auc_error": sum(e for _, e in known) / len(known) if known else None,
    }
