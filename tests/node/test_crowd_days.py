"""Crowds told every day between three nodes: trained, told, revised, degraded, refused, and nothing told beyond."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crowd_federation import FEEDS, NAMES, CrowdFederation, clause, feeds

from hanse.cli.main import _status
from hanse.engine.shares import octets
from hanse.errors import HanseError, Refusal
from hanse.node.crowd_days.asking import DayAsker
from hanse.node.crowd_days.result import product_of
from hanse.node.faces import crowd_days
from hanse.node.jobs.runner import Outcome, Question
from hanse.node.products.publications import Publications
from hanse.places.city import Wish
from hanse.places.daily import changes
from hanse.wire import Frame

FIRST = 12  # days before the city's last one


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CrowdFederation]:
    made = CrowdFederation.found(
        tmp_path_factory.mktemp("crowds"), Wish(places=60, people=0, days=300, seed=3)
    )
    with made.run():
        yield made


@pytest.fixture(scope="module")
def trained(nodes: CrowdFederation) -> str:
    """A contract with a model."""
    contract = nodes.contract()
    nodes.train(contract, nodes.day(FIRST))
    return contract


def publications(nodes: CrowdFederation, name: str) -> Publications:
    return nodes[name].running.office.store.publications


def product(nodes: CrowdFederation, contract: str) -> str:
    found = nodes["counters"].running.office.bundle(contract).contract
    return product_of(found, found.crowds[0])


def truth(nodes: CrowdFederation, before_last: int) -> dict[str, float]:
    made = nodes.made
    column = made.truth[:, -1 - before_last]
    return {p: float(v) for p, v, o in zip(made.places.ids, column, made.is_open[:, -1 - before_last], strict=True)
            if o and v > 0}  # fmt: skip


def log_of(nodes: CrowdFederation, name: str, outcome: Outcome) -> str:
    office = nodes[name].running.office
    return "\n".join(line.message for line in office.store.jobs.lines(outcome.job, 1))


def test_two_mornings(nodes: CrowdFederation, trained: str) -> None:
    first, second = nodes.day(FIRST), nodes.day(FIRST - 1)
    one = nodes.tell(trained, first)
    two = nodes.tell(trained, second, asking="maps")
    assert one.result is not None
    assert one.result["published"] > 100
    assert one.result["published"] + one.result["abstained"] == 60 * 3
    assert two.result is not None
    assert two.result["findings"] == [], (
        "what was found in the counters' feed stays with their owner"
    )
    name = product(nodes, trained)
    told = {c.figure.place: c for c in publications(nodes, "maps").day(name, first)}
    true = truth(nodes, FIRST)
    hits = [
        abs(told[p].figure.value - v) <= 0.3 * v
        for p, v in true.items()
        if told[p].figure.value is not None
    ]
    assert np.mean(hits) > 0.8
    for change in told.values():
        figure = change.figure
        assert (figure.value is None) == bool(figure.reason)
        assert figure.value is None or figure.low <= figure.value <= figure.high
    both = [publications(nodes, n).day(name, second) for n in ("counters", "maps")]
    assert [c.figure for c in both[0]] == [c.figure for c in both[1]]
    assert publications(nodes, "operator").products() == []
    # The forecast of the second day is its first version, and still there beside the second.
    place = next(p for p, c in told.items() if c.figure.value is not None)
    versions = publications(nodes, "maps").history(name, place, second)
    assert [v.version for v in versions] == [1, 2]
    assert versions[0].figure != versions[1].figure
    assert publications(nodes, "maps").history(name, place, first)[0] == told[place]


def test_what_opens_is_the_sum_and_the_figures(nodes: CrowdFederation, trained: str) -> None:
    seen: dict[str, Any] = {}
    real = changes.read

    def spied(opened: Any, targets: Any, places: int, holders: Any) -> Any:
        seen.update(
            opened=opened.copy(), targets=targets, received=real(opened, targets, places, holders)
        )
        return seen["received"]

    frames: list[bytes] = []

    def tap(_party: str, frame: Frame) -> Frame:
        if isinstance(frame.body, np.ndarray):
            frames.append(octets(frame.body).tobytes())
        return frame

    day = nodes.day(FIRST - 2)
    for member in nodes.members.values():
        member.running.exchange.tap = tap
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(changes, "read", spied)
        try:
            outcome = nodes.tell(trained, day)
        finally:
            for member in nodes.members.values():
                member.running.exchange.tap = None
    # The sum that opened is what both holders' own numbers give, and neither's numbers are in any frame.
    parts = _at_home(nodes, day, seen["targets"])
    received = seen["received"]
    assert received is not None
    assert len(received.by_day) > 30
    for target, mean in received.by_day.items():
        row = int(np.flatnonzero(seen["targets"] == target)[0])
        wanted = sum(p.values[row] for p in parts.values()) / 2
        assert np.allclose(mean, wanted, atol=1e-6)
    sent = b"".join(frames)
    assert len(sent) > 50_000
    for name, part in parts.items():
        whole = np.rint(part.values * changes.FRACTION).astype(np.int64).view(np.uint64)
        loud = whole[np.abs(part.values).max(axis=1) > 0.05][:5, :8]
        assert loud.size, name
        assert all(row.tobytes() not in sent for row in loud), name
    counted = feeds(nodes.made)["counted"].known(
        day, np.arange(day, day - np.timedelta64(30, "D"), -1)[::-1]
    )
    for row in counted:
        known = row[np.isfinite(row)]
        for shown in (known, np.log(known[known > 0])):
            assert shown.size == 0 or shown.tobytes() not in sent
    for name in NAMES:
        body = next(
            e for e in reversed(nodes[name].entries("disclosure")) if e["job"] == outcome.job
        )
        told = {o["step"]: o["to"] for o in body["openings"]}
        assert told == {"figures": ["counters", "maps"], "changes": ["counters"]}, name


def _at_home(nodes: CrowdFederation, day: Any, targets: Any) -> dict[str, changes.Changes]:
    """What each holder should bring, by the sample city itself."""
    from hanse.contracts.crowds import CrowdClause
    from hanse.places.checks.checks import checked
    from hanse.places.daily.reading import calendar_of

    terms = CrowdClause.model_validate_json(__import__("json").dumps(clause()))
    calendar = calendar_of(terms, day)
    as_of = calendar.days[terms.history_days]
    since = calendar.days[max(0, int(targets[0]) - 120)]
    held = feeds(nodes.made)
    return {
        name: changes.changes_at_home(
            checked(held[name], as_of, since=since, usual_lateness=1)[0], as_of, calendar, targets, 3
        )
        for name in ("app", "mobiles")
    }  # fmt: skip


def test_a_revision_is_a_version(nodes: CrowdFederation, trained: str) -> None:
    day = nodes.day(FIRST - 3)
    nodes.tell(trained, day)
    name = product(nodes, trained)
    before = {c.figure.place: c for c in publications(nodes, "maps").day(name, day)}
    held = feeds(nodes.made)["counted"]
    recent = held.date >= np.datetime64(day) - 20
    nodes.give(
        "counted", replace(held, value=np.where(recent, np.round(held.value * 1.2), held.value))
    )
    try:
        again = nodes.tell(trained, day)
    finally:
        nodes.give("counted", held)
    assert again.result is not None
    assert again.result["changed"] > 50
    place = next(p for p, c in before.items() if c.figure.value is not None)
    versions = publications(nodes, "maps").history(name, place, day)
    assert before[place] in versions
    assert versions[-1].version == before[place].version + 1
    assert versions[-1].figure.value > before[place].figure.value
    with pytest.raises(Refusal, match="never rewritten") as refused:
        nodes.tell(trained, nodes.day(FIRST - 2))
    assert refused.value.code == "crowd.order"


def test_a_holder_whose_feed_is_gone(nodes: CrowdFederation, trained: str) -> None:
    day, source = nodes.day(FIRST - 4), nodes.source("mobiles")
    hidden = source.with_suffix(".away")
    source.rename(hidden)
    try:
        outcome = nodes.tell(trained, day)
    finally:
        hidden.rename(source)
    assert outcome.result is not None
    assert outcome.result["published"] > 100
    assert any("no change: the rhythm alone" in line for line in outcome.result["said"])
    assert "brings nothing to this job" in log_of(nodes, "operator", outcome)
    assert "catalog.missing-file" not in log_of(nodes, "counters", outcome)
    without = nodes.tell(trained, day, without=["operator"])
    assert without.result is not None
    assert without.result["said"] == outcome.result["said"]
    assert without.result["changed"] == 0, "nothing of the holder was in the figures"


def test_a_feed_in_another_unit(nodes: CrowdFederation, trained: str) -> None:
    day = nodes.day(FIRST - 5)
    held = feeds(nodes.made)["app"]
    last = held.date >= np.datetime64(day) - 2
    nodes.give("app", replace(held, value=np.where(last, held.value * 1000, held.value)))
    try:
        outcome = nodes.tell(trained, day)
    finally:
        nodes.give("app", held)
    assert outcome.result is not None
    assert any("the newest change of the last week" in line for line in outcome.result["said"])
    assert "app: unit" in log_of(nodes, "maps", outcome)
    assert "app: unit" not in log_of(nodes, "counters", outcome)
    told = {
        c.figure.place: c.figure
        for c in publications(nodes, "maps").day(product(nodes, trained), day)
    }
    true = truth(nodes, FIRST - 5)
    hits = [abs(told[p].value - v) <= 0.3 * v for p, v in true.items() if told[p].value is not None]
    assert np.mean(hits) > 0.8, "the broken feed was averaged in"


def test_scores_come_from_what_was_told(nodes: CrowdFederation, trained: str) -> None:
    with nodes_office(nodes, "counters") as office:
        board = crowd_days.board(office, "shops", nodes.day(0), trained)
    assert board.scores.whole.days > 250
    assert board.scores.whole.p30_published > 0.8
    assert {"size", "weekday", "category", "area", "day"} <= set(board.scores.dimensions())
    with nodes_office(nodes, "maps") as office:
        with pytest.raises(Refusal, match="cannot judge"):
            crowd_days.board(office, "shops", nodes.day(0), trained)
        rows = crowd_days.figures(office, "shops", nodes.day(FIRST), trained)
        assert len(rows) == 60
        assert next(r for r in crowd_days.listed(office) if r["contract"] == trained)["told"]


def test_pictures_of_what_was_published(
    nodes: CrowdFederation, trained: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    day, place = nodes.day(FIRST - 1).isoformat(), nodes.made.places.ids[3]

    def drawn(at: str, *words: str) -> tuple[Any, str]:
        """(the figures, the picture) of a command at an organisation."""
        picture = tmp_path / "picture.svg"
        more = [
            "--contract",
            trained,
            "--node",
            str(nodes[at].folder),
            "--svg",
            str(picture),
            "--json",
        ]
        assert _status(["crowd-days", *words, *more]) == 0
        return json.loads(capsys.readouterr().out), picture.read_text()

    found, picture = drawn("maps", "map", "shops", "--on", day)
    shown = [row for row in found["places"] if row["value"] is not None]
    assert len(found["places"]) == 60
    assert len(shown) > 30
    assert {row["regime"] for row in shown} <= {"history", "few days", "never measured"}
    assert picture.count("<polygon") == len({row["h3"] for row in found["places"]})
    assert picture.count("<circle") == 60 + 4, "a dot a place, and the legend's"
    found, picture = drawn("counters", "series", "shops", place, "--ends", day)
    assert [row["date"] for row in found["days"]][-1] == nodes.day(FIRST - 3).isoformat()
    assert any(row["truth"] is not None for row in found["days"])
    assert 'class="truth"' in picture
    found, picture = drawn("maps", "series", "shops", place, "--ends", day)
    assert all(row["truth"] is None for row in found["days"]), "only an owner knows what turned out"
    found, picture = drawn("counters", "scoreboard", "shops", "--ends", nodes.day(0).isoformat())
    assert {"regime", "size", "weekday", "category", "area", "day"} <= {
        one["dimension"] for one in found["scores"]
    }
    assert "by regime" in picture
    found, picture = drawn("counters", "contributions", "shops")
    assert [one["party"] for one in found["parties"]] == ["signals of maps, operator"]
    assert 0.7 < found["parties"][0]["without"] <= 1.0
    assert "points" in picture


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["map", "shops", "--on", "2025-01-05"], "crowd.untold"),
        (["series", "shops", "nowhere"], "crowd.place"),
        (["map", "shops", "--on", "yesterday"], "question.malformed"),
    ],
)
def test_pictures_of_nothing(
    nodes: CrowdFederation,
    trained: str,
    words: list[str],
    code: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    more = ["--contract", trained, "--node", str(nodes["maps"].folder)]
    assert _status(["crowd-days", *words, *more]) != 0
    assert f"[{code}]" in capsys.readouterr().err


def nodes_office(nodes: CrowdFederation, name: str) -> Any:
    from hanse.node.faces import facade

    return facade.office_of(nodes[name].folder)


# --- refused ------------------------------------------------------------------------------------------


def test_a_day_without_a_model(nodes: CrowdFederation) -> None:
    contract = nodes.contract()
    with pytest.raises(HanseError) as refused:
        nodes.tell(contract, nodes.day(FIRST))
    assert refused.value.code == "crowd.untrained"


def test_trainings_are_counted_and_the_guard_speaks(nodes: CrowdFederation) -> None:
    contract = nodes.contract(crowds=[clause(maximum_trainings=2)])
    nodes.train(contract, nodes.day(FIRST))
    second = nodes.train(contract, nodes.day(FIRST - 4))
    assert second.result is not None
    assert "P30 of the last 28 known days" in second.result["guard"]
    with pytest.raises(Refusal) as refused:
        nodes.train(contract, nodes.day(FIRST - 5))
    assert refused.value.code == "crowd.trainings"
    kinds = {e["action"] for e in nodes["counters"].entries("model")}
    assert "kept" in kinds
    for name in NAMES:
        office = nodes[name].running.office
        assert office.ledger.verify(nodes[name].identity.card.signing_key).ok, name


@pytest.mark.parametrize(
    ("changes_of", "said"),
    [
        ({"signals": clause()["signals"][:1]}, "a sum over a single holder would tell its numbers"),
        ({"owners": clause()["owners"] * 2}, "each would learn the other's part"),
        ({"recipients": ["nobody"]}, "there is no party 'nobody'"),
        ({"gazetteer": "towns"}, "there is no gazetteer 'towns'"),
        ({"holidays": [{"date": "2025-05-01", "name": "May"}] * 2}, "names a day twice"),
    ],
)
def test_clauses_that_no_contract_may_have(
    nodes: CrowdFederation, changes_of: dict[str, Any], said: str
) -> None:
    with pytest.raises(Refusal) as refused:
        nodes.contract(crowds=[clause(**changes_of)])
    assert said in refused.value.message


def test_people_are_no_places(nodes: CrowdFederation) -> None:
    datasets = nodes.terms()["datasets"]
    datasets[1] |= {"personal": True, "legal_basis": "consent", "evidence": "made up"}
    with pytest.raises(Refusal, match="is about people"):
        nodes.contract(datasets=datasets)


# --- asking -------------------------------------------------------------------------------------------


def test_a_lost_holder_is_left_out_and_a_due_model_trained(
    nodes: CrowdFederation, trained: str
) -> None:
    office, asked = nodes["counters"].running.office, []
    seats = ("counters", "maps", "operator")
    contract = office.bundle(trained).contract

    def ask(question: Question, _watch: Any) -> Outcome:
        asked.append((question.computation, tuple(question.parameters.get("without", ()))))
        if "operator" not in question.parameters.get("without", ()):
            raise HanseError("peer.unreachable", "away", where="operator: its node")
        return Outcome("0" * 64, "done", None)

    question = Question(trained, "crowd-day", {"crowd": "shops", "ends": "2025-10-01"}, 0.0)
    asker = DayAsker(office, nodes["counters"].running._clock, ask)
    assert contract.seats == seats
    with pytest.raises(HanseError):  # a seat cannot be done without
        asker(question)
    assert asked == [("crowd-day", ())], "the model was just trained"
    fresh = nodes.contract()
    asked.clear()
    with pytest.raises(HanseError):
        asker(replace(question, contract=fresh))
    assert [a[0] for a in asked] == ["crowd-train", "crowd-day"]
    assert set(FEEDS.values()) == set(seats)
