"""Vectors as fixed-point numbers, and how large they may be: a norm bound that leaves room for the sum.

A real x is round(x * 2**fraction), an integer modulo 2**64 (or 2**32, half the bytes). The fraction is the largest
for which the parts of all parties, noise included, add up without wrapping even if each is as large as `bounds`
lets a cheating party make it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hanse.errors import Fault
from hanse.gate.sums import MOST_LENGTH, WIDTHS, SumPolicy, Terms, Words

F64 = NDArray[np.float64]
SLACK = 4  # a cheating party's norm, in units of the bound (`bounds`)
_MOST_BITS = 48  # of the norm: a double has 53
_NOISE_REACH = 30  # deviations of noise that must not wrap


F = TypeVar("F", bound=Callable[..., Any])


def _compiled(function: F) -> F:
    compiled: Any = njit(cache=True, nogil=True, boundscheck=False)(function)
    return cast("F", compiled)


@_compiled
def _round(values: F64, factor: float, out: NDArray[Any]) -> None:
    for i in range(values.size):
        out[i] = np.int64(np.rint(values[i] * factor))


@_compiled
def _squares(values: F64) -> float:
    total = 0.0
    for i in range(values.size):
        total += values[i] * values[i]
    return total


def norm_of(vector: F64) -> float:
    """The Euclidean norm; NaN or infinite if an element is (or if it is beyond 1e150).

    Not by BLAS, whose threads spin after a call and take the processor from the other roles of a rehearsal.
    """
    return math.sqrt(_squares(np.ascontiguousarray(vector)))


@dataclass(frozen=True)
class Scale:
    """The terms of a sum, and 2**fraction by which reals were multiplied."""

    terms: Terms
    fraction: int

    @property
    def signed(self) -> np.dtype[Any]:
        """Elements in two's complement."""
        return np.dtype(f"<i{self.terms.width // 8}")

    def encode(self, vector: F64) -> Words:
        """Elements [length] of finite reals whose norm is within the bound."""
        out = np.empty(vector.size, self.signed)
        _round(np.ascontiguousarray(vector), 2.0**self.fraction, out)
        return out.view(self.terms.dtype)

    def decode(self, elements: Words) -> F64:
        """The reals that summed elements stand for."""
        return np.asarray(elements.view(self.signed) * 2.0**-self.fraction, np.float64)


def scale_of(policy: SumPolicy, name: str, length: int, norm: float, width: int) -> Scale:
    """The same at all parties, as it hangs on public values only; `Fault` where the numbers do not fit."""
    if width not in WIDTHS or not 1 <= length <= MOST_LENGTH:
        raise Fault("learn.sum", f"a sum of {length} elements of {width} bits cannot be made", where=name,
                    remedy=f"use 1 to {MOST_LENGTH} elements of 32 or 64 bits")  # fmt: skip
    if not (math.isfinite(norm) and norm > 0):
        raise Fault(
            "learn.norm", f"a norm bound of {norm} is none", where=name, remedy="give one above 0"
        )
    # 64-bit elements also keep a sum of all the largest entries a part can have from wrapping: `bounds` needs it.
    spread = length if width == 64 else 1
    room = (width - 1) - math.log2(max(_head(policy), 2 * SLACK * spread))
    fraction = math.floor(min(_MOST_BITS, room - 1) - math.log2(norm))
    limit = math.ceil(norm * 2.0**fraction + math.sqrt(length) / 2) + 1
    terms = Terms(name, length, width, limit)
    if not fits(policy, terms) or norm * 2.0**fraction < 64:
        raise Fault(
            "learn.norm", f"a norm of {norm:g} over {length} elements does not fit {width} bits", where=name,
            remedy="scale the vector down, or use 64 bits",
        )  # fmt: skip
    return Scale(terms, fraction)


def fits(policy: SumPolicy, terms: Terms) -> bool:
    """Whether no sum of parts within `SLACK` times the limit can wrap: seats check what parties ask for."""
    spread = terms.length if terms.width == 64 else 1
    room = 1 << (terms.width - 1)
    return terms.limit > 0 and terms.limit * max(_head(policy), 2.0 * SLACK * spread) < room


def _head(policy: SumPolicy) -> float:
    return max(8.0, SLACK * len(policy.parties) + _NOISE_REACH * policy.noise)


def clipped(vector: F64, norm: float) -> F64:
    """The vector, shortened to ``norm`` if it is longer."""
    length = norm_of(vector)
    return vector if length <= norm else vector * (norm / length)
