"""A generalised linear model over the columns of several parties, on shares: the page of vertical learning.

 1. home     each party centres, scales and turns its own columns (`home`), and shares them as bits
 2. join     rows are aligned without anybody learning who is in both (`align`); rows of no one are zero everywhere
 3. count    the noised number of matched rows must be large enough, else nothing is learned
 4. mean     every row's mean from the secret coefficients: X b, then the inverse link (`engine.functions`)
 5. gradient X' (mean - y) / rows + penalty: a sum over rows, so one short message whatever the rows
 6. curve    at most iterations: X' W X, inverted on shares (`engine.matrices`), never opened
 7. step     b minus inverse * gradient; the inverse only steers: where the gradient is 0, the step is 0
 8. settled  one bit opened an iteration: whether every coefficient moved by less than 2**-14
 9. out      each party gets the coefficients of its own columns; nobody gets the model
10. test     the same for rows kept apart, and metrics from them to the party that has the label (`metrics`)

Reveals: to seats, the noised number of matched rows and how many iterations it took; to each party its own
coefficients, exact; to the label party the metrics (docs/claims/glm.md). Not opened: X' W X, a coefficient on
the way, who matched. Assumes: semi-honest seats, honest majority. Source: iteratively reweighted least squares
(McCullagh and Nelder 1989).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from hanse.align import JoinPolicy, Upload, align
from hanse.align.upload import receive_rows
from hanse.engine.compare import sign_bit
from hanse.engine.fixed import truncate
from hanse.engine.functions import clip, exponential, power_below, product, sigmoid
from hanse.engine.matrices import (
    INVERSE_BITS,
    MATRIX_BITS,
    combined,
    inverse,
    mean_cross,
    mean_gram,
    weighted,
)
from hanse.engine.multiply import matmul
from hanse.engine.session import Session
from hanse.engine.shares import SEATS, Bits, Ring, Words, join_elements
from hanse.errors import Refusal
from hanse.gate.model import open_whether_all, send_numbers
from hanse.gate.record import Record
from hanse.learn.linear.families import ETA
from hanse.learn.linear.metrics import measured
from hanse.learn.linear.plan import BETA, Plan
from hanse.learn.linear.rows import Rows, receive_matrix, rows_of

REFRESH = (1, 2, 3, 4)  # iterations that look at the curvature anew, and every other one after them
GRADIENT = 30  # fraction bits of a gradient and of the penalty
PENALTY = 34  # fraction bits of a party's penalty as it is shared; its elements stay below 2**8
PENALTY_SHARE = 16
SETTLED = 1 << (BETA - 14)
LONGEST_STEP = 16 << BETA
FLOOR = 16  # the scaled curvature gets 2**-16 on its diagonal, so that it has an inverse
INVERSE_STEPS = FLOOR + 4
_SCALE, _MOST_SCALE = (
    22,
    10,
)  # fraction and whole bits of what the curvature is divided by: 2**-22 .. 2**10


@dataclass(frozen=True)
class Seen:
    """What every seat knows in the end."""

    matched: int  # noised
    iterations: int
    settled: bool


def run_seat(s: Session, record: Record, plan: Plan) -> Seen:
    """A seat's part of a whole job: roles 0 to 2 are the seats, then the providers in the plan's order."""
    plan.check()
    rows, matched = _joined(s.fork("training"), record, plan, "training")
    if matched < plan.rows_wanted:
        raise too_few(matched, plan.rows_wanted)
    learning = s.fork("fit")
    penalty = _penalty(learning, rows, plan)
    beta, iterations, settled = fit(learning, record, rows, plan, penalty)
    for number, block in enumerate(plan.blocks()):
        name = plan.providers[number].name
        send_numbers(s.channel, record, beta[block], f"the coefficients of the columns of {name}",
                     (SEATS + number, name), f"model.{name}")  # fmt: skip
    test = s.fork("test")
    if plan.holdout:
        rows, _ = _joined(s.fork("holdout"), record, plan, "holdout")
    figures, what = measured(test, rows, predictor(test, rows, beta, plan), plan)
    send_numbers(s.channel, record, figures, what, (SEATS, plan.label_party), "metrics")
    return Seen(matched, iterations, settled)


def too_few(matched: int, wanted: int) -> Refusal:
    """The refusal of a model of too few rows."""
    return Refusal(
        "learn.rows",
        f"about {max(0, matched)} rows match (noised), and a model of these columns needs {wanted}",
        remedy="bring more rows in common or fewer columns; a rehearsal on data that are not about people may "
        "lower the limit (--minimum-rows)",
    )


# --- steps 2 and 3 ----------------------------------------------------------------------------------


def _joined(s: Session, record: Record, plan: Plan, part: str) -> tuple[Rows, int]:
    """Rows that all providers have, and about how many (noised)."""
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


# --- steps 4 to 8 -----------------------------------------------------------------------------------


def fit(
    s: Session, record: Record, rows: Rows, plan: Plan, penalty: Ring
) -> tuple[Ring, int, bool]:
    """(coefficients [width] with `BETA` fraction bits, iterations, whether it settled)."""
    zero = np.zeros(plan.width, np.uint64)
    beta = Ring(zero, zero)
    steer: tuple[Ring, Ring] | None = None
    for number in range(1, plan.most_iterations + 1):
        step = s.fork(f"iteration{number}")
        s.report("iteration", number / plan.most_iterations)
        mean, residual = (
            _start(step, rows, plan) if number == 1 else _fitted(step, rows, beta, plan, number)
        )
        slope = _gradient(step, rows, residual, beta, plan, penalty)
        if steer is None or _refreshed(number, plan):
            steer = _steer(step, rows, mean, plan, penalty)
        move = _move(step, slope, *steer)
        beta = beta - move
        # The first iterations take a coarse mean, so that they cannot tell whether it has settled.
        if number >= 3 and _settled(step, record, move, number):
            return beta, number, True
    return beta, plan.most_iterations, False


def _refreshed(number: int, plan: Plan) -> bool:
    """An old curvature is too small where means have grown, and steps then overshoot: a log link wants it new."""
    if plan.family.name == "linear":
        return number == 1
    return plan.family.name == "poisson" or number in REFRESH or number % 2 == 0


def predictor(s: Session, rows: Rows, beta: Ring, plan: Plan) -> Ring:
    """X b [rows] with `ETA` fraction bits."""
    wide = combined(s, rows.columns, beta, "predictor")
    return truncate(s, wide, plan.family.x + BETA - ETA, "predictor.cut")


def _start(s: Session, rows: Rows, plan: Plan) -> tuple[Ring | None, Ring]:
    """(means, residuals) of the first iteration; None for means that all are what coefficients of 0 give.

    A log link starts from means halfway between the label and its average: from equal means its first step
    would overshoot. Rows of no one get values that meet only zeros.
    """
    f = plan.family
    if rows.start is not None:
        halves = rows.label + s.public_ring(np.full(rows.count, 1 << f.mean, np.uint64))
        return truncate(s, halves, 1, "start"), -rows.start
    mean = 1 << (f.mean - 1) if f.name == "logistic" else 0
    return None, s.public_ring(np.full(rows.count, mean, np.uint64)) - _label(rows, plan)


def _label(rows: Rows, plan: Plan) -> Ring:
    return rows.label.times(1 << plan.family.mean) if plan.family.label_bits == 1 else rows.label


def _fitted(s: Session, rows: Rows, beta: Ring, plan: Plan, number: int) -> tuple[Ring, Ring]:
    """(means, residuals) [rows]."""
    eta = predictor(s, rows, beta, plan)
    mean = mean_of(s, eta, plan, degree=9 if number == 2 else 47)
    return mean, mean - _label(rows, plan)


def mean_of(s: Session, eta: Ring, plan: Plan, degree: int = 47) -> Ring:
    """The inverse link of predictors [rows], with the family's fraction bits."""
    family = plan.family
    if family.name == "logistic":
        return sigmoid(s, eta, ETA, degree, family.mean, "sigmoid")
    if family.name == "poisson":
        return exponential(s, eta, ETA, family.mean, "exp")
    return truncate(s, eta, ETA - family.mean, "identity")


def _gradient(
    s: Session, rows: Rows, residual: Ring, beta: Ring, plan: Plan, penalty: Ring
) -> Ring:
    """X' residual / 2**scale + penalty b, [width, 1], with `GRADIENT` fraction bits."""
    f = plan.family
    cut = f.x + f.mean + scale_of(rows) - GRADIENT
    loss = mean_cross(s, rows.columns, residual.reshape(1, -1), plan.gradient_bits, cut, "gradient")
    short = truncate(s, beta, BETA - 20, "penalty.beta")
    return loss + truncate(
        s, matmul(s, penalty, short.reshape(-1, 1), "penalty"), 20, "penalty.cut"
    )


def _steer(
    s: Session, rows: Rows, mean: Ring | None, plan: Plan, penalty: Ring
) -> tuple[Ring, Ring]:
    """(inverse of the scaled curvature [width, width], the scale [1])."""
    f = plan.family
    heavy, cut = rows.columns, 2 * f.x + scale_of(rows) - MATRIX_BITS
    if mean is not None and f.name != "linear":
        if f.name == "logistic":
            mean = mean - product(s, mean, mean, f.mean, "weight")
        # A unit more: where labels are told apart perfectly, weights vanish, and steps would grow without end.
        unit = s.public_ring(np.ones(rows.count, np.uint64))
        weight = truncate(s, mean, f.mean - f.weight, "weight.cut") + unit
        heavy = weighted(s, rows.columns, weight, "weighted")
        cut += f.weight
    elif f.name == "logistic":
        cut += 2  # every row weighs 1/4
    curve = mean_gram(s, rows.columns, heavy, plan.curvature_bits, cut, "curve")
    curve = curve + truncate(s, penalty, GRADIENT - MATRIX_BITS, "curve.penalty")
    trace = Ring(np.trace(curve.left).reshape(1), np.trace(curve.right).reshape(1))
    scale = power_below(s, trace, MATRIX_BITS, _SCALE, _MOST_SCALE, "scale")
    scaled = product(s, curve, scale.reshape(1, 1), _SCALE, "scaled")
    floor = np.eye(plan.width, dtype=np.uint64) << np.uint64(MATRIX_BITS - FLOOR)
    return inverse(s, scaled + s.public_ring(floor), INVERSE_STEPS, "inverse"), scale


def _move(s: Session, slope: Ring, inverted: Ring, scale: Ring) -> Ring:
    """inverse * gradient [width], at most 16 each way."""
    scaled = product(s, slope, scale.reshape(1, 1), GRADIENT + _SCALE - BETA, "slope")
    wide = matmul(s, inverted, scaled, "move")
    move = truncate(s, wide.reshape(slope.size), INVERSE_BITS, "move.cut")
    return clip(s, move, -LONGEST_STEP, LONGEST_STEP, "move.clip")


def _settled(s: Session, record: Record, move: Ring, number: int) -> bool:
    least = s.public_ring(np.full(move.size, SETTLED, np.uint64))
    outside = sign_bit(s, join_elements([least + move, least - move]), "settled.sign")
    inside = s.invert(outside)
    return open_whether_all(
        s, record, Bits(inside.left, inside.right, 2 * move.size),
        f"whether the model had settled after {number} iterations", f"settled{number}",
    )  # fmt: skip


def scale_of(rows: Rows) -> int:
    """log2 of what sums over rows are divided by: public, at least the number of rows."""
    return max(6, math.ceil(math.log2(max(1, rows.count))))


def _penalty(s: Session, rows: Rows, plan: Plan) -> Ring:
    """Rows / 2**scale * the parties' penalties as one matrix [width, width], `GRADIENT` fraction bits."""
    left = np.zeros((plan.width, plan.width), np.uint64)
    right = np.zeros_like(left)
    first = 1
    for number, provider in enumerate(plan.providers):
        end = first + provider.columns
        block = receive_matrix(s, SEATS + number, provider.name, (provider.columns,) * 2)
        left[first:end, first:end], right[first:end, first:end] = block.left, block.right
        first = end
    share = rows.here.sum().reshape(1, 1).times(1 << PENALTY_SHARE)
    share = truncate(s, share, scale_of(rows), "penalty.share")
    return product(
        s, Ring(left, right), share, PENALTY + PENALTY_SHARE - GRADIENT, "penalty.scaled"
    )
