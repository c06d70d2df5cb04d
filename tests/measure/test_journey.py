"""The cross-scenario report: one job equal to its funnels, fields shared, words and page true to the figures."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from hanse.errors import Refusal
from hanse.measure.journey.protocol import JourneyQuestion
from hanse.measure.journey.result import JourneyResult
from hanse.measure.journey.twin import example
from hanse.rehearsal import Answer, Federation


def federation(**options: Any) -> Federation:
    fed = Federation(k=20, seed="journey", join_epsilon=1.0, epsilon_budget=100, **options)
    for t in example().tables:
        fed.dataset(t.dataset, t.provider, t.table, id=t.id, time=t.time, columns=dict(t.columns))
    return fed


@pytest.fixture(scope="module")
def answer() -> Answer[JourneyResult]:
    return federation().journey(**example().parameters, noise=False)


def test_each_leg_is_the_funnel_that_a_user_would_have_asked(answer: Answer[JourneyResult]) -> None:
    exposed = [
        {"dataset": "exposures", "where": [{"column": "kind", "one_of": ["screen", "banner"]}]}
    ]
    stages = [
        {"name": "exposed", "any_of": exposed},
        {"name": "malls and stores", "any_of": [{"dataset": "store-visits"}], "within_days": 30},
        {"name": "paid", "any_of": [{"dataset": "payments"}], "within_days": 30},
        {"name": "bought again or joined", "within_days": 60,
         "any_of": [{"dataset": "payments"}, {"dataset": "topics"}]},
    ]  # fmt: skip
    question = {"stages": stages, "starts": "2026-03-01", "ends": "2026-05-01", "compare_with": "people",
                "by": {"dataset": "people", "column": "city"}}  # fmt: skip
    funnel = federation().ask("funnel", question, noise=False).result
    for breakdown, segments in (("", ("all",)), ("city", ("north", "south", "unknown"))):
        ours = answer.result.of("exposed to loyalty", "", breakdown)
        assert {r.segment for r in ours} == set(segments)
        for row in ours:
            there = funnel.row(row.stage, row.segment, row.arm)
            assert (row.people, row.rate) == (there.people, there.rate)


def test_equal_sources_travel_once(answer: Answer[JourneyResult]) -> None:
    layout = answer.job.plan.layouts["media"]
    names = [f.name.split(".")[0] for f in layout.fields]
    on = [f.name for f in layout.fields if f.name.endswith(".on")]
    assert len(on) == len(set(on)) == 4  # screens, banners, the online mall, topics
    assert "label0" not in names


def test_the_words_say_what_the_figures_say(answer: Answer[JourneyResult]) -> None:
    result = answer.result
    scanned = next(s for s in result.sentences() if "scanned" in s)
    first, second = result.of("exposed offline to a scan")[:2]
    assert f"{first.people:,} people (exposed offline)" in scanned
    assert second.rate is not None
    assert f"{second.rate * 100:.1f} %" in scanned
    stores = next(s for s in result.sentences() if "malls and stores" in s and "exposed)" in s)
    row = result.of("exposed to loyalty")[1]
    assert row.uplift is not None
    assert f"{abs(row.uplift) * 100:.1f} points" in stores
    assert row.uplift_low is not None
    assert row.uplift_high is not None
    assert row.uplift_low < row.uplift < row.uplift_high


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in ("meta", "rect", "line", "path", "circle"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_by_itself(answer: Answer[JourneyResult]) -> None:
    page = answer.result.to_html()
    tags = Tags()
    tags.feed(page)
    assert not tags.open, "a tag is left open"
    assert "script" not in tags.seen
    assert "link" not in tags.seen
    assert tags.seen.count("table") == len(answer.result.keys)
    assert tags.seen.count("svg") == len(answer.result.legs)


def test_names_are_text_in_the_page() -> None:
    question = {**example().parameters, "campaign": "<b>Spring</b>"}
    page = federation().journey(**question, noise=False).result.to_html()
    assert "<b>Spring" not in page
    assert "&lt;b&gt;Spring" in page


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"offline": [], "online": []}, "give exposures"),
        ({"online_mall": [], "stores": [], "scans": [], "payments": [], "repeats": [], "topics": []},
         "driven to"),
        ({"payments": []}, "follow payments"),
        ({"ends": "2026-03-01"}, "later than starts"),
    ],
)  # fmt: skip
def test_questions_that_make_no_sense_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(Refusal, match=words):
        JourneyQuestion.read({**example().parameters, **change})


def test_more_breakdowns_mean_more_noise() -> None:
    few = federation().journey(**{**example().parameters, "by": [], "channels": []}, epsilon=4.0)
    many = federation().journey(**example().parameters, epsilon=4.0)
    assert many.job.plan.release.sd(0) > 2 * few.job.plan.release.sd(0)
