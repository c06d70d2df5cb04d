"""At home and in the plain twin: bases, penalties, labels, metrics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.align import JoinPolicy
from hanse.learn.linear.families import FAMILIES, label_of
from hanse.learn.linear.home import Columns, basis_of
from hanse.learn.linear.plain import auc, irls, ks, metrics
from hanse.learn.linear.plan import Plan, Provider
from hanse.learn.linear.rows import entropy_of, first_mean, start_of

EVERY = np.ones(400, bool)


def columns(seed: int) -> Columns:
    random = np.random.default_rng(seed)
    x = random.normal(size=(400, 6)) * [1, 10, 1e-4, 1e6, 1, 1] + [0, 5, 0, -1e7, 0, 0]
    x[:, 4] = x[:, 0] + 0.05 * x[:, 4]
    x[:, 5] = random.random(400) < 0.02
    x[0, 5] = 1  # it varies, whatever was drawn
    return Columns(tuple("abcdef"), x)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1 << 32))
def test_shared_columns_are_uncorrelated_and_undone_exactly(seed: int) -> None:
    made = columns(seed)
    basis = basis_of(made, EVERY, "here")
    shared = basis.shared(made.values)
    assert np.abs(shared).max() < 32
    spread = shared.T @ shared / 400
    assert (
        np.abs(spread / np.sqrt(np.outer(np.diag(spread), np.diag(spread))) - np.eye(6)).max()
        < 0.02
    )
    coefficients = np.random.default_rng(seed).normal(size=6)
    own, offset = basis.raw(coefficients)
    assert np.allclose(shared @ coefficients, made.values @ own + offset, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1 << 32), st.floats(0, 5))
def test_a_penalty_is_on_standardised_coefficients(seed: int, l2: float) -> None:
    basis = basis_of(columns(seed), EVERY, "here", 4 * l2)
    shared = np.random.default_rng(seed).normal(size=6)
    own, _ = basis.raw(shared)
    standard = own[basis.kept] * basis.sd
    assert shared @ basis.penalty(l2) @ shared == pytest.approx(l2 * standard @ standard, rel=1e-6)


def test_a_constant_column_is_left_out_even_where_it_is_large() -> None:
    x = np.full((400, 2), 1e9)
    x[:, 1] = np.arange(400)
    basis = basis_of(Columns(("same", "rising"), x), EVERY, "here")
    assert basis.constant == ("same",)
    assert basis.width == 1


def test_a_linear_fit_is_least_squares() -> None:
    random = np.random.default_rng(1)
    x, y = random.normal(size=(300, 4)), random.normal(size=300)
    fit = irls(x, y, FAMILIES["linear"], 0.0)
    want = np.linalg.lstsq(np.column_stack([np.ones(300), x]), y, rcond=None)[0]
    assert np.allclose([fit.intercept, *fit.coefficients], want)


@pytest.mark.parametrize("model", ["logistic", "poisson"])
def test_a_fit_has_no_gradient(model: str) -> None:
    random = np.random.default_rng(2)
    x = random.normal(size=(500, 3))
    eta = x @ [0.5, -0.3, 0.1]
    y = (
        random.poisson(np.exp(eta))
        if model == "poisson"
        else random.random(500) < 1 / (1 + np.exp(-eta))
    )
    fit = irls(x, y.astype(float), FAMILIES[model], 0.1)
    mean = np.exp(fit.predictor(x)) if model == "poisson" else 1 / (1 + np.exp(-fit.predictor(x)))
    assert fit.settled
    assert np.allclose(x.T @ (mean - y) / 500 + 0.1 * fit.coefficients, 0, atol=1e-7)
    assert (mean - y).sum() == pytest.approx(0, abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_auc_and_ks_by_their_definitions(rows: list[tuple[int, bool]]) -> None:
    score, y = (np.array(column, float) for column in zip(*rows, strict=True))
    positive, negative = score[y > 0], score[y == 0]
    if not positive.size * negative.size:
        assert np.isnan(auc(score, y))
        assert np.isnan(ks(score, y))
        return
    pairs = [(p > n) + (p == n) / 2 for p in positive for n in negative]
    assert auc(score, y) == pytest.approx(np.mean(pairs))
    gaps = [abs((positive <= t).mean() - (negative <= t).mean()) for t in score]
    assert ks(score, y) == pytest.approx(max(gaps))


def test_a_deviance_is_nothing_for_the_label_itself() -> None:
    y = np.array([1.0, 2.0, 5.0])
    assert metrics(np.log(y), y, FAMILIES["poisson"], 3.0)["deviance"] == pytest.approx(
        0, abs=1e-12
    )
    assert metrics(np.log(y) + 0.1, y, FAMILIES["poisson"], 3.0)["deviance"] > 0


def test_logs_of_counts() -> None:
    y = np.array([0.0, 1.0, 3.0])
    assert entropy_of(y).tolist() == [0.0, 0.0, 3 * np.log(3)]
    w = (y + 1) / 2
    assert np.allclose(first_mean(y, np.zeros(3)), w)
    assert np.allclose(start_of(y, w), w * (np.log(w) + (y - w) / w))
    assert np.allclose(start_of(y, w, 1.5, np.ones(3)), w**0.5 * (np.log(w) - 1 + (y - w) / w))


def test_labels_are_scaled_into_their_range() -> None:
    far = np.append(np.random.default_rng(1).normal(size=399), 1e6)
    label = label_of(far, EVERY, FAMILIES["linear"], "here")
    assert np.abs(label.values).max() < 32
    assert np.allclose(label.values * label.scale + label.shift, far)
    counts = label_of(np.arange(400.0), EVERY, FAMILIES["poisson"], "here")
    assert counts.values.mean() == pytest.approx(1.0)


@pytest.mark.parametrize("model", sorted(FAMILIES))
def test_ranges_of_every_family_leave_room_for_their_sums(model: str) -> None:
    plan = Plan(
        FAMILIES[model],
        (Provider("a", 40, 9, 9), Provider("b", 400, 9, 9)),
        0.0,
        JoinPolicy(0.1, 1e-8),
    )
    if FAMILIES[model].classes > 1:
        plan = replace(plan, providers=(Provider("a", 40, 9, 9), Provider("b", 200, 9, 9)))
    plan.check()
    heavy = replace(plan, weights=True)
    heavy.check()
    assert heavy.weight_fraction >= 4
    assert plan.gradient_bits <= 56
    assert plan.curvature_bits <= 56
    end = plan.width
    assert [(b.start, b.stop) for b in plan.blocks()] == [(0, 41), (41, end)]
    assert plan.rows_wanted == 20 * end * plan.family.classes
