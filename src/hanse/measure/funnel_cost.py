"""What a funnel costs on the wire, before it is run: an upper bound from the plan alone.

Counts the ANDs of `funnel.compute` a person (one bit each and seat) and the few lanes in which people are counted.
"""

from __future__ import annotations

from hanse.measure.funnel import FunnelPlan, SourcePlan

_LANE_BYTES = 64 * 16  # 64 rows of a lane become ring elements at 16 bytes each
_WORD_ROWS = 64  # rows travel in words


def most_bytes(plan: FunnelPlan, people: int) -> int:
    """Bytes that a seat sends at most in the computation itself, for so many anonymous people."""
    rows = -(-people // _WORD_ROWS) * _WORD_ROWS
    cells = plan.release.cells
    lanes = 2 * max(1, people).bit_length()
    return (_ands(plan) + cells) * rows // 8 + cells * lanes * _LANE_BYTES


def _ands(plan: FunnelPlan) -> int:
    """ANDs a person, but for the counting."""
    total = _chain(plan, 0)
    arms = 1
    if plan.base is not None:
        total += 1 + _chain(plan, 1)
        arms = 2
    if plan.label is not None:
        values = len(plan.label.names) + 1
        total += 2 * values + arms * len(plan.question.stages) * values
    return total


def _chain(plan: FunnelPlan, first: int) -> int:
    """The walk along the stages from ``first`` on."""
    total = 0
    for stage in range(first, len(plan.question.stages)):
        sources = _sources(plan, stage)
        before = _sources(plan, stage - 1) if stage > first else []
        if not plan.question.ordered:
            total += len(sources)
            continue
        for x in sources:
            slots = _slots(x)
            total += slots * (1 + len(before) + 1)  # entered or combined, valid, any of them
            for y in before:
                pairs = slots * _slots(y)
                total += pairs * (3 * plan.time_bits + 2)
                if plan.window(stage) is not None:
                    total += pairs * (3 * plan.time_bits + 1) + plan.time_bits * _slots(y)
    return total


def _sources(plan: FunnelPlan, stage: int) -> list[SourcePlan]:
    return [x for x in plan.sources if x.stage == stage]


def _slots(x: SourcePlan) -> int:
    return x.slots - (x.source.at_least - 1)
