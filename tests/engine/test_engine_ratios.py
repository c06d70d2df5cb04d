"""Softmax, logarithms of sums, reciprocals and shrinking equal their twins, at declared costs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from engine_conformance import WHOLE_WORDS, Entry, check, few_or_many
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.engine import fixed
from hanse.engine.functions import INNER
from hanse.engine.ratios import SHARE, largest, log_sum, reciprocal, shrunk, softmax
from hanse.engine.stage import on_stage
from secret_stage import Dealer, opened

F = 20


def run(protocol: Any, *inputs: np.ndarray) -> np.ndarray:
    shares = [Dealer(n).ring(x) for n, x in enumerate(inputs)]
    return on_stage(lambda s: opened(s, protocol(s, *(x[s.seat] for x in shares))))[0]


@pytest.mark.parametrize("classes", [2, 3, 5, 16])
def test_softmax_and_the_logarithm_of_its_sum(classes: int) -> None:
    random = np.random.default_rng(classes)
    x = random.normal(size=(classes, 300)) * random.choice([0.1, 2.0, 20.0], 300)
    x[:, 0] = 0.0
    secret = fixed.encode(x, F)
    want = np.exp(x - x.max(axis=0))
    got = fixed.decode(run(lambda s, a: softmax(s, a, F), secret), SHARE)
    assert np.abs(got - want / want.sum(axis=0)).max() < 6.5e-6 * classes + 2e-6
    assert np.abs(got.sum(axis=0) - 1).max() < 2e-5
    total = fixed.decode(run(lambda s, a: log_sum(s, a, F)[0], secret), F)
    assert (
        np.abs(total - np.log(np.exp(x - x.max(0)).sum(0)) - x.max(0)).max()
        < 6.5e-6 * classes + 5e-6
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 1 << 24))
def test_a_reciprocal(value: int) -> None:
    got = run(lambda s, a: reciprocal(s, a, 24)[0], np.array([value], np.uint64))
    power = run(lambda s, a: reciprocal(s, a, 24)[1], np.array([value], np.uint64))
    found = fixed.decode(got, INNER)[0] * int(power[0])
    assert found * value / 2**24 == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("classes", [1, 2, 3, 7])
def test_the_largest(classes: int) -> None:
    x = np.random.default_rng(classes).normal(size=(classes, 100)) * 50
    got = fixed.decode(run(largest, fixed.encode(x, F)), F)
    assert np.abs(got - x.max(axis=0)).max() < 2**-19


@pytest.mark.parametrize("rows", [1, 64, 500])
def test_shrinking_at_the_declared_cost(rows: int) -> None:
    """What lies within the threshold becomes 0 exactly, the rest moves by it."""
    by = 3 << F
    entry = Entry(
        "shrunk", shrunk, ("ring",),
        lambda s, x: shrunk(s, x, s.public_ring(np.full(x.size, by, np.uint64))),
        lambda x: _shrunk(x, by), WHOLE_WORDS, lambda n: few_or_many(64)(2 * n), exact=False,
    )  # fmt: skip
    values = np.random.default_rng(rows).uniform(-9, 9, rows)
    values[0] = 3.0
    check(entry, [fixed.encode(values, F)])


def _shrunk(x: np.ndarray, by: int) -> np.ndarray:
    whole = x.view(np.int64)
    return (np.sign(whole) * np.maximum(0, np.abs(whole) - by)).view(np.uint64)
