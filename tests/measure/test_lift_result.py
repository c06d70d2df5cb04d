"""Lift as it is read: wording by design, suppression, standardised totals, tables and the picture."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest
from random_lifts import ENDS, STARTS, contract_of, of_arm

from hanse.measure.lift import protocol as lift
from hanse.measure.lift import reading as lift_reading
from hanse.measure.lift.protocol import LiftPlan, LiftQuestion
from hanse.measure.lift.result import LiftResult
from hanse.tables import Table

BY = {"dataset": "letters", "column": "age"}


def plan_of(noise: bool = False, **change: Any) -> LiftPlan:
    parameters = {
        "arms": [{"name": "control", **of_arm("a")}, {"name": "flyer", **of_arm("b")}],
        "control": "control",
        "outcomes": [
            {"name": "visited", "dataset": "visits"},
            {"name": "spent", "dataset": "orders", "column": "amount", "most": 100, "unit": 10},
        ],
        "starts": STARTS, "ends": ENDS, **change,
    }  # fmt: skip
    return lift.plan(LiftQuestion.read(parameters), contract_of(), epsilon=1.0, noise=noise)


Group = tuple[int, int, int, int]  # people, visited, sum, squares


def read(p: LiftPlan, groups: dict[tuple[str, str], Group], twice: int = 0) -> LiftResult:
    """The result of these figures per arm and segment; "all" is their sum."""
    place = {"people": 0, "crowd": 1, "sum": 2, "square": 3}
    values = []
    for f in p.figures:
        mine = [g for (arm, s), g in groups.items() if arm == f.arm and f.segment in ("all", s)]
        values.append(twice if f.kind == "twice" else sum(g[place[f.kind]] for g in mine))
    opened = np.array(values, np.int64)
    return lift_reading.result(p, opened, opened[p.release.guarded] >= p.release.thresholds())


PLAIN = {("control", "all"): (1000, 100, 2000, 20_000), ("flyer", "all"): (500, 75, 1500, 15_000)}
MATCHED = {
    ("control", "young"): (900, 90, 900, 9000), ("flyer", "young"): (100, 20, 200, 2000),
    ("control", "old"): (100, 30, 400, 4000), ("flyer", "old"): (400, 160, 2000, 20_000),
    ("flyer", "unknown"): (50, 5, 10, 10),
}  # fmt: skip


def test_figures_of_an_arm_and_against_the_control() -> None:
    result = read(plan_of(), PLAIN)
    row = result.row("visited", "flyer")
    assert (row.people, row.total, row.mean) == (500, 75, 0.15)
    assert row.difference == pytest.approx(0.05)
    assert row.relative == pytest.approx(0.5)
    assert row.incremental == pytest.approx(25)
    assert row.incremental_low == pytest.approx(500 * row.difference_low)  # type: ignore[operator]
    spent = result.row("spent", "flyer")
    assert (spent.kind, spent.total, spent.mean) == ("value", 1500, 3.0)
    assert spent.difference == pytest.approx(1.0)
    assert result.row("visited", "control").difference is None


@pytest.mark.parametrize(
    ("change", "groups", "word", "note"),
    [
        ({"randomised": True}, PLAIN, "effect", "Chance alone"),
        ({}, PLAIN, "difference between groups", "nothing was matched"),
        ({"by": BY}, MATCHED, "difference between matched groups", "by age only"),
    ],
)
def test_only_chance_makes_a_difference_an_effect(
    change: dict[str, Any], groups: dict[Any, Group], word: str, note: str
) -> None:
    result = read(plan_of(**change), groups)
    assert result.word == word
    assert any(note in line for line in result.notes)
    text = str(result)
    assert f"visited: {word} (control: control)" in text
    assert ("effect" in text.replace("need not be an effect", "")) == (word == "effect")


def test_a_confounded_difference_disappears_when_like_is_compared_with_like() -> None:
    result = read(plan_of(by=BY), MATCHED)
    crude = result.row("visited", "flyer")
    assert crude.difference == pytest.approx(185 / 550 - 0.12)
    matched = result.row("visited", "flyer", "standardised")
    # Segments weigh 100 and 400: the treated people in them.
    assert matched.difference == pytest.approx((100 * 0.1 + 400 * 0.1) / 500)
    assert matched.people == 500
    assert matched.incremental == pytest.approx(50)
    everybody = read(plan_of(by=BY, weights="all"), MATCHED).row("visited", "flyer", "standardised")
    assert everybody.people == 1500
    assert everybody.mean == pytest.approx((1000 * 0.2 + 500 * 0.4) / 1500)


def test_segments_without_a_control_are_left_out_and_named() -> None:
    result = read(plan_of(by=BY), MATCHED)
    row = result.row("visited", "control", "unknown")
    assert row.people is row.mean is row.difference is None
    assert "fewer than 20 people" in row.suppressed
    assert result.row("visited", "flyer", "unknown").difference is None
    assert "Not in the standardised total, since an arm is suppressed: unknown." in result.notes
    assert "suppressed" in str(result)


def test_without_any_common_segment_there_is_no_standardised_total() -> None:
    apart = {("control", "young"): (900, 90, 900, 9000), ("flyer", "old"): (400, 160, 2000, 20_000)}
    row = read(plan_of(by=BY), apart).row("visited", "flyer", "standardised")
    assert row.difference is None
    assert row.suppressed


def test_people_in_two_arms_are_told_from_the_threshold_on() -> None:
    few, many = read(plan_of(), PLAIN, twice=19), read(plan_of(), PLAIN, twice=44)
    assert "People in two arms, counted in none: too few to tell." in few.notes
    assert "People in two arms, counted in none: 44." in many.notes


def test_units_and_caps_are_told() -> None:
    result = read(plan_of(), PLAIN)
    assert "spent: in units of 10, at most 127 of them a person." in result.notes


def test_noise_never_shows_less_than_nothing_or_more_than_all() -> None:
    p = plan_of(noise=True)
    figures = {
        ("control", "all"): (1000, -9, -400, -9000),
        ("flyer", "all"): (500, 507, 1500, 15_000),
    }
    result = read(p, figures)
    nothing, everybody = result.row("visited", "control"), result.row("visited", "flyer")
    assert nothing.total == nothing.mean == nothing.mean_low == 0.0
    assert everybody.mean == everybody.mean_high == 1.0
    assert everybody.difference_high <= 1.0  # type: ignore[operator]
    spent = result.row("spent", "control")
    assert spent.mean == spent.mean_low == 0.0
    # A difference keeps the noise, so that it is not biased.
    assert result.row("spent", "flyer").difference == pytest.approx(1500 / 500 + 400 / 1000)


def test_body_tables_and_arrow_agree() -> None:
    result = read(plan_of(by=BY), MATCHED)
    body = result.body()
    assert body["computation"] == "lift"
    assert [t["title"].split(":")[0] for t in body["tables"]] == ["visited", "spent"]
    for table in body["tables"]:
        assert all(len(row) == len(table["heads"]) for row in table["rows"])
        assert all(0 <= i < len(table["heads"]) for i in table["right"])
    assert str(Table(**{**body["tables"][0], "heads": tuple(body["tables"][0]["heads"])})) in str(
        result
    )
    table = result.to_arrow()
    assert table.num_rows == len(result.rows) == len(body["rows"])
    place = [r["segment"] for r in body["rows"]].index("standardised")
    assert table["difference"][place].as_py() == result.rows[place].difference


def test_rare_outcomes_are_told_with_a_figure_more() -> None:
    rare = {("control", "all"): (10_000, 57, 0, 0), ("flyer", "all"): (10_000, 125, 0, 0)}
    text = str(read(plan_of(), rare))
    assert "0.57 % (0.44–0.74)" in text
    assert "+0.68 (" in text
    assert "10.0 % (" in str(read(plan_of(), PLAIN))


def test_the_picture_is_a_forest_plot() -> None:
    result = read(plan_of(by=BY), MATCHED)
    svg = ET.fromstring(result.to_svg("visited"))  # noqa: S314 - our own text
    name = "{http://www.w3.org/2000/svg}"
    rows = [r for r in result.rows if r.outcome == "visited" and r.arm == "flyer"]
    told = [r for r in rows if r.difference is not None]
    dots = list(svg.iter(f"{name}circle"))
    assert len(dots) == len(told) == 4
    texts = [t.text or "" for t in svg.iter(f"{name}text")]
    assert sum(t == "suppressed" for t in texts) == len(rows) - len(told) == 1
    # Places on the scale are in the order of the differences, and within their intervals.
    places = [float(d.attrib["cx"]) for d in dots]
    lines = [line for line in svg.iter(f"{name}line") if line.attrib["class"] == "effect"]
    differences = [r.difference for r in told]
    assert (
        np.argsort(places, kind="stable").tolist()
        == np.argsort(
            np.round(differences, 9),
            kind="stable",  # type: ignore[call-overload]
        ).tolist()
    )
    for line, place in zip(lines, places, strict=True):
        assert float(line.attrib["x1"]) <= place <= float(line.attrib["x2"])
    with pytest.raises(KeyError):
        result.to_svg("nothing")


def test_the_picture_of_an_all_suppressed_lift_says_so() -> None:
    few = {("control", "all"): (2, 1, 1, 1), ("flyer", "all"): (2, 1, 1, 1)}
    result = read(plan_of(), few)
    svg = result.to_svg("visited")
    assert "suppressed" in svg
    assert "nan" not in svg
