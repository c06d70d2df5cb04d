"""Scores that a job left at a node, and results of questions: what a consumer of the API may find there."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hanse.contracts import Bundle, Contract
from hanse.learn.jobs.terms import F64
from hanse.node.models.scoring import Scored, write_scores
from hanse.node.storage.store import Store
from hanse.wire.codec import digest

PARTIES = ("shop", "media", "neutral")
DAYS = 30  # that scores are kept
ROWS = 2500


def agreed(id: str = "spring") -> Contract:
    """A contract of made-up parties."""
    parties = [
        {"name": p, "organisation": f"The {p}", "signing_key": f"{n:02x}" * 32, "certificate": f"{n + 8:02x}" * 32}
        for n, p in enumerate(PARTIES, 1)
    ]  # fmt: skip
    rows = {
        "capacity": 100,
        "slots": 1,
        "personal": True,
        "legal_basis": "consent",
        "evidence": "x",
    }
    return Contract.from_fields(
        {"format": 1, "id": id, "version": 1, "title": "Spring", "purpose": "Tests", "starts": date(2020, 1, 1),
         "expires": date(2100, 1, 1), "maximum_jobs": 9, "seats": list(PARTIES), "independence": "Made up.",
         "retention_days": DAYS,
         "join": {"id_type": "member", "hash": "sha256", "epsilon": 1.0, "delta": 1e-8, "epsilon_budget": 9.0},
         "privacy": {"k": 20, "epsilon_per_query": 1.0, "epsilon_budget": 9.0, "delta": 1e-8, "period": "contract"},
         "parties": parties,
         "datasets": [{"name": "aa", "provider": "shop", **rows}, {"name": "bb", "provider": "media", **rows}],
         "computations": [{"name": "overlap", "recipients": ["shop"], "datasets": ["aa", "bb"]}]}
    )  # fmt: skip


def keep_contract(store: Store, contract: Contract, at: datetime, state: str = "live") -> None:
    bundle = json.loads(Bundle(contract).to_json())
    store.contracts.put(
        contract.id, 1, hash=contract.hash, state=state, bundle=bundle, at=at,
    )  # fmt: skip


def keep_job(
    store: Store, contract: Contract, number: int, at: datetime, computation: str = "overlap",
    result: dict[str, Any] | None = None, state: str = "done", **parameters: Any,
) -> str:  # fmt: skip
    """A job that ended; its hash."""
    job = digest(f"job {number} {computation}")
    request = {"contract_id": contract.id, "computation": computation, "parameters": parameters}
    store.jobs.create(job, 1, contract=contract.hash, request=request, state="running", at=at)
    store.jobs.move(
        job, 1, of=["running"], to=state, finished=at, result={"result": result, "spent": True}
    )
    return job


def score(values: F64) -> Scored:
    """Ready scores [rows, classes]; every seventh row has none."""
    texts = pa.array([f"member-{n:04d}" for n in range(len(values))], pa.large_string())
    matched = np.arange(len(values)) % 7 != 3
    classes = ("buys", "looks", "leaves") if values.shape[1] > 1 else ()
    return Scored("churn", "", classes, texts, values, matched, np.array([0.0, 1.0]))


def keep_scores(
    store: Store, folder: Path, contract: Contract, at: datetime, number: int = 1, model: str = "churn",
    classes: int = 1, rows: int = ROWS,
) -> str:  # fmt: skip
    """A scoring job that ended, with its file; the job's hash."""
    values = (np.arange(rows * classes, dtype=float).reshape(rows, classes) + 1) / (
        rows * classes + 1
    )
    found = score(values)
    body = {"model": model, "scores": "file", "rows": rows, "scored": int(found.matched.sum())}
    job = keep_job(store, contract, number, at, "score", body, model=model, receiver="shop")
    write_scores(folder, job, found)
    return job
