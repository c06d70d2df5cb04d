"""Partners: who this node knows, by their cards. Invitations and rotation of certificates belong here too."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import File, Form, Request, UploadFile
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from hanse.console.area import Area, about, desk_of
from hanse.console.pages import go, page
from hanse.console.refusals import status_of
from hanse.errors import HanseError, Refusal
from hanse.node import facade_records as records

api = Area("/api/v1", api=True)
pages = Area()


class NewPartner(BaseModel):
    """A partner's identity card, and where it listens ("" if it only dials out)."""

    card: dict[str, Any]
    address: str = Field(default="", max_length=300)


@api.get("/partners", "partner.read", tags=["partners"])
def list_partners(request: Request) -> dict[str, Any]:
    """Every partner, with its link."""
    desk = desk_of(request)
    return {"rows": records.partners(desk.office, desk.status(), desk.clock)}


@api.get("/partners/card", "partner.read", tags=["partners"])
def own_card(request: Request) -> dict[str, Any]:
    """This node's own card, to hand out, and the digits to read out."""
    return records.own_card(desk_of(request).office)


@api.post("/partners", "partner.change", tags=["partners"], status_code=201)
def add_partner(request: Request, body: NewPartner) -> dict[str, Any]:
    """Add a partner, or replace its card or address. Compare ``spoken`` with it by telephone."""
    return _add(request, body.card, body.address)


@api.delete("/partners/{party}", "partner.change", tags=["partners"])
def remove_partner(request: Request, party: str) -> dict[str, Any]:
    """Forget a partner and end its link. Contracts with it stay; suspend them if need be."""
    return _remove(request, party)


def _add(request: Request, card: bytes | dict[str, Any], address: str) -> dict[str, Any]:
    desk = desk_of(request)
    made = records.add_partner(desk.office, card, address)
    about(request, party=made["party"])
    return {**made, "running": desk.take_in_partners()}


def _remove(request: Request, party: str) -> dict[str, Any]:
    desk = desk_of(request)
    desk.office.remove_partner(party)
    return {"party": party, "running": desk.take_in_partners()}


# --- pages ------------------------------------------------------------------------------------------


@pages.get("/partners", "partner.read")
def partners_page(request: Request) -> Response:
    """Partners, their links, and this node's own card."""
    return _page(request, None)


@pages.get("/partners/card.json", "partner.read")
def card_file(request: Request) -> Response:
    """This node's card as a file."""
    desk = desk_of(request)
    card = records.own_card(desk.office)["card"]
    name = f"{desk.party}-identity.json"
    return JSONResponse(card, headers={"Content-Disposition": f'attachment; filename="{name}"'})


@pages.post("/partners", "partner.change")
def add_on_page(
    request: Request, card: Annotated[UploadFile | None, File()] = None,
    address: Annotated[str, Form()] = "", text: Annotated[str, Form()] = "",
) -> Response:  # fmt: skip
    """Add a partner by its card: a file, or its text."""
    try:
        data = card.file.read() if card is not None else b""
        if not (data or text.strip()):
            raise Refusal(
                "identity.malformed", "there is no card", remedy="choose the partner's file"
            )
        _add(request, data or text.encode(), address)
    except HanseError as error:
        return _page(request, error)
    return go("/partners")


@pages.post("/partners/{party}/remove", "partner.change")
def remove_on_page(request: Request, party: str) -> Response:
    """Forget a partner."""
    _remove(request, party)
    return go("/partners")


def _page(request: Request, error: HanseError | None) -> Response:
    desk = desk_of(request)
    status = desk.status()
    return page(
        request, "partners/partners.html", status=status_of(error) if error else 200,
        error=error.public() if error else None, running=status is not None,
        partners=records.partners(desk.office, status, desk.clock), own=records.own_card(desk.office),
        own_text=json.dumps(records.own_card(desk.office)["card"], indent=2),
    )  # fmt: skip
