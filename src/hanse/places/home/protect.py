"""Minimum counts and noise, at home, before an aggregate is used for anything.

Noise is discrete Laplace, exact up to 2**-58: a geometric variable has independent binary digits, so a value is the
difference of two rows of biased coins, each 64 bits of the operating system's generator under a public threshold
(`hanse.engine.noise`, here in the clear at its owner). Values are integers, so no floating point leaks its last
digits (Mironov 2012). The minimum count is judged on the noised value, so it costs nothing more and tells nothing
sharp: a cell is shown if there are surely at least ``k`` people behind it, whatever the noise was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.engine.noise import coin_thresholds
from hanse.entropy import Entropy, SystemEntropy
from hanse.errors import Fault

_AT_ONCE = 1 << 16  # cells
_GRAINS = 16  # of a person's most: so finely values are rounded
LEAST_K = 5


@dataclass(frozen=True)
class Protection:
    """``k`` people at least in a cell; ``epsilon`` is spent on one person's day, over all that is counted of it.

    ``sure`` is how sure it must be that there are ``k``: of empty cells at most 1 - ``sure`` are shown.
    """

    k: int = 20
    epsilon: float = 1.0
    sure: float = 0.999

    def __post_init__(self) -> None:
        if self.k < LEAST_K or not 0 < self.epsilon <= 8 or not 0.5 < self.sure < 1:
            raise Fault(
                "protection.limits",
                f"k below {LEAST_K}, epsilon outside 0..8 or sure outside 0.5..1",
                remedy="choose k of at least 5 and epsilon of at most 8",
                where="protection",
            )


def discrete_laplace(
    epsilon: float, count: int, entropy: Entropy | None = None
) -> NDArray[np.int64]:
    """``count`` draws with P(x) proportional to exp(-epsilon * |x|)."""
    source = entropy or SystemEntropy()
    thresholds = np.array(coin_thresholds(epsilon), np.uint64)
    powers = np.int64(1) << np.arange(thresholds.size, dtype=np.int64)
    out = np.empty(count, np.int64)
    for first in range(0, count, _AT_ONCE):
        size = min(_AT_ONCE, count - first)
        bits = np.frombuffer(source.take(16 * size * thresholds.size), "<u8")
        coins = bits.reshape(2, size, thresholds.size) < thresholds
        values = coins @ powers
        out[first : first + size] = values[0] - values[1]
    return out


def protected(
    value: NDArray[np.float64],
    rules: Protection,
    *,
    places_a_day: int,
    most: float,
    person: float,
    entropy: Entropy | None = None,
) -> NDArray[np.float64]:
    """``value`` [cells] noised and rounded, not a number where fewer than ``k`` people may be behind it.

    A person moves at most ``places_a_day`` cells of a day, each by at most ``most``; ``person`` is what one usually
    adds, so that ``k`` people are ``k * person``.
    """
    unit = most / _GRAINS
    whole = np.rint(np.asarray(value, np.float64) / unit).astype(np.int64)
    # One step more than a person moves a cell: rounding may add one.
    step = rules.epsilon / places_a_day / (_GRAINS + 1)
    noised = (whole + discrete_laplace(step, whole.size, entropy)) * unit
    margin = float(np.log(0.5 / (1 - rules.sure))) * scale(rules, places_a_day, most)
    return np.where(noised >= rules.k * person + margin, noised, np.nan)


def scale(rules: Protection, places_a_day: int, most: float) -> float:
    """The scale of the noise of a value; its standard deviation is sqrt(2) times this."""
    return most * places_a_day * (_GRAINS + 1) / (rules.epsilon * _GRAINS)
