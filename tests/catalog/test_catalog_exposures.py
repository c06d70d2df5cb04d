"""Exposures to offline advertising: the sliced join against every pair of visit and play."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hanse.catalog import (
    Condition,
    Dataset,
    EventGroup,
    RowRequest,
    exposures_from_presence,
    read_rows,
    register,
)
from hanse.errors import Fault

Maker = Callable[..., Dataset]
START = datetime(2017, 6, 1)
COLUMNS = [
    {"name": "campaign", "column": "campaign", "kind": "category"},
    {"name": "screen", "column": "screen", "kind": "category"},
    {"name": "seen", "column": "exposed_at", "kind": "time"},
    {"name": "seconds", "column": "overlap_seconds", "kind": "integer"},
]


def at(seconds: int) -> datetime:
    return START + timedelta(seconds=seconds)


def write_plays(folder: Path, plays: list[tuple[str, str, int, int]]) -> Path:
    path = folder / "plays.parquet"
    table = {
        "screen": pa.array([p[0] for p in plays], pa.string()),
        "campaign": pa.array([p[1] for p in plays], pa.string()),
        "start": pa.array([at(p[2]) for p in plays], pa.timestamp("us")),
        "end": pa.array([at(p[2] + p[3]) for p in plays], pa.timestamp("us")),
    }
    pyarrow.parquet.write_table(pa.table(table), path)
    return path


def presence(
    make_dataset: Maker, folder: Path, visits: list[tuple[Any, ...]], plays: Any, **rule: Any
) -> Dataset:
    rows = {
        "person": pa.array([v[0] for v in visits], pa.string()),
        "screen": pa.array([v[1] for v in visits], pa.string()),
        "arrival": pa.array([at(v[2]) for v in visits], pa.timestamp("us")),
        "dwell": pa.array([v[3] for v in visits], pa.float64()),
        "metres": pa.array([v[4] for v in visits], pa.float64()),
    }
    derive = {"schedule": str(write_plays(folder, plays)), "dwell_seconds": "dwell"} | rule
    return make_dataset(rows, columns=COLUMNS, derive=derive)


def plain(
    visits: list[tuple[Any, ...]], plays: list[tuple[str, str, int, int]], least: float, far: float
) -> list[tuple[Any, ...]]:
    """The twin: every pair."""
    found = []
    for person, screen, arrival, dwell, metres in visits:
        if dwell is None or not 0 < dwell <= 86_400 or metres is None or metres > far:
            continue
        for where, campaign, start, lasts in plays:
            begin, end = max(arrival, start), min(arrival + dwell, start + lasts)
            if where == screen and end - begin >= least and end > begin:
                found.append((person, campaign, screen, at(begin), int(end - begin)))
    return sorted(found, key=repr)


SCREENS = st.sampled_from(["north", "south"])
VISITS = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "cid"]),
        SCREENS,
        st.integers(-2000, 20_000),
        st.one_of(st.none(), st.integers(0, 9000), st.just(90_000)),
        st.one_of(st.none(), st.integers(0, 60)),
    ),
    min_size=1,
    max_size=25,
)
PLAYS = st.lists(
    st.tuples(
        SCREENS,
        st.sampled_from(["cola", "shoes"]),
        st.integers(-3000, 20_000),
        st.integers(1, 8000),
    ),
    min_size=1,
    max_size=15,
)


@given(
    visits=VISITS, plays=PLAYS, least=st.sampled_from([1, 30, 1500]), far=st.sampled_from([20, 100])
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_exposures_equal_every_pair(
    tmp_path: Path, make_dataset: Maker, visits: Any, plays: Any, least: int, far: int
) -> None:
    rule = {"min_overlap_seconds": least, "distance": "metres", "max_distance": far}
    dataset = presence(make_dataset, tmp_path, visits, plays, **rule)
    table = exposures_from_presence(dataset)
    assert table.column_names == ["person", "campaign", "screen", "exposed_at", "overlap_seconds"]
    found = sorted((tuple(row.values()) for row in table.to_pylist()), key=repr)
    assert found == plain(visits, plays, least, far)


def test_a_derived_dataset_is_read_like_any_other(tmp_path: Path, make_dataset: Maker) -> None:
    visits = [
        ("ann", "north", 0, 600, 1),
        ("ann", "south", 5000, 60, 1),
        ("bob", "north", 590, 300, 1),
    ]
    plays = [("north", "cola", 100, 30), ("north", "shoes", 400, 30), ("south", "cola", 5000, 3600)]
    dataset = presence(make_dataset, tmp_path, visits, plays)
    profile = register(dataset)
    assert profile.rows == 3
    assert profile.visits is not None
    assert profile.visits.visits == 3
    assert profile.columns["seconds"].maximum == 60
    cola = EventGroup(
        name="cola",
        time="seen",
        origin=START.replace(tzinfo=UTC),
        where=(Condition(column="campaign", equals="cola"),),
        slots=2,
    )
    rows = read_rows(dataset, RowRequest(id_type="household", capacity=10, events=(cola,)))
    assert rows.events["cola"].times.tolist() == [[100, 5000]]
    assert rows.report.source_rows == 3


def test_visits_left_out_are_counted(tmp_path: Path, make_dataset: Maker) -> None:
    visits = [
        ("ann", "north", 0, 60, 1),
        ("ann", None, 0, 60, 1),
        ("ann", "north", 0, None, 1),
        ("ann", "north", 0, 0, 1),
        ("ann", "north", 0, 100_000, 1),
        ("ann", "north", 0, 60, 500),
        ("ann", "north", 0, 60, None),
    ]
    rule = {"distance": "metres", "max_distance": 50}
    dataset = presence(make_dataset, tmp_path, visits, [("north", "cola", 0, 50)], **rule)
    counts = register(dataset).visits
    assert counts is not None
    assert counts.model_dump() == {
        "visits": 7, "without_screen": 1, "without_times": 1, "backwards": 1, "too_long": 1, "too_far": 2,
    }  # fmt: skip
    assert exposures_from_presence(dataset).num_rows == 1


def test_csv_visits_with_departures_in_a_time_zone(tmp_path: Path, make_dataset: Maker) -> None:
    (tmp_path / "plays.csv").write_text(
        "screen,campaign,start,end\nnorth,cola,2017-06-01T00:00:00Z,2017-06-01T00:10:00Z\n",
        encoding="utf-8",
    )
    dataset = make_dataset(
        text="person,screen,came,went\nann,north,2017-06-01 08:05:00,2017-06-01 08:30:00\n",
        suffix=".csv",
        columns=COLUMNS,
        derive={
            "schedule": str(tmp_path / "plays.csv"),
            "arrival": "came",
            "departure": "went",
            "zone": "Asia/Shanghai",
        },
    )
    row = exposures_from_presence(dataset).to_pylist()[0]
    assert row["exposed_at"] == datetime(2017, 6, 1, 0, 5)
    assert row["overlap_seconds"] == 300


HEADINGS = "screen,campaign,start,end\n"
PLAY = HEADINGS + "north,cola,2017-06-01,2017-06-02\n"
VISIT = "north,2017-06-01,60"


@pytest.mark.parametrize(
    ("plays", "visit", "code"),
    [
        (HEADINGS, VISIT, "catalog.schedule"),
        (HEADINGS + "north,,2017-06-01,2017-06-02\n", VISIT, "catalog.schedule"),
        (HEADINGS + "north,cola,2017-06-02,2017-06-01\n", VISIT, "catalog.schedule"),
        (HEADINGS + "north,cola,noon,2017-06-02\n", VISIT, "catalog.schedule"),
        (PLAY.replace("start", "begin"), VISIT, "catalog.missing-column"),
        (PLAY, "north,noon,60", "catalog.malformed"),
        (PLAY, "north,2017-06-01,-5", "catalog.malformed"),
        (PLAY, "south,2017-06-01,60", "catalog.no-rows"),
    ],
)
def test_what_is_wrong_with_visits_or_plays_is_said(
    tmp_path: Path, make_dataset: Maker, plays: str, visit: str, code: str
) -> None:
    (tmp_path / "plays.csv").write_text(plays, encoding="utf-8")
    dataset = make_dataset(
        text=f"person,screen,arrival,dwell\nann,{visit}\n",
        suffix=".csv",
        columns=COLUMNS,
        derive={"schedule": str(tmp_path / "plays.csv"), "dwell_seconds": "dwell"},
    )
    with pytest.raises(Fault) as caught:
        register(dataset)
    assert caught.value.code == code
    assert caught.value.remedy


def test_a_missing_schedule(tmp_path: Path, make_dataset: Maker) -> None:
    derive = {"schedule": str(tmp_path / "none.csv"), "dwell_seconds": "dwell"}
    rows = {"person": ["a"], "screen": ["s"], "arrival": [START], "dwell": [1]}
    dataset = make_dataset(rows, columns=COLUMNS, derive=derive)
    with pytest.raises(Fault) as caught:
        register(dataset)
    assert caught.value.code == "catalog.missing-file"


def test_a_damaged_schedule_is_a_clear_error(tmp_path: Path, make_dataset: Maker) -> None:
    (tmp_path / "plays.csv").write_text(PLAY + "north,cola,secret\n", encoding="utf-8")
    derive = {"schedule": str(tmp_path / "plays.csv"), "dwell_seconds": "dwell"}
    rows = {"person": ["a"], "screen": ["s"], "arrival": [START], "dwell": [1]}
    with pytest.raises(Fault) as caught:
        register(make_dataset(rows, columns=COLUMNS, derive=derive))
    assert caught.value.code == "catalog.unreadable"
    assert "plays.csv" in caught.value.message
    assert "secret" not in str(caught.value)


def test_visits_that_broke_after_registration_stop_the_job(
    tmp_path: Path, make_dataset: Maker
) -> None:
    (tmp_path / "plays.csv").write_text(PLAY, encoding="utf-8")
    lines = "person,screen,arrival,dwell\nann,north,2017-06-01 10:00,60\n"
    derive = {"schedule": str(tmp_path / "plays.csv"), "dwell_seconds": "dwell"}
    request = RowRequest(id_type="household", capacity=10)
    sound = make_dataset(text=lines, suffix=".csv", columns=COLUMNS, derive=derive)
    report = read_rows(sound, request).report
    assert report.visits is not None
    assert report.visits.visits == 1
    broken = make_dataset(
        text=lines + "bob,north,teatime,60\n", suffix=".csv", columns=COLUMNS, derive=derive
    )
    with pytest.raises(Fault) as caught:
        read_rows(broken, request)
    assert caught.value.code == "catalog.malformed"
