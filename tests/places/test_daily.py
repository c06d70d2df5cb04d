"""The daily run, by itself: what a holder brings, what opens, what an owner tells, keeps and turns down."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from hanse.contracts.crowds import CrowdClause
from hanse.contracts.truths import TruthClause
from hanse.engine.reveal import receive_ring, send_ring
from hanse.engine.stage import agree
from hanse.entropy import SeededEntropy
from hanse.errors import Fault, Refusal
from hanse.places.city import City, Wish, city
from hanse.places.crowd.federation import Alone
from hanse.places.crowd.regulars import RULES
from hanse.places.daily import changes, run
from hanse.places.daily.reading import calendar_of, ground_of
from hanse.places.daily.state import crowd_of, state_of
from hanse.places.feeds.feed import Feed, from_matrix
from hanse.wire import Hall

LATENESS = 3
TERMS = {
    "name": "shops", "gazetteer": "city",
    "owners": [{"truth": "arrivals", "dataset": "counted", "place": "p", "date": "d", "value": "v"}],
    "recipients": ["counters"], "days_ahead": 2, "history_days": 270, "maximum_trainings": 4, "expiry_days": 60,
}  # fmt: skip
CLAUSE = CrowdClause.model_validate_json(json.dumps(TERMS))
TRUTH = TruthClause(name="arrivals", title="Visitors", measures="arrivals", provider="counters", gazetteer="city",
                    error=0.03, lateness=LATENESS, zone="UTC")  # fmt: skip


@pytest.fixture(scope="module")
def town() -> City:
    return city(Wish(places=60, people=0, days=300, seed=3))


@pytest.fixture(scope="module")
def feed(town: City) -> Feed:
    """All places but the last five."""
    truth = np.where(town.is_open, town.truth, np.nan)
    truth[-5:] = np.nan
    return from_matrix(town.places.ids, town.days.dates, truth, lateness=LATENESS, name="counted")


def scene(town: City, back: int) -> run.Scene:
    ends: date = town.days.dates[-1 - back].astype(object)
    calendar = calendar_of(CLAUSE, ends)
    return run.Scene(CLAUSE, TRUTH, ground_of(town.places), calendar, CLAUSE.history_days)


@pytest.fixture(scope="module")
def state(town: City, feed: Feed) -> dict[str, Any]:
    there = scene(town, 20)
    made, guard = run.train(Alone(), there, run.known(there, feed), None, None)
    assert guard.adopted
    return made


def within(town: City, there: run.Scene, told: run.DayTold, column: int = 0) -> float:
    at = int(np.searchsorted(town.days.dates, there.calendar.days[there.ends + column]))
    true = np.where(town.is_open[:, at], town.truth[:, at], np.nan)
    point = told.figures.point[:, column]
    shown = (told.figures.reason[:, column] == run.PUBLISHED) & (true > 0)
    return float((np.abs(point[shown] - true[shown]) <= 0.3 * true[shown]).mean())


def telling(
    town: City, feed: Feed, state: dict[str, Any], back: int
) -> tuple[run.Scene, run.DayTold]:
    there = scene(town, back)
    days = range(there.ends, there.ends + 3)
    return there, run.tell(Alone(), there, run.known(there, feed), None, state, days)


# --- an owner -----------------------------------------------------------------------------------------


def test_a_model_tells_the_same_before_and_after_it_was_kept(
    town: City, feed: Feed, state: dict[str, Any]
) -> None:
    read = json.loads(json.dumps(state))
    there, one = telling(town, feed, state, 18)
    _, two = telling(town, feed, read, 18)
    assert np.array_equal(one.figures.point, two.figures.point, equal_nan=True)
    crowd = crowd_of(read, Alone(), there.ground, there.calendar, there.settings)
    again = state_of(crowd, there.calendar, there.ground.keys)
    assert again["weights"] == read["weights"]
    assert again["regular"] == read["regular"]
    with pytest.raises(Fault) as fault:
        crowd_of({**read, "form": "crowd-9"}, Alone(), there.ground, there.calendar, there.settings)
    assert fault.value.code == "crowd.state"


def test_a_day_is_told_with_its_reasons(town: City, feed: Feed, state: dict[str, Any]) -> None:
    there, told = telling(town, feed, state, 15)
    assert within(town, there, told) > 0.8
    assert told.newest == there.calendar.days[there.ends - LATENESS]
    figures = told.figures
    assert (figures.reason[-5:] != run.PUBLISHED).all(), (
        "places without counts are not sure enough here"
    )
    shown = figures.reason == run.PUBLISHED
    assert (figures.low[shown] <= figures.point[shown]).all()
    assert (figures.point[shown] <= figures.high[shown]).all()
    assert np.isnan(figures.stacked()[:4, ~shown]).all(), "what is withheld is not told"
    back = run.Figures.of(figures.stacked())
    assert np.array_equal(back.reason, figures.reason)


def test_nothing_that_was_not_known_is_used(town: City, feed: Feed, state: dict[str, Any]) -> None:
    there, told = telling(town, feed, state, 15)
    late = feed.reported > there.as_of
    assert late.any()
    other = replace(feed, value=np.where(late, feed.value * 50 + 7, feed.value))
    _, same = telling(town, other, state, 15)
    assert np.array_equal(told.figures.point, same.figures.point, equal_nan=True)


@pytest.mark.parametrize("factor", [1000.0, -1.0])
def test_broken_counts_are_taken_out(
    town: City, feed: Feed, state: dict[str, Any], factor: float
) -> None:
    there = scene(town, 15)
    last = (feed.date > there.as_of - 6) & (feed.date <= there.as_of)
    broken = replace(feed, value=np.where(last, feed.value * factor, feed.value))
    _, told = telling(town, broken, state, 15)
    kinds = {f.kind for f in told.findings}
    assert kinds & ({"unit"} if factor > 0 else {"negative"})
    assert within(town, there, told) > 0.8


def test_ten_days_late_is_said(town: City, feed: Feed, state: dict[str, Any]) -> None:
    there, told = telling(town, feed.later(10), state, 15)
    assert any(line.startswith("truth: the newest counts, carried forward") for line in told.said)
    assert "late" in {f.kind for f in told.findings}
    assert within(town, there, told) > 0.7


def test_a_worse_model_is_turned_down(
    town: City, feed: Feed, state: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    there = scene(town, 13)
    now = run.known(there, feed)
    made, guard = run.train(Alone(), there, now, None, state)
    assert guard.old is not None
    assert guard.adopted
    assert guard.new >= guard.old - run.TOLERANCE
    carry = np.eye(len(RULES))[RULES.index("carry")]  # Sundays told as Saturdays
    monkeypatch.setattr("hanse.places.crowd.model.blend_weights", lambda *_: carry)
    kept, guard = run.train(Alone(), there, now, None, state)
    assert not guard.adopted
    assert "the old model stays" in str(guard)
    assert kept == state
    assert made["form"] == state["form"]


def test_too_little_to_train_on(town: City, feed: Feed) -> None:
    there = scene(town, 20)
    short = feed.where(feed.date > there.as_of - 90)
    with pytest.raises(Refusal) as refused:
        run.train(Alone(), there, run.known(there, short), None, None)
    assert refused.value.code == "crowd.days"
    with pytest.raises(Refusal) as refused:
        run.known(there, feed.where(feed.date > there.as_of))
    assert refused.value.code == "crowd.counts"


# --- holders and seats --------------------------------------------------------------------------------


def test_changes_are_against_the_weekday(town: City) -> None:
    there = scene(town, 15)
    level = np.full((3, town.days.dates.size), 100.0)
    at = int(np.searchsorted(town.days.dates, there.as_of))
    level[:, at] = [200.0, 100.0, 50.0]
    told = from_matrix(("a", "b", "c"), town.days.dates, level, lateness=0, name="app")
    targets = np.array([there.ends - 1, there.ends, there.ends + 1])
    found = changes.changes_at_home(told, there.as_of, there.calendar, targets, LATENESS)
    assert np.allclose(found.values[1], np.log([2.0, 1.0, 0.5]))
    assert np.allclose(found.values[0], 0.0)
    assert found.presence.tolist() == [changes.FRESH, changes.FRESH, changes.CARRIED]
    gone = told.where(told.date < there.as_of - 20)
    found = changes.changes_at_home(gone, there.as_of, there.calendar, targets, LATENESS)
    assert found.presence.tolist() == [changes.NONE] * 3
    assert not found.values.any()


def test_a_day_that_one_holder_has_opens_as_zero() -> None:
    days, places = 3, 4
    chance = np.random.default_rng(5)
    brought = {
        "app": changes.Changes(chance.normal(size=(days, places)), np.array([2, 2, 0], np.uint8)),
        "mobiles": changes.Changes(chance.normal(size=(days, places)), np.array([2, 0, 1], np.uint8)),
    }  # fmt: skip
    opened = _summed(brought, days, places)
    found = changes.read(opened, np.arange(days), places, ("app", "mobiles"))
    assert found is not None
    assert set(found.by_day) == {0}
    mean = (brought["app"].values[0] + brought["mobiles"].values[0]) / 2
    assert np.allclose(found.by_day[0], mean, atol=1e-6)
    assert not opened[places : days * places].any()
    assert found.presence["mobiles"].tolist() == [2, 0, 1]


def _summed(brought: dict[str, changes.Changes], days: int, places: int) -> Any:
    """Three seats and the parties of a crowd in threads; what opens to role 6."""
    parties = ("counters", *brought)
    hall = Hall(7, patience=20.0)
    errors: list[BaseException] = []
    out: list[Any] = []

    def seat(number: int) -> None:
        channel = hall.channel(number)
        s = agree(channel, number, SeededEntropy(f"seat {number}"), b"job")
        send_ring(channel, changes.add(s, parties, tuple(brought), days, places), 6, "changes")

    def party(number: int) -> None:
        name, channel = parties[number], hall.channel(3 + number)
        changes.tell_digest(channel, name, [np.zeros(1)], bytes(32))
        if name in brought:
            changes.share(channel, name, brought[name], SeededEntropy(name))

    def owner() -> None:
        size = days * places + len(brought) * days
        out.append(receive_ring(hall.channel(6), (size,), "changes"))

    def live(work: Any, *arguments: Any) -> None:
        try:
            work(*arguments)
        except BaseException as error:
            errors.append(error)

    work = [(seat, n) for n in range(3)] + [(party, n) for n in range(3)] + [(owner,)]
    threads = [threading.Thread(target=live, args=one, daemon=True) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not errors, errors
    return np.asarray(out[0])
