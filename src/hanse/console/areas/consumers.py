"""Consumers of the serving API and webhooks: made, given new keys, revoked. A key or secret is shown once."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Form, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from hanse.console.area import Area, about, desk_of
from hanse.console.pages import go, page
from hanse.console.refusals import status_of
from hanse.errors import HanseError, Refusal
from hanse.node.faces import products, serving

api = Area("/api/v1", api=True)
pages = Area()
Some = Annotated[str, Field(max_length=64)]


class NewConsumer(BaseModel):
    """A system that reads. No products: all. ``quota``: values a day; ``rate``: requests a second."""

    name: str = Field(max_length=64)
    scopes: list[Some] = Field(max_length=8)
    products: list[Some] = Field(default_factory=list, max_length=200)
    quota: int = Field(default=1_000_000, ge=1, le=1 << 50)
    rate: float = Field(default=100.0, gt=0, le=1e6)
    expires: str = Field(default="", max_length=10)
    contract: str = Field(default="", max_length=64)


class NewWebhook(BaseModel):
    """An address that is told of every change of a product, on a consumer's account."""

    name: str = Field(max_length=64)
    consumer: str = Field(max_length=64)
    product: str = Field(max_length=64)
    url: str = Field(max_length=2000)


@api.get("/consumers", "consumer.read", tags=["serving"])
def list_consumers(request: Request) -> dict[str, Any]:
    """Every consumer, what it may read, what it read today. Keys are not kept, so none is here."""
    desk = desk_of(request)
    return {"rows": serving.consumers(desk.office, desk.clock)}


@api.post("/consumers", "consumer.change", tags=["serving"], status_code=201)
def add_consumer(request: Request, body: NewConsumer) -> dict[str, Any]:
    """Let a system read. ``key`` is shown this once."""
    return _add(request, body)


@api.post("/consumers/{name}/key", "consumer.change", tags=["serving"], status_code=201)
def rekey_consumer(request: Request, name: str) -> dict[str, Any]:
    """A new key, shown this once; the old one is void at once."""
    return serving.rekey_consumer(desk_of(request).office, name)


@api.post("/consumers/{name}/revocation", "consumer.change", tags=["serving"])
def revoke_consumer(request: Request, name: str) -> dict[str, Any]:
    """Void a consumer's key."""
    return serving.revoke_consumer(desk_of(request).office, name)


@api.get("/webhooks", "consumer.read", tags=["serving"])
def list_webhooks(request: Request) -> dict[str, Any]:
    """Every webhook, and how far it has been told."""
    return {"rows": serving.webhooks(desk_of(request).office)}


@api.post("/webhooks", "webhook.change", tags=["serving"], status_code=201)
def add_webhook(request: Request, body: NewWebhook) -> dict[str, Any]:
    """Tell an address of every change of a product from now on. ``secret`` is shown this once."""
    return _hook(request, body)


@api.delete("/webhooks/{name}", "webhook.change", tags=["serving"])
def remove_webhook(request: Request, name: str) -> dict[str, Any]:
    """Forget a webhook."""
    return serving.remove_webhook(desk_of(request).office, name)


def _add(request: Request, body: NewConsumer) -> dict[str, Any]:
    desk = desk_of(request)
    about(request, consumer=body.name, scopes=" ".join(body.scopes))
    return serving.add_consumer(desk.office, desk.clock, body.model_dump())


def _hook(request: Request, body: NewWebhook) -> dict[str, Any]:
    desk = desk_of(request)
    about(request, webhook=body.name, consumer=body.consumer, product=body.product)
    return serving.add_webhook(
        desk.office, desk.clock, body.name, body.consumer, body.product, body.url
    )


# --- pages ------------------------------------------------------------------------------------------


@pages.get("/consumers", "consumer.read")
def consumers_page(request: Request) -> Response:
    """Consumers and webhooks."""
    return _page(request)


@pages.post("/consumers", "consumer.change")
def add_on_page(
    request: Request, name: Annotated[str, Form()] = "",
    scopes: Annotated[list[str], Form()] = [],  # noqa: B006 (FastAPI copies)
    products: Annotated[str, Form()] = "", quota: Annotated[str, Form()] = "",
    rate: Annotated[str, Form()] = "", expires: Annotated[str, Form()] = "",
    contract: Annotated[str, Form()] = "",
) -> Response:  # fmt: skip
    """Let a system read; the page shows its key once."""
    try:
        body = NewConsumer(
            name=name[:64], scopes=[s[:64] for s in scopes[:8]], products=products.split()[:200],
            quota=_number(quota, 1_000_000), rate=_number(rate, 100), expires=expires[:10],
            contract=contract.strip()[:64],
        )  # fmt: skip
        made = _add(request, body)
    except ValueError as error:
        return _page(request, _wrong(error))
    except HanseError as error:
        return _page(request, error)
    return _page(request, shown=("key", made["name"], made["key"]))


@pages.post("/consumers/{name}/rekey", "consumer.change")
def rekey_on_page(request: Request, name: str) -> Response:
    """A new key, which the page shows once."""
    try:
        made = serving.rekey_consumer(desk_of(request).office, name)
    except HanseError as error:
        return _page(request, error)
    return _page(request, shown=("key", name, made["key"]))


@pages.post("/consumers/{name}/revoke", "consumer.change")
def revoke_on_page(request: Request, name: str) -> Response:
    """Void its key."""
    serving.revoke_consumer(desk_of(request).office, name)
    return go("/consumers")


@pages.post("/webhooks", "webhook.change")
def hook_on_page(
    request: Request, name: Annotated[str, Form()] = "", consumer: Annotated[str, Form()] = "",
    product: Annotated[str, Form()] = "", url: Annotated[str, Form()] = "",
) -> Response:  # fmt: skip
    """Tell an address; the page shows the secret once."""
    try:
        made = _hook(request, NewWebhook(name=name[:64], consumer=consumer[:64], product=product[:64],
                                         url=url.strip()[:2000]))  # fmt: skip
    except HanseError as error:
        return _page(request, error)
    return _page(request, shown=("secret", made["name"], made["secret"]))


@pages.post("/webhooks/{name}/remove", "webhook.change")
def remove_on_page(request: Request, name: str) -> Response:
    """Forget it."""
    serving.remove_webhook(desk_of(request).office, name)
    return go("/consumers")


def _number(text: str, usual: int) -> int:
    return int(text) if text.strip() else usual


def _wrong(error: ValueError) -> Refusal:
    return Refusal("consumer.malformed", "the consumer cannot be added: quota or rate is no whole number",
                   remedy="correct the form", detail=str(error)[:200])  # fmt: skip


def _page(
    request: Request, error: HanseError | None = None, shown: tuple[str, str, str] | None = None
) -> Response:
    desk = desk_of(request)
    return page(
        request, "consumers/consumers.html", status=status_of(error) if error else 200,
        error=error.public() if error else None, shown=shown, scopes=serving.SCOPES,
        consumers=serving.consumers(desk.office, desk.clock), hooks=serving.webhooks(desk.office),
        products=[p["name"] for p in products.products(desk.office)],
    )  # fmt: skip
