"""Webhooks: addresses that are told when a product changed, and how far each has been told."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Row, func, select

from hanse.entropy import Entropy
from hanse.errors import Refusal
from hanse.node.storage import tables
from hanse.node.storage.database import Database
from hanse.node.storage.rows import from_text, from_time, put_row, remove_row, to_text, to_time

# Waits between tries: 10 s, doubling, an hour at most. Nothing is dropped: what is due waits for the address.
FIRST_WAIT = timedelta(seconds=10)
LONGEST_WAIT = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Webhook:
    """``sent`` is the number of the last change that was delivered; ``problem`` why the last try failed."""

    name: str
    consumer: str
    url: str
    product: str
    secret: str
    sent: int
    tries: int
    due: datetime
    problem: str

    def failed(self, problem: str, now: datetime) -> Webhook:
        """After a try that failed."""
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(self.tries, 20))
        return replace(self, tries=self.tries + 1, due=now + wait, problem=problem[:300])

    def delivered(self, number: int, now: datetime) -> Webhook:
        """After changes up to ``number`` were taken."""
        return replace(self, sent=number, tries=0, due=now, problem="")


class Webhooks:
    """The webhooks of a node's store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self, name: str, consumer: str, url: str, product: str, entropy: Entropy, at: datetime
    ) -> Webhook:
        """Add a webhook, told of changes from now on. Raises `Refusal` ``webhook.url`` or ``webhook.exists``."""
        _check_url(url)
        secret = entropy.take(32).hex()
        numbers = tables.published.c
        with self._database.writing() as connection:
            last = connection.execute(
                select(func.coalesce(func.max(numbers.number), 0)).where(numbers.product == product)
            ).scalar_one()
            known = select(tables.webhooks.c.name).where(tables.webhooks.c.name == name)
            if connection.execute(known).first() is not None:
                raise Refusal("webhook.exists", f"there is a webhook {name[:64]!r} already",
                              remedy="choose another name, or remove it first")  # fmt: skip
            hook = Webhook(name, consumer, url, product, secret, last, 0, at, "")
            put_row(connection, tables.webhooks, {"name": name}, _fields(hook))
        return hook

    def keep(self, hook: Webhook) -> None:
        """Write down how a try went; nothing happens if the webhook was removed meanwhile."""
        table = tables.webhooks
        with self._database.writing() as connection:
            connection.execute(
                table.update().where(table.c.name == hook.name).values(**_fields(hook))
            )

    def remove(self, name: str) -> None:
        """Forget a webhook; `Refusal` ``webhook.unknown`` if there is none."""
        if not remove_row(self._database, tables.webhooks, {"name": name}):
            raise Refusal("webhook.unknown", f"there is no webhook {name[:64]!r}",
                          remedy="see 'hanse webhook list'")  # fmt: skip

    def all(self) -> list[Webhook]:
        """Every webhook, by name."""
        with self._database.reading() as connection:
            rows = connection.execute(select(tables.webhooks).order_by(tables.webhooks.c.name))
            return [_webhook(row) for row in rows]


def _fields(hook: Webhook) -> dict[str, Any]:
    rules = {"consumer": hook.consumer, "url": hook.url, "product": hook.product}
    return {"rules": to_text(rules), "secret": hook.secret, "sent": hook.sent, "tries": hook.tries,
            "due": to_time(hook.due), "problem": hook.problem}  # fmt: skip


def _webhook(row: Row[Any]) -> Webhook:
    rules = from_text(row.rules)
    return Webhook(row.name, rules["consumer"], rules["url"], rules["product"], row.secret, row.sent,
                   row.tries, from_time(row.due), row.problem)  # fmt: skip


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    good = parts.scheme == "https" or (parts.scheme == "http" and local)
    if not host or not good or parts.username is not None or port == 0 or len(url) > 2000:
        raise Refusal("webhook.url", "the address of a webhook must be https:// (http:// only on this machine), "
                      "without a user name", remedy="correct the address")  # fmt: skip
