"""What SecretFlow's vertical models need, for the peers that train them: two parties, each a process of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import secretflow
from secretflow.data import FedNdarray, PartitionWay
from secretflow.device.driver import wait

PARTIES = ("guest", "host")  # the first has the labels
Document = dict[str, Any]


def _same(array: Any) -> Any:
    """What a party reads at home."""
    return array


def at_home(x: Any, y: Any, devices: dict[str, Any]) -> tuple[Any, ...]:
    """(columns, labels) as SecretFlow has them: each half of the columns at its party, labels at the first."""
    half = x.shape[1] // 2
    ends = {"guest": slice(0, half), "host": slice(half, 2 * half)}
    parts = {
        devices[name]: devices[name](_same)(np.ascontiguousarray(x[:, part]))
        for name, part in ends.items()
    }
    label = {devices["guest"]: devices["guest"](_same)(y.reshape(-1, 1))}
    wait([*parts.values(), *label.values()])
    return tuple(FedNdarray(each, partition_way=PartitionWay.VERTICAL) for each in (parts, label))


def started(me: str, ports: list[int]) -> dict[str, Any]:
    """SecretFlow running as the party ``me``; both parties' devices. ``ports`` has one for each party."""
    addresses = {
        name: {"address": f"127.0.0.1:{port}"} for name, port in zip(PARTIES, ports, strict=True)
    }
    secretflow.init(
        cluster_config={"parties": addresses, "self_party": me},
        ray_mode=False,
        logging_level="error",
        cross_silo_comm_backend="brpc_link",
    )
    return {name: secretflow.PYU(name) for name in PARTIES}


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    found = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return found


def run(
    first: Callable[[str, Document, list[int]], Document],
    second: Callable[[str, Document, list[int]], None],
    ports: int,
    afterwards: Callable[[str, Document], Document] = lambda _file, found: found,
) -> None:
    """The main of both: ``file settings`` starts the other as ``file settings ports``, and prints what was found.

    ``first`` and ``second`` get the file of data, the settings and the ports; ``afterwards`` gets file and finding
    when both have ended.
    """
    file, asked = sys.argv[1], json.loads(sys.argv[2])
    if len(sys.argv) > 3:
        second(file, asked, json.loads(sys.argv[3]))
        os._exit(0)  # its threads do not always end
    chosen = free_ports(ports)
    other = subprocess.Popen([sys.executable, sys.argv[0], file, json.dumps(asked), json.dumps(chosen)],
                             stdout=sys.stderr)  # fmt: skip
    try:
        found = first(file, asked, chosen)
    finally:
        other.wait(60)
    sys.stdout.write(json.dumps(afterwards(file, found)) + "\n")
    sys.stdout.flush()
    os._exit(0)
