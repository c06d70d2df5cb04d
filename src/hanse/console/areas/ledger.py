"""The ledger: its entries, whether its chain holds, and a copy for auditors. Evidence packs belong here too."""

from __future__ import annotations

import json
import threading
from typing import Annotated, Any

from fastapi import Query, Request
from starlette.responses import Response, StreamingResponse

from hanse.console.area import Area, desk_of
from hanse.console.pages import page
from hanse.errors import Refusal
from hanse.node.faces import results

api = Area("/api/v1", api=True)
pages = Area()
_VERIFYING = threading.Lock()  # it reads the whole ledger: one at a time
Kind = Annotated[str, Query(max_length=40, pattern="^[a-z0-9-]*$")]
Before = Annotated[int | None, Query(ge=0, le=1 << 53)]
KINDS = ("console", "contract", "review", "dataset", "crowd", "partner", "reserve", "commit", "release",
         "disclosure", "answer", "refusal", "job", "roster", "model",
         "consumer", "webhook", "publication")  # fmt: skip


@api.get("/ledger", "ledger.read", tags=["ledger"])
def list_entries(
    request: Request, kind: Kind = "", before: Before = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> dict[str, Any]:  # fmt: skip
    """Entries, the newest first; ``next`` is the ``before`` of the next page."""
    return results.ledger_page(desk_of(request).office, kind=kind, before=before, limit=limit)


@api.get("/ledger/verification", "ledger.read", tags=["ledger"])
def verify(request: Request) -> dict[str, Any]:
    """Whether no entry was changed, removed, inserted or signed by another."""
    return _verified(request)


@api.get("/ledger/export", "ledger.export", record=True, tags=["ledger"])
def export(request: Request) -> Response:
    """The whole ledger, as lines that anybody can verify with this node's identity card."""
    return _export(request)


def _verified(request: Request) -> dict[str, Any]:
    if not _VERIFYING.acquire(blocking=False):
        raise Refusal("ledger.busy", "the ledger is being verified already",
                      remedy="wait for it to end, then try again")  # fmt: skip
    try:
        return results.ledger_verdict(desk_of(request).office)
    finally:
        _VERIFYING.release()


def _export(request: Request) -> Response:
    desk = desk_of(request)
    name = f"{desk.party}-ledger.jsonl"
    return StreamingResponse(
        results.ledger_lines(desk.office), media_type="application/x-ndjson",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )  # fmt: skip


# --- pages ------------------------------------------------------------------------------------------


@pages.get("/ledger", "ledger.read")
def ledger_page(request: Request, kind: Kind = "", before: Before = None) -> Response:
    """The entries."""
    return _page(request, kind, before, None)


@pages.get("/ledger/verification", "ledger.read")
def verify_on_page(request: Request) -> Response:
    """The entries, and whether the chain holds."""
    return _page(request, "", None, _verified(request))


@pages.get("/ledger/export.jsonl", "ledger.export", record=True)
def export_file(request: Request) -> Response:
    """The whole ledger."""
    return _export(request)


def _page(
    request: Request, kind: str, before: int | None, verdict: dict[str, Any] | None
) -> Response:
    found = results.ledger_page(desk_of(request).office, kind=kind, before=before)
    for row in found["rows"]:
        row["facts"] = [(k, v if isinstance(v, str) else json.dumps(v, ensure_ascii=False))
                        for k, v in row["body"].items() if v not in ("", None, [], {})]  # fmt: skip
    return page(request, "ledger/ledger.html", found=found, kind=kind, before=before, kinds=KINDS,
                verdict=verdict)  # fmt: skip
