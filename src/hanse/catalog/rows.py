"""Reading a dataset for a job: filter, hash, and reduce to one row per person, all at home.

Nothing leaves this room but hashed ids in ascending order, event times in slots, and label codes. The
source is read in one streamed pass: DuckDB filters and computes the columns' canonical values, the ids
of a batch are hashed and forgotten, numpy groups and sorts. Every hash costs less than a look-up in
a table of distinct ids would, so only texts that need a library are remembered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hanse.catalog.crowd import Crowd, gather
from hanse.catalog.datasets import Dataset, IdColumn, PackageSource
from hanse.catalog.exposures import VisitCounts
from hanse.catalog.expressions import microseconds
from hanse.catalog.identifiers import (
    HashedRows,
    Hasher,
    IdReport,
    check_chain,
    count_reasons,
    report_of,
    serves,
)
from hanse.catalog.package_rows import are_members, member_request
from hanse.catalog.requests import EventCode, EventGroup, LabelRequest, RowRequest
from hanse.catalog.scan import Scan
from hanse.catalog.slots import (
    NO_EVENT,
    Ticks,
    fill_coded_slots,
    fill_slots,
    largest_code,
    latest_code,
    most_frequent_code,
    summed_code,
)
from hanse.catalog.sources import Source, open_source
from hanse.catalog.withdrawn import withdrawn_people
from hanse.errors import Fault

Codes = NDArray[np.uint16] | NDArray[np.uint32] | NDArray[np.uint64]


@dataclass(frozen=True)
class Events:
    """`times` ``uint32[people, slots]`` ascending, 0 where `valid` ``bool[people, slots]`` is false.

    `codes` and `values` ``uint32[people, slots]``, 0 in unused slots; no slots where the request has none.
    """

    times: NDArray[np.uint32] = field(repr=False)
    valid: NDArray[np.bool_] = field(repr=False)
    codes: NDArray[np.uint32] = field(repr=False)
    values: NDArray[np.uint32] = field(repr=False)

    def of(self, people: NDArray[np.bool_]) -> Events:
        """The events of some of the people."""
        return Events(
            self.times[people], self.valid[people], self.codes[people], self.values[people]
        )


@dataclass(frozen=True)
class RowsReport:
    """What became of the rows; kept at home, because its counts are exact.

    `rows_kept` are the rows that some event group's conditions let through (all of them for labels or
    a base population), `ids` tells what their ids were. People: `people` are in the result; left out
    are `withdrawn` and those `without_events`. By event group: people with more events than slots, rows
    without a time, rows whose time the bits cannot hold. By label, and by event group with codes: rows with an
    unlisted value. `visits` is there for presence datasets.
    """

    source_rows: int
    rows_kept: int
    ids: IdReport
    people: int
    withdrawn: int
    without_events: int
    cut_by_slots: dict[str, int]
    without_time: dict[str, int]
    out_of_range: dict[str, int]
    unlisted: dict[str, int]
    visits: VisitCounts | None = None


@dataclass(frozen=True)
class PersonRows:
    """One row per person: `ids` ``uint64[people]`` strictly ascending; `events` by group name; `labels` by
    name, ``uint16[people]`` (wider where codes are larger), 0 where none.
    """

    ids: NDArray[np.uint64] = field(repr=False)
    events: dict[str, Events] = field(repr=False)
    labels: dict[str, Codes] = field(repr=False)
    report: RowsReport


def read_rows(dataset: Dataset, request: RowRequest) -> PersonRows:
    """The rows of `dataset` that `request` asks for.

    Raises `Fault`: ``catalog.id-type`` or ``catalog.chain`` (no fitting id column), ``catalog.filter``,
    ``catalog.unknown-column``, ``catalog.wrong-type``, ``catalog.malformed``, ``catalog.no-rows``,
    ``catalog.capacity``, and whatever opening the source raises.
    """
    if isinstance(dataset.source, PackageSource):
        found = read_rows(dataset.source.of, member_request(dataset, dataset.source, request))
        return _members(dataset, dataset.source, request, found)
    chosen = choose_id_column(dataset, request.id_type, request.chain)
    with open_source(dataset) as source:
        table = _read(source, dataset, request, chosen)
        table.visits = source.visits
        withdrawn = withdrawn_people(source, dataset, chosen, request.chain)
    return _reduce(dataset, request, table, withdrawn)


def _members(
    dataset: Dataset, source: PackageSource, request: RowRequest, found: PersonRows
) -> PersonRows:
    """Those of the people found who are in the package: bare membership."""
    inside = are_members(source, found)
    people = int(inside.sum())
    _check_capacity(dataset, request, people)
    report = replace(
        found.report, people=people, cut_by_slots={}, without_time={}, out_of_range={}, unlisted={},
        without_events=found.report.without_events + int(inside.size) - people,
    )  # fmt: skip
    return PersonRows(found.ids[inside], {}, {}, report)


def choose_id_column(dataset: Dataset, id_type: str, chain: str) -> IdColumn:
    """The id column of this type that serves the hash chain, plain ones first."""
    of_type = [column for column in dataset.ids if column.type == id_type]
    if not of_type:
        raise Fault(
            "catalog.id-type",
            f"dataset {dataset.name!r} has no id column of type {id_type!r}",
            remedy="register a column of that type, or agree on one of: "
            + ", ".join(sorted({column.type for column in dataset.ids})),
            where=dataset.name,
        )
    for column in sorted(of_type, key=lambda c: c.format != "plain"):
        if serves(column.format, chain):
            return column
    check_chain(of_type[0].format, chain, f"{dataset.name}.{of_type[0].column}")
    return of_type[0]


@dataclass
class _Table:
    """Rows with a valid id, column by column, as batches until `joined`."""

    source_rows: int = 0
    kept: int = 0
    reasons: Ticks = field(default_factory=lambda: np.zeros(256, np.int64))
    columns: dict[str, list[NDArray[Any]]] = field(default_factory=dict)
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    visits: VisitCounts | None = None

    def add(self, name: str, values: NDArray[Any]) -> None:
        self.columns.setdefault(name, []).append(values)

    def count(self, what: str, name: str, number: int) -> None:
        self.counts[what, name] = self.counts.get((what, name), 0) + number

    def joined(self, name: str, dtype: type[np.generic]) -> NDArray[Any]:
        batches = self.columns.pop(name, [])
        return np.concatenate(batches) if batches else np.zeros(0, dtype)


def _read(source: Source, dataset: Dataset, request: RowRequest, chosen: IdColumn) -> _Table:
    scan = Scan(source, dataset, request, chosen)
    where = f"{dataset.name}.{chosen.column}"
    hasher = Hasher(chosen.type, chosen.format, request.chain, chosen.region, where)
    table = _Table()
    for batch in source.stream(scan.query, scan.values):
        scan.refuse_broken(batch)
        table.source_rows += batch.num_rows
        if scan.has_kept:
            batch = batch.filter(batch.column("kept"))  # noqa: PLW2901 - the rest is not needed
        table.kept += batch.num_rows
        hashed = hasher.hash(batch.column("id"))
        table.reasons += count_reasons(hashed.status)
        _take(table, request, dataset, batch, hashed)
    if table.source_rows == 0:
        raise Fault(
            "catalog.no-rows",
            f"{source.label} has no rows",
            remedy="export the data again, or check the path and the play schedule",
            where=dataset.name,
        )
    return table


def _take(
    table: _Table, request: RowRequest, dataset: Dataset, batch: Any, hashed: HashedRows
) -> None:
    """Add one batch's rows with valid ids to the table."""
    valid = hashed.valid
    everything = bool(valid.all())

    def add(name: str, values: NDArray[Any]) -> None:
        table.add(name, values if everything else values[valid])

    add("id", hashed.ids)
    add("check", hashed.checks)
    for number, group in enumerate(request.events):
        ticks = _ticks(table, group, batch, number)
        if group.code is not None:
            codes = _event_codes(table, group, group.code, batch.column(f"c{number}"), ticks)
            add(f"event code {group.name}", codes)
        if group.value is not None:
            found = _integers(batch.column(f"v{number}"), 0)
            add(
                f"event value {group.name}", _in_units(found, group.value.unit, group.value.maximum)
            )
        add(f"event {group.name}", ticks)
    for number, label in enumerate(request.labels):
        kind = dataset.column(label.column).kind
        meets = _meets(batch, f"lm{number}") if label.where else None
        codes, values = _codes(table, label, kind, batch.column(f"l{number}"), meets)
        add(f"code {label.name}", codes)
        if label.combine == "sum":
            add(f"value {label.name}", values)
        if label.time is not None:
            moments = batch.column(f"lt{number}")
            add(f"moment {label.name}", _integers(moments, np.iinfo(np.int64).min + 1))


def _integers(column: Any, missing: int) -> Ticks:
    """An integer column as ``int64``, `missing` where it is null."""
    filled = pc.fill_null(column, missing) if column.null_count else column
    return np.asarray(filled.to_numpy(zero_copy_only=False), np.int64)


def _ticks(table: _Table, group: EventGroup, batch: Any, number: int) -> Ticks:
    """Each row's time in units since the group's origin, `NO_EVENT` where it is no event."""
    times = batch.column(f"t{number}")
    present = ~np.asarray(pc.is_null(times).to_numpy(zero_copy_only=False))
    chosen = present
    if group.where:
        chosen = np.asarray(batch.column(f"m{number}").to_numpy(zero_copy_only=False))
    ticks = _integers(times, 0)
    ticks = (ticks - microseconds(group.origin)) // (group.unit_seconds * 1_000_000)
    inside = (ticks >= 0) & (ticks < 1 << group.time_bits)
    matched = chosen if group.where else np.ones(len(present), np.bool_)
    table.count("without_time", group.name, int((matched & ~present).sum()))
    table.count("out_of_range", group.name, int((matched & present & ~inside).sum()))
    return np.where(matched & present & inside, ticks, NO_EVENT)


def _meets(batch: Any, name: str) -> NDArray[np.bool_]:
    return np.asarray(batch.column(name).to_numpy(zero_copy_only=False), np.bool_)


def _in_units(values: Ticks, unit: int, maximum: int) -> Ticks:
    """Whole units, rounded half up, capped; a missing value (-1) stays below 0."""
    if unit > 1:
        values = np.where(values < 0, values, (values + unit // 2) // unit)
    return np.minimum(values, maximum)


def _places(values: tuple[str, ...], column: Any) -> Ticks:
    """1 + each row's place in the list, 0 where it is missing or not listed."""
    codes = _integers(pc.index_in(column, value_set=pa.array(values, column.type)), -1) + 1
    if column.null_count:
        codes[pc.is_null(column).to_numpy(zero_copy_only=False)] = 0
    return codes


def _event_codes(
    table: _Table, group: EventGroup, code: EventCode, column: Any, ticks: Ticks
) -> Ticks:
    """Each row's code; with `listed_only`, rows without one are no events: `ticks` are changed."""
    codes = _places(code.values, column)
    missing = codes == 0
    if missing.any():
        present = ~pc.is_null(column).to_numpy(zero_copy_only=False)
        table.count("unlisted", group.name, int((missing & present & (ticks != NO_EVENT)).sum()))
        if code.listed_only:
            ticks[missing] = NO_EVENT
    return codes


def _codes(
    table: _Table, label: LabelRequest, kind: str, column: Any, meets: NDArray[np.bool_] | None
) -> tuple[Ticks, Ticks]:
    """Each row's code, and for numbers its value; 0 and no matter where `meets` is false."""
    codes, values = _plain_codes(table, label, kind, column, meets)
    return (codes if meets is None else np.where(meets, codes, 0)), values


def _plain_codes(
    table: _Table, label: LabelRequest, kind: str, column: Any, meets: NDArray[np.bool_] | None
) -> tuple[Ticks, Ticks]:
    if kind in {"category", "place"}:
        codes = _places(label.values, column)
        missing = codes == 0 if meets is None else (codes == 0) & meets
        if column.null_count and missing.any():
            missing &= ~pc.is_null(column).to_numpy(zero_copy_only=False)
        unlisted = int(missing.sum())
        table.count("unlisted", label.name, unlisted)
        if label.other is not None and unlisted:
            codes[missing] = label.values.index(label.other) + 1
        return codes, codes
    if kind == "boolean":
        return _integers(pc.cast(column, pa.int64()), -1) + 1, np.zeros(0, np.int64)
    values = _in_units(_integers(column, -1), label.unit, int(label.maximum or 0))
    return values + 1, values


def _reduce(
    dataset: Dataset, request: RowRequest, table: _Table, withdrawn: NDArray[np.uint64]
) -> PersonRows:
    crowd = gather(table.joined("id", np.uint64), table.joined("check", np.uint64))
    events: dict[str, Events] = {}
    cut: dict[str, NDArray[np.bool_]] = {}
    active = np.zeros(len(crowd.ids), np.bool_)
    for group in request.events:
        events[group.name], counts = _events(crowd, table, group)
        cut[group.name] = counts > group.slots
        active |= counts > 0
    if request.keep_all or not request.events:
        active[:] = True
    gone = np.isin(crowd.ids, withdrawn) if len(withdrawn) else np.zeros_like(active)
    kept = active & ~gone
    _check_capacity(dataset, request, int(kept.sum()))
    labels = {label.name: _label(crowd, table, label, dataset) for label in request.labels}
    if not kept.all():
        events = {name: e.of(kept) for name, e in events.items()}
        labels = {name: codes[kept] for name, codes in labels.items()}

    def counted(what: str, names: list[str]) -> dict[str, int]:
        return {name: table.counts.get((what, name), 0) for name in names}

    groups = [group.name for group in request.events]
    coded = [group.name for group in request.events if group.code is not None]
    coded += [label.name for label in request.labels if label.values]
    report = RowsReport(
        source_rows=table.source_rows,
        rows_kept=table.kept,
        ids=report_of(table.reasons, crowd),
        people=int(kept.sum()),
        withdrawn=int(gone.sum()),
        without_events=int((~active & ~gone).sum()),
        cut_by_slots={name: int((over & kept).sum()) for name, over in cut.items()},
        without_time=counted("without_time", groups),
        out_of_range=counted("out_of_range", groups),
        unlisted=counted("unlisted", coded),
        visits=table.visits,
    )
    return PersonRows(crowd.ids if kept.all() else crowd.ids[kept], events, labels, report)


def _events(crowd: Crowd, table: _Table, group: EventGroup) -> tuple[Events, NDArray[np.int64]]:
    """A group's events in slots, and how many each person had."""
    ticks = table.joined(f"event {group.name}", np.int64)
    keep, span = group.keep, group.span
    none = np.zeros((len(crowd.ids), 0), np.uint32)
    if group.code is None and group.value is None:
        times, valid, counts = fill_slots(crowd, ticks, group.slots, keep, span)
        return Events(times, valid, none, none), counts
    zeros = np.zeros(len(ticks), np.int64)
    codes = zeros if group.code is None else table.joined(f"event code {group.name}", np.int64)
    values = zeros if group.value is None else table.joined(f"event value {group.name}", np.int64)
    found = fill_coded_slots(crowd, ticks, codes, values, group.slots, keep, span, group.distinct)
    return Events(
        found.times, found.valid, none if group.code is None else found.codes,
        none if group.value is None else found.values,
    ), found.counts  # fmt: skip


def _label(crowd: Crowd, table: _Table, label: LabelRequest, dataset: Dataset) -> Codes:
    codes = table.joined(f"code {label.name}", np.int64)
    kind = dataset.column(label.column).kind
    usual = "most_frequent" if kind in {"category", "place"} else "largest"
    combine = label.combine or usual
    if combine == "sum":
        values = table.joined(f"value {label.name}", np.int64)
        found = summed_code(crowd, codes, values, int(label.maximum or 0))
    elif combine == "latest":
        found = latest_code(crowd, codes, table.joined(f"moment {label.name}", np.int64))
    else:
        rules: dict[str, Callable[[Crowd, Ticks], Ticks]] = {
            "most_frequent": most_frequent_code,
            "largest": largest_code,
        }
        found = rules[combine](crowd, codes)
    return found.astype(np.min_scalar_type(max(label.codes - 1, 256)))


def _check_capacity(dataset: Dataset, request: RowRequest, people: int) -> None:
    """The true number stays in `detail`: a message may cross the wire, and counts of people are private."""
    if people > request.capacity:
        raise Fault(
            "catalog.capacity",
            f"dataset {dataset.name!r} has more people than its declared capacity of {request.capacity}",
            remedy="sign a contract version with a larger capacity, or register a smaller dataset",
            where=dataset.name,
            detail=f"{people} people, capacity {request.capacity}",
        )
