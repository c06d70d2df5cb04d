"""Three owners of counters: they learn one rhythm together on shares, and each tells its own places."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from crowd_federation import NAMES, CrowdFederation, feeds

from hanse.node.crowd_days.result import product_of
from hanse.places.city import Wish
from hanse.places.crowd.federation import Federation, gather
from hanse.places.daily import run
from hanse.places.daily.reading import calendar_of, ground_of


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CrowdFederation]:
    made = CrowdFederation.found(
        tmp_path_factory.mktemp("owners"), Wish(places=60, people=0, days=300, seed=3)
    )
    made.share_out()
    try:
        made.start()
        yield made
    finally:
        made.stop()


def in_one_place(nodes: CrowdFederation, contract: str, ends: date) -> list[run.Figures]:
    """The same with sums in the clear, in the fixed-point numbers of the secure sums."""
    terms = nodes["counters"].running.office.bundle(contract).contract
    clause = terms.crowds[0]
    calendar = calendar_of(clause, ends)
    held = feeds(nodes.made)["counted"]

    def owner(number: int) -> Any:
        scene = run.Scene(
            clause,
            terms.truths[number],
            ground_of(nodes.made.places),
            calendar,
            clause.history_days,
        )
        known = run.known(scene, held.where(held.place % 3 == number))

        def live(federation: Federation) -> run.Figures:
            state, _ = run.train(federation, scene, known, None, None)
            days = range(scene.ends, scene.ends + 3)
            return run.tell(
                federation, scene, known, None, json.loads(json.dumps(state)), days
            ).figures

        return live

    return gather([owner(n) for n in range(3)])


def test_three_owners_tell_what_one_place_would(nodes: CrowdFederation) -> None:
    contract, ends = nodes.joint_contract(), nodes.day(12)
    trained = nodes.train(contract, ends)
    assert trained.result is not None
    assert trained.result["places"] < 25, "each trains on its own third"
    told = nodes.tell(contract, ends, asking="maps")
    assert told.result is not None
    found = nodes["maps"].running.office.bundle(contract).contract
    name = product_of(found, found.crowds[0])
    by_place = {
        c.figure.place: c.figure
        for c in nodes["maps"].running.office.store.publications.day(name, ends)
    }
    plain = in_one_place(nodes, contract, ends)
    places, compared = nodes.made.places.ids, 0
    for number, figures in enumerate(plain):
        for row in range(number, len(places), 3):
            if figures.reason[row, 0] in (run.PUBLISHED, run.UNSURE):
                value = by_place[places[row]].value
                if figures.reason[row, 0] == run.PUBLISHED:
                    assert value == pytest.approx(figures.point[row, 0], rel=1e-3, abs=0.2)
                    compared += 1
                else:
                    assert value is None
    assert compared > 30
    products = {n: nodes[n].running.office.store.publications.products() for n in NAMES}
    assert products["operator"] == [], "an owner that is no recipient gets its own figures only"
    assert [p.name for p in products["counters"]] == [name]
    for member in nodes.members.values():
        steps = {o["step"]: o["to"] for o in member.entries("disclosure")[-1]["openings"]}
        assert set(steps) == {"changes", "figures", "sums"}
        assert steps["sums"] == sorted(NAMES)
