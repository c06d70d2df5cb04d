"""Data that is missing, broken, odd or empty when a job comes to read it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from fault_federation import CHARGED, Federation
from fault_people import (
    BUYERS_FROM,
    CAPACITY,
    baskets,
    exposures,
    is_right,
    parameters,
    registration,
)

from hanse.errors import HanseError
from hanse.node.jobs.runner import Question

WITHIN = 5.0


@pytest.fixture(scope="module")
def contract(federation: Federation) -> str:
    return federation.contract()


@pytest.fixture
def asked(linked: Federation, contract: str, request: pytest.FixtureRequest) -> Iterator[Question]:
    """A question of the test's own; the data is mended afterwards, and then the question has its answer."""
    question = linked.question(contract, parameters=parameters(request.node.name[-60:]))
    yield question
    linked.source("baskets").unlink(missing_ok=True)
    linked.give("baskets", baskets())
    linked.give("exposures", exposures())
    linked.register("baskets")
    assert is_right(linked.people(question))


def broken(federation: Federation, question: Question, code: str, *, begun: bool) -> HanseError:
    """The job's error at dune, told everywhere; ``begun`` says whether it came after the admission."""
    error, job = federation.fails(question, within=WITHIN)
    assert error.code == code, str(error)
    assert "dune" in f"{error.message} {error.where}"
    assert error.remedy
    assert bool(job) == begun
    if job:
        federation.check_story(error, job, code, "dune")
        assert len(federation.stories(job)) == 5
        assert all(federation[name].budget_of(job) == "released" for name in CHARGED)
    return error


# --- refused before anything is reserved -------------------------------------------------------------


def test_a_dataset_that_is_not_registered(linked: Federation, asked: Question) -> None:
    with linked["dune"].office() as office:
        office.store.datasets.remove("baskets")
    broken(linked, asked, "dataset.unregistered", begun=False)


@pytest.mark.parametrize("kind", ["", "integer"])
def test_a_column_that_is_registered_otherwise(
    linked: Federation, asked: Question, kind: str
) -> None:
    document = registration("baskets", linked.source("baskets"))
    amount = document["columns"].pop()
    if kind:
        document["columns"].append(amount | {"kind": kind})
    with linked["dune"].office() as office:
        office.register_dataset(document)
    error = broken(linked, asked, "dataset.column", begun=False)
    assert "'amount'" in error.message


def test_another_id_type_than_the_contract_joins_on(linked: Federation, asked: Question) -> None:
    document = registration("baskets", linked.source("baskets"))
    document["ids"][0]["type"] = "customer"
    with linked["dune"].office() as office:
        office.register_dataset(document)
    broken(linked, asked, "dataset.id-type", begun=False)


def test_a_file_that_is_gone(linked: Federation, asked: Question) -> None:
    linked.source("baskets").unlink()
    broken(linked, asked, "catalog.missing-file", begun=False)


# --- found while reading ------------------------------------------------------------------------------


def without_times() -> pa.Table:
    return baskets().drop_columns(["at"])


def with_broken_times() -> pa.Table:
    times = pa.array(["2026-03-04"] * 449 + ["soon-4711"], pa.string())
    return baskets().set_column(1, "at", times)


def with_odd_times() -> pa.Table:
    return baskets().set_column(1, "at", pa.array(np.linspace(0, 1, 450)))


def with_numbers_as_ids() -> pa.Table:
    return baskets().set_column(0, "person", pa.array(np.linspace(0, 1, 450)))


CHANGED: dict[str, tuple[Callable[[], pa.Table], str]] = {
    "a column is gone": (without_times, "catalog.missing-column"),
    "a column is of another type": (with_odd_times, "catalog.wrong-type"),
    "ids are of another type": (with_numbers_as_ids, "catalog.wrong-type"),
    "a time is malformed": (with_broken_times, "catalog.malformed"),
    "no rows": (lambda: baskets().slice(0, 0), "catalog.no-rows"),
    "more people than the capacity": (lambda: baskets(people=CAPACITY + 41), "catalog.capacity"),
}


@pytest.mark.parametrize("what", CHANGED)
def test_a_file_that_changed_after_its_registration(
    linked: Federation, asked: Question, what: str
) -> None:
    table, code = CHANGED[what]
    linked.give("baskets", table())
    error = broken(linked, asked, code, begun=True)
    told = str(error.public())
    assert "4711" not in told  # no value crosses the wire,
    assert str(CAPACITY + 41) not in told  # no count of people,
    assert str(linked.root) not in told  # and no path


@pytest.mark.parametrize("content", [b"", b"PAR1 this is no Parquet file"])
def test_an_empty_or_damaged_file(linked: Federation, asked: Question, content: bytes) -> None:
    linked.source("baskets").write_bytes(content)
    code = "catalog.unreadable" if content else "catalog.empty-file"
    broken(linked, asked, code, begun=True)


# --- counted, and the job goes on ---------------------------------------------------------------------


def test_malformed_and_empty_ids_are_counted_and_left_out(
    linked: Federation, asked: Question
) -> None:
    """Ids that were hashed before they came here, some of them cut off, some missing."""
    table = baskets()
    hashed = [hashlib.sha256(person.encode()).hexdigest() for person in table["person"].to_pylist()]
    table = table.set_column(0, "person", pa.array(hashed, pa.string()))
    broken_ids = pa.array([hashed[0][:40], "x" * 64, "0", None, ""], pa.string())
    linked.give(
        "baskets", pa.concat_tables([table, table.slice(0, 5).set_column(0, "person", broken_ids)])
    )
    document = registration("baskets", linked.source("baskets"))
    document["ids"][0]["format"] = "sha256"
    with linked["dune"].office() as office:
        office.register_dataset(document)
    before = linked.known_jobs()
    assert is_right(linked.people(asked))
    (job,) = linked.known_jobs() - before
    with linked["dune"].office() as office:
        lines = [line.message for line in office.store.jobs.lines(job, 1)]
    said = next(line for line in lines if line.startswith("baskets:"))
    assert "455 rows read, 300 people shared, 3 invalid and 2 empty ids" in said


def test_duplicate_rows_are_events_of_one_person(linked: Federation, asked: Question) -> None:
    table = exposures()
    linked.give("exposures", pa.concat_tables([table, table, table.slice(0, 50)]))
    assert is_right(linked.people(asked))


def test_a_text_file_in_the_place_of_parquet(linked: Federation, asked: Question) -> None:
    """The same rows as CSV, where every column is text until it is read as what it is."""
    path = linked.root / "baskets.csv"
    pacsv.write_csv(baskets(), path)
    linked.register("baskets", path)
    assert is_right(linked.people(asked))


# --- nothing to be seen -------------------------------------------------------------------------------


def suppressed(federation: Federation, question: Question) -> list[bool]:
    result = federation.ask(question).result
    assert result is not None
    assert all(row["suppressed"] for row in result["rows"] if row["people"] is None)
    return [row["people"] is None for row in result["rows"]]


def test_an_empty_intersection(linked: Federation, asked: Question) -> None:
    linked.give("baskets", baskets(first=600))
    assert suppressed(linked, asked) == [False, True, True]


def test_every_cell_under_the_threshold(linked: Federation, asked: Question) -> None:
    linked.give("exposures", exposures(BUYERS_FROM + 10).slice(BUYERS_FROM))
    assert suppressed(linked, asked) == [True, True, True]


def test_no_events_in_the_period(linked: Federation, contract: str) -> None:
    nothing = parameters(starts="2025-03-01", ends="2025-04-01")
    assert suppressed(linked, linked.question(contract, parameters=nothing)) == [True, True, True]
