"""Errors as answers: the right HTTP status for each, as JSON for programs and as a page for people."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response

from hanse.console.pages import page
from hanse.errors import Fault, Foul, HanseError, Refusal
from hanse.problems import in_request, told

_log = logging.getLogger("hanse.console")
API = "/api/"

_EXACT = {
    "login.needed": 401,
    "login.failed": 401,
    "login.locked": 429,
    "login.fresh": 403,
    "login.off": 403,
    "oidc.state": 401,
    "oidc.denied": 401,
    "oidc.token": 401,
    "oidc.role": 403,
    "oidc.account": 403,
    "oidc.provider": 502,
    "oidc.unreachable": 503,
    "role.missing": 403,
    "form.key": 403,
    "form.origin": 403,
    "request.often": 429,
    "request.size": 413,
    "ask.busy": 429,
    "node.stopped": 503,
    "result.none": 404,
    "result.form": 404,
    "disk.full": 507,
    "dataset.unregistered": 404,
}
_ENDS = {".unknown": 404, ".malformed": 422, ".exists": 409, ".syntax": 422}
# Faults that whoever asks can mend: what they gave is wrong, or lies elsewhere.
_THEIRS = (
    "file.", "catalog.", "dataset.", "crowd.", "gazetteer.", "config.", "places.", "identity.", "invitation.",
    "publish.",
)  # fmt: skip
_MALFORMED = ("question.", "menu.", "page.", "request.", "power.", "publish.")
_BEGINS = {"store.": 503, "peer.": 502, "node.": 502}


class ErrorBody(BaseModel):
    """What went wrong, and how to mend it."""

    kind: str
    code: str
    message: str
    remedy: str
    where: str


# What every route of the API may answer, for its form.
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody, "description": said}
    for status, said in (
        (401, "nobody is signed in"),
        (403, "no role may do this, or the form is not one of this session"),
        (404, "there is no such thing"),
        (409, "a policy said no"),
        (413, "the request is too long"),
        (422, "the request cannot be read"),
        (429, "too often"),
        (500, "something of ours broke"),
        (502, "a partner, or the node, did not do its part"),
        (503, "the node does not run"),
    )
}


def status_of(error: HanseError) -> int:
    """The HTTP status of an error."""
    if error.code in _EXACT:
        return _EXACT[error.code]
    for end, status in _ENDS.items():
        if error.code.endswith(end):
            return status
    for begin, status in _BEGINS.items():
        if error.code.startswith(begin):
            return status
    if isinstance(error, Refusal):
        return 422 if error.code.startswith(_MALFORMED) else 409
    if error.code.startswith(_THEIRS):
        return 422
    return 502 if isinstance(error, Foul) else 500


def answer(request: Request, error: HanseError) -> Response:
    """The error as this request's answer."""
    status = status_of(error)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    if status == 429:
        headers["Retry-After"] = "60"
    if request.url.path.startswith(API):
        return JSONResponse(error.public(), status_code=status, headers=headers)
    if error.code == "login.needed":
        return RedirectResponse("/sign-in", status_code=303)
    if error.code == "login.fresh":
        return RedirectResponse("/account", status_code=303)
    return page(request, "error.html", status=status, error=error.public())


def install(app: FastAPI) -> None:
    """Let the application answer every error in our way."""

    async def deliberate(request: Request, error: Exception) -> Response:
        if not isinstance(error, HanseError):
            raise error
        return answer(request, error)

    async def invalid(request: Request, error: Exception) -> Response:
        items = error.errors() if isinstance(error, RequestValidationError) else []
        found = in_request(items, getattr(error, "body", None))
        refusal = Refusal("request.malformed", f"the request has {told(found)}",
                          remedy="see its form in /openapi.json", where=found[0][0] if found else "")  # fmt: skip
        return answer(request, refusal)

    async def protocol(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        said = {
            404: ("page.unknown", "there is nothing at this address"),
            405: ("page.method", "this address does not take such a request"),
            413: ("request.size", "the request is longer than is let in"),
        }
        code, message = said.get(status, ("request.malformed", "the request cannot be read"))
        refusal = Refusal(code, message, remedy="see the pages, or the API's form in /openapi.json")
        if request.url.path.startswith(API):
            return JSONResponse(refusal.public(), status_code=status)
        return page(request, "error.html", status=status, error=refusal.public())

    async def unexpected(request: Request, error: Exception) -> Response:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = (
            f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace is not None else "?"
        )
        _log.error(
            "the console failed: %s in %s", type(error).__name__, place
        )  # its text may be private
        fault = Fault("console.internal", f"the console failed: {type(error).__name__}",
                      remedy="see the log, and report it as a defect")  # fmt: skip
        if request.url.path.startswith(API):
            return JSONResponse(fault.public(), status_code=500)
        return page(request, "error.html", status=500, error=fault.public())

    app.add_exception_handler(HanseError, deliberate)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, protocol)
    app.add_exception_handler(Exception, unexpected)
