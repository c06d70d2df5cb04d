"""Users of the console, their sessions and their failed tries, in a node's store."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row, func, select

from hanse.node.storage.database import Database
from hanse.node.storage.rows import from_time, put_row, remove_row, to_time
from hanse.node.storage.tables import sessions, tries, users

FRESH, ACTIVE, OFF = "fresh", "active", "off"


@dataclass(frozen=True, slots=True)
class User:
    """Somebody of the organisation. ``state``: fresh (must choose a password first), active or off.

    ``password`` is an argon2 hash, ``code`` the sealed secret of one-time codes or None.
    """

    name: str
    shown: str
    department: str
    roles: tuple[str, ...]
    state: str
    password: str
    code: str | None
    code_step: int
    created: datetime

    @property
    def has_code(self) -> bool:
        return self.code is not None

    def __repr__(self) -> str:
        return f"User({self.name!r})"


@dataclass(frozen=True, slots=True)
class StoredSession:
    """An open session by the hash of its handle; ``form`` is what its forms carry."""

    handle: str
    user: str
    form: str
    began: datetime
    seen: datetime

    def __repr__(self) -> str:
        return f"StoredSession({self.user!r})"


class Users:
    """Rows of the three tables."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, user: User) -> None:
        """Add or replace."""
        fields = {
            "shown": user.shown, "department": user.department, "roles": json.dumps(sorted(user.roles)),
            "state": user.state, "password": user.password, "code": user.code,
            "code_step": user.code_step, "created": to_time(user.created),
        }  # fmt: skip
        with self._database.writing() as connection:
            put_row(connection, users, {"name": user.name}, fields)

    def get(self, name: str) -> User | None:
        """The user of that name."""
        with self._database.reading() as connection:
            row = connection.execute(select(users).where(users.c.name == name)).first()
        return None if row is None else _user(row)

    def all(self) -> list[User]:
        """Everybody, by department and name."""
        query = select(users).order_by(users.c.department, users.c.name)
        with self._database.reading() as connection:
            return [_user(row) for row in connection.execute(query)]

    def use_code(self, name: str, step: int) -> bool:
        """Note that the code of ``step`` is used; False if it, or a later one, was before."""
        changed = (
            users.update()
            .where(users.c.name == name, users.c.code_step < step)
            .values(code_step=step)
        )
        with self._database.writing() as connection:
            return connection.execute(changed).rowcount == 1

    # --- sessions -------------------------------------------------------------------------------

    def open(self, session: StoredSession) -> None:
        """Keep a new session."""
        values = {
            "handle": session.handle, "user_name": session.user, "form": session.form,
            "began": to_time(session.began), "seen": to_time(session.seen),
        }  # fmt: skip
        with self._database.writing() as connection:
            connection.execute(sessions.insert().values(values))

    def session(self, handle: str) -> tuple[StoredSession, User] | None:
        """The session and its user, if both are there."""
        query = (
            select(sessions, users)
            .join(users, users.c.name == sessions.c.user_name)
            .where(sessions.c.handle == handle)
        )
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        found = StoredSession(
            row.handle, row.user_name, row.form, from_time(row.began), from_time(row.seen)
        )
        return found, _user(row)

    def see(self, handle: str, at: datetime) -> None:
        """The session was used."""
        with self._database.writing() as connection:
            connection.execute(
                sessions.update().where(sessions.c.handle == handle).values(seen=to_time(at))
            )

    def close(self, handle: str) -> None:
        """End a session; nothing happens if there is none."""
        remove_row(self._database, sessions, {"handle": handle})

    def close_all(self, name: str, but: str = "") -> None:
        """End all sessions of a user, but one."""
        with self._database.writing() as connection:
            connection.execute(
                sessions.delete().where(sessions.c.user_name == name, sessions.c.handle != but)
            )

    def sweep(self, began_before: datetime, seen_before: datetime) -> None:
        """Delete sessions that are over."""
        old = (sessions.c.began < to_time(began_before)) | (sessions.c.seen < to_time(seen_before))
        with self._database.writing() as connection:
            connection.execute(sessions.delete().where(old))

    def sessions_of(self, names: Iterable[str]) -> dict[str, int]:
        """How many sessions each has open."""
        query = (
            select(sessions.c.user_name, func.count())
            .where(sessions.c.user_name.in_(list(names)))
            .group_by(sessions.c.user_name)
        )
        with self._database.reading() as connection:
            return {name: int(count) for name, count in connection.execute(query)}

    # --- tries ----------------------------------------------------------------------------------

    def tries_of(self, name: str) -> tuple[int, datetime | None]:
        """Failed tries in a row under a name, known or not, and until when none is looked at."""
        with self._database.reading() as connection:
            row = connection.execute(select(tries).where(tries.c.name == name)).first()
        return (0, None) if row is None else (row.failed, from_time(row.until))

    def tried(self, name: str, failed: int, until: datetime, forget_before: datetime) -> None:
        """Note a failed try; old notes go."""
        with self._database.writing() as connection:
            connection.execute(tries.delete().where(tries.c.until < to_time(forget_before)))
            put_row(connection, tries, {"name": name}, {"failed": failed, "until": to_time(until)})

    def forgive(self, name: str) -> None:
        """Forget failed tries."""
        remove_row(self._database, tries, {"name": name})


def _user(row: Row[tuple[object, ...]]) -> User:
    return User(
        row.name, row.shown, row.department, tuple(json.loads(row.roles)), row.state, row.password,
        row.code, row.code_step, from_time(row.created),
    )  # fmt: skip
