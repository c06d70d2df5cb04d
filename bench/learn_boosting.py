"""Boosting by the clock, for `bench/learn.py`: ours beside LightGBM in one place, or beside SecretFlow's SGB.

Two parties with ``--columns`` each, labels from both, all parties in one process (a thread each, two workers at the
feature holder), re-randomising inside the clock. The clock starts with columns in memory and unbinned and kernels
compiled, and stops with the model at both parties. ``plaintext``: LightGBM with the same trees in an environment
of its own (`bench/peers.py`), its clock from raw columns to the model; ``plain_*`` is our own boosting
with all columns in one place. Bytes are those of all messages, without frame heads.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.learn.boosting import Rows, Settings, fit
from peers import ensure

HERE = Path(__file__).resolve().parent
F64 = NDArray[np.float64]


def made(rows: int, columns: int, seed: int = 2026) -> tuple[F64, F64]:
    """(values [2 * columns, rows], labels): half of what matters is at either party, some of it together."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((2 * columns, rows))
    weights = random.standard_normal(2 * columns) / np.sqrt(columns)
    truth = weights @ x + 0.6 * x[0] * x[columns] - 0.4 * (x[columns + 1] > 0.5) + 0.3
    y = (random.random(rows) < 1 / (1 + np.exp(-truth))).astype(np.float64)
    return x, y


def parties_of(x: F64) -> list[Rows]:
    """Label holder and feature holder."""
    keys, half = range(x.shape[1]), x.shape[0] // 2
    return [
        Rows(name, keys, {f"x{i}": column for i, column in enumerate(part)}, personal=False)
        for name, part in (("guest", x[:half]), ("host", x[half:]))
    ]


def auc(y: F64, score: F64) -> float:
    """Area under the curve, ties counted half."""
    _, at, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[at]
    ones = y.sum()
    return float((ranks[y == 1].sum() - ones * (ones + 1) / 2) / (ones * (y.size - ones)))


def boosting(rows: int, columns: int, settings: Settings, peer: str) -> dict[str, Any]:
    """Ours, our own in one place, and LightGBM if asked, one after another."""
    x, y = made(rows, columns)
    guest, host = parties_of(x)
    small = parties_of(x[:, :2_000])
    fit(
        small[0], y[:2_000], small[1:], replace(settings, trees=1)
    )  # compiles kernels, once a machine

    wall, cpu = time.perf_counter(), time.process_time()
    model = fit(guest, y, [host], settings)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    out: dict[str, Any] = {
        "columns": [columns, columns],
        "trees": settings.trees,
        "depth": settings.depth,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "wall_s": wall,
        "cpu_s": cpu,
        "wall_s_per_tree": wall / settings.trees,
        "bytes": sum(model.bytes.values()),
        "bytes_by_kind": model.bytes,
        "peak_rss_mib": peak,
        "auc": auc(y, model.predict(guest, [host])),
    }
    together = Rows("all", guest.keys, {f"x{i}": c for i, c in enumerate(x)}, personal=False)
    begun = time.perf_counter()
    pooled = fit(together, y, [], settings)
    out["plain_s"] = time.perf_counter() - begun
    out["plain_auc"] = auc(y, pooled.predict(together))
    out["alone_auc"] = auc(y, fit(guest, y, [], settings).predict(guest))
    if peer == "plaintext":
        out |= lightgbm(x, y, settings)
        out["plaintext_ratio"] = wall / out["plaintext_s"]
    return out


def lightgbm(x: F64, y: F64, settings: Settings) -> dict[str, float]:
    """LightGBM's seconds and AUC, in a process and an environment of its own."""
    python = ensure("lightgbm")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npz"
        np.savez(path, x=x.T, y=y)
        asked = {
            "num_iterations": settings.trees,
            "max_depth": settings.depth,
            "num_leaves": 1 << settings.depth,
            "learning_rate": settings.learning_rate,
            "max_bin": settings.bins,
            "lambda_l2": settings.l2,
            "min_data_in_leaf": settings.minimum_rows,
        }
        command = [str(python), str(HERE / "peer_lightgbm.py"), str(path), json.dumps(asked)]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
    said = json.loads(ran.stdout.splitlines()[-1])
    score = np.asarray(said.pop("scores"), np.float64)
    return {
        "plaintext_s": said["wall_s"],
        "plaintext_cpu_s": said["cpu_s"],
        "plaintext_auc": auc(y, score),
    }


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of this task."""
    parser.add_argument("--columns", type=int, default=20, help="of each party")
    parser.add_argument("--trees", type=int, default=10)
    parser.add_argument("--depth", type=int, default=5)
    parser.add_argument("--bins", type=int, default=32)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """The figures of `bench/learn.py`, and what is particular to boosting."""
    settings = Settings(trees=args.trees, depth=args.depth, bins=args.bins)
    return boosting(args.rows, args.columns, settings, args.peer)
