"""Functions and matrices on fixed-point shares equal their twins within stated errors, at declared costs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from math import ceil
from typing import Any

import numpy as np
import pytest
from engine_conformance import ELEMENTS, WHOLE_WORDS, Entry, Plain, check, few_or_many
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.engine import fixed, functions, matrices
from hanse.engine.compare import RIPPLE_ROWS
from hanse.engine.functions import (
    EXP_HIGH,
    EXP_LOW,
    INNER,
    chebyshev,
    clip,
    exponential,
    levels_of,
    power_below,
    product,
    products_of,
    ring_numbers,
    sigmoid,
    stepping,
)
from hanse.engine.matrices import (
    INVERSE_BITS,
    MATRIX_BITS,
    combined,
    cross,
    inverse,
    mean_cross,
    mean_gram,
    rows_at_once,
    weighted,
    weighted_gram,
)
from hanse.engine.shares import Ring
from hanse.engine.stage import on_stage
from hanse.errors import Fault
from secret_stage import Dealer, opened

F = 20


def near(fraction: int, error: float) -> Callable[[Plain, Plain], bool]:
    """Opened elements against real numbers."""
    return lambda got, want: bool(
        np.abs(fixed.decode(got, fraction) - want).max(initial=0) <= error
    )


def real(elements: Plain, fraction: int = F) -> Plain:
    return fixed.decode(elements, fraction)


def series(terms: int) -> Callable[[int], dict[str, float]]:
    steps = stepping(terms)
    return lambda rows: few_or_many(64)(2 * rows) | {
        "products": products_of(*steps), "levels": levels_of(*steps)
    }  # fmt: skip


def clipped(x: Plain) -> Plain:
    return np.clip(x.view(np.int64), -(3 << F), 5 << F).view(np.uint64)


def wide(x: Plain) -> Plain:
    return 1 / (1 + np.exp(-np.clip(real(x), -12, 12)))


def beside(x: Ring, y: Ring) -> Ring:
    return Ring(np.stack([x.left, y.left]), np.stack([x.right, y.right]))


POLYNOMIAL = tuple(np.random.default_rng(4).normal(size=17).round(3).tolist())
TABLE = [
    Entry("ring_numbers", ring_numbers, ("bits:22",),
          lambda s, x: ring_numbers(s, x.reshape(22, 1, -1))[0], lambda x: x, WHOLE_WORDS, exact=False),
    Entry("ring_numbers of 64", ring_numbers, ("bits:64",),
          lambda s, x: ring_numbers(s, x.reshape(64, 1, -1))[0], lambda x: x, WHOLE_WORDS, exact=False),
    Entry("clip", clip, ("ring",), lambda s, x: clip(s, x, -(3 << F), 5 << F), clipped, WHOLE_WORDS,
          lambda rows: few_or_many(64)(2 * rows), exact=False),
    Entry("product", product, ("ring", "ring"), lambda s, x, y: product(s, x, y, F),
          lambda x, y: real(x) * real(y), ELEMENTS, agrees=near(F, 2**-20)),
    Entry("chebyshev", chebyshev, ("ring",), lambda s, x: chebyshev(s, x, POLYNOMIAL, 24),
          lambda x: np.polynomial.chebyshev.chebval(real(x, INNER), POLYNOMIAL), ELEMENTS, series(17),
          agrees=near(24, 4e-6), exact=False),
    Entry("sigmoid 9", sigmoid, ("ring",), lambda s, x: sigmoid(s, x, F, 9, F), wide, WHOLE_WORDS, series(5),
          agrees=near(F, 5e-2), exact=False),
    Entry("sigmoid 47", sigmoid, ("ring",), lambda s, x: sigmoid(s, x, F, 47, F), wide, WHOLE_WORDS, series(24),
          agrees=near(F, 5e-6), exact=False),
    Entry("exponential", exponential, ("ring",), lambda s, x: exponential(s, x, F, 14),
          lambda x: np.exp(np.clip(real(x), EXP_LOW, EXP_HIGH)), WHOLE_WORDS, series(6),
          agrees=lambda got, want: bool((np.abs(real(got, 14) - want) <= 2**-13 + 2e-6 * want).all()),
          exact=False),
    Entry("cross", cross, ("ring", "ring"), lambda s, x, y: cross(s, beside(x, y), x.reshape(1, -1)),
          lambda x, y: (np.stack([x, y]) * x).sum(axis=1, dtype=np.uint64)[:, None], lambda _rows: 2),
    Entry("mean_cross", mean_cross, ("ring", "ring"),
          lambda s, x, y: mean_cross(s, x.reshape(1, -1), y.reshape(1, -1), 50, 20),
          lambda x, y: np.array([[(real(x) * real(y)).sum()]]), lambda _rows: 1,
          lambda rows: {"blocks": ceil(rows / rows_at_once(50))}, agrees=near(F, 3e-4), exact=False),
    Entry("mean_gram", mean_gram, ("ring", "ring"),
          lambda s, x, y: mean_gram(s, beside(x, y), beside(x, y), 50, 20),
          lambda x, y: np.stack([real(x), real(y)]) @ np.stack([real(x), real(y)]).T, lambda _rows: 3,
          lambda rows: {"blocks": ceil(rows / rows_at_once(50))}, agrees=near(F, 3e-4)),
    Entry("combined", combined, ("ring", "ring"),
          lambda s, x, y: combined(s, beside(x, y), Ring(x.left[[0, -1]], x.right[[0, -1]])),
          lambda x, y: x * x[0] + y * x[-1], ELEMENTS),
    Entry("weighted", weighted, ("ring", "ring"), lambda s, x, y: weighted(s, beside(x, y), y),
          lambda x, y: np.stack([x * y, y * y]), lambda rows: 2 * rows),
    Entry("weighted_gram", weighted_gram, ("ring", "ring"),
          lambda s, x, y: weighted_gram(s, beside(x, y), y, 50, 8),
          lambda x, y: np.stack([real(x, 6), real(y, 6)]) * real(y, 6) @ np.stack([real(x, 6), real(y, 6)]).T,
          ELEMENTS, lambda rows: {"columns": 2 + 9 * ceil(rows / rows_at_once(50)) / rows},
          agrees=near(10, 2**-8), exact=False),
]  # fmt: skip
INPUTS = {"bits:22": (0, 1 << 22), "bits:64": (0, 1 << 64)}


def column(entry: Entry, kind: str, rows: int, seed: int) -> Plain:
    random = np.random.default_rng(seed)
    if kind.startswith("bits"):
        return random.integers(*INPUTS[kind], rows, np.uint64)
    if entry.name == "chebyshev":
        return fixed.encode(np.append(random.uniform(-1, 1, rows - 1), 1.0), INNER)
    edges = [0, 12, -12, 8, -12.0001, 8.0001, 1e-6, -1e-6, 20, -20, 3, 5]
    values = random.uniform(-15, 15, rows)
    values[: len(edges)] = edges[:rows]
    return fixed.encode(random.permutation(values), 6 if entry.name == "weighted_gram" else F)


@pytest.mark.parametrize("entry", TABLE, ids=lambda e: e.name)
@settings(max_examples=6, deadline=None)
@given(rows=st.sampled_from([1, 2, 63, 64, 65, 300, 5000]), seed=st.integers(0, 1 << 32))
def test_the_twin_at_the_declared_cost(entry: Entry, rows: int, seed: int) -> None:
    check(entry, [column(entry, kind, rows, seed + i) for i, kind in enumerate(entry.takes)], seed)


@pytest.mark.parametrize("name", ["clip", "sigmoid 47", "exponential"])
def test_many_rows_take_the_other_circuit(name: str) -> None:
    entry = next(e for e in TABLE if e.name == name)
    check(entry, [column(entry, "ring", RIPPLE_ROWS + 1, 3)])


@settings(max_examples=25, deadline=None)
@given(st.integers(-12, 20), st.floats(1.0, 1.99), st.booleans())
def test_a_power_below(exponent: int, mantissa: float, root: bool) -> None:
    value = mantissa * 2.0**exponent
    entry = Entry("power_below", power_below, ("ring",),
                  lambda s, x: power_below(s, x, MATRIX_BITS, 22, 28, root=root),
                  lambda x: x, lambda _rows: 1, agrees=lambda got, _want: _halved(got, value, root),
                  exact=False)  # fmt: skip
    check(entry, [fixed.encode(np.array([value]), MATRIX_BITS)])


def _halved(got: Plain, value: float, root: bool) -> bool:
    factor = real(got, 22)[0]
    scaled = (np.sqrt(value) if root else value) * factor
    return bool(0.5 - 2**-9 <= scaled < 1 + 2**-9 and np.log2(factor) % 1 == 0)


def test_a_power_below_nothing_is_nothing_and_bounds_hold() -> None:
    def power(value: float) -> float:
        shares = Dealer(1).ring(fixed.encode(np.array([value]), MATRIX_BITS))
        got = on_stage(lambda s: opened(s, power_below(s, shares[s.seat], MATRIX_BITS, 3, 2)))[0]
        return float(real(got, 3)[0])

    assert [power(v) for v in (0.0, 1e-6, 0.3, 1000.0)] == [0.0, 4.0, 2.0, 0.125]


@pytest.mark.parametrize(("size", "least"), [(1, 1.0), (3, 0.2), (12, 2.0**-9), (30, 2.0**-15)])
def test_an_inverse(size: int, least: float) -> None:
    """Residual small for eigenvalues down to 2**-15, and the cost is the declared one."""
    random = np.random.default_rng(size)
    basis = np.linalg.qr(random.normal(size=(size, size)))[0]
    eigenvalues = np.append(np.geomspace(least, 0.9, size - 1) if size > 1 else [], [least])
    h = basis * eigenvalues @ basis.T
    entry = Entry("inverse", inverse, ("ring",),
                  lambda s, x: inverse(s, x.reshape(size, size), 20).reshape(-1),
                  lambda x: x, lambda _rows: size * size, lambda _rows: {"steps": 20},
                  agrees=lambda got, _w: _inverts(got, h, least), exact=False)  # fmt: skip
    check(entry, [fixed.encode(h.reshape(-1), MATRIX_BITS)])


def _inverts(got: Plain, h: Plain, least: float) -> bool:
    found = real(got, INVERSE_BITS).reshape(h.shape)
    return bool(np.abs(found @ h - np.eye(h.shape[0])).max() < 1e-3 + 2.0**-24 / least**1.2)


def test_sums_in_blocks_are_the_sums() -> None:
    """Products of 56 bits go 64 at a time; a sum of all at once would wrap."""
    values = np.full(1000, 2.0**8)
    big = fixed.encode(values, F)
    x, y = Dealer(1).ring(big), Dealer(2).ring(big)

    def protocol(s: Any) -> Any:
        a, b = x[s.seat].reshape(1, -1), y[s.seat].reshape(1, -1)
        return opened(s, mean_cross(s, a, b, 56, 30))

    assert abs(real(on_stage(protocol)[0], 10)[0, 0] - 1000 * 2.0**16) < 1
    whole = (int(big[0]) ** 2 * 1000) % (1 << 64)
    assert whole != int(big[0]) ** 2 * 1000


def test_more_rows_than_travel_at_once_and_blocks_across_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(matrices, "TILE", 96)
    values = (
        np.random.default_rng(1).integers(-1000, 1000, (3, 700)).astype(np.int64).view(np.uint64)
    )
    weight = np.random.default_rng(2).integers(0, 50, 700).astype(np.uint64)
    x, w = Dealer(1).ring(values), Dealer(2).ring(weight)
    got = on_stage(lambda s: opened(s, weighted_gram(s, x[s.seat], w[s.seat], 54, 1)))[0]
    whole = values.view(np.int64)
    want = whole * weight.view(np.int64) @ whole.T / 2
    assert (
        np.abs(got.view(np.int64) - want).max() <= 3
    )  # a unit for each of three blocks of 256 rows


def test_no_rows_make_zero() -> None:
    x = Dealer(1).ring(np.empty(0))
    got = on_stage(
        lambda s: opened(s, mean_cross(s, x[s.seat].reshape(2, 0), x[s.seat].reshape(3, 0), 40, 10))
    )[0]
    assert got.tolist() == [[0, 0, 0]] * 2


def test_ranges_are_refused_before_anything_overflows() -> None:
    x = Dealer(1).ring(np.zeros(3))
    with pytest.raises(Fault) as caught:
        rows_at_once(57)
    assert caught.value.code == "matrices.range"
    with pytest.raises(Fault) as caught:
        on_stage(lambda s: chebyshev(s, x[s.seat], (40.0, 40.0), F))
    assert caught.value.code == "functions.range"
    with pytest.raises(Fault) as caught:
        on_stage(lambda s: exponential(s, x[s.seat], 30, 14))
    assert caught.value.code == "functions.range"


@pytest.mark.parametrize("terms", range(1, 60))
def test_a_series_is_divided_into_parts_that_fold_back(terms: int) -> None:
    baby, giant = stepping(terms)
    assert baby << giant >= terms
    c = np.random.default_rng(terms).normal(size=terms)
    parts = functions._divided(c, baby, giant)
    t = np.linspace(-1, 1, 41)
    values = [np.polynomial.chebyshev.chebval(t, p) for p in parts]
    for level in range(giant):
        step = np.cos((baby << level) * np.arccos(t))
        values = [high * step + low for low, high in zip(values[0::2], values[1::2], strict=True)]
    assert np.abs(values[0] - np.polynomial.chebyshev.chebval(t, c)).max() < 1e-9


def test_every_declared_cost_is_tested() -> None:
    declared = {
        name
        for room in (functions, matrices)
        for name, function in inspect.getmembers(room, inspect.isfunction)
        if hasattr(function, "cost") and function.__module__ == room.__name__
    }
    assert declared == {e.protocol.__name__ for e in TABLE} | {"power_below", "inverse"}
