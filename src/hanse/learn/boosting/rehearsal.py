"""A rehearsal of vertical boosting: all parties in one process, on tables at hand, beside the plain model.

Everything runs as it would between organisations: rows aligned in the open, gradients encrypted, sums re-randomised
and opened by the gate, scores from every party's directions. Then the same trees are grown with all columns in one
place, and with each party's alone, to compare.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Refusal
from hanse.learn.boosting.losses import LossName
from hanse.learn.boosting.rows import Rows
from hanse.learn.boosting.settings import MAXIMUM_CLASSES, Settings
from hanse.learn.boosting.together import Model, fit
from hanse.learn.boosting.warm import warm_up
from hanse.learn.linear.tables import Table

F64 = NDArray[np.float64]
Texts = Mapping[str, Mapping[str, Sequence[str]]]
NEEDS = (
    "rows are aligned in the open: every party knows which ids match. That is for places and other things; a model "
    "about people would need a contract that states their authorisation, sums over 100 rows or more and a first "
    "tree of the label party's columns"
)


@dataclass(frozen=True)
class Outcome:
    """What came out, and what it cost. Expected labels are [rows], of several classes [rows, classes], of the rows
    that are judged: those kept for the test, or all where none are kept."""

    loss: LossName
    parties: tuple[str, ...]
    rows_matched: int  # exact: alignment is open
    trees: int
    y: F64  # labels of the judged rows, as 0 and 1, or 0, 1, 2, ... for classes
    mean: F64
    centralised: F64
    alone: dict[str, F64]  # by party; what it could do if it had the labels
    importance: dict[str, dict[str, float]]  # by party and column: shares of the party's own splits
    shares: dict[str, float]  # of the gain, by party
    wall_s: float
    cpu_s: float
    plaintext_s: float
    scoring_s: float
    bytes: int
    openings: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...]
    model: Model


def rehearse(
    tables: Sequence[Table], *, loss: LossName | None = None, trees: int = 30, depth: int = 4,
    learning_rate: float = 0.3, holdout: float = 0.3, settings: Settings | None = None,
    texts: Texts | None = None, classes: Sequence[str] = (), rivals: bool = True,
) -> Outcome:  # fmt: skip
    """Boost the first table's label over all tables' columns (NaN: missing). ``holdout``: share of ids to test on.

    ``loss`` None: by the label (`loss_of`). ``settings`` overrules trees, depth and rate, not the loss. ``texts``
    by party and column: the values that a column of codes stands for; it is then split by categories. ``rivals``:
    also what each party could do alone if it had the label. `Refusal` where the data cannot serve.
    """
    y, places = _aligned(tables)
    found, labels, notes = loss_of(y, loss, classes)
    chosen = settings or Settings(trees=trees, depth=depth, learning_rate=learning_rate)
    chosen = replace(
        chosen, loss=found, classes=int(labels.max()) + 1 if found == "multinomial" else 0
    )
    first = tables[0]
    test = first.lots[places[0]] < holdout
    rows = [_rows(t, p, (texts or {}).get(t.name, {})) for t, p in zip(tables, places, strict=True)]
    learning, judging = _part(rows, ~test), _part(rows, test if test.any() else ~test)
    truth = labels[test if test.any() else ~test]
    if test.all():
        raise Refusal("learn.rows", "there are no rows to learn from", where=first.name,
                      remedy="keep fewer for the test")  # fmt: skip
    warm_up()  # kernels are compiled before the clock starts
    wall, cpu = time.perf_counter(), time.process_time()
    model = fit(learning[0], labels[~test], learning[1:], chosen)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    begun = time.perf_counter()
    mean = model.predict(judging[0], judging[1:])
    scoring = time.perf_counter() - begun
    begun = time.perf_counter()
    centralised = _alone([_together(learning), _together(judging)], labels[~test], chosen)
    plain = time.perf_counter() - begun
    alone = {
        one.party: _alone([one, other], labels[~test], chosen)
        for one, other in zip(learning, judging, strict=True)
        if rivals and one.columns
    }
    if not test.any():
        notes = [*notes, "no rows were kept for the test: the metrics are of the rows learned from"]
    blocks = [model.label_block.own, *model.feature_blocks]
    return Outcome(
        found, tuple(t.name for t in tables), int(test.size), model.history.kept, truth, mean, centralised,
        alone, {b.party: b.importance() for b in blocks}, model.label_block.importance(), wall, cpu, plain,
        scoring, sum(model.bytes.values()), tuple(model.record.body()),
        (f"a rehearsal: all parties in one process; {NEEDS}", *notes), model,
    )  # fmt: skip


def loss_of(
    y: F64, wanted: LossName | None, classes: Sequence[str] = ()
) -> tuple[LossName, F64, list[str]]:
    """(loss, labels as it wants them, notes). Two values are classes; more are numbers, unless ``classes`` names
    them or multinomial is wanted. `Refusal` where labels do not vary or do not fit."""
    kinds = np.unique(y)
    if not np.isfinite(y).all():
        raise Refusal("learn.label", "the label has missing or infinite values",
                      remedy="leave these rows out")  # fmt: skip
    if kinds.size < 2:
        raise Refusal("learn.label", "the label has one value only in the rows that match",
                      remedy="a model needs rows of at least two kinds")  # fmt: skip
    loss: LossName = wanted or (
        "logistic" if kinds.size == 2 else "multinomial" if len(classes) > 2 else "squared"
    )
    if loss in ("logistic", "multinomial"):
        most = 2 if loss == "logistic" else MAXIMUM_CLASSES
        if kinds.size > most:
            raise Refusal("learn.label", f"the label has {kinds.size} values; {loss} takes {most} at most",
                          remedy="choose another loss, or another label")  # fmt: skip
        coded = np.searchsorted(kinds, y).astype(np.float64)
        plain = np.array_equal(kinds, np.arange(kinds.size))
        said = ", ".join(f"{k:g} = {n}" for n, k in enumerate(kinds[:10]))
        return loss, coded, [] if plain else [f"the label is coded {said}"]
    if loss == "poisson" and (y.min() < 0 or y.sum() <= 0):
        raise Refusal("learn.label", "the labels of a Poisson model must be counts",
                      remedy="choose another loss")  # fmt: skip
    more = kinds.size < 20 and wanted is None
    note = f"the label's {kinds.size} values are taken as numbers" if more else ""
    return loss, y, [note] if note else []


def _aligned(tables: Sequence[Table]) -> tuple[F64, list[NDArray[np.int64]]]:
    """(labels of the rows that all have, by rising id; where each table has them)."""
    names = [t.name for t in tables]
    if len(tables) < 2 or len(set(names)) != len(names):
        raise Refusal("learn.parties", "a joint model takes two parties or more, each of another name",
                      remedy="give each party's table a name of its own")  # fmt: skip
    if tables[0].label is None:
        raise Refusal("learn.label", "the first table has no label", where=names[0],
                      remedy="name its label column")  # fmt: skip
    shared = tables[0].ids
    for table in tables[1:]:
        shared = np.intersect1d(shared, table.ids)
    if shared.size == 0:
        raise Refusal("learn.rows", "no row of one party matches a row of the others",
                      remedy="check that the id columns hold the same ids, written alike")  # fmt: skip
    places = []
    for table in tables:
        order = np.argsort(table.ids)
        places.append(order[np.searchsorted(table.ids[order], np.sort(shared))])
    return tables[0].label[places[0]], places


def _rows(table: Table, places: NDArray[np.int64], texts: Mapping[str, Sequence[str]]) -> Rows:
    columns: dict[str, NDArray[Any]] = {}
    for number, name in enumerate(table.columns.names):
        values = table.columns.values[places, number]
        if name in texts:
            known = np.array([*texts[name], None], object)
            codes = np.where(np.isnan(values), known.size - 1, values).astype(np.int64)
            columns[name] = known[codes]
        else:
            columns[name] = values
    return Rows(table.name, table.ids[places], columns, personal=False)


def _part(parties: Sequence[Rows], chosen: NDArray[np.bool_]) -> list[Rows]:
    return [
        replace(
            rows, keys=np.asarray(rows.keys)[chosen], columns={n: v[chosen] for n, v in rows.columns.items()}
        )
        for rows in parties
    ]  # fmt: skip


def _together(parties: Sequence[Rows]) -> Rows:
    columns = {f"{r.party}.{n}": v for r in parties for n, v in r.columns.items()}
    return Rows("all", parties[0].keys, columns, personal=False)


def _alone(rows: Sequence[Rows], y: F64, settings: Settings) -> F64:
    """The same trees over one party's columns, in the clear: (rows to learn from, rows to judge)."""
    learning, judging = rows
    return fit(learning, y, [], settings).predict(judging)
