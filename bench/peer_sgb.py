"""SecretFlow's SGB (vertical boosting under OU-2048), run in its own environment by `bench/learn.py`; prints JSON.

Each party is a process of its own on loopback without TLS (the second is started here). The clock starts with
columns at their parties and libraries loaded, and stops with the model. One small training before it loads what is
loaded lazily.
"""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import secretflow
from secretflow.device.driver import reveal, wait
from secretflow.ml.boost.sgb_v import Sgb

from peer_secretflow import PARTIES, at_home, run, started

KEYS = {
    "mode": "PHEU",
    "sk_keeper": {"party": "guest"},
    "evaluators": [{"party": "host"}],
    "he_parameters": {"schema": "ou", "key_pair": {"generate": {"bit_size": 2048}}},
}


def train(file: str, asked: dict[str, Any], me: str, ports: list[int]) -> tuple[float, float, Any]:
    """One party's run; (seconds, CPU seconds, scores)."""
    read = np.load(file)
    x, y = read["x"], read["y"]
    devices = started(me, ports)
    heu = secretflow.HEU(KEYS, "FM128")
    settings = {
        "objective": "logistic",
        "gamma": 0.0,
        "first_tree_with_label_holder_feature": False,
    }
    settings |= asked
    small = min(2_000, x.shape[0])
    Sgb(heu).train(settings | {"num_boost_round": 1}, *at_home(x[:small], y[:small], devices))
    rows, labels = at_home(x, y, devices)
    begun, spent = time.perf_counter(), time.process_time()
    model = Sgb(heu).train(settings, rows, labels)
    few = model.predict(at_home(x[:small], y[:small], devices)[0])
    wait(few)  # calls are not waited for by themselves: the last tree is there when it can be used
    wall, cpu = time.perf_counter() - begun, time.process_time() - spent
    scores = np.asarray(reveal(model.predict(rows))).reshape(-1)
    secretflow.shutdown()
    return wall, cpu, scores


def host(file: str, asked: dict[str, Any], ports: list[int]) -> None:
    _, cpu, _ = train(file, asked, PARTIES[1], ports)
    Path(file).with_suffix(".cpu").write_text(str(cpu))


def guest(file: str, asked: dict[str, Any], ports: list[int]) -> dict[str, Any]:
    wall, cpu, scores = train(file, asked, PARTIES[0], ports)
    return {"wall_s": wall, "cpu_s": cpu, "scores": scores.tolist()}


def both(file: str, found: dict[str, Any]) -> dict[str, Any]:
    """With the host's part, once it has ended."""
    peak = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    cpu = found["cpu_s"] + float(Path(file).with_suffix(".cpu").read_text())
    return found | {"cpu_s": cpu, "peak_rss_mib": peak / 1024}


if __name__ == "__main__":
    run(guest, host, ports=2, afterwards=both)
