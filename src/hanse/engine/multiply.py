"""Products over Z_2^64: elementwise, dot and matrix products, each one resharing.

Reveals: nothing. Assumes: semi-honest seats, honest majority.
Source: Araki et al. 2016, section 2.3 (replicated sharing over a ring; our pair is (i, i+1)).
"""

from __future__ import annotations

import numpy as np

from hanse.engine import kernels
from hanse.engine.boolean import flat
from hanse.engine.costs import costs
from hanse.engine.session import Session
from hanse.engine.shares import U64, Ring


def reshare(s: Session, z: U64, step: str) -> Ring:
    """Turn additive parts that are already masked into a replicated share."""
    return Ring(z, s.pass_left(step, z))


def _masked(s: Session, part: U64) -> U64:
    part += s.left.take(part.size).reshape(part.shape)
    part -= s.right.take(part.size).reshape(part.shape)
    return part


@costs(rounds=1, bytes_per_item=8)
def multiply(s: Session, x: Ring, y: Ring, step: str = "multiply") -> Ring:
    """x * y, elementwise, shapes broadcast."""
    shape = np.broadcast_shapes(x.shape, y.shape)

    z = np.empty(int(np.prod(shape)), np.uint64)
    masks = s.left.take(z.size), s.right.take(z.size)
    kernels.multiply_local(
        flat(x.left, shape),
        flat(x.right, shape),
        flat(y.left, shape),
        flat(y.right, shape),
        *masks,
        z,
    )
    return reshare(s, z.reshape(shape), step)


@costs(rounds=1, bytes_per_item="8/rows")
def dot(s: Session, x: Ring, y: Ring, step: str = "dot") -> Ring:
    """Sum of x * y along the last axis: one element travels per sum, whatever its length."""
    shape = np.broadcast_shapes(x.shape, y.shape)

    def rows(part: U64) -> U64:
        row: U64 = flat(part, shape)
        return row.reshape(-1, shape[-1])

    part = np.empty(int(np.prod(shape[:-1])), np.uint64)
    kernels.dot_local(rows(x.left), rows(x.right), rows(y.left), rows(y.right), part)
    return reshare(s, _masked(s, part.reshape(shape[:-1])), step)


@costs(rounds=1, bytes_per_item="8")
def matmul(s: Session, x: Ring, y: Ring, step: str = "matmul") -> Ring:
    """x @ y for x [n, m] and y [m, p]: n*p elements travel."""
    out = np.empty((x.shape[0], y.shape[1]), np.uint64)
    kernels.matmul_local(
        np.ascontiguousarray(x.left),
        np.ascontiguousarray(x.right),
        np.ascontiguousarray(y.left.T),
        np.ascontiguousarray(y.right.T),
        out,
    )
    return reshare(s, _masked(s, out), step)
