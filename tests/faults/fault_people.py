"""Made-up people and their events, the question about them, and the answer it must have.

The funnel is seen (ash) -> bought (dune, within 7 days) -> again (dune, within 7 days).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

PEOPLE = 300
BUYERS_FROM = 60
CAPACITY = 320
# Epsilon 4 gives every count a standard deviation of half a person: no fault test is about noise.
EPSILON = 4.0
SURELY = 15
Document = dict[str, Any]
_COLUMNS = {
    "exposures": [("at", "at", "time"), ("kind", "kind", "category")],
    "baskets": [("at", "at", "time"), ("amount", "cents", "amount")],
}


def person(number: int) -> str:
    """A made-up id that nothing else looks like."""
    return f"member-{number:05d}-{hashlib.sha256(str(number).encode()).hexdigest()[:8]}"


def exposures(people: int = PEOPLE) -> pa.Table:
    """Everybody below ``people`` saw something on one of five days."""
    numbers = np.arange(people)
    return pa.table(
        {
            "person": pa.array([person(i) for i in numbers], pa.string()),
            "at": _moments(numbers % 5, 10),
            "kind": pa.array(np.where(numbers % 2, "email", "tv").tolist(), pa.string()),
        }
    )


def baskets(first: int = BUYERS_FROM, people: int = PEOPLE) -> pa.Table:
    """``people`` from number ``first`` on buy three days after they saw something, each second one again."""
    once = np.arange(first, first + people)
    twice = once[::2]
    numbers = np.concatenate([once, twice])
    days = numbers % 5 + np.concatenate([np.full(once.size, 3), np.full(twice.size, 5)])
    return pa.table(
        {
            "person": pa.array([person(i) for i in numbers], pa.string()),
            "at": _moments(days, 12),
            "cents": pa.array(100 + numbers % 900, pa.int64()),
        }
    )


def _moments(days: Any, hour: int) -> pa.Array:
    start = np.datetime64("2026-03-01T00:00", "s") + np.timedelta64(hour, "h")
    return pa.array(start + np.asarray(days).astype("timedelta64[D]"))


def expected() -> tuple[int, int, int]:
    """The exact counts of the funnel over `exposures` and `baskets`."""
    bought = PEOPLE - BUYERS_FROM
    return PEOPLE, bought, bought // 2


def is_right(people: Sequence[int | None], exact: Sequence[int] | None = None) -> bool:
    """Whether noised counts can be the answer."""
    counts = exact or expected()
    return len(people) == len(counts) and all(
        got is not None and abs(got - true) <= SURELY
        for got, true in zip(people, counts, strict=True)
    )


def registration(name: str, path: Path) -> Document:
    """How its owner registers the dataset ``name``."""
    return {
        "name": name,
        "source": {"path": str(path)},
        "ids": [{"column": "person", "type": "member"}],
        "columns": [{"name": n, "column": c, "kind": k} for n, c, k in _COLUMNS[name]],
        "classification": "personal",
        "description": "Made-up events.",
        "legal_basis": "consent",
        "evidence": "made-up people",
    }


def parameters(first: str = "seen", **changes: Any) -> Document:
    """The question; a first stage of another name makes it another question."""
    stages = [
        {"name": first, "any_of": [{"dataset": "exposures"}]},
        {"name": "bought", "any_of": [{"dataset": "baskets"}], "within_days": 7},
        {"name": "again", "any_of": [{"dataset": "baskets"}], "within_days": 7},
    ]
    return {"stages": stages, "starts": "2026-03-01", "ends": "2026-04-01"} | changes
