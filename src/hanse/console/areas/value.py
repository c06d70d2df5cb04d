"""Value: what data was used for in a period, price terms, and the statements that follow from them."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import Form, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from hanse.console.area import Area, about, desk_of, user_of
from hanse.console.pages import go, in_path, page
from hanse.console.refusals import status_of
from hanse.errors import HanseError
from hanse.node.faces import value

api = Area("/api/v1", api=True)
pages = Area()


class Measuring(BaseModel):
    """Whose contributions: the model, its contract (if several have it), settings as of a training."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(max_length=80)
    contract: str = Field(default="", max_length=64)
    settings: dict[str, str | int | float | bool] = Field(default_factory=dict, max_length=64)


Day = Annotated[str, Query(max_length=10, alias="from")]
Last = Annotated[str, Query(max_length=10, alias="to")]
Short = Annotated[str, Query(max_length=80)]


@api.get("/value/usage", "value.read", tags=["value"])
def read_usage(
    request: Request, first: Day = "", last: Last = "", contract: Short = ""
) -> dict[str, Any]:
    """Every use of data that this node had a part in, and of its own data one by one. By default this month."""
    return value.usage(desk_of(request).office, *_period(request, first, last), contract)


@api.get("/value/prices", "value.read", tags=["value"])
def read_prices(request: Request) -> dict[str, Any]:
    """The price terms of all contracts."""
    return {"rows": value.prices(desk_of(request).office)}


@api.get("/value/statements/{contract_id}", "value.read", tags=["value"])
def read_statement(
    request: Request, contract_id: str, first: Day = "", last: Last = ""
) -> dict[str, Any]:
    """What the parties of a contract owe one another for a period."""
    return value.statement_body(
        desk_of(request).office, contract_id, *_period(request, first, last)
    )


@api.get("/value/statements/{contract_id}/{form}", "value.export", record=True, tags=["value"])
def statement_file(
    request: Request, contract_id: str, form: str, first: Day = "", last: Last = ""
) -> Response:
    """The statement as a csv or pdf file."""
    return _file(request, contract_id, form, first, last)


@api.get("/value/contributions", "value.read", tags=["value"])
def read_contributions(request: Request, contract: Short = "") -> dict[str, Any]:
    """What each party adds to models, as last measured and told to us; and which models it may be measured of."""
    office = desk_of(request).office
    return {"rows": value.contributions(office, contract), "measurable": value.measurable(office),
            "crowds": value.crowds(office)}  # fmt: skip


@api.post("/value/contributions", "model.train", tags=["value"], status_code=202)
def measure_contributions(request: Request, body: Measuring) -> dict[str, Any]:
    """Measure what each party adds to a model. The answer says where to see how far it is."""
    return _measure(request, body.model, body.contract, dict(body.settings))


def _measure(
    request: Request, model: str, contract: str, settings: dict[str, Any]
) -> dict[str, Any]:
    desk = desk_of(request)
    question = value.measuring(desk.office, model, contract, settings)
    about(request, model=model, contract=question["contract"])
    return desk.asks.start(user_of(request).name, question).body()


def _period(request: Request, first: str, last: str) -> tuple[date, date]:
    return value.period(first, last, desk_of(request).clock.now().date())


def _file(request: Request, contract_id: str, form: str, first: str, last: str) -> Response:
    begin, end = _period(request, first, last)
    about(request, first=begin, last=end)
    data = value.statement_file(desk_of(request).office, contract_id, begin, end, form)
    name = f"{in_path(contract_id)}-{begin}-{end}.{form}"
    return Response(data, media_type=value.FORMS[form],
                    headers={"Content-Disposition": f'attachment; filename="{name}"'})  # fmt: skip


# --- pages ------------------------------------------------------------------------------------------


@pages.get("/value", "value.read")
def value_page(
    request: Request, first: Day = "", last: Last = "", contract: Short = "",
) -> Response:  # fmt: skip
    """Use, prices, the statement of one contract, and what each party adds to models."""
    return _page(request, first, last, contract, None)


@pages.post("/value/contributions", "model.train")
def measure_on_page(request: Request, model: Annotated[str, Form()] = "") -> Response:
    """Measure what each party adds; ``model`` is "contract/model" as the form offers it."""
    contract, _, name = model[:160].partition("/")
    try:
        asked = _measure(request, name, contract, {})
    except HanseError as error:
        return _page(request, "", "", "", error)
    return go(f"/asks/{asked['ask']}")


def _page(
    request: Request, first: str, last: str, contract: str, error: HanseError | None
) -> Response:
    desk = desk_of(request)
    today = desk.clock.now().date()
    begin, end = value.period("", "", today)
    used = statement = None
    priced, added = value.prices(desk.office), value.contributions(desk.office)
    try:
        begin, end = value.period(first, last, today)
        used = value.usage(desk.office, begin, end, contract)
        if any(p["contract"] == contract for p in priced):
            statement = value.statement_body(desk.office, contract, begin, end)
    except HanseError as found:
        error = found
    return page(
        request, "value/value.html", status=status_of(error) if error else 200,
        error=error.public() if error else None, first=begin.isoformat(), last=end.isoformat(),
        contract=contract, used=used, statement=statement, prices=priced,
        added=added, measurable=value.measurable(desk.office), crowds=value.crowds(desk.office),
    )  # fmt: skip


@pages.get("/value/statements/{contract_id}.{form}", "value.export", record=True)
def file_on_page(
    request: Request, contract_id: str, form: str, first: Day = "", last: Last = ""
) -> Response:
    """The statement as a file."""
    return _file(request, contract_id, form, first, last)
