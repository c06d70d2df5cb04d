"""What a funnel costs on the wire, before it is run: an upper bound from the plan alone.

Counts the ANDs of `funnel.compute` a person (one bit each and seat) and the few lanes in which people are counted.
"""

from __future__ import annotations

from hanse.measure.funnel.protocol import FunnelPlan, SourcePlan

_LANE_BYTES = 64 * 8  # 64 rows of a lane become ring elements at 8 bytes each
_WORD_ROWS = 64  # rows travel in words


def most_bytes(plan: FunnelPlan, people: int, *, walked: bool = False) -> int:
    """Bytes that a seat sends at most in the computation itself, for so many anonymous people.

    ``walked``: the stages are walked already, for another breakdown.
    """
    rows = -(-people // _WORD_ROWS) * _WORD_ROWS
    cells = plan.release.cells
    lanes = 2 * max(1, people).bit_length()
    ands = _split(plan) if walked else _walk(plan) + _split(plan)
    return (ands + cells) * rows // 8 + cells * lanes * _LANE_BYTES


def _walk(plan: FunnelPlan) -> int:
    """ANDs a person along the stages of all arms."""
    return _chain(plan, 0) + (0 if plan.base is None else 1 + _chain(plan, 1))


def _split(plan: FunnelPlan) -> int:
    """ANDs a person to tell segments apart."""
    if plan.label is None:
        return 0
    arms = 1 if plan.base is None else 2
    values = len(plan.label.names) + 1
    return 2 * values + arms * len(plan.question.stages) * values


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
