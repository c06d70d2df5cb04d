"""The API under load: figures of places read by another process, with keys, quotas and metering on.

    python bench/serve.py [--places 10000] [--days 30] [--rate 500] [--seconds 20] [--json]

The node's API runs as ``hanse serve`` in a process of its own; a second process reads every place once, then asks
at a fixed rate, whether or not answers keep up (so waiting is measured, not hidden): random places, one day each.
Prints requests_per_s, p50_ms, p99_ms, errors, and what the server took (cpu_s, peak_rss_mib).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import random
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from hanse.clock import SystemClock
from hanse.entropy import SystemEntropy
from hanse.node.faces import facade
from hanse.node.products.consumers import Consumer
from hanse.node.products.publications import Figure

_CONNECTIONS = 16
_WARM_SECONDS = 2.0


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--places", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--rate", type=float, default=500.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hanse-serve-") as work:
        folder = Path(work) / "node"
        key = _node(folder, args.places, args.days)
        figures = _run(folder, key, args)
    if args.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:>16}  {value}")


def _node(folder: Path, places: int, days: int) -> str:
    """A node that has published; the key of a consumer."""
    facade.create_node(folder, "map-house", "A map company (bench)", None)
    last = date(2026, 11, 20)
    figures = [
        Figure(f"place-{p}", last - timedelta(days=d), 100.0 + p % 97, 80.0, 330.0, 0.93)
        for p in range(places)
        for d in range(days)
    ]
    about = {"title": "Crowd of places", "unit": "people a day", "contract": "", "synthetic": True}
    with facade.office_of(folder) as office:
        now = SystemClock().now()
        office.store.publications.publish("crowd", about, figures, now)
        consumer = Consumer("bench", ("crowds",), quota=10**12, rate=1e6)
        return office.store.consumers.add(consumer, SystemEntropy(), now)


def _run(folder: Path, key: str, args: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, "-m", "hanse.cli", "serve", "--node", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            said = server.stdout.readline() if server.stdout is not None else ""
            port = int(said.split("://")[1].split()[0].rstrip(")").split(":")[1])
            pool = multiprocessing.get_context("spawn").Pool(1)
            asked = (port, key, args.places, args.rate, args.seconds)
            waits, errors, seconds = pool.apply(_load, asked)
            pool.close()
            used = _used(server.pid)
        finally:
            server.terminate()
    waits.sort()

    def at(share: float) -> float:
        return (
            round(1000 * waits[min(len(waits) - 1, int(share * len(waits)))], 2)
            if waits
            else float("nan")
        )

    return {
        "requests_per_s": round(len(waits) / seconds, 1),
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
        "worst_ms": at(1.0),
        "errors": errors,
        "requests": len(waits),
        **used,
    }


def _used(process: int) -> dict[str, float]:
    """CPU seconds and peak memory of a running process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{process}/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return {
        "cpu_s": (int(fields[11]) + int(fields[12])) / 100,
        "peak_rss_mib": round(peak / 1024, 1),
    }


def _load(
    port: int, key: str, places: int, rate: float, seconds: float
) -> tuple[list[float], int, float]:
    """(waits in seconds, errors, seconds): in a process of its own."""
    return asyncio.run(_ask(port, key, places, rate, seconds))


async def _ask(
    port: int, key: str, places: int, rate: float, seconds: float
) -> tuple[list[float], int, float]:
    queue: asyncio.Queue[tuple[float, int] | None] = asyncio.Queue()
    waits: list[float] = []
    errors = [0]
    chance = random.Random(1)  # noqa: S311 - which place is asked
    begins = float("inf")

    async def worker() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (asked := await queue.get()) is not None:
            due, number = asked
            place = f"place-{number}"
            writer.write(
                f"GET /v1/crowds/crowd/places/{place}?first=2026-11-20 HTTP/1.1\r\nHost: localhost\r\n"
                f"Authorization: Bearer {key}\r\n\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            if due >= begins + _WARM_SECONDS:
                waits.append(time.perf_counter() - due)
                good = head.startswith(b"HTTP/1.1 200") and place.encode() in body
                errors[0] += not good
            queue.task_done()
        writer.close()

    workers = [asyncio.create_task(worker()) for _ in range(_CONNECTIONS)]
    for place in range(places):
        queue.put_nowait((0.0, place))
    await queue.join()
    begins = time.perf_counter() + 0.1
    for number in range(int(rate * (seconds + _WARM_SECONDS))):
        due = begins + number / rate
        if (pause := due - time.perf_counter()) > 0:
            await asyncio.sleep(pause)
        queue.put_nowait((due, chance.randrange(places)))
    for _ in workers:
        queue.put_nowait(None)
    await asyncio.gather(*workers)
    return waits, errors[0], seconds


if __name__ == "__main__":
    main()
