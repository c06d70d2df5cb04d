"""A rehearsal of any kind of model over several parties' files, told as one report.

Training runs as it would between organisations (see each kind's own page); the rivals are fitted in the clear.
Small sets are learned from too, with a note: what a contract would refuse, a rehearsal says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from hanse.errors import Refusal
from hanse.learn.evaluation.asked import Asked, check_matched, matched_rows
from hanse.learn.evaluation.linear_report import linear
from hanse.learn.evaluation.options import check_used
from hanse.learn.evaluation.report import Report
from hanse.learn.features.files import party_names, split_label
from hanse.learn.features.reading import Prepared, Preparing, check_without, read_party

__all__ = ["Asked", "rehearse_files", "train"]


def rehearse_files(
    label: str, features: Sequence[str | Path], *, id: str = "id", model: str = "logistic",
    horizontal: bool = False, missing: Literal["indicator", "refuse"] = "indicator",
    without: Sequence[str] = (), weight: str | None = None, offset: str | None = None, **more: Any,
) -> Report:  # fmt: skip
    """Train over Parquet or CSV files: ``label`` is FILE:COLUMN, ``features`` are the other parties' files.

    ``weight`` and ``offset`` are columns of the label's file. ``more`` are fields of `Asked`: l2, holdout,
    minimum_rows, iterations, power, trees, depth, seed and so on. `Fault` and `Refusal` name the file and the
    column that cannot serve, or the option that this kind of model does not use.
    """
    asked = Asked(model, **more)
    asked.check()
    named = {"weight": weight, "offset": offset}
    given = [*more, *(option for option, column in named.items() if column is not None)]
    check_used(model, given, horizontal=horizontal)
    file, column = split_label(label)
    paths = [file, *map(Path, features)]
    how = replace(
        preparing(model, missing, asked.holdout, frozenset(without), horizontal=horizontal),
        weight=weight, offset=offset,
    )  # fmt: skip
    check_without(paths, how)
    parties = [
        read_party(path, id, column if number == 0 or horizontal else None, name, how)
        for number, (path, name) in enumerate(zip(paths, party_names(paths), strict=True))
    ]
    return train(parties, asked, horizontal=horizontal)


def preparing(
    model: str, missing: Literal["indicator", "refuse"], holdout: float, without: frozenset[str], *,
    horizontal: bool = False,
) -> Preparing:  # fmt: skip
    """How files are read for a model: boosting and horizontal learning take gaps as they are."""
    keep = missing == "indicator" and (model == "boosting" or horizontal)
    return Preparing(
        "keep" if keep else missing, holdout, model in ("logistic", "multinomial", "boosting"), without,
        codes=model == "boosting" and not horizontal, rows_apart=horizontal,
    )  # fmt: skip


def train(parties: Sequence[Prepared], asked: Asked, *, horizontal: bool = False) -> Report:
    """Train over columns (vertical; the first party has the label) or over rows (horizontal) and report."""
    asked.check()
    names = [p.table.name for p in parties]
    if len(names) < 2 or len(set(names)) != len(names):
        raise Refusal("learn.parties", "a joint model takes two parties or more, each of another name",
                      remedy="name the file of each other party with --features")  # fmt: skip
    notes = [note for p in parties for note in p.notes]
    if horizontal:
        from hanse.learn.evaluation.horizontal_report import horizontal as over_rows  # noqa: PLC0415 - heavy

        return over_rows(parties, asked, notes)
    for party in parties[1:]:
        if not party.table.columns.names:
            raise Refusal("learn.columns", "there is no column to learn from", where=party.table.name,
                          remedy="bring a column beside the id, or leave this file out")  # fmt: skip
    matched = matched_rows([p.table for p in parties], asked.holdout)
    check_matched(matched, asked)
    if matched.one_sided:
        notes.append(
            "the rows kept for the test are of one class: they have no AUC; bring more rows of the other"
        )
    if asked.model == "boosting":
        from hanse.learn.evaluation.boosting_report import boosting  # noqa: PLC0415 - heavy

        return boosting(parties, matched, asked, notes)
    return linear(parties, matched, asked, notes)
