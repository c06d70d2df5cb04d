"""A node whose jobs are the examples of the whole menu, answered in a rehearsal: something of every kind to look at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from hanse.contracts import Bundle
from hanse.gate.release import Opened
from hanse.menu import MENU
from hanse.node import facade
from hanse.rehearsal import Answer, Column, Federation

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


@cache
def answered(name: str) -> Answer[Any]:
    """The example of a computation, asked in a rehearsal."""
    example = MENU[name].example()
    fed = Federation(k=example.k, seed=f"console {name}", join_epsilon=1.0)
    for listed, places in example.places.items():
        fed.places(listed, places)
    for t in example.tables:
        columns = {c: Column(s, gazetteer=t.gazetteers.get(c)) for c, s in t.columns.items()}
        fed.dataset(t.dataset, t.provider, t.table, id=t.id, time=t.time, columns=columns,
                    capacity=t.table.num_rows)  # fmt: skip
    return fed.ask(name, example.parameters, epsilon=example.epsilon)


def seed(folder: Path, names: tuple[str, ...] = tuple(MENU)) -> dict[str, str]:
    """Put a finished job of each computation into the node's store; the jobs' names."""
    found = {}
    with facade.office_of(folder) as office:
        for number, name in enumerate(names):
            answer = answered(name)
            for places in MENU[name].example().places.values():
                path = folder / "places.parquet"
                pq.write_table(places, path)
                office.shelf.add(path)
            contract, request = answer.job.contract, answer.job.request
            # Every rehearsal calls its contract by one name: here each is a version of it.
            office.store.contracts.put(
                f"{contract.id}-{name}", 1, hash=contract.hash, state="live", at=NOW,
                bundle=_document(Bundle(contract)),
            )  # fmt: skip
            at = NOW + timedelta(minutes=number)
            office.store.jobs.create(
                request.job_hash, 1, contract=contract.hash, request=request.fields(), state="running", at=at
            )
            office.store.jobs.log(request.job_hash, 1, "info", "admitted as seat 0, provider", at)
            opened = Opened(answer.values, answer.values != 0)
            openings = [o.body() for o in answer.disclosures.openings]
            office.store.jobs.move(
                request.job_hash, 1, of=("running",), to="done", finished=at + timedelta(seconds=3),
                result={"result": answer.result.body(), "opened": opened.outputs(), "spent": True,
                        "facts": {"openings": openings}},
            )  # fmt: skip
            found[name] = request.job_hash
    return found


def _document(bundle: Bundle) -> dict[str, Any]:
    import json

    return dict(json.loads(bundle.to_json()))
