"""Which columns to keep: by information value, by correlation, by inflation. Plain rules over what was told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hanse.learn.evaluation.plain import Column, vif

Name = tuple[str, str]  # (party, column)


@dataclass(frozen=True)
class Limits:
    """Columns are dropped below ``least_value``, the weaker of two above ``most_correlation``, the weakest above
    ``most_inflation``; None: not looked at.
    """

    least_value: float | None = 0.02
    most_correlation: float | None = 0.9
    most_inflation: float | None = 10.0


@dataclass(frozen=True)
class Dropped:
    """A column that is left out, and why."""

    party: str
    column: str
    why: str


def select(
    names: list[Name], limits: Limits, *, values: Mapping[Name, float | None] | None = None,
    correlation: Column | None = None,
) -> tuple[list[Name], list[Dropped]]:  # fmt: skip
    """(kept, dropped) of columns, in order of the rules; a column's value also says which of two is weaker.

    ``correlation`` [columns, columns] in the order of ``names``, NaN where it was not told: such pairs are not
    compared, and inflation is looked at only where all is known. ``values``: information values or importances.
    """
    worth = {name: (values or {}).get(name) for name in names}
    kept = list(names)
    dropped: list[Dropped] = []
    if limits.least_value is not None:
        for name in names:
            value = worth[name]
            if value is not None and value < limits.least_value:
                kept.remove(name)
                dropped.append(
                    Dropped(*name, f"its value {value:.3g} is below {limits.least_value:g}")
                )
    if correlation is None:
        return kept, dropped
    place = {name: number for number, name in enumerate(names)}
    order = sorted(kept, key=lambda n: -(worth[n] if worth[n] is not None else 0.0))  # type: ignore[operator]
    if limits.most_correlation is not None:
        good: list[Name] = []
        for name in order:
            near = [
                g for g in good if abs(correlation[place[name], place[g]]) > limits.most_correlation
            ]
            if near:
                r = correlation[place[name], place[near[0]]]
                kept.remove(name)
                dropped.append(
                    Dropped(*name, f"it goes with {near[0][0]}.{near[0][1]} (correlation {r:.2f})")
                )
            else:
                good.append(name)
    if limits.most_inflation is not None:
        dropped += _inflated(kept, place, correlation, worth, limits.most_inflation)
        gone = {(d.party, d.column) for d in dropped}
        kept = [name for name in kept if name not in gone]
    return kept, dropped


def _inflated(
    kept: list[Name],
    place: Mapping[Name, int],
    correlation: Column,
    worth: Mapping[Name, float | None],
    most: float,
) -> list[Dropped]:
    """One column after the other: of those that others tell too well, the one that is told best."""
    left = list(kept)
    dropped: list[Dropped] = []
    while len(left) > 1:
        some = [place[name] for name in left]
        matrix = correlation[np.ix_(some, some)]
        if np.isnan(matrix).any():
            return dropped
        found = vif(matrix)
        worst = max(range(len(left)), key=lambda i: (found[i], -(worth[left[i]] or 0.0)))
        if found[worst] <= most:
            return dropped
        told = (
            "others tell it exactly" if np.isinf(found[worst]) else f"inflation {found[worst]:.3g}"
        )
        dropped.append(Dropped(*left[worst], told))
        left.pop(worst)
    return dropped
