"""The timetable over many days: what is asked when, over which roster, and what a failure or a crash leaves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.clock import ManualClock
from hanse.contracts import Bundle, Library
from hanse.errors import Fault, HanseError, Refusal
from hanse.node.jobs.runner import Outcome, Question
from hanse.node.jobs.timetable import Timetable, last_slot, next_slot, resolved
from hanse.node.storage.database import open_sqlite
from hanse.node.storage.standing import (
    DONE,
    FAILED,
    NEVER,
    RUNNING,
    LastRun,
    Standing,
    StandingQueries,
)
from hanse.rehearsal import Federation

MORNING = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@cache
def bundle_of(roster_days: int) -> Bundle:
    table = {"person": ["p1", "p2"], "at": [MORNING.replace(tzinfo=None)] * 2}
    fed = Federation(k=20, seed=1, roster_days=roster_days, clock=ManualClock(MORNING))
    fed.dataset("exposures", "media", table, id="person", time="at")
    fed.dataset("baskets", "shop", table, id="person", time="at")
    return fed.bundle


class Node:
    """A node's timetable under a clock of the test's own; it notes what it asks and answers as it is told."""

    def __init__(self, folder: Path, roster_days: int = 31) -> None:
        self.clock = ManualClock(MORNING)
        self.agreed = bundle_of(roster_days)
        self.database = open_sqlite(folder)
        self.queries = StandingQueries(self.database)
        self.asked: list[Question] = []
        self.error: BaseException | None = None
        self.looks = 0
        self.table = self.start()

    def start(self) -> Timetable:
        self.table = Timetable(self.queries, self, self.clock, self.ask)
        return self.table

    def bundle(self, contract_id: str) -> Bundle:
        if contract_id != "rehearsal":
            raise Refusal("contract.unknown", "no such contract", remedy="import it")
        return self.agreed

    def library(self) -> Library:
        return Library()

    def end_rosters(self) -> list[str]:
        self.looks += 1
        return []

    def ask(self, question: Question) -> Outcome:
        self.asked.append(question)
        if self.error is not None:
            raise self.error
        return Outcome(f"{len(self.asked):064x}", "done", {})

    def question(self, **changes: Any) -> dict[str, Any]:
        parameters = {
            "stages": [{"name": "seen", "any_of": [{"dataset": "exposures"}]},
                       {"name": "bought", "any_of": [{"dataset": "baskets"}]}],
            "starts": "yesterday", "ends": "today",
        }  # fmt: skip
        return {"contract": "rehearsal", "computation": "funnel", "epsilon": 0.5,
                "recipients": ["media"], "parameters": parameters, **changes}  # fmt: skip

    def add(self, daily: str = "06:30", **options: Any) -> Standing:
        return self.table.add("morning", self.question(), daily, **options)

    def day(self, days: float = 1) -> list[Standing]:
        self.clock.advance(timedelta(days=days))
        return self.table.run_due()

    @property
    def one(self) -> Standing:
        return self.queries.all()[0]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    yield made
    made.database.close()


# --- when -------------------------------------------------------------------------------------------


def test_the_first_run_is_at_the_next_slot_with_the_days_made_absolute(node: Node) -> None:
    added = node.add()
    assert added.last.state == NEVER
    assert next_slot(added, MORNING) == datetime(2026, 3, 3, 6, 30, tzinfo=UTC)
    assert node.table.run_due() == []
    node.clock.advance(timedelta(hours=21, minutes=29))
    assert node.table.run_due() == []
    node.clock.advance(timedelta(minutes=1))
    ran = node.table.run_due()
    assert [one.last.state for one in ran] == [DONE]
    asked = node.asked[0]
    assert (asked.parameters["starts"], asked.parameters["ends"]) == ("2026-03-02", "2026-03-03")
    assert (asked.contract, asked.epsilon, asked.recipients) == ("rehearsal", 0.5, ("media",))
    assert node.one.last.job == f"{1:064x}"
    assert node.table.run_due() == []


def test_days_that_the_node_slept_through_are_not_made_up(node: Node) -> None:
    node.add()
    node.day(5)
    assert [q.parameters["ends"] for q in node.asked] == ["2026-03-07"]


Operation = tuple[str, int]
OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["wait", "look", "fail", "mend", "restart", "crash"]), st.integers(1, 60)
    ),
    max_size=40,
)


class Crash(BaseException):
    """The process dies in the middle of a run."""


@settings(max_examples=60, deadline=None)
@given(operations=OPERATIONS, hour=st.integers(0, 23))
def test_no_slot_is_asked_twice_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, operations: list[Operation], hour: int
) -> None:
    """Hours pass, runs fail, the node crashes in one and starts again: a day is asked once at most."""
    node = Node(tmp_path_factory.mktemp("node"))
    try:
        node.add(f"{hour:02d}:15")
        for what, hours in operations:
            if what == "wait":
                node.clock.advance(timedelta(hours=hours))
            elif what == "fail":
                node.error = Fault("peer.lost", "a partner is away")
            elif what == "mend":
                node.error = None
            elif what == "restart":
                node.start()
            else:
                node.error = Crash() if what == "crash" else node.error
                try:
                    node.table.run_due()
                except Crash:
                    node.error = None
                    node.start()
        days = [q.parameters["ends"] for q in node.asked]
        assert days == sorted(set(days))
        due = last_slot(f"{hour:02d}:15", node.clock.now())
        node.error = None
        node.table.run_due()
        if due > MORNING:
            assert node.asked[-1].parameters["ends"] == due.date().isoformat()
        assert node.one.last.state in (NEVER, DONE, FAILED, RUNNING)
    finally:
        node.database.close()


@pytest.mark.parametrize(
    ("said", "meant"),
    [("today", "2026-03-01"), ("yesterday", "2026-02-28"), ("-7d", "2026-02-22"),
     ("-0d", "2026-03-01"), ("2026-01-05", "2026-01-05"), ("tomorrow", "tomorrow")],
)  # fmt: skip
def test_relative_days_are_those_of_the_slot(said: str, meant: str) -> None:
    found = resolved(
        {"starts": said, "crowds": [{"name": "today", "ends": said}]}, date(2026, 3, 1)
    )
    assert found == {"starts": meant, "crowds": [{"name": "today", "ends": meant}]}


# --- rosters ----------------------------------------------------------------------------------------


def test_a_roster_is_named_after_its_month(node: Node) -> None:
    node.add(roster="daily")
    for _ in range(60):
        node.day()
    names = [q.roster for q in node.asked]
    assert names[0] == "daily-2026-03"
    assert names.count("daily-2026-03") == 29
    assert names.count("daily-2026-04") == 30
    assert len(names) == 60


def test_a_contract_with_shorter_rosters_gets_as_many_as_it_needs(tmp_path: Path) -> None:
    node = Node(tmp_path, roster_days=7)
    node.add(roster="daily")
    for _ in range(21):
        node.day()
    assert Counter(q.roster for q in node.asked) == {  # the contract starts on the first
        "daily-2026-03-01": 5, "daily-2026-03-08": 7, "daily-2026-03-15": 7, "daily-2026-03-22": 2,
    }  # fmt: skip
    node.database.close()


@pytest.mark.parametrize("code", ["roster.unknown", "roster.layout", "roster.disagree"])
def test_a_lost_roster_is_replaced_at_the_next_slot(node: Node, code: str) -> None:
    node.add(roster="daily")
    node.day()
    node.error = Refusal(code, "birch does not hold its part")
    node.day()
    assert node.one.last.state == FAILED
    assert code in node.one.last.error
    node.error = None
    node.day()
    node.day()
    assert [q.roster for q in node.asked] == ["daily-2026-03"] * 2 + ["daily-2026-03-2"] * 2
    node.day(31)
    assert node.asked[-1].roster == "daily-2026-04"


def test_another_failure_keeps_the_roster_and_is_asked_again_the_next_day(node: Node) -> None:
    node.add(roster="daily")
    node.error = Fault("peer.unreachable", "a partner is away")
    node.day()
    assert node.table.run_due() == []
    node.error = None
    node.day()
    assert node.one.last == LastRun(
        datetime(2026, 3, 4, 6, 30, tzinfo=UTC), DONE, f"{2:064x}", "", "", 0
    )
    assert {q.roster for q in node.asked} == {"daily-2026-03"}


def test_every_look_ends_rosters_that_are_over(node: Node) -> None:
    node.table.run_due()
    node.day()
    assert node.looks == 2


# --- adding -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"daily": "25:00"}, "standing.daily"),
        ({"daily": "6:30"}, "standing.daily"),
        ({"name": "Morning query"}, "standing.name"),
        ({"roster": "March!"}, "standing.name"),
        ({"question": {"contract": "other"}}, "contract.unknown"),
        ({"question": {"computation": "nothing"}}, "menu.unknown"),
        (
            {"question": {"parameters": {"starts": "yesterday", "ends": "today"}}},
            "question.malformed",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused_when_it_is_added(
    node: Node, changes: dict[str, Any], code: str
) -> None:
    question = node.question(**changes.pop("question", {}))
    fields = {"name": "morning", "daily": "06:30", **changes}
    with pytest.raises(HanseError) as error:
        node.table.add(question=question, **fields)
    assert error.value.code == code
    assert node.queries.all() == []


def test_a_roster_where_the_contract_has_none_is_refused_when_it_is_added(tmp_path: Path) -> None:
    node = Node(tmp_path, roster_days=0)
    with pytest.raises(Refusal) as error:
        node.add(roster="daily")
    assert error.value.code == "roster.forbidden"
    node.database.close()


def test_names_are_unique_and_what_is_removed_is_asked_no_more(node: Node) -> None:
    node.add()
    with pytest.raises(Refusal, match="already"):
        node.add()
    node.table.remove("morning")
    with pytest.raises(Refusal, match="no standing query"):
        node.table.remove("morning")
    assert node.day() == []
    assert node.asked == []
