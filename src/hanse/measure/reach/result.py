"""Reach and frequency as their recipient reads them: k+ reach, histogram, average frequency, added reach."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanse.measure.consistency import consistent
from hanse.measure.intervals import CONFIDENCE, Interval, noise_half_width, rate_interval
from hanse.measure.reach.picture import reach_picture
from hanse.measure.reach.protocol import ALL, Kind, Output, ReachPlan
from hanse.measure.tables import SUPPRESSED, number, people, percent, told
from hanse.tables import Table

Rate = tuple[float | None, float | None, float | None]
NOTHING: Rate = (None, None, None)


@dataclass(frozen=True)
class ReachRow:
    """One figure; None where suppressed.

    ``kind``: reach (at least ``times`` contacts), frequency (exactly ``times``; the last: or more), universe, added
    (reached by ``exposure`` and none before it), together (by any up to ``exposure``). ``share`` is of the
    universe, ``part`` of everybody reached (added and together only).
    """

    kind: str
    segment: str
    exposure: str
    times: int | None
    people: int | None
    low: float | None
    high: float | None
    share: float | None
    share_low: float | None
    share_high: float | None
    part: float | None
    part_low: float | None
    part_high: float | None
    suppressed: str  # "" or why

    def body(self) -> dict[str, Any]:
        return dict(self.__dict__)


@dataclass(frozen=True)
class Average:
    """Contacts per person reached; more than ``most`` count as ``most``. None where suppressed.

    The interval holds the noise, and that people are a sample of how such people are reached.
    """

    segment: str
    value: float | None
    low: float | None
    high: float | None
    most: int

    def body(self) -> dict[str, Any]:
        return dict(self.__dict__)


_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("kind", "segment", "exposure")]
    + [("times", pa.int64()), ("people", pa.int64())]
    + [
        (name, pa.float64())
        for name in ("low", "high", "share", "share_low", "share_high", "part", "part_low", "part_high")
    ]
    + [("suppressed", pa.string())]
)  # fmt: skip


@dataclass(frozen=True)
class ReachResult:
    """All figures: everybody first, then each segment; then added reach in the question's order."""

    rows: tuple[ReachRow, ...]
    averages: tuple[Average, ...]

    def row(
        self, kind: str, times: int | None = None, segment: str = ALL, exposure: str = ""
    ) -> ReachRow:
        """One row. KeyError if there is none."""
        for row in self.rows:
            if (row.kind, row.times, row.segment, row.exposure) == (kind, times, segment, exposure):
                return row
        raise KeyError((kind, times, segment, exposure))

    def of(self, kind: str, segment: str = ALL) -> tuple[ReachRow, ...]:
        """The rows of one kind in a segment, in order."""
        return tuple(r for r in self.rows if (r.kind, r.segment) == (kind, segment))

    def average(self, segment: str = ALL) -> Average:
        """Contacts per person reached. KeyError if there is no such segment."""
        for average in self.averages:
            if average.segment == segment:
                return average
        raise KeyError(segment)

    def to_arrow(self) -> pa.Table:
        """One row per figure; the columns are `ReachRow`'s, null where suppressed."""
        return pa.Table.from_pylist([row.body() for row in self.rows], schema=_SCHEMA)

    def to_svg(self, segment: str = ALL) -> str:
        """Reach curve and frequency histogram of a segment, as SVG text."""
        return reach_picture(self.of("reach", segment), self.of("frequency", segment))

    def tables(self) -> tuple[Table, ...]:
        """What to print: frequencies of everybody, segments, added reach."""
        found = [self._frequencies()]
        if len(self.averages) > 1:
            found.append(self._segments())
        if self.of("added"):
            found.append(self._order())
        return tuple(found)

    def notes(self) -> tuple[str, ...]:
        """Sentences beside the tables: average frequency, what is cut, why figures are suppressed."""
        found = []
        everybody = self.averages[0]
        if everybody.value is not None:
            around = number(everybody.value, everybody.low, everybody.high, 2)
            found.append(
                f"average frequency: {around} contacts a person reached; more than {everybody.most} count "
                f"as {everybody.most}"
            )
        reasons = (r.suppressed.partition(" (")[0] for r in self.rows if r.suppressed)
        found += dict.fromkeys(f"{SUPPRESSED}: {reason}" for reason in reasons)
        return tuple(found)

    def __str__(self) -> str:
        return told(self.tables(), self.notes())

    def body(self) -> dict[str, Any]:
        """Plain values for storage and the wire."""
        return {
            "computation": "reach",
            "tables": [table.body() for table in self.tables()],
            "notes": list(self.notes()),
            "rows": [row.body() for row in self.rows],
            "averages": [average.body() for average in self.averages],
        }

    def _frequencies(self) -> Table:
        reach, exact = self.of("reach"), self.of("frequency")
        shared = any(r.share is not None for r in reach)
        heads: tuple[str, ...] = ("contacts", "people", "at least so many")
        lines = []
        for once, atleast in zip(exact, reach, strict=True):
            times = f"{once.times}" if once is not exact[-1] else f"{once.times} or more"
            line = [times, _count(once), _count(atleast)]
            if shared:
                line.append(_share(atleast))
            lines.append(tuple(line))
        if shared:
            heads += ("of the universe",)
        return Table("Reach and frequency", heads, tuple(lines), tuple(range(1, len(heads))))

    def _segments(self) -> Table:
        shared = any(r.share is not None for r in self.rows if r.segment != ALL)
        heads: tuple[str, ...] = ("segment", "people reached")
        heads += (("of the universe",) if shared else ()) + ("average frequency", "counted up to")
        lines = []
        for average in self.averages:
            reached = self.row("reach", 1, average.segment)
            named = "everybody" if average.segment == ALL else average.segment
            line = [named, _count(reached)]
            if shared:
                line.append(_share(reached))
            line.append(number(average.value, average.low, average.high, 2) or SUPPRESSED)
            line.append(str(average.most or ""))
            lines.append(tuple(line))
        return Table("By segment", heads, tuple(lines), tuple(range(1, len(heads))))

    def _order(self) -> Table:
        lines = tuple(
            (
                added.exposure, _count(added), _count(together),
                percent(together.part, together.part_low, together.part_high) or SUPPRESSED,
            )
            for added, together in zip(self.of("added"), self.of("together"), strict=True)
        )  # fmt: skip
        heads = ("exposure", "adds", "reach so far", "of all reached")
        return Table("Added reach, in this order", heads, lines, (1, 2, 3))


def _count(row: ReachRow) -> str:
    return people(row.people, row.low, row.high)


def _share(row: ReachRow) -> str:
    return percent(row.share, row.share_low, row.share_high) or SUPPRESSED


# --- from the opened outputs ------------------------------------------------------------------------


def result(p: ReachPlan, values: NDArray[np.int64], published: NDArray[np.bool_]) -> ReachResult:
    """The figures from the opened outputs [outputs]. Post-processing only: costs no privacy."""
    at = {output: i for i, output in enumerate(p.outputs)}
    segments = dict.fromkeys(o.segment for o in p.outputs)
    opened, surer = _reconciled(p, at, values, published)
    shown, _ = _reconciled(p, at, consistent(p.release, values, published), published)
    return ReachResult(
        tuple(_row(p, at, o, opened, shown, surer, published) for o in p.outputs),
        tuple(_average(p, at, segment, shown, published) for segment in segments),
    )


def _reconciled(
    p: ReachPlan, at: dict[Output, int], values: NDArray[np.int64], published: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(values, by which their noise's deviation shrinks): both blocks count the people reached, now alike.

    Least squares: the two totals meet where the surer one has more weight, and each block's difference to that is
    spread over its cells evenly. Without both totals nothing changes.
    """
    surer = np.ones(values.shape)
    last = at.get(Output("together", ALL, len(p.counts) - 1))
    every = at[Output("reach", ALL, 1)]
    if last is None or not (published[every] and published[last] and p.release.noise):
        return values, surer
    variances = np.array([p.release.sd(i) for i in (every, last)]) ** 2
    apart = float(values[last] - values[every])
    found = values.astype(float)
    for i, output in enumerate(p.outputs):
        own = int(output.kind in ("added", "together"))
        total = (every, last)[own]
        yields = variances[own] / variances.sum()
        # A universe holds people who were not reached, too.
        shared = np.isin(p.release.sums.member(i), p.release.sums.member(total)).sum()
        part = shared / p.release.sums.sizes[total]
        found[i] += part * yields * (-apart if own else apart)
        surer[i] = math.sqrt(1 - part * yields * shared / p.release.sums.sizes[i])
    return _added_up(at, np.where(published, np.rint(found), 0).astype(np.int64), published), surer


def _added_up(
    at: dict[Output, int], values: NDArray[np.int64], published: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Whole numbers that add up after rounding: single figures are differences of the sums that are told."""
    told = values.copy()
    for output, i in at.items():
        if output.kind not in ("added", "frequency"):
            continue
        of: Kind = "together" if output.kind == "added" else "reach"
        beside = output.times - 1 if output.kind == "added" else output.times + 1
        more, less = (
            at[Output(of, output.segment, output.times)],
            at.get(Output(of, output.segment, beside)),
        )
        if less is not None and published[[i, more, less]].all():
            told[i] = values[more] - values[less]
    return told


def _row(
    p: ReachPlan, at: dict[Output, int], output: Output, opened: NDArray[np.int64],
    shown: NDArray[np.int64], surer: NDArray[np.float64], published: NDArray[np.bool_],
) -> ReachRow:  # fmt: skip
    """A figure as it is ``shown``; its interval is around what was ``opened``."""
    i = at[output]
    ordered = output.kind in ("added", "together")
    named = p.question.exposures[output.times].called if ordered else ""
    times = None if ordered or output.kind == "universe" else output.times
    head = output.kind, output.segment, named, times
    if not published[i]:
        return ReachRow(*head, None, None, None, *NOTHING, *NOTHING, p.release.why_suppressed(i))
    count, middle = int(shown[i]), int(opened[i])
    half = float(np.rint(noise_half_width(p.release, i) * surer[i]))
    around = Interval(max(0.0, middle - half), middle + half).holding(count)
    low, high = around.low, around.high
    share, part = NOTHING, NOTHING
    if isinstance(p.question.universe, int) and output.segment == ALL:
        share = _of_number(count, low, high, p.question.universe)
    elif p.universe is not None and not ordered:
        share = _rate(p, opened, shown, published, i, at[Output("universe", output.segment, 0)])
    if ordered:
        last = Output("together", ALL, len(p.counts) - 1)
        part = _rate(p, opened, shown, published, i, at[last])
    return ReachRow(*head, count, low, high, *share, *part, "")


def _of_number(count: float, low: float, high: float, universe: int) -> Rate:
    share, least, most = (min(1.0, max(0.0, x / universe)) for x in (count, low, high))
    return share, least, most


def _rate(
    p: ReachPlan, opened: NDArray[np.int64], shown: NDArray[np.int64], published: NDArray[np.bool_],
    part: int, whole: int,
) -> Rate:  # fmt: skip
    """(rate, low, high) of one output in another that holds all its cells; Nones if either is suppressed."""
    if not published[whole]:
        return NOTHING
    part_sd, whole_sd = p.release.sd(part), p.release.sd(whole)
    rest_sd = math.sqrt(max(0.0, whole_sd**2 - part_sd**2))
    a, b = int(shown[part]), int(shown[whole])
    rate = min(1.0, max(0.0, a / b)) if b > 0 else 0.0
    around = rate_interval(int(opened[part]), int(opened[whole]), part_sd, rest_sd).holding(rate)
    return rate, around.low, around.high


def _average(
    p: ReachPlan, at: dict[Output, int], segment: str,
    values: NDArray[np.int64], published: NDArray[np.bool_],
) -> Average:  # fmt: skip
    """Contacts a person from the k+ reaches that are published: their sum over 1+ reach.

    An average r fits if (A - r B)^2 <= z^2 (noise of A - r B + B variance), as Fieller 1954 does: A and B are sums
    of the same noised cells, and the people in them are a sample.
    """
    reaches = [at[Output("reach", segment, k)] for k in range(1, p.most + 1)]
    shown = [bool(published[i]) for i in reaches]
    most = shown.index(False) if False in shown else p.most
    if most == 0:
        return Average(segment, None, None, None, 0)
    found = np.array([values[i] for i in reaches[:most]], float)
    levels = np.arange(1, most + 1)
    contacts, reached = float(found.sum()), float(found[0])
    if reached <= 0:
        return Average(segment, None, None, None, 0)
    average = min(float(most), max(1.0, contacts / reached))
    spread = max(0.0, float(((2 * levels - 1) * found).sum()) / reached - (contacts / reached) ** 2)
    z2 = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) ** 2
    # The noise of one frequency, and the contacts that each of them counts for.
    noise = z2 * p.release.sd(at[Output("frequency", segment, 1)]) ** 2
    counted = np.minimum(np.arange(1, p.most + 1), most).astype(float)
    # The condition as a r^2 - 2 b r + c <= 0.
    a = reached**2 - noise * p.most
    b = contacts * reached - noise * float(counted.sum())
    c = contacts**2 - noise * float((counted**2).sum()) - z2 * reached * spread
    if a <= 0:  # the noise is as large as the reach: any average fits
        return Average(segment, average, 1.0, float(most), most)
    root = math.sqrt(max(0.0, b * b - a * c))
    low, high = max(1.0, (b - root) / a), min(float(most), (b + root) / a)
    return Average(segment, average, min(low, average), max(high, average), most)
