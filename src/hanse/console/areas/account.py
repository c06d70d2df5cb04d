"""Oneself: password and one-time codes."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Form, Request
from starlette.responses import Response

from hanse.console.area import Area, desk_of, session_of
from hanse.console.areas.session import give_cookie
from hanse.console.pages import go, page
from hanse.console.refusals import status_of
from hanse.errors import HanseError, Refusal

pages = Area()
_SECRET = re.compile("[A-Z2-7]{16,64}")


@pages.get("/account", "account.read")
def account(request: Request) -> Response:
    """What the user can change of itself."""
    return _page(request, None)


@pages.post("/account/password", "account.change")
def choose_password(
    request: Request, old: Annotated[str, Form()] = "", new: Annotated[str, Form()] = "",
    again: Annotated[str, Form()] = "",
) -> Response:  # fmt: skip
    """Another password; this browser stays in, all others are out."""
    desk, session = desk_of(request), session_of(request)
    try:
        if new != again:
            raise Refusal("user.password", "the new password was typed in two ways",
                          remedy="type it the same way twice")  # fmt: skip
        fresh = desk.users.choose_password(session, old, new)
    except HanseError as error:
        return _page(request, error)
    response = go("/account")
    give_cookie(response, desk, fresh)
    return response


@pages.get("/account/codes", "account.read")
def codes(request: Request) -> Response:
    """A new secret for an authenticator."""
    return _codes(request, desk_of(request).users.new_code_secret(), None)


@pages.post("/account/codes", "account.change")
def start_codes(
    request: Request, password: Annotated[str, Form()] = "", secret: Annotated[str, Form()] = "",
    code: Annotated[str, Form()] = "",
) -> Response:  # fmt: skip
    """Ask for codes from now on."""
    try:
        desk_of(request).users.start_codes(session_of(request), password, secret[:64], code)
    except HanseError as error:
        return _codes(request, secret[:64], error)
    return go("/account")


@pages.post("/account/codes/off", "account.change")
def stop_codes(request: Request, password: Annotated[str, Form()] = "") -> Response:
    """Ask for none any more."""
    try:
        desk_of(request).users.stop_codes(session_of(request), password)
    except HanseError as error:
        return _page(request, error)
    return go("/account")


def _page(request: Request, error: HanseError | None) -> Response:
    return page(request, "account/account.html", status=status_of(error) if error else 200,
                error=error.public() if error else None)  # fmt: skip


def _codes(request: Request, secret: str, error: HanseError | None) -> Response:
    user = session_of(request).user
    if not _SECRET.fullmatch(secret):
        secret = desk_of(request).users.new_code_secret()
    return page(
        request, "account/codes.html", status=status_of(error) if error else 200,
        error=error.public() if error else None, secret=secret,
        address=desk_of(request).users.code_address(user, secret),
    )  # fmt: skip
