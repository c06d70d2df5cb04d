"""Around every request: whom it asks for, how long it is, and the headers that every answer carries."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hanse.console.settings import Settings
from hanse.errors import Refusal

USUAL_BYTES = 1 << 20
# Uploads by path: lists of places, bundles of contracts.
LARGER: tuple[tuple[str, int], ...] = (
    ("/api/v1/places", 64 << 20),
    ("/places", 64 << 20),
    ("/api/v1/contracts", 8 << 20),
    ("/contracts", 8 << 20),
    ("/api/v1/evidence/check", 64 << 20),
    ("/evidence/check", 64 << 20),
    ("/api/v1/products/", 16 << 20),
    ("/products/", 16 << 20),
    ("/api/v1/publications", 16 << 20),
    ("/publications", 16 << 20),
)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_STYLE = re.compile(r"<style[^>]*>(.*?)</style>", re.DOTALL | re.IGNORECASE)


def policy_of(document: str) -> str:
    """The policy of a page that we made elsewhere: only the styles that are in it, by their hashes; no scripts."""
    styles = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'"
        for style in _STYLE.findall(document)
    )
    return f"default-src 'none'; style-src {styles or chr(39) + 'none' + chr(39)}; img-src data:; sandbox"


class Hardening:
    """ASGI: refuses foreign hosts and long bodies, adds the headers."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._hosts = settings.hosts
        self._secure = settings.secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        answer = self._wrap(send, scope["path"])
        if _host(headers.get("host", "")) not in self._hosts:
            await _refuse(scope, receive, answer, 421, Refusal(
                "request.host", "the console is not reached by this name",
                remedy="use its own address, or give the name with --name"))  # fmt: skip
            return
        most = next((n for path, n in LARGER if scope["path"].startswith(path)), USUAL_BYTES)
        long = Refusal("request.size", f"the request is longer than {most >> 20} MiB",
                       remedy="send less at once, or use the command line")  # fmt: skip
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > most:
            await _refuse(scope, receive, answer, 413, long)
            return
        await self._app(scope, _Counted(receive, most), answer)

    def _wrap(self, send: Send, path: str) -> _Answer:
        more = dict(_HEADERS)
        if self._secure:
            more["Strict-Transport-Security"] = "max-age=31536000"
        kept = path.startswith("/static/")
        more["Cache-Control"] = "public, max-age=3600" if kept else "no-store"
        return _Answer(send, more.items())


class _Counted:
    """A receive that ends when more comes than is let in, whatever the length was said to be."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive = receive
        self._left = most

    async def __call__(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(413, "the request is longer than is let in")
        return message


class _Answer:
    """A send that adds headers where they are not set."""

    def __init__(self, send: Send, more: Iterable[tuple[str, str]]) -> None:
        self._send = send
        self._more = list(more)

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.setdefault("Content-Security-Policy", POLICY)
            for name, value in self._more:
                headers.setdefault(name, value)
        await self._send(message)


async def _refuse(scope: Scope, receive: Receive, send: Send, status: int, error: Refusal) -> None:
    response = JSONResponse(error.public(), status_code=status, headers={"Connection": "close"})
    await response(scope, receive, send)


def _host(header: str) -> str:
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.rpartition(":")[0] if ":" in header else header
