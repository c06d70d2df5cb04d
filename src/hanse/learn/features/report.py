"""What a look at features found: tables for people, plain values for machines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from hanse.learn.evaluation.tables import figure
from hanse.learn.features.counting import MOVED, STABLE, STRONG, WEAK, Evidence
from hanse.learn.features.selection import Dropped, Name
from hanse.tables import Table

_MOST_PAIRS = 15
_DETAILS = 3  # columns whose bins are shown


@dataclass(frozen=True)
class Inflated:
    """A column's variance inflation as told to its owner, and in one place."""

    party: str
    column: str
    value: float
    plain: float


@dataclass(frozen=True)
class Pair:
    """The correlation of columns of two parties as told to both, and in one place."""

    first: Name
    second: Name
    value: float
    plain: float


@dataclass(frozen=True)
class FeatureReport:
    """``kind`` says whether evidence is of a label (weight of evidence) or of two periods (stability)."""

    kind: Literal["evidence", "stability"]
    parties: tuple[str, ...]
    rows_matched: int  # noised
    evidence: tuple[Evidence, ...]
    plain_values: Mapping[Name, float]
    inflation: tuple[Inflated, ...]
    pairs: tuple[Pair, ...]
    kept: tuple[Name, ...]
    dropped: tuple[Dropped, ...]
    epsilon: float  # price of all counts together; 0: no noise
    wall_s: float
    cpu_s: float
    bytes: int
    openings: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...]

    def body(self) -> dict[str, Any]:
        """Plain values for JSON."""
        name = "information_value" if self.kind == "evidence" else "stability_index"
        return {
            "kind": self.kind, "parties": list(self.parties), "rows_matched": self.rows_matched,
            "columns": [
                {**e.body(), name: e.value, f"plaintext_{name}": self.plain_values.get((e.party, e.column)),
                 "told": self.told(e)}
                for e in self.evidence
            ],
            "inflation": [
                {"party": i.party, "column": i.column, "vif": i.value, "plaintext_vif": _finite(i.plain)}
                for i in self.inflation
            ],
            "correlations": [
                {"first": list(p.first), "second": list(p.second), "value": p.value, "plaintext_value": p.plain}
                for p in self.pairs
            ],
            "kept": [list(n) for n in self.kept],
            "dropped": [{"party": d.party, "column": d.column, "why": d.why} for d in self.dropped],
            "epsilon": self.epsilon, "wall_s": round(self.wall_s, 4), "cpu_s": round(self.cpu_s, 4),
            "bytes": self.bytes, "opened": [dict(o) for o in self.openings], "notes": list(self.notes),
        }  # fmt: skip

    def told(self, e: Evidence) -> str:
        """What a value means, in a word."""
        if e.value is None:
            return "too few people"
        if self.kind == "stability":
            return (
                "stable" if e.value < STABLE else "moved" if e.value > MOVED else "moves a little"
            )
        if e.value > STRONG:
            return "suspiciously strong"
        return "hardly tells" if e.value < WEAK else "tells"

    def tables(self) -> list[Table]:
        """Columns by value, bins of the first, inflation, correlations, what to keep."""
        return [
            t
            for t in (
                self._values(),
                *self._details(),
                self._inflation(),
                self._pairs(),
                self._dropped(),
            )
            if t
        ]

    def _values(self) -> Table | None:
        if not self.evidence:
            return None
        title, head = (
            ("Information value of each column", "value") if self.kind == "evidence"
            else ("Stability of each column between two periods", "index")
        )  # fmt: skip
        ranked = sorted(self.evidence, key=lambda e: -(e.value or 0.0))
        rows = tuple(
            (
                e.party, e.column, figure(e.value, 3), _around(e),
                figure(self.plain_values.get((e.party, e.column)), 3), str(e.suppressed or ""), self.told(e),
            )
            for e in ranked
        )  # fmt: skip
        return Table(title, ("party", "column", head, "95 %", "in one place", "bins suppressed", ""), rows,
                     (2, 3, 4, 5))  # fmt: skip

    def _details(self) -> list[Table]:
        if self.kind == "stability":
            return []
        ranked = sorted(
            (e for e in self.evidence if e.value is not None), key=lambda e: -(e.value or 0.0)
        )
        return [
            Table(
                f"{e.party}.{e.column}", ("bin", "positives", "negatives", "weight of evidence"),
                tuple(
                    (b, _count(m), _count(o), "" if w is None else f"{w:+.2f}")
                    for b, m, o, w in zip(e.bins, e.marked, e.others, e.weights, strict=True)
                ), (1, 2, 3),
            )
            for e in ranked[:_DETAILS]
        ]  # fmt: skip

    def _inflation(self) -> Table | None:
        rows = tuple(
            (
                i.party,
                i.column,
                figure(i.value, 4),
                figure(_finite(i.plain), 4) if math.isfinite(i.plain) else "∞",
            )
            for i in sorted(self.inflation, key=lambda i: -i.value)
        )
        heads = ("party", "column", "VIF", "in one place")
        return (
            Table("Variance inflation, told to each owner", heads, rows, (2, 3)) if rows else None
        )

    def _pairs(self) -> Table | None:
        ranked = sorted(self.pairs, key=lambda p: -abs(p.value))[:_MOST_PAIRS]
        rows = tuple(
            (".".join(p.first), ".".join(p.second), f"{p.value:+.3f}", f"{p.plain:+.3f}")
            for p in ranked
        )
        heads = ("column", "column of another party", "correlation", "in one place")
        return (
            Table("Correlations between parties, the largest", heads, rows, (2, 3))
            if rows
            else None
        )

    def _dropped(self) -> Table | None:
        rows = tuple((d.party, d.column, d.why) for d in self.dropped)
        return (
            Table(
                f"Columns to leave out ({len(self.kept)} stay)",
                ("party", "column", "because"),
                rows,
            )
            if rows
            else None
        )

    def __str__(self) -> str:
        """The report for people to read."""
        return "\n\n".join([*map(str, self.tables()), *self.notes])


def _around(e: Evidence) -> str:
    if e.low is None or e.high is None or e.low == e.high:
        return ""
    return f"{e.low:.3f}–{e.high:.3f}"


def _count(value: int | None) -> str:
    return "suppressed" if value is None else f"{value:,}"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
