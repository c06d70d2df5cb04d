"""An area of the console: a router whose every route names an action of the matrix and is guarded by it.

Before a handler runs: the session is found, its user's roles are compared with the matrix, and a request that
changes anything carries the key of the session's forms. After it: what changed something is in the ledger, with
who did it and how it ended.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData

from hanse.console.desk import Desk
from hanse.console.matrix import MATRIX, PUBLIC, may
from hanse.console.refusals import ERRORS
from hanse.errors import HanseError, Refusal
from hanse.node.faces.users import FRESH, Session, User

ACTION = "x-hanse-action"
RECORD = "x-hanse-recorded"
FORM_FIELD = "form_key"
FORM_HEADER = "x-hanse-form"
_SAFE = ("GET", "HEAD")
_FRESH_MAY = ("account.read", "account.change", "session.close")
_OWN_RECORD = ("session.open", "session.close", "account.change", "look.choose", "user.change")
H = TypeVar("H", bound=Callable[..., Any])


def desk_of(request: Request) -> Desk:
    """The desk of the console that got this request."""
    desk: Desk = request.app.state.desk
    return desk


def session_of(request: Request) -> Session:
    """The session of a guarded request."""
    session: Session = request.state.session
    return session


def user_of(request: Request) -> User:
    """Who asks, in a guarded request."""
    return session_of(request).user


class GuardedRoute(APIRoute):
    """A route that looks at its action before anything else."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        action = action_of(self)
        recorded = bool((self.openapi_extra or {}).get(RECORD)) and action not in _OWN_RECORD

        async def guarded(request: Request) -> Response:
            desk = desk_of(request)
            request.state.given = FormData()
            session = await run_in_threadpool(_session, desk, request)
            request.state.session = session
            await _admit(desk, request, session, action)
            if not recorded or session is None:
                return await handle(request)
            outcome = "failed"
            try:
                response = await handle(request)
                outcome = "done" if response.status_code < 400 else "refused"
                return response
            except HanseError as error:
                outcome = error.code
                raise
            finally:
                await run_in_threadpool(
                    desk.record, action, session.user.name, _of(request), outcome
                )

        return guarded


class Area(APIRouter):
    """Routes of one area. ``get``, ``post`` and ``delete`` take the action; what changes something is recorded."""

    def __init__(self, prefix: str = "", *, api: bool = False) -> None:
        super().__init__(
            prefix=prefix, route_class=GuardedRoute, include_in_schema=api,
            responses=ERRORS if api else None,
        )  # fmt: skip

    def get(self, path: str, action: str, *, record: bool = False, **more: Any) -> Callable[[H], H]:  # type: ignore[override]
        return super().get(path, openapi_extra=_extra(action, record), **more)

    def post(self, path: str, action: str, **more: Any) -> Callable[[H], H]:  # type: ignore[override]
        return super().post(path, openapi_extra=_extra(action, True), **more)

    def delete(self, path: str, action: str, **more: Any) -> Callable[[H], H]:  # type: ignore[override]
        return super().delete(path, openapi_extra=_extra(action, True), **more)


def action_of(route: APIRoute) -> str:
    """The route's action; KeyError if it has none, or one that the matrix does not know."""
    action = str((route.openapi_extra or {})[ACTION])
    if action not in MATRIX and action not in PUBLIC:
        raise KeyError(f"{action} of {route.path} is not in the matrix")
    return action


def _extra(action: str, record: bool) -> dict[str, Any]:
    return {ACTION: action, RECORD: record}


def handle_of(desk: Desk, request: Request) -> tuple[str, bool]:
    """The handle that a request brings, and whether a program brought it (not a browser by itself)."""
    bearer = request.headers.get("authorization", "")
    if bearer.lower().startswith("bearer "):
        return bearer[7:].strip(), True
    return request.cookies.get(desk.cookie, ""), False


def _session(desk: Desk, request: Request) -> Session | None:
    handle, _ = handle_of(desk, request)
    return desk.users.session(handle)


async def _admit(desk: Desk, request: Request, session: Session | None, action: str) -> None:
    """Raise unless this user may do this, and the request is one that the user made."""
    desk.requests.take(session.key if session is not None else client_of(desk, request))
    if request.method not in _SAFE:
        _check_origin(request)
    if action in PUBLIC:
        return
    if session is None:
        raise Refusal("login.needed", "nobody is signed in", remedy="sign in, then try again")
    if session.user.state == FRESH and action not in _FRESH_MAY:
        raise Refusal("login.fresh", "the password was made by somebody else",
                      remedy="choose a password of your own first")  # fmt: skip
    if not may(session.user.roles, action):
        needed = ", ".join(sorted(MATRIX[action]))
        if request.method not in _SAFE:
            await run_in_threadpool(
                desk.record, action, session.user.name, _of(request), "role.missing"
            )
        raise Refusal("role.missing", f"none of your roles may do this ({action})",
                      remedy=f"ask somebody with one of these roles: {needed}")  # fmt: skip
    if request.method not in _SAFE:
        request.state.given = await form_of(request)
        if not handle_of(desk, request)[1]:
            _check_form(request, session.form)


def _check_origin(request: Request) -> None:
    """Browsers say where a request comes from; another site's is refused, whatever it carries."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    own = origin is None or origin.partition("://")[2] == request.headers.get("host", "")
    if site not in ("same-origin", "none") or not own:
        raise Refusal("form.origin", "the request came from another site",
                      remedy="use the console's own pages")  # fmt: skip


def _check_form(request: Request, wanted: str) -> None:
    value = request.headers.get(FORM_HEADER) or request.state.given.get(FORM_FIELD, "")
    given = value if isinstance(value, str) else ""
    if not hmac.compare_digest(given.encode(), wanted.encode()):
        raise Refusal("form.key", "the form is not one of this session",
                      remedy="load the page again, then send the form")  # fmt: skip


async def form_of(request: Request) -> FormData:
    """The request's form, read once; empty if it has none."""
    kind = request.headers.get("content-type", "")
    if kind.startswith(("application/x-www-form-urlencoded", "multipart/form-data")):
        return await request.form(max_files=4, max_fields=400)
    return FormData()


def client_of(desk: Desk, request: Request) -> str:
    """The address that a request comes from."""
    if (
        desk.settings.behind_proxy
    ):  # the proxy adds what it saw at the end; all before it may be made up
        return request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip() or "proxy"
    return request.client.host if request.client is not None else "?"


def _of(request: Request) -> dict[str, str]:
    """What the action was about: the names in its path, and what the handler added."""
    named = {str(k): str(v)[:200] for k, v in request.path_params.items()}
    added = getattr(request.state, "about", {})
    return named | {str(k): str(v)[:200] for k, v in added.items()}


def about(request: Request, **facts: object) -> None:
    """Add to what the ledger says of this action. Nothing secret, nobody's data."""
    request.state.about = {**getattr(request.state, "about", {}), **facts}
