"""The portrait on shares equals its twin, on random questions; and nobody moves more than a block says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_funnels import DAYS, EVENTS, STARTS, contract_of, secret_counts, tables_of

from hanse.align.join import JoinPolicy, Upload, align
from hanse.align.layout import Part, merged
from hanse.align.upload import padded
from hanse.engine.reveal import open_ring
from hanse.engine.session import Session
from hanse.engine.shares import Words
from hanse.engine.stage import on_stage
from hanse.entropy import SeededEntropy
from hanse.gate.record import Record
from hanse.measure.portrait import protocol as portrait
from hanse.measure.portrait.protocol import PortraitQuestion
from hanse.measure.portrait.twin import twin

_RANDOM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _leaf(dataset: str, at_least: int, kind: list[str]) -> dict[str, Any]:
    where = [{"column": "kind", "one_of": kind}] if dataset == "exposures" and kind else []
    return {"dataset": dataset, "at_least": at_least, "where": where}


_leaves = st.one_of(
    st.builds(
        _leaf, st.sampled_from(list(EVENTS)), st.sampled_from([1, 1, 1, 2]),
        st.sampled_from([[], [], ["tv"], ["tv", "web"]]),
    ),
    st.just({"dataset": "people"}),
)  # fmt: skip
_crowds = st.one_of(
    _leaves,
    st.lists(_leaves, min_size=2, max_size=3).map(lambda parts: {"any_of": parts}),
    st.lists(_leaves, min_size=2, max_size=3).map(lambda parts: {"all_of": parts}),
    st.tuples(_leaves, _leaves).map(lambda p: {"all_of": [p[0], {"none_of": [p[1]]}]}),
)
_LABELS: list[dict[str, Any]] = [
    {"dataset": "people", "column": "age"},
    {"dataset": "people", "column": "age", "merge": {"x": ["c", "a"], "y": ["b"]}},
    {"dataset": "people", "column": "age", "merge": {"only b": ["b"]}},
    {"dataset": "people", "column": "age", "several": True},
    {"dataset": "people", "column": "kids"},
    {"dataset": "exposures", "column": "kind"},
    {"dataset": "exposures", "column": "kind", "several": True},
    {"dataset": "exposures", "column": "kind", "merge": {"any": ["tv", "web"]}, "several": True},
]


@st.composite
def questions(draw: Callable[..., Any]) -> dict[str, Any]:
    """Any crowd; no base, another crowd, or one that holds the crowd; labels of both kinds; cross tables."""
    crowd = draw(_crowds)
    base = draw(st.sampled_from(["none", "other", "around"]))
    chosen = draw(
        st.lists(st.sampled_from(range(len(_LABELS))), min_size=1, max_size=4, unique=True)
    )
    labels = [{"name": f"label {n}", **_LABELS[n]} for n in chosen]
    pairs = [
        [a["name"], b["name"]]
        for a in labels for b in labels if a is not b and not a.get("several")
    ]  # fmt: skip
    found: dict[str, Any] = {
        "crowd": crowd,
        "labels": labels,
        "cross": draw(st.lists(st.sampled_from(pairs), max_size=2, unique_by=str)) if pairs else [],
        "starts": STARTS.isoformat(),
        "ends": (STARTS + timedelta(days=draw(st.sampled_from([10, DAYS])))).isoformat(),
    }
    if base == "other":
        found["base"] = draw(_crowds.filter(lambda other: other != crowd))
    if base == "around":
        found["base"] = {"any_of": [draw(_leaves), crowd]}
    return found


def _compare(parameters: dict[str, Any], seed: int, folder: Path) -> None:
    contract = contract_of(3)
    tables = tables_of(seed)
    plan = portrait.plan(PortraitQuestion.read(parameters), contract, epsilon=1.0)
    if parameters.get("base", {}).get("any_of", [None])[-1] == parameters["crowd"]:
        assert plan.against == "around"
    plain = {name: table.filter(pc.is_valid(table["id"])) for name, table in tables.items()}
    expected = twin(plan, plain, contract)
    found = secret_counts(
        plan, contract, tables, folder, str(seed), portrait.rows, portrait.compute
    )
    assert dict(zip(plan.figures, found.tolist(), strict=True)) == dict(
        zip(plan.figures, expected.tolist(), strict=True)
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


@settings(_RANDOM, max_examples=40)
@given(questions(), st.integers(0, 10**6))
def test_secret_portrait_equals_its_twin(
    folder: Path, parameters: dict[str, Any], seed: int
) -> None:
    _compare(parameters, seed, folder)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(_RANDOM, max_examples=1000)
@given(questions(), st.integers(0, 10**6))
def test_secret_portrait_equals_its_twin_at_length(
    folder: Path, parameters: dict[str, Any], seed: int
) -> None:
    _compare(parameters, seed, folder)


# --- what a provider can send ---------------------------------------------------------------------

_QUESTION: dict[str, Any] = {
    "crowd": {"dataset": "visits"},
    "labels": [
        {"name": "age", "dataset": "people", "column": "age", "merge": {"x": ["a"], "y": ["b"]}},
        {"name": "kids", "dataset": "people", "column": "kids"},
        {"name": "kinds", "dataset": "exposures", "column": "kind", "several": True},
    ],
    "cross": [["age", "kinds"], ["kids", "age"]],
    "starts": "2026-01-01",
    "ends": "2026-02-01",
}
_BASES: list[dict[str, Any]] = [
    {},
    {"base": {"dataset": "scans"}},
    {"base": {"any_of": [{"dataset": "scans"}, {"dataset": "visits"}]}},
]


def _cells(plan: portrait.PortraitPlan, values: dict[int, dict[str, int]], seed: str) -> np.ndarray:
    """Cells [cells] of people whose fields hold just these values, whatever their meaning."""
    ids = np.array(sorted(values), np.uint64)
    rows = {}
    for party in plan.providers:
        names = [f.name for f in plan.fields if f.provider == party]
        fields = {n: np.array([values[int(i)][n] for i in ids], np.uint64) for n in names}
        own, columns = merged([Part(ids, fields)], plan.layouts[party])
        rows[party] = padded(own, columns, ids.size, plan.layouts[party], SeededEntropy(seed))

    def protocol(s: Session) -> np.ndarray:
        def receive(party: str) -> Words:
            value = rows[party] if s.seat == 0 else None
            return Words(*s.input_from(0, f"in.{party}", value, rows[party].shape, xor=True))

        uploads = [Upload(p, plan.layouts[p], partial(receive, p)) for p in plan.providers]
        people = align(s, Record(), uploads, JoinPolicy(2.0, 1e-3), plan.keep)
        return open_ring(s, portrait.compute(s, people, plan), "cells").view(np.int64)

    return np.asarray(on_stage(protocol, seed=seed)[0])


@settings(_RANDOM, max_examples=15)
@given(st.sampled_from(_BASES), st.integers(0, 10**6))
def test_nobody_moves_more_than_the_block_says(base: dict[str, Any], seed: int) -> None:
    """One person's fields, at all providers, take any values that their bits can hold, unlisted codes too."""
    plan = portrait.plan(PortraitQuestion.read({**_QUESTION, **base}), contract_of(3), epsilon=1.0)
    rng = np.random.default_rng(seed)

    def anything() -> dict[str, int]:
        return {f.name: int(rng.integers(0, 1 << f.bits)) for f in plan.fields}

    people = {i: anything() for i in range(1, 9)}
    before = _cells(plan, people, str(seed))
    after = _cells(plan, {**people, 3: anything()}, f"{seed} again")
    start = 0
    for block in plan.release.blocks:
        moved = np.abs(after - before)[start : start + block.cells].sum()
        assert moved <= block.sensitivity
        start += block.cells
    assert before.sum() > 0


def test_the_bounds_are_reached() -> None:
    """Sensitivities are not larger than need be: somebody who leaves one arm for the other moves so much."""
    plan = portrait.plan(
        PortraitQuestion.read({**_QUESTION, **_BASES[2]}), contract_of(3), epsilon=1.0
    )
    leaves = {f.source.dataset: f.name for f in plan.crowd.fields()}
    everything = {f.name: 1 for f in plan.fields}
    before = _cells(plan, {1: everything}, "in the crowd")
    after = _cells(plan, {1: {**everything, leaves["visits"]: 0}}, "not in the crowd")
    start = 0
    moved = []
    for block in plan.release.blocks:
        moved.append(int(np.abs(after - before)[start : start + block.cells].sum()))
        start += block.cells
    # Cross tables are within the crowd: who leaves it is in no cell.
    assert moved == [2, 2, 6, 3, 1]
    assert [b.sensitivity for b in plan.release.blocks] == [2, 2, 6, 6, 2]
