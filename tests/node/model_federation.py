"""Three organisations that train and score together: a shop with the target, a media company, a neutral seat.

Their nodes run in this process (`start`), or as processes of their own (`processes`). The data have a known answer:
the target follows from columns of both by a logistic law, so that the joint model must beat the shop's own.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hanse.node.jobs.book import OPEN_STATES
from hanse.node.jobs.runner import Outcome, Question
from node_stage import Document, Member, Nodes, free_port, until

__all__ = ["Member", "ModelFederation", "free_port", "until"]

NAMES = ("shop", "media", "neutral")
OWNERS = {"customers": "shop", "audience": "media"}
PEOPLE = 2000
CAPACITY = 2600

COLUMNS: dict[str, list[Document]] = {
    "customers": [
        {"name": "bought", "kind": "boolean", "uses": ["target"]},
        {"name": "spend", "kind": "number", "uses": ["feature"]},
        {"name": "member", "kind": "boolean", "uses": ["feature"]},
    ],
    "audience": [
        {"name": "minutes", "kind": "number", "uses": ["feature"]},
        {"name": "city", "kind": "category", "uses": ["feature"],
         "values": ["north", "south", "west"]},
        {"name": "visits", "kind": "integer", "uses": ["feature"], "maximum": 100},
    ],
}  # fmt: skip


def person(number: int) -> str:
    return f"member-{number:06d}"


def tables(seed: int = 7, people: int = PEOPLE) -> dict[str, pa.Table]:
    """Numbers 0 to people are customers, 300 to people + 300 the audience; the rest of both is in common."""
    rng = np.random.default_rng(seed)
    everybody = people + 300
    spend, minutes = rng.normal(size=everybody), rng.normal(size=everybody)
    member, city = rng.random(everybody) < 0.4, rng.integers(0, 3, everybody)
    visits = rng.integers(0, 20, everybody)
    eta = -0.5 + 0.7 * spend + 0.8 * member - 1.1 * minutes + 0.9 * (city == 1) + 0.05 * visits
    bought = rng.random(everybody) < 1 / (1 + np.exp(-eta))
    first, second = np.arange(people), np.arange(300, everybody)
    cities = np.array(["north", "south", "west"])
    return {
        "customers": pa.table({"id": [person(i) for i in first], "bought": bought[first],
                               "spend": spend[first], "member": member[first]}),
        "audience": pa.table({"id": [person(i) for i in second], "minutes": minutes[second],
                              "city": cities[city[second]], "visits": visits[second]}),
    }  # fmt: skip


def clause(**changes: Any) -> Document:
    """The model that may be trained."""
    return {
        "name": "churn", "kind": "logistic", "target": {"dataset": "customers", "column": "bought"},
        "features": [{"dataset": "customers", "columns": ["spend", "member"]},
                     {"dataset": "audience", "columns": ["minutes", "city", "visits"]}],
        "alignment": "hidden", "authorisation": "authorised-by-people",
        "evidence": "Made-up forms, kept by nobody.", "metrics": ["shop"], "scores": ["shop"],
        "online": "open-query", "maximum_trainings": 5, "least_rows": 500, "expiry_days": 30,
    } | changes  # fmt: skip


@dataclass
class ModelFederation(Nodes):
    """The three, by name."""

    @classmethod
    def found(cls, root: Path) -> ModelFederation:
        made = cls(root)
        made.settle_in(NAMES)
        for name, table in tables().items():
            made.give(name, table)
        for name in OWNERS:
            made.register(name)
        return made

    def source(self, dataset: str) -> Path:
        return self.root / f"{dataset}.parquet"

    def give(self, dataset: str, table: pa.Table) -> None:
        pq.write_table(table, self.source(dataset))

    def register(self, dataset: str) -> None:
        columns = [
            {"name": c["name"], "column": c["name"], "kind": c["kind"]} for c in COLUMNS[dataset]
        ]
        with self.members[OWNERS[dataset]].office() as office:
            office.register_dataset(
                {"name": dataset, "source": {"path": str(self.source(dataset))},
                 "ids": [{"column": "id", "type": "member"}], "columns": columns,
                 "classification": "personal", "description": "Made-up people.",
                 "legal_basis": "consent", "evidence": "made-up people"}
            )  # fmt: skip

    def terms(self, **changes: Any) -> Document:
        """The fields of a new contract."""
        fields = self.common_terms(
            "models",
            datasets=[
                {"name": name, "provider": owner, "capacity": CAPACITY, "slots": 1, "personal": True,
                 "legal_basis": "consent", "evidence": "made-up people", "columns": deepcopy(COLUMNS[name])}
                for name, owner in OWNERS.items()
            ],
            models=[clause()],
        )  # fmt: skip
        return fields | changes

    # --- running --------------------------------------------------------------------------------

    def train(self, contract: str, asking: str = "shop", **parameters: Any) -> Outcome:
        return self.ask(contract, "train", asking, {"model": "churn", **parameters})

    def score(
        self, contract: str, training: str, asking: str = "shop", receiver: str = "shop"
    ) -> Outcome:
        parameters = {"model": "churn", "training": training, "receiver": receiver}
        return self.ask(contract, "score", asking, parameters)

    def ask(
        self, contract: str, computation: str, asking: str, parameters: Document, asked: str = ""
    ) -> Outcome:
        question = Question(contract, computation, parameters, 0.0, asked=asked)
        return self.members[asking].running.runner.ask(question)

    def settle(self) -> None:
        """Wait until no node that runs here has an open job, and all have written down how the last one ended."""

        def settled() -> bool:
            offices = [m.node.office for m in self.members.values() if m.node is not None]
            if any(office.store.jobs.all(states=OPEN_STATES, limit=1) for office in offices):
                return False
            return all(
                any(
                    e.body["job"] == office.store.jobs.all(limit=1)[0].job
                    for e in office.ledger.entries("job")
                )
                for office in offices
                if office.store.jobs.all(limit=1)
            )

        until(settled, 10, "settled")
