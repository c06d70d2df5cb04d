"""What a portrait costs on the wire, before it is run: an upper bound from the plan alone."""

from __future__ import annotations

from hanse.measure import crowd_cost
from hanse.measure.portrait.protocol import LabelPlan, PortraitPlan
from hanse.measure.portrait.release import parts_of


def most_bytes(p: PortraitPlan, people: int) -> int:
    """Bytes that a seat sends at most in the computation itself, for so many anonymous people."""
    ands = crowd_cost.ands_of(p.crowd)
    parts = 1
    if p.base is not None:
        ands += crowd_cost.ands_of(p.base) + 1
        parts = len(parts_of(p.against))
    counted = parts
    for label in p.labels:
        width = label.sizes.cells(unknown=False)
        ands += _values(label) + parts * width
        counted += len(parts_of(p.against)) * width
    for a, b in p.crosses:
        cells = len(p.labels[a].names) * p.labels[b].sizes.cells(unknown=False)
        ands += cells
        counted += cells
    return crowd_cost.most_bytes(ands, counted, people)


def _values(label: LabelPlan) -> int:
    """ANDs a person that tell a label's values apart (see `one_hot`)."""
    if label.code is None:
        return len(label.names) - 1
    total, prefixes = 0, 1
    for level in range(label.code.bits):
        prefixes = min(prefixes, -(-(len(label.names) + 1) // (1 << (label.code.bits - level))))
        total += prefixes
        prefixes *= 2
    return total
