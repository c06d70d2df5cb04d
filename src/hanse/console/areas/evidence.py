"""Evidence: packs of a contract as one signed file, drafts of impact assessments, and packs of others checked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import Annotated, Any

from fastapi import File, Form, Request, UploadFile
from starlette.background import BackgroundTask
from starlette.responses import Response, StreamingResponse

from hanse.console.area import Area, about, desk_of
from hanse.console.hardening import policy_of
from hanse.console.pages import in_path, page
from hanse.console.refusals import status_of
from hanse.errors import HanseError, Refusal
from hanse.evidence import desk as evidence
from hanse.node.faces import contracts

api = Area("/api/v1", api=True)
pages = Area()
_WORKING = (
    threading.Lock()
)  # a pack reads the whole ledger, a check verifies every signature: one at a time
_MOST_KEYS = 64
_PIECE = 1 << 20


@api.get("/evidence/{contract_id}/pack", "evidence.make", record=True, tags=["evidence"])
def read_pack(request: Request, contract_id: str) -> Response:
    """Everything about a contract in one signed file: texts, reviews, jobs, openings, ledger, code."""
    return _pack(request, contract_id)


@api.get("/evidence/{contract_id}/impact", "evidence.assess", record=True, tags=["evidence"])
def read_impact(request: Request, contract_id: str) -> Response:
    """The draft of an impact assessment, filled in from the contract, as a page."""
    return _impact(request, contract_id)


@api.get("/evidence/verifier", "evidence.read", tags=["evidence"])
def read_verifier() -> Response:
    """The verifier as one file for a machine that has Python and nothing else."""
    return _verifier()


@api.post("/evidence/checks", "evidence.verify", tags=["evidence"])
def check_pack(request: Request, file: Annotated[UploadFile, File()]) -> dict[str, Any]:
    """Whether a pack holds, and what does not."""
    return _checked(request, file, {})


def _pack(request: Request, contract_id: str) -> Response:
    desk = desk_of(request)
    file = TemporaryFile()  # noqa: SIM115 - closed when it is sent
    try:
        with _alone():
            evidence.write_pack(desk.office, contract_id, desk.clock.now(), file)
    except BaseException:
        file.close()
        raise
    size = file.tell()
    file.seek(0)
    name = f"{in_path(contract_id)}-{desk.party}.zip"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Length": str(size)}
    return StreamingResponse(
        iter(lambda: file.read(_PIECE), b""), media_type="application/zip", headers=headers,
        background=BackgroundTask(file.close),
    )  # fmt: skip


def _impact(request: Request, contract_id: str) -> Response:
    data = evidence.impact_draft(desk_of(request).office, contract_id)
    return Response(data, media_type="text/html; charset=utf-8",
                    headers={"Content-Security-Policy": policy_of(data.decode())})  # fmt: skip


def _verifier() -> Response:
    return Response(evidence.verifier_file(), media_type="text/x-python; charset=utf-8",
                    headers={"Content-Disposition": 'attachment; filename="verify.py"'})  # fmt: skip


def _checked(request: Request, file: UploadFile, keys: dict[str, str]) -> dict[str, Any]:
    with _alone():
        told = evidence.verified(file.file, keys)
    about(request, ok=told["ok"])
    return told


@contextmanager
def _alone() -> Iterator[None]:
    if not _WORKING.acquire(blocking=False):
        raise Refusal("evidence.busy", "a pack is being made or checked already",
                      remedy="wait for it to end, then try again")  # fmt: skip
    try:
        yield
    finally:
        _WORKING.release()


# --- pages ------------------------------------------------------------------------------------------


@pages.get("/evidence", "evidence.read")
def evidence_page(
    request: Request, search: str = "", after: str = "",
) -> Response:  # fmt: skip
    """Contracts, with their packs and drafts; and a place to check a pack."""
    return _page(request, search[:80], after[:160])


@pages.get("/evidence/verify.py", "evidence.read")
def verifier_file() -> Response:
    """The verifier."""
    return _verifier()


@pages.get("/evidence/{contract_id}/pack.zip", "evidence.make", record=True)
def pack_file(request: Request, contract_id: str) -> Response:
    """The pack."""
    return _pack(request, contract_id)


@pages.get("/evidence/{contract_id}/impact.html", "evidence.assess", record=True)
def impact_page(request: Request, contract_id: str) -> Response:
    """The draft."""
    return _impact(request, contract_id)


@pages.post("/evidence/check", "evidence.verify")
def check_on_page(
    request: Request, file: Annotated[UploadFile, File()], keys: Annotated[str, Form()] = ""
) -> Response:
    """What the verifier says of a pack."""
    try:
        told = _checked(request, file, _keys(keys))
    except HanseError as error:
        return _page(request, error=error)
    return _page(request, told=told)


def _keys(text: str) -> dict[str, str]:
    """Lines of PARTY=HEX. `Refusal` ``evidence.key.malformed``."""
    found = {}
    for line in [one.strip() for one in text.splitlines() if one.strip()][:_MOST_KEYS]:
        party, sign, value = line.partition("=")
        if not sign or not party.strip() or len(value.strip()) > 200:
            raise Refusal("evidence.key.malformed", "a line of the keys is not PARTY=HEX",
                          remedy="write one key a line, such as retail-chain=9f3c...")  # fmt: skip
        found[party.strip()] = value.strip().lower()
    return found


def _page(
    request: Request, search: str = "", after: str = "", error: HanseError | None = None,
    told: dict[str, Any] | None = None,
) -> Response:  # fmt: skip
    desk = desk_of(request)
    found = contracts.contracts(desk.office, search=search, after=after, limit=25)
    return page(
        request, "evidence/evidence.html", status=status_of(error) if error else 200,
        error=error.public() if error else None, found=found, search=search, after=after, told=told,
        key=desk.office.identity.card.signing_key,
    )  # fmt: skip
