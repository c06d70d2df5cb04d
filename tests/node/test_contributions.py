"""What each party adds to a model, as a job between three nodes: told to whom it may be, stored, settled."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from model_federation import CAPACITY, NAMES, PEOPLE, ModelFederation, clause, person

from hanse.errors import HanseError, Refusal
from hanse.node.faces import value
from hanse.node.jobs.runner import Outcome
from hanse.node.value.statements import statement

FIRST, LAST = date(2020, 1, 1), date(2099, 12, 31)


@pytest.fixture(scope="module")
def three(models: ModelFederation) -> ModelFederation:
    """The neutral party brings a column, too: pure noise."""
    rng = np.random.default_rng(5)
    ids = [person(i) for i in range(PEOPLE)]
    models.give("dust", pa.table({"id": ids, "number": rng.normal(size=PEOPLE)}))
    with models["neutral"].office() as office:
        office.register_dataset(
            {"name": "dust", "source": {"path": str(models.source("dust"))},
             "ids": [{"column": "id", "type": "member"}],
             "columns": [{"name": "number", "column": "number", "kind": "number"}],
             "classification": "personal", "description": "Noise.", "legal_basis": "consent",
             "evidence": "made-up people"}
        )  # fmt: skip
    return models


def agreed(three: ModelFederation, prices: dict[str, Any] | None = None, **changes: Any) -> str:
    terms = three.terms()
    dust = {"name": "dust", "provider": "neutral", "capacity": CAPACITY, "slots": 1, "personal": True,
            "legal_basis": "consent", "evidence": "made-up people",
            "columns": [{"name": "number", "kind": "number", "uses": ["feature"]}]}  # fmt: skip
    features = [{"dataset": "customers", "columns": ["spend", "member"]},
                {"dataset": "audience", "columns": ["minutes"]},
                {"dataset": "dust", "columns": ["number"]}]  # fmt: skip
    changed = clause(features=features, contributions=["shop", "media"]) | changes
    more = {"prices": prices} if prices else {}
    return three.contract(datasets=[*terms["datasets"], dust], models=[changed], **more)


def measure(three: ModelFederation, contract: str, asking: str = "shop", **more: Any) -> Outcome:
    return three.ask(contract, "contributions", asking, {"model": "churn", **more})


def refused(three: ModelFederation, contract: str, **more: Any) -> HanseError:
    with pytest.raises(HanseError) as raised:
        measure(three, contract, **more)
    assert raised.value.remedy
    return raised.value


def test_it_is_told_to_whom_the_contract_names_and_written_in_every_ledger(
    three: ModelFederation,
) -> None:
    contract = agreed(three, maximum_trainings=7)
    outcome = measure(three, contract)
    three.settle()
    by = {c["party"]: c for c in (outcome.result or {})["contributions"]}
    assert by["media"]["share"] > 0.9
    assert abs(by["neutral"]["share"]) < 0.06  # it brings noise
    for name in NAMES:
        member = three[name]
        for kind in ("reserve", "permit", "commit", "disclosure", "job"):
            assert [b for b in member.entries(kind) if b["job"] == outcome.job], f"{name}: {kind}"
        with member.office() as office:
            assert office.spend.trainings(contract, "churn") == 4
            rows = value.contributions(office, contract)
            assert [r["job"] for r in rows] == ([] if name == "neutral" else [outcome.job])
            assert not [m for m in office.models.all() if m.note["contract"] == contract]
    with three["media"].office() as office:
        told = value.contributions(office)[0]
        assert Decimal(told["key"]["media"]) + Decimal(told["key"]["neutral"]) == 1
        assert value.measurable(office)[-1] == {
            "contract": contract, "version": 1, "model": "churn", "parties": ["shop", "media", "neutral"],
            "told": ["shop", "media"], "takes": 4, "left": 3,
        }  # fmt: skip
    error = refused(three, contract)  # four more are not left
    assert error.code == "model.trainings"


def test_a_clause_that_does_not_tell_it_to_anybody_refuses(three: ModelFederation) -> None:
    error = refused(three, agreed(three, contributions=[]))
    assert isinstance(error, Refusal)
    assert error.code == "model.contributions"
    assert "models[churn].contributions" in error.where


def test_who_reads_is_not_the_asker_s_to_choose(three: ModelFederation) -> None:
    """The neutral party may ask, and is told nothing of the answer."""
    contract = agreed(three)
    outcome = measure(three, contract, "neutral")
    assert outcome.result is None
    three.settle()
    with three["shop"].office() as office:
        assert value.contributions(office, contract)[0]["job"] == outcome.job


def test_shares_are_the_key_of_a_payment(three: ModelFederation) -> None:
    terms = [{"payer": "shop", "payee": "media", "unit": "contribution", "model": "churn",
              "amount": "1000"}]  # fmt: skip
    contract = agreed(three, {"currency": "CNY", "terms": terms})
    with three["shop"].office() as office:
        before = statement(office, contract, FIRST, LAST)
        assert not before.lines
        assert any("not measured" in note for note in before.remarks)
    job = measure(three, contract).job
    three.settle()
    today = datetime.now(UTC).date()
    made = {}
    for name in ("shop", "media"):
        with three[name].office() as office:
            made[name] = statement(office, contract, today, today)
            key = value.contributions(office, contract)[0]["key"]
    (line,) = made["shop"].lines
    assert made["media"].lines == (line,)  # each reckons the same
    assert line.quantity == Decimal(key["media"])
    assert line.amount == (1000 * Decimal(key["media"])).quantize(Decimal("0.01"))
    assert any(job[:12] in note for note in made["shop"].remarks)
    with three["neutral"].office() as office:
        other = statement(office, contract, today, today)
        assert not other.lines
        assert any("not told to neutral" in note for note in other.remarks)


@pytest.mark.parametrize(
    ("change", "words"),
    [({"model": "other"}, "there is no model"), ({"payee": "shop", "payer": "media"}, "adds nothing"),
     ({"payee": "neutral"}, "is not told"), ({"unit": "job"}, "only for it"),
     ({"payer": "analyst"}, "nobody in particular")],
)  # fmt: skip
def test_prices_that_do_not_fit_the_model(
    three: ModelFederation, change: dict[str, Any], words: str
) -> None:
    term = {"payer": "shop", "payee": "media", "unit": "contribution", "model": "churn", "amount": "1"}  # fmt: skip
    with pytest.raises(Refusal) as refusal:
        agreed(three, {"currency": "CNY", "terms": [term | change]})
    assert words in str(refusal.value)
    assert "prices.terms[0]" in str(refusal.value)


def test_what_others_add_to_trees_is_not_measured(three: ModelFederation) -> None:
    with pytest.raises(Refusal) as refusal:
        agreed(three, kind="boosting", alignment="open", contributions=["shop"])
    assert "contributions" in str(refusal.value)
