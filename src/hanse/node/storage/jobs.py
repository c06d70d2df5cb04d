"""Attempts of jobs in a node's store, and their logs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.exc import IntegrityError

from hanse.errors import Fault, Refusal
from hanse.node.storage import tables
from hanse.node.storage.database import Database
from hanse.node.storage.rows import Document, from_text, from_time, matches, to_text, to_time

_BATCH = 500


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt of a job."""

    job: str
    attempt: int
    state: str
    contract: str
    request: dict[str, Any]
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    created: datetime
    started: datetime | None
    finished: datetime | None


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a job's log; ``number`` counts from 1."""

    number: int
    at: datetime
    level: str
    message: str


class Jobs:
    """Attempts of jobs, and what they logged. Names of states are the caller's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        job: str,
        attempt: int,
        *,
        contract: str,
        request: Document,
        state: str,
        at: datetime,
    ) -> None:
        """Add an attempt. Raises `Refusal` ``job.exists`` if there is one of that number."""
        values = {
            "job": job,
            "attempt": attempt,
            "state": state,
            "contract": contract,
            "request": to_text(request),
            "created": to_time(at),
        }
        try:
            with self._database.writing() as connection:
                connection.execute(tables.jobs.insert().values(values))
        except Fault as fault:
            if isinstance(fault.__cause__, IntegrityError):
                raise Refusal(
                    "job.exists",
                    f"attempt {attempt} of this job exists already",
                    remedy="use the next attempt number",
                    where=job,
                ) from fault
            raise

    def move(
        self,
        job: str,
        attempt: int,
        *,
        of: Iterable[str],
        to: str,
        started: datetime | None = None,
        finished: datetime | None = None,
        result: Document | None = None,
        error: Document | None = None,
    ) -> bool:
        """Change the state from one of ``of`` to ``to``, and set what is given.

        False, and nothing changed, if the attempt is in another state (say, cancelled meanwhile).
        """
        values: dict[str, Any] = {"state": to}
        values |= {"started": to_time(started)} if started is not None else {}
        values |= {"finished": to_time(finished)} if finished is not None else {}
        values |= {"result": to_text(result)} if result is not None else {}
        values |= {"error": to_text(error)} if error is not None else {}
        table = tables.jobs
        statement = (
            table.update()
            .where(table.c.job == job, table.c.attempt == attempt, table.c.state.in_(list(of)))
            .values(values)
        )
        with self._database.writing() as connection:
            return connection.execute(statement).rowcount == 1

    def get(self, job: str, attempt: int | None = None) -> Job | None:
        """An attempt; without a number the last one."""
        table = tables.jobs
        query = select(table).where(table.c.job == job).order_by(table.c.attempt.desc())
        if attempt is not None:
            query = query.where(table.c.attempt == attempt)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
            return None if row is None else _job(row)

    def all(self, *, states: Iterable[str] | None = None, limit: int = 1000) -> list[Job]:
        """Attempts, newest first, of some states or of all."""
        table = tables.jobs
        query = select(table).order_by(table.c.created.desc(), table.c.attempt.desc()).limit(limit)
        if states is not None:
            query = query.where(table.c.state.in_(list(states)))
        with self._database.reading() as connection:
            return [_job(row) for row in connection.execute(query)]

    def with_results(self, attempts: Sequence[tuple[str, int]]) -> frozenset[str]:
        """Those of the jobs (with their attempts) of which this node received a result."""
        if not attempts:
            return frozenset()
        table = tables.jobs
        query = select(table.c.job, table.c.attempt, table.c.result)
        query = query.where(table.c.job.in_([job for job, _ in attempts]))
        with self._database.reading() as connection:
            found = {(r.job, r.attempt): r.result for r in connection.execute(query)}
        return frozenset(
            key[0] for key in attempts
            if (text := found.get(key)) is not None and from_text(text).get("result")
        )  # fmt: skip

    def uses(self, contract: str, states: Iterable[str]) -> int:
        """How many attempts under this contract (by hash) are in one of ``states``."""
        table = tables.jobs
        query = select(func.count()).where(
            table.c.contract == contract, table.c.state.in_(list(states))
        )
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def under(self, contracts: Iterable[str]) -> Iterator[Job]:
        """The last attempt of every job under these contracts (by hash), by name; read in batches."""
        table, after, hashes = tables.jobs, "", list(contracts)
        while True:
            query = select(table).where(table.c.contract.in_(hashes), table.c.job > after)
            query = query.order_by(table.c.job, table.c.attempt.desc()).limit(_BATCH)
            with self._database.reading() as connection:
                rows = list(connection.execute(query))
            for row in rows:
                if row.job != after:
                    after = row.job
                    yield _job(row)
            if len(rows) < _BATCH:
                return

    def log(self, job: str, attempt: int, level: str, message: str, at: datetime) -> None:
        """Add a line to an attempt's log. It must not hold ids, shares or values."""
        table = tables.job_log
        key = {"job": job, "attempt": attempt}
        with self._database.writing() as connection:
            last = connection.execute(
                select(func.coalesce(func.max(table.c.number), 0)).where(*matches(table, key))
            ).scalar_one()
            connection.execute(
                table.insert().values(
                    **key, number=last + 1, at=to_time(at), level=level, message=message
                )
            )

    def lines(self, job: str, attempt: int, since: int = 0) -> list[LogLine]:
        """The log of an attempt, from line ``since + 1`` on."""
        table = tables.job_log
        query = (
            select(table)
            .where(table.c.job == job, table.c.attempt == attempt, table.c.number > since)
            .order_by(table.c.number)
        )
        with self._database.reading() as connection:
            return [
                LogLine(row.number, from_time(row.at), row.level, row.message)
                for row in connection.execute(query)
            ]


def _job(row: Row[Any]) -> Job:
    return Job(
        job=row.job,
        attempt=row.attempt,
        state=row.state,
        contract=row.contract,
        request=from_text(row.request),
        result=None if row.result is None else from_text(row.result),
        error=None if row.error is None else from_text(row.error),
        created=from_time(row.created),
        started=None if row.started is None else from_time(row.started),
        finished=None if row.finished is None else from_time(row.finished),
    )
