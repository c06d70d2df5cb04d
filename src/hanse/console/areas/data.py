"""What this organisation can give: datasets, crowd packages, lists of places, rosters."""

from __future__ import annotations

import tomllib
from typing import Annotated, Any

from fastapi import File, Form, Request, UploadFile
from pydantic import BaseModel, Field
from starlette.responses import Response

from hanse.console.area import Area, about, desk_of
from hanse.console.pages import go, in_path, page
from hanse.console.refusals import status_of
from hanse.errors import HanseError, Refusal
from hanse.node.faces import records

api = Area("/api/v1", api=True)
pages = Area()


class Renewal(BaseModel):
    """Until when a crowd serves, and where the newer evidence is kept."""

    expires: str = Field(max_length=10)
    evidence: str = Field(default="", max_length=500)


# --- datasets ---------------------------------------------------------------------------------------


@api.get("/datasets", "dataset.read", tags=["data"])
def list_datasets(request: Request) -> dict[str, Any]:
    """All registered datasets."""
    return {"rows": records.datasets(desk_of(request).office)}


@api.get("/datasets/{name}", "dataset.read", tags=["data"])
def read_dataset(request: Request, name: str) -> dict[str, Any]:
    """A dataset's description, the profile that registration found, and the contracts that name it."""
    return records.dataset(desk_of(request).office, name)


@api.post("/datasets", "dataset.change", tags=["data"], status_code=201)
def register_dataset(request: Request, body: dict[str, Any]) -> dict[str, Any]:
    """Register a dataset by its description (the guide shows one); its profile stays at home."""
    about(request, dataset=body.get("name", ""))
    return records.register_dataset(desk_of(request).office, body)


@api.post("/datasets/checks", "dataset.check", tags=["data"])
def check_datasets(request: Request, name: str = "") -> dict[str, Any]:
    """Read the data again: what keeps a dataset (or any) from serving its contracts?"""
    return {"rows": records.check_datasets(desk_of(request).office, name)}


# --- crowds -----------------------------------------------------------------------------------------


@api.get("/crowds", "crowd.read", tags=["data"])
def list_crowds(request: Request) -> dict[str, Any]:
    """All packages with all their versions."""
    desk = desk_of(request)
    return {"rows": records.crowds(desk.office, desk.clock)}


@api.get("/crowds/{name}", "crowd.read", tags=["data"])
def read_crowd(request: Request, name: str) -> dict[str, Any]:
    """A package: its versions, how many are in it roughly, the contracts that name it."""
    desk = desk_of(request)
    return records.crowd(desk.office, desk.clock, name)


@api.post("/crowds", "crowd.change", tags=["data"], status_code=201)
def make_crowd(request: Request, body: dict[str, Any]) -> dict[str, Any]:
    """Make a package, or the next version of one."""
    about(request, crowd=body.get("name", ""))
    return records.make_crowd(desk_of(request).office, body)


@api.post("/crowds/{name}/renewal", "crowd.change", tags=["data"])
def renew_crowd(request: Request, name: str, body: Renewal) -> dict[str, Any]:
    """Let the newest version serve longer."""
    return records.renew_crowd(desk_of(request).office, name, body.expires, body.evidence)


@api.delete("/crowds/{name}", "crowd.change", tags=["data"])
def remove_crowd(request: Request, name: str) -> dict[str, Any]:
    """Let no job use the package any more."""
    return records.remove_crowd(desk_of(request).office, name)


# --- places and rosters -----------------------------------------------------------------------------


@api.get("/places", "place.read", tags=["data"])
def list_places(request: Request) -> dict[str, Any]:
    """All lists of places at this node."""
    return {"rows": records.places(desk_of(request).office)}


@api.post("/places", "place.change", tags=["data"], status_code=201)
def add_places(request: Request, file: Annotated[UploadFile, File()]) -> dict[str, Any]:
    """Check a list of places (CSV or Parquet) and keep a copy."""
    return _add_places(request, file)


@api.get("/rosters", "roster.read", tags=["data"])
def list_rosters(request: Request) -> dict[str, Any]:
    """The rosters of which this node keeps something."""
    return {"rows": records.rosters(desk_of(request).office)}


@api.delete("/rosters/{name}", "roster.change", tags=["data"])
def remove_roster(request: Request, name: str) -> dict[str, Any]:
    """Delete what this node keeps of a roster."""
    return records.remove_roster(desk_of(request).office, name)


def _add_places(request: Request, file: UploadFile) -> dict[str, Any]:
    made = records.add_places(
        desk_of(request).office, file.filename or "places.csv", file.file.read()
    )
    about(request, digest=made["digest"], places=made["places"])
    return made


# --- pages ------------------------------------------------------------------------------------------


@pages.get("/data", "dataset.read")
def data_page(request: Request) -> Response:
    """Everything that this organisation can give."""
    return _page(request, None)


@pages.get("/data/datasets/{name}", "dataset.read")
def dataset_page(request: Request, name: str) -> Response:
    """One dataset."""
    found = records.dataset(desk_of(request).office, name)
    return page(request, "data/dataset.html", found=found, checked=None)


@pages.post("/data/datasets/{name}/check", "dataset.check")
def check_on_page(request: Request, name: str) -> Response:
    """Read the data again."""
    office = desk_of(request).office
    checked = records.check_datasets(office, name)[0]
    return page(request, "data/dataset.html", found=records.dataset(office, name), checked=checked)


@pages.post("/data/datasets", "dataset.change")
def register_on_page(request: Request, text: Annotated[str, Form()] = "") -> Response:
    """Register a dataset by its description in TOML."""
    try:
        document = _toml(text)
        about(request, dataset=document.get("name", ""))
        profile = records.register_dataset(desk_of(request).office, document)
    except HanseError as error:
        return _page(request, error, text=text)
    return go(f"/data/datasets/{in_path(profile['dataset'])}")


@pages.get("/data/crowds/{name}", "crowd.read")
def crowd_page(request: Request, name: str) -> Response:
    """One crowd package."""
    desk = desk_of(request)
    return page(request, "data/crowd.html", found=records.crowd(desk.office, desk.clock, name))


@pages.post("/data/crowds", "crowd.change")
def make_on_page(request: Request, text: Annotated[str, Form()] = "") -> Response:
    """Make a crowd package by its definition in TOML."""
    try:
        document = _toml(text)
        about(request, crowd=document.get("name", ""))
        made = records.make_crowd(desk_of(request).office, document)
    except HanseError as error:
        return _page(request, error, crowd_text=text)
    return go(f"/data/crowds/{in_path(made['name'])}")


@pages.post("/data/crowds/{name}/renew", "crowd.change")
def renew_on_page(
    request: Request, name: str, expires: Annotated[str, Form()] = "",
    evidence: Annotated[str, Form()] = "",
) -> Response:  # fmt: skip
    """Let it serve longer."""
    records.renew_crowd(desk_of(request).office, name, expires, evidence)
    return go(f"/data/crowds/{in_path(name)}")


@pages.post("/data/crowds/{name}/remove", "crowd.change")
def remove_on_page(request: Request, name: str) -> Response:
    """Let no job use it any more."""
    records.remove_crowd(desk_of(request).office, name)
    return go("/data")


@pages.post("/places", "place.change")
def places_on_page(request: Request, file: Annotated[UploadFile, File()]) -> Response:
    """Keep a list of places."""
    try:
        _add_places(request, file)
    except HanseError as error:
        return _page(request, error)
    return go("/data#places")


@pages.post("/data/rosters/{name}/remove", "roster.change")
def remove_roster_on_page(request: Request, name: str) -> Response:
    """Delete what is kept of a roster."""
    records.remove_roster(desk_of(request).office, name)
    return go("/data#rosters")


def _toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Refusal("file.syntax", f"the description is not TOML: {error}",
                      remedy="mend the line that the message names") from error  # fmt: skip


def _page(
    request: Request, error: HanseError | None, text: str = "", crowd_text: str = ""
) -> Response:
    desk = desk_of(request)
    crowds = [c for c in records.crowds(desk.office, desk.clock) if c["state"] != "replaced"]
    return page(
        request, "data/data.html", status=status_of(error) if error else 200,
        error=error.public() if error else None, datasets=records.datasets(desk.office), crowds=crowds,
        places=records.places(desk.office), rosters=records.rosters(desk.office), text=text,
        crowd_text=crowd_text,
    )  # fmt: skip
