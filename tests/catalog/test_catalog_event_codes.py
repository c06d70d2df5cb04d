"""Events with codes and values, labels under conditions, in units, of places: against a plain twin."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from test_catalog_rows import COLUMNS, ROW, Rows, as_columns, ask, group, sha

from hanse.catalog import Condition, Dataset, EventCode, EventValue, LabelRequest, read_rows
from hanse.errors import Fault

Maker = Callable[..., Dataset]
LISTED = ("web", "tv", "mail")
PLACES = [c | ({"kind": "place"} if c["name"] == "channel" else {}) for c in COLUMNS]
Event = tuple[int, int, int]  # time, code, value
QUIET = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


def code_of(row: tuple[Any, ...]) -> int:
    return LISTED.index(row[2]) + 1 if row[2] in LISTED else 0


def plain_events(
    rows: Rows, *, slots: int, last: bool, distinct: bool, listed_only: bool, unit: int, cap: int
) -> dict[int, list[Event]]:
    """The twin: every person's events as (time, code, value), in order."""
    people: dict[int, list[Event]] = defaultdict(list)
    for row in rows:
        if not row[0] or not row[0].strip() or row[1] is None:
            continue
        minutes = (row[1] - datetime(2017, 1, 1)) // timedelta(minutes=1)
        if not 0 <= minutes < 1 << 16 or (listed_only and not code_of(row)):
            continue
        cents = round((row[3] or 0) * 100)
        people[sha(row[0].strip())].append(
            (minutes, code_of(row), min((2 * cents + unit) // (2 * unit), cap))
        )
    found = {}
    for person, events in people.items():
        events.sort(reverse=last)
        if distinct:
            first: dict[int, Event] = {}
            for event in events:
                first.setdefault(event[1], event)
            found[person] = sorted(list(first.values())[:slots])
        else:
            found[person] = sorted(events[:slots])
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=QUIET)
@given(
    rows=st.lists(ROW, min_size=1, max_size=40), slots=st.integers(1, 4), last=st.booleans(),
    distinct=st.booleans(), listed_only=st.booleans(), unit=st.sampled_from([1, 7, 100]),
    cap=st.sampled_from([3, 400, 2**32 - 1]),
)  # fmt: skip
def test_events_equal_their_twin(
    make_dataset: Maker, rows: Rows, slots: int, last: bool, distinct: bool, listed_only: bool,
    unit: int, cap: int,
) -> None:  # fmt: skip
    wanted = group(
        unit_seconds=60, time_bits=16, slots=slots, keep="last" if last else "first",
        code=EventCode(column="channel", values=LISTED, listed_only=listed_only),
        value=EventValue(column="spent", unit=unit, maximum=cap), distinct=distinct,
    )  # fmt: skip
    read = read_rows(make_dataset(as_columns(rows), columns=COLUMNS), ask(wanted))
    events = read.events["visit"]
    assert events.codes.shape == events.values.shape == events.times.shape
    for column in (events.times, events.codes, events.values):
        assert column.dtype == np.uint32
        assert not column[~events.valid].any()
    found = {
        int(person): [
            (int(t), int(c), int(v))
            for t, c, v, there in zip(times, codes, values, valid, strict=True)
            if there
        ]
        for person, times, codes, values, valid in zip(
            read.ids, events.times, events.codes, events.values, events.valid, strict=True
        )
    }
    assert found == plain_events(
        rows, slots=slots, last=last, distinct=distinct, listed_only=listed_only, unit=unit, cap=cap
    )
    unlisted = read.report.unlisted["visit"]
    kept = read_rows(make_dataset(as_columns(rows), columns=COLUMNS),
                     ask(group(unit_seconds=60, time_bits=16))).ids  # fmt: skip
    assert unlisted <= len(rows)
    assert len(read.ids) == len(kept) or listed_only


def test_events_without_codes_or_values_have_no_such_slots(make_dataset: Maker) -> None:
    rows = [("ann", datetime(2017, 1, 2), "tv", 3.0, 1, True)] * 2
    coded = group("coded", code=EventCode(column="channel", values=LISTED))
    read = read_rows(make_dataset(as_columns(rows), columns=COLUMNS), ask(group(), coded))
    assert read.events["visit"].codes.shape == read.events["visit"].values.shape == (1, 0)
    assert read.events["coded"].codes.tolist() == [[2, 2]]
    assert read.events["coded"].values.shape == (1, 0)


def test_wide_codes_and_values_sort_as_narrow_ones_do(make_dataset: Maker) -> None:
    """Time, code and value of 32 bits each do not fit into one word: the other way of sorting."""
    start = datetime(2017, 1, 1)
    rows = [
        ("ann", start + timedelta(seconds=s), "tv", v / 100, 0, True)
        for s, v in [(2**31, 5), (2**31, 2**31), (7, 2**32 - 1), (2**31, 4)]
    ]
    wide = group(time_bits=32, slots=4, value=EventValue(column="spent", maximum=2**32 - 1),
                 code=EventCode(column="channel", values=LISTED))  # fmt: skip
    events = read_rows(make_dataset(as_columns(rows), columns=COLUMNS), ask(wide)).events["visit"]
    assert events.values.tolist() == [[2**32 - 1, 4, 5, 2**31]]
    assert events.times.tolist() == [[7, 2**31, 2**31, 2**31]]


@settings(max_examples=40, deadline=None, suppress_health_check=QUIET)
@given(rows=st.lists(ROW, min_size=1, max_size=30), unit=st.sampled_from([1, 10, 33]),
       cap=st.sampled_from([2, 70_000, 2**32 - 1]))  # fmt: skip
def test_sums_under_a_condition_in_units_equal_their_twin(
    make_dataset: Maker, rows: Rows, unit: int, cap: int
) -> None:
    label = LabelRequest(
        name="sum", column="spent", maximum=cap, unit=unit, combine="sum",
        where=(Condition(column="channel", among=("tv", "mail")), Condition(column="pieces", at_least=1)),
    )  # fmt: skip
    read = read_rows(make_dataset(as_columns(rows), columns=COLUMNS), ask(labels=(label,)))
    sums: dict[int, int] = {}
    for row in rows:
        if row[0] and row[0].strip():
            person = sha(row[0].strip())
            sums.setdefault(person, 0)
            if row[2] in ("tv", "mail") and (row[4] or 0) >= 1 and row[3] is not None:
                counted = max(sums[person] - 1, 0) + (2 * round(row[3] * 100) + unit) // (2 * unit)
                sums[person] = min(counted, cap) + 1
    assert dict(zip(read.ids.tolist(), read.labels["sum"].tolist(), strict=True)) == sums
    assert read.labels["sum"].dtype == {2: "u2", 70_000: "u4", 2**32 - 1: "u8"}[cap]


def test_a_sum_does_not_overflow_its_code(make_dataset: Maker) -> None:
    rows = [("ann", datetime(2017, 1, 2), "tv", float(2**44), 1, True)] * 3000
    label = LabelRequest(name="sum", column="spent", maximum=2**32 - 1, combine="sum")
    read = read_rows(make_dataset(as_columns(rows), columns=COLUMNS), ask(labels=(label,)))
    assert read.labels["sum"].tolist() == [2**32]


@pytest.mark.parametrize("combine", ["latest", "most_frequent"])
def test_one_place_per_person_of_a_long_list(make_dataset: Maker, combine: str) -> None:
    """As a home or work place: codes above 16 bits, ties and unlisted places."""
    listed = tuple(f"place-{i}" for i in range(100_000))
    visits = {
        "ann": ["place-99999", "place-70000", "place-99999", "nowhere"],
        "bob": ["place-5", "place-70000"],
        "cid": ["nowhere", None],
    }
    rows = [
        (person, datetime(2017, 1, 1) + timedelta(days=day), place, 1.0, 1, True)
        for person, places in visits.items()
        for day, place in enumerate(places)
    ]
    label = LabelRequest(name="home", column="channel", values=listed, combine=combine,
                         time="seen" if combine == "latest" else None)  # fmt: skip
    read = read_rows(make_dataset(as_columns(rows), columns=PLACES), ask(labels=(label,)))
    expected = {}
    for person, places in visits.items():
        known = [listed.index(p) + 1 for p in places if p in listed]
        code = 0
        if known and combine == "latest":
            code = known[-1]
        elif known:
            code = min(known, key=lambda c: (-Counter(known)[c], c))
        expected[sha(person)] = code
    assert dict(zip(read.ids.tolist(), read.labels["home"].tolist(), strict=True)) == expected
    assert read.labels["home"].dtype == np.uint32
    assert read.report.unlisted["home"] == 2


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        (lambda: group(code=EventCode(column="spent", values=("a",))), "catalog.filter"),
        (lambda: group(value=EventValue(column="channel", maximum=3)), "catalog.filter"),
        (lambda: group(value=EventValue(column="price", maximum=3)), "catalog.unknown-column"),
    ],
)
def test_codes_and_values_need_fitting_columns(
    make_dataset: Maker, wanted: Callable[[], Any], code: str
) -> None:
    rows = [("ann", datetime(2017, 1, 2), "tv", 3.0, 1, True)]
    with pytest.raises(Fault) as caught:
        read_rows(make_dataset(as_columns(rows), columns=COLUMNS), ask(wanted()))
    assert caught.value.code == code


@pytest.mark.parametrize(
    "make",
    [
        lambda: EventCode(column="a", values=()),
        lambda: EventCode(column="a", values=("x", "x")),
        lambda: EventValue(column="a", maximum=2**32),
        lambda: EventValue(column="a", maximum=1, unit=0),
        lambda: group(distinct=True),
        lambda: LabelRequest(name="a", column="a", values=("x",), unit=2),
    ],
)
def test_requests_that_contradict_themselves(make: Callable[[], Any]) -> None:
    with pytest.raises(ValidationError):
        make()
