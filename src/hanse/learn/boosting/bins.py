"""Columns to bins at home, and bins to groups that may be summed for somebody else.

A code is 0 for a missing value; of a number it is 1 + (edges below the value), of a category its rank by frequency.
*Position* p of a column means "code at most p goes left". Positions end groups; a group's sum is what the label
holder gets. All arrays have columns, then positions, last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanse.errors import Fault
from hanse.learn.boosting.kernels import code_values, group_codes

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
U8 = NDArray[np.uint8]
Flags = NDArray[np.bool_]

# What the label holder is told of each position of each column at a pair of sibling nodes.
ENDS = 1  # a group ends here
BUILT_EMPTY = 2  # the group has no rows in the node that is summed (no ciphertext is sent)
SIBLING_EMPTY = 4  # or none in its sibling (none is sent: the sum is the parent's)
BUILT = 8  # the summed node may be split here, missing values left; twice it: missing values right
SIBLING = 32  # the same for its sibling
SAMPLE = 200_000  # rows that a column's edges are looked for in


@dataclass(frozen=True)
class Categories:
    """The values of a category column by code, from 1, the most frequent first; others share the code after them
    where ``pooled``, and count as missing else."""

    values: tuple[str, ...]
    pooled: bool

    def codes(self, texts: pa.DictionaryArray) -> U8:
        """[rows]; missing and empty values have 0."""
        known = {value: code for code, value in enumerate(self.values, 1)} | {"": 0}
        other = len(self.values) + 1 if self.pooled else 0
        table = [known.get(value, other) for value in texts.dictionary.to_pylist()]
        places = texts.indices.fill_null(len(table)).to_numpy(zero_copy_only=False)
        return np.asarray(np.array([*table, 0], np.uint8)[places])


@dataclass(frozen=True)
class Binned:
    """``codes`` [columns, rows]; ``edges`` of each numeric column, rising; codes are below ``positions``."""

    names: tuple[str, ...]
    edges: tuple[F64, ...]
    codes: U8
    positions: int
    categories: Mapping[int, Categories]  # by number of the column, of those that are not numeric

    def threshold(self, column: int, position: int) -> float:
        """Values at most this go left; minus infinity where only missing values do."""
        return -np.inf if position == 0 else float(self.edges[column][position - 1])

    def used(self, column: int) -> int:
        """Codes of a column are below this."""
        if column in self.categories:
            known = self.categories[column]
            return 1 + len(known.values) + int(known.pooled)
        return self.edges[column].size + 2


def is_text(raw: NDArray[Any]) -> bool:
    """Whether a column's values are categories: texts, whatever is missing among them."""
    values = np.asarray(raw)
    if values.dtype.kind != "O":
        return values.dtype.kind == "U"
    first = next((v for v in values.flat if v is not None and not isinstance(v, float)), None)
    return isinstance(first, str)


def bin_columns(columns: Mapping[str, NDArray[Any]], bins: int, rows: int, party: str) -> Binned:
    """At most ``bins`` bins of about equal counts per numeric column, of its values that are not missing (NaN), of
    a sample where rows are many; the ``bins`` most frequent categories of a column of texts."""
    codes = np.zeros((len(columns), rows), np.uint8)
    # Which rows edges are looked for in is no secret, and the same in every training.
    sample = (
        np.random.default_rng(rows).integers(0, rows, SAMPLE)
        if rows > SAMPLE
        else np.zeros(0, np.int64)
    )
    edges: list[F64] = []
    categories: dict[int, Categories] = {}
    for number, (name, raw) in enumerate(columns.items()):
        if is_text(raw):
            texts = checked_texts(raw, rows, f"{party}.{name}")
            categories[number] = _categories(texts, bins)
            codes[number] = categories[number].codes(texts)
            edges.append(np.zeros(0))
            continue
        values = checked(raw, rows, f"{party}.{name}")
        some = values if rows <= SAMPLE else values[sample]
        edges.append(_edges(np.sort(some[~np.isnan(some)]), bins))
        code_values(values, edges[-1], codes[number])
    return Binned(tuple(columns), tuple(edges), codes, bins + 1, categories)


def _categories(texts: pa.DictionaryArray, bins: int) -> Categories:
    names = texts.dictionary.to_pylist()
    present = texts.indices.drop_null().to_numpy(zero_copy_only=False)
    counts = dict(zip(names, np.bincount(present, minlength=len(names)).tolist(), strict=True))
    counts.pop("", None)
    ranked = sorted(counts, key=lambda value: (-counts[value], value))
    pooled = len(ranked) > bins
    return Categories(tuple(ranked[: bins - 1] if pooled else ranked), pooled)


def checked_texts(raw: NDArray[Any], rows: int, where: str) -> pa.DictionaryArray:
    """A column of categories; `Fault` naming it if it is none."""
    values = np.asarray(raw)
    if values.shape != (rows,):
        raise Fault("learn.column", f"a column has shape {values.shape}, not ({rows},)", where=where,
                    remedy="give every column one value for each key")  # fmt: skip
    try:
        return pa.array(values, pa.string(), from_pandas=True).dictionary_encode()
    except (pa.ArrowException, TypeError) as error:
        raise Fault("learn.column", "a column mixes texts with other values", where=where,
                    remedy="make it numbers, or texts for categories") from error  # fmt: skip


def checked(raw: NDArray[Any], rows: int, where: str) -> F64:
    """A numeric column as floats, NaN for missing; `Fault` naming it if it is none."""
    try:
        values = np.asarray(raw, np.float64)
    except (TypeError, ValueError) as error:
        raise Fault("learn.column", "a column is not numeric", where=where,
                    remedy="give numbers, or texts for categories") from error  # fmt: skip
    if values.shape != (rows,):
        raise Fault("learn.column", f"a column has shape {values.shape}, not ({rows},)", where=where,
                    remedy="give every column one value for each key")  # fmt: skip
    if np.isinf(values).any():
        raise Fault("learn.column", "a column has infinite values", where=where,
                    remedy="replace them by a number, or by NaN for missing")  # fmt: skip
    return values


def _edges(present: F64, bins: int) -> F64:
    if present.size == 0:
        return np.zeros(0)
    distinct = present[np.concatenate([[True], present[1:] > present[:-1]])]
    if distinct.size <= bins:
        return np.asarray((distinct[:-1] + distinct[1:]) / 2)
    places = (np.arange(1, bins) * present.size) // bins
    edges = np.unique(present[places - 1])
    return np.asarray(edges[edges < present[-1]])


def grouped(built: I64, sibling: I64 | None, parent_ends: Flags, least: int) -> U8:
    """State bytes [.., positions] of the groups of sibling nodes, from rows per code of each.

    A group joins neighbouring codes until it has, in each of the two nodes, no rows or at least ``least``;
    it ends where a group of the parent did, so the sibling's sums are the parent's less the summed node's.
    What is left over at the end joins the group before. A position may split a node if both sides get at
    least ``least`` rows.
    """
    other = np.zeros_like(built) if sibling is None else sibling
    ends = np.zeros(built.shape, np.bool_)
    sums = np.zeros((*built.shape, 2), np.int64)  # rows of the group that ends at a position
    columns = (-1, built.shape[-1])
    group_codes(built.reshape(columns), other.reshape(columns), parent_ends.reshape(columns), least,
                ends.reshape(columns), sums.reshape(*columns, 2))  # fmt: skip
    state = ends * ENDS + (ends & (sums[..., 0] == 0)) * BUILT_EMPTY
    free = ends[..., 0]
    if sibling is not None:
        state = state + (ends & (sums[..., 1] == 0)) * SIBLING_EMPTY
        state = state + SIBLING * valid_splits(other, ends & (sums[..., 1] > 0), free, least)
    state = state + BUILT * valid_splits(built, ends & (sums[..., 0] > 0), free, least)
    return np.asarray(state, np.uint8)


def valid_splits(counts: I64, ends: Flags, free: Flags, least: int) -> U8:
    """1 where a node may be split with missing values left, plus 2 where with missing values right.

    ``free`` [..]: missing values are a group of their own.
    """
    left = counts.cumsum(axis=-1)
    total = left[..., -1:]
    first = np.where(free, counts[..., 0], 0)[..., None]
    right_missing = left - first
    fine_left = ends & (left >= least) & (total - left >= least)
    fine_right = ends & (first > 0) & (right_missing >= least) & (total - right_missing >= least)
    fine_right[..., 0] = False
    fine_right &= left < total  # "only missing values right" is position 0, mirrored
    return np.asarray(fine_left + 2 * fine_right, np.uint8)


def goes_left(values: F64, threshold: float, missing_left: bool) -> Flags:
    """Which rows a split sends left."""
    return np.asarray((values <= threshold) | (np.isnan(values) & missing_left))
