"""A small typed client of the API, for other systems: ``Client(url, key).crowd("store-traffic", "place-7")``.

It needs httpx2 alone. Every error of the API is an `ApiError` with its code, message and remedy.
"""

from __future__ import annotations

import hmac
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx2


class ApiError(Exception):
    """What the API refused or could not do."""

    def __init__(self, status: int, code: str, message: str, remedy: str) -> None:
        super().__init__(f"[{code}] {message}. To mend it: {remedy}")
        self.status, self.code, self.message, self.remedy = status, code, message, remedy


@dataclass(frozen=True, slots=True)
class Figure:
    """One place and day. ``value`` is None where the node abstained, and ``reason`` says why."""

    place: str
    date: date
    value: float | None
    low: float | None
    high: float | None
    confidence: float | None
    reason: str
    version: int
    number: int


@dataclass(frozen=True, slots=True)
class ScoreJob:
    """A scoring job whose scores can be read until ``until``; of ``rows`` rows ``scored`` have one."""

    job: str
    model: str
    contract: str
    rows: int
    scored: int
    until: datetime


@dataclass(frozen=True, slots=True)
class Score:
    """A row's score, or its ``scores`` by class; neither where not all parties of the model have the row."""

    id: str
    score: float | None
    scores: dict[str, float] | None


class Client:
    """A connection to one node's API; use it as a context manager, or `close` it. Thread-safe."""

    def __init__(self, url: str, key: str, *, patience: float = 10.0) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        self._http = httpx2.Client(base_url=url, headers=headers, timeout=patience)

    def crowd(
        self, product: str, place: str, first: date | None = None, last: date | None = None
    ) -> list[Figure]:
        """The days of one place, newest version each, in order."""
        asked = {"first": first, "last": last}
        days = {k: v.isoformat() for k, v in asked.items() if v}
        return _figures(self._get(f"/v1/crowds/{_part(product)}/places/{_part(place)}", days))

    def batch(
        self,
        product: str,
        places: Iterable[str],
        first: date | None = None,
        last: date | None = None,
    ) -> list[Figure]:
        """The days of up to 1,000 places at once."""
        body = {
            "places": list(places),
            "first": first and first.isoformat(),
            "last": last and last.isoformat(),
        }
        return _figures(_read(self._http.post(f"/v1/crowds/{_part(product)}/batch", json=body)))

    def day(self, product: str, day: date) -> list[Figure]:
        """All places on one day."""
        return _figures(self._get(f"/v1/crowds/{_part(product)}/days/{day.isoformat()}"))

    def changes(self, product: str, after: int = 0) -> Iterator[Figure]:
        """Everything that changed after a number, in order, page by page."""
        while True:
            page = self._get(f"/v1/crowds/{_part(product)}/changes", {"after": str(after)})
            yield from _figures(page)
            if page["next"] is None:
                return
            after = int(page["next"])

    def results(self, contract: str = "", computation: str = "") -> Iterator[dict[str, Any]]:
        """Results of questions, newest first, without their tables."""
        after = ""
        while True:
            asked = {"contract": contract, "computation": computation, "after": after}
            page = self._get("/v1/results", asked)
            yield from page["results"]
            if page["next"] is None:
                return
            after = page["next"]

    def result(self, job: str) -> dict[str, Any]:
        """One result with its tables."""
        return self._get(f"/v1/results/{_part(job)}")

    def scored(self) -> list[ScoreJob]:
        """Scoring jobs whose scores can be read, newest first."""
        return [
            ScoreJob(s["job"], s["model"], s["contract"], s["rows"], s["scored"],
                     datetime.fromisoformat(s["until"]))
            for s in self._get("/v1/scores")["scores"]
        ]  # fmt: skip

    def scores(self, job: str, after: int = 0, limit: int = 1000) -> Iterator[Score]:
        """The scores of a job from row ``after`` on, ``limit`` at a time."""
        at: int | None = after
        while at is not None:
            asked = {"after": str(at), "limit": str(limit)}
            page = self._get(f"/v1/scores/{_part(job)}", asked)
            yield from (Score(r["id"], r["score"], r["scores"]) for r in page["rows"])
            at = page["next"]

    def score_file(self, job: str, to: Path) -> Path:
        """All scores of a job as Parquet, into a new file that only its owner may read."""
        with self._http.stream(
            "GET", f"/v1/scores/{_part(job)}", params={"form": "parquet"}
        ) as answer:
            if not answer.is_success:
                answer.read()
                _read(answer)
            descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                for part in answer.iter_bytes():
                    file.write(part)
        return to

    def score(self, model: str, id: str, *, patience: float = 60.0) -> Score:
        """The score of one row, asked of all parties of the model now; an `ApiError` rather than a part of it."""
        answer = self._http.post(
            f"/v1/models/{_part(model)}/score", json={"id": id}, timeout=patience
        )
        found = _read(answer)
        return Score(id, found["score"], found["scores"])

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _get(self, path: str, asked: dict[str, str] | None = None) -> dict[str, Any]:
        return _read(self._http.get(path, params=asked or {}))


def check_signature(secret: str, header: str, body: bytes, *, patience: float = 300.0) -> bool:
    """Whether a webhook's ``Hanse-Signature`` header fits its body, and is not older than ``patience`` seconds."""
    parts = dict(part.split("=", 1) for part in header.split(",") if "=" in part)
    moment, said = parts.get("t", ""), parts.get("v1", "")
    if not moment.isdigit() or abs(time.time() - int(moment)) > patience:
        return False
    return hmac.compare_digest(
        hmac.new(secret.encode(), f"{moment}.".encode() + body, "sha256").hexdigest(), said
    )


def _part(text: str) -> str:
    return quote(text, safe="")


def _read(answer: httpx2.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except json.JSONDecodeError:
        body = {}
    if not answer.is_success:
        raise ApiError(answer.status_code, str(body.get("code", "api.unreadable")),
                       str(body.get("message", f"the API answered {answer.status_code}")),
                       str(body.get("remedy", "check the address")))  # fmt: skip
    found: dict[str, Any] = body
    return found


def _figures(page: dict[str, Any]) -> list[Figure]:
    return [
        Figure(f["place"], date.fromisoformat(f["date"]), f["value"], f["low"], f["high"], f["confidence"],
               f["reason"], f["version"], f["number"])
        for f in page["figures"]
    ]  # fmt: skip
