"""Job requests: what the job's hash binds, and what is no request."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from contract_samples import CONTRACT, request, request_fields
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.contracts import JobRequest, Use, permitting_parties, providers_of
from hanse.errors import Refusal

CHANGES: dict[str, Any] = {
    "contract_id": "spring-2027",
    "contract_hash": "11" * 32,
    "computation": "crowd",
    "parameters": {"stages": ["seen", "bought"], "days": 31},
    "analyst": "retailer",
    "uses": [
        {"dataset": "exposures", "column": "campaign", "purpose": "segment"},
        {"dataset": "baskets", "column": "", "purpose": "membership"},
    ],
    "noise": False,
    "epsilon": 0.5,
    "epsilon_join": 0.05,
    "recipients": ["retailer"],
    "attempt": 2,
    "created": "2026-07-15T11:59:00.000001Z",
    "nonce": "ff" * 16,
    "commitments": {"exposures": "ab" * 32, "baskets": "cd" * 32},
    "code_version": "0.1.1",
    "outputs": [{"name": "cells", "shape": [2, 3]}],
    "roster": "march",
    "roster_job": "ee" * 32,
}


@pytest.mark.parametrize("name", JobRequest.model_fields)
def test_every_field_is_under_the_job_hash(name: str) -> None:
    under = {"roster": "march"} if name == "roster_job" else {}
    assert request(**under, **{name: CHANGES[name]}).job_hash != request(**under).job_hash


def test_the_job_hash_is_a_fixed_function_of_the_request() -> None:
    assert request().job_hash == "d2dada83823487ee8e386e135610d16bacd366846f73867962fdb209f6435a3f"


def test_one_instant_has_one_hash_in_every_time_zone() -> None:
    east = request(created="2026-07-15T19:59:00+08:00")
    assert east.job_hash == request().job_hash
    assert east.created == datetime(2026, 7, 15, 11, 59, tzinfo=UTC)


def test_a_question_is_the_same_whoever_asks_and_whenever() -> None:
    again = request(
        analyst="retailer",
        attempt=7,
        created="2027-01-01T00:00:00Z",
        nonce="ff" * 16,
        roster="march",
        roster_job="ee" * 32,
        uses=list(reversed(request_fields()["uses"])),
    )
    assert again.question() == request().question()
    for name in ("parameters", "epsilon", "recipients", "outputs", "computation", "contract_hash"):
        assert request(**{name: CHANGES[name]}).question() != request().question()


def test_providers_and_permitting_parties_follow_from_the_data_used() -> None:
    assert request().datasets == ("baskets", "exposures")
    assert providers_of(CONTRACT, request()) == ("media", "retailer")
    assert permitting_parties(CONTRACT, request()) == ("media", "neutral", "retailer")
    places = request(uses=[{"dataset": "places", "purpose": "membership"}], commitments={})
    assert permitting_parties(CONTRACT, places) == ("coupons", "media", "neutral", "retailer")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"attempt": 0}, "attempt: must be at least"),
        ({"attempt": "1"}, "attempt: must be a whole number"),
        ({"epsilon": float("nan")}, "epsilon"),
        ({"epsilon": True}, "epsilon"),
        ({"created": "2026-07-15T11:59:00"}, "created: must say its time zone"),
        ({"nonce": "00"}, "nonce: must be 32"),
        ({"uses": []}, "uses"),
        ({"uses": [{"dataset": "baskets", "purpose": "value"}]}, "column: must be given"),
        (
            {"uses": [{"dataset": "baskets", "column": "day", "purpose": "membership"}]},
            "column: must be given, except",
        ),
        ({"uses": [{"dataset": "baskets", "column": "day", "purpose": "steal"}]}, "purpose: must"),
        (
            {"uses": [{"dataset": "baskets", "column": "9x", "purpose": "value"}]},
            r"uses\[1\].column: must be a column's name",
        ),
        ({"recipients": []}, "recipients"),
        ({"recipients": ["media", "media"]}, "recipients: names a party twice"),
        ({"commitments": {"places": ""}}, "commitments: names a dataset that the job does not use"),
        ({"commitments": {"baskets": "new"}}, "commitments.baskets: must be 64"),
        ({"outputs": []}, "outputs"),
        ({"outputs": [{"name": "cells", "shape": [0]}]}, "outputs\\[cells\\].shape"),
        ({"outputs": [{"name": "cells", "shape": [1]}] * 2}, "outputs: two outputs share"),
        ({"parameters": {"text": "x" * 70_000}}, "parameters: must be at most 65536 bytes"),
        ({"parameters": {"rate": float("inf")}}, "parameters"),
        ({"atempt": 1}, "did you mean 'attempt'"),
    ],
)
def test_what_is_no_request_is_refused_naming_the_key(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Refusal, match=words) as caught:
        request(**changes)
    assert caught.value.code == "request.malformed"
    assert caught.value.remedy


@pytest.mark.parametrize("data", [b"", b"[1]", b"\xff", b"{" * 100_000, b" " * 300_000])
def test_bytes_that_are_no_request_are_refused(data: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        JobRequest.from_json(data)
    assert caught.value.code == "request.malformed"


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", datetime(2026, 1, 1, tzinfo=UTC)])
def test_a_value_that_is_not_json_is_refused(value: object) -> None:
    with pytest.raises(Refusal) as caught:
        request(parameters={"value": value})
    assert caught.value.code == "request.malformed"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab_é", max_size=4), inner),
    max_leaves=12,
)
offsets = st.integers(-720, 840).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.text("abcé", max_size=5), json_values, max_size=4),
    st.floats(0, 4),
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=offsets),
)
def test_a_request_survives_the_wire(
    parameters: dict[str, Any], epsilon: float, created: datetime
) -> None:
    sent = request(parameters=parameters, epsilon=epsilon, created=created.isoformat())
    got = JobRequest.from_json(sent.canonical())
    assert got == sent
    assert got.job_hash == sent.job_hash


def test_a_use_is_compared_by_value() -> None:
    assert Use(dataset="baskets", purpose="membership") == Use(
        dataset="baskets", column="", purpose="membership"
    )
