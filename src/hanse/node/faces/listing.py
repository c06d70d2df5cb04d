"""Pages of a node's contracts, jobs and ledger: newest first, by keys that are indexed, without what is not shown.

A page ends with a mark; the next page begins after it. Marks are plain text, checked when they come back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select, tuple_

from hanse.errors import Refusal
from hanse.ledger import Entry
from hanse.ledger.entries import read_line
from hanse.node.storage.database import Database
from hanse.node.storage.rows import from_text
from hanse.node.storage.tables import contracts, job_log, jobs, ledger

MOST = 200
_MARK = re.compile(r"[0-9T:+.\-]{10,40}\|[0-9a-z\-]{1,80}\|[0-9]{1,9}")
_LOOKED_AT = 20_000  # entries of the ledger that one page searches for a kind
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, and the mark after which the next page begins ("" at the end)."""

    rows: list[Document]
    next: str = ""

    def body(self) -> Document:
        return {"rows": self.rows, "next": self.next}


def contract_page(
    database: Database, *, state: str = "", search: str = "", after: str = "", limit: int = 50,
    every_version: bool = False,
) -> Page:  # fmt: skip
    """Contracts as they are stored (``bundle`` as plain values), the last changed first."""
    table, later = contracts, contracts.alias()
    keys = (table.c.changed, table.c.id, table.c.version)
    query = select(table)
    if not every_version:
        newer = select(later.c.id).where(
            later.c.id == table.c.id, later.c.version > table.c.version
        )
        query = query.where(~newer.exists())
    if state:
        query = query.where(table.c.state == state)
    if search:
        query = query.where(table.c.id.contains(search, autoescape=True))
    rows = _page(database, query, keys, after, limit)
    found = [
        {"id": r.id, "version": r.version, "hash": r.hash, "state": r.state, "changed": r.changed,
         "bundle": from_text(r.bundle)}
        for r in rows[:limit]
    ]  # fmt: skip
    return Page(found, _next(rows, limit, ("changed", "id", "version")))


def contract_versions(database: Database, id: str) -> list[Document]:
    """All versions of a contract, the newest first, without their text."""
    table = contracts
    query = select(table.c.version, table.c.hash, table.c.state, table.c.changed)
    query = query.where(table.c.id == id).order_by(table.c.version.desc())
    with database.reading() as connection:
        return [dict(row._mapping) for row in connection.execute(query)]


def contract_counts(database: Database) -> dict[str, int]:
    """How many contracts, all versions, are in each state."""
    return _counts(database, contracts)


def job_page(
    database: Database, *, state: str = "", contract: str = "", after: str = "", limit: int = 50
) -> Page:
    """Jobs, the newest first, without their results. ``contract`` is an id; all its versions count."""
    table = jobs
    keys = (table.c.created, table.c.job, table.c.attempt)
    query = select(*(c for c in table.c if c.name != "result"))
    if state:
        query = query.where(table.c.state == state)
    if contract:
        # Looked up first: as a subquery, PostgreSQL reads all jobs.
        with database.reading() as connection:
            known = select(contracts.c.hash).where(contracts.c.id == contract)
            hashes = list(connection.execute(known).scalars())
        query = query.where(table.c.contract.in_(hashes))
    rows = _page(database, query, keys, after, limit)
    found = [
        {"job": r.job, "attempt": r.attempt, "state": r.state, "created": r.created,
         "started": r.started, "finished": r.finished, "request": from_text(r.request),
         "error": None if r.error is None else from_text(r.error)}
        for r in rows[:limit]
    ]  # fmt: skip
    return Page(found, _next(rows, limit, ("created", "job", "attempt")))


def job_counts(database: Database) -> dict[str, int]:
    """How many attempts are in each state."""
    return _counts(database, jobs)


def ledger_page(
    database: Database, *, kind: str = "", before: int | None = None, limit: int = 50
) -> tuple[list[Entry], int | None]:
    """Entries before a sequence number (by default the last ones), newest first, and where the next page begins."""
    _check_limit(limit)
    found: list[Entry] = []
    looked = 0
    while len(found) < limit and looked < _LOOKED_AT:
        query = select(ledger.c.sequence, ledger.c.line).order_by(ledger.c.sequence.desc())
        if before is not None:
            query = query.where(ledger.c.sequence < before)
        if kind:  # a first sieve; what it lets through is looked at again
            query = query.where(ledger.c.line.contains(f'"kind":"{kind}"', autoescape=True))
        with database.reading() as connection:
            rows = list(connection.execute(query.limit(limit)))
        if not rows:
            return found, None
        for row in rows:
            before, looked = int(row.sequence), looked + 1
            entry = read_line(row.line)
            if isinstance(entry, Entry) and kind in ("", entry.kind):
                found.append(entry)
                if len(found) == limit:
                    break
    return found, before if before else None


def log_since(
    database: Database, job: str, attempt: int, since: int, limit: int = 500
) -> list[Document]:
    """Lines of a job's log after number ``since``."""
    table = job_log
    query = (
        select(table.c.number, table.c.at, table.c.level, table.c.message)
        .where(table.c.job == job, table.c.attempt == attempt, table.c.number > since)
        .order_by(table.c.number)
        .limit(limit)
    )
    with database.reading() as connection:
        return [dict(row._mapping) for row in connection.execute(query)]


def _counts(database: Database, table: Any) -> dict[str, int]:
    query = select(table.c.state, func.count()).group_by(table.c.state)
    with database.reading() as connection:
        return {state: int(count) for state, count in connection.execute(query)}


def _page(
    database: Database, query: Select[Any], keys: Sequence[Any], after: str, limit: int
) -> Sequence[Any]:
    """One row more than ``limit``, if there are so many."""
    _check_limit(limit)
    if after:
        if not _MARK.fullmatch(after):
            raise Refusal("page.mark", "the mark of the next page is not one that a page gave",
                          remedy="begin with the first page")  # fmt: skip
        moment, name, number = after.split("|")
        query = query.where(tuple_(*keys) < tuple_(moment, name, int(number)))
    query = query.order_by(*(key.desc() for key in keys)).limit(limit + 1)
    with database.reading() as connection:
        return list(connection.execute(query))


def _next(rows: Sequence[Any], limit: int, names: tuple[str, str, str]) -> str:
    return "|".join(str(getattr(rows[limit - 1], n)) for n in names) if len(rows) > limit else ""


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MOST:
        raise Refusal("page.limit", f"a page has 1 to {MOST} rows", remedy="ask for more pages")
