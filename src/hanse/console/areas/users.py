"""Users, their roles and departments: for admins, and for auditors to look at."""

from __future__ import annotations

from itertools import groupby
from typing import Annotated, Any

from fastapi import Form, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from hanse.console.area import Area, desk_of, user_of
from hanse.console.areas.session import provider_of, user_body
from hanse.console.matrix import MATRIX, ROLES
from hanse.console.pages import go, page
from hanse.console.refusals import status_of
from hanse.errors import HanseError, Refusal
from hanse.node.faces import users

api = Area("/api/v1", api=True)
pages = Area()


class NewUser(BaseModel):
    """Somebody who shall use the console."""

    name: str = Field(max_length=64)
    shown: str = Field(max_length=64)
    department: str = Field(max_length=64)
    roles: list[str] = Field(max_length=len(ROLES))


class ChangedUser(BaseModel):
    """What is to change; what is left out stays."""

    roles: list[str] | None = Field(default=None, max_length=len(ROLES))
    department: str | None = Field(default=None, max_length=64)
    off: bool | None = None


class Account(BaseModel):
    """Who somebody is at the sign-on provider: the claim ``sub`` of its ID token."""

    subject: str = Field(min_length=1, max_length=255)


@api.get("/users", "user.read", tags=["users"])
def list_users(request: Request) -> dict[str, Any]:
    """Everybody: how many sessions each has open, and who may sign in at the provider."""
    return {"rows": _rows(request)}


@api.get("/roles", "user.read", tags=["users"])
def list_roles() -> dict[str, Any]:
    """What each role may do."""
    return {"roles": {role: [a for a, who in MATRIX.items() if role in who] for role in ROLES}}


@api.post("/users", "user.change", tags=["users"], status_code=201)
def add_user(request: Request, body: NewUser) -> dict[str, Any]:
    """A new user, and the password to hand over; it must be changed at the first sign-in."""
    user, password = desk_of(request).users.add(
        body.name, body.shown, body.department, body.roles, user_of(request).name
    )
    return {"user": user_body(user), "password": password}


@api.post("/users/{name}", "user.change", tags=["users"])
def change_user(request: Request, name: str, body: ChangedUser) -> dict[str, Any]:
    """Other roles, another department, off or on."""
    user = desk_of(request).users.change(
        name, by=user_of(request).name, roles=body.roles, department=body.department, off=body.off
    )
    return {"user": user_body(user)}


@api.post("/users/{name}/reset", "user.change", tags=["users"])
def reset_user(request: Request, name: str) -> dict[str, Any]:
    """A new password to hand over; codes and lock-outs are taken off, sessions end."""
    return {"name": name, "password": desk_of(request).users.reset(name, user_of(request).name)}


@api.post("/users/{name}/account", "user.change", tags=["users"])
def link_user(request: Request, name: str, body: Account) -> dict[str, Any]:
    """Let a user sign in at the provider."""
    return _link(request, name, body.subject)


@api.delete("/users/{name}/account", "user.change", tags=["users"])
def unlink_user(request: Request, name: str) -> dict[str, Any]:
    """Take a user's account at the provider off; the user's sessions end."""
    users.unlink_user(desk_of(request).office, name, user_of(request).name)
    return {"name": name, "provider": False}


def _link(request: Request, name: str, subject: str) -> dict[str, Any]:
    found = desk_of(request).sign_on
    if found is None:
        raise Refusal("oidc.none", "this console has no sign-on provider",
                      remedy="write [console.oidc] into hanse.toml first")  # fmt: skip
    found.link(name, subject, user_of(request).name)
    return {"name": name, "provider": True}


def _rows(request: Request) -> list[dict[str, Any]]:
    desk = desk_of(request)
    opened, elsewhere = desk.users.open_sessions(), users.linked(desk.office)
    return [
        {**user_body(u), "sessions": opened.get(u.name, 0), "provider": u.name in elsewhere}
        for u in desk.users.all()
    ]


# --- pages ------------------------------------------------------------------------------------------


@pages.get("/users", "user.read")
def users_page(request: Request) -> Response:
    """Everybody, by department."""
    return _page(request)


@pages.post("/users", "user.change")
def add_on_page(
    request: Request, name: Annotated[str, Form()] = "", shown: Annotated[str, Form()] = "",
    department: Annotated[str, Form()] = "", roles: Annotated[list[str], Form()] = [],  # noqa: B006 (FastAPI copies)
) -> Response:  # fmt: skip
    """A new user; the page shows the password once."""
    try:
        user, password = desk_of(request).users.add(
            name, shown, department, roles, user_of(request).name
        )
    except HanseError as error:
        return _page(request, error=error)
    return _page(request, made=(user.name, password))


@pages.post("/users/{name}/change", "user.change")
def change_on_page(
    request: Request, name: str, department: Annotated[str, Form()] = "",
    roles: Annotated[list[str], Form()] = [], off: Annotated[str, Form()] = "",  # noqa: B006
) -> Response:  # fmt: skip
    """Other roles, another department, off or on."""
    try:
        desk_of(request).users.change(
            name, by=user_of(request).name, roles=roles, department=department, off=bool(off)
        )
    except HanseError as error:
        return _page(request, error=error)
    return go("/users")


@pages.post("/users/{name}/reset", "user.change")
def reset_on_page(request: Request, name: str) -> Response:
    """A new password, which the page shows once."""
    try:
        password = desk_of(request).users.reset(name, user_of(request).name)
    except HanseError as error:
        return _page(request, error=error)
    return _page(request, made=(name, password))


@pages.post("/users/{name}/account", "user.change")
def account_on_page(
    request: Request, name: str, subject: Annotated[str, Form()] = "", off: Annotated[str, Form()] = ""
) -> Response:  # fmt: skip
    """The user's account at the provider: which one, or none any more."""
    try:
        if off:
            users.unlink_user(desk_of(request).office, name, user_of(request).name)
        else:
            _link(request, name, subject.strip())
    except HanseError as error:
        return _page(request, error=error)
    return go("/users")


def _page(
    request: Request, error: HanseError | None = None, made: tuple[str, str] | None = None
) -> Response:
    rows = _rows(request)
    departments = [(name, list(found)) for name, found in groupby(rows, lambda r: r["department"])]
    return page(
        request, "users/users.html", status=status_of(error) if error else 200, departments=departments,
        roles=ROLES, actions=list(MATRIX), matrix=MATRIX, made=made,
        error=error.public() if error else None, provider=provider_of(request),
    )  # fmt: skip
