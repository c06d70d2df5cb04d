"""Consumers of the API: other systems with a key, what they may read, how much, and how much they did.

A key is shown once, when it is made; the store has its SHA-256 (keys are 256 random bits, so nothing slower is
needed). Usage is counted per day, consumer and product; it is what quotas, statements and bills rest on.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from typing import Any, Literal, get_args

from sqlalchemy import Row, select

from hanse.entropy import Entropy
from hanse.errors import Refusal
from hanse.node.storage import tables
from hanse.node.storage.database import Database
from hanse.node.storage.rows import from_text, put_row, to_text, to_time

Scope = Literal["crowds", "results", "scores"]
SCOPES = get_args(Scope)
KEY_START = "hanse_"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{2,63}")


@dataclass(frozen=True, slots=True)
class Consumer:
    """A system that reads. ``products`` empty: all. ``quota``: values a day; ``rate``: requests a second."""

    name: str
    scopes: tuple[str, ...]
    products: tuple[str, ...] = ()
    quota: int = 1_000_000
    rate: float = 100.0
    expires: date | None = None
    contract: str = ""  # on whose account, for statements
    state: str = "live"

    def may(self, scope: str, product: str = "") -> bool:
        """Whether a scope, and a product within it, is open to this consumer."""
        return scope in self.scopes and (
            not product or not self.products or product in self.products
        )


class Consumers:
    """The consumers and their usage in a node's store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, consumer: Consumer, entropy: Entropy, at: datetime) -> str:
        """Add a consumer; its key, which is not kept. Raises `Refusal` ``consumer.*`` for what is wrong."""
        _check(consumer)
        key = KEY_START + entropy.take(32).hex()
        with self._database.writing() as connection:
            known = select(tables.consumers.c.name).where(tables.consumers.c.name == consumer.name)
            if connection.execute(known).first() is not None:
                raise Refusal("consumer.exists", f"there is a consumer {consumer.name!r} already",
                              remedy="choose another name, or see 'hanse consumer rekey'")  # fmt: skip
            connection.execute(
                tables.consumers.insert().values(
                    name=consumer.name, key=key_hash(key), rules=_rules(consumer), state="live",
                    added=to_time(at),
                )
            )  # fmt: skip
        return key

    def rekey(self, name: str, entropy: Entropy) -> str:
        """A new key; the old one is void at once."""
        consumer = self.get(name)
        key = KEY_START + entropy.take(32).hex()
        with self._database.writing() as connection:
            put_row(connection, tables.consumers, {"name": consumer.name},
                    {"key": key_hash(key), "state": "live"})  # fmt: skip
        return key

    def revoke(self, name: str) -> None:
        """Void the consumer's key. Its usage stays."""
        consumer = self.get(name)
        with self._database.writing() as connection:
            put_row(connection, tables.consumers, {"name": consumer.name}, {"state": "revoked"})

    def get(self, name: str) -> Consumer:
        """The consumer of that name; `Refusal` ``consumer.unknown`` naming those there are."""
        found = {c.name: c for c in self.all().values()}
        if name not in found:
            raise Refusal("consumer.unknown", f"there is no consumer {name[:64]!r}",
                          remedy=f"use one of those there are ({', '.join(sorted(found)) or 'none'})")  # fmt: skip
        return found[name]

    def all(self) -> dict[str, Consumer]:
        """Every consumer by the hash of its key."""
        with self._database.reading() as connection:
            rows = connection.execute(select(tables.consumers).order_by(tables.consumers.c.name))
            return {row.key: _consumer(row) for row in rows}

    def count(self, day: date, used: Mapping[tuple[str, str], tuple[int, int]]) -> None:
        """Add (requests, values) by (consumer, product) to a day's usage."""
        table = tables.usage
        with self._database.writing() as connection:
            for (consumer, product), (requests, values) in used.items():
                key = {"day": day.isoformat(), "consumer": consumer, "product": product}
                where = [table.c[name] == value for name, value in key.items()]
                more = {
                    table.c.requests: table.c.requests + requests,
                    table.c["values"]: table.c["values"] + values,
                }
                changed = connection.execute(table.update().where(*where).values(more))
                if not changed.rowcount:
                    connection.execute(
                        table.insert().values({**key, "requests": requests, "values": values})
                    )

    def usage(self, first: date, last: date) -> list[dict[str, Any]]:
        """Rows (day, consumer, product, requests, values) from ``first`` to ``last``, both included."""
        table = tables.usage
        query = (
            select(table)
            .where(table.c.day >= first.isoformat(), table.c.day <= last.isoformat())
            .order_by(table.c.day, table.c.consumer, table.c.product)
        )
        with self._database.reading() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]


def key_hash(key: str) -> str:
    """How the store knows a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def signature(secret: str, moment: int, body: bytes) -> str:
    """What a webhook's header carries: HMAC-SHA256 over time and body, hexadecimal."""
    return hmac.new(secret.encode(), f"{moment}.".encode() + body, "sha256").hexdigest()


def _rules(consumer: Consumer) -> str:
    fields = asdict(consumer)
    del fields["name"], fields["state"]
    fields["expires"] = consumer.expires.isoformat() if consumer.expires else None
    return to_text(fields)


def _consumer(row: Row[Any]) -> Consumer:
    fields = from_text(row.rules)
    expires = date.fromisoformat(fields["expires"]) if fields["expires"] else None
    made = Consumer(row.name, (), state=row.state)
    return replace(
        made, **{**fields, "scopes": tuple(fields["scopes"]), "products": tuple(fields["products"]),
                 "expires": expires}
    )  # fmt: skip


def _check(consumer: Consumer) -> None:
    unknown = [s for s in consumer.scopes if s not in SCOPES]
    problem = ""
    if _NAME.fullmatch(consumer.name) is None:
        problem = "its name is not 3 to 64 lower-case letters, digits and hyphens"
    elif unknown or not consumer.scopes:
        problem = f"its scopes are not among {', '.join(SCOPES)}"
    elif consumer.quota < 1 or not 0 < consumer.rate <= 1e6:
        problem = "quota and rate must be above zero"
    if problem:
        raise Refusal(
            "consumer.malformed", f"the consumer cannot be added: {problem}", remedy="correct it"
        )
