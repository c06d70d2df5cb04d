"""Joint scoring of a linear model between three node processes: batches by the million, and single rows.

    python bench/scoring.py --rows 1000000 --columns 5 --json

Two parties have the same ids and so many columns each; the third holds a seat only. Their parts of the model are
put into their stores beforehand, so that every score is checked against the sum of both parts. What is timed is the
job as it is asked for: reading the files, matching on shares, opening, and writing the scores.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from federation import Federation, found, running, set_up
from hanse.clock import SystemClock
from hanse.contracts import Contract, ModelNote
from hanse.learn.jobs.blocks import LinearBlock
from hanse.learn.jobs.terms import Term
from hanse.node.faces import facade

PARTIES = ("guest", "host", "neutral")
JOB = "5c" * 32
Document = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--columns", type=int, default=5, help="of each party")
    parser.add_argument("--single", type=int, default=20, help="single rows to ask for")
    parser.add_argument("--online", choices=("open-query", "hidden"), default="open-query")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hanse-scoring-") as folder:
        result = run(Path(folder), chosen.rows, chosen.columns, chosen.single, chosen.online)
    print(json.dumps(result) if chosen.json else "\n".join(f"{k}: {v}" for k, v in result.items()))


def run(root: Path, rows: int, columns: int, single: int, online: str = "open-query") -> Document:
    """The figures of one run."""
    federation = found(root, PARTIES)
    names = [f"x{n}" for n in range(columns)]
    contract = Contract.from_fields(_terms(federation, rows, names, online))
    rng = np.random.default_rng(1)
    datasets, expected = {}, np.zeros(rows)
    ids = [f"id-{n:09d}" for n in range(rows)]
    weights = {p: rng.normal(size=columns) for p in PARTIES[:2]}
    for party in PARTIES[:2]:
        values = rng.normal(size=(rows, columns))
        path = root / f"{party}.parquet"
        pq.write_table(
            pa.table(
                {"id": ids, "y": values[:, 0], **{n: values[:, i] for i, n in enumerate(names)}}
            ),
            path,
        )
        datasets[party] = [_registration(party, path, names)]
        expected += values @ weights[party]
    set_up(federation, contract, datasets)
    for party in PARTIES[:2]:
        _hold(federation, contract, party, names, weights[party])
    with running(federation):
        batch = _batch(federation, contract, rows, 1 / (1 + np.exp(-expected)))
        ones = _online(federation, contract, single)
    return {"rows": rows, "columns": 2 * columns, "online": online, **batch, **ones}


def _batch(federation: Federation, contract: Contract, rows: int, wanted: Any) -> Document:
    guest = federation.members["guest"]
    cpu, begun = federation.cpu_s(), time.perf_counter()
    answer = guest.ask({"verb": "run", "question": _question(contract, "score")})
    wall = time.perf_counter() - begun
    table = pq.read_table(guest.data / "scores" / answer["result"]["scores"])
    order = [int(i.removeprefix("id-")) for i in table["id"].to_pylist()]
    difference = float(np.abs(table["score"].to_numpy() - wanted[order]).max())
    work = guest.ask({"verb": "facts", "job": answer["job"]})["seat"]
    return {
        "batch_s": round(wall, 2), "rows_per_s": round(rows / wall),
        "cpu_s": round(federation.cpu_s() - cpu, 2), "bytes_per_row_and_seat": round(work["bytes"] / rows),
        "peak_rss_mib": round(federation.peak_mib()), "largest_difference": difference,
        "scored": answer["result"]["scored"],
    }  # fmt: skip


def _online(federation: Federation, contract: Contract, single: int) -> Document:
    guest, times = federation.members["guest"], []
    for number in range(single + 1):
        question = _question(contract, "score-one") | {"asked": f"id-{number:09d}"}
        begun = time.perf_counter()
        guest.ask({"verb": "run", "question": question})
        times.append(time.perf_counter() - begun)
    first, rest = times[0], sorted(times[1:])
    if not rest:
        return {}
    return {
        "one_first_ms": round(1000 * first), "one_median_ms": round(1000 * rest[len(rest) // 2]),
        "one_slowest_ms": round(1000 * rest[-1]),
    }  # fmt: skip


def _question(contract: Contract, computation: str) -> Document:
    parameters = {"model": "bench", "training": JOB, "receiver": "guest"}
    return {
        "contract": contract.id,
        "computation": computation,
        "epsilon": 0.0,
        "parameters": parameters,
    }


def _hold(
    federation: Federation, contract: Contract, party: str, names: list[str], weights: Any
) -> None:
    now = datetime.now(UTC)
    note = ModelNote(
        "bench", JOB, contract.id, contract.models[0].digest, now, now + timedelta(days=1), "held"
    )
    block = LinearBlock(
        party, tuple(Term(n, "number") for n in names), (tuple(map(float, weights)),), (0.0,),
        {"family": "logistic", "shift": 0.0, "scale": 1.0} if party == "guest" else None,
    )  # fmt: skip
    with facade.office_of(federation.members[party].folder, SystemClock()) as office:
        office.models.keep(note, block.body(), {"kind": "logistic"})


def _registration(party: str, path: Path, names: list[str]) -> Document:
    return {
        "name": f"rows-{party}", "source": {"path": str(path)}, "ids": [{"column": "id", "type": "key"}],
        "columns": [{"name": n, "column": n, "kind": "number"} for n in [*names, "y"]],
        "classification": "personal",
        "description": "Made-up rows.", "legal_basis": "consent", "evidence": "made-up people",
    }  # fmt: skip


def _terms(
    federation: Federation, rows: int, names: list[str], online: str = "open-query"
) -> Document:
    return {
        "format": 1, "id": "scoring-bench", "version": 1, "title": "Scoring", "purpose": "A benchmark.",
        "starts": date(2020, 1, 1), "expires": date(2100, 1, 1), "maximum_jobs": 10_000, "seats": list(PARTIES),
        "independence": "One machine: nobody is independent.", "retention_days": 1,
        "join": {"id_type": "key", "hash": "sha256", "epsilon": 0.1, "delta": min(1e-8, 1 / (10 * rows)),
                 "epsilon_budget": 1000.0},
        "privacy": {"k": 20, "epsilon_per_query": 1.0, "epsilon_budget": 10.0, "delta": 1e-8,
                    "period": "contract"},
        "parties": [
            {"name": m.name, "organisation": m.identity.organisation,
             "signing_key": m.identity.card.signing_key, "certificate": m.identity.card.fingerprint}
            for m in federation.members.values()
        ],
        "datasets": [
            {"name": f"rows-{party}", "provider": party, "capacity": rows, "slots": 1, "personal": True,
             "legal_basis": "consent", "evidence": "made-up people",
             "columns": [{"name": n, "kind": "number", "uses": ["feature"]} for n in names]
             + [{"name": "y", "kind": "number", "uses": ["target"]}]}
            for party in PARTIES[:2]
        ],
        "models": [{
            "name": "bench", "kind": "logistic", "target": {"dataset": "rows-guest", "column": "y"},
            "features": [{"dataset": "rows-guest", "columns": names},
                         {"dataset": "rows-host", "columns": names}],
            "alignment": "hidden", "authorisation": "authorised-by-people", "evidence": "made-up people",
            "scores": ["guest"], "online": online, "maximum_trainings": 1, "least_rows": 1000,
            "expiry_days": 30,
        }],
    }  # fmt: skip


if __name__ == "__main__":
    main()
