"""One row per person: against a plain twin in ten lines of Python, and every way to be refused."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hanse.catalog import (
    Condition,
    Dataset,
    EventGroup,
    LabelRequest,
    PersonRows,
    RowRequest,
    read_rows,
)
from hanse.errors import Fault

Maker = Callable[..., Dataset]
ORIGIN = datetime(2017, 1, 1, tzinfo=UTC)
COLUMNS = [
    {"name": "seen", "column": "seen", "kind": "time"},
    {"name": "channel", "column": "channel", "kind": "category"},
    {"name": "spent", "column": "spent", "kind": "amount", "scale": 100},
    {"name": "pieces", "column": "pieces", "kind": "integer"},
    {"name": "member", "column": "member", "kind": "boolean"},
]


def sha(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def group(name: str = "visit", **options: Any) -> EventGroup:
    return EventGroup(**{"name": name, "time": "seen", "origin": ORIGIN, "slots": 2} | options)


def ask(*events: EventGroup, **options: Any) -> RowRequest:
    return RowRequest(**{"id_type": "household", "capacity": 1000, "events": events} | options)


def slots_of(rows: PersonRows, name: str = "visit") -> dict[int, list[int]]:
    events = rows.events[name]
    return {
        int(i): times[valid].tolist()
        for i, times, valid in zip(rows.ids, events.times, events.valid, strict=True)
    }


def check_shape(rows: PersonRows) -> None:
    """What every result promises, whatever was asked."""
    assert rows.ids.dtype == np.uint64
    assert (rows.ids[1:] > rows.ids[:-1]).all()
    for events in rows.events.values():
        assert events.times.dtype == np.uint32
        assert events.valid.dtype == np.bool_
        assert not events.times[~events.valid].any()
        assert (events.valid[:, :-1] >= events.valid[:, 1:]).all()
        both = events.valid[:, 1:]
        assert (events.times[:, 1:] >= events.times[:, :-1])[both].all()
    for codes in rows.labels.values():
        assert codes.dtype == np.uint16
        assert codes.shape == rows.ids.shape


def day(number: int, seconds: int = 0) -> datetime:
    return datetime(2017, 1, 1) + timedelta(days=number, seconds=seconds)


ROW = st.tuples(
    st.sampled_from(["ann", "bob", "cid", "dee", " ann ", "", None]),
    st.one_of(
        st.none(), st.integers(-3, 40).map(day), st.integers(0, 10**6).map(lambda s: day(0, s))
    ),
    st.sampled_from(["tv", "mail", "web", "radio", "", None]),
    st.one_of(st.none(), st.integers(0, 500).map(lambda cents: cents / 100)),
    st.one_of(st.none(), st.integers(0, 5)),
    st.sampled_from([True, False, None]),
)
Rows = list[tuple[Any, ...]]


def as_columns(rows: Rows) -> dict[str, Any]:
    import pyarrow as pa

    names = ("person", "seen", "channel", "spent", "pieces", "member")
    types = (pa.string(), pa.timestamp("us"), pa.string(), pa.float64(), pa.int32(), pa.bool_())
    columns = list(zip(*rows, strict=True))
    return {n: pa.array(c, t) for n, c, t in zip(names, columns, types, strict=True)}


def plain_slots(
    rows: Rows,
    holds: Callable[[tuple[Any, ...]], bool],
    unit: int,
    bits: int,
    slots: int,
    keep: str,
) -> dict[int, list[int]]:
    """The twin: every person's first or last ticks."""
    people: dict[int, list[int]] = defaultdict(list)
    for row in rows:
        if row[0] and row[0].strip() and row[1] is not None and holds(row):
            tick = (row[1] - datetime(2017, 1, 1)) // timedelta(seconds=unit)
            if 0 <= tick < 1 << bits:
                people[sha(row[0].strip())].append(tick)
    return {
        person: (sorted(t)[:slots] if keep == "first" else sorted(t)[-slots:])
        for person, t in people.items()
    }


@given(
    rows=st.lists(ROW, min_size=1, max_size=60),
    unit=st.sampled_from([1, 60, 86_400]),
    bits=st.sampled_from([4, 12, 24]),
    slots=st.integers(1, 4),
    keep=st.sampled_from(["first", "last"]),
    suffix=st.sampled_from([".parquet", ".csv"]),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_slots_equal_the_plain_twin(
    make_dataset: Maker, rows: Rows, unit: int, bits: int, slots: int, keep: str, suffix: str
) -> None:
    dataset = make_dataset(as_columns(rows), suffix=suffix, columns=COLUMNS)
    options = {"unit_seconds": unit, "time_bits": bits, "slots": slots, "keep": keep}
    tv = (Condition(column="channel", among=("tv", "web")), Condition(column="spent", at_least=100))
    found = read_rows(dataset, ask(group("any", **options), group("tv", where=tv, **options)))
    check_shape(found)
    every = plain_slots(rows, lambda row: True, unit, bits, slots, keep)
    some = plain_slots(
        rows,
        lambda r: r[2] in {"tv", "web"} and r[3] is not None and r[3] >= 1,
        unit,
        bits,
        slots,
        keep,
    )
    assert slots_of(found, "any") == every
    assert slots_of(found, "tv") == {person: some.get(person, []) for person in every}
    report = found.report
    assert report.source_rows == report.rows_kept == len(rows)
    named = [row for row in rows if row[0] and row[0].strip()]
    assert report.ids.empty == len(rows) - len(named)
    assert report.people + report.without_events == len({row[0].strip() for row in named})
    assert report.without_time["any"] == sum(row[1] is None for row in named) + sum(
        row[1] is None for row in rows if row not in named
    )


LABELS = (
    LabelRequest(name="channel", column="channel", values=("mail", "tv")),
    LabelRequest(name="grouped", column="channel", values=("mail", "rest"), other="rest"),
    LabelRequest(
        name="last", column="channel", values=("tv", "mail", "web"), combine="latest", time="seen"
    ),
    LabelRequest(name="member", column="member"),
    LabelRequest(name="pieces", column="pieces", maximum=3),
    LabelRequest(name="total", column="spent", maximum=700, combine="sum"),
)


def plain_labels(rows: Rows) -> dict[int, dict[str, int]]:
    """The twin: one dictionary per person."""
    people: dict[str, Rows] = defaultdict(list)
    for row in rows:
        if row[0] and row[0].strip():
            people[row[0].strip()].append(row)

    def most(codes: list[int]) -> int:
        counts = Counter(code for code in codes if code)
        return min((code for code in counts if counts[code] == max(counts.values())), default=0)

    found = {}
    for person, own in people.items():
        channel = [("mail", "tv").index(r[2]) + 1 if r[2] in {"mail", "tv"} else 0 for r in own]
        grouped = [0 if not r[2] else 1 if r[2] == "mail" else 2 for r in own]
        order = ("tv", "mail", "web")
        known = [(r[1] or datetime(1, 1, 1), order.index(r[2]) + 1) for r in own if r[2] in order]
        last = min((c for t, c in known if t == max(known)[0]), default=0)
        spent = [round(r[3] * 100) for r in own if r[3] is not None]
        found[sha(person)] = {
            "channel": most(channel),
            "grouped": most(grouped),
            "last": last,
            "member": max((1 + r[5] for r in own if r[5] is not None), default=0),
            "pieces": max((1 + min(r[4], 3) for r in own if r[4] is not None), default=0),
            "total": 1 + min(sum(spent), 700) if spent else 0,
        }
    return found


@given(rows=st.lists(ROW, min_size=1, max_size=60), suffix=st.sampled_from([".parquet", ".csv"]))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_labels_equal_the_plain_twin(make_dataset: Maker, rows: Rows, suffix: str) -> None:
    dataset = make_dataset(as_columns(rows), suffix=suffix, columns=COLUMNS)
    found = read_rows(dataset, ask(labels=LABELS))
    check_shape(found)
    expected = plain_labels(rows)
    assert found.ids.tolist() == sorted(expected)
    for name, codes in found.labels.items():
        assert codes.tolist() == [expected[int(i)][name] for i in found.ids], name
    assert found.report.unlisted["channel"] == sum(
        bool(r[0] and r[0].strip() and r[2] and r[2] not in {"mail", "tv"}) for r in rows
    ) + sum(bool(not (r[0] and r[0].strip()) and r[2] and r[2] not in {"mail", "tv"}) for r in rows)


SMALL: Rows = [
    ("ann", day(1), "tv", 5.0, 1, True),
    ("ann", day(2), "mail", 1.0, 9, False),
    ("bob", day(3), "mail", 2.5, 2, None),
    ("cid", None, "web", None, None, None),
]


@pytest.mark.parametrize(
    ("condition", "people"),
    [
        ({"column": "channel", "equals": "tv"}, {"ann"}),
        ({"column": "channel", "among": ("mail", "web")}, {"ann", "bob"}),
        ({"column": "spent", "at_least": 250}, {"ann", "bob"}),
        ({"column": "spent", "at_most": 100}, {"ann"}),
        ({"column": "spent", "between": (200, 300)}, {"bob"}),
        ({"column": "pieces", "equals": 2}, {"bob"}),
        ({"column": "member", "equals": True}, {"ann"}),
        ({"column": "member", "among": (False,)}, {"ann"}),
        ({"column": "seen", "at_least": datetime(2017, 1, 4, 8, tzinfo=UTC)}, set()),
        ({"column": "seen", "at_least": "2017-01-04T08:00:00+08:00"}, {"bob"}),
        ({"column": "seen", "between": (date(2017, 1, 2), date(2017, 1, 3))}, {"ann"}),
        ({"column": "channel", "equals": "x' OR 'a'='a"}, set()),
    ],
)
@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_every_comparison(
    make_dataset: Maker, condition: dict[str, Any], people: set[str], suffix: str
) -> None:
    dataset = make_dataset(as_columns(SMALL), suffix=suffix, columns=COLUMNS)
    found = read_rows(dataset, ask(group(where=(Condition(**condition),))))
    assert set(found.ids.tolist()) == {sha(person) for person in people}
    assert found.report.source_rows == 4
    assert found.report.rows_kept <= 4


def test_the_base_population_keeps_people_without_events(make_dataset: Maker) -> None:
    dataset = make_dataset(as_columns(SMALL), columns=COLUMNS)
    tv = group(where=(Condition(column="channel", equals="tv"),))
    assert read_rows(dataset, ask(tv)).report.people == 1
    everybody = read_rows(dataset, ask(tv, keep_all=True))
    assert set(everybody.ids.tolist()) == {sha("ann"), sha("bob"), sha("cid")}
    assert everybody.events["visit"].valid.sum() == 1
    assert everybody.report.without_time == {"visit": 0}


def test_the_report_says_who_was_cut(make_dataset: Maker) -> None:
    dataset = make_dataset(as_columns(SMALL), columns=COLUMNS)
    report = read_rows(
        dataset, ask(group(slots=1), group("late", time_bits=1, unit_seconds=86_400))
    ).report
    assert report.cut_by_slots == {"visit": 1, "late": 0}
    assert report.without_time == {"visit": 1, "late": 1}
    assert report.out_of_range == {"visit": 0, "late": 2}
    assert report.without_events == 1


def test_ids_do_not_print(make_dataset: Maker) -> None:
    found = read_rows(make_dataset(as_columns(SMALL), columns=COLUMNS), ask(group()))
    assert str(sha("ann")) not in repr(found)
    assert "array" not in repr(found)


def test_the_chain_and_type_choose_the_column(make_dataset: Maker) -> None:
    hexadecimal = hashlib.md5(b"+8613812345678", usedforsecurity=False).hexdigest()
    rows = {
        "person": ["ann"],
        "phone": ["138-1234-5678"],
        "phone_md5": [hexadecimal],
        "seen": [day(1)],
    }
    ids = [
        {"column": "phone_md5", "type": "phone", "format": "md5"},
        {"column": "person", "type": "household"},
        {"column": "phone", "type": "phone", "region": "CN"},
    ]
    dataset = make_dataset(rows, ids=ids, columns=COLUMNS[:1])
    assert read_rows(dataset, ask(group(), id_type="phone")).ids.tolist() == [sha("+8613812345678")]
    only_hashed = make_dataset(rows, ids=ids[:1], columns=COLUMNS[:1])
    chained = read_rows(only_hashed, ask(group(), id_type="phone", chain="md5+sha256"))
    assert chained.ids.tolist() == [sha(hexadecimal)]
    plain = read_rows(dataset, ask(group(), id_type="phone", chain="md5+sha256"))
    assert plain.ids.tolist() == chained.ids.tolist()
    with pytest.raises(Fault) as caught:
        read_rows(only_hashed, ask(group(), id_type="phone"))
    assert caught.value.code == "catalog.chain"
    with pytest.raises(Fault) as caught:
        read_rows(dataset, ask(group(), id_type="email"))
    assert caught.value.code == "catalog.id-type"
    assert "household, phone" in caught.value.remedy


@pytest.mark.parametrize("headed", [False, True])
def test_withdrawn_people_are_left_out(tmp_path: Path, make_dataset: Maker, headed: bool) -> None:
    path = tmp_path / "gone.csv"
    path.write_text(
        "who,when\n ann ,2020\nzoe,2021\n" if headed else "ann\nzoe\n", encoding="utf-8"
    )
    listing = {"path": str(path), "type": "household"} | ({"column": "who"} if headed else {})
    dataset = make_dataset(as_columns(SMALL), columns=COLUMNS, withdrawals=[listing])
    found = read_rows(dataset, ask(group()))
    assert found.ids.tolist() == [sha("bob")]
    assert found.report.withdrawn == 1


def test_a_withdrawal_by_another_id_takes_the_whole_person(
    tmp_path: Path, make_dataset: Maker
) -> None:
    """ann withdrew her phone number; the contract joins on households, and one of her rows has none."""
    path = tmp_path / "gone.csv"
    path.write_text(
        hashlib.md5(b"+8613812345678", usedforsecurity=False).hexdigest() + "\n", encoding="utf-8"
    )
    rows = {
        "person": ["ann", "ann", "bob"],
        "phone": ["13812345678", None, "13900000000"],
        "seen": [day(1), day(2), day(3)],
    }
    dataset = make_dataset(
        rows,
        ids=[
            {"column": "person", "type": "household"},
            {"column": "phone", "type": "phone", "region": "CN"},
        ],
        columns=COLUMNS[:1],
        withdrawals=[{"path": str(path), "type": "phone", "format": "md5"}],
    )
    found = read_rows(dataset, ask(group()))
    assert found.ids.tolist() == [sha("bob")]
    assert found.report.withdrawn == 1


def test_a_run_without_its_withdrawal_list_is_refused(tmp_path: Path, make_dataset: Maker) -> None:
    listing = [{"path": str(tmp_path / "gone.csv"), "type": "household"}]
    with pytest.raises(Fault) as caught:
        read_rows(
            make_dataset(as_columns(SMALL), columns=COLUMNS, withdrawals=listing), ask(group())
        )
    assert caught.value.code == "catalog.missing-file"


def test_lists_that_cannot_be_compared_are_refused(tmp_path: Path, make_dataset: Maker) -> None:
    dataset = make_dataset(
        {"person": ["a" * 64], "seen": [day(1)]},
        ids=[{"column": "person", "type": "household", "format": "sha256"}],
        columns=COLUMNS[:1],
        withdrawals=[{"path": str(tmp_path / "gone.csv"), "type": "household", "format": "md5"}],
    )
    with pytest.raises(Fault) as caught:
        read_rows(dataset, ask(group()))
    assert caught.value.code == "catalog.withdrawals"


def test_over_capacity_names_the_dataset_but_not_the_true_number(make_dataset: Maker) -> None:
    dataset = make_dataset({"person": [f"p{i}" for i in range(57)]})
    assert read_rows(dataset, ask(capacity=57)).report.people == 57
    with pytest.raises(Fault) as caught:
        read_rows(dataset, ask(capacity=56))
    assert caught.value.code == "catalog.capacity"
    assert "'visits'" in caught.value.message
    assert "56" in caught.value.message
    assert "57" not in str(caught.value)
    assert "57" in caught.value.detail


@pytest.mark.parametrize(
    ("request_of", "code"),
    [
        (lambda: ask(group(time="channel")), "catalog.filter"),
        (lambda: ask(group(time="nothing")), "catalog.unknown-column"),
        (lambda: ask(group(where=(Condition(column="channel", equals=3),))), "catalog.filter"),
        (lambda: ask(group(where=(Condition(column="pieces", equals="3"),))), "catalog.filter"),
        (lambda: ask(group(where=(Condition(column="pieces", equals=True),))), "catalog.filter"),
        (lambda: ask(group(where=(Condition(column="channel", at_least="a"),))), "catalog.filter"),
        (
            lambda: ask(group(where=(Condition(column="seen", equals="yesterday"),))),
            "catalog.filter",
        ),
        (lambda: ask(group(where=(Condition(column="seen", equals=day(1)),))), "catalog.filter"),
        (lambda: ask(labels=(LabelRequest(name="x", column="seen"),)), "catalog.label"),
        (lambda: ask(labels=(LabelRequest(name="x", column="channel"),)), "catalog.label"),
        (lambda: ask(labels=(LabelRequest(name="x", column="pieces"),)), "catalog.label"),
        (
            lambda: ask(labels=(LabelRequest(name="x", column="member", values=("a",)),)),
            "catalog.label",
        ),
        (
            lambda: ask(labels=(LabelRequest(name="x", column="member", combine="sum"),)),
            "catalog.label",
        ),
    ],
)
def test_requests_that_do_not_fit_the_dataset(
    make_dataset: Maker, request_of: Callable[[], RowRequest], code: str
) -> None:
    with pytest.raises(Fault) as caught:
        read_rows(make_dataset(as_columns(SMALL), columns=COLUMNS), request_of())
    assert caught.value.code == code
    assert caught.value.remedy


@pytest.mark.parametrize(
    "make",
    [
        lambda: Condition(column="a"),
        lambda: Condition(column="a", equals=1, at_least=2),
        lambda: Condition(column="a", among=()),
        lambda: group(origin=datetime(2017, 1, 1)),
        lambda: group(slots=33),
        lambda: ask(group(), group()),
        lambda: LabelRequest(name="a", column="a", values=("x", "x")),
        lambda: LabelRequest(name="a", column="a", values=("x",), other="y"),
        lambda: LabelRequest(name="a", column="a", combine="latest"),
        lambda: LabelRequest(name="a", column="a", maximum=2**32),
    ],
)
def test_requests_that_contradict_themselves(make: Callable[[], Any]) -> None:
    with pytest.raises(ValidationError):
        make()


def test_data_that_broke_after_registration_stops_the_job(make_dataset: Maker) -> None:
    dataset = make_dataset(
        text="person,seen\nann,2017-01-02\nbob,someday\n", suffix=".csv", columns=COLUMNS[:1]
    )
    with pytest.raises(Fault) as caught:
        read_rows(dataset, ask(group(where=(Condition(column="seen", at_least=ORIGIN),))))
    assert caught.value.code == "catalog.malformed"
    assert "'seen'" in caught.value.message
    assert "someday" not in str(caught.value)


def test_no_rows_and_no_match_differ(make_dataset: Maker) -> None:
    with pytest.raises(Fault) as caught:
        read_rows(
            make_dataset(text="person,seen\n", suffix=".csv", columns=COLUMNS[:1]), ask(group())
        )
    assert caught.value.code == "catalog.no-rows"
    dataset = make_dataset(as_columns(SMALL), columns=COLUMNS)
    nobody = read_rows(
        dataset, ask(group(where=(Condition(column="channel", equals="radio"),)), labels=())
    )
    assert nobody.ids.tolist() == []
    assert nobody.events["visit"].times.shape == (0, 2)
    labelled = read_rows(
        dataset, ask(group(where=(Condition(column="channel", equals="radio"),)), labels=LABELS)
    )
    check_shape(labelled)
    assert len(labelled.ids) == 0


def test_many_batches_are_one_table(make_dataset: Maker) -> None:
    count = 300_000  # more than two batches
    numbers = np.arange(count) % 1000
    seconds = (np.arange(count) * 7919) % 500_000
    times = np.datetime64("2017-01-01", "us") + seconds.astype("timedelta64[s]")
    dataset = make_dataset({"person": numbers.astype(str), "seen": times}, columns=COLUMNS[:1])
    found = read_rows(dataset, ask(group(slots=3)))
    expected = {sha(str(n)): np.sort(seconds[numbers == n])[:3].tolist() for n in (0, 1, 500, 999)}
    slots = slots_of(found)
    assert len(slots) == 1000
    assert {person: slots[person] for person in expected} == expected
