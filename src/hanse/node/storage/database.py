"""The database under a node's store: opening it, transactions, and its errors in plain words."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from hanse.errors import Fault
from hanse.node.disk import disk_full, has_no_room, writing_to
from hanse.node.storage.tables import MIGRATIONS, Migration, meta

STORE_FILE = "hanse.db"
_BUSY_SECONDS = 10
_SCHEMA = "schema"
_LOCK = text("SELECT pg_advisory_xact_lock(:number)")
# A number of our own for the lock that writers of one PostgreSQL database take one after the other.
_WRITERS_LOCK = 0x48414E53


class Database:
    """Short transactions over SQLite or PostgreSQL. Thread-safe.

    Every error is a `Fault`: ``disk.full``, ``store.busy``, ``store.corrupt``, ``store.unwritable``,
    ``store.unreachable``, ``store.newer`` or ``store.failed``. ``where`` is the folder or host.
    """

    def __init__(
        self, engine: Engine, where: str, migrations: Sequence[Migration] = MIGRATIONS
    ) -> None:
        self._engine = engine
        self.where = where
        self._shared = engine.dialect.name == "postgresql"
        try:
            self._migrate(migrations)
        except BaseException:
            engine.dispose()
            raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the store."""
        # PostgreSQL would by itself show every statement a later state; SQLite never does.
        options = {"isolation_level": "REPEATABLE READ"} if self._shared else {}
        with (
            self._plain_errors(),
            self._engine.connect().execution_options(**options) as connection,
            connection.begin(),
        ):
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that changes all of what it changes, durably, or nothing; one at a time."""
        with (
            self._plain_errors(),
            self._engine.connect().execution_options(hanse_writes=True) as connection,
            connection.begin(),
        ):
            if self._shared:  # numbers that follow the largest one rest on this, as with SQLite
                connection.execute(_LOCK, {"number": _WRITERS_LOCK})
            yield connection

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def schema_version(self) -> int:
        """How many migrations the store has had."""
        with self.reading() as connection:
            return _version(connection)

    def _migrate(self, migrations: Sequence[Migration]) -> None:
        with self.writing() as connection:
            connection.execute(
                text("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT)")
            )
            have = _version(connection)
            if have > len(migrations):
                raise Fault(
                    "store.newer",
                    f"the store has schema {have}, this version of Hanse knows {len(migrations)}",
                    remedy="run the Hanse version that last used this node, or a newer one",
                    where=self.where,
                )
            for migration in migrations[have:]:
                for statement in migration.statements:
                    connection.execute(text(statement))
            if have < len(migrations):
                connection.execute(meta.delete().where(meta.c.name == _SCHEMA))
                connection.execute(meta.insert().values(name=_SCHEMA, value=str(len(migrations))))

    @contextlib.contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._fault(error) from error
        except SQLAlchemyError as error:
            raise self._failed(type(error).__name__) from error

    def _fault(self, error: DBAPIError) -> Fault:
        original = error.orig
        if isinstance(original, sqlite3.Error):
            # The low byte is the primary code; the rest says more.
            code = getattr(original, "sqlite_errorcode", 0) & 0xFF
            return self._sqlite_fault(code, original)
        if getattr(original, "sqlstate", "") == "53100":
            return disk_full(self.where)
        if error.connection_invalidated or type(original).__name__ == "OperationalError":
            return Fault(
                "store.unreachable",
                "the database of this node cannot be reached",
                remedy="check that the database runs and that store.url in hanse.toml is right",
                where=self.where,
                detail=str(original),
            )
        return self._failed(type(original).__name__)

    def _sqlite_fault(self, code: int, original: sqlite3.Error) -> Fault:
        opening = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR)
        if code == sqlite3.SQLITE_FULL or (code in opening and has_no_room(self.where)):
            return disk_full(self.where)
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return Fault(
                "store.busy",
                f"the store was busy for {_BUSY_SECONDS} s",
                remedy="see which other process uses this node's folder, then try again",
                where=self.where,
            )
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return Fault(
                "store.corrupt",
                f"{STORE_FILE} is damaged",
                remedy="stop the node and restore its folder from the backup",
                where=self.where,
            )
        if code in (
            sqlite3.SQLITE_READONLY,
            sqlite3.SQLITE_CANTOPEN,
            sqlite3.SQLITE_PERM,
            sqlite3.SQLITE_IOERR,
        ):
            return Fault(
                "store.unwritable",
                f"{STORE_FILE} cannot be read or written",
                remedy="check the owner and permissions of the folder, and the disk",
                where=self.where,
                detail=str(original),
            )
        return self._failed(type(original).__name__)

    def _failed(self, what: str) -> Fault:
        return Fault(
            "store.failed",
            f"the store failed ({what})",
            remedy="look into the node's log; if it happens again, report it as a defect",
            where=self.where,
        )


def open_sqlite(folder: Path, migrations: Sequence[Migration] = MIGRATIONS) -> Database:
    """The embedded database in ``folder``, made (for the owner only) if it does not exist."""
    path = folder / STORE_FILE
    try:
        with writing_to(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Made here because SQLite would use the process's permissions.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise Fault(
            "store.unwritable",
            f"{STORE_FILE} cannot be opened: {error.strerror}",
            remedy="check the owner and permissions of the folder",
            where=str(folder),
        ) from error
    engine = create_engine(f"sqlite:///{path.absolute()}")
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return Database(engine, str(folder), migrations)


def open_url(url: str, migrations: Sequence[Migration] = MIGRATIONS) -> Database:
    """The PostgreSQL database at ``url``. Raises `Fault` ``store.url`` or ``store.driver``."""
    try:
        parsed = make_url(url)
        engine = create_engine(parsed, pool_pre_ping=True)
    except (ImportError, NoSuchModuleError) as error:
        raise Fault(
            "store.driver",
            "the driver for this database is not installed",
            remedy="pip install 'psycopg[binary]' and write postgresql+psycopg://...",
            where="store.url",
        ) from error
    except ArgumentError as error:
        raise Fault(
            "store.url",
            "store.url is not a database URL",
            remedy="write postgresql+psycopg://user@host/database",
            where="store.url",
        ) from error
    return Database(engine, parsed.host or "database", migrations)


def _prepare(connection: sqlite3.Connection, _: object) -> None:
    # Python's sqlite3 would begin transactions by itself, and too late; `_begin` does.
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout = {_BUSY_SECONDS * 1000}",
        "journal_mode = WAL",
        "foreign_keys = ON",
        # In WAL mode only FULL makes a commit survive a power cut: the ledger needs that.
        "synchronous = FULL",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    # A writer takes the lock at once: upgrading a read lock later could fail or deadlock.
    writes = connection.get_execution_options().get("hanse_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _version(connection: Connection) -> int:
    value = connection.execute(select(meta.c.value).where(meta.c.name == _SCHEMA)).scalar()
    return int(value) if value is not None else 0
