"""The law of the sketches that bound updates: what the proof in docs/claims/horizontal.md counts on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hanse.gate.sums import Terms
from hanse.learn.horizontal.bounds import BUCKETS, SKETCHES, Rows

LENGTH = 1000


def sketches(part: np.ndarray[Any, Any], coins: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """[coins * sketches, buckets] of one part under fresh coins."""
    terms = Terms("x", part.size, 64, 1)
    found = []
    for number in range(coins):
        rows = Rows(terms, number.to_bytes(32, "little"))
        rows.add([(slice(0, part.size), part)])
        found.append(rows.sketches[0].view(np.int64))
    return np.concatenate(found)


def test_two_large_elements_cancel_as_often_as_chance_says() -> None:
    """One in 128 to share a bucket, half of that with opposite signs; n = 12,000 sketches, 5 standard errors."""
    part = np.zeros(LENGTH, np.uint64)
    part[[17, 900]] = 1 << 40
    found = sketches(part, 2000)
    share = float((np.abs(found).max(axis=1) == 0).mean())
    expected = 1 / (2 * BUCKETS)
    assert abs(share - expected) < 5 * np.sqrt(expected / found.shape[0])


@pytest.mark.parametrize("value", [1 << 62, 3 << 61, 1 << 63, (1 << 64) - (1 << 61)])
def test_one_large_element_is_always_seen(value: int) -> None:
    part = np.zeros(LENGTH, np.uint64)
    part[3] = value
    found = sketches(part, 50)
    assert found.shape == (50 * SKETCHES, BUCKETS)
    assert (np.abs(found.astype(np.float64)).max(axis=1) >= 2.0**61).all()


@pytest.mark.parametrize("heavy", [10, 100, LENGTH])
def test_a_sketchs_norm_has_the_right_mean_and_a_small_variance(heavy: int) -> None:
    """Mean within 5 standard errors of 1, variance at most 2 / 128 (and 5 errors of an estimate), n = 1,800."""
    part = np.zeros(LENGTH, np.int64)
    part[:heavy] = np.random.default_rng(heavy).integers(-1000, 1000, heavy)
    found = sketches(part.view(np.uint64), 300)
    squared = (found.astype(np.float64) ** 2).sum(axis=1) / float(
        (part.astype(np.float64) ** 2).sum()
    )
    bound = 2 / BUCKETS
    assert abs(squared.mean() - 1) < 5 * np.sqrt(bound / squared.size)
    assert squared.var() < bound * (1 + 5 * np.sqrt(8 / squared.size))
    assert squared.max() < 3
