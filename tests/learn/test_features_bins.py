"""Bins at home and over several parties' rows; reading files; which columns to keep."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.errors import Refusal
from hanse.learn.evaluation import plain
from hanse.learn.features.bins import (
    GRID,
    bins_from_counts,
    cell_counts,
    grid,
    quantile_bins,
    value_bins,
)
from hanse.learn.features.files import mark_of
from hanse.learn.features.reading import Preparing, prepared
from hanse.learn.features.selection import Limits, select


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), min_size=1, max_size=200),
    st.integers(2, 12),
)
def test_quantile_bins_cover_all_rows_in_order(values: list[float], bins: int) -> None:
    column = np.array(values)
    made = quantile_bins("x", column, bins)
    codes = made.codes(column).astype(int)
    assert made.count <= bins + 1
    assert len(made.labels()) == made.count
    assert codes.max(initial=0) < made.count <= 1 << made.code_bits
    gone = np.isnan(column)
    assert made.missing == gone.any()
    if gone.any():
        assert (codes[gone] == 0).all()
        assert (codes[~gone] > 0).all()
    order = np.argsort(column[~gone])
    assert (np.diff(codes[~gone][order]) >= 0).all(), "larger values never lie in lower bins"


def test_bins_have_about_equal_counts() -> None:
    column = np.random.default_rng(1).exponential(size=10_000)
    counts = np.bincount(quantile_bins("x", column, 10).codes(column).astype(int))
    assert counts.size == 10
    assert abs(counts - 1000).max() <= 1


def test_few_values_have_a_bin_each() -> None:
    made = quantile_bins("x", np.array([3.0, 1.0, 1.0, 7.0]), 10)
    assert made.codes(np.array([1.0, 3.0, 7.0])).tolist() == [0, 1, 2]
    words = value_bins("town", ("b", "a"))
    assert words.labels() == ("b", "a")
    assert words.codes(np.array([1.0, 0.0])).tolist() == [1, 0]


def test_pooled_bins_are_near_the_pooled_quantiles() -> None:
    """Three parties' summed cells give edges at most a cell from the quantiles of all rows together."""
    random = np.random.default_rng(2)
    parts = [random.lognormal(mean, 1.0, 2000) for mean in (0.0, 1.0, 2.0)]
    edges = grid(0.0, 1000.0)
    assert edges.size == GRID + 1
    counts = np.sum([cell_counts(p, edges) for p in parts], axis=0).astype(float)
    above = np.cumsum(counts[::-1])[::-1]
    made = bins_from_counts("x", edges, above, 10)
    pooled = np.concatenate(parts)
    exact = np.quantile(pooled, np.arange(1, 10) / 10)
    cell = np.searchsorted(edges, exact)
    assert made.edges.size == 9
    assert (np.abs(np.searchsorted(edges, made.edges) - cell) <= 1).all()
    shares = np.bincount(made.codes(pooled).astype(int)) / pooled.size
    assert np.abs(shares - 0.1).max() < 0.01


@pytest.mark.parametrize("bounds", [(1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0)])
def test_bounds_that_are_none(bounds: tuple[float, float]) -> None:
    with pytest.raises(Refusal, match="bounds"):
        grid(*bounds)


# --- plain formulas ---------------------------------------------------------------------------------


def test_weight_of_evidence_by_hand() -> None:
    weights, value = plain.woe(np.array([30.0, 70.0]), np.array([60.0, 40.0]))
    assert weights == pytest.approx([np.log(0.3 / 0.6), np.log(0.7 / 0.4)])
    assert value == pytest.approx(-0.3 * weights[0] + 0.3 * weights[1])
    assert plain.psi(np.array([60.0, 40.0]), np.array([30.0, 70.0])) == pytest.approx(value)
    assert plain.woe(np.array([0.0, 5.0]), np.array([5.0, 0.0]))[1] < np.inf


def test_inflation_is_one_over_what_others_do_not_tell() -> None:
    random = np.random.default_rng(3)
    x = random.normal(size=(500, 4))
    x[:, 3] += x[:, 0] + 2 * x[:, 1]
    found = plain.vif(np.corrcoef(x, rowvar=False))
    for column in range(4):
        others = np.column_stack([np.ones(500), np.delete(x, column, axis=1)])
        rest = x[:, column] - others @ np.linalg.lstsq(others, x[:, column], rcond=None)[0]
        told = 1 - rest.var() / x[:, column].var()
        assert found[column] == pytest.approx(1 / (1 - told), rel=1e-6)
    doubled = np.column_stack([x, x[:, 0]])
    twice = plain.vif(np.corrcoef(doubled, rowvar=False))
    assert np.isinf(twice[[0, 4]]).all()


# --- selection --------------------------------------------------------------------------------------


def test_selection_by_value_correlation_and_inflation() -> None:
    random = np.random.default_rng(4)
    x = random.normal(size=(2000, 5))
    x[:, 1] = x[:, 0] + 0.05 * random.normal(size=2000)  # twins: the weaker goes
    x[:, 4] = x[:, 2] + x[:, 3] + 0.05 * random.normal(size=2000)  # told by two others
    names = [("p", c) for c in "abcde"]
    values = dict(zip(names, (0.5, 0.3, 0.2, 0.2, 0.1), strict=True))
    matrix = np.corrcoef(x, rowvar=False)
    kept, dropped = select(names, Limits(), values=values, correlation=matrix)
    assert kept == [("p", "a"), ("p", "c"), ("p", "d")]
    assert {d.column: d.why.split()[0] for d in dropped} == {"b": "it", "e": "inflation"}
    weak = values | {("p", "c"): 0.001}
    kept, dropped = select(names, Limits(), values=weak)
    assert ("p", "c") not in kept
    assert "below 0.02" in dropped[0].why
    unknown = matrix.copy()
    unknown[0, 1] = unknown[1, 0] = np.nan
    kept, _ = select(names, Limits(), values=values, correlation=unknown)
    assert ("p", "b") in kept, "a pair that was not told is not compared"


# --- marks and files --------------------------------------------------------------------------------


def test_marks() -> None:
    mark, notes = mark_of(pa.chunked_array([["no", "yes", "no"]]), "y", None, "f", period=False)
    assert mark.tolist() == [False, True, False]
    assert "positive are rows with 'y' = yes" in notes
    mark, _ = mark_of(pa.chunked_array([[1.0, 2.0, 3.0, 9.0]]), "y", None, "f", period=False)
    assert mark.tolist() == [False, False, True, True]
    with pytest.raises(Refusal, match="3 values"):
        mark_of(pa.chunked_array([["a", "b", "c"]]), "y", None, "f", period=False)
    with pytest.raises(Refusal, match="no row is the later period"):
        mark_of(pa.chunked_array([[1, 2, 3]]), "y", "9", "f", period=True)


def test_text_as_codes_and_as_columns() -> None:
    table = pa.table({"id": range(6), "town": ["a", "a", "b", None, "b", "a"]})
    coded = prepared(table, "id", None, "p", "p.csv", Preparing(codes=True))
    assert coded.values["town"] == ("a", "b", "(missing)")
    assert coded.table.columns.values[:, 0].tolist() == [0, 0, 1, 2, 1, 0]
    spread = prepared(table, "id", None, "p", "p.csv", Preparing())
    assert spread.table.columns.names == ("town=b", "town=(missing)")
    apart = prepared(table, "id", None, "p", "p.csv", Preparing(rows_apart=True))
    assert set(apart.table.columns.names) == {"town=a", "town=b", "town=(missing)"}


def test_gaps_are_filled_from_rows_to_learn_from() -> None:
    """The mean that fills gaps does not see rows kept for the test."""
    values = [1.0] * 50 + [None] * 6 + [5.0] * 50
    table = pa.table({"id": range(106), "x": values})
    made = prepared(table, "id", None, "p", "p.csv", Preparing(holdout=0.5)).table
    learning = made.lots >= 0.5
    gap = made.columns.values[:, 1] == 1
    assert gap.sum() == 6
    filled = made.columns.values[gap, 0]
    assert (filled == filled[0]).all()
    assert filled[0] == made.columns.values[learning & ~gap, 0].mean()
