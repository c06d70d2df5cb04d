"""The API as an application: routes, errors, keys, metrics. One file an area: `crowds`, `results`, `scores`."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path as FilePath

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hanse import __version__
from hanse.clock import Clock, SystemClock
from hanse.errors import Fault, Foul, HanseError, Refusal
from hanse.node.products.scores import ScoreFiles
from hanse.node.storage.store import Store
from hanse.problems import in_request, told
from hanse.serving import crowds, results
from hanse.serving.bodies import Problem
from hanse.serving.desk import Desk
from hanse.serving.scores import ScoreOne
from hanse.serving.scores import routes as routes_of_scores
from hanse.serving.webhooks import Courier

_log = logging.getLogger("hanse.serving")
MOST_BODY_BYTES = 1 << 20
_STATUS = {
    "api.key": 401, "api.expired": 401, "api.scope": 403, "api.unknown": 404, "api.quota": 429, "api.rate": 429,
    "api.value": 422, "api.size": 413, "api.method": 405, "api.streams": 429, "api.busy": 429, "node.stopped": 503,
    "model.unknown": 404, "model.no-row": 404, "model.scores": 404, "model.online": 403, "model.missing": 409,
    "model.expired": 409,
}  # fmt: skip
_CONTRACT_SAYS_NO = ("contract.", "budget.", "permit.")
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
ERRORS: dict[int | str, dict[str, object]] = {
    code: {"model": Problem} for code in (401, 403, 404, 405, 409, 413, 422, 429, 502, 503)
}


def create_app(
    store: Store, clock: Clock | None = None, *, webhooks: bool = True, scores: FilePath | None = None,
    score_one: ScoreOne | None = None,
) -> FastAPI:  # fmt: skip
    """The API over a node's store. ``webhooks``: whether this process also delivers them; ``scores``: the folder of
    scores; ``score_one``: asks the running node for the score of a row, by model and id.
    """
    clock = clock or SystemClock()
    desk = Desk(store, clock)
    courier = Courier(store, clock) if webhooks else None

    @asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        desk.start()
        if courier is not None:
            courier.start()
        try:
            yield
        finally:
            if courier is not None:
                courier.close()
            desk.close()

    app = FastAPI(
        title="Hanse: results for other systems",
        version="1",
        description="Figures per place and day, results of questions and scores of models, from this node. "
        "Every figure has an interval or says why there is none. Send the key as 'Authorization: Bearer KEY'.",
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        responses=ERRORS,
    )
    app.state.desk = desk
    gauge = _Gauge()
    keyed = [Depends(HTTPBearer(auto_error=False, description="The key of a consumer"))]
    app.include_router(crowds.routes(desk), dependencies=keyed)
    app.include_router(results.routes(desk), dependencies=keyed)
    files = ScoreFiles(store, scores, clock)
    app.include_router(routes_of_scores(desk, files, score_one), dependencies=keyed)
    _plain_routes(app, gauge)
    _errors(app)
    app.add_middleware(_Measured, gauge=gauge)
    return app


def _plain_routes(app: FastAPI, gauge: _Gauge) -> None:
    @app.get("/healthz", tags=["operation"], summary="Whether the API runs")
    async def healthz() -> dict[str, str]:
        return {"state": "good", "version": __version__}

    @app.get("/metrics", tags=["operation"], summary="Prometheus metrics, for this machine only",
             response_class=Response)  # fmt: skip
    async def metrics(request: Request) -> Response:
        host = request.client.host if request.client else ""
        try:
            local = ip_address(host).is_loopback
        except ValueError:
            local = False
        if not local:
            raise Refusal("api.scope", "metrics are read from this machine only",
                          remedy="let the collector run beside the API")  # fmt: skip
        return Response(generate_latest(gauge.registry), media_type="text/plain; version=0.0.4")


# --- errors -----------------------------------------------------------------------------------------


def _errors(app: FastAPI) -> None:
    @app.exception_handler(HanseError)
    async def hanse_error(_request: Request, error: HanseError) -> Response:
        return problem(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> Response:
        found = in_request(error.errors(), error.body)
        return problem(
            Refusal("api.value", f"the request has {told(found)}", remedy="see /openapi.json", where=found[0][0])
        )  # fmt: skip

    @app.exception_handler(HTTPException)
    async def other(_request: Request, error: HTTPException) -> Response:
        code = {404: "api.unknown", 405: "api.method"}.get(error.status_code, "api.value")
        return problem(
            Refusal(code, str(error.detail), remedy="see /openapi.json"), error.headers or {}
        )

    @app.exception_handler(Exception)
    async def unexpected(_request: Request, error: Exception) -> Response:
        _log.error("a defect in the API: %s", type(error).__name__, exc_info=error)
        return problem(
            Fault("api.internal", "the API failed", remedy="see this node's log; please report it")
        )


def problem(error: HanseError, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An error as an answer: its public words, and a status that programs know."""
    usual = 503 if isinstance(error, Fault) else 502 if isinstance(error, Foul) else 422
    if error.code.startswith(_CONTRACT_SAYS_NO) and not error.code.endswith(".malformed"):
        usual = 403
    status = 500 if error.code == "api.internal" else _STATUS.get(error.code, usual)
    more = dict(headers or {})
    if status == 401:
        more["WWW-Authenticate"] = "Bearer"
    if error.code in ("api.rate", "api.busy"):
        more["Retry-After"] = "1"
    body = {
        "code": error.code,
        "message": error.message,
        "remedy": error.remedy,
        "where": error.where,
    }
    return JSONResponse(body, status, headers=more)


# --- what is measured -------------------------------------------------------------------------------


class _Gauge:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "hanse_api_requests",
            "Requests by route and status",
            ["route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "hanse_api_seconds", "Time to the first byte by route", ["route"], buckets=_BUCKETS,
            registry=self.registry,
        )  # fmt: skip


class _Measured:
    """ASGI: time and status by route, a bound on bodies, and headers that every answer carries."""

    def __init__(self, app: ASGIApp, gauge: _Gauge) -> None:
        self._app = app
        self._gauge = gauge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        taken = 0

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > MOST_BODY_BYTES:
                raise HTTPException(413, "the request's body is longer than 1 MiB")
            return message

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-content-type-options", b"nosniff")]
                route = getattr(scope.get("route"), "path", "none")
                self._gauge.requests.labels(route, str(message["status"])).inc()
                self._gauge.seconds.labels(route).observe(time.perf_counter() - began)
            await send(message)

        await self._app(scope, bounded, told)
