"""What a training or a day of a crowd amounts to under its clause: pure, so that every node plans it alike.

Planned from the contract and the question alone: places by their number in the contract, days by the calendar. What
a party's data look like changes nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from hanse.contracts import Contract, Use
from hanse.contracts.crowds import (
    CROWD_DAY,
    CROWD_TRAIN,
    CrowdClause,
    CrowdCounts,
    CrowdSignal,
    CrowdTable,
    crowd_called,
)
from hanse.contracts.fields import Document, Name, Slug
from hanse.errors import Refusal
from hanse.gate.record import Opening
from hanse.gate.scores import ModelRelease, Told
from hanse.gate.sums import SumPolicy
from hanse.learn.jobs.terms import Table, read_question
from hanse.places.crowd.trees import LEAST
from hanse.places.daily.tables import MOST_EXPECTED, most_sums

I64 = NDArray[np.int64]
DRIFT_DAYS = 34  # before the day: of what is drift told
JUDGED_DAYS = 71  # before the newest counts: of what a training learns how much a change says
MOST_OUTPUTS = 10_000_000
ROWS = 6  # numbers of a figure: point, low, high, confidence, reason, regime
FIGURES, SUMS, TABLES = "figures", "sums", "tables"


class CrowdQuestion(Document):
    """``ends`` is the last day of which anything is used; holders ``without`` take no part this time."""

    crowd: Name
    ends: date
    without: Annotated[tuple[Slug, ...], Field(max_length=16)] = ()


@dataclass(frozen=True)
class Side:
    """What one party brings: counts, or a signal, a table or both. ``dataset`` is the first of them."""

    party: str
    counts: CrowdCounts | None = None
    signal: CrowdSignal | None = None
    table: CrowdTable | None = None

    @property
    def parts(self) -> tuple[CrowdCounts | CrowdSignal | CrowdTable, ...]:
        return tuple(p for p in (self.counts, self.signal, self.table) if p is not None)

    @property
    def dataset(self) -> str:
        return self.parts[0].dataset

    @property
    def datasets(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(part.dataset for part in self.parts))

    @property
    def columns(self) -> tuple[tuple[str, str, str], ...]:
        """(dataset, column, use)."""
        named = [(part.dataset, *one) for part in self.parts for one in part.columns]
        return tuple(dict.fromkeys(named))


@dataclass(frozen=True)
class CrowdTerms:
    """Who takes part: owners first, then the others, each sorted. ``lateness`` of the counts, in days."""

    clause: CrowdClause
    sides: tuple[Side, ...]
    lateness: int

    @property
    def parties(self) -> tuple[str, ...]:
        return tuple(side.party for side in self.sides)

    @property
    def owners(self) -> tuple[str, ...]:
        return tuple(side.party for side in self.sides if side.counts is not None)

    @property
    def holders(self) -> tuple[str, ...]:
        """Of signals."""
        return tuple(side.party for side in self.sides if side.signal is not None)

    @property
    def keepers(self) -> tuple[str, ...]:
        """Of tables, where the job uses them."""
        return tuple(side.party for side in self.sides if side.table is not None)

    def side(self, party: str) -> Side:
        return next(side for side in self.sides if side.party == party)

    def channel_roles(self, job: Table) -> list[int]:
        """Roles of the job by number of the protocol: seats, then the parties in order."""
        return [0, 1, 2, *(job.provider_role(p) for p in self.parties)]


@dataclass(frozen=True)
class CrowdPlan:
    """A training or a day as every node plans it. ``targets``: days that changes are told of, counted from the
    calendar's first; ``told`` the days that get figures."""

    computation: str
    terms: CrowdTerms
    question: CrowdQuestion
    places: int
    targets: tuple[int, ...]
    told: tuple[int, ...]
    release: ModelRelease
    recipients: tuple[str, ...]
    committed: bool = True
    way: str = "crowd"
    epsilon_join: float = 0.0

    @property
    def trains(self) -> bool:
        return self.computation == CROWD_TRAIN

    @property
    def uses(self) -> tuple[Use, ...]:
        return tuple(
            Use(dataset=dataset, column=name, purpose=use)  # type: ignore[arg-type]
            for side in self.terms.sides
            for dataset, name, use in side.columns
        )

    @property
    def days(self) -> I64:
        return np.array(self.targets, np.int64)

    @property
    def output(self) -> int:
        """Numbers that open to each owner."""
        return self.release.told[0].size

    @property
    def besides(self) -> tuple[Opening, ...]:
        """What owners tell recipients themselves, and what opens to them while they work together."""
        found = []
        if self.joint is not None:
            what = "sums over all owners of what their places teach the common rhythm, blend and calibration, exact"
            found.append(Opening(SUMS, what, self.terms.owners, 1))
        if self.terms.keepers:
            what = (
                f"trees over tables of {', '.join(self.terms.keepers)}: to each owner sums of its own errors over "
                f"at least {LEAST} places of unnamed columns, at most so many, and which places a split parts"
            )
            size = most_sums(len(self.terms.keepers))
            found.append(Opening(TABLES, what, self.terms.owners, size))
            told = "which places are in which node of a tree, and which of its own columns split it"
            found.append(Opening(TABLES, told, self.terms.keepers, self.places))
        if not self.trains:
            what = "figures by place and day: number, interval, confidence, or why there is none"
            size = self.places * len(self.told) * ROWS
            found.append(Opening(FIGURES, what, self.terms.clause.recipients, size))
        return tuple(found)

    @property
    def joint(self) -> SumPolicy | None:
        """How the sums over owners are made, where there are several."""
        owners = self.terms.owners
        return SumPolicy(owners, least_contributors=len(owners)) if len(owners) > 1 else None

    def table_roles(self, job: Table) -> list[int]:
        """Roles of the job by number of the trees: owners as recipients, then those who keep tables."""
        return [*(job.recipient_role(p) for p in self.terms.owners),
                *(job.provider_role(p) for p in self.terms.keepers)]  # fmt: skip

    def joint_roles(self, job: Table) -> list[int]:
        """Roles of the job by number of those sums: seats, then the owners as recipients."""
        return [0, 1, 2, *(job.recipient_role(p) for p in self.terms.owners)]


def training(parameters: Mapping[str, Any], contract: Contract) -> CrowdPlan:
    """The plan of a training; `Refusal` where clause or question do not fit."""
    return _plan(CROWD_TRAIN, parameters, contract)


def telling(parameters: Mapping[str, Any], contract: Contract) -> CrowdPlan:
    """The plan of a day."""
    return _plan(CROWD_DAY, parameters, contract)


def _plan(computation: str, parameters: Mapping[str, Any], contract: Contract) -> CrowdPlan:
    question = read_question(CrowdQuestion, _readable(parameters))
    clause = crowd_called(contract, question.crowd)
    gazetteer = contract.gazetteer(clause.gazetteer)
    places = 0 if gazetteer is None else gazetteer.places
    expects = computation == CROWD_TRAIN and places <= MOST_EXPECTED
    terms = _terms(contract, clause, question, tables=expects)
    ends = clause.history_days
    targets: tuple[int, ...]
    told: tuple[int, ...] = ()
    if computation == CROWD_TRAIN:
        targets = tuple(range(max(0, ends - JUDGED_DAYS - terms.lateness), ends + 1))
    else:
        targets = tuple(range(ends - DRIFT_DAYS, ends + clause.days_ahead + 1))
        told = tuple(range(ends, ends + clause.days_ahead + 1))
    if not terms.holders:
        targets = ()
    size = max(1, len(targets) * (places + len(terms.holders)))
    if size > MOST_OUTPUTS:
        raise Refusal("crowd.size", f"{places:,} places and {len(targets)} days are too many for one job",
                      remedy="agree on a crowd of fewer places, or on several",
                      where=f"crowds[{clause.name}]")  # fmt: skip
    what = "per place and day, the sum over at least two holders of how far the day is from usual, exact"
    release = ModelRelease(
        (Told("changes", what, terms.owners, size),), contract.privacy.k, (FIGURES, SUMS, TABLES)
    )
    more = () if computation == CROWD_TRAIN else clause.recipients
    recipients = tuple(dict.fromkeys([*terms.owners, *sorted(more)]))
    return CrowdPlan(computation, terms, question, places, targets, told, release, recipients)


def _terms(
    contract: Contract, clause: CrowdClause, question: CrowdQuestion, *, tables: bool
) -> CrowdTerms:
    """``tables``: of trainings with few enough places, which are what tables are for."""
    helpers = clause.helpers(contract)
    strangers = sorted(set(question.without) - set(helpers))
    if strangers:
        raise Refusal("crowd.without", f"{', '.join(strangers)} cannot be left out: only helpers can",
                      remedy=f"leave out some of {', '.join(helpers) or 'nobody'}",
                      where=f"crowds[{clause.name}].signals")  # fmt: skip
    sides = [Side(p, counts=clause.counts_of(contract, p)) for p in clause.owner_parties(contract)]
    for party in helpers:
        table = clause.table_of(contract, party) if tables else None
        side = Side(party, signal=clause.signal_of(contract, party), table=table)
        if party not in question.without and side.parts:
            sides.append(side)
    truths = [contract.truth(owner.truth) for owner in clause.owners]
    lateness = max((t.lateness for t in truths if t is not None), default=0)
    return CrowdTerms(clause, tuple(sides), max(1, lateness))


def _readable(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A day as text becomes a date: questions come as JSON and as TOML."""
    found = dict(parameters)
    ends = found.get("ends")
    if isinstance(ends, str):
        try:
            found["ends"] = date.fromisoformat(ends)
        except ValueError as error:
            raise Refusal("question.malformed", f"the question: ends: {ends[:32]!r} is no day",
                          remedy="write it like 2026-03-31") from error  # fmt: skip
    if isinstance(found.get("without"), list):
        found["without"] = tuple(found["without"])
    return found
