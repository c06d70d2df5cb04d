"""Crowd times share: intervals of the product cover, at zero and at the borders too."""

from __future__ import annotations

import numpy as np
import pytest

from hanse.errors import Fault
from hanse.measure.intervals import CONFIDENCE
from hanse.places.concentration.estimates import Estimate, Noise, Z, shares
from hanse.places.concentration.target_crowds import filled, over, target_crowds


def crowd(truth: np.ndarray, error: float, seed: int) -> Estimate:
    """Predictions of crowds off by a log-normal error, with intervals of 90 %."""
    value = truth * np.exp(np.random.default_rng(seed).normal(0, error, truth.shape))
    return Estimate(value, value * np.exp(-1.645 * error), value * np.exp(1.645 * error))


@pytest.mark.parametrize(
    ("error", "base", "rate"), [(0.1, 400, 0.2), (0.2, 60, 0.1), (0.05, 2000, 0.02)]
)
def test_the_interval_covers_the_product(error: float, base: int, rate: float) -> None:
    random = np.random.default_rng(6)
    places = 4000
    true_share = np.clip(rate * np.exp(random.normal(0, 0.3, places)), 0, 1)
    counted = shares(
        random.binomial(base, true_share).astype(float),
        np.full(places, float(base)),
        Noise.apart(0, 0),
    )
    true_crowd = np.exp(random.normal(7, 0.5, (places, 1)))
    told = target_crowds(crowd(true_crowd, error, 7), counted)
    truth = true_crowd * true_share[:, None]
    inside = (told.low <= truth) & (truth <= told.high)
    assert 0.87 <= inside.mean() <= 0.95
    missed_low, missed_high = (truth < told.low).mean(), (truth > told.high).mean()
    assert abs(missed_low - missed_high) < 0.05


def test_nobody_of_the_target_leaves_an_upper_end_and_no_lower_one() -> None:
    none = shares(np.array([0.0]), np.array([200.0]), Noise.apart(0, 0))
    told = target_crowds(crowd(np.array([[1000.0]]), 0.1, 1), none)
    assert told.value[0, 0] == 0.0
    assert told.low[0, 0] == 0.0
    assert 5 < told.high[0, 0] < 40


def test_what_is_suppressed_or_withheld_has_no_number() -> None:
    share = Estimate(*(np.array([0.1, np.nan]) for _ in range(3)))
    people = Estimate(*(np.array([[100.0, np.nan], [100.0, 100.0]]) for _ in range(3)))
    told = target_crowds(people, share)
    assert np.isnan(told.value).tolist() == [[False, True], [True, True]]
    with pytest.raises(Fault, match=r"places\.shapes"):
        target_crowds(people, Estimate(*(np.ones(3) for _ in range(3))))


def test_a_suppressed_place_takes_its_areas_share_less_surely() -> None:
    random = np.random.default_rng(9)
    area_share = np.array([0.1, 0.3])
    area = np.repeat([0, 1], 400)
    true = np.clip(area_share[area] * np.exp(random.normal(0, 0.4, 800)), 0, 1)
    known = shares(random.binomial(500, true).astype(float), np.full(800, 500.0), Noise.apart(0, 0))
    hidden = random.random(800) < 0.3
    share = Estimate(*(np.where(hidden, np.nan, x) for x in (known.value, known.low, known.high)))
    areas = shares(np.round(area_share * 1e5), np.full(2, 1e5), Noise.apart(0, 0))
    told = filled(share, area, areas)
    inside = (told.low <= true) & (true <= told.high)
    assert np.array_equal(told.value[~hidden], share.value[~hidden])
    assert 0.90 <= inside[hidden].mean() <= 0.99
    assert CONFIDENCE == 0.95


def test_sums_over_stores_with_errors_that_go_together() -> None:
    random = np.random.default_rng(3)
    truth = np.exp(random.normal(6, 0.3, (40, 500)))
    together = random.normal(0, 0.15 * np.sqrt(0.5), (1, 500))
    alone = random.normal(0, 0.15 * np.sqrt(0.5), (40, 500))
    value = truth * np.exp(together + alone)
    half = value * 0.15 * Z
    parts = Estimate(value, value - half, value + half)
    group = np.where(np.arange(40) < 20, 0, -1)
    told = over(parts, group, 1)
    inside = (told.low[0] <= truth[:20].sum(axis=0)) & (truth[:20].sum(axis=0) <= told.high[0])
    assert 0.92 <= inside.mean() <= 0.98
    alone_only = over(parts, group, 1, tied=0.0)
    narrow = (alone_only.low[0] <= truth[:20].sum(axis=0)) & (
        truth[:20].sum(axis=0) <= alone_only.high[0]
    )
    assert narrow.mean() < 0.6  # errors that go together do not cancel
    assert np.isnan(over(parts, np.full(40, -1), 1).value).all()
