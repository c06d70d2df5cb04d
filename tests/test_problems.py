"""A document that is wrong: every problem by its key, in words of the document, and no value repeated."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import (
    AwareDatetime,
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from hanse.catalog import Dataset, Package
from hanse.learn.jobs.linear import LinearQuestion
from hanse.measure.questions import Question
from hanse.node.config import NodeConfig
from hanse.problems import ProblemsError, fault, in_request, keys_of, of, refusal, told

SECRET = "a-private-value"


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    size: int = Field(default=1, ge=1, le=9)


class Shelf(BaseModel):
    model_config = ConfigDict(extra="forbid")
    items: tuple[Inner, ...] = Field(default=(), max_length=2)
    slug: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")] = "a"
    code: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] = "CN"
    odd: Annotated[str, Field(pattern=r"^(x|y)+$")] = "x"
    on: date = date(2026, 1, 1)
    at: AwareDatetime | None = None
    kind: Literal["red", "blue"] = "red"
    limit: ByteSize = ByteSize(1)
    place: Path = Path()
    rate: float = Field(default=0.5, gt=0, allow_inf_nan=False)
    either: Inner | Literal[False] = False
    value: int | bool | list[int] = 1
    yes: bool = True
    named: str = Field(default="x", min_length=1)
    least: tuple[Inner, ...] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _fits(self) -> Shelf:
        if self.slug == "both":
            raise ProblemsError([("slug", "is wrong"), ("code", "is wrong too")])
        if self.slug == "one":
            raise ValueError("slug and code do not go together")
        return self


def problems(document: dict[str, Any]) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as caught:
        Shelf.model_validate(document)
    return of(caught.value, document, keys_of(Shelf))


@pytest.mark.parametrize(
    ("document", "path", "text"),
    [
        ({"items": [{}]}, "items[1].name", "is missing; add it"),
        ({"items": [{"name": "x", "sise": 1}]}, "items[x].sise", "is not a known key; did you mean 'size'?"),
        ({"wholly-odd": 1}, "wholly-odd", "is not a known key; remove it"),
        ({"items": [{"name": "x", "size": 10}]}, "items[x].size", "must be at most 9"),
        ({"items": [{"name": "x", "size": SECRET}]}, "items[x].size", "must be a whole number"),
        ({"items": [{"name": "x", "size": 1.5}]}, "items[x].size", "must be a whole number"),
        ({"items": 5}, "items", "must be a list"),
        ({"items": [5]}, "items[1]", "must be a table of keys and values"),
        ({"items": [{"name": c} for c in "abc"]}, "items", "must have 2 or fewer entries"),
        ({"slug": "No " + SECRET}, "slug", "must be 1 to 63 small letters, digits, underscores and hyphens; "
         "the first of the small letters"),
        ({"code": SECRET}, "code", "must be 2 capital letters"),
        ({"odd": SECRET}, "odd", "must have the form ^(x|y)+$"),
        ({"on": SECRET}, "on", "must be a day like 2026-03-31"),
        ({"on": datetime(2026, 1, 1, 5)}, "on", "must be a day like 2026-03-31"),
        ({"at": SECRET}, "at", "must be a time like 2026-03-31T12:00:00Z"),
        ({"at": "2026-01-01T00:00:00"}, "at", "must say its time zone, as in 2026-03-31T12:00:00Z"),
        ({"named": ""}, "named", "must not be empty"),
        ({"kind": SECRET}, "kind", "must be 'red' or 'blue'"),
        ({"limit": SECRET}, "limit", 'must be a size, such as "8 GiB"'),
        ({"limit": "8 bananas"}, "limit", 'must be a size, such as "8 GiB"'),
        ({"place": 5}, "place", "must be a path, as text"),
        ({"rate": 0}, "rate", "must be more than 0"),
        ({"rate": float("nan")}, "rate", "must be a finite number"),
        ({"value": SECRET}, "value", "must be a whole number, or true or false, or a list"),
        ({"yes": SECRET}, "yes", "must be true or false"),
        ({"slug": "one"}, "", "slug and code do not go together"),
        ({"either": {"name": "x", "size": 0}}, "either.size", "must be at least 1"),
    ],
)  # fmt: skip
def test_each_way_to_be_wrong_is_said_in_words(
    document: dict[str, Any], path: str, text: str
) -> None:
    found = problems(document)
    assert (path, text) in found
    assert SECRET not in told(found)


def test_a_long_key_is_cut_where_it_is_told() -> None:
    ((path, _),) = problems({"k" * 100_000: 1})
    assert path == "k" * 64 + "…"


def test_a_list_with_a_wrong_entry_is_not_called_empty() -> None:
    assert problems({"least": [{"name": 5}]}) == [("least[1].name", "must be text")]
    assert problems({"least": []}) == [("least", "must not be empty")]


def test_all_problems_are_told_at_once() -> None:
    assert problems({"slug": "both"}) == [("slug", "is wrong"), ("code", "is wrong too")]
    assert told(problems({"on": 5.5, "kind": 1})).startswith("2 problems: on: must be a day")
    many = told([("a", "is wrong")] * 50)
    assert many.startswith("50 problems: a: is wrong; ")
    assert many.endswith("; and 10 more")


def test_refusal_and_fault_name_the_document_the_key_and_the_remedy() -> None:
    document = {"items": [{"name": "x", "size": 0}]}
    with pytest.raises(ValidationError) as caught:
        Shelf.model_validate(document)
    for made, kind in ((refusal, "refusal"), (fault, "fault")):
        error = made("shelf.malformed", "the shelf", caught.value, document)
        assert (error.kind, error.code, error.where) == (kind, "shelf.malformed", "items[x].size")
        assert error.message == "the shelf has one problem: items[x].size: must be at least 1"
        assert "correct the keys" in error.remedy


def test_a_requests_problems_name_the_parameter_or_the_key_of_the_body() -> None:
    items: list[dict[str, Any]] = [
        {"loc": ("query", "limit"), "type": "int_parsing", "msg": "x"},
        {
            "loc": ("body", "items", 0, "size"),
            "type": "greater_than_equal",
            "msg": "x",
            "ctx": {"ge": 1},
        },
        {"loc": ("body", "reason"), "type": "missing", "msg": "x"},
        {"loc": ("body", 7), "type": "json_invalid", "msg": "x"},
        {"loc": ("body",), "type": "missing", "msg": "x"},
    ]
    assert in_request(items, {"items": [{"name": "x", "size": 0}]}) == [
        ("limit", "must be a whole number"),
        ("items[x].size", "must be at least 1"),
        ("reason", "is missing; add it"),
        ("body", "is not valid JSON"),
        ("body", "is missing; add it"),
    ]


def _kinds(model: type[BaseModel]) -> list[type[BaseModel]]:
    return [model, *(below for kind in model.__subclasses__() for below in _kinds(kind))]


@pytest.mark.parametrize(
    "model", [Dataset, Package, NodeConfig, LinearQuestion, *_kinds(Question)], ids=lambda m: m.__name__
)  # fmt: skip
def test_the_known_keys_of_every_document_can_be_listed(model: type[BaseModel]) -> None:
    if model is not Question:
        assert set(model.model_fields) - {"folder"} <= keys_of(model)
