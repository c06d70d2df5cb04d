"""Scores of people in public bands: noised counts, from which AUC, KS, gain, calibration and stability follow.

1. band    a score falls into one of 64 public bands by its leading bits; a person is in one band
2. part    masks part people into disjoint kinds: positives and negatives, or two periods, or both
3. count   people by band and kind, on shares: each person is in at most one cell
4. out     `gate.release` adds noise that no seat knows and opens how many people of a kind lie *at or above* each
           band, where these are enough; differences of such sums are counts of neighbouring bands together
5. read    every figure is computed from these sums, at no further price; with each comes how far off it may be:
           pairs within one band count half (a bound that always holds), and the noise (a 95 % interval)

Reveals: what the gate opens, (epsilon, 2**-38)-private per person. Assumes: semi-honest seats, honest majority.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.engine.boolean import and_, one_hot
from hanse.engine.compare import bits_of
from hanse.engine.count import count_rows
from hanse.engine.functions import clip
from hanse.engine.session import Session
from hanse.engine.shares import Bits, Ring, join_planes
from hanse.gate.laws import noise_sd
from hanse.gate.plan import ReleasePlan, Sums
from hanse.gate.record import Record
from hanse.gate.release import Opened, lock_counts
from hanse.learn.evaluation.histogram import ETA
from hanse.learn.evaluation.plain import psi

BAND_BITS = 6
BANDS = 1 << BAND_BITS
REACH = 8  # scores are counted from -8 to 8; those outside belong to the outermost bands
WIDTH = 2 * REACH / BANDS
_DRAWS = 400
Counts = NDArray[np.float64]
Figure = Callable[[Counts], float]


def lower_edges() -> Counts:
    """Where each band begins."""
    return np.asarray(-REACH + WIDTH * np.arange(BANDS), np.float64)


def release_plan(kinds: int, epsilon: float, k: int, *, noise: bool = True) -> ReleasePlan:
    """Outputs [kinds * BANDS]: people of a kind at or above each band. Cells are [kinds, BANDS]."""
    members = [
        [kind * BANDS + band for band in range(first, BANDS)]
        for kind in range(kinds) for first in range(BANDS)
    ]  # fmt: skip
    return ReleasePlan(Sums.lists(members, kinds * BANDS), epsilon, k, noise)


def band_cells(s: Session, score: Ring, kinds: Bits) -> Ring:
    """People by kind and band [kinds * BANDS], from scores [rows] with `ETA` bits.

    ``kinds`` are planes [kinds, words], of which each person lights at most one and rows of no one none.
    """
    inside = clip(s, score, -REACH << ETA, (REACH << ETA) - 1, "bands.clip")
    raised = inside + s.public_ring(np.full(score.size, REACH << ETA, np.uint64))
    top = ETA + 1 + int(math.log2(REACH))
    bits = bits_of(s, raised, "bands.bits")[top - BAND_BITS : top]
    hot = one_hot(s, bits, BANDS, "bands.hot")
    parts = [
        and_(s, hot, kinds[kind : kind + 1], f"bands.kind{kind}") for kind in range(kinds.shape[0])
    ]
    return count_rows(s, join_planes(parts), "bands.count")


def two_kinds(s: Session, here: Bits, label: Bits) -> Bits:
    """Planes [2, words]: positives and negatives, of planes [words]; a label without a row is nobody's."""
    positive = and_(s, here.reshape(1, -1), label.reshape(1, -1), "kinds")
    return join_planes([positive, here.reshape(1, -1) ^ positive])


def locked_bands(
    s: Session, record: Record, score: Ring, kinds: Bits, plan: ReleasePlan, locks: list[Ring],
    recipients: tuple[str, ...], step: str = "bands",
) -> Ring:  # fmt: skip
    """A seat's part up to the locked shares; the caller sends them (`gate.release.send_locked`)."""
    inner = s.fork(step)
    return lock_counts(
        s, record, band_cells(inner, score, kinds), plan, locks, recipients, f"{step}.release"
    )


# --- reading ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bound:
    """A figure; ``bound`` is what bands can hide, ``low`` to ``high`` a 95 % interval of the noise around it."""

    value: float
    bound: float
    low: float
    high: float

    def body(self) -> dict[str, float]:
        return {"value": self.value, "bound": self.bound, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Banded:
    """Published bands, highest first: ``lower`` edges [bands], ``counts`` [kinds, bands], cells in each."""

    lower: Counts
    counts: Counts
    merged: NDArray[np.int64]
    cell_epsilon: float  # of the noise of one cell; 0: none

    @property
    def bands(self) -> int:
        return int(self.lower.size)

    def auc(self) -> Bound | None:
        """Of kinds (positives, negatives)."""
        return self._figure(_auc, _auc_bound)

    def ks(self) -> Bound | None:
        """Of kinds (positives, negatives); never above the exact one but for noise."""
        return self._figure(_ks, _ks_bound)

    def psi(self) -> Bound | None:
        """How far two kinds (before, after) are apart. Bands put together can only lower it."""
        return self._figure(lambda c: psi(c[0], c[1]), lambda _: 0.0)

    def gains(self) -> list[tuple[float, float]]:
        """(share of people, share of positives) from the highest band on; exact points but for noise."""
        rows, positive = np.cumsum(self.counts.sum(axis=0)), np.cumsum(self.counts[0])
        if rows.size == 0 or rows[-1] <= 0 or positive[-1] <= 0:
            return []
        return [
            (float(r / rows[-1]), float(p / positive[-1]))
            for r, p in zip(rows, positive, strict=True)
        ]

    def calibration(self) -> list[tuple[float, float, float]]:
        """(lowest and highest probability of a band of log-odds, share of positives), the highest band first."""
        upper = [math.inf, *self.lower.tolist()][: self.bands]
        found = []
        for low, high, (p, n) in zip(
            self.lower.tolist(), upper, self.counts.T.tolist(), strict=True
        ):
            if p + n > 0:  # noise may have left less than nobody
                least = 0.0 if low <= -REACH else 1 / (1 + math.exp(-low))
                found.append(
                    (
                        least,
                        1 / (1 + math.exp(-high)) if high < math.inf else 1.0,
                        min(1.0, max(0.0, p / (p + n))),
                    )
                )
        return found

    def _figure(self, of: Figure, bound: Figure) -> Bound | None:
        if self.bands < 2 or (self.counts.sum(axis=1) <= 0).any():
            return None
        value = of(self.counts)
        low = high = value
        if self.cell_epsilon:
            drawn = [of(self.counts + noise) for noise in self._noises()]
            low, high = (float(v) for v in np.quantile(drawn, (0.025, 0.975)))
            low, high = min(low, value), max(high, value)
        return Bound(float(value), float(bound(self.counts)), low, high)

    def _noises(self) -> Counts:
        """Draws [draws, kinds, bands] of the noise that is in the counts: a law that is public."""
        random = np.random.default_rng(0)
        q = -math.expm1(-self.cell_epsilon)
        shape = (_DRAWS, self.counts.shape[0], int(self.merged.sum()))
        cells = random.geometric(q, shape) - random.geometric(q, shape)
        starts = np.cumsum(self.merged) - self.merged
        return np.asarray(np.add.reduceat(cells, starts, axis=2), np.float64)


def read_bands(opened: Opened, plan: ReleasePlan) -> Banded:
    """Counts of neighbouring bands together: as many bands as have all kinds published."""
    kinds = plan.outputs // BANDS
    above = opened.values.reshape(kinds, BANDS).astype(np.float64)
    shown = np.flatnonzero(opened.published.reshape(kinds, BANDS).all(axis=0))[
        ::-1
    ]  # highest first
    if shown.size == 0:
        return Banded(np.zeros(0), np.zeros((kinds, 0)), np.zeros(0, np.int64), 0.0)
    epsilon = plan.cell_epsilon(plan.blocks[0]) if plan.noise else 0.0
    kept = shown[_wide_enough(above[:, shown].sum(axis=0), BANDS - shown, kinds, epsilon)]
    counts = np.diff(above[:, kept], axis=1, prepend=0.0)
    return Banded(lower_edges()[kept], counts, np.diff(BANDS - kept, prepend=0), epsilon)


def _wide_enough(above: Counts, cells: NDArray[np.int64], kinds: int, epsilon: float) -> list[int]:
    """Places of bands to keep: those before them that hold hardly more than noise are joined to them.

    ``above`` [bands] people at or above each, in ``cells`` cells of each kind.
    """
    deviation = noise_sd(epsilon, 1) if epsilon else 0.0
    kept: list[int] = []
    seen, width = 0.0, 0
    for place in range(above.size):
        noise = deviation * math.sqrt(kinds * (int(cells[place]) - width))
        if above[place] - seen > 2 * noise:
            kept.append(place)
            seen, width = float(above[place]), int(cells[place])
    if kept and kept[-1] != above.size - 1:  # the lowest band closes the last one
        kept[-1] = above.size - 1
    return kept


def _auc(counts: Counts) -> float:
    positive, negative = counts[0], counts[1]
    below = negative.sum() - np.cumsum(negative)  # negatives in lower bands
    pairs = positive.sum() * negative.sum()
    return float((positive * (below + negative / 2)).sum() / pairs) if pairs > 0 else math.nan


def _auc_bound(counts: Counts) -> float:
    pairs = counts[0].sum() * counts[1].sum()
    return float((counts[0] * counts[1]).sum() / 2 / pairs) if pairs > 0 else math.nan


def _ks(counts: Counts) -> float:
    whole = counts.sum(axis=1)
    if (whole <= 0).any():
        return math.nan
    shares = np.cumsum(counts / whole[:, None], axis=1)
    return float(np.abs(shares[0] - shares[1]).max())


def _ks_bound(counts: Counts) -> float:
    shares = counts / np.maximum(1e-300, counts.sum(axis=1))[:, None]
    return float(shares.min(axis=0).max())
