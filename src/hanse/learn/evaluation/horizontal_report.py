"""A rehearsal of a model over several parties' rows, as a report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hanse.errors import Refusal
from hanse.learn.evaluation.asked import LEAST_MATCHED, Asked, Matrix, not_two_classes
from hanse.learn.evaluation.linear_report import penalty
from hanse.learn.evaluation.report import Report
from hanse.learn.evaluation.tables import figure
from hanse.learn.features.reading import MISSING, Prepared, coding
from hanse.learn.horizontal.home import Home
from hanse.learn.horizontal.rehearsal import Outcome, rehearse
from hanse.learn.horizontal.roles import Plan
from hanse.learn.horizontal.trees import Boosting
from hanse.tables import Table

LEAST_PARTIES = 3
_OWN = (
    "rounds",
    "converged",
    "each",
    "standing",
    "choices",
    "epsilon",
    "delta",
    "contributors",
    "bytes_by_role",
    "method",
)


def horizontal(parties: Sequence[Prepared], asked: Asked, notes: list[str]) -> Report:
    """Train over the parties' rows; columns have the same names at all of them."""
    if len(parties) < LEAST_PARTIES:
        raise Refusal("learn.parties", f"{len(parties)} parties are too few: of a sum of two each would know the "
                      "other's part", remedy="name the files of three parties or more")  # fmt: skip
    homes, more = homes_of(parties, asked.holdout)
    gone = {f"{p.table.name}: the column {name!r} has no values at all" for p in parties for name in p.empty
            if name in homes[0].columns}  # fmt: skip
    notes = [note.removesuffix(" and is left out") if note.removesuffix(" and is left out") in gone else note
             for note in (*notes, *more)]  # fmt: skip
    learning = sum(int((~h.held).sum()) for h in homes)
    if learning < max(LEAST_MATCHED, asked.minimum_rows or 0):
        raise Refusal("learn.rows", f"{learning} rows to learn from are too few",
                      remedy="bring more rows, or keep fewer for the test (--holdout)")  # fmt: skip
    labels = np.concatenate([h.y for h in homes])
    if np.unique(labels).size < 2:
        raise Refusal("learn.label", "the label has one value only at all parties",
                      remedy="a model needs rows of at least two kinds")  # fmt: skip
    model, homes, classes = _family(asked, homes, labels)
    l2, firm = penalty(asked, learning, 1 + len(homes[0].columns))
    plan = Plan(
        tuple(h.party for h in homes),
        model=model,
        l2=l2,
        power=asked.power,
        classes=max(3, classes),
    )
    if asked.model == "boosting":
        plan = replace(
            plan,
            method="boosting",
            l2=1e-6,
            boosting=Boosting(trees=asked.trees, depth=asked.depth),
        )
        firm = []
    elif model == "multinomial":
        plan = replace(plan, method="average", learner="network")
    started = time.process_time()
    outcome = rehearse(homes, plan, seed=asked.seed)
    spent = time.process_time() - started
    return _reported(outcome, homes, spent, [*notes, *firm, *_without_own(outcome)], asked.model)


def homes_of(parties: Sequence[Prepared], holdout: float) -> tuple[list[Home], list[str]]:
    """(parties' rows in one order of columns, labels coded alike, notes).

    A column that a text value made at some parties is 0 at the others; one without any value at a party is missing
    in all its rows. `Refusal` where other columns differ.
    """
    tables = [p.table for p in parties]
    every = list(dict.fromkeys(name for t in tables for name in t.columns.names))
    made = [name for name in every if "=" in name]
    _check_kinds(parties, every)
    labels, notes = _labels(parties)
    homes = []
    kept = [name for name in every if name not in _left_out(made)]
    for party, table, y in zip(parties, tables, labels, strict=True):
        own = {name: table.columns.values[:, n] for n, name in enumerate(table.columns.names)}
        own |= {name: np.full(table.rows, np.nan) for name in party.empty if name in every}
        missing = [name for name in every if name not in own and name not in made]
        if missing:
            raise Refusal("learn.columns", f"there is no column {missing[0]!r}, which another party has",
                          where=table.name, remedy="give all parties the same columns, or leave it out with "
                          f"--without {missing[0]}")  # fmt: skip
        zeros = np.zeros(table.rows)
        x = (
            np.stack([own.get(name, zeros) for name in kept], axis=1)
            if kept
            else np.empty((table.rows, 0))
        )
        homes.append(Home(table.name, tuple(kept), x, y, table.lots < holdout))
    return homes, notes


def _check_kinds(parties: Sequence[Prepared], every: Sequence[str]) -> None:
    """`Refusal` where a column is numbers at one party and text at another, naming both."""
    for name in every:
        numbers = [p.table.name for p in parties if name in p.table.columns.names]
        texts = [
            p.table.name for p in parties if any(c.startswith(f"{name}=") and c != f"{name}={MISSING}"
                                                 for c in p.table.columns.names)
        ]  # fmt: skip
        if numbers and texts:
            both = f"numbers at {numbers[0]} and text at {texts[0]}"
            raise Refusal("learn.columns", f"the column {name!r} holds {both}", where=texts[0],
                          remedy=f"write it alike in all files, or leave it out with --without {name}")  # fmt: skip


def _left_out(made: Sequence[str]) -> set[str]:
    """Of each text column one value, the first in order; a mark of gaps stays."""
    groups: dict[str, list[str]] = {}
    for name in made:
        base, _, value = name.partition("=")
        groups.setdefault(base, []).append(value)
    return {f"{base}={min(values)}" for base, values in groups.items() if set(values) != {MISSING}}


def _labels(parties: Sequence[Prepared]) -> tuple[list[Matrix], list[str]]:
    """(labels by party, notes): words of all parties are coded in one order."""
    found, words = [], sorted({word for p in parties for word in p.classes})
    for party in parties:
        y = party.table.label
        if y is None:
            raise Refusal("learn.label", "the label is missing", where=party.table.name,
                          remedy="give all files the label")  # fmt: skip
        if words and not party.classes:
            other = next(p.table.name for p in parties if p.classes)
            raise Refusal("learn.label", f"the label holds numbers at {party.table.name} and text at {other}",
                          where=party.table.name, remedy="write it alike in all files")  # fmt: skip
        place = np.array([words.index(word) for word in party.classes], np.float64)
        found.append(place[y.astype(np.int64)] if words else y)
    return found, [coding(words)] if words else []


def _values_by_party(homes: Sequence[Home]) -> str:
    """How many values the label has where, so that the odd file is found."""
    return ", ".join(f"{np.unique(h.y).size} values at {h.party}" for h in homes)


def _family(asked: Asked, homes: list[Home], labels: Any) -> tuple[str, list[Home], int]:
    """(the family, labels of classes as 0, 1, ..., how many classes)."""
    kinds = np.unique(labels)
    model = asked.model
    if model == "boosting":
        model = "logistic" if kinds.size == 2 else "linear"
    if model == "logistic" and kinds.size > 2:
        raise not_two_classes(kinds.size, _values_by_party(homes))
    if model not in ("logistic", "multinomial"):
        return model, homes, 1
    coded = [replace(h, y=np.searchsorted(kinds, h.y).astype(np.float64)) for h in homes]
    return model, coded, int(kinds.size)


def _each(outcome: Outcome) -> Table:
    """What each party keeps: never what is worse than its own on its own held-out rows."""
    rows = tuple(
        (
            party,
            *(figure(found.get(name)) for name in ("own", "common", "chosen")),
            str(found.get("keeps", "")),
        )
        for party, found in outcome.each.items()
    )
    metric = next((str(found["metric"]) for found in outcome.each.values()), "")
    heads = ("party", "its own model", "the common one", "what it keeps", "which is")
    return Table(f"{metric} on each party's own held-out rows", heads, rows, (1, 2, 3))


def _standing(outcome: Outcome) -> tuple[Table, ...]:
    """What parties are told of the common model's worth, each own model judged on its own party's rows."""
    told = outcome.standing
    if told is None:
        return ()
    ensemble = "none of this kind" if told.ensemble is None else figure(told.ensemble)
    row = (told.metric, figure(told.common), figure(told.own), ensemble)
    heads = (
        "by secure sums",
        "the common model",
        "own models, each at home",
        "the average of own models",
    )
    return (
        Table(
            f"told to all parties, over {told.rows:,.0f} held-out rows", heads, (row,), (1, 2, 3)
        ),
    )


def _without_own(outcome: Outcome) -> list[str]:
    """Who has no model of its own to compare with."""
    gone = [party for party in outcome.parties if party not in outcome.rivals.alone]
    return (
        [f"{', '.join(gone)} cannot train a model of its own, as on rows of one class"]
        if gone
        else []
    )


def _reported(
    outcome: Outcome,
    homes: Sequence[Home],
    cpu: float,
    notes: list[str],
    model: str,
) -> Report:
    body = outcome.body()
    y = np.concatenate([h.y[h.held] if h.held.any() else h.y for h in homes])
    positive = (
        float((y == y.max(initial=0.0)).sum()) if outcome.model == "logistic" else float(y.size)
    )
    told = [n for n in outcome.notes if "does not beat" not in n]  # the report's own words say it
    return Report(
        model, "horizontal", outcome.parties, outcome.metrics, outcome.plaintext, outcome.rivals.alone,
        outcome.ensemble, spreads=outcome.rivals.spreads,
        main={"logistic": "auc", "linear": "rmse", "multinomial": "log_loss"}.get(outcome.model, "deviance"),
        rows_tested=(positive, float(y.size) - positive), wall_s=outcome.wall_s, cpu_s=cpu,
        plaintext_s=outcome.plaintext_s, bytes=outcome.bytes, openings=tuple(outcome.openings),
        notes=(*told, *notes), more=(_each(outcome), *_standing(outcome)),
        extra={"rows": outcome.rows, **{n: body[n] for n in _OWN if n in body}},
    )  # fmt: skip
