"""The engine's basic operations over so many rows, beside the same ones in SecretFlow's SPU (ABY3).

    python bench/engine.py --rows 1000000 --peer spu --json

Ours: three seat processes linked by mutual TLS. The peer: three processes without TLS. Both clocks run from
barrier to barrier, on inputs that are shared already; every result is checked against numpy outside the clock.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import peers
from federation import found
from hanse.clock import SystemClock
from hanse.node.config import load_config
from hanse.node.identity.partners import Partner
from hanse.node.storage.store import open_store

HERE = Path(__file__).resolve().parent
NAMES = ("seat-one", "seat-two", "seat-three")


def run_ours(rows: int, repeats: int) -> dict[str, dict[str, float]]:
    """The slowest seat's seconds, all seats' CPU seconds and bytes, per operation."""
    with tempfile.TemporaryDirectory(prefix="hanse-bench-") as text:
        federation = found(Path(text), NAMES)
        for member in federation.members.values():
            member.data.mkdir(exist_ok=True)
            store = open_store(load_config(member.folder))
            for other in federation.members.values():
                if other is not member:
                    store.partners.put(
                        Partner(other.identity.card, other.address), SystemClock().now()
                    )
            store.close()
        processes = [
            subprocess.Popen(
                [sys.executable, str(HERE / "engine_seat.py"), str(m.folder), str(seat), str(rows),
                 str(repeats), *NAMES],
                stdout=subprocess.PIPE, text=True,
            )
            for seat, m in enumerate(federation.members.values())
        ]  # fmt: skip
        outputs = [p.communicate()[0] for p in processes]
        if any(p.returncode for p in processes):
            raise SystemExit("a seat failed; see above")
    by_seat = [json.loads(text.strip().splitlines()[-1]) for text in outputs]
    return {
        name: {
            "wall_s": max(seat[name]["wall_s"] for seat in by_seat),
            "cpu_s": sum(seat[name]["cpu_s"] for seat in by_seat),
            "bytes": sum(seat[name]["bytes"] for seat in by_seat),
        }
        for name in peers.OPERATIONS
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--peer", choices=("spu", "none"), default="none")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--json", action="store_true", help="print the result as one JSON line (always done)"
    )
    arguments = parser.parse_args()
    ours = run_ours(arguments.rows, arguments.repeats)
    out: dict[str, Any] = {"rows": arguments.rows, "peer": arguments.peer}
    theirs = peers.run_engine(arguments.rows, 3).operations if arguments.peer == "spu" else {}
    for name, measured in ours.items():
        out[f"{name}_s"] = measured["wall_s"]
        out[f"{name}_cpu_s"] = measured["cpu_s"]
        out[f"{name}_bytes"] = measured["bytes"]
        peer = theirs.get(name)
        out[f"{name}_s_peer"] = peer.wall_s if peer else None
        out[f"{name}_cpu_s_peer"] = peer.cpu_s if peer else None
        out[f"{name}_s_ratio"] = measured["wall_s"] / peer.wall_s if peer else None
    print(json.dumps(out))


if __name__ == "__main__":
    main()
