"""Models: what contracts let be trained, this organisation's parts and cards, trainings, scores."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import Form, Path, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from hanse.console.area import Area, about, desk_of, user_of
from hanse.console.areas.jobs import JobName
from hanse.console.matrix import may
from hanse.console.pages import go, in_path, page
from hanse.console.refusals import status_of
from hanse.errors import HanseError
from hanse.node.faces import model_pages as models

api = Area("/api/v1", api=True)
pages = Area()
ModelName = Annotated[str, Path(max_length=80)]
PARQUET = "application/vnd.apache.parquet"


class Training(BaseModel):
    """What a training is told: the contract (if several have the model) and the settings of the model's kind."""

    model_config = ConfigDict(extra="forbid")

    contract: str = Field(default="", max_length=64)
    settings: dict[str, str | int | float | bool] = Field(default_factory=dict, max_length=64)


class Scoring(BaseModel):
    """Who receives the scores of its rows; this party if nobody is named."""

    receiver: str = Field(default="", max_length=64)


class OneRow(BaseModel):
    """A row's id as this party writes it. It is not written down here."""

    id: str = Field(max_length=200)


class Deletion(BaseModel):
    """Why."""

    reason: str = Field(max_length=500)


@api.get("/models", "model.read", tags=["models"])
def list_models(request: Request) -> dict[str, Any]:
    """This party's parts of models, and the models that contracts allow."""
    office = desk_of(request).office
    return {"rows": models.held(office), "allowed": models.allowed(office)}


@api.get("/models/{name}", "model.read", tags=["models"])
def read_model(request: Request, name: ModelName) -> dict[str, Any]:
    """A model's card; this party's own part for roles that may read results."""
    return _model(request, name)


@api.get("/models/{name}/part", "model.export", record=True, tags=["models"])
def read_part(request: Request, name: ModelName) -> Response:
    """This party's own part, signed. It scores nothing without the others'."""
    return _part(request, name)


@api.post("/models/{name}/trainings", "model.train", tags=["models"], status_code=202)
def train(request: Request, name: ModelName, body: Training) -> dict[str, Any]:
    """Train it with the other organisations. The answer says where to see how far it is."""
    return _train(request, name, body.contract, dict(body.settings))


@api.post("/models/{name}/scorings", "model.score", tags=["models"], status_code=202)
def score(request: Request, name: ModelName, body: Scoring) -> dict[str, Any]:
    """Score every row of the receiver that all parties have; then see ``/jobs/{job}/scores``."""
    return _score(request, name, body.receiver)


@api.post("/models/{name}/rows", "model.score", tags=["models"])
def score_row(request: Request, name: ModelName, body: OneRow) -> dict[str, Any]:
    """The score of one row, where the contract lets single rows be scored."""
    return _row(request, name, body.id)


@api.post("/models/{name}/deletion", "model.delete", tags=["models"])
def delete_model(request: Request, name: ModelName, body: Deletion) -> dict[str, Any]:
    """Forget this party's part, for good: without it nobody can score with the model any more."""
    return models.delete(desk_of(request).office, name, body.reason)


@api.post("/jobs/{job}/scores", "model.score", tags=["models"])
def take_scores(request: Request, job: JobName) -> Response:
    """A job's scores as Parquet. They are handed out once, then deleted here."""
    return _scores(request, job)


def _model(request: Request, name: str) -> dict[str, Any]:
    part = may(user_of(request).roles, "result.read")
    return models.model(desk_of(request).office, name, part=part)


def _train(request: Request, name: str, contract: str, settings: dict[str, Any]) -> dict[str, Any]:
    desk = desk_of(request)
    question = models.training(desk.office, name, contract, settings)
    about(request, model=name, contract=question["contract"])
    return desk.asks.start(user_of(request).name, question).body()


def _score(request: Request, name: str, receiver: str) -> dict[str, Any]:
    desk = desk_of(request)
    question = models.scoring(desk.office, name, receiver)
    about(
        request,
        model=name,
        contract=question["contract"],
        receiver=question["parameters"]["receiver"],
    )
    return desk.asks.start(user_of(request).name, question).body()


def _row(request: Request, name: str, id_text: str) -> dict[str, Any]:
    desk = desk_of(request)
    question = models.scoring_one(desk.office, name, id_text)
    about(request, model=name, contract=question["contract"])
    return models.score_told(desk.ask({"verb": "run", "question": question}))


def _part(request: Request, name: str) -> Response:
    document = models.exported(desk_of(request).office, name)
    data = json.dumps(document, indent=2, ensure_ascii=False).encode() + b"\n"
    return _file(data, "application/json", f"{in_path(document['model'])}-part.json")


def _scores(request: Request, job: str) -> Response:
    data = models.scores_file(desk_of(request).office, job)
    return _file(data, PARQUET, f"{job[:12]}-scores.parquet")


def _file(data: bytes, kind: str, name: str) -> Response:
    return Response(data, media_type=kind,
                    headers={"Content-Disposition": f'attachment; filename="{name}"'})  # fmt: skip


# --- pages ------------------------------------------------------------------------------------------


@pages.get("/models", "model.read")
def models_page(request: Request) -> Response:
    """All models."""
    return _page(request, None)


@pages.post("/models/train", "model.train")
def train_on_page(
    request: Request, model: Annotated[str, Form()] = "", contract: Annotated[str, Form()] = "",
    settings: Annotated[str, Form()] = "",
) -> Response:  # fmt: skip
    """Train one."""
    try:
        asked = _train(request, model[:80], contract[:64], models.settings_of(settings))
    except HanseError as error:
        return _page(request, error, settings)
    return go(f"/asks/{asked['ask']}")


@pages.get("/models/{name}", "model.read")
def model_page(request: Request, name: ModelName) -> Response:
    """One model."""
    return _one(request, name, None)


@pages.get("/models/{name}/part.json", "model.export", record=True)
def part_file(request: Request, name: ModelName) -> Response:
    """This party's own part."""
    return _part(request, name)


@pages.post("/models/{name}/score", "model.score")
def score_on_page(
    request: Request, name: ModelName, receiver: Annotated[str, Form()] = ""
) -> Response:
    """Score all rows."""
    try:
        asked = _score(request, name, receiver[:64])
    except HanseError as error:
        return _one(request, name, error)
    return go(f"/asks/{asked['ask']}")


@pages.post("/models/{name}/row", "model.score")
def row_on_page(request: Request, name: ModelName, id: Annotated[str, Form()] = "") -> Response:
    """The score of one row."""
    try:
        told = _row(request, name, id)
    except HanseError as error:
        return _one(request, name, error)
    return _one(request, name, None, told["scores"])


@pages.post("/models/{name}/delete", "model.delete")
def delete_on_page(
    request: Request, name: ModelName, reason: Annotated[str, Form()] = ""
) -> Response:
    """Forget this party's part."""
    try:
        models.delete(desk_of(request).office, name, reason)
    except HanseError as error:
        return _one(request, name, error)
    return go("/models")


@pages.post("/jobs/{job}/scores.parquet", "model.score")
def scores_on_page(request: Request, job: JobName) -> Response:
    """The scores, once."""
    return _scores(request, job)


def _one(
    request: Request, name: str, error: HanseError | None, scores: dict[str, float] | None = None
) -> Response:
    desk = desk_of(request)
    found = _model(request, name)
    clause = next((c for c in models.allowed(desk.office)
                   if (c["model"], c["contract"]) == (found["model"], found["contract"])), None)  # fmt: skip
    return page(request, "models/model.html", status=status_of(error) if error else 200, found=found,
                error=error.public() if error else None, scores=scores, clause=clause)  # fmt: skip


def _page(request: Request, error: HanseError | None, settings: str = "") -> Response:
    office = desk_of(request).office
    return page(request, "models/models.html", status=status_of(error) if error else 200,
                error=error.public() if error else None, held=models.held(office),
                allowed=models.allowed(office), settings=settings)  # fmt: skip
