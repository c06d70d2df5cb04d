"""Horizontal models as jobs: parties with other rows of the same columns learn at home, and only sums are opened.

The protocol is `learn.horizontal.roles`; here are its two ends. Every party ends with the whole common model (that
is what horizontal learning gives) and, by its own choice at home, with its own model, the common one or a mixture.
As sums are told from the first round on, every party commits before it begins to what will be told at most.

Reveals: docs/claims/horizontal.md. At least three parties; sums are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

import numpy as np
from pydantic import Field

from hanse.contracts import Contract
from hanse.contracts.fields import Document, Name
from hanse.entropy import Entropy
from hanse.errors import Refusal
from hanse.gate.record import Opening
from hanse.gate.scores import ModelRelease, Told
from hanse.learn.evaluation.plain import judged
from hanse.learn.horizontal.home import Home
from hanse.learn.horizontal.models import LinearModel
from hanse.learn.horizontal.networks import Network
from hanse.learn.horizontal.own import Fitted
from hanse.learn.horizontal.roles import Plan, Result, run_party, run_seat
from hanse.learn.horizontal.rounds import Averaging
from hanse.learn.horizontal.trees import Boosting, Trees
from hanse.learn.jobs.terms import (
    F64,
    Holdout,
    HomeRows,
    Terms,
    Training,
    lots,
    read_question,
    release_of,
    require_trees,
    terms_of,
)
from hanse.wire import Channel, PatientChannel

Family = Literal["linear", "logistic", "multinomial", "poisson", "gamma", "tweedie"]


class PooledQuestion(Document):
    """Without a ``family`` it follows from the target's kind; ``average`` averages linear models, too."""

    model: Name
    family: Family | None = None
    power: Annotated[float, Field(gt=1, lt=2)] = 1.5
    average: bool = False
    rounds: Annotated[int, Field(ge=1, le=10_000)] = 20
    proximal: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    trees: Annotated[int, Field(ge=1, le=10_000)] = 50
    depth: Annotated[int, Field(ge=1, le=10)] = 4
    rate: Annotated[float, Field(gt=0, le=10)] = 0.1
    l2: Annotated[float, Field(ge=0, le=10)] = 1e-6
    holdout: Holdout = 0.3


@dataclass(frozen=True)
class PooledPlan(Training):
    """A training as every node plans it; the protocol's parties are those of the model, sorted."""

    terms: Terms
    question: PooledQuestion
    pooled: Plan
    release: ModelRelease
    openings: tuple[Opening, ...]
    way: str = "open"
    epsilon_join: float = 0.0


def plan(parameters: Mapping[str, Any], contract: Contract) -> PooledPlan:
    """The plan of a training; `Refusal` where clause or question do not fit."""
    question = read_question(PooledQuestion, parameters)
    terms = terms_of(contract, question.model)
    clause = terms.clause
    _check_columns(terms)
    parties = tuple(sorted(terms.parties))
    trees = clause.kind == "horizontal-boosting"
    if clause.kind == "horizontal-linear":
        raise Refusal("model.kind", "models that each party brings as code are trained in rehearsals only",
                      remedy='use "horizontal-glm" or "horizontal-mlp"')  # fmt: skip
    if trees:
        require_trees(contract, terms, question.trees)
    averaged = question.average or clause.kind == "horizontal-mlp"
    pooled = Plan(
        parties, model=question.family or _family(terms),
        method="boosting" if trees else "average" if averaged else "newton",
        learner="network" if clause.kind == "horizontal-mlp" else "glm",
        power=question.power, classes=max(3, len(terms.target.values)), l2=question.l2,
        averaging=Averaging(rounds=question.rounds, proximal=question.proximal),
        boosting=Boosting(trees=question.trees, depth=question.depth, rate=question.rate),
    )  # fmt: skip
    pooled.check()
    owners = clause.told(contract)
    told = [
        Told(f"model.{p}", "the common model", (p,) if p in owners else (), 1)
        for p in terms.parties
    ]
    least = pooled.least_contributors
    what = (
        f"sums over at least {least} parties, of updates, curvatures, histograms or losses, exact"
    )
    openings = (Opening("sums", what, parties, 1), *(t.opening for t in told if t.to))
    return PooledPlan(terms, question, pooled, release_of(terms, told), openings)


def _check_columns(terms: Terms) -> None:
    first = terms.sides[0]
    for side in terms.sides[1:]:
        if side.names != first.names:
            differing = sorted(set(side.names) ^ set(first.names))[:5]
            raise Refusal(
                "model.columns",
                f"{side.dataset!r} and {first.dataset!r} do not bring the same columns in the same order"
                + (f": {', '.join(differing)}" if differing else ""),
                remedy="agree on one list of columns, with the same kinds and values, for all parties",
                where=f"models[{terms.clause.name}].features",
            )


def _family(terms: Terms) -> Family:
    if terms.target.values:
        return "multinomial" if len(terms.target.values) > 2 else "logistic"
    return "logistic" if terms.target.kind == "boolean" else "linear"


# --- at a party and a seat --------------------------------------------------------------------------


def train(
    channel: Channel, plan: PooledPlan, party: str, rows: HomeRows, contract: str, entropy: Entropy,
    progress: Callable[[str, float], None],
) -> tuple[Result, Home]:  # fmt: skip
    """One party's whole part, on the job's own channel: seats are roles 0 to 2, the parties follow."""
    home = home_of(plan, party, rows, contract)
    return run_party(
        cast(PatientChannel, channel), plan.pooled, home, entropy, lambda _opening: None, progress
    ), home


def home_of(plan: PooledPlan, party: str, rows: HomeRows, contract: str) -> Home:
    """The party's rows as the protocol takes them; `Refusal` where they cannot serve, naming what and where."""
    if rows.target is None:
        raise Refusal("learn.label", "the label's column was not read", where=party)
    side = plan.terms.side(party)
    if rows.ids.size < plan.terms.clause.least_rows:
        raise Refusal("learn.rows", f"{party} has fewer rows than the {plan.terms.clause.least_rows} that the "
                      "contract asks of each party", remedy="bring more rows, or leave this party out",
                      where=f"models[{plan.terms.clause.name}].least_rows")  # fmt: skip
    held = lots(rows.ids, plan.terms.clause.name, contract) < plan.question.holdout
    y = rows.target - 1 if plan.terms.target.values else rows.target
    home = Home(party, side.names, side.encoded(rows.values), y, held)
    home.check(plan.pooled.kind)
    return home


def sum_up(
    channel: Channel, seat: int, plan: PooledPlan, job: bytes, entropy: Entropy,
    progress: Callable[[str, float], None],
) -> None:  # fmt: skip
    """A seat's part."""
    run_seat(
        cast(PatientChannel, channel),
        seat,
        plan.pooled,
        job,
        entropy,
        lambda _record: None,
        progress,
    )


# --- what a party keeps -----------------------------------------------------------------------------


def body_of(result: Result) -> dict[str, Any]:
    """The party's choice as plain values: the common model, its own, and how they are mixed."""
    chosen = result.chosen
    return {
        "form": "horizontal", "choice": chosen.what, "share": chosen.share,
        "columns": list(chosen.common.scaling.columns), "common": _fitted(chosen.common),
        "own": _fitted(chosen.own) if chosen.share < 1 else None,
    }  # fmt: skip


def _fitted(fitted: Fitted) -> dict[str, Any]:
    scaling, model = fitted.scaling, fitted.model
    found: dict[str, Any] = {
        "family": scaling.kind.name, "power": scaling.kind.power, "classes": scaling.kind.classes,
        "mean": _list(scaling.mean), "spread": _list(scaling.spread),
        "shift": scaling.shift, "stretch": scaling.stretch,
    }  # fmt: skip
    if isinstance(model, LinearModel):
        raw = scaling.to_raw(model.parameters())
        found |= {"learner": "glm", "intercept": float(raw[0]), "coefficients": _list(raw[1:])}
    elif isinstance(model, Network):
        found |= {
            "learner": "network",
            "hidden": list(model.hidden),
            "parameters": _list(model.parameters()),
        }
    elif isinstance(model, Trees):
        found |= {
            "learner": "trees", "start": model.start, "edges": [_list(e) for e in model.edges],
            "trees": [
                {"column": t.column.tolist(), "position": t.position.tolist(),
                 "missing_left": t.missing_left.tolist(), "left": t.left.tolist(), "value": _list(t.value)}
                for t in model.trees
            ],
        }  # fmt: skip
    return found


def _list(values: F64) -> list[float]:
    return [float(v) for v in values]


def facts_of(result: Result) -> dict[str, Any]:
    """For the card: what this party chose and how the training went; it stays at home."""
    chosen = result.chosen
    return {
        "choice": chosen.what, "own_loss": _finite(chosen.own_loss), "common_loss": _finite(chosen.common_loss),
        "converged": result.settled, "iterations": len(result.progress.contributors), "choices": result.tally,
        "standing": None if result.standing is None else result.standing.body(),
    }  # fmt: skip


def metrics_of(plan: PooledPlan, result: Result, home: Home) -> dict[str, float | None]:
    """Of the party's choice, on its own rows kept apart; nobody else is told."""
    judge = home.held if home.held.any() else ~home.held
    mean = result.chosen.predict(home.x[judge])
    kind = plan.pooled.kind
    found = judged(kind.name, mean, home.y[judge], power=plan.question.power, classes=kind.classes)
    return {"rows": float(judge.sum()), **{k: _finite(v) for k, v in found.items()}}


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
