"""What a rehearsal is asked for, and the rows that only a rehearsal can have in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Fault, Refusal
from hanse.learn.boosting.losses import LOSSES, LossName
from hanse.learn.linear.tables import Table

LINEAR = ("logistic", "linear", "poisson", "gamma", "tweedie", "multinomial")
MODELS = (*LINEAR, "boosting")
LEAST_MATCHED = 30  # rows to learn from: with fewer not even a rehearsal says anything
CONTRACT_ROWS, CONTRACT_PER_COLUMN = 1000, 20
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """What to train. ``l2`` None: next to none, firmer where rows are few. ``power`` is a Tweedie model's."""

    model: str = "logistic"
    l2: float | None = None
    holdout: float = 0.3
    minimum_rows: int | None = None
    iterations: int = 20
    seed: str = "rehearsal"
    power: float = 1.5
    trees: int = 30
    depth: int = 4
    loss: LossName | None = None  # of boosting; None: by the label
    l1: float = 0.0  # of linear models, as the two below
    alignment: str = "hidden"  # or "open": parties see which rows they share
    errors: bool = False  # whether parties get standard errors of their coefficients
    batch_rows: int | None = None  # rows in memory at a time; None: all

    def check(self) -> None:
        """`Refusal` where it makes no sense."""
        if self.model not in MODELS:
            raise Refusal("learn.model", f"there is no model {self.model!r}",
                          remedy=f"use one of {', '.join(MODELS)}")  # fmt: skip
        if self.loss is not None and (self.loss not in LOSSES or self.model != "boosting"):
            raise Refusal("learn.loss", f"{self.loss!r} is no loss of a {self.model} model",
                          remedy=f"boosting takes {', '.join(LOSSES)}; other models have their own")  # fmt: skip
        if not 0 <= self.holdout <= 0.9:
            raise Refusal("learn.holdout", f"a share of {self.holdout} for the test is out of range",
                          remedy="choose 0 to 0.9")  # fmt: skip


@dataclass(frozen=True)
class Matched:
    """Rows that all parties have, in one place: columns by party [rows, columns], labels, the test's rows."""

    blocks: Mapping[str, Matrix]
    names: Mapping[str, tuple[str, ...]]
    y: Matrix
    test: NDArray[np.bool_]
    rows_of: Mapping[str, NDArray[np.int64]]  # where a party's table has them

    @property
    def rows(self) -> int:
        return int(self.y.size)

    @property
    def learning(self) -> int:
        return int((~self.test).sum())

    @property
    def columns(self) -> int:
        return sum(block.shape[1] for block in self.blocks.values())

    @property
    def judging(self) -> NDArray[np.bool_]:
        """The rows metrics are of: the test's, or all where none are kept."""
        return self.test if self.test.any() else ~self.test

    @property
    def tested(self) -> tuple[float, float]:
        """(positives, negatives) of two classes among these rows, else (rows, 0)."""
        y = self.y[self.judging]
        if np.unique(self.y).size == 2:
            positive = float((y == self.y.max()).sum())
            return positive, float(y.size) - positive
        return float(y.size), 0.0

    @property
    def one_sided(self) -> bool:
        """Whether the label has two classes and these rows have one of them only."""
        return np.unique(self.y).size == 2 and 0.0 in self.tested


def matched_rows(tables: Sequence[Table], holdout: float) -> Matched:
    """Rows of all tables, by rising id; the first has the label."""
    first = tables[0]
    if first.label is None:
        raise Fault("learn.label", "the first party has no label")
    shared = first.ids
    for table in tables[1:]:
        shared = np.intersect1d(shared, table.ids)
    shared = np.sort(shared)
    blocks: dict[str, Matrix] = {}
    places: dict[str, NDArray[np.int64]] = {}
    for table in tables:
        order = np.argsort(table.ids)
        places[table.name] = order[np.searchsorted(table.ids[order], shared)]
        blocks[table.name] = table.columns.values[places[table.name]]
    own = places[first.name]
    return Matched(
        blocks, {t.name: t.columns.names for t in tables}, first.label[own], first.lots[own] < holdout, places,
    )  # fmt: skip


def check_matched(matched: Matched, asked: Asked) -> None:
    """`Refusal` where too few rows match, the label does not vary among them, or a column tells it exactly."""
    least = max(LEAST_MATCHED, asked.minimum_rows or 0)
    if matched.learning < least:
        raise Refusal(
            "learn.rows",
            f"{matched.rows} rows match, {matched.learning} of them to learn from: a model needs {least}",
            remedy="check that all files have the same ids in the column that --id names; bring more rows in "
            "common, or keep fewer for the test (--holdout)",
        )  # fmt: skip
    y = matched.y[~matched.test]
    if (y == y[0]).all():
        raise Refusal("learn.label", "the label has one value only in the rows that match",
                      where=next(iter(matched.blocks)),
                      remedy="a model needs rows of at least two kinds")  # fmt: skip
    kinds = np.unique(matched.y).size
    if asked.model == "logistic" and kinds > 2:
        raise not_two_classes(kinds, next(iter(matched.blocks)))
    _check_leaks(matched)


def not_two_classes(kinds: int, where: str = "") -> Refusal:
    """The refusal of a logistic model of other labels."""
    return Refusal(
        "learn.label", f"the label has {kinds} values, not two classes", where=where,
        remedy="take another model, such as multinomial for classes or linear for numbers",
    )  # fmt: skip


def _check_leaks(matched: Matched) -> None:
    if not np.isfinite(matched.y).all():
        return  # refused by the model, which names the party
    centred = matched.y - matched.y.mean()
    for party, block in matched.blocks.items():
        largest = np.maximum(np.abs(np.nan_to_num(block)).max(axis=0, initial=0.0), 1e-300)
        moved = np.nan_to_num(block) / largest  # of any size: squares must not overflow
        moved = np.where(np.isnan(block), 0.0, moved - moved.mean(axis=0))
        size = np.sqrt((moved**2).sum(axis=0) * (centred**2).sum())
        same = np.abs(moved.T @ centred) > (1 - 1e-12) * size
        copies = np.flatnonzero(same & (size > 0))
        if copies.size:
            name = matched.names[party][int(copies[0])]
            raise Refusal("learn.leak", f"the column {name!r} tells the label exactly", where=party,
                          remedy=f"leave it out with --without {name.partition('=')[0]}")  # fmt: skip
