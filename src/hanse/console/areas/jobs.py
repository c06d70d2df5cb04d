"""Questions and jobs: the form, the dry run, asking, what is under way, cancelling, asking again."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Form, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from hanse.console import forms, live
from hanse.console.area import Area, about, desk_of, user_of
from hanse.console.pages import go, in_path, page
from hanse.console.refusals import status_of
from hanse.errors import HanseError
from hanse.node.faces import questions, results

api = Area("/api/v1", api=True)
pages = Area()
Limit = Annotated[int, Query(ge=1, le=200)]
Mark = Annotated[str, Query(max_length=160)]
Short = Annotated[str, Query(max_length=80)]
JobName = Annotated[str, Path(pattern="^[0-9a-f]{6,64}$")]


class QuestionBody(BaseModel):
    """A question: what is computed under which contract, at what price, for whom."""

    model_config = ConfigDict(extra="forbid")

    contract: str = Field(max_length=64)
    computation: str = Field(max_length=64)
    epsilon: float = Field(gt=0, le=100)
    parameters: dict[str, Any]
    recipients: list[str] = Field(default_factory=list, max_length=64)
    roster: str = Field(default="", max_length=64)

    def question(self) -> dict[str, Any]:
        return questions.checked_question(self.model_dump())


class Reason(BaseModel):
    """Why; it is told to the other nodes."""

    reason: str = Field(default="", max_length=200)


# --- asking -----------------------------------------------------------------------------------------


@api.get("/computations", "job.read", tags=["jobs"])
def list_computations() -> dict[str, Any]:
    """Every computation: its title and who learns what."""
    return {"rows": [{"name": name, **found} for name, found in questions.menu_titles().items()]}


@api.get("/contracts/{contract_id}/computations", "job.read", tags=["jobs"])
def list_allowed(request: Request, contract_id: str) -> dict[str, Any]:
    """What a contract lets be computed, and who may learn it."""
    return {"rows": questions.computations(desk_of(request).office, contract_id)}


@api.post("/previews", "job.preview", tags=["jobs"])
def preview(request: Request, body: QuestionBody) -> dict[str, Any]:
    """A dry run: price, noise, thresholds and budgets; nothing is asked of partners, nothing is spent."""
    about(request, contract=body.contract, computation=body.computation)
    return desk_of(request).ask({"verb": "preview", "question": body.question()})


@api.post("/jobs", "job.ask", tags=["jobs"], status_code=202)
def ask(request: Request, body: QuestionBody) -> dict[str, Any]:
    """Ask. The answer says where to see how far it is: ``ask`` names it in ``/asks``."""
    return _ask(request, body.question())


@api.get("/asks", "job.read", tags=["jobs"])
def list_asks(request: Request) -> dict[str, Any]:
    """Questions that wait for their answer."""
    return {"rows": [asked.body() for asked in desk_of(request).asks.under_way()]}


@api.get("/asks/{ask_id}", "job.read", tags=["jobs"])
def read_ask(request: Request, ask_id: str) -> dict[str, Any]:
    """How far a question is, and how it ended."""
    return desk_of(request).asks.get(ask_id).body()


@api.get("/asks/{ask_id}/events", "job.read", tags=["jobs"])
def ask_events(request: Request, ask_id: str) -> Response:
    """The same as server-sent events until it has ended."""
    return live.stream(live.of_ask(desk_of(request).asks.get(ask_id)))


def _ask(request: Request, question: dict[str, Any]) -> dict[str, Any]:
    desk = desk_of(request)
    about(request, contract=question["contract"], computation=question["computation"],
          epsilon=question["epsilon"])  # fmt: skip
    desk.office.contract(question["contract"])
    return desk.asks.start(user_of(request).name, question).body()


# --- jobs -------------------------------------------------------------------------------------------


@api.get("/jobs", "job.read", tags=["jobs"])
def list_jobs(
    request: Request, state: Short = "", contract: Short = "", after: Mark = "", limit: Limit = 50
) -> dict[str, Any]:
    """Jobs at this node, the newest first."""
    office = desk_of(request).office
    return results.jobs(office, state=state, contract=contract, after=after, limit=limit).body()


@api.get("/jobs/{job}", "job.read", tags=["jobs"])
def read_job(request: Request, job: JobName) -> dict[str, Any]:
    """A job's record."""
    return results.job(desk_of(request).office, job)


@api.get("/jobs/{job}/log", "job.read", tags=["jobs"])
def read_log(
    request: Request, job: JobName, since: Annotated[int, Query(ge=0, le=1 << 30)] = 0
) -> dict[str, Any]:
    """What this node wrote down while the job ran."""
    return {"rows": results.log(desk_of(request).office, job, since)}


@api.get("/jobs/{job}/progress", "job.read", tags=["jobs"])
def read_progress(request: Request, job: JobName) -> dict[str, Any]:
    """Where this node's roles of a running job are."""
    desk = desk_of(request)
    results.job(desk.office, job)
    return {"roles": live.progress(desk, job)}


@api.get("/jobs/{job}/events", "job.read", tags=["jobs"])
def job_events(request: Request, job: JobName) -> Response:
    """State, progress and log as server-sent events until the job has ended."""
    desk = desk_of(request)
    results.job(desk.office, job)
    return live.stream(live.of_job(desk, job))


@api.post("/jobs/{job}/cancel", "job.cancel", tags=["jobs"])
def cancel(request: Request, job: JobName, body: Reason) -> dict[str, Any]:
    """End a running job at all its nodes."""
    return _cancel(request, job, body.reason)


@api.post("/jobs/{job}/rerun", "job.ask", tags=["jobs"], status_code=202)
def rerun(request: Request, job: JobName) -> dict[str, Any]:
    """Ask the same question again; if it was answered, the recorded answer comes."""
    return _ask(request, questions.question_of(desk_of(request).office, job))


def _cancel(request: Request, job: str, reason: str) -> dict[str, Any]:
    desk = desk_of(request)
    results.job(desk.office, job)
    who = f"{user_of(request).name}: {reason}" if reason else user_of(request).name
    return desk.ask({"verb": "cancel", "job": job, "reason": who})


# --- pages ------------------------------------------------------------------------------------------


@pages.get("/jobs", "job.read")
def jobs_page(
    request: Request, state: Short = "", contract: Short = "", after: Mark = ""
) -> Response:
    """All jobs."""
    desk = desk_of(request)
    return page(
        request, "jobs/jobs.html", found=results.jobs(desk.office, state=state, contract=contract, after=after),
        state=state, contract=contract, after=after, states=results.JOB_STATES,
        counts=results.job_counts(desk.office), asking=desk.asks.under_way(),
        titles=questions.menu_titles(),
    )  # fmt: skip


@pages.get("/ask", "job.preview")
def ask_page(request: Request, contract: Short = "", computation: Short = "") -> Response:
    """Choose a contract, then a question, then what it is about."""
    office = desk_of(request).office
    if contract and computation:
        return _form(request, contract, computation, None)
    allowed = questions.computations(office, contract) if contract else []
    return page(request, "jobs/choose.html", contracts=questions.askable(office), contract=contract,
                allowed=allowed)  # fmt: skip


@pages.post("/ask/form", "job.preview")
def form_on_page(
    request: Request, contract: Annotated[str, Form()] = "", computation: Annotated[str, Form()] = "",
    epsilon: Annotated[str, Form()] = "", roster: Annotated[str, Form()] = "",
    recipients: Annotated[list[str], Form()] = [],  # noqa: B006 (FastAPI copies)
) -> Response:  # fmt: skip
    """A filled-in form becomes a question, and its dry run is shown."""
    try:
        question = questions.checked_question(
            {"contract": contract, "computation": computation, "epsilon": _epsilon(epsilon),
             "recipients": recipients, "roster": roster.strip(),
             "parameters": forms.parameters_of(computation, request.state.given)}
        )  # fmt: skip
    except HanseError as error:
        return _form(request, contract, computation, error)
    return _question(request, questions.question_text(question))


@pages.get("/ask/text", "job.preview")
def text_page(request: Request, of: Short = "") -> Response:
    """Write a question, or change that of an earlier job."""
    text = questions.question_text(questions.question_of(desk_of(request).office, of)) if of else ""
    return page(request, "jobs/question.html", text=text, cost=None, error=None, question=None)


@pages.post("/ask/text", "job.preview")
def text_on_page(request: Request, text: Annotated[str, Form()] = "") -> Response:
    """The dry run of a question's text."""
    return _question(request, text)


@pages.post("/ask/run", "job.ask")
def run_on_page(request: Request, text: Annotated[str, Form()] = "") -> Response:
    """Ask it."""
    try:
        asked = _ask(request, questions.read_question(text))
    except HanseError as error:
        return _question_page(request, text, None, error)
    return go(f"/asks/{asked['ask']}")


@pages.get("/asks/{ask_id}", "job.read")
def asked_page(request: Request, ask_id: str) -> Response:
    """A question under way; then its job."""
    asked = desk_of(request).asks.get(ask_id)
    if asked.state == "done":
        return go(f"/jobs/{in_path(asked.job)}{'?recorded=1' if asked.recorded else ''}")
    return page(request, "jobs/asking.html", asked=asked.body(), titles=questions.menu_titles(),
                text=questions.question_text(asked.question))  # fmt: skip


@pages.post("/jobs/{job}/cancel", "job.cancel")
def cancel_on_page(request: Request, job: JobName, reason: Annotated[str, Form()] = "") -> Response:
    """End it."""
    _cancel(request, job, reason[:150])
    return go(f"/jobs/{job}")


@pages.post("/jobs/{job}/rerun", "job.ask")
def rerun_on_page(request: Request, job: JobName) -> Response:
    """Ask again."""
    asked = _ask(request, questions.question_of(desk_of(request).office, job))
    return go(f"/asks/{asked['ask']}")


def _epsilon(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text  # `checked_question` says in words what is wrong


def _form(request: Request, contract: str, computation: str, error: HanseError | None) -> Response:
    desk = desk_of(request)
    allowed = next(
        (c for c in questions.computations(desk.office, contract) if c["name"] == computation), None
    )
    terms = questions.terms(desk.office, contract)
    choices = forms.offer(terms, computation, desk.clock.now().date())
    given = getattr(request.state, "given", None)
    return page(
        request, "jobs/form.html", status=status_of(error) if error else 200, contract=terms,
        computation=computation, allowed=allowed, fields=forms.fields_of(computation, choices), given=given,
        usual=terms["privacy"]["epsilon_per_query"], error=error.public() if error else None,
    )  # fmt: skip


def _question(request: Request, text: str) -> Response:
    try:
        question = questions.read_question(text)
        about(request, contract=question["contract"], computation=question["computation"])
        cost = desk_of(request).ask({"verb": "preview", "question": question})
    except HanseError as error:
        return _question_page(request, text, None, error)
    return _question_page(request, text, cost, None, question)


def _question_page(
    request: Request, text: str, cost: dict[str, Any] | None, error: HanseError | None,
    question: dict[str, Any] | None = None,
) -> Response:  # fmt: skip
    return page(request, "jobs/question.html", status=status_of(error) if error else 200, text=text, cost=cost,
                question=question, error=error.public() if error else None)  # fmt: skip
