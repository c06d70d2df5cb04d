"""A small funnel over made-up people: the question and the tables with which the conformance suite tries it.

Four organisations: a media company shows a campaign, a coupon platform sees scans, a retailer sells, a data company
knows age groups. Every person stands for 40 alike ones, so that figures pass the threshold.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from hanse.measure.examples import Example, ExampleTable

_DAY = datetime(2026, 3, 1, 9)
_ALIKE = 40
# kind of campaign, days to the scan, days to the purchase and its amount, age group; None: it never came
_LIVES: tuple[tuple[str | None, int | None, int | None, int, str | None], ...] = (
    ("video", 2, 5, 900, "under 45"),
    ("video", 2, 60, 1500, "under 45"),
    ("video", None, 4, 700, "45 and over"),
    ("banner", 1, 3, 2500, "45 and over"),
    ("banner", 9, None, 0, None),
    ("video", 3, 6, 400, None),
    (None, 5, 8, 1100, "under 45"),
    (None, None, 7, 3000, "45 and over"),
)


def example() -> Example:
    """The funnel exposed -> scanned -> paid, by age group, exposed against not exposed."""
    rows: dict[str, list[dict[str, Any]]] = {
        "exposures": [],
        "scans": [],
        "baskets": [],
        "people": [],
    }
    for life, (kind, scan, paid, amount, age) in enumerate(_LIVES):
        for copy in range(_ALIKE):
            person = f"person-{life}-{copy}"
            began = _DAY + timedelta(hours=copy)
            if kind is not None:
                rows["exposures"].append({"id": person, "at": began, "kind": kind})
            if scan is not None:
                rows["scans"].append({"id": person, "at": began + timedelta(days=scan)})
            if paid is not None:
                at = began + timedelta(days=paid)
                rows["baskets"].append({"id": person, "at": at, "amount": amount})
            rows["people"].append({"id": person, "age": age})

    def table(name: str, provider: str, time: str | None, *columns: str) -> ExampleTable:
        return ExampleTable(name, provider, pa.Table.from_pylist(rows[name]), "id", time,
                            {c: c for c in columns})  # fmt: skip

    return Example(
        {
            "stages": [
                {"name": "exposed", "any_of": [{"dataset": "exposures"}]},
                {"name": "scanned", "any_of": [{"dataset": "scans"}], "within_days": 7},
                {
                    "name": "paid",
                    "any_of": [
                        {"dataset": "baskets", "where": [{"column": "amount", "at_least": 500}]}
                    ],
                    "within_days": 30,
                },
            ],
            "starts": "2026-03-01",
            "ends": "2026-06-01",
            "by": {"dataset": "people", "column": "age"},
            "compare_with": "people",
        },
        (
            table("exposures", "media", "at", "kind"),
            table("scans", "coupon", "at"),
            table("baskets", "retailer", "at", "amount"),
            table("people", "insight", None, "age"),
        ),
    )
