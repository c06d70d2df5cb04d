"""Published products in the console: a place over time, a day, its versions, and the scoreboard against a truth."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from console_house import DAYS, FIRST_DAY, PLANTED, PRODUCT, figures, furnish
from console_stage import Bench, bench, new_node


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = new_node(tmp_path_factory.mktemp("products") / "media-house")
    furnish(folder)
    with bench(folder) as made:
        yield made


def test_a_product_s_days_places_and_versions_are_those_published(house: Bench) -> None:
    browser = house.browser("auditor")
    listed = browser.api("GET", "/products").json()["rows"]
    assert [(p["name"], p["synthetic"], p["version"]) for p in listed] == [(PRODUCT, True, 2)]
    found = browser.api("GET", f"/products/{PRODUCT}").json()
    assert len(found["days"]) == DAYS
    assert {(d["published"], d["abstained"]) for d in found["days"]} == {(12, 0), (9, 3)}
    last = found["days"][0]["date"]
    rows = browser.api("GET", f"/products/{PRODUCT}/days/{last}").json()["rows"]
    assert (rows[0]["place"], rows[0]["version"], rows[0]["lat"]) == (
        "store-11",
        1,
        pytest.approx(31.23),
    )
    newest = next(r for r in rows if r["place"] == "store-00")
    assert (newest["value"], newest["version"]) == (1111.0, 2)
    series = browser.api("GET", f"/products/{PRODUCT}/series", params={"place": "store-01"}).json()
    assert len(series["rows"]) == DAYS
    assert {r["reason"] for r in series["rows"] if r["value"] is None} == {"too few sources"}
    said = browser.api(
        "GET", f"/products/{PRODUCT}/versions", params={"place": "store-00", "day": last}
    )
    assert [v["version"] for v in said.json()["rows"]] == [1, 2]


def test_what_is_not_there_is_said(house: Bench) -> None:
    browser = house.browser("manager")
    for path in ("/products/nothing", f"/products/{PRODUCT}/series?place=nowhere"):
        assert browser.api("GET", path).status_code == 404, path
    assert browser.api("GET", f"/products/{PRODUCT}/days/yesterday").status_code == 422
    assert browser.get(f"/products/{PRODUCT}?place=nowhere").status_code == 404
    assert browser.get("/products/nothing").status_code == 404


def test_the_page_draws_the_series_and_the_map_and_nothing_planted_runs(house: Bench) -> None:
    browser = house.browser("analyst")
    page = browser.get(f"/products/{PRODUCT}?place=store-00").text
    told = json.loads(re.findall(r'id="result">(.*?)</script>', page, re.DOTALL)[0])
    areas = json.loads(re.findall(r'id="areas">(.*?)</script>', page, re.DOTALL)[0])
    assert len(told["rows"]) == DAYS
    assert len(areas) == 12
    assert areas[0]["value"] >= areas[-1]["value"]
    assert PLANTED not in page
    assert "<script>alert" not in page
    assert "synthetic" in page


def test_the_scoreboard_judges_what_was_said_first(house: Bench) -> None:
    """The truth is what was published, but for one place whose numbers were double what they should be."""
    browser = house.browser("data-owner")
    known = [f for f in figures() if f.value is not None]
    lines = ["place,date,value", "store-77,2026-10-12,5"]
    lines += [
        f"{f.place},{f.date},{f.value * (0.5 if f.place == 'store-00' else 1)}" for f in known
    ]
    withheld = [f for f in figures() if f.value is None]
    lines += [f"{f.place},{f.date},100" for f in withheld]
    truth = {"file": ("truth.csv", "\n".join(lines))}
    board = browser.api("POST", f"/products/{PRODUCT}/scoreboard", files=truth).json()
    whole = board["scores"][0]
    judged = len(known)
    assert whole["days"] == judged + len(withheld)
    assert whole["published_share"] == pytest.approx(judged / whole["days"])
    assert whole["p30_published"] == pytest.approx(1 - DAYS / judged)
    assert whole["coverage"] == pytest.approx(1 - DAYS / judged)
    assert whole["confidence"] == pytest.approx(0.88)
    assert (board["first"], board["without_figures"]) == (str(FIRST_DAY), 1)
    assert {s["group"] for s in board["scores"] if s["dimension"] == "type"} == {"mall", "shop"}
    page = browser.post(f"/products/{PRODUCT}/scoreboard", files=truth)
    assert page.status_code == 200
    assert "Monday" in page.text
    last = house.ledger()[-1]
    assert (last["action"], last["of"]["places"], last["outcome"]) == (
        "product.judge",
        "12",
        "done",
    )
    for bad in (
        "",
        "place,date\nx,2026-01-01",
        "place,date,value\nx,soon,1",
        "place,date,value\nx,2020-01-01,1",
    ):
        answer = browser.api(
            "POST", f"/products/{PRODUCT}/scoreboard", files={"file": ("truth.csv", bad)}
        )
        assert 400 <= answer.status_code < 500, (bad, answer.text)
        assert "/truth.csv" not in answer.text  # nor where the copy lay
    assert (
        house.browser("operator")
        .api("POST", f"/products/{PRODUCT}/scoreboard", files=truth)
        .status_code
        == 403
    )


def test_a_daily_crowd_that_no_contract_tells_is_refused(house: Bench) -> None:
    browser = house.browser("analyst")
    assert browser.api("GET", "/crowd-days").json() == {"rows": []}
    assert browser.api("POST", "/crowd-days/stores/days", json={}).status_code == 404
    assert browser.api("POST", "/crowd-days/stores/days", json={"ends": "soon"}).status_code == 404
    assert browser.api("GET", "/crowd-days/stores/scoreboard").status_code == 404
