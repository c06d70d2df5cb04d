"""Random questions about overlap and reach over the random tables of `random_funnels`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st
from random_funnels import DAYS, STARTS

from hanse.align.join import JoinPolicy, Upload, align
from hanse.align.layout import merged
from hanse.align.upload import padded
from hanse.catalog import parse_dataset, read_rows
from hanse.contracts import Contract
from hanse.engine.reveal import open_ring
from hanse.engine.session import Session
from hanse.engine.shares import Words
from hanse.engine.stage import on_stage
from hanse.entropy import SeededEntropy
from hanse.gate.record import Record
from hanse.menu import entry

_leaves = st.builds(
    lambda dataset, at_least, kind: {
        "dataset": dataset,
        **({"at_least": at_least} if dataset != "people" else {}),
        **({"where": [{"column": "kind", "equals": kind}]} if kind and dataset == "exposures" else {}),
    },
    st.sampled_from(["exposures", "scans", "baskets", "visits", "people"]),
    st.sampled_from([1, 1, 1, 2, 3]),
    st.sampled_from(["", "tv"]),
)  # fmt: skip


@st.composite
def crowds(draw: Callable[..., Any], depth: int = 2) -> dict[str, Any]:
    """A crowd: a leaf, or a combination that says something positive."""
    kind = draw(st.sampled_from(["leaf", "leaf", "any_of", "all_of", "but", "of"]))
    if kind == "leaf" or depth == 0:
        return dict(draw(_leaves))
    parts = [draw(crowds(depth=depth - 1)) for _ in range(draw(st.integers(2, 3)))]
    if kind == "of":
        return {"of": parts, "least": draw(st.integers(1, len(parts)))}
    if kind == "but":
        return {"all_of": [parts[0], {"none_of": parts[1:]}]}
    return {kind: parts}


def _period(draw: Callable[..., Any]) -> dict[str, str]:
    days = draw(st.sampled_from([10, DAYS]))
    return {"starts": STARTS.isoformat(), "ends": (STARTS + timedelta(days=days)).isoformat()}


@st.composite
def overlaps(draw: Callable[..., Any]) -> dict[str, Any]:
    """An overlap of one to six crowds."""
    count = draw(st.sampled_from([1, 2, 3, 4, 6]))
    named = [{"name": f"crowd {i}", **draw(crowds())} for i in range(count)]
    return {"crowds": named, **_period(draw)}


@st.composite
def reaches(draw: Callable[..., Any]) -> dict[str, Any]:
    """Reach by one to four sources, with small and large caps, universes and segments."""
    names = draw(st.permutations(["exposures", "scans", "baskets", "visits", "people"]))
    exposures: list[dict[str, Any]] = [{"dataset": n} for n in names[: draw(st.integers(1, 4))]]
    if draw(st.booleans()):
        kind = [{"column": "kind", "equals": "tv"}]
        exposures.append({"name": "on tv", "dataset": "exposures", "where": kind})
    found = {
        "exposures": exposures,
        "most_frequency": draw(st.sampled_from([1, 2, 3, 4, 7, 10, 30])),
        **_period(draw),
    }
    universe = draw(st.one_of(st.none(), st.just(500), crowds()))
    if universe is not None:
        found["universe"] = universe
    column = draw(st.sampled_from([None, "age", "kids"]))
    if column is not None:
        found["by"] = {"dataset": "people", "column": column}
        if column == "age" and draw(st.booleans()):
            found["by"]["merge"] = {"x": ["c", "a"]}
    return found


def secret_outputs(
    name: str, plan: Any, contract: Contract, tables: dict[str, pa.Table], folder: Path, seed: str
) -> np.ndarray:  # fmt: skip
    """Exact outputs [outputs] of a computation by files, the catalog, padding and the join; opened for the test."""
    datasets = {}
    for table_name, table in tables.items():
        path = folder / f"{table_name}.parquet"
        pq.write_table(table, path)
        found = contract.dataset(table_name)
        assert found is not None
        columns = [{"name": c.name, "column": c.name, "kind": c.kind} for c in found.columns]
        datasets[table_name] = parse_dataset(
            {
                "name": table_name, "source": {"path": path}, "columns": columns,
                "ids": [{"column": "id", "type": "household"}], "classification": "personal",
                "description": "x", "legal_basis": "consent", "evidence": "x",
            }
        )  # fmt: skip
    rows = {}
    for party in plan.providers:
        parts = entry(name).rows(plan, contract, party, datasets, read_rows)
        ids, columns_of = merged(parts, plan.layouts[party])
        rows[party] = padded(
            ids, columns_of, plan.capacities[party], plan.layouts[party], SeededEntropy(seed)
        )

    def protocol(s: Session) -> np.ndarray:
        def receive(party: str) -> Words:
            mine = rows[party]
            value = mine if s.seat == 0 else None
            return Words(*s.input_from(0, f"in.{party}", value, mine.shape, xor=True))

        uploads = [Upload(p, plan.layouts[p], partial(receive, p)) for p in plan.providers]
        people = align(s, Record(), uploads, JoinPolicy(2.0, 1e-3), plan.keep)
        return open_ring(s, entry(name).compute(s, people, plan), "cells").view(np.int64)

    return np.asarray(plan.release.sums.apply(on_stage(protocol, seed=seed)[0]))
