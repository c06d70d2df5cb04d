"""The scoreboard says what happened, and its pictures are whole and show what they claim."""

from __future__ import annotations

import re
import xml.etree.ElementTree as Xml

import numpy as np
import pyarrow as pa
import pytest

from hanse.catalog.gazetteers import from_table
from hanse.errors import Fault
from hanse.places.feeds.feed import days_between
from hanse.places.scoreboard.pictures import contributions_svg, scoreboard_svg
from hanse.places.scoreboard.pictures_map import map_svg
from hanse.places.scoreboard.pictures_series import series_svg
from hanse.places.scoreboard.rows import regimes, told_of_rows
from hanse.places.scoreboard.scoreboard import (
    Scoreboard,
    Told,
    by_name,
    by_size,
    by_weekday,
    contributions,
    scoreboard,
)

DAYS = days_between("2026-01-05", "2026-01-18")  # a Monday to a Sunday


def told(point: np.ndarray, published: np.ndarray | None = None, confidence: float = 0.8) -> Told:
    names = tuple(f"p{n}" for n in range(point.shape[0]))
    shown = np.isfinite(point) if published is None else published
    return Told(
        names,
        DAYS[: point.shape[1]],
        point,
        point * 0.8,
        point * 1.25,
        np.full(point.shape, confidence),
        shown,
    )


def test_scores_by_hand() -> None:
    truth = np.array([[100.0, 100, 100, 100], [100, 0, np.nan, 200]])
    point = np.array([[100.0, 130, 131, 69], [90, 50, 50, np.nan]])
    published = np.array([[True, True, True, False], [True, True, True, False]])
    whole = scoreboard(told(point, published), truth).whole
    # Judged: the first place's four days, the second's first; the day of nothing is left out, the others unknown.
    assert whole.days == 5
    assert whole.published_share == pytest.approx(4 / 5)
    assert whole.p30 == pytest.approx(3 / 5)
    assert whole.p30_published == pytest.approx(3 / 4)
    assert whole.bias == pytest.approx(0.15)
    assert whole.median_error == pytest.approx(0.2)
    assert whole.coverage == pytest.approx(2 / 4)  # 130 * 0.8 is above the truth, 131 * 0.8 as well
    assert whole.confidence == pytest.approx(0.8)
    assert scoreboard(told(point, published), truth).left_out == 1


def test_groups_divide_places_and_days() -> None:
    random = np.random.default_rng(1)
    truth = np.exp(random.normal(5, 1, (30, 14)))
    point = truth.copy()
    point[:10] *= 1.5  # the first ten places are wrong
    point[:, 6] *= 1.5  # and the first Sunday
    board = scoreboard(
        told(point), truth, [by_name("kind", ["bad"] * 10 + ["good"] * 20), by_weekday(DAYS, 30)]
    )
    assert board.dimensions() == ("kind", "weekday", "day")
    kinds = {s.group: s for s in board.of("kind")}
    assert kinds["bad"].p30 == 0.0
    assert kinds["good"].p30 == pytest.approx(13 / 14)
    weekdays = {s.group: s.p30_published for s in board.of("weekday")}
    assert weekdays["Sunday"] == pytest.approx(1 / 3)
    assert weekdays["Monday"] == pytest.approx(2 / 3)
    assert sum(s.days for s in board.of("day")) == board.whole.days == 420
    assert board.body()["scores"][0]["dimension"] == "all"


def test_tenths_by_size_hold_equally_many_places() -> None:
    truth = np.exp(np.random.default_rng(2).normal(5, 1, (100, 14)))
    truth[7] = np.nan
    size = by_size(truth)
    counts = np.bincount(size.group[size.group >= 0], minlength=10)
    assert counts.min() >= 9
    assert counts.sum() == 99
    assert size.group[7] == -1
    level = np.nanmedian(truth[size.group >= 0], axis=1)
    assert (
        level[size.group[size.group >= 0] == 0].max()
        <= level[size.group[size.group >= 0] == 9].min()
    )


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(Fault, match=r"scoreboard\.shape"):
        Told(
            ("a",),
            DAYS[:2],
            np.ones((1, 2)),
            np.ones((1, 2)),
            np.ones((1, 3)),
            np.ones((1, 2)),
            np.ones((1, 2), bool),
        )


def test_contributions_are_ordered_by_what_is_lost() -> None:
    found = contributions(0.9, {"map": 0.85, "operator": 0.91, "owners": 0.7})
    assert [c.party for c in found] == ["owners", "map", "operator"]
    assert [round(c.points, 6) for c in found] == [20.0, 5.0, -1.0]


# --- pictures -----------------------------------------------------------------------------------------


def shapes(svg: str, tag: str, kind: str) -> list[Xml.Element]:
    """Elements of a picture with a class; parsing fails if it is not whole."""
    root = Xml.fromstring(svg)  # noqa: S314 - our own picture
    return [e for e in root.iter(f"{{http://www.w3.org/2000/svg}}{tag}") if e.get("class") == kind]


def board_of(places: int = 30) -> Scoreboard:
    random = np.random.default_rng(3)
    truth = np.exp(random.normal(5, 1, (places, 14)))
    point = truth * np.exp(random.normal(0, 0.2, truth.shape))
    published = random.random(truth.shape) < 0.7
    published[:, 5] = False
    kinds = by_name("kind", ["a & b", "<mall>", "park"] * (places // 3))
    return scoreboard(told(point, published), truth, [kinds, by_size(truth, 4)])


def test_the_board_has_a_bar_for_every_group() -> None:
    board = board_of()
    svg = scoreboard_svg(board)
    assert len(shapes(svg, "rect", "bar")) == len(board.of("kind")) + len(board.of("size"))
    assert f"{board.whole.p30_published:.1%}" in svg
    assert "&lt;mall&gt;" in svg
    # The line of published days is cut where nothing was published.
    line = shapes(svg, "path", "line")[0].get("d") or ""
    assert line.count("M") == 2
    widths = [float(e.get("width") or 0) for e in shapes(svg, "rect", "bar")[:3]]
    scores = [s.p30_published or 0 for s in board.of("kind")]
    assert np.argsort(widths).tolist() == np.argsort(scores).tolist()


def test_a_group_without_numbers_says_so() -> None:
    truth = np.full((2, 14), 100.0)
    published = np.zeros((2, 14), bool)
    published[0] = True
    board = scoreboard(told(truth, published), truth, [by_name("kind", ["told", "hidden"])])
    assert "nothing published" in scoreboard_svg(board)
    assert "nothing published" not in scoreboard_svg(scoreboard(told(truth), truth))


def test_contributions_go_both_ways() -> None:
    svg = contributions_svg(contributions(0.9, {"map": 0.85, "operator": 0.91}))
    gain, loss = shapes(svg, "rect", "gain"), shapes(svg, "rect", "loss")
    assert (len(gain), len(loss)) == (1, 1)
    assert float(loss[0].get("x") or 0) < float(gain[0].get("x") or 0)
    assert "+5.0 points" in svg
    contributions_svg(())


def test_the_map_shows_what_is_published_and_hides_what_is_not() -> None:
    random = np.random.default_rng(4)
    listed = from_table(pa.table({
        "id": [f"{n:02}" for n in range(40)], "name": [f"Place {n}" for n in range(40)], "type": ["mall"] * 40,
        "lat": 31 + random.random(40) * 0.05, "lon": 121 + random.random(40) * 0.05,
    }))  # fmt: skip
    point = np.exp(random.normal(6, 1, 40))
    confidence = np.linspace(0.3, 1.0, 40)
    published = confidence >= 0.6
    svg = map_svg("Crowds", listed, point, confidence, published)
    drawn = {
        kind: len(shapes(svg, "circle", kind)) - 1
        for kind in ("sure", "likely", "unsure", "withheld")
    }
    assert drawn == {"sure": int((confidence >= 0.9).sum()), "likely": int((published & (confidence < 0.9)).sum()),
                     "unsure": 0, "withheld": int((~published).sum())}  # fmt: skip
    assert len(shapes(svg, "polygon", "cell")) == len(set(listed.h3))
    withheld = int(np.flatnonzero(~published)[0])
    assert f"{point[withheld]:,.0f}" not in re.findall(rf"Place {withheld}: [^<]*", svg)[0]
    square = np.array([[31.0, 121.0], [31.05, 121.0], [31.05, 121.05], [31.0, 121.05]])
    assert (
        len(
            shapes(
                map_svg("Crowds", listed, point, confidence, published, [square]),
                "polygon",
                "outline",
            )
        )
        == 1
    )


def test_a_series_marks_what_was_wrong_and_what_was_withheld() -> None:
    truth = np.full(14, 100.0)
    point = truth.copy()
    point[3] = 140.0
    published = np.ones(14, bool)
    published[8:10] = False
    truth[12:] = np.nan
    svg = series_svg("A place", DAYS, point, point * 0.8, point * 1.2, published, truth, DAYS[11])
    assert len(shapes(svg, "circle", "off")) == 1 + 1  # and one in the key
    assert len(shapes(svg, "circle", "truth")) == 11 + 1
    assert len(shapes(svg, "rect", "gap")) == 1 + 1
    assert len(shapes(svg, "polygon", "band")) == 2
    assert "2026-01-16" in svg


def test_rows_of_a_back_test_become_a_scoreboard() -> None:
    rows = pa.table({
        "regime": ["k1"] * 4 + ["known"], "variant": ["federated"] * 5, "place": ["a", "a", "b", "a", "a"],
        "day": np.array(["2026-01-05", "2026-01-07", "2026-01-05", "2026-01-05", "2026-01-05"], "datetime64[D]"),
        "truth": [100.0, 100, 100, 100, 100], "point": [100.0, 150, 100, 999, 1], "low": [90.0, 90, 90, 0, 0],
        "high": [110.0, 110, 110, 9999, 2], "confidence": [0.9] * 5, "published": [1.0, 1, 0, 1, 1],
    })  # fmt: skip
    assert regimes(rows) == ("k1", "known")
    told_, truth = told_of_rows(rows, "k1")
    assert told_.places == ("a", "b")
    assert told_.dates.size == 3
    assert told_.point[0, 0] == 100  # the first of two draws
    whole = scoreboard(told_, truth).whole
    assert (whole.days, whole.p30_published) == (3, 0.5)
    with pytest.raises(Fault, match=r"scoreboard\.rows"):
        told_of_rows(rows, "never")
    with pytest.raises(Fault, match="no column 'low'"):
        told_of_rows(rows.drop_columns(["low"]), "k1")
