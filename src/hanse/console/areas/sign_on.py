"""The other door: out to the organisation's sign-on provider (OpenID Connect), and back with a code."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request
from starlette.responses import RedirectResponse, Response

from hanse.console.area import Area, client_of, desk_of
from hanse.console.areas.session import end_brought, give_cookie, provider_of
from hanse.console.pages import go, page
from hanse.console.refusals import status_of
from hanse.errors import HanseError, Refusal
from hanse.node.faces.users import SignOn

pages = Area()
_TEN_MINUTES = 600
Given = Annotated[str, Query(max_length=4096)]


@pages.get("/sign-in/oidc", "session.open")
def leave(request: Request) -> Response:
    """To the provider. The browser keeps what only it can bring back."""
    desk = desk_of(request)
    try:
        desk.sign_ins.take(client_of(desk, request))
        begun = _sign_on(request).begin()
    except HanseError as error:
        return _door(request, error)
    response = RedirectResponse(begun.address, status_code=303)
    response.set_cookie(
        _cookie(request), begun.held, max_age=_TEN_MINUTES, httponly=True, samesite="lax",
        secure=desk.settings.secure, path="/",
    )  # fmt: skip
    return response


@pages.get("/sign-in/oidc/back", "session.open")
def come_back(
    request: Request, state: Given = "", code: Given = "", error: Given = "", iss: Given = ""
) -> Response:
    """From the provider: a session, or the sign-in page with what went wrong. Nothing leads elsewhere."""
    desk = desk_of(request)
    try:
        desk.sign_ins.take(client_of(desk, request))
        held = request.cookies.get(_cookie(request), "")
        session = _sign_on(request).end(held, state, code, error, iss)
    except HanseError as refused:
        response = _door(request, refused)
    else:
        end_brought(request)
        response = go("/")
        give_cookie(response, desk, session)
    response.delete_cookie(_cookie(request), path="/", secure=desk.settings.secure, httponly=True)
    return response


def _door(request: Request, error: HanseError) -> Response:
    if error.code == "page.unknown":
        raise error
    return page(
        request, "session/sign_in.html", status=status_of(error), error=error.public(), name="",
        provider=provider_of(request),
    )  # fmt: skip


def _sign_on(request: Request) -> SignOn:
    found = desk_of(request).sign_on
    if found is None:
        raise Refusal("page.unknown", "there is nothing at this address", remedy="see the pages")
    return found


def _cookie(request: Request) -> str:
    return f"{desk_of(request).cookie}-oidc"
