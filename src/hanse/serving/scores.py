"""Scores of models: what scoring jobs left at this node, page by page or as Parquet; and one row, asked jointly.

A row has its score when all parties of the model have it, and none otherwise; nobody gives a part of a score. A row
that is asked is a job like any other: the contract must allow it, all parties take part, and it is in the ledger.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from typing import IO, Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from hanse.errors import Refusal
from hanse.node.products.consumers import Consumer
from hanse.node.products.scores import ScoreFile, ScoreFiles
from hanse.serving.access import has_it, key_of, respond, text_of
from hanse.serving.bodies import OneRow, OneScore, ScoreHeads, ScorePage
from hanse.serving.desk import Answer, Desk

MOST_ROWS = 10_000
MOST_AT_ONCE = 4  # rows asked jointly: each is a job of several organisations
_MOST_NUMBER = 2**53
_CHUNK = 1 << 20
ScoreOne = Callable[[str, str], dict[str, Any]]
JobHash = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="The job that made the scores")]
ModelName = Annotated[str, Path(max_length=64, description="The model's name")]


def routes(desk: Desk, files: ScoreFiles, score_one: ScoreOne | None) -> APIRouter:
    """The routes over ``desk``; ``score_one`` asks the running node, if there is one to ask."""
    router = APIRouter(prefix="/v1", tags=["scores"])
    asking = threading.BoundedSemaphore(MOST_AT_ONCE)

    @router.get(
        "/scores",
        response_model=ScoreHeads,
        summary="Scoring jobs whose scores are here, newest first",
    )
    async def listed(request: Request) -> Response:
        consumer = desk.admit(key_of(request), "scores")
        found = await run_in_threadpool(files.all)
        heads = [_head(f) for f in found if consumer.may("scores", f.model)]
        body = text_of({"scores": heads})
        tag = hashlib.sha256(body).hexdigest()[:32]
        return respond(desk, request, consumer, "scores", Answer(body, f'"{tag}"', len(heads)))

    @router.get(
        "/scores/{job}", response_model=ScorePage,
        summary="The scores of a job: JSON pages, or all of them as Parquet (?form=parquet)",
    )  # fmt: skip
    async def one_job(
        request: Request, job: JobHash,
        after: Annotated[int, Query(ge=0, le=_MOST_NUMBER, description="How many rows to leave out")] = 0,
        limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 1000,
        form: Annotated[str, Query(pattern="^(json|parquet)$")] = "json",
    ) -> Response:  # fmt: skip
        consumer = desk.admit(key_of(request), "scores")
        found = await run_in_threadpool(files.find, job)
        if found is None or not consumer.may("scores", found.model):
            raise Refusal("api.unknown", "this node has no such scores for this key",
                          remedy="see GET /v1/scores; collected scores, and old ones, are gone")  # fmt: skip
        if form == "parquet":
            return await _whole(desk, request, consumer, files, found)
        limit = min(limit, desk.left(consumer))  # no page is larger than what is left of the quota
        rows = await run_in_threadpool(files.page, found, after, limit)
        rows = rows[: desk.left(consumer)]  # what others with this key read meanwhile
        ends = after + len(rows)
        body = {
            "job": job,
            "model": found.model,
            "rows": rows,
            "next": ends if after < found.rows and ends < found.rows else None,
        }
        tag = f'"{_version(found)}-{after}-{len(rows)}"'
        answer = Answer(text_of(body), tag, len(rows))
        return respond(desk, request, consumer, _product(found.model), answer)

    @router.post("/models/{model}/score", response_model=OneScore,
                 summary="The score of one row, asked of all parties of the model now")  # fmt: skip
    async def one_row(request: Request, model: ModelName, asked: OneRow) -> Response:
        consumer = desk.admit(key_of(request), "scores", model)
        if score_one is None:
            raise Refusal("node.stopped", "the API has no node to ask", remedy="start the node")
        if not asking.acquire(blocking=False):
            raise Refusal("api.busy", f"{MOST_AT_ONCE} rows are being asked already",
                          remedy="ask again in a second")  # fmt: skip
        try:
            # Counted before it is known: that there is no score tells something of the row as well.
            desk.count(consumer, _product(model), 1)
            found = await run_in_threadpool(score_one, model, asked.id)
        finally:
            asking.release()
        return Response(
            text_of({"model": model, **found}), media_type="application/json",
            headers={"Cache-Control": "no-store", "X-Quota-Left": str(desk.left(consumer))},
        )  # fmt: skip

    return router


async def _whole(
    desk: Desk, request: Request, consumer: Consumer, files: ScoreFiles, found: ScoreFile
) -> Response:
    """The file as it is, if the quota of the day has room for its rows."""
    tag = f'"{_version(found)}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    product = _product(found.model)
    if has_it(request, tag):
        desk.count(consumer, product, 0)
        return Response(status_code=304, headers=headers)
    data = await run_in_threadpool(files.open, found)
    if found.rows > desk.left(consumer):  # from here to where it is counted nobody else gets a turn
        data.close()
        raise Refusal("api.quota", f"the file has {found.rows:,} rows, more than are left of today's quota",
                      remedy="read it in pages over several days, or ask for a larger quota")  # fmt: skip
    desk.count(consumer, product, found.rows)
    headers |= {"Content-Disposition": f'attachment; filename="{found.job[:12]}-scores.parquet"',
                "X-Quota-Left": str(desk.left(consumer))}  # fmt: skip
    return _Whole(data, headers)


class _Whole(StreamingResponse):
    """An open file in parts; it is closed at its end, and when whoever reads goes away before."""

    def __init__(self, data: IO[bytes], headers: dict[str, str]) -> None:
        super().__init__(_parts(data), media_type="application/vnd.apache.parquet", headers=headers)
        self._data = data

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._data.close()


def _parts(data: IO[bytes]) -> Iterator[bytes]:
    while part := data.read(_CHUNK):
        yield part


def _head(found: ScoreFile) -> dict[str, Any]:
    return {"job": found.job, "model": found.model, "contract": found.contract, "rows": found.rows,
            "scored": found.scored, "made": found.made.isoformat(timespec="seconds"),
            "until": found.until.isoformat(timespec="seconds")}  # fmt: skip


def _version(found: ScoreFile) -> str:
    return f"{found.job[:32]}-{int(found.made.timestamp() * 1e6):x}"


def _product(model: str) -> str:
    """Under which name reads are counted: a product of figures may be called like a model."""
    return f"scores:{model}"
