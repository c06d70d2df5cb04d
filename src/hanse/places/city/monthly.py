"""What panels say of a place as such: a row a month, for models that ask how large it is, not how today differs.

A month counts once it is over and its days have come. An operator's cells are brought to places by their nearness,
five cells at least (`hanse.places.home.cells`), which is what an operator does at home.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from hanse.places.city.panels import Panels
from hanse.places.city.town import Town
from hanse.places.feeds.feed import Days, Feed, Floats
from hanse.places.home.cells import nearness

_LEAST_DAYS = 20


def monthly(feed: Feed, dates: Days, name: str) -> pa.Table:
    """A row a place and month (key, date, NAME_mean, NAME_weekend, reported) of a daily feed.

    ``date`` is the month's first day, ``NAME_mean`` the mean a day, ``NAME_weekend`` weekends over weekdays,
    ``reported`` when the last of its days was.
    """
    values = feed.known("9999-01-01", dates)
    late = int(np.quantile((feed.reported - feed.date).astype(np.int64), 1.0)) if len(feed) else 0
    return _table(feed.places, values, dates, name, late)


def operator_monthly(town: Town, panels: Panels, dates: Days) -> pa.Table:
    """The same of the operator's cells, at places."""
    cells = panels.operator.over(town.cell_names).known("9999-01-01", dates)
    weights = nearness(
        town.places.lat, town.places.lon, town.cell_lat, town.cell_lon, town.cell_side
    )
    late = int((panels.operator.reported - panels.operator.date).astype(np.int64).max())
    return _table(town.places.ids, weights.applied(cells), dates, "people", late)


def _table(
    places: tuple[str, ...], values: Floats, dates: Days, name: str, lateness: int
) -> pa.Table:
    weekend = (dates.astype(np.int64) + 3) % 7 >= 5
    parts = []
    for month in np.unique(dates.astype("datetime64[M]")):
        mine = dates.astype("datetime64[M]") == month
        there = np.isfinite(values[:, mine]).sum(axis=1) >= _LEAST_DAYS
        if not there.any() or mine.sum() < _LEAST_DAYS:
            continue
        mean = _mean(values[there][:, mine])
        ratio = _mean(values[there][:, mine & weekend]) / np.maximum(
            _mean(values[there][:, mine & ~weekend]), 1e-9
        )
        end = (month + 1).astype("datetime64[D]") - np.timedelta64(1, "D")
        count = int(there.sum())
        parts.append(
            pa.table(
                {
                    "key": np.array(places)[there],
                    "date": pa.array(np.full(count, month.astype("datetime64[D]")), pa.date32()),
                    f"{name}_mean": np.round(mean, 3),
                    f"{name}_weekend": np.round(ratio, 4),
                    "reported": pa.array(
                        np.full(count, end + np.timedelta64(lateness, "D")), pa.date32()
                    ),
                }
            )
        )
    return pa.concat_tables(parts) if parts else _table_of_nothing(name)


def _mean(values: Floats) -> Floats:
    known = np.isfinite(values)
    return np.asarray(np.where(known, values, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1))


def _table_of_nothing(name: str) -> pa.Table:
    return pa.schema(
        [("key", pa.string()), ("date", pa.date32()), (f"{name}_mean", pa.float64()),
         (f"{name}_weekend", pa.float64()), ("reported", pa.date32())]
    ).empty_table()  # fmt: skip
