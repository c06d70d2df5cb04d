"""Every computation of the federation: its name, its words, its page, who learns what, its plain twin.

A new capability is one file in a room below and one entry here; the conformance suite then tests it without a
line more: equal to its twin, refused without a contract, suppressed under the threshold, charged to the budget.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.align import Aligned
from hanse.contracts import Contract
from hanse.engine import Ring, Session
from hanse.errors import Refusal
from hanse.measure import (
    funnel,
    funnel_cost,
    funnel_example,
    funnel_result,
    funnel_rows,
    funnel_twin,
    journey,
    journey_result,
    journey_twin,
    overlap,
    overlap_twin,
)
from hanse.measure.examples import Example
from hanse.measure.questions import FunnelQuestion


@dataclass(frozen=True)
class Entry:
    """One computation."""

    name: str
    title: str
    learns: str  # who learns what, in one sentence
    plan: Callable[[Mapping[str, Any], Contract, float, bool], Any]
    rows: Callable[..., Any]
    compute: Callable[[Session, Aligned, Any], Ring]
    read: Callable[[Any, NDArray[np.int64], NDArray[np.bool_]], Any]
    # The same question over everybody's tables in one place: (plan, {dataset: Arrow table}, contract) to the exact
    # outputs. For tests and rehearsals; no node ever calls it.
    twin: Callable[[Any, Mapping[str, Any], Contract], NDArray[np.int64]]
    example: Callable[[], Example]  # a small question with its tables, for the conformance suite
    # Bytes that a seat sends at most in ``compute``, for so many anonymous people, where that is declared.
    cost: Callable[[Any, int], int] | None = None


def _plan_funnel(
    parameters: Mapping[str, Any], contract: Contract, epsilon: float, noise: bool
) -> funnel.FunnelPlan:
    question = FunnelQuestion.read(dict(parameters))
    return funnel.plan(question, contract, epsilon=epsilon, noise=noise)


def _plan_journey(
    parameters: Mapping[str, Any], contract: Contract, epsilon: float, noise: bool
) -> journey.JourneyPlan:
    question = journey.JourneyQuestion.read(dict(parameters))
    return journey.plan(question, contract, epsilon=epsilon, noise=noise)


def _plan_overlap(
    parameters: Mapping[str, Any], contract: Contract, epsilon: float, noise: bool
) -> overlap.OverlapPlan:
    question = overlap.OverlapQuestion.read(dict(parameters))
    return overlap.plan(question, contract, epsilon=epsilon, noise=noise)


MENU: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            name="funnel",
            title="Cross-scenario funnel",
            learns="recipients learn noised people per stage, segment and arm, from k people on; "
            "providers and seats learn nothing of the result",
            plan=_plan_funnel,
            rows=funnel_rows.rows,
            compute=funnel.compute,
            read=funnel_result.result,
            twin=funnel_twin.twin,
            example=funnel_example.example,
            cost=funnel_cost.most_bytes,
        ),
        Entry(
            name="journey",
            title="Cross-scenario report",
            learns="recipients learn noised people per stage from exposure to loyalty, by channel and segment, "
            "exposed and not exposed; from k people on",
            plan=_plan_journey,
            rows=journey.rows,
            compute=journey.compute,
            read=journey_result.result,
            twin=journey_twin.twin,
            example=journey_twin.example,
            cost=journey.most_bytes,
        ),
        Entry(
            name="overlap",
            title="Reach and overlap",
            learns="recipients learn noised people per region of up to six crowds, and their sums: reach, "
            "incremental reach, overlaps, people in at least m crowds; from k people on",
            plan=_plan_overlap,
            rows=overlap.rows,
            compute=overlap.compute,
            read=overlap.result,
            twin=overlap_twin.twin,
            example=overlap_twin.example,
        ),
    )
}


def entry(name: str) -> Entry:
    """The computation called ``name``; `Refusal` naming those there are."""
    if name not in MENU:
        raise Refusal(
            "menu.unknown",
            f"there is no computation {name!r}",
            remedy="use one of " + ", ".join(sorted(MENU)),
        )
    return MENU[name]
