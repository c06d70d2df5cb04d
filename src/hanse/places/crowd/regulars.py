"""Places with a recent history: rules of thumb, corrected by the rhythm, and a blend that cannot lose to one.

Each rule tells the log crowd of the target day from the place's own known days, at home:

    same week      the last known day of the same weekday (naive)
    carry          the last known day (naive)
    weekdays       the mean of recent days of the same weekday, as they were
    level          the mean of the last days' levels, plus the outlook
    near, mid, far means of the same weekday with half-lives of 7, 21 and 60 days, plus the outlook
    area           the same weekday's mean, times the change of a fresh signal at the place since then
    city           the same, times the median place's change: what a thin panel still tells

Crosses between owners: the sum over places and recent days of products of the rules' errors (rules x rules), from
which the blend's weights follow (no weight below 0, their sum 1), and how often each rule and the blend were within
30 %: where a naive rule was clearly better than the blend, it is taken. Errors are those of days told beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.places.crowd.federation import Federation
from hanse.places.crowd.outlook import HALF_LIVES, Kernels, Outlook
from hanse.places.crowd.rhythm import Traits

F64 = NDArray[np.float64]
RULES = ("same week", "carry", "weekdays", "level", "near", "mid", "far", "area", "city")
SIGNALLED = (7, 8)  # the rules that need a fresh signal
NAIVE = (0, 1, *SIGNALLED)
SAME_WEEK = 0
TRUSTED = (4, 5)  # the rules that a blend without evidence starts from
SAFE = 5  # the rule that stands in where another cannot tell
_CUT = 0.6  # a log error teaches no more than this
_EVEN = 1.0  # weight of "all corrected rules alike", in mean squared errors
_CLEARLY = 0.002  # of P30, and two standard errors, by which a naive rule must beat the blend
_LEAD = 0.04  # of P30 beyond doubt, at which a naive rule takes over
_TOGETHER = 5.0  # places whose errors of one day count as one
_LEVEL = 5.0  # days of half-life
DRIFT = (2.5, 5.0)  # of a signal, in ordinary deviations: from which and at which it takes over
UPHEAVAL = (
    5.0,
    10.0,
)  # of the truth itself: from which and at which the last known week takes over
_UNUSUAL = (
    0.8  # a log change that is out of the ordinary in any city, however much is going on there
)
_HELD = 28  # days that an upheaval is held to last
_MEMORY = 365  # days that say what is ordinary


@dataclass(frozen=True, eq=False)
class Signal:
    """A fresh signal at every place: ``logs`` float64 [places, days], not a number where not known yet."""

    logs: F64

    def change(self, kernels: Kernels, target: int, lag: int, today: int = -1) -> F64:
        """[places]: log change of the target day over the same weekday's mean at the truth's lateness.

        Where the target day is not there yet, the newest day of the last week is compared with its own weekday. Of
        a past day only what was known as long before it as is known before ``today``, else errors on it flatter.
        """
        late = 0
        if today >= 0:
            known = np.isfinite(self.logs[:, max(today - 6, 0) : today + 1]).sum(axis=0) > 0
            late = int(np.argmax(known[::-1])) if known.any() else 7
        for day in range(target - late, max(target - 7, 0) - 1, -1):
            if day - lag < 0 or not np.isfinite(self.logs[:, day]).any():
                continue
            span, weights = kernels.same(day, lag, 14.0)
            before = means(self.logs[:, span], weights)
            return np.asarray(self.logs[:, day] - before)
        return np.full(self.logs.shape[0], np.nan)


def taken_over(hits: F64, count: float, lag: int) -> tuple[int, float]:
    """(a naive rule, its share): 0 unless it was ``hits`` more often near than the blend, beyond what chance does.

    ``hits`` are those of the blend, then of `NAIVE`'s first two, of ``count`` place-days told ``lag`` days before.
    """
    best = 1 + int(hits[1:].argmax())
    share = hits / max(count, 1.0)
    alike = _TOGETHER * (1 + lag / 10)
    doubt = 2 * float(np.sqrt(alike * share[best] * (1 - share[best]) / max(count, 1.0)))
    lead = float(share[best] - share[0]) - doubt
    return NAIVE[best - 1], float(np.clip(lead / _LEAD, 0.0, 1.0))


def upheaval(common: F64, newest: int) -> float:
    """0 in ordinary times to 1: how far a week was from the four weeks before it, lately at most, in a city whose
    days ``common`` [days] are known up to ``newest``. Where all is in motion, means over weeks say what was."""
    first = max(0, newest + 1 - _MEMORY - 35 - _HELD)
    known = common[first : newest + 1]
    if known.size < 70 + _HELD or np.isnan(known).mean() > 0.2:
        return 0.0
    filled = np.where(np.isfinite(known), known, np.nanmean(known))
    total = np.cumsum(np.r_[0.0, filled])
    end = np.arange(35, filled.size + 1)
    changes = (total[end] - total[end - 7]) / 7 - (total[end - 7] - total[end - 35]) / 28
    last = changes.size - 1
    return max(drift(changes, last - back, UPHEAVAL) for back in range(0, _HELD + 1, 3))


def drift(changes: F64, target: int, limits: tuple[float, float] = DRIFT) -> float:
    """0 in ordinary times to 1: how far the median place's change is out of what it was on earlier days.

    ``changes`` [days] are median changes, not a number where unknown; ``limits`` in their ordinary deviations.
    """
    past = changes[max(0, target - _MEMORY) : target]
    past = past[np.isfinite(past)]
    now = changes[target]
    if past.size < 28 or not np.isfinite(now):
        return 0.0
    usual = max(1.4826 * float(np.median(np.abs(past - np.median(past)))), 0.02)
    start, full = limits
    usual = min(usual, _UNUSUAL / full)
    return float(np.clip((abs(now) / usual - start) / (full - start), 0.0, 1.0))


def means(values: F64, weights: F64) -> F64:
    """[places]: means of ``values`` [places, days] by ``weights`` [days] over what is known; nan without."""
    used = np.nonzero(weights > 1e-12 * weights.max(initial=0.0))[0]
    if used.size == 0:
        return np.full(values.shape[0], np.nan)
    part, weight = values[:, used], weights[used]
    known = np.isfinite(part)
    count = known @ weight
    total = np.where(known, part, 0.0) @ weight
    return np.asarray(
        np.where(count > 1e-9 * weight.max(), total / np.maximum(count, 1e-300), np.nan)
    )


def rules(
    kernels: Kernels, logs: F64, days: F64, traits: Traits, told: Outlook, target: int, newest: int,
    change: F64 | None = None,
) -> F64:  # fmt: skip
    """[own places, rules]: what each rule says of the day ``target`` from ``logs`` known up to ``newest``.

    ``change`` [own places, 2] of a signal, at the place and at the median place.
    """
    lag = max(1, target - newest)
    ones = traits.ones
    ahead = ones @ told.row
    span, last = kernels.every(target, lag, 0.05)
    seen = logs[:, span]
    rest = seen - ones @ days[span].T  # not a number on days whose row is not known
    same = {h: kernels.same(target, lag, h)[1] for h in (0.25, 14.0, *HALF_LIVES)}
    out = np.full((len(logs), len(RULES)), np.nan)
    out[:, 0] = means(seen, same[0.25])
    out[:, 1] = means(seen, last)
    out[:, 2] = means(seen, same[14.0])
    out[:, 3] = ahead + means(rest, kernels.every(target, lag, _LEVEL)[1])
    for number, half_life in enumerate(HALF_LIVES):
        out[:, 4 + number] = ahead + means(rest, same[half_life])
    if change is not None:
        out[:, SIGNALLED] = out[:, 2, None] + change
    stand_in = np.where(np.isfinite(out[:, SAFE]), out[:, SAFE], out[:, 3])
    # Too few places for a shared rhythm still have weekdays of their own.
    stand_in = np.where(np.isfinite(stand_in), stand_in, out[:, 2])
    return np.where(np.isfinite(out), out, stand_in[:, None])


def blend_weights(
    federation: Federation, errors: F64, name: str, usable: NDArray[np.bool_], lag: int = 0
) -> F64:
    """[rules] weights from ``errors`` [rows, rules] of this owner's places on days told ``lag`` days beforehand.

    ``usable`` [rules], the same at all owners, says which rules may take part. A naive rule that was within 30 %
    clearly more often than the blend is taken instead of it.
    """
    fine = np.isfinite(errors).all(axis=1)
    cut = np.clip(errors[fine], -_CUT, _CUT)
    size = len(RULES)
    total = federation.sum(name, np.concatenate([[float(len(cut))], (cut.T @ cut).reshape(-1)]))
    even = np.where(usable, np.isin(np.arange(size), TRUSTED), 0.0)
    even = even / even.sum()
    if total[0] < 100:
        return np.asarray(even)
    gram = total[1:].reshape(size, size) / total[0]
    pull = _EVEN * float(np.trace(gram[np.ix_(usable, usable)])) / max(int(usable.sum()), 1)
    drawn = simplex_minimum(gram + pull * np.eye(size), pull * even, usable)
    tried = np.stack([drawn, *(np.eye(size)[rule] for rule in NAIVE if usable[rule])])
    hits = (np.abs(np.expm1(-errors[fine] @ tried.T)) <= 0.3).sum(axis=0).astype(np.float64)
    share = federation.sum(f"{name}.hits", hits) / total[0]
    best = int(share.argmax())
    alike = _TOGETHER * (1 + lag / 3)  # days told from the same known days err alike
    doubt = 2 * float(np.sqrt(alike * share[best] * (1 - share[best]) / total[0]))
    return np.asarray(tried[best] if share[best] > share[0] + _CLEARLY + doubt else drawn)


def simplex_minimum(square: F64, linear: F64, usable: NDArray[np.bool_]) -> F64:
    """The w >= 0 with sum 1 that minimises w'square w - 2 linear'w, by taking out what falls below 0."""
    active = usable.copy()
    size = square.shape[0]
    while True:
        index = np.nonzero(active)[0]
        system = np.zeros((index.size + 1, index.size + 1))
        system[:-1, :-1] = square[np.ix_(index, index)] + np.eye(index.size) * 1e-12
        system[-1, :-1] = system[:-1, -1] = 1.0
        solved = np.linalg.solve(system, np.r_[linear[index], 1.0])[:-1]
        if index.size == 1 or solved.min() >= -1e-9:
            out = np.zeros(size)
            out[index] = np.maximum(solved, 0.0)
            return np.asarray(out / out.sum())
        active[index[solved.argmin()]] = False
