"""What a party does at home with its columns before anything is shared, and with its coefficients after.

Columns are centred, divided by their standard deviation and *whitened*: turned so that they are uncorrelated among
themselves, which is what makes Newton's steps few and short sums exact. All of it is a change of basis
that the party undoes at home: the model is the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Refusal
from hanse.learn.linear.families import COLUMN_WHOLE

Matrix = NDArray[np.float64]
FLAT = 1e-4  # directions with less than this part of a column's variance are not blown up further
MOST_COLUMNS = 512


@dataclass(frozen=True)
class Columns:
    """A party's features by name, [rows, columns], finite."""

    names: tuple[str, ...]
    values: Matrix


@dataclass(frozen=True)
class Basis:
    """shared = (raw[kept] - mean) @ turn; and standardised coefficients = sd * raw ones."""

    names: tuple[str, ...]
    kept: NDArray[np.int64]  # columns that vary
    mean: Matrix
    sd: Matrix
    turn: Matrix  # [kept, kept]

    @property
    def width(self) -> int:
        return int(self.kept.size)

    @property
    def constant(self) -> tuple[str, ...]:
        """Columns that do not vary: they get no coefficient."""
        kept = set(self.kept.tolist())
        return tuple(n for i, n in enumerate(self.names) if i not in kept)

    def shared(self, values: Matrix) -> Matrix:
        """Rows [n, columns] in the basis in which they are shared."""
        return np.asarray((values[:, self.kept] - self.mean) @ self.turn)

    def raw(self, shared: Matrix) -> tuple[Matrix, float]:
        """(coefficients of all columns, this party's part of the intercept) of coefficients [width]."""
        own = self.turn @ shared
        out = np.zeros(len(self.names))
        out[self.kept] = own
        return out, -float(self.mean @ own)

    @property
    def standard(self) -> Matrix:
        """The matrix that turns shared coefficients into standardised ones."""
        return np.asarray(self.sd[:, None] * self.turn)

    def penalty(self, l2: float) -> Matrix:
        """The matrix P with l2 * |standardised coefficients|**2 = shared' P shared."""
        return np.asarray(l2 * self.standard.T @ self.standard)


def basis_of(
    columns: Columns, training: NDArray[np.bool_], where: str, ridge: float = 0.0,
    whiten: bool = True,
) -> Basis:  # fmt: skip
    """Means, deviations and directions from the rows to learn from.

    ``ridge`` is the penalty over a row's weight: directions are scaled by curvature and penalty together. Columns
    that are not whitened are standardised only: a penalty on absolute values is on these.
    `Refusal` where values are missing, or too many columns. A column that is constant is left out.
    """
    values = columns.values
    if len(columns.names) > MOST_COLUMNS:
        raise Refusal("learn.columns", f"a party may bring {MOST_COLUMNS} columns", where=where,
                      remedy="select fewer columns")  # fmt: skip
    gone = np.flatnonzero(~np.isfinite(values).all(axis=0))
    if gone.size:
        name = columns.names[int(gone[0])]
        empty = not np.isfinite(values[:, gone[0]]).any()
        what = "has no values at all" if empty else "has missing or infinite values"
        raise Refusal(
            "learn.missing",
            f"the column {name!r} {what}",
            where=where,
            remedy="drop the column" if empty else "fill them in at home, or leave these rows out",
        )
    seen = values[training]
    mean = seen.mean(axis=0) if seen.size else np.zeros(values.shape[1])
    sd = seen.std(axis=0) if seen.size else np.zeros(values.shape[1])
    kept = np.flatnonzero(sd > 1e-9 * np.maximum(1e-300, np.abs(mean)))
    mean, sd = mean[kept], sd[kept]
    standard = (seen[:, kept] - mean) / sd
    spread, directions = np.linalg.eigh(standard.T @ standard / max(1, seen.shape[0]))
    turn = directions / np.sqrt(np.maximum(spread, FLAT) + ridge) @ directions.T
    if not whiten:
        turn = np.eye(kept.size)
    # What is far out is scaled into the declared range; holdout rows count too.
    everybody = (values[:, kept] - mean) / sd @ turn
    far = np.abs(everybody).max(axis=0, initial=0.0) / ((1 << COLUMN_WHOLE) - 0.1)
    turn = turn / np.maximum(1.0, far) / sd[:, None]
    return Basis(columns.names, kept, mean, sd, turn)
