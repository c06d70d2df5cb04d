"""Published figures: days are counted as they are published, and no look at them reads more than it shows."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from hanse.node.products.publications import Figure
from hanse.node.products.webhooks import Webhooks
from hanse.node.storage.database import open_sqlite
from hanse.node.storage.store import Store

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FIRST = date(2026, 1, 1)
LOOKS = {
    "the days of a place": lambda s: s.publications.days("crowd", "p1"),
    "some days of a place": lambda s: s.publications.days("crowd", "p1", FIRST, FIRST),
    "versions of a day": lambda s: s.publications.history("crowd", "p1", FIRST),
    "a day": lambda s: list(s.publications.day("crowd", FIRST)),
    "changes": lambda s: s.publications.changes("crowd", 3, 5),
    "the days that there are": lambda s: s.publications.dates("crowd", 5),
    "a new webhook": lambda s: Webhooks(s.database).add(
        "orders", "x", "https://a.example", "crowd", _Zeros(), NOW
    ),
    "a publication": lambda s: s.publications.publish("crowd", {}, [Figure("p1", FIRST, 9.0)], NOW),
}


class _Zeros:
    def take(self, count: int) -> bytes:
        return bytes(count)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(open_sqlite(tmp_path))
    yield made
    made.close()


@contextmanager
def seen(store: Store) -> Iterator[list[tuple[str, Any]]]:
    statements: list[tuple[str, Any]] = []

    def saw(_connection: object, _cursor: object, statement: str, values: Any, *_: object) -> None:
        statements.append((statement, values))

    engine = store.database._engine
    event.listen(engine, "before_cursor_execute", saw)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", saw)


@pytest.mark.parametrize("look", LOOKS)
def test_every_look_goes_by_an_index(store: Store, look: str) -> None:
    for product in ("crowd", "other"):
        figures = [
            Figure(f"p{p}", FIRST + timedelta(days=d), 1.0) for p in range(4) for d in range(4)
        ]
        store.publications.publish(product, {}, figures, NOW)
    with seen(store) as statements:
        LOOKS[look](store)
    asked = [(s, v) for s, v in statements if s.startswith("SELECT") and "p" in s and "max(" not in s.lower()
             and ("published" in s or "product_days" in s)]  # fmt: skip
    largest = [(s, v) for s, v in statements if "max(" in s.lower() and "published" in s]
    assert asked or largest
    with store.database.reading() as connection:
        for statement, values in asked + largest:
            plan = [
                r[3] for r in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
            ]
            assert not any(step.startswith("SCAN published") for step in plan), (statement, plan)
            assert any("SEARCH" in step for step in plan), (statement, plan)


def test_days_count_the_newest_version_of_every_place(store: Store) -> None:
    """Any publications one after the other, against counting what is read."""
    chance = random.Random(11)  # noqa: S311
    for _ in range(25):
        cells = {
            (f"p{chance.randrange(6)}", FIRST + timedelta(days=chance.randrange(5)))
            for _ in range(7)
        }
        store.publications.publish(
            "crowd", {},
            [Figure(p, d, float(chance.randrange(3))) if chance.random() < 0.6
             else Figure(p, d, None, reason="none") for p, d in sorted(cells)],
            NOW,
        )  # fmt: skip
    counted = []
    for n in range(5):
        on = FIRST + timedelta(days=n)
        states = [c.figure.state for c in store.publications.day("crowd", on)]
        counted.append((on.isoformat(), states.count("published"), states.count("abstained")))
    assert store.publications.dates("crowd", 9) == counted[::-1]
    assert store.publications.dates("crowd", 2) == counted[:2:-1]
    assert store.publications.dates("other", 9) == []
