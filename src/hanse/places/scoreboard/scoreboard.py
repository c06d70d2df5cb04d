"""The scoreboard: how good the published numbers of the last days really were, once the truth had come.

P30 is the share of place-days whose number was within 30 % of the truth, told apart for all numbers and for
those that were published; beside it the bias, the median error, how often the interval held the truth, and how
much was withheld. Broken down by whatever divides places or days: regime, category, size, area, weekday, day.
Days whose truth is nothing cannot be within 30 % of it and are left out, counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Fault
from hanse.places.feeds.feed import Days, Floats
from hanse.places.truth import WITHIN

Index = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Told:
    """Numbers of places and days, all [places, days]: ``point`` with its interval, ``confidence`` of being within
    30 %, and whether it was ``published``; not a number where there was none at all."""

    places: tuple[str, ...] = field(repr=False)
    dates: Days = field(repr=False)
    point: Floats = field(repr=False)
    low: Floats = field(repr=False)
    high: Floats = field(repr=False)
    confidence: Floats = field(repr=False)
    published: NDArray[np.bool_] = field(repr=False)

    def __post_init__(self) -> None:
        shape = (len(self.places), self.dates.size)
        named = {"point": self.point, "low": self.low, "high": self.high, "confidence": self.confidence,
                 "published": self.published}  # fmt: skip
        for name, values in named.items():
            if values.shape != shape:
                raise Fault("scoreboard.shape", f"{name} is not [places, days]", where="scoreboard",
                            remedy="give one row a place and one column a day")  # fmt: skip


@dataclass(frozen=True)
class Score:
    """How good the numbers of one group were. Shares are of ``days`` place-days whose truth is known and not
    nothing; ``bias`` and ``median_error`` are of published numbers, in parts of the truth; None where there is
    none."""

    dimension: str
    group: str
    days: int
    published_share: float
    p30: float | None
    p30_published: float | None
    bias: float | None
    median_error: float | None
    coverage: float | None
    confidence: (
        float | None
    )  # the mean expected P30 of what was published: it should be `p30_published`


@dataclass(frozen=True)
class Scoreboard:
    """All scores: everything first, then by dimension in the order given, then by day."""

    first: str
    last: str
    scores: tuple[Score, ...]
    left_out: int  # place-days whose truth is nothing

    @property
    def whole(self) -> Score:
        return self.scores[0]

    def of(self, dimension: str) -> tuple[Score, ...]:
        """The scores of one dimension."""
        return tuple(s for s in self.scores if s.dimension == dimension)

    def dimensions(self) -> tuple[str, ...]:
        """What the scores are broken down by, without "all"."""
        return tuple(dict.fromkeys(s.dimension for s in self.scores[1:]))

    def body(self) -> dict[str, Any]:
        """Plain values, for pages and storage."""
        return {"first": self.first, "last": self.last, "left_out": self.left_out,
                "scores": [asdict(s) for s in self.scores]}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Division:
    """A way to divide place-days: ``group`` [places] or [places, days] counts in ``names``, -1 for none."""

    name: str
    names: tuple[str, ...]
    group: Index = field(repr=False)


def scoreboard(told: Told, truth: Floats, divisions: Sequence[Division] = ()) -> Scoreboard:
    """Scores of ``told`` against ``truth`` [places, days], whose unknown days are not judged."""
    known = np.isfinite(truth) & np.isfinite(told.point)
    judged = known & (truth > 0)
    scores = [_score("all", "all", told, truth, judged)]
    by_day = Division("day", tuple(str(d) for d in told.dates), np.arange(told.dates.size)[None, :])
    for one in (*divisions, by_day):
        group = one.group[:, None] if one.group.ndim == 1 else one.group
        group = np.broadcast_to(group, truth.shape)
        scores += [
            _score(one.name, name, told, truth, judged & (group == number))
            for number, name in enumerate(one.names)
            if (judged & (group == number)).any()
        ]
    return Scoreboard(
        str(told.dates[0]), str(told.dates[-1]), tuple(scores), int((known & (truth <= 0)).sum())
    )


def by_size(truth: Floats, parts: int = 10) -> Division:
    """Places by tenths of their median crowd, the smallest first; places without a crowd in none."""
    with np.errstate(all="ignore"):
        known = np.isfinite(truth).any(axis=1)
        level = np.full(truth.shape[0], np.nan)
        level[known] = np.nanmedian(truth[known], axis=1)
    group = np.full(truth.shape[0], -1, np.int64)
    ranked = np.argsort(level[known], kind="stable")
    place = np.empty(ranked.size, np.int64)
    place[ranked] = np.arange(ranked.size) * parts // max(1, ranked.size)
    group[known] = place
    names = []
    for part in range(parts):
        mine = level[group == part]
        names.append(
            f"{np.min(mine):,.0f} to {np.max(mine):,.0f}" if mine.size else f"part {part + 1}"
        )
    return Division("size", tuple(names), group)


def by_weekday(dates: Days, places: int) -> Division:
    """Days by weekday, from Monday."""
    names = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    day = (dates.astype(np.int64) + 3) % 7
    return Division("weekday", names, np.broadcast_to(day[None, :], (places, dates.size)))


def by_name(name: str, values: Sequence[str]) -> Division:
    """Places by a name each has [places], such as its category, district or regime."""
    names = tuple(sorted(set(values)))
    number = {one: n for n, one in enumerate(names)}
    return Division(name, names, np.array([number[v] for v in values], np.int64))


@dataclass(frozen=True)
class Contribution:
    """What one party adds: P30 with everybody, and what it would be without this one."""

    party: str
    p30: float
    without: float

    @property
    def points(self) -> float:
        """Percentage points of P30 that are lost without the party."""
        return 100 * (self.p30 - self.without)


def contributions(p30: float, without: Mapping[str, float]) -> tuple[Contribution, ...]:
    """Parties by what they add, the largest first."""
    found = [Contribution(party, p30, value) for party, value in without.items()]
    return tuple(sorted(found, key=lambda c: (-c.points, c.party)))


def _score(
    dimension: str, group: str, told: Told, truth: Floats, judged: NDArray[np.bool_]
) -> Score:
    days = int(judged.sum())
    shown = judged & told.published
    ratio = told.point[shown] / truth[shown]
    # Not as a ratio: 130 over 100 is a hair more than 1.3.
    near = np.abs(told.point - truth) <= WITHIN * truth
    inside = (told.low[shown] <= truth[shown]) & (truth[shown] <= told.high[shown])
    some = ratio.size > 0
    return Score(
        dimension, group, days, float(shown.sum() / days) if days else 0.0,
        float(near[judged].mean()) if days else None,
        float(near[shown].mean()) if some else None,
        float(np.median(ratio) - 1) if some else None,
        float(np.median(np.abs(ratio - 1))) if some else None,
        float(inside.mean()) if some else None,
        float(np.mean(told.confidence[shown])) if some else None,
    )  # fmt: skip


def lines(board: Scoreboard) -> Iterator[str]:
    """The scoreboard as text: one line a group, days left out."""
    for s in board.scores:
        if s.dimension != "day":
            told = "-" if s.p30_published is None else f"{s.p30_published:.1%}"
            yield f"{s.dimension:10} {s.group:24} {s.days:>9,} days  P30 {told:>6} on {s.published_share:.0%}"
