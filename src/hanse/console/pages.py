"""Rendering: templates, their filters, and what every page knows of who looks at it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.responses import HTMLResponse, RedirectResponse

from hanse import __version__
from hanse.console.matrix import MATRIX, may
from hanse.console.wording import LANGUAGES, Words, chosen

LANGUAGE_COOKIE = "hanse-language"
LOOK_COOKIE = "hanse-look"
LOOKS = ("auto", "light", "dark")


@cache
def environment() -> Environment:
    """The templates; everything that is put into a page is escaped, and nothing may be missing."""
    made = Environment(
        loader=PackageLoader("hanse.console"), autoescape=select_autoescape(default=True),
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters.update(
        moment=moment,
        day=day,
        count=count,
        short=short,
        size=size,
        took=took,
        decimal=decimal,
        q=in_path,
    )
    made.globals.update(static=static, query=query)
    return made


def page(request: Request, template: str, status: int = 200, **facts: Any) -> HTMLResponse:
    """A page. Signed in or not: templates look at ``user``."""
    desk = request.app.state.desk
    session = getattr(request.state, "session", None)
    user = session.user if session is not None else None
    words = words_of(request)
    look = request.cookies.get(LOOK_COOKIE, "auto")
    text = environment().get_template(template).render(
        request=request, t=words, language=words.language, languages=LANGUAGES,
        look=look if look in LOOKS else "auto", user=user,
        form_key=session.form if session is not None else "",
        may=lambda action: user is not None and action in MATRIX and may(user.roles, action),
        party=desk.party, organisation=desk.organisation, version=__version__, here=request.url.path,
        **facts,
    )  # fmt: skip
    return HTMLResponse(text, status_code=status)


def words_of(request: Request) -> Words:
    """The words of whoever looks."""
    cookie = request.cookies.get(LANGUAGE_COOKIE, "")
    return Words(chosen(cookie, request.headers.get("accept-language", "")))


def go(path: str) -> RedirectResponse:
    """To another page of ours, after a form."""
    return RedirectResponse(path, status_code=303)


def within(path: str) -> str:
    """``path`` if it is a page of ours, else the first page: nobody is sent elsewhere."""
    bad = (
        not path.startswith("/") or path.startswith(("//", "/\\")) or any(ord(c) < 33 for c in path)
    )
    return "/" if bad else path


# --- filters ----------------------------------------------------------------------------------------


def moment(value: str | datetime | None) -> str:
    """A time in UTC, to the minute."""
    if not value:
        return ""
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def day(value: str | date | None) -> str:
    """A day."""
    return str(value or "")[:10]


def count(value: float | None) -> str:
    """A whole number with its thousands apart."""
    return "" if value is None else f"{value:,.0f}"


def decimal(value: float | None, places: int = 2) -> str:
    """A number with so many places."""
    return "" if value is None else f"{value:,.{places}f}"


def short(value: str) -> str:
    """The first digits of a hash."""
    return value[:12]


def size(value: float) -> str:
    """Bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} TB"


def took(seconds: float | None) -> str:
    """A duration."""
    return "" if seconds is None else f"{seconds:,.1f} s"


def in_path(value: object) -> str:
    """A value as one part of a path."""
    return quote(str(value), safe="")


def query(**parts: object) -> str:
    """A query string of what is not empty, its question mark included."""
    given = {key: value for key, value in parts.items() if value not in (None, "")}
    return f"?{urlencode(given)}" if given else ""


@cache
def static(name: str) -> str:
    """The address of one of our files; it changes when the file does."""
    data = files("hanse.console").joinpath("static", *name.split("/")).read_bytes()
    return f"/static/{name}?{sha256(data).hexdigest()[:12]}"
