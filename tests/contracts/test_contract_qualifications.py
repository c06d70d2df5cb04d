"""Qualifications in a contract: read, written, part of the hash, described, checked against the columns."""

from __future__ import annotations

from typing import Any

import pytest
from contract_samples import CONTRACT, contract_fields

from hanse.contracts import Contract, describe
from hanse.errors import Refusal


def qualified(**changed: Any) -> dict[str, Any]:
    """The sample contract, its exposures with seconds on screen and a screen's distance."""
    found = contract_fields()
    found["datasets"][0]["columns"] += [
        {"name": "seconds", "kind": "integer", "uses": ["filter"], "maximum": 600},
        {"name": "metres", "kind": "integer", "uses": ["value"], "maximum": 500},
        {"name": "open", "kind": "boolean", "uses": ["filter"]},
    ]
    found["qualifications"] = [
        {
            "name": "viewable",
            "version": 2,
            "dataset": "exposures",
            "title": "Two seconds in view",
            "where": [
                {"column": "seconds", "at_least": 2},
                {"column": "campaign", "one_of": ["tv", "email"]},
                {"column": "open", "equals": True},
            ],
            **changed,
        }
    ]
    return found


def test_a_contract_without_qualifications_keeps_its_hash() -> None:
    assert "qualifications" not in CONTRACT.fields()
    assert "qualifications" not in CONTRACT.to_toml()


def test_a_qualification_is_read_written_signed_and_described() -> None:
    agreed = Contract.from_fields(qualified())
    assert Contract.from_toml(agreed.to_toml()) == agreed
    assert Contract.from_json(agreed.canonical()) == agreed
    found = agreed.qualification("viewable", "exposures")
    assert found is not None
    assert found.label == "viewable v2"
    assert agreed.qualification("viewable", "baskets") is None
    text = describe(agreed)
    assert (
        "An event of 'exposures' is 'viewable' (version 2: Two seconds in view) if seconds is at least 2 and "
        "campaign is one of tv, email and open is yes."
    ) in text


@pytest.mark.parametrize(
    "change",
    [{"version": 3}, {"title": "Other"}, {"where": [{"column": "seconds", "at_least": 3}]}],
)
def test_every_change_changes_what_is_signed(change: dict[str, Any]) -> None:
    assert Contract.from_fields(qualified(**change)).hash != Contract.from_fields(qualified()).hash


def test_one_name_may_be_defined_for_several_datasets_once_each() -> None:
    fields = qualified()
    fields["datasets"][1]["columns"].append({"name": "paid", "kind": "boolean", "uses": ["filter"]})
    other = {
        **fields["qualifications"][0],
        "dataset": "baskets",
        "where": [{"column": "paid", "equals": True}],
    }
    fields["qualifications"].append(other)
    agreed = Contract.from_fields(fields)
    assert agreed.qualification("viewable", "baskets") != agreed.qualification(
        "viewable", "exposures"
    )
    fields["qualifications"].append(other)
    with pytest.raises(Refusal, match="given twice for 'baskets'"):
        Contract.from_fields(fields)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"dataset": "visits"}, "there is no dataset 'visits'"),
        ({"where": []}, "where"),
        ({"where": [{"column": "seconds"}]}, "needs exactly one of equals"),
        ({"where": [{"column": "seconds", "at_least": 9, "at_most": 2}]}, "nothing would qualify"),
        (
            {"where": [{"column": "dwell", "at_least": 1}]},
            "no such column; its columns: campaign, day",
        ),
        ({"where": [{"column": "metres", "at_most": 50}]}, "may not be filtered by"),
        ({"where": [{"column": "day", "equals": "2026-01-01"}]}, "a time cannot qualify events"),
        ({"where": [{"column": "campaign", "at_least": 1}]}, "has no order"),
        (
            {"where": [{"column": "campaign", "equals": "radio"}]},
            "'radio' is not in the column's list",
        ),
        ({"where": [{"column": "open", "equals": 1}]}, "compare with true or false"),
        ({"where": [{"column": "seconds", "at_least": 601}]}, "a whole number from 0 to 600"),
        ({"where": [{"column": "seconds", "equals": True}]}, "a whole number from 0 to 600"),
        ({"version": 0}, "version"),
        ({"titel": "x"}, "did you mean 'title'"),
    ],
)
def test_problems_are_told_in_words(change: dict[str, Any], told: str) -> None:
    with pytest.raises(Refusal) as error:
        Contract.from_fields(qualified(**change))
    assert error.value.code == "contract.malformed"
    assert "qualifications[viewable]" in error.value.message
    assert told in error.value.message
