"""Every family against scikit-learn and textbook formulas: what others get with all columns in one place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from worlds import frames, learned

from hanse.errors import Refusal
from hanse.learn import Outcome
from hanse.learn.linear.families import family_of
from hanse.learn.linear.plain import deviance, irls

ROWS = 1500


def joined(made: list[dict[str, Any]]) -> tuple[NDArray[Any], list[str]]:
    """All columns in one place, standardised as parties do (all of them have all rows), with their names."""
    names = [n for columns in made for n in columns if n.startswith("c")]
    x = np.stack([made[int(n[1])][n] for n in names], axis=1)
    return (x - x.mean(axis=0)) / x.std(axis=0), names


def flat(outcome: Outcome, names: list[str]) -> NDArray[Any]:
    return np.array([outcome.coefficients[f"p{n[1]}"][n] for n in names])


def everybody(model: str, **more: NDArray[Any]) -> list[dict[str, Any]]:
    made = frames(model, ROWS, share=1.0)
    made[0] |= more
    return made


# --- families ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "power"), [("poisson", 1), ("gamma", 2), ("tweedie", 1.2), ("tweedie", 1.8)]
)
def test_log_links_are_scikit_learns(model: str, power: float) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    made = everybody(model)
    x, names = joined(made)
    y = made[0]["y"].astype(float)
    outcome = learned(made, model, power=power, holdout=0.0)
    theirs = linear.TweedieRegressor(power=power, alpha=0, link="log", tol=1e-9, max_iter=5000).fit(
        x, y
    )
    assert np.allclose(flat(outcome, names), theirs.coef_, atol=1e-3)
    mean = deviance(y, theirs.predict(x), power).mean()
    assert outcome.metrics["deviance"] == pytest.approx(mean, rel=1e-3)


def test_totals_of_a_tweedie_model_are_right() -> None:
    """Sums of predictions are where others' fixed point was off by a factor of 20."""
    made = everybody("tweedie")
    made[0]["y"] = made[0]["y"] * 1e6
    outcome = learned(made, "tweedie", holdout=0.0)
    eta = sum(outcome.intercepts.values()) + sum(
        made[n][c] * v for n in (0, 1) for c, v in outcome.raw[f"p{n}"].items()
    )
    assert np.exp(eta).sum() == pytest.approx(made[0]["y"].sum(), rel=0.02)
    plain = outcome.plaintext["deviance"]
    assert outcome.metrics["deviance"] == pytest.approx(plain, rel=1e-3)


@pytest.mark.parametrize("l2", [1e-6, 0.05])
def test_several_classes_are_scikit_learns_softmax(l2: float) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    made = everybody("multinomial")
    x, names = joined(made)
    outcome = learned(made, "multinomial", l2=l2, holdout=0.0)
    theirs = linear.LogisticRegression(C=1 / (l2 * ROWS), tol=1e-9, max_iter=5000).fit(
        x, made[0]["y"]
    )
    for place, label in enumerate(theirs.classes_):
        own = [outcome.coefficients[f"p{n[1]}"][f"{n} [{label}]"] for n in names]
        assert np.allclose(own, theirs.coef_[place], atol=1e-3), label
    assert outcome.metrics["accuracy"] == pytest.approx(theirs.score(x, made[0]["y"]), abs=2e-3)


def test_classes_are_counted() -> None:
    made = everybody("logistic")
    with pytest.raises(Refusal, match="3 to 16 classes, not 2") as caught:
        learned(made, "multinomial")
    assert caught.value.code == "learn.classes"
    made[0]["y"] = np.arange(ROWS) % 17
    with pytest.raises(Refusal, match="not 17"):
        learned(made, "multinomial")


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0, float("nan")])
def test_powers_out_of_range(power: float) -> None:
    with pytest.raises(Refusal) as caught:
        learned(everybody("tweedie"), "tweedie", power=power)
    assert caught.value.code == "learn.power"


@pytest.mark.parametrize("model", ["poisson", "gamma", "tweedie"])
def test_heavy_tails_do_not_throw_steps_off(model: str) -> None:
    """Columns with values 30 deviations out: expected weights alone send such a model far away."""
    random = np.random.default_rng(8)
    made = everybody(model)
    x = random.standard_t(2, size=(2, ROWS))
    mean = np.exp(0.5 * np.clip(x[0] / x[0].std(), -3, 3) - 0.4 * np.clip(x[1] / x[1].std(), -3, 3))
    made[0] |= {"y": _drawn(model, mean, random), "far0": x[0]}
    made[1] |= {"far1": x[1]}
    outcome = learned(made, model)
    assert outcome.settled
    assert outcome.difference < 1e-3


def _drawn(model: str, mean: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
    if model == "poisson":
        return random.poisson(mean)
    if model == "gamma":
        return random.gamma(0.5, mean)
    many = random.poisson(mean)
    return np.where(many > 0, random.gamma(np.maximum(many, 1)), 0.0)


# --- weights and offsets ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model", ["linear", "logistic", "poisson", "gamma", "tweedie", "multinomial"]
)
def test_weights(model: str) -> None:
    """Weighted rows, and a row of weight 2 is two rows."""
    weight = np.random.default_rng(1).integers(0, 4, ROWS)
    outcome = learned(everybody(model, weight=weight), model, holdout=0.0)
    assert outcome.settled
    assert outcome.difference < 1e-3
    for name, value in outcome.plaintext.items():
        assert outcome.metrics[name] == pytest.approx(value, rel=1e-3, abs=1e-3), name
    if model != "multinomial":
        made = everybody(model)
        x, names = joined(made)
        y = made[0]["y"].astype(float)
        shift, scale = (y.mean(), y.std()) if model == "linear" else (0.0, 1.0)
        rows = np.repeat(np.arange(ROWS), weight)
        fit = irls(x[rows], (y[rows] - shift) / scale, family_of(model), 1e-6)
        assert np.allclose(flat(outcome, names), fit.coefficients * scale, atol=1e-3 * scale)


@pytest.mark.parametrize("model", ["linear", "logistic", "poisson", "gamma", "tweedie"])
def test_offsets(model: str) -> None:
    """An offset that is a column's part of the predictor takes its coefficient away."""
    made = everybody(model)
    if model in ("linear", "logistic"):
        made[0]["offset"] = 3 + 2.0 * made[1]["c12"]
    else:
        made[0]["offset"] = 3 + 0.2 * made[1]["c12"]
    with_it = learned(made, model, holdout=0.0)
    del made[0]["offset"]
    without = learned(made, model, holdout=0.0)
    assert with_it.difference < 1e-3
    scale = 50 if model == "linear" else 1
    gone = without.raw["p1"]["c12"] - with_it.raw["p1"]["c12"]
    assert gone == pytest.approx(2.0 if model in ("linear", "logistic") else 0.2, abs=1e-3 * scale)
    total = sum(without.intercepts.values()) - sum(with_it.intercepts.values())
    assert total == pytest.approx(3, abs=1e-3 * scale)


def test_weights_and_offsets_in_both_alignments_at_once() -> None:
    random = np.random.default_rng(2)
    made = everybody(
        "poisson", weight=random.gamma(2.0, size=ROWS), offset=random.normal(size=ROWS)
    )
    hidden, opened = (learned(made, "poisson", alignment=a) for a in ("hidden", "open"))
    assert max(hidden.difference, opened.difference) < 1e-3
    assert flat(hidden, ["c00", "c13"]) == pytest.approx(flat(opened, ["c00", "c13"]), abs=1e-4)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"weight": np.full(ROWS, -1.0)}, "learn.weights"),
        ({"weight": np.where(np.arange(ROWS) == 3, 1e4, 1.0)}, "learn.weights"),
        ({"weight": np.where(np.arange(ROWS) == 3, np.nan, 1.0)}, "learn.weights"),
        ({"offset": np.where(np.arange(ROWS) == 3, np.inf, 1.0)}, "learn.offset"),
        ({"offset": np.where(np.arange(ROWS) == 3, 50.0, 1.0)}, "learn.offset"),
    ],
)
def test_weights_and_offsets_that_cannot_serve(more: dict[str, Any], code: str) -> None:
    with pytest.raises(Refusal) as caught:
        learned(everybody("poisson", **more), "poisson")
    assert (caught.value.code, caught.value.where) == (code, "p0")


# --- penalties on absolute values -------------------------------------------------------------------


@pytest.mark.parametrize(("l1", "l2"), [(0.02, 1e-6), (0.1, 1e-6), (0.05, 0.1)])
def test_a_linear_model_is_scikit_learns_elastic_net(l1: float, l2: float) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    made = everybody("linear")
    x, names = joined(made)
    y = (made[0]["y"] - made[0]["y"].mean()) / made[0]["y"].std()
    theirs = linear.ElasticNet(
        alpha=l1 + l2, l1_ratio=l1 / (l1 + l2), tol=1e-10, max_iter=100000
    ).fit(x, y)
    outcome = learned(made, "linear", l1=l1, l2=l2, holdout=0.0)
    own = flat(outcome, names) / made[0]["y"].std()
    assert outcome.settled
    assert np.allclose(own, theirs.coef_, atol=1e-3)
    assert ((own == 0) == (theirs.coef_ == 0)).all()


def test_a_logistic_model_is_scikit_learns_lasso() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    made = everybody("logistic")
    x, names = joined(made)
    theirs = linear.LogisticRegression(C=1 / (0.03 * ROWS), l1_ratio=1.0, solver="saga", tol=1e-8,
                                       max_iter=20000).fit(x, made[0]["y"])  # fmt: skip
    outcome = learned(made, "logistic", l1=0.03, holdout=0.0, alignment="open")
    own = flat(outcome, names)
    assert np.allclose(own, theirs.coef_[0], atol=1e-3)
    assert 0 < (own == 0).sum() < own.size


@pytest.mark.parametrize("model", ["poisson", "gamma", "tweedie"])
def test_log_links_with_a_penalty_on_absolute_values(model: str) -> None:
    outcome = learned(everybody(model), model, l1=0.05)
    assert outcome.settled
    assert outcome.difference < 1e-3


def test_a_penalty_beyond_all_gradients_leaves_the_intercept() -> None:
    outcome = learned(everybody("logistic"), "logistic", l1=1.0)
    assert all(v == 0.0 for own in outcome.coefficients.values() for v in own.values())
    assert outcome.settled


def test_correlated_columns_with_a_penalty_on_absolute_values() -> None:
    """Without whitening the curvature is worse; the minimum is the same."""
    made = everybody("logistic")
    made[1]["c10"] = made[0]["c00"] + 0.1 * made[1]["c10"]
    made[1]["c11"] = made[1]["c12"] + 0.1 * made[1]["c11"]
    outcome = learned(made, "logistic", l1=0.01, l2=1e-3)
    assert outcome.settled
    assert outcome.difference < 1e-3


# --- standard errors --------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["linear", "logistic", "poisson", "gamma", "tweedie"])
def test_standard_errors_are_the_textbooks(model: str) -> None:
    """sqrt(dispersion diag((X'WX)**-1)), as statistics packages print them, and the p-values from them."""
    stats = pytest.importorskip("scipy.stats")
    made = everybody(model)
    x, names = joined(made)
    outcome = learned(made, model, errors=True, holdout=0.0)
    y = made[0]["y"].astype(float)
    rows = np.column_stack([np.ones(ROWS), x])
    beta = np.concatenate([[0.0], flat(outcome, names)])
    eta = rows @ beta
    power = {"poisson": 1.0, "gamma": 2.0, "tweedie": 1.5}.get(model)
    if power is not None:
        eta += np.log(y.sum() / np.exp(eta).sum()) if power == 1 else 0.0
        if power > 1:  # the intercept's own equation
            eta += np.log((y * np.exp(eta * (1 - power))).sum() / np.exp(eta * (2 - power)).sum())
        mean = np.exp(eta)
        bend, variance = mean ** (2 - power), mean**power
    elif model == "linear":
        mean, bend, variance = eta + y.mean(), np.ones(ROWS), np.ones(ROWS)
    else:
        fit = irls(x, y, family_of("logistic"), 1e-6)
        mean = 1 / (1 + np.exp(-fit.predictor(x)))
        bend = variance = mean * (1 - mean)
    dispersion = 1.0 if model in ("logistic", "poisson") else (
        ((y - mean) ** 2 / variance).sum() / (ROWS - rows.shape[1])
    )  # fmt: skip
    want = np.sqrt(dispersion * np.diag(np.linalg.inv((rows * bend[:, None]).T @ rows)))[1:]
    told = [outcome.certainty[f"p{n[1]}"][n] for n in names]
    assert np.allclose([c.error for c in told], want, rtol=2e-3)
    p = 2 * stats.norm.sf(np.abs(beta[1:] / want))
    assert np.allclose([c.p_value for c in told], p, atol=2e-3)
    assert "(intercept)" in outcome.certainty["p0"]


def test_standard_errors_of_weighted_rows() -> None:
    weight = np.random.default_rng(3).gamma(3.0, size=ROWS)
    outcome = learned(everybody("gamma", weight=weight), "gamma", errors=True, alignment="open")
    assert outcome.error_difference < 3e-3


@pytest.mark.parametrize("options", [{"l1": 0.1}, {"model": "multinomial"}])
def test_standard_errors_that_do_not_exist(options: dict[str, Any]) -> None:
    model = options.pop("model", "logistic")
    with pytest.raises(Refusal) as caught:
        learned(everybody(model), model, errors=True, **options)
    assert caught.value.code == "learn.errors"
