"""SecretFlow's SS-LR or SS-GLM (vertical, SEMI2K over 64 bits), run in its own environment by `bench/learn_glm.py`;
prints JSON.

Each party is a process of its own on loopback without TLS (the second is started here). The clock starts with
columns at their parties, rows aligned and libraries loaded, and stops with the weights; a small training before it
loads what is loaded lazily. SS-LR as in its documentation: batches of 1,024 rows, a learning rate of 0.1.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import secretflow
from secretflow.device.driver import reveal, wait
from secretflow.ml.linear import SSGLM, SSRegression

from peer_secretflow import PARTIES, at_home, run, started


def fitted(spu: Any, rows: Any, labels: Any, asked: dict[str, Any]) -> Any:
    """A trained model; its weights are there when this returns."""
    if asked["method"] == "sslr":
        model = SSRegression(spu)
        model.fit(rows, labels, asked["epochs"], learning_rate=0.1, batch_size=1024, eps=0.0)
        wait(model.spu_w)
    else:
        model = SSGLM(spu)
        model.fit_irls(
            rows, labels, None, None, asked["epochs"], "Logit", "Bernoulli", 1, 1, l2_lambda=1e-3
        )
        wait(model.spu_w)
    return model


def sent() -> int:
    """Bytes that left this machine's loopback so far, other processes' too."""
    with Path("/proc/net/dev").open() as table:
        line = next(line for line in table if line.strip().startswith("lo:"))
    return int(line.split(":")[1].split()[8])


def peak_mib() -> float:
    """Of this party since it was started: what getrusage says is its parent's where that was larger."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) / 1024


def train(file: str, asked: dict[str, Any], me: str, ports: list[int]) -> tuple[float, int, Any]:
    """One party's run; (seconds, bytes, scores)."""
    read = np.load(file)
    x, y = read["x"], read["y"]
    devices = started(me, ports[:2])
    nodes = [
        {"party": name, "address": f"127.0.0.1:{port}"}
        for name, port in zip(PARTIES, ports[2:], strict=True)
    ]
    spu = secretflow.SPU(
        {"nodes": nodes, "runtime_config": {"protocol": "SEMI2K", "field": "FM64"}}
    )
    small = min(2_000, x.shape[0])
    first_rows, first_labels = at_home(x[:small], y[:small], devices)
    fitted(spu, first_rows, first_labels, asked | {"epochs": 1})
    rows, labels = at_home(x, y, devices)
    before, begun = sent(), time.perf_counter()
    model = fitted(spu, rows, labels, asked)
    wall, size = time.perf_counter() - begun, sent() - before
    scores = np.asarray(reveal(model.predict(rows))).reshape(-1)
    secretflow.shutdown()
    return wall, size, scores


def host(file: str, asked: dict[str, Any], ports: list[int]) -> None:
    train(file, asked, PARTIES[1], ports)


def guest(file: str, asked: dict[str, Any], ports: list[int]) -> dict[str, Any]:
    wall, size, scores = train(file, asked, PARTIES[0], ports)
    return {"wall_s": wall, "bytes": size, "peak_rss_mib": peak_mib(), "scores": scores.tolist()}


if __name__ == "__main__":
    run(guest, host, ports=4)
