"""One of three seats of our engine, for `bench/engine.py`: a process of its own, linked by mutual TLS.

    python bench/engine_seat.py FOLDER SEAT ROWS REPEATS NAME NAME NAME

Prints one JSON line: seconds per operation (medians, barrier to barrier), CPU seconds and bytes.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hanse.clock import SystemClock
from hanse.engine import Ring, Session, agree
from hanse.engine.compare import less_than, ring_bits
from hanse.engine.multiply import dot, matmul, multiply
from hanse.engine.reveal import open_bits, open_ring
from hanse.engine.slicing import values_of
from hanse.engine.warm import warm_up
from hanse.entropy import SystemEntropy
from hanse.node.config import load_config
from hanse.node.heap import keep_freed_memory
from hanse.node.identity.keys import load_identity
from hanse.node.identity.partners import Directory
from hanse.node.storage.store import open_store
from hanse.node.transport.exchange import Exchange

MATRIX_ROWS, MATRIX_COLUMNS = 100_000, 100
WINDOW = 7 * 86_400


def operands(rows: int) -> dict[str, np.ndarray[Any, Any]]:
    """The inputs that the peer gets too: amounts, times within a month, a matrix and its vector."""
    draw = np.random.default_rng(2017)

    def below(limit: int, *shape: int) -> np.ndarray[Any, Any]:
        return draw.integers(0, limit, shape, dtype=np.int64).view(np.uint64)

    return {
        "a": below(1_000, rows),
        "b": below(1_000, rows),
        "first": below(1 << 21, rows),
        "second": below(1 << 21, rows),
        "matrix": below(1_000, min(rows, MATRIX_ROWS), MATRIX_COLUMNS),
        "vector": below(1_000, MATRIX_COLUMNS, 1),
    }


def funnel_sum(s: Session, a: Ring, b: Ring, first: Ring, second: Ring) -> Ring:
    """sum(a * b * (second - first < WINDOW))."""
    product = multiply(s, a, b, "ab")
    limit = s.public_ring(WINDOW)
    within = ring_bits(s, less_than(s, second - first, limit, "within"), "bit")
    return dot(s, product.reshape(1, -1), within.reshape(1, -1), "sum")


def check(s: Session, plain: dict[str, Any], shares: dict[str, Ring]) -> None:
    """Every operation once, opened and compared with numpy (outside the clock)."""
    a, b, first, second = (plain[n] for n in ("a", "b", "first", "second"))
    within = (second - first).view(np.int64) < WINDOW
    exact = {
        "multiply": a * b,
        "funnel_sum": np.array([(a * b * within).sum()], np.uint64),
        "matmul": plain["matrix"] @ plain["vector"],
    }
    for name, value in exact.items():
        opened = open_ring(s, OPERATIONS[name](s, shares), f"check.{name}")
        if not np.array_equal(opened, value):
            raise SystemExit(f"{name} differs from the plain result")
    less = OPERATIONS["less_than"](s, shares).reshape(1, -1)
    opened = values_of(open_bits(s, less, "check.less"), a.size)
    if not np.array_equal(opened, first.view(np.int64) < second.view(np.int64)):
        raise SystemExit("less_than differs from the plain result")


OPERATIONS: dict[str, Callable[[Session, dict[str, Ring]], Any]] = {
    "multiply": lambda s, x: multiply(s, x["a"], x["b"]),
    "less_than": lambda s, x: less_than(s, x["first"], x["second"]),
    "funnel_sum": lambda s, x: funnel_sum(s, x["a"], x["b"], x["first"], x["second"]),
    "matmul": lambda s, x: matmul(s, x["matrix"], x["vector"]),
}


def barrier(s: Session, name: str) -> None:
    s.check_equal(name, b"", "barriers")


def measured(s: Session, shares: dict[str, Ring], repeats: int) -> dict[str, dict[str, float]]:
    out = {}
    for name, operation in OPERATIONS.items():
        walls, cpus, sent = [], [], 0
        for repeat in range(repeats + 1):  # the first run warms up
            part = s.fork(f"{name}.{repeat}")
            barrier(part, "begin")
            before, cpu, start = part.meter.bytes, time.process_time(), time.perf_counter()
            operation(part, shares)
            barrier(part, "end")
            if repeat:
                walls.append(time.perf_counter() - start)
                cpus.append(time.process_time() - cpu)
                sent = part.meter.bytes - before
        out[name] = {
            "wall_s": statistics.median(walls),
            "cpu_s": statistics.median(cpus),
            "bytes": sent,
        }
    return out


def main() -> None:
    folder, seat, rows, repeats = (
        Path(sys.argv[1]),
        int(sys.argv[2]),
        int(sys.argv[3]),
        int(sys.argv[4]),
    )
    keep_freed_memory()
    warm_up()
    config = load_config(folder)
    identity = load_identity(folder, clock=SystemClock())
    store = open_store(config)
    directory = Directory(store.partners.all())
    listen = (config.listen.host, config.listen.port) if config.listen else None
    with Exchange(identity, directory, listen=listen) as exchange:
        for partner in directory.all():
            exchange.wait_for(partner.name, 60)
        roles = [(f"seat {i}", name) for i, name in enumerate(sys.argv[5:8])]
        ends = exchange.open_stream(b"engine-benchmark", roles, [seat])
        s = agree(ends.channel(seat), seat, SystemEntropy(), b"bench")
        plain = operands(rows)
        shares = {
            name: Ring(*s.input_from(0, name, value if seat == 0 else None, value.shape, xor=False))
            for name, value in plain.items()
        }
        check(s.fork("check"), plain, shares)
        print(json.dumps(measured(s, shares, repeats)), flush=True)
        barrier(s, "bye")
        time.sleep(0.2)


if __name__ == "__main__":
    main()
