"""AND on bit-sliced XOR shares, and what is made of it: OR, select, trees, ripples.

Reveals: nothing. Assumes: semi-honest seats, honest majority.
Source: Araki et al. 2016, section 2.2 (boolean replicated sharing; our pair is (i, i+1)).
"""

from __future__ import annotations

import numpy as np

from hanse.engine import kernels
from hanse.engine.costs import costs
from hanse.engine.masks import room
from hanse.engine.session import Session
from hanse.engine.shares import U64, Bits, join_planes, trimmed


def reshare(s: Session, z: U64, step: str, shape: tuple[int, ...], rows: int) -> Bits:
    """Turn an XOR-additive part (flat, from `masks.room`) into a replicated share.

    Both streams are XORed on *before* the part leaves: the three masks cancel, and each message is
    uniform to its reader. This and `multiply.reshare` are the only places where products travel.
    """
    s.left.onto(z)
    s.right.onto(z)
    right = s.pass_left(step, z)
    return Bits(z.reshape(shape), right.reshape(shape), rows)


def flat(x: U64, shape: tuple[int, ...]) -> U64:
    """``x`` broadcast to ``shape`` as one contiguous, writable row (kernels compile once for each kind)."""
    if x.shape == shape:
        return np.ascontiguousarray(x).reshape(-1)
    return np.broadcast_to(x, shape).reshape(-1).copy()


@costs(rounds=1, bytes_per_item="planes/8")
def and_(s: Session, x: Bits, y: Bits, step: str = "and") -> Bits:
    """x & y, plane by plane; leading axes broadcast."""
    shape = np.broadcast_shapes(x.shape, y.shape)
    z = room(int(np.prod(shape)))
    kernels.and_local(
        flat(x.left, shape), flat(x.right, shape), flat(y.left, shape), flat(y.right, shape), z
    )
    return reshare(s, z, step, shape, x.rows)


@costs(rounds=1, bytes_per_item="planes/8")
def or_(s: Session, x: Bits, y: Bits, step: str = "or") -> Bits:
    """x | y = x ^ y ^ (x & y)."""
    return x ^ y ^ and_(s, x, y, step)


@costs(rounds=1, bytes_per_item="planes/8")
def choose(s: Session, condition: Bits, yes: Bits, no: Bits, step: str = "choose") -> Bits:
    """``yes`` where the condition bit is 1, else ``no``; the condition broadcasts over planes."""
    return no ^ and_(s, condition, yes ^ no, step)


@costs(rounds=1, bytes_per_item="planes/8")
def mux_step(s: Session, c: Bits, x: Bits, y: Bits, step: str) -> Bits:
    """c where x == y, else y: the step of a ripple comparison (and, with y = c', of a carry)."""
    z = room(int(np.prod(c.shape)))
    kernels.mux_step(
        flat(c.left, c.shape),
        flat(c.right, c.shape),
        flat(x.left, c.shape),
        flat(x.right, c.shape),
        flat(y.left, c.shape),
        flat(y.right, c.shape),
        z,
    )
    return c ^ reshare(s, z, step, c.shape, c.rows)


def _tree(s: Session, x: Bits, step: str, *, use_or: bool) -> Bits:
    """Fold the first axis pairwise with AND or OR: ceil(log2(planes)) rounds, planes - 1 gates."""
    level = 0
    while x.shape[0] > 1:
        half = x.shape[0] // 2
        name = f"{step}.{level}"
        gate = or_ if use_or else and_
        folded = gate(s, x[:half], x[half : 2 * half], name)
        x = join_planes([folded, x[2 * half :]]) if x.shape[0] % 2 else folded
        level += 1
    return x[0]


@costs(rounds="log2planes", bytes_per_item="planes/8")
def all_planes(s: Session, x: Bits, step: str = "all") -> Bits:
    """AND over the first axis."""
    return _tree(s, x, step, use_or=False)


@costs(rounds="log2planes", bytes_per_item="planes/8")
def any_plane(s: Session, x: Bits, step: str = "any") -> Bits:
    """OR over the first axis."""
    return _tree(s, x, step, use_or=True)


@costs(rounds="log2words+6", bytes_per_item="1/8+48/rows")
def all_rows(s: Session, x: Bits, step: str = "all-rows") -> Bits:
    """AND over all rows of one plane [words]: a single row is left. About 1 bit a row, log2 rounds.

    Rows past ``rows`` count as true.
    """
    if x.rows == 0:
        return s.public_bits(np.ones(1, np.uint64), 1)
    kept = trimmed(x)
    left, right = kept.left, kept.right
    spare = -x.rows % 64
    if spare:  # undefined bits become the public constant 1, carried by component 0
        beyond = ~np.uint64((1 << (64 - spare)) - 1)
        if s.seat == 0:
            left[-1] |= beyond
        if s.seat == 2:
            right[-1] |= beyond
    folded = all_planes(s, Bits(left[:, None], right[:, None], 64), f"{step}.words")
    for level, shift in enumerate((32, 16, 8, 4, 2, 1)):
        move = np.uint64(shift)
        other = Bits(folded.left >> move, folded.right >> move, 64)
        folded = and_(s, folded, other, f"{step}.bits{level}")
    return Bits(folded.left, folded.right, 1)


@costs(rounds="bits", bytes_per_item="values/8+bits/8")
def one_hot(s: Session, code: Bits, values: int, step: str = "one-hot") -> Bits:
    """Planes [values, words]: plane v is 1 where the code (planes [bits, words], low bit first) is v.

    Built bit by bit, from the top: each known prefix splits in two with one AND (the other half is an
    XOR), so about ``values`` ANDs in ``bits`` rounds. Codes of ``values`` and above light no plane.
    """
    bits = code.shape[0]
    words = code.shape[-1]
    ones = s.public_bits(np.full((1, words), ~np.uint64(0)), code.rows)
    prefixes = ones
    for level in range(bits):
        bit = code[bits - 1 - level]
        # Only prefixes that can still lead to a value below `values` are kept.
        below = -(-values // (1 << (bits - level)))
        prefixes = prefixes[: max(1, below)]
        one = and_(s, prefixes, bit.reshape(1, words), f"{step}.{level}")
        zero = prefixes ^ one
        count = prefixes.shape[0]
        left = np.stack([zero.left, one.left], axis=1).reshape(2 * count, words)
        right = np.stack([zero.right, one.right], axis=1).reshape(2 * count, words)
        prefixes = Bits(left, right, code.rows)
    return prefixes[:values]
