"""Consumers of the serving API and webhooks, as rows of plain values; keys and secrets come out once, when made.

Also what the API asks of the running node: the score of one row.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

from hanse.clock import Clock
from hanse.entropy import SystemEntropy
from hanse.errors import Refusal
from hanse.node.faces import facade, model_pages
from hanse.node.office import NodeOffice
from hanse.node.products.consumers import SCOPES, Consumer

Document = dict[str, Any]
__all__ = ["SCOPES"]
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{2,63}")
_MOST_PRODUCTS = 200


def consumers(office: NodeOffice, clock: Clock) -> list[Document]:
    """Every consumer, what it may read, and how much it read today; never its key."""
    today = clock.now().date()
    used: dict[str, int] = {}
    for row in office.store.consumers.usage(today, today):
        used[str(row["consumer"])] = used.get(str(row["consumer"]), 0) + int(row["values"])
    return [_row(c, used.get(c.name, 0), today) for c in office.store.consumers.all().values()]


def _row(c: Consumer, used: int, today: date) -> Document:
    over = c.state == "live" and c.expires is not None and today >= c.expires
    return {
        "name": c.name, "state": "expired" if over else c.state, "scopes": list(c.scopes),
        "products": list(c.products), "quota": c.quota, "rate": c.rate, "contract": c.contract,
        "expires": c.expires.isoformat() if c.expires else None, "used_today": used,
    }  # fmt: skip


def add_consumer(office: NodeOffice, clock: Clock, document: Document) -> Document:
    """Let a system read; ``key`` is in the answer and nowhere else. Raises `Refusal` ``consumer.*``."""
    made = Consumer(
        str(document["name"]), tuple(document["scopes"]), tuple(document.get("products") or ()),
        int(document.get("quota") or 1_000_000), float(document.get("rate") or 100.0),
        _day(str(document.get("expires") or "")), str(document.get("contract") or ""),
    )  # fmt: skip
    if len(made.products) > _MOST_PRODUCTS or any(len(p) > 64 for p in made.products):
        raise Refusal("consumer.malformed", "the consumer has too many products, or names that none has",
                      remedy=f"give {_MOST_PRODUCTS} at most, or none for all")  # fmt: skip
    if made.contract:
        office.contract(made.contract)
    key = office.store.consumers.add(made, SystemEntropy(), clock.now())
    office.ledger.append(
        "consumer", {"name": made.name, "scopes": list(made.scopes), "state": "live"}
    )
    return {"name": made.name, "key": key}


def rekey_consumer(office: NodeOffice, name: str) -> Document:
    """A new key, in the answer and nowhere else; the old one is void at once."""
    key = office.store.consumers.rekey(name, SystemEntropy())
    office.ledger.append("consumer", {"name": name, "state": "rekeyed"})
    return {"name": name, "key": key}


def revoke_consumer(office: NodeOffice, name: str) -> Document:
    """Void a consumer's key."""
    office.store.consumers.revoke(name)
    office.ledger.append("consumer", {"name": name, "state": "revoked"})
    return {"name": name, "state": "revoked"}


def webhooks(office: NodeOffice) -> list[Document]:
    """Every webhook and how far it has been told; never its secret."""
    return [
        {"name": h.name, "consumer": h.consumer, "product": h.product, "url": h.url, "sent": h.sent,
         "tries": h.tries, "due": h.due.isoformat(), "problem": h.problem}
        for h in office.store.webhooks.all()
    ]  # fmt: skip


def add_webhook(
    office: NodeOffice, clock: Clock, name: str, consumer: str, product: str, url: str
) -> Document:
    """Tell an address of every change of a product from now on; ``secret`` is in the answer and nowhere else."""
    if _NAME.fullmatch(name) is None:
        raise Refusal("webhook.malformed", "a webhook's name is 3 to 64 lower-case letters, digits and hyphens",
                      remedy="choose another name")  # fmt: skip
    if not office.store.consumers.get(consumer).may("crowds", product):
        raise Refusal("webhook.scope", f"{consumer} may not read crowds of {product[:64]}",
                      remedy="give the consumer the scope and the product first")  # fmt: skip
    if product not in {p.name for p in office.store.publications.products()}:
        raise Refusal("product.unknown", f"there is no product {product[:64]!r}",
                      remedy="publish it first: hanse publish")  # fmt: skip
    hook = office.store.webhooks.add(name, consumer, url, product, SystemEntropy(), clock.now())
    office.ledger.append(
        "webhook", {"name": name, "consumer": consumer, "product": product, "url": url}
    )
    return {"name": name, "secret": hook.secret}


def remove_webhook(office: NodeOffice, name: str) -> Document:
    """Forget a webhook."""
    office.store.webhooks.remove(name)
    office.ledger.append("webhook", {"name": name, "removed": True})
    return {"name": name}


def score_one(office: NodeOffice, folder: Path, model: str, id_text: str) -> Document:
    """The score of one row, asked of all parties of a model now: {"score"} or {"scores"} by class, the other None.

    Raises what refuses the job, ``node.stopped``, or ``model.no-row`` if not all parties have the row.
    """
    question = model_pages.scoring_one(office, model, id_text)
    answer = facade.ask(folder, {"verb": "run", "question": question})
    told: dict[str, float] = model_pages.score_told(answer)["scores"]
    single = set(told) == {"score"}
    return {"score": told["score"] if single else None, "scores": None if single else told}


def _day(text: str) -> date | None:
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Refusal("consumer.malformed", "the consumer cannot be added: the day on which it expires is no date",
                      remedy="write it like 2026-12-31") from error  # fmt: skip
