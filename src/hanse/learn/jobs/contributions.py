"""What each party adds to a linear model, as a job: a model of every coalition, of which only metrics leave.

 1. home     every party shares its columns once, as for a training of the model, with the same rows to test on
 2. join     rows are matched once, those to learn from and those to test on
 3. fit      for every coalition of parties, the label's always in it: a model of its columns alone, on all these
             rows, under the same penalty. Its coefficients are never opened
 4. judge    the sums of its metrics on the rows kept apart; they leave under locks, to whom the clause names
 5. share    whoever reads them computes Shapley values and ablations (`evaluation.shapley`)
Reveals: to the named parties the exact metrics of every coalition's model; to seats what a training shows them, of
every coalition (docs/claims/evaluation.md). Coalitions are compared on rows that all parties have, so what a party
adds is what its columns add, not its rows. Assumes: semi-honest seats, honest majority.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from hanse.contracts import Contract
from hanse.engine.session import Session
from hanse.engine.shares import Ring, join_elements
from hanse.errors import Refusal
from hanse.gate.record import Record
from hanse.gate.scores import Told
from hanse.learn.evaluation.plain import BEST_LOW
from hanse.learn.evaluation.shapley import Contribution, coalitions, contributions
from hanse.learn.jobs import linear
from hanse.learn.jobs.linear import LinearHome, LinearPlan, LinearQuestion, Numbers
from hanse.learn.jobs.terms import Terms, release_of, whole_percents
from hanse.learn.linear import metrics
from hanse.learn.linear.glm import fit, joined, too_few, too_few_to_test
from hanse.learn.linear.looks import predictor
from hanse.learn.linear.penalties import Penalties, receive_penalties
from hanse.learn.linear.plan import Plan

# What a model is valued by, the first that there is: one that adds up over parties, where there is one.
VALUED_BY: Mapping[str, tuple[str, ...]] = {
    "logistic": ("auc",), "linear": ("r2", "rmse"), "multinomial": ("auc", "log_loss"),
    "poisson": ("deviance",), "gamma": ("deviance",), "tweedie": ("deviance",),
}  # fmt: skip


class ContributionQuestion(LinearQuestion):
    """As a training's; some rows must be kept to test on, or nothing would tell what noise adds from what helps."""

    holdout: Annotated[float, Field(ge=0.05, le=0.9), AfterValidator(whole_percents)] = 0.3


@dataclass(frozen=True)
class ContributionPlan(LinearPlan):
    """``coalitions``: numbers of the parties of each, smallest first; the label's, 0, is in all of them."""

    coalitions: tuple[tuple[int, ...], ...] = ()

    def names(self, number: int) -> tuple[str, ...]:
        """The parties of a coalition."""
        return tuple(self.terms.parties[n] for n in self.coalitions[number])

    def part(self, number: int) -> tuple[Plan, list[int]]:
        """(the plan of a coalition's model, its columns among those of all, the intercept first)."""
        blocks, members = self.linear.blocks(), self.coalitions[number]
        columns = [c for n in members for c in range(blocks[n].start, blocks[n].stop)]
        providers = tuple(self.linear.providers[n] for n in members)
        return replace(self.linear, providers=providers), columns


def plan(parameters: Mapping[str, Any], contract: Contract) -> ContributionPlan:
    """The plan of the job; `Refusal` where clause or question do not fit, or nobody may be told."""
    base = linear.plan_of(ContributionQuestion, parameters, contract)
    terms = base.terms
    if not terms.clause.contributions:
        raise Refusal(
            "model.contributions",
            f"what each party adds to {terms.clause.name!r} may not be measured: the contract tells it to nobody",
            remedy="agree on a version whose clause names in contributions who is told",
            where=f"contract {contract.id}, models[{terms.clause.name}].contributions",
        )
    number = {party: n for n, party in enumerate(terms.parties)}
    every = tuple(
        tuple(sorted(number[p] for p in some))
        for some in coalitions(terms.parties, [terms.label_party])
    )
    wide = replace(base.linear, errors=False)
    besides = () if base.hidden else ("training.keys", "holdout.keys")
    return ContributionPlan(
        terms, base.question, wide, release_of(terms, _told(terms, wide, every), besides), coalitions=every
    )  # fmt: skip


def _told(terms: Terms, plan: Plan, every: tuple[tuple[int, ...], ...]) -> list[Told]:
    readers = tuple(sorted(terms.clause.contributions))
    found = []
    for number, members in enumerate(every):
        who = ", ".join(terms.parties[n] for n in members)
        what = f"metrics of a model of the columns of {who} on rows kept apart, exact"
        found.append(Told(f"metrics.{number}", what, readers, metrics.figures_of(plan)))
    settled = "how many iterations each model took and whether it settled"
    found.append(Told("facts", settled, readers, 2 * len(every)))
    return found


# --- at a seat --------------------------------------------------------------------------------------


def compute(s: Session, record: Record, plan: ContributionPlan) -> dict[str, Ring]:
    """All outputs by step; nothing has left yet."""
    wide = plan.linear
    rows, matched = joined(s.fork("training"), record, wide, "training")
    if matched < wide.rows_wanted or not rows.count:
        raise too_few(matched, wide.rows_wanted)
    penalties = receive_penalties(s.fork("penalties"), rows, wide)
    tests, tested = joined(s.fork("holdout"), record, wide, "holdout")
    if not tests.count or tested < wide.least_test:
        raise too_few_to_test(tested, wide.least_test)
    outputs: dict[str, Ring] = {}
    facts = []
    for number in range(len(plan.coalitions)):
        own, step = Record(), s.fork(f"coalition{number}")
        part, columns = plan.part(number)
        some = replace(rows, columns=rows.columns[columns])
        beta, iterations, settled = fit(step.fork("fit"), own, some, part, _of(penalties, columns))
        kept, test = replace(tests, columns=tests.columns[columns]), step.fork("test")
        outputs[f"metrics.{number}"], _ = metrics.measured(
            test, kept, predictor(test, kept, beta, part), part
        )
        facts += [iterations, int(settled)]
        for opening in own.openings:
            record.write(replace(opening, step=f"coalition{number}.{opening.step}"))
        s.report("coalition", (number + 1) / len(plan.coalitions))
    outputs["facts"] = s.public_ring(np.array(facts, np.uint64))
    return outputs


def _of(penalties: Penalties, columns: list[int]) -> Penalties:
    """Those of some columns. Between parties there are none, so nothing is lost."""
    limits = penalties.thresholds
    return Penalties(
        penalties.square[np.ix_(columns, columns)],
        None if limits is None else join_elements([limits[columns]]), [], None,
    )  # fmt: skip


# --- what a party reads -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Coalition:
    """What some parties reach together."""

    parties: tuple[str, ...]
    metrics: Mapping[str, float | None]
    iterations: int
    converged: bool


@dataclass(frozen=True)
class Contributed:
    """What each party adds to ``model`` in ``metric``. ``alone`` is what the label's party reaches alone.

    ``contributions``: of the other parties, largest first; of a metric that is better low, how much it falls.
    """

    model: str
    label_party: str
    metric: str
    alone: float
    together: float
    rows: float
    contributions: tuple[Contribution, ...]
    coalitions: tuple[Coalition, ...]

    def body(self) -> dict[str, Any]:
        """Plain values, with tables as results have them."""
        low = self.metric in BEST_LOW
        notes = [
            f"Every model learned from the same rows and was judged on the same {self.rows:,.0f} rows kept apart, "
            "which all parties have: what a party adds is what its columns add.",
            f"{self.label_party} has what is predicted and is in every coalition; alone it reaches "
            f"{self.alone:.4f}.",
        ]
        if not all(c.converged for c in self.coalitions):
            notes.append(
                "A model had not settled when its iterations ended: ask again with more of them."
            )
        if self.together <= self.alone if not low else self.together >= self.alone:
            notes.append(
                "Together the parties reach no more than the first one alone: there is nothing to share."
            )
        return {
            "model": self.model, "metric": self.metric, "label_party": self.label_party,
            "better": "low" if low else "high", "alone": self.alone, "together": self.together, "rows": self.rows,
            "contributions": [_contribution(c) for c in self.contributions],
            "coalitions": [
                {"parties": list(c.parties), "metrics": dict(c.metrics), "iterations": c.iterations,
                 "converged": c.converged}
                for c in self.coalitions
            ],
            "tables": [self._shares(), self._reached()],
            "notes": notes,
        }  # fmt: skip

    def _shares(self) -> dict[str, Any]:
        return {
            "title": f"What each party adds to {self.model} ({self.metric})",
            "heads": ["party", "adds (Shapley)", "share", "lost without it", "with the first one alone"],
            "right": [1, 2, 3, 4],
            "rows": [
                [c.party, f"{c.shapley:+.4f}", "–" if math.isnan(c.share) else f"{c.share:.0%}",
                 f"{c.ablation:+.4f}", f"{c.alone:+.4f}"]
                for c in self.contributions
            ],
        }  # fmt: skip

    def _reached(self) -> dict[str, Any]:
        names = [n for n in self.coalitions[-1].metrics if n != "rows"]
        return {
            "title": "What coalitions reach",
            "heads": ["parties", *names], "right": list(range(1, len(names) + 1)),
            "rows": [
                [", ".join(c.parties), *(_figure(c.metrics.get(n)) for n in names)] for c in self.coalitions
            ],
        }  # fmt: skip


def read(plan: ContributionPlan, home: LinearHome | None, opened: Numbers) -> Contributed:
    """From opened sums. `Refusal` ``contribution.value`` where a metric does not exist, as without both classes."""
    found = []
    for number in range(len(plan.coalitions)):
        told = linear.measured(plan, home, {"metrics": opened[f"metrics.{number}"]})
        if "auc" in told and len(plan.part(number)[1]) == 1:
            told["auc"] = (
                0.5  # without columns all rows score alike; what rounding makes of that is chance
            )
        iterations, settled = (int(v) for v in opened["facts"][2 * number : 2 * number + 2])
        found.append(Coalition(plan.names(number), told, iterations, bool(settled)))
    wanted = VALUED_BY[plan.terms.clause.kind]
    metric = next(
        (m for m in wanted if all(c.metrics.get(m) is not None for c in found)), wanted[-1]
    )
    sign = -1.0 if metric in BEST_LOW else 1.0
    reached = {frozenset(c.parties): sign * _number(c.metrics.get(metric)) for c in found}
    label = plan.terms.label_party
    shares = contributions(plan.terms.parties, reached, [label])
    return Contributed(
        plan.terms.clause.name, label, metric, sign * reached[frozenset([label])],
        sign * reached[frozenset(plan.terms.parties)], _number(found[-1].metrics.get("rows")), tuple(shares),
        tuple(found),
    )  # fmt: skip


def _contribution(one: Contribution) -> dict[str, Any]:
    return {
        "party": one.party, "shapley": one.shapley, "ablation": one.ablation, "alone": one.alone,
        "share": None if math.isnan(one.share) else one.share,
    }  # fmt: skip


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
