"""What each party adds to a model or an estimate: ablation and Shapley values from aggregate metrics alone.

The value of a coalition is a metric (AUC, P30, ...) of what its members reach together, which the federation
computes like any other metric; nothing finer is needed. The Shapley value of a party is its marginal value averaged
over all orders in which parties could have joined (Shapley 1953): the values of all parties add up to what all
reach together above nobody, parties that add the same get the same, and who adds nothing gets nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from hanse.errors import Refusal

MOST_PARTIES = 10  # 1,024 coalitions
Coalition = frozenset[str]


@dataclass(frozen=True, slots=True)
class Contribution:
    """One party's part of a value. ``share`` of the whole gain (nan where there is none)."""

    party: str
    shapley: float
    ablation: float  # what all lose without it
    alone: float  # what it reaches alone, above nobody
    share: float


def coalitions(parties: Iterable[str], always: Iterable[str] = ()) -> list[Coalition]:
    """Every coalition that must be valued, smallest first; ``always`` (a label's owner) are in each.

    Raises `Refusal` ``contribution.parties`` for more than `MOST_PARTIES` that may be absent, or none.
    """
    fixed = frozenset(always)
    free = sorted(set(parties) - fixed)
    if not 0 < len(free) <= MOST_PARTIES:
        raise Refusal("contribution.parties",
                      f"{len(free)} parties may be absent; 1 to {MOST_PARTIES} can be valued",
                      remedy="value groups of parties as one")  # fmt: skip
    return [fixed | set(some) for size in range(len(free) + 1) for some in combinations(free, size)]


def contributions(
    parties: Iterable[str], values: Mapping[Coalition, float], always: Iterable[str] = ()
) -> list[Contribution]:
    """Each party's contribution, largest first, from the value of every coalition.

    Raises `Refusal` ``contribution.value`` naming a coalition whose value is missing or not a number.
    """
    fixed = frozenset(always)
    free = sorted(set(parties) - fixed)
    for some in coalitions(parties, always):
        if not math.isfinite(values.get(some, math.nan)):
            raise Refusal("contribution.value", f"the value of {', '.join(sorted(some)) or 'nobody'} is missing",
                          remedy="compute the metric for every coalition")  # fmt: skip
    whole, nobody = values[fixed | set(free)], values[fixed]
    gain = whole - nobody
    count = len(free)
    found = []
    for party in free:
        others = [p for p in free if p != party]
        shapley = 0.0
        for size in range(count):
            weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            for joined in combinations(others, size):
                before = fixed | set(joined)
                shapley += weight * (values[before | {party}] - values[before])
        found.append(
            Contribution(
                party, shapley, whole - values[fixed | set(others)], values[fixed | {party}] - nobody,
                shapley / gain if abs(gain) > 1e-12 else math.nan,
            )
        )  # fmt: skip
    return sorted(found, key=lambda c: (-c.shapley, c.party))


def valued(
    parties: Iterable[str], value: Callable[[Coalition], float], always: Iterable[str] = ()
) -> tuple[list[Contribution], dict[Coalition, float]]:
    """`contributions`, with ``value`` asked once for each coalition; and what it said."""
    names = list(parties)
    values = {some: value(some) for some in coalitions(names, always)}
    return contributions(names, values, always), values
