"""Attribution's plain twin: the same question over everybody's tables in one place, person by person.

For tests and rehearsals; it sees all data, so no node ever runs it. Tables have the contract's column names
(amounts in whole units) and an ``id`` column of already normalised identifiers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import duckdb
import numpy as np
from numpy.typing import NDArray

from hanse.contracts import Contract
from hanse.measure.attribution.plan import WHOLE, AttributionPlan, TouchPlan
from hanse.measure.clauses import quoted, where_clause


class Touched(NamedTuple):
    """One touch: ordered by time, then by source, then by channel (of one source: by its code)."""

    time: int
    source: int
    code: int
    channel: int


class Converted(NamedTuple):
    """One conversion."""

    time: int
    value: int


def twin(p: AttributionPlan, tables: Mapping[str, Any], contract: Contract) -> NDArray[np.int64]:
    """Exact figures per output [outputs]; ``tables`` maps dataset names to Arrow tables."""
    del contract  # all that matters of it is in the plan
    touches: dict[Any, list[Touched]] = defaultdict(list)
    for t in p.touches:
        for person, found in _touches(p, t, tables[t.source.dataset]).items():
            touches[person] += found
    cells = len(p.channels) + 2
    people, credits, worths = (np.zeros(cells, np.int64) for _ in range(3))
    for person, converted in _conversions(p, tables[p.conversions.source.dataset]).items():
        own = credited(p, sorted(touches.get(person, [])), converted)
        mine = own[0] > 0
        people += [*mine[:-2], mine[-2], True]
        credits += own[0]
        worths += own[1]
    blocks = [people, credits, worths] if p.conversions.value_bits else [people, credits]
    return p.release.sums.apply(np.concatenate(blocks))


def credited(
    p: AttributionPlan, touches: Sequence[Touched], conversions: Sequence[Converted]
) -> NDArray[np.int64]:
    """One person's credit and worth [2, channels + 2]: the channels, unattributed, lost in rounding."""
    cells = np.zeros((2, len(p.channels) + 2), np.int64)
    room = p.conversions.most
    for conversion in conversions:
        value = min(conversion.value, room)
        room -= value
        counting = [t for t in touches if _counts(p, t, conversion)]
        if not counting:
            cells[:, -2] += p.whole, p.whole * value
            continue
        shares = shared(p, [conversion.time - t.time for t in counting])
        for t, share in zip(counting, shares, strict=True):
            cells[:, t.channel] += share, share * value
        rest = p.whole - sum(shares)
        cells[:, -1] += rest, rest * value
    return cells


def _counts(p: AttributionPlan, t: Touched, conversion: Converted) -> bool:
    age = conversion.time - t.time
    return (1 if p.touches[t.source].strict else 0) <= age <= p.window


def shared(p: AttributionPlan, ages: Sequence[int]) -> list[int]:
    """The credit of each touch that counts, by the model; earliest first, their ages when the conversion came."""
    count = len(ages)
    if p.question.model == "last":
        return [0] * (count - 1) + [1]
    if p.question.model == "first":
        return [1] + [0] * (count - 1)
    if p.question.model == "linear":
        return [WHOLE // count] * count
    if p.question.model == "time_decay":
        table = p.weights()
        weights = [table[age >> p.age_shift()] for age in ages]
        return [WHOLE * weight // sum(weights) for weight in weights]
    start, middle, end = p.question.position
    if count == 1:
        return [WHOLE]
    if count == 2:
        if start + end == 0:
            return [WHOLE // 2, WHOLE // 2]
        return [WHOLE * start // (start + end), WHOLE * end // (start + end)]
    between = WHOLE * middle // 100 // (count - 2)
    return [WHOLE * start // 100, *([between] * (count - 2)), WHOLE * end // 100]


# --- events -----------------------------------------------------------------------------------------


def _touches(p: AttributionPlan, t: TouchPlan, table: Any) -> dict[Any, list[Touched]]:
    code_of = dict(zip(t.values, t.codes[1:], strict=True))
    credit = quoted(t.source.credit) + "::varchar" if t.source.credit else "''"
    found: dict[Any, list[tuple[int, int, int]]] = defaultdict(list)
    for person, tick, value in _events(p, t.source, t.time, p.origin, credit, table):
        code = code_of.get(value, 0) if t.values else 1
        if code:
            # Of the same time, the order of the values in the list decides.
            place = t.values.index(value) if t.values else 0
            found[person].append((tick, place, code))
    return {
        person: [
            Touched(tick, t.number, place, t.channels[code - 1])
            for tick, place, code in _spread(events, t.slots, p.span)
        ]
        for person, events in found.items()
    }


def _conversions(p: AttributionPlan, table: Any) -> dict[Any, list[Converted]]:
    c = p.conversions
    value = "0"
    if c.source.value is not None:
        unit = c.source.value_unit
        value = f"coalesce(floor({quoted(c.source.value)} / {unit} + 0.5), 0)::bigint"
    found: dict[Any, list[tuple[int, int, int]]] = defaultdict(list)
    for person, tick, worth in _events(p, c.source, c.time, p.starts, value, table):
        found[person].append((tick, min(worth, c.most), 0))
    return {
        person: [
            Converted(p.window + tick, worth)
            for tick, worth, _ in _spread(events, c.slots, p.span - p.window)
        ]
        for person, events in found.items()
    }


def _events(
    p: AttributionPlan, source: Any, time: str, starts: datetime, column: str, table: Any
) -> list[tuple[Any, int, Any]]:
    """(person, time in units since ``starts``, ``column``) of the source's events until the end."""
    values: list[Any] = []
    where = where_clause(source.where, values)
    moment = f"epoch_us({quoted(time)}::timestamp)"
    begin = int(starts.timestamp() * 1_000_000)
    ends = datetime.combine(p.question.ends, datetime.min.time(), UTC)
    end = int(ends.timestamp() * 1_000_000)
    unit = p.unit_seconds * 1_000_000
    with duckdb.connect() as db:
        db.register("data", table)
        return db.execute(
            f"select id, ({moment} - {begin}) // {unit}, {column} from data "
            f"where {where} and {moment} >= {begin} and {moment} < {end}",
            values,
        ).fetchall()


def _spread(
    events: list[tuple[int, int, int]], slots: int, span: int
) -> list[tuple[int, int, int]]:
    """At most ``slots`` of a person's events: the first of each stretch of the span, then the earliest others."""
    events = sorted(events)
    if len(events) <= slots:
        return events
    firsts = {
        event[0] * slots // span: number for number, event in reversed(list(enumerate(events)))
    }
    kept = sorted(firsts.values())
    others = [number for number in range(len(events)) if number not in kept]
    return [events[number] for number in sorted([*kept, *others[: slots - len(kept)]])]
