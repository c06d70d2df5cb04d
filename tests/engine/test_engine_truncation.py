"""Truncation is right to the last place up to 2**62 and unbiased; the easy way is not, and is shown failing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from hanse.engine import fixed
from hanse.engine.stage import on_stage
from hanse.errors import Fault
from secret_stage import Dealer, opened

LIMIT = 1 << 62
EDGES = [0, 1, -1, LIMIT - 1, -LIMIT + 1, 1 << 61, -(1 << 61), (1 << 40) - 1]
ALPHA = 1e-6


def truncated(values: np.ndarray, bits: int, seed: int = 1) -> np.ndarray:
    shares = Dealer(seed).ring(values)
    seats = on_stage(lambda s: opened(s, fixed.truncate(s, shares[s.seat], bits)), seed=f"t{seed}")
    assert (seats[0] == seats[1]).all()
    assert (seats[0] == seats[2]).all()
    return seats[0].view(np.int64)


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(
        np.int64, 40, elements=st.sampled_from(EDGES) | st.integers(-LIMIT + 1, LIMIT - 1)
    ),
    st.integers(1, 61),
    st.integers(0, 1 << 32),
)
def test_within_one_unit_of_the_last_place(values: np.ndarray, bits: int, seed: int) -> None:
    got = truncated(values, bits, seed)
    assert np.isin(got - (values >> bits), [0, 1]).all()


def test_many_large_values_never_wrap() -> None:
    """20,000 values of up to 62 bits: the easy truncation would lose about one in eight of them."""
    values = np.random.default_rng(3).integers(-LIMIT + 1, LIMIT - 1, 20_000)
    assert np.isin(truncated(values, 16) - (values >> 16), [0, 1]).all()


@pytest.mark.parametrize(("fraction", "bits"), [(0.25, 2), (0.5, 1), (0.8125, 4), (2**-9, 16)])
@pytest.mark.parametrize("whole", [0, -7, 1 << 40, -(1 << 45)])
def test_rounds_up_as_often_as_the_rest_says(fraction: float, bits: int, whole: int) -> None:
    """Unbiased: P(up) is the fraction that is cut off; 20,000 draws, exact binomial test, alpha 1e-6."""
    count = 20_000
    value = (whole << bits) + round(fraction * (1 << bits))
    up = truncated(np.full(count, value), bits, seed=bits) - whole
    assert np.isin(up, [0, 1]).all()
    assert stats.binomtest(int(up.sum()), count, fraction).pvalue > ALPHA


def test_a_whole_multiple_stays_exact_and_a_biased_rounding_would_show() -> None:
    assert (truncated(np.full(5000, -3 << 12), 12) == -3).all()
    floor = np.zeros(20_000, np.int64)  # always down, as an arithmetic shift does
    assert stats.binomtest(int(floor.sum()), floor.size, 0.25).pvalue < ALPHA


def naive(values: np.ndarray, bits: int, seed: int) -> np.ndarray:
    """Each of two additive parts shifted by itself (SecureML; ABY3's does the same to x - r and r).

    What this project does not offer: it is wrong whenever the parts wrap, and then by 2**(64 - bits).
    """
    first = np.random.default_rng(seed).integers(0, 1 << 64, values.size, np.uint64)
    second = values.view(np.uint64) - first
    mine = first >> np.uint64(bits)
    other = np.uint64(0) - ((np.uint64(0) - second) >> np.uint64(bits))
    return (mine + other).view(np.int64)


def test_the_easy_truncation_fails_once_in_a_hundred_products() -> None:
    """Values of 58 bits: P(wrap) = |x| / 2**64, 0.8 % on average; a failure is off by 2**(64 - bits)."""
    bits, count = 20, 100_000
    values = np.random.default_rng(5).integers(-(1 << 58), 1 << 58, count)
    error = naive(values, bits, 6) - (values >> bits)
    wrong = ~np.isin(error, [0, 1])
    expected = float(np.abs(values).mean() / 2**64)
    assert stats.binomtest(int(wrong.sum()), count, expected).pvalue > ALPHA
    assert 0.006 < wrong.mean() < 0.010
    assert (np.abs(error[wrong]) >= 1 << (64 - bits - 1)).all()
    assert np.isin(truncated(values, bits) - (values >> bits), [0, 1]).all(), (
        "ours on the same values"
    )


def test_the_easy_truncation_is_not_offered() -> None:
    """Shares have no right shift: to divide there is `truncate` alone."""
    shares = Dealer(2).ring(np.array([1 << 58]))
    for share in shares:
        with pytest.raises(TypeError):
            share >> 3  # type: ignore[operator]


@pytest.mark.parametrize("bits", [0, -1, 62, 64])
def test_shifts_out_of_range_are_refused(bits: int) -> None:
    shares = Dealer(1).ring(np.array([5]))
    with pytest.raises(Fault) as caught:
        on_stage(lambda s: fixed.truncate(s, shares[s.seat], bits))
    assert caught.value.code == "fixed.truncate"


@given(st.lists(st.floats(-1e9, 1e9), max_size=20), st.integers(0, 30))
def test_numbers_are_scaled_and_read_back(values: list[float], bits: int) -> None:
    array = np.array(values)
    back = fixed.decode(fixed.encode(array, bits), bits)
    assert (np.abs(back - array) <= 0.5 / (1 << bits) + 1e-7).all()


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 2.0**42, -(2.0**42)])
def test_numbers_that_truncation_cannot_hold_are_refused(value: float) -> None:
    with pytest.raises(Fault) as caught:
        fixed.encode(np.array([0.0, value]), 20)
    assert caught.value.code == "fixed.range"
    fixed.encode(np.array([2.0**41]), 20)
