"""Plain histograms of the label holder's own columns."""

from __future__ import annotations

import numpy as np

from hanse.engine.kernels import _compiled


@_compiled
def add_rows(codes: np.ndarray, rows: np.ndarray, numbers: np.ndarray, out: np.ndarray) -> None:
    """out[column, code, (count, gradient, curvature)] += each row's; codes [columns, all rows], numbers [2,
    all rows]."""
    for column in range(codes.shape[0]):
        code = codes[column]
        for t in range(rows.size):
            row = rows[t]
            place = out[column, code[row]]
            place[0] += 1.0
            place[1] += numbers[0, row]
            place[2] += numbers[1, row]
