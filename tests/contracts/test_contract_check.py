"""The decision: every clause refuses under its own name, and what is granted stays in budget."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from contract_samples import (
    CONTRACT,
    NOW,
    bundle_of,
    contract_fields,
    request,
    request_fields,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.contracts import (
    Bundle,
    Contract,
    Grant,
    History,
    Spend,
    check,
    check_value,
    composed,
)
from hanse.contracts.terms import Column
from hanse.errors import Fault, Refusal

SIGNED = bundle_of()
PLACES = {
    "computation": "crowd",
    "recipients": ["coupons"],
    "uses": [{"dataset": "places", "column": "visits", "purpose": "value"}],
    "commitments": {},
}


def decide(
    bundle: Bundle = SIGNED,
    history: History | None = None,
    now: datetime = NOW,
    **changes: Any,
) -> Grant:
    return check(bundle, request(bundle.contract, **changes), history or History(), now)


def used(dataset: str, column: str, purpose: str) -> dict[str, Any]:
    return {"uses": [{"dataset": dataset, "column": column, "purpose": purpose}], "commitments": {}}


def without(party: str) -> Bundle:
    return Bundle(CONTRACT, {p: s for p, s in SIGNED.signatures.items() if p != party})


@dataclass(frozen=True)
class Case:
    """A job that one clause, and only that clause, refuses, and words its message must have."""

    code: str
    words: str
    changes: dict[str, Any]
    bundle: Bundle = SIGNED
    history: History | None = None
    now: datetime = NOW


FULL = Spend(recipients=(1.0,) * 10)
CASES = {
    "one has not signed": Case("contract.unsigned", "neutral", {}, without("neutral")),
    "another's signature": Case(
        "contract.signature",
        "neutral",
        {},
        Bundle(CONTRACT, {**SIGNED.signatures, "neutral": SIGNED.signatures["media"]}),
    ),
    "another version": Case("contract.hash", "version 1", {"contract_hash": "11" * 32}),
    "another contract": Case("contract.hash", "'autumn'", {"contract_id": "autumn"}),
    "before the start": Case(
        "contract.not-started",
        "2026-01-01",
        {},
        now=datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC),
    ),
    "the day it ends": Case(
        "contract.expired", "2027-12-31", {}, now=datetime(2028, 1, 1, tzinfo=UTC)
    ),
    "suspended": Case("contract.suspended", "suspended", {}, history=History(suspended=True)),
    "all jobs used": Case("contract.exhausted", "200", {}, history=History(jobs_used=200)),
    "stranger asks": Case("contract.analyst", "'stranger'", {"analyst": "stranger"}),
    "other computation": Case("contract.computation", "'lift'", {"computation": "lift"}),
    "stranger learns": Case("contract.recipient", "stranger", {"recipients": ["stranger"]}),
    "wrong party learns": Case(
        "contract.recipient", "coupons", {"recipients": ["media", "coupons"]}
    ),
    "unknown dataset": Case("contract.dataset", "'nothing'", used("nothing", "day", "order")),
    "dataset of another computation": Case(
        "contract.dataset", "'places'", used("places", "visits", "value")
    ),
    "unknown column": Case("contract.column", "'price'", used("baskets", "price", "value")),
    "column of another dataset": Case(
        "contract.column", "'campaign'", used("baskets", "campaign", "filter")
    ),
    "other purpose": Case("contract.purpose", "segment", used("baskets", "amount", "segment")),
    "people without noise": Case(
        "contract.noise", "about people", {"noise": False, "epsilon": 0, "epsilon_join": 0}
    ),
    "epsilon without noise": Case("contract.noise", "cannot spend", {**PLACES, "noise": False}),
    "no epsilon": Case("contract.epsilon", "above 0", {"epsilon": 0}),
    "negative epsilon": Case("contract.epsilon", "above 0", {"epsilon": -1}),
    "over the cap": Case("contract.epsilon", "at most 1", {"epsilon": 1.0001}),
    "join over the cap": Case("contract.join", "at most 0.1", {"epsilon_join": 0.11}),
    "negative join": Case("contract.join", "at most 0.1", {"epsilon_join": -0.1}),
    "join without padding": Case("contract.join", "padding", {"epsilon_join": 0}),
    "budget spent": Case("budget.spent", "retailer", {}, history=History(spent={"retailer": FULL})),
    "budget to seats spent": Case(
        "budget.join",
        "media",
        {},
        history=History(spent={"media": Spend(seats=(0.1,) * 30)}),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_clause_refuses_under_its_own_name(name: str) -> None:
    case = CASES[name]
    with pytest.raises(Refusal) as caught:
        decide(case.bundle, case.history, case.now, **case.changes)
    assert caught.value.code == case.code
    assert case.words in caught.value.message
    assert caught.value.remedy
    assert "contract spring-2026" in caught.value.where


def test_every_code_that_the_module_lists_is_reached() -> None:
    # Through `sys.modules`, since the package's own name `check` is the function.
    words = sys.modules["hanse.contracts.check"].__doc__ or ""
    listed = set(re.findall(r"(?:contract|budget)\.[a-z-]+", words))
    assert listed == {case.code for case in CASES.values()} | {"contract.value"}


def test_the_sample_job_is_granted_with_its_price() -> None:
    grant = decide()
    assert grant.job_hash == request().job_hash
    assert grant.contract_hash == CONTRACT.hash
    assert grant.recipients == ("media",)
    assert grant.providers == grant.charged == ("media", "retailer")
    assert (grant.k, grant.epsilon, grant.epsilon_join) == (100, 1.0, 0.1)
    assert (grant.delta, grant.delta_join, grant.period) == (1e-8, 1e-8, "contract")
    account = grant.after["retailer"]
    assert (account.recipients, account.seats) == (1.0, 0.1)
    assert (account.recipients_budget, account.seats_budget) == (10.0, 3.0)
    assert account.both == pytest.approx(1.1)


def test_the_first_and_the_last_day_are_valid() -> None:
    for now in (
        datetime(2026, 1, 1, tzinfo=UTC),
        datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC),
    ):
        assert decide(now=now).period == "contract"


def test_the_last_job_is_granted() -> None:
    assert decide(history=History(jobs_used=199)).epsilon == 1.0


def test_a_time_without_a_zone_is_a_fault() -> None:
    with pytest.raises(Fault) as caught:
        decide(now=datetime(2026, 7, 15))
    assert caught.value.code == "clock.naive"


def test_the_period_is_the_month_of_the_decision() -> None:
    fields = contract_fields()
    fields["privacy"]["period"] = "month"
    bundle = bundle_of(Contract.from_fields(fields))
    assert decide(bundle).period == "2026-07"
    assert decide(bundle, now=NOW + timedelta(days=31)).period == "2026-08"


def test_data_that_is_not_about_people_may_go_without_noise_and_charge() -> None:
    grant = decide(**PLACES, noise=False, epsilon=0, epsilon_join=0)
    assert grant.charged == ()
    assert grant.noise is False
    assert grant.after["coupons"].recipients == 0


def test_a_spent_budget_does_not_stop_what_costs_nothing() -> None:
    history = History(spent={"coupons": FULL})
    assert decide(history=history, **PLACES, noise=False, epsilon=0, epsilon_join=0)


def test_one_provider_alone_needs_no_alignment() -> None:
    grant = decide(**used("baskets", "amount", "value"), epsilon_join=0)
    assert grant.charged == ("retailer",)
    assert grant.epsilon_join == 0


def test_another_providers_budget_does_not_matter() -> None:
    assert decide(history=History(spent={"coupons": FULL})).providers == ("media", "retailer")


def test_a_refused_budget_says_what_would_still_fit() -> None:
    history = History(spent={"media": Spend(recipients=(1.0,) * 9 + (0.75,))})
    with pytest.raises(Refusal) as caught:
        decide(history=history)
    assert "epsilon 0.25 or less" in caught.value.remedy
    assert decide(history=history, epsilon=0.25).epsilon == 0.25


def test_messages_and_remedies_come_from_public_terms_only() -> None:
    with pytest.raises(Refusal) as caught:
        check_value(campaign(), "someone@example.org")
    assert "someone" not in str(caught.value)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=25), st.floats(1.0, 6.0))
def test_no_sequence_of_jobs_goes_over_the_budget(asked: list[float], budget: float) -> None:
    fields = contract_fields()
    fields["privacy"]["epsilon_budget"] = budget
    contract = Contract.from_fields(fields)
    bundle = bundle_of(contract)
    base = request_fields(contract)
    spent = Spend()
    refused: list[str] = []
    for number, epsilon in enumerate(asked):
        changed = {**base, "epsilon": epsilon, "attempt": number + 1}
        history = History(number, {"media": spent, "retailer": spent})
        try:
            grant = check(bundle, type(request()).from_fields(changed), history, NOW)
        except Refusal as error:
            refused.append(error.code)
            assert composed((*spent.recipients, epsilon), 1e-8) > budget
            continue
        spent = replace(spent, recipients=(*spent.recipients, grant.epsilon))
        assert grant.after["media"].recipients == composed(spent.recipients, 1e-8)
        assert composed(spent.recipients, 1e-8) <= budget * (1 + 1e-9)
    assert set(refused) <= {"budget.spent"}
    assert not refused or sum(asked) > budget


def test_equal_arguments_give_equal_decisions() -> None:
    assert decide() == decide()


def campaign() -> Column:
    dataset = CONTRACT.dataset("exposures")
    assert dataset is not None
    column = dataset.column("campaign")
    assert column is not None
    return column


NUMBER = Column(name="amount", kind="amount", uses=("value",), maximum=100)
FLAG = Column(name="open", kind="boolean", uses=("filter",))


@pytest.mark.parametrize(
    ("column", "value"),
    [(campaign(), "tv"), (NUMBER, 0), (NUMBER, 100), (NUMBER, 1.5), (FLAG, True), (FLAG, False)],
)
def test_values_of_the_contract_pass(column: Column, value: object) -> None:
    check_value(column, value)


@pytest.mark.parametrize(
    ("column", "value", "allowed"),
    [
        (campaign(), "radio", "one of 'email', 'tv'"),
        (campaign(), "TV", "one of 'email', 'tv'"),
        (campaign(), None, "one of 'email', 'tv'"),
        (campaign(), ["tv"], "one of 'email', 'tv'"),
        (NUMBER, 101, "a number from 0 to 100"),
        (NUMBER, -1, "a number from 0 to 100"),
        (NUMBER, True, "a number from 0 to 100"),
        (NUMBER, float("nan"), "a number from 0 to 100"),
        (NUMBER, "5", "a number from 0 to 100"),
        (FLAG, 1, "true or false"),
    ],
)
def test_other_values_are_refused_naming_the_allowed(
    column: Column, value: object, allowed: str
) -> None:
    with pytest.raises(Refusal) as caught:
        check_value(column, value)
    assert caught.value.code == "contract.value"
    assert allowed in caught.value.remedy
    assert column.name in caught.value.message


def test_a_long_list_of_values_is_shown_in_part() -> None:
    values = tuple(f"value-{number}" for number in range(100))
    column = Column(name="city", kind="category", uses=("filter",), values=values)
    with pytest.raises(Refusal) as caught:
        check_value(column, "elsewhere")
    assert "and 70 more" in caught.value.remedy
