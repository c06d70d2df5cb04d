"""Feeds: what was known when, files of several kinds, and a store in which nothing is ever written over."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.errors import Fault
from hanse.places.feeds.feed import Feed, days_between, feed, from_matrix
from hanse.places.feeds.files import read_feed
from hanse.places.feeds.store import FeedStore

DAYS = days_between("2026-03-01", "2026-03-10")


def test_only_what_was_reported_is_known() -> None:
    one = from_matrix(["a", "b"], DAYS, np.arange(20.0).reshape(2, 10), lateness=3)
    known = one.known("2026-03-08", DAYS)
    assert np.isfinite(known).sum(axis=1).tolist() == [5, 5]  # to March 5
    assert known[1, 4] == 14.0
    assert np.isnan(one.known("2026-03-03", DAYS)).all()


def test_a_revision_is_added_and_the_past_stays() -> None:
    first = feed(["a", "b"], ["2026-03-01"] * 2, [10, 20], lateness=1)
    both = first.and_then(feed(["a"], ["2026-03-01"], [11], lateness=4))
    assert both.known("2026-03-04", DAYS[:1]).tolist() == [[10.0], [20.0]]
    assert both.known("2026-03-05", DAYS[:1]).tolist() == [[11.0], [20.0]]
    assert [value for _, value in both.revisions("a", "2026-03-01")] == [10.0, 11.0]
    assert both.reported_on("2026-03-09", DAYS[:1])[0, 0] == np.datetime64("2026-03-05")


def test_a_report_without_a_number_withdraws() -> None:
    both = feed(["a", "a"], ["2026-03-01"] * 2, [10, np.nan], reported=["2026-03-02", "2026-03-03"])
    assert both.known("2026-03-02", DAYS[:1])[0, 0] == 10
    assert np.isnan(both.known("2026-03-03", DAYS[:1])[0, 0])


def test_values_may_be_reported_ahead_of_their_day() -> None:
    forecast = feed(["city"], ["2026-03-09"], [21.5], lateness=-3)
    assert np.isnan(forecast.known("2026-03-05", DAYS)).all()
    assert forecast.known("2026-03-06", DAYS[8:])[0, 0] == 21.5


def test_days_may_be_asked_for_in_any_order_and_with_gaps() -> None:
    one = from_matrix(["a"], DAYS, np.arange(10.0)[None])
    assert one.known("2026-03-31", DAYS[[7, 2, 5]]).tolist() == [[7.0, 2.0, 5.0]]
    with pytest.raises(Fault, match=r"feed\.dates"):
        one.known("2026-03-31", DAYS[[1, 1]])


reports = st.lists(
    st.tuples(
        st.sampled_from("abc"), st.integers(0, 6), st.integers(-2, 9), st.integers(0, 50)
    ),
    min_size=1, max_size=60,
)  # fmt: skip


@given(reports, st.integers(-2, 16))
@settings(max_examples=150, deadline=None)
def test_known_is_the_newest_report_until_then(
    rows: list[tuple[str, int, int, int]], at: int
) -> None:
    """Against the sentence itself, row by row."""
    keys, on, late, values = zip(*rows, strict=True)
    made = feed(keys, DAYS[list(on)], values, lateness=np.array(late))
    as_of = DAYS[0] + np.timedelta64(at, "D")
    expected: dict[tuple[str, int], tuple[int, float]] = {}
    for key, d, behind, value in rows:
        if d + behind <= at and (d + behind) >= expected.get((key, d), (-99, 0.0))[0]:
            expected[key, d] = d + behind, float(value)
    known = made.known(as_of, DAYS[:7])
    for place, name in enumerate(made.places):
        for d in range(7):
            wanted = expected.get((name, d))
            assert np.isnan(known[place, d]) if wanted is None else known[place, d] == wanted[1]


def test_over_reorders_and_renamed_joins() -> None:
    one = from_matrix(["a", "b"], DAYS, np.stack([np.ones(10), np.full(10, 2.0)]))
    assert one.over(["b", "z"]).known("2026-03-31", DAYS[:1]).tolist()[0] == [2.0]
    joined = feed(["old", "new"], ["2026-03-01", "2026-03-02"], [5, 6]).renamed({"new": "old"})
    assert joined.places == ("old",)
    assert joined.known("2026-03-31", DAYS[:2]).tolist() == [[5.0, 6.0]]


def test_columns_that_do_not_fit_are_refused() -> None:
    with pytest.raises(Fault, match=r"feed\.shape"):
        Feed(("a",), np.array([1], np.int32), DAYS[:1], DAYS[:1], np.ones(1))
    with pytest.raises(Fault, match=r"feed\.shape"):
        from_matrix(["a"], DAYS, np.ones((2, 10)))


# --- files --------------------------------------------------------------------------------------------


def test_csv_with_a_lateness_column_and_rows_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    path.write_text(
        "shop,day,visits,late\n"
        "a,2026-03-01,10,1\n"
        "a,20260302,11,2\n"
        "b,2026-03-01,,1\n"  # not reported: not an error
        "b,2026-03-02,many,1\n"
        ",2026-03-02,7,1\n"
        "b,31.3.2026,7,1\n",
        encoding="utf-8",
    )
    one = read_feed(path, key="shop", date="day", value="visits", lateness="late")
    assert (one.places, one.unread) == (("a",), 3)
    assert one.known("2026-03-03", DAYS[:2]).tolist()[0][0] == 10.0
    assert np.isnan(one.known("2026-03-03", DAYS[:2])[0, 1])
    assert one.known("2026-03-04", DAYS[:2])[0, 1] == 11.0


def test_parquet_and_a_database_read_alike(tmp_path: Path) -> None:
    rows = pa.table(
        {"p": [7, 7, 8], "d": pa.array([date(2026, 3, 1), date(2026, 3, 1), date(2026, 3, 2)]), "v": [1, 2, 3],
         "r": pa.array([date(2026, 3, 2), date(2026, 3, 4), date(2026, 3, 3)])}
    )  # fmt: skip
    pq.write_table(rows, tmp_path / "rows.parquet")
    base = duckdb.connect(str(tmp_path / "rows.duckdb"))
    base.execute("CREATE TABLE counts AS SELECT * FROM rows")
    base.close()
    columns: dict[str, Any] = {"key": "p", "date": "d", "value": "v", "reported": "r"}
    one = read_feed(tmp_path / "rows.parquet", **columns)
    two = read_feed(tmp_path / "rows.duckdb", table="counts", **columns)
    for made in (one, two):
        assert made.places == ("7", "8")
        assert made.known("2026-03-03", DAYS[:2])[0, 0] == 1
        assert made.known("2026-03-04", DAYS[:2])[0, 0] == 2
    with pytest.raises(Fault, match=r"feed\.table"):
        read_feed(tmp_path / "rows.duckdb", table="other", **columns)


def test_quarters_and_months_count_as_their_first_day(tmp_path: Path) -> None:
    path = tmp_path / "quarters.csv"
    path.write_text("k,q,v\na,20194,1\na,2020Q1,2\na,2020-04,3\n", encoding="utf-8")
    one = read_feed(path, key="k", date="q", value="v", lateness=100)
    assert one.date.astype(str).tolist() == ["2019-10-01", "2020-01-01", "2020-04-01"]
    assert str(one.reported[0]) == "2020-01-09"


def test_what_cannot_be_read_at_all_says_so(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("k,d,v\na,yesterday,1\n", encoding="utf-8")
    with pytest.raises(Fault, match=r"feed\.empty"):
        read_feed(path, key="k", date="d", value="v")
    with pytest.raises(Fault, match=r"catalog\.missing-column"):
        read_feed(path, key="key", date="d", value="v")


# --- the store ----------------------------------------------------------------------------------------


def test_a_source_that_rewrites_its_past_does_not_change_what_was_known(tmp_path: Path) -> None:
    store = FeedStore(tmp_path / "counters")
    first = from_matrix(["a", "b"], DAYS[:5], np.ones((2, 5)), lateness=1)
    assert store.append(first, date(2026, 3, 6)).added == 10  # type: ignore[union-attr]
    rewritten = np.ones((2, 6))
    rewritten[0, 2] = 1000.0
    version = store.append(
        from_matrix(["a", "b"], DAYS[:6], rewritten, lateness=1), date(2026, 3, 7)
    )
    assert version is not None
    assert (version.number, version.added, version.revised, version.unchanged) == (2, 2, 1, 9)
    kept = store.read()
    assert kept.known("2026-03-06", DAYS[2:3])[0, 0] == 1.0
    assert kept.known("2026-03-07", DAYS[2:3])[0, 0] == 1000.0
    assert store.read(1).known("2026-03-07", DAYS[2:3])[0, 0] == 1.0


def test_the_same_rows_again_make_no_version(tmp_path: Path) -> None:
    store = FeedStore(tmp_path / "counters")
    rows = from_matrix(["a"], DAYS, np.arange(10.0)[None], lateness=1)
    store.append(rows, date(2026, 3, 12))
    assert store.append(rows, date(2026, 3, 13)) is None
    assert len(store.versions()) == 1


def test_versions_come_in_order_and_not_from_the_future(tmp_path: Path) -> None:
    store = FeedStore(tmp_path / "counters")
    rows = from_matrix(["a"], DAYS, np.arange(10.0)[None], lateness=1)
    with pytest.raises(Fault, match=r"feed\.received"):
        store.append(rows, date(2026, 3, 10))
    store.append(rows, date(2026, 3, 12))
    with pytest.raises(Fault, match=r"feed\.received"):
        store.append(rows, date(2026, 3, 11))
    with pytest.raises(Fault, match=r"feed\.version"):
        store.read(2)


def test_a_version_that_was_changed_is_found(tmp_path: Path) -> None:
    store = FeedStore(tmp_path / "counters")
    for n in range(1, 4):
        store.append(from_matrix(["a"], DAYS[: 3 * n], np.ones((1, 3 * n))), date(2026, 3, 10 + n))
    store.verify()
    path = tmp_path / "counters" / "000002.parquet"
    held = pq.read_table(path)
    changed = held.set_column(3, "value", pa.array(np.full(held.num_rows, 2.0)))
    pq.write_table(changed.replace_schema_metadata(held.schema.metadata), path)
    with pytest.raises(Fault, match=r"feed\.changed"):
        store.verify()


def test_two_writers_of_one_version_do_not_both_win(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FeedStore(tmp_path / "counters")
    store.append(from_matrix(["a"], DAYS[:3], np.ones((1, 3))), date(2026, 3, 10))
    held = FeedStore.versions
    late = held(store)
    store.append(from_matrix(["a"], DAYS[:4], np.ones((1, 4))), date(2026, 3, 11))
    before = (tmp_path / "counters" / "000002.parquet").read_bytes()
    monkeypatch.setattr(FeedStore, "versions", lambda _self: late)  # as a second writer saw it
    with pytest.raises(Fault, match=r"feed\.taken"):
        store.append(from_matrix(["a"], DAYS[:5], np.full((1, 5), 9.0)), date(2026, 3, 11))
    assert (tmp_path / "counters" / "000002.parquet").read_bytes() == before
