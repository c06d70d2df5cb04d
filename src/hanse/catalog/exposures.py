"""Exposures to offline advertising, derived at home from presence near screens.

A visit (person, screen, arrival, departure) and a play (screen, campaign, start, end) that overlap for
at least the agreed time are one exposure. The join is on (screen, time slice) rather than on
screen alone, so that a busy screen costs its overlaps and not its visits times its plays; a pair
that shares several slices counts in the one where its overlap starts.
"""

from __future__ import annotations

from typing import Any

from hanse.catalog.datasets import Column, Dataset, Presence, Record
from hanse.catalog.expressions import expression, identifier
from hanse.catalog.files import define_view, fetch, find_type, types_of
from hanse.errors import Fault

SLICE = 3_600_000_000  # microseconds: an hour holds a visit or two and the plays of one loop
_SECOND = 1_000_000


class VisitCounts(Record):
    """Visits of a presence dataset: all, and those left out because of what they lack or are."""

    visits: int
    without_screen: int
    without_times: int
    backwards: int
    too_long: int
    too_far: int


def derive_exposures(connection: Any, dataset: Dataset, label: str) -> None:
    """Create the view `source` (person ids, campaign, screen, exposed_at, overlap_seconds) over `visits`.

    Raises `Fault` for missing, mistyped or malformed columns of the visits or the schedule.
    """
    rule = _rule(dataset)
    define_view(connection, "plays", rule.schedule, dataset.name)
    _check_schedule(connection, rule, dataset.name)
    visits = _visits(connection, rule, dataset, label)
    plays = _plays(connection, rule, dataset.name)
    people = ", ".join(f"v.{identifier(column.column)}" for column in dataset.ids)
    slices = f"generate_series({{0}} // {SLICE}, ({{1}} - 1) // {SLICE})"
    overlap = "least(v.departed, p.ended) - greatest(v.arrived, p.started)"
    connection.execute(
        f"""
        CREATE TEMP VIEW source AS
        WITH v AS (SELECT *, unnest({slices.format("arrived", "departed")}) AS slice FROM ({visits})),
             p AS (SELECT *, unnest({slices.format("started", "ended")}) AS slice FROM ({plays}))
        SELECT {people}, p.campaign AS campaign, p.screen AS screen,
               make_timestamp(greatest(v.arrived, p.started)) AS exposed_at,
               ({overlap}) // {_SECOND} AS overlap_seconds
        FROM v JOIN p ON v.screen = p.screen AND v.slice = p.slice
        WHERE v.arrived < p.ended AND p.started < v.departed
          AND greatest(v.arrived, p.started) // {SLICE} = v.slice
          AND {overlap} >= {round(rule.min_overlap_seconds * _SECOND)}
        """
    )


def _sql(
    connection: Any,
    view: str,
    column: str,
    kind: str,
    zone: str,
    label: str,
    dataset: str,
    scale: int = 1,
) -> tuple[str, str | None]:
    """SQL of one column of `view` and of what is broken in it."""
    found = find_type(types_of(connection, view), column, label, dataset)
    meant = Column.model_validate(
        {"name": "x", "column": column, "kind": kind, "zone": zone, "scale": scale}
    )
    made = expression(meant, found, f"{dataset}.{column}")
    return made.sql, made.broken


def _visits(connection: Any, rule: Presence, dataset: Dataset, label: str) -> str:
    """Visits in canonical types: the person ids, screen, arrived and departed in microseconds, near."""
    made = _visit_columns(connection, rule, dataset, label)
    people = ", ".join(identifier(column.column) for column in dataset.ids)
    return f"""
        SELECT * FROM (SELECT {people}, {made["screen"]} AS screen, {made["arrived"]} AS arrived,
                              {made["departed"]} AS departed, {made["near"]} AS near FROM visits)
        WHERE near AND departed > arrived AND departed - arrived <= {_longest(rule)}
        """


def _longest(rule: Presence) -> int:
    return rule.max_dwell_hours * 3600 * _SECOND


def _visit_columns(connection: Any, rule: Presence, dataset: Dataset, label: str) -> dict[str, str]:
    """SQL of screen, arrived, departed and near, and of `broken`: text that cannot be read."""
    broken: list[str] = []

    def sql(column: str, kind: str, scale: int = 1) -> str:
        found, wrong = _sql(
            connection, "visits", column, kind, rule.zone, label, dataset.name, scale
        )
        broken.extend([wrong] if wrong else [])
        return found

    arrived = sql(rule.arrival, "time")
    if rule.departure is not None:
        departed = sql(rule.departure, "time")
    else:
        departed = f"({arrived}) + ({sql(str(rule.dwell_seconds), 'amount', _SECOND)})"
    near = "true"
    if rule.distance is not None and rule.max_distance is not None:
        metres = sql(rule.distance, "amount", 1000)
        near = f"coalesce(({metres}) <= {round(rule.max_distance * 1000)}, false)"
    return {
        "screen": sql(rule.screen, "category"),
        "arrived": arrived,
        "departed": departed,
        "near": near,
        "broken": " OR ".join(broken) or "false",
    }


def count_visits(connection: Any, dataset: Dataset, label: str) -> VisitCounts:
    """Visits by what became of them; `Fault` ``catalog.malformed`` where some cannot be read."""
    rule = _rule(dataset)
    made = _visit_columns(connection, rule, dataset, label)
    query = f"""
        SELECT count(*), count(*) FILTER (broken), count(*) FILTER (screen IS NULL),
               count(*) FILTER (arrived IS NULL OR departed IS NULL),
               count(*) FILTER (departed <= arrived),
               count(*) FILTER (departed - arrived > {_longest(rule)}),
               count(*) FILTER (NOT near)
        FROM (SELECT {made["screen"]} AS screen, {made["arrived"]} AS arrived,
                     {made["departed"]} AS departed, {made["near"]} AS near,
                     ({made["broken"]}) AS broken FROM visits)
        """
    found = fetch(connection, query, dataset.name, label)[0]
    if found[1]:
        raise Fault(
            "catalog.malformed",
            f"{found[1]} visits of {label} have an arrival, departure, dwell time or distance that cannot "
            "be read",
            remedy='use times such as "2026-01-31 18:30:00", and numbers of zero or more',
            where=dataset.name,
        )
    names = ("without_screen", "without_times", "backwards", "too_long", "too_far")
    return VisitCounts(visits=found[0], **dict(zip(names, found[2:], strict=True)))


def _rule(dataset: Dataset) -> Presence:
    if dataset.derive is None:
        raise Fault("catalog.dataset", "the dataset derives nothing", where=dataset.name)
    return dataset.derive


def _plays(connection: Any, rule: Presence, dataset: str) -> str:
    label = repr(rule.schedule.name)

    def sql(column: str, kind: str) -> str:
        return _sql(connection, "plays", column, kind, rule.zone, label, dataset)[0]

    return f"""
        SELECT {sql(rule.schedule_screen, "category")} AS screen,
               {sql(rule.schedule_campaign, "category")} AS campaign,
               {sql(rule.schedule_start, "time")} AS started,
               {sql(rule.schedule_end, "time")} AS ended
        FROM plays
        """


def _check_schedule(connection: Any, rule: Presence, dataset: str) -> None:
    """A play without a sound screen, campaign, start or end is an error: exposures would go missing."""
    plays = _plays(connection, rule, dataset)
    query = f"""
        SELECT count(*), count(*) FILTER (
            WHERE screen IS NULL OR campaign IS NULL OR started IS NULL OR ended IS NULL OR ended <= started)
        FROM ({plays})
        """
    rows, broken = fetch(connection, query, dataset, repr(rule.schedule.name))[0]
    if rows == 0 or broken:
        found = f"{broken} of its {rows} plays have no" if rows else "it has no play with a"
        raise Fault(
            "catalog.schedule",
            f"the play schedule {rule.schedule.name!r} cannot be used: {found} screen, campaign, start "
            "and later end",
            remedy="give every play a screen, a campaign, a start and an end after the start",
            where=dataset,
        )
