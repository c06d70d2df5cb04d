"""What may be asked, what it amounts to, and that one person moves no more than the noise hides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import town

from hanse.contracts import Library
from hanse.errors import Refusal
from hanse.places.concentration import protocol as concentration
from hanse.places.concentration.areas import place_list
from hanse.places.concentration.questions import ConcentrationQuestion
from hanse.places.concentration.twin import twin
from hanse.rehearsal import Federation

VISITED = {"name": "visited", "dataset": "visits", "column": "place", "slots": 3}
HOME = {"name": "home", "dataset": "homes", "column": "home"}
PETS = {"cats": town.crowd("pet", "cat"), "dogs": town.crowd("pet", "dog")}


@pytest.fixture(scope="module")
def fed() -> Federation:
    return town.federation()


def code_of(fed: Federation, **more: Any) -> str:
    with pytest.raises(Refusal) as caught:
        town.plan(fed, **more)
    assert caught.value.remedy
    return caught.value.code


# --- refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [["p0003"], ["p0004"], ["p0000", "p0008"]])
def test_sensitive_places_cannot_be_named(fed: Federation, named: list[str]) -> None:
    """Clinics are built in, stations are what this contract adds."""
    assert code_of(fed, places=named) == "places.sensitive"


@pytest.mark.parametrize("kind", ["clinic", "station", "Clinics"])
def test_sensitive_types_cannot_be_named(fed: Federation, kind: str) -> None:
    assert code_of(fed, types=["mall", kind]) == "places.sensitive"


def test_a_sensitive_place_cannot_be_a_site(fed: Federation) -> None:
    assert code_of(fed, compare=["p0000", "p0003"]) == "places.unknown"
    assert code_of(fed, sites={"target": "drivers", "prices": {"p0003": 5}}) == "places.unknown"


def test_a_whole_list_leaves_sensitive_places_out_and_says_how_many(fed: Federation) -> None:
    listed = town.plan(fed).whereabouts[0].places
    kinds = {listed.gazetteer.types[i] for i in listed.chosen.tolist()}
    assert kinds == {"mall", "office", "market"}
    assert listed.left_out == 4
    assert len(listed) == 6


def test_nothing_left_to_ask_about_is_a_refusal(fed: Federation) -> None:
    gazetteer = fed._lists.library().gazetteer(fed.contract, "town")
    with pytest.raises(Refusal) as caught:
        place_list(gazetteer, tuple(town.TYPES), None, None, "here")
    assert caught.value.code == "places.none"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"places": ["nowhere"]}, "places.unknown"),
        ({"types": ["castle"]}, "places.unknown"),
        ({"at": [{**HOME, "dataset": "nobody"}]}, "contract.dataset"),
        ({"at": [{**HOME, "column": "nothing"}]}, "contract.column"),
        ({"at": [{**HOME, "dataset": "labels", "column": "car"}]}, "contract.purpose"),
        ({"at": [{**HOME, "slots": 2}]}, "contract.time"),
        ({"at": [{**VISITED, "where": [{"column": "mode", "equals": "boat"}]}]}, "contract.value"),
        ({"targets": {"all": {"none_of": [town.crowd("car", "no")]}}}, "question.crowd"),
        ({"starts": "2026-04-01"}, "question.malformed"),
        ({"at": [HOME, HOME]}, "question.malformed"),
        ({"levels": ["place", "place"]}, "question.malformed"),
        ({"shares": {"city": 1}}, "question.malformed"),
        ({"places": ["p0000"], "types": ["mall"]}, "question.malformed"),
        ({"places": []}, "question.malformed"),
        ({"targets": {"base": town.crowd("car", "yes")}}, "question.malformed"),
        ({"levels": ["city"], "compare": ["p0000"]}, "question.malformed"),
        ({"population": {"level": "district", "people": {"d1": 5}}}, "question.malformed"),
        ({"sites": {"target": "cats"}}, "question.malformed"),
        ({"sites": {"target": "drivers", "money": 5}}, "question.malformed"),
        ({"sites": {"target": "drivers", "at": "work"}}, "question.malformed"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(fed: Federation, more: dict[str, Any], code: str) -> None:
    assert code_of(fed, **more) == code


def test_a_party_without_the_list_refuses(fed: Federation) -> None:
    asked = ConcentrationQuestion.read(town.question())
    with pytest.raises(Refusal) as caught:
        concentration.plan(asked, fed.contract, Library(), epsilon=1.0)
    assert caught.value.code == "gazetteer.missing"


# --- what a question amounts to -----------------------------------------------------------------------


def test_the_price_is_shared_out(fed: Federation) -> None:
    levels = ["place", "district"]
    release = town.plan(fed, levels=levels, at=[HOME, VISITED]).release
    assert [round(b.share, 4) for b in release.blocks] == [0.05, *[0.2375] * 4]
    given = town.plan(fed, levels=levels, shares={"place": 0.6, "district": 0.3}).release
    assert [round(b.share, 4) for b in given.blocks] == [0.05, 0.6333, 0.3167]


@pytest.mark.parametrize("targets", [1, 2, 3, 4, 5])
def test_few_targets_are_counted_by_sets_and_many_one_by_one(fed: Federation, targets: int) -> None:
    named = {f"t{i}": town.crowd("pet", "cat") for i in range(targets)}
    p = town.plan(fed, targets=named)
    assert p.apart == (targets <= 3)
    assert p.columns == (2**targets if p.apart else targets + 1)
    times = 1 if p.apart else targets + 1
    assert [b.sensitivity for b in p.release.blocks] == [2 * times, 2 * times]
    assert p.release.outputs == (targets + 1) * (1 + 6)


def test_people_known_to_a_place_only_are_dropped(fed: Federation) -> None:
    p = town.plan(fed)
    assert p.providers == ("insurer", "operator")
    assert [p.keep(mask) for mask in (1, 2, 3)] == [True, False, True]


def test_a_provider_of_places_sends_ids_and_nothing_else(fed: Federation) -> None:
    p = town.plan(fed)
    assert p.layouts["operator"].width == 1
    assert not p.layouts["operator"].fields


# --- sensitivity ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "targets", [PETS, {**PETS, **{f"t{i}": town.crowd("car", "yes") for i in range(3)}}]
)
def test_one_person_moves_no_block_by_more_than_it_says(targets: dict[str, Any]) -> None:
    """A person's rows at all providers change or vanish: a block's cells move by its sensitivity at most."""
    small = town.federation(people=60, number=10, seed=5)
    more = {
        "targets": targets,
        "at": [HOME, VISITED],
        "levels": ["place", "h3", "district", "city"],
    }
    p = town.plan(small, **more)
    cells = _cells(p, small, {})
    random = np.random.default_rng(2)
    largest = np.zeros(len(p.release.blocks))
    for _ in range(10):
        person, model = random.integers(0, 60, 2)
        rows_of = f"i{model}" if random.random() < 0.8 else None
        moved = np.abs(_cells(p, small, {f"i{person}": rows_of}) - cells)
        parts = np.split(moved, np.cumsum([b.cells for b in p.release.blocks])[:-1])
        largest = np.maximum(largest, [part.sum() for part in parts])
    allowed = np.array([b.sensitivity for b in p.release.blocks])
    assert (largest <= allowed).all(), (largest, allowed)
    assert largest.any()


def _cells(p: Any, fed: Federation, changed: dict[str, str | None]) -> np.ndarray:
    """Cells from the twin's counts of base and targets (as if every set were one target), with a person's rows
    replaced by a copy of somebody else's, or left out."""
    tables = {}
    for name, table in town.tables(60, 10, 5).items():
        rows = table.to_pylist()
        for person, model in changed.items():
            copies = [{**r, "id": person} for r in rows if r["id"] == model]
            rows = [r for r in rows if r["id"] != person] + copies
        tables[name] = type(table).from_pylist(rows, schema=table.schema)
    outputs = twin(p, tables, fed.contract)
    if not p.apart:
        return outputs
    # Base and two targets from sets of targets: here no person is of both, so the sets follow.
    kinds = outputs.reshape(-1, 3)
    return np.stack(
        [kinds[:, 0] - kinds[:, 1] - kinds[:, 2], kinds[:, 1], kinds[:, 2], 0 * kinds[:, 0]], 1
    ).reshape(-1)
