"""The daily job's feeds by event and report day: late reports, revisions, duplicates, gaps, hours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hanse.catalog import Dataset
from hanse.errors import Fault
from hanse.places.daily.kept import Source, clean, taken_in
from hanse.places.daily.reading import Reported, read_reports
from hanse.places.feeds.feed import Feed, days_between, feed, from_matrix
from hanse.places.feeds.store import FeedStore

DAYS = days_between("2026-01-01", "2026-03-10")
PLACES = [f"place-{n:02}" for n in range(12)]


def counts(seed: int = 4) -> np.ndarray[Any, Any]:
    chance = np.random.default_rng(seed)
    week = np.exp(chance.normal(0, 0.2, (12, 7)))[:, np.arange(DAYS.size) % 7]
    mean = np.exp(chance.normal(6, 0.5, 12))[:, None] * week
    return chance.poisson(mean).astype(np.float64)


def told(values: Any, lateness: int = 2) -> Source:
    return Source(from_matrix(PLACES, DAYS, values, lateness=lateness, name="counted"))


def at(day: str) -> np.datetime64:
    return np.datetime64(day, "D")


@pytest.fixture
def store(tmp_path: Path) -> FeedStore:
    return FeedStore(tmp_path / "counted")


def test_late_reports_revisions_and_gaps(store: FeedStore) -> None:
    values = counts()
    gap = values.copy()
    gap[:, 60] = np.nan  # March 2 is not in the file at first
    first, found = taken_in(store, told(gap), at("2026-03-06"))
    assert not found
    assert first.last_day == at("2026-03-04")
    revised = values.copy()
    revised[3, 50] += 70
    second, _ = taken_in(store, told(revised), at("2026-03-07"))
    # The late day is there, as reported when it came; the revision stands beside what was known before.
    assert second.reported_on("2026-03-07", [DAYS[60]])[0, 0] == at("2026-03-07")
    assert second.known("2026-03-07", [DAYS[50]])[3, 0] == values[3, 50] + 70
    assert second.known("2026-03-06", [DAYS[50]])[3, 0] == values[3, 50]
    assert np.isnan(second.known("2026-03-06", [DAYS[60]])).all()
    # A source that cuts off its past does not make the node forget it.
    short = told(revised)
    short = Source(short.feed.where(short.feed.date > DAYS[40]))
    third, _ = taken_in(store, short, at("2026-03-08"))
    assert np.array_equal(third.known("2026-03-08", DAYS[:40]), values[:, :40])
    assert [v.revised for v in store.versions()] == [0, 1, 0]


def test_an_earlier_day_adds_nothing_and_sees_nothing_later(store: FeedStore) -> None:
    values = counts()
    taken_in(store, told(values), at("2026-03-06"))
    changed, _ = taken_in(store, told(values + 40), at("2026-03-09"))
    before, _ = taken_in(store, told(values * 9), at("2026-03-07"))
    assert len(store.versions()) == 2
    assert np.array_equal(before.known("2026-03-07", DAYS[:60]), values[:, :60])
    assert np.array_equal(changed.known("2026-03-09", DAYS[:60]), values[:, :60] + 40)


def test_a_past_told_in_another_unit_is_refused(store: FeedStore) -> None:
    values = counts()
    taken_in(store, told(values), at("2026-03-06"))
    again, _ = taken_in(store, told(values * 1000), at("2026-03-07"))
    fine, found = clean(again, at("2026-03-07"), PLACES, None, 2)
    assert "restated" in {one.kind for one in found}
    assert np.array_equal(fine.known("2026-03-07", DAYS[:60]), values[:, :60])


def test_rows_that_contradict_each_other_are_not_kept(store: FeedStore) -> None:
    values = counts()
    taken_in(store, told(values), at("2026-03-06"))
    doubled = told(values).feed
    more = doubled.where(doubled.date == at("2026-03-05"))
    both = doubled.and_then(
        Feed(more.places, more.place, more.date, more.reported, more.value + 5, "counted")
    )
    seen, found = taken_in(store, Source(both), at("2026-03-07"))
    assert [one.kind for one in found] == ["contradiction"]
    assert np.isnan(seen.known("2026-03-07", [at("2026-03-05")])).all()
    mended, found = taken_in(store, told(values), at("2026-03-08"))
    assert not found
    assert np.isfinite(mended.known("2026-03-08", [at("2026-03-05")])).all()


@pytest.mark.parametrize("broken", [True, False])
def test_a_store_that_was_changed_is_found(store: FeedStore, tmp_path: Path, broken: bool) -> None:
    taken_in(store, told(counts()), at("2026-03-06"))
    taken_in(store, told(counts()), at("2026-03-08"))
    first, second = sorted((tmp_path / "counted").glob("*.parquet"))
    if broken:
        first.write_bytes(first.read_bytes()[:-9])
    else:  # another version in its place
        first.write_bytes(second.read_bytes())
    with pytest.raises(Fault) as fault:
        taken_in(store, told(counts()), at("2026-03-09"))
    assert fault.value.code == "feed.changed"


def test_places_of_another_list_are_left_out_after_the_checks() -> None:
    many = feed(["place-01", "elsewhere"], ["2026-03-01"] * 2, [10, 20], lateness=1)
    fine, _ = clean(many, at("2026-03-05"), PLACES, None, 1)
    assert fine.places == tuple(PLACES)
    assert len(fine) == 1


def hourly(leaves_out: Any, twice: Any = ()) -> pa.Table:
    """Berlin, ten days around the clock change of March 29: two places, ten people an hour."""
    hours = np.arange("2026-03-25", "2026-04-04", dtype="datetime64[h]")
    hours = hours[hours != np.datetime64("2026-03-29T02")]  # which the clock skips
    hours = np.concatenate([hours[~np.isin(hours, leaves_out)], np.array(twice, "datetime64[h]")])
    return pa.table({
        "place": np.repeat(["north", "south"], hours.size), "hour": np.tile(hours.astype("datetime64[s]"), 2),
        "people": np.full(2 * hours.size, 10.0),
    })  # fmt: skip


@pytest.mark.parametrize(
    ("leaves_out", "twice", "wrong"),
    [
        ((), (), None),
        (("2026-03-27T14",), (), "2026-03-27"),
        ((), ("2026-03-31T09",), "2026-03-31"),
    ],
)
def test_hours_become_days_over_a_clock_change(
    tmp_path: Path, leaves_out: Any, twice: Any, wrong: str | None
) -> None:
    path = tmp_path / "hours.parquet"
    pq.write_table(hourly(np.array(leaves_out, "datetime64[h]"), twice), path)
    seen, found = read_reports(given(path), Reported("place", "hour", "people"), 2, "Europe/Berlin")
    days = days_between("2026-03-25", "2026-04-03")
    known = seen.known("2026-04-09", days)
    assert known[0, 4] == 230.0, "a day of 23 hours is whole"
    assert (known[:, 0] == 240.0).all()
    assert seen.reported_on("2026-04-09", days)[0, 0] == at("2026-03-27")
    if wrong is None:
        assert not found
        assert np.isfinite(known).all()
        return
    assert [(one.kind, str(one.first), one.places) for one in found] == [("hours", wrong, ())]
    assert np.isnan(seen.known("2026-04-09", [at(wrong)])).all()
    assert np.isfinite(known).sum() == 2 * (days.size - 1)


def given(path: Path) -> Dataset:
    """The file as a registered dataset."""
    kinds = {"place": "place", "hour": "time", "people": "number"}
    return Dataset.model_validate_json(json.dumps({
        "name": "counted", "source": {"path": str(path)}, "ids": [{"column": "place", "type": "place"}],
        "columns": [{"name": n, "column": n, "kind": k} for n, k in kinds.items()],
        "classification": "trade-secret", "description": "Hours (made up).", "legal_basis": "not-personal",
    }))  # fmt: skip
