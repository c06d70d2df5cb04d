"""Contracts: read as a person would, compared, drafted, reviewed, signed, suspended, ended."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import File, Form, Query, Request, UploadFile
from pydantic import BaseModel, Field
from starlette.responses import Response

from hanse.console.area import Area, about, desk_of, user_of
from hanse.console.clauses import clause_of, clauses
from hanse.console.matrix import REVIEW_ROLES
from hanse.console.pages import go, in_path, page, words_of
from hanse.console.refusals import status_of
from hanse.errors import HanseError, Refusal
from hanse.node.faces import contracts

api = Area("/api/v1", api=True)
pages = Area()
Limit = Annotated[int, Query(ge=1, le=200)]
Mark = Annotated[str, Query(max_length=160)]
Short = Annotated[str, Query(max_length=80)]
MOVES = {"suspend": "suspended", "resume": "live", "end": "ended"}


class Draft(BaseModel):
    """A contract as TOML."""

    toml: str = Field(max_length=1 << 20)


class Signature(BaseModel):
    """The fingerprint of the text that was read."""

    hash: str = Field(max_length=64)


class Move(BaseModel):
    """Where a contract shall go at this node, and why."""

    to: str = Field(pattern="^(suspended|live|ended)$")
    reason: str = Field(max_length=500)


class Review(BaseModel):
    """A department's word."""

    department: str = Field(max_length=40)
    verdict: str = Field(max_length=10)
    comment: str = Field(default="", max_length=4000)


# --- reading ----------------------------------------------------------------------------------------


@api.get("/contracts", "contract.read", tags=["contracts"])
def list_contracts(
    request: Request, state: Short = "", search: Short = "", after: Mark = "", limit: Limit = 50
) -> dict[str, Any]:
    """The newest version of each contract, the last changed first."""
    office = desk_of(request).office
    return contracts.contracts(office, state=state, search=search, after=after, limit=limit).body()


@api.get("/contracts/templates/{name}", "contract.draft", tags=["contracts"])
def read_template(request: Request, name: str) -> dict[str, str]:
    """A contract to start from, made of what this node knows."""
    desk = desk_of(request)
    return {"toml": contracts.draft_text(desk.office, name, desk.clock)}


@api.get("/contracts/{contract_id}", "contract.read", tags=["contracts"])
def read_contract(request: Request, contract_id: str, version: int | None = None) -> dict[str, Any]:
    """Terms, standing, versions, reviews."""
    return contracts.contract(desk_of(request).office, contract_id, version)


@api.get("/contracts/{contract_id}/text", "contract.read", tags=["contracts"])
def read_text(request: Request, contract_id: str, version: int | None = None) -> dict[str, str]:
    """The contract in plain language, and as the document that was drafted."""
    office = desk_of(request).office
    return {"words": contracts.words(office, contract_id, version),
            "toml": contracts.text(office, contract_id, version)}  # fmt: skip


@api.get("/contracts/{contract_id}/changes", "contract.read", tags=["contracts"])
def read_changes(request: Request, contract_id: str, old: int, new: int) -> dict[str, Any]:
    """What differs between two versions."""
    office = desk_of(request).office
    return {"rows": contracts.changes(office, contract_id, old, new),
            "text": contracts.text_changes(office, contract_id, old, new)}  # fmt: skip


@api.get("/contracts/{contract_id}/bundle", "contract.export", record=True, tags=["contracts"])
def read_bundle(request: Request, contract_id: str, version: int | None = None) -> Response:
    """Contract and signatures as a file, for partners and auditors."""
    data = contracts.bundle_file(desk_of(request).office, contract_id, version)
    return _file(data, f"{contract_id}.bundle.json")


@api.get("/contracts/{contract_id}/budget", "budget.read", tags=["contracts"])
def read_budget(request: Request, contract_id: str) -> dict[str, Any]:
    """The providers' privacy budgets, as this node's ledger has them."""
    desk = desk_of(request)
    return contracts.budgets(desk.office, contract_id, desk.clock)


# --- changing ---------------------------------------------------------------------------------------


@api.post("/contracts/drafts", "contract.draft", tags=["contracts"], status_code=201)
def draft(request: Request, body: Draft) -> dict[str, Any]:
    """Take in a contract that is written as TOML; parties without keys get those of their cards."""
    return _told(request, contracts.draft(desk_of(request).office, body.toml))


@api.post("/contracts/bundles", "contract.draft", tags=["contracts"], status_code=201)
def take_in(request: Request, file: Annotated[UploadFile, File()]) -> dict[str, Any]:
    """Take in a bundle: a contract, or the signatures that it brings."""
    return _told(request, contracts.take_in(desk_of(request).office, file.file.read()))


@api.post("/contracts/{contract_id}/signature", "contract.sign", tags=["contracts"])
def sign(request: Request, contract_id: str, body: Signature) -> dict[str, Any]:
    """Sign, as this organisation, the text with this hash."""
    return _told(request, contracts.sign(desk_of(request).office, contract_id, body.hash))


@api.post(
    "/contracts/{contract_id}/reviews", "contract.review", tags=["contracts"], status_code=201
)
def review(request: Request, contract_id: str, body: Review) -> dict[str, Any]:
    """Write down what a department says of the newest version."""
    return _review(request, contract_id, body.department, body.verdict, body.comment)


@api.post("/contracts/{contract_id}/push", "contract.push", tags=["contracts"])
def push(request: Request, contract_id: str) -> dict[str, Any]:
    """Send contract and signatures to all parties, and take the signatures that they have."""
    return _push(request, contract_id)


@api.post("/contracts/{contract_id}/state", "contract.move", tags=["contracts"])
def move(request: Request, contract_id: str, body: Move) -> dict[str, Any]:
    """Suspend, resume or end a contract at this node; the reason is written into the ledger."""
    return _told(
        request, contracts.move(desk_of(request).office, contract_id, body.to, body.reason)
    )


def _push(request: Request, contract_id: str) -> dict[str, Any]:
    desk = desk_of(request)
    desk.office.contract(contract_id)
    return desk.ask({"verb": "push", "contract": contract_id})


def _review(
    request: Request, contract_id: str, department: str, verdict: str, comment: str
) -> dict[str, Any]:
    user = user_of(request)
    role = REVIEW_ROLES.get(department, "")
    if role and role not in user.roles:
        raise Refusal("role.missing", f"you do not speak for the department {department}",
                      remedy=f"ask somebody with the role {role}")  # fmt: skip
    about(request, department=department, verdict=verdict)
    return contracts.review(
        desk_of(request).office, contract_id, department, verdict, comment, user.name
    )


def _told(request: Request, standing: dict[str, Any]) -> dict[str, Any]:
    about(request, contract=standing["id"], version=standing["version"], hash=standing["hash"],
          state=standing["state"])  # fmt: skip
    return standing


def _file(data: bytes, name: str) -> Response:
    return Response(data, media_type="application/json",
                    headers={"Content-Disposition": f'attachment; filename="{in_path(name)}"'})  # fmt: skip


# --- pages ------------------------------------------------------------------------------------------


@pages.get("/contracts", "contract.read")
def contracts_page(
    request: Request, state: Short = "", search: Short = "", after: Mark = ""
) -> Response:
    """All contracts."""
    office = desk_of(request).office
    found = contracts.contracts(office, state=state, search=search, after=after)
    return page(request, "contracts/contracts.html", found=found, state=state, search=search,
                after=after, states=contracts.STATES, counts=contracts.counts(office))  # fmt: skip


@pages.get("/contracts/new", "contract.draft")
def new_page(request: Request, template: Short = "", of: Short = "") -> Response:
    """Write a contract: from a template, from the version before, or from a file."""
    desk = desk_of(request)
    text = contracts.next_version(desk.office, of) if of else ""
    if template:
        text = contracts.draft_text(desk.office, template, desk.clock)
    return _new(request, text, None)


@pages.post("/contracts/new", "contract.draft")
def draft_on_page(request: Request, text: Annotated[str, Form()] = "") -> Response:
    """Take in what was written."""
    try:
        made = _told(request, contracts.draft(desk_of(request).office, text))
    except HanseError as error:
        return _new(request, text, error)
    return go(f"/contracts/{in_path(made['id'])}")


@pages.post("/contracts/bundle", "contract.draft")
def take_in_on_page(request: Request, file: Annotated[UploadFile, File()]) -> Response:
    """Take in a bundle's file."""
    try:
        made = _told(request, contracts.take_in(desk_of(request).office, file.file.read()))
    except HanseError as error:
        return _new(request, "", error)
    return go(f"/contracts/{in_path(made['id'])}")


@pages.get("/contracts/{contract_id}", "contract.read")
def contract_page(request: Request, contract_id: str, version: int | None = None) -> Response:
    """One contract, in words."""
    return _contract(request, contract_id, version, None)


@pages.get("/contracts/{contract_id}/document", "contract.read")
def document_page(request: Request, contract_id: str, version: int | None = None) -> Response:
    """The document that was drafted."""
    office = desk_of(request).office
    found = contracts.contract(office, contract_id, version)
    return page(request, "contracts/document.html", found=found,
                text=contracts.text(office, contract_id, version))  # fmt: skip


@pages.get("/contracts/{contract_id}/changes", "contract.read")
def changes_page(request: Request, contract_id: str, old: int = 0, new: int = 0) -> Response:
    """Two versions beside each other; by default the newest and the one before."""
    office = desk_of(request).office
    found = contracts.contract(office, contract_id)
    versions = [v["version"] for v in found["versions"]]
    new = new or versions[0]
    old = old or max((v for v in versions if v < new), default=new)
    return page(
        request, "contracts/changes.html", found=found, versions=versions, old=old, new=new,
        rows=contracts.changes(office, contract_id, old, new),
        text=contracts.text_changes(office, contract_id, old, new),
    )  # fmt: skip


@pages.get("/contracts/{contract_id}/bundle.json", "contract.export", record=True)
def bundle_file(request: Request, contract_id: str, version: int | None = None) -> Response:
    """Contract and signatures."""
    return read_bundle(request, contract_id, version)


@pages.post("/contracts/{contract_id}/sign", "contract.sign")
def sign_on_page(
    request: Request, contract_id: str, hash: Annotated[str, Form()] = "",
    read: Annotated[str, Form()] = "",
) -> Response:  # fmt: skip
    """Sign what was read."""
    try:
        if not read:
            raise Refusal("contract.read", "nobody said that the contract was read",
                          remedy="read it, tick the box, then sign")  # fmt: skip
        _told(request, contracts.sign(desk_of(request).office, contract_id, hash))
    except HanseError as error:
        return _contract(request, contract_id, None, error)
    return go(f"/contracts/{in_path(contract_id)}")


@pages.post("/contracts/{contract_id}/review", "contract.review")
def review_on_page(
    request: Request, contract_id: str, department: Annotated[str, Form()] = "",
    verdict: Annotated[str, Form()] = "", comment: Annotated[str, Form()] = "",
) -> Response:  # fmt: skip
    """A department's word."""
    try:
        _review(request, contract_id, department, verdict, comment)
    except HanseError as error:
        return _contract(request, contract_id, None, error)
    return go(f"/contracts/{in_path(contract_id)}#reviews")


@pages.post("/contracts/{contract_id}/push", "contract.push")
def push_on_page(request: Request, contract_id: str) -> Response:
    """Send it to all parties."""
    try:
        answer = _push(request, contract_id)
    except HanseError as error:
        return _contract(request, contract_id, None, error)
    return _contract(request, contract_id, None, None, pushed=answer["parties"])


@pages.post("/contracts/{contract_id}/move", "contract.move")
def move_on_page(
    request: Request, contract_id: str, how: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
) -> Response:  # fmt: skip
    """Suspend, resume or end it."""
    try:
        _told(
            request,
            contracts.move(desk_of(request).office, contract_id, MOVES.get(how, how), reason[:500]),
        )
    except HanseError as error:
        return _contract(request, contract_id, None, error)
    return go(f"/contracts/{in_path(contract_id)}")


def _contract(
    request: Request, contract_id: str, version: int | None, error: HanseError | None,
    pushed: dict[str, str] | None = None,
) -> Response:  # fmt: skip
    desk, user = desk_of(request), user_of(request)
    found = contracts.contract(desk.office, contract_id, version)
    newest = found["version"] == found["versions"][0]["version"]
    speaks_for = [d for d in contracts.REVIEWERS if REVIEW_ROLES.get(d) in user.roles]
    return page(
        request, "contracts/contract.html", status=status_of(error) if error else 200,
        error=error.public() if error else None, found=found, newest=newest, pushed=pushed,
        sections=clauses(found["terms"], words_of(request), desk.party, contracts.TRUST),
        refusals=[{**r, "clause": clause_of(r["code"])} for r in contracts.refusals(desk.office, contract_id)],
        speaks_for=speaks_for, budget=contracts.budgets(desk.office, contract_id, desk.clock),
    )  # fmt: skip


def _new(request: Request, text: str, error: HanseError | None) -> Response:
    return page(request, "contracts/new.html", status=status_of(error) if error else 200,
                error=error.public() if error else None, text=text, templates=contracts.TEMPLATES)  # fmt: skip
