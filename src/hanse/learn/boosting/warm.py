"""Compiling boosting's kernels before they are needed: seconds the first time, then they are on disk."""

from __future__ import annotations

import numpy as np

from hanse.learn.boosting.rows import Rows
from hanse.learn.boosting.settings import Settings
from hanse.learn.boosting.together import fit

_ROWS = 120


def warm_up() -> None:
    """Train and score on a few made rows, so that all kernels are compiled or loaded from the cache."""
    keys, x = np.arange(_ROWS), np.arange(_ROWS) / _ROWS
    one, two = (
        Rows(name, keys, {"x": x[::step]}, False) for name, step in (("one", 1), ("two", -1))
    )
    settings = Settings(trees=1, depth=2, bins=4)
    fit(one, (x > 0.5).astype(np.float64), [two], settings).predict(one, [two])
