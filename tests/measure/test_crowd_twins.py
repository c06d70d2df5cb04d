"""Overlap and reach on shares equal their plain twins, on random questions over random tables."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_crowds import overlaps, reaches, secret_outputs
from random_funnels import contract_of, tables_of

from hanse.contracts import Contract
from hanse.errors import Refusal
from hanse.menu import entry
from hanse.rehearsal import Federation

_RANDOM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
_SLOTS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


def _compare(name: str, asked: dict[str, Any], tables: dict[str, pa.Table], folder: Path) -> Any:
    contract = contract_of(_SLOTS)
    plan = entry(name).plan(asked, contract, 1.0, True)
    plain = {table: t.filter(pc.is_valid(t["id"])) for table, t in tables.items()}
    expected = entry(name).twin(plan, plain, contract)
    got = secret_outputs(name, plan, contract, tables, folder, str(asked))
    assert got.tolist() == expected.tolist()
    return plan, got


@settings(_RANDOM, max_examples=30)
@given(overlaps(), st.integers(0, 10**6))
def test_secret_overlap_equals_its_twin(folder: Path, asked: dict[str, Any], seed: int) -> None:
    _compare("overlap", asked, tables_of(seed), folder)


@settings(_RANDOM, max_examples=30)
@given(reaches(), st.integers(0, 10**6))
def test_secret_reach_equals_its_twin(folder: Path, asked: dict[str, Any], seed: int) -> None:
    _compare("reach", asked, tables_of(seed), folder)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(_RANDOM, max_examples=600)
@given(st.one_of(overlaps(), reaches()), st.integers(0, 10**6))
def test_both_equal_their_twins_at_length(folder: Path, asked: dict[str, Any], seed: int) -> None:
    _compare("reach" if "exposures" in asked else "overlap", asked, tables_of(seed), folder)


@pytest.mark.parametrize("most", [1, 3, 4, 7, 10])
def test_a_count_that_is_full_falls_into_the_last_cell(folder: Path, most: int) -> None:
    """p1 has 40 scans and p2 many of both: no count in a row can hold them, the frequency is still right."""
    tables = tables_of(3)
    at = tables["scans"]["at"][0].as_py().replace(year=2026, month=1, day=2)
    times = {
        "scans": {"p1": 40, "p2": 33, "p3": most},
        "visits": {"p2": 34, "p3": 1, "p4": most - 1},
    }
    for name, people in times.items():
        ids = [person for person, count in people.items() for _ in range(count)]
        tables[name] = pa.table({"id": pa.array(ids, pa.string()), "at": [at] * len(ids)})
    asked = {
        "exposures": [{"dataset": "scans"}, {"dataset": "visits"}],
        "starts": "2026-01-01",
        "ends": "2026-02-01",
        "most_frequency": most,
    }
    plan, got = _compare("reach", asked, tables, folder)
    last = [i for i, o in enumerate(plan.outputs) if (o.kind, o.times) == ("frequency", most)]
    assert got[last].tolist() == [3]  # p1, p2 and p3; p4 stays one below


def test_no_person_moves_a_block_further_than_declared(folder: Path) -> None:
    """All cells of a block together count everybody at most once, whatever rows there are."""
    asked = {
        "exposures": [{"dataset": "scans"}, {"dataset": "visits"}, {"dataset": "baskets"}],
        "starts": "2026-01-01",
        "ends": "2026-02-01",
        "by": {"dataset": "people", "column": "age"},
    }
    contract = contract_of(_SLOTS)
    plan = entry("reach").plan(asked, contract, 1.0, True)
    tables = tables_of(11)
    got = secret_outputs("reach", plan, contract, tables, folder, "once")
    people = {
        i for name in ("scans", "visits", "baskets") for i in tables[name]["id"].to_pylist() if i
    }
    by_output = dict(zip(plan.outputs, got.tolist(), strict=True))
    frequencies = sum(
        n for o, n in by_output.items() if (o.kind, o.segment) == ("frequency", "all")
    )
    first = sum(n for o, n in by_output.items() if o.kind == "added")
    assert frequencies == first <= len(people)
    assert all(block.sensitivity == 2 for block in plan.release.blocks)
    assert np.isclose(sum(block.share for block in plan.release.blocks), 1.0)


def _qualified() -> Contract:
    """The contract, with large baskets as a qualification."""
    large = {"name": "large", "version": 1, "dataset": "baskets", "title": "Large",
             "where": [{"column": "amount", "at_least": 40}]}  # fmt: skip
    return Contract.from_fields({**contract_of(_SLOTS).fields(), "qualifications": [large]})


def test_qualified_contacts_are_those_that_meet_the_contracts_conditions(folder: Path) -> None:
    period = {"starts": "2026-01-01", "ends": "2026-02-01"}
    where = [{"column": "amount", "at_least": 40}]
    tables = tables_of(5)
    found = []
    for exposure in ({"qualified": "large"}, {"where": where}, {}):
        asked = {"exposures": [{"dataset": "baskets", **exposure}], **period}
        plan = entry("reach").plan(asked, _qualified(), 1.0, True)
        found.append(secret_outputs("reach", plan, _qualified(), tables, folder, "large").tolist())
    assert found[0] == found[1] != found[2]


def test_a_qualification_and_its_own_conditions_are_the_same_events() -> None:
    asked = {
        "exposures": [
            {"name": "large", "dataset": "baskets", "qualified": "large"},
            {"dataset": "baskets", "where": [{"column": "amount", "at_least": 40}]},
        ],
        "starts": "2026-01-01", "ends": "2026-02-01",
    }  # fmt: skip
    with pytest.raises(Refusal) as refusal:
        entry("reach").plan(asked, _qualified(), 1.0, True)
    assert refusal.value.code == "question.twice"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"exposures": [{"dataset": "scans"}, {"dataset": "scans"}]}, "question.malformed"),
        (
            {"exposures": [{"dataset": "scans"}, {"name": "x", "dataset": "scans"}]},
            "question.malformed",
        ),
        ({"exposures": [{"dataset": "scans", "at_least": 2}]}, "question.malformed"),
        ({"exposures": [{"dataset": "nothing"}]}, "contract.dataset"),
        ({"most_frequency": 31}, "question.malformed"),
        ({"universe": {"none_of": [{"dataset": "scans"}]}}, "question.crowd"),
        ({"ends": "2025-01-01"}, "question.malformed"),
        ({"by": {"dataset": "people", "column": "income"}}, "contract.column"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(change: dict[str, Any], code: str) -> None:
    asked = {"exposures": [{"dataset": "scans"}], "starts": "2026-01-01", "ends": "2026-02-01"}
    with pytest.raises(Refusal) as refusal:
        entry("reach").plan({**asked, **change}, contract_of(_SLOTS), 1.0, True)
    assert refusal.value.code == code
    assert refusal.value.remedy


def test_no_note_says_that_events_were_cut_where_none_was_needed() -> None:
    """Of a crowd one event is kept, of a count as many as count: what is beyond them bends no figure."""
    people = [f"p{i % 60}" for i in range(600)]
    with Federation(k=20, seed="notes", join_epsilon=1.0) as fed:
        fed.dataset(
            "seen", "media", {"id": people, "at": [datetime(2026, 1, 2)] * 600}, id="id", time="at"
        )
        period = {"starts": "2026-01-01", "ends": "2026-02-01"}
        answer = fed.reach(exposures=[{"dataset": "seen"}], **period, most_frequency=3)
        crowds = fed.overlap(crowds=[{"name": "seen", "dataset": "seen"}], **period)
    assert answer.notes == crowds.notes == ()
    assert "more events than slots" not in answer.explain()
    assert answer.result.row("frequency", 3).people is not None
