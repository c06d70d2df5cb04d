"""Boosting's inner loops in the clear: codes, groups, own histograms and gains, and the walk through trees."""

from __future__ import annotations

import numpy as np

from hanse.engine.kernels import _compiled


@_compiled
def code_values(values: np.ndarray, edges: np.ndarray, out: np.ndarray) -> None:
    """out[row] = 1 + the number of edges below the value, 0 for NaN; edges rise."""
    for row in range(values.size):
        value = values[row]
        low, size = 0, edges.size
        while size > 0:
            half = size // 2
            if edges[low + half] < value:
                low += half + 1
                size -= half + 1
            else:
                size = half
        out[row] = 0 if np.isnan(value) else low + 1


@_compiled
def add_rows(codes: np.ndarray, rows: np.ndarray, numbers: np.ndarray, out: np.ndarray) -> None:
    """out[column, code, 0] += 1 and [.., 1 + k] += numbers[row, k] of each of ``rows``; codes [columns, all rows],
    numbers [all rows, outputs]."""
    outputs = numbers.shape[1]
    for column in range(codes.shape[0]):
        code, sums = codes[column], out[column]
        if outputs == 2:  # the usual case, without a loop
            for t in range(rows.size):
                row = rows[t]
                c = code[row]
                sums[c, 0] += 1.0
                sums[c, 1] += numbers[row, 0]
                sums[c, 2] += numbers[row, 1]
        else:
            for t in range(rows.size):
                row = rows[t]
                c = code[row]
                sums[c, 0] += 1.0
                for k in range(outputs):
                    sums[c, 1 + k] += numbers[row, k]


@_compiled
def walk(
    roots: np.ndarray, shapes: np.ndarray, values: np.ndarray, bits: np.ndarray, out: np.ndarray
) -> None:
    """out[k, row] += the leaf that each row reaches in each tree, roots [trees].

    shapes [nodes, 3]: split (-1: a leaf), left, right; values [nodes, outputs]; bits [splits, ceil(rows / 8)], the
    first row in the highest bit.
    """
    for root in roots:
        for row in range(out.shape[1]):
            at = root
            while shapes[at, 0] >= 0:
                left = bits[shapes[at, 0], row >> 3] >> (7 - (row & 7)) & 1
                at = shapes[at, 1] if left else shapes[at, 2]
            for k in range(out.shape[0]):
                out[k, row] += values[at, k]


@_compiled
def group_codes(
    built: np.ndarray,
    other: np.ndarray,
    above: np.ndarray,
    least: int,
    ends: np.ndarray,
    sums: np.ndarray,
) -> None:
    """Where groups end, and the rows of the group that ends at a position in both siblings.

    built, other [columns, positions] rows per code, above [columns, positions] where the parent's groups end; ends
    [columns, positions] bool and sums [columns, positions, 2] are zeros before.
    """
    positions = built.shape[1]
    for c in range(built.shape[0]):
        here, there, last = 0, 0, positions - 1
        for p in range(positions):
            here += built[c, p]
            there += other[c, p]
            if above[c, p]:
                last = p
                if _enough(here, there, least):
                    ends[c, p] = True
                    sums[c, p, 0], sums[c, p, 1] = here, there
                    here, there = 0, 0
        if here + there == 0:
            continue
        # What is left over joins the groups before it until it is enough.
        for p in range(positions - 1, -1, -1):
            if ends[c, p]:
                here += sums[c, p, 0]
                there += sums[c, p, 1]
                ends[c, p] = False
                sums[c, p, 0], sums[c, p, 1] = 0, 0
                if _enough(here, there, least):
                    break
        ends[c, last] = True
        sums[c, last, 0], sums[c, last, 1] = here, there


@_compiled
def _enough(here: int, there: int, least: int) -> bool:
    one = here == 0 or here >= least
    two = there == 0 or there >= least
    return one and two and here + there > 0


@_compiled
def search_numeric(
    prefix: np.ndarray,
    free: np.ndarray,
    valid: np.ndarray,
    kinds: np.ndarray,
    total: np.ndarray,
    noise: np.ndarray,
    l2: float,
    low: float,
    high: float,
) -> tuple[float, int, int, int]:
    """(gain, column, position, way) of the best numeric split; way 0: missing values left. Gain -inf: none.

    prefix [columns, positions, 2 * classes], free [columns], valid [columns, positions] bits, kinds [columns],
    total and noise [2 * classes]. What noise alone would add to a gain on average is taken off, and a side whose
    curvature is within three deviations of nothing is not trusted. With one class scores stay within (low, high),
    and in order where a column is monotone.
    """
    classes = total.size // 2
    trusted, alone = 0.0, 0.0
    for k in range(classes):
        trusted += (3 * noise[classes + k]) ** 2
        alone += total[k] ** 2 / (total[classes + k] + l2 + 1e-12)
    trusted = np.sqrt(trusted)
    top, at = -np.inf, (-1, -1, -1)
    for c in range(prefix.shape[0]):
        if kinds[c] == 2:
            continue
        bounded = classes == 1 and (kinds[c] != 0 or low > -np.inf or high < np.inf)
        for p in range(prefix.shape[1]):
            for way in range(2):
                if not (valid[c, p] >> way) & 1:
                    continue
                gain, one, two = -alone, 0.0, 0.0
                for k in range(classes):
                    slope, curve = prefix[c, p, k], prefix[c, p, classes + k]
                    if way == 1 and free[c]:
                        slope -= prefix[c, 0, k]
                        curve -= prefix[c, 0, classes + k]
                    blur, floor = noise[k] ** 2, 3 * noise[classes + k]
                    rest = total[classes + k] - curve
                    one += curve
                    two += rest
                    gain += (slope**2 - blur) / (max(curve, floor) + l2 + 1e-12)
                    gain += ((total[k] - slope) ** 2 - blur) / (max(rest, floor) + l2 + 1e-12)
                if one <= trusted or two <= trusted:
                    continue
                gain /= 2
                if bounded:
                    slope = prefix[c, p, 0] - (prefix[c, 0, 0] if way == 1 and free[c] else 0.0)
                    first, saved = _clipped(slope, one + l2, low, high)
                    second, more = _clipped(total[0] - slope, two + l2, low, high)
                    _, before = _clipped(total[0], total[1] + l2, low, high)
                    if kinds[c] * (second - first) < 0:
                        continue
                    # Where no bound binds both are equal up to the noise's part, which only ``gain`` takes off.
                    gain = min(gain, before - saved - more)
                if gain > top:
                    top, at = gain, (c, p, way)
    return top, at[0], at[1], at[2]


@_compiled
def _clipped(slope: float, curve: float, low: float, high: float) -> tuple[float, float]:
    """(the best score within bounds, the loss there)."""
    score = min(max(-slope / (curve + 1e-12), low), high)
    return score, slope * score + curve * score**2 / 2
