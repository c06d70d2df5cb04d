"""What each party adds to a model, measured between separate parties on shares, against known answers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from hanse.errors import Refusal
from hanse.ledger import Spend
from hanse.rehearsal import Federation
from hanse.rehearsal.description import Column

PEOPLE = 2400
# Columns of the parties are independent of each other and of equal variance, so that the explained share of the
# target's variance is additive: each party's squared weight over the variance of the target.
WEIGHTS = {"shop": 0.5, "media": 1.0, "operator": 0.6, "dust": 0.0}
FEATURES = {"customers": ["spend"], "audience": ["minutes"], "trips": ["days"], "noise": ["number"]}


def number(name: str) -> Column:
    return Column(name, kind="number")


@pytest.fixture(scope="module")
def fed() -> Iterator[Federation]:
    rng = np.random.default_rng(11)
    # Orthonormal by construction, so that the answer is not the luck of a draw.
    basis = np.linalg.qr(rng.normal(size=(PEOPLE, 6)))[0] * np.sqrt(PEOPLE)
    columns = dict(zip(WEIGHTS, basis.T[:4], strict=True))
    y = sum(w * columns[p] for p, w in WEIGHTS.items()) + basis[:, 4]
    ids = [f"m{n:05d}" for n in range(PEOPLE)]
    with Federation(join_epsilon=1.0, join_budget=1000.0, slots=1, seed="adds") as made:
        first = pa.table({"id": ids, "y": y, "bought": y > 0, "spend": columns["shop"]})
        made.dataset("customers", "shop", first, id="id", columns={
            "y": number("y"), "bought": Column("bought"), "spend": number("spend")})  # fmt: skip
        for dataset, party, column in (
            ("audience", "media", "minutes"), ("trips", "operator", "days"), ("noise", "dust", "number"),
        ):  # fmt: skip
            order = rng.permutation(PEOPLE)
            table = pa.table({"id": [ids[i] for i in order], column: columns[party][order]})
            made.dataset(dataset, party, table, id="id", columns={column: number(column)})
        yield made


def measured(fed: Federation, name: str, kind: str = "linear", **terms: Any) -> dict[str, Any]:
    target = "y" if kind == "linear" else "bought"
    terms = {"contributions": ["shop", "media"], **terms}
    model = fed.model(name, kind, target=f"customers.{target}", features=FEATURES, **terms)
    return model.contributions(holdout=0.3)


@pytest.fixture(scope="module")
def found(fed: Federation) -> dict[str, Any]:
    return measured(fed, "additive")


def test_an_additive_game_has_the_known_answer(found: dict[str, Any]) -> None:
    variance = sum(w * w for w in WEIGHTS.values()) + 1
    by = {c["party"]: c for c in found["contributions"]}
    assert found["metric"] == "r2"
    assert set(by) == {"media", "operator", "dust"}
    for party, one in by.items():
        wanted = WEIGHTS[party] ** 2 / variance
        # Additive: the order of joining does not matter, so all three are one figure.
        assert abs(one["shapley"] - wanted) < 0.04, party
        assert abs(one["ablation"] - one["alone"]) < 0.03, party
    assert abs(by["dust"]["share"]) < 0.01
    assert found["alone"] + sum(c["shapley"] for c in by.values()) == pytest.approx(
        found["together"]
    )
    assert sum(c["share"] for c in by.values()) == pytest.approx(1)


def test_every_coalition_has_the_label_s_party_and_rows_of_all(found: dict[str, Any]) -> None:
    free = [p for p in WEIGHTS if p != "shop"]
    wanted = {frozenset({"shop", *some}) for size in range(4) for some in combinations(free, size)}
    assert {frozenset(c["parties"]) for c in found["coalitions"]} == wanted
    assert {c["metrics"]["rows"] for c in found["coalitions"]} == {found["rows"]}
    assert all(c["converged"] for c in found["coalitions"])


def test_coalitions_reach_what_plain_least_squares_reaches(
    fed: Federation, found: dict[str, Any]
) -> None:
    """A model of all parties' columns, trained as usual, is as good as the coalition of all."""
    usual = fed.model("additive-model", "linear", target="customers.y", features=FEATURES,
                      metrics=["shop"]).fit(holdout=0.3)  # fmt: skip
    whole = found["coalitions"][-1]["metrics"]
    # Rows of the test are drawn by the model's name, so that the two are near and not equal.
    assert abs(usual.score("r2") - whole["r2"]) < 0.05


def test_two_classes_where_the_label_s_party_brings_no_columns(fed: Federation) -> None:
    """Alone it knows nothing but the mean: half of all pairs come in order."""
    features = {name: FEATURES[name] for name in ("audience", "noise")}
    model = fed.model("classes", "logistic", target="customers.bought", features=features,
                      contributions=["shop"])  # fmt: skip
    told = model.contributions()
    by = {c["party"]: c["share"] for c in told["contributions"]}
    assert told["metric"] == "auc"
    assert told["alone"] == pytest.approx(0.5)
    assert list(by) == ["media", "dust"]
    assert abs(by["dust"]) < 0.06


def test_no_coefficient_leaves_and_every_coalition_counts_as_a_training(fed: Federation) -> None:
    name = "counted"
    measured(fed, name, maximum_trainings=10)
    member = fed.party("shop")
    entries = {kind: list(member.ledger.entries(kind)) for kind in ("reserve", "disclosure")}
    assert entries["reserve"][-1].body["trainings"] == 8
    openings = entries["disclosure"][-1].body["openings"]
    told = {o["step"]: o["to"] for o in openings if o["to"] != ["seats"]}
    assert set(told) == {*(f"metrics.{n}" for n in range(8)), "facts"}
    assert {tuple(to) for to in told.values()} == {("media", "shop")}
    contract = fed.contract.id
    assert Spend(member.ledger).trainings(contract, name) == 8
    with pytest.raises(Refusal) as refusal:
        measured(fed, name, maximum_trainings=10)
    assert refusal.value.code == "model.trainings"
    assert "8" in refusal.value.message
    assert "2 of 10" in refusal.value.message


def test_a_contract_that_tells_nobody_refuses(fed: Federation) -> None:
    with pytest.raises(Refusal) as refusal:
        measured(fed, "silent", contributions=[])
    assert refusal.value.code == "model.contributions"
    assert "models[silent].contributions" in refusal.value.where
    assert "contributions" in refusal.value.remedy


def test_rows_must_be_kept_to_test_on(fed: Federation) -> None:
    model = fed.model("untested", "linear", target="customers.y", features=FEATURES,
                      contributions=["shop"])  # fmt: skip
    with pytest.raises(Refusal) as refusal:
        model.contributions(holdout=0.0)
    assert refusal.value.code == "question.malformed"
