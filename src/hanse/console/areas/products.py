"""Published products: a place over time with its intervals, a day on the map, every version, a scoreboard."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import File, Form, Query, Request, UploadFile
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from hanse.console.area import Area, about, desk_of, user_of
from hanse.console.pages import go, page
from hanse.console.refusals import status_of
from hanse.errors import HanseError, Refusal
from hanse.node.faces import crowd_day_pages as crowd_days
from hanse.node.faces import products

api = Area("/api/v1", api=True)
pages = Area()
Place = Annotated[str, Query(max_length=128)]
Day = Annotated[str, Query(max_length=10)]
Name = Annotated[str, Query(max_length=64)]
_A_PAGE = 50


@api.get("/products", "product.read", tags=["products"])
def list_products(request: Request) -> dict[str, Any]:
    """Every product that this node publishes."""
    return {"rows": products.products(desk_of(request).office)}


@api.get("/products/{product}", "product.read", tags=["products"])
def read_product(request: Request, product: str) -> dict[str, Any]:
    """One product, and the days that it has figures of."""
    return products.product(desk_of(request).office, product)


@api.get("/products/{product}/days/{day}", "product.read", tags=["products"])
def read_day(request: Request, product: str, day: str) -> dict[str, Any]:
    """The newest figure of every place on a day, the largest first, with where the place is if that is known."""
    return {"rows": products.day(desk_of(request).office, product, day)}


@api.get("/products/{product}/series", "product.read", tags=["products"])
def read_series(request: Request, product: str, place: Place) -> dict[str, Any]:
    """One place over time."""
    return products.series(desk_of(request).office, product, place)


@api.get("/products/{product}/versions", "product.read", tags=["products"])
def read_versions(request: Request, product: str, place: Place, day: Day) -> dict[str, Any]:
    """Every version of one place and day, oldest first: nothing is rewritten."""
    return {"rows": products.history(desk_of(request).office, product, place, day)}


@api.post("/products/{product}/scoreboard", "product.judge", tags=["products"])
def read_scoreboard(
    request: Request, product: str, file: Annotated[UploadFile, File()]
) -> dict[str, Any]:
    """How good the figures were against a truth (CSV or Parquet: place, date, value), which is not kept."""
    return _judged(request, product, file)


def _judged(request: Request, product: str, file: UploadFile) -> dict[str, Any]:
    name = (file.filename or "truth.csv")[-80:]
    made = products.scoreboard(desk_of(request).office, product, name, file.file.read())
    about(request, first=made["first"], last=made["last"], places=made["places"])
    return made


@api.post("/publications", "product.publish", tags=["products"], status_code=201)
def publish(
    request: Request, product: Annotated[str, Form(max_length=64)], file: Annotated[UploadFile, File()],
    title: Annotated[str, Form(max_length=200)] = "", unit: Annotated[str, Form(max_length=200)] = "",
    contract: Annotated[str, Form(max_length=64)] = "", synthetic: Annotated[bool, Form()] = False,
) -> dict[str, Any]:  # fmt: skip
    """Publish the figures of a file (CSV or Parquet: place, date, value, and low, high, confidence, reason)."""
    facts = {"title": title, "unit": unit, "contract": contract, "synthetic": synthetic}
    return _publish(request, product, facts, file)


def _publish(
    request: Request, product: str, facts: dict[str, Any], file: UploadFile
) -> dict[str, Any]:
    desk = desk_of(request)
    name = (file.filename or "figures.csv")[-80:]
    about(request, product=product, file=name)
    made = products.publish_file(desk.office, desk.clock, product, facts, name, file.file.read())
    about(request, figures=made["figures"], changed=made["changed"])
    return made


# --- daily crowds, which become products ------------------------------------------------------------


class CrowdDay(BaseModel):
    """Which contract (if several tell the crowd), up to which day, and which holders are left out."""

    model_config = ConfigDict(extra="forbid")

    contract: str = Field(default="", max_length=64)
    ends: str = Field(default="", max_length=10)
    without: list[str] = Field(default_factory=list, max_length=64)


@api.get("/crowd-days", "product.read", tags=["products"])
def list_crowd_days(request: Request) -> dict[str, Any]:
    """The daily crowds of this node's contracts: who takes part, what was told last, the product it becomes."""
    return {"rows": crowd_days.listed(desk_of(request).office)}


@api.post("/crowd-days/{crowd}/trainings", "product.tell", tags=["products"], status_code=202)
def train_crowd(request: Request, crowd: str, body: CrowdDay) -> dict[str, Any]:
    """Train the crowd's model with the other parties."""
    return _tell(request, crowd, body, train=True)


@api.post("/crowd-days/{crowd}/days", "product.tell", tags=["products"], status_code=202)
def tell_crowd(request: Request, crowd: str, body: CrowdDay) -> dict[str, Any]:
    """Tell the crowd of a day and the days ahead; a model that is due is trained first."""
    return _tell(request, crowd, body, train=False)


@api.get("/crowd-days/{crowd}/figures", "product.read", tags=["products"])
def read_crowd_figures(
    request: Request, crowd: str, contract: Name = "", day: Day = ""
) -> dict[str, Any]:
    """The newest figures of a day, by place."""
    return {"rows": crowd_days.figures(desk_of(request).office, crowd, contract, day)}


@api.get("/crowd-days/{crowd}/scoreboard", "product.judge", tags=["products"])
def read_crowd_scoreboard(
    request: Request, crowd: str, contract: Name = "", ends: Day = ""
) -> dict[str, Any]:
    """How good the figures of the last 90 days were, by this owner's own counts."""
    return crowd_days.scoreboard(desk_of(request).office, crowd, contract, ends)


def _tell(request: Request, crowd: str, body: CrowdDay, *, train: bool) -> dict[str, Any]:
    desk = desk_of(request)
    question = crowd_days.question(
        desk.office, crowd, body.contract, body.ends, train=train, without=tuple(body.without)
    )
    about(request, contract=question["contract"], computation=question["computation"])
    return desk.asks.start(user_of(request).name, question).body()


# --- pages ------------------------------------------------------------------------------------------


@pages.get("/products", "product.read")
def products_page(request: Request) -> Response:
    """All products, and the daily crowds that become some."""
    return _all(request, None)


@pages.get("/crowd-days/{crowd}/scoreboard", "product.judge")
def crowd_scoreboard_page(
    request: Request, crowd: str, contract: Name = "", ends: Day = ""
) -> Response:
    """The scoreboard of a daily crowd."""
    try:
        board = crowd_days.scoreboard(desk_of(request).office, crowd, contract, ends)
    except HanseError as error:
        return _all(request, error)
    found = {"name": "", "title": board["crowd"], "unit": ""}
    return page(request, "products/scoreboard.html", found=found, board=board)


@pages.post("/crowd-days/{crowd}/tell", "product.tell")
def tell_on_page(
    request: Request, crowd: str, contract: Annotated[str, Form()] = "",
    ends: Annotated[str, Form()] = "", train: Annotated[str, Form()] = "",
) -> Response:  # fmt: skip
    """Train, or tell a day."""
    try:
        body = CrowdDay(contract=contract[:64], ends=ends[:10])
        asked = _tell(request, crowd, body, train=bool(train))
    except HanseError as error:
        return _all(request, error)
    return go(f"/asks/{asked['ask']}")


@pages.post("/publications", "product.publish")
def publish_on_page(
    request: Request, product: Annotated[str, Form()] = "", title: Annotated[str, Form()] = "",
    unit: Annotated[str, Form()] = "", contract: Annotated[str, Form()] = "",
    synthetic: Annotated[str, Form()] = "", file: Annotated[UploadFile | None, File()] = None,
) -> Response:  # fmt: skip
    """Publish a file; the page says how many figures are new."""
    facts = {
        "title": title[:201],
        "unit": unit[:201],
        "contract": contract[:64],
        "synthetic": bool(synthetic),
    }
    try:
        if file is None or not file.filename:
            raise Refusal(
                "publish.file", "no file was given", remedy="choose a CSV or Parquet file"
            )
        made = _publish(request, product[:64], facts, file)
    except HanseError as error:
        return _all(request, error)
    return _all(request, None, made)


def _all(
    request: Request, error: HanseError | None, made: dict[str, Any] | None = None
) -> Response:
    office = desk_of(request).office
    return page(
        request, "products/products.html", status=status_of(error) if error else 200, made=made,
        error=error.public() if error else None, products=products.products(office),
        crowds=crowd_days.listed(office),
    )  # fmt: skip


@pages.get("/products/{product}", "product.read")
def product_page(request: Request, product: str, place: Place = "", day: Day = "") -> Response:
    """One product."""
    return _page(request, product, place, day)


@pages.post("/products/{product}/scoreboard", "product.judge")
def judge_on_page(request: Request, product: str, file: Annotated[UploadFile, File()]) -> Response:
    """Hold it against a truth."""
    try:
        board = _judged(request, product, file)
    except HanseError as error:
        return _page(request, product, "", "", error)
    return page(
        request, "products/scoreboard.html", found=products.product(desk_of(request).office, product), board=board,
    )  # fmt: skip


def _page(
    request: Request, product: str, place: str, day: str, error: HanseError | None = None
) -> Response:
    office = desk_of(request).office
    found = products.product(office, product)
    on = day or (found["days"][0]["date"] if found["days"] else "")
    rows = products.day(office, product, on) if on else []
    chosen = place.strip() or (rows[0]["place"] if rows else "")
    series = None
    try:
        series = products.series(office, product, chosen) if chosen else None
    except HanseError as refused:
        error = error or refused
    versions = products.history(office, product, chosen, on) if chosen and on else []
    return page(
        request, "products/product.html", status=status_of(error) if error else 200,
        error=error.public() if error else None, found=found, rows=rows[:_A_PAGE], more=max(0, len(rows) - _A_PAGE),
        day=on, place=chosen, series=series, versions=versions, areas=products.on_map(rows),
    )  # fmt: skip
