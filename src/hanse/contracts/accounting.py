"""What several noisy answers cost together, and whether one more fits the budget.

*Source:* discrete Laplace noise at epsilon is pure epsilon-DP, hence (epsilon^2/2)-zCDP; rho adds
up, and rho-zCDP gives (rho + 2 sqrt(rho ln(1/delta)), delta)-DP (Bun and Steinke 2016, Propositions
1.3 and 1.4). Plain sums are better for few answers, so the smaller of the two counts.
*Assumes:* for what the seats see, each alignment is (epsilon, delta)-DP, which is delta-approximate
(epsilon^2/2)-zCDP; the deltas of the alignments add to the one used here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from hanse.errors import Fault

# Sums of decimal fractions miss their total by an ulp or so; this is no privacy anyone can measure.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Spend:
    """Epsilons already charged to one provider in one period, reserved ones included."""

    recipients: tuple[float, ...] = ()
    seats: tuple[float, ...] = ()


def composed(epsilons: Sequence[float], delta: float) -> float:
    """The epsilon, at ``delta``, of all these answers about the same people together."""
    rho = math.fsum(epsilon * epsilon for epsilon in epsilons) / 2
    by_zcdp = rho + 2 * math.sqrt(rho * math.log(1 / delta))
    return min(math.fsum(epsilons), by_zcdp)


def fits(epsilons: Sequence[float], budget: float, delta: float) -> bool:
    """Whether these answers together stay within ``budget``."""
    return composed(epsilons, delta) <= budget * (1 + _ROUNDING)


def largest_next(epsilons: Sequence[float], budget: float, delta: float) -> float:
    """The largest epsilon that one more answer may have; 0 when the budget is spent."""
    by_sum = budget - math.fsum(epsilons)
    rho = math.fsum(epsilon * epsilon for epsilon in epsilons) / 2
    log = math.log(1 / delta)
    # rho + 2 sqrt(rho log) = budget, solved for sqrt(rho).
    rho_budget = (math.sqrt(log + budget) - math.sqrt(log)) ** 2
    by_zcdp = math.sqrt(max(0.0, 2 * (rho_budget - rho)))
    return max(0.0, by_sum, by_zcdp)


def period_of(period: str, moment: datetime) -> str:
    """The budget period that ``moment`` falls in: ``"contract"``, or the calendar month in UTC."""
    if moment.tzinfo is None:
        raise Fault(
            "clock.naive",
            "a time without a time zone was given",
            remedy="pass times in UTC",
        )
    if period == "contract":
        return "contract"
    return moment.astimezone(UTC).strftime("%Y-%m")


def spread(epsilon: float, level: float = 0.95) -> int:
    """What noise at ``epsilon`` moves a count by at most, in people, with probability ``level``.

    The smallest t with P(abs(noise) <= t) >= level for two-sided geometric noise.
    """
    # P(abs(noise) > t) = 2 a^(t+1) / (1+a) with a = e^-epsilon.
    beyond = (1 - level) * (1 + math.exp(-epsilon)) / 2
    return max(0, math.ceil(-math.log(beyond) / epsilon - 1))
