"""What a lift question costs on the wire, before it is run: an upper bound from the plan alone."""

from __future__ import annotations

from hanse.measure import crowd_cost
from hanse.measure.crowd_cost import ands_of
from hanse.measure.lift.protocol import LiftPlan


def most_bytes(p: LiftPlan, people: int) -> int:
    """Bytes that a seat sends at most in the computation itself, for so many anonymous people."""
    groups = len(p.names) * len(p.segments)
    cells = p.release.blocks[0].cells
    ands = sum(map(ands_of, (*p.arms, *p.crowds))) + 3 * len(p.arms)
    if p.label is not None:
        ands += 2 * len(p.segments) + groups
    ands += cells  # every outcome halves the cells
    for value in p.values:
        counts = groups * value.bits * (value.bits + 1) // 2  # bits, and pairs of bits
        cells += counts
        ands += counts
    return crowd_cost.most_bytes(ands, cells, people)
