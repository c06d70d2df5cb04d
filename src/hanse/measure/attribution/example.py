"""A small attribution over made-up people, with which the conformance suite tries it.

A media company shows advertisements of three kinds, a search engine sees searches, a shop sells. Every person
stands for thirty alike ones, so that figures pass the threshold.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from hanse.measure.examples import Example, ExampleTable

_BEGAN = datetime(2026, 3, 1, 9)
_ALIKE = 30
# advertisements (day, kind), days of searches, purchases (day, amount)
_LIVES: tuple[
    tuple[tuple[tuple[int, str], ...], tuple[int, ...], tuple[tuple[int, int], ...]], ...
] = (
    (((1, "video"), (3, "banner"), (9, "video")), (10,), ((11, 900),)),
    (((2, "banner"),), (), ((2, 300), (20, 1500))),
    (((4, "video"), (5, "video"), (6, "banner"), (7, "video")), (3, 8), ((8, 700), (9, 100))),
    ((), (12, 13), ((14, 2500),)),
    ((), (), ((15, 400),)),
    (((1, "mail"),), (), ((29, 200),)),
    (((16, "video"),), (17,), ()),
)


def example() -> Example:
    """Purchases credited by position to kinds of advertisements and to searches, with their value."""
    rows: dict[str, list[dict[str, Any]]] = {"ads": [], "searches": [], "purchases": []}
    for life, (ads, searches, purchases) in enumerate(_LIVES):
        for copy in range(_ALIKE):
            person, began = f"person-{life}-{copy}", _BEGAN + timedelta(minutes=copy)
            rows["ads"] += [
                {"id": person, "at": began + timedelta(days=day), "kind": kind} for day, kind in ads
            ]
            rows["searches"] += [
                {"id": person, "at": began + timedelta(days=day)} for day in searches
            ]
            rows["purchases"] += [
                {"id": person, "at": began + timedelta(days=day, hours=1), "amount": amount}
                for day, amount in purchases
            ]

    def table(name: str, provider: str, *columns: str) -> ExampleTable:
        return ExampleTable(name, provider, pa.Table.from_pylist(rows[name]), "id", "at",
                            {c: c for c in columns})  # fmt: skip

    return Example(
        {
            "touches": [
                {"dataset": "ads", "credit": "kind", "slots": 3},
                {"dataset": "searches", "name": "search", "slots": 2},
            ],
            "conversions": {
                "dataset": "purchases",
                "value": "amount",
                "value_unit": 10,
                "value_maximum": 255,
                "slots": 2,
            },
            "starts": "2026-03-01",
            "ends": "2026-04-01",
            "model": "position",
            "window_days": 14,
        },
        (
            table("ads", "media", "kind"),
            table("searches", "search"),
            table("purchases", "shop", "amount"),
        ),
    )
