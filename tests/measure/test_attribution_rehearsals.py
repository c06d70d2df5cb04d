"""Attribution in whole rehearsals: rows, join, noise and gate; random tables against the twin; places; refusals."""

from __future__ import annotations

import itertools
import re
from datetime import datetime, timedelta
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pyarrow as pa
import pytest
from attributions import MODELS, contract

from hanse.contracts import Library
from hanse.errors import Refusal
from hanse.measure.attribution import protocol as attribution
from hanse.measure.attribution.question import AttributionQuestion
from hanse.rehearsal import Column, Federation

PERSONS, ALIKE = 25, 20  # every person twenty times: with k = 20, whatever is not zero is published
STARTS, ENDS = "2026-02-01", "2026-03-01"
KINDS = ("video", "banner", "mail")
PLACES = {
    "id": ["m1", "m2", "c1", "s1"], "name": ["Old mall", "New mall", "Eye clinic", "Corner shop"],
    "type": ["mall", "mall", "clinic", "shop"], "lat": [1.0, 2.0, 3.0, 4.0], "lon": [5.0, 6.0, 7.0, 8.0],
    "district": ["north", "south", "south", "north"],
}  # fmt: skip


def tables_of(seed: int) -> dict[str, pa.Table]:
    """Random events, some out of the period, some of kinds that nobody listed, often at the same time."""
    random = np.random.default_rng(seed)
    found = {}
    for name, rows in (("ads", 160), ("searches", 60), ("visits", 80), ("purchases", 90)):
        rows = int(random.integers(1, rows))  # noqa: PLW2901 - at most so many
        persons = random.integers(0, PERSONS, rows)
        hours = random.integers(-20 * 24, 30 * 24, rows) // 7 * 7
        columns: dict[str, Any] = {
            "at": [datetime(2026, 2, 1) + timedelta(hours=int(h)) for h in hours],
            "kind": [[*KINDS, "odd", None][i] for i in random.integers(0, 5, rows)],
            "place": [[*PLACES["id"], "nowhere"][i] for i in random.integers(0, 5, rows)],
            "amount": random.integers(0, 400, rows),
        }
        copies = [pa.table({**columns, "id": [f"p{i}-{n}" for i in persons]}) for n in range(ALIKE)]
        found[name] = pa.concat_tables(copies)
    return found


def federation_of(seed: int, **options: Any) -> Federation:
    """media (ads), search, mall (visits), shop (purchases)."""
    fed = Federation(k=20, seed=seed, join_epsilon=1.0, **options)
    fed.places("towns", PLACES)
    columns: dict[str, dict[str, Any]] = {
        "ads": {"kind": Column("kind", values=KINDS)},
        "searches": {"kind": Column("kind", values=KINDS)},
        "visits": {"place": Column("place", gazetteer="towns")},
        "purchases": {
            "amount": Column("amount", maximum=500),
            "kind": Column("kind", values=KINDS),
        },
    }
    parties = {"ads": "media", "searches": "search", "visits": "mall", "purchases": "shop"}
    for name, table in tables_of(seed).items():
        fed.dataset(name, parties[name], table, id="id", time="at", columns=columns[name],
                    capacity=ALIKE * PERSONS, slots=5)  # fmt: skip
    return fed


QUESTIONS: tuple[dict[str, Any], ...] = (
    {"touches": [{"dataset": "ads", "credit": "kind"}, {"dataset": "searches", "name": "search"}],
     "conversions": {"dataset": "purchases", "value": "amount", "value_unit": 10}, "window_days": 14},
    {"touches": [{"dataset": "ads", "credit": "kind", "merge": {"seen": ["video", "banner"]}, "slots": 2},
                 {"dataset": "visits", "credit": "place", "level": "district", "slots": 3},
                 {"dataset": "purchases", "name": "bought before", "slots": 2}],
     "conversions": {"dataset": "purchases", "slots": 2,
                     "where": [{"column": "amount", "at_least": 100}]}, "window_days": 7},
    {"touches": [{"dataset": "visits", "credit": "place", "places": ["m1", "s1"], "slots": 5}],
     "conversions": {"dataset": "purchases", "value": "amount", "value_maximum": 300, "slots": 5},
     "window_days": 1.5, "time_unit": "hour"},
)  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("number", range(len(QUESTIONS)))
def test_equals_the_twin_over_random_tables(model: str, number: int) -> None:
    fed = federation_of(10 * number + MODELS.index(model))
    answer = fed.attribution(
        **QUESTIONS[number], model=model, starts=STARTS, ends=ENDS, noise=False
    )
    exact = answer.exact()
    shown = exact[answer.job.plan.release.guarded] > 0
    assert shown.any()
    assert np.array_equal(answer.values, np.where(shown, exact, 0))


def test_figures_by_hand() -> None:
    """Three journeys, forty times each: an ad and a search before a purchase, an ad alone, nothing."""
    day = datetime(2026, 2, 1)
    journeys = [
        ([(1, "video")], [3], 5, 100),
        ([(2, "mail")], [], 4, 50),
        ([(1, "mail")], [], 27, 30),
    ]
    rows: dict[str, list[dict[str, Any]]] = {"ads": [], "searches": [], "purchases": []}
    for number, copy in itertools.product(range(3), range(40)):
        ads, searches, bought, amount = journeys[number]
        person = f"p{number}-{copy}"
        rows["ads"] += [{"id": person, "at": day + timedelta(days=d), "kind": k} for d, k in ads]
        rows["searches"] += [{"id": person, "at": day + timedelta(days=d)} for d in searches]
        rows["purchases"].append(
            {"id": person, "at": day + timedelta(days=bought), "amount": amount}
        )
    fed = Federation(k=20, seed=1, join_epsilon=1.0)
    for name, party in (("ads", "media"), ("searches", "search"), ("purchases", "shop")):
        columns = {"ads": ["kind"], "purchases": ["amount"]}.get(name, [])
        fed.dataset(name, party, pa.Table.from_pylist(rows[name]), id="id", time="at",
                    columns=columns, capacity=200)  # fmt: skip
    question = dict(QUESTIONS[0], starts=STARTS, ends=ENDS)
    del question["conversions"]
    conversions = {"dataset": "purchases", "value": "amount"}
    linear = fed.attribution(
        **question, conversions=conversions, model="linear", noise=False
    ).result
    figures = {r.channel: (r.people, r.conversions, r.value, r.share) for r in linear.rows}
    assert figures == {
        "mail": (40, 40.0, 2000.0, 40 / 120),
        "video": (40, 20.0, 2000.0, 20 / 120),
        "search": (40, 20.0, 2000.0, 20 / 120),
        "unattributed": (40, 40.0, 1200.0, 40 / 120),
        "rounding": (None, 0.0, 0.0, 0.0),
        "total": (120, 120.0, 7200.0, 1.0),
    }
    assert [r.channel for r in linear.channels] == ["mail", "video", "search"]
    last = fed.attribution(**question, conversions=conversions, model="last", noise=False).result
    assert last.row("search").conversions == 40
    assert last.row("search").value == 4000
    assert last.row("video").suppressed
    assert last.row("video").conversions is None
    text = str(last)
    assert "the last touch takes all" in text
    assert "suppressed" in text


def test_intervals_hold_the_noise_and_the_picture_shows_them() -> None:
    fed = federation_of(3)
    question = dict(QUESTIONS[0], starts=STARTS, ends=ENDS, model="time_decay", half_life_days=3)
    result = fed.attribution(**question, epsilon=4.0).result
    exact = fed.attribution(**question, epsilon=4.0, noise=False).result
    for row, true in zip(result.rows, exact.rows, strict=True):
        if row.conversions is not None and true.conversions is not None:
            assert row.conversions_low <= row.conversions <= row.conversions_high
            assert abs(row.conversions - true.conversions) < 4 * (
                row.conversions_high - row.conversions + 1
            )
    picture = ET.fromstring(result.to_svg())  # noqa: S314 - our own
    shown = [e for e in picture.iter() if e.get("class") == "bar"]
    assert len(shown) == sum(r.conversions is not None for r in result.rows[:-2])
    assert "halves with every 3 days" in str(result)
    body = result.body()
    assert body["computation"] == "attribution"
    assert len(body["rows"]) == len(result.rows) == result.to_arrow().num_rows
    assert re.fullmatch(r"Conversions by channel: .+", body["tables"][0]["title"])


# --- plans ------------------------------------------------------------------------------------------


def refused(code: str, library: Library | None = None, **changed: Any) -> str:
    question = {
        "touches": [{"dataset": "ads", "credit": "kind"}],
        "conversions": {"dataset": "purchases", "value": "amount"}, "starts": STARTS, "ends": ENDS,
        **changed,
    }  # fmt: skip
    with pytest.raises(Refusal) as caught:
        _planned(question, library or Library())
    assert caught.value.code == code
    assert caught.value.remedy
    return caught.value.message


def _planned(question: dict[str, Any], library: Library) -> attribution.AttributionPlan:
    return attribution.plan(AttributionQuestion.read(question), contract(), library, epsilon=1.0)


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("question.malformed", {"touches": []}),
        ("question.malformed", {"touches": [{"dataset": "ads"}]}),
        ("question.malformed", {"touches": [{"dataset": "ads", "name": "a", "credit": "kind"}]}),
        ("question.malformed", {"touches": [{"dataset": "ads", "name": "a", "merge": {"b": ["video"]}}]}),
        ("question.malformed", {"touches": [{"dataset": "ads", "name": "a", "at_least": 2}]}),
        ("question.malformed", {"position": [40, 20, 30]}),
        ("question.malformed", {"window_days": 0}),
        ("question.malformed", {"starts": ENDS, "ends": STARTS}),
        ("question.malformed", {"conversions": {"dataset": "purchases", "value_maximum": 3}}),
        ("contract.dataset", {"touches": [{"dataset": "letters", "name": "a"}]}),
        ("contract.column", {"touches": [{"dataset": "ads", "credit": "colour"}]}),
        ("contract.purpose", {"touches": [{"dataset": "purchases", "credit": "amount"}]}),
        ("contract.purpose", {"conversions": {"dataset": "purchases", "value": "kind"}}),
        ("contract.value", {"touches": [{"dataset": "ads", "credit": "kind", "merge": {"a": ["tv"]}}]}),
        ("contract.value", {"touches": [
            {"dataset": "ads", "credit": "kind", "merge": {"a": ["video"], "b": ["video"]}}]}),
        ("question.credit", {"touches": [{"dataset": "ads", "credit": "kind", "level": "city"}]}),
        ("question.credit", {"touches": [{"dataset": "ads", "name": "total"}]}),
        ("question.slots", {"touches": [{"dataset": "ads", "name": "a", "slots": 9}]}),
        ("question.value", {"conversions": {"dataset": "purchases", "value": "amount", "value_maximum": 1 << 30}}),
        ("question.span", {"time_unit": "second", "starts": "1700-01-01"}),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(code: str, changed: dict[str, Any]) -> None:
    assert refused(code, **changed)


def test_places_are_credited_only_where_nobody_is_exposed() -> None:
    fed = federation_of(1)
    ask = {"conversions": {"dataset": "purchases"}, "starts": STARTS, "ends": ENDS}

    def touches(**more: Any) -> list[dict[str, Any]]:
        return [{"dataset": "visits", "credit": "place", **more}]

    whole = fed.attribution(**ask, touches=touches(), noise=False)
    assert whole.job.plan.channels == ("Corner shop (s1)", "New mall (m2)", "Old mall (m1)")
    assert "1 places of sensitive types are not credited" in " ".join(whole.result.notes)
    types = fed.attribution(**ask, touches=touches(level="type"), noise=False)
    assert types.job.plan.channels == ("mall", "shop")
    for places, code in ((["c1"], "places.sensitive"), (["m9"], "places.unknown")):
        with pytest.raises(Refusal) as caught:
            fed.attribution(**ask, touches=touches(places=places))
        assert caught.value.code == code
        assert places[0] in caught.value.message
