"""Whole answers: equal to the twin whatever is asked, and what recipients read of them."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import town

from hanse.cli.export import write_result
from hanse.places.concentration import result as result_module
from hanse.places.concentration.result import ConcentrationResult, result
from hanse.places.concentration.rows import areas_of
from hanse.rehearsal import Answer, Federation
from hanse.wire.codec import canonical

HOME = {"name": "home", "dataset": "homes", "column": "home"}
VISITED = {"name": "visited", "dataset": "visits", "column": "place", "slots": 3}
ON_FOOT = {
    **VISITED,
    "name": "on foot",
    "slots": 1,
    "where": [{"column": "mode", "equals": "foot"}],
}
CATS, DOGS = town.crowd("pet", "cat"), town.crowd("pet", "dog")
EITHER = {"any_of": [CATS, town.crowd("car", "yes")]}
MANY = {"a": CATS, "b": DOGS, "c": EITHER, "d": {"all_of": [CATS, town.crowd("car", "yes")]}}
VISITORS = {"dataset": "visits", "at_least": 2}


@pytest.mark.parametrize(
    "more",
    [
        {"levels": ["place", "h3", "district", "city"]},
        {"targets": {"cats": CATS, "dogs": DOGS}, "levels": ["district"], "at": [HOME, ON_FOOT]},
        {"targets": MANY, "levels": ["city", "place"], "at": [VISITED]},
        {"at": [VISITED], "levels": ["place", "h3", "district"], "types": ["mall", "office"]},
        {"base": {"any_of": [CATS, VISITORS]}, "targets": {"e": EITHER}, "levels": ["district"]},
        {"targets": {"visitors": VISITORS}, "at": [HOME], "places": ["p0000", "p0001", "p0005"]},
    ],
)  # fmt: skip
def test_any_question_equals_its_twin(more: dict[str, Any]) -> None:
    fed = town.federation(people=700, number=10, seed=len(str(more)))
    answer = fed.ask("concentration", town.question(**more), noise=False, epsilon=2.0)
    exact = answer.exact()
    assert (exact >= 20).sum() > 5
    assert np.array_equal(answer.values, np.where(exact >= 20, exact, 0))


def test_a_qualified_visit_is_one_that_the_contract_says_is() -> None:
    fed = town.federation(people=700, number=10, seed=3)
    fed.qualification("on_foot", "visits", {"mode": "foot"})
    qualified = {**VISITED, "name": "on foot", "slots": 1, "qualified": "on_foot"}
    asked = [
        fed.ask("concentration", town.question(levels=["place"], at=[at]), noise=False, epsilon=2.0)
        for at in (ON_FOOT, qualified)
    ]
    assert np.array_equal(asked[0].values, asked[1].values)
    assert np.array_equal(asked[0].exact(), asked[1].exact())
    assert asked[0].values.any()


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_areas_are_named_once_a_person(slots: int) -> None:
    area = np.array([0, 0, 1, 2, 1])
    codes = np.array([[1, 2, 3], [3, 5, 4], [0, 0, 0], [4, 1, 0], [2, 3, 4]])
    got = areas_of(codes, area, slots)
    want = [[1, 2, 0], [2, 3, 0], [0, 0, 0], [3, 1, 0], [1, 2, 3]]
    assert got.tolist() == [row[:slots] for row in want]


# --- what is read -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fed() -> Federation:
    return town.federation(people=4000, number=20, seed=9)


@pytest.fixture(scope="module")
def answer(fed: Federation) -> Answer[ConcentrationResult]:
    asked = town.question(
        targets={"cats": CATS, "drivers": town.crowd("car", "yes")},
        levels=["place", "district"],
        compare=["p0000", "p0001", "p0002"],
        sites={"target": "cats", "sites": 3, "prices": {f"p{n:04}": 100 + n for n in (0, 1, 2, 5, 6)},
               "money": 250},
        population={"level": "district", "people": {"d1": 40_000, "d2": 30_000, "d9": 1000}},
        least=30,
    )  # fmt: skip
    return fed.ask("concentration", asked, epsilon=4.0)


def test_tgi_is_the_share_there_over_the_share_everywhere(
    answer: Answer[ConcentrationResult],
) -> None:
    twin = answer.twin()
    district = twin.level("district")
    base, cats = district.base.value, district.target("cats").people.value
    overall = twin.everybody.value[1] / twin.everybody.value[0]
    want = 100 * (cats / base) / overall
    assert np.allclose(district.target("cats").tgi.value, want)
    assert np.allclose(district.target("cats").spread.value, cats / twin.everybody.value[1])


def test_figures_are_near_the_truth_and_their_intervals_hold_it(
    answer: Answer[ConcentrationResult],
) -> None:
    """Noise intervals of counts against exact counts: one draw, so what misses 95 % by five deviations is wrong.

    How well they hold over many draws is `tests/measure/test_coverage.py`.
    """
    told, exact = answer.result, answer.twin()
    held = number = 0
    for level in told.levels:
        for name in told.names:
            noised, true = level.target(name).people, exact.level(level.level).target(name).people
            there = ~np.isnan(noised.value)
            number += int(there.sum())
            inside = (noised.low <= true.value) & (true.value <= noised.high)
            held += int(inside[there].sum())
    assert number > 20
    assert held >= 0.95 * number - 5 * np.sqrt(0.95 * 0.05 * number)


def test_areas_are_ranked_by_tgi_from_enough_people_on(answer: Answer[ConcentrationResult]) -> None:
    for level in answer.result.levels:
        for target in level.targets:
            ranked = np.flatnonzero(target.rank)
            assert (level.base.value[ranked] >= 30).all()
            order = ranked[np.argsort(target.rank[ranked])]
            assert sorted(target.rank[ranked]) == list(range(1, ranked.size + 1))
            assert (np.diff(target.tgi.value[order]) <= 0).all()


def test_extrapolation_is_population_times_share(answer: Answer[ConcentrationResult]) -> None:
    told = answer.result
    district = told.level("district")
    for e in told.extrapolated:
        share = district.target(e.target).share.value
        want = [
            {"d1": 40_000, "d2": 30_000}[name] * share[district.ids.index(name)] for name in e.areas
        ]
        assert np.allclose(e.people.value, want)
        assert float(e.whole.value) == pytest.approx(sum(want))
        assert float(e.whole.low) < float(e.whole.value) < float(e.whole.high)
        assert (e.covered, e.given) == (70_000, 71_000)


def test_candidate_sites_are_compared_in_pairs(answer: Answer[ConcentrationResult]) -> None:
    told = answer.result
    place = told.level("place")
    pairs = [(c.first, c.second) for c in told.compared if c.target == "cats"]
    assert pairs == [("mall 0", "office 1"), ("mall 0", "market 2"), ("office 1", "market 2")]
    first = told.compared[0]
    share = place.target(first.target).share.value
    assert float(first.share.value) == pytest.approx(share[0] - share[1])
    assert float(first.share.low) < float(first.share.value) < float(first.share.high)


def test_sites_are_bought_for_most_people_per_money(answer: Answer[ConcentrationResult]) -> None:
    sites = answer.result.sites
    assert sites is not None
    assert sum(sites.prices) <= 250
    assert len(sites.sites) == 2
    place = answer.result.level("place")
    people = dict(zip(place.ids, place.target("cats").people.value.tolist(), strict=True))
    price = {f"p{n:04}": 100 + n for n in (0, 1, 2, 5, 6)}
    best = sorted(price, key=lambda p: -np.nan_to_num(people[p]) / price[p])
    assert list(sites.sites) == best[:2]
    assert float(sites.whole.value) == pytest.approx(sum(people[p] for p in sites.sites))


def test_sites_by_tgi_must_reach_the_floor(fed: Federation) -> None:
    asked = town.question(sites={"target": "drivers", "by": "tgi", "sites": 20, "floor": 100.0})
    told = fed.ask("concentration", asked, epsilon=4.0).result
    assert told.sites is not None
    tgi = told.sites.tgi.value
    assert tgi.size
    assert (tgi >= 100).all()
    assert (np.diff(tgi) <= 0).all()
    assert not told.sites.prices


def test_the_result_is_told_in_tables_and_words(answer: Answer[ConcentrationResult]) -> None:
    told = answer.result
    body = told.body()
    assert json.loads(canonical(body)) == body
    titles = [t["title"] for t in body["tables"]]
    assert titles[0] == "Everybody, wherever they are"
    assert len(titles) == 1 + 4 + 1 + 2 + 1 + 1
    for shown in body["tables"]:
        assert all(len(row) == len(shown["heads"]) for row in shown["rows"])
        assert shown["rows"]
    text = str(told)
    assert "8 places of sensitive types were left out (home)" in text
    assert "It assumes that within an area the base is like its population" in text
    assert "not different people" in text
    assert told == answer.result
    assert told != answer.twin()


def test_rows_are_there_for_other_tools(answer: Answer[ConcentrationResult]) -> None:
    table = answer.to_arrow()
    assert table.num_rows == 2 * sum(level.shown.size for level in answer.result.levels)
    assert {"at", "level", "area", "target", "base", "people", "tgi", "tgi_low", "tgi_high", "rank"} <= set(
        table.column_names
    )  # fmt: skip
    assert set(table["target"].to_pylist()) == {"cats", "drivers"}


def test_a_file_of_the_result_has_a_row_for_each_area_and_target(
    answer: Answer[ConcentrationResult], tmp_path: Path
) -> None:
    body = json.loads(canonical(answer.result.body()))
    write_result(tmp_path / "told.parquet", {"result": body})
    write_result(tmp_path / "told.csv", {"result": body})
    told = pq.read_table(tmp_path / "told.parquet")
    want = answer.to_arrow()
    assert (
        told.num_rows == want.num_rows == len((tmp_path / "told.csv").read_text().splitlines()) - 1
    )
    for name in ("at", "level", "area", "target", "base", "people"):
        assert told[name].to_pylist() == want[name].to_pylist()
    for mine, theirs in zip(told["tgi_low"].to_pylist(), want["tgi_low"].to_pylist(), strict=True):
        assert mine == (None if theirs is None else pytest.approx(theirs, abs=0.051))


def test_the_picture_is_drawn(answer: Answer[ConcentrationResult]) -> None:
    for level in ("place", "district"):
        drawn = ET.fromstring(answer.result.to_svg(level, "drivers"))  # noqa: S314 - ours
        kinds = [e.tag.rpartition("}")[2] for e in drawn.iter()]
        ranked = int((answer.result.level(level).target("drivers").rank > 0).sum())
        assert kinds.count("circle") == ranked + 3  # three of the key
        assert sum(e.get("class") == "bar" for e in drawn.iter()) == min(ranked, 15)


def test_when_all_is_suppressed_it_says_so(fed: Federation) -> None:
    p = town.plan(fed, levels=["place", "city"], sites={"target": "drivers"})
    nothing = np.zeros(p.release.outputs, np.int64)
    told = result(p, nothing, nothing > 0)
    assert told.to_arrow().num_rows == 0
    assert "every area is suppressed" in told.to_svg()
    assert "14 areas are suppressed: fewer than 20 people" in str(told)
    assert canonical(told.body())


def test_many_places_make_a_body_of_a_few_megabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    fed = town.federation(people=60, number=60_000, seed=3)
    p = town.plan(fed, targets={"a": CATS, "b": DOGS})
    values = np.full(p.release.outputs, 12_345, np.int64)
    told = result(p, values, values > 0)
    assert len(p.whereabouts[0].places) == 36_000
    assert len(canonical(told.body())) < 36_000 * 80
    monkeypatch.setattr(result_module, "MOST_FIGURES", 1000)
    assert "tgi" not in told.body()["areas"][0]
    assert len(canonical(told.body())) < 36_000 * 30
