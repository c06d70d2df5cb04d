"""A wide-area network on one machine: each node in a network namespace of its own, behind a shaped link.

Needs root, iproute2 and the kernel's veth, bridge and tbf. Each node's link is limited to the given rate in both
directions. The delay is added by `relay.py` in the dialling node's namespace (netem is missing from many kernels):
half the round trip each way.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

RELAY = Path(__file__).resolve().parent / "relay.py"
PORT = 7470


@dataclass(frozen=True)
class Host:
    """Where a node lives: the words before its command, and its address."""

    prefix: tuple[str, ...]
    address: tuple[str, int]
    routes: dict[str, tuple[str, int]]  # where to dial the others, so that the delay applies


def possible() -> bool:
    """Whether namespaces can be made here."""
    return os.geteuid() == 0 and shutil.which("ip") is not None and shutil.which("tc") is not None


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


@contextmanager
def shaped(names: Sequence[str], *, mbit: int = 100, rtt_ms: int = 20) -> Iterator[dict[str, Host]]:
    """Namespaces for ``names``, joined by a bridge; removed in the end."""
    tag = f"hb{os.getpid() % 100_000}"
    bridge = f"{tag}-br"
    relays: list[subprocess.Popen[bytes]] = []
    spaces = [bridge, *(f"{tag}-{i}" for i in range(len(names)))]
    try:
        _run("ip", "netns", "add", bridge)
        inside = ("ip", "netns", "exec", bridge)
        _run(*inside, "ip", "link", "add", "br0", "type", "bridge")
        _run(*inside, "ip", "link", "set", "br0", "up")
        hosts = {}
        for number, name in enumerate(names):
            space = spaces[number + 1]
            address = f"10.77.0.{number + 1}"
            _run("ip", "netns", "add", space)
            here = ("ip", "netns", "exec", space)
            _run(*here, "ip", "link", "set", "lo", "up")
            _run(*here, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", f"port{number}",
                 "netns", bridge)  # fmt: skip
            _run(*here, "ip", "addr", "add", f"{address}/24", "dev", "eth0")
            _run(*here, "ip", "link", "set", "eth0", "up")
            _run(*inside, "ip", "link", "set", f"port{number}", "master", "br0", "up")
            _shape(here, "eth0", mbit)
            _shape(inside, f"port{number}", mbit)
            routes = {other: ("127.0.0.1", 7500 + i) for i, other in enumerate(names)}
            hosts[name] = Host(here, (address, PORT), routes)
            words = [str(rtt_ms / 2)]
            for i in range(len(names)):
                words += [str(7500 + i), f"10.77.0.{i + 1}", str(PORT)]
            relays.append(subprocess.Popen([*here, sys.executable, str(RELAY), *words]))
        yield hosts
    finally:
        for relay in relays:
            relay.terminate()
            relay.wait()
        for space in spaces:
            subprocess.run(("ip", "netns", "del", space), check=False, capture_output=True)


def _shape(where: tuple[str, ...], device: str, mbit: int) -> None:
    """Limit what leaves ``device``; the queue holds a second's worth, so that TCP fills the link."""
    limit = mbit * 125_000
    _run(*where, "tc", "qdisc", "add", "dev", device, "root", "handle", "1:", "tbf", "rate",
         f"{mbit}mbit", "burst", "256kb", "limit", str(limit))  # fmt: skip
