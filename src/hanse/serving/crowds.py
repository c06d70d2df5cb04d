"""Figures per place and day: one place, many at once, a whole day, changes as pages and as a stream."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Iterable
from datetime import date
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
from fastapi import APIRouter, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from hanse.errors import Refusal
from hanse.node.products.publications import Change, Product
from hanse.serving.access import day_of, key_of, respond, text_of
from hanse.serving.bodies import Batch, Figures, Products, Usage
from hanse.serving.desk import Answer, Desk

MOST_PLACES = 1000
MOST_CHANGES = 10_000
MOST_STREAMS = 4  # open streams of one consumer
_LOOK_SECONDS = 1.0
_STREAM_SECONDS = 3600.0  # a consumer connects again, with its last number

ProductName = Annotated[str, Path(description="The product's name", max_length=64)]
PlaceName = Annotated[str, Path(description="The place's id", max_length=128)]
First = Annotated[str | None, Query(description="The first day, as 2026-01-31", max_length=10)]
Last = Annotated[str | None, Query(description="The last day, included", max_length=10)]
_MOST_NUMBER = 2**62
After = Annotated[int, Query(ge=0, le=_MOST_NUMBER, description="Changes with a greater number")]
_PARQUET = pa.schema(
    [
        ("place", pa.string()), ("date", pa.date32()), ("state", pa.string()), ("value", pa.float64()),
        ("low", pa.float64()), ("high", pa.float64()), ("confidence", pa.float64()), ("reason", pa.string()),
        ("version", pa.int32()), ("published_at", pa.string()), ("number", pa.int64()),
    ]
)  # fmt: skip


def routes(desk: Desk) -> APIRouter:
    """The routes over ``desk``."""
    router = APIRouter(prefix="/v1", tags=["crowds"])
    shelf = desk.store.publications
    streams: dict[str, int] = {}
    lock = threading.Lock()

    @router.get("/usage", response_model=Usage, summary="What this key has used today")
    async def usage(request: Request) -> Response:
        consumer = desk.admit(key_of(request), "")
        body = {"consumer": consumer.name, "day": desk.today.isoformat(), "quota": consumer.quota,
                "left": desk.left(consumer)}  # fmt: skip
        return respond(desk, request, consumer, "", _ready(body, 0, ""))

    @router.get("/products", response_model=Products, summary="The products that this key may read")
    async def products(request: Request) -> Response:
        consumer = desk.admit(key_of(request), "crowds")
        found = await run_in_threadpool(shelf.products)
        mine = [_product(p) for p in found if consumer.may("crowds", p.name)]
        tag = "-".join(str(p["version"]) for p in mine)
        return respond(desk, request, consumer, "", _ready({"products": mine}, len(mine), tag))

    @router.get("/crowds/{product}/places/{place}", response_model=Figures,
                summary="The days of one place, newest version each")  # fmt: skip
    async def place_days(
        request: Request,
        product: ProductName,
        place: PlaceName,
        first: First = None,
        last: Last = None,
    ) -> Response:
        consumer = desk.admit(key_of(request), "crowds", product)
        begins, ends = day_of(first, "first"), day_of(last, "last")

        def make() -> Answer:
            return _figures(desk, product, shelf.days(product, place, begins, ends))

        answer = desk.answer(product, f"{place}|{first}|{last}", make)
        if not answer.values:
            raise Refusal("api.unknown", "the product has no figure of this place in these days",
                          remedy="see GET /v1/crowds/{product}/days/{date} for its places")  # fmt: skip
        return respond(desk, request, consumer, product, answer)

    @router.get("/crowds/{product}/places/{place}/{day}/versions", response_model=Figures,
                summary="Every version of one place and day, oldest first")  # fmt: skip
    async def versions(
        request: Request, product: ProductName, place: PlaceName, day: str
    ) -> Response:
        consumer = desk.admit(key_of(request), "crowds", product)
        asked = _day(day)
        desk.version(product)
        found = await run_in_threadpool(shelf.history, product, place, asked)
        return respond(desk, request, consumer, product, _figures(desk, product, found))

    @router.post("/crowds/{product}/batch", response_model=Figures,
                 summary=f"The days of up to {MOST_PLACES:,} places at once")  # fmt: skip
    async def batch(request: Request, product: ProductName, asked: Batch) -> Response:
        consumer = desk.admit(key_of(request), "crowds", product)
        if not 0 < len(asked.places) <= MOST_PLACES:
            raise Refusal(
                "api.value",
                f"a batch has 1 to {MOST_PLACES:,} places",
                remedy="split it",
                where="places",
            )
        begins, ends = day_of(asked.first, "first"), day_of(asked.last, "last")
        desk.version(product)

        def read() -> list[Change]:
            return [
                c for p in dict.fromkeys(asked.places) for c in shelf.days(product, p, begins, ends)
            ]

        found = await run_in_threadpool(read)
        return respond(desk, request, consumer, product, _figures(desk, product, found))

    @router.get("/crowds/{product}/days/{day}", response_model=Figures,
                summary="All places on one day, as JSON or Parquet (?form=parquet)")  # fmt: skip
    async def one_day(
        request: Request, product: ProductName, day: str,
        form: Annotated[str, Query(pattern="^(json|parquet)$")] = "json",
    ) -> Response:  # fmt: skip
        consumer = desk.admit(key_of(request), "crowds", product)
        asked = _day(day)
        desk.version(product)
        found = await run_in_threadpool(lambda: list(shelf.day(product, asked)))
        if form == "json":
            return respond(desk, request, consumer, product, _figures(desk, product, found))
        desk.count(consumer, product, len(found))
        name = f"{product}-{asked.isoformat()}.parquet"
        return Response(
            await run_in_threadpool(_parquet, found),
            media_type="application/vnd.apache.parquet",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    @router.get("/crowds/{product}/changes", response_model=Figures,
                summary="What changed after a number: follow `next` to miss nothing")  # fmt: skip
    async def changes(
        request: Request, product: ProductName, after: After = 0,
        limit: Annotated[int, Query(ge=1, le=MOST_CHANGES)] = 1000,
    ) -> Response:  # fmt: skip
        consumer = desk.admit(key_of(request), "crowds", product)
        desk.version(product)
        found = await run_in_threadpool(shelf.changes, product, after, limit)
        more = found[-1].number if len(found) == limit else None
        return respond(desk, request, consumer, product, _figures(desk, product, found, more))

    @router.get("/crowds/{product}/stream", summary="Changes as they come: server-sent events",
                response_class=StreamingResponse)  # fmt: skip
    async def stream(request: Request, product: ProductName, after: After = 0) -> Response:
        consumer = desk.admit(key_of(request), "crowds", product)
        desk.version(product)
        with lock:
            if streams.get(consumer.name, 0) >= MOST_STREAMS:
                raise Refusal("api.streams", f"{consumer.name} has {MOST_STREAMS} streams open already",
                              remedy="close one first")  # fmt: skip
            streams[consumer.name] = streams.get(consumer.name, 0) + 1
        last = request.headers.get("last-event-id", "")
        number = (
            max(after, int(last)) if last.isascii() and last.isdigit() and len(last) < 19 else after
        )

        async def events() -> AsyncIterator[str]:
            at, waited = number, 0.0
            try:
                while waited < _STREAM_SECONDS and not await request.is_disconnected():
                    found = await run_in_threadpool(shelf.changes, product, at, 500)
                    for change in found:
                        at = change.number
                        yield f"id: {at}\nevent: figure\ndata: {text_of(change.body()).decode()}\n\n"
                    desk.count(consumer, product, len(found))
                    if not found:
                        yield ": nothing new\n\n"
                        await asyncio.sleep(_LOOK_SECONDS)
                        waited += _LOOK_SECONDS
            finally:
                with lock:
                    streams[consumer.name] -= 1

        return StreamingResponse(events(), media_type="text/event-stream",
                                 headers={"Cache-Control": "no-store"})  # fmt: skip

    return router


def _day(text: str) -> date:
    found = day_of(text, "day")
    if found is None:
        raise Refusal(
            "api.value", "day is not a date", remedy="write it as 2026-01-31", where="day"
        )
    return found


def _product(product: Product) -> dict[str, Any]:
    about = product.about
    return {"name": product.name, "title": str(about.get("title", product.name)),
            "unit": str(about.get("unit", "")), "contract": str(about.get("contract", "")),
            "synthetic": bool(about.get("synthetic")), "version": product.version,
            "changed": product.changed}  # fmt: skip


def _figures(desk: Desk, product: str, found: Iterable[Change], more: int | None = None) -> Answer:
    figures = [change.body() for change in found]
    version = desk.version(product)
    body = {"product": product, "version": version, "figures": figures, "next": more}
    return _ready(
        body, len(figures), f"{version}-{figures[-1]['number'] if figures else 0}-{len(figures)}"
    )


def _ready(body: dict[str, Any], values: int, tag: str) -> Answer:
    return Answer(text_of(body), f'"{tag or "0"}"', values)


def _parquet(found: list[Change]) -> bytes:
    rows = [{**c.body(), "date": c.figure.date} for c in found]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, _PARQUET), buffer)
    return buffer.getvalue()
