"""Daily jobs over a roster: the second day costs no alignment, answers like its twin, and knows who was there."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hanse.catalog import parse_dataset
from hanse.clock import ManualClock
from hanse.errors import Foul, Refusal
from hanse.node.jobs.rosters import ORDER, SEAT
from hanse.rehearsal import Answer, Federation

FIRST = datetime(2026, 3, 2, 6, tzinfo=UTC)
PEOPLE = 120
OPTIONS: dict[str, Any] = {"epsilon": 4.0, "roster": "march"}


class Days:
    """Two organisations whose files change from day to day; a third holds a seat."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.clock = ManualClock(FIRST)
        self.sees(range(PEOPLE))
        self.buys(range(0, PEOPLE, 2))
        self.withdrawn("")
        self.fed = Federation(
            **{"k": 20, "seed": 3, "epsilon_budget": 100.0, "clock": self.clock, **options}
        )
        self.fed.register("media", parse_dataset(self._dataset("exposures")), capacity=200)
        self.fed.register("shop", parse_dataset(self._dataset("baskets")), capacity=200)

    def _dataset(self, name: str) -> dict[str, Any]:
        return {
            "name": name, "source": {"path": str(self.folder / f"{name}.parquet")},
            "ids": [{"column": "person", "type": "person"}],
            "columns": [{"name": "at", "column": "at", "kind": "time"}],
            "classification": "personal", "description": "Made-up people.", "legal_basis": "consent",
            "evidence": "made-up people",
            "withdrawals": [{"path": str(self.folder / "withdrawn.csv"), "column": "person",
                             "type": "person"}],
        }  # fmt: skip

    def _write(self, name: str, people: Iterable[int], idle: Iterable[int]) -> None:
        """Events of today for ``people``; somebody idle has an old one."""
        people, idle = list(people), list(idle)
        today = self.clock.now().replace(tzinfo=None)
        days = [today] * len(people) + [datetime(2025, 1, 1)] * len(idle)
        table = {"person": [f"p{i}" for i in (*people, *idle)], "at": days}
        pq.write_table(pa.table(table), self.folder / f"{name}.parquet")

    def sees(self, people: Iterable[int], idle: Iterable[int] = ()) -> None:
        self._write("exposures", people, idle)

    def buys(self, people: Iterable[int], idle: Iterable[int] = range(PEOPLE)) -> None:
        self._write("baskets", people, idle)

    def withdrawn(self, *people: str) -> None:
        lines = "\n".join(["person", *(p for p in people if p), "nobody"])
        (self.folder / "withdrawn.csv").write_text(lines + "\n")

    def ask(self, **options: Any) -> Answer[Any]:
        """Who saw something today, and who of them bought."""
        today = self.clock.now().date()
        stages = [
            {"name": "seen", "any_of": [{"dataset": "exposures"}]},
            {"name": "bought", "any_of": [{"dataset": "baskets"}]},
        ]
        asked = {
            "stages": stages, "starts": today.isoformat(),
            "ends": (today + timedelta(days=1)).isoformat(), "ordered": False,
        }  # fmt: skip
        return self.fed.ask("funnel", asked, **{**OPTIONS, **options})


@pytest.fixture
def days(tmp_path: Path) -> Days:
    return Days(tmp_path)


def exact(answer: Answer[Any]) -> list[int]:
    return [int(n) for n in answer.exact()]


def close(answer: Answer[Any]) -> bool:
    """Epsilon 4 over people: a standard deviation of less than a person."""
    return all(abs(int(a) - b) < 12 for a, b in zip(answer.values, exact(answer), strict=True))


def moved(answer: Answer[Any]) -> int:
    return sum(m.bytes for m in answer.messages)


def seats_spent(days: Days) -> list[float]:
    return [b.spent for b in days.fed.budgets() if b.towards == "seats"]


# --- the second day ---------------------------------------------------------------------------------


def test_the_second_day_equals_its_twin_costs_no_alignment_and_moves_less(days: Days) -> None:
    first = days.ask()
    assert first.job.request.epsilon_join == 0.1
    assert close(first)
    spent = seats_spent(days)
    days.clock.advance(timedelta(days=1))
    days.sees(range(20, PEOPLE), idle=range(20))
    days.buys(range(0, PEOPLE, 3))
    second = days.ask()
    assert second.job.request.roster_job == first.job.request.job_hash
    assert second.job.request.epsilon_join == 0
    assert exact(second) == [100, len(range(21, PEOPLE, 3))] != exact(first)
    assert close(second)
    assert seats_spent(days) == spent
    assert moved(second) < moved(first) / 3
    assert second.recorded is False


def test_the_second_day_opens_nothing_but_the_result(days: Days) -> None:
    first = days.ask()
    days.clock.advance(timedelta(days=1))
    days.sees(range(PEOPLE))
    second = days.ask()
    to_seats = [o.step for o in second.disclosures.openings if o.to == ("seats",)]
    assert [o.step for o in first.disclosures.openings if o.step == "tags"] == ["tags"]
    assert to_seats == []
    steps = {m.step.split("/")[0] for m in second.messages}
    assert not steps & {"tag", "tags", "check.media", "check.shop", "pad"}


def test_no_id_is_on_the_wire_of_the_second_day(days: Days) -> None:
    first = days.ask()
    days.clock.advance(timedelta(days=1))
    days.sees(range(PEOPLE))
    second = days.ask()
    widths = [
        {m.shape[1] for m in a.messages if m.step == "upload.media.rows"} for a in (first, second)
    ]
    assert len(widths[0]) == len(widths[1]) == 1
    assert widths[1] == {widths[0].pop() - 1}


def test_how_many_were_active_shows_in_no_message(days: Days) -> None:
    days.ask()
    shapes = []
    for active in (PEOPLE, 30):
        days.clock.advance(timedelta(days=1))
        days.sees(range(active), idle=range(active, PEOPLE))
        answer = days.ask()
        shapes.append(sorted((m.source, m.target, m.step, m.shape) for m in answer.messages))
    assert shapes[0] == shapes[1]


def test_withdrawn_people_count_as_nobody_from_the_next_day_on(days: Days) -> None:
    days.ask()
    days.clock.advance(timedelta(days=1))
    days.sees(range(PEOPLE))
    days.withdrawn(*(f"p{i}" for i in range(40)))
    answer = days.ask()
    assert exact(answer)[0] == PEOPLE - 40
    assert close(answer)


def test_new_people_wait_for_the_next_roster(days: Days) -> None:
    days.ask()
    days.clock.advance(timedelta(days=1))
    days.sees(range(PEOPLE + 60))
    days.buys(range(PEOPLE + 60))
    waiting = days.ask()
    assert exact(waiting) == [PEOPLE + 60, PEOPLE + 60]
    assert all(abs(int(n) - PEOPLE) < 12 for n in waiting.values)
    fresh = days.ask(roster="april", epsilon=3.9)
    assert fresh.job.request.roster_job == ""
    assert close(fresh)


def test_another_question_over_the_same_people_uses_the_same_roster(days: Days) -> None:
    first = days.ask()
    today = days.clock.now().date()
    asked = {
        "starts": today.isoformat(), "ends": (today + timedelta(days=1)).isoformat(),
        "crowds": [{"name": d, "dataset": d} for d in ("baskets", "exposures")],
    }  # fmt: skip
    other = days.fed.ask("overlap", asked, **OPTIONS)
    assert other.job.request.roster_job == first.job.request.job_hash
    assert close(other)


def test_the_same_question_over_the_same_data_is_answered_from_the_record(days: Days) -> None:
    first = days.ask()
    again = days.ask()
    assert again.recorded
    assert (again.values == first.values).all()


# --- rosters that do not serve ----------------------------------------------------------------------


def refused(days: Days, **options: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        days.ask(**options)
    for party in days.fed.parties:  # nothing was spent, nothing stays reserved
        assert not list(days.fed.party(party).ledger.entries("commit"))[1:]
    return caught.value


def next_day(days: Days, by: int = 1) -> None:
    days.clock.advance(timedelta(days=by))
    days.sees(range(PEOPLE))


def test_an_expired_roster_is_refused(days: Days) -> None:
    days.ask()
    next_day(days, by=31)
    assert refused(days).code == "roster.expired"
    assert days.ask(roster="april").job.request.roster_job == ""


@pytest.mark.parametrize(
    ("party", "part"), [("media", SEAT), ("shop", SEAT), ("neutral-1", SEAT), ("shop", ORDER)]
)
def test_a_party_that_lost_its_part_is_named(days: Days, party: str, part: str) -> None:
    job = days.ask().job.request.job_hash
    next_day(days)
    kept = days.fed.party(party).rosters._parts
    del kept[job, part]
    error = refused(days)
    assert error.code == "roster.unknown"
    assert party in error.message
    assert "new roster name" in error.remedy


def test_a_roster_of_another_contract_version_is_refused_where_it_is_held(days: Days) -> None:
    job = days.ask().job.request.job_hash
    days.fed.dataset("people", "data", {"person": ["p1"]}, id="person")
    next_day(days)
    assert days.ask().job.request.roster_job == ""  # the asking party has none under the new text
    note = next(n for n in days.fed.party("media").rosters.notes() if n.job == job)
    assert note.contract_hash != days.fed.contract.hash


def test_a_roster_serves_no_other_set_of_providers(days: Days) -> None:
    days.ask()
    today = days.clock.now().date()
    asked = {
        "starts": today.isoformat(), "ends": (today + timedelta(days=1)).isoformat(),
        "crowds": [{"name": "alone", "dataset": "exposures"}],
    }  # fmt: skip
    with pytest.raises(Refusal) as caught:
        days.fed.ask("overlap", asked, **OPTIONS)
    assert caught.value.code == "roster.layout"


def test_seats_with_different_rosters_find_out_before_anything_is_computed(days: Days) -> None:
    job = days.ask().job.request.job_hash
    next_day(days)
    kept = days.fed.party("shop").rosters._parts
    arrays = dict(kept[job, SEAT])
    arrays["index"] = arrays["index"][:, ::-1].copy()
    kept[job, SEAT] = arrays
    with pytest.raises(Foul, match="kept different rosters"):
        days.ask()


def test_a_contract_without_rosters_refuses_them(tmp_path: Path) -> None:
    assert refused(Days(tmp_path, roster_days=0)).code == "roster.forbidden"
