"""A logistic model over two parties' columns, by the clock, beside SecretFlow and beside plaintext.

    python bench/learn.py --task glm --rows 100000 --columns 20 --alignment open --peer sslr --json

Two parties with so many columns each, three seats, all in one process (a thread each). The clock starts with
columns at their parties, raw, and kernels compiled; it stops when both parties have their coefficients:
whitening, sharing, aligning are within it (with --alignment hidden the whole private join). The metrics on shares
come after it: ``all_s`` and ``all_bytes`` have them. ``plaintext``: the same model in one place, by Newton steps.
``sslr`` and ``ssglm``: SecretFlow's SS-LR (10 epochs) and SS-GLM (5 IRLS iterations), two processes on rows that
are aligned beforehand; a Python with ``secretflow-lite`` in it is named with --peer-python or the variable
HANSE_SECRETFLOW_PYTHON. Bytes are those of all messages, without frame heads; the peer's what passed the loopback.
``peak_rss_mib`` is of the whole process, all three seats and both parties, until the metrics are there; of it the
bench itself holds ``own_rss_mib``, the made-up rows. --batch-rows keeps shares in a file, so many rows in memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanse.errors import Refusal
from hanse.learn import rehearse, table_of
from hanse.learn.linear.plain import auc

HERE = Path(__file__).resolve().parent
F64 = NDArray[np.float64]
EPOCHS = {"sslr": 10, "ssglm": 5}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this task."""
    parser.add_argument("--columns", type=int, default=20, help="of each party")
    parser.add_argument("--alignment", choices=["hidden", "open"], default="open")
    parser.add_argument(
        "--model", default="logistic", choices=["logistic", "linear", "poisson", "gamma"]
    )
    parser.add_argument("--batch-rows", type=int, help="rows in memory at a time; all unless given")
    parser.add_argument("--peer-method", choices=sorted(EPOCHS), default="sslr")
    parser.add_argument(
        "--peer-python", default="", help="a Python in which secretflow-lite is installed"
    )


def made(rows: int, columns: int, model: str, seed: int = 2026) -> tuple[F64, F64]:
    """(values [rows, 2 * columns], labels): half of what matters is at either party."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((rows, 2 * columns))
    x[:, columns:] += 0.3 * x[:, :columns]
    eta = x @ random.standard_normal(2 * columns) / np.sqrt(2 * columns)
    label = {
        "logistic": lambda: (random.random(rows) < 1 / (1 + np.exp(-eta))).astype(np.float64),
        "linear": lambda: eta + random.standard_normal(rows),
        "poisson": lambda: random.poisson(np.exp(eta / 2)).astype(np.float64),
        "gamma": lambda: random.gamma(2.0, np.exp(eta / 2)),
    }
    return x, label[model]()


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Ours, plaintext and the peer, one after another."""
    x, y = made(args.rows, args.columns, args.model)
    ids = np.arange(args.rows)
    halves = {"guest": slice(0, args.columns), "host": slice(args.columns, 2 * args.columns)}
    tables = [
        table_of(
            pa.table({"id": ids, **({"y": y} if name == "guest" else {}),
                      **{f"{name}{i}": column for i, column in enumerate(x[:, part].T)}}),
            "id", "y" if name == "guest" else None, name, name,
        )
        for name, part in halves.items()
    ]  # fmt: skip
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    asked = {
        "holdout": 0.0,
        "alignment": args.alignment,
        "least_rows": 0,
        "batch_rows": args.batch_rows,
    }
    found = [rehearse(tables, args.model, **asked) for _ in range(args.repeats)]
    peak = max(f.peak_mib for f in found)
    ours = found[0]
    wall = statistics.median(f.trained_s for f in found)
    out: dict[str, Any] = {
        "wall_s": wall, "cpu_s": statistics.median(f.trained_cpu_s for f in found), "bytes": ours.trained_bytes,
        "peak_rss_mib": peak, "auc": ours.metrics.get("auc"),
        "plaintext_auc": ours.plaintext.get("auc"), "plaintext_s": ours.plaintext_s,
        "plaintext_ratio": wall / ours.plaintext_s, "columns": [args.columns] * 2,
        "alignment": args.alignment, "model": args.model, "iterations": ours.iterations,
        "settled": ours.settled, "coefficient_difference": ours.difference,
        "all_s": statistics.median(f.wall_s for f in found), "all_cpu_s": ours.cpu_s, "all_bytes": ours.bytes,
        "batch_rows": args.batch_rows, "own_rss_mib": own, "cores": os.cpu_count(), "load": os.getloadavg()[0],
    }  # fmt: skip
    if args.peer == "sslr":
        out |= secretflow(x, y, args.peer_method, args.peer_python)
        out["peer_ratio"] = out["peer_s"] / wall
    return out


def secretflow(x: F64, y: F64, method: str, python: str) -> dict[str, Any]:
    """SecretFlow's seconds, bytes and AUC, in two processes and an environment of its own."""
    python = python or os.environ.get("HANSE_SECRETFLOW_PYTHON", "")
    if not python:
        raise Refusal("bench.peer", "there is no Python with SecretFlow in it",
                      remedy="name one with --peer-python or HANSE_SECRETFLOW_PYTHON")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npz"
        np.savez(path, x=x, y=y)
        asked = json.dumps({"method": method, "epochs": EPOCHS[method]})
        command = [python, str(HERE / "peer_sslr.py"), str(path), asked]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
    said = json.loads(ran.stdout.splitlines()[-1])
    return {
        "peer_s": said["wall_s"], "peer_bytes": said["bytes"], "peer_method": method,
        "peer_peak_rss_mib": said["peak_rss_mib"],
        "peer_auc": auc(np.asarray(said["scores"], np.float64), y),
    }  # fmt: skip
