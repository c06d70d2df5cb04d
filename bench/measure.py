"""The measurement suite over three providers of so many people each: wall, CPU, bytes, memory.

    python bench/measure.py --rows 1000000 --providers 3 --json

Three node processes on this machine, each a provider and a seat, linked by mutual TLS. Half of the people
are known to all three. The clock of a question starts with nodes running and files unread and ends with
the result at the asking node. With ``--peer spu`` the engine's arithmetic is measured beside SecretFlow's SPU in
the same run, three processes each (`bench/engine.py`).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from federation import Federation, found, running, set_up
from hanse.catalog.gazetteers import read_gazetteer
from hanse.contracts import Contract

HERE = Path(__file__).resolve().parent
EPSILON = 2.0
LABELS, VALUES = 20, 5
PLACES = 10_000
MINUTES = 43_200  # thirty days
CONTRACT = "bench-measure"


def names_of(count: int) -> list[str]:
    return [f"provider-{i + 1}" for i in range(count)]


def write_tables(folder: Path, rows: int, providers: int) -> list[Path]:
    """A table per provider: id, one event, labels and a home place (the middle provider's)."""
    files = []
    start = np.datetime64("2026-01-01T00:00", "m")
    for number in range(providers):
        draw = np.random.default_rng([2026, number])
        own = np.arange(rows - rows // 2, dtype=np.int64) + rows * (number + 1)
        ids = np.concatenate([np.arange(rows // 2, dtype=np.int64), own])
        draw.shuffle(ids)
        minutes = start + draw.integers(0, MINUTES, rows)
        columns = {
            "id": pa.array((ids + 10_000_000_000).astype(str)),
            "at": pa.array(minutes.astype("datetime64[s]")),
        }
        for label in range(number, LABELS, providers):
            values = pa.array([f"v{v}" for v in range(VALUES)])
            codes = pa.array(draw.integers(0, VALUES, rows, dtype=np.int32))
            columns[f"label{label}"] = pa.DictionaryArray.from_arrays(codes, values).cast(
                pa.string()
            )
        places = pa.array(draw.integers(0, PLACES, rows, dtype=np.int32))
        columns["home"] = pa.DictionaryArray.from_arrays(
            places, pa.array([f"place-{p}" for p in range(PLACES)])
        ).cast(pa.string())
        file = folder / f"people-{number + 1}.parquet"
        pq.write_table(pa.table(columns), file)
        files.append(file)
    return files


def contract_of(federation: Federation, rows: int, gazetteer: dict[str, Any] | None) -> Contract:
    names = list(federation.members)
    values = [f"v{v}" for v in range(VALUES)]
    datasets = []
    for number, name in enumerate(names):
        columns: list[dict[str, Any]] = [{"name": "at", "kind": "time", "uses": ["order"]}]
        columns += [
            {"name": f"label{label}", "kind": "category", "uses": ["segment"], "values": values}
            for label in range(number, LABELS, len(names))
        ]
        if gazetteer is not None:
            columns.append(
                {"name": "home", "kind": "place", "uses": ["place"], "gazetteer": gazetteer["name"]}
            )
        datasets.append(
            {"name": f"people-{number + 1}", "provider": name, "capacity": rows, "slots": 1,
             "personal": True, "legal_basis": "consent", "evidence": "made-up people", "columns": columns}
        )  # fmt: skip
    fields: dict[str, Any] = {
        "format": 1, "id": CONTRACT, "version": 1, "title": "Benchmark", "purpose": "Benchmark",
        "starts": date(2026, 1, 1), "expires": date(2100, 1, 1), "maximum_jobs": 1000,
        "seats": names[:3], "independence": "Processes of one benchmark.", "retention_days": 1,
        "join": {"id_type": "number", "hash": "sha256", "epsilon": 0.1, "delta": min(1e-8, 0.1 / rows),
                 "epsilon_budget": 100.0, "roster_days": 31},
        "privacy": {"k": 100, "epsilon_per_query": 4.0, "epsilon_budget": 1000.0, "delta": 1e-8,
                    "period": "contract", "similar_questions": 1000},
        "parties": [
            {"name": m.name, "organisation": m.identity.organisation,
             "signing_key": m.identity.card.signing_key, "certificate": m.identity.card.fingerprint}
            for m in federation.members.values()
        ],
        "datasets": datasets,
        "computations": [
            {"name": name, "recipients": [names[0]], "datasets": [d["name"] for d in datasets]}
            for name in ("overlap", "funnel", "portrait", "concentration")
        ],
    }  # fmt: skip
    if gazetteer is not None:
        fields["gazetteers"] = [gazetteer]
    return Contract.from_fields(fields)


def registration(number: int, providers: int, file: Path) -> dict[str, Any]:
    columns = [{"name": "at", "column": "at", "kind": "time"}]
    columns += [
        {"name": f"label{label}", "column": f"label{label}", "kind": "category"}
        for label in range(number, LABELS, providers)
    ]
    columns.append({"name": "home", "column": "home", "kind": "place"})
    return {
        "name": f"people-{number + 1}", "source": {"path": str(file)},
        "ids": [{"column": "id", "type": "number"}], "columns": columns, "classification": "personal",
        "description": "Made-up people.", "legal_basis": "consent", "evidence": "made-up people",
    }  # fmt: skip


def questions(providers: int, attempt: int) -> dict[str, dict[str, Any]]:
    """The parameters of every question; a name differs by attempt, or the recorded answer would come back."""
    period = {"starts": "2026-01-01", "ends": "2026-01-31"}
    sets = [f"people-{i + 1}" for i in range(providers)]
    return {
        "overlap": {**period, "crowds": [{"name": f"{d} {attempt}", "dataset": d} for d in sets]},
        "funnel": {
            **period,
            "stages": [
                {"name": f"stage {i} {attempt}", "any_of": [{"dataset": d}]}
                | ({"within_days": 7} if i else {})
                for i, d in enumerate(sets)
            ],
        },
        "portrait": {
            **period,
            "crowd": {"dataset": sets[0]},
            "labels": [
                {"name": f"label {label} {attempt}", "dataset": sets[label % providers], "column": f"label{label}"}
                for label in range(LABELS)
            ],
        },
        "concentration": {
            **period,
            "targets": {f"target {attempt}": {"dataset": sets[0]}},
            "base": {"any_of": [{"dataset": d} for d in (sets[0], sets[2])]},
            "at": [{"name": "home", "dataset": sets[1], "column": "home"}],
            "levels": ["place"],
        },
    }  # fmt: skip


def measured(federation: Federation, computation: str, parameters: dict[str, Any], attempt: int,
             roster: str = "") -> dict[str, Any]:  # fmt: skip
    """One question: seconds, CPU seconds of all nodes, bytes that the busiest seat sent."""
    asking = next(iter(federation.members.values()))
    question = {"contract": CONTRACT, "computation": computation, "epsilon": EPSILON, "attempt": attempt,
                "parameters": parameters} | ({"roster": roster} if roster else {})  # fmt: skip
    cpu, start = federation.cpu_s(), time.perf_counter()
    answer = asking.ask({"verb": "run", "question": question})
    wall, used = time.perf_counter() - start, federation.cpu_s() - cpu
    seats = [m.ask({"verb": "facts", "job": answer["job"]})["seat"] for m in federation.members.values()
             if m.name in names_of(3)]  # fmt: skip
    return {"wall_s": wall, "cpu_s": used, "bytes": max(int(s["bytes"]) for s in seats),
            "result": answer["result"]}  # fmt: skip


def check(found: dict[str, Any], rows: int) -> None:
    """The overlap of three known crowds, so that a fast but wrong answer is noticed."""
    regions = [r["people"] for r in found["result"]["rows"] if r["kind"] == "region"]
    exact = rows // 2
    if abs(regions[-1] - exact) > 200:
        raise SystemExit(f"the common region has {regions[-1]} people, not {exact}")


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    rows, names = arguments.rows, names_of(arguments.providers)
    with tempfile.TemporaryDirectory(prefix="hanse-bench-") as text:
        root = Path(text)
        files = write_tables(root, rows, len(names))
        listed = write_places(root)
        federation = found(root, names, warm_mib=min(4096, rows * 640 // (1 << 20)))
        contract = contract_of(federation, rows, listed)
        set_up(
            federation, contract,
            {n: [registration(i, len(names), files[i])] for i, n in enumerate(names)},
            places=root / "places.csv",
        )  # fmt: skip
        runs: dict[str, list[dict[str, Any]]] = {}
        days: list[tuple[dict[str, Any], dict[str, Any]]] = []
        with running(federation):
            for attempt in range(1, arguments.repeats + 1):
                asked = questions(len(names), attempt)
                for name, parameters in asked.items():
                    runs.setdefault(name, []).append(
                        measured(federation, name, parameters, attempt)
                    )
                days.append(two_days(federation, asked["funnel"], attempt))
            peak = federation.peak_mib()
        check(runs["overlap"][-1], rows)
    out: dict[str, Any] = {
        "rows": rows, "providers": len(names), "epsilon": EPSILON, "labels": LABELS, "places": PLACES,
        "clock": "nodes running and linked, files unread -> result at the asking node",
    }  # fmt: skip
    for name, found_ in runs.items():
        out[f"{name}_s"] = statistics.median(r["wall_s"] for r in found_)
        out[f"{name}_cpu_s"] = statistics.median(r["cpu_s"] for r in found_)
        out[f"{name}_bytes"] = found_[-1]["bytes"]
    out["first_day_s"] = statistics.median(a["wall_s"] for a, _ in days)
    out["second_day_s"] = statistics.median(b["wall_s"] for _, b in days)
    out["second_day_ratio"] = statistics.median(b["wall_s"] / a["wall_s"] for a, b in days)
    out["second_day_bytes_ratio"] = statistics.median(b["bytes"] / a["bytes"] for a, b in days)
    out["peak_rss_mib"] = peak
    out["bytes_per_row_seat"] = out["funnel_bytes"] / (rows * len(names))
    return out


def two_days(
    federation: Federation, funnel: dict[str, Any], attempt: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same funnel of two days on one roster: the first builds it, the second replays it."""
    roster = f"roster-{attempt}"
    first, second = (
        {**funnel, "starts": f"2026-01-0{day}", "ends": f"2026-01-{day + 14}"} for day in (1, 2)
    )
    return (
        measured(federation, "funnel", first, attempt, roster),
        measured(federation, "funnel", second, attempt, roster),
    )


def write_places(folder: Path) -> dict[str, Any]:
    """The public list of places; its entry in the contract."""

    draw = np.random.default_rng(7)
    numbers = np.arange(PLACES)
    table = pa.table(
        {
            "id": [f"place-{p}" for p in numbers],
            "name": [f"Place {p}" for p in numbers],
            "type": ["mall" if p % 7 == 0 else "office" for p in numbers],
            "lat": 31.0 + draw.random(PLACES) / 2,
            "lon": 121.2 + draw.random(PLACES) / 2,
            "district": [f"District {p % 16}" for p in numbers],
            "city": ["A city"] * PLACES,
        }
    )
    file = folder / "places.csv"
    pacsv.write_csv(table, file)
    return {"name": "city", "places": PLACES, "digest": read_gazetteer(file).digest}


def engine(rows: int, repeats: int) -> dict[str, Any]:
    """The engine's arithmetic beside SPU's, by `bench/engine.py`."""
    command = [sys.executable, str(HERE / "engine.py"), "--rows", str(rows), "--peer", "spu", "--json",
               "--repeats", str(repeats)]  # fmt: skip
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, Any] = json.loads(text.strip().splitlines()[-1])
    return {f"engine_{k}": v for k, v in found.items() if "_s" in k}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--providers", type=int, choices=range(3, 7), default=3)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--peer", choices=("spu", "none"), default="none")
    parser.add_argument("--json", action="store_true", help="one JSON line (always printed)")
    arguments = parser.parse_args()
    out = run(arguments)
    if arguments.peer == "spu":
        out |= engine(arguments.rows, 5)
    print(json.dumps(out))


if __name__ == "__main__":
    main()
