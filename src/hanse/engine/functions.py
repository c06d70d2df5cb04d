"""Real functions of fixed-point shares: numbers from bits, clipping, polynomials, sigmoid, exponential.

A real x is round(x * 2**f) (`engine.fixed`); each function says which f it takes and gives, and holds every value
below 2**62, where `truncate` is right to the last place. Errors are worst cases over the declared range.
Reveals: nothing. Assumes: semi-honest seats, honest majority.
Source: Chebyshev series by baby and giant steps (Paterson and Stockmeyer 1973; in the Chebyshev basis, where no
value exceeds 1, Chen, Chillotti, Song 2019); conversion after Mohassel and Rindal 2018 ("ABY3", section 5.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev as series
from numpy.typing import NDArray

from hanse.engine.boolean import mux_step
from hanse.engine.compare import bits_of, ring_bits, sign_bit
from hanse.engine.costs import costs
from hanse.engine.fixed import truncate
from hanse.engine.multiply import multiply
from hanse.engine.session import Session
from hanse.engine.shares import U64, Bits, Ring, join_elements, words_for
from hanse.engine.slicing import planes_of, values_of
from hanse.errors import Fault

Coefficients = tuple[float, ...]
INNER = (
    28  # fraction bits inside a polynomial: products have 56, sums of a few units stay below 2**62
)
SIGMOID_REACH = 12  # beyond it the sigmoid is 6e-6 from 0 or 1, and is taken to be its value there
EXP_LOW, EXP_HIGH = -12, 8  # e**8 = 2981
_EXP_DIGITS = 5  # (EXP_HIGH - EXP_LOW) / ln 2 < 2**5


# --- numbers from bits, bounds ----------------------------------------------------------------------


@costs(rounds=65, bytes_per_item=16)
def ring_numbers(s: Session, x: Bits, step: str = "numbers") -> Ring:
    """Unsigned numbers of planes [bits, many, words], low bit first, as ring elements [many, rows].

    Components 0 and 1 are drawn, so that seat 0 knows their sum a; x - a is added up on bits (one AND a bit) and
    its planes are told to seats 1 and 2, whose component 2 it is: uniform to both, as each lacks a part of a.
    """
    bits, many, rows = x.shape[0], x.shape[1], x.rows
    drawn = [s.left.take(many * rows), s.right.take(many * rows)]
    shape = (64, many, words_for(rows))
    planes: U64 | None = None
    if s.seat == 0:
        planes = _planes(np.uint64(0) - drawn[0] - drawn[1], many, rows)
    a = Bits(*s.input_from(0, f"{step}.input", planes, shape, xor=True), rows)
    zero = np.zeros(shape[1:], np.uint64)
    nothing = Bits(zero, zero, rows)
    carry, not_a, total = nothing, s.invert(a), []
    for bit in range(64):
        digit = x[bit] if bit < bits else nothing
        total.append(a[bit] ^ digit ^ carry)
        if bit < 63:  # where a == x the carry becomes x: mux_step wants "differs"
            carry = mux_step(s, carry, not_a[bit], digit, f"{step}.{bit}")
    s.meter.rounds += 1
    if s.seat == 0:
        return Ring(drawn[0].reshape(many, rows), drawn[1].reshape(many, rows))
    # Seat 1 holds components 1 and 2 and needs 0, seat 2 holds 2 and 0 and needs 1.
    own = np.stack([t.left if s.seat == 1 else t.right for t in total])
    s.send(3 - s.seat, f"{step}.told", own)
    other = s.receive(3 - s.seat, f"{step}.told", shape)
    both = np.empty_like(own)
    for bit, t in enumerate(total):
        both[bit] = t.left ^ t.right ^ other[bit]
    known = _values(both, many, rows)
    mine = (drawn[0] if s.seat == 1 else drawn[1]).reshape(many, rows)
    return Ring(mine, known) if s.seat == 1 else Ring(known, mine)


def _planes(values: U64, many: int, rows: int) -> U64:
    parts = [planes_of(part, 64) for part in values.reshape(many, rows)]
    return np.stack(parts, axis=1) if parts else np.zeros((64, 0, words_for(rows)), np.uint64)


def _values(planes: U64, many: int, rows: int) -> U64:
    out = np.empty((many, rows), np.uint64)
    for number in range(many):
        out[number] = values_of(planes[:, number], rows)
    return out


@costs(rounds="3+8*few+64*many", bytes_per_item="64*few+32*many+32")
def clip(s: Session, x: Ring, low: int, high: int, step: str = "clip") -> Ring:
    """x, or the public bound it passes: low and high are in the units of the elements; |x| < 2**62."""
    flat = x.reshape(x.size)
    under, over = s.public_ring(low) - flat, s.public_ring(high) - flat
    outside = sign_bit(s, join_elements([-under, over]), step)
    flags = ring_bits(s, outside.reshape(1, -1), f"{step}.flags")[0]
    moved = multiply(s, flags, join_elements([under, over]), f"{step}.moved")
    return (flat + moved[: x.size] + moved[x.size :]).reshape(*x.shape)


@costs(rounds=3, bytes_per_item=24)
def product(s: Session, x: Ring, y: Ring, bits: int, step: str = "product") -> Ring:
    """x * y / 2**bits, elementwise, shapes broadcast; |x * y| < 2**62."""
    return truncate(s, multiply(s, x, y, step), bits, f"{step}.cut")


# --- polynomials ------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def stepping(terms: int) -> tuple[int, int]:
    """(baby steps b, giant steps g) with b * 2**g >= ``terms`` and the fewest products."""
    choices = [(max(1, -(-terms // (1 << g))), g) for g in range(8)]
    return min(choices, key=lambda c: (products_of(*c), c[1]))


def products_of(baby: int, giant: int) -> int:
    """Products of one evaluation: the babies past T_1, the giants past the first, the folds."""
    return max(0, baby - 1) + max(0, giant - 1) + (1 << giant) - 1


def levels_of(baby: int, giant: int) -> int:
    """Products that wait for one another in one evaluation."""
    return (math.ceil(math.log2(baby)) if baby > 1 else 0) + max(0, giant - 1) + giant


@costs(rounds="3*levels+2", bytes_per_item="24*products+16")
def chebyshev(
    s: Session, t: Ring, coefficients: Coefficients, out: int, step: str = "series"
) -> Ring:
    """The sum of c_j T_j(t) for t in [-1, 1] with `INNER` fraction bits; the result has ``out``.

    A series of 2b terms is a T_b + r, both of b terms, and so on down to b terms, which are sums of the T_j with
    public coefficients. `Fault` where a coefficient could pass the range.
    """
    baby, giant = stepping(len(coefficients))
    leaves = _divided(np.array(coefficients), baby, giant)  # [2**giant, baby]
    if np.abs(leaves).sum(axis=1).max() >= 1 << (62 - 2 * INNER):
        raise Fault("functions.range", "the coefficients of a polynomial are too large")
    powers = _babies(s, t, baby, f"{step}.baby")  # T_0 .. T_baby, [baby + 1, ...]
    scaled = np.rint(leaves * (1 << INNER)).astype(np.int64).view(np.uint64)
    values = [_combined(s, row, powers) for row in scaled]  # with 2 * INNER fraction bits
    step_of = powers[baby]
    for level in range(giant):
        if level:
            step_of = _doubled(s, step_of, f"{step}.giant{level}")
        above = truncate(s, _stacked(values[1::2]), INNER, f"{step}.cut{level}")
        folded = multiply(s, above, step_of[None], f"{step}.fold{level}")
        values = [folded[i] + low for i, low in enumerate(values[0::2])]
    return truncate(s, values[0], 2 * INNER - out, f"{step}.out")


def _divided(c: NDArray[np.float64], baby: int, giant: int) -> NDArray[np.float64]:
    """Rows of ``baby`` coefficients, low parts first, such that folding them by T_baby, T_2baby, ... gives c."""
    whole = np.zeros(baby << giant)
    whole[: c.size] = c
    parts = whole[None, :]
    for level in range(giant - 1, -1, -1):
        size = baby << level
        low, high = parts[:, :size].copy(), parts[:, size:].copy()
        low[:, 1:] -= high[:, :0:-1]  # T_(m+i) = 2 T_m T_i - T_(m-i)
        high[:, 1:] *= 2
        parts = np.stack([low, high], axis=1).reshape(-1, size)
    return parts


def _babies(s: Session, t: Ring, last: int, step: str) -> list[Ring]:
    """T_0 .. T_last: those up to 2k from those up to k in one product."""
    found: list[Ring] = [_constant(s, 1 << INNER, t), t]
    level = 0
    while len(found) <= last:
        known = len(found) - 1
        wanted = range(known + 1, min(2 * known, last) + 1)
        halves = [((n + 1) // 2, n // 2) for n in wanted]
        both = product(s, _stacked([found[a] for a, _ in halves]), _stacked([found[b] for _, b in halves]),
                       INNER - 1, f"{step}{level}")  # fmt: skip
        # T_a T_b * 2 - T_(a - b), and a - b is 0 or 1
        found += [both[i] - found[a - b] for i, (a, b) in enumerate(halves)]
        level += 1
    return found


def _doubled(s: Session, t: Ring, step: str) -> Ring:
    """T_2m = 2 T_m**2 - 1."""
    return product(s, t, t, INNER - 1, step) - _constant(s, 1 << INNER, t)


def _combined(s: Session, coefficients: U64, powers: list[Ring]) -> Ring:
    total = _constant(s, int(coefficients[0]) << INNER, powers[1])
    for c, power in zip(coefficients[1:].tolist(), powers[1:], strict=False):
        total = total + power.times(c)
    return total


def _constant(s: Session, value: int, like: Ring) -> Ring:
    one = s.public_ring(value)
    return Ring(np.broadcast_to(one.left, like.shape), np.broadcast_to(one.right, like.shape))


def _stacked(parts: list[Ring]) -> Ring:
    return Ring(np.stack([p.left for p in parts]), np.stack([p.right for p in parts]))


# --- sigmoid ----------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def sigmoid_series(degree: int) -> Coefficients:
    """q with sigmoid(12 t) = 1/2 + t q(2 t**2 - 1), of degree (degree - 1) / 2: an odd series in t."""

    def q(u: NDArray[np.float64]) -> NDArray[np.float64]:
        t = np.sqrt((u + 1) / 2)
        found: NDArray[np.float64] = np.tanh(SIGMOID_REACH * t / 2) / 2 / t
        return found

    return _interpolated(q, (degree - 1) // 2)


@costs(
    rounds="13+8*few+64*many+3*levels",
    bytes_per_item="64*few+32*many+32+16+24+24*products+16+24",
)
def sigmoid(
    s: Session, x: Ring, fraction: int, degree: int, out: int, step: str = "sigmoid"
) -> Ring:
    """1 / (1 + exp(-x)) with ``out`` fraction bits; x has ``fraction``, |x| < 2**(61 - fraction).

    x beyond ±12 counts as ±12. Sup error 5e-2 at degree 9, 3e-6 at degree 47 and 6e-6 past the reach.
    """
    x = clip(s, x, -SIGMOID_REACH << fraction, SIGMOID_REACH << fraction, f"{step}.clip")
    factor = round((1 << (2 * INNER - fraction)) / SIGMOID_REACH)
    t = truncate(s, x.times(factor), INNER, f"{step}.t")
    u = _doubled(s, t, f"{step}.u")
    q = chebyshev(s, u, sigmoid_series(degree), INNER, f"{step}.q")
    odd = product(s, t, q, 2 * INNER - out, f"{step}.odd")
    return odd + _constant(s, 1 << (out - 1), odd)


# --- exponential ------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def exp_series() -> Coefficients:
    """2**((t + 1) / 2) * exp(EXP_LOW) * 2**18 for t in [-1, 1]; relative error 2e-7."""
    scale = math.exp(EXP_LOW) * (1 << 18)
    return _interpolated(lambda t: scale * np.exp2((t + 1) / 2), 5)


def _interpolated(
    of: Callable[[NDArray[np.float64]], NDArray[np.float64]], degree: int
) -> Coefficients:
    """Through the function's values at Chebyshev's points of [-1, 1]."""
    fit: Any = series.chebinterpolate
    return tuple(fit(of, degree).tolist())


@costs(
    rounds="85+8*few+64*many+3*levels",
    bytes_per_item="64*few+32*many+32+16+16+40+32+24*products+16+24",
)
def exponential(s: Session, x: Ring, fraction: int, out: int, step: str = "exp") -> Ring:
    """exp(x) with ``out`` fraction bits; x, which has ``fraction``, counts as -12 below and as 8 above.

    x / ln 2 = whole + part: a product of (1 or 2**(2**i)) by the bits of the whole, times a polynomial of the part.
    """
    if not 8 <= fraction <= 24:
        raise Fault("functions.range", "exp takes 8 to 24 fraction bits")
    x = clip(s, x, EXP_LOW << fraction, EXP_HIGH << fraction, f"{step}.clip")
    raised = x - _constant(s, EXP_LOW << fraction, x)
    spare = 62 - fraction - (_EXP_DIGITS + 1)  # bits of the factor, so that the product fits
    factor = round((1 << (spare - 2)) / math.log(2))
    cut = fraction + spare - 2 - 24
    z = truncate(s, raised.times(factor), cut, f"{step}.z")
    z = z.reshape(z.size) + _constant(s, 2, z.reshape(z.size))  # never below 0 by rounding
    digits = bits_of(s, z, f"{step}.bits")[24 : 24 + _EXP_DIGITS]
    whole = ring_bits(s, digits, f"{step}.whole")  # [5, rows]
    weights = np.array([1 << (24 + i) for i in range(_EXP_DIGITS)], np.uint64)[:, None]
    part = z - whole.times(weights).sum(axis=0)  # 24 fraction bits, in [0, 1)
    t = part.times(1 << (INNER - 23)) - _constant(s, 1 << INNER, part)
    mantissa = chebyshev(s, t, exp_series(), 24, f"{step}.part")
    grow = np.array([(1 << (1 << i)) - 1 for i in range(_EXP_DIGITS)], np.uint64)[:, None]
    powers = whole.times(grow) + _constant(s, 1, whole)
    pairs = multiply(s, powers[0:4:2], powers[1:4:2], f"{step}.pairs")
    four = multiply(s, pairs[0], pairs[1], f"{step}.four")
    power = multiply(s, four, powers[4], f"{step}.power")
    return product(s, power, mantissa, 24 + 18 - out, f"{step}.out").reshape(*x.shape)


# --- the size of one number ---------------------------------------------------------------------------


@costs(rounds=10, bytes_per_item=4000)
def power_below(
    s: Session,
    x: Ring,
    fraction: int,
    least: int,
    most: int,
    step: str = "power",
    *,
    root: bool = False,
) -> Ring:
    """2**-(e + 1) with ``least`` fraction bits for a single x > 0 in [2**e, 2**(e + 1)); x has ``fraction``.

    So x times it is in [1/2, 1); with ``root`` the square root of x times it is. It is kept within 2**-least and
    2**most; of x = 0 it is 0.
    """  # fmt: skip
    limits = np.array([1 << i for i in range(62)], np.uint64)
    below = sign_bit(
        s, Ring(np.repeat(x.left, 62), np.repeat(x.right, 62)) - s.public_ring(limits), step
    )
    reached = ring_bits(s, s.invert(below).reshape(1, below.shape[-1]), f"{step}.reached")[0]
    wanted = [(fraction - i - 1) // 2 if root else fraction - i - 1 for i in range(62)]
    powers = np.array([1 << (min(most, max(-least, e)) + least) for e in wanted], np.uint64)
    powers[1:] -= powers[:-1].copy()  # of the highest limit reached all but its own power cancel
    return reached.times(powers).sum().reshape(1)
