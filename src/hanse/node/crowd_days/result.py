"""What a training or day of a crowd leaves at a node: its result, figures to publish, what was told, for scores.

The archive keeps, per day, what was told of that day when it was over: what the scoreboard judges. It is
append-only; a day that was told again later is a revision, and days are told in their order, so yesterday is never
rewritten.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse import __version__
from hanse.catalog.gazetteers import Gazetteer
from hanse.contracts import Contract, ModelNote
from hanse.contracts.crowds import CrowdClause
from hanse.errors import Fault, Refusal
from hanse.gate.record import Record
from hanse.node.jobs.roles import Job
from hanse.node.products.publications import Figure
from hanse.places.daily.jobs import CrowdPlan
from hanse.places.daily.run import PUBLISHED, REASONS, REGIMES, UNKNOWN, Figures
from hanse.places.feeds.feed import Feed, day, days_between, from_matrix
from hanse.places.feeds.store import FeedStore
from hanse.places.scoreboard.publications import Publications, Receipt
from hanse.places.scoreboard.scoreboard import (
    Division,
    Scoreboard,
    Told,
    by_name,
    by_size,
    by_weekday,
    scoreboard,
)

Document = dict[str, Any]
BOARD_DAYS = 90
_ALARM_DAYS = 28
_ALARM_LEAST = 200  # judged place-days before the figures can be called worse than promised
_ALARM_BELOW = 0.10


@dataclass(frozen=True)
class TrainResult:
    """How a training ended at an owner."""

    crowd: str
    ends: date
    guard: str
    adopted: bool
    places: int
    findings: tuple[str, ...]
    signals: tuple[float, float] | None = None  # P30 with the holders' signals, and without

    def body(self) -> Document:
        """Plain values."""
        return {**asdict(self), "ends": self.ends.isoformat(), "findings": list(self.findings),
                "signals": None if self.signals is None else list(self.signals)}  # fmt: skip

    def card(self, job: Job, party: str, note: ModelNote, record: Record) -> Document:
        """The model's card."""
        contract, terms = job.contract, job.plan.terms
        return {
            "model": note.name, "kind": "crowd", "training": note.job, "asked_by": job.request.analyst,
            "made": note.made.isoformat(timespec="seconds"),
            "expires": note.expires.isoformat(timespec="seconds"), "held_by": party,
            "contract": {"id": contract.id, "version": contract.version, "hash": contract.hash},
            "alignment": "open: places of a public list", "authorisation": "not-personal", "evidence": "",
            "target": terms.side(party).dataset,
            "data": [
                {"party": s.party, "dataset": s.dataset, "columns": [name for _, name, _ in s.columns],
                 "commitment": job.request.commitments.get(s.dataset, "")}
                for s in terms.sides
            ],
            "holds": dict.fromkeys(terms.owners, "levels, traits and errors of its own places"),
            "settings": {"ends": self.ends.isoformat()}, "metrics": self._metrics(), "metrics_told_to": [],
            "guard": self.guard, "disclosures": record.public().body(), "software": __version__,
        }  # fmt: skip

    def _metrics(self) -> dict[str, float]:
        if self.signals is None:
            return {}
        return {"p30_last_known_days": self.signals[0], "p30_without_signals": self.signals[1]}


@dataclass(frozen=True)
class DayResult:
    """How a day ended at a recipient. ``said`` tells which sources are not at their best; ``findings`` are of the
    owner's own feed and stay with it."""

    crowd: str
    product: str
    ends: date
    published: int
    abstained: int
    changed: int
    reasons: dict[str, int]
    said: tuple[str, ...]
    findings: tuple[str, ...]

    @classmethod
    def of(
        cls, plan: CrowdPlan, product: str, figures: Figures, changed: int, said: tuple[str, ...],
        findings: tuple[str, ...],
    ) -> DayResult:  # fmt: skip
        """Counts are of all places and days."""
        count = np.bincount(figures.reason.reshape(-1), minlength=len(REASONS))
        reasons = {REASONS[n]: int(count[n]) for n in range(1, len(REASONS)) if count[n]}
        shown = int(count[PUBLISHED])
        return cls(plan.terms.clause.name, product, plan.question.ends, shown,
                   int(figures.reason.size - shown), changed, reasons, said, findings)  # fmt: skip

    def body(self) -> Document:
        """Plain values."""
        return {**asdict(self), "ends": self.ends.isoformat(), "said": list(self.said),
                "findings": list(self.findings)}  # fmt: skip


def product_of(contract: Contract, clause: CrowdClause) -> str:
    """The name under which figures are published."""
    return f"crowd-{contract.id}-{clause.name}".replace("_", "-")[:64].rstrip("-")


def figures_of(
    figures: Figures, places: tuple[str, ...], dates: NDArray[np.datetime64]
) -> list[Figure]:
    """Every place and day, with its number or the reason why there is none."""
    days = [d.astype(object) for d in dates]
    found = []
    for row, place in enumerate(places):
        for column, when in enumerate(days):
            reason = int(figures.reason[row, column])
            if reason != PUBLISHED:
                found.append(Figure(place, when, None, reason=REASONS[reason]))
                continue
            point, low, high, sure = (
                float(getattr(figures, name)[row, column]) for name in ("point", "low", "high", "confidence")
            )  # fmt: skip
            found.append(
                Figure(place, when, round(point, 1), round(min(low, point), 1), round(max(high, point), 1),
                       round(min(max(sure, 0.0), 1.0), 4))
            )  # fmt: skip
    return found


@dataclass(frozen=True)
class Regimes:
    """What each told number rested on (`hanse.places.daily.run.REGIMES`), at a recipient; append-only."""

    store: FeedStore

    def keep(
        self, figures: Figures, places: tuple[str, ...], dates: NDArray[np.datetime64], on: date
    ) -> None:
        """Of the places and days that were told."""
        known = np.where(figures.regime == UNKNOWN, np.nan, figures.regime.astype(np.float64))
        feed = from_matrix(places, dates, known, lateness=0, name="regime")
        self.store.append(replace(feed, reported=np.full(len(feed), day(on))), on)

    def division(self, places: tuple[str, ...], dates: NDArray[np.datetime64]) -> Division:
        """Place-days by what their numbers rested on."""
        group = np.full((len(places), dates.size), -1, np.int64)
        if self.store.versions():
            codes = self.store.read().over(places).known("9999-01-01", dates)
            group = np.where(np.isfinite(codes), np.nan_to_num(codes, nan=-1), -1).astype(np.int64)
        return Division("regime", REGIMES[:UNKNOWN], group)

    def of(self, when: date) -> dict[str, str]:
        """By place, as last told; nothing for days that were not told."""
        if not self.store.versions():
            return {}
        feed = self.store.read()
        codes = feed.known("9999-01-01", [day(when)])[:, 0]
        return {place: REGIMES[int(code)] for place, code in zip(feed.places, codes.tolist(), strict=True)
                if np.isfinite(code)}  # fmt: skip


def regimes_kept(folder: Path | None, contract: Contract, clause: CrowdClause) -> Regimes:
    """Where this node keeps them."""
    return Regimes(FeedStore(archived(folder, contract, clause).folder / "regime"))


@dataclass(frozen=True)
class Archive:
    """What this owner told of each day, when the day was over."""

    kept: Publications
    folder: Path

    def in_order(self, ends: date) -> None:
        """`Refusal` ``crowd.order`` for a day before the last one that was told."""
        versions = FeedStore(self.folder / "point").versions() if self.folder.is_dir() else ()
        if versions and date.fromisoformat(versions[-1].received) > ends:
            raise Refusal("crowd.order", f"{versions[-1].received} is told already; {ends} cannot be told after it",
                          remedy="tell days in their order; what was published is never rewritten")  # fmt: skip

    def keep(self, figures: Figures, places: tuple[str, ...], on: np.datetime64) -> Receipt:
        """The day's own column; later words about it are revisions."""
        first = {n: getattr(figures, n)[:, :1] for n in ("point", "low", "high", "confidence")}
        shown = figures.reason[:, :1] == PUBLISHED
        told = Told(places, np.array([on], "datetime64[D]"), **first, published=shown)
        when: date = on.astype(object)
        return self.kept.publish(told, when)

    def board(
        self, truth: Feed, as_of: np.datetime64, places: Gazetteer | None = None,
        regimes: Regimes | None = None,
    ) -> Scoreboard:  # fmt: skip
        """The scores of the last 90 days, by what was said first and the truth as it came in."""
        dates = days_between(as_of - BOARD_DAYS + 1, as_of)
        told = self.kept.told(as_of, dates)
        true = truth.over(told.places).known(as_of, dates)
        divisions: list[Division] = (
            [] if regimes is None else [regimes.division(told.places, dates)]
        )
        divisions += [by_size(true), by_weekday(dates, len(told.places))]
        if places is not None:
            at = [places.position[p] for p in told.places]
            divisions += [
                by_name("category", [places.types[n] for n in at]),
                by_name("area", [places.districts[n] for n in at]),
            ]
        return scoreboard(told, true, divisions)

    def alarm(self, truth: Feed, as_of: np.datetime64) -> str:
        """A sentence if the figures of the last known weeks were worse than they promised, else ""."""
        dates = days_between(as_of - _ALARM_DAYS - 60, as_of)
        told = self.kept.told(as_of, dates)
        true = truth.over(told.places).known(as_of, dates)
        recent = np.flatnonzero(np.isfinite(true).any(axis=0))[-_ALARM_DAYS:]
        keep = np.zeros(dates.size, np.bool_)
        keep[recent] = True
        whole = scoreboard(told, np.where(keep[None, :], true, np.nan)).whole
        judged = whole.days * whole.published_share
        if judged < _ALARM_LEAST or whole.p30_published is None or whole.confidence is None:
            return ""
        if whole.p30_published >= whole.confidence - _ALARM_BELOW:
            return ""
        return (
            f"drift: of the last {recent.size} known days {whole.p30_published:.0%} of the published numbers were "
            f"within 30 %, {whole.confidence:.0%} was expected; train again and look at the feeds"
        )


def archived(folder: Path | None, contract: Contract, clause: CrowdClause) -> Archive:
    """The archive of a crowd; `Fault` ``crowd.folder`` where the node's folder is not known."""
    if folder is None:
        raise Fault("crowd.folder", "this node has no folder for what it told",
                    remedy="open the node by its folder")  # fmt: skip
    own = folder / product_of(contract, clause)
    return Archive(Publications(own), own)


def feed_day(when: date) -> np.datetime64:
    """A date as feeds have it."""
    return day(when)
