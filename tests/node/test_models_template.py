"""Drafts of contracts with models: a template is a contract as it is."""

from __future__ import annotations

import tomllib
from datetime import date

import pytest
from model_federation import ModelFederation

from hanse.cli.documents import plain_values
from hanse.contracts import Contract, describe
from hanse.node.contract_template import template, with_keys


@pytest.mark.parametrize(("name", "asking"), [
    ("vertical", "shop"), ("horizontal", "shop"), ("vertical", "media"), ("vertical", "neutral"),
    ("horizontal", "neutral"),
])  # fmt: skip
def test_a_template_is_a_contract_as_it_is(models: ModelFederation, name: str, asking: str) -> None:
    with models[asking].office() as office:
        text = template(name, office, date(2026, 5, 1))
        contract = Contract.from_fields(with_keys(plain_values(tomllib.loads(text)), office))
    assert contract.models[0].horizontal == (name == "horizontal")
    assert not contract.computations
    assert contract.id == "my-first-model"
    assert all(d.slots == 1 for d in contract.datasets)
    assert "Which models" in describe(contract)


def test_a_template_of_a_question_lets_no_model_use_its_columns(models: ModelFederation) -> None:
    with models["shop"].office() as office:
        text = template("overlap", office, date(2026, 5, 1))
    uses = [c["uses"] for d in tomllib.loads(text)["datasets"] for c in d.get("columns", [])]
    assert ["filter", "segment", "value"] in uses
