"""Horizontal learning by the clock, for `bench/learn.py`: what secure sums cost, beside Flower's plain rounds.

1. Training: a logistic model over ``--rows`` rows at three parties, exact Newton steps on summed derivatives
   (``--method average`` or ``boosting`` for the others), beside the same with all rows in one place. ``wall_s``,
   ``cpu_s``, ``bytes``, ``auc`` are of this; the AUC is on 30 % of the rows, held out.
2. Rounds: three parties, ``--parameters`` numbers, no training. ``secure_round_s`` is one secure sum with its bound
   checked on shares, all seats and parties as threads of one process; ``plain_round_s`` adds the same vectors up in
   the open. ``overhead_s`` is the difference, and ``round_bytes`` all that was sent.
``--peer flower``: Flower's simulation on this machine, in an environment of its own (`bench/peers.py`, or
``--peer-python``), with clients that do no training: ``peer_s`` is its plain round, ``peer_ratio`` is peer_s /
overhead_s: above 1, secrecy costs less than Flower's round without it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Fault
from hanse.learn.horizontal import (
    Averaging,
    Home,
    Plan,
    SummingParty,
    SumPolicy,
    rehearse,
    together,
)

HERE = Path(__file__).resolve().parent
F64 = NDArray[np.float64]
PARTIES = ("one", "two", "three")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Flags of this task."""
    parser.add_argument("--features", type=int, default=20)
    parser.add_argument("--method", choices=["newton", "average", "boosting"], default="newton")
    parser.add_argument("--learner", choices=["glm", "network"], default="glm")
    parser.add_argument("--parameters", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5, help="of secure sums, and of the peer")
    parser.add_argument(
        "--width", type=int, choices=[32, 64], default=64, help="bits of a number on the wire"
    )
    parser.add_argument(
        "--peer-python", default="", help="a Python in which flwr[simulation] is installed"
    )


def homes(rows: int, features: int, seed: int = 2026) -> list[Home]:
    """Three parties of different sizes and populations; the label hangs on all columns and one product."""
    random = np.random.default_rng(seed)
    weights = random.standard_normal(features) / np.sqrt(features)
    out = []
    for party, share, shift in zip(PARTIES, (0.5, 0.3, 0.2), (0.0, 0.3, -0.3), strict=True):
        count = max(50, round(rows * share))
        x = random.standard_normal((count, features)) + shift
        truth = 1.5 * x @ weights + 0.5 * x[:, 0] * x[:, 1 % features]
        y = (random.random(count) < 1 / (1 + np.exp(-truth))).astype(np.float64)
        columns = tuple(f"x{i}" for i in range(features))
        out.append(Home(party, columns, x, y, random.random(count) < 0.3))
    return out


def secure_rounds(parameters: int, rounds: int, width: int) -> tuple[float, int, float]:
    """(seconds of a secure sum, bytes sent for it, largest error of an element)."""
    random = np.random.default_rng(1)
    vectors = [random.standard_normal(parameters) / np.sqrt(parameters) for _ in PARTIES]
    expected = vectors[0] + vectors[1] + vectors[2]

    def work(number: int) -> Callable[[SummingParty], tuple[list[float], float]]:
        def play(party: SummingParty) -> tuple[list[float], float]:
            took = []
            off = 0.0
            for turn in range(rounds + 1):
                begun = time.perf_counter()
                told = party.sum(f"update.{turn}", vectors[number], norm=1.5, width=width)
                took.append(time.perf_counter() - begun)
                off = max(off, float(np.abs(told.values - expected).max()))
            return took[1:], off  # the first one compiles

        return play

    played = together([work(n) for n in range(3)], SumPolicy(PARTIES), seed="bench")
    found = [result for result in played.results if result is not None]
    return (
        statistics.median(found[0][0]), played.bytes // (rounds + 1), max(off for _, off in found)
    )  # fmt: skip


def plain_round(parameters: int, rounds: int) -> float:
    """Seconds to add three vectors up and hand each party a copy."""
    random = np.random.default_rng(1)
    vectors = [random.standard_normal(parameters) for _ in PARTIES]
    took = []
    for _ in range(rounds):
        begun = time.perf_counter()
        total = sum(vector.copy() for vector in vectors)
        copies = [np.array(total) for _ in PARTIES]
        took.append(time.perf_counter() - begun)
        del copies
    return statistics.median(took)


def flower(python: str, parameters: int, rounds: int) -> dict[str, Any]:
    """What Flower's process printed."""
    if not python:
        from peers import ensure  # noqa: PLC0415

        python = str(ensure("flower"))
    command = [python, str(HERE / "peer_flower.py"), str(parameters), "3", str(rounds + 1)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in ran.stdout.splitlines() if line.startswith("{")]
    if ran.returncode or not lines:
        raise Fault("peer.failed", "Flower's run ended without figures",
                    remedy="run bench/peer_flower.py by itself",
                    detail=ran.stderr[-2000:])  # fmt: skip
    told: dict[str, Any] = json.loads(lines[-1])
    return told


def run(args: argparse.Namespace) -> dict[str, Any]:
    """See the module."""
    given = homes(args.rows, args.features)
    plan = Plan(PARTIES, method=args.method, learner=args.learner, averaging=Averaging(rounds=10))
    rehearse(homes(1000, args.features), plan)  # compiles
    walls, cpus, outcome = [], [], None
    for turn in range(getattr(args, "repeats", 1)):
        cpu = time.process_time()
        outcome = rehearse(given, replace(plan, seed=turn))
        cpus.append(time.process_time() - cpu)
        walls.append(outcome.wall_s)
    if outcome is None:
        raise Fault("bench.repeats", "there is nothing to run")
    secure, sent, off = secure_rounds(args.parameters, args.rounds, args.width)
    narrow, narrow_sent, _ = secure_rounds(args.parameters, args.rounds, 32)
    plain = plain_round(args.parameters, args.rounds)
    wall = statistics.median(walls)
    out: dict[str, Any] = {
        "wall_s": wall, "cpu_s": statistics.median(cpus), "bytes": outcome.bytes,
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "auc": outcome.metrics["auc"], "plaintext_auc": outcome.plaintext["auc"],
        "alone_auc": outcome.alone["auc"], "ensemble_auc": outcome.ensemble["auc"],
        "plaintext_s": outcome.plaintext_s, "plaintext_ratio": wall / outcome.plaintext_s,
        "method": args.method, "parameters": args.parameters, "width": args.width,
        "secure_round_s": secure, "plain_round_s": plain, "overhead_s": secure - plain, "round_bytes": sent,
        "secure_round_32_s": narrow, "round_32_bytes": narrow_sent, "largest_error": off,
        "cores": os.cpu_count(), "load": os.getloadavg()[0],
    }  # fmt: skip
    if args.peer == "flower":
        told = flower(
            args.peer_python or os.environ.get("HANSE_FLOWER_PYTHON", ""),
            args.parameters,
            args.rounds,
        )
        out |= {"peer_s": told["round_s"], "peer_ratio": told["round_s"] / max(1e-9, secure - plain),
                "peer_whole_s": told["whole_s"], "peer_bytes": told["bytes"]}  # fmt: skip
    return out
