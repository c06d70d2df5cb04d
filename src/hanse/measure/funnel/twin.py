"""The funnel's plain twin: the same question over everybody's tables in one place, in SQL.

For tests, rehearsals and the demo's check; it sees all data, so no node ever runs it. Tables have the
contract's column names (amounts in whole units) and an ``id`` column of already normalised identifiers,
without nulls, of one type in all tables. People with several labels have the one that the catalog gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from hanse.contracts import Contract
from hanse.measure.clauses import quoted, where_clause
from hanse.measure.funnel.protocol import FunnelPlan, LabelPlan, SourcePlan, segment_names
from hanse.measure.questions import column_of


def twin(plan: FunnelPlan, tables: Mapping[str, Any], contract: Contract) -> NDArray[np.int64]:
    """Exact people per output [outputs]; ``tables`` maps dataset names to Arrow tables.

    ``contract`` is the plan's: its lists say which of several labels comes first.
    """
    db = duckdb.connect()
    try:
        for name, table in tables.items():
            db.register(f"data_{name}", table)
        for x in plan.sources:
            _events(db, plan, x)
        arms = [_arm(db, plan, None)]
        if plan.base is not None:
            db.execute(
                f"create table base as select distinct id from {quoted('data_' + plan.base[1])} "
                "where id not in (select id from stage_exposed_0)"
            )
            arms.append(_arm(db, plan, "base"))
        cells = _cells(db, plan, contract, arms)
    finally:
        db.close()
    return plan.release.sums.apply(cells)


def _events(db: duckdb.DuckDBPyConnection, plan: FunnelPlan, x: SourcePlan) -> None:
    """Table of (id, t, first): each kept event, with the time of the first of its at_least in a row."""
    values: list[Any] = []
    where = where_clause(x.source.where, values)
    if x.time:
        time = f"epoch_us({quoted(x.time)}::timestamp)"
        start = int(plan.origin.timestamp() * 1_000_000)
        unit = plan.unit_seconds * 1_000_000
        end = start + (plan.question.ends - plan.question.starts).days * 86_400_000_000
        where += f" and {time} >= {start} and {time} < {end}"
        moment = f"({time} - {start}) // {unit}"
    else:
        moment = "0"
    db.execute(
        f"""create table if not exists {quoted("events_" + x.name)} as
        select id, t, lag(t, {x.source.at_least - 1}) over kept as first,
               row_number() over kept as number
        from (
          select id, t from (
            select id, {moment} as t,
                   row_number() over (partition by id, {moment} * {x.slots} // {plan.span}
                                      order by {moment}) > 1 as more
            from {quoted("data_" + x.source.dataset)} where {where}
          )
          qualify row_number() over (partition by id order by more, t) <= {x.slots}
        )
        window kept as (partition by id order by t rows unbounded preceding)
        qualify number >= {x.source.at_least}""",
        values,
    )


def _arm(db: duckdb.DuckDBPyConnection, plan: FunnelPlan, entry: str | None) -> list[str]:
    """One table of (id, source, dataset, t) per stage; their names."""
    tag = "exposed" if entry is None else "others"
    stages = [] if entry is None else [entry]
    previous = None
    for stage in range(0 if entry is None else 1, len(plan.question.stages)):
        name = f"stage_{tag}_{stage}"
        parts = [
            _reached(plan, x, stage, previous, entry) for x in plan.sources if x.stage == stage
        ]
        db.execute(f"create table {name} as {' union all '.join(parts)}")
        stages.append(name)
        previous = name
    return stages


def _reached(
    plan: FunnelPlan, x: SourcePlan, stage: int, previous: str | None, entry: str | None
) -> str:
    events = quoted("events_" + x.name)
    dataset = x.source.dataset.replace("'", "''")
    head = f"select distinct e.id, '{dataset}' as dataset, e.t from {events} e"
    if previous is None:
        return head if entry is None else f"{head} where e.id in (select id from {entry})"
    if not plan.question.ordered:
        return f"{head} where e.id in (select id from {previous})"
    window = plan.window(stage)
    limit = "" if window is None else f" and e.t <= p.t + {window}"
    return (
        f"{head} join {previous} p on e.id = p.id{limit} and "
        f"case when p.dataset = '{dataset}' then e.first > p.t else e.first >= p.t end"
    )


def _labels(db: duckdb.DuckDBPyConnection, label: LabelPlan, contract: Contract) -> None:
    """Table of (id, code). Of several labels the most frequent counts, the one listed first if two are equally
    so; a flag that was ever true is true.
    """
    column = column_of(contract, label.dataset, label.column)
    boolean = column.kind == "boolean"
    values = ("false", "true") if boolean else column.values
    db.execute("create table listed (value varchar, place integer, code integer)")
    db.executemany(
        "insert into listed values (?, ?, ?)",
        [[v, place, label.codes.get(v, 0)] for place, v in enumerate(values)],
    )
    order = "place desc" if boolean else "times desc, place"
    db.execute(
        f"""create table label as select id, code from (
          select id, place, code, count(*) as times from {quoted("data_" + label.dataset)} d
          join listed on {quoted(label.column)}::varchar = value group by id, place, code
        ) qualify row_number() over (partition by id order by {order}) = 1"""
    )


def _cells(
    db: duckdb.DuckDBPyConnection, plan: FunnelPlan, contract: Contract, arms: list[list[str]]
) -> NDArray[np.int64]:
    segments = segment_names(plan.label)
    stages = len(plan.question.stages)
    if plan.label is None:
        anybody = quoted("events_" + plan.sources[0].name)
        db.execute(f"create table label as select id, 0 as code from {anybody} where false")
    else:
        _labels(db, plan.label, contract)
    cells = np.zeros((len(arms), len(segments), stages), np.int64)
    for a, tables in enumerate(arms):
        for stage, table in enumerate(tables):
            later = (
                f"where id not in (select id from {tables[stage + 1]})"
                if stage + 1 < len(tables)
                else ""
            )
            rows = db.execute(
                f"select coalesce(code, 0), count(distinct r.id) from (select distinct id from {table} "
                f"{later}) r left join label using (id) group by 1"
            ).fetchall()
            for code, people in rows:
                cells[a, code, stage] = people
    return cells.reshape(-1)
