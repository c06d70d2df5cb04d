"""The shared rhythm: what every day did to a city's places, and how each place takes part in it.

    log y[p, d] = level_p + common_d + loadings_d . traits_p + noise

*Days* (common, loadings: `Days`, public) are what all places have in common; *traits* (level and a few numbers)
are a place's own and stay with its owner. Fitted by turns: given the days each owner regresses its own places at
home; given the traits the days follow from sums over places. Weekdays, holidays, seasons, weather and shocks are
all in the days, and nobody has to say which.

Crosses between owners: per turn and day the sums over places of t t' and t y (t = 1 and the traits), and the sums
of traits and of their squares, by which the traits are kept at mean 0 and variance 1.
Source: alternating least squares for a factor model with holes (Gabriel and Zamir 1979; Koren 2009).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.places.crowd.federation import Federation

F64 = NDArray[np.float64]
Flags = NDArray[np.bool_]
LEAST_DAYS = 42  # a place teaches the rhythm from so many known days on
_WINSOR = 0.5  # a log residual beyond this teaches no more than this
_RIDGE_DAY = 0.1  # places' worth of prior that a day's loadings are 0
_NOISE = 0.0064  # first guess of the residual variance


@dataclass(frozen=True, eq=False)
class Rhythm:
    """``days`` [days, 1 + factors] (common first; not a number where unknown) and the noise's variance."""

    days: F64
    noise: float

    @property
    def factors(self) -> int:
        """How many loadings a day has."""
        return self.days.shape[1] - 1


@dataclass(frozen=True, eq=False)
class Traits:
    """An owner's places: ``level`` [places], ``traits`` [places, factors], and which of them teach (bool)."""

    level: F64
    traits: F64
    teach: Flags

    @property
    def ones(self) -> F64:
        """[places, 1 + factors]: what a day's row is multiplied with."""
        return np.c_[np.ones(self.level.size), self.traits]


def fit_rhythm(
    federation: Federation, logs: F64, start: F64, factors: int, turns: int = 12
) -> tuple[Rhythm, Traits]:
    """The rhythm of ``logs`` [own places, days] (not a number where unknown), and the own places' traits.

    ``start`` [days, >= factors] are first guesses of loadings, the same at all owners (calendar contrasts).
    """
    teach = np.isfinite(logs).sum(axis=1) >= LEAST_DAYS
    known = np.isfinite(logs) & teach[:, None]
    places = float(federation.sum("rhythm.places", np.array([float(teach.sum())]))[0])
    factors = max(0, min(factors, int(places) // 5, start.shape[1]))
    days = np.c_[np.zeros(logs.shape[1]), start[:, :factors]]
    noise = _NOISE
    traits = at_home(logs, days, noise, teach)
    for turn in range(turns):
        traits, change = _standardised(federation, traits, f"rhythm.{turn}")
        if change is None:
            break
        days = day_rows(federation, logs, traits, known, f"rhythm.{turn}", days if turn else None)
        traits = at_home(logs, days, noise, teach)
        noise = _noise_of(federation, logs, days, traits, known, f"rhythm.{turn}")
    traits, _ = _standardised(federation, traits, "rhythm.last")
    days = day_rows(federation, logs, traits, known, "rhythm.last", days)
    return Rhythm(days, noise), traits


def at_home(logs: F64, days: F64, noise: float, teach: Flags | None = None) -> Traits:
    """Each place's level and traits from its own days: ridge regression, traits of variance 1 beforehand."""
    seen = np.isfinite(logs) & np.isfinite(days).all(axis=1)
    rows = np.nan_to_num(days)
    design = rows.copy()
    design[:, 0] = 1.0
    filled = np.where(seen, logs - rows[:, 0], 0.0)
    size = days.shape[1]
    products = (design[:, :, None] * design[:, None, :]).reshape(len(rows), -1)
    gram = (seen.astype(np.float64) @ products).reshape(-1, size, size)
    prior = np.diag(np.r_[1e-6, np.full(size - 1, max(noise, 1e-6))])
    solved = np.linalg.solve(gram + prior, (filled @ design)[..., None])[..., 0]
    flags = seen.any(axis=1) if teach is None else teach
    return Traits(
        np.where(flags, solved[:, 0], 0.0), np.where(flags[:, None], solved[:, 1:], 0.0), flags
    )


def day_rows(
    federation: Federation, logs: F64, traits: Traits, known: Flags, name: str, before: F64 | None = None
) -> F64:  # fmt: skip
    """[days, 1 + factors] from sums over the owners' places; not a number on days that fewer than three know.

    ``before`` are rows from the turn before: residuals from them are cut at a size that no crowd errs by twice.
    """
    ones, size = traits.ones, traits.traits.shape[1] + 1
    values = logs - traits.level[:, None]
    if before is not None:
        fitted = ones @ np.nan_to_num(before).T
        inside = np.isfinite(before).all(axis=1)
        values = np.where(inside, fitted + np.clip(values - fitted, -_WINSOR, _WINSOR), values)
    upper = np.triu_indices(size)
    products = ones[:, upper[0]] * ones[:, upper[1]]
    flags = known.astype(np.float64)
    mine = np.concatenate([flags.T @ products, np.where(known, values, 0.0).T @ ones], axis=1)
    total = federation.sum(f"{name}.days", mine)
    gram = np.zeros((logs.shape[1], size, size))
    gram[:, upper[0], upper[1]] = total[:, : upper[0].size]
    gram[:, upper[1], upper[0]] = total[:, : upper[0].size]
    prior = np.diag(np.r_[1e-6, np.full(size - 1, _RIDGE_DAY)])
    rows = np.linalg.solve(gram + prior, total[:, upper[0].size :, None])[..., 0]
    rows[gram[:, 0, 0] < 2.5] = np.nan
    return np.asarray(rows)


def _standardised(federation: Federation, traits: Traits, name: str) -> tuple[Traits, F64 | None]:
    """Traits at mean 0 and covariance 1 over all places that teach; None where there is nothing to do."""
    factors = traits.traits.shape[1]
    used = traits.traits[traits.teach]
    mine = np.concatenate([[float(len(used))], used.sum(axis=0), (used.T @ used).reshape(-1)])
    total = federation.sum(f"{name}.moments", mine)
    count = total[0]
    if count < 3:
        return traits, None
    mean = total[1 : 1 + factors] / count
    covariance = total[1 + factors :].reshape(factors, factors) / count - np.outer(mean, mean)
    root = np.linalg.cholesky(covariance + np.eye(factors) * 1e-8)
    whitened = np.linalg.solve(root, (traits.traits - mean).T).T if factors else traits.traits
    kept = np.where(traits.teach[:, None], whitened, 0.0)
    return Traits(traits.level, kept, traits.teach), root


def _noise_of(
    federation: Federation, logs: F64, days: F64, traits: Traits, known: Flags, name: str
) -> float:
    fitted = traits.level[:, None] + traits.ones @ np.nan_to_num(days).T
    inside = known & np.isfinite(days).all(axis=1)
    error = np.where(inside, np.clip(logs - fitted, -_WINSOR, _WINSOR), 0.0)
    squares, count = federation.sum(
        f"{name}.noise", np.array([float((error**2).sum()), float(inside.sum())])
    )
    return float(max(squares / max(count, 1.0), 1e-5))
