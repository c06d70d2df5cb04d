"""What a recipient reads: rows, rates between published figures only, why a figure is missing."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_funnels import contract_of

from hanse.measure import FunnelPlan, FunnelQuestion, FunnelResult
from hanse.measure.funnel import protocol as funnel
from hanse.measure.funnel.result import result


def _plan(noise: bool = True) -> FunnelPlan:
    parameters = {
        "stages": [
            {"name": "seen", "any_of": [{"dataset": "exposures"}]},
            {"name": "scanned", "any_of": [{"dataset": "scans"}]},
            {"name": "bought", "any_of": [{"dataset": "baskets"}]},
        ],
        "starts": "2026-01-01",
        "ends": "2026-01-31",
        "by": {"dataset": "people", "column": "kids"},
        "compare_with": "people",
    }
    return funnel.plan(FunnelQuestion.read(parameters), contract_of(3), epsilon=1.0, noise=noise)


def _result(values: dict[int, int], noise: bool = True) -> FunnelResult:
    """A result in which only these outputs are published."""
    plan = _plan(noise)
    counts = np.zeros(plan.release.outputs, np.int64)
    published = np.zeros(plan.release.outputs, np.bool_)
    for place, value in values.items():
        counts[place], published[place] = value, True
    return result(plan, counts, published)


def test_rows_come_by_arm_segment_and_stage_with_unknown_last() -> None:
    rows = _result({}).rows
    assert [(r.arm, r.segment) for r in rows[::3]] == [
        (arm, segment)
        for arm in ("exposed", "not exposed")
        for segment in ("all", "false", "true", "unknown")
    ]
    assert [r.stage for r in rows[:3]] == ["seen", "scanned", "bought"]
    assert [r.stage for r in rows[12:15]] == ["not exposed", "scanned", "bought"]


def test_a_suppressed_figure_says_why_and_shows_nothing() -> None:
    found = _result({0: 900, 2: 300})
    hidden = found.row("scanned")
    shown = {k: v for k, v in hidden.body().items() if k not in ("arm", "segment", "stage")}
    why = shown.pop("suppressed")
    assert set(shown.values()) == {None}
    threshold = _plan().release.thresholds()[1]
    assert "fewer than 20 people" in why
    assert f"below {threshold}" in why
    assert threshold > 20


def test_rates_are_between_published_figures_only() -> None:
    found = _result({0: 900, 2: 300})
    assert found.row("seen").rate is None  # nothing before it
    bought = found.row("bought")
    assert bought.rate is None  # the stage before is suppressed
    assert bought.overall == 300 / 900
    assert bought.overall_low is not None
    assert bought.overall_low < 300 / 900 < (bought.overall_high or 0)


def test_a_new_segment_has_no_stage_before() -> None:
    found = _result({2: 300, 3: 200, 4: 100})
    assert found.row("seen", "false").rate is None
    assert found.row("scanned", "false").rate == 0.5


@given(st.lists(st.integers(0, 5000), min_size=24, max_size=24), st.booleans())
def test_figures_are_within_their_intervals_and_rates_within_0_and_1(
    values: list[int], noise: bool
) -> None:
    found = _result(dict(enumerate(values)), noise)
    for row in found.rows:
        assert row.low is not None
        assert row.high is not None
        assert 0 <= row.low <= (row.people or 0) <= row.high
        for rate, low, high in (
            (row.rate, row.rate_low, row.rate_high),
            (row.overall, row.overall_low, row.overall_high),
        ):
            if rate is not None:
                assert low is not None
                assert high is not None
                assert 0.0 <= low <= rate + 1e-12
                assert rate - 1e-12 <= high <= 1.0


def test_result_as_arrow_has_one_type_a_column_even_if_all_is_suppressed() -> None:
    table = _result({}).to_arrow()
    assert table.num_rows == 24
    assert table.schema.field("people").type == pa.int64()
    assert table["people"].null_count == 24
    full = _result({0: 900, 1: 450}).to_arrow()
    assert full["people"].to_pylist()[:2] == [900, 450]
    assert full["rate"].to_pylist()[1] == 0.5


def test_result_as_text_names_groups_and_suppression() -> None:
    text = str(_result({0: 1234, 1: 617, 12: 500}))
    lines = text.splitlines()
    assert lines[1].strip() == "exposed"
    assert "1,234" in lines[2]
    assert "50.0%" in lines[3]
    assert lines[4].split() == ["bought", "suppressed"]
    assert "not exposed · unknown" in text


def _parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314 - made by the test itself


def test_picture_shows_figures_to_one_scale_and_hides_what_is_hidden() -> None:
    found = _result({0: 800, 1: 400, 12: 200}, noise=False)
    root = _parsed(found.to_svg())
    name = "{http://www.w3.org/2000/svg}"
    bars = [b for b in root.iter(f"{name}rect") if b.get("class") == "bar"]
    widths = [float(b.get("width", 0)) for b in bars]
    assert widths == [420.0, 210.0, 105.0]
    words = [t.text for t in root.iter(f"{name}text")]
    assert words.count("suppressed") == 3
    assert "400 · 50% of the stage before" in words
    assert {"exposed", "not exposed"} <= set(words)


def test_picture_of_chosen_segments_and_of_odd_names() -> None:
    rows = [replace(row, stage="a <b> & c") for row in _result({}).rows]
    svg = FunnelResult(tuple(rows)).to_svg("true", "false")
    texts = [t.text for t in _parsed(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("a <b> & c") == 12
    assert "exposed · true" in texts
    assert _parsed(FunnelResult(()).to_svg()).tag.endswith("svg")


def test_a_row_that_is_not_there_is_a_key_error() -> None:
    found = _result({})
    assert found.row("scanned", arm="not exposed").arm == "not exposed"
    with pytest.raises(KeyError, match="refunded"):
        found.row("refunded")
