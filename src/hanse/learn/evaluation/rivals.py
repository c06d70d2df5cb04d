"""What a joint model is measured beside: all in one place, each party alone, an ensemble of their own models.

Computed in the clear, so in rehearsals only: a feature holder of a vertical model has no label to learn alone from,
and what it could do if it had is the fair question to ask of a joint model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Learn = Callable[[Matrix, Matrix, Matrix], Matrix]
"""(rows to learn from, their labels, rows to judge) to expected labels [rows] or [rows, classes]."""
Judge = Callable[[Matrix, Matrix], dict[str, float]]
"""(expected labels, labels) to metrics."""


ENSEMBLE = "ensemble"  # its key among spreads; a party's is its name
_WORK = 2_000_000  # rows drawn for one spread, about
_MOST_DRAWS, _LEAST_DRAWS = 100, 20


@dataclass(frozen=True)
class Rivals:
    """Metrics on the same rows; ``spreads`` are standard errors of the joint model's lead over each rival."""

    centralised: dict[str, float]
    alone: dict[str, dict[str, float]]
    ensemble: dict[str, float]
    spreads: dict[str, float] = field(default_factory=dict)


def of_columns(
    blocks: Mapping[str, Matrix], y: Matrix, learning: NDArray[np.bool_], judging: NDArray[np.bool_],
    learn: Learn, judge: Judge, main: str, centralised: dict[str, float] | None = None,
) -> Rivals:  # fmt: skip
    """Rivals of a vertical model: matched rows' columns by party [rows, columns], the label party first.

    ``learning`` and ``judging`` mark rows. The ensemble is the mean of the parties' expected labels; a party
    without columns expects the mean. ``main`` is the metric that decides. ``centralised`` spares that fit where it
    is known (then there are no spreads). The joint model is taken to expect what the centralised one does: on
    shares the same optimum is found.
    """
    means = {party: _own(block, y, learning, judging, learn) for party, block in blocks.items()}
    truth = y[judging]
    if centralised is not None:
        return judged_means({}, means, truth, judge, main, centralised)
    everything = np.concatenate(list(blocks.values()), axis=1)
    pooled = learn(everything[learning], y[learning], everything[judging])
    return judged_means({"joint": pooled}, means, truth, judge, main, judge(pooled, truth))


def judged_means(
    joint: Mapping[str, Matrix], means: Mapping[str, Matrix], y: Matrix, judge: Judge, main: str,
    centralised: dict[str, float],
) -> Rivals:  # fmt: skip
    """Rivals from expected labels of parties' own models; ``joint`` those of the joint model, if they are known."""
    together = np.mean(list(means.values()), axis=0) if means else None
    spreads = {}
    for mine in joint.values():
        spreads = {party: spread_of(mine, mean, y, judge, main) for party, mean in means.items()}
        if together is not None:
            spreads[ENSEMBLE] = spread_of(mine, together, y, judge, main)
    return Rivals(
        centralised, {party: judge(mean, y) for party, mean in means.items()},
        {} if together is None else judge(together, y), spreads,
    )  # fmt: skip


def spread_of(joint: Matrix, rival: Matrix, y: Matrix, judge: Judge, main: str) -> float:
    """Standard error of the difference of a metric of two models on the same rows, by drawing these again."""
    random = np.random.default_rng(0)
    draws = min(_MOST_DRAWS, max(_LEAST_DRAWS, _WORK // max(1, y.size)))
    found = []
    for _ in range(draws):
        rows = random.integers(0, y.size, y.size)
        found.append(judge(joint[rows], y[rows])[main] - judge(rival[rows], y[rows])[main])
    known = np.array(found)[np.isfinite(found)]
    return float(known.std()) if known.size > 1 else float("nan")


def _own(
    block: Matrix, y: Matrix, learning: NDArray[np.bool_], judging: NDArray[np.bool_], learn: Learn
) -> Matrix:
    if block.shape[1] == 0:
        block = np.zeros((block.shape[0], 1))
    return learn(block[learning], y[learning], block[judging])


def of_rows(
    parts: Mapping[str, tuple[Matrix, Matrix]], tests: Sequence[tuple[Matrix, Matrix]], learn: Learn, judge: Judge,
    main: str,
) -> Rivals:  # fmt: skip
    """Rivals of a horizontal model: (columns, labels) to learn from by party, and to judge by, of all parties."""
    x = np.concatenate([x for x, _ in tests])
    y = np.concatenate([y for _, y in tests])
    means = {party: learn(own, labels, x) for party, (own, labels) in parts.items()}
    pooled = learn(
        np.concatenate([own for own, _ in parts.values()]),
        np.concatenate([labels for _, labels in parts.values()]), x,
    )  # fmt: skip
    return judged_means({"joint": pooled}, means, y, judge, main, judge(pooled, y))
