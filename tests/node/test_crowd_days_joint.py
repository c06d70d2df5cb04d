"""Three owners of counters learn one rhythm together on shares, alone or with holders of signals and tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from typing import Any

import numpy as np
import pytest
from crowd_federation import NAMES, CrowdFederation, feeds

from hanse.node.crowd_days.home import CrowdDesk
from hanse.node.crowd_days.result import product_of
from hanse.node.faces import crowd_days, facade
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
    with made.run():
        yield made


def in_one_place(
    nodes: CrowdFederation, contract: str, ends: date, received: Any = ((None, None),) * 3
) -> list[tuple[run.Figures, run.Figures]]:
    """The same with sums in the clear, in the fixed-point numbers of the secure sums; and without today's signals.

    ``received`` is what each owner read of signals, training and telling.
    """
    terms = next(iter(nodes.members.values())).running.office.bundle(contract).contract
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

        def live(federation: Federation) -> tuple[run.Figures, run.Figures]:
            training, telling = received[number]
            state, _ = run.train(federation, scene, known, training, None)
            kept, days = json.loads(json.dumps(state)), range(scene.ends, scene.ends + 3)
            one, other = (
                run.tell(federation, scene, known, signal, kept, days) for signal in (telling, None)
            )
            return one.figures, other.figures

        return live

    return gather([owner(n) for n in range(3)])


def told_at(nodes: CrowdFederation, name: str, contract: str, ends: date) -> dict[str, Any]:
    """Figures of the day by place, as a recipient published them."""
    office = nodes[name].running.office
    found = office.bundle(contract).contract
    product = product_of(found, found.crowds[0])
    return {c.figure.place: c.figure for c in office.store.publications.day(product, ends)}


def within(nodes: CrowdFederation, by_place: dict[str, Any], ends: date) -> float:
    """P30 of what was published."""
    made = nodes.made
    at = int(np.searchsorted(made.days.dates, np.datetime64(ends)))
    true = dict(
        zip(made.places.ids, np.where(made.is_open, made.truth, 0.0)[:, at].tolist(), strict=True)
    )
    shown = [(f.value, true[p]) for p, f in by_place.items() if f.value is not None and true[p] > 0]
    return float(np.mean([abs(v - t) <= 0.3 * t for v, t in shown]))


def test_three_owners_tell_what_one_place_would(nodes: CrowdFederation) -> None:
    contract, ends = nodes.joint_contract(), nodes.day(12)
    trained = nodes.train(contract, ends)
    assert trained.result is not None
    assert trained.result["places"] < 25, "each trains on its own third"
    told = nodes.tell(contract, ends, asking="maps")
    assert told.result is not None
    by_place = told_at(nodes, "maps", contract, ends)
    plain = in_one_place(nodes, contract, ends)
    places, compared = nodes.made.places.ids, 0
    for number, (figures, _) in enumerate(plain):
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
    assert [p.name for p in products["counters"]] == ["crowd-crowds-2-shops"]
    for member in nodes.members.values():
        steps = {o["step"]: o["to"] for o in member.entries("disclosure")[-1]["openings"]}
        assert set(steps) == {"changes", "figures", "sums"}
        assert steps["sums"] == sorted(NAMES)


# --- with holders of signals and tables ---------------------------------------------------------------


OWNERS = ("centre", "north", "south")
COLUMNS = {"place": "place", "date": "day", "value": "people", "reported": "told"}
SIGNALS = [
    {"dataset": "app", "lateness": 1, **COLUMNS},
    {"dataset": "mobiles", "lateness": 1, **COLUMNS},
]
TABLES = [
    {"dataset": "app", "place": "place", "date": "day", "reported": "told", "values": ["people"]}
]


@pytest.fixture(scope="module")
def five(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CrowdFederation]:
    """Three owners, who also hold the seats, a map company and an operator: a node each."""
    made = CrowdFederation.found(
        tmp_path_factory.mktemp("five"), Wish(places=90, people=0, days=300, seed=3),
        (*OWNERS, "maps", "operator"), {"app": "maps", "mobiles": "operator"},
    )  # fmt: skip
    made.share_out(OWNERS)
    with made.run():
        yield made


@pytest.fixture(scope="module")
def signalled(five: CrowdFederation) -> tuple[str, dict[str, tuple[Any, Any]]]:
    """(a contract that was trained and told, what each owner read of the signals, training and telling)."""
    contract = five.joint_contract(OWNERS, signals=SIGNALS, recipients=["centre", "maps"])
    seen: dict[str, list[Any]] = {}
    real = CrowdDesk._received

    def spied(self: CrowdDesk, plan: Any, opened: Any) -> Any:
        seen.setdefault(self.party, []).append(real(self, plan, opened))
        return seen[self.party][-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CrowdDesk, "_received", spied)
        five.train(contract, five.day(12), asking="north")
        five.tell(contract, five.day(12), asking="maps")
    return contract, {name: (found[0], found[1]) for name, found in seen.items()}


def test_signals_open_to_three_owners_alike(five: CrowdFederation, signalled: Any) -> None:
    contract, received = signalled
    assert sorted(received) == list(OWNERS), "signals open to owners alone"
    first = received["centre"][0]
    assert len(first.by_day) > 30
    for training, _ in received.values():
        assert training.by_day.keys() == first.by_day.keys()
        assert all(np.array_equal(training.by_day[d], first.by_day[d]) for d in first.by_day)
    assert within(five, told_at(five, "maps", contract, five.day(12)), five.day(12)) > 0.8
    products = {n: m.running.office.store.publications.products() for n, m in five.members.items()}
    assert {n for n, found in products.items() if found} == {"centre", "maps"}
    for name, member in five.members.items():
        steps = {o["step"]: o["to"] for o in member.entries("disclosure")[-1]["openings"]}
        assert steps == {
            "changes": list(OWNERS),
            "figures": ["centre", "maps"],
            "sums": list(OWNERS),
        }, name


def test_with_signals_three_owners_tell_what_one_place_would(
    five: CrowdFederation, signalled: Any
) -> None:
    contract, received = signalled
    both = in_one_place(five, contract, five.day(12), [received[name] for name in OWNERS])
    by_place = told_at(five, "maps", contract, five.day(12))
    compared = 0
    for number, (figures, other) in enumerate(both):
        for row in range(number, len(five.made.places), 3):
            if figures.reason[row, 0] == run.PUBLISHED:
                value = by_place[five.made.places.ids[row]].value
                assert value == pytest.approx(figures.point[row, 0], rel=1e-3, abs=0.2)
                compared += other.point[row, 0] != pytest.approx(value, rel=1e-3, abs=0.2)
    assert compared > 40, "the signals of the holders are in the figures"


@pytest.mark.slow
def test_three_owners_with_tables(five: CrowdFederation) -> None:
    """Places that none of the three counts: their trees are the same at all, and what they tell is one figure."""
    ends, held = five.day(12), feeds(five.made)["counted"]
    for number, name in enumerate(OWNERS):
        five.give(f"mine-{name}", held.where((held.place % 4 == number) & (held.place % 4 < 3)))
    contract = five.joint_contract(
        OWNERS, signals=SIGNALS, tables=TABLES, recipients=["centre", "maps"]
    )
    five.train(contract, ends, asking="south")
    kept = []
    for name in OWNERS:
        office = five[name].running.office
        state = office.models.document(office.models.all()[-1].job)["block"]
        kept.append((state["prior"]["mean"], state["prior"]["spread"], tuple(state["own"])))
    assert kept[0][:2] == kept[1][:2] == kept[2][:2]
    assert len({own for _, _, own in kept}) == 3
    told = five.tell(contract, ends, asking="maps")
    assert told.result is not None
    with facade.office_of(five["maps"].folder) as office:
        rows = crowd_days.figures(office, "shops", ends, contract)
    names = five.made.places.ids
    regimes = {row["place"]: row["regime"] for row in rows}
    assert {regimes[names[n]] for n in range(3, len(names), 4)} == {"never measured"}
    assert sum(regimes[names[n]] == "history" for n in range(len(names)) if n % 4 < 3) > 60
    body = five["operator"].entries("disclosure")[-2]
    assert ("tables", list(OWNERS)) in [(o["step"], o["to"]) for o in body["openings"]]
