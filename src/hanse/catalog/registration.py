"""Registering a dataset: open it, check every column, and describe what is there.

The profile stays at home. A contract repeats names, kinds and public lists from it, never its counts.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from hanse.catalog.crowd import gather
from hanse.catalog.datasets import Column, Dataset, HashChain, IdColumn, Record
from hanse.catalog.exposures import VisitCounts
from hanse.catalog.expressions import Expression, expression, identifier, remedy_for
from hanse.catalog.identifiers import Hasher, IdReport, count_reasons, report_of
from hanse.catalog.scan import id_expression
from hanse.catalog.sources import Source, open_source
from hanse.catalog.withdrawn import listed_ids, matching_column
from hanse.errors import Fault


class ColumnProfile(Record):
    """`filled` rows have a value, `coverage` is their share; `distinct` is approximate, for categories.

    `minimum` and `maximum` are for numbers (whole units), `first` and `last` for times (UTC).
    """

    kind: str
    filled: int
    coverage: float
    distinct: int | None = None
    minimum: int | None = None
    maximum: int | None = None
    first: datetime | None = None
    last: datetime | None = None


class IdProfile(Record):
    """What became of one id column's rows; see `identifiers.IdReport`."""

    type: str
    format: str
    distinct: int
    empty: int
    invalid: dict[str, int]
    duplicates: int
    colliding: int


class Profile(Record):
    """What registration found. `ids` by source column, `columns` by contract name, exact counts: private.

    `withdrawn` counts the distinct ids on the withdrawal lists; `visits` is there for presence datasets.
    """

    dataset: str
    rows: int
    ids: dict[str, IdProfile]
    columns: dict[str, ColumnProfile]
    withdrawn: int
    visits: VisitCounts | None = None


def register(dataset: Dataset) -> Profile:
    """Check that the dataset can be used as described and profile it.

    Raises `Fault` naming file, column, what was found and the remedy. Codes: catalog.missing-file,
    .empty-file, .no-rows, .unreadable, .permission, .missing-column, .wrong-type, .malformed, .no-ids,
    .region, .withdrawals, .schedule, and for databases .postgres, .connection, .missing-table.
    """
    with open_source(dataset) as source:
        expressions = {
            column.name: expression(
                column, source.type_of(column.column), f"{dataset.name}.{column.name}"
            )
            for column in dataset.columns
        }
        for chosen in dataset.ids:
            id_expression(source, chosen)
        rows, columns = _profile_columns(source, dataset, expressions)
        ids = {chosen.column: _profile_ids(source, dataset, chosen) for chosen in dataset.ids}
        withdrawn = 0
        for number, listing in enumerate(dataset.withdrawals):
            _, chain = matching_column(dataset, listing, dataset.ids[0], "sha256")
            withdrawn += len(listed_ids(source, dataset, listing, number, chain))
    return Profile(
        dataset=dataset.name,
        rows=rows,
        ids=ids,
        columns=columns,
        withdrawn=withdrawn,
        visits=source.visits,
    )


def _profile_columns(
    source: Source, dataset: Dataset, expressions: dict[str, Expression]
) -> tuple[int, dict[str, ColumnProfile]]:
    """Rows and column profiles in one pass; `Fault` for no rows and for malformed values."""
    parts = ["count(*)"]
    for column in dataset.columns:
        made = expressions[column.name]
        broken = f"count(*) FILTER ({made.broken})" if made.broken else "0"
        ordered = column.kind in {"integer", "amount", "time"}
        distinct = (
            f"approx_count_distinct({made.sql})" if column.kind in ("category", "place") else "NULL"
        )
        ends = f"min({made.sql}), max({made.sql})" if ordered else "NULL, NULL"
        parts.append(f"count({made.sql}), {broken}, {distinct}, {ends}")
    found = source.row(f"SELECT {', '.join(parts)} FROM source")
    rows = int(found[0])
    if rows == 0:
        derived = "no exposures come out of it" if dataset.derive else "it has headings but no rows"
        raise Fault(
            "catalog.no-rows",
            f"{source.label} has no rows: {derived}",
            remedy="export the data again, or check the path and the play schedule",
            where=dataset.name,
        )
    profiles = {}
    for number, column in enumerate(dataset.columns):
        filled, broken_rows, distinct, low, high = found[1 + 5 * number : 6 + 5 * number]
        if broken_rows:
            _refuse(source, dataset, column, expressions[column.name], int(broken_rows))
        is_time = column.kind == "time"
        profiles[column.name] = ColumnProfile(
            kind=column.kind,
            filled=filled,
            coverage=round(filled / rows, 6),
            distinct=distinct,
            minimum=None if is_time else low,
            maximum=None if is_time else high,
            first=_moment(low) if is_time else None,
            last=_moment(high) if is_time else None,
        )
    return rows, profiles


def _moment(microseconds: int | None) -> datetime | None:
    if microseconds is None:
        return None
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def _refuse(
    source: Source, dataset: Dataset, column: Column, made: Expression, broken_rows: int
) -> None:
    """Say how many values are malformed, where the first is, and its shape (9 a digit, a a letter)."""
    shape = f"left(CAST({identifier(column.column)} AS VARCHAR), 32)"
    shape = rf"regexp_replace(regexp_replace({shape}, '\pL', 'a', 'g'), '\pN', '9', 'g')"
    number, looks = source.row(
        f"SELECT min(n), arg_min(looks, n) FROM (SELECT row_number() OVER () AS n, {shape} AS looks, "
        f"{made.broken} AS broken FROM source) WHERE broken"
    )
    raise Fault(
        "catalog.malformed",
        f"column {column.column!r} of {source.label}: {broken_rows} values cannot be read as {column.kind}, "
        f"first in row {number}, of the shape {looks!r}",
        remedy=remedy_for(column.kind),
        where=f"{dataset.name}.{column.name}",
    )


def _profile_ids(source: Source, dataset: Dataset, chosen: IdColumn) -> IdProfile:
    """Validity and duplicates of one id column; `Fault` ``catalog.no-ids`` if no row has a valid id."""
    chain: HashChain = "md5+sha256" if chosen.format in {"md5", "md5+sha256"} else "sha256"
    where = f"{dataset.name}.{chosen.column}"
    hasher = Hasher(chosen.type, chosen.format, chain, chosen.region, where)
    counts = np.zeros(256, np.int64)
    ids, checks = [], []
    query = f"SELECT {id_expression(source, chosen)} AS id FROM source"
    for batch in source.stream(query):
        hashed = hasher.hash(batch.column("id"))
        counts += count_reasons(hashed.status)
        ids.append(hashed.ids[hashed.valid])
        checks.append(hashed.checks[hashed.valid])
    report: IdReport = report_of(counts, gather(np.concatenate(ids), np.concatenate(checks)))
    if report.distinct == 0:
        reasons = ", ".join(f"{name} {number}" for name, number in report.invalid.items())
        raise Fault(
            "catalog.no-ids",
            f"column {chosen.column!r} of {source.label} holds no valid {chosen.type} id "
            f"({report.rows} rows: empty {report.empty}{', ' if reasons else ''}{reasons})",
            remedy="check the column, its type and format, and for phone numbers the region",
            where=where,
        )
    return IdProfile(
        type=chosen.type,
        format=chosen.format,
        distinct=report.distinct,
        empty=report.empty,
        invalid=report.invalid,
        duplicates=report.duplicates,
        colliding=report.colliding,
    )
