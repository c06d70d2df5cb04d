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
from hanse.contracts import Contract, Library
from hanse.engine import Ring, Session
from hanse.errors import Fault, Refusal
from hanse.learn.jobs import entry as models
from hanse.measure.attribution import cost as attribution_cost
from hanse.measure.attribution import example as attribution_example
from hanse.measure.attribution import protocol as attribution
from hanse.measure.attribution import result as attribution_result
from hanse.measure.attribution import rows as attribution_rows
from hanse.measure.attribution import twin as attribution_twin
from hanse.measure.examples import Example
from hanse.measure.funnel import cost as funnel_cost
from hanse.measure.funnel import example as funnel_example
from hanse.measure.funnel import protocol as funnel
from hanse.measure.funnel import result as funnel_result
from hanse.measure.funnel import rows as funnel_rows
from hanse.measure.funnel import twin as funnel_twin
from hanse.measure.journey import protocol as journey
from hanse.measure.journey import result as journey_result
from hanse.measure.journey import twin as journey_twin
from hanse.measure.lift import cost as lift_cost
from hanse.measure.lift import protocol as lift
from hanse.measure.lift import reading as lift_reading
from hanse.measure.lift import twin as lift_twin
from hanse.measure.overlap import protocol as overlap
from hanse.measure.overlap import result as overlap_result
from hanse.measure.overlap import twin as overlap_twin
from hanse.measure.portrait import cost as portrait_cost
from hanse.measure.portrait import protocol as portrait
from hanse.measure.portrait import reading as portrait_reading
from hanse.measure.portrait import twin as portrait_twin
from hanse.measure.questions import FunnelQuestion, Question
from hanse.measure.reach import protocol as reach
from hanse.measure.reach import result as reach_result
from hanse.measure.reach import twin as reach_twin
from hanse.places.concentration import cost as places_cost
from hanse.places.concentration import example as places_example
from hanse.places.concentration import protocol as concentration
from hanse.places.concentration import result as places_result
from hanse.places.concentration import rows as places_rows
from hanse.places.concentration import twin as places_twin
from hanse.places.concentration.questions import ConcentrationQuestion
from hanse.places.daily import jobs as crowd_days


@dataclass(frozen=True)
class Entry:
    """One computation."""

    name: str
    title: str
    learns: str  # who learns what, in one sentence
    # (parameters, contract, epsilon, noise) and, where `needs_places`, the `Library` after them
    plan: Callable[..., Any]
    rows: Callable[..., Any]
    compute: Callable[[Session, Aligned, Any], Ring]
    read: Callable[[Any, NDArray[np.int64], NDArray[np.bool_]], Any]
    # The same question over everybody's tables in one place: (plan, {dataset: Arrow table}, contract) to the exact
    # outputs. For tests and rehearsals; no node ever calls it.
    twin: Callable[[Any, Mapping[str, Any], Contract], NDArray[np.int64]]
    example: Callable[[], Example]  # a small question with its tables, for the conformance suite
    # Bytes that a seat sends at most in ``compute``, for so many anonymous people, where that is declared.
    cost: Callable[[Any, int], int] | None = None
    needs_places: bool = False
    model: bool = False  # a training or scoring: planned here, lived by roles of its own

    def planned(
        self, parameters: Mapping[str, Any], contract: Contract, epsilon: float, noise: bool,
        library: Library = Library(),  # noqa: B008 - frozen and empty
    ) -> Any:  # fmt: skip
        """The plan, by a party that holds the places of ``library``."""
        more = (library,) if self.needs_places else ()
        return self.plan(parameters, contract, epsilon, noise, *more)


def _asked(question: type[Question], plan: Callable[..., Any]) -> Callable[..., Any]:
    """An entry's plan: the parameters are read as its question first; a library of places goes on to ``plan``."""

    def planned(
        parameters: Mapping[str, Any],
        contract: Contract,
        epsilon: float,
        noise: bool,
        *library: Library,
    ) -> Any:
        read = question.read(dict(parameters))
        return plan(read, contract, *library, epsilon=epsilon, noise=noise)

    return planned


MENU: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            name="attribution",
            title="Attribution",
            learns="recipients learn noised conversions, their value and people credited, by channel, from k "
            "people on; what had no touch; providers and seats learn nothing of the result",
            plan=_asked(attribution.AttributionQuestion, attribution.plan),
            rows=attribution_rows.rows,
            compute=attribution.compute,
            read=attribution_result.result,
            twin=attribution_twin.twin,
            example=attribution_example.example,
            cost=attribution_cost.most_bytes,
            needs_places=True,
        ),
        Entry(
            name="concentration",
            title="Target groups by place",
            learns="recipients learn noised people and target groups per place, cell, district or city, from k "
            "people on; who is where, nobody learns",
            plan=_asked(ConcentrationQuestion, concentration.plan),
            rows=places_rows.rows,
            compute=concentration.compute,
            read=places_result.result,
            twin=places_twin.twin,
            example=places_example.example,
            cost=places_cost.most_bytes,
            needs_places=True,
        ),
        Entry(
            name="funnel",
            title="Cross-scenario funnel",
            learns="recipients learn noised people per stage, segment and arm, from k people on; "
            "providers and seats learn nothing of the result",
            plan=_asked(FunnelQuestion, funnel.plan),
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
            plan=_asked(journey.JourneyQuestion, journey.plan),
            rows=journey.rows,
            compute=journey.compute,
            read=journey_result.result,
            twin=journey_twin.twin,
            example=journey_twin.example,
            cost=journey.most_bytes,
        ),
        Entry(
            name="lift",
            title="Incremental lift",
            learns="recipients learn noised people, outcomes, sums and sums of squares of each arm and segment, "
            "where arm and segment have k people or more; providers and seats learn nothing of the result",
            plan=_asked(lift.LiftQuestion, lift.plan),
            rows=lift.rows,
            compute=lift.compute,
            read=lift_reading.result,
            twin=lift_twin.twin,
            example=lift_twin.example,
            cost=lift_cost.most_bytes,
        ),
        Entry(
            name="reach",
            title="Reach and frequency",
            learns="recipients learn noised people by number of contacts (k+ reach, histogram) and segment, and "
            "what each exposure adds; from k people on",
            plan=_asked(reach.ReachQuestion, reach.plan),
            rows=reach.rows,
            compute=reach.compute,
            read=reach_result.result,
            twin=reach_twin.twin,
            example=reach_twin.example,
            cost=reach.most_bytes,
        ),
        Entry(
            name="overlap",
            title="Overlap of crowds",
            learns="recipients learn noised people per region of up to six crowds, and their sums: reach, "
            "incremental reach, overlaps, people in at least m crowds; from k people on",
            plan=_asked(overlap.OverlapQuestion, overlap.plan),
            rows=overlap.rows,
            compute=overlap.compute,
            read=overlap_result.result,
            twin=overlap_twin.twin,
            example=overlap_twin.example,
            cost=overlap.most_bytes,
        ),
        Entry(
            name="portrait",
            title="Portrait of a crowd",
            learns="recipients learn noised people per value of each label in a crowd and in its base, and per "
            "cell of cross tables; from k people on",
            plan=_asked(portrait.PortraitQuestion, portrait.plan),
            rows=portrait.rows,
            compute=portrait.compute,
            read=portrait_reading.result,
            twin=portrait_twin.twin,
            example=portrait_twin.example,
            cost=portrait_cost.most_bytes,
        ),
    )
}


# --- models -----------------------------------------------------------------------------------------


def _modelled(plan: Callable[[Mapping[str, Any], Contract], Any]) -> Callable[..., Any]:
    """An entry's plan; what a model tells is exact, so it has no epsilon."""

    def planned(
        parameters: Mapping[str, Any], contract: Contract, _epsilon: float, _noise: bool
    ) -> Any:
        return plan(parameters, contract)

    return planned


def _nothing(*_arguments: Any) -> Any:
    raise Fault("menu.model", "a model is lived by roles of its own")


MODELS: dict[str, Entry] = {
    name: Entry(
        name=name, title=title, learns=learns, plan=_modelled(plan), rows=_nothing,
        compute=_nothing, read=_nothing, twin=_nothing, example=_nothing, model=True,
    )
    for name, title, learns, plan in (
        (
            "train", "Training",
            "each party learns the coefficients of its own columns; metrics and p-values go to whom the contract "
            "names; nobody learns the whole model",
            models.training,
        ),
        (
            "score", "Scoring",
            "one party learns exact scores of its rows, and so which of them all parties have",
            models.scoring,
        ),
        (
            "score-one", "Score of one row",
            "one party learns one exact score; all parties of the model see which row it is",
            models.scoring_one,
        ),
        (
            "contributions", "What each party adds",
            "whom the contract names learns exact metrics of a model of every coalition of parties; nobody learns "
            "a coefficient",
            models.contributing,
        ),
        (
            "crowd-train", "Crowd model",
            "owners of counters learn, per place and day, the sum over at least two holders of how far the day is "
            "from usual; nobody learns an owner's counts",
            crowd_days.training,
        ),
        (
            "crowd-day", "Crowd of the day",
            "recipients learn figures by place and day, or why there is none; owners the sums that they rest on",
            crowd_days.telling,
        ),
    )
}  # fmt: skip


def entry(name: str) -> Entry:
    """The computation called ``name``; `Refusal` naming those there are."""
    if name in MODELS:
        return MODELS[name]
    if name not in MENU:
        raise Refusal(
            "menu.unknown",
            f"there is no computation {name!r}",
            remedy="use one of " + ", ".join(sorted(MENU)),
        )
    return MENU[name]
