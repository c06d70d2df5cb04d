"""A rehearsal of boosting over several parties' columns, with its rivals, as a report."""

from __future__ import annotations

from collections.abc import Sequence

from hanse.learn.boosting.rehearsal import Outcome, rehearse
from hanse.learn.evaluation.asked import Asked, Matched, Matrix
from hanse.learn.evaluation.judging import BANDS
from hanse.learn.evaluation.plain import MAIN, bands, judged
from hanse.learn.evaluation.report import Curve, Report
from hanse.learn.evaluation.rivals import judged_means
from hanse.learn.features.reading import Prepared

_FAMILY = {"squared": "linear"}  # a loss's family of metrics, where it has another name


def boosting(
    parties: Sequence[Prepared], matched: Matched, asked: Asked, notes: list[str]
) -> Report:
    """Train over lattice-encrypted histograms; the label holder has the scores and judges them at home."""
    outcome = rehearse(
        [p.table for p in parties], loss=asked.loss, trees=asked.trees, depth=asked.depth, holdout=asked.holdout,
        texts={p.table.name: p.values for p in parties}, classes=parties[0].classes,
    )  # fmt: skip
    family = _FAMILY.get(outcome.loss, outcome.loss)

    classes = outcome.mean.shape[1] if outcome.mean.ndim > 1 else 0
    main = MAIN[family]

    def judge(mean: Matrix, y: Matrix) -> dict[str, float]:
        return judged(family, mean, y, classes=classes)

    central = judge(outcome.centralised, outcome.y)
    rivals = judged_means({"joint": outcome.mean}, outcome.alone, outcome.y, judge, main, central)
    return Report(
        "boosting", "vertical", outcome.parties, judge(outcome.mean, outcome.y), central, rivals.alone,
        rivals.ensemble, main=main, spreads=rivals.spreads,
        rows_matched=outcome.rows_matched, rows_noised=False, rows_tested=matched.tested,
        weights=outcome.importance, weights_are="importance",
        wall_s=outcome.wall_s, cpu_s=outcome.cpu_s, plaintext_s=outcome.plaintext_s, bytes=outcome.bytes,
        openings=outcome.openings, notes=(*outcome.notes, *notes), curve=_curve(outcome),
        extra={"loss": outcome.loss, "trees": outcome.trees, "depth": asked.depth,
               "scoring_s": round(outcome.scoring_s, 4), "shares_of_gain": outcome.shares},
    )  # fmt: skip


def _curve(outcome: Outcome) -> Curve | None:
    if outcome.mean.ndim > 1:
        return None
    rows, labels, predicted = bands(outcome.mean, outcome.y, outcome.mean, BANDS)
    return Curve(tuple(rows), tuple(labels), tuple(predicted))
