"""A back-test's predictions as a scoreboard: rows of place, day, truth, number and interval, by regime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hanse.errors import Fault
from hanse.places.feeds.feed import ONE_DAY, Days, Floats
from hanse.places.scoreboard.scoreboard import Told

_COLUMNS = ("place", "day", "truth", "point", "low", "high", "confidence", "published")


def regimes(rows: pa.Table) -> tuple[str, ...]:
    """The regimes in the rows, in their order; ("all",) where there is no such column."""
    if "regime" not in rows.column_names:
        return ("all",)
    return tuple(dict.fromkeys(rows.column("regime").to_pylist()))


def told_of_rows(
    rows: pa.Table, regime: str = "all", variant: str = "federated"
) -> tuple[Told, Floats]:
    """(what was told, the truth [places, days]) of one regime and variant.

    Where a place and day is told several times (new places with differently drawn days), the first counts. Raises
    `Fault` ``scoreboard.rows``.
    """
    missing = [name for name in _COLUMNS if name not in rows.column_names]
    if missing:
        raise _fault(f"the rows have no column {missing[0]!r}")
    for column, wanted in (("regime", regime), ("variant", variant)):
        if column in rows.column_names:
            rows = rows.filter(pc.equal(rows.column(column), wanted))
    if not rows.num_rows:
        raise _fault(f"there are no rows of the regime {regime!r} and the variant {variant!r}")
    places, place = np.unique(_values(rows, "place").astype(np.str_), return_inverse=True)
    day = _values(rows, "day").astype("datetime64[D]")
    dates: Days = np.arange(day.min(), day.max() + ONE_DAY)
    cell = place.reshape(-1) * dates.size + (day - dates[0]).astype(np.int64)
    _, first = np.unique(cell, return_index=True)
    shape = places.size, dates.size

    def filled(name: str, empty: float = np.nan) -> Floats:
        out = np.full(shape[0] * shape[1], empty)
        out[cell[first]] = _values(rows, name).astype(np.float64)[first]
        return out.reshape(shape)

    shown: NDArray[np.bool_] = filled("published", 0.0) > 0.5
    told = Told(tuple(places.tolist()), dates, filled("point"), filled("low"), filled("high"),
                filled("confidence"), shown)  # fmt: skip
    return told, filled("truth")


def _values(rows: pa.Table, name: str) -> NDArray[Any]:
    return np.asarray(rows.column(name).combine_chunks().to_numpy(zero_copy_only=False))


def _fault(message: str) -> Fault:
    return Fault("scoreboard.rows", message, where="scoreboard",
                 remedy="give the Parquet file that `bench/places.py --rows FILE` writes")  # fmt: skip
