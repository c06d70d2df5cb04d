"""Five organisations that can fail, and what must be true at each of them after every fault.

    ash    seat 0 and provider (exposures)      dune   provider without a seat (baskets)
    birch  seat 1                               elm    asks and reads the result
    cedar  seat 2

A member's node runs in this process (`Member.start`) or as a process of its own (`fault_nursery`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fault_people import CAPACITY, EPSILON, baskets, exposures, parameters, registration

from hanse.clock import SystemClock
from hanse.errors import HanseError
from hanse.node.identity.partners import Partner
from hanse.node.jobs.runner import Outcome, Question
from node_stage import Document, Member, Nodes, until

__all__ = ["Federation", "Member", "ShiftedClock", "until"]

NAMES = ("ash", "birch", "cedar", "dune", "elm")
SEATS = ("ash", "birch", "cedar")
OWNERS = {"exposures": "ash", "baskets": "dune"}
CHARGED = ("ash", "birch", "cedar", "dune")  # who reserves and commits a job's price
RECIPIENTS = ("elm", "ash")
K = 20
LINKED = 15.0  # seconds in which restarted nodes must find each other
ENDED = 10.0  # seconds in which every survivor must have ended the job


class ShiftedClock(SystemClock):
    """The machine's clock with another date."""

    def __init__(self, days: float) -> None:
        self._shift = timedelta(days=days)

    def now(self) -> datetime:
        return super().now() + self._shift


@dataclass
class Federation(Nodes):
    """The five, by name; `contract` gives them something to ask under."""

    # --- setting up ---------------------------------------------------------------------------------

    @classmethod
    def found(cls, root: Path) -> Federation:
        """Keys, folders, cards exchanged, data registered; nothing runs."""
        made = cls(root)
        made.settle_in(NAMES)
        made.give("exposures", exposures())
        made.give("baskets", baskets())
        for name in OWNERS:
            made.register(name)
        return made

    def source(self, dataset: str) -> Path:
        return self.root / f"{dataset}.parquet"

    def give(self, dataset: str, table: pa.Table) -> None:
        """Put a table where the owner of ``dataset`` keeps it."""
        pq.write_table(table, self.source(dataset))

    def register(self, dataset: str, path: Path | None = None) -> None:
        """Let the owner register its dataset."""
        with self.members[OWNERS[dataset]].office() as office:
            office.register_dataset(registration(dataset, path or self.source(dataset)))

    def terms(self, **changes: Any) -> Document:
        """The fields of a new contract; a change of a table changes the fields it names."""
        fields = self.common_terms(
            "faults",
            privacy={"k": K, "epsilon_per_query": EPSILON, "epsilon_budget": 1e6, "similar_questions": 10_000,
                     "delta": 1e-8, "period": "contract"},
            datasets=[_terms_of(name) for name in OWNERS],
            computations=[{"name": "funnel", "recipients": list(RECIPIENTS), "datasets": list(OWNERS)}],
        )  # fmt: skip
        for name, value in changes.items():
            fields[name] = fields[name] | value if isinstance(value, dict) else value
        return fields

    def introduce(self, name: str) -> None:
        """Give the member's present card to all the others."""
        member = self.members[name]
        for other in self.members.values():
            if other is member:
                continue
            partner = Partner(member.identity.card, member.address)
            with other.office() as office:
                office.add_partner(partner)
            if other.node is not None:
                other.node.exchange.meet(partner)

    # --- running in this process --------------------------------------------------------------------

    def question(self, contract: str, **changes: Any) -> Question:
        fields: Document = {
            "contract": contract, "computation": "funnel", "parameters": parameters(),
            "epsilon": EPSILON, "recipients": ("elm",),
        }  # fmt: skip
        return Question(**(fields | changes))

    def ask(self, question: Question, asking: str = "elm") -> Outcome:
        return self.members[asking].running.runner.ask(question)

    def people(self, question: Question, asking: str = "elm") -> list[int | None]:
        """The counts in the answer, stage by stage."""
        result = self.ask(question, asking).result
        assert result is not None, "no answer"
        return [row["people"] for row in result["rows"]]

    def fails(
        self, question: Question, *, asking: str = "elm", within: float | None = None
    ) -> tuple[HanseError, str]:
        """The error of a job that must fail, once it has ended everywhere with its books in order, and the job.

        ``within`` bounds the seconds from the question to the end at the last node. The job is "" if no
        node had admitted it.
        """
        before, begun = self.known_jobs(), time.monotonic()
        try:
            outcome = self.ask(question, asking)
        except HanseError as raised:
            error = raised
        else:
            raise AssertionError(f"no error but {outcome}")
        self.wait_over()
        if within is not None:
            assert time.monotonic() - begun < within
        jobs = self.known_jobs() - before
        assert len(jobs) <= 1
        self.check_records()
        for job in jobs:
            self.check_result_was_paid(job)
        return error, next(iter(jobs), "")

    # --- afterwards ---------------------------------------------------------------------------------

    def known_jobs(self) -> set[str]:
        """Every job that any member remembers."""
        return {job for member in self.members.values() for job in member.jobs()}

    def wait_over(
        self, names: Iterable[str] = NAMES, *, within: float = ENDED, quiet: float = 0.0
    ) -> float:
        """Wait until no job is open and nothing is reserved at these nodes; the seconds it took.

        ``quiet``: and for so long, where a request may still be on its way to them.
        """
        members, since = self.each(names), time.monotonic()

        def over() -> bool:
            nonlocal since
            if any(member.open_jobs() for member in members):
                since = time.monotonic()
                return False
            return time.monotonic() - since >= quiet

        return until(over, within + quiet, f"over at {', '.join(names)}")

    def check_records(self, names: Iterable[str] = NAMES) -> None:
        """Every job ends, nothing stays reserved, ledgers verify."""
        self.wait_over(names)
        for member in self.each(names):
            with member.office() as office:
                verdict = office.ledger.verify(member.identity.card.signing_key)
                assert verdict.ok, f"{member.name}: {verdict.reason}"

    def check_result_was_paid(self, job: str) -> None:
        """Nobody has the job's result unless every seat and provider has committed its price."""
        for member in self.members.values():
            stored = member.jobs().get(job)
            if stored is None or not (stored.result or {}).get("result"):
                continue
            unpaid = [name for name in CHARGED if self[name].budget_of(job) != "committed"]
            assert not unpaid, f"{member.name} has a result that {unpaid} did not commit"

    def stories(self, job: str, names: Iterable[str] = NAMES) -> dict[str, Document]:
        """The stored error of the job by node, for nodes that know the job and did not finish it."""
        found = {member.name: member.jobs().get(job) for member in self.each(names)}
        return {
            name: stored.error or {}
            for name, stored in found.items()
            if stored is not None and stored.state != "done"
        }

    def check_story(
        self, error: HanseError, job: str, code: str, party: str, names: Iterable[str] = NAMES
    ) -> None:
        """The asking node and every node of the job tell the same story, which names the party."""
        assert error.code == code, str(error)
        assert party in str(error), str(error)
        assert error.remedy, str(error)
        stories = self.stories(job, names)
        assert stories, "nobody remembers the job"
        for name, story in stories.items():
            assert story.get("code") == code, f"{name}: {story}"
            assert party in f"{story['message']} {story['where']}", f"{name}: {story}"
            assert story["remedy"], f"{name}: {story}"


def _terms_of(dataset: str) -> Document:
    columns: dict[str, list[Document]] = {
        "exposures": [
            {"name": "at", "kind": "time", "uses": ["order"]},
            {"name": "kind", "kind": "category", "uses": ["filter", "segment"],
             "values": ["email", "tv"]},
        ],
        "baskets": [
            {"name": "at", "kind": "time", "uses": ["order"]},
            {"name": "amount", "kind": "amount", "uses": ["filter"], "maximum": 100_000},
        ],
    }  # fmt: skip
    return {
        "name": dataset, "provider": OWNERS[dataset], "capacity": CAPACITY, "slots": 2,
        "personal": True, "legal_basis": "consent", "evidence": "made-up people",
        "columns": columns[dataset],
    }  # fmt: skip
