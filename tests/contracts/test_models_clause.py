"""Models in contracts: what a clause must say, what jobs it allows, that it is part of what is signed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from contract_samples import NOW, bundle_of, contract_fields, request_fields

from hanse.contracts import Contract, History, JobRequest, ModelNote, check, describe
from hanse.contracts.model_check import expiry_of
from hanse.contracts.models import ModelClause, parties_of
from hanse.errors import Refusal

JOB = "ab" * 32


def clause(**changes: Any) -> dict[str, Any]:
    return {
        "name": "churn", "kind": "logistic", "target": {"dataset": "baskets", "column": "loyal"},
        "features": [{"dataset": "baskets", "columns": ["amount"]},
                     {"dataset": "exposures", "columns": ["campaign"]}],
        "alignment": "hidden", "authorisation": "authorised-by-people",
        "evidence": "Forms of 2026, kept by the retailer.", "metrics": ["retailer"], "scores": ["retailer"],
        "maximum_trainings": 3, "least_rows": 1000, "expiry_days": 90,
    } | changes  # fmt: skip


def fields(**changes: Any) -> dict[str, Any]:
    found = contract_fields()
    baskets, exposures = found["datasets"][1], found["datasets"][0]
    baskets["columns"][0]["uses"] = ["value", "feature", "target"]
    baskets["columns"].append({"name": "loyal", "kind": "boolean", "uses": ["target"]})
    exposures["columns"][0]["uses"] = ["filter", "segment", "feature"]
    found["models"] = [clause(**changes)]
    return found


def contract(**changes: Any) -> Contract:
    return Contract.from_fields(fields(**changes))


def problem(found: dict[str, Any]) -> str:
    with pytest.raises(Refusal) as refusal:
        Contract.from_fields(found)
    assert refusal.value.code == "contract.malformed"
    return refusal.value.message


# --- the clause -------------------------------------------------------------------------------------


def test_a_model_is_part_of_what_is_signed() -> None:
    with_model, longer = contract(), contract(expiry_days=91)
    without = Contract.from_fields({k: v for k, v in fields().items() if k != "models"})
    assert len({with_model.hash, longer.hash, without.hash}) == 3
    assert Contract.from_toml(with_model.to_toml()) == with_model
    assert parties_of(with_model, with_model.models[0]) == ("retailer", "media")


def test_contracts_without_models_keep_their_hash() -> None:
    assert "models" not in Contract.from_fields(contract_fields()).fields()


def test_a_contract_may_allow_models_and_nothing_else() -> None:
    found = fields()
    del found["computations"]
    assert Contract.from_fields(found).computations == ()
    del found["models"]
    assert "at least one computation or model" in problem(found)


@pytest.mark.parametrize("alignment", ["hidden", "open"])
def test_people_without_their_authorisation_are_refused_with_the_clause(alignment: str) -> None:
    text = problem(fields(authorisation="not-personal", evidence=None, alignment=alignment))
    assert "models[churn].authorisation" in text
    assert "about people" in text
    assert ("keys are open" in text) == (alignment == "open")


def test_an_authorisation_without_evidence_is_refused() -> None:
    assert "models[churn].evidence: is missing" in problem(fields(evidence=None))


@pytest.mark.parametrize(
    ("changes", "key", "words"),
    [
        ({"alignment": "none"}, "alignment", "horizontal"),
        ({"kind": "boosting"}, "alignment", "say"),
        ({"kind": "horizontal-glm"}, "alignment", "horizontal"),
        ({"target": {"dataset": "baskets", "column": "day"}}, "target", "use 'target'"),
        ({"target": {"dataset": "baskets", "column": "nothing"}}, "target", "no column"),
        (
            {"features": [{"dataset": "baskets", "columns": ["loyal"]}]},
            "features[baskets]",
            "the target itself",
        ),
        (
            {"features": [{"dataset": "exposures", "columns": ["day"]}]},
            "features[exposures]",
            "use 'feature'",
        ),
        ({"features": [{"dataset": "nowhere", "columns": ["day"]}]}, "features", "no dataset"),
        (
            {"features": [{"dataset": "baskets", "columns": ["amount"]}]},
            "features",
            "only one party",
        ),
        ({"scores": ["neutral"]}, "scores", "neutral"),
        ({"p_values": ["coupons"]}, "p_values", "coupons"),
        ({"metrics": ["nobody"]}, "metrics", "nobody"),
        ({"coefficients": ["retailer"]}, "coefficients", "media"),
        (
            {
                "kind": "horizontal-glm",
                "alignment": "none",
                "scores": [],
                "coefficients": ["retailer"],
            },
            "coefficients",
            "reads every sum",
        ),
        ({"scores": [], "online": "open-query"}, "online", "nobody"),
        ({"kind": "multinomial"}, "target", "category"),
        ({"least_rows": 19}, "least_rows", "20"),
    ],
)
def test_what_a_clause_cannot_say(changes: dict[str, Any], key: str, words: str) -> None:
    text = problem(fields(**changes))
    assert f"models[churn].{key}" in text
    assert words in text


def test_one_party_cannot_bring_two_datasets() -> None:
    found = fields()
    found["datasets"][2]["provider"] = "media"
    found["datasets"][2]["columns"][0]["uses"] = ["value", "feature"]
    found["models"][0]["features"].append({"dataset": "places", "columns": ["visits"]})
    assert "one party brings two datasets" in problem(found)


def test_the_description_says_who_learns_what() -> None:
    text = describe(contract(online="open-query"))
    for words in ("Which models", "Forms of 2026", "nobody holds the whole", "3 times",
                  "all parties of the model see which row it is", "read the other's"):  # fmt: skip
        assert words in " ".join(text.split())


# --- jobs under it ----------------------------------------------------------------------------------


def uses(*, target: bool = True) -> list[dict[str, str]]:
    found = [
        {"dataset": "baskets", "column": "amount", "purpose": "feature"},
        {"dataset": "baskets", "column": "", "purpose": "membership"},
        {"dataset": "exposures", "column": "campaign", "purpose": "feature"},
        {"dataset": "exposures", "column": "", "purpose": "membership"},
    ]
    return found + (
        [{"dataset": "baskets", "column": "loyal", "purpose": "target"}] if target else []
    )


def ask(made: Contract, history: History | None = None, now: datetime = NOW, **changes: Any) -> Any:
    usual = {
        "computation": "train", "parameters": {"model": "churn"}, "uses": uses(), "noise": False,
        "epsilon": 0.0, "epsilon_join": 0.1, "recipients": ["media", "retailer"], "commitments": {},
        "outputs": [{"name": "model", "shape": [3]}],
    } | changes  # fmt: skip
    request = JobRequest.from_fields(request_fields(made, **usual))
    return check(bundle_of(made), request, history or History(), now)


def refused(code: str, made: Contract, history: History | None = None, **changes: Any) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        ask(made, history, **changes)
    assert refusal.value.code == code, str(refusal.value)
    assert refusal.value.remedy
    return refusal.value


def test_a_training_is_granted_at_the_price_of_its_matching() -> None:
    grant = ask(contract())
    assert (grant.epsilon, grant.epsilon_join, grant.providers) == (0, 0.1, ("media", "retailer"))


def test_trainings_are_counted_like_a_budget() -> None:
    assert ask(contract(), History(trainings=2))
    error = refused("model.trainings", contract(), History(trainings=3))
    assert "models[churn].maximum_trainings" in error.where


def test_what_a_training_may_not_ask() -> None:
    made = contract()
    assert "models[churn]" in refused("model.recipient", made, recipients=["neutral"]).where
    refused("model.unknown", made, parameters={"model": "other"})
    more = [*uses(), {"dataset": "exposures", "column": "day", "purpose": "order"}]
    refused("model.column", made, uses=more)
    swapped = [*uses(), {"dataset": "baskets", "column": "amount", "purpose": "target"}]
    refused("model.column", made, uses=swapped)
    refused("model.price", made, epsilon_join=0.0)
    refused("model.price", made, noise=True, epsilon=1.0)
    refused("model.price", contract(alignment="open"))
    refused("contract.analyst", made, analyst="nobody")


def test_a_question_cannot_use_columns_that_serve_models_only() -> None:
    wanted = [{"dataset": "baskets", "column": "loyal", "purpose": "filter"}]
    request = JobRequest.from_fields(request_fields(contract(), uses=wanted, commitments={}))
    with pytest.raises(Refusal) as refusal:
        check(bundle_of(contract()), request, History(), NOW)
    assert refusal.value.code == "contract.purpose"


def note(made: Contract, **changes: Any) -> ModelNote:
    usual: dict[str, Any] = {
        "name": "churn", "job": JOB, "contract": made.id, "clause": made.models[0].digest, "made": NOW,
        "expires": NOW + timedelta(days=90), "state": "held",
    }  # fmt: skip
    return ModelNote(**(usual | changes))


def scoring(**changes: Any) -> dict[str, Any]:
    parameters = {"model": "churn", "training": JOB, "receiver": "retailer"}
    return {
        "computation": "score", "parameters": parameters, "uses": uses(target=False),
        "recipients": ["retailer"],
    } | changes  # fmt: skip


def test_scores_go_to_whom_the_clause_says_and_only_with_a_part_that_is_held() -> None:
    made = contract()
    held = History(holder="media", model=note(made))
    assert ask(made, held, **scoring())
    refused("model.recipient", made, held, **scoring(recipients=["media"]))
    refused("model.recipient", made, held, **scoring(recipients=["media", "retailer"]))
    refused("model.scores", contract(scores=[]), held, **scoring())
    refused(
        "model.column", made, held, **scoring(uses=uses())
    )  # a scoring has no use for the target
    lost = History(holder="media", model=None)
    assert "media does not hold" in refused("model.missing", made, lost, **scoring()).message
    deleted = History(holder="media", model=note(made, state="deleted"))
    assert "has deleted" in refused("model.missing", made, deleted, **scoring()).message
    other = History(holder="media", model=note(made, clause="00" * 32))
    refused("model.changed", made, other, **scoring())


def test_an_expired_model_is_refused() -> None:
    made = contract()
    over = History(holder="media", model=note(made, expires=NOW))
    assert "expired" in refused("model.expired", made, over, **scoring()).message


def test_one_row_at_a_time_only_if_the_clause_says_so() -> None:
    made = contract(online="open-query")
    held = History(holder="media", model=note(made))
    one = scoring(computation="score-one", epsilon_join=0.0, analyst="retailer")
    assert ask(made, held, **one)
    refused("model.recipient", made, held, **(one | {"analyst": "media"}))
    closed = contract()
    error = refused("model.online", closed, History(holder="media", model=note(closed)), **one)
    assert error.where.endswith("models[churn].online")


def test_no_model_outlives_its_contract() -> None:
    made = contract(expiry_days=3650)
    end = datetime(2028, 1, 1, tzinfo=UTC)
    assert expiry_of(made, made.models[0], NOW) == end
    assert expiry_of(made, contract().models[0], NOW) == NOW + timedelta(days=90)


def test_terms_beside_the_data_may_change_under_a_trained_model() -> None:
    first, second = contract().models[0], contract(maximum_trainings=9, metrics=["media"]).models[0]
    assert isinstance(first, ModelClause)
    assert first.digest == second.digest
    assert first.digest != contract(kind="boosting", alignment="open").models[0].digest
