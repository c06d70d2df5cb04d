"""Attribution: which touches conversions are credited to, touches and conversions at different organisations.

 1. plan     channels, slots and windows from the question and the contract; each provider's row: its touches in
             slots (time, channel) or its conversions (time, value)
 2. align    the providers' rows into anonymous people                                     (room `align`)
 3. count    which touch lies within the window before which conversion: pairs of slots, on shares
 4. credit   each conversion's whole, shared out by the model among the touches that count  (`attribution_credit`)
 5. sum      a touch's credit over all conversions, at its channel; people who were credited at all
 6. release  people, conversions and value are blocks with their own noise; a channel's figures are guarded by the
             people behind it                                                               (room `gate`)

Reveals: to recipients, the noised figures of channels that reach the threshold; to seats, what `align` reveals.
Assumes: semi-honest seats, honest majority. Whatever providers send, a person has so many conversions as there are
slots, each is credited once at most, and a person's value is capped here: what is credited, unattributed and lost
in rounding make up one whole for each conversion, so these bounds hold by construction.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hanse.align import Aligned
from hanse.engine.add import add_bits
from hanse.engine.arithmetic import subtract_bits, sum_planes
from hanse.engine.boolean import and_, any_plane, one_hot, or_
from hanse.engine.compare import less_than_bits
from hanse.engine.count import count_rows
from hanse.engine.session import Session
from hanse.engine.shares import Bits, Ring, join_elements, join_planes, stack, trimmed, words_for
from hanse.measure.attribution.credit import Touches, credit
from hanse.measure.attribution.plan import FRACTION_BITS, AttributionPlan, TouchPlan, plan
from hanse.measure.attribution.question import AttributionQuestion

__all__ = ["AttributionPlan", "AttributionQuestion", "chunk_words", "compute", "plan"]

CHUNK_WORDS = 1 << 22  # planes of a step together: about 64 MB at each seat
_LEAST_WORDS = 64


def compute(s: Session, people: Aligned, p: AttributionPlan) -> Ring:
    """The cells of all blocks [cells]: the page's steps 3 to 5, some thousand people at a time."""
    words = words_for(people.people)
    size = chunk_words(p)
    total: Ring | None = None
    for number, start in enumerate(range(0, max(1, words), size)):
        part = slice(start, min(words, start + size))
        rows = max(0, min(people.people - 64 * start, 64 * size))
        cells = _cells(s.fork(f"chunk{number}"), _Chunk(people, part, rows), p)
        total = cells if total is None else total + cells
        s.report("attribution", 0.0)  # a share would tell how many people were matched
    if total is None:
        raise ValueError("there is always a first chunk")
    return total


def chunk_words(p: AttributionPlan) -> int:
    """Words of people at a time, so that the planes of all pairs fit the memory."""
    pairs = p.slots * p.conversions.slots
    planes = max(3 * p.time_bits, (FRACTION_BITS + 1) * (2 + p.conversions.value_bits))
    return max(_LEAST_WORDS, CHUNK_WORDS // (pairs * planes))


@dataclass(frozen=True)
class _Chunk:
    """Some of the people: words ``part`` of every plane."""

    people: Aligned
    part: slice
    rows: int

    def planes(self, provider: str, name: str) -> Bits:
        whole = self.people.field(provider, name)
        return Bits(whole.left[:, self.part], whole.right[:, self.part], self.rows)

    def slots(self, provider: str, name: str, count: int) -> Bits:
        """A field of each slot: planes [bits, slots, words]."""
        each = stack([self.planes(provider, f"{name}{k}") for k in range(count)])
        return Bits(each.left.swapaxes(0, 1), each.right.swapaxes(0, 1), self.rows)


def _cells(s: Session, chunk: _Chunk, p: AttributionPlan) -> Ring:
    """The cells of these people."""
    c = p.conversions
    converted = chunk.planes(c.provider, "converted.on")
    touches = _touches(s, chunk, p, converted)
    value = _capped(s, chunk.slots(c.provider, "converted.v", c.slots)) if c.value_bits else None
    given, worth = credit(s, p, touches, value)
    width = (p.whole * c.slots).bit_length()
    sums = [_over_conversions(s, given, width, "credit")]
    if worth is not None:
        sums.append(_over_conversions(s, worth, (p.whole * c.most).bit_length(), "worth-sum"))
    people, credits = _by_channel(s, chunk, p, sums)
    missed = converted ^ touches.any  # a conversion with a touch that counts is a conversion
    people += [any_plane(s, missed, "missed.any"), any_plane(s, converted, "converted.any")]
    blocks = [count_rows(s, stack(people), "people")]
    events = _total(s, converted[None], "all.count"), _total(s, missed[None], "missed.count")
    blocks.append(_left_over(credits[0], *events, p.whole))
    if value is not None:
        lost = and_(s, value, s.invert(touches.any)[None], "worth-missed")
        worths = _total(s, value, "worth.count"), _total(s, lost, "worth-missed.count")
        blocks.append(_left_over(credits[1], *worths, p.whole))
    return join_elements(blocks)


def _left_over(credits: Ring, total: Ring, missed: Ring, whole: int) -> Ring:
    """A block: the channels' credit, what had no touch, and what rounding kept: together ``total`` wholes."""
    total, missed = total.times(whole), missed.times(whole)
    rounding = total - missed - credits.sum().reshape(1)
    return join_elements([credits, missed, rounding])


# --- 3. pairs ---------------------------------------------------------------------------------------


def _touches(s: Session, chunk: _Chunk, p: AttributionPlan, converted: Bits) -> Touches:
    """Which touches count for which conversions, and how old they are then."""
    c = p.conversions
    on = join_planes([chunk.planes(t.provider, f"{t.field}.on") for t in p.touches])
    each = [chunk.slots(t.provider, f"{t.field}.t", t.slots) for t in p.touches]
    times = Bits(
        np.concatenate([t.left for t in each], axis=1),
        np.concatenate([t.right for t in each], axis=1),
        chunk.rows,
    )
    when = chunk.slots(c.provider, "converted.t", c.slots)
    bits, touches, words = times.shape
    shape = (bits, touches, c.slots, words)
    later = Bits(
        np.broadcast_to(when.left[:, None], shape), np.broadcast_to(when.right[:, None], shape),
        chunk.rows,
    )  # fmt: skip
    ages, after = subtract_bits(s, later, times[:, :, None], "age")
    limit = _public(s, p.window, shape, chunk.rows)
    over = less_than_bits(s, limit, ages, "window")
    counts = and_(s, on[:, None], converted[None], "there")
    counts = and_(s, counts, and_(s, s.invert(after), s.invert(over), "within"), "counts")
    if any(t.strict for t in p.touches):
        counts = _strictly(s, p, ages, counts)
    return Touches(times, ages, counts, any_plane(s, counts, "touched"))


def _strictly(s: Session, p: AttributionPlan, ages: Bits, counts: Bits) -> Bits:
    """Touches of the conversions' own dataset must be before them: no event is credited for itself."""
    parts, start = [], 0
    for t in p.touches:
        own = slice(start, start + t.slots)
        start += t.slots
        part = counts[own]
        if t.strict:
            older = any_plane(s, ages[:, own], f"older.{t.number}")
            part = and_(s, part, older, f"strictly.{t.number}")
        parts.append(part)
    return join_planes(parts)


def _public(s: Session, number: int, shape: tuple[int, ...], rows: int) -> Bits:
    """The same public number everywhere, planes of ``shape`` [bits, ...]."""
    planes = np.zeros((shape[0], *(1 for _ in shape[1:])), np.uint64)
    planes[[bit for bit in range(shape[0]) if number >> bit & 1]] = ~np.uint64(0)
    wide = s.public_bits(planes, rows)
    return Bits(np.broadcast_to(wide.left, shape), np.broadcast_to(wide.right, shape), rows)


def _capped(s: Session, value: Bits) -> Bits:
    """Values [bits, conversions, words] of which a person's sum stays below 2**bits: what is over counts 0."""
    bits = value.shape[0]
    total, kept = value[:, 0], [value[:, 0]]
    for k in range(1, value.shape[1]):
        added = add_bits(s, total, value[:, k], f"cap.{k}.add")
        now = or_(s, added[:bits], added[bits:], f"cap.{k}.full")
        kept.append(subtract_bits(s, now, total, f"cap.{k}.part")[0])
        total = now
    left, right = (
        np.stack(parts, axis=1) for parts in zip(*((k.left, k.right) for k in kept), strict=True)
    )
    return Bits(left, right, value.rows)


# --- 5. sums ----------------------------------------------------------------------------------------


def _over_conversions(s: Session, given: Bits, width: int, step: str) -> Bits:
    """A touch's credit over all conversions: planes [width, touches, words]."""
    return sum_planes(s, [given[:, :, k] for k in range(given.shape[2])], width, step)


def _by_channel(
    s: Session, chunk: _Chunk, p: AttributionPlan, sums: list[Bits]
) -> tuple[list[Bits], list[Ring]]:
    """Who was credited at each channel (planes [words]); the channels' sums, each [channels]."""
    credited = any_plane(s, sums[0], "credited")
    numbers = join_planes(sums)
    people: list[list[Bits]] = [[] for _ in p.channels]
    shape = len(p.channels)
    totals = [Ring(np.zeros(shape, np.uint64), np.zeros(shape, np.uint64)) for _ in sums]
    start = 0
    for t in p.touches:
        own = slice(start, start + t.slots)
        start += t.slots
        part = s.fork(f"channels{t.number}")
        who, counts = _of_source(part, chunk, t, credited[own], numbers[:, own])
        for place, channel in enumerate(t.channels):
            people[channel].append(who[place])
        first = 0
        for total, numbered in zip(totals, sums, strict=True):
            bits = numbered.shape[0]
            powers = np.uint64(1) << np.arange(bits, dtype=np.uint64)
            found = counts[:, first : first + bits].times(powers).sum(axis=1)
            first += bits
            index = list(t.channels)
            total.left[index] += found.left
            total.right[index] += found.right
    return [
        planes[0] if len(planes) == 1 else any_plane(s, stack(planes), f"people{channel}")
        for channel, planes in enumerate(people)
    ], totals


def _of_source(
    s: Session, chunk: _Chunk, t: TouchPlan, credited: Bits, numbers: Bits
) -> tuple[Bits, Ring]:
    """A source's people [channels, words], and how often each bit of ``numbers`` is set, [channels, bits]."""
    bits, slots, words = numbers.shape
    if not t.code_bits:
        who = any_plane(s, credited, "who")[None]
        return who, _counted(s, numbers, "sum").reshape(1, bits)
    code = chunk.slots(t.provider, f"{t.field}.c", t.slots).reshape(t.code_bits, slots * words)
    values = len(t.channels) + 1
    hot = one_hot(s, code, values, "channel").reshape(values, slots, words)[1:]
    there = and_(s, hot, credited[None], "who")
    who = any_plane(
        s, Bits(there.left.swapaxes(0, 1), there.right.swapaxes(0, 1), there.rows), "who.any"
    )
    found = []
    for number, batch in enumerate(_batches(len(t.channels), bits * slots * words)):
        given = and_(s, hot[batch][:, None], numbers[None], f"given.{number}")
        found.append(
            _counted(s, given.reshape(given.shape[0] * bits, slots, words), f"sum.{number}")
        )
    return who, join_elements(found).reshape(-1, bits)


def _batches(channels: int, words: int) -> Iterator[slice]:
    """The channels a few at a time, each of so many words."""
    size = max(1, CHUNK_WORDS // max(1, words))
    return (slice(i, min(channels, i + size)) for i in range(0, channels, size))


def _counted(s: Session, planes: Bits, step: str) -> Ring:
    """How many of all slots' rows are 1: planes [cells, slots, words] to elements [cells]."""
    kept = trimmed(planes)
    cells, slots, words = kept.shape
    shape = cells, slots * words
    flat = Bits(kept.left.reshape(shape), kept.right.reshape(shape), slots * words * 64)
    return count_rows(s, flat, step)


def _total(s: Session, numbers: Bits, step: str) -> Ring:
    """The sum of numbers [bits, slots, words] over all slots and people, [1]."""
    powers = np.uint64(1) << np.arange(numbers.shape[0], dtype=np.uint64)
    return _counted(s, numbers, step).times(powers).sum().reshape(1)
