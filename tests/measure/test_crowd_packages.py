"""Crowd packages and qualifications in questions: across organisations, on shares, against the plain twin."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hanse.catalog import Dataset
from hanse.clock import ManualClock
from hanse.contracts import describe
from hanse.errors import Refusal
from hanse.measure.questions import FunnelQuestion, conditions_of, spelled_out
from hanse.rehearsal import Answer, Federation, source, stage

DAY = datetime(2026, 3, 1, 10)
DATES = {"starts": "2026-03-01", "ends": "2026-04-01"}
PEOPLE = 200


def views() -> dict[str, list[Any]]:
    """Everybody of p0..p199, every third one twice; 0 to 6 seconds each."""
    seen = [i for i in range(PEOPLE) for _ in range(2 if i % 3 == 0 else 1)]
    return {
        "person": [f"p{i}" for i in seen],
        "at": [DAY + timedelta(hours=n) for n in range(len(seen))],
        "seconds": [i % 7 for i in seen],
        "screen": ["big" if i % 2 else "small" for i in seen],
    }


def baskets() -> dict[str, list[Any]]:
    """p50..p199, late in the month; 0 to 149 yuan."""
    return {
        "person": [f"p{i}" for i in range(50, PEOPLE)],
        "at": [DAY + timedelta(days=20)] * 150,
        "yuan": list(range(150)),
    }


def federation(**options: Any) -> Federation:
    fed = Federation(**{"k": 20, "seed": 7, "join_epsilon": 1.0, **options})
    fed.dataset("views", "media", views(), id="person", time="at", columns=["seconds", "screen"])
    fed.dataset("baskets", "shop", baskets(), id="person", time="at", columns=["yuan"])
    return fed


def overlap(fed: Federation, *crowds: dict[str, Any], **options: Any) -> Answer[Any]:
    named = [{"name": f"crowd {i}", **crowd} for i, crowd in enumerate(crowds)]
    return fed.overlap(crowds=named, **DATES, **options)


def size(answer: Answer[Any], number: int = 0) -> int:
    """People in one of the crowds, as the result tells it."""
    kinds = [(o.kind, o.crowds) for o in answer.job.plan.outputs]
    return int(answer.values[kinds.index(("crowd", (number,)))])


# --- packages in every computation ------------------------------------------------------------------


def test_packages_of_two_organisations_meet_in_an_overlap() -> None:
    fed = federation()
    fed.crowd("often", "media", of="views", at_least=2)
    fed.crowd("rich", "shop", of="baskets", where={"yuan": {"at_least": 50}})
    fed.crowd("club", "shop", ids={"id": [f"p{i}" for i in range(0, 300, 2)]})
    answer = overlap(
        fed,
        {"dataset": "often"},
        {"dataset": "rich"},
        {"any_of": [{"dataset": "club"}, {"dataset": "rich"}]},
        {"all_of": [{"dataset": "club"}, {"none_of": [{"dataset": "often"}]}]},
        {"least": 2, "of": [{"dataset": "often"}, {"dataset": "rich"}, {"dataset": "club"}]},
        noise=False,
    )
    often = {i for i in range(PEOPLE) if i % 3 == 0}
    rich = set(range(100, PEOPLE))
    club = set(range(0, 300, 2))
    two = (often & rich) | (often & club) | (rich & club)
    expected = [len(often), len(rich), len(club | rich), len(club - often), len(two)]
    assert [size(answer, i) for i in range(5)] == expected
    exact = answer.exact()
    shown = exact[answer.job.plan.release.guarded] >= 20
    assert np.array_equal(answer.values, np.where(shown, exact, 0))
    assert describe(fed.contract).count("No columns: only who is in it counts.") == 3


def test_a_package_serves_as_a_stage_and_as_a_base() -> None:
    fed = federation()
    fed.crowd("rich", "shop", of="baskets", where={"yuan": {"at_least": 50}})
    fed.crowd("reachable", "media", ids={"id": [f"p{i}" for i in range(PEOPLE)]})
    unordered = fed.funnel(
        [("seen", "views"), ("rich", "rich")], *DATES.values(), ordered=False, noise=False
    )
    assert np.array_equal(unordered.values, unordered.exact())
    assert unordered.values.tolist() == [200, 100]
    based = fed.funnel(
        [stage("saw the big one", "views", where={"screen": "big"}), ("paid", "baskets")],
        *DATES.values(), compare_with="reachable", noise=False,
    )  # fmt: skip
    assert np.array_equal(based.values, based.exact())
    assert based.values.tolist() == [100, 75, 100, 75]


def test_an_ordered_funnel_says_that_a_package_has_no_times() -> None:
    fed = federation()
    fed.crowd("rich", "shop", of="baskets")
    with pytest.raises(Refusal) as error:
        fed.funnel([("seen", "views"), ("rich", "rich")], *DATES.values())
    assert error.value.code == "contract.time"


def test_a_withdrawn_person_is_gone_from_the_next_run_and_it_is_a_new_question(
    tmp_path: Path,
) -> None:
    gone = tmp_path / "gone.csv"
    gone.write_text("")
    fed = Federation(k=20, seed=7, join_epsilon=1.0)
    fed.dataset("views", "media", views(), id="person", time="at")
    known = _path_of(fed, "views")
    fed.register("media", _with_withdrawals(known, gone))
    fed.crowd("often", "media", of="listed", at_least=2)
    assert size(overlap(fed, {"dataset": "often"}, noise=False)) == 67
    assert overlap(fed, {"dataset": "often"}).recorded is False
    assert overlap(fed, {"dataset": "often"}).recorded is True
    gone.write_text("p0\np1\np3\n")
    answer = overlap(fed, {"dataset": "often"}, noise=False)
    assert size(answer) == 65
    assert answer.exact()[0] == 65
    assert overlap(fed, {"dataset": "often"}).recorded is False


def _path_of(fed: Federation, name: str) -> Path:
    return Path(fed._datasets[name].dataset.source.path)  # type: ignore[union-attr]


def _with_withdrawals(path: Path, gone: Path) -> Dataset:
    return Dataset.model_validate(
        {"name": "listed", "source": {"path": path}, "ids": [{"column": "person", "type": "person"}],
         "columns": [{"name": "at", "column": "at", "kind": "time"}], "classification": "personal",
         "description": "views", "legal_basis": "consent", "evidence": "a register",
         "withdrawals": [{"path": gone, "type": "person"}]}
    )  # fmt: skip


# --- versions and expiry ----------------------------------------------------------------------------


def test_a_new_version_is_a_new_question_even_if_it_says_the_same() -> None:
    fed = federation()
    first = fed.crowd("rich", "shop", of="baskets", where={"yuan": {"at_least": 50}})
    crowd = {"dataset": "rich"}
    before = overlap(fed, crowd)
    hash_of_contract = fed.contract.hash
    assert overlap(fed, crowd).recorded
    second = fed.crowd("rich", "shop", of="baskets", where={"yuan": {"at_least": 50}})
    assert (first.version, second.version) == (1, 2)
    assert fed.contract.hash == hash_of_contract  # so it is not the contract that made it new
    again = overlap(fed, crowd)
    assert not again.recorded
    assert again.job.request.commitments != before.job.request.commitments
    fed.crowd("rich", "shop", of="baskets", where={"yuan": {"at_least": 90}}, capacity=200)
    assert size(overlap(fed, crowd, noise=False)) == 60


def test_a_rolling_package_is_a_new_question_every_day_and_expires() -> None:
    clock = ManualClock(datetime(2026, 3, 9, 9, tzinfo=UTC))
    fed = federation(clock=clock)
    fed.crowd("lately", "media", of="views", days=3, expires="2026-03-12")
    crowd = {"dataset": "lately"}
    assert size(overlap(fed, crowd, noise=False)) == _seen(6, 9)
    assert not overlap(fed, crowd).recorded
    clock.advance(timedelta(hours=2))
    assert overlap(fed, crowd).recorded
    clock.advance(timedelta(days=1))
    assert not overlap(fed, crowd).recorded
    assert size(overlap(fed, crowd, noise=False)) == _seen(7, 10)
    clock.advance(timedelta(days=2))
    with pytest.raises(Refusal) as error:
        overlap(fed, crowd)
    assert error.value.code == "crowd.expired"
    assert "media" in error.value.where
    assert "hanse crowd renew lately" in error.value.remedy
    assert overlap(fed, {"dataset": "views"}).values.size  # what does not use it goes on
    assert fed.renew("lately", date(2027, 1, 1)).version == 1
    assert size(overlap(fed, crowd, noise=False)) == _seen(9, 12)


def _seen(first: int, end: int) -> int:
    table = views()
    low, high = (datetime(2026, 3, day) for day in (first, end))
    return len({p for p, at in zip(table["person"], table["at"], strict=True) if low <= at < high})


def test_a_party_makes_crowds_of_its_own_data_only() -> None:
    fed = federation()
    with pytest.raises(Exception, match="shop has no dataset 'views'"):
        fed.crowd("stolen", "shop", of="views")


# --- qualifications ---------------------------------------------------------------------------------

QUALIFIED = {"dataset": "views", "qualified": "viewable"}


def viewable(fed: Federation) -> Federation:
    fed.qualification(
        "viewable", "views", {"seconds": {"at_least": 3}, "screen": ["big"]}, title="In view"
    )
    return fed


def qualifying() -> set[int]:
    return {i for i in range(PEOPLE) if i % 7 >= 3 and i % 2}


ASKED: dict[str, Callable[[Federation], Answer[Any]]] = {
    "overlap": lambda fed: overlap(fed, QUALIFIED, {"dataset": "baskets"}, noise=False),
    "funnel": lambda fed: fed.funnel(
        [stage("seen", source("views", qualified="viewable")), ("paid", "baskets")], *DATES.values(), noise=False
    ),
}  # fmt: skip


IN_WORDS: dict[str, dict[str, Any]] = {
    "reach": {"exposures": [QUALIFIED, {"dataset": "baskets"}], "most_frequency": 3},
    "lift": {
        "exposed": QUALIFIED, "base": {"dataset": "reachable"},
        "outcomes": [{"name": "bought", "dataset": "baskets"},
                     {"name": "spent", "dataset": "baskets", "qualified": "dear", "column": "yuan"}],
    },
    "journey": {"campaign": "x", "offline": [QUALIFIED], "stores": [{"dataset": "baskets"}]},
}  # fmt: skip


@pytest.mark.parametrize("name", IN_WORDS)
def test_every_question_takes_qualified_events(name: str) -> None:
    fed = viewable(federation())
    fed.qualification("dear", "baskets", {"yuan": {"at_least": 60}})
    fed.crowd("reachable", "media", ids={"id": [f"p{i}" for i in range(PEOPLE)]})
    answer = fed.ask(name, {**IN_WORDS[name], **DATES}, noise=False)
    exact = answer.exact()
    shown = exact[answer.job.plan.release.guarded] >= 20
    assert np.array_equal(answer.values, np.where(shown, exact, 0))
    assert len(qualifying()) in answer.values
    tests = source("views", where={"seconds": {"at_least": 3}, "screen": ["big"]}).where
    where = json.dumps([c.model_dump(mode="json", exclude_none=True) for c in tests])
    same = json.loads(
        json.dumps(IN_WORDS[name]).replace('"qualified": "viewable"', f'"where": {where}')
    )
    assert np.array_equal(fed.ask(name, {**same, **DATES}, noise=False).values, answer.values)


@pytest.mark.parametrize("name", ASKED)
def test_a_qualification_filters_at_home_and_in_the_twin(name: str) -> None:
    answer = ASKED[name](viewable(federation()))
    people = qualifying()
    both = len({i for i in people if i >= 50})
    if name == "overlap":
        assert size(answer) == len(people)
    else:
        assert answer.values.tolist() == [len(people), both]
    exact = answer.exact()
    shown = exact[answer.job.plan.release.guarded] >= 20
    assert np.array_equal(answer.values, np.where(shown, exact, 0))
    filtered = {u.column for u in answer.job.request.uses if u.purpose == "filter"}
    assert {"seconds", "screen"} <= filtered


def test_conditions_add_to_a_qualification_and_a_new_version_is_a_new_question() -> None:
    fed = viewable(federation())
    narrowed = {**QUALIFIED, "where": [{"column": "seconds", "at_least": 5}]}
    assert size(overlap(fed, narrowed, noise=False)) == len([i for i in qualifying() if i % 7 >= 5])
    overlap(fed, QUALIFIED)
    assert overlap(fed, QUALIFIED).recorded
    assert fed.qualification("viewable", "views", {"seconds": {"at_least": 1}}).version == 2
    again = overlap(fed, QUALIFIED, noise=False)
    assert not again.recorded
    assert size(again) == len([i for i in range(PEOPLE) if i % 7 >= 1])


def test_an_unknown_qualification_is_refused_with_those_there_are() -> None:
    fed = viewable(federation())
    with pytest.raises(Refusal) as error:
        overlap(fed, {"dataset": "views", "qualified": "near"})
    assert error.value.code == "contract.qualification"
    assert "viewable" in error.value.remedy
    with pytest.raises(Refusal) as error:
        overlap(fed, {"dataset": "baskets", "qualified": "viewable"})
    assert "[[qualifications]]" in error.value.remedy


def test_a_source_is_spelled_out_once() -> None:
    contract = viewable(federation()).contract
    asked = FunnelQuestion.read(
        {"stages": [{"name": "seen", "any_of": [{**QUALIFIED, "at_least": 2}]}], **DATES}
    ).stages[0].any_of[0]  # fmt: skip
    plain = spelled_out(contract, asked)
    assert (plain.qualified, plain.at_least, len(plain.where)) == (None, 2, 2)
    assert conditions_of(contract, plain) == conditions_of(contract, asked) == plain.where
    assert spelled_out(contract, plain) == plain
