"""Places at nodes: a right answer; a provider that programs wrongly is named before anything is opened or paid."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fault_federation import CHARGED, Federation
from fault_people import CAPACITY, EPSILON, PEOPLE, person, registration

from hanse.align.programs import Placement, placed, send_factors
from hanse.engine.programmed import Factors, factored, orders
from hanse.node.jobs import roles
from hanse.node.jobs.runner import Question

WITHIN = 5.0
TYPES = ("mall", "clinic", "office")
Document = dict[str, Any]


@pytest.fixture(scope="module")
def contract(federation: Federation) -> str:
    """Everybody at every node holds a list of six places; dune knows who lives where."""
    listed = federation.root / "places.parquet"
    pq.write_table(
        pa.table(
            {
                "id": [f"p{n}" for n in range(6)], "name": [f"Place {n}" for n in range(6)],
                "type": [TYPES[n % 3] for n in range(6)], "lat": [1.0 + n for n in range(6)],
                "lon": [2.0] * 6, "district": ["east", "west"] * 3,
            }
        ), listed,
    )  # fmt: skip
    digests = {member.running.office.shelf.add(listed).digest for member in federation.each()}
    homes = federation.root / "homes.parquet"
    numbers = np.arange(40, PEOPLE + 10)
    ids = [person(n) for n in numbers]
    pq.write_table(pa.table({"person": ids, "home": [f"p{n % 6}" for n in numbers]}), homes)
    document = registration("exposures", homes) | {
        "name": "homes", "columns": [{"name": "home", "column": "home", "kind": "place"}]
    }  # fmt: skip
    federation["dune"].running.office.register_dataset(document)
    exposures = federation.terms()["datasets"][0]
    return federation.contract(
        datasets=[
            exposures,
            exposures | {"name": "homes", "provider": "dune", "columns": [
                {"name": "home", "kind": "place", "uses": ["place"], "gazetteer": "town"}]},
        ],
        gazetteers=[{"name": "town", "places": 6, "digest": digests.pop()}],
        computations=[{"name": "concentration", "recipients": ["elm"], "datasets": ["exposures", "homes"]}],
    )  # fmt: skip


@pytest.fixture
def asked(linked: Federation, contract: str, request: pytest.FixtureRequest) -> Question:
    """Who saw something on TV, by home; a target of another name is another question."""
    parameters = {
        "targets": {request.node.name[-60:]: {
            "dataset": "exposures", "where": [{"column": "kind", "equals": "tv"}]}},
        "at": [{"name": "home", "dataset": "homes", "column": "home"}],
        "levels": ["place", "district"], "starts": "2026-03-01", "ends": "2026-04-01",
    }  # fmt: skip
    return linked.question(contract, computation="concentration", parameters=parameters)


def test_the_answer_is_right_and_comes_back_from_the_record(
    linked: Federation, asked: Question
) -> None:
    told = linked.ask(asked).result
    assert told is not None
    place, district = told["areas"]
    assert place["area"] == ["p0", "p2", "p3", "p5"]
    exact = [sum(n % 6 == p for n in range(40, PEOPLE)) for p in (0, 2, 3, 5)]
    assert np.abs(np.array(place["base"]) - exact).max() < 60 / EPSILON
    assert district["area"] == ["east", "west"]
    assert any("2 places of sensitive types" in note for note in told["notes"])
    again = linked.ask(asked)
    assert again.recorded
    assert again.result == told


# --- a provider that programs wrongly -------------------------------------------------------------------


def cheating(
    change: Callable[[list[np.ndarray]], Any], halves: Callable[[list[Factors]], Any]
) -> Callable[..., None]:
    """Stands for `send_programs`: ``change`` alters the orders, ``halves`` the factors made of them."""

    def send(
        channel: Any, seats: Any, party: str, wanted: Iterable[Placement], parts: Any, ids: Any,
        entropy: Any,
    ) -> None:  # fmt: skip
        for placement in wanted:
            made = list(orders(placed(parts, ids, placement), placement.shape(ids.size)))
            change(made)
            factors = [factored(order, entropy) for order in made]
            halves(factors)
            for half, one in zip(("sort", "read"), factors, strict=True):
                send_factors(channel, seats, f"program.{party}.{placement.name}.{half}", one)

    return send


def overlapping(made: list[np.ndarray]) -> None:
    made[1][[0, 1]] = made[1][[1, 0]]


def repeating(factors: list[Factors]) -> None:
    factors[0].last[7] = factors[0].last[8]


def beyond(factors: list[Factors]) -> None:
    factors[1].last[0] = CAPACITY + 4


@pytest.fixture
def cheat(request: pytest.FixtureRequest) -> Iterator[None]:
    change, halves = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(roles, "send_programs", cheating(change, halves))
        yield


def nothing(_: Any) -> None:
    pass


@pytest.mark.parametrize(
    ("cheat", "code"),
    [
        ((overlapping, nothing), "align.places"),
        ((nothing, repeating), "align.program"),
        ((nothing, beyond), "align.program"),
    ],
    indirect=["cheat"],
)
@pytest.mark.usefixtures("cheat")
def test_a_wrong_program_names_its_provider_and_costs_nothing(
    linked: Federation, asked: Question, code: str
) -> None:
    error, job = linked.fails(asked, within=WITHIN)
    linked.check_story(error, job, code, "dune")
    assert {linked[name].budget_of(job) for name in CHARGED} == {"released"}


def test_a_node_without_the_list_says_which_it_lacks(
    linked: Federation, asked: Question, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linked["cedar"].running.office.shelf, "find", lambda _digest: None)
    error, _ = linked.fails(asked)
    assert error.code == "gazetteer.missing"
    assert "cedar" in error.where
    assert "hanse places add" in error.remedy
