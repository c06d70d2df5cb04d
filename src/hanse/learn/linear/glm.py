"""A generalised linear model over the columns of several parties, on shares: the page of vertical learning.

 1. home     each party centres, scales and turns its own columns (`home`), and shares them
 2. join     rows are aligned without anybody learning who is in both (`align`), rows of no one being zero
             everywhere; or in the open, where the plan says so (`keys`)
 3. count    the noised number of matched rows must be large enough, else nothing is learned
 4. answer   every row's residual and weight from the secret coefficients: X b, then the inverse link (`links`)
 5. gradient X' residual / rows + penalty: a sum over rows, so one short message whatever the rows
 6. curve    at most iterations: X' W X, inverted on shares (`curve`), never opened
 7. step     b minus inverse * gradient; the inverse only steers: where the gradient is 0, the step is 0.
             With a penalty on absolute values: the minimum of both, still on shares (`sparse`)
 8. settled  one bit opened an iteration: whether every coefficient moved by less than 2**-14, or the step's
             promise is next to nothing (so that a rare value that tells the label alone ends too)
 9. out      each party gets the coefficients of its own columns; nobody gets the model. Where the plan says so
             their variances as well (`certainty`)
10. test     the same for rows kept apart, and metrics from them to the party that has the label (`metrics`)

Reveals: to seats, the noised number of matched rows and how many iterations it took; to each party its own
coefficients, exact, and their variances if agreed; to the label party the metrics; in open alignment, to all
parties which rows match (docs/claims/glm.md). Not opened: X' W X, a coefficient on the way, else who matched.
Assumes: semi-honest seats, honest majority. Source: iteratively reweighted least squares (McCullagh, Nelder 1989).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from hanse.align import JoinPolicy, Upload, align
from hanse.align.upload import receive_rows
from hanse.engine.compare import ring_bits, sign_bit
from hanse.engine.fixed import truncate
from hanse.engine.multiply import multiply
from hanse.engine.session import Session
from hanse.engine.shares import SEATS, Ring, Words, join_elements, words_for
from hanse.errors import Fault, Refusal
from hanse.gate.model import note_keys, note_places, open_whether_all, send_numbers
from hanse.gate.record import Record
from hanse.learn.linear import apart
from hanse.learn.linear.certainty import known, pearson, variances
from hanse.learn.linear.columns import receive_columns
from hanse.learn.linear.curve import (
    FLOOR,
    GRADIENT,
    Steer,
    curvature,
    newton,
    penalised,
    scale_of,
    steer,
)
from hanse.learn.linear.keys import receive_elements, rows_in_common
from hanse.learn.linear.links import Response, beside, responses
from hanse.learn.linear.looks import BOUNDED, Looks, bounded, predictor
from hanse.learn.linear.metrics import measured
from hanse.learn.linear.penalties import Penalties, receive_penalties
from hanse.learn.linear.plan import BETA, Plan
from hanse.learn.linear.rows import Rows, open_rows_of, room_for, rows_of
from hanse.learn.linear.sparse import Held, none_held, proximal, pull_of
from hanse.learn.linear.whole import places_of_all, receive_whole, receive_whole_flags
from hanse.wire import Channel

__all__ = [
    "Seen",
    "Telling",
    "fit",
    "joined",
    "predictor",
    "run_seat",
    "too_few",
    "too_few_to_test",
]

SETTLED = 1 << (BETA - 14)
PROMISE = 22  # fraction bits of slope and move in what a step promises
SURE, EARLIER = 6, 7  # before this iteration a promise must be so many powers of two smaller
NEXT_TO_NOTHING = 25  # a loss of 2**-26 a row
FALLING, SURELY = 21, 32  # where promises fall fast, the next one counts
OF_ALL_ROWS = 14  # or of 2**-15 of all rows together, of a log link of 2**-13,
COARSER = 23  # but then not more than 2**-24 a row
Telling = Callable[[Channel, Record, Ring, str, tuple[int, str], str], None]
REFRESH = (1, 2, 3, 5)  # iterations that look at the curvature anew, and every other one from 6 on


@dataclass(frozen=True)
class Seen:
    """What every seat knows in the end."""

    matched: int  # noised; exact where rows are open
    iterations: int
    settled: bool


def run_seat(s: Session, record: Record, plan: Plan, tell: Telling = send_numbers) -> Seen:
    """A seat's part of a whole job: roles 0 to 2 are the seats, then the providers in the plan's order.

    ``tell`` gets every output; between organisations it is kept until every provider's gate has agreed.
    """
    plan.check()
    rows, matched = joined(s.fork("training"), record, plan, "training")
    if matched < plan.rows_wanted or not rows.count:
        raise too_few(matched, plan.rows_wanted)
    learning = s.fork("fit")
    penalties = receive_penalties(learning, rows, plan)
    beta, iterations, settled = fit(learning, record, rows, plan, penalties)
    blocks = [beta[:, block] for block in plan.blocks()]
    _tell(tell, s, record, plan, blocks, "model", "the coefficients")
    if plan.errors:
        found = _variances(s.fork("errors"), rows, beta, plan, penalties)
        _tell(tell, s, record, plan, found, "errors", "the variances")
    test = s.fork("test")
    if plan.holdout:
        rows, tested = joined(s.fork("holdout"), record, plan, "holdout")
        if plan.least_test and tested < plan.least_test:
            raise too_few_to_test(tested, plan.least_test)
    figures, what = measured(test, rows, predictor(test, rows, beta, plan), plan)
    tell(s.channel, record, figures, what, (SEATS, plan.label_party), "metrics")
    return Seen(matched, iterations, settled)


def _tell(
    tell: Telling, s: Session, record: Record, plan: Plan, parts: list[Ring], step: str, what: str
) -> None:
    """To each party its own, by provider."""
    for number, (provider, part) in enumerate(zip(plan.providers, parts, strict=True)):
        tell(s.channel, record, part.reshape(part.size), f"{what} of the columns of {provider.name}",
             (SEATS + number, provider.name), f"{step}.{provider.name}")  # fmt: skip


def too_few(matched: int, wanted: int) -> Refusal:
    """The refusal of a model of too few rows."""
    return Refusal(
        "learn.rows",
        f"about {max(0, matched)} rows match (noised), and a model of these columns needs {wanted}",
        remedy="bring more rows in common or fewer columns; a rehearsal on data that are not about people may "
        "lower the limit (--minimum-rows)",
    )


def too_few_to_test(tested: int, wanted: int) -> Refusal:
    """The refusal of figures that would be about single people."""
    return Refusal(
        "learn.test-rows",
        f"about {max(0, tested)} rows to test on match (noised), and exact figures need {wanted}",
        remedy="keep a larger share of the rows to test on, or none (holdout 0)",
    )


# --- steps 2 and 3 ----------------------------------------------------------------------------------


def joined(s: Session, record: Record, plan: Plan, part: str) -> tuple[Rows, int]:
    """Rows that all providers have, and about how many (noised where rows are hidden)."""
    if plan.open:
        return _in_the_open(s, record, plan, part)
    everybody = (1 << len(plan.providers)) - 1
    uploads = [
        Upload(p.name, plan.layout(n), _receiver(s, plan, n, part))
        for n, p in enumerate(plan.providers)
    ]
    own = Record()
    policy: JoinPolicy = plan.policy
    people = align(s, own, uploads, policy, lambda mask: mask == everybody)
    for opening in own.openings:
        record.write(replace(opening, step=f"{part}.{opening.step}"))
    return rows_of(s, people, plan), people.people - plan.dummies()


def _receiver(s: Session, plan: Plan, number: int, part: str) -> Callable[[], Words]:
    provider = plan.providers[number]
    rows = provider.training if part == "training" else provider.holdout
    width = plan.layout(number).width
    return lambda: receive_rows(s, SEATS + number, f"{provider.name}.{part}", rows, width)


def _in_the_open(s: Session, record: Record, plan: Plan, part: str) -> tuple[Rows, int]:
    names = [p.name for p in plan.providers]
    count = rows_in_common(s, names, part)
    note_keys(record, f"{part}.keys", names, count)
    chosen = []
    if plan.whole:
        capacities = [p.training if part == "training" else p.holdout for p in plan.providers]
        chosen = places_of_all(s, names, part, count, capacities)
        sizes = {name: one.size for name, one in zip(names, chosen, strict=True)}
        note_places(record, f"{part}.places", sizes)
    whole, places = room_for(plan, count)
    flags: Words | None = None
    for number, name in enumerate(names):
        planes = sum(n.flag for n in plan.numbers(number)) - 1  # all but "here": everybody is
        flagged = number == 0 and planes > 0
        shape, into = (len(places[number]), count), (whole, places[number])
        if chosen:
            receive_whole(s, SEATS + number, name, part, chosen[number], into)
            if flagged:
                what = f"{name}.{part}.flags"
                flags = receive_whole_flags(s, SEATS, what, planes, chosen[number])
            continue
        if plan.filed(count):
            receive_columns(s, SEATS + number, name, part, count, into)
        else:
            receive_elements(s, SEATS + number, name, part, shape, into)
        if flagged:
            flags = receive_rows(s, SEATS, f"{name}.{part}.flags", planes, words_for(count))
    return open_rows_of(s, whole, flags, plan), count


# --- steps 4 to 8 -----------------------------------------------------------------------------------


def fit(
    s: Session, record: Record, rows: Rows, plan: Plan, penalties: Penalties
) -> tuple[Ring, int, bool]:
    """(coefficients [classes, width] with `BETA` fraction bits, iterations, whether it settled)."""
    size = plan.family.classes * plan.width
    held, last = none_held(size), None
    steered: list[Steer] = []
    looks = Looks(rows, plan, penalties.square)
    promises: list[Ring] = []
    floor = pull_of(size) if plan.l1 else 2.0**-FLOOR
    few = OF_ALL_ROWS + scale_of(rows)
    # Columns of a log link are coarser: below this a promise may be rounding.
    few = max(COARSER, few - 2) if plan.family.log_link else few
    least = min(NEXT_TO_NOTHING, few)
    for number in range(1, plan.most_iterations + 1):
        step = s.fork(f"iteration{number}")
        s.report("iteration", number / plan.most_iterations)
        beta = held.z.reshape(plan.family.classes, plan.width)
        curved = not steered or _refreshed(number, plan)
        slope, curves = looks.at(step, beta, number, curved=curved)
        if curves:
            steered = [steer(step.fork(f"steer{n}"), c, floor) for n, c in enumerate(curves)]
        if not steered:
            raise Fault("learn.curve", "the first iteration takes no curvature")
        if plan.apart:
            last = apart.step(step, slope, steered, last, plan.family.classes)
            new = Held(held.z - last, held.u)
        elif penalties.thresholds is None:
            new = Held(held.z - newton(step, slope, steered[0], plan.family.classes), held.u)
        else:
            new = proximal(step, slope, held, steered[0], penalties.thresholds)
        move, held = new.z - held.z, new
        # The first iterations take a coarse mean, so that they cannot tell whether it has settled.
        # A step that is not Newton's leaves more undone than it promised.
        little = least + (EARLIER if number < SURE or plan.apart else 0)
        if number >= 3 and not plan.l1:
            # Two classes fall as Newton's steps do; a log link may stand still for a while.
            kept = promises[-1:] if plan.family.name == "logistic" else []
            promises = [*kept, _promise(step, slope, move)]
        if number >= 3 and _settled(step, record, move, promises, little, number):
            return held.z.reshape(plan.family.classes, plan.width), number, True
    return held.z.reshape(plan.family.classes, plan.width), plan.most_iterations, False


def _refreshed(number: int, plan: Plan) -> bool:
    """An old curvature is too small where means have grown, and steps then overshoot: a log link wants it new."""
    if plan.family.flat:
        return number == 1
    if plan.apart:
        return number in apart.REFRESH
    if bounded(plan, BOUNDED):  # nothing new before, everything after
        return number == 1 or number > BOUNDED
    return plan.family.log_link or number in REFRESH or (number > 5 and number % 2 == 0)


def _settled(
    s: Session, record: Record, move: Ring, promises: list[Ring], little: int, number: int
) -> bool:
    """One bit: no move is long; or what the last step promised, slope * move, is below 2**-little; or it is below
    2**-FALLING, and at the rate at which promises fall the next one will be below 2**-(SURELY)."""
    least = s.public_ring(np.full(move.size, SETTLED, np.uint64))
    far = sign_bit(s, join_elements([least + move, least - move]), "settled.far")
    value = ring_bits(s, far.reshape(1, far.shape[-1]), "settled.count").sum().reshape(1)
    if promises:
        last = promises[-1]
        wanted = [_limit(s, little) - last]
        if len(promises) > 1:
            falls = promises[-2].times(1 << (2 * PROMISE - SURELY)) - multiply(
                s, last, last, "settled.squared"
            )
            wanted += [_limit(s, FALLING) - last, falls]
        signs = sign_bit(s, join_elements(wanted), "settled.enough")
        poor = ring_bits(s, signs.reshape(1, signs.shape[-1]), "settled.poor")[0]
        value = multiply(s, value, poor[:1], "settled.both")
        if len(wanted) > 1:
            value = multiply(s, value, poor[1:].sum().reshape(1), "settled.falls")
    verdict = sign_bit(s, value - s.public_ring(np.ones(1, np.uint64)), "settled.sign")
    return open_whether_all(
        s, record, verdict, f"whether the model had settled after {number} iterations",
        f"settled{number}",
    )  # fmt: skip


def _limit(s: Session, little: int) -> Ring:
    return s.public_ring(np.full(1, 1 << (2 * PROMISE - little), np.uint64))


def _promise(s: Session, slope: Ring, move: Ring) -> Ring:
    """By how much a step of such a slope is to lower the loss, twice: [1] with 2 * `PROMISE` bits."""
    short = truncate(s, slope.reshape(move.size), GRADIENT - PROMISE, "settled.slope")
    step = truncate(s, move, BETA - PROMISE, "settled.move")
    return -multiply(s, short, step, "settled.promise").sum().reshape(1)


# --- step 9 -----------------------------------------------------------------------------------------


def _variances(s: Session, rows: Rows, beta: Ring, plan: Plan, penalties: Penalties) -> list[Ring]:
    """By party, of its standardised coefficients, from the curvature at the end; before them log2 of what a party
    divides them by, the rows on shares rounded up."""
    eta = predictor(s, rows, beta, plan)
    curve: Ring | None = None
    off, bare, done = [], [], 0
    for number, part in enumerate(rows.parts(plan.batch_rows)):
        own = s.fork(f"batch{number}")
        answer = responses(own, part, eta[:, done : done + part.count], plan)
        bend = curvature(own, part, answer, plan, scale_of(rows), bare=True)
        curve = bend if curve is None else curve + bend
        off.append(answer.residual)
        bare.append(answer.bare)
        done += part.count
    if curve is None:
        raise Fault("learn.curve", "there are no rows to take a curvature of")
    dispersion = penalties.dispersion
    if dispersion is None or not known(plan.family):
        answer = Response(beside(off), None, beside(bare))
        dispersion = pearson(s, rows, eta, answer, plan)
    steered = steer(s, penalised(s, curve, penalties.square, plan))
    found = variances(s, steered, penalties.turns, dispersion, plan)
    return [join_elements([s.public_ring(np.full(1, scale_of(rows), np.uint64)), f]) for f in found]
