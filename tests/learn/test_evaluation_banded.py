"""Figures from noised counts in public bands: within their bounds, and nothing else is opened."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from hanse.engine.fixed import encode
from hanse.engine.reveal import open_ring
from hanse.engine.session import Session
from hanse.engine.stage import on_stage
from hanse.gate.record import Record
from hanse.gate.release import Opened
from hanse.learn.evaluation import plain
from hanse.learn.evaluation.banded import (
    BANDS,
    Banded,
    locked_bands,
    lower_edges,
    read_bands,
    release_plan,
    two_kinds,
)
from hanse.learn.evaluation.histogram import ETA
from secret_stage import Dealer

Column = NDArray[np.float64]


def people(rows: int, seed: int = 2) -> tuple[Column, NDArray[np.bool_], NDArray[np.bool_]]:
    """(log-odds, labels, who is somebody)."""
    random = np.random.default_rng(seed)
    eta = random.normal(size=rows) * 1.5 - 0.7
    y = random.random(rows) < 1 / (1 + np.exp(-eta))
    here = random.random(rows) < 0.97
    eta[:3] = [9.0, -9.0, 7.9999]
    return eta, y, here


def released(
    eta: Column, kinds: list[NDArray[np.bool_]], here: NDArray[np.bool_], *, epsilon: float = 1.0, k: int = 20,
    noise: bool = True, seed: str = "bands",
) -> tuple[Banded, Record, Any]:  # fmt: skip
    """``kinds``: one label (positives), or planes as they are."""
    d = Dealer(7)
    score, live = d.ring(encode(eta, ETA)), d.bits(here.astype(np.uint64), 1)
    label = d.bits((kinds[0]).astype(np.uint64), 1)
    plan = release_plan(2, epsilon, k, noise=noise)
    records = [Record() for _ in range(3)]

    def protocol(s: Session) -> NDArray[np.uint64]:
        planes = two_kinds(s, live[s.seat][0], label[s.seat][0])
        locked = locked_bands(s, records[s.seat], score[s.seat], planes, plan, [], ("label",))
        return open_ring(s, locked, "out")

    values = on_stage(protocol, seed=seed)[0].view(np.int64)
    opened = Opened(np.where(values > 0, values - 1, 0), values > 0)
    return read_bands(opened, plan), records[0], opened


def test_without_noise_the_exact_figures_are_within_the_bounds() -> None:
    eta, y, here = people(4000)
    banded, record, opened = released(eta, [y], here, noise=False)
    e, t = eta[here], y[here].astype(float)
    auc, ks = banded.auc(), banded.ks()
    assert auc is not None
    assert ks is not None
    assert abs(auc.value - plain.auc(e, t)) <= auc.bound
    assert abs(auc.value - plain.auc(e, t)) < 1e-3, "ties that count half are right in the mean"
    assert -1e-12 <= plain.ks(e, t) - ks.value <= ks.bound
    assert (auc.low, auc.high) == (auc.value, auc.value)
    assert [(o.what[:16], o.to, o.values) for o in record.openings] == [
        ("counts of people", ("label",), 2 * BANDS)
    ]
    # Sums are of people at or above a band.
    above = [((e >= edge) & (t == 1)).sum() for edge in lower_edges()[1:]]
    shown = opened.published[1:BANDS]
    assert (opened.values[1:BANDS][shown] == np.array(above)[shown]).all()
    assert (np.array(above)[~shown] < 20).all()


def test_gain_and_calibration_are_the_datas() -> None:
    eta, y, here = people(4000)
    banded, _, _ = released(eta, [y], here, noise=False)
    e, t = eta[here], y[here]
    for (share, gain), edge in zip(banded.gains(), banded.lower, strict=True):
        chosen = e >= edge if edge > -8 else np.ones(e.size, bool)
        assert share == pytest.approx(chosen.mean())
        assert gain == pytest.approx((chosen & t).sum() / t.sum())
    for low, high, rate in banded.calibration():
        assert -0.25 < rate - (low + high) / 2 < 0.25
    assert len(banded.calibration()) > 15


def test_intervals_hold_the_exact_figure_most_times() -> None:
    """25 releases of one crowd: the noise's interval misses the noiseless figure in at most 6 (p < 1e-3 if 5 %)."""
    eta, y, here = people(1500)
    exact, _, _ = released(eta, [y], here, noise=False)
    wanted = exact.auc()
    assert wanted is not None
    missed = 0
    for number in range(25):
        noised, _, _ = released(eta, [y], here, epsilon=1.0, seed=f"noise {number}")
        auc = noised.auc()
        assert auc is not None
        # Bands that are put together move the figure by their bound at most.
        missed += not (auc.low - 0.002 <= wanted.value <= auc.high + 0.002)
    assert stats.binom.sf(6, 25, 0.05) < 1e-3
    assert missed <= 6


def test_noise_is_added_and_its_interval_told() -> None:
    eta, y, here = people(1500)
    plain_bands, _, _ = released(eta, [y], here, noise=False)
    noised, _, _ = released(eta, [y], here)
    exact, auc = plain_bands.auc(), noised.auc()
    assert exact is not None
    assert auc is not None
    assert auc.value != exact.value
    assert 0 < auc.high - auc.low < 0.2
    assert auc.low - 0.02 < exact.value < auc.high + 0.02


def test_a_small_crowd_is_not_shown() -> None:
    eta, y, here = people(30)
    banded, _, opened = released(eta, [y], here, k=100)
    assert not opened.published.any()
    assert banded.bands == 0
    assert (banded.auc(), banded.ks(), banded.psi()) == (None, None, None)
    assert banded.gains() == []
    assert banded.calibration() == []


def test_stability_between_two_periods() -> None:
    """Kinds are periods: no drift is near 0, a moved population is told as the plain formula tells it."""
    random = np.random.default_rng(3)
    for moved in (0.0, 1.0):
        before = np.arange(4000) % 2 == 0
        eta = random.normal(size=4000) + np.where(before, 0.0, moved)
        banded, _, _ = released(eta, [before], np.ones(4000, bool), noise=False)
        found = banded.psi()
        assert found is not None
        edges = [-np.inf, *banded.lower[::-1][1:], np.inf]
        counts = [np.histogram(eta[part], edges)[0].astype(float) for part in (before, ~before)]
        assert found.value == pytest.approx(plain.psi(*counts), rel=1e-9)
        assert (found.value > 0.25) == (moved == 1.0)


def test_disjoint_kinds_are_what_the_price_stands_on() -> None:
    """A person's row lights one cell: the plan's sensitivity is two cells for a change."""
    plan = release_plan(2, 0.5, 100)
    assert plan.blocks[0].sensitivity == 2
    assert plan.cells == 2 * BANDS
    d = Dealer(1)
    label = d.bits(np.array([1, 0, 1, 0]), 1)
    here = d.bits(np.array([1, 1, 0, 0]), 1)

    def protocol(s: Session) -> Any:
        kinds = two_kinds(s, here[s.seat][0], label[s.seat][0])
        from secret_stage import opened

        return opened(s, kinds)

    assert on_stage(protocol)[0].tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]
