"""What a lift question could see, before any budget is spent: the smallest lift, or the people it takes.

    design = Design(treated=20_000, control=20_000, epsilon=1.0, k=100)
    smallest_share_lift(design, 0.012).lift     # 0.0033: a rise from 1.2 % to 1.53 % is seen in 4 of 5 cases
    sizes_for_share_lift(design, 0.012, 0.002)  # how many people for a rise to 1.4 %

Pure arithmetic on what is planned; nothing is asked of anybody. The noise is the law of the very release that
`lift.plan` would make: the more outcomes and segments share one epsilon, the less can be seen of each.
Source: the usual two-sample formula (pooled variance under no difference, own variances under the lift), with
the noise's variance in both; people are spread evenly over segments, which are weighed alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist

from hanse.errors import Refusal
from hanse.gate.laws import noise_law
from hanse.gate.plan import ReleasePlan
from hanse.measure.lift.release import ALL, MOST_BITS, Figure, Kind, Value, release_of

MOST_PEOPLE = 1 << 36
SHOWN = 0.95  # sizes are told from which on a group is shown in so many cases
_STEPS = 100  # of bisection: more than a float can tell apart


@dataclass(frozen=True)
class Design:
    """A planned comparison of two arms: people per arm, and what is asked at once.

    ``segments`` split both arms evenly; ``shares`` is the number of 0/1 outcomes, ``caps`` the most that a person
    may count in each value outcome (in its units). ``noise`` False tells what would be seen without privacy.
    """

    treated: int
    control: int
    epsilon: float = 1.0
    k: int = 100
    segments: int = 1
    shares: int = 1
    caps: tuple[int, ...] = ()
    alpha: float = 0.05
    power: float = 0.8
    noise: bool = True

    def __post_init__(self) -> None:
        for wrong, what in (
            (min(self.treated, self.control) < 1, "each arm needs people"),
            (self.segments < 1 or self.shares < 0, "segments are at least 1, shares at least 0"),
            (self.shares + len(self.caps) < 1, "there is no outcome"),
            (any(not 1 <= cap < 1 << MOST_BITS for cap in self.caps),
             f"a cap is from 1 to {(1 << MOST_BITS) - 1:,} units"),
            (not 0 < self.alpha < 1 or not 0 < self.power < 1, "alpha and power are between 0 and 1"),
        ):  # fmt: skip
            if wrong:
                raise Refusal("power.design", f"the design cannot be reckoned: {what}",
                              remedy="correct this figure")  # fmt: skip

    @cached_property
    def _released(self) -> tuple[ReleasePlan, tuple[Figure, ...]]:
        names = [ALL] if self.segments == 1 else [str(i) for i in range(self.segments)]
        values = [Value(f"value{i}", cap.bit_length()) for i, cap in enumerate(self.caps)]
        release, figures = release_of(
            ("treated", "control"), names, [f"share{i}" for i in range(self.shares)], values,
            twice=True, epsilon=self.epsilon, k=self.k, noise=self.noise,
        )  # fmt: skip
        return release.checked(rehearsal=True), figures

    def output(self, kind: Kind, outcome: str = "") -> int:
        """The output of one figure of one arm and segment."""
        segment = ALL if self.segments == 1 else "0"
        return self._released[1].index(Figure("treated", segment, kind, outcome))

    def sd(self, kind: Kind, outcome: str = "") -> float:
        """Standard deviation of one figure's noise."""
        return self._released[0].sd(self.output(kind, outcome))

    @property
    def smallest_group(self) -> int:
        """People of the smaller arm in one segment."""
        return min(self.treated, self.control) // self.segments

    @property
    def threshold(self) -> int:
        """The noised people from which on a group is shown: k and a margin."""
        return int(self._released[0].thresholds()[self.output("people")])

    @property
    def chance_shown(self) -> float:
        """The probability that the smallest group is shown, not suppressed."""
        room = self.smallest_group - self.threshold
        if not self.noise:
            return 1.0 if room >= 0 else 0.0
        offset, law = noise_law(*self._released[0].spread(self.output("people")))
        return min(1.0, float(law[max(0, offset - room) :].sum()))


@dataclass(frozen=True)
class Visible:
    """The smallest lift that is seen with the design's power; None where none can be.

    ``relative`` is the lift by the control's share or mean, ``in_segment`` the smallest lift within one segment,
    ``noise_part`` the part of the difference's variance that is privacy noise.
    """

    lift: float | None
    relative: float | None
    in_segment: float | None
    noise_part: float
    threshold: int
    chance_shown: float


@dataclass(frozen=True)
class Sizes:
    """People needed per arm."""

    treated: int
    control: int


# Variance of one segment's mean, for people [n] and a mean: (sampling, noise).
_Law = Callable[[float, float], tuple[float, float]]


def smallest_share_lift(design: Design, share: float) -> Visible:
    """The smallest lift of a 0/1 outcome that ``share`` of the control have."""
    _check(0 <= share < 1, "the control's share is not from 0 to 1")
    _check(design.shares > 0, "the design has no 0/1 outcome")
    return _visible(design, share, 1.0 - share, _share_law(design), pooled=True)


def smallest_value_lift(design: Design, mean: float, sd: float, which: int = 0) -> Visible:
    """The smallest lift of a value's mean per person, which differs by about ``sd`` between people."""
    _check(which < len(design.caps), "the design has no such value outcome")
    _check(0 <= mean <= design.caps[which] and sd >= 0, "mean or sd is not within the cap")
    most = float(design.caps[which])
    return _visible(design, mean, most - mean, _value_law(design, sd, which), pooled=False)


def sizes_for_share_lift(design: Design, share: float, lift: float) -> Sizes | None:
    """People needed to see ``lift``, the design's ratio of arms kept; None if no number is enough."""
    return _sizes(design, lift, 1 - share, lambda d: smallest_share_lift(d, share))


def sizes_for_value_lift(
    design: Design, mean: float, sd: float, lift: float, which: int = 0
) -> Sizes | None:
    """As `sizes_for_share_lift`, of a value's mean per person."""
    room = design.caps[which] - mean if which < len(design.caps) else math.inf
    return _sizes(design, lift, room, lambda d: smallest_value_lift(d, mean, sd, which))


def _share_law(design: Design) -> _Law:
    whole, having = design.sd("people"), design.sd("crowd", "share0")
    rest = whole**2 - having**2  # disjoint cells make up the people

    def law(n: float, p: float) -> tuple[float, float]:
        return p * (1 - p) / n, ((1 - p) ** 2 * having**2 + p**2 * rest) / n**2

    return law


def _value_law(design: Design, sd: float, which: int) -> _Law:
    whole, total = design.sd("people"), design.sd("sum", f"value{which}")

    def law(n: float, mean: float) -> tuple[float, float]:
        return sd**2 / n, (total**2 + (mean * whole) ** 2) / n**2

    return law


def _visible(design: Design, base: float, room: float, law: _Law, *, pooled: bool) -> Visible:
    sizes = design.treated / design.segments, design.control / design.segments
    whole = 1.0 / design.segments  # of a segment's variance: that many means of equal weight
    lift = _smallest(design, base, room, law, sizes, whole, pooled=pooled)
    alone = _smallest(design, base, room, law, sizes, 1.0, pooled=pooled)
    sampling, noise = (sum(parts) for parts in zip(*(law(n, base) for n in sizes), strict=True))
    return Visible(
        lift,
        lift / base if lift is not None and base > 0 else None,
        alone,
        noise / (sampling + noise) if sampling + noise > 0 else 0.0,
        design.threshold,
        design.chance_shown,
    )


def _smallest(
    design: Design, base: float, room: float, law: _Law, sizes: tuple[float, float], part: float, *,
    pooled: bool,
) -> float | None:  # fmt: skip
    """The root of: lift = z(alpha) sd without a difference + z(power) sd with it."""
    normal = NormalDist()
    sure, power = normal.inv_cdf(1 - design.alpha / 2), normal.inv_cdf(design.power)
    treated, control = sizes

    def seen(lift: float) -> bool:
        middle = (treated * (base + lift) + control * base) / (treated + control)
        means = (middle, middle) if pooled else (base + lift, base)
        none = sum(sum(law(n, m)) for n, m in zip(sizes, means, strict=True))
        there = sum(law(treated, base + lift)) + sum(law(control, base))
        return lift >= sure * math.sqrt(part * none) + power * math.sqrt(part * there)

    if not seen(room):
        return None
    low, high = 0.0, room
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if seen(middle) else (middle, high)
    return high


def _sizes(
    design: Design, lift: float, room: float, visible: Callable[[Design], Visible]
) -> Sizes | None:
    _check(lift > 0, "the lift is not above zero")
    if lift > room:
        return None
    ratio = design.control / design.treated

    def of(treated: int) -> Design:
        return replace(design, treated=treated, control=max(1, round(treated * ratio)))

    def enough(treated: int) -> bool:
        found = visible(of(treated))
        return found.lift is not None and found.lift <= lift and found.chance_shown >= SHOWN

    low, high = 0, 1
    while not enough(high):
        low, high = high, 2 * high
        if high > MOST_PEOPLE:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    found = of(high)
    return Sizes(found.treated, found.control)


def _check(holds: bool, what: str) -> None:
    if not holds:
        raise Refusal(
            "power.design", f"the design cannot be reckoned: {what}", remedy="correct this figure"
        )
