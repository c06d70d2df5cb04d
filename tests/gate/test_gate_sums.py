"""Noise for vectors: its law, its price, and that seats add what is promised."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import chisquare, norm

from hanse.engine.masks import Stream
from hanse.errors import Fault, Refusal
from hanse.gate.gaussian import discrete_gaussian, epsilon_of, zcdp_of
from hanse.gate.sums import SumPolicy, Terms, masks
from hanse.learn.horizontal import SummingParty, together

PARTIES = ("anna", "berta", "clara")


def stream(seed: int) -> Stream:
    return Stream(seed.to_bytes(32, "little"))


@pytest.mark.parametrize("sigma", [4.0, 5.5, 11.3])
def test_the_sampler_has_the_discrete_gaussian_law(sigma: float) -> None:
    """Chi-square over the integers within 3.5 deviations, n = 200,000, alpha = 1e-4, seed 1."""
    draws = discrete_gaussian(stream(1), sigma, 200_000)
    reach = math.ceil(3.5 * sigma)
    values = np.arange(-20 * reach, 20 * reach + 1)
    law = np.exp(-(values**2) / (2 * sigma**2))
    law /= law.sum()
    inside = np.abs(values) <= reach
    expected = np.append(law[inside], law[~inside].sum()) * draws.size
    near = draws[np.abs(draws) <= reach]
    counts = np.append(np.bincount(near + reach, minlength=2 * reach + 1), draws.size - near.size)
    assert chisquare(counts, expected).pvalue > 1e-4


@pytest.mark.parametrize("sigma", [1e3, 1e9, 2.0**50])
def test_wide_noise_has_its_deviation(sigma: float) -> None:
    """Variance of n = 100,000 draws within 5 of its standard errors (0.0045), mean likewise; fourth moment too."""
    draws = discrete_gaussian(stream(2), sigma, 100_000) / sigma
    assert abs((draws**2).mean() - 1) < 5 * math.sqrt(2 / draws.size)
    assert abs(draws.mean()) < 5 / math.sqrt(draws.size)
    assert abs((draws**4).mean() - 3) < 5 * math.sqrt(96 / draws.size)


@pytest.mark.parametrize("sigma", [0.0, 1.0, 2.0**60, float("nan")])
def test_noise_that_cannot_be_drawn_is_refused(sigma: float) -> None:
    with pytest.raises(Fault, match="cannot be drawn"):
        discrete_gaussian(stream(1), sigma, 1)


@pytest.mark.parametrize("rho", [1e-4, 0.01, 0.5, 8.0])
@pytest.mark.parametrize("delta", [1e-8, 1e-5])
def test_the_price_lies_between_the_exact_one_and_the_simple_bound(
    rho: float, delta: float
) -> None:
    """Exact: Balle and Wang 2018 for a Gaussian of sensitivity 1 and variance 1 / (2 rho); simple: Bun, Steinke."""
    mu = math.sqrt(2 * rho)

    def excess(epsilon: float) -> float:
        high = norm.cdf(mu / 2 - epsilon / mu)
        return float(high - math.exp(epsilon) * norm.cdf(-mu / 2 - epsilon / mu)) - delta

    exact = brentq(excess, 0, 200) if excess(0) > 0 else 0.0
    found = epsilon_of(rho, delta)
    assert exact - 1e-9 <= found <= rho + 2 * math.sqrt(rho * math.log(1 / delta))


def test_the_price_agrees_with_opendp() -> None:
    opendp: Any = pytest.importorskip("opendp.prelude")
    opendp.enable_features("contrib")
    for rho in (0.01, 0.5, 3.0):
        curve = opendp.c.make_zCDP_to_approxDP(
            opendp.m.make_gaussian(
                opendp.atom_domain(T=int),
                opendp.absolute_distance(T=int),
                scale=1 / math.sqrt(2 * rho),
            )
        ).map(1)
        assert epsilon_of(rho, 1e-6) == pytest.approx(curve.epsilon(1e-6), rel=1e-3)


def test_prices_add_up_as_zcdp() -> None:
    policy = SumPolicy(PARTIES, noise=3.0, delta=1e-7)
    assert policy.price(5) == (epsilon_of(5 * zcdp_of(3.0), 1e-7), 1e-7)
    assert policy.price(5)[0] < 5 * policy.price(1)[0]
    assert SumPolicy(PARTIES).price(5) == (0.0, 0.0)
    assert epsilon_of(0.0, 1e-8) == 0.0


@pytest.mark.parametrize("width", [32, 64])
def test_the_seats_add_three_halves_of_the_promised_variance(width: int) -> None:
    """Noise of two seats is 0.7 times the norm bound, of all three sqrt(3/2) times that. n = 4,000, 6 errors."""
    policy = SumPolicy(PARTIES, noise=0.7)

    def work(party: SummingParty) -> Any:
        told = party.sum("x", np.zeros(4000), norm=2.0, width=width)
        assert party.privacy() == policy.price(1)
        return told.values

    noise = together([work] * 3, policy).results[0]
    assert noise is not None
    expected = 1.5 * (0.7 * 2.0) ** 2
    assert abs((noise**2).mean() / expected - 1) < 6 * math.sqrt(2 / noise.size)


@pytest.mark.parametrize("noise", [-1.0, 0.001, 5000.0])
def test_noise_out_of_range_is_refused(noise: float) -> None:
    with pytest.raises(Refusal, match=r"0\.01 to 1000"):
        SumPolicy(PARTIES, noise=noise).check()


@pytest.mark.parametrize("width", [32, 64])
@pytest.mark.parametrize("length", [1, 5, 32768, 32769, 70001])
def test_masks_come_in_portions_that_cover_a_vector_once(width: int, length: int) -> None:
    terms = Terms("x", length, width, 100)
    out = np.zeros(length, terms.dtype)
    for where, part in masks(bytes(32), terms):
        out[where] += part
    words = Stream(bytes(32)).take(-(-length * width // 64) + 1).view(terms.dtype)
    assert np.array_equal(out[:32768], words[: min(length, 32768)])
    assert np.unique(out).size > 0.99 * length
