"""Models in rehearsals: scikit-learn's words over the jobs that nodes run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from hanse.errors import HanseError, Refusal
from hanse.ledger import Spend
from hanse.rehearsal import Federation
from hanse.rehearsal.description import Column
from hanse.rehearsal.models import Model

PEOPLE = 1800
FEATURES = {"customers": ["spend", "member"], "audience": ["minutes", "city"]}


def tables(seed: int = 3) -> tuple[pa.Table, pa.Table, np.ndarray]:
    rng = np.random.default_rng(seed)
    spend, minutes = rng.normal(size=PEOPLE), rng.normal(size=PEOPLE)
    member, city = rng.random(PEOPLE) < 0.5, rng.integers(0, 2, PEOPLE)
    eta = 0.9 * spend - 1.2 * minutes + 0.6 * member + 0.8 * city
    bought = rng.random(PEOPLE) < 1 / (1 + np.exp(-eta))
    ids = [f"p{n:05d}" for n in range(PEOPLE)]
    customers = pa.table(
        {"id": ids, "bought": bought, "spend": spend, "member": member, "amount": np.exp(eta)}
    )
    order = rng.permutation(PEOPLE)
    audience = pa.table({"id": [ids[n] for n in order], "minutes": minutes[order],
                         "city": np.array(["east", "west"])[city[order]]})  # fmt: skip
    return customers, audience, eta


@pytest.fixture(scope="module")
def fed() -> Iterator[Federation]:
    customers, audience, _ = tables()
    with Federation(join_epsilon=1.0, join_budget=1000.0, slots=1, seed="models") as made:
        made.dataset("customers", "shop", customers, id="id", columns={
            "bought": Column("bought"), "member": Column("member"), "spend": Column("spend", kind="number"),
            "amount": Column("amount", kind="number")})  # fmt: skip
        made.dataset("audience", "media", audience, id="id",
                     columns={"minutes": Column("minutes", kind="number"), "city": Column("city")})  # fmt: skip
        yield made


def model(fed: Federation, kind: str = "logistic", name: str = "", **terms: Any) -> Model:
    target = {"logistic": "bought", "boosting": "bought", "linear": "amount", "poisson": "amount"}[
        kind
    ]
    return fed.model(
        name or f"{kind}-model", kind, target=f"customers.{target}", features=FEATURES, **terms
    )


def test_fit_predict_score(fed: Federation) -> None:
    made = model(fed).fit(holdout=0.25)
    assert made.parties == ("media", "shop")
    assert 0.75 < made.score() < 0.95
    assert made.score("ks") > 0.4
    found = made.predict_proba()
    assert found.shape == (PEOPLE, 2)
    eta = tables()[2]  # in the order of the shop's table
    assert np.abs(found[:, 1] - 1 / (1 + np.exp(-eta))).mean() < 0.05
    assert np.array_equal(made.predict(), (found[:, 1] >= 0.5).astype(float))
    assert abs(made.coefficients["media"]["minutes"] + 1.2) < 0.25
    assert set(made.coefficients["shop"]) == {"spend", "member"}


def test_a_log_link_predicts_in_the_labels_units(fed: Federation) -> None:
    made = model(fed, "poisson").fit()
    eta = tables()[2]
    assert np.abs(np.log(made.predict()) - eta).max() < 0.1
    with pytest.raises(Refusal):
        made.predict_proba()


def test_weights_and_an_offset() -> None:
    """Counts over different exposures, and rows that count for nothing: the model is that of the others."""
    rng = np.random.default_rng(5)
    spend, minutes = rng.normal(size=PEOPLE), rng.normal(size=PEOPLE)
    exposure = rng.uniform(-1, 1, PEOPLE)
    claims = rng.poisson(np.exp(0.3 + 0.5 * spend - 0.4 * minutes + exposure)).astype(float)
    weight = np.ones(PEOPLE)
    weight[:300], claims[:300] = 0.0, 9.0
    ids = [f"p{n:05d}" for n in range(PEOPLE)]
    with Federation(join_epsilon=1.0, join_budget=1000.0, slots=1) as fed:
        number = {n: Column(n, kind="number") for n in ("claims", "spend", "exposure", "weight")}
        fed.dataset("policies", "insurer", pa.table({"id": ids, "claims": claims, "spend": spend,
                                                     "exposure": exposure, "weight": weight}),
                    id="id", columns=number)  # fmt: skip
        fed.dataset("drives", "maker", pa.table({"id": ids, "minutes": minutes}), id="id",
                    columns={"minutes": Column("minutes", kind="number")})  # fmt: skip
        made = fed.model(
            "claims", "poisson", features={"policies": ["spend"], "drives": ["minutes"]},
            target="policies.claims", weight="weight", offset="exposure",
        ).fit(holdout=0.0)  # fmt: skip
        found = made.predict()
    assert made.coefficients["insurer"]["spend"] == pytest.approx(0.5, abs=0.06)
    assert made.coefficients["maker"]["minutes"] == pytest.approx(-0.4, abs=0.06)
    wanted = np.exp(0.3 + 0.5 * spend - 0.4 * minutes + exposure)
    assert np.abs(np.log(found / wanted)).max() < 0.3


def test_trees_in_the_open(fed: Federation) -> None:
    made = model(fed, "boosting").fit(trees=3, depth=2)
    assert made.score() > 0.6
    assert made.predict_proba().shape == (PEOPLE, 2)


def test_what_is_refused(fed: Federation) -> None:
    made = model(fed, name="once", maximum_trainings=1)
    with pytest.raises(HanseError) as raised:
        made.predict()
    assert "fit() it first" in raised.value.remedy
    made.fit()
    with pytest.raises(HanseError) as raised:
        made.fit()
    assert raised.value.code == "model.trainings"
    with pytest.raises(HanseError) as raised:
        made.predict("media")
    assert raised.value.code == "model.recipient"
    with pytest.raises(HanseError) as raised:
        made.score("rmse")
    assert "auc" in raised.value.remedy
    with pytest.raises(HanseError) as raised:
        model(fed, authorisation="not-personal")
    assert "authorisation" in raised.value.message
    model(fed)  # something that can be agreed on again


def test_a_training_that_fails_is_not_counted(fed: Federation) -> None:
    made = model(fed)
    before = Spend(fed.party("media").ledger).trainings("rehearsal", made.name)
    fed.party("media").suspended = True
    try:
        with pytest.raises(HanseError) as raised:
            made.fit()
    finally:
        fed.party("media").suspended = False
    assert raised.value.code == "contract.suspended"
    assert Spend(fed.party("media").ledger).trainings("rehearsal", made.name) == before


@pytest.mark.parametrize("alignment", ["hidden", "open"])
def test_batches_come_to_the_same_model(fed: Federation, alignment: str) -> None:
    """Rows on shares lie in a file, 1,024 of them in memory at a time."""
    terms = {"name": f"in-batches-{alignment}", "alignment": alignment}
    found = model(fed, **terms).fit(holdout=0.25, batch_rows=1024).coefficients
    again = model(fed, **terms).fit(holdout=0.25).coefficients
    for party, own in again.items():
        for column, value in own.items():
            assert found[party][column] == pytest.approx(value, abs=1e-4), column
    with pytest.raises(HanseError) as caught:
        model(fed, **terms).fit(batch_rows=10)
    assert caught.value.code == "question.malformed"
