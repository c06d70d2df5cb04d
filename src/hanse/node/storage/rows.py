"""How rows hold keys, documents (canonical JSON) and times (UTC text that sorts)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Table

from hanse.node.storage.database import Database
from hanse.wire.codec import canonical

Document = Mapping[str, Any]


def put_row(
    connection: Connection,
    table: Table,
    key: Mapping[str, Any],
    fields: Mapping[str, Any],
    first: Mapping[str, Any] | None = None,
) -> None:
    """Replace the row of ``key``, or insert it (then with the fields ``first`` as well)."""
    changed = connection.execute(table.update().where(*matches(table, key)).values(**fields))
    if not changed.rowcount:
        connection.execute(table.insert().values(**key, **fields, **(first or {})))


def remove_row(database: Database, table: Table, key: Mapping[str, Any]) -> bool:
    """Delete the row of ``key``; whether there was one."""
    with database.writing() as connection:
        return connection.execute(table.delete().where(*matches(table, key))).rowcount > 0


def matches(table: Table, key: Mapping[str, Any]) -> list[Any]:
    """Conditions that a row has this key."""
    return [table.c[name] == value for name, value in key.items()]


def to_text(document: Document) -> str:
    """A document as it is stored."""
    return canonical(dict(document)).decode()


def from_text(text: str) -> dict[str, Any]:
    """A stored document."""
    value: dict[str, Any] = json.loads(text)
    return value


def to_time(moment: datetime) -> str:
    """UTC text of fixed width, so that the database can sort by it."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def from_time(text: str) -> datetime:
    """A stored moment."""
    return datetime.fromisoformat(text)
