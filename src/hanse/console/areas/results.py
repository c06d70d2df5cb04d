"""Results: tables, pictures, files, the map, and the disclosure report of every job."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request
from starlette.responses import Response

from hanse.console.area import Area, desk_of, user_of
from hanse.console.areas.jobs import JobName, Mark
from hanse.console.hardening import policy_of
from hanse.console.matrix import may
from hanse.console.pages import page
from hanse.errors import HanseError
from hanse.node.faces import model_pages as models
from hanse.node.faces import questions, results

api = Area("/api/v1", api=True)
pages = Area()
CHARTS = (
    "funnel",
    "journey",
    "overlap",
    "portrait",
    "lift",
    "reach",
    "attribution",
    "concentration",
)
PAGES = ("journey",)


@api.get("/jobs/{job}/result", "result.read", tags=["results"])
def read_result(request: Request, job: JobName) -> dict[str, Any]:
    """What this node received: tables, notes, rows."""
    return results.result(desk_of(request).office, job)


@api.get("/jobs/{job}/result.{form}", "result.export", record=True, tags=["results"])
def result_file(request: Request, job: JobName, form: str) -> Response:
    """The result as a csv, json or parquet file."""
    return _file(request, job, form)


@api.get("/jobs/{job}/picture", "result.read", tags=["results"])
def read_picture(request: Request, job: JobName) -> Response:
    """The result as an SVG picture."""
    return _drawn(request, job, "svg", "image/svg+xml")


@api.get("/jobs/{job}/page", "result.read", tags=["results"])
def read_page(request: Request, job: JobName) -> Response:
    """The result as a page that prints, where it has one."""
    return _drawn(request, job, "html", "text/html; charset=utf-8")


@api.get("/jobs/{job}/map", "result.read", tags=["results"])
def read_map(request: Request, job: JobName) -> dict[str, Any]:
    """The areas of a concentration, where they lie."""
    return {"levels": results.areas_on_map(desk_of(request).office, job)}


@api.get("/jobs/{job}/disclosure", "disclosure.read", tags=["results"])
def read_disclosure(request: Request, job: JobName) -> dict[str, Any]:
    """What was opened, to whom, and what each seat could see."""
    return results.disclosure(desk_of(request).office, job)


def _file(request: Request, job: str, form: str) -> Response:
    data = results.exported(desk_of(request).office, job, form)
    return Response(data, media_type=results.FORMS[form],
                    headers={"Content-Disposition": f'attachment; filename="{job[:12]}.{form}"'})  # fmt: skip


def _drawn(request: Request, job: str, form: str, kind: str) -> Response:
    text = results.drawn(desk_of(request).office, job, form)
    return Response(text, media_type=kind, headers={"Content-Security-Policy": policy_of(text)})


# --- pages ------------------------------------------------------------------------------------------


@pages.get("/jobs/{job}", "job.read")
def job_page(request: Request, job: JobName, recorded: str = "") -> Response:
    """A job: how far it is, what it told, what it disclosed."""
    office, roles = desk_of(request).office, user_of(request).roles
    found = results.job(office, job)
    told = None
    if found["has_result"] and may(roles, "result.read"):
        told = results.result(office, job)
    drawable = told is not None and told.get("computation") in CHARTS
    areas = None
    if told is not None and "areas" in told:
        areas = _areas(request, job)
    report = results.disclosure(office, job) if may(roles, "disclosure.read") else None
    return page(
        request, "results/job.html", found=found, told=told, drawable=drawable, areas=areas, report=report,
        log=results.log(office, job), recorded=bool(recorded), titles=questions.menu_titles(),
        text=questions.question_text(questions.question_of(office, job)), forms=list(results.FORMS),
        paged=found["computation"] in PAGES, scores_wait=models.scores_wait(office, found["job"]),
    )  # fmt: skip


@pages.get("/jobs/{job}/picture.svg", "result.read")
def picture_file(request: Request, job: JobName) -> Response:
    """The picture."""
    return _drawn(request, job, "svg", "image/svg+xml")


@pages.get("/jobs/{job}/page.html", "result.read")
def page_file(request: Request, job: JobName) -> Response:
    """The page."""
    return _drawn(request, job, "html", "text/html; charset=utf-8")


@pages.get("/jobs/{job}/result.{form}", "result.export", record=True)
def export_file(request: Request, job: JobName, form: str) -> Response:
    """The result as a file."""
    return _file(request, job, form)


@pages.get("/jobs/{job}/disclosure", "disclosure.read")
def disclosure_page(request: Request, job: JobName) -> Response:
    """The disclosure report alone, to print."""
    office = desk_of(request).office
    return page(request, "results/disclosure.html", found=results.job(office, job),
                report=results.disclosure(office, job), titles=questions.menu_titles())  # fmt: skip


@pages.get("/disclosures", "disclosure.read")
def disclosures_page(
    request: Request, after: Mark = "", contract: Annotated[str, Query(max_length=80)] = ""
) -> Response:
    """The disclosure reports of all jobs that are done."""
    office = desk_of(request).office
    found = results.jobs(office, state="done", contract=contract, after=after)
    return page(request, "results/disclosures.html", found=found, after=after, contract=contract,
                titles=questions.menu_titles())  # fmt: skip


def _areas(request: Request, job: str) -> list[dict[str, Any]] | None:
    """The map's areas; None if this node does not hold the list of places."""
    try:
        return results.areas_on_map(desk_of(request).office, job)
    except HanseError:
        return None
