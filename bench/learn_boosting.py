"""Boosting by the clock, for `bench/learn.py`: ours beside LightGBM in one place, and beside SecretFlow's SGB.

Two parties with ``--columns`` each, labels from both, all parties in one process (a thread each, two workers at the
feature holder), re-randomising inside the clock. The clock starts with columns in memory and unbinned and kernels
compiled, and stops with the model at both parties; of ``--repeats`` runs the median is told. Every peer but
``none``: ``plaintext_*`` is LightGBM with the same trees in an environment of its own (`bench/peers.py`), its clock
from raw columns to the model, as often repeated. ``--peer sgb``: SecretFlow with the same trees, once
(`bench/peer_sgb.py`), in an environment of Python 3.10 that `bench/peers.py` makes, or that ``--peer-python`` or
HANSE_SECRETFLOW_PYTHON names.
``plain_*`` is our own boosting with all columns in one place. Bytes are those of all messages, without frame heads;
peak memory is that of all parties together, with the data. ``--masked``: the form for people, with three seats.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Fault
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


def boosting(rows: int, columns: int, settings: Settings, repeats: int) -> dict[str, Any]:
    """Ours, and our own in one place."""
    x, y = made(rows, columns)
    guest, host = parties_of(x)
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        model = fit(guest, y, [host], settings)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    out: dict[str, Any] = {
        "wall_s": statistics.median(walls),
        "cpu_s": statistics.median(cpus),
        "bytes": sum(model.bytes.values()),
        "peak_rss_mib": peak,
        "columns": [columns, columns],
        "trees": settings.trees,
        "depth": settings.depth,
        "masked": settings.masked,
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "walls_s": walls,
        "wall_s_per_tree": statistics.median(walls) / settings.trees,
        "bytes_by_kind": model.bytes,
    }
    begun = time.perf_counter()
    out["auc"] = auc(y, model.predict(guest, [host]))
    out["scoring_s"] = time.perf_counter() - begun
    together = Rows("all", guest.keys, {f"x{i}": c for i, c in enumerate(x)}, personal=False)
    begun = time.perf_counter()
    pooled = fit(together, y, [], settings)
    out["plain_s"] = time.perf_counter() - begun
    out["plain_auc"] = auc(y, pooled.predict(together))
    out["alone_auc"] = auc(y, fit(guest, y, [], settings).predict(guest))
    return out


def warm(columns: int, settings: Settings) -> None:
    """Compile kernels, once a machine, or load them."""
    x, y = made(4_000, columns)
    guest, host = parties_of(x)
    fit(guest, y, [host], replace(settings, trees=1))


def lightgbm(x: F64, y: F64, settings: Settings, repeats: int) -> dict[str, float]:
    """LightGBM's seconds and AUC, in a process and an environment of its own."""
    asked = {
        "num_iterations": settings.trees,
        "max_depth": settings.depth,
        "num_leaves": 1 << settings.depth,
        "learning_rate": settings.learning_rate,
        "max_bin": settings.bins,
        "lambda_l2": settings.l2,
        "min_data_in_leaf": settings.minimum_rows,
        "repeats": repeats,
    }
    said = _peer(ensure("lightgbm"), "peer_lightgbm.py", x, y, asked)
    return {
        "plaintext_s": said["wall_s"],
        "plaintext_cpu_s": said["cpu_s"],
        "plaintext_auc": auc(y, np.asarray(said["scores"], np.float64)),
    }


def sgb(x: F64, y: F64, settings: Settings, python: str) -> dict[str, float]:
    """SecretFlow's seconds and AUC for the same trees."""
    asked = {
        "num_boost_round": settings.trees,
        "max_depth": settings.depth,
        "learning_rate": settings.learning_rate,
        "reg_lambda": settings.l2,
        "sketch_eps": 1 / settings.bins,
    }
    said = _peer(Path(python), "peer_sgb.py", x, y, asked)
    return {
        "peer_s": said["wall_s"],
        "peer_cpu_s": said["cpu_s"],
        "peer_peak_rss_mib": said["peak_rss_mib"],
        "peer_auc": auc(y, np.asarray(said["scores"], np.float64)),
    }


def _peer(python: Path, script: str, x: F64, y: F64, asked: dict[str, Any]) -> dict[str, Any]:
    """What a script in another environment says last, given rows and settings."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npz"
        np.savez(path, x=x.T, y=y)
        command = [str(python), str(HERE / script), str(path), json.dumps(asked)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    if ran.returncode != 0 or not ran.stdout.strip():
        raise Fault("peer.run", f"{script} ended with {ran.returncode}: {ran.stderr[-400:]}",
                    remedy="run it by hand with its environment")  # fmt: skip
    said: dict[str, Any] = json.loads(ran.stdout.strip().splitlines()[-1])
    return said


def arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of this task."""
    parser.add_argument("--columns", type=int, default=20, help="of each party")
    parser.add_argument("--trees", type=int, default=10)
    parser.add_argument("--depth", type=int, default=5)
    parser.add_argument("--bins", type=int, default=32)
    parser.add_argument(
        "--masked", action="store_true", help="three seats choose the splits on shares"
    )
    parser.add_argument(
        "--peer-python", default="", help="a Python in which secretflow-lite is installed"
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """The figures of `bench/learn.py`, and what is particular to boosting."""
    if args.peer not in ("sgb", "plaintext", "none"):
        raise Fault("peer.unknown", f"boosting is not measured beside {args.peer}",
                    remedy="use sgb, plaintext or none")  # fmt: skip
    python = args.peer_python or os.environ.get("HANSE_SECRETFLOW_PYTHON", "")
    if args.peer == "sgb" and not python:
        python = str(ensure("secretflow"))
    settings = Settings(trees=args.trees, depth=args.depth, bins=args.bins, masked=args.masked)
    warm(args.columns, settings)
    out = boosting(args.rows, args.columns, settings, args.repeats)
    if args.peer == "none":
        out |= {"plaintext_auc": out["plain_auc"], "plaintext_s": out["plain_s"]}
        return out | {"plaintext_ratio": out["wall_s"] / out["plain_s"]}
    x, y = made(args.rows, args.columns)
    out |= lightgbm(x, y, settings, args.repeats)
    out["plaintext_ratio"] = out["wall_s"] / out["plaintext_s"]
    if args.peer == "sgb":
        out |= sgb(x, y, settings, python)
        out["peer_ratio"] = out["peer_s"] / out["wall_s"]
    return out
