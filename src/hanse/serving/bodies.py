"""The shapes of what the API gives, for its OpenAPI document and for the typed client."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Problem(BaseModel):
    """Every error: a stable code, what is wrong, how to mend it, where."""

    code: str
    message: str
    remedy: str
    where: str


class FigureBody(BaseModel):
    """One place and day. Of an abstained one there is a reason and no number."""

    place: str
    date: str
    state: Literal["published", "abstained"]
    value: float | None
    low: float | None
    high: float | None
    confidence: float | None
    reason: str
    version: int
    published_at: str
    number: int


class Figures(BaseModel):
    """Figures of a product; ``next`` is the cursor of the page after this one, or null."""

    product: str
    version: int
    figures: list[FigureBody]
    next: int | None = None


class ProductBody(BaseModel):
    """A product: a series of figures per place and day."""

    name: str
    title: str
    unit: str
    contract: str
    synthetic: bool
    version: int
    changed: str


class Products(BaseModel):
    """The products that the key may read."""

    products: list[ProductBody]


class Batch(BaseModel):
    """Which places and days to read at once."""

    places: list[str]
    first: str | None = None
    last: str | None = None


class ResultHead(BaseModel):
    """A result of a question, without its tables."""

    job: str
    contract: str
    computation: str
    finished: str


class Results(BaseModel):
    """Results, newest first."""

    results: list[ResultHead]
    next: str | None = None


class ResultBody(BaseModel):
    """A result: its tables as text, and what it says in words."""

    job: str
    contract: str
    computation: str
    finished: str
    result: dict[str, object]


class ScoreHead(BaseModel):
    """A scoring job whose scores are here: of ``rows`` rows ``scored`` have one; read until ``until``."""

    job: str
    model: str
    contract: str
    rows: int
    scored: int
    made: str
    until: str


class ScoreHeads(BaseModel):
    """Scoring jobs, newest first."""

    scores: list[ScoreHead]


class ScoreRow(BaseModel):
    """A row's score, or its scores by class; neither where not all parties have the row."""

    id: str
    score: float | None
    scores: dict[str, float] | None


class ScorePage(BaseModel):
    """Rows in the file's order; ``next`` is where the page after this one begins, or null."""

    job: str
    model: str
    rows: list[ScoreRow]
    next: int | None


class OneRow(BaseModel):
    """Which row, by its id as this organisation writes it."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(min_length=1, max_length=200)


class OneScore(BaseModel):
    """The score of the row, or its scores by class."""

    model: str
    score: float | None
    scores: dict[str, float] | None


class Usage(BaseModel):
    """What the key has used today."""

    consumer: str
    day: str
    quota: int
    left: int
