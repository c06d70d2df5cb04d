"""Reports about places out of a registered dataset, and the public ground that they are laid on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import duckdb
import numpy as np

from hanse.catalog import Dataset
from hanse.catalog.expressions import identifier
from hanse.catalog.files import fail_reading
from hanse.catalog.gazetteers import Gazetteer
from hanse.catalog.sources import open_source
from hanse.contracts.crowds import CrowdClause, CrowdCounts, CrowdSignal, CrowdTable
from hanse.errors import Fault
from hanse.places.checks.checks import Finding
from hanse.places.crowd.ground import Calendar, Ground, calendar, label_table
from hanse.places.feeds.feed import Feed, day
from hanse.places.feeds.hours import daily

_KM_PER_DEGREE = 111.195


@dataclass(frozen=True)
class Reported:
    """Which columns of a dataset hold reports, where the contract's clause names several values."""

    place: str
    date: str
    value: str
    reported: str | None = None


def read_reports(
    dataset: Dataset,
    columns: CrowdCounts | CrowdSignal | Reported,
    lateness: int,
    zone: str = "UTC",
) -> tuple[Feed, tuple[Finding, ...]]:
    """(the dataset's reports over all places that it names, what is wrong with its hours).

    Without a column of report days each comes ``lateness`` days late. Days may be hours (times of the clock in
    ``zone``): they are added up to days, and days with other hours missing or twice are left out. Rows whose place,
    day or value cannot be read are left out and counted. `Fault` ``feed.empty`` for none at all.
    """
    named = {name: _column(dataset, getattr(columns, name)) for name in ("place", "date", "value")}
    # Named so that they hide no column of the source, and none of it hides them.
    reported = f"CAST(at_ AS DATE) + {int(lateness)}"
    if columns.reported is not None:
        reported = f"TRY_CAST({_column(dataset, columns.reported)} AS DATE)"
    query = (
        f"SELECT place_, at_, value_, {reported} AS reported_ FROM (SELECT *, "
        f"nullif(trim(CAST({named['place']} AS VARCHAR)), '') AS place_, "
        f"TRY_CAST({named['date']} AS TIMESTAMP) AS at_, "
        f"TRY_CAST({named['value']} AS DOUBLE) AS value_ FROM source)"
    )
    fine = "place_ IS NOT NULL AND at_ IS NOT NULL AND reported_ IS NOT NULL AND isfinite(value_)"
    with open_source(dataset) as source:
        run = source.connection.execute
        try:
            source.rewind()
            run(
                f"CREATE TEMP TABLE reports AS SELECT *, coalesce({fine}, false) AS fine_ FROM ({query})"
            )
            keys = [
                r[0]
                for r in run(
                    "SELECT DISTINCT place_ FROM reports WHERE fine_ ORDER BY 1"
                ).fetchall()
            ]
            run("CREATE TEMP TABLE keys AS SELECT place_, row_number() OVER (ORDER BY place_) - 1 AS n_ "
                "FROM (SELECT DISTINCT place_ FROM reports WHERE fine_)")  # fmt: skip
            found = run(
                "SELECT CAST(n_ AS INTEGER) AS place, at_ AS moment, reported_ AS reported, value_ AS value "
                "FROM reports JOIN keys USING (place_) WHERE fine_ ORDER BY reported_, at_, place_, value_"
            ).fetchnumpy()
            unread = run(
                "SELECT count(*) FROM reports WHERE NOT fine_ AND NOT coalesce(isnan(value_), value_ IS NULL)"
            ).fetchone()[0]
        except duckdb.Error as error:
            fail_reading(error, dataset.name, source.label)
    if not keys:
        raise Fault("feed.empty", f"the dataset {dataset.name!r} has no row with a readable place, day and value",
                    remedy="check its columns, and that days are written like 2026-03-31",
                    where=dataset.name)  # fmt: skip
    made = Feed(
        tuple(map(str, keys)), _plain(found["place"]).astype(np.int32),
        _plain(found["moment"]).astype("datetime64[D]"), _plain(found["reported"]).astype("datetime64[D]"),
        _plain(found["value"]).astype(np.float64), dataset.name, int(unread),
    )  # fmt: skip
    at = _plain(found["moment"]).astype("datetime64[h]")
    if (at == made.date).all():
        return made, ()
    return _by_day(made, at, zone)


def _by_day(made: Feed, at: np.ndarray[Any, Any], zone: str) -> tuple[Feed, tuple[Finding, ...]]:
    """Rows by hour added up; a day was reported when the last of its hours was."""
    whole, findings = daily(
        np.array(made.places)[made.place], at, made.value, zone=zone, name=made.name
    )
    first = min(made.date.min(), whole.date.min() if len(whole) else made.date.min())
    span = int((made.date.max() - first).astype(int)) + 1
    last = np.full((len(made.places), span), np.datetime64("0001-01-01", "D"))
    np.maximum.at(last, (made.place, (made.date - first).astype(int)), made.reported)
    row = np.array([made.position[name] for name in whole.places], np.int64)
    reported = last[row[whole.place], (whole.date - first).astype(int)]
    return replace(whole, reported=reported, unread=made.unread), findings


def read_numbers(
    dataset: Dataset, table: CrowdTable, places: Sequence[str]
) -> np.ndarray[Any, Any]:
    """float64 [places, values] of a table with a row a place: means, if there are several; not a number for none.

    `Fault` ``feed.empty`` if none of the places is in it.
    """
    place = f"nullif(trim(CAST({_column(dataset, table.place)} AS VARCHAR)), '')"
    values = ", ".join(
        f"avg(TRY_CAST({_column(dataset, name)} AS DOUBLE)) FILTER (isfinite(TRY_CAST({_column(dataset, name)} "
        f"AS DOUBLE)))" for name in table.values
    )  # fmt: skip
    with open_source(dataset) as source:
        try:
            source.rewind()
            rows = source.connection.execute(
                f"SELECT place_, {values} FROM (SELECT *, {place} AS place_ FROM source) GROUP BY place_"
            ).fetchall()
        except duckdb.Error as error:
            fail_reading(error, dataset.name, source.label)
    at = {key: number for number, key in enumerate(places)}
    out = np.full((len(places), len(table.values)), np.nan)
    for key, *found in rows:
        if key in at:
            out[at[key]] = [np.nan if v is None else v for v in found]
    if not np.isfinite(out).any():
        raise Fault("feed.empty", f"the dataset {dataset.name!r} has no number of any place of the list",
                    remedy="check its columns, and that its places are those of the contract's list",
                    where=dataset.name)  # fmt: skip
    return out


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
