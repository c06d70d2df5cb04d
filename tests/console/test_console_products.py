"""Published products in the console: a place over time, a day, its versions, and the scoreboard against a truth."""

from __future__ import annotations

import io
import json
import re
import tempfile
from collections.abc import Iterator
from datetime import date

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from console_house import DAYS, FIRST_DAY, PLANTED, PRODUCT, figures, furnish
from console_stage import Bench, Browser, bench, new_node


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


# --- publishing a file ------------------------------------------------------------------------------

TABLE = """place,date,value,low,high,confidence,reason
shop-1,2026-03-01,10,5,20,0.8,
shop-2,2026-03-01,,,,,too few
"""


@pytest.fixture(scope="module")
def owner(house: Bench) -> Browser:
    return house.browser("data-owner")


def published(house: Bench, name: str) -> list[tuple[str, float | None, int]]:
    shelf = house.console.desk.office.store.publications
    return [(c.figure.place, c.figure.value, c.version) for c in shelf.day(name, date(2026, 3, 1))]


def test_a_file_is_published_on_the_page_and_by_the_api(house: Bench, owner: Browser) -> None:
    browser = owner
    assert 'action="/publications"' in browser.get("/products").text
    form = {"product": "by-hand", "title": "By hand", "unit": "people"}
    answer = browser.post("/publications", form, files={"file": ("mine.csv", TABLE)})
    assert answer.status_code == 200
    assert "2 of 2 figures are new" in answer.text
    assert published(house, "by-hand") == [("shop-1", 10.0, 1), ("shop-2", None, 1)]
    # Again through the API, as Parquet, with one other number: a new version, the title stays.
    buffer = io.BytesIO()
    table = {"place": ["shop-1", "shop-2"], "date": [date(2026, 3, 1)] * 2, "value": [11.0, None],
             "reason": ["", "too few"]}  # fmt: skip
    pq.write_table(pa.table(table), buffer)
    made = browser.api(
        "POST", "/publications", data={"product": "by-hand"}, files={"file": ("f.parquet", buffer.getvalue())}
    )  # fmt: skip
    assert (made.status_code, made.json()) == (
        201,
        {"product": "by-hand", "figures": 2, "changed": 1},
    )
    assert published(house, "by-hand") == [("shop-1", 11.0, 2), ("shop-2", None, 1)]
    row = next(p for p in browser.api("GET", "/products").json()["rows"] if p["name"] == "by-hand")
    assert (row["title"], row["unit"], row["version"], row["synthetic"]) == (
        "By hand",
        "people",
        2,
        False,
    )
    last = house.ledger()[-1]
    assert (last["action"], last["user"], last["of"]["changed"], last["outcome"]) == (
        "product.publish", "the-data-owner", "1", "done",
    )  # fmt: skip
    assert house.ledger("publication")[-1]["product"] == "by-hand"


@pytest.mark.parametrize(
    ("form", "file", "code"),
    [
        ({}, ("f.csv", "place,date,value\nx,soon,1"), "publish.value"),
        ({}, ("f.csv", "place,date\nx,2026-01-01"), "publish.columns"),
        ({}, ("f.csv", "place,date,value\n"), "product.none"),
        ({}, ("f.csv", "place,date,value\nx,2026-01-01,-4"), "product.figure"),
        ({}, ("f.csv", "place,date,value\nx,2026-01-01,4\nx,2026-01-01,5"), "product.twice"),
        ({}, ("f.parquet", b"PAR1 not really"), "publish.file"),
        ({}, ("f.exe", b"\x00\xff\x00"), "publish."),
        ({"product": "No Such Name"}, ("f.csv", TABLE), "product.name"),
        ({"contract": "no-such-contract"}, ("f.csv", TABLE), "contract.unknown"),
        ({"title": "x" * 201}, ("f.csv", TABLE), "product.about"),
        ({"product": PRODUCT}, ("f.csv", TABLE), "product.synthetic"),
    ],
)
def test_a_file_that_cannot_be_published_says_why_and_leaves_nothing(
    house: Bench, owner: Browser, form: dict[str, str], file: tuple[str, str | bytes], code: str
) -> None:
    browser = owner
    browser.get("/products")
    before = house.console.desk.office.store.publications.versions()
    answer = browser.post("/publications", {"product": "not-there", **form}, files={"file": file})
    assert 400 <= answer.status_code < 500, answer.text
    assert f"[{code}" in answer.text
    assert house.console.desk.office.store.publications.versions() == before
    assert house.ledger()[-1]["outcome"] != "done"
    assert tempfile.gettempdir() not in answer.text


def test_a_file_that_is_too_long_is_not_read(
    house: Bench, owner: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    browser = owner
    browser.get("/products")
    monkeypatch.setattr("hanse.node.faces.products.MOST_UPLOADED", 3)
    many = "place,date,value\n" + "".join(f"p{n},2026-01-01,1\n" for n in range(4))
    answer = browser.post("/publications", {"product": "long"}, files={"file": ("f.csv", many)})
    assert (answer.status_code, "publish.size" in answer.text) == (422, True)
    answer = browser.post(
        "/publications", {"product": "long"}, files={"file": ("f.csv", b"x" * (17 << 20))}
    )
    assert answer.status_code == 413
    # A small file of very long texts: none is read whole.
    texts = pa.table({"place": pa.array(["x" * 300_000] * 3).dictionary_encode(), "date": ["2026-01-01"] * 3,
                      "value": [1.0] * 3})  # fmt: skip
    buffer = io.BytesIO()
    pq.write_table(texts, buffer)
    answer = browser.post(
        "/publications", {"product": "long"}, files={"file": ("f.parquet", buffer.getvalue())}
    )
    assert "product.figure" in answer.text
    # Nor lists, which can be as long as they like.
    lists = pa.table(
        {"place": pa.array([["x"] * 300_000]), "date": ["2026-01-01"], "value": [[1.0]]}
    )
    buffer = io.BytesIO()
    pq.write_table(lists, buffer)
    answer = browser.post(
        "/publications", {"product": "long"}, files={"file": ("f.parquet", buffer.getvalue())}
    )
    assert "[publish.columns]" in answer.text
    assert len(answer.text) < 50_000


def test_who_may_not_publish_is_refused(house: Bench) -> None:
    for role in ("analyst", "operator", "auditor", "manager"):
        browser = house.browser(role)
        assert 'action="/publications"' not in browser.get("/products").text
        answer = browser.post(
            "/publications", {"product": "mine"}, files={"file": ("f.csv", TABLE)}
        )
        assert answer.status_code == 403, role
