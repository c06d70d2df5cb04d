"""Addition of secret numbers on bit planes.

Reveals: nothing. Assumes: semi-honest seats, honest majority.
Source: the ripple-carry adder with one AND a bit (Boyar and Peralta 2005): the next carry is the majority of both
digits and the carry.
"""

from __future__ import annotations

import numpy as np

from hanse.engine.boolean import mux_step
from hanse.engine.costs import costs
from hanse.engine.session import Session
from hanse.engine.shares import Bits, join_planes, stack


@costs(rounds="bits", bytes_per_item="bits/8")
def add_bits(s: Session, x: Bits, y: Bits, step: str = "add") -> Bits:
    """x + y for planes [bits, ..., words], low bit first, with the carry on top: planes [bits + 1, ..., words]."""
    zero = np.zeros(x.shape[1:], np.uint64)
    carry = Bits(zero, zero, x.rows)
    total = x ^ y
    not_x = s.invert(x)  # where x == y the carry becomes y: mux_step wants "differs"
    carries = [carry]
    for bit in range(x.shape[0]):
        carry = mux_step(s, carry, not_x[bit], y[bit], f"{step}.{bit}")
        carries.append(carry)
    low = total ^ stack(carries[:-1])
    return join_planes([low, stack(carries[-1:])])


@costs(rounds="log2numbers*bits", bytes_per_item="numbers*bits/8")
def add_many(s: Session, x: Bits, step: str = "add-many") -> Bits:
    """The sum of all numbers in planes [bits, numbers, words]: planes [bits + ceil(log2(numbers)), words].

    A tree; neighbours are added side by side. ``bits`` in the cost is the width of the sum.
    """
    level = 0
    while x.shape[1] > 1:
        count, half = x.shape[1], x.shape[1] // 2
        added = add_bits(s, x[:, :half], x[:, half : 2 * half], f"{step}.{level}")
        x = added if count % 2 == 0 else _beside(added, x[:, 2 * half :])
        level += 1
    return x[:, 0]


def _beside(x: Bits, y: Bits) -> Bits:
    """Numbers of [bits, n, words] followed by those of narrower planes [bits - 1, m, words]."""
    zero = np.zeros((1, *y.shape[1:]), np.uint64)
    left = np.concatenate([x.left, np.concatenate([y.left, zero])], axis=1)
    right = np.concatenate([x.right, np.concatenate([y.right, zero])], axis=1)
    return Bits(left, right, x.rows)
