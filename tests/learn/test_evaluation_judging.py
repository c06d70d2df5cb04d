"""Figures from shares equal plain formulas (and scikit-learn's) within the bounds told with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as sk

from hanse.engine.fixed import decode, encode
from hanse.engine.session import Session
from hanse.engine.shares import Ring
from hanse.engine.stage import on_stage
from hanse.learn.evaluation import plain
from hanse.learn.evaluation.classes import (
    JudgedClasses,
    judge_classes,
    read_classes,
    sums_of_classes,
)
from hanse.learn.evaluation.histogram import ETA
from hanse.learn.evaluation.judging import BANDS, Judged, judge, read, sums_of
from hanse.learn.evaluation.logarithms import softplus
from hanse.learn.evaluation.picture import gain_points
from hanse.learn.evaluation.ranking import ranking, read_ranking
from secret_stage import Dealer, opened

F = 16
Column = NDArray[np.float64]


def on_shares(protocol: Callable[[Session], Ring]) -> NDArray[np.uint64]:
    return np.asarray(on_stage(lambda s: opened(s, protocol(s)))[0])


def two_classes(
    rows: int, seed: int = 1, spread: float = 1.0, ghosts: int = 13
) -> tuple[Column, Column, NDArray[np.bool_]]:
    """(scores, labels, who is somebody): ghosts are rows of no one, among the others."""
    random = np.random.default_rng(seed)
    deep = random.normal(size=rows + ghosts)
    eta = spread * deep - 0.5
    here = np.ones(eta.size, bool)
    here[random.permutation(eta.size)[:ghosts]] = False
    y = (random.random(eta.size) < 1 / (1 + np.exp(0.5 - 1.3 * deep))) & here
    return eta, y.astype(np.float64), here


def dealt(eta: Column, mean: Column, y: Column, here: NDArray[np.bool_], classes: bool) -> Any:
    """Rows as every seat holds them."""
    d = Dealer(3)
    shared = [
        d.ring(encode(eta, ETA)), d.ring(encode(mean, F)), d.ring(encode(y * here, F)),
        d.ring(here.astype(np.uint64)), d.bits(here.astype(np.uint64), 1),
    ]  # fmt: skip
    label = d.bits((y * here).astype(np.uint64), 1) if classes else [None] * 3

    def rows(seat: int) -> Judged:
        bit = label[seat]
        return Judged(
            shared[0][seat], shared[1][seat], shared[2][seat], shared[3][seat], shared[4][seat][0],
            None if bit is None else bit[0], F,
        )  # fmt: skip

    return rows


# --- ranking ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [1e-3, 1.0, 20.0])
@pytest.mark.parametrize("rows", [200, 3000])
def test_auc_and_ks_within_their_bound(rows: int, spread: float) -> None:
    eta, y, here = two_classes(rows, spread=spread)
    d = Dealer(5)
    score, live, label = (
        d.ring(encode(eta, ETA)), d.bits(here.astype(np.uint64), 1), d.bits(y.astype(np.uint64), 1),
    )  # fmt: skip
    sums = on_shares(lambda s: ranking(s, score[s.seat], live[s.seat][0], label[s.seat][0]))
    found = read_ranking(sums)
    exact = sk.roc_auc_score(y[here], eta[here])
    assert found["rows"] == rows
    assert found["auc"] is not None
    assert found["auc_error"] is not None
    assert abs(found["auc"] - exact) <= found["auc_error"] + 1e-12
    # At a spread of a thousandth 20 fraction bits are what limits the bins: 6 of 8,192 in a deviation.
    assert found["auc_error"] < (2e-3 if spread > 0.01 else 6e-3)
    assert found["ks"] is not None
    assert found["ks_error"] is not None
    assert -1e-12 <= plain.ks(eta[here], y[here]) - found["ks"] <= found["ks_error"]


def test_ties_count_half_and_no_more() -> None:
    eta = np.repeat([0.0, 1.0], 50)
    y = (np.arange(100) % 2).astype(np.float64)
    d = Dealer(5)
    score, live, label = d.ring(encode(eta, ETA)), d.bits(np.ones(100), 1), d.bits(y, 1)
    found = read_ranking(
        on_shares(lambda s: ranking(s, score[s.seat], live[s.seat][0], label[s.seat][0]))
    )
    assert found["auc"] == sk.roc_auc_score(y, eta) == 0.5
    assert found["auc_error"] == 0.25


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_one_class_has_no_auc(value: float) -> None:
    d = Dealer(5)
    score, live, label = (
        d.ring(encode(np.arange(70) / 7, ETA)),
        d.bits(np.ones(70), 1),
        d.bits(np.full(70, value), 1),
    )
    found = read_ranking(
        on_shares(lambda s: ranking(s, score[s.seat], live[s.seat][0], label[s.seat][0]))
    )
    assert (found["auc"], found["auc_error"], found["ks"]) == (None, None, None)


# --- two classes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [500, 4000])
def test_all_figures_of_two_classes(rows: int) -> None:
    eta, y, here = two_classes(rows, spread=2.0)
    eta[:4] = [14.0, -14.0, 30.0, -30.0]
    mean = 1 / (1 + np.exp(-eta))
    shares = dealt(eta, mean, y, here, classes=True)
    sums = on_shares(lambda s: judge(s, shares(s.seat)))
    assert sums.size == sums_of(classes=True, deviance=False)
    found, curve = read(sums, classes=True, deviance=False, fraction=F)
    e, m, t = eta[here], mean[here], y[here]
    assert found["log_loss"] == pytest.approx(
        np.mean(np.log1p(np.exp(-np.abs(e))) + np.maximum(e, 0) - t * e), abs=2e-5
    )
    assert found["accuracy"] == sk.accuracy_score(t, m >= 0.5)
    assert found["brier"] == pytest.approx(sk.brier_score_loss(t, m), abs=1e-4)
    # Bands: all rows, all labels, all predictions are in one of them; the points lie on the exact gain curve.
    assert sum(v or 0 for v in curve.rows) == rows
    assert sum(v or 0 for v in curve.labels) == t.sum()
    assert sum(v or 0 for v in curve.predicted) == pytest.approx(m.sum(), abs=0.1)
    ranked = t[np.argsort(-e, kind="stable")]
    reached = np.cumsum([int(v or 0) for v in curve.rows])
    points = gain_points(curve)[1:]
    for number, (share, gain) in zip(reached, points, strict=True):
        assert share == pytest.approx(number / rows)
        assert gain == pytest.approx(ranked[:number].sum() / t.sum(), abs=1e-9)
    assert np.abs(np.array(curve.rows, float) - rows / BANDS).max() <= 0.02 * rows
    assert found["ece"] is not None
    assert 0 <= found["ece"] < 0.2


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(-2000, 2000), min_size=1, max_size=40))
def test_softplus(values: list[float]) -> None:
    x = np.array([*values, 0.0, 11.99, -11.99, 12.01])
    shared = Dealer(1).ring(encode(x, ETA))
    got = decode(on_shares(lambda s: softplus(s, shared[s.seat], ETA, 20)), 20)
    assert np.abs(got - np.logaddexp(0, x)).max() < 1e-5


# --- numbers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (250.0, 0.0), (40.0, 1000.0)])
def test_all_figures_of_numbers(scale: float, shift: float) -> None:
    random = np.random.default_rng(4)
    rows = 700
    y = random.gamma(3.0, 0.5, rows) if shift == 0 else random.normal(size=rows)
    mean = y * 0.8 + random.normal(size=rows) * 0.2
    here = random.random(rows) < 0.95
    shares = dealt(mean, mean, y, here, classes=False)
    sums = on_shares(lambda s: judge(s, shares(s.seat)))
    assert sums.size == sums_of(classes=False, deviance=False)
    found, curve = read(sums, classes=False, deviance=False, fraction=F, scale=scale, shift=shift)
    exact = plain.errors(mean[here] * scale + shift, y[here] * scale + shift)
    for name in ("rmse", "mae", "r2"):
        assert found[name] == pytest.approx(exact[name], rel=1e-3), name
    if shift == 0:
        assert found["p30"] == pytest.approx(exact["p30"], abs=2 / rows)
    else:
        assert found["p30"] is None
    assert sum(v or 0 for v in curve.labels) == pytest.approx(
        (y[here] * scale + shift).sum(), rel=1e-4
    )


def test_plain_errors_are_scikit_learns() -> None:
    random = np.random.default_rng(4)
    y = random.gamma(2.0, 1.0, 300)
    mean = y * np.exp(random.normal(size=300) * 0.3)
    found = plain.errors(mean, y)
    assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(y, mean))
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(y, mean))
    assert found["r2"] == pytest.approx(sk.r2_score(y, mean))
    for family, power in (("poisson", 1.0), ("gamma", 2.0), ("tweedie", 1.5)):
        exact = sk.mean_tweedie_deviance(y, mean, power=power)
        assert plain.deviance(family, mean, y, power) == pytest.approx(exact)
    label = (y > 2).astype(float)
    p = 1 / (1 + np.exp(2 - mean))
    two = plain.judged("logistic", p, label)
    assert two["auc"] == pytest.approx(sk.roc_auc_score(label, p))
    assert two["log_loss"] == pytest.approx(sk.log_loss(label, p))


# --- several classes --------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [3, 5])
def test_all_figures_of_several_classes(classes: int) -> None:
    random = np.random.default_rng(classes)
    rows = 600
    eta = random.normal(size=(classes, rows)) * 1.5
    y = (eta + random.gumbel(size=eta.shape)).argmax(axis=0)
    here = random.random(rows) < 0.9
    d = Dealer(8)
    score, live, flag = (
        d.ring(encode(eta, ETA)),
        d.bits(here.astype(np.uint64), 1),
        d.ring(here.astype(np.uint64)),
    )
    label = d.ring(((np.arange(classes)[:, None] == y) & here).astype(np.uint64))

    def protocol(s: Session) -> Ring:
        seat = s.seat
        return judge_classes(s, JudgedClasses(score[seat], label[seat], flag[seat], live[seat][0]))

    sums = on_shares(protocol)
    assert sums.size == sums_of_classes(classes)
    found = read_classes(sums, classes)
    e, t = eta[:, here].T, y[here]
    mean = np.exp(e) / np.exp(e).sum(axis=1, keepdims=True)
    exact = plain.multiclass(mean, t.astype(float), classes)
    assert exact["auc"] == pytest.approx(sk.roc_auc_score(t, mean, multi_class="ovr"))
    assert exact["log_loss"] == pytest.approx(sk.log_loss(t, mean))
    assert found["rows"] == here.sum()
    assert found["log_loss"] == pytest.approx(exact["log_loss"], abs=3e-5)
    assert found["accuracy"] == pytest.approx(exact["accuracy"], abs=1e-9)
    assert found["auc"] is not None
    assert abs(found["auc"] - exact["auc"]) <= (found["auc_error"] or 0) + 1e-9
