"""Rows of one label law at several parties of different sizes and populations."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hanse.learn.horizontal import Home

PARTIES = ("anna", "berta", "clara")
COLUMNS = ("a", "b", "c", "d")


def homes(model: str, rows: int, parties: int = 3, seed: int = 7) -> list[Home]:
    """``rows`` a party on average, a quarter of them held out."""
    random = np.random.default_rng(seed)
    weights = np.array([0.9, -0.6, 0.3, 0.0])
    names = (*PARTIES, "dora", "emma")[:parties]
    out = []
    for number, name in enumerate(names):
        count = round(rows * (0.7 + 0.6 * number / max(1, parties - 1)))
        x = random.normal(size=(count, 4)) + 0.3 * (number - 1)
        eta = x @ weights + 0.2
        if model == "logistic":
            y = (random.random(count) < 1 / (1 + np.exp(-eta))).astype(np.float64)
        elif model == "linear":
            y = 10 * eta + 100 + 5 * random.normal(size=count)
        elif model == "gamma":
            y = random.gamma(2.0, np.exp(eta) / 2) + 1e-3
        elif model == "multinomial":
            scores = np.column_stack([eta, -eta, 0.5 * x[:, 2]]) + random.gumbel(size=(count, 3))
            y = scores.argmax(axis=1).astype(np.float64)
        else:
            y = random.poisson(np.exp(0.5 * eta)).astype(np.float64)
        out.append(Home(name, COLUMNS, x, y, random.random(count) < 0.25))
    return out


def labelled(path: Path, party: str) -> Home:
    """A file's rows, label y; a tenth of them held out."""
    import pyarrow.parquet as pq

    table = pq.read_table(path).to_pandas()
    columns = tuple(c for c in table.columns if c not in ("id", "y"))
    held = np.arange(len(table)) % 10 == 0
    return Home(
        party, columns, table[list(columns)].to_numpy(float), table["y"].to_numpy(float), held
    )
