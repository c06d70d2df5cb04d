"""Value in the console: uses of a period, prices, statements as page and file, for those who may see them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import date

import pytest
from console_house import AGREED, PLANTED, furnish
from console_stage import Bench, bench, new_node

from hanse.node.faces import value as facade_value

NOVEMBER = {"from": "2026-11-01", "to": "2026-11-30"}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = new_node(tmp_path_factory.mktemp("value") / "media-house")
    furnish(folder)
    with bench(folder) as made:
        yield made


def test_uses_are_counted_and_a_manager_sees_them(house: Bench) -> None:
    manager = house.browser("manager")
    found = manager.api("GET", "/value/usage", params=NOVEMBER).json()
    assert found["jobs"] == 2
    assert found["tables"][3]["rows"] == [["exposures", "2", "2"], ["purchases", "2", "2"]]
    earlier = {"from": "2026-10-01", "to": "2026-10-31"}
    assert manager.api("GET", "/value/usage", params=earlier).json()["jobs"] == 0
    assert manager.api("GET", "/jobs").status_code == 403


def test_a_data_owner_sees_each_use_of_its_data_and_the_prices(house: Bench) -> None:
    owner = house.browser("data-owner")
    used = owner.api("GET", "/value/usage", params=NOVEMBER).json()
    assert used["own_uses"] == 2
    assert [u["analyst"] for u in used["own"]] == ["retail-chain", "media-house"]
    assert used["own"][0]["datasets"] == ["exposures"]
    prices = owner.api("GET", "/value/prices").json()["rows"]
    assert [p["contract"] for p in prices] == [AGREED]
    page = owner.get("/value?from=2026-11-01&to=2026-11-30").text
    assert "Uses of our own data: 2" in page
    assert "a job that read exposures" in page
    assert PLANTED not in page
    assert "<script>alert" not in page


def test_a_statement_is_the_same_as_page_csv_and_pdf(house: Bench) -> None:
    legal = house.browser("legal")
    made = legal.api("GET", f"/value/statements/{AGREED}", params=NOVEMBER).json()
    # One job asked by each: 100 to the retailer, 50 back, 1000 for the month.
    assert made["total"] == "1150.00"
    assert ["media-house", "retail-chain", "50.00"] in made["nets"]
    page = legal.get(f"/value?contract={AGREED}&from=2026-11-01&to=2026-11-30").text
    assert "CNY 1150.00" in page
    assert "media-house owes retail-chain" in page
    text = legal.get(f"/value/statements/{AGREED}.csv?from=2026-11-01&to=2026-11-30").content
    rows = list(csv.DictReader(io.StringIO(text.decode("utf-8-sig"))))
    assert sum(float(r["amount"]) for r in rows) == 1150
    pytest.importorskip("reportlab", reason="reportlab is not installed")
    pdf = legal.api("GET", f"/value/statements/{AGREED}/pdf", params=NOVEMBER)
    assert pdf.content.startswith(b"%PDF-")
    exported = [e["of"] for e in house.ledger() if e["action"] == "value.export"]
    assert exported[0] == {
        "contract_id": AGREED,
        "form": "csv",
        "first": "2026-11-01",
        "last": "2026-11-30",
    }


@pytest.mark.parametrize(
    ("path", "status"),
    [(f"/value/statements/{AGREED}?from=soon", 409),
     (f"/value/statements/{AGREED}?from=2026-12-01&to=2026-11-01", 409),
     ("/value/statements/nothing", 404), (f"/value/statements/{AGREED}/exe", 404),
     ("/value/usage?contract=nothing", 404)],
)  # fmt: skip
def test_what_cannot_be_reckoned_is_said(house: Bench, path: str, status: int) -> None:
    legal = house.browser("legal")
    answer = legal.api("GET", path)
    assert answer.status_code == status, answer.text
    assert answer.json()["remedy"]
    assert legal.get("/value?from=soon").status_code == 409


def test_without_days_a_period_is_this_month_until_today() -> None:
    assert facade_value.period("", "", date(2026, 11, 20)) == (
        date(2026, 11, 1),
        date(2026, 11, 20),
    )
    assert facade_value.period("", "2026-10-05", date(2026, 11, 20))[0] == date(2026, 10, 1)


def test_who_may_not_is_refused(house: Bench) -> None:
    assert house.browser("admin").get("/value").status_code == 403
    analyst = house.browser("analyst")
    assert analyst.get("/value").status_code == 200
    assert analyst.get(f"/value/statements/{AGREED}.csv").status_code == 403
