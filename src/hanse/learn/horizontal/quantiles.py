"""Edges of bins from pooled counts: quantiles over all parties' rows, which no party's rows are told from.

First counts of values by sign, order of magnitude and a quarter of it, then, within the steps where wanted
quantiles fall, counts of 32 parts each. Reveals: those counts, pooled over at least three parties, exact.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hanse.learn.horizontal.kinds import F64
from hanse.learn.horizontal.sums import Summing

I64 = NDArray[np.int64]
_PARTS = 32
_STEPS = 4  # of a power of two
_LOWEST, _HIGHEST = -24, 40  # powers of two
_HALF = (_HIGHEST - _LOWEST) * _STEPS
KEYS = 2 * _HALF + 1


def edges_of(party: Summing, x: F64, bins: int, total: int) -> tuple[F64, ...]:
    """Edges of at most ``bins`` bins of about equal pooled counts per column of x [rows, columns]."""
    columns = x.shape[1]
    norm = max(1, total) * float(np.sqrt(columns))
    present = ~np.isnan(x)
    keys = _keys(x)
    counts = np.stack([np.bincount(keys[present[:, c], c], minlength=KEYS) for c in range(columns)])
    coarse = np.rint(party.sum("bins.coarse", counts.reshape(-1), norm=norm).values).reshape(
        columns, KEYS
    )
    hit = [_hit(coarse[c], bins) for c in range(columns)]
    most = max(1, *(len(h) for h in hit))
    own = np.zeros((columns, most, _PARTS))
    for c in range(columns):
        for number, key in enumerate(hit[c]):
            inside = x[present[:, c] & (keys[:, c] == key), c]
            low, high = _range(key)
            part = np.clip(((inside - low) / (high - low) * _PARTS).astype(np.int64), 0, _PARTS - 1)
            own[c, number] = np.bincount(part, minlength=_PARTS)
    fine = np.rint(party.sum("bins.fine", own.reshape(-1), norm=norm).values).reshape(own.shape)
    return tuple(_edges(coarse[c], hit[c], fine[c], bins) for c in range(columns))


def _keys(x: F64) -> I64:
    """The step of each value, rising with it; the middle one is for values next to 0."""
    size = np.where(np.isnan(x), 0.0, np.abs(x))
    safe = np.maximum(size, 2.0**_LOWEST)
    power = np.floor(np.log2(safe))
    quarter = np.floor((safe / 2.0**power - 1) * _STEPS)
    step = (power - _LOWEST) * _STEPS + np.clip(quarter, 0, _STEPS - 1)
    step = np.clip(step, 0, _HALF - 1) + 1
    return np.asarray(
        np.where(size < 2.0**_LOWEST, 0, np.sign(np.nan_to_num(x)) * step).astype(np.int64) + _HALF
    )


def _range(key: int) -> tuple[float, float]:
    """Smallest and largest value of a step."""
    place = abs(key - _HALF) - 1
    if place < 0:
        return -(2.0**_LOWEST), 2.0**_LOWEST
    power, quarter = divmod(place, _STEPS)
    unit = 2.0 ** (power + _LOWEST)
    low, high = unit * (1 + quarter / _STEPS), unit * (1 + (quarter + 1) / _STEPS)
    return (low, high) if key > _HALF else (-high, -low)


def _hit(counts: F64, bins: int) -> list[int]:
    """Steps in which a wanted quantile falls."""
    total = counts.sum()
    if total < 1:
        return []
    wanted = np.arange(1, bins) * total / bins
    return sorted(set(np.searchsorted(np.cumsum(counts), wanted - 0.5).tolist()))


def _edges(counts: F64, hit: list[int], fine: F64, bins: int) -> F64:
    """Upper ends of the parts in which the wanted quantiles fall, without repeats and without the last value's."""
    total = counts.sum()
    if total < 1:
        return np.zeros(0)
    ends: list[float] = []
    below: list[float] = []
    run = np.cumsum(counts) - counts
    for number, key in enumerate(hit):
        low, high = _range(key)
        ends += (low + (high - low) * np.arange(1, _PARTS + 1) / _PARTS).tolist()
        below += (run[key] + np.cumsum(fine[number])).tolist()
    wanted = np.arange(1, bins) * total / bins
    found = np.searchsorted(np.array(below), wanted - 0.5)
    chosen = np.unique(found[found < len(ends)])
    chosen = chosen[np.array(below)[chosen] < total - 0.5]
    return np.asarray(np.array(ends)[chosen], np.float64)
