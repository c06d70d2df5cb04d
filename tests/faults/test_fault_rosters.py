"""A party that has lost its part of a roster, or holds a damaged one: the others hear who, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fault_federation import CHARGED, Federation, until
from fault_people import EPSILON, expected, is_right, parameters

from hanse.errors import Fault, HanseError, Refusal
from hanse.node.jobs.rosters import FOLDER, ORDER, SEAT
from hanse.node.jobs.runner import Question
from hanse.node.storage.standing import Standing

WITHIN = 10.0
Break = Callable[[Path], object]


@pytest.fixture(scope="module")
def contract(federation: Federation) -> str:
    return federation.contract(join={"roster_days": 31}, privacy={"similar_questions": 1000})


def asked(linked: Federation, contract: str, roster: str, first: str) -> Question:
    return linked.question(contract, roster=roster, parameters=parameters(first))


def folder_of(linked: Federation, name: str, roster: str) -> Path:
    """Where the member keeps the roster of that name."""
    notes = [n for n in linked[name].running.office.rosters.notes() if n.name == roster]
    return linked[name].data / FOLDER / notes[-1].job


def test_a_roster_is_made_once_used_again_and_survives_a_restart(
    linked: Federation, contract: str
) -> None:
    assert is_right(linked.people(asked(linked, contract, "made-once", "day one")))
    made = folder_of(linked, "ash", "made-once")
    assert sorted(p.name for p in made.iterdir()) == ["order.part", "roster.json", "seat.part"]
    assert {p.stat().st_mode & 0o777 for p in made.iterdir()} == {0o600}
    assert made.stat().st_mode & 0o777 == 0o700
    linked["birch"].stop()
    linked["birch"].start()
    linked.linked()
    outcome = linked.ask(asked(linked, contract, "made-once", "day two"))
    result = outcome.result or {}
    assert is_right([row["people"] for row in result["rows"]], expected())
    request = linked["ash"].jobs()[outcome.job].request
    assert (request["roster_job"], request["epsilon_join"]) == (made.name, 0)
    linked.check_records()


BREAKS: dict[str, Break] = {
    "gone": lambda part: part.unlink(),
    "cut short": lambda part: part.write_bytes(part.read_bytes()[:-100]),
    "another's": lambda part: part.write_bytes(b"what is this"),
}


@pytest.mark.parametrize("how", BREAKS)
@pytest.mark.parametrize(("name", "part"), [("birch", SEAT), ("dune", ORDER)])
def test_a_party_without_its_part_is_named_and_a_new_name_mends_it(
    linked: Federation, contract: str, name: str, part: str, how: str
) -> None:
    roster = f"{name}-{how.replace(' ', '-').replace(chr(39), '')}"
    assert is_right(linked.people(asked(linked, contract, roster, f"one {roster}")))
    BREAKS[how](folder_of(linked, name, roster) / f"{part}.part")
    error, job = linked.fails(asked(linked, contract, roster, f"two {roster}"), within=WITHIN)
    assert error.code == "roster.unknown"
    assert isinstance(error, Refusal)
    assert name in f"{error.message} {error.where}"
    assert "new roster name" in error.remedy
    assert all(linked[party].budget_of(job) in ("", "released") for party in CHARGED)
    again = asked(linked, contract, f"{roster}-new", f"three {roster}")
    assert is_right(linked.people(again))


def test_a_roster_removed_at_one_node_is_asked_for_nowhere(
    linked: Federation, contract: str
) -> None:
    """Admission finds it before any share moves: no job is left at any node."""
    assert is_right(linked.people(asked(linked, contract, "removed", "before")))
    rosters = linked["cedar"].running.office.rosters
    rosters.remove(rosters.notes()[-1].job)
    error, job = linked.fails(asked(linked, contract, "removed", "after"), within=WITHIN)
    assert error.code == "roster.unknown"
    assert "cedar" in error.message
    started = [m.jobs()[job].state for m in linked.members.values() if job in m.jobs()]
    assert "running" not in started
    assert "done" not in started


def test_the_end_of_a_contract_deletes_its_rosters(linked: Federation) -> None:
    contract = linked.contract(join={"roster_days": 31})
    assert is_right(linked.people(asked(linked, contract, "ending", "once")))
    made = folder_of(linked, "dune", "ending")
    assert made.is_dir()
    linked["dune"].running.office.set_state(contract, "ended", "a test")
    assert not made.exists()


def test_a_full_disk_costs_the_roster_and_not_the_answer(
    linked: Federation, contract: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rosters = linked["birch"].running.office.rosters

    def full(*_: object) -> None:
        raise Fault("disk.full", "the disk of this node is full")

    monkeypatch.setattr(rosters, "keep", full)
    assert is_right(linked.people(asked(linked, contract, "no-room", "room")))
    monkeypatch.undo()
    error: HanseError = linked.fails(asked(linked, contract, "no-room", "no more room"))[0]
    assert error.code == "roster.unknown"
    assert "birch" in error.message


def test_a_node_asks_its_standing_queries_by_itself_and_again_after_a_failure(
    linked: Federation, contract: str
) -> None:
    """elm's timetable thread finds it due; cedar is away at first, which the list shows."""
    queries = linked["elm"].running.office.store.standing
    asked_daily = {
        "contract": contract, "computation": "funnel", "epsilon": EPSILON, "recipients": ["elm"],
        "parameters": parameters("every day"),
    }  # fmt: skip
    now = datetime.now(UTC)
    due = (now - timedelta(minutes=2)).strftime("%H:%M")
    linked["cedar"].stop()
    queries.put(Standing("daily", asked_daily, due, now - timedelta(days=3), "standing"))
    linked["elm"].running.timetable.run_due()
    assert queries.all()[0].last.state == "failed"
    assert "cedar" in queries.all()[0].last.error
    linked["cedar"].start()
    linked.linked()
    assert linked["elm"].running.timetable.run_due() == []  # not twice for one slot
    missed = queries.all()[0]
    queries.ran(missed.after(slot=now - timedelta(days=1)))  # as if that had been yesterday
    until(lambda: queries.all()[0].last.state == "done", 30, "asked, and answered")
    job = linked["elm"].jobs()[queries.all()[0].last.job]
    assert job.request["roster"] == f"standing-{now:%Y-%m}"
    assert queries.remove("daily")
    linked.check_records()
