"""From a lift question's opened figures to its rows: post-processing only, at no privacy cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hanse.measure.intervals import Interval, count_interval, noise_half_width
from hanse.measure.lift.effects import (
    Estimate,
    Noised,
    Z,
    difference,
    mean_of,
    p_value,
    rate_of,
    relative,
    weighted,
)
from hanse.measure.lift.protocol import LiftPlan, Outcome
from hanse.measure.lift.release import ALL, Kind
from hanse.measure.lift.result import STANDARDISED, Against, LiftResult, LiftRow
from hanse.measure.tables import people

Range = tuple[float | None, float | None, float | None]
_NOTHING: Range = (None, None, None)
_ALONE = Against()


def result(p: LiftPlan, values: NDArray[np.int64], published: NDArray[np.bool_]) -> LiftResult:
    """The rows from the opened outputs [outputs]. Post-processing only: costs no privacy."""
    opened = _Opened(p, values, published)
    rows: list[LiftRow] = []
    left_out: set[str] = set()
    for outcome in p.question.outcomes:
        rows += _segment_rows(opened, outcome, ALL)
        if p.label is None:
            continue
        names = [*p.label.names, p.segments[0]]
        rows += _standardised(opened, outcome, names, left_out)
        rows += [row for name in names for row in _segment_rows(opened, outcome, name)]
    return LiftResult(
        p.control, p.question.randomised, tuple(rows), tuple(_notes(opened, rows, left_out))
    )


class _Opened:
    """The opened figures by name."""

    def __init__(
        self, p: LiftPlan, values: NDArray[np.int64], published: NDArray[np.bool_]
    ) -> None:
        self.p, self._values, self._published = p, values, published
        self._places = {(f.arm, f.segment, f.kind, f.outcome): i for i, f in enumerate(p.figures)}

    @property
    def arms(self) -> list[str]:
        """The control first."""
        return [self.p.control, *(a for a in self.p.names if a != self.p.control)]

    def place(self, arm: str, segment: str, kind: Kind, outcome: str = "") -> int:
        return self._places[arm, segment, kind, outcome]

    def shown(self, arm: str, segment: str) -> bool:
        return self.shown_output(self.place(arm, segment, "people"))

    def shown_output(self, place: int) -> bool:
        return bool(self._published[place])

    def figure(self, place: int) -> Noised:
        return Noised(float(self._values[place]), self.p.release.sd(place))

    def people(self, arm: str, segment: str) -> Noised:
        return self.figure(self.place(arm, segment, "people"))

    def total(self, arm: str, segment: str, outcome: Outcome) -> tuple[Noised, int]:
        """(people who have it or sum of values, its output)."""
        kind: Kind = "crowd" if outcome.column is None else "sum"
        place = self.place(arm, segment, kind, outcome.name)
        return self.figure(place), place

    def estimate(
        self, arm: str, segment: str, outcome: Outcome, pooled: float | None = None
    ) -> Estimate:
        total, _ = self.total(arm, segment, outcome)
        if outcome.column is None:
            return rate_of(self.people(arm, segment), total, pooled)
        square = self.figure(self.place(arm, segment, "square", outcome.name))
        return mean_of(self.people(arm, segment), total, square, self.most(outcome))

    def most(self, outcome: Outcome) -> int:
        valued = [o.name for o in self.p.question.outcomes if o.column is not None]
        return self.p.values[valued.index(outcome.name)].most

    def null_variance(self, arm: str, segment: str, outcome: Outcome) -> float:
        """Variance of the difference to the control if there were none (shares: at the pooled share)."""
        arms = (arm, self.p.control)
        pooled = None
        if outcome.column is None:
            having = sum(self.total(a, segment, outcome)[0].value for a in arms)
            whole = sum(self.people(a, segment).value for a in arms)
            pooled = min(1.0, max(0.0, having / max(1.0, whole)))
        return sum(self.estimate(a, segment, outcome, pooled).variance for a in arms)


def _segment_rows(opened: _Opened, outcome: Outcome, segment: str) -> Iterator[LiftRow]:
    """The control's row, then each other arm's with its difference."""
    p = opened.p
    control = (
        opened.estimate(p.control, segment, outcome) if opened.shown(p.control, segment) else None
    )
    for arm in opened.arms:
        place = opened.place(arm, segment, "people")
        if not opened.shown(arm, segment):
            yield _row(outcome, segment, arm, suppressed=p.release.why_suppressed(place))
            continue
        size = opened.people(arm, segment)
        mean = opened.estimate(arm, segment, outcome)
        against = _ALONE
        if arm != p.control and control is not None:
            found = difference(mean, control)
            p_of = p_value(found.mean, opened.null_variance(arm, segment, outcome))
            against = _against(found, relative(mean, control), p_of, size, outcome)
        yield _row(
            outcome, segment, arm, _around(size, count_interval(size.value, p.release, place)),
            _total(opened, arm, segment, outcome), _mean(mean, outcome), against,
        )  # fmt: skip


def _standardised(
    opened: _Opened, outcome: Outcome, segments: Sequence[str], left_out: set[str]
) -> Iterator[LiftRow]:
    """Differences within segments, weighed: per treated arm its standardised mean against the control's."""
    p = opened.p
    for arm in opened.arms[1:]:
        used = [s for s in segments if opened.shown(arm, s) and opened.shown(p.control, s)]
        left_out.update(set(segments) - set(used))
        if not used:
            why = f"no segment shows both {arm!r} and {p.control!r}"
            yield _row(outcome, STANDARDISED, arm, suppressed=why)
            continue
        sizes = [_weight(opened, arm, s) for s in used]
        whole = Noised(sum(n.value for n in sizes), math.hypot(*(n.sd for n in sizes)))
        weights = [n.value / whole.value for n in sizes]
        treated = [opened.estimate(arm, s, outcome) for s in used]
        control = [opened.estimate(p.control, s, outcome) for s in used]
        of_arm, of_control = weighted(treated, weights), weighted(control, weights)
        apart = of_arm.mean - of_control.mean
        # Weights are noised too: a person more in a segment pulls the total towards that segment's difference.
        extra = sum(
            ((t.mean - c.mean - apart) * n.sd / whole.value) ** 2
            for t, c, n in zip(treated, control, sizes, strict=True)
        )
        found = difference(of_arm, of_control, extra)
        null = extra + sum(
            w**2 * opened.null_variance(arm, s, outcome) for w, s in zip(weights, used, strict=True)
        )
        lift = relative(of_arm, of_control)
        yield _row(
            outcome, STANDARDISED, arm, (whole.value, *_NOTHING[1:]), _NOTHING, _mean(of_arm, outcome),
            _against(found, lift, p_value(found.mean, null), whole, outcome),
        )  # fmt: skip


def _weight(opened: _Opened, arm: str, segment: str) -> Noised:
    """The people by whom a segment is weighed."""
    treated = opened.people(arm, segment)
    if opened.p.question.weights == "treated":
        return treated
    control = opened.people(opened.p.control, segment)
    return Noised(treated.value + control.value, math.hypot(treated.sd, control.sd))


def _total(opened: _Opened, arm: str, segment: str, outcome: Outcome) -> Range:
    total, place = opened.total(arm, segment, outcome)
    half = noise_half_width(opened.p.release, place)
    around = Interval(max(0.0, total.value - half), max(0.0, total.value + half))
    return _around(Noised(max(0.0, total.value), total.sd), around)


def _around(figure: Noised, interval: Interval) -> Range:
    return figure.value, interval.low, interval.high


def _mean(mean: Estimate, outcome: Outcome) -> Range:
    """Cut to what a mean can be; differences use it as it came, so that they are not biased."""
    most = 1.0 if outcome.column is None else math.inf
    return tuple(min(most, max(0.0, x)) for x in (mean.mean, mean.low, mean.high))  # type: ignore[return-value]


def _against(found: Estimate, lift: Range, p_of: float, size: Noised, outcome: Outcome) -> Against:
    """Difference, relative lift, p-value and incremental total, with their intervals."""
    total = found.mean * size.value
    noise = Z * found.mean * size.sd
    low = total - math.hypot((found.mean - found.low) * size.value, noise)
    high = total + math.hypot((found.high - found.mean) * size.value, noise)
    most = 1.0 if outcome.column is None else math.inf  # no two shares differ by more than one
    all_of_them = most * size.value
    return Against(
        *_cut(most, found.mean, found.low, found.high),
        *lift,
        p_of,
        *_cut(all_of_them, total, low, high),
    )


def _cut(most: float, value: float, low: float, high: float) -> Range:
    """Within plus and minus ``most``."""
    return (
        min(most, max(-most, value)), min(most, max(-most, low)), min(most, max(-most, high)),
    )  # fmt: skip


def _row(
    outcome: Outcome, segment: str, arm: str, size: Range = _NOTHING, total: Range = _NOTHING,
    mean: Range = _NOTHING, against: Against = _ALONE, suppressed: str = "",
) -> LiftRow:  # fmt: skip
    kind = "share" if outcome.column is None else "value"
    return LiftRow(outcome.name, kind, segment, arm, *size, *total, *mean, *against, suppressed)


def _notes(opened: _Opened, rows: Sequence[LiftRow], left_out: set[str]) -> Iterator[str]:
    """What a reader must know beside the figures."""
    p = opened.p
    if p.question.randomised:
        yield "Chance alone put people into the arms, as the question declares: a difference is an effect."
    elif p.label is not None:
        yield (
            "People were not put into the arms by chance. Like is compared with like by "
            f"{p.label.column} only; what else differs between the groups stays in the difference."
        )
    else:
        yield (
            "People were not put into the arms by chance, and nothing was matched: a difference between the "
            "groups need not be an effect."
        )
    for i, figure in enumerate(p.figures):
        if figure.kind == "twice":
            count, shown = opened.figure(i), opened.shown_output(i)
            told_as = people(max(0.0, count.value)) if shown else "too few to tell"
            yield f"People in two arms, counted in none: {told_as}."
    if left_out:
        yield f"Not in the standardised total, since an arm is suppressed: {', '.join(sorted(left_out))}."
    for outcome in p.question.outcomes:
        if outcome.column is not None:
            yield _told_unit(outcome, opened)
    tests = sum(r.p_value is not None for r in rows)
    if tests > 1:
        yield f"{tests} comparisons: without any difference about {tests / 20:.1f} of them have p < 0.05."
    for reason in dict.fromkeys(r.suppressed for r in rows if r.suppressed):
        yield f"suppressed: {reason}."


def _told_unit(outcome: Outcome, opened: _Opened) -> str:
    unit = f"units of {outcome.unit:,}" if outcome.unit != 1 else "the column's units"
    return f"{outcome.name}: in {unit}, at most {opened.most(outcome):,} of them a person."
