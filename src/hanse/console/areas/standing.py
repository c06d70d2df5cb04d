"""Standing questions: asked every day by the node itself. And power: what a test could see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Form, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from hanse.console.area import Area, about, desk_of
from hanse.console.areas.jobs import QuestionBody
from hanse.console.pages import go, page
from hanse.console.refusals import status_of
from hanse.errors import HanseError
from hanse.node.faces import questions, records

api = Area("/api/v1", api=True)
pages = Area()
People = Annotated[int, Query(ge=1, le=1 << 36)]


class StandingBody(BaseModel):
    """A question, its hour, and perhaps the name of its rosters."""

    name: str = Field(max_length=40)
    daily: str = Field(max_length=5, description="HH:MM in UTC")
    roster: str = Field(default="", max_length=40)
    question: QuestionBody


@api.get("/standing", "standing.read", tags=["standing"])
def list_standing(request: Request) -> dict[str, Any]:
    """The standing questions: when each is asked next, and how its last run went."""
    desk = desk_of(request)
    return {"rows": records.standing(desk.office, desk.clock)}


@api.post("/standing", "standing.change", tags=["standing"], status_code=201)
def add_standing(request: Request, body: StandingBody) -> dict[str, Any]:
    """Ask a question every day. Its days may be "today", "yesterday" or "-7d"."""
    return _add(request, body.name, body.question.question(), body.daily, body.roster)


@api.delete("/standing/{name}", "standing.change", tags=["standing"])
def remove_standing(request: Request, name: str) -> dict[str, Any]:
    """Ask it no more."""
    desk = desk_of(request)
    return records.remove_standing(desk.office, desk.clock, name)


def _add(
    request: Request, name: str, question: dict[str, Any], daily: str, roster: str
) -> dict[str, Any]:
    desk = desk_of(request)
    about(request, standing=name, contract=question["contract"], daily=daily)
    return records.add_standing(desk.office, desk.clock, name, question, daily, roster)


# --- power ------------------------------------------------------------------------------------------


@api.get("/power", "power.read", tags=["jobs"])
def read_power(
    treated: People, control: People,
    share: Annotated[float | None, Query(ge=0, lt=1)] = None,
    mean: Annotated[float | None, Query(ge=0, le=1e9)] = None,
    sd: Annotated[float | None, Query(ge=0, le=1e9)] = None,
    most: Annotated[int, Query(ge=1, le=1 << 30)] = 255, k: Annotated[int, Query(ge=1, le=1 << 30)] = 100,
    segments: Annotated[int, Query(ge=1, le=1000)] = 1,
    epsilon: Annotated[list[float], Query(max_length=20)] = list(questions.USUAL_EPSILONS),  # noqa: B006
    lift: Annotated[float | None, Query(gt=0, le=1e9)] = None,
) -> dict[str, Any]:  # fmt: skip
    """What a comparison of two arms could see at several prices. Asks nobody and spends nothing."""
    rows = questions.power(
        treated, control, share=share, mean=mean, sd=sd, most=most, k=k, segments=segments,
        epsilons=tuple(epsilon), lift=lift,
    )  # fmt: skip
    return {"rows": rows}


@dataclass(frozen=True)
class Design:
    """What the power page was filled in with."""

    treated: str
    control: str
    share: str
    k: str
    lift: str


# --- pages ------------------------------------------------------------------------------------------


@pages.get("/standing", "standing.read")
def standing_page(request: Request) -> Response:
    """The standing questions."""
    return _page(request, None)


@pages.post("/standing", "standing.change")
def add_on_page(
    request: Request, name: Annotated[str, Form()] = "", daily: Annotated[str, Form()] = "",
    roster: Annotated[str, Form()] = "", text: Annotated[str, Form()] = "",
) -> Response:  # fmt: skip
    """Ask it every day."""
    try:
        _add(request, name.strip(), questions.read_question(text), daily.strip(), roster.strip())
    except HanseError as error:
        return _page(request, error, text)
    return go("/standing")


@pages.post("/standing/{name}/remove", "standing.change")
def remove_on_page(request: Request, name: str) -> Response:
    """Ask it no more."""
    remove_standing(request, name)
    return go("/standing")


@pages.get("/power", "power.read")
def power_page(
    request: Request,
    treated: str = "",
    control: str = "",
    share: str = "",
    k: str = "100",
    lift: str = "",
) -> Response:
    """A planned test, and what it could see."""
    design, rows, error = Design(treated, control, share, k, lift), None, None
    if treated and control and share:
        try:
            rows = questions.power(
                int(treated), int(control), share=float(share) / 100, k=int(k or 100),
                lift=float(lift) / 100 if lift else None,
            )  # fmt: skip
        except HanseError as refused:
            error = refused.public()
        except ValueError:
            error = {"code": "power.design", "message": "a field is not a number", "where": "",
                     "remedy": "give whole numbers of people and a share in percent"}  # fmt: skip
    return page(request, "standing/power.html", design=design, rows=rows, error=error)


def _page(request: Request, error: HanseError | None, text: str = "") -> Response:
    desk = desk_of(request)
    return page(
        request, "standing/standing.html", status=status_of(error) if error else 200, text=text,
        error=error.public() if error else None, rows=records.standing(desk.office, desk.clock),
    )  # fmt: skip
