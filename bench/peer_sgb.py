"""SecretFlow's SGB (vertical boosting under OU-2048), run in its own environment by `bench/learn.py`; prints JSON.

Each party is a process of its own on loopback without TLS (the second is started here). The clock starts with
columns at their parties and libraries loaded, and stops with the model. One small training before it loads what is
loaded lazily.
"""

from __future__ import annotations

import json
import os
import resource
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
from secretflow.ml.boost.sgb_v import Sgb

PARTIES = ("guest", "host")
KEYS = {
    "mode": "PHEU",
    "sk_keeper": {"party": "guest"},
    "evaluators": [{"party": "host"}],
    "he_parameters": {"schema": "ou", "key_pair": {"generate": {"bit_size": 2048}}},
}


def same(array: Any) -> Any:
    """What a party reads at home."""
    return array


def at_home(x: Any, y: Any, devices: dict[str, Any]) -> tuple[Any, ...]:
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


def train(file: str, asked: dict[str, Any], me: str, ports: list[int]) -> tuple[float, float, Any]:
    """One party's run; (seconds, CPU seconds, scores)."""
    read = np.load(file)
    x, y = read["x"], read["y"]
    addresses = {
        name: {"address": f"127.0.0.1:{port}"} for name, port in zip(PARTIES, ports, strict=True)
    }
    secretflow.init(
        cluster_config={"parties": addresses, "self_party": me},
        ray_mode=False,
        logging_level="error",
        cross_silo_comm_backend="brpc_link",
    )
    devices = {name: secretflow.PYU(name) for name in PARTIES}
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
        _, cpu, _ = train(file, asked, PARTIES[1], json.loads(sys.argv[3]))
        Path(file).with_suffix(".cpu").write_text(str(cpu))
        os._exit(0)
    ports = free_ports(2)
    other = subprocess.Popen([sys.executable, __file__, file, json.dumps(asked), json.dumps(ports)],
                             stdout=sys.stderr)  # fmt: skip
    try:
        wall, cpu, scores = train(file, asked, PARTIES[0], ports)
    finally:
        other.wait(60)
    cpu += float(Path(file).with_suffix(".cpu").read_text())
    peak = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(
        json.dumps(
            {"wall_s": wall, "cpu_s": cpu, "peak_rss_mib": peak / 1024, "scores": scores.tolist()}
        ),
        flush=True,
    )
    os._exit(0)  # its threads do not always end


if __name__ == "__main__":
    main()
