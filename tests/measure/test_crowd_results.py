"""What recipients of overlap and reach read: figures that follow from cells, shared parts, averages, pictures."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_funnels import contract_of

from hanse.measure.overlap.protocol import OverlapPlan
from hanse.measure.overlap.result import OverlapResult
from hanse.measure.reach.protocol import ReachPlan, first_share
from hanse.measure.reach.result import ReachResult
from hanse.menu import entry

PERIOD = {"starts": "2026-01-01", "ends": "2026-02-01"}
MEDIA = ("exposures", "scans", "visits")


def _plan(name: str, noise: bool, **question: Any) -> Any:
    return entry(name).plan({**PERIOD, **question}, contract_of(4), 1.0, noise)


def _overlap(count: int = 3, noise: bool = True, **question: Any) -> OverlapPlan:
    crowds = [
        {"name": f"c{i}", "dataset": MEDIA[i % 3], "at_least": 1 + i // 3} for i in range(count)
    ]
    plan: OverlapPlan = _plan("overlap", noise, crowds=crowds, **question)
    return plan


def _reach(noise: bool = True, **question: Any) -> ReachPlan:
    exposures = [{"dataset": name} for name in MEDIA]
    plan: ReachPlan = _plan("reach", noise, exposures=exposures, most_frequency=4, **question)
    return plan


def _read(name: str, plan: Any, cells: list[int], *, published: Any = None) -> Any:
    values = plan.release.sums.apply(np.array(cells, np.int64))
    shown = np.ones(values.shape, np.bool_) if published is None else published(values)
    return entry(name).read(plan, np.where(shown, values, 0), shown)


# --- overlap ----------------------------------------------------------------------------------------


def _exact() -> OverlapResult:
    """Regions 1 to 7 (c0 is the lowest bit) with these people."""
    result: OverlapResult = _read("overlap", _overlap(noise=False), [100, 200, 30, 400, 50, 60, 7])
    return result


def test_every_overlap_figure_follows_from_the_regions() -> None:
    result = _exact()
    people = {(row.kind, row.crowd): row.people for row in result.rows}
    assert people["region", "c0 + c2"] == 50
    assert people["crowd", "c1"] == 200 + 30 + 60 + 7
    assert people["both", "c0 and c2"] == 50 + 7
    assert people["added", "c0"] == people["crowd", "c0"] == people["reach", "c0"] == 187
    assert people["added", "c1"] == 200 + 60
    assert people["added", "c2"] == 400
    assert people["reach", "c0 or c1 or c2"] == 847
    assert people["at least", "2 crowds"] == 30 + 50 + 60 + 7
    assert people["at least", "3 crowds"] == 7


def test_shared_parts_are_of_the_first_crowd() -> None:
    result = _exact()
    assert result.part("c0", "c2").rate == pytest.approx(57 / 187)
    assert result.part("c2", "c0").rate == pytest.approx(57 / 517)
    part = result.part("c0", "c2")
    assert part.low is not None
    assert part.high is not None
    assert part.low < 57 / 187 < part.high, "a rate is a sample even without noise"


def test_noise_widens_a_shared_part() -> None:
    cells = [1000, 2000, 300, 4000, 500, 600, 70]
    plain, noised = (
        _read("overlap", _overlap(noise=n), cells).part("c0", "c2") for n in (False, True)
    )
    assert noised.high - noised.low > plain.high - plain.low


def test_a_part_is_not_told_when_either_figure_is_suppressed() -> None:
    plan = _overlap()
    result = _read("overlap", plan, [100, 200, 30, 400, 50, 60, 7], published=lambda v: v >= 100)
    both = result.row("both", "c0 and c2")
    assert both.people is None
    assert "20 people" in both.suppressed
    assert result.part("c0", "c2").rate is None
    assert "suppressed" in str(result)


def test_shares_of_the_universe_stay_within_0_and_1() -> None:
    result = _read("overlap", _overlap(universe=300), [100, 200, 30, 400, 50, 60, 7])
    reach = result.row("reach", "c0 or c1 or c2")
    assert (reach.share, reach.share_high) == (1.0, 1.0)
    assert result.row("region", "c0").share == pytest.approx(1 / 3)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.data())
def test_regions_crowds_and_reach_add_up_whatever_the_noise(
    count: int, data: st.DataObject
) -> None:
    cells = data.draw(
        st.lists(st.integers(-50, 10**6), min_size=2**count - 1, max_size=2**count - 1)
    )
    result: OverlapResult = _read("overlap", _overlap(count), cells)
    by_kind = {kind: [r.people for r in result.of(kind)] for kind in ("region", "added", "reach")}
    assert len(by_kind["region"]) == 2**count - 1
    assert sum(by_kind["region"]) == sum(by_kind["added"]) == by_kind["reach"][-1]
    assert np.cumsum(by_kind["added"]).tolist() == by_kind["reach"]
    for place, crowd in enumerate(result.of("crowd")):
        inside = [r.people for r, m in zip(result.rows, result.members, strict=True)
                  if r.kind == "region" and place in m]  # fmt: skip
        assert sum(p for p in inside if p is not None) == crowd.people


def test_the_overlap_as_a_picture_holds_every_region_and_crowd() -> None:
    result = _exact()
    tree = ElementTree.fromstring(result.to_svg())  # noqa: S314 - our own text
    kinds = [e.get("class") for e in tree.iter() if e.get("class")]
    assert kinds.count("on") == sum(bin(r).count("1") for r in range(1, 8))
    assert kinds.count("on") + kinds.count("off") == 3 * 7
    assert kinds.count("bar") == 7 + 3
    assert kinds.count("interval") == 7 + 3


def test_a_picture_of_six_crowds_and_nothing_published_is_still_well_formed() -> None:
    plan = _overlap(6)
    result = _read("overlap", plan, [0] * 63, published=lambda v: np.zeros(v.shape, np.bool_))
    text = result.to_svg()
    ElementTree.fromstring(text)  # noqa: S314 - our own text
    assert "63 of 63 suppressed" in text


def test_names_are_escaped_in_the_picture() -> None:
    crowds = [{"name": '<b>&"x"', "dataset": "scans"}]
    plan = _plan("overlap", True, crowds=crowds)
    ElementTree.fromstring(_read("overlap", plan, [500]).to_svg())  # noqa: S314 - our own text


# --- reach ------------------------------------------------------------------------------------------

FREQUENCIES, FIRST = [400, 300, 200, 100], [500, 350, 150]


def _reached(noise: bool = False, **question: Any) -> ReachResult:
    result: ReachResult = _read("reach", _reach(noise, **question), [*FREQUENCIES, *FIRST])
    return result


def test_every_reach_figure_follows_from_the_cells() -> None:
    result = _reached()
    assert [r.people for r in result.of("reach")] == [1000, 600, 300, 100]
    assert [r.people for r in result.of("frequency")] == FREQUENCIES
    assert [r.people for r in result.of("added")] == FIRST
    assert [r.people for r in result.of("together")] == [500, 850, 1000]
    assert [r.part for r in result.of("together")] == [0.5, 0.85, 1.0]
    assert result.average().value == pytest.approx(2.0)
    assert result.row("added", exposure="scans").people == 350


def test_the_average_is_a_sample_even_without_noise_and_wider_with_it() -> None:
    plain, noised = _reached().average(), _reached(noise=True).average()
    spread = np.repeat([1, 2, 3, 4], FREQUENCIES).std()
    assert plain.high is not None
    assert plain.high - 2.0 == pytest.approx(1.96 * spread / np.sqrt(1000), rel=0.02)
    assert noised.high is not None
    assert noised.high > plain.high


def test_the_average_is_cut_where_figures_are_suppressed() -> None:
    plan = _reach()
    cells = [*FREQUENCIES, *FIRST]
    result = _read("reach", plan, cells, published=lambda v: v > 250)
    average = result.average()
    assert average.most == 3  # 4+ is suppressed
    assert average.value == pytest.approx((400 + 2 * 300 + 3 * 300) / 1000)
    assert "more than 3 count as 3" in str(result)
    nothing = _read("reach", plan, cells, published=lambda v: v > 10**6)
    assert nothing.average().value is None


def test_a_universe_of_a_number_and_of_a_crowd() -> None:
    numbered = _reached(universe=4000)
    assert numbered.row("reach", 2).share == pytest.approx(600 / 4000)
    plan = _reach(universe={"dataset": "baskets"})
    result: ReachResult = _read("reach", plan, [1000, *FREQUENCIES, *FIRST])
    assert result.row("universe").people == 2000
    share = result.row("reach", 2)
    assert share.share == pytest.approx(600 / 2000)
    assert share.share_low is not None
    assert share.share_low < 0.3


def test_segments_are_told_apart_and_unknown_comes_last() -> None:
    by = {"dataset": "people", "column": "kids"}
    cells = [10, 20, 30, 40, 100, 200, 300, 400, 1, 2, 3, 4, *FIRST]  # unknown, false, true
    result: ReachResult = _read("reach", _reach(noise=False, by=by), cells)
    assert [a.segment for a in result.averages] == ["all", "false", "true", "unknown"]
    assert result.row("reach", 1).people == 1110
    assert result.row("reach", 3, "false").people == 700
    assert result.row("frequency", 4, "true").people == 4
    assert result.row("reach", 1, "unknown").people == 100


def test_added_reach_is_about_as_sure_as_reach() -> None:
    for cells in (4, 12, 30, 80):
        share = first_share(cells)
        assert np.isclose(np.sqrt(cells) / (1 - share), 1 / share) == (share > 0.1)
    plan = _reach()
    outputs = {(o.kind, o.times): i for i, o in enumerate(plan.outputs)}
    assert plan.release.sd(outputs["added", 0]) == pytest.approx(
        plan.release.sd(outputs["reach", 1]), rel=0.1
    )
    single = _plan("reach", True, exposures=[{"dataset": "scans"}])
    assert [b.share for b in single.release.blocks] == [1.0]


def test_the_two_counts_of_everybody_reached_are_brought_together() -> None:
    first = [510, 355, 155]  # 1,020 people, where the frequencies make 1,000
    apart: ReachResult = _read("reach", _reach(noise=False), [*FREQUENCIES, *first])
    assert apart.row("reach", 1).people == 1000
    assert apart.of("together")[-1].people == 1020
    plan = _reach()
    result: ReachResult = _read("reach", plan, [*FREQUENCIES, *first])
    reached = result.row("reach", 1)
    assert reached.people == result.of("together")[-1].people
    # The second total sums three cells that are each as noisy as the first total.
    assert reached.people == 1005
    assert sum(r.people or 0 for r in result.of("frequency")) == 1005
    assert sum(r.people or 0 for r in result.of("added")) == 1005
    alone = _read("reach", plan, [*FREQUENCIES, *first], published=lambda v: v < 1020)
    assert alone.row("reach", 1).people == 1000, "nothing changes where one total is suppressed"
    assert reached.high is not None
    assert reached.high - 1005 < 0.9 * (alone.row("reach", 1).high - 1000)


def test_results_are_tables_for_everybody() -> None:
    for result in (_exact(), _reached(noise=True, universe=5000)):
        body = result.body()
        assert json.loads(json.dumps(body)) == body, "a body is plain values"
        for table in body["tables"]:
            assert all(len(row) == len(table["heads"]) for row in table["rows"])
            assert all(isinstance(cell, str) for row in table["rows"] for cell in row)
            assert max(table["right"]) < len(table["heads"])
        assert isinstance(result.to_arrow(), pa.Table)
        assert result.to_arrow().num_rows == len(result.rows) == len(body["rows"])


def test_the_reach_picture_shows_what_is_published_and_outlines_the_rest() -> None:
    plan = _reach()
    result = _read("reach", plan, [*FREQUENCIES, *FIRST], published=lambda v: v > 150)
    tree = ElementTree.fromstring(result.to_svg())  # noqa: S314 - our own text
    kinds = [e.get("class") for e in tree.iter() if e.get("class")]
    assert kinds.count("dot") == 3
    assert kinds.count("bar") == 3
    assert kinds.count("hidden") == 2
    assert kinds.count("interval") == 6
