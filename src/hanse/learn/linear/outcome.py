"""What a rehearsal of a linear model came to: figures, coefficients, costs, what was opened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hanse.learn.evaluation.report import Curve
from hanse.learn.linear.certainty import Certainty


@dataclass(frozen=True)
class Outcome:
    """What came out, and what it cost. Coefficients are of standardised columns, by party and column; of several
    classes a column stands once for each, as ``column [class]``. Standard errors as coefficients."""

    model: str
    parties: tuple[str, ...]
    rows_matched: int  # noised
    iterations: int
    settled: bool
    coefficients: dict[str, dict[str, float]]
    raw: dict[str, dict[str, float]]
    intercepts: dict[str, float]  # each party's part
    metrics: dict[str, float | None]
    plaintext: dict[str, float]
    alone: dict[str, float]
    difference: float  # largest of any standardised coefficient from the plain model's
    plaintext_settled: bool
    wall_s: float
    cpu_s: float
    plaintext_s: float
    bytes: int
    openings: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]
    certainty: dict[str, dict[str, Certainty]] = field(default_factory=dict)
    error_difference: float = 0.0  # largest, relative, of a standard error from the plain model's
    trained_s: float = 0.0  # until all parties had their coefficients; bytes without the metrics'
    trained_cpu_s: float = 0.0
    trained_bytes: int = 0
    peak_mib: float = 0.0  # of the process, until the joint model and its metrics were there
    curve: Curve | None = None  # of the score, in ten bands

    def body(self) -> dict[str, Any]:
        """Plain values for JSON: metrics also as ``auc``, ``plaintext_auc``, ``alone_auc`` and so on."""
        found: dict[str, Any] = {
            "model": self.model, "parties": list(self.parties), "rows_matched": self.rows_matched,
            "iterations": self.iterations, "converged": self.settled,
            "plaintext_converged": self.plaintext_settled,
            "wall_s": round(self.wall_s, 4), "cpu_s": round(self.cpu_s, 4),
            "plaintext_s": round(self.plaintext_s, 4), "bytes": self.bytes,
            "trained_s": round(self.trained_s, 4), "trained_cpu_s": round(self.trained_cpu_s, 4),
            "trained_bytes": self.trained_bytes,
        }  # fmt: skip
        found |= self.metrics
        found |= {f"plaintext_{name}": _finite(value) for name, value in self.plaintext.items()}
        found |= {f"alone_{name}": _finite(value) for name, value in self.alone.items()}
        found |= {
            "coefficient_difference_max": self.difference, "coefficients": self.coefficients,
            "raw_coefficients": self.raw, "intercepts": self.intercepts,
            "opened": list(self.openings), "notes": list(self.notes),
        }  # fmt: skip
        if self.certainty:
            found["standard_errors"], found["p_values"] = (
                {
                    p: {c: _finite(value[part]) for c, value in own.items()}
                    for p, own in self.certainty.items()
                }
                for part in (0, 1)
            )
            found["standard_error_difference_max"] = self.error_difference
        return found


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
