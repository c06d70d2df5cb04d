"""The door: signing in and out, language and look, whether the console lives."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Form, Request
from pydantic import BaseModel, Field
from starlette.responses import HTMLResponse, RedirectResponse, Response

from hanse import __version__
from hanse.console.area import Area, client_of, desk_of, handle_of, session_of
from hanse.console.desk import Desk
from hanse.console.pages import LANGUAGE_COOKIE, LOOK_COOKIE, LOOKS, go, page, within
from hanse.console.refusals import status_of
from hanse.console.wording import LANGUAGES
from hanse.errors import HanseError
from hanse.node.faces.users import Session, User

api = Area("/api/v1", api=True)
pages = Area()
_YEAR = 365 * 86400


class SignIn(BaseModel):
    """Who comes in."""

    name: str = Field(max_length=64)
    password: str = Field(max_length=1024)
    code: str = Field(
        default="", max_length=16, description="A one-time code, if the user has them."
    )


@api.post("/session", "session.open", tags=["session"], status_code=201)
def open_session(request: Request, body: SignIn) -> dict[str, Any]:
    """Sign in as a program: send ``handle`` as a bearer token from now on."""
    session = _sign_in(request, body.name, body.password, body.code)
    return {"handle": session.handle, "user": user_body(session.user)}


@api.get("/session", "account.read", tags=["session"])
def read_session(request: Request) -> dict[str, Any]:
    """Who is signed in."""
    return {"user": user_body(session_of(request).user)}


@api.delete("/session", "session.close", tags=["session"], status_code=204)
def close_session(request: Request) -> None:
    """Sign out."""
    desk_of(request).users.sign_out(session_of(request))


@api.get("/health", "health.read", tags=["node"])
def health() -> dict[str, str]:
    """Whether the console lives; nothing about the node."""
    return {"console": "lives", "version": __version__}


def user_body(user: User) -> dict[str, Any]:
    """A user as plain values, without what is secret."""
    return {
        "name": user.name, "shown": user.shown, "department": user.department, "roles": list(user.roles),
        "state": user.state, "codes": user.has_code, "created": user.created.isoformat(),
    }  # fmt: skip


# --- pages ------------------------------------------------------------------------------------------


@pages.get("/sign-in", "session.open")
def sign_in_page(request: Request) -> Response:
    """The form."""
    if request.state.session is not None:
        return go("/")
    return page(request, "session/sign_in.html", error=None, name="", provider=provider_of(request))


@pages.post("/sign-in", "session.open")
def sign_in(
    request: Request, name: Annotated[str, Form()] = "", password: Annotated[str, Form()] = "",
    code: Annotated[str, Form()] = "",
) -> Response:  # fmt: skip
    """A new session, whatever handle the browser brought."""
    try:
        session = _sign_in(request, name, password, code)
    except HanseError as error:
        return page(
            request,
            "session/sign_in.html",
            status=status_of(error),
            error=error.public(),
            name=name[:64],
            provider=provider_of(request),
        )
    response = go("/")
    give_cookie(response, desk_of(request), session)
    return response


@pages.post("/sign-out", "session.close")
def sign_out(request: Request) -> Response:
    """End the session."""
    desk = desk_of(request)
    desk.users.sign_out(session_of(request))
    response = go("/sign-in")
    response.delete_cookie(desk.cookie, path="/", secure=desk.settings.secure, httponly=True)
    return response


@pages.get("/look", "look.choose")
def choose_look(request: Request, language: str = "", look: str = "", back: str = "/") -> Response:
    """Another language, or another look, from now on in this browser."""
    response = go(within(back))
    secure = desk_of(request).settings.secure
    for cookie, value, known in (
        (LANGUAGE_COOKIE, language, LANGUAGES),
        (LOOK_COOKIE, look, LOOKS),
    ):
        if value in known:
            response.set_cookie(
                cookie, value, max_age=_YEAR, samesite="lax", secure=secure, httponly=True
            )
    return response


def give_cookie(response: HTMLResponse | RedirectResponse, desk: Desk, session: Session) -> None:
    """Hand the session to the browser."""
    response.set_cookie(
        desk.cookie,
        session.handle,
        httponly=True,
        samesite="lax",
        secure=desk.settings.secure,
        path="/",
    )


def provider_of(request: Request) -> str:
    """What the sign-on provider is called, "" without one."""
    found = desk_of(request).sign_on
    return "" if found is None else found.settings.title


def end_brought(request: Request) -> None:
    """End the session whose handle the browser brought: signing in never goes on with it."""
    desk = desk_of(request)
    old = desk.users.session(handle_of(desk, request)[0])
    if old is not None:
        desk.users.sign_out(old)


def _sign_in(request: Request, name: str, password: str, code: str) -> Session:
    desk = desk_of(request)
    desk.sign_ins.take(client_of(desk, request))
    session = desk.users.sign_in(name, password, code)
    end_brought(request)
    return session
