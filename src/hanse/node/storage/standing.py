"""Standing queries as a node keeps them: a question, its hour, and how its last run went."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select

from hanse.node.storage import tables
from hanse.node.storage.database import Database
from hanse.node.storage.rows import (
    Document,
    from_text,
    from_time,
    put_row,
    remove_row,
    to_text,
    to_time,
)

NEVER, RUNNING, DONE, FAILED = "never", "running", "done", "failed"


@dataclass(frozen=True, slots=True)
class LastRun:
    """How the last run went. ``slot`` is the moment it was planned for; ``error`` what kept it from an answer.

    ``remade`` counts the rosters that were given up under the name ``roster``.
    """

    slot: datetime | None = None
    state: str = NEVER
    job: str = ""
    error: str = ""
    roster: str = ""
    remade: int = 0

    def fields(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"slot": "" if self.slot is None else to_time(self.slot)}

    @classmethod
    def of(cls, fields: Document) -> LastRun:
        slot = from_time(fields["slot"]) if fields["slot"] else None
        return cls(**{**fields, "slot": slot})


@dataclass(frozen=True, slots=True)
class Standing:
    """A question that is asked every day at ``daily`` ("HH:MM", UTC), over rosters named after ``roster``, if any.

    ``question``: contract, computation, epsilon, recipients, parameters, which may hold relative days.
    """

    name: str
    question: dict[str, Any]
    daily: str
    added: datetime
    roster: str = ""
    last: LastRun = field(default_factory=LastRun)

    def after(self, **changes: Any) -> Standing:
        """With another last run."""
        return replace(self, last=replace(self.last, **changes))


class StandingQueries:
    """Standing queries by name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, one: Standing) -> None:
        """Add or replace."""
        query = {"question": one.question, "daily": one.daily, "roster": one.roster,
                 "added": to_time(one.added)}  # fmt: skip
        fields = {"query": to_text(query), "last": to_text(one.last.fields())}
        with self._database.writing() as connection:
            put_row(connection, tables.standing, {"name": one.name}, fields)

    def ran(self, one: Standing) -> None:
        """Write down how the last run went, if the query is still there."""
        changed = tables.standing.update().where(tables.standing.c.name == one.name)
        with self._database.writing() as connection:
            connection.execute(changed.values(last=to_text(one.last.fields())))

    def all(self) -> list[Standing]:
        """Every query, by name."""
        table = tables.standing
        with self._database.reading() as connection:
            rows = list(connection.execute(select(table).order_by(table.c.name)))
        return [_read(row.name, from_text(row.query), from_text(row.last)) for row in rows]

    def remove(self, name: str) -> bool:
        """Forget a query; whether there was one."""
        return remove_row(self._database, tables.standing, {"name": name})


def _read(name: str, query: dict[str, Any], last: dict[str, Any]) -> Standing:
    return Standing(
        name, query["question"], query["daily"], from_time(query["added"]), query["roster"],
        LastRun.of(last),
    )  # fmt: skip
