"""What the studies of `coverage.py` stand on: a made-up contract, plans, draws, figures and their truths."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.catalog.gazetteers import Gazetteer
from hanse.contracts import Contract
from hanse.menu import entry

EPSILON = 1.0
K = 100
PERIOD = {"starts": "2026-01-01", "ends": "2026-02-01"}
Cells = NDArray[np.int64]
Random = np.random.Generator


@dataclass(frozen=True)
class Figure:
    """An interval and what it should hold."""

    name: str
    low: float
    high: float
    truth: float


@dataclass(frozen=True)
class Study:
    """One measure on one law of populations.

    ``draw`` gives exact cells and what is known of the draw; ``figures`` are a result's intervals with
    their truths.
    """

    plan: Any
    read: Callable[[Any, NDArray[np.int64], NDArray[np.bool_]], Any]
    draw: Callable[[Random], tuple[Cells, Any]]
    figures: Callable[[Any, Any], Iterable[Figure]]


def contract(gazetteer: Gazetteer | None = None) -> Contract:
    """Five datasets of as many parties; nobody's data. With a list of places the panel knows homes."""
    at: dict[str, Any] = {"name": "at", "kind": "time", "uses": ["order"]}
    age = {"name": "age", "kind": "category", "uses": ["segment"], "values": ["young", "old"]}
    amount = {"name": "amount", "kind": "amount", "uses": ["value"], "maximum": 1000}
    kind = {
        "name": "kind",
        "kind": "category",
        "uses": ["filter", "segment"],
        "values": ["a", "b", "c"],
    }
    columns = {
        "tv": [at, kind],
        "web": [at, kind],
        "radio": [at, kind],
        "shop": [at, amount],
        "panel": [age],
    }
    lists = []
    if gazetteer is not None:
        columns["panel"].append(
            {"name": "home", "kind": "place", "uses": ["place"], "gazetteer": "town"}
        )
        lists.append({"name": "town", "places": len(gazetteer), "digest": gazetteer.digest})
    return Contract.from_fields(
        {
            "gazetteers": lists,
            "format": 1, "id": "coverage", "version": 1, "title": "Coverage", "purpose": "Coverage",
            "starts": date(2026, 1, 1), "expires": date(2100, 1, 1), "maximum_jobs": 9,
            "seats": ["tv-co", "web-co", "radio-co"], "independence": "Made up.", "retention_days": 1,
            "join": {"id_type": "number", "hash": "sha256", "epsilon": 0.1, "delta": 1e-8, "epsilon_budget": 3.0},
            "privacy": {"k": K, "epsilon_per_query": 4.0, "epsilon_budget": 10.0, "delta": 1e-8,
                        "period": "contract"},
            "parties": [
                {"name": f"{name}-co", "organisation": f"{name} company", "signing_key": f"{i + 40:02x}" * 32,
                 "certificate": f"{i + 10:02x}" * 32}
                for i, name in enumerate(columns)
            ],
            "datasets": [
                {"name": name, "provider": f"{name}-co", "capacity": 100_000, "slots": 4, "personal": True,
                 "legal_basis": "consent", "evidence": "made-up people", "columns": found}
                for name, found in columns.items()
            ],
            "computations": [
                {"name": name, "recipients": ["tv-co"], "datasets": list(columns)}
                for name in ("reach", "overlap", "funnel", "attribution", "lift", "portrait", "concentration")
            ],
        }
    )  # fmt: skip


def planned(name: str, **question: Any) -> Any:
    """The plan of a question."""
    return entry(name).planned({**PERIOD, **question}, contract(), EPSILON, True)


def exactly(name: str, plan: Any, cells: Cells) -> Any:
    """The result from exact cells, everything published."""
    outputs = plan.release.sums.apply(cells)
    return entry(name).read(plan, outputs, np.ones(outputs.shape, np.bool_))


def multinomial(people: int, law: NDArray[np.float64], random: Random) -> Cells:
    """People by cell; who is in none (the law's rest) is left out."""
    return random.multinomial(people, [*law, max(0.0, 1 - law.sum())])[:-1].astype(np.int64)


def counted(rows: Iterable[Any], exact: Cells, name: Callable[[Any], str]) -> Iterator[Figure]:
    """Counts: their intervals claim the noise only, so the truth is what was drawn."""
    for row, truth in zip(rows, exact.tolist(), strict=True):
        if row.people is not None:
            yield Figure(name(row), row.low, row.high, truth)


def triples(row: Any) -> Iterator[tuple[str, float | None, float | None, float | None]]:
    """(name, value, low, high) of each figure of a row that has an interval."""
    for name in row.__dict__:
        if f"{name}_low" in row.__dict__:
            yield (
                name,
                getattr(row, name),
                getattr(row, f"{name}_low"),
                getattr(row, f"{name}_high"),
            )


def compared(
    rows: Iterable[Any], exact: Iterable[Any], law: Iterable[Any], drawn: set[str]
) -> Iterator[Figure]:
    """Intervals against the same rows read from the exact draw (figures named in ``drawn``), else from the law.

    The law's rows are the computation's own reading of it without noise, at a size at which nothing is chance.
    """
    for row, counts, parameters in zip(rows, exact, law, strict=True):
        named = " ".join(
            str(v) for k, v in row.__dict__.items() if isinstance(v, str) and k != "suppressed"
        )
        truths = {name: value for name, value, _, _ in triples(parameters)}
        truths |= {name: value for name, value, _, _ in triples(counts) if name in drawn}
        for name, value, low, high in triples(row):
            if value is not None and low is not None and high is not None:
                yield Figure(f"{name} {named}", low, high, float(truths[name] or 0.0))
