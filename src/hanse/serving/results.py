"""Results of questions that this node received: funnels, concentration and all others, as they were opened."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from hanse.errors import Refusal
from hanse.node.products.consumers import Consumer
from hanse.node.storage.jobs import Job
from hanse.serving.access import given, key_of
from hanse.serving.bodies import ResultBody, Results
from hanse.serving.desk import Answer, Desk

MOST_RESULTS = 200


def routes(desk: Desk) -> APIRouter:
    """The routes over ``desk``."""
    router = APIRouter(prefix="/v1/results", tags=["results"])
    jobs = desk.store.jobs

    @router.get("", response_model=Results, summary="Results, newest first")
    async def listed(
        request: Request,
        contract: Annotated[str, Query(max_length=64)] = "",
        computation: Annotated[str, Query(max_length=64)] = "",
        after: Annotated[
            str, Query(max_length=64, description="The last job of the page before")
        ] = "",
        limit: Annotated[int, Query(ge=1, le=MOST_RESULTS)] = 50,
    ) -> Response:
        consumer = desk.admit(key_of(request), "results", contract)

        def read() -> list[dict[str, str]]:
            done = [j for j in jobs.all(states=("done",), limit=100_000) if _mine(consumer, j)]
            heads = [
                _head(j) for j in done
                if contract in ("", j.request["contract_id"])
                and computation in ("", j.request["computation"])
            ]  # fmt: skip
            names = [h["job"] for h in heads]
            if after and after not in names:
                raise Refusal("api.unknown", "there is no result of the job to begin after",
                              remedy="begin again without `after`")  # fmt: skip
            start = names.index(after) + 1 if after else 0
            return heads[start : start + limit + 1]

        found = await run_in_threadpool(read)
        page = found[:limit]
        body = {"results": page, "next": page[-1]["job"] if len(found) > limit else None}
        tag = f'"{page[0]["job"][:12] if page else "0"}-{len(page)}"'
        return given(desk, request, consumer, "results", Answer(_text(body), tag, len(page)))

    @router.get("/{job}", response_model=ResultBody, summary="One result, with its tables")
    async def one(
        request: Request, job: Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
    ) -> Response:
        consumer = desk.admit(key_of(request), "results")
        found = await run_in_threadpool(jobs.get, job)
        if found is None or not _mine(consumer, found):
            raise Refusal("api.unknown", "this node has no such result for this key",
                          remedy="see GET /v1/results")  # fmt: skip
        body = {**_head(found), "result": (found.result or {})["result"]}
        return given(desk, request, consumer, "results", Answer(_text(body), f'"{job[:32]}"', 1))

    return router


def _mine(consumer: Consumer, job: Job) -> bool:
    """A result that this node received, under a contract that the key may read."""
    has = job.state == "done" and bool((job.result or {}).get("result"))
    return has and consumer.may("results", str(job.request["contract_id"]))


def _head(job: Job) -> dict[str, str]:
    return {
        "job": job.job,
        "contract": str(job.request["contract_id"]),
        "computation": str(job.request["computation"]),
        "finished": job.finished.isoformat() if job.finished else "",
    }


def _text(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
