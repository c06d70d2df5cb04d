"""Who of a sign-on provider is which user of this node, in a node's store."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select

from hanse.node.storage.database import Database
from hanse.node.storage.rows import put_row, to_time
from hanse.node.storage.tables import sign_ons


class SignOns:
    """Rows of the table ``sign_ons``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def user(self, issuer: str, subject: str) -> str | None:
        """The user's name, if this subject of this provider is one."""
        table = sign_ons
        query = select(table.c.user_name).where(
            table.c.issuer == issuer, table.c.subject == subject
        )
        with self._database.reading() as connection:
            return connection.execute(query).scalar()

    def put(self, issuer: str, subject: str, name: str, at: datetime) -> None:
        """From now on this subject is that user."""
        key = {"issuer": issuer, "subject": subject}
        with self._database.writing() as connection:
            put_row(connection, sign_ons, key, {"user_name": name, "added": to_time(at)})

    def remove(self, name: str) -> int:
        """No subject is this user any more; how many were."""
        with self._database.writing() as connection:
            return connection.execute(
                sign_ons.delete().where(sign_ons.c.user_name == name)
            ).rowcount

    def names(self) -> frozenset[str]:
        """Users whom some subject is."""
        with self._database.reading() as connection:
            return frozenset(connection.execute(select(sign_ons.c.user_name)).scalars())
