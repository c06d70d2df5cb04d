"""From a log prediction and its deviation to what is published: point, interval, confidence, or nothing.

Errors of days that were told beforehand, over their deviations, are counted in a histogram that is added over
owners; so quantiles and probabilities are those of all owners' places, and nobody's errors are seen. From it

    point       the number that is most often within 30 % of the truth (below the median where errors are wide)
    confidence  how often it is: the expected P30, checked against how often it was
    interval    90 %, by conformal quantiles of the same errors
    published   only where the confidence reaches the asked one

Source: split conformal prediction with normalised scores (Papadopoulos et al. 2002; Lei et al. 2018).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.places.crowd.federation import Federation
from hanse.places.crowd.rhythm import shared

F64 = NDArray[np.float64]
NEAR = (float(np.log(0.7)), float(np.log(1.3)))  # predicted over true, within 30 %
EDGES = np.concatenate([np.linspace(-8, 8, 161)])  # of an error over its deviation
SCALES = np.geomspace(0.02, 3.0, 60)  # deviations for which points are worked out
# About the middle of what counts as near, -0.05: errors with two humps, as after a shock, must not pull it away.
_SHIFTS = np.linspace(-0.1, 0.02, 49)
_AS_GOOD = 0.0003  # of P30: shifts within it count as equally good
_FEW = 30.0  # scores, below which a normal distribution helps out
_PRIOR = 0.1  # trust in a straight line, as a share of all place-days, against each bin's own
_BELOW = 0.15  # a single place's confidence may lie so far below what the published part must reach
_LEAST_SHARE = 0.05  # of all place-days: a published part is judged by no fewer
COVERAGE = 0.9  # of intervals
_Z = 1.6448536  # normal quantile of one side of it
_FEWEST = 2.0  # independent days, below which nothing can be said of how far places err together


@dataclass(frozen=True, eq=False)
class Scores:
    """Calibration of one kind of place: ``low`` and ``high`` quantiles of truth over prediction in deviations,
    the best ``shift``, ``p30`` expected and ``confidence`` as it turned out for every deviation of `SCALES`; above
    the deviation ``limit`` nothing is published."""

    low: float
    high: float
    shift: F64
    p30: F64
    confidence: F64
    limit: float

    def judge(self, log: F64, deviation: F64) -> Judged:
        """What to publish of predictions ``log`` [n] with ``deviation`` [n]."""
        at, grid = np.log(np.clip(deviation, SCALES[0], SCALES[-1])), np.log(SCALES)
        shift, confidence = np.interp(at, grid, self.shift), np.interp(at, grid, self.confidence)
        point = np.exp(log + shift)
        low, high = np.exp(log + self.low * deviation), np.exp(log + self.high * deviation)
        return Judged(point, low, high, confidence, deviation <= self.limit)


@dataclass(frozen=True, eq=False)
class Judged:
    """``point``, interval ``low`` to ``high`` in people, ``confidence``, whether ``published``; all [n]."""

    point: F64
    low: F64
    high: F64
    confidence: F64
    published: NDArray[np.bool_]


def calibrate(
    federation: Federation, error: F64, deviation: F64, name: str, asked: float, widen: float = 1.0,
    fresh: F64 | None = None,
) -> Scores:  # fmt: skip
    """From log errors (truth minus prediction) [n] of this owner's places and their deviations [n].

    For intervals each counts by ``fresh`` [n], and they are ``widen`` times as wide, for what places err by
    `together`.
    """
    fine = np.isfinite(error) & np.isfinite(deviation) & (deviation > 0)
    error, deviation = error[fine], deviation[fine]
    score = np.clip(error / deviation, EDGES[0] + 1e-9, EDGES[-1] - 1e-9)
    mine, _ = np.histogram(score, EDGES, weights=None if fresh is None else fresh[fine])
    count = federation.sum(f"{name}.scores", mine.astype(np.float64))
    if count.sum() < _FEW:
        count = count + _FEW * _normal()
    mass = count / count.sum()
    low, high = (widen * _quantile(mass, (1 + side * COVERAGE) / 2) for side in (-1, 1))
    shift, p30 = _best(mass)
    plain = Scores(low, high, shift, p30, p30, np.inf)
    return _checked(federation, plain, error, deviation, name, asked)


def together(federation: Federation, score: F64, fresh: F64, lag: int, name: str) -> float:
    """How much wider than errors of the past say an interval must be, as places err together.

    ``score`` [own places, days] are errors over deviations on days told ``lag`` days beforehand, which count by
    ``fresh`` [days]. Thousands of scores are as few as the stretches of days they come from: a stretch as long as
    the lateness errs as one. Of what places err by together only so much is known, and what is to come of it is as
    a t distribution says; the rest is each place's own. Crosses: per day sum, squares and
    number of scores of each owner's places, where there are at least three.
    """
    known = shared(np.isfinite(score))
    cut = np.where(known, np.clip(score, EDGES[0], EDGES[-1]), 0.0)
    total = federation.sum(
        f"{name}.days", np.stack([cut.sum(axis=0), (cut**2).sum(axis=0), known.sum(axis=0)])
    )
    enough = total[2] > 1.5
    if not enough.any():
        return 1.0
    (first, square, count), weight = total[:, enough], fresh[enough]
    mean, square = first / count, square / count
    own = np.maximum(square - mean**2, 0.0) * count / (count - 1)
    whole = float(weight @ square)
    common = float(weight @ (mean**2 - own / count)) / max(whole, 1e-12)
    stretches = float(weight.sum() ** 2 / (weight @ weight)) / (1 + lag / 2)
    wider = (_t_quantile(max(stretches, _FEWEST)) / _Z) ** 2 - 1
    return float(np.sqrt(1 + np.clip(common, 0.0, 1.0) * wider))


def _t_quantile(free: float) -> float:
    """The 95 % quantile of a t distribution (expansion about the normal one, Hill 1970), from 2 degrees on."""
    z = _Z
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / free + second / free**2 + third / free**3


def _checked(
    federation: Federation, scores: Scores, error: F64, deviation: F64, name: str, asked: float
) -> Scores:
    """Confidence as it turned out by deviation, made monotone; and up to which deviation to publish."""
    judged = scores.judge(np.zeros(error.size), deviation)
    hit = (np.abs(judged.point / np.exp(error) - 1) <= 0.3).astype(np.float64)
    size = SCALES.size
    bin_ = np.clip(np.searchsorted(SCALES, deviation), 0, size - 1)
    mine = np.stack(
        [
            np.bincount(bin_, hit, minlength=size),
            np.bincount(bin_, minlength=size).astype(np.float64),
        ]
    )
    hits, count = federation.sum(f"{name}.checked", mine.astype(np.float64))
    prior = _PRIOR * max(float(count.sum()), 1.0)
    rate = (hits + prior * _line(hits, count, scores.p30)) / (count + prior)
    confidence = monotone(rate[::-1], (count + prior)[::-1])[::-1]
    running = np.cumsum(confidence * count) / np.maximum(np.cumsum(count), 1.0)
    enough = np.cumsum(count) >= _LEAST_SHARE * max(float(count.sum()), 1.0)
    good = enough & (running >= asked) & (confidence >= asked - _BELOW)
    limit = float(SCALES[np.nonzero(good)[0].max()]) if good.any() else 0.0
    return Scores(scores.low, scores.high, scores.shift, scores.p30, confidence, limit)


def _line(hits: F64, count: F64, expected: F64) -> F64:
    """Confidence as a straight line of the log deviation that never rises: few places make no curve."""
    x = np.log(SCALES)
    total = float(count.sum())
    if total < _FEW:
        return expected
    rate = hits / np.maximum(count, 1.0)
    mean_x, mean_y = float(count @ x) / total, float(hits.sum()) / total
    spread = float(count @ (x - mean_x) ** 2)
    slope = min(0.0, float(count @ ((x - mean_x) * (rate - mean_y))) / max(spread, 1e-9))
    return np.asarray(np.clip(mean_y + slope * (x - mean_x), 0.0, 1.0))


def monotone(rate: F64, weight: F64) -> F64:
    """The non-decreasing sequence nearest to ``rate`` in weighted squares (pool adjacent violators)."""
    blocks: list[list[float]] = []
    for value, mass in zip(rate, weight, strict=True):
        blocks.append([float(value), float(mass), 1.0])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            value_b, mass_b, size_b = blocks.pop()
            value_a, mass_a, size_a = blocks.pop()
            total = mass_a + mass_b
            blocks.append([(value_a * mass_a + value_b * mass_b) / total, total, size_a + size_b])
    return np.concatenate([np.full(int(size), value) for value, _, size in blocks])


def _best(mass: F64) -> tuple[F64, F64]:
    """(shift, P30) for each deviation of `SCALES`, for errors distributed as ``mass`` over `EDGES`."""
    # Errors to either side count alike: a bias of the days told beforehand need not be that of the day to tell.
    smooth = np.convolve((mass + mass[::-1]) / 2, [0.25, 0.5, 0.25], mode="same")
    cumulative = np.concatenate([[0.0], np.cumsum(smooth / smooth.sum())])
    # predicted / true = exp(shift - deviation * score): near 1 for scores between these two
    low = (_SHIFTS[None, :] - NEAR[1]) / SCALES[:, None]
    high = (_SHIFTS[None, :] - NEAR[0]) / SCALES[:, None]
    p30 = np.interp(high, EDGES, cumulative) - np.interp(low, EDGES, cumulative)
    # the smallest of all shifts that are as good as the best: small deviations leave many
    good = p30 >= p30.max(axis=1, keepdims=True) - _AS_GOOD
    smallest = np.where(good, np.abs(_SHIFTS)[None, :], np.inf).argmin(axis=1)
    return _SHIFTS[smallest], p30.max(axis=1)


def _quantile(mass: F64, share: float) -> float:
    cumulative = np.concatenate([[0.0], np.cumsum(mass)])
    return float(np.interp(share, cumulative + np.arange(cumulative.size) * 1e-12, EDGES))


def _normal() -> F64:
    centre = (EDGES[1:] + EDGES[:-1]) / 2
    mass = np.exp(-0.5 * centre**2)
    return np.asarray(mass / mass.sum())
