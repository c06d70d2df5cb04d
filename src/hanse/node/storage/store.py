"""What a node remembers: partners, data sets, contracts, jobs and their logs, ledger, answers.

    store = open_store(config)
    store.jobs.create(job, 1, contract=hash, request={...}, state="waiting", at=clock.now())
    Ledger(store.ledger, signer, clock)

Times are timezone-aware; documents are JSON values. Errors are those of `database.Database`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select

from hanse.errors import Refusal
from hanse.node.config import NodeConfig
from hanse.node.identity.cards import read_card
from hanse.node.identity.partners import Partner
from hanse.node.products.consumers import Consumers
from hanse.node.products.publications import Publications
from hanse.node.products.webhooks import Webhooks
from hanse.node.storage import tables
from hanse.node.storage.crowds import StoredCrowds
from hanse.node.storage.database import Database, open_sqlite, open_url
from hanse.node.storage.jobs import Jobs
from hanse.node.storage.ledger import SqlLedger
from hanse.node.storage.rows import (
    Document,
    from_text,
    from_time,
    matches,
    put_row,
    remove_row,
    to_text,
    to_time,
)
from hanse.node.storage.sign_ons import SignOns
from hanse.node.storage.standing import StandingQueries
from hanse.node.storage.users import Users


@dataclass(frozen=True, slots=True)
class Dataset:
    """A registered data set."""

    name: str
    registration: dict[str, Any]
    added: datetime


@dataclass(frozen=True, slots=True)
class StoredContract:
    """A contract bundle and how far it has come."""

    id: str
    version: int
    hash: str
    state: str
    bundle: dict[str, Any]
    changed: datetime


class Store:
    """The store over an open database; see `open_store`."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.partners = Partners(database)
        self.datasets = Datasets(database)
        self.crowds = StoredCrowds(database)
        self.standing = StandingQueries(database)
        self.contracts = Contracts(database)
        self.jobs = Jobs(database)
        self.ledger = SqlLedger(database)
        self.publications = Publications(database)
        self.consumers = Consumers(database)
        self.webhooks = Webhooks(database)
        self.answers = StoredAnswers(database)
        self.users = Users(database)
        self.sign_ons = SignOns(database)

    def close(self) -> None:
        """Close the database."""
        self.database.close()


def open_store(config: NodeConfig) -> Store:
    """The store of a node: its database by URL, else SQLite in its data folder."""
    if config.store.url is not None:
        return Store(open_url(config.store.url))
    return Store(open_sqlite(config.data_folder))


class Partners:
    """Identity cards and addresses of partners."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, partner: Partner, at: datetime) -> None:
        """Add a partner or replace it."""
        host, port = partner.address or (None, None)
        fields = {
            "card": to_text(partner.card.document()), "host": host, "port": port,
            "holds": to_text({"holds": list(partner.holds)}), "confirmed": partner.confirmed,
        }  # fmt: skip
        with self._database.writing() as connection:
            put_row(
                connection, tables.partners, {"party": partner.name}, fields, {"added": to_time(at)}
            )

    def all(self) -> list[Partner]:
        """Every partner, by name; each card is checked again."""
        with self._database.reading() as connection:
            rows = connection.execute(select(tables.partners).order_by(tables.partners.c.party))
            return [self._partner(row) for row in rows]

    def remove(self, party: str) -> bool:
        """Forget a partner; whether there was one."""
        return remove_row(self._database, tables.partners, {"party": party})

    @staticmethod
    def _partner(row: Row[Any]) -> Partner:
        card = read_card(from_text(row.card))
        address = None if row.host is None or row.port is None else (row.host, row.port)
        holds = from_text(row.holds)["holds"] if row.holds else ()
        return Partner(card, address, tuple(holds), row.confirmed or "")


class Datasets:
    """Registrations of this node's data sets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, name: str, registration: Document, at: datetime) -> None:
        """Add a registration or replace it."""
        fields = {"registration": to_text(registration), "added": to_time(at)}
        with self._database.writing() as connection:
            put_row(connection, tables.datasets, {"name": name}, fields)

    def get(self, name: str) -> Dataset | None:
        """The data set of that name."""
        return next((one for one in self._select(name)), None)

    def all(self) -> list[Dataset]:
        """Every data set, by name."""
        return self._select(None)

    def remove(self, name: str) -> bool:
        """Forget a data set; whether there was one."""
        return remove_row(self._database, tables.datasets, {"name": name})

    def _select(self, name: str | None) -> list[Dataset]:
        query = select(tables.datasets).order_by(tables.datasets.c.name)
        if name is not None:
            query = query.where(tables.datasets.c.name == name)
        with self._database.reading() as connection:
            return [
                Dataset(row.name, from_text(row.registration), from_time(row.added))
                for row in connection.execute(query)
            ]


class Contracts:
    """Contract bundles by id and version; a (id, version) keeps its hash for ever."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(
        self, id: str, version: int, *, hash: str, state: str, bundle: Document, at: datetime
    ) -> None:
        """Add a contract, or replace the bundle (more signatures) and state of the same contract.

        Raises `Refusal` ``contract.changed`` if another text is stored under this id and version.
        """
        key = {"id": id, "version": version}
        fields = {"hash": hash, "state": state, "bundle": to_text(bundle), "changed": to_time(at)}
        with self._database.writing() as connection:
            query = select(tables.contracts.c.hash).where(*matches(tables.contracts, key))
            known = connection.execute(query).scalar()
            if known is not None and known != hash:
                raise Refusal(
                    "contract.changed",
                    f"another text is stored as version {version} of the contract {id!r}",
                    remedy="give the changed contract a new version",
                    where=id,
                )
            put_row(connection, tables.contracts, key, fields)

    def get(self, id: str, version: int | None = None) -> StoredContract | None:
        """A contract; without ``version`` its newest one."""
        table = tables.contracts
        query = select(table).where(table.c.id == id).order_by(table.c.version.desc())
        if version is not None:
            query = query.where(table.c.version == version)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
            return None if row is None else _contract(row)

    def by_hash(self, hash: str) -> StoredContract | None:
        """The contract with this hash."""
        with self._database.reading() as connection:
            row = connection.execute(
                select(tables.contracts).where(tables.contracts.c.hash == hash)
            ).first()
            return None if row is None else _contract(row)

    def all(self, id: str | None = None) -> list[StoredContract]:
        """Every contract (or every version of one), by id and version."""
        table = tables.contracts
        query = select(table).order_by(table.c.id, table.c.version)
        if id is not None:
            query = query.where(table.c.id == id)
        with self._database.reading() as connection:
            return [_contract(row) for row in connection.execute(query)]


class StoredAnswers:
    """Answers by key, for quick look-up; the ledger is what counts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, key: str, answer: Document, at: datetime) -> None:
        """Keep an answer; the first one given for a key stays."""
        with self._database.writing() as connection:
            query = select(tables.answers.c.key).where(tables.answers.c.key == key)
            if connection.execute(query).first() is None:
                connection.execute(
                    tables.answers.insert().values(
                        key=key, answer=to_text(answer), added=to_time(at)
                    )
                )

    def get(self, key: str) -> dict[str, Any] | None:
        """The answer kept under ``key``."""
        with self._database.reading() as connection:
            text = connection.execute(
                select(tables.answers.c.answer).where(tables.answers.c.key == key)
            ).scalar()
        return None if text is None else from_text(text)


def _contract(row: Row[Any]) -> StoredContract:
    bundle, changed = from_text(row.bundle), from_time(row.changed)
    return StoredContract(row.id, row.version, row.hash, row.state, bundle, changed)
