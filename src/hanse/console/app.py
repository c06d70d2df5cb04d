"""The application: all areas, every route checked against the matrix, errors as answers."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files

from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from starlette.responses import JSONResponse, Response

from hanse import __version__
from hanse.console import refusals
from hanse.console.area import Area, GuardedRoute, action_of
from hanse.console.areas import (
    account,
    budget,
    consumers,
    contracts,
    data,
    evidence,
    home,
    jobs,
    ledger,
    models,
    partners,
    products,
    results,
    session,
    sign_on,
    standing,
    users,
    value,
)
from hanse.console.desk import Desk
from hanse.errors import Fault, Refusal

AREAS = (
    session,
    sign_on,
    home,
    account,
    users,
    partners,
    data,
    contracts,
    jobs,
    results,
    standing,
    budget,
    ledger,
    models,
    products,
    consumers,
    value,
    evidence,
)
_KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
_DESCRIPTION = """
The console of one organisation's node, for programs. Sign in with `POST /api/v1/session` and send its `handle` as
`Authorization: Bearer ...`. Every route names the action that roles are checked for (`x-hanse-action`); every
change is in the node's ledger. Errors have a stable code, a message, a remedy, and where it happened. Lists that
can be long end with `next`; give it as `after` (of the ledger: `before`).
"""

own = Area()


@own.get("/openapi.json", "form.read")
def form(request: Request) -> JSONResponse:
    """The API's form."""
    return JSONResponse(request.app.openapi())


@own.get("/static/{name:path}", "file.read")
def static_file(name: str) -> Response:
    """One of the console's own files."""
    ending = name[name.rfind(".") :] if "." in name else ""
    parts = name.split("/")
    # Only plain names: nothing that leaves the folder, whatever the file system makes of it.
    plain = all(
        part and part != ".." and all(c.isalnum() or c in "-_." for c in part) for part in parts
    )
    found = (
        files("hanse.console").joinpath("static", *parts) if plain and ending in _KINDS else None
    )
    if found is None or not found.is_file():
        raise Refusal("page.unknown", "there is nothing at this address", remedy="see the pages")
    return Response(found.read_bytes(), media_type=_KINDS[ending])


def make_app(desk: Desk) -> FastAPI:
    """The application over a desk. Raises `Fault` ``console.matrix`` for a route that the matrix does not know."""
    app = FastAPI(
        title=f"Hanse: {desk.organisation}", version=__version__, description=_DESCRIPTION,
        docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False,
    )  # fmt: skip
    app.state.desk = desk
    refusals.install(app)
    for area in (
        own,
        *(getattr(a, name) for a in AREAS for name in ("api", "pages") if hasattr(a, name)),
    ):
        app.router.routes.extend(area.routes)  # as they are: guarded, each with its action
    check_matrix(app)
    return app


def routes_of(app: FastAPI) -> Iterator[APIRoute]:
    """Every route that answers."""
    for route in app.routes:
        if not isinstance(route, APIRoute):
            raise Fault("console.matrix", f"{route} is not a guarded route",
                        remedy="make it in an Area")  # fmt: skip
        yield route


def check_matrix(app: FastAPI) -> None:
    """Every route is guarded and names an action that the matrix knows, or the console does not start."""
    for route in routes_of(app):
        try:
            action_of(route)
        except KeyError as error:
            raise Fault("console.matrix", f"{route.path} names no action of the matrix",
                        remedy="add the action to hanse.console.matrix") from error  # fmt: skip
        if not isinstance(route, GuardedRoute):
            raise Fault(
                "console.matrix", f"{route.path} is not guarded", remedy="make it in an Area"
            )
