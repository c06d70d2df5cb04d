"""SecretFlow's SS-LR or SS-GLM (vertical, SEMI2K over 64 bits), run in its own environment by `bench/learn_glm.py`;
prints JSON.

Each party is a process of its own on loopback without TLS (the second is started here). The clock starts with
columns at their parties, rows aligned and libraries loaded, and stops with the weights; a small training before it
loads what is loaded lazily. SS-LR as in its documentation: batches of 1,024 rows, a learning rate of 0.1.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import secretflow
from secretflow.data import FedNdarray, PartitionWay
from secretflow.device.driver import reveal, wait
from secretflow.ml.linear import SSGLM, SSRegression

PARTIES = ("guest", "host")


def same(array: Any) -> Any:
    """What a party reads at home."""
    return array


def at_home(x: Any, y: Any, devices: Any) -> Any:
    """(columns, labels) as SecretFlow has them: each half of the columns at its party, labels at the first."""
    half = x.shape[1] // 2
    ends = {"guest": slice(0, half), "host": slice(half, 2 * half)}
    parts = {
        devices[name]: devices[name](same)(np.ascontiguousarray(x[:, part]))
        for name, part in ends.items()
    }
    label = {devices["guest"]: devices["guest"](same)(y.reshape(-1, 1))}
    wait([*parts.values(), *label.values()])
    return tuple(FedNdarray(each, partition_way=PartitionWay.VERTICAL) for each in (parts, label))


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
    addresses = {
        name: {"address": f"127.0.0.1:{port}"}
        for name, port in zip(PARTIES, ports[:2], strict=True)
    }
    secretflow.init(
        cluster_config={"parties": addresses, "self_party": me},
        ray_mode=False,
        logging_level="error",
        cross_silo_comm_backend="brpc_link",
    )
    devices = {name: secretflow.PYU(name) for name in PARTIES}
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


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    found = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return found


def main() -> None:
    file, asked = sys.argv[1], json.loads(sys.argv[2])
    if len(sys.argv) > 3:
        train(file, asked, PARTIES[1], json.loads(sys.argv[3]))
        return
    ports = free_ports(4)
    other = subprocess.Popen([sys.executable, __file__, file, json.dumps(asked), json.dumps(ports)],
                             stdout=sys.stderr)  # fmt: skip
    try:
        wall, size, scores = train(file, asked, PARTIES[0], ports)
    finally:
        other.wait(60)
    found = {"wall_s": wall, "bytes": size, "peak_rss_mib": peak_mib(), "scores": scores.tolist()}
    print(json.dumps(found), flush=True)
    os._exit(0)  # its threads do not always end


if __name__ == "__main__":
    main()
