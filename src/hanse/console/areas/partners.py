"""Partners: whom this node knows, by their cards; invitations, comparing digits, revoking."""

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
from hanse.node.faces import records

api = Area("/api/v1", api=True)
pages = Area()


class NewPartner(BaseModel):
    """A partner's identity card, and where it listens ("" if it only dials out)."""

    card: dict[str, Any]
    address: str = Field(default="", max_length=300)


class NewInvitation(BaseModel):
    """What an invitation says: where this node listens, what kinds of data it has, a word to the partner."""

    address: str = Field(default="", max_length=300)
    holds: list[str] = Field(default_factory=list, max_length=len(records.KINDS_OF_DATA))
    note: str = Field(default="", max_length=500)


class Accepted(BaseModel):
    """An invitation's text or link, and the digits if the partner has read them out already."""

    invitation: str = Field(max_length=1 << 17)
    digits: str = Field(default="", max_length=40)


class Digits(BaseModel):
    """The digits of the partner's card as it read them out."""

    digits: str = Field(max_length=40)


class Revocation(BaseModel):
    """Why."""

    reason: str = Field(max_length=500)


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


@api.post("/partners/invitations", "partner.change", tags=["partners"], status_code=201)
def make_invitation(request: Request, body: NewInvitation) -> dict[str, Any]:
    """A signed invitation to send to a partner; it serves for 14 days."""
    desk = desk_of(request)
    return records.invitation(desk.office, desk.clock, body.address, body.holds, body.note)


@api.post("/partners/accepted", "partner.change", tags=["partners"], status_code=201)
def accept_invitation(request: Request, body: Accepted) -> dict[str, Any]:
    """Add the partner that sent an invitation."""
    return _accept(request, body.invitation, body.digits)


@api.post("/partners/{party}/confirmation", "partner.change", tags=["partners"])
def confirm_partner(request: Request, party: str, body: Digits) -> dict[str, Any]:
    """Note that the digits of a partner's card were compared by telephone."""
    return records.confirm_partner(desk_of(request).office, party, body.digits)


@api.post("/partners/{party}/revocation", "partner.revoke", tags=["partners"])
def revoke_partner(request: Request, party: str, body: Revocation) -> dict[str, Any]:
    """End everything with a partner at once: its link, and (suspended) every contract with it."""
    return _revoke(request, party, body.reason)


def _accept(request: Request, text: str, digits: str) -> dict[str, Any]:
    desk = desk_of(request)
    made = records.accept_invitation(desk.office, desk.clock, text, digits)
    about(request, party=made["party"], confirmed=made["confirmed"])
    return {**made, "running": desk.take_in_partners()}


def _revoke(request: Request, party: str, reason: str) -> dict[str, Any]:
    desk = desk_of(request)
    made = records.revoke_partner(desk.office, party, reason)
    return {**made, "running": desk.take_in_partners()}


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


@pages.post("/partners/invite", "partner.change")
def invite_on_page(
    request: Request, address: Annotated[str, Form()] = "", note: Annotated[str, Form()] = "",
    holds: Annotated[list[str], Form()] = [],  # noqa: B006 (FastAPI copies)
) -> Response:  # fmt: skip
    """An invitation, shown to be copied and sent."""
    desk = desk_of(request)
    try:
        made = records.invitation(desk.office, desk.clock, address, holds, note[:500])
    except HanseError as error:
        return _page(request, error)
    return _page(request, None, made["link"])


@pages.post("/partners/accept", "partner.change")
def accept_on_page(
    request: Request, invitation: Annotated[str, Form()] = "", digits: Annotated[str, Form()] = ""
) -> Response:
    """Add the partner that sent an invitation."""
    try:
        _accept(request, invitation, digits)
    except HanseError as error:
        return _page(request, error)
    return go("/partners")


@pages.post("/partners/{party}/confirm", "partner.change")
def confirm_on_page(request: Request, party: str, digits: Annotated[str, Form()] = "") -> Response:
    """The digits were compared."""
    try:
        records.confirm_partner(desk_of(request).office, party, digits)
    except HanseError as error:
        return _page(request, error)
    return go("/partners")


@pages.post("/partners/{party}/revoke", "partner.revoke")
def revoke_on_page(request: Request, party: str, reason: Annotated[str, Form()] = "") -> Response:
    """End everything with it."""
    try:
        _revoke(request, party, reason)
    except HanseError as error:
        return _page(request, error)
    return go("/partners")


def _page(request: Request, error: HanseError | None, link: str = "") -> Response:
    desk = desk_of(request)
    status = desk.status()
    return page(
        request, "partners/partners.html", status=status_of(error) if error else 200,
        error=error.public() if error else None, running=status is not None,
        link=link, kinds=records.KINDS_OF_DATA,
        partners=records.partners(desk.office, status, desk.clock), own=records.own_card(desk.office),
        own_text=json.dumps(records.own_card(desk.office)["card"], indent=2),
    )  # fmt: skip
