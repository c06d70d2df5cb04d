"""Privacy budgets of all live contracts."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Request
from starlette.responses import Response

from hanse.console.area import Area, desk_of
from hanse.console.pages import page
from hanse.node.faces import contracts

pages = Area()
_A_PAGE = 25


@pages.get("/budget", "budget.read")
def budget_page(request: Request, after: Annotated[str, Query(max_length=160)] = "") -> Response:
    """What is spent and what is left, by provider."""
    desk = desk_of(request)
    found = contracts.contracts(desk.office, state="live", after=after, limit=_A_PAGE)
    accounts = [contracts.budgets(desk.office, row["id"], desk.clock) for row in found.rows]
    return page(request, "budget/budget.html", accounts=accounts, next=found.next, after=after)
