"""Rows of the same columns at three organisations, and the clause of a model over them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from model_federation import NAMES, ModelFederation

ROWS = 600
COLUMNS = [
    {"name": "bought", "kind": "boolean", "uses": ["target"]},
    {"name": "spend", "kind": "number", "uses": ["feature"]},
    {"name": "city", "kind": "category", "uses": ["feature"], "values": ["north", "south"]},
]


def table(number: int) -> pa.Table:
    rng = np.random.default_rng(number)
    spend, city = rng.normal(size=ROWS) + 0.2 * number, rng.integers(0, 2, ROWS)
    bought = rng.random(ROWS) < 1 / (1 + np.exp(0.3 - 1.1 * spend - 0.8 * city))
    return pa.table({"id": [f"row-{number}-{n}" for n in range(ROWS)], "bought": bought, "spend": spend,
                     "city": np.array(["north", "south"])[city]})  # fmt: skip


def pooled_terms(models: ModelFederation) -> dict[str, Any]:
    """The datasets and the model of a contract; each organisation has registered its rows."""
    datasets = []
    for number, name in enumerate(NAMES):
        models.give(f"rows-{name}", table(number))
        with models[name].office() as office:
            office.register_dataset(
                {"name": f"rows-{name}", "source": {"path": str(models.source(f"rows-{name}"))},
                 "ids": [{"column": "id", "type": "member"}],
                 "columns": [{"name": c["name"], "column": c["name"], "kind": c["kind"]} for c in COLUMNS],
                 "classification": "personal", "description": "Made-up people.",
                 "legal_basis": "consent", "evidence": "made-up people"}
            )  # fmt: skip
        datasets.append(
            {"name": f"rows-{name}", "provider": name, "capacity": ROWS, "slots": 1, "personal": True,
             "legal_basis": "consent", "evidence": "made-up people", "columns": COLUMNS}
        )  # fmt: skip
    return {"datasets": datasets}


def pooled_clause(**changes: Any) -> dict[str, Any]:
    return {
        "name": "churn", "kind": "horizontal-glm", "target": {"dataset": "rows-shop", "column": "bought"},
        "features": [{"dataset": f"rows-{n}", "columns": ["spend", "city"]} for n in NAMES],
        "alignment": "none", "authorisation": "authorised-by-people", "evidence": "Made-up forms.",
        "maximum_trainings": 3, "least_rows": 100, "expiry_days": 30,
    } | changes  # fmt: skip
