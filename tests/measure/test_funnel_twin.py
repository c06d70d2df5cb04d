"""The funnel on shares equals its DuckDB twin, on hundreds of random questions over random tables."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_funnels import contract_of, questions, secret_counts, tables_of

from hanse.measure import FunnelQuestion
from hanse.measure.funnel import protocol as funnel
from hanse.measure.funnel.twin import twin

_RANDOM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


def _compare(asked: tuple[dict, int], seed: int, folder: Path) -> None:
    parameters, slots = asked
    contract = contract_of(slots)
    tables = tables_of(seed)
    plan = funnel.plan(FunnelQuestion.read(parameters), contract, epsilon=1.0)
    plain = {name: table.filter(pc.is_valid(table["id"])) for name, table in tables.items()}
    expected = twin(plan, plain, contract)
    assert secret_counts(plan, contract, tables, folder, str(seed)).tolist() == expected.tolist()


@settings(_RANDOM, max_examples=100)
@given(questions(), st.integers(0, 10**6))
def test_secret_funnel_equals_its_twin(folder: Path, asked: tuple[dict, int], seed: int) -> None:
    _compare(asked, seed, folder)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(_RANDOM, max_examples=2000)
@given(questions(), st.integers(0, 10**6))
def test_secret_funnel_equals_its_twin_at_length(
    folder: Path, asked: tuple[dict, int], seed: int
) -> None:
    _compare(asked, seed, folder)
