"""What a contract does not allow: one refusal that names the clause, noted where it was made; nothing reserved."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fault_federation import NAMES, Federation, ShiftedClock
from fault_people import is_right, parameters

from hanse.contracts import Bundle, Contract, JobRequest
from hanse.errors import HanseError, Refusal
from hanse.node.jobs.runner import Question
from hanse.node.office import LIVE, SUSPENDED

WITHIN = 5.0


def refused(
    federation: Federation, question: Question, code: str, *, by: str, asking: str = "elm"
) -> HanseError:
    """The refusal of the question: by that node, in its ledger, and with nothing reserved or kept anywhere."""
    noted = {member.name: len(member.entries("refusal")) for member in federation.each()}
    error, job = federation.fails(question, asking=asking, within=WITHIN)
    assert isinstance(error, Refusal), str(error)
    assert error.code == code, str(error)
    assert error.remedy
    if by != asking:
        assert error.where.startswith(by), str(error)
    new = federation[by].entries("refusal")[noted[by] :]
    assert [(entry["code"], entry["analyst"]) for entry in new] == [(code, asking)]
    assert all(entry["remedy"] and entry["message"] for entry in new)
    if job:
        federation.check_story(error, job, code, "")
        for name in NAMES:
            assert federation[name].budget_of(job) in ("", "released")
    return error


def day(days: int) -> date:
    return (datetime.now(UTC) + timedelta(days=days)).date()


# --- what the asking node's own copy says ------------------------------------------------------------


def test_an_unsigned_contract(linked: Federation) -> None:
    contract = linked.contract(signers=("ash", "birch", "dune", "elm"))
    error = refused(linked, linked.question(contract), "contract.unsigned", by="elm")
    assert "cedar" in error.message


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"starts": date(2020, 1, 1), "expires": day(0)}, "contract.expired"),
        ({"starts": day(1)}, "contract.not-started"),
        ({"privacy": {"epsilon_per_query": 2.0}}, "contract.epsilon"),
        ({"computations": [{"name": "reach", "recipients": ["elm"], "datasets": ["baskets"]}]},
         "contract.computation"),
        ({"computations": [{"name": "funnel", "recipients": ["elm"], "datasets": ["baskets"]}]},
         "contract.dataset"),
        ({"computations": [{"name": "funnel", "recipients": ["ash"],
                            "datasets": ["exposures", "baskets"]}]}, "contract.recipient"),
    ],
)  # fmt: skip
def test_terms_that_do_not_allow_the_question(
    linked: Federation, terms: dict[str, Any], code: str
) -> None:
    refused(linked, linked.question(linked.contract(**terms)), code, by="elm")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"where": [{"column": "city", "equals": "x"}]}, "contract.column"),
        ({"where": [{"column": "kind", "equals": "radio"}]}, "contract.value"),
        ({"dataset": "visits"}, "contract.dataset"),
    ],
)
def test_a_question_beyond_the_datasets(
    linked: Federation, changes: dict[str, Any], code: str
) -> None:
    stages = parameters()["stages"]
    stages[0]["any_of"][0] |= changes
    question = linked.question(linked.contract(), parameters=parameters(stages=stages))
    refused(linked, question, code, by="elm")


def test_a_column_that_may_not_serve_this_purpose(linked: Federation) -> None:
    terms = linked.terms()
    terms["datasets"][0]["columns"][1]["uses"] = ["filter"]
    bundle = linked.signed(terms)
    linked.hand_out(bundle)
    asked = parameters(by={"dataset": "exposures", "column": "kind"})
    refused(
        linked, linked.question(bundle.contract.id, parameters=asked), "contract.purpose", by="elm"
    )


def test_an_unknown_contract_and_an_unknown_computation(linked: Federation) -> None:
    refused(linked, linked.question("nobody-knows-it"), "contract.unknown", by="elm")
    question = linked.question(linked.contract(), computation="teleport")
    refused(linked, question, "menu.unknown", by="elm")


def test_a_signature_that_does_not_fit(linked: Federation) -> None:
    bundle = linked.signed(linked.terms())
    other = linked.signed(linked.terms())
    forged = Bundle(bundle.contract, {**bundle.signatures, "cedar": other.signatures["cedar"]})
    with pytest.raises(Refusal) as refusal:
        linked.hand_out(forged, ["elm"])
    assert refusal.value.code == "contract.signature"
    assert "cedar" in refusal.value.message
    # The file of the store was changed behind the node's back.
    linked.hand_out(bundle)
    with linked["elm"].office() as office:
        office.store.contracts.put(
            bundle.contract.id, 1, hash=bundle.contract.hash, state=LIVE,
            bundle=json.loads(forged.to_json()), at=datetime.now(UTC),
        )  # fmt: skip
    error = refused(linked, linked.question(bundle.contract.id), "contract.signature", by="elm")
    assert "cedar" in error.message


def test_keys_in_the_contract_that_are_not_the_partners(linked: Federation) -> None:
    key = Ed25519PrivateKey.generate()
    terms = linked.terms()
    birch = next(party for party in terms["parties"] if party["name"] == "birch")
    birch["signing_key"] = key.public_key().public_bytes_raw().hex()
    bundle = Bundle(Contract.from_fields(terms)).signed("birch", key)
    for name in ("ash", "cedar", "dune", "elm"):
        bundle = bundle.signed(name, linked[name].identity.signing_key)
    with pytest.raises(Refusal) as refusal:
        linked.hand_out(bundle, ["birch"])
    assert refusal.value.code == "contract.key"
    linked.hand_out(bundle, ["ash", "cedar", "dune", "elm"])
    error = refused(linked, linked.question(bundle.contract.id), "contract.partner", by="elm")
    assert "birch" in error.message


# --- what only another node knows --------------------------------------------------------------------


def test_a_signature_that_a_provider_has_not_got(linked: Federation) -> None:
    terms = linked.terms()
    linked.hand_out(linked.signed(terms), ["ash", "birch", "cedar", "elm"])
    bundle = linked.signed(terms, ("ash", "birch", "dune", "elm"))
    linked.hand_out(bundle, ["dune"])
    error = refused(linked, linked.question(bundle.contract.id), "contract.unsigned", by="dune")
    assert "cedar" in error.message


def test_another_version_at_a_seat(linked: Federation) -> None:
    terms = linked.terms()
    old = linked.signed(terms)
    new = linked.signed(terms | {"version": 2, "title": "Faults, corrected"})
    linked.hand_out(old)
    linked.hand_out(new, ["ash", "birch", "dune", "elm"])
    refused(linked, linked.question(old.contract.id), "contract.hash", by="cedar")
    linked.hand_out(new, ["cedar"])
    assert is_right(linked.people(linked.question(old.contract.id)))


def test_a_contract_that_a_seat_has_never_seen(linked: Federation) -> None:
    bundle = linked.signed(linked.terms())
    linked.hand_out(bundle, ["ash", "birch", "dune", "elm"])
    refused(linked, linked.question(bundle.contract.id), "contract.unknown", by="cedar")


def test_a_contract_that_a_seat_has_suspended(linked: Federation) -> None:
    contract = linked.contract()
    with linked["cedar"].office() as office:
        office.set_state(contract, SUSPENDED, "an audit")
    refused(linked, linked.question(contract), "contract.suspended", by="cedar")
    with linked["cedar"].office() as office:
        office.set_state(contract, LIVE, "the audit is over")
    assert is_right(linked.people(linked.question(contract)))


def test_a_contract_that_has_expired_by_the_clock_of_a_seat(linked: Federation) -> None:
    contract = linked.contract(expires=day(2))
    linked["cedar"].stop()
    linked["cedar"].start(clock=ShiftedClock(days=3))
    linked.linked()
    refused(linked, linked.question(contract), "contract.expired", by="cedar")
    linked["cedar"].stop()
    linked["cedar"].start()
    linked.linked()
    assert is_right(linked.people(linked.question(contract)))


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"maximum_jobs": 1}, "contract.exhausted"),
        ({"privacy": {"epsilon_budget": 6.0}}, "budget.spent"),
        ({"join": {"epsilon_budget": 1.5}}, "budget.join"),
    ],
)
def test_what_the_first_job_has_used_up(
    linked: Federation, terms: dict[str, Any], code: str
) -> None:
    contract = linked.contract(**terms)
    first = linked.question(contract)
    people = linked.people(first)
    assert is_right(people)
    # elm keeps no account of prices: those who do refuse, and all the others give up.
    second = linked.question(contract, parameters=parameters("seen again"))
    error = refused(linked, second, code, by="ash")
    if code == "budget.spent":
        assert "with epsilon 2 or less" in error.remedy
        smaller = linked.question(contract, parameters=parameters("seen again"), epsilon=2.0)
        assert is_right(linked.people(smaller))
    again = linked.ask(first)  # what was answered once costs nothing more
    assert again.recorded
    assert [row["people"] for row in (again.result or {})["rows"]] == people


# --- what a modified asking node might try ------------------------------------------------------------


def changed(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda request: request.update(fields)


def hidden_use(request: dict[str, Any]) -> None:
    request["uses"] = [use for use in request["uses"] if use["purpose"] != "order"]


def wider_output(request: dict[str, Any]) -> None:
    request["outputs"][0]["shape"] = [1000]


def other_recipient(request: dict[str, Any]) -> None:
    request["recipients"] = ["birch"]


FORGED: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "no noise": (changed(noise=False, epsilon=0.0, epsilon_join=0.0), "gate.noise"),
    "a larger epsilon": (changed(epsilon=5.0), "gate.epsilon"),
    "no padding": (changed(epsilon_join=0.0), "contract.join"),
    "a use left out": (hidden_use, "gate.request"),
    "a larger output": (wider_output, "gate.request"),
    "another recipient": (other_recipient, "contract.recipient"),
    "another contract": (changed(contract_hash="0" * 64), "contract.hash"),
    "another version": (changed(code_version="0.0.0"), "job.version"),
    "an unknown field": (changed(urgent=True), "request.malformed"),
    "another's name": (changed(analyst="ash"), "job.analyst"),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_request_is_refused_by_every_node_by_itself(linked: Federation, what: str) -> None:
    forge, code = FORGED[what]
    contract = linked.contract()
    asking = linked["elm"].running
    request, _ = asking.runner.draft(linked.question(contract), {})
    fields = copy.deepcopy(request.fields())
    forge(fields)
    for name in ("ash", "birch", "cedar", "dune"):
        before = len(linked[name].entries("refusal"))
        for ask in ("prepare", "admit"):
            with pytest.raises(HanseError) as raised:
                asking.exchange.request(name, {"ask": ask, "request": fields})
            assert raised.value.code == code, str(raised.value)
            assert raised.value.where.startswith(name)
            assert raised.value.remedy
        noted = linked[name].entries("refusal")[before:]
        assert [(entry["code"], entry["analyst"]) for entry in noted] == [(code, "elm")] * 2
    linked.check_records()


def test_a_permit_of_another_job(linked: Federation) -> None:
    """Each node starts only with the permits of all seats and providers for this very job."""
    contract = linked.contract()
    asking = linked["elm"].running
    requests = [asking.runner.draft(linked.question(contract), {})[0] for _ in range(2)]

    def admitted(request: JobRequest) -> list[dict[str, Any]]:
        answers = [
            asking.exchange.request(name, {"ask": "admit", "request": request.fields()})
            for name in ("ash", "birch", "cedar", "dune")
        ]
        return [answer["permit"] for answer in answers]

    for case, code in enumerate(("permit.signature", "permit.missing")):
        request = requests[case]
        given = admitted(request)
        given = given[:3] if case else [{**p, "job_hash": "0" * 64} for p in given]
        start = {"ask": "start", "job": request.job_hash, "permits": given}
        with pytest.raises(HanseError) as raised:
            asking.exchange.request("birch", start)
        assert raised.value.code == code
        linked.wait_over(within=WITHIN)  # birch tells the others: nobody waits for a start
        stories = linked.stories(request.job_hash)
        assert {story["code"] for story in stories.values()} == {code}
        assert set(stories) == {"ash", "birch", "cedar", "dune"}
    linked.check_records()
