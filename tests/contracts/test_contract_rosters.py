"""Jobs over a roster: what a contract allows, what they cost, and every way in which a roster does not serve."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from contract_samples import CONTRACT, NOW, bundle_of, contract_fields, request

from hanse.contracts import (
    Contract,
    Grant,
    History,
    JobRequest,
    RosterNote,
    check,
    describe,
    note_of,
)
from hanse.errors import Fault, Refusal

MADE_BY = "ee" * 32


def allowing(days: int = 31) -> Contract:
    fields = contract_fields()
    fields["join"]["roster_days"] = days
    return Contract.from_fields(fields)


ALLOWING = allowing()


def over_roster(contract: Contract = ALLOWING, **changes: Any) -> JobRequest:
    fields = {"roster": "march", "roster_job": MADE_BY, "epsilon_join": 0.0, **changes}
    return request(contract, **fields)


def note(contract: Contract = ALLOWING) -> RosterNote:
    made = request(contract, roster="march")
    rows = {"media": 4096, "retailer": 4096}
    return replace(note_of(contract, made, rows, NOW - timedelta(days=5)), job=MADE_BY)


def decide(
    asked: JobRequest, held: RosterNote | None, *, contract: Contract = ALLOWING, days: float = 0
) -> Grant:
    history = History(holder="retailer", roster=held)
    return check(bundle_of(contract), asked, history, NOW + timedelta(days=days))


def test_a_contract_without_rosters_keeps_its_hash_and_says_nothing_of_them() -> None:
    assert Contract.from_fields(contract_fields()).hash == CONTRACT.hash
    assert allowing(0).hash == CONTRACT.hash != ALLOWING.hash
    assert "roster" not in describe(CONTRACT)
    assert "31 days (a roster)" in describe(ALLOWING)
    assert Contract.from_toml(ALLOWING.to_toml()).hash == ALLOWING.hash


def test_a_job_over_a_roster_charges_nothing_towards_the_seats() -> None:
    grant = decide(over_roster(), note())
    assert grant.epsilon_join == 0
    assert grant.after["media"].seats == 0
    assert grant.after["media"].recipients > 0


def test_making_a_roster_costs_what_an_alignment_costs() -> None:
    asked = request(ALLOWING, roster="march")
    assert decide(asked, None).epsilon_join == 0.1
    with pytest.raises(Refusal, match="needs padding"):
        decide(request(ALLOWING, roster="march", epsilon_join=0.0), None)


def test_who_holds_no_part_cannot_tell_and_trusts_those_who_do() -> None:
    assert check(bundle_of(ALLOWING), over_roster(), History(), NOW).epsilon_join == 0


def test_a_roster_lives_as_long_as_the_contract_says_to_the_second() -> None:
    decide(over_roster(), note(), days=25.999)
    with pytest.raises(Refusal) as refused:
        decide(over_roster(), note(), days=26)
    assert refused.value.code == "roster.expired"


def test_no_roster_outlives_its_contract() -> None:
    made = request(ALLOWING, roster="march")
    late = datetime(2027, 12, 30, 9, tzinfo=UTC)
    assert note_of(ALLOWING, made, {}, late).expires == datetime(2028, 1, 1, tzinfo=UTC)
    assert note_of(ALLOWING, made, {}, NOW).expires == NOW + timedelta(days=31)


MEMBERSHIP = {"column": "", "purpose": "membership"}
REFUSED: dict[str, tuple[str, JobRequest, RosterNote | None]] = {
    "lost": ("roster.unknown", over_roster(), None),
    "another's name": ("roster.unknown", over_roster(roster="april"), note()),
    "another version": ("roster.layout", over_roster(), note(allowing(30))),
    "fewer providers": (
        "roster.layout",
        over_roster(uses=[{"dataset": "baskets", **MEMBERSHIP}], commitments={}),
        note(),
    ),
    "a dataset more": (
        "roster.layout", over_roster(), replace(note(), datasets=("baskets",)),
    ),
    "paid for twice": ("contract.join", over_roster(epsilon_join=0.1), note()),
}  # fmt: skip


@pytest.mark.parametrize("why", REFUSED)
def test_refusals_name_the_clause_the_party_and_the_remedy(why: str) -> None:
    code, asked, held = REFUSED[why]
    with pytest.raises(Refusal) as refused:
        decide(asked, held)
    assert refused.value.code == code
    if code != "contract.join":
        assert "new roster name" in refused.value.remedy
    if code == "roster.unknown":
        assert "retailer" in refused.value.message


def test_a_contract_without_rosters_refuses_them() -> None:
    with pytest.raises(Refusal) as refused:
        decide(request(roster="march"), None, contract=CONTRACT)
    assert refused.value.code == "roster.forbidden"


def test_a_roster_without_a_name_is_no_request() -> None:
    with pytest.raises(Refusal, match="a job over a roster names it"):
        request(ALLOWING, roster_job=MADE_BY)


def test_a_note_survives_the_disk_and_a_damaged_one_is_told() -> None:
    assert RosterNote.from_json(note().to_json()) == note()
    for text in ("", "{}", "[]", note().to_json().replace("20", "xx")):
        with pytest.raises(Fault) as damaged:
            RosterNote.from_json(text)
        assert damaged.value.code == "roster.damaged"
