"""The first page: whether the federation is well, and what waits for whoever looks. And the node itself."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from fastapi import Request
from starlette.responses import Response

from hanse.console.area import Area, desk_of, user_of
from hanse.console.desk import Desk
from hanse.console.matrix import may
from hanse.console.pages import go, page
from hanse.errors import Refusal
from hanse.node.faces import contracts, questions, records, results
from hanse.node.faces import health as facade_health
from hanse.node.faces.users import User

api = Area("/api/v1", api=True)
pages = Area()
_SOON = timedelta(days=30)
_FEW = 8


@api.get("/node", "node.read", tags=["node"])
def read_node(request: Request) -> dict[str, Any]:
    """Whether the node runs, its version, its links to partners."""
    desk = desk_of(request)
    return {"party": desk.party, "organisation": desk.organisation, "running": desk.status()}


@api.get("/node/health", "node.examine", tags=["node"])
def read_health(request: Request) -> dict[str, Any]:
    """Keys, disk, port, ledger, partners, clocks, versions, datasets and contracts, each with how to mend it."""
    return {"rows": _findings(desk_of(request))}


@api.post("/node/stop", "node.stop", tags=["node"])
def stop_node(request: Request) -> dict[str, Any]:
    """Stop the node; its running jobs end with a clear error on all sides."""
    desk_of(request).ask({"verb": "stop"})
    return {"party": desk_of(request).party}


@api.get("/home", "home.read", tags=["node"])
def read_home(request: Request) -> dict[str, Any]:
    """What waits for whoever asks, and counts of contracts and jobs."""
    desk = desk_of(request)
    status = desk.status()
    return {
        "waiting": waiting(desk, user_of(request), status),
        "contracts": contracts.counts(desk.office),
        "jobs": results.job_counts(desk.office),
    }


@pages.get("/", "home.read")
def home(request: Request) -> Response:
    """The first page."""
    desk, user = desk_of(request), user_of(request)
    status = desk.status()
    recent = results.jobs(desk.office, limit=_FEW) if may(user.roles, "job.read") else None
    return page(
        request, "home/home.html", status_of_node=status,
        partners=records.partners(desk.office, status, desk.clock), waiting=waiting(desk, user, status),
        contract_counts=contracts.counts(desk.office), job_counts=results.job_counts(desk.office),
        datasets=len(desk.office.store.datasets.all()), recent=recent, titles=questions.menu_titles(),
        asking=desk.asks.under_way(), spoken=records.own_card(desk.office)["spoken"],
    )  # fmt: skip


@pages.get("/health", "node.examine")
def health_page(request: Request) -> Response:
    """What `hanse doctor` finds."""
    return page(request, "home/health.html", findings=_findings(desk_of(request)))


@pages.post("/node/stop", "node.stop")
def stop_on_page(request: Request) -> Response:
    """Stop the node."""
    stop_node(request)
    return go("/")


def _findings(desk: Desk) -> list[dict[str, Any]]:
    if desk.folder is None:
        raise Refusal("node.folder", "this console does not know the node's folder",
                      remedy="start the console with the node's folder")  # fmt: skip
    return facade_health.findings(desk.folder, desk.clock)


def waiting(desk: Desk, user: User, status: dict[str, Any] | None) -> list[dict[str, Any]]:
    """What needs somebody with this user's roles: a word's key, its facts, and the page where it is done."""
    today = desk.clock.now().date()
    found: list[dict[str, Any]] = []
    if may(user.roles, "contract.sign") or may(user.roles, "contract.review"):
        found += _contracts_to_sign(desk)
    found += _contracts_that_end(desk, today)
    if status is None:
        found.append({"what": "node", "facts": {}, "page": "/partners"})
    else:
        found += [
            {"what": "link", "facts": {"party": link["party"]}, "page": "/partners"}
            for link in status["links"]
            if not link["connected"]
        ]
    if may(user.roles, "job.read"):
        failed = results.jobs(desk.office, state="failed", limit=3).rows
        since = (desk.clock.now() - timedelta(days=1)).isoformat()
        found += [
            {"what": "failed", "facts": {"job": row["job"][:12], "computation": row["computation"]},
             "page": f"/jobs/{row['job']}"}
            for row in failed
            if row["created"] > since
        ]  # fmt: skip
    if not user.has_code:
        found.append({"what": "codes", "facts": {}, "page": "/account"})
    return found


def _contracts_to_sign(desk: Desk) -> list[dict[str, Any]]:
    pending = contracts.contracts(desk.office, state="pending", limit=_FEW).rows
    return [
        {"what": "sign", "facts": {"title": row["title"], "version": row["version"]},
         "page": f"/contracts/{row['id']}"}
        for row in pending
        if not row["mine"]
    ]  # fmt: skip


def _contracts_that_end(desk: Desk, today: date) -> list[dict[str, Any]]:
    live = contracts.contracts(desk.office, state="live", limit=_FEW * 5).rows
    return [
        {"what": "ends", "facts": {"title": row["title"], "day": row["expires"]},
         "page": f"/contracts/{row['id']}"}
        for row in live
        if today <= date.fromisoformat(row["expires"]) <= today + _SOON
    ]  # fmt: skip
