"""What an attribution costs on the wire, before it is run: an upper bound from the plan alone.

Counts the ANDs a person of every step (one bit each and seat), and the lanes in which people are counted.
"""

from __future__ import annotations

from hanse.engine.shares import words_for
from hanse.measure.attribution.plan import FRACTION_BITS, AttributionPlan
from hanse.measure.attribution.protocol import chunk_words

_LANE_BYTES = 64 * 8  # 64 rows of a lane become ring elements at 8 bytes each
_SHARE = FRACTION_BITS + 1


def most_bytes(p: AttributionPlan, people: int) -> int:
    """Bytes that a seat sends at most in the computation itself, for so many anonymous people."""
    words = words_for(people)
    size = chunk_words(p)
    full, rest = divmod(words, size)
    chunks = [(size, full), (rest, 1 if rest else 0)]
    return sum(number * _chunk_bytes(p, part) for part, number in chunks)


def _chunk_bytes(p: AttributionPlan, words: int) -> int:
    counted = _counted(p)
    lanes = sum(cells * 2 * max(1, words * slots).bit_length() for cells, slots in counted)
    rows = sum(cells * slots for cells, slots in counted)
    return (_ands(p) + rows) * words * 8 + lanes * _LANE_BYTES


def _counted(p: AttributionPlan) -> list[tuple[int, int]]:
    """(planes, slots side by side) of everything that is counted."""
    slots, value = p.conversions.slots, p.conversions.value_bits
    counted = [(len(p.channels) + 2, 1), (1, slots), (1, slots)]
    if value:
        counted += [(value, slots), (value, slots)]
    return counted + [(len(t.channels) * _sum_bits(p), t.slots) for t in p.touches]


def _sum_bits(p: AttributionPlan) -> int:
    """Width of a touch's credit and value over all conversions."""
    bits = (p.whole * p.conversions.slots).bit_length()
    return bits + ((p.whole * p.conversions.most).bit_length() if p.conversions.value_bits else 0)


def _ands(p: AttributionPlan) -> int:
    """ANDs a person, in all."""
    slots, value = p.conversions.slots, p.conversions.value_bits
    pairs = p.slots * slots
    total = pairs * (p.time_bits + 3 * p.time_bits + 4)  # ages, window, and who is there
    total += sum(t.slots * slots * (p.time_bits + 1) for t in p.touches if t.strict)
    total += 3 * value * slots + value * slots  # the cap, and what had no touch
    total += _model_ands(p) + pairs * _sum_bits(p) * 2 + p.slots * _sum_bits(p) + 2 * slots
    for t in p.touches:
        if t.code_bits:
            total += t.slots * (2 * len(t.channels) + 2 + len(t.channels) * (2 + _sum_bits(p)))
        total += t.slots * len(t.channels)
    return total


def _model_ands(p: AttributionPlan) -> int:
    """The ANDs of sharing conversions out."""
    slots, value = p.conversions.slots, p.conversions.value_bits
    pairs = p.slots * slots
    product = _SHARE * value + _SHARE * (value + _SHARE) if value else 0
    worth = value + _SHARE if value else 0
    model = p.question.model
    if model in ("last", "first"):
        return _end_ands(p) + pairs * value
    if model == "time_decay":
        table, width = len(p.weights()), (63 * p.slots).bit_length()
        weighing = 2 * table + 6 + (p.slots + 1) * width // max(1, p.slots) + width
        return pairs * (weighing + (FRACTION_BITS + 1) * (2 * width + 2) + product)
    counting = slots * (p.slots * (p.slots.bit_length() + 1) + 2 * p.slots + 2)
    if model == "linear":
        return counting + pairs * (_SHARE + worth) + slots * product
    return (
        2 * _end_ands(p) + counting + pairs * (1 + 3 * (_SHARE + worth)) + slots * (1 + 3 * product)
    )


def _end_ands(p: AttributionPlan) -> int:
    """The ANDs of finding a first or last touch."""
    slots = p.conversions.slots
    across = p.slots**2 - sum(t.slots**2 for t in p.touches)
    order = across // 2 * 3 * p.time_bits
    return order + across * 2 * slots + p.slots * slots * (2 + len(p.touches))
