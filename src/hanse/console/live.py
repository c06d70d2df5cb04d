"""Server-sent events: how far a question or a job is, until it has ended."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from hanse.console.asks import Asked
from hanse.console.desk import Desk
from hanse.errors import HanseError
from hanse.node.faces import results

_LOOK_SECONDS = 0.3
_LONGEST_SECONDS = 3600.0
_ENDED = ("done", "failed", "refused", "cancelled")


def stream(events: AsyncIterator[dict[str, Any]]) -> StreamingResponse:
    """Documents as a stream of events; the last one is named "end"."""

    async def lines() -> AsyncIterator[str]:
        last = ""
        async for document in events:
            text = json.dumps(document, ensure_ascii=False)
            name = "end" if document.get("ended") else "progress"
            if text != last:
                yield f"event: {name}\ndata: {text}\n\n"
                last = text
            else:
                yield ": still here\n\n"

    return StreamingResponse(
        lines(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )


async def of_ask(asked: Asked) -> AsyncIterator[dict[str, Any]]:
    """A question until it is answered."""
    for _ in range(int(_LONGEST_SECONDS / _LOOK_SECONDS)):
        ended = asked.state != "asking"
        yield asked.body() | {"ended": ended}
        if ended:
            return
        await asyncio.sleep(_LOOK_SECONDS)


async def of_job(desk: Desk, name: str) -> AsyncIterator[dict[str, Any]]:
    """A job until it has ended: its state, its roles' progress, new lines of its log."""
    seen = 0
    for _ in range(int(_LONGEST_SECONDS / _LOOK_SECONDS)):
        document = await run_in_threadpool(_job_now, desk, name, seen)
        seen = max([seen, *(line["number"] for line in document["log"])])
        yield document
        if document["ended"]:
            return
        await asyncio.sleep(_LOOK_SECONDS)


def _job_now(desk: Desk, name: str, seen: int) -> dict[str, Any]:
    job = results.job(desk.office, name)
    ended = job["state"] in _ENDED
    log = results.log(desk.office, name, seen)
    return {"job": job["job"], "state": job["state"], "ended": ended, "error": job["error"], "log": log,
            "roles": {} if ended else progress(desk, name)}  # fmt: skip


def progress(desk: Desk, name: str) -> dict[str, Any]:
    """Where this node's roles of a running job are; nothing if the node does not say."""
    try:
        return desk.ask({"verb": "progress", "job": name})
    except HanseError:
        return {}
