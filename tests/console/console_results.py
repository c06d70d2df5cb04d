"""A node whose jobs are the examples of the whole menu, answered in a rehearsal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from hanse.contracts import Bundle
from hanse.gate.release import Opened
from hanse.menu import MENU
from hanse.node.faces import facade
from hanse.places.concentration.sample import sample_people, sample_places
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
            answer, listed = (
                (town()[0], [town()[1]]) if name == "town" else (answered(name), _places(name))
            )
            for places in listed:
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
                request.job_hash,
                1,
                contract=contract.hash,
                request=request.fields(),
                state="running",
                at=at,
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


def _places(name: str) -> list[Any]:
    return list(MENU[name].example().places.values())


@cache
def town() -> tuple[Answer[Any], Any]:
    """A made-up town: where people who want a car live and work, told by H3 cell and by place. Nobody is real."""
    places = sample_places(160, seed=3)
    people = sample_people(places, 40_000, seed=3)
    fed = Federation(k=20, seed="console town", join_epsilon=1.0)
    fed.places("town", places)
    fed.dataset("labels", "insurer", people["labels"], id="id", columns=["age", "car"])
    fed.dataset(
        "homes",
        "operator",
        people["homes"],
        id="id",
        columns={"home": Column("home", gazetteer="town")},
    )
    fed.dataset(
        "works",
        "operator",
        people["works"],
        id="id",
        columns={"work": Column("work", gazetteer="town")},
    )
    question = {
        "targets": {"wants a car": {"dataset": "labels", "where": [{"column": "car", "equals": "intends"}]}},
        "base": {"dataset": "labels"},
        "at": [{"name": "home", "dataset": "homes", "column": "home"}],
        "starts": "2026-01-01", "ends": "2026-02-01", "levels": ["h3", "place", "district"],
    }  # fmt: skip
    return fed.ask("concentration", question, epsilon=4.0), places


def _document(bundle: Bundle) -> dict[str, Any]:
    import json

    return dict(json.loads(bundle.to_json()))
