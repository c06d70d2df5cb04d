"""The ledger's entries in a node's store: the `LedgerStore` that the ledger room asks for."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from hanse.errors import Fault
from hanse.ledger import GENESIS, Entry, StaleHeadError
from hanse.ledger.entries import read_line
from hanse.node.storage import tables
from hanse.node.storage.database import Database

_LEDGER_BATCH = 500


class SqlLedger:
    """The `LedgerStore` of a node: the database refuses two entries after the same one."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, entry: Entry, expected_previous: str) -> None:
        """See `LedgerStore`; durable before it returns. Raises `StaleHeadError`."""
        table = tables.ledger
        try:
            with self._database.writing() as connection:
                last = connection.execute(
                    select(table.c.hash).order_by(table.c.sequence.desc()).limit(1)
                ).scalar()
                if (last or GENESIS) != expected_previous or entry.previous != expected_previous:
                    raise StaleHeadError
                connection.execute(
                    table.insert().values(
                        sequence=entry.sequence,
                        previous=entry.previous,
                        hash=entry.hash,
                        line=entry.line(),
                    )
                )
        except Fault as fault:
            # Two writers at once on PostgreSQL: the constraint decides who was first.
            if isinstance(fault.__cause__, IntegrityError):
                raise StaleHeadError from fault
            raise

    def read(self, since: int = 0) -> Iterator[Entry]:
        """See `LedgerStore`; in batches, so that a long ledger needs little memory."""
        table = tables.ledger
        while True:
            with self._database.reading() as connection:
                lines = list(
                    connection.execute(
                        select(table.c.sequence, table.c.line)
                        .where(table.c.sequence >= since)
                        .order_by(table.c.sequence)
                        .limit(_LEDGER_BATCH)
                    )
                )
            for row in lines:
                yield self._entry(row.line)
            if len(lines) < _LEDGER_BATCH:
                return
            since = lines[-1].sequence + 1

    def head(self) -> Entry | None:
        """See `LedgerStore`."""
        table = tables.ledger
        with self._database.reading() as connection:
            line = connection.execute(
                select(table.c.line).order_by(table.c.sequence.desc()).limit(1)
            ).scalar()
        return None if line is None else self._entry(line)

    def _entry(self, line: str) -> Entry:
        entry = read_line(line)
        if not isinstance(entry, Entry):
            reason = entry if isinstance(entry, str) else "it is sealed"
            raise Fault(
                "ledger.damaged",
                f"an entry of the ledger cannot be read: {reason}",
                remedy="stop the node, and compare its store with the backup",
                where=self._database.where,
            )
        return entry
