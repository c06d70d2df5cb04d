"""Small crowds of three organisations for the tests of the rehearsal itself."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from hanse.rehearsal import Federation

PEOPLE = 120
DAY = datetime(2026, 3, 1, 10)
STARTS, ENDS = "2026-03-01", "2026-04-01"
STAGES = [("seen", "exposures"), ("paid", "baskets", 10)]


def exposures() -> dict[str, list[Any]]:
    """Everybody, on the first day; by two channels."""
    return {
        "person": [f"p{i}" for i in range(PEOPLE)],
        "seen_at": [DAY + timedelta(minutes=i) for i in range(PEOPLE)],
        "channel": ["tv" if i % 2 else "web" for i in range(PEOPLE)],
    }


def baskets() -> dict[str, list[Any]]:
    """Two of three people, two days later."""
    buyers = [i for i in range(PEOPLE) if i % 3]
    return {
        "person": [f"p{i}" for i in buyers],
        "bought_at": [DAY + timedelta(days=2, minutes=i) for i in buyers],
        "price": [1.5 + i % 4 for i in buyers],
    }


def people() -> dict[str, list[Any]]:
    """An age group for everybody."""
    return {
        "person": [f"p{i}" for i in range(PEOPLE)],
        "age": ["young" if i < PEOPLE / 2 else "old" for i in range(PEOPLE)],
    }


def federation(**options: Any) -> Federation:
    """media, shop and data; joined by person."""
    fed = Federation(**{"k": 20, "seed": 7, "join_epsilon": 1.0, **options})
    fed.dataset("exposures", "media", exposures(), id="person", time="seen_at",
                columns=["channel"])  # fmt: skip
    fed.dataset("baskets", "shop", baskets(), id="person", time="bought_at")
    fed.dataset("people", "data", people(), id="person", columns=["age"])
    return fed
