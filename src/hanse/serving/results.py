"""Results of questions that this node received: funnels, concentration and all others, as they were opened."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from hanse.contracts.models import SCORE, SCORE_ONE
from hanse.errors import Refusal
from hanse.node.faces.listing import job_page
from hanse.node.products.consumers import Consumer
from hanse.node.storage.jobs import Job
from hanse.node.storage.rows import to_time
from hanse.node.storage.store import Store
from hanse.serving.access import key_of, respond, text_of
from hanse.serving.bodies import ResultBody, Results
from hanse.serving.desk import Answer, Desk

MOST_RESULTS = 200
MOST_PAGES = 20  # of jobs that one request looks through; what it has not seen begins after `next`
Document = dict[str, Any]


def routes(desk: Desk) -> APIRouter:
    """The routes over ``desk``."""
    router = APIRouter(prefix="/v1/results", tags=["results"])
    jobs = desk.store.jobs

    @router.get(
        "",
        response_model=Results,
        summary="Results, newest first; a page may be short: follow `next`",
    )
    async def listed(
        request: Request,
        contract: Annotated[str, Query(max_length=64)] = "",
        computation: Annotated[str, Query(max_length=64)] = "",
        after: Annotated[
            str, Query(max_length=64, description="`next` of the page before")
        ] = "",
        limit: Annotated[int, Query(ge=1, le=MOST_RESULTS)] = 50,
    ) -> Response:  # fmt: skip
        consumer = desk.admit(key_of(request), "results", contract)
        looked = _Looked(desk.store, consumer, contract, computation)
        page, more = await run_in_threadpool(looked.page, after, limit)
        body = text_of({"results": page, "next": more})
        tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        return respond(desk, request, consumer, "results", Answer(body, tag, len(page)))

    @router.get("/{job}", response_model=ResultBody, summary="One result, with its tables")
    async def one(
        request: Request, job: Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
    ) -> Response:
        consumer = desk.admit(key_of(request), "results")
        found = await run_in_threadpool(jobs.get, job)
        if (
            found is None
            or found.state != "done"
            or not _result(found)
            or not _may(consumer, found.request)
        ):
            raise Refusal("api.unknown", "this node has no such result for this key",
                          remedy="see GET /v1/results")  # fmt: skip
        body = {**_head(found), "result": _result(found)}
        answer = Answer(text_of(body), f'"{job[:32]}"', 1)
        return respond(desk, request, consumer, "results", answer)

    return router


class _Looked:
    """A look through the jobs for results of one consumer."""

    def __init__(self, store: Store, consumer: Consumer, contract: str, computation: str) -> None:
        self._store = store
        self._consumer = consumer
        self._contract = contract
        self._computation = computation

    def page(self, after: str, limit: int) -> tuple[list[dict[str, str]], str | None]:
        """The results after job ``after``, and after which job the next page begins."""
        mark, found = self._mark(after), []
        for _ in range(MOST_PAGES):
            # One row more than is wanted tells whether there is a next page.
            page = job_page(
                self._store.database, state="done", contract=self._contract, after=mark,
                limit=min(MOST_RESULTS, limit + 1),
            )  # fmt: skip
            fitting = [row for row in page.rows if self._fits(row["request"])]
            have = self._store.jobs.with_results([(r["job"], r["attempt"]) for r in fitting])
            found += [_head_of(row) for row in fitting if row["job"] in have]
            if len(found) > limit:
                return found[:limit], found[limit - 1]["job"]
            mark = page.next
            if not mark:
                return found, None
        return found, mark.split("|")[1]

    def _mark(self, after: str) -> str:
        job = self._store.jobs.get(after) if after else None
        if after and (job is None or job.state != "done"):
            raise Refusal("api.unknown", "there is no result of the job to begin after",
                          remedy="begin again without `after`")  # fmt: skip
        return "" if job is None else f"{to_time(job.created)}|{job.job}|{job.attempt}"

    def _fits(self, request: Document) -> bool:
        return self._computation in ("", request["computation"]) and _may(self._consumer, request)


def _may(consumer: Consumer, request: Document) -> bool:
    """Whether the key may read results under the request's contract; scores need their own scope as well."""
    if request["computation"] in (SCORE, SCORE_ONE):
        model = str((request.get("parameters") or {}).get("model", ""))
        if not consumer.may("scores", model):
            return False
    return consumer.may("results", str(request["contract_id"]))


def _result(job: Job) -> Document:
    """What this node received of a job; empty if it was nothing."""
    return dict((job.result or {}).get("result") or {})


def _head(job: Job) -> dict[str, str]:
    return {
        "job": job.job,
        "contract": str(job.request["contract_id"]),
        "computation": str(job.request["computation"]),
        "finished": job.finished.isoformat() if job.finished else "",
    }


def _head_of(row: Document) -> dict[str, str]:
    return {
        "job": row["job"],
        "contract": str(row["request"]["contract_id"]),
        "computation": str(row["request"]["computation"]),
        "finished": row["finished"] or "",
    }
