"""Reports about places out of a registered dataset, and the public ground that they are laid on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import duckdb
import numpy as np

from hanse.catalog import Dataset
from hanse.catalog.expressions import identifier
from hanse.catalog.files import fail_reading
from hanse.catalog.gazetteers import Gazetteer
from hanse.catalog.sources import open_source
from hanse.contracts.crowds import CrowdClause, CrowdCounts, CrowdSignal
from hanse.errors import Fault
from hanse.places.crowd.ground import Calendar, Ground, calendar, label_table
from hanse.places.feeds import Feed, day

_KM_PER_DEGREE = 111.195


def read_reports(
    dataset: Dataset, columns: CrowdCounts | CrowdSignal, lateness: int, places: Sequence[str]
) -> Feed:
    """The dataset's reports over ``places``; without a column of report days each comes ``lateness`` days late.

    Rows whose place, day or value cannot be read are left out and counted. `Fault` ``feed.empty`` for none at all.
    """
    named = {name: _column(dataset, getattr(columns, name)) for name in ("place", "date", "value")}
    reported = f"date + {int(lateness)}"
    if columns.reported is not None:
        reported = f"TRY_CAST({_column(dataset, columns.reported)} AS DATE)"
    query = (
        f"SELECT place, date, value, {reported} AS reported FROM (SELECT *, "
        f"nullif(trim(CAST({named['place']} AS VARCHAR)), '') AS place, "
        f"TRY_CAST({named['date']} AS DATE) AS date, TRY_CAST({named['value']} AS DOUBLE) AS value FROM source)"
    )
    fine = "place IS NOT NULL AND date IS NOT NULL AND reported IS NOT NULL AND isfinite(value)"
    with open_source(dataset) as source:
        try:
            source.rewind()
            source.connection.execute(f"CREATE TEMP TABLE reports AS SELECT *, coalesce({fine}, false) AS fine "
                                      f"FROM ({query})")  # fmt: skip
            keys = [r[0] for r in source.connection.execute(
                "SELECT DISTINCT place FROM reports WHERE fine ORDER BY place").fetchall()]  # fmt: skip
            source.connection.execute(
                "CREATE TEMP TABLE keys AS SELECT place, row_number() OVER (ORDER BY place) - 1 AS n "
                "FROM (SELECT DISTINCT place FROM reports WHERE fine)"
            )
            found = source.connection.execute(
                "SELECT CAST(n AS INTEGER) AS place, date, reported, value FROM reports JOIN keys USING (place) "
                "WHERE fine ORDER BY reported, date, place, value"
            ).fetchnumpy()
            unread = source.connection.execute(
                "SELECT count(*) FROM reports WHERE NOT fine AND NOT coalesce(isnan(value), value IS NULL)"
            ).fetchone()[0]
        except duckdb.Error as error:
            fail_reading(error, dataset.name, source.label)
    if not keys:
        raise Fault("feed.empty", f"the dataset {dataset.name!r} has no row with a readable place, day and value",
                    remedy="check its columns, and that days are written like 2026-03-31",
                    where=dataset.name)  # fmt: skip
    made = Feed(
        tuple(map(str, keys)), _plain(found["place"]).astype(np.int32),
        _plain(found["date"]).astype("datetime64[D]"), _plain(found["reported"]).astype("datetime64[D]"),
        _plain(found["value"]).astype(np.float64), dataset.name, int(unread),
    )  # fmt: skip
    return made.over(places)


def _column(dataset: Dataset, name: str) -> str:
    return str(identifier(dataset.column(name).column))


def _plain(column: Any) -> Any:
    return np.ma.getdata(column)


# --- what all parties know ----------------------------------------------------------------------------


def ground_of(places: Gazetteer) -> Ground:
    """Places with their positions in km around the middle of the list, labelled by kind and district."""
    lat, lon = np.asarray(places.lat), np.asarray(places.lon)
    north = (lat - lat.mean()) * _KM_PER_DEGREE
    east = (lon - lon.mean()) * _KM_PER_DEGREE * np.cos(np.deg2rad(lat.mean()))
    texts = [f"{kind}|{where}" for kind, where in zip(places.types, places.districts, strict=True)]
    return Ground(places.ids, np.stack([east, north], axis=1), label_table(texts))


def calendar_of(clause: CrowdClause, ends: date) -> Calendar:
    """The days that a job about ``ends`` looks at: the clause's history and the days ahead."""
    last = day(ends)
    holidays = {one.date.isoformat(): one.name for one in clause.holidays}
    return calendar(last - clause.history_days, last + clause.days_ahead, holidays, clause.weekend)
