"""A rehearsal of any kind of model over several parties' files, told as one report.

Training runs as it would between organisations (see each kind's own page); the rivals are fitted in the clear.
Small sets are learned from too, with a note: what a contract would refuse, a rehearsal says.
"""

from __future__ import annotations

from collections.abc import Sequence

from hanse.errors import Refusal
from hanse.learn.evaluation.asked import Asked, check_matched, matched_rows
from hanse.learn.evaluation.linear_report import linear
from hanse.learn.evaluation.report import Report
from hanse.learn.features.reading import Prepared

__all__ = ["Asked", "train"]


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
    matched = matched_rows([p.table for p in parties], asked.holdout)
    check_matched(matched, asked)
    if asked.model == "boosting":
        from hanse.learn.evaluation.boosting_report import boosting  # noqa: PLC0415 - heavy

        return boosting(parties, matched, asked, notes)
    return linear(parties, matched, asked, notes)
