"""A two-stage funnel over N providers of so many people each, half of them shared, beside a peer's PSI.

    python bench/join.py --rows 1000000 --providers 2 --peer rr22 --json

Providers and the three seats are separate node processes, linked by mutual TLS. The clock starts with nodes
running and files unread and ends with the result at the asking node. We reveal a noised count of people per
stage; the peers reveal the intersection itself to one party.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

import peers
import wan
from federation import Federation, Member, found, running, set_up
from hanse.contracts import Contract
from hanse.gate.release import noise_sd

STAGES = ("seen", "bought", "returned")
SEATS = ("seat-one", "seat-two", "seat-three")
EPSILON = 1.0
WAN_ROWS = 1_000_000
MINUTES = 43_200  # thirty days


def provider_names(count: int) -> list[str]:
    return [f"provider-{i + 1}" for i in range(count)]


def write_events(folder: Path, ids: list[Path], form: str) -> list[Path]:
    """One event per person, at a random minute of thirty days, beside each file of ids."""
    files = []
    random = np.random.default_rng(7)
    start = np.datetime64("2026-01-01T00:00", "m")
    for number, path in enumerate(ids):
        table = pacsv.read_csv(
            path, convert_options=pacsv.ConvertOptions(column_types={"id": pa.string()})
        )
        minutes = random.integers(0, MINUTES, table.num_rows)
        table = table.append_column("at", pa.array((start + minutes).astype("datetime64[s]")))
        file = folder / f"events-{number + 1}.{form}"
        if form == "parquet":
            pq.write_table(table, file)
        else:
            pacsv.write_csv(table, file)
        files.append(file)
    return files


def contract_of(federation: Federation, providers: list[str], capacity: int) -> Contract:
    members = federation.members
    datasets = [
        {
            "name": f"events-{i + 1}", "provider": name, "capacity": capacity, "slots": 1,
            "personal": True, "legal_basis": "consent", "evidence": "made-up people",
            "columns": [{"name": "at", "kind": "time", "uses": ["order"]}],
        }
        for i, name in enumerate(providers)
    ]  # fmt: skip
    return Contract.from_fields(
        {
            "format": 1, "id": "bench-join", "version": 1, "title": "Benchmark", "purpose": "Benchmark",
            "starts": date(2026, 1, 1), "expires": date(2100, 1, 1), "maximum_jobs": 1000,
            "seats": list(SEATS), "independence": "Processes of one benchmark.", "retention_days": 1,
            "join": {"id_type": "number", "hash": "sha256", "epsilon": 0.1,
                     "delta": min(1e-8, 0.1 / capacity), "epsilon_budget": 100.0},
            "privacy": {"k": 100, "epsilon_per_query": 2.0, "epsilon_budget": 1000.0, "delta": 1e-8,
                        "period": "contract", "similar_questions": 1000},
            "parties": [
                {"name": m.name, "organisation": m.identity.organisation,
                 "signing_key": m.identity.card.signing_key, "certificate": m.identity.card.fingerprint}
                for m in members.values()
            ],
            "datasets": datasets,
            "computations": [{"name": "funnel", "recipients": [providers[0]],
                              "datasets": [d["name"] for d in datasets]}],
        }
    )  # fmt: skip


def registration(number: int, file: Path) -> dict[str, Any]:
    return {
        "name": f"events-{number + 1}", "source": {"path": str(file)},
        "ids": [{"column": "id", "type": "number"}],
        "columns": [{"name": "at", "column": "at", "kind": "time"}],
        "classification": "personal", "description": "Made-up events.", "legal_basis": "consent",
        "evidence": "made-up people",
    }  # fmt: skip


def question(providers: int, attempt: int) -> dict[str, Any]:
    stages = [
        {"name": STAGES[i], "any_of": [{"dataset": f"events-{i + 1}"}]} | ({"within_days": 7} if i else {})
        for i in range(providers)
    ]  # fmt: skip
    # A different first name per attempt, or the recorded answer would come back.
    stages[0]["name"] = f"seen {attempt}"
    return {
        "contract": "bench-join", "computation": "funnel", "epsilon": EPSILON, "attempt": attempt,
        "parameters": {"stages": stages, "starts": "2026-01-01", "ends": "2026-01-31"},
    }  # fmt: skip


def warm_mib(rows: int) -> int:
    """What a seat needs for a job of this size: a node in service has it already."""
    return min(4096, rows * 640 // (1 << 20))


def measure(federation: Federation, asking: Member, providers: int, attempt: int) -> dict[str, Any]:
    cpu, start = federation.cpu_s(), time.perf_counter()
    answer = asking.ask({"verb": "run", "question": question(providers, attempt)})
    wall = time.perf_counter() - start
    rows = answer["result"]["rows"]
    return {"wall_s": wall, "cpu_s": federation.cpu_s() - cpu, "job": answer["job"],
            "matches": rows[-1]["people"], "people": [r["people"] for r in rows]}  # fmt: skip


def expected(files: list[Path], form: str) -> list[int]:
    """The exact counts of the funnel, in numpy."""
    reached: dict[str, int] | None = None
    counts = []
    for file in files:
        table = pq.read_table(file) if form == "parquet" else pacsv.read_csv(
            file, convert_options=pacsv.ConvertOptions(column_types={"id": pa.string()}))  # fmt: skip
        minutes = np.asarray(table["at"]).astype("datetime64[m]").astype(np.int64)
        events = dict(zip(table["id"].to_pylist(), minutes.tolist(), strict=True))
        if reached is not None:
            events = {
                k: t for k, t in events.items() if k in reached and 0 <= t - reached[k] <= 7 * 1440
            }  # fmt: skip
        counts.append(len(events))
        reached = events
    return counts


def seat_bytes(federation: Federation, job: str) -> int:
    """Bytes that the busiest seat sent in the protocol."""
    most = 0
    for name in SEATS:
        answer = federation.members[name].ask({"verb": "facts", "job": job})
        most = max(most, int(answer["seat"]["bytes"]))
    return most


def over_wan(root: Path, names: list[str], rows: int, files: list[Path]) -> float:
    """Seconds of the same job when every node sits behind a 100 Mbit/s link with 20 ms round trip."""
    everybody = [*names, *SEATS]
    with wan.shaped(everybody) as hosts:
        federation = found(
            root / "wan", everybody, {n: h.address for n, h in hosts.items()},
            {n: h.prefix for n, h in hosts.items()},
        )  # fmt: skip
        contract = contract_of(federation, names, rows)
        datasets = {n: [registration(i, files[i])] for i, n in enumerate(names)}
        set_up(federation, contract, datasets, {n: h.routes for n, h in hosts.items()})
        with running(federation):
            asking = federation.members[names[0]]
            return float(measure(federation, asking, len(names), 1)["wall_s"])


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    names = provider_names(arguments.providers)
    with tempfile.TemporaryDirectory(prefix="hanse-bench-") as text:
        root = Path(text)
        ids = peers.write_ids(root, arguments.rows, arguments.providers)
        files = write_events(root, ids, arguments.format)
        federation = found(root, [*names, *SEATS], warm_mib=warm_mib(arguments.rows))
        contract = contract_of(federation, names, arguments.rows)
        set_up(federation, contract, {n: [registration(i, files[i])] for i, n in enumerate(names)})
        begun = time.perf_counter()
        with running(federation):
            start_up = time.perf_counter() - begun
            asking = federation.members[names[0]]
            runs, peer_runs = [], []
            for number in range(arguments.repeats):  # in turns, so that a busy machine hits both
                runs.append(measure(federation, asking, arguments.providers, number + 1))
                if arguments.peer != "none":
                    peer_runs.append(peer_run(arguments.peer, ids))
            sent = seat_bytes(federation, runs[-1]["job"])
            peak = federation.peak_mib()
        out = {
            "rows": arguments.rows,
            "providers": arguments.providers,
            "clock": "nodes running and linked, files unread -> result at the asking node",
            "wall_s": statistics.median(r["wall_s"] for r in runs),
            "cpu_s": statistics.median(r["cpu_s"] for r in runs),
            "runs": [[round(r["wall_s"], 3), round(r["cpu_s"], 3)] for r in runs],
            "start_up_s": start_up,
            "bytes_per_row_seat": sent / (arguments.rows * arguments.providers),
            "peak_rss_mib": peak,
            "matches": runs[-1]["matches"],
            "people": runs[-1]["people"],
            "exact": expected(files, arguments.format) if arguments.rows <= 2_000_000 else None,
            "noise_sd": noise_sd(EPSILON / 2, 1),
            "epsilon": EPSILON,
            "wan_s": None,
            "wan_link": "100 Mbit/s, 20 ms round trip, each node",
            "peer": arguments.peer,
            "peer_wall_s": None,
            "peer_cpu_s": None,
            "wall_ratio": None,
        }
        wanted = arguments.wan if arguments.wan is not None else arguments.rows <= WAN_ROWS
        if wanted and wan.possible():
            out["wan_s"] = over_wan(root, names, arguments.rows, files)
        if peer_runs:
            out["peer_wall_s"] = statistics.median(r.wall_s for r in peer_runs)
            out["peer_cpu_s"] = statistics.median(r.cpu_s for r in peer_runs)
            out["peer_runs"] = [[round(r.wall_s, 3), round(r.cpu_s, 3)] for r in peer_runs]
            out["peer_bytes"] = peer_runs[0].bytes
            out["peer_peak_rss_mib"] = max(r.peak_rss_mib for r in peer_runs)
            pairs = [r["wall_s"] / p.wall_s for r, p in zip(runs, peer_runs, strict=True)]
            out["wall_ratio"] = statistics.median(pairs)
            out["cpu_ratio"] = out["cpu_s"] / out["peer_cpu_s"]
    return out


def peer_run(peer: str, ids: list[Path]) -> peers.PsiRun:
    if peer == "rr22":
        return peers.run_rr22(ids[0], ids[1], "id")
    return peers.run_ecdh3(ids, "id")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--providers", type=int, choices=(2, 3), default=2)
    parser.add_argument("--peer", choices=("rr22", "ecdh3", "none"), default="none")
    parser.add_argument("--format", choices=("parquet", "csv"), default="parquet")
    parser.add_argument(
        "--wan",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="also over a shaped link (root only; by default up to a million rows)",
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--json", action="store_true", help="print the result as one JSON line (always done)"
    )
    print(json.dumps(run(parser.parse_args())))


if __name__ == "__main__":
    main()
