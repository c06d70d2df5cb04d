"""The shapes of what the API gives, for its OpenAPI document and for the typed client."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


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


class Usage(BaseModel):
    """What the key has used today."""

    consumer: str
    day: str
    quota: int
    left: int
