"""The report of a joint model, the same for all kinds: its metrics beside what could be had without it.

A joint model is measured beside three rivals on the same rows: the *centralised* model (all columns or rows in one
place), each party *alone*, and the *ensemble* of each party's own model, which needs no joint training. A joint
model that does not beat the last two says so. What the joint model's figures are and how exact they are is the
protocol's business; the rivals' come from the clear in a rehearsal, and what a node can know of them otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hanse.learn.evaluation.plain import BEST_LOW, MAIN, auc_deviation
from hanse.learn.evaluation.rivals import ENSEMBLE
from hanse.learn.evaluation.tables import figure
from hanse.tables import Table

Metrics = Mapping[str, float | None]
Verdict = Literal["better", "equal", "worse", "unknown"]
_ORDER = (
    "auc",
    "ks",
    "log_loss",
    "accuracy",
    "brier",
    "deviance",
    "rmse",
    "mae",
    "r2",
    "p30",
    "ece",
)
_SHORT = 12  # coefficients shown of one party; the JSON has all


@dataclass(frozen=True)
class Curve:
    """Bands of the score, best first: rows, sum of labels, sum of predictions [bands]; None where suppressed."""

    rows: tuple[float | None, ...]
    labels: tuple[float | None, ...]
    predicted: tuple[float | None, ...] = ()

    def body(self) -> dict[str, Any]:
        return {
            "rows": list(self.rows),
            "labels": list(self.labels),
            "predicted": list(self.predicted),
        }


@dataclass(frozen=True)
class Report:
    """What came out of one training, and what it cost.

    ``alone`` has a party's own model each, the label party's first (horizontal: every party's own). ``main`` is
    the metric that decides. ``extra`` goes into the JSON as it is (iterations, what a kind of model has to say).
    """

    model: str
    arrangement: Literal["vertical", "horizontal"]
    parties: tuple[str, ...]
    joint: Metrics
    centralised: Metrics
    alone: Mapping[str, Metrics]
    ensemble: Metrics
    main: str = ""
    rows_matched: int | None = None  # of a vertical model
    rows_noised: bool = True  # or exact, where rows are aligned in the open
    rows_tested: tuple[float, float] | None = (
        None  # of two classes: (positive, negative); else (rows, 0)
    )
    weights: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # by party and column
    certainty: Mapping[str, Mapping[str, tuple[float, float]]] = field(
        default_factory=dict
    )  # (error, p) of weights
    weights_are: str = "standardised coefficient"  # or "importance"
    wall_s: float = 0.0
    cpu_s: float = 0.0
    plaintext_s: float = 0.0
    bytes: int = 0
    peak_rss_mib: float | None = None
    openings: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    curve: Curve | None = None
    spreads: Mapping[str, float] = field(
        default_factory=dict
    )  # of the lead over each rival, by its key
    more: tuple[Table, ...] = ()  # what a kind of model has to show besides

    @property
    def decisive(self) -> str:
        """The metric that decides."""
        return self.main or MAIN.get(self.model, "") or next(iter(self.joint), "")

    # --- the verdict --------------------------------------------------------------------------------

    def against(self, rival: Metrics, spread: float | None = None) -> tuple[Verdict, float | None]:
        """(verdict, by how much the joint model is better) in the metric that decides.

        ``spread``: the standard error of that lead, if it is known; two of them may be chance.
        """
        name = self.decisive
        mine, theirs = _number(self.joint.get(name)), _number(rival.get(name))
        if mine is None or theirs is None:
            return "unknown", None
        gain = theirs - mine if name in BEST_LOW else mine - theirs
        known = _number(spread)
        chance = self._spread(name, mine) if known is None else 2 * known
        if abs(gain) <= chance + (_number(self.joint.get(f"{name}_error")) or 0.0):
            return "equal", gain
        return ("better" if gain > 0 else "worse"), gain

    def _spread(self, name: str, value: float) -> float:
        """What a difference must exceed to be more than chance, roughly, where only the rows' number is known."""
        if self.rows_tested is None:
            return 0.0
        positive, negative = self.rows_tested
        if name == "auc" and negative:
            deviation = auc_deviation(value, positive, negative)
            return deviation if math.isfinite(deviation) else 0.0
        rows = positive + negative
        return abs(value) / math.sqrt(2 * rows) if name in BEST_LOW and rows else 0.0

    def _rivals(self) -> list[tuple[str, Metrics, float | None]]:
        """(who, its metrics, the standard error of the joint model's lead)."""
        found = [(f"{name} alone", own, self.spreads.get(name)) for name, own in self.alone.items()]
        return [
            *found,
            ("the ensemble of each party's own model", self.ensemble, self.spreads.get(ENSEMBLE)),
        ]

    def verdicts(self) -> list[str]:
        """In plain words: whether the joint model was worth it."""
        told = []
        for who, metrics, spread in self._rivals():
            verdict, gain = self.against(metrics, spread)
            if verdict == "unknown" or gain is None:
                continue
            name = self.decisive
            values = f"{name} {figure(self.joint.get(name))} against {figure(metrics.get(name))}"
            if verdict == "better":
                told.append(f"the joint model beats {who}: {values}")
            elif verdict == "equal":
                told.append(
                    f"the joint model does not beat {who}: {values} is within what chance moves on these rows"
                )
            else:
                told.append(f"the joint model does not beat {who}, it is worse: {values}")
        return told

    @property
    def worth_it(self) -> bool | None:
        """Whether the joint model beats every party alone and the ensemble; None where that cannot be said."""
        found = [self.against(metrics, spread)[0] for _, metrics, spread in self._rivals()]
        known = [v for v in found if v != "unknown"]
        return all(v == "better" for v in known) if known else None

    # --- for machines -------------------------------------------------------------------------------

    def body(self) -> dict[str, Any]:
        """Plain values for JSON: metrics as ``auc``, ``plaintext_auc``, ``alone_auc``, ``ensemble_auc``, ..."""
        found: dict[str, Any] = {
            "model": self.model, "arrangement": self.arrangement, "parties": list(self.parties),
            "rows_matched": self.rows_matched, "wall_s": round(self.wall_s, 4), "cpu_s": round(self.cpu_s, 4),
            "plaintext_s": round(self.plaintext_s, 4), "bytes": self.bytes,
        }  # fmt: skip
        if self.rows_matched is not None:
            found["rows_noised"] = self.rows_noised
        if self.peak_rss_mib is not None:
            found["peak_rss_mib"] = round(self.peak_rss_mib, 1)
        found |= {name: _number(value) for name, value in self.joint.items()}
        found |= {f"plaintext_{n}": _number(v) for n, v in self.centralised.items()}
        found |= {f"alone_{n}": _number(v) for n, v in self._first_alone().items()}
        found |= {f"ensemble_{n}": _number(v) for n, v in self.ensemble.items()}
        found["alone_by_party"] = {
            party: {n: _number(v) for n, v in own.items()} for party, own in self.alone.items()
        }
        found |= {
            "main_metric": self.decisive, "beats_alone_and_ensemble": self.worth_it, "verdict": self.verdicts(),
        }  # fmt: skip
        found |= dict(self.extra)
        found |= {"opened": [dict(o) for o in self.openings], "notes": list(self.notes)}
        if self.weights and "coefficients" not in found and "importance" not in found:
            kind = "coefficients" if "coefficient" in self.weights_are else "importance"
            found[kind] = {party: dict(own) for party, own in self.weights.items()}
        if self.curve is not None:
            found["curve"] = self.curve.body()
        return found

    def _first_alone(self) -> Metrics:
        return next(iter(self.alone.values()), {})

    # --- for people ---------------------------------------------------------------------------------

    def headline(self) -> str:
        """What was trained, over how much, at what cost."""
        told = [f"{self.model} model of {' and '.join(self.parties)}"]
        if self.rows_matched is not None:
            told.append(self.rows_told())
        told.append(f"{self.wall_s:.1f} s ({self.cpu_s:.1f} s of CPU)")
        told.append(f"{self.bytes / 1e6:,.1f} MB sent")
        return "; ".join(told)

    def rows_told(self) -> str:
        """How many rows matched, in words; linear models count those to learn from only, without the test."""
        rows = max(0, self.rows_matched or 0)
        what = "rows matched" if self.model == "boosting" else "rows to learn from matched"
        return f"about {rows:,} {what} (noised)" if self.rows_noised else f"{rows:,} {what}"

    def tables(self) -> list[Table]:
        """Metrics beside each other, then each party's coefficients or importances, the largest first."""
        return [self._metrics_table(), *self._weight_tables(), *self.more]

    def _metrics_table(self) -> Table:
        alone = list(self.alone.items())
        heads = (
            "metric",
            "joint",
            "all in one place",
            *(f"{n} alone" for n, _ in alone),
            "ensemble",
        )
        columns = [self.joint, self.centralised, *(own for _, own in alone), self.ensemble]
        names = [n for n in dict.fromkeys(n for c in columns for n in c)
                 if not n.endswith("_error") and n != "rows"]  # fmt: skip
        names.sort(
            key=lambda n: (n != self.decisive, _ORDER.index(n) if n in _ORDER else len(_ORDER))
        )
        rows = [
            (self._named(name), self._joint_figure(name),
             *("" if name not in c else figure(_number(c[name])) for c in columns[1:]))
            for name in names
        ]  # fmt: skip
        return Table("", heads, tuple(rows), tuple(range(1, len(heads))))

    def _named(self, metric: str) -> str:
        """A metric as the table names it: of several classes an AUC is a mean over them."""
        several = "multinomial" in (self.model, self.extra.get("loss"))
        return "auc, mean of each class against the rest" if several and metric == "auc" else metric

    def _joint_figure(self, name: str) -> str:
        if name not in self.joint:
            return ""
        # The bound of KS is one-sided and wide: it is in the JSON.
        bound = _number(self.joint.get(f"{name}_error")) if name != "ks" else None
        around = f" ± {bound:.1g}" if bound else ""
        return figure(_number(self.joint[name])) + around

    def _weight_tables(self) -> list[Table]:
        made = []
        for party, own in self.weights.items():
            ranked = sorted(own.items(), key=lambda pair: -abs(pair[1]))
            sure = self.certainty.get(party, {})
            rows: list[tuple[str, ...]] = [
                (name, f"{value:.6f}", *_sure(sure.get(name))) for name, value in ranked[:_SHORT]
            ]
            if len(ranked) > _SHORT:
                rows.append((f"and {len(ranked) - _SHORT} more", *[""] * (3 if sure else 1)))
            heads = ("column", self.weights_are, *(("standard error", "p-value") if sure else ()))
            if rows:
                cut = tuple(row[: len(heads)] for row in rows)
                made.append(Table(f"told to {party} only", heads, cut, tuple(range(1, len(heads)))))
        return made

    def __str__(self) -> str:
        """The report for people to read."""
        parts = [self.headline(), *(str(t) for t in self.tables()), *self.verdicts(), *self.notes]
        return "\n\n".join(parts)

    def svg(self) -> str:
        """The gain and calibration curves as a picture; without a curve the metrics of all models as bars."""
        from hanse.learn.evaluation.picture import curves, standing  # noqa: PLC0415 - drawn only when asked

        return curves(self) if self.curve is not None else standing(self)


def _sure(found: tuple[float, float] | None) -> tuple[str, str]:
    if found is None:
        return "", ""
    return f"{found[0]:.2g}", "< 0.001" if found[1] < 0.001 else f"{found[1]:.3f}"


def _number(value: float | None) -> float | None:
    """A finite number, or None."""
    return float(value) if value is not None and math.isfinite(value) else None
