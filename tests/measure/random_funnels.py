"""Random questions over random tables of four organisations, for comparing the secret funnel with its twin.

media has exposures; coupon has scans; shop has baskets and visits (two datasets of one provider); data knows
people, some of them several times or with labels that the contract does not list.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

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
from hanse.measure.funnel import protocol as funnel
from hanse.measure.funnel import rows as funnel_rows

PERSONS = 40
STARTS = date(2026, 1, 1)
DAYS = 30
EVENTS = {"exposures": "media", "scans": "coupon", "baskets": "shop", "visits": "shop"}
AGES = ("a", "b", "c")
KINDS = ("tv", "web")


@lru_cache
def contract_of(slots: int) -> Contract:
    """The contract over the five tables, with so many slots a person."""
    at = {"name": "at", "kind": "time", "uses": ["order"]}
    kind = {"name": "kind", "kind": "category", "values": list(KINDS), "uses": ["filter"]}
    amount = {"name": "amount", "kind": "amount", "maximum": 1000, "uses": ["filter"]}
    age = {"name": "age", "kind": "category", "values": list(AGES), "uses": ["segment"]}
    kids = {"name": "kids", "kind": "boolean", "uses": ["segment"]}
    columns = {
        "exposures": ("media", [at, kind]),
        "scans": ("coupon", [at]),
        "baskets": ("shop", [at, amount]),
        "visits": ("shop", [at]),
        "people": ("data", [age, kids]),
    }
    parties = ("media", "coupon", "shop", "data")
    return Contract.from_fields(
        {
            "format": 1,
            "id": "random-funnels",
            "version": 1,
            "title": "Random funnels",
            "purpose": "tests",
            "starts": date(2026, 1, 1),
            "expires": date(2027, 1, 1),
            "maximum_jobs": 9,
            "seats": ["media", "shop", "data"],
            "independence": "Made up.",
            "retention_days": 3,
            "join": {
                "id_type": "household", "hash": "sha256", "epsilon": 0.1, "delta": 1e-8,
                "epsilon_budget": 3.0,
            },
            "privacy": {
                "k": 20, "epsilon_per_query": 1.0, "epsilon_budget": 9.0, "delta": 1e-8,
                "period": "contract",
            },
            "parties": [
                {
                    "name": name, "organisation": f"{name} company",
                    "signing_key": f"{i + 40:02x}" * 32, "certificate": f"{i + 10:02x}" * 32,
                }
                for i, name in enumerate(parties)
            ],
            "datasets": [
                {
                    "name": name, "provider": provider, "capacity": 2 * PERSONS, "slots": slots,
                    "personal": True, "legal_basis": "consent", "evidence": "x", "columns": found,
                }
                for name, (provider, found) in columns.items()
            ],
            "computations": [
                {"name": "funnel", "recipients": ["media"], "datasets": list(columns)}
            ],
        }
    )  # fmt: skip


def tables_of(seed: int) -> dict[str, pa.Table]:
    """Random tables: some events out of the period, some people without an id, labels of all sorts."""
    rng = np.random.default_rng(seed)
    tables = {}
    for name in EVENTS:
        rows = int(rng.integers(1, 220))
        columns: dict[str, Any] = {
            "id": _ids(rng, rows),
            # Whole hours, so that equal times are common; now and then a minute off.
            "at": [
                datetime(2026, 1, 1) + timedelta(hours=int(h), minutes=int(m) * 7)
                for h, m in zip(
                    rng.integers(-20, DAYS * 24 + 20, rows), rng.integers(0, 2, rows), strict=True
                )
            ],
        }
        if name == "baskets":
            columns["amount"] = rng.integers(0, 100, rows)
        if name == "exposures":
            found = [[*KINDS, None][i] for i in rng.integers(0, 3, rows)]
            columns["kind"] = pa.array(found, pa.string())
        tables[name] = pa.table(columns)
    rows = int(rng.integers(20, 60))
    tables["people"] = pa.table(
        {
            "id": _ids(rng, rows),
            "age": pa.array(
                [[*AGES, "unlisted", None][i] for i in rng.integers(0, 5, rows)], pa.string()
            ),
            "kids": pa.array(
                [[True, False, None][i] for i in rng.integers(0, 3, rows)], pa.bool_()
            ),
        }
    )
    return tables


def _ids(rng: np.random.Generator, rows: int) -> pa.Array:
    """Ids of which one in forty is missing, but not the first."""
    numbers = rng.integers(0, PERSONS, rows)
    numbers[0] = 1
    return pa.array([f"p{i}" if i else None for i in numbers], pa.string())


# --- questions ------------------------------------------------------------------------------------


def _source(dataset: str, at_least: int, amount: dict[str, int], kind: list[str]) -> dict[str, Any]:
    where: list[dict[str, Any]] = []
    if dataset == "baskets" and amount:
        where.append({"column": "amount", **amount})
    if dataset == "exposures" and kind:
        where.append({"column": "kind", "one_of": kind})
    return {"dataset": dataset, "at_least": at_least, "where": where}


_sources = st.builds(
    _source,
    st.sampled_from(list(EVENTS)),
    st.sampled_from([1, 1, 1, 1, 1, 2, 3]),
    st.sampled_from([{}, {}, {"at_least": 40}, {"at_most": 60}, {"at_least": 20, "at_most": 70}]),
    st.sampled_from([[], [], ["tv"], ["tv", "web"]]),
)
_stage = st.tuples(
    st.lists(_sources, min_size=1, max_size=3), st.sampled_from([None, None, 0.5, 1, 3.5, 10])
)
_segments = st.sampled_from(
    [
        None,
        None,
        {"dataset": "people", "column": "age"},
        {"dataset": "people", "column": "age", "merge": {"x": ["c", "a"], "y": ["b"]}},
        {"dataset": "people", "column": "age", "merge": {"only b": ["b"]}},
        {"dataset": "people", "column": "kids"},
    ]
)


@st.composite
def questions(draw: Callable[..., Any]) -> tuple[dict[str, Any], int]:
    """(parameters, slots) of a funnel: any-of, filters, counts, windows, both orders, arms, segments, units."""
    stages = [draw(_stage) for _ in range(draw(st.sampled_from([1, 2, 2, 3, 3, 4])))]
    slots = draw(st.integers(3, 5))
    ordered = draw(st.sampled_from([True, True, False]))
    parameters: dict[str, Any] = {
        "stages": [
            {
                "name": f"stage {number}",
                "any_of": any_of,
                "within_days": window if ordered else None,
            }
            for number, (any_of, window) in enumerate(stages)
        ],
        "starts": STARTS.isoformat(),
        "ends": (STARTS + timedelta(days=draw(st.sampled_from([10, DAYS])))).isoformat(),
        "ordered": ordered,
        "time_unit": draw(st.sampled_from(["second", "minute", "minute", "hour", "day"])),
    }
    by = draw(_segments)
    if by is not None:
        parameters["by"] = by
    if len(stages) > 1:
        parameters["compare_with"] = draw(st.sampled_from([None, None, "people", "visits"]))
    return parameters, slots


# --- the secret side, without a gate --------------------------------------------------------------


def secret_counts(
    plan: Any,
    contract: Contract,
    tables: dict[str, pa.Table],
    folder: Path,
    seed: str,
    rows_of: Callable[..., Any] = funnel_rows.rows,
    compute: Callable[..., Any] = funnel.compute,
) -> np.ndarray:
    """Exact outputs [outputs] by files, the catalog, padding, the join and the chain; opened for the test.

    ``rows_of`` and ``compute`` are those of the plan's computation.
    """
    datasets = {}
    for name, table in tables.items():
        path = folder / f"{name}.parquet"
        pq.write_table(table, path)
        columns = [
            {"name": c.name, "column": c.name, "kind": c.kind}
            for c in contract.dataset(name).columns  # type: ignore[union-attr]
        ]
        datasets[name] = parse_dataset(
            {
                "name": name, "source": {"path": path}, "columns": columns,
                "ids": [{"column": "id", "type": "household"}], "classification": "personal",
                "description": "x", "legal_basis": "consent", "evidence": "x",
            }
        )  # fmt: skip
    rows = {}
    for party in plan.providers:
        parts = rows_of(plan, contract, party, datasets, read_rows)
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
        return open_ring(s, compute(s, people, plan), "cells").view(np.int64)

    return np.asarray(plan.release.sums.apply(on_stage(protocol, seed=seed)[0]))
