"""What was published stays published: first word and last word, revisions by day, nothing rewritten."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from hanse.errors import Fault
from hanse.places.feeds.feed import days_between, feed
from hanse.places.scoreboard.publications import Publications
from hanse.places.scoreboard.scoreboard import Told, scoreboard

DAYS = days_between("2026-03-01", "2026-03-03")


def morning(scale: float = 1.0) -> Told:
    point = np.array([[100.0, 110, 120], [50, np.nan, 60]]) * scale
    shown = np.array([[True, True, True], [True, False, False]])
    return Told(("a", "b"), DAYS, point, point * 0.8, point * 1.2, np.full(point.shape, 0.9), shown)


def test_what_was_said_first_is_judged_and_the_last_word_is_known(tmp_path: Path) -> None:
    kept = Publications(tmp_path / "published")
    first = kept.publish(morning(), date(2026, 3, 4))
    second = kept.publish(morning(2.0), date(2026, 3, 5))
    assert (first.added, first.revised) == (5, 0)
    assert (second.added, second.revised) == (0, 5)
    said, now = kept.told("2026-03-31", DAYS), kept.told("2026-03-31", DAYS, first=False)
    np.testing.assert_array_equal(said.point, morning().point)
    np.testing.assert_array_equal(now.point, morning(2.0).point)
    np.testing.assert_array_equal(said.published, morning().published)
    np.testing.assert_array_equal(kept.told("2026-03-04", DAYS, first=False).point, morning().point)
    truth = np.array([[100.0, 110, 120], [50, 55, 60]])
    assert scoreboard(said, truth).whole.p30 == 1.0
    assert scoreboard(now, truth).whole.p30 == 0.0


def test_revisions_are_told_by_place_and_day(tmp_path: Path) -> None:
    kept = Publications(tmp_path / "published")
    kept.publish(morning(), date(2026, 3, 4))
    changed = morning()
    point = changed.point.copy()
    point[0, 1] = 99.0
    kept.publish(replace(changed, point=point), date(2026, 3, 5))
    assert [(r.place, str(r.date), r.before, r.after) for r in kept.revisions("2026-03-01")] == [
        ("a", "2026-03-02", 110.0, 99.0)
    ]
    assert kept.revisions("2026-03-06") == ()


def test_what_was_changed_behind_the_back_is_found(tmp_path: Path) -> None:
    kept = Publications(tmp_path / "published")
    with pytest.raises(Fault, match=r"publications\.none"):
        kept.told("2026-03-31", DAYS)
    kept.publish(morning(), date(2026, 3, 4))
    kept.publish(morning(2.0), date(2026, 3, 5))
    kept.verify()
    path = tmp_path / "published" / "point" / "000001.parquet"
    held = pq.read_table(path)
    pq.write_table(held.slice(1).replace_schema_metadata(held.schema.metadata), path)
    with pytest.raises(Fault, match=r"feed\.changed"):
        kept.verify()


def test_the_oldest_report_of_a_feed() -> None:
    both = feed(
        ["a"] * 3,
        ["2026-03-01"] * 3,
        [1, 2, 3],
        reported=["2026-03-02", "2026-03-04", "2026-03-03"],
    )
    assert both.first_known("2026-03-31", DAYS[:1])[0, 0] == 1
    assert both.known("2026-03-31", DAYS[:1])[0, 0] == 2
