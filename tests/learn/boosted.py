"""Rows of places for the tests of boosting, and the area under the curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.learn.boosting import Rows

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """``columns`` of each party, labels by loss."""

    guest: Rows
    hosts: list[Rows]
    y: dict[str, F64]

    @property
    def all_columns(self) -> dict[str, F64]:
        """Everything in one place, in the parties' order, named by party and column."""
        return {
            f"{r.party}.{n}": v for r in [self.guest, *self.hosts] for n, v in r.columns.items()
        }


def world(
    rows: int, seed: int, *, hosts: int = 1, columns: int = 4, missing: float = 0.05
) -> World:
    random = np.random.default_rng(seed)
    x = random.standard_normal((hosts + 1, columns, rows))
    x[-1, 1] = np.round(x[-1, 1])  # few values
    truth = x[0, 0] + 0.9 * x[-1, 0] * x[0, 1] - 0.7 * (x[-1, 1] > 0) + 0.5 * x[-1, 2] ** 2
    x[random.random(x.shape) < missing] = np.nan
    truth -= 0.8 * np.isnan(x[-1, 2])
    parties = [
        Rows(name, range(rows), {f"x{i}": x[p, i] for i in range(columns)}, personal=False)
        for p, name in enumerate(["guest", *(f"host-{h}" for h in range(1, hosts + 1))])
    ]
    labels = {
        "logistic": (random.random(rows) < 1 / (1 + np.exp(-truth))).astype(np.float64),
        "squared": truth + 0.3 * random.standard_normal(rows),
        "poisson": random.poisson(np.exp(0.4 * truth)).astype(np.float64),
    }
    return World(parties[0], parties[1:], labels)


def auc(y: F64, score: F64) -> float:
    """Area under the curve, ties counted half."""
    _, at, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[at]
    ones = y.sum()
    return float((ranks[y == 1].sum() - ones * (ones + 1) / 2) / (ones * (y.size - ones)))
