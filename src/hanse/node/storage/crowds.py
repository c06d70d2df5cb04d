"""Crowd packages in the store: every version of every package, so that old ones stay listed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from hanse.node.storage import tables
from hanse.node.storage.database import Database
from hanse.node.storage.rows import Document, from_text, matches, put_row, to_text

HELD, REMOVED = "held", "removed"


@dataclass(frozen=True, slots=True)
class StoredCrowd:
    """A version of a package; ``state`` is held or removed."""

    name: str
    version: int
    state: str
    package: dict[str, Any]


class StoredCrowds:
    """Packages by name and version. Versions only count up, also after a removal."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, name: str, version: int, package: Document) -> None:
        """Add a version, or replace its document."""
        with self._database.writing() as connection:
            fields = {"state": HELD, "package": to_text(package)}
            put_row(connection, tables.crowds, {"name": name, "version": version}, fields)

    def next_version(self, name: str) -> int:
        """1 for a new name."""
        table = tables.crowds
        with self._database.reading() as connection:
            query = select(func.max(table.c.version)).where(*matches(table, {"name": name}))
            return int(connection.execute(query).scalar() or 0) + 1

    def all(self, name: str | None = None) -> list[StoredCrowd]:
        """All versions (of ``name``), by name, the newest first."""
        table = tables.crowds
        query = select(table).order_by(table.c.name, table.c.version.desc())
        if name is not None:
            query = query.where(table.c.name == name)
        with self._database.reading() as connection:
            return [
                StoredCrowd(row.name, row.version, row.state, from_text(row.package))
                for row in connection.execute(query)
            ]

    def newest(self, name: str) -> StoredCrowd | None:
        """The version that jobs use; None if there is none or the package was removed."""
        return next((one for one in self.all(name) if one.state == HELD), None)

    def remove(self, name: str) -> int:
        """Let no job use the package any more; how many versions that were."""
        table = tables.crowds
        with self._database.writing() as connection:
            changed = table.update().where(*matches(table, {"name": name, "state": HELD}))
            return connection.execute(changed.values(state=REMOVED)).rowcount
