"""Consumers and webhooks in the console: made, given new keys, revoked; a key is shown once and never again."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from console_house import PLANTED, PRODUCT, furnish
from console_stage import Bench, Browser, bench, new_node

from hanse.node.products.consumers import key_hash

NEW = {
    "name": "dashboards",
    "scopes": ["crowds"],
    "quota": 500,
    "rate": 5.0,
    "expires": "2099-01-01",
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = new_node(tmp_path_factory.mktemp("consumers") / "media-house")
    furnish(folder)
    with bench(folder) as made:
        yield made


@pytest.fixture(scope="module")
def operator(house: Bench) -> Browser:
    return house.browser("operator")


def everything(house: Bench) -> str:
    """All pages that speak of consumers or the ledger, the API's lists, and the ledger itself."""
    operator, auditor = house.browser("operator"), house.browser("auditor")
    pages = [operator.get("/consumers").text, auditor.get("/consumers").text, auditor.get("/ledger").text,
             operator.api("GET", "/consumers").text, operator.api("GET", "/webhooks").text,
             auditor.api("GET", "/ledger").text]  # fmt: skip
    return "\n".join(pages) + json.dumps(
        [e.body for e in house.console.desk.office.ledger.entries()], default=str
    )


def test_a_key_is_in_one_answer_and_nowhere_else(house: Bench, operator: Browser) -> None:
    made = operator.api("POST", "/consumers", json=NEW)
    assert made.status_code == 201
    key = made.json()["key"]
    kept = house.console.desk.office.store.consumers.all()
    assert kept[key_hash(key)].quota == 500
    assert operator.api("POST", "/consumers", json=NEW).status_code == 409
    again = operator.api("POST", "/consumers/dashboards/key").json()["key"]
    assert key_hash(key) not in house.console.desk.office.store.consumers.all()
    hook = {
        "name": "orders",
        "consumer": "dashboards",
        "product": PRODUCT,
        "url": "https://hooks.example/in",
    }
    secret = operator.api("POST", "/webhooks", json=hook).json()["secret"]
    said = everything(house)
    assert "dashboards" in said
    assert "hooks.example" in said
    for hidden in (key, again, secret, key_hash(again)):
        assert hidden not in said
    assert operator.api("POST", "/consumers/dashboards/revocation").json()["state"] == "revoked"
    rows = operator.api("GET", "/consumers").json()["rows"]
    assert [(r["name"], r["state"]) for r in rows if r["name"] == "dashboards"] == [
        ("dashboards", "revoked")
    ]
    assert operator.api("DELETE", "/webhooks/orders").status_code == 200
    assert operator.api("DELETE", "/webhooks/orders").status_code == 404


def test_the_page_shows_the_key_once(house: Bench, operator: Browser) -> None:
    operator.get("/consumers")
    form = {
        "name": "by-hand",
        "scopes": ["crowds", "results"],
        "products": PRODUCT,
        "quota": "10",
        "rate": "2",
    }
    page = operator.post("/consumers", form).text
    key = page.split('id="once">')[1].split("<")[0]
    assert key.startswith("hanse_")
    assert key not in operator.get("/consumers").text
    page = operator.post("/consumers/by-hand/rekey").text
    assert page.split('id="once">')[1].split("<")[0] not in (key, operator.get("/consumers").text)
    hook = {
        "name": "by-hand-hook",
        "consumer": "by-hand",
        "product": PRODUCT,
        "url": "https://hooks.example/x",
    }
    secret = operator.post("/webhooks", hook).text.split('id="once">')[1].split("<")[0]
    assert secret not in everything(house)
    assert operator.post("/webhooks/by-hand-hook/remove").status_code == 303
    assert operator.post("/consumers/by-hand/revoke").status_code == 303
    done = [
        (e["action"], e["user"], e["outcome"])
        for e in house.ledger()
        if e["user"] == "the-operator"
    ]
    assert ("consumer.change", "the-operator", "done") in done
    assert ("webhook.change", "the-operator", "done") in done


@pytest.mark.parametrize(
    "wrong",
    [{"name": PLANTED[:60]}, {"name": "x"}, {"scopes": []}, {"scopes": ["everything"]}, {"expires": "soon"},
     {"contract": "no-contract"}, {"quota": 0}, {"rate": -1}],
)  # fmt: skip
def test_a_consumer_that_is_wrong_is_refused(operator: Browser, wrong: dict[str, object]) -> None:
    answer = operator.api("POST", "/consumers", json={**NEW, "name": "wrong-one", **wrong})
    assert 400 <= answer.status_code < 500, answer.text
    assert "wrong-one" not in operator.api("GET", "/consumers").text
    operator.get("/consumers")
    form = {"name": "wrong-one", "scopes": ["crowds"], "quota": "a lot"}
    page = operator.post("/consumers", form)
    assert page.status_code in (409, 422)
    assert "<script>alert" not in page.text


def test_a_webhook_to_another_place_than_https_or_of_a_stranger_s_product_is_refused(
    operator: Browser,
) -> None:
    operator.api("POST", "/consumers", json={**NEW, "name": "narrow", "products": ["another"]})
    good = {
        "name": "hook",
        "consumer": "narrow",
        "product": "another",
        "url": "https://hooks.example/x",
    }
    for wrong in ({}, {"product": PRODUCT}, {"consumer": "nobody"}, {"url": "http://hooks.example/x"},
                  {"url": "javascript:alert(1)"}, {"name": "<b>"}):  # fmt: skip
        answer = operator.api("POST", "/webhooks", json={**good, **wrong})
        assert 400 <= answer.status_code < 500, wrong
    assert operator.api("GET", "/webhooks").json()["rows"] == []


def test_only_an_operator_changes_them_and_only_with_the_session_s_form(house: Bench) -> None:
    for role in ("legal", "auditor", "data-owner"):
        assert house.browser(role).api("POST", "/consumers", json=NEW).status_code == 403
    assert house.browser("admin").get("/consumers").status_code == 403
    operator = house.browser("operator")
    operator.key = "0" * 64
    assert operator.api("POST", "/consumers", json={**NEW, "name": "forged"}).status_code == 403
    assert operator.post("/consumers", {"name": "forged", "scopes": "crowds"}).status_code == 403
    assert "forged" not in house.browser("operator").api("GET", "/consumers").text
