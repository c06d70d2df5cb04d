"""A party's rows at home, and a scale that all parties share without any of them telling its own.

Three short sums: of which order of magnitude each column is (as the number of parties per order) with the
numbers of rows, then the pooled means, then the pooled spreads. Missing values become the pooled mean.
Reveals: to all parties the pooled number of rows, per column its pooled mean, spread and number of values, and how
many parties have values of which order (a factor of 16).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Refusal
from hanse.learn.horizontal.kinds import F64, Kind
from hanse.learn.horizontal.sums import Summing
from hanse.wire import digest

Flags = NDArray[np.bool_]
MOST_ROWS = 1 << 30  # of one party
MOST = 1e20  # of a value: the scale that parties share has orders up to 16**19
_ORDERS = 32  # 16**-12 .. 16**19
_LOWEST = -12


@dataclass(frozen=True)
class Home:
    """One party's rows: ``x`` [rows, columns] with NaN for missing, ``y`` [rows], which rows are held out.

    ``existing``: parameters of a model the party has already, of raw columns for a linear one (intercept first).
    """

    party: str
    columns: tuple[str, ...]
    x: F64
    y: F64
    held: Flags
    existing: F64 | None = None

    def check(self, kind: Kind) -> None:
        """`Refusal` where rows cannot be learned from."""
        if self.x.shape != (self.y.size, len(self.columns)) or self.held.shape != self.y.shape:
            raise Refusal("learn.rows", "columns, labels and marks of held-out rows do not fit together",
                          where=self.party, remedy="give one value of each for every row")  # fmt: skip
        if not self.columns or not (~self.held).any():
            raise Refusal("learn.rows", "there are no rows or no columns to learn from", where=self.party,
                          remedy="leave this party out, or hold out fewer rows")  # fmt: skip
        if self.y.size > MOST_ROWS:
            raise Refusal("learn.rows", f"there are more than {MOST_ROWS} rows", where=self.party)
        if np.isinf(self.x).any():
            raise Refusal("learn.column", "a column has infinite values", where=self.party,
                          remedy="replace them by a number, or by nothing for missing")  # fmt: skip
        large = [n for n, size in zip(self.columns, _largest(self.x), strict=True) if size > MOST]
        if large or _largest(self.y.reshape(-1, 1))[0] > MOST:
            what = f"the column {large[0]!r}" if large else "the label"
            raise Refusal("learn.column", f"{what} has values beyond {MOST:g}", where=self.party,
                          remedy="choose a larger unit, or mend the values")  # fmt: skip
        kind.check(self.y, f"{self.party}, label")


def _largest(x: F64) -> F64:
    """By column, the largest absolute value; 0 without any."""
    return np.asarray(np.abs(np.where(np.isfinite(x), x, 0.0)).max(axis=0, initial=0.0))


@dataclass(frozen=True)
class Rows:
    """Rows in the model's units: x [rows, columns], y [rows]."""

    x: F64
    y: F64

    @property
    def count(self) -> int:
        return int(self.y.size)


@dataclass(frozen=True)
class Scaling:
    """(x - mean) / spread per column, and (y - shift) / stretch; ``total`` rows to learn from at all parties."""

    kind: Kind
    columns: tuple[str, ...]
    mean: F64
    spread: F64  # 0: the column is constant, it becomes 0
    shift: float
    stretch: float
    total: int
    held: int
    keep_missing: bool = False  # for trees; else missing values become the mean

    def rows(self, home: Home, held: bool) -> Rows:
        """The party's rows to learn from, or those held out."""
        chosen = home.held if held else ~home.held
        return Rows(self.features(home.x[chosen]), (home.y[chosen] - self.shift) / self.stretch)

    def features(self, x: F64) -> F64:
        """Raw columns [rows, columns] in the model's units."""
        safe = np.where(self.spread > 0, self.spread, 1.0)
        z = np.where(self.spread > 0, (x - self.mean) / safe, 0.0)
        return z if self.keep_missing else np.where(np.isnan(z), 0.0, z)

    def label(self, mean: F64) -> F64:
        """Expected labels as they were before."""
        return mean if self.kind.name == "multinomial" else mean * self.stretch + self.shift

    def to_raw(self, beta: F64) -> F64:
        """Intercept and coefficients of raw columns (the predictor stays in the model's units)."""
        safe = np.where(self.spread > 0, self.spread, 1.0)
        raw = np.where(self.spread > 0, beta[1:] / safe, 0.0)
        return np.concatenate([[beta[0] - raw @ self.mean], raw])

    def adopted(self, raw: F64) -> F64:
        """Parameters of a linear model of raw columns and labels, intercept first, in the model's units."""
        beta = np.concatenate([[raw[0] + raw[1:] @ self.mean], raw[1:] * self.spread])
        if self.kind.name == "linear":
            beta = beta / self.stretch
            beta[0] -= self.shift / self.stretch
        elif self.kind.log_link:
            beta[0] -= np.log(self.stretch)
        return beta


def as_given(home: Home, kind: Kind) -> Scaling:
    """No sums: columns and labels stay as they are (where noise makes every sum cost)."""
    width = len(home.columns)
    return Scaling(kind, home.columns, np.zeros(width), np.ones(width), 0.0, 1.0, 0, 0)


def scaled(party: Summing, home: Home, kind: Kind, job: str) -> Scaling:
    """The pooled scale. ``job`` says what is trained: parties that were asked for something else are left out."""
    width = len(home.columns)
    learned = ~home.held
    x, y = home.x[learned], home.y[learned]
    stacked = np.column_stack([x, y])
    present = ~np.isnan(stacked)
    name = digest([job, list(home.columns)])[:24]
    told = party.sum(
        f"rows.{name}",
        np.concatenate(
            [[y.size, home.held.sum()], present.sum(axis=0), _orders(stacked).reshape(-1)]
        ),
        norm=MOST_ROWS * float(np.sqrt(width + 4)),
    ).values
    counts = np.rint(told[: 3 + width])
    total, held, values = int(counts[0]), int(counts[1]), np.maximum(counts[2:], 1.0)
    magnitudes = _magnitudes(np.rint(told[3 + width :]).reshape(width + 1, _ORDERS))
    small = np.where(present, stacked, 0.0) / magnitudes
    norm = total * float(np.sqrt(width + 1))
    mean = party.sum(f"means.{name}", small.sum(axis=0), norm=norm).values / values
    apart = np.where(present, small - mean, 0.0)
    squares = party.sum(f"spreads.{name}", (apart**2).sum(axis=0), norm=4 * norm).values / values
    noise = 2.0**-34 + (1e-6 * mean) ** 2  # what rounding alone may look like
    spread = np.where(squares > noise, np.sqrt(np.maximum(squares, 0.0)), 0.0) * magnitudes
    mean = mean * magnitudes
    shift, stretch = _label(kind, mean[-1], spread[-1], home.party)
    return Scaling(kind, home.columns, mean[:-1], spread[:-1], shift, stretch, total, held)


def _label(kind: Kind, mean: float, spread: float, where: str) -> tuple[float, float]:
    if spread == 0 and kind.name != "multinomial":
        raise Refusal("learn.label", "the label has one value only, at all parties", where=where,
                      remedy="a model needs rows of at least two kinds")  # fmt: skip
    if kind.name == "linear":
        return float(mean), float(spread)
    return 0.0, float(mean) if kind.log_link else 1.0


def _orders(x: F64) -> F64:
    """[columns, orders]: 1 at the order of magnitude of a column's largest value; nothing for a column of zeros."""
    most = np.nanmax(np.abs(np.where(np.isnan(x), 0.0, x)), axis=0, initial=0.0)
    out = np.zeros((x.shape[1], _ORDERS))
    found = most > 0
    place = np.floor(np.log2(np.where(found, most, 1.0)) / 4).astype(np.int64) + 1 - _LOWEST
    out[found, np.clip(place[found], 0, _ORDERS - 1)] = 1.0
    return out


def _magnitudes(orders: F64) -> F64:
    """What to divide each column by: a power of 16 that no party's values exceed."""
    last = _ORDERS - 1 - np.argmax(orders[:, ::-1] > 0, axis=1)
    return np.where(orders.any(axis=1), 16.0 ** (last + _LOWEST), 1.0)
