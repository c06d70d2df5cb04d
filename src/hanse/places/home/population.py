"""From a panel to the population: what each member stands for, by home zone and other margins.

A panel knows 8 % of one district and 2 % of another, more of the young than of the old. Members are weighted so
that they add up to known numbers of people (post-stratification by raking; Deming and Stephan 1940). A zone with
a handful of members is shrunk to the rate of all, and no member stands for more than a few times what others do:
a wild weight would make one person's day a crowd.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Fault

_PRIOR = 25.0  # members of whom a zone's own rate must speak against the rate of all
_ROUNDS = 200
_EXACT = 1e-6


@dataclass(frozen=True, eq=False)
class Penetration:
    """Members and people by home zone [zones], and the share of people who are members, shrunk."""

    panel: NDArray[np.int64] = field(repr=False)
    population: NDArray[np.float64] = field(repr=False)
    rate: NDArray[np.float64] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Margin:
    """A way to divide people: ``group`` [members] (-1 unknown) and the people of each group ``people`` [groups]."""

    name: str
    group: NDArray[np.int64] = field(repr=False)
    people: NDArray[np.float64] = field(repr=False)


@dataclass(frozen=True, eq=False)
class Weights:
    """``weight`` [members]: the people each stands for. ``worst`` is the largest gap left to any margin, relative.

    ``effective`` is how many members of equal weight would be as sure (Kish 1965).
    """

    weight: NDArray[np.float64] = field(repr=False)
    worst: float
    cut: int  # members whose weight was cut

    @property
    def effective(self) -> float:
        total = float((self.weight**2).sum())
        return float(self.weight.sum()) ** 2 / total if total else 0.0


def penetration(zone: NDArray[np.int64], population: NDArray[np.float64]) -> Penetration:
    """The share of each zone's people who are members; ``zone`` [members] is -1 where home is unknown."""
    people = np.asarray(population, np.float64)
    panel = np.bincount(zone[zone >= 0], minlength=people.size)[: people.size].astype(np.int64)
    total = float(people.sum())
    if total <= 0:
        raise Fault("population.none", "the zones have no people", where="population",
                    remedy="give the number of people of each zone")  # fmt: skip
    overall = float(panel.sum()) / total
    # Gamma-Poisson: as if every zone had so many more members at the rate of all.
    prior = _PRIOR / max(overall, 1e-12)
    rate = (panel + _PRIOR) / (people + prior) if panel.sum() else np.zeros(people.size)
    return Penetration(panel, people, rate)


def weights(margins: Sequence[Margin], *, most: float = 5.0) -> Weights:
    """Weights of members that add up to every margin, none more than ``most`` times the median.

    The first margin should be the home zone: its groups with few members are shrunk (`penetration`), so what a zone
    lacks falls to the others. Members of an unknown group get the mean of the others. Raises `Fault`
    ``population.empty`` and ``population.margin``.
    """
    members = margins[0].group.size if margins else 0
    if not members:
        raise Fault("population.empty", "there is no member to weigh", where="population",
                    remedy="give at least one margin with members")  # fmt: skip
    for one in margins:
        if one.group.size != members or int(one.group.max(initial=-1)) >= one.people.size:
            raise Fault("population.margin", f"the margin {one.name!r} does not fit the members",
                        where="population", remedy="give every member's group of every margin")  # fmt: skip
    start = penetration(margins[0].group, margins[0].people)
    known = margins[0].group >= 0
    weight = np.ones(members)
    weight[known] = 1 / np.maximum(start.rate[margins[0].group[known]], 1e-12)
    weight[~known] = weight[known].mean() if known.any() else 1.0
    total = float(margins[0].people.sum())
    aims = [(one, _aims(one, start.rate if n == 0 else None)) for n, one in enumerate(margins)]
    cap = most * float(np.median(weight)) * total / max(float(weight.sum()), 1e-12)
    gap = np.inf
    for _ in range(_ROUNDS):
        before = weight.copy()
        for one, aim in aims:
            weight *= _factors(one, weight, aim)
        weight = np.minimum(weight, cap)
        gap = float(np.abs(weight / np.maximum(before, 1e-12) - 1).max())
        if gap < _EXACT:
            break
    weight *= total / float(weight.sum())
    return Weights(
        weight, max(_gap(one, weight, aim) for one, aim in aims), int((weight >= cap * 0.999).sum())
    )


def _aims(one: Margin, rate: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """What each group should add up to: its people, or what its members stand for at a shrunk rate."""
    if rate is None:
        return one.people
    members = np.bincount(one.group[one.group >= 0], minlength=one.people.size)
    aim = members / np.maximum(rate, 1e-12)
    return np.asarray(aim * one.people.sum() / max(float(aim.sum()), 1e-12))


def _factors(
    one: Margin, weight: NDArray[np.float64], aim: NDArray[np.float64]
) -> NDArray[np.float64]:
    known = one.group >= 0
    has = np.bincount(one.group[known], weight[known], aim.size)
    there = has > 0
    # People of groups without members are spread over the others, or the total would shrink.
    scale = (
        aim.sum() / max(float(aim[there].sum()), 1e-12) * float(weight[known].sum() / weight.sum())
    )
    factor = np.ones(aim.size)
    factor[there] = aim[there] * scale / has[there]
    out = np.ones(weight.size)
    out[known] = factor[one.group[known]]
    return out


def _gap(one: Margin, weight: NDArray[np.float64], aim: NDArray[np.float64]) -> float:
    known = one.group >= 0
    has = np.bincount(one.group[known], weight[known], aim.size)
    there = (has > 0) & (aim > 0)
    wanted = aim[there] / aim[there].sum() * has[there].sum()
    return float(np.abs(has[there] / wanted - 1).max()) if there.any() else 0.0
