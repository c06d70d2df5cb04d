"""Places with no counts, or a handful of days: what to expect of them before, and after each day that is known.

    1. A ridge regression of level and traits on the labels of a place (lines, brands, malls).
       Crosses: X'y, one number a column, columns of at least `LEAST_GROUP` counted places.
    2. Trees (`hanse.places.crowd.trees`) on what it leaves, over map, operator and payments, cross-fitted.
    3. The errors of both on places left out give the prior's covariance (a sum of products over places) and,
       by further trees, where it errs less: the spread.
    4. A few counted days turn the prior into a posterior (normal, with day noise of heavy tails).

A place that was never counted is the case of no days: same formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hanse.places.crowd.federation import Federation
from hanse.places.crowd.ground import Ground
from hanse.places.crowd.rhythm import Traits
from hanse.places.crowd.trees import Columns, TreeSettings, boost

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]
LEAST_GROUP = 10  # counted places of a label that gets a number of its own
FOLDS = 8
_RIDGE = 8.0
_LARGEST = 1.0  # a larger log error counts as this one
_TAILS = 4.0  # degrees of freedom of a day's noise
_DAY_NOISE = (
    0.75  # of a single day, in variances of the rhythm's own fit: tails are seen to by weights
)


@dataclass(frozen=True, eq=False)
class Prior:
    """What to expect of each place: ``mean`` [places, 1 + factors] (level first), ``covariance`` of its errors,
    ``spread`` [places]: size of the level's error relative to the covariance's, 1 on average.

    ``left_out`` [places, 1 + factors] is the mean by trees that did not see the place.
    """

    mean: F64
    left_out: F64
    covariance: F64
    spread: F64


def public_design(ground: Ground, counted: Flags) -> F64:
    """[places, columns] of the ridge: intercept, how many labels, the labels that many counted places have."""
    groups = ground.labels[:, (ground.labels & counted[:, None]).sum(axis=0) >= LEAST_GROUP]
    number = np.log1p(ground.labels.sum(axis=1))
    number = (number - number.mean()) / max(float(number.std()), 1e-9)
    return np.asarray(np.c_[np.ones(ground.size), number, groups.astype(np.float64)])


def public_columns(ground: Ground) -> F64:
    """[places, columns] for the trees: position, distance from the middle, number of labels, spacing."""
    at = ground.position
    away = np.sqrt(((at - at.mean(axis=0)) ** 2).sum(axis=1))
    return np.asarray(np.c_[at, away, ground.labels.sum(axis=1), spacing(at)])


def spacing(position: F64) -> F64:
    """[places, 4]: log distance to the nearest and the fourth nearest place, log density near and far."""
    distance = np.sqrt(((position[:, None] - position[None]) ** 2).sum(axis=2))
    np.fill_diagonal(distance, np.inf)
    ordered = np.sort(distance, axis=1)
    near = ordered[:, 0]
    fourth = ordered[:, min(3, ordered.shape[1] - 1)] if ordered.shape[1] else near
    typical = float(np.median(near[np.isfinite(near)])) if np.isfinite(near).any() else 1.0
    typical = max(typical, 1e-3)
    density = [np.exp(-0.5 * (distance / (typical * h)) ** 2).sum(axis=1) for h in (1.5, 4.0)]
    most, least = typical * 50, typical / 20
    columns = [np.log(np.clip(near, least, most)), np.log(np.clip(fourth, least, most)),
               *(np.log(d + 0.1) for d in density)]  # fmt: skip
    return np.stack(columns, axis=1)


def expect(
    federation: Federation, ground: Ground, columns: Columns, own: I64, traits: Traits,
    settings: TreeSettings, boosted: int, seed: int,
) -> Prior:  # fmt: skip
    """The prior of all places from all owners' places that teach. ``own`` int64: numbers of this owner's places.

    Trees are grown for the level and the first ``boosted`` traits; the ridge serves the others.
    """
    size = 1 + traits.traits.shape[1]
    rows = np.zeros(ground.size, np.bool_)
    rows[own] = traits.teach
    label = np.zeros((ground.size, size))
    label[own] = np.c_[traits.level, traits.traits]
    counted = federation.sum("prior.rows", rows.astype(np.float64)) > 0.5
    label = _cut(federation, label, rows)
    design = public_design(ground, counted)
    base, loo = _ridge(federation, design, label, rows, counted)
    rest = np.where(rows[:, None], label - loo, 0.0)
    mean, left_out = base.copy(), np.where(rows[:, None], loo, base)
    fold = np.random.default_rng(seed).permutation(ground.size) % FOLDS
    for column in range(min(size, 1 + boosted)):
        how = settings if column == 0 else replace(settings, clip=settings.clip_traits)
        whole, out = _cross_fitted(federation, columns, rest[:, column], rows, fold, how,
                                   f"prior.{column}", seed)  # fmt: skip
        mean[:, column] += whole
        left_out[:, column] += out
    error = np.where(rows[:, None], label - left_out, 0.0)
    covariance = _covariance(federation, error, rows)
    spread = _spread(federation, design, columns, error[:, 0], rows, counted, fold, settings, seed)
    return Prior(mean, left_out, covariance, spread)


def _cut(federation: Federation, label: F64, rows: Flags) -> F64:
    """Labels within three deviations of the mean: one odd place must not bend the rest."""
    for turn in range(2):
        used = label[rows]
        mine = np.concatenate([[float(len(used))], used.sum(axis=0), (used**2).sum(axis=0)])
        total = federation.sum(f"prior.cut.{turn}", mine)
        count, size = max(total[0], 1.0), label.shape[1]
        mean = total[1 : 1 + size] / count
        deviation = np.sqrt(np.maximum(total[1 + size :] / count - mean**2, 1e-12))
        label = np.where(
            rows[:, None], np.clip(label, mean - 2.5 * deviation, mean + 2.5 * deviation), 0.0
        )
    return label


def ridge_inverse(design: F64, counted: Flags) -> F64:
    """Inverse of X'X plus the penalty, over counted places: public."""
    used = design[counted]
    penalty = np.eye(design.shape[1]) * _RIDGE
    penalty[0, 0] = 1e-6 if counted.any() else 1.0
    return np.asarray(np.linalg.inv(used.T @ used + penalty))


def _ridge(
    federation: Federation, design: F64, label: F64, rows: Flags, counted: Flags
) -> tuple[F64, F64]:
    """(fitted [places, columns], the same for own rows as if the row had been left out).

    The hat matrix is public, so leaving one out costs no further number.
    """
    inverse = ridge_inverse(design, counted)
    moment = federation.sum("prior.ridge", design[rows].T @ label[rows])
    fitted = design @ (inverse @ moment)
    hat = np.clip(np.einsum("pi,ij,pj->p", design, inverse, design), 0.0, 0.95)
    left_out = label - (label - fitted) / (1 - hat)[:, None]
    return fitted, np.where(rows[:, None], left_out, fitted)


def _cross_fitted(
    federation: Federation, columns: Columns, label: F64, rows: Flags, fold: I64,
    settings: TreeSettings, name: str, seed: int,
) -> tuple[F64, F64]:  # fmt: skip
    """(mean over the folds' forests, of each place the forest that did not see it)."""
    whole, out = np.zeros(label.size), np.zeros(label.size)
    for number in range(FOLDS):
        told = boost(federation, columns, label, rows & (fold != number), settings,
                       f"{name}.{number}", seed * 97 + number).told  # fmt: skip
        whole += told / FOLDS
        out[fold == number] = told[fold == number]
    return whole, out


def _covariance(federation: Federation, error: F64, rows: Flags) -> F64:
    """Of errors cut at 2.5 deviations: the core of the distribution, whose tails calibration sees to."""
    size = error.shape[1]
    cut = error[rows]
    covariance = np.eye(size)
    for turn in range(3):
        mine = np.concatenate([[float(len(cut))], (cut.T @ cut).reshape(-1)])
        total = federation.sum(f"prior.covariance.{turn}", mine)
        covariance = total[1:].reshape(size, size) / max(total[0], 1.0)
        limit = 2.5 * np.sqrt(np.maximum(np.diag(covariance), 1e-12))
        cut = np.clip(error[rows], -limit, limit)
    return covariance + np.eye(size) * 1e-6


def _spread(
    federation: Federation, design: F64, columns: Columns, error: F64, rows: Flags,
    counted: Flags, fold: I64, settings: TreeSettings, seed: int,
) -> F64:  # fmt: skip
    """Of each place the level's expected error over the average one, told without the place itself."""
    size = np.where(rows, np.minimum(np.abs(error), _LARGEST), 0.0)[:, None]
    base, loo = _ridge(federation, design, size, rows, counted)
    rest = np.where(rows, size[:, 0] - loo[:, 0], 0.0)
    slow = replace(settings, trees=max(1, settings.trees * 3 // 5), rate=0.05, l2=5.0, clip=1.0)
    whole, out = _cross_fitted(
        federation, columns, rest, rows, fold, slow, "prior.spread", seed + 1
    )
    # A counted place's own ridge residual stays at home; the fit that all see moves it little.
    told = base[:, 0] + np.where(counted, out, whole)
    told = np.maximum(told, 0.2 * float(np.median(told)))
    return np.asarray(told / max(float(np.mean(told)), 1e-9))


@dataclass(frozen=True, eq=False)
class Posterior:
    """A place after its counted days: ``mean`` [1 + factors] and ``covariance``."""

    mean: F64
    covariance: F64


def tell(places: Sequence[Posterior], rows: F64, noise: float) -> tuple[F64, F64]:
    """(log crowd, its deviation) [places, days] on days with these ``rows`` [days, 1 + factors] of the rhythm."""
    if not places:
        return np.zeros((0, len(rows))), np.zeros((0, len(rows)))
    design = rows.copy()
    design[:, 0] = 1.0
    log = np.array([p.mean for p in places]) @ design.T + rows[:, 0]
    covariance = np.array([p.covariance for p in places])
    variance = np.einsum("di,pij,dj->pd", design, covariance, design)
    return log, np.sqrt(np.maximum(variance, 0.0) + _DAY_NOISE * noise)


def after(mean: F64, covariance: F64, rows: F64, logs: F64, noise: float) -> Posterior:
    """The posterior from counted days: ``rows`` [days, 1 + factors] of the rhythm, ``logs`` [days] of the crowd."""
    fine = np.isfinite(logs) & np.isfinite(rows).all(axis=1)
    if not fine.any():
        return Posterior(mean, covariance)
    design = rows[fine].copy()
    design[:, 0] = 1.0
    rest = logs[fine] - rows[fine, 0] - design @ mean
    inverse = np.linalg.inv(covariance)
    variance = _DAY_NOISE * noise
    weight = np.ones(rest.size)
    change = np.zeros(mean.size)
    for _ in range(4 if rest.size > 2 else 1):
        gram = (design * weight[:, None]).T @ design / variance + inverse
        change = np.linalg.solve(gram, design.T @ (weight * rest) / variance)
        weight = (_TAILS + 1) / (_TAILS + (rest - design @ change) ** 2 / noise)
    return Posterior(mean + change, np.linalg.inv(gram))
