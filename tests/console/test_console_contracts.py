"""Contract pages of one node: what was refused and on which clause, the next version, suspended and resumed."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

import pytest
from console_house import AGREED, VALUED, furnish, furnish_contributions
from console_stage import Bench, bench, new_node

from hanse.console.clauses import clause_of
from hanse.errors import Refusal

CHINESE = {"accept-language": "zh-CN"}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = new_node(tmp_path_factory.mktemp("contracts") / "media-house")
    furnish(folder, "")
    furnish_contributions(folder)
    with bench(folder) as made:
        yield made


def refuse(house: Bench, refusal: Refusal) -> None:
    body = {"job": "ab" * 32, "analyst": "retail-chain", **refusal.public()}
    house.console.desk.office.ledger.append("refusal", body)


def test_a_refusal_names_its_clause_on_the_contract_s_page(house: Bench) -> None:
    refuse(house, Refusal("contract.recipient", "data-house may not learn the result of 'overlap'",
                          remedy="name only media-house",
                          where=f"contract {AGREED}, computation overlap"))  # fmt: skip
    refuse(house, Refusal("model.trainings", "all 12 trainings of 'buyers' are used",
                          remedy="agree on a larger maximum_trainings",
                          where=f"contract {VALUED}, models[buyers].maximum_trainings"))  # fmt: skip
    refuse(house, Refusal("contract.recipient", "nobody may", where=f"contract {AGREED}-2, x"))
    legal = house.browser("legal")
    page = legal.get(f"/contracts/{AGREED}").text
    assert "data-house may not learn the result of" in page
    assert "trainings of" not in page
    assert "nobody may" not in page
    assert '<a href="#learns">Who learns what</a>' in page
    assert 'id="learns"' in page
    other = legal.get(f"/contracts/{VALUED}", headers=CHINESE).text
    assert "12 次训练均已用完" in other
    assert "请约定更大的 maximum_trainings" in other
    assert '<a href="#models">可以训练的模型</a>' in other
    assert "models[buyers].maximum_trainings" in other


@pytest.mark.parametrize(
    ("code", "section"),
    [("contract.column", "gives"), ("budget.spent", "protects"), ("budget.join", "seats"),
     ("model.contributions", "models"), ("contract.expired", "purpose"), ("roster.expired", "seats"),
     ("guard.similar", "protects"), ("store.busy", "")],
)  # fmt: skip
def test_codes_have_a_clause(code: str, section: str) -> None:
    assert clause_of(code) == section


def test_the_next_version_begins_with_this_one_and_is_compared_with_it(house: Bench) -> None:
    legal = house.browser("legal")
    text = legal.get(f"/contracts/new?of={AGREED}").text
    draft = re.search(r"<textarea[^>]*>(.*?)</textarea>", text, re.DOTALL)
    assert draft is not None
    toml = html.unescape(draft[1])
    assert "version = 2" in toml
    renewed = toml.replace("expires = 2027-10-01", "expires = 2028-10-01")
    assert legal.api("POST", "/contracts/drafts", json={"toml": renewed}).status_code == 201
    page = legal.get(f"/contracts/{AGREED}/changes").text
    assert '<del class="was">2027-10-01</del>' in page
    assert '<ins class="is">2028-10-01</ins>' in page
    found = legal.api("GET", f"/contracts/{AGREED}").json()
    assert [v["version"] for v in found["versions"]] == [2, 1]
    assert "第 2 版" in legal.get(f"/contracts/{AGREED}", headers=CHINESE).text
    # The earlier text can still be read.
    old = legal.get(f"/contracts/{AGREED}?version=1").text
    assert "2027-10-01" in old
    assert 'action="/contracts/autumn-deal/sign"' not in old  # only the newest text is signed
    assert 'action="/contracts/autumn-deal/sign"' in legal.get(f"/contracts/{AGREED}").text


def test_it_is_suspended_with_a_reason_resumed_and_ended(house: Bench) -> None:
    risk, move = house.browser("risk"), f"/contracts/{VALUED}/move"
    assert risk.get(f"/contracts/{VALUED}").status_code == 200
    without = risk.post(f"/contracts/{VALUED}/move", {"how": "suspend", "reason": " "})
    assert without.status_code == 409
    assert "without a reason" in without.text
    assert risk.post(move, {"how": "suspend", "reason": "audit"}).status_code == 303
    page = risk.get(f"/contracts/{VALUED}").text
    assert 'value="resume"' in page
    assert 'value="suspend"' not in page
    chinese = risk.post(move, {"how": "suspend", "reason": "again"}, headers=CHINESE)
    assert chinese.status_code == 409
    assert "在本节点的状态为" in chinese.text
    assert risk.post(move, {"how": "resume", "reason": "over"}).status_code == 303
    moves = [e for e in house.ledger("contract") if e["id"] == VALUED and e.get("reason")]
    assert [m["reason"] for m in moves] == ["audit", "over"]
    analyst = house.browser("analyst")
    assert analyst.get(f"/contracts/{VALUED}").text.count('value="suspend"') == 0
    assert analyst.post(f"/contracts/{VALUED}/move", {"how": "end", "reason": "x"}).status_code == 403  # fmt: skip
