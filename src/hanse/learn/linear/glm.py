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
from hanse.engine.matrices import combined, mean_cross
from hanse.engine.multiply import matmul, multiply
from hanse.engine.session import Session
from hanse.engine.shares import SEATS, Ring, Words, join_elements, words_for
from hanse.errors import Refusal
from hanse.gate.model import note_keys, open_whether_all, send_numbers
from hanse.gate.record import Record
from hanse.learn.linear.certainty import known, pearson, variances
from hanse.learn.linear.curve import FLOOR, GRADIENT, curvature, newton, scale_of, steer
from hanse.learn.linear.families import ETA
from hanse.learn.linear.keys import receive_elements, rows_in_common
from hanse.learn.linear.links import COARSE, FINE, Response, first_responses, responses
from hanse.learn.linear.metrics import measured
from hanse.learn.linear.penalties import Penalties, receive_penalties
from hanse.learn.linear.plan import BETA, Plan
from hanse.learn.linear.rows import Rows, open_rows_of, room_for, rows_of
from hanse.learn.linear.sparse import Held, none_held, proximal, pull_of
from hanse.wire import Channel

SETTLED = 1 << (BETA - 14)
PROMISE = 22  # fraction bits of slope and move in what a step promises
SURE, EARLIER = 6, 7  # before this iteration a promise must be so many powers of two smaller
NEXT_TO_NOTHING = 25  # a loss of 2**-26 a row
OF_ALL_ROWS, OF_LOG_LINKS = 14, 12  # or of 2**-15 of all rows together; of coarser columns 2**-13
Telling = Callable[[Channel, Record, Ring, str, tuple[int, str], str], None]
BOUNDED = 3
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
    rows, matched = _joined(s.fork("training"), record, plan, "training")
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
        rows, tested = _joined(s.fork("holdout"), record, plan, "holdout")
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


def _joined(s: Session, record: Record, plan: Plan, part: str) -> tuple[Rows, int]:
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
    whole, places = room_for(plan, count)
    flags: Words | None = None
    for number, name in enumerate(names):
        shape = (len(places[number]), count)
        receive_elements(s, SEATS + number, name, part, shape, (whole, places[number]))
        planes = sum(n.flag for n in plan.numbers(number)) - 1  # all but "here": everybody is
        if number == 0 and planes:
            flags = receive_rows(s, SEATS, f"{name}.{part}.flags", planes, words_for(count))
    return open_rows_of(s, whole, flags, plan), count


# --- steps 4 to 8 -----------------------------------------------------------------------------------


def fit(
    s: Session, record: Record, rows: Rows, plan: Plan, penalties: Penalties
) -> tuple[Ring, int, bool]:
    """(coefficients [classes, width] with `BETA` fraction bits, iterations, whether it settled)."""
    size = plan.family.classes * plan.width
    held, steered = none_held(size), None
    floor = pull_of(size) if plan.l1 else 2.0**-FLOOR
    few = OF_LOG_LINKS if plan.family.log_link else OF_ALL_ROWS
    least = min(NEXT_TO_NOTHING, few + scale_of(rows))
    for number in range(1, plan.most_iterations + 1):
        step = s.fork(f"iteration{number}")
        s.report("iteration", number / plan.most_iterations)
        beta = held.z.reshape(plan.family.classes, plan.width)
        answer = _answer(step, rows, beta, plan, number)
        slope = _gradient(step, rows, answer.residual, beta, plan, penalties.square)
        if steered is None or _refreshed(number, plan):
            curve = curvature(step, rows, answer, plan, penalties.square)
            steered = steer(step, curve, floor)
        if penalties.thresholds is None:
            new = Held(held.z - newton(step, slope, steered, plan.family.classes), held.u)
        else:
            new = proximal(step, slope, held, steered, penalties.thresholds)
        move, held = new.z - held.z, new
        # The first iterations take a coarse mean, so that they cannot tell whether it has settled.
        little = least + (EARLIER if number < SURE else 0)
        if number >= 3 and _settled(step, record, move, None if plan.l1 else slope, little, number):
            return held.z.reshape(plan.family.classes, plan.width), number, True
    return held.z.reshape(plan.family.classes, plan.width), plan.most_iterations, False


def _refreshed(number: int, plan: Plan) -> bool:
    """An old curvature is too small where means have grown, and steps then overshoot: a log link wants it new."""
    if plan.family.flat:
        return number == 1
    if _bounded(plan, BOUNDED):  # nothing new before, everything after
        return number == 1 or number > BOUNDED
    return plan.family.log_link or number in REFRESH or (number > 5 and number % 2 == 0)


def _answer(s: Session, rows: Rows, beta: Ring, plan: Plan, number: int) -> Response:
    first = first_responses(s, rows, plan) if number == 1 else None
    if first is not None:
        return first
    eta = predictor(s, rows, beta, plan)
    found = responses(s, rows, eta, plan, COARSE if number == 2 else FINE)
    return replace(found, weight=None, level=0.25) if _bounded(plan, number) else found


def _bounded(plan: Plan, number: int) -> bool:
    """Offsets may be far from what the label says, where Newton's steps overshoot: the first steps of a logistic
    model then take 1/4 for all rows, which is never too little."""
    return plan.offset and plan.family.name == "logistic" and number <= BOUNDED


def predictor(s: Session, rows: Rows, beta: Ring, plan: Plan) -> Ring:
    """X b, and the offset if there is one: [classes, rows] with `ETA` fraction bits."""
    wide = [combined(s, rows.columns, beta[c], f"predictor{c}") for c in range(beta.shape[0])]
    whole = join_elements([w.reshape(1, rows.count) for w in wide])
    eta = truncate(s, whole, plan.family.x + BETA - ETA, "predictor.cut")
    if "offset" in rows.more:
        eta = eta + rows.more["offset"].reshape(1, rows.count)
    return eta


def _gradient(
    s: Session, rows: Rows, residual: Ring, beta: Ring, plan: Plan, penalty: Ring
) -> Ring:
    """X' residual / 2**scale + penalty b, [classes * width, 1], with `GRADIENT` fraction bits."""
    f = plan.family
    cut = f.x + f.mean + scale_of(rows) - GRADIENT
    loss = mean_cross(s, residual, rows.columns, plan.gradient_bits, cut, "gradient")
    short = truncate(s, beta, BETA - 20, "penalty.beta")
    pulled = truncate(s, matmul(s, short, penalty, "penalty"), 20, "penalty.cut")
    return (loss + pulled).reshape(loss.size, 1)


def _settled(
    s: Session, record: Record, move: Ring, slope: Ring | None, little: int, number: int
) -> bool:
    """One bit: no move is long, or what the step promised, slope * move, is below 2**-little."""
    least = s.public_ring(np.full(move.size, SETTLED, np.uint64))
    far = sign_bit(s, join_elements([least + move, least - move]), "settled.far")
    value = ring_bits(s, far.reshape(1, far.shape[-1]), "settled.count").sum().reshape(1)
    if slope is not None:
        short = truncate(s, slope.reshape(move.size), GRADIENT - PROMISE, "settled.slope")
        step = truncate(s, move, BETA - PROMISE, "settled.move")
        promised = -multiply(s, short, step, "settled.promise").sum().reshape(1)
        enough = s.public_ring(np.full(1, 1 << (2 * PROMISE - little), np.uint64)) - promised
        poor = ring_bits(s, sign_bit(s, enough, "settled.enough").reshape(1, 1), "settled.poor")[0]
        value = multiply(s, value, poor, "settled.both")
    verdict = sign_bit(s, value - s.public_ring(np.ones(1, np.uint64)), "settled.sign")
    return open_whether_all(
        s, record, verdict, f"whether the model had settled after {number} iterations",
        f"settled{number}",
    )  # fmt: skip


# --- step 9 -----------------------------------------------------------------------------------------


def _variances(s: Session, rows: Rows, beta: Ring, plan: Plan, penalties: Penalties) -> list[Ring]:
    """By party, of its standardised coefficients, from the curvature at the end; before them log2 of what a party
    divides them by, the rows on shares rounded up."""
    eta = predictor(s, rows, beta, plan)
    answer = responses(s, rows, eta, plan)
    curve = curvature(s, rows, answer, plan, penalties.square, bare=True)
    dispersion = penalties.dispersion
    if dispersion is None or not known(plan.family):
        dispersion = pearson(s, rows, eta, answer, plan)
    found = variances(s, steer(s, curve), penalties.turns, dispersion, plan)
    return [join_elements([s.public_ring(np.full(1, scale_of(rows), np.uint64)), f]) for f in found]
