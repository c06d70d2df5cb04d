"""A rehearsal of a look at features: all seats and parties in one process, on files at hand, beside plain ones."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.align import JoinPolicy
from hanse.engine.shares import SEATS
from hanse.engine.stage import SEAT_NAMES, agree, all_at_once
from hanse.engine.warm import warm_up
from hanse.entropy import SeededEntropy
from hanse.errors import Refusal
from hanse.gate.record import Record
from hanse.learn.evaluation.plain import vif, woe
from hanse.learn.features.bins import Bins, check_bins, quantile_bins, value_bins
from hanse.learn.features.counting import Evidence, home_evidence
from hanse.learn.features.plan import Brings, FeaturePlan
from hanse.learn.features.reading import Prepared
from hanse.learn.features.report import FeatureReport, Inflated, Pair
from hanse.learn.features.seats import AtHome, Told, run_party, run_seat, standardised
from hanse.learn.features.selection import Limits, Name, select
from hanse.learn.linear.tables import Table
from hanse.wire import Channel, Frame, Hall

SMALL_JOIN, JOIN = JoinPolicy(1.0, 1e-6), JoinPolicy(0.1, 1e-8)
LEAST_MATCHED = 30
FEW_ROWS, FEW_BINS, MANY_BINS = 3000, 5, 10
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """What to look at. ``stability``: the mark is a period, and evidence is told as an index of what moved."""

    evidence: bool = True
    correlation: bool = True
    stability: bool = False
    bins: int | None = (
        None  # of a column of numbers; None: ten, or five where noised counts are of few rows
    )
    epsilon: float = 4.0
    k: int = 20
    noise: bool = True
    limits: Limits = field(default_factory=Limits)
    seed: str = "features"


@dataclass(frozen=True)
class Party:
    """A party's file read twice: text as codes (for bins), and one column a value (for correlations)."""

    coded: Prepared
    spread: Prepared

    @property
    def name(self) -> str:
        return self.coded.table.name


def look(
    parties: Sequence[Party], mark: NDArray[np.bool_], asked: Asked, notes: Sequence[str] = ()
) -> FeatureReport:
    """All figures asked for; ``mark`` [rows] of the first party. `Refusal` where the data cannot serve."""
    wanted = _bins_wanted(asked, parties[0].coded.table.rows)
    check_bins(wanted)
    told = [*notes, *(note for p in parties for note in p.coded.notes)]
    bins = [_binned(p, asked, wanted, told) for p in parties]
    homes = [
        _at_home(p, bins[n], asked, mark if n == 0 else None, told) for n, p in enumerate(parties)
    ]
    plan = _plan(parties, bins, homes, asked, told)
    warm_up()
    started = time.perf_counter(), time.process_time()
    matched, record, results, sent = _on_stage(plan, [h for h, _ in homes], bins, asked.seed)
    spent = time.perf_counter() - started[0], time.process_time() - started[1]
    evidence = _evidence(parties, bins, mark, results, asked)
    hidden = [e for e in evidence if e.value is None]
    if hidden:
        told.append(
            f"{len(hidden)} columns have too few people in their bins to be told: look at fewer columns at a time, "
            "with fewer bins (--bins); rows that are not people need no noise (--exact)"
        )
    inflated, pairs = _linear(parties, homes, plan, results)
    kept, dropped = _selected(parties, homes, plan, results, evidence, asked)
    return FeatureReport(
        "stability" if asked.stability else "evidence", tuple(p.name for p in parties), max(0, matched),
        tuple(evidence), _plain_values(parties, bins, mark), tuple(inflated), tuple(pairs), tuple(kept),
        tuple(dropped), plan.epsilon if plan.noise and plan.counted else 0.0, *spent, sent,
        tuple(record.body()), tuple(told),
    )  # fmt: skip


def _bins_wanted(asked: Asked, rows: int) -> int:
    if asked.bins is not None:
        return asked.bins
    return FEW_BINS if asked.noise and rows < FEW_ROWS else MANY_BINS


def _binned(party: Party, asked: Asked, bins: int, notes: list[str]) -> list[Bins]:
    if not asked.evidence:
        return []
    table, found = party.coded.table, []
    for number, name in enumerate(table.columns.names):
        values = party.coded.values.get(name)
        made = (
            value_bins(name, values)
            if values
            else quantile_bins(name, table.columns.values[:, number], bins)
        )
        if made.count > 1:
            found.append(made)
        else:
            notes.append(f"{party.name}: the column {name!r} does not vary and has no bins")
    return found


def _at_home(
    party: Party, bins: list[Bins], asked: Asked, mark: NDArray[np.bool_] | None, notes: list[str]
) -> tuple[AtHome, tuple[str, ...]]:
    """(a party's rows as they go to the seats, names of the columns that are correlated)."""
    table = party.coded.table
    # The party with the mark looks at its own bins at home: they are not shared.
    shared = [] if mark is not None else bins
    codes = tuple(b.codes(_column(table, b.name)) for b in shared)
    wide = party.spread.table.columns
    standard, kept = standardised(wide.values if asked.correlation else np.empty((table.rows, 0)))
    gone = set(range(len(wide.names))) - set(kept.tolist()) if asked.correlation else set()
    notes += [
        f"{party.name}: the column {wide.names[n]!r} does not vary and is not correlated"
        for n in sorted(gone)
    ]
    return AtHome(table.ids, codes, standard, mark), tuple(wide.names[n] for n in kept)


def _column(table: Table, name: str) -> Matrix:
    return np.asarray(table.columns.values[:, table.columns.names.index(name)])


def _plan(
    parties: Sequence[Party], bins: list[list[Bins]], homes: list[tuple[AtHome, tuple[str, ...]]], asked: Asked,
    notes: list[str],
) -> FeaturePlan:  # fmt: skip
    shared = parties[0].coded.table.ids
    for party in parties[1:]:
        shared = np.intersect1d(shared, party.coded.table.ids)
    if shared.size < LEAST_MATCHED:
        raise Refusal(
            "learn.rows", f"{shared.size} rows match: these figures need {LEAST_MATCHED}",
            remedy="check that all files have the same ids in the column that --id names",
        )  # fmt: skip
    brings = tuple(
        Brings(
            p.name,
            p.coded.table.rows,
            () if n == 0 else tuple(b.count for b in bins[n]),
            len(homes[n][1]),
        )
        for n, p in enumerate(parties)
    )
    several = [n for n, b in enumerate(brings) if b.columns]
    pairs = tuple((a, b) for a in several for b in several if a < b)
    columns = sum(b.columns for b in brings)
    wanted = max(1000, 20 * columns)
    small = shared.size < wanted
    if small and columns:
        notes.append(
            f"{shared.size} rows are few: between organisations correlations of {columns} columns of people need "
            f"{wanted} and would be refused"
        )
    return FeaturePlan(
        brings, SMALL_JOIN if small else JOIN, asked.epsilon, asked.k, asked.noise, pairs=pairs,
        inflation=columns > 1, least_rows=0 if small or not columns else None,
    )  # fmt: skip


# --- the stage --------------------------------------------------------------------------------------


def _on_stage(
    plan: FeaturePlan, homes: list[AtHome], bins: list[list[Bins]], seed: str
) -> tuple[int, Record, list[Told], int]:
    """(matched, seat 0's record, what each party read, bytes sent)."""
    sent, lock = [0], threading.Lock()

    def weighed(frame: Frame) -> Frame:
        with lock:
            sent[0] += frame.body.nbytes if isinstance(frame.body, np.ndarray) else len(frame.body)
        return frame

    def seat(number: int) -> Callable[[Channel], Any]:
        def play(channel: Channel) -> Any:
            s = agree(channel, number, SeededEntropy(f"{seed}|seat {number}"), seed.encode())
            record = Record()
            return run_seat(s, record, plan), record

        return play

    def party(number: int) -> Callable[[Channel], Any]:
        entropy = SeededEntropy(f"{seed}|party {number}")
        return lambda channel: run_party(channel, plan, number, homes[number], bins, entropy)

    roles = [*(seat(n) for n in range(SEATS)), *(party(n) for n in range(len(homes)))]
    names = (*SEAT_NAMES, *(p.name for p in plan.parties))
    hall = Hall(len(roles), names=names, tap=weighed, patience=600.0)
    results = all_at_once(hall, roles, "learn.stage")
    matched, record = results[0]
    return matched, record, results[SEATS:], sent[0]


# --- what was told, beside plain figures ------------------------------------------------------------


def _evidence(
    parties: Sequence[Party],
    bins: list[list[Bins]],
    mark: NDArray[np.bool_],
    results: list[Told],
    asked: Asked,
) -> list[Evidence]:
    if not asked.evidence:
        return []
    first = parties[0]
    own = [home_evidence(first.name, b, _column(first.coded.table, b.name), mark) for b in bins[0]]
    return [*own, *results[0].evidence]


def _matched(tables: Sequence[Table]) -> list[NDArray[np.int64]]:
    shared = tables[0].ids
    for table in tables[1:]:
        shared = np.intersect1d(shared, table.ids)
    shared = np.sort(shared)
    places = []
    for table in tables:
        order = np.argsort(table.ids)
        places.append(order[np.searchsorted(table.ids[order], shared)])
    return places


def _plain_values(
    parties: Sequence[Party], bins: list[list[Bins]], mark: NDArray[np.bool_]
) -> dict[Name, float]:
    """Values over the matched rows in one place (the first party's over its own)."""
    places = _matched([p.coded.table for p in parties])
    found: dict[Name, float] = {}
    for number, (party, own) in enumerate(zip(parties, bins, strict=True)):
        rows = places[number] if number else np.arange(mark.size)
        marked = mark[places[0]] if number else mark
        for b in own:
            codes = b.codes(_column(party.coded.table, b.name)[rows]).astype(np.int64)
            counts = [
                np.bincount(codes[m], minlength=b.count).astype(float) for m in (marked, ~marked)
            ]
            found[party.name, b.name] = woe(counts[0], counts[1])[1]
    return found


def _linear(
    parties: Sequence[Party],
    homes: list[tuple[AtHome, tuple[str, ...]]],
    plan: FeaturePlan,
    results: list[Told],
) -> tuple[list[Inflated], list[Pair]]:
    if not plan.correlated:
        return [], []
    places = _matched([p.coded.table for p in parties])
    whole = np.concatenate(
        [h.standard[rows] for (h, _), rows in zip(homes, places, strict=True)], axis=1
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        plain = np.atleast_2d(np.corrcoef(np.clip(whole, -8, 8), rowvar=False))
    wanted = vif(np.nan_to_num(plain)) if plain.size > 1 else np.ones(1)
    blocks = plan.places()
    inflated = []
    for number, (_, names) in enumerate(homes):
        told = results[number].inflation
        for place, name in enumerate(names):
            if told is not None:
                inflated.append(Inflated(parties[number].name, name, float(told[place]),
                                         float(wanted[blocks[number]][place])))  # fmt: skip
    pairs = []
    for a, b in plan.pairs:
        block, exact = results[a].correlations[b], plain[blocks[a], blocks[b]]
        for i, first in enumerate(homes[a][1]):
            for j, second in enumerate(homes[b][1]):
                pairs.append(Pair((parties[a].name, first), (parties[b].name, second), float(block[i, j]),
                                  float(np.nan_to_num(exact[i, j]))))  # fmt: skip
    return inflated, pairs


def _selected(
    parties: Sequence[Party], homes: list[tuple[AtHome, tuple[str, ...]]], plan: FeaturePlan, results: list[Told],
    evidence: list[Evidence], asked: Asked,
) -> tuple[list[Name], list[Any]]:  # fmt: skip
    """By all that was told to anybody, and each party's correlations of its own columns at home."""
    if asked.stability:
        return [], []
    values = {(e.party, e.column): e.value for e in evidence}
    if not plan.correlated:
        return select(list(values), asked.limits, values=values)
    names = [(parties[n].name, name) for n, (_, own) in enumerate(homes) for name in own]
    matrix = np.full((len(names), len(names)), np.nan)
    blocks = plan.places()
    for number, (home, _) in enumerate(homes):
        if home.standard.shape[1]:
            matrix[blocks[number], blocks[number]] = np.atleast_2d(
                np.corrcoef(home.standard, rowvar=False)
            )
    for a, b in plan.pairs:
        matrix[blocks[a], blocks[b]] = results[a].correlations[b]
        matrix[blocks[b], blocks[a]] = results[a].correlations[b].T
    worth = {n: values.get(n, values.get((n[0], n[1].partition("=")[0]))) for n in names}
    return select(names, asked.limits, values=worth, correlation=matrix)
