"""What a concentration costs on the wire, before it is run: an upper bound from the plan alone."""

from __future__ import annotations

from hanse.engine.costs import declared
from hanse.engine.programmed import sums_by_place
from hanse.engine.shuffle import unshuffle
from hanse.measure import crowd_cost
from hanse.places.concentration.protocol import ConcentrationPlan


def most_bytes(plan: ConcentrationPlan, people: int) -> int:
    """Bytes that a seat sends at most in the computation itself, for so many anonymous people."""
    ands = sum(crowd_cost.ands_of(e) for e in (plan.base, *plan.targets)) + len(plan.targets)
    if plan.apart:
        ands += plan.columns  # the sets of targets
    told = crowd_cost.most_bytes(ands, plan.columns, people)
    return told + sum(_home(plan, provider) for provider in plan.placements)


def _home(plan: ConcentrationPlan, provider: str) -> int:
    """Bits back into a provider's order, then sums per place."""
    capacity = plan.capacities[provider]
    total = declared(unshuffle, width=1)[1] * (capacity + plan.dummies)
    for placement in plan.placements[provider]:
        shape = placement.shape(capacity)
        _, per_entry = declared(
            sums_by_place, columns=plan.columns, places=shape.places, entries=shape.entries, waves=1
        )
        total += per_entry * shape.entries
    return int(total)
