"""How a conversion is shared out among touches, on shares: the models of attribution.

Every function takes who counts for what, ``counts`` [touches, conversions, words], and gives planes of credit, of
which all touches of a conversion together have one whole at most, whatever providers sent: `last` and `first` find
one touch at most; `linear`, `position` and `time_decay` divide a whole by what is counted here, rounding down.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hanse.engine.arithmetic import divide_bits, multiply_bits, sum_planes, widened
from hanse.engine.boolean import and_, any_plane, one_hot, or_
from hanse.engine.compare import less_than_bits
from hanse.engine.session import Session
from hanse.engine.shares import Bits, join_planes, stack
from hanse.measure.attribution.plan import FRACTION_BITS, WHOLE, AttributionPlan

SHARE_BITS = FRACTION_BITS + 1


@dataclass(frozen=True)
class Touches:
    """A chunk of people: ``times`` [bits, touches, words]; ``ages`` [bits, touches, conversions, words] and
    ``counts`` as above; ``any`` [conversions, words]: who has a touch that counts.
    """

    times: Bits
    ages: Bits
    counts: Bits
    any: Bits


def credit(
    s: Session, p: AttributionPlan, touches: Touches, value: Bits | None
) -> tuple[Bits, Bits | None]:
    """Credit [bits, touches, conversions, words] in the plan's unit, and the same of the value.

    ``value``: planes [bits, conversions, words].
    """
    model = p.question.model
    if model in ("last", "first"):
        winner = end_touch(s, p, touches, last=model == "last")[None]
        worth = None if value is None else and_(s, winner, value[:, None], "worth")
        return winner, worth
    if model == "time_decay":
        shares = _by_age(s, p, touches)
        if value is None:
            return shares, None
        worth = multiply_bits(s, shares, value[:, None], "worth")
        return shares, worth[: value.shape[0] + FRACTION_BITS]
    roles = _linear(s, touches) if model == "linear" else _by_position(s, p, touches)
    return _by_role(s, roles, value)


# --- which touch is the first or last ---------------------------------------------------------------


def end_touch(s: Session, p: AttributionPlan, touches: Touches, *, last: bool) -> Bits:
    """The first (or last) touch that counts: planes [touches, conversions, words], at most one per conversion.

    In order are: times; of the same time, sources as they are listed; of one source, its slots. So of two
    touches exactly one is earlier, whatever their times: two cannot both be first.
    """
    name = "last" if last else "first"
    starts = np.cumsum([0, *(t.slots for t in p.touches)])
    parts = [slice(int(a), int(b)) for a, b in pairwise(starts)]
    earlier = _earlier(s, touches.times, parts, name)
    found = []
    for x, own in enumerate(parts):
        mine = touches.counts[own]
        beaten = [_others(s, mine, f"{name}.{x}", backwards=last)]
        for y, other in enumerate(parts):
            if y == x:
                continue
            wins = earlier[x, y] if not last else s.invert(earlier[x, y])  # [mine, theirs, words]
            hits = and_(s, touches.counts[other][None], wins[:, :, None], f"{name}.{x}.{y}")
            beaten.append(any_plane(s, _turned(hits), f"{name}.{x}.{y}.any"))
        lost = any_plane(s, stack(beaten), f"{name}.{x}.lost")
        found.append(and_(s, mine, s.invert(lost), f"{name}.{x}.won"))
    return join_planes(found)


def _earlier(s: Session, times: Bits, parts: list[slice], name: str) -> dict[tuple[int, int], Bits]:
    """For sources x and y: planes [touches of x, touches of y, words], 1 where y's touch is the earlier one."""
    found = {}
    for y in range(len(parts)):
        for x in range(y):
            mine, theirs = times[:, parts[x]][:, :, None], times[:, parts[y]][:, None]
            shape = (times.shape[0], mine.shape[1], theirs.shape[2], times.shape[-1])
            less = less_than_bits(
                s, _spread(theirs, shape), _spread(mine, shape), f"{name}.order.{x}.{y}"
            )
            found[x, y] = less
            found[y, x] = _turned(s.invert(less))
    return found


def _others(s: Session, mine: Bits, step: str, *, backwards: bool) -> Bits:
    """Whether an earlier (or later) slot counts, by slot: planes like ``mine`` [slots, conversions, words]."""
    zero = np.zeros(mine.shape[1:], np.uint64)
    seen = Bits(zero, zero, mine.rows)
    order = range(mine.shape[0])
    found: dict[int, Bits] = {}
    for number, k in enumerate(reversed(order) if backwards else order):
        found[k] = seen
        if number == 0:
            seen = mine[k]
        elif number + 1 < mine.shape[0]:
            seen = or_(s, seen, mine[k], f"{step}.seen.{number}")
    return stack([found[k] for k in order])


# --- shares by the number of touches ----------------------------------------------------------------

Role = tuple[
    Bits, Bits
]  # which touches [touches, conversions, words], their share [bits, conversions, words]


def _linear(s: Session, touches: Touches) -> list[Role]:
    """All touches alike."""
    count = _number_of(s, touches.counts, "number")
    table = [0, *(WHOLE // n for n in range(1, touches.counts.shape[0] + 1))]
    return [(touches.counts, _looked_up(count, table))]


def _by_position(s: Session, p: AttributionPlan, touches: Touches) -> list[Role]:
    """The first, the last, all between; two touches or one share the whole as far as they go."""
    start, middle, end = p.question.position
    first = end_touch(s, p, touches, last=False)
    last = end_touch(s, p, touches, last=True)
    both = and_(s, first, last, "both")
    alone = _xor_all(both)  # at most one touch is first, so this is whether there is one
    between = touches.counts ^ first ^ last ^ both
    count = _number_of(s, between, "between")
    none = count[0]
    only = and_(s, none, alone, "only")
    first_of_two, last_of_two = ends_of_two(start, end)
    begin = _constant(s.invert(none), share_of(start)) ^ _constant(none ^ only, first_of_two)
    finish = _constant(s.invert(none), share_of(end)) ^ _constant(none, last_of_two)
    table = [0, *(share_of(middle) // n for n in range(1, touches.counts.shape[0] + 1))]
    return [
        (first, begin ^ _constant(only, WHOLE)),
        (last ^ both, finish),
        (between, _looked_up(count, table)),
    ]


def share_of(percent: int) -> int:
    """So many percent of a whole, in its units, rounded down."""
    return WHOLE * percent // 100


def ends_of_two(start: int, end: int) -> tuple[int, int]:
    """What the first and the last get where nothing is between them."""
    if start + end == 0:
        return WHOLE // 2, WHOLE // 2
    return WHOLE * start // (start + end), WHOLE * end // (start + end)


def _by_role(s: Session, roles: list[Role], value: Bits | None) -> tuple[Bits, Bits | None]:
    """Every touch its role's share, and that share of the value."""
    credits: list[Bits] = []
    worths: list[Bits] = []
    for number, (who, share) in enumerate(roles):
        told = share
        if value is not None:
            product = multiply_bits(s, share, value, f"role{number}.product")
            told = join_planes([share, product[: value.shape[0] + FRACTION_BITS]])
        given = and_(s, who[None], told[:, None], f"role{number}")
        credits.append(given[: share.shape[0]])
        worths.append(given[share.shape[0] :])
    return _xor(credits), None if value is None else _xor(worths)


# --- shares by age ----------------------------------------------------------------------------------


def _by_age(s: Session, p: AttributionPlan, touches: Touches) -> Bits:
    """Weights from the public table by age, each divided by the sum of all."""
    weights = p.weights()
    bits, shape = len(weights).bit_length(), touches.counts.shape
    steps = touches.ages[p.age_shift() :][:bits]
    flat = widened(steps, bits).reshape(bits, shape[0] * shape[1] * shape[2])
    hot = one_hot(s, flat, len(weights), "age").reshape(len(weights), *shape)
    table = _looked_up(hot, list(weights))
    weight = and_(s, table, touches.counts[None], "weight")
    width = (max(weights) * shape[0]).bit_length()
    whole = sum_planes(s, [weight[:, t] for t in range(shape[0])], width, "weights")
    # Without a touch all weights are 0: divided by 1 instead of by 0.
    low = whole[:1] ^ s.invert(touches.any)[None]
    return divide_bits(
        s, widened(weight, width), join_planes([low, whole[1:]])[:, None], FRACTION_BITS, "share"
    )


# --- planes -----------------------------------------------------------------------------------------


def _number_of(s: Session, marks: Bits, step: str) -> Bits:
    """How many touches are marked, one-hot: planes [touches + 1, conversions, words]."""
    count, (conversions, words) = marks.shape[0], marks.shape[1:]
    bits = count.bit_length()
    number = sum_planes(s, [marks[t][None] for t in range(count)], bits, f"{step}.sum")
    hot = one_hot(s, number.reshape(bits, conversions * words), count + 1, f"{step}.hot")
    return hot.reshape(count + 1, conversions, words)


def _looked_up(hot: Bits, table: list[int]) -> Bits:
    """The table's entry at the lit plane [entries, ...]: planes [bits, ...]. Local: planes only XOR together."""
    bits = max(1, max(table).bit_length())
    return stack(
        [
            _xor_all(hot[[i for i, entry in enumerate(table) if entry >> bit & 1]])
            for bit in range(bits)
        ]
    )


def _constant(where: Bits, number: int) -> Bits:
    """``number`` where the plane is 1, else 0: planes [share bits, ...]."""
    zero = np.zeros_like(where.left)
    nothing = Bits(zero, zero, where.rows)
    return stack([where if number >> bit & 1 else nothing for bit in range(SHARE_BITS)])


def _xor_all(x: Bits) -> Bits:
    """XOR along the first axis."""
    return Bits(
        np.bitwise_xor.reduce(x.left, axis=0), np.bitwise_xor.reduce(x.right, axis=0), x.rows
    )


def _xor(parts: list[Bits]) -> Bits:
    """XOR of numbers of which one at most is not zero, as wide as the widest."""
    bits = max(part.shape[0] for part in parts)
    total = widened(parts[0], bits)
    for part in parts[1:]:
        total = total ^ widened(part, bits)
    return total


def _spread(x: Bits, shape: tuple[int, ...]) -> Bits:
    def wide(side: NDArray[np.uint64]) -> NDArray[np.uint64]:
        return np.broadcast_to(side, shape)

    return Bits(wide(x.left), wide(x.right), x.rows)


def _turned(x: Bits) -> Bits:
    """The first two axes exchanged."""
    return Bits(x.left.swapaxes(0, 1), x.right.swapaxes(0, 1), x.rows)
