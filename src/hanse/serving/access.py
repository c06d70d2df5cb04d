"""What every route does with a request: its key, a ready answer or 304, metering."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

from fastapi import Request
from starlette.responses import Response

from hanse.errors import Refusal
from hanse.node.products.consumers import Consumer
from hanse.serving.desk import Answer, Desk

_BEARER = "bearer "


def key_of(request: Request) -> str:
    """The key that came with the request, "" if none did."""
    said = request.headers.get("authorization", "")
    return said[len(_BEARER) :].strip() if said[: len(_BEARER)].lower() == _BEARER else ""


def respond(
    desk: Desk, request: Request, consumer: Consumer, product: str, answer: Answer
) -> Response:
    """The answer, or 304 for whoever has it; metered either way (a 304 counts no values)."""
    headers = {"ETag": answer.tag, "Cache-Control": "private, no-cache"}
    if has_it(request, answer.tag):
        desk.count(consumer, product, 0)
        return Response(status_code=304, headers=headers)
    desk.count(consumer, product, answer.values)
    headers["X-Quota-Left"] = str(desk.left(consumer))
    return Response(answer.body, media_type="application/json", headers=headers)


def has_it(request: Request, tag: str) -> bool:
    """Whether whoever asks has the answer of this tag already."""
    header = request.headers.get("if-none-match", "")
    tags = [part.strip().removeprefix("W/") for part in header.split(",")]
    return tag in tags or "*" in tags


def text_of(body: Mapping[str, Any]) -> bytes:
    """A body as it is sent."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def day_of(text: str | None, name: str) -> date | None:
    """A date of the request; `Refusal` ``api.value`` for what is none."""
    if text is None or text == "":
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Refusal(
            "api.value", f"{name} is not a date", remedy="write it as 2026-01-31", where=name
        ) from error
