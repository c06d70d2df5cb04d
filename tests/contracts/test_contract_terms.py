"""The contract's document: what is read, what is refused and in which words, what is hashed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from contract_samples import (
    CONTRACT,
    PARTIES,
    TOML,
    certificate_of,
    contract_fields,
    public_key_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.contracts import TRUST, Contract, describe
from hanse.contracts.fields import _SMALL_ORDER_KEYS
from hanse.errors import Refusal


def refusal_of(fields: dict[str, Any]) -> str:
    with pytest.raises(Refusal) as caught:
        Contract.from_fields(fields)
    assert caught.value.code == "contract.malformed"
    assert caught.value.remedy
    return caught.value.message


def test_the_document_is_read_as_written() -> None:
    assert CONTRACT.starts == date(2026, 1, 1)
    assert CONTRACT.seats == ("media", "retailer", "neutral")
    assert CONTRACT.providers == ("coupons", "media", "retailer")
    exposures = CONTRACT.dataset("exposures")
    assert exposures is not None
    campaign = exposures.column("campaign")
    assert campaign is not None
    assert campaign.values == ("email", "tv")
    assert CONTRACT.dataset("nothing") is None
    assert CONTRACT.party("nobody") is None


def test_the_hash_is_a_fixed_function_of_the_terms() -> None:
    # A changed value here means that contracts signed by earlier versions no longer verify.
    assert CONTRACT.hash == "310c99da34de1dfd5d15bf9bbe8b3681b48d38d92a3a2845afbec863edeb801f"


def test_layout_comments_and_number_spelling_do_not_change_the_hash() -> None:
    spread_out = TOML.replace("epsilon_budget = 10.0", "# ten\nepsilon_budget   =   10")
    moved = spread_out.replace("version = 1\n", "").replace("format = 1\n", "version=1\nformat=1\n")
    assert moved != TOML
    assert Contract.from_toml(moved).hash == CONTRACT.hash


def test_the_order_of_seats_is_part_of_the_contract() -> None:
    fields = contract_fields()
    fields["seats"] = ["retailer", "media", "neutral"]
    assert Contract.from_fields(fields).hash != CONTRACT.hash


def at(fields: Any, *path: Any) -> Any:
    for step in path:
        fields = fields[step]
    return fields


def put(*path: Any) -> Callable[[dict[str, Any]], None]:
    """A change that sets the value (last of ``path``) at the rest of it."""
    *steps, key, value = path

    def change(fields: dict[str, Any]) -> None:
        at(fields, *steps)[key] = value

    return change


def cut(*path: Any) -> Callable[[dict[str, Any]], None]:
    *steps, key = path

    def change(fields: dict[str, Any]) -> None:
        del at(fields, *steps)[key]

    return change


MALFORMED = {
    "missing": (cut("purpose"), "purpose: is missing"),
    "unknown key": (put("privacy", "epsilon_per_qeury", 1.0), "did you mean 'epsilon_per_query'?"),
    "unknown format": (put("format", 2), "format: must be 1"),
    "bad id": (put("id", "Spring 2026"), "id: must be 3 to 64 lower-case letters"),
    "newline in id": (put("id", "spring\n"), "id: must be 3 to 64 lower-case letters"),
    "blank purpose": (put("purpose", "  "), "purpose: must not be blank"),
    "blank independence": (put("independence", ""), "independence: must not be blank"),
    "dates": (put("expires", "2026-01-01"), "expires: must be later than starts"),
    "no date": (put("starts", "soon"), "starts: must be a day like 2026-03-31"),
    "two seats": (put("seats", ["media", "retailer"]), "seats"),
    "seat twice": (put("seats", ["media", "media", "neutral"]), "three different parties"),
    "unknown seat": (put("seats", 0, "nobody"), "seats: there is no party 'nobody'"),
    "one owner": (
        put("parties", 3, "organisation", "a  RETAILER (demo)"),
        "seats: two seats are held by the same organisation",
    ),
    "one key": (put("parties", 3, "signing_key", public_key_of("media")), "share one signing_key"),
    "one certificate": (
        put("parties", 3, "certificate", certificate_of("media")),
        "share one certificate",
    ),
    "party twice": (put("parties", 2, "name", "media"), "'media' is named twice"),
    "short key": (put("parties", 0, "signing_key", "abcd"), "parties[media].signing_key: must be"),
    "capital key": (
        put("parties", 0, "signing_key", public_key_of("media").upper()),
        "64 lower-case hexadecimal",
    ),
    "k": (put("privacy", "k", 19), "privacy.k: must be at least 20"),
    "k as text": (put("privacy", "k", "100"), "privacy.k: must be a whole number"),
    "k as yes": (put("privacy", "k", True), "privacy.k: must be a whole number"),
    "epsilon cap": (
        put("privacy", "epsilon_per_query", 4.5),
        "privacy.epsilon_per_query: must be at most 4",
    ),
    "epsilon zero": (put("privacy", "epsilon_per_query", 0), "must be more than 0"),
    "epsilon as yes": (put("privacy", "epsilon_per_query", True), "privacy.epsilon_per_query"),
    "epsilon infinite": (put("privacy", "epsilon_budget", float("inf")), "epsilon_budget"),
    "epsilon not a number": (put("privacy", "epsilon_budget", float("nan")), "epsilon_budget"),
    "epsilon over budget": (
        put("privacy", "epsilon_budget", 0.5),
        "privacy.epsilon_per_query: is over epsilon_budget",
    ),
    "join over budget": (put("join", "epsilon_budget", 0.05), "join.epsilon: is over"),
    "join epsilon": (put("join", "epsilon", 2.0), "join.epsilon: must be at most 1"),
    "large delta": (put("privacy", "delta", 1e-3), "privacy.delta: must be at most 1e-08"),
    "join delta": (
        put("datasets", 0, "capacity", 50_000_000),
        "join.delta: must be at most 2e-09",
    ),
    "period": (put("privacy", "period", "week"), "privacy.period: must be 'contract' or 'month'"),
    "hash chain": (put("join", "hash", "md5"), "join.hash: must be 'sha256' or 'md5+sha256'"),
    "capacity": (put("datasets", 0, "capacity", 100_000_001), "datasets[exposures].capacity"),
    "no capacity": (put("datasets", 0, "capacity", 0), "datasets[exposures].capacity"),
    "slots": (put("datasets", 0, "slots", 33), "datasets[exposures].slots"),
    "no slots": (put("datasets", 0, "slots", 0), "datasets[exposures].slots"),
    "provider": (put("datasets", 0, "provider", "nobody"), "datasets[exposures].provider: there"),
    "no basis": (cut("datasets", 0, "legal_basis"), "datasets[exposures].legal_basis: is missing"),
    "basis denies": (
        put("datasets", 0, "legal_basis", "not-personal"),
        "datasets[exposures].legal_basis: says not-personal",
    ),
    "basis without people": (
        put("datasets", 2, "legal_basis", "consent"),
        "datasets[places].legal_basis: speaks of people",
    ),
    "no evidence": (cut("datasets", 0, "evidence"), "datasets[exposures].evidence: is missing"),
    "dataset twice": (put("datasets", 1, "name", "exposures"), "'exposures' is named twice"),
    "column twice": (
        put("datasets", 0, "columns", 1, "name", "campaign"),
        "datasets[exposures].columns: 'campaign' is named twice",
    ),
    "no values": (
        cut("datasets", 0, "columns", 0, "values"),
        "datasets[exposures].columns[campaign].values: is missing",
    ),
    "value twice": (
        put("datasets", 0, "columns", 0, "values", ["tv", "tv"]),
        "columns[campaign].values: 'tv' is named twice",
    ),
    "values of a number": (
        put("datasets", 1, "columns", 0, "values", ["a"]),
        "columns[amount].values: does not belong",
    ),
    "no maximum": (
        cut("datasets", 1, "columns", 0, "maximum"),
        "columns[amount].maximum: is missing",
    ),
    "maximum of a category": (
        put("datasets", 0, "columns", 0, "maximum", 5),
        "columns[campaign].maximum: does not belong",
    ),
    "segment of a number": (
        put("datasets", 1, "columns", 0, "uses", ["segment"]),
        "columns[amount].uses: a column of kind amount cannot segment",
    ),
    "use of nothing": (put("datasets", 1, "columns", 0, "uses", []), "columns[amount].uses"),
    "unknown kind": (put("datasets", 0, "columns", 0, "kind", "text"), "columns[campaign].kind"),
    "sensitive kind": (
        put("datasets", 0, "columns", 0, "kind", "health"),
        "columns[campaign].kind: is a sensitive kind of data",
    ),
    "sensitive column": (
        put("datasets", 0, "columns", 0, "name", "Religion"),
        "is a sensitive kind of data",
    ),
    "recipient": (
        put("computations", 0, "recipients", ["nobody"]),
        "computations[funnel].recipients: there is no party 'nobody'",
    ),
    "no recipient": (put("computations", 0, "recipients", []), "computations[funnel].recipients"),
    "computation data": (
        put("computations", 0, "datasets", ["nothing"]),
        "computations[funnel].datasets: there is no dataset 'nothing'",
    ),
    "computation twice": (put("computations", 1, "name", "funnel"), "'funnel' is named twice"),
    "jobs": (put("maximum_jobs", 0), "maximum_jobs: must be at least 1"),
    "retention": (put("retention_days", 0), "retention_days: must be at least 1"),
    "no table": (put("join", 3), "join: must be a table of keys and values"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_bad_contract_is_refused_naming_the_key(name: str) -> None:
    change, words = MALFORMED[name]
    fields = contract_fields()
    change(fields)
    assert words in refusal_of(fields)


def test_all_problems_are_listed_at_once() -> None:
    fields = contract_fields()
    for change in (put("privacy", "k", 1), put("datasets", 0, "slots", 33), cut("title")):
        change(fields)
    message = refusal_of(fields)
    assert "3 problems" in message
    assert all(key in message for key in ("privacy.k", "datasets[exposures].slots", "title"))


def test_problems_across_fields_are_listed_at_once() -> None:
    fields = contract_fields()
    put("seats", 0, "nobody")(fields)
    put("expires", "2020-01-01")(fields)
    message = refusal_of(fields)
    assert "2 problems" in message
    assert "seats" in message
    assert "expires" in message


@pytest.mark.parametrize("text", ["format = ", "a" * (2 << 20), "[[[", "x = 2026-01-01T00:00:00Z"])
def test_a_text_that_is_no_contract_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        Contract.from_toml(text)
    assert caught.value.code == "contract.malformed"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 1}', "[" * 100_000])
def test_json_that_is_no_contract_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as caught:
        Contract.from_json(text)
    assert caught.value.code == "contract.malformed"


def test_a_time_is_not_taken_for_a_date() -> None:
    with pytest.raises(Refusal, match=r"contract\.malformed"):
        Contract.from_toml(TOML.replace("starts = 2026-01-01", "starts = 2026-01-01T00:00:00Z"))


def test_weak_keys_are_refused_with_either_sign_bit() -> None:
    for key in _SMALL_ORDER_KEYS:
        flipped = bytes.fromhex(key)[:31] + bytes([bytes.fromhex(key)[31] | 0x80])
        for weak in (key, flipped.hex()):
            fields = contract_fields()
            fields["parties"][0]["signing_key"] = weak
            assert "parties[media].signing_key: is a weak key" in refusal_of(fields)


def test_the_list_of_weak_keys_is_the_small_order_points() -> None:
    prime = 2**255 - 19
    d = -121665 * pow(121666, -1, prime) % prime
    by_height = [int.from_bytes(bytes.fromhex(key), "little") for key in _SMALL_ORDER_KEYS]
    for y in by_height:
        # Orders 1 and 2 have y = +-1, order 4 has y = 0, and doubling a point of order 8 gives
        # y = 0, which is d y^4 + 2 y^2 - 1 = 0.
        small = y % prime in (0, 1, prime - 1) or (d * y**4 + 2 * y**2 - 1) % prime == 0
        assert small
    assert len(by_height) == 7


# Any text a person may type, including what TOML and JSON escape in different ways.
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40).filter(str.strip)
epsilons = st.floats(0.001, 1.0)


@st.composite
def contracts(draw: st.DrawFn) -> dict[str, Any]:
    fields = contract_fields()
    for key in ("title", "purpose", "independence"):
        fields[key] = draw(texts)
    fields["version"] = draw(st.integers(1, 1000))
    fields["privacy"]["epsilon_per_query"] = draw(epsilons)
    fields["privacy"]["epsilon_budget"] = draw(st.floats(1.0, 1e17))
    fields["privacy"]["delta"] = draw(st.floats(1e-30, 1e-8))
    fields["join"]["epsilon"] = draw(epsilons)
    fields["seats"] = draw(st.permutations(["media", "retailer", "coupons", "neutral"]))[:3]
    for number, party in enumerate(fields["parties"]):
        party["organisation"] = draw(texts) + f" {number}"
    fields["datasets"][0]["evidence"] = draw(texts)
    values = draw(st.lists(texts, min_size=1, max_size=20, unique=True))
    fields["datasets"][0]["columns"][0]["values"] = values
    if draw(st.booleans()):
        del fields["datasets"][1]["columns"]
    return fields


@settings(max_examples=150, deadline=None)
@given(contracts())
def test_toml_and_json_give_the_same_contract_back(fields: dict[str, Any]) -> None:
    contract = Contract.from_fields(fields)
    for again in (
        Contract.from_toml(contract.to_toml()),
        Contract.from_json(contract.canonical()),
    ):
        assert again == contract
        assert again.hash == contract.hash


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [leaf for key in value for leaf in leaves(value[key], (*path, key))]
    if isinstance(value, list):
        return [leaf for key, item in enumerate(value) for leaf in leaves(item, (*path, key))]
    return [path]


# Keys whose values refer to something or are chosen from a list, or are at their limit (slots).
BOUND_KEYS = {
    *("format", "seats", "hash", "period", "name", "provider", "personal", "legal_basis"),
    *("kind", "uses", "slots", "recipients", "datasets"),
}


@pytest.mark.parametrize("path", leaves(contract_fields()), ids=lambda p: ".".join(map(str, p)))
def test_every_value_of_the_contract_is_under_the_hash(path: tuple[Any, ...]) -> None:
    fields = contract_fields()
    *steps, key = path
    holder = at(fields, *steps)
    old = holder[key]
    if isinstance(old, bool):
        holder[key] = not old
    elif isinstance(old, int | float):
        holder[key] = old / 2 if isinstance(old, float) else old + 1
    elif isinstance(old, str) and len(old) == 64:
        holder[key] = "77" * 32
    else:
        holder[key] = old[:-1] + ("1" if old[-1] != "1" else "2")
    try:
        changed = Contract.from_fields(fields)
    except Refusal:
        # Such a change makes no contract at all; every other one must reach the hash.
        assert [step for step in path if isinstance(step, str)][-1] in BOUND_KEYS
        return
    assert changed.hash != CONTRACT.hash


def test_a_contract_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValueError, match="frozen"):
        CONTRACT.maximum_jobs = 10**6  # type: ignore[misc]


def test_the_toml_is_for_people() -> None:
    text = CONTRACT.to_toml()
    assert text.startswith('format = 1\nid = "spring-2026"\n')
    assert "\n[join]\n" in text
    assert "\n[[datasets.columns]]\n" in text
    assert "starts = 2026-01-01\n" in text
    assert max(len(line) for line in text.splitlines()) < 100


def test_the_description_says_what_a_compliance_officer_must_know() -> None:
    text = describe(CONTRACT)
    assert TRUST in text
    assert "Two of the three seats acting together could; they could then also read" in text
    assert CONTRACT.independence in text
    assert CONTRACT.hash in text
    for party in PARTIES:
        assert party in text
    for dataset in CONTRACT.datasets:
        assert dataset.name in text
        assert dataset.evidence is None or dataset.evidence in text
        assert all(column.name in text for column in dataset.columns)
    assert "k = 100" in text
    assert "may learn the results of 'funnel' over exposures, baskets" in text
    assert "epsilon 10 (at delta 1e-08) per the life of the contract" in text
    assert "epsilon 0.1 and delta 1e-08 per matching" in text
    assert "not data about people" in text


def test_the_description_promises_noise_only_where_there_is_noise() -> None:
    fields = contract_fields()
    fields["datasets"] = fields["datasets"][2:]
    fields["computations"] = [{"name": "crowd", "recipients": ["coupons"], "datasets": ["places"]}]
    text = describe(Contract.from_fields(fields))
    assert "Random noise" not in text
    assert "may be shown without noise" in text
