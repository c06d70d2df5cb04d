"""Value in the console: uses of a period, prices, statements as page and file, for those who may see them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime

import pytest
from console_house import (
    AGREED,
    MODEL,
    PLANTED,
    VALUED,
    furnish,
    furnish_contributions,
)
from console_stage import Bench, bench, new_node

from hanse.node.faces import value as facade_value
from hanse.node.value import holders

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


# --- what each party adds -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = new_node(tmp_path_factory.mktemp("adds") / "media-house")
    furnish(folder, "")
    furnish_contributions(folder)
    with bench(folder) as made:
        yield made


def test_what_parties_add_is_shown_with_bars_and_table_in_both_languages(measured: Bench) -> None:
    manager = measured.browser("manager")
    (found,) = manager.api("GET", "/value/contributions").json()["rows"]
    assert found["model"] == MODEL
    # By hand: (0.11 + 0.09) / 2 of 0.14 for one, (0.05 + 0.03) / 2 for the other.
    by = {c["party"]: c for c in found["contributions"]}
    assert by["media-house"]["shapley"] == pytest.approx(0.10)
    assert by["data-house"]["shapley"] == pytest.approx(0.04)
    assert found["key"] == {"media-house": "0.7143", "data-house": "0.2857"}
    page = manager.get("/value").text
    assert "What each party adds to models" in page
    assert 'aria-label="share: media-house"' in page
    assert "71.4 %" in page
    chinese = manager.get("/value", headers={"accept-language": "zh-CN"}).text
    assert "各方对模型的贡献" in chinese
    assert "结算份额" in chinese


def test_its_shares_are_the_key_of_the_statement(measured: Bench) -> None:
    legal = measured.browser("legal")
    made = legal.api("GET", f"/value/statements/{VALUED}", params=NOVEMBER).json()
    (line,) = made["tables"][0]["rows"]
    assert line[3:] == ["0.7143", "9,000", "6,428.70"]
    earlier = {"from": "2026-10-01", "to": "2026-10-31"}
    before = legal.api("GET", f"/value/statements/{VALUED}", params=earlier).json()
    assert before["total"] == "0.00"
    assert any("not measured" in note for note in before["notes"])


def test_only_an_analyst_may_measure_and_the_node_must_run(measured: Bench) -> None:
    body = {"model": MODEL, "contract": VALUED}
    assert (
        measured.browser("manager").api("POST", "/value/contributions", json=body).status_code
        == 403
    )
    assert "Measure contributions" not in measured.browser("manager").get("/value").text
    analyst = measured.browser("analyst")
    assert "takes 4 trainings, 8 are left" in analyst.get("/value").text
    answer = analyst.api("POST", "/value/contributions", json={"model": "nothing"})
    assert answer.json()["code"] == "model.unknown"
    page = analyst.post("/value/contributions", {"model": f"{VALUED}/nothing"})
    assert page.status_code == 303  # the node says what it is; the question's page shows it


def test_what_holders_add_to_a_crowd_model_is_shown_when_there_is_a_result(measured: Bench) -> None:
    manager = measured.browser("manager")
    assert "all but the operator" not in manager.get("/value").text
    found = {"name": "The city", "regime": "known_lag7", "places": 60, "days": 90, "owners": 3, "p30": 91.5,
             "without": {"map": 90.25, "operator": 84.0}}  # fmt: skip
    data = measured.console.desk.office.desk.folder.parent
    holders.keep(data, found, datetime(2026, 11, 20, tzinfo=UTC))
    (told,) = manager.api("GET", "/value/contributions").json()["crowds"]
    assert told["without"] == found["without"]
    page = manager.get("/value").text
    assert "all but the operator" in page
    assert "+7.50" in page
    assert "不含运营商" in manager.get("/value", headers={"accept-language": "zh-CN"}).text
    (data / "backtests" / "the-city-known-lag7.json").write_text('{"name": 1}')
    assert manager.api("GET", "/value/contributions").json()["code"] == "backtest.damaged"
    (data / "backtests" / "the-city-known-lag7.json").unlink()
