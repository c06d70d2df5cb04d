"""The shared rhythm: what every day did to a city's places, and how each place takes part in it.

    log y[p, d] = level_p + common_d + loadings_d . traits_p + noise

*Days* (common, loadings: `Days`, public) are what all places have in common; *traits* (level and a few numbers)
are a place's own and stay with its owner. Fitted by turns: given the days each owner regresses its own places at
home; given the traits the days follow from sums over places. Weekdays, holidays, seasons, weather and shocks are
all in the days, and nobody has to say which.

What is left of a place may still go by the weekday, in a way of its own (a market, a church): `own_weekdays` says
how much, which is what a handful of counted days can teach of a new place.

Crosses between owners: per turn and day the number of places that know the day and the sums over them of t r
(t = 1 and the traits, r = what the turn before left unexplained); per turn the sums of traits and of their
products, by which the traits are kept at mean 0 and variance 1 and days are solved for. Which place misses a day
leaves no mark of its own in them: a day's sums are scaled by how many places know it. Of a day that fewer than
three of its places know an owner tells nothing (`shared`): others who know their own parts would read a place's.
Source: alternating least squares for a factor model with holes (Gabriel and Zamir 1979; Koren 2009).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.places.crowd.federation import Federation

F64 = NDArray[np.float64]
Flags = NDArray[np.bool_]
PLACES_A_FACTOR = 30  # a factor needs so many places: fewer only learn each other's noise
LEAST_SHARED = 3  # places of an owner to a sum of a day: of fewer it tells nothing
LEAST_DAYS = 42  # a place teaches the rhythm from so many known days on
_WINSOR = 0.5  # a log residual beyond this teaches no more than this
_RIDGE_DAY = 0.1  # places' worth of prior that a day's loadings are 0
_LEAST_WEEKS = 4  # days of a weekday, of which a mean says something
_MOST_OWN = 0.9  # of the noise can be put down to weekdays
_NOISE = 0.0064  # first guess of the residual variance


@dataclass(frozen=True, eq=False)
class Rhythm:
    """``days`` [days, 1 + factors] (common first; not a number where unknown) and the noise's variance, of which
    ``weekdays`` is how a place's own weekdays differ from what its traits say."""

    days: F64
    noise: float
    gram: F64  # [1 + factors, 1 + factors]: sum of the products of all places' traits that teach
    weekdays: float = 0.0

    @property
    def factors(self) -> int:
        """How many loadings a day has."""
        return int(self.days.shape[1]) - 1


@dataclass(frozen=True, eq=False)
class Traits:
    """An owner's places: ``level`` [places], ``traits`` [places, factors], and which of them teach (bool)."""

    level: F64
    traits: F64
    teach: Flags

    @property
    def ones(self) -> F64:
        """[places, 1 + factors]: what a day's row is multiplied with."""
        return np.asarray(np.c_[np.ones(self.level.size), self.traits])


def fit_rhythm(
    federation: Federation, logs: F64, start: F64, factors: int, turns: int = 6
) -> tuple[Rhythm, Traits]:
    """The rhythm of ``logs`` [own places, days] (not a number where unknown), and the own places' traits.

    ``start`` [days, >= factors] are first guesses of loadings, the same at all owners (calendar contrasts).
    """
    teach = np.isfinite(logs).sum(axis=1) >= LEAST_DAYS
    places = float(federation.sum("rhythm.places", np.array([float(teach.sum())]))[0])
    factors = max(0, min(factors, int(places) // PLACES_A_FACTOR, start.shape[1]))
    days = np.c_[np.zeros(logs.shape[1]), start[:, :factors]]
    noise = _NOISE
    traits = at_home(logs, days, noise, teach)
    days = np.zeros_like(days)
    for turn in range(turns):
        traits, gram = _standardised(federation, traits, f"rhythm.{turn}")
        days = day_rows(federation, logs, traits, gram, f"rhythm.{turn}", days, first=turn == 0)
        noise = _noise_of(federation, logs, days, traits, f"rhythm.{turn}")
        if turn < turns - 1:
            traits = at_home(logs, days, noise, teach)
    return Rhythm(days, noise, gram), traits


def own_weekdays(
    federation: Federation, logs: F64, rhythm: Rhythm, traits: Traits, weekday: NDArray[np.int64]
) -> float:
    """The variance over places of what each weekday of a place is apart from level and traits.

    ``logs`` [own places, days] and ``weekday`` int64 [days] (0 to 6) are of the days of ``rhythm``. Crosses: the
    sum over places and weekdays of squared means less what chance alone makes of them, and how many there are.
    """
    rest = logs - traits.level[:, None] - traits.ones @ np.nan_to_num(rhythm.days).T
    known = np.isfinite(rest) & traits.teach[:, None] & np.isfinite(rhythm.days).all(axis=1)
    rest = np.where(known, np.clip(rest, -_WINSOR, _WINSOR), 0.0)
    total, pairs = 0.0, 0.0
    for day in range(7):
        count = known[:, weekday == day].sum(axis=1)
        enough = count >= _LEAST_WEEKS
        part, size = rest[enough][:, weekday == day], count[enough]
        mean = part.sum(axis=1) / size
        chance = ((part**2).sum(axis=1) / size - mean**2) / (size - 1)
        total, pairs = total + float((mean**2 - chance).sum()), pairs + float(enough.sum())
    whole, many = federation.sum("rhythm.weekdays", np.array([total, pairs]))
    return float(np.clip(whole / max(many, 1.0), 0.0, rhythm.noise * _MOST_OWN))


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
    flags = np.asarray(seen.any(axis=1)) if teach is None else teach
    return Traits(
        np.where(flags, solved[:, 0], 0.0), np.where(flags[:, None], solved[:, 1:], 0.0), flags
    )


def day_rows(
    federation: Federation, logs: F64, traits: Traits, gram: F64, name: str, before: F64, *, first: bool = False
) -> F64:  # fmt: skip
    """[days, 1 + factors] from sums over the owners' places that teach; nan on days that no owner tells of.

    ``gram`` [1 + factors, 1 + factors] is the sum of products over all places that teach; ``before`` [days, ..]
    rows from the turn before: a residual from them is cut at a size that no crowd errs by twice, unless ``first``.
    """
    known = shared(np.isfinite(logs) & traits.teach[:, None])
    rows = np.nan_to_num(before)
    rest = logs - traits.level[:, None] - traits.ones @ rows.T
    if not first:
        rest = np.clip(rest, -_WINSOR, _WINSOR)
    moment = np.where(known, rest, 0.0).T @ traits.ones
    total = federation.sum(f"{name}.days", np.c_[known.sum(axis=0).astype(np.float64), moment])
    count = total[:, 0]
    prior = np.diag(np.r_[1e-6, np.full(gram.shape[0] - 1, _RIDGE_DAY)])
    whole = total[:, 1:] * (gram[0, 0] / np.maximum(count, 1.0))[:, None] - rows @ prior
    out = rows + np.linalg.solve(gram + prior, whole.T).T
    out[count < 2.5] = np.nan
    return np.asarray(out)


def shared(known: Flags) -> Flags:
    """``known`` [own places, days] without days of so few places that a sum over them tells of single ones."""
    return np.asarray(known & (known.sum(axis=0) >= LEAST_SHARED))


def _standardised(federation: Federation, traits: Traits, name: str) -> tuple[Traits, F64]:
    """(traits at mean 0 and covariance 1 over all places that teach, the sum of their products)."""
    factors = traits.traits.shape[1]
    used = traits.traits[traits.teach]
    mine = np.concatenate([[float(len(used))], used.sum(axis=0), (used.T @ used).reshape(-1)])
    total = federation.sum(f"{name}.moments", mine)
    count = total[0]
    gram = np.diag(np.full(1 + factors, max(count, 1e-6)))
    if count < 3 or factors == 0:
        return traits, gram
    mean = total[1 : 1 + factors] / count
    covariance = total[1 + factors :].reshape(factors, factors) / count - np.outer(mean, mean)
    root = np.linalg.cholesky(covariance + np.eye(factors) * 1e-8)
    whitened = np.linalg.solve(root, (traits.traits - mean).T).T
    kept = np.where(traits.teach[:, None], whitened, 0.0)
    return Traits(traits.level, kept, traits.teach), gram


def _noise_of(federation: Federation, logs: F64, days: F64, traits: Traits, name: str) -> float:
    fitted = traits.level[:, None] + traits.ones @ np.nan_to_num(days).T
    inside = np.isfinite(logs) & traits.teach[:, None] & np.isfinite(days).all(axis=1)
    error = np.where(inside, np.clip(logs - fitted, -_WINSOR, _WINSOR), 0.0)
    squares, count = federation.sum(
        f"{name}.noise", np.array([float((error**2).sum()), float(inside.sum())])
    )
    return float(max(squares / max(count, 1.0), 1e-5))
