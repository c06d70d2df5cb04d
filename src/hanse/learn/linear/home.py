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
_EDGE = (1 << COLUMN_WHOLE) - 0.1
_WORK, _LEAST = (
    1 << 17,
    256,
)  # products, and rows, at a time: small enough for one processor and its cache


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

    def shared(
        self, values: Matrix, rows: NDArray[np.intp] | None = None, some: slice = slice(None)
    ) -> Matrix:
        """Values [n, columns], or these ``rows`` of them, in the basis in which they are shared, or in ``some``
        columns of it; a column lies together in memory. Rows to test on that lie further out than any row to learn
        from can, count as at the edge."""
        turn = np.ascontiguousarray(self.turn[:, some].T)
        out = np.empty((turn.shape[0], values.shape[0] if rows is None else rows.size))
        for part in _parts(out.shape[1], self.width):
            seen = values[part if rows is None else rows[part]]
            np.matmul(turn, _centred(seen, self.kept, self.mean).T, out=out[:, part])
            np.clip(out[:, part], -_EDGE, _EDGE, out=out[:, part])
        return out.T

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
    everything = np.arange(values.shape[1])
    spread = _products(seen, everything, mean)
    sd = np.sqrt(np.diag(spread))
    kept = np.flatnonzero(sd > 1e-9 * np.maximum(1e-300, np.abs(mean)))
    mean, sd = mean[kept], sd[kept]
    size, directions = np.linalg.eigh(spread[np.ix_(kept, kept)] / np.outer(sd, sd))
    turn = directions / np.sqrt(np.maximum(size, FLAT) + ridge) @ directions.T
    if not whiten:
        turn = np.eye(kept.size)
    turn = turn / sd[:, None]
    # What is far out is scaled into the declared range; a row to test on must not blur those to learn from.
    far = np.zeros(kept.size)
    for part in _parts(seen.shape[0], kept.size):
        some = _centred(seen[part], kept, mean) @ turn
        far = np.maximum(far, np.abs(some).max(axis=0, initial=0.0))
    turn = turn / np.maximum(1.0, far / _EDGE)
    return Basis(columns.names, kept, mean, sd, turn)


def _parts(rows: int, width: int) -> list[slice]:
    some = max(_LEAST, _WORK // max(1, width) ** 2)
    return [slice(first, first + some) for first in range(0, rows, some)]


def _centred(values: Matrix, kept: NDArray[np.int64], mean: Matrix) -> Matrix:
    """Some rows' columns that vary, less their means."""
    return np.asarray((values if kept.size == values.shape[1] else values[:, kept]) - mean)


def _products(values: Matrix, kept: NDArray[np.int64], mean: Matrix) -> Matrix:
    """Their covariances, [kept, kept]; some rows at a time, which stay in a cache."""
    total = np.zeros((kept.size, kept.size))
    for part in _parts(values.shape[0], kept.size):
        some = _centred(values[part], kept, mean)
        total += some.T @ some
    return np.asarray(total / max(1, values.shape[0]))
