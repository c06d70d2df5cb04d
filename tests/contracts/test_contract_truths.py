"""What the crowd is, in a contract: read, written, signed, described, and refused where it does not fit."""

from __future__ import annotations

from typing import Any

import pytest
from contract_samples import CONTRACT, contract_fields

from hanse.contracts import Contract, describe
from hanse.errors import Refusal

TRUTH = {
    "name": "visitors", "title": "Visitors of malls", "measures": "people", "provider": "retailer",
    "gazetteer": "towns", "error": 0.05, "lateness": 7, "zone": "Asia/Shanghai", "day_starts": "04:00",
    "minimum_stay": 5, "leaves_out": ["staff", "passers-by"],
}  # fmt: skip


def with_truth(**changed: Any) -> dict[str, Any]:
    found = contract_fields()
    found["gazetteers"] = [{"name": "towns", "places": 2, "digest": "ab" * 32}]
    found["truths"] = [TRUTH | changed]
    return found


def test_a_contract_without_a_truth_keeps_its_hash() -> None:
    assert "truths" not in CONTRACT.fields()
    assert "truths" not in CONTRACT.to_toml()


def test_a_truth_is_read_written_signed_and_described() -> None:
    agreed = Contract.from_fields(with_truth())
    assert Contract.from_toml(agreed.to_toml()) == agreed
    assert Contract.from_json(agreed.canonical()) == agreed
    assert agreed.hash != Contract.from_fields(with_truth(error=0.06)).hash
    truth = agreed.truth("visitors")
    assert truth is not None
    assert truth.lateness == 7
    assert agreed.truth("others") is None
    text = describe(agreed)
    assert "What the crowd is" in text
    assert "unique person-days" in text
    assert "off by about 5% and comes after 7 days" in text
    assert "staff and passers-by are left out" in text


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"provider": "nobody"}, "no party 'nobody'"),
        ({"gazetteer": "villages"}, "no gazetteer 'villages'"),
        (
            {"measures": "dwell", "minimum_stay": 0, "leaves_out": []},
            "dwell needs the shortest stay",
        ),
        ({"minimum_stay": 0}, "tells passers-by from visitors"),
        ({"leaves_out": ["staff", "staff"]}, "twice"),
        ({"zone": "Shanghai time!"}, "IANA"),
        ({"day_starts": "25:00"}, "time of day"),
        ({"error": 1.0}, "error"),
        ({"measures": "feelings"}, "measures"),
    ],
)
def test_what_does_not_fit_is_refused(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(Refusal, match="malformed") as caught:
        Contract.from_fields(with_truth(**changed))
    assert told in caught.value.message


def test_one_name_has_one_meaning() -> None:
    twice = with_truth()
    twice["truths"] = [TRUTH, TRUTH | {"measures": "arrivals"}]
    with pytest.raises(Refusal, match="given twice"):
        Contract.from_fields(twice)
