"""The runs of a back-test: one replay per regime and variant, folds in processes, and their figures."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hanse.places.backtest import tables as tables_of
from hanse.places.crowd.federation import Alone, Federation, Meter, gather
from hanse.places.crowd.model import CrowdSettings
from hanse.places.crowd.newcomers import public_columns
from hanse.places.crowd.outlook import Kernels
from hanse.places.crowd.replay import (
    COLUMNS,
    City,
    Ledger,
    Newcomers,
    draw_days,
    replay_known,
    replay_new,
)
from hanse.places.crowd.trees import Binned, Open, binned

F64 = NDArray[np.float64]
VARIANTS = ("federated", "central", "single")
LAGS = {"known_lag1": 1, "known_lag7": 7, "known_lag30": 30}
COUNTS = {"k1": 1, "k7": 7, "k28": 28, "never_seen": 0}
_NAME = {name: number for number, name in enumerate(COLUMNS)}


@dataclass
class Run:
    """Predictions by (regime, variant) as `COLUMNS`, and what they cost."""

    name: str
    places: int
    days: int
    owners: int
    rows: dict[tuple[str, str], F64] = field(default_factory=dict)
    train_s: float = 0.0
    daily_s: float = 0.0
    numbers: dict[str, int] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    day: NDArray[Any] = field(default_factory=lambda: np.zeros(0, "datetime64[D]"))
    area: list[str] = field(default_factory=list)
    history: F64 = field(default_factory=lambda: np.zeros((0, 0)))


@dataclass(frozen=True)
class Task:
    """One replay: a lag, or a fold of new places; under one variant."""

    config: Path
    variant: str
    lag: int = 0
    fold: int = -1
    counts: tuple[int, ...] = ()
    without: str = ""


@dataclass
class Done:
    """What a task found."""

    rows: F64
    train_s: float
    daily_s: float
    numbers: dict[str, int]


def run(
    config: Path, wanted: list[str], variants: tuple[str, ...], workers: int, without: str = ""
) -> Run:
    """All replays that the wanted regimes need."""
    tables = _loaded(config, without)
    city = tables.city
    out = Run(tables.name, city.ground.size, len(tables.test), len(tables.owners), keys=city.ground.keys,
              day=city.calendar.days, area=tables.area, history=city.outcome())  # fmt: skip
    counts = tuple(sorted(COUNTS[name] for name in wanted if name in COUNTS))
    tasks = [
        Task(config, v, lag=LAGS[name], without=without)
        for name in wanted
        if name in LAGS
        for v in variants
    ]
    if counts:
        tasks += [
            Task(config, v, fold=f, counts=counts, without=without)
            for v in variants
            for f in range(tables.folds)
        ]
    if workers > 1:
        # Processes that start afresh load the tables again; a fork would take threads' locks along.
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            done = pool.map(work, tasks, chunksize=1)
    else:
        done = [work(task) for task in tasks]
    for variant in variants:
        _collect(out, wanted, variant, tasks, done)
    return out


def _collect(
    out: Run, wanted: list[str], variant: str, tasks: list[Task], done: list[Done]
) -> None:
    pairs = [(t, d) for t, d in zip(tasks, done, strict=True) if t.variant == variant]
    for name in wanted:
        if name in LAGS:
            out.rows[name, variant] = next(d.rows for t, d in pairs if t.lag == LAGS[name])
        else:
            rows = np.concatenate([d.rows for t, d in pairs if t.fold >= 0])
            out.rows[name, variant] = rows[rows[:, _NAME["draw"]] // 1000 == COUNTS[name]]
    if variant == "federated" and pairs:
        out.train_s = max(d.train_s for _, d in pairs)
        out.daily_s = max(d.daily_s for _, d in pairs)
        for _, found in pairs[-1:]:
            out.numbers = found.numbers


@lru_cache(maxsize=2)
def _loaded(config: Path, without: str) -> tables_of.Tables:
    return tables_of.load(config, without)


@lru_cache(maxsize=2)
def _kernels(config: Path) -> Kernels:
    return Kernels(_loaded(config, "").city.calendar)


def work(task: Task) -> Done:
    """Run one replay under one variant."""
    tables = _loaded(task.config, task.without)
    kernels, settings, meter = _kernels(task.config), CrowdSettings(), Meter()
    city = tables.city if not task.lag else _late(tables, task.lag)
    if task.variant == "single":
        city = _public_only(city)
    counted = np.asarray(np.isfinite(city.outcome()).any(axis=1), np.bool_)
    owners = [own[counted[own]] for own in tables.owners]
    if task.variant == "central":
        owners = [np.sort(np.concatenate(owners))]

    def part(own: NDArray[np.int64]) -> Callable[[Federation], Ledger]:
        if task.lag:
            return lambda end: replay_known(end, city, own, tables.test, settings, kernels)
        held = own[fold_of(city.ground.size, tables.folds)[own] == task.fold]
        rest = np.setdiff1d(own, held)
        new = draws(tables, task.counts)
        return lambda end: replay_new(end, city, rest, held, new, tables.test, settings, kernels)

    parts = [part(own) for own in owners]
    ledgers = [p(Alone()) for p in parts] if task.variant == "single" else gather(parts, meter)
    rows = np.concatenate([ledger.table() for ledger in ledgers])
    days = max(ledger.days for ledger in ledgers)
    return Done(
        rows,
        max(x.train_s for x in ledgers),
        max(x.days_s for x in ledgers) / max(days, 1),
        meter.numbers,
    )


def fold_of(places: int, folds: int) -> NDArray[np.int64]:
    return np.asarray(np.random.default_rng(0).permutation(places) % folds)


def draws(tables: tables_of.Tables, counts: tuple[int, ...]) -> Newcomers:
    known = np.isfinite(tables.city.outcome())
    return draw_days(range(tables.city.ground.size), tables.draw_days, counts, tables.seeds, known)


def _late(tables: tables_of.Tables, lag: int) -> City:
    city = tables.city
    truth = city.truth.later(lag - tables.lateness)
    return City(
        city.ground, city.calendar, truth, city.weather, city.tables, city.signal, city.retrain
    )


def _public_only(city: City) -> City:
    def tables(_: int) -> tuple[Binned, Open]:
        made = binned([public_columns(city.ground)])
        return made, Open(made.codes)

    return City(city.ground, city.calendar, city.truth, city.weather, tables, None, city.retrain)


# --- figures ----------------------------------------------------------------------------------------


def hits(rows: F64, column: str = "point") -> NDArray[np.bool_]:
    """Which predictions are within 30 % of a known truth above 0; False where there is none."""
    truth = rows[:, _NAME["truth"]]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.abs(rows[:, _NAME[column]] / truth - 1) <= 0.3)


def judged(rows: F64) -> F64:
    """Rows with a truth above 0: the others cannot be right or wrong."""
    truth = rows[:, _NAME["truth"]]
    return rows[np.isfinite(truth) & (truth > 0)]


def percent(flags: NDArray[np.bool_]) -> float | None:
    """Mean in percent, None of nothing."""
    return round(100 * float(flags.mean()), 2) if flags.size else None


def figures(run: Run, name: str) -> dict[str, Any]:
    """What `bench/places.py` prints of a regime."""
    rows = judged(run.rows[name, "federated"])
    published = rows[:, _NAME["published"]] > 0
    good = hits(rows)
    truth = rows[:, _NAME["truth"]]
    inside = (rows[:, _NAME["low"]] <= truth) & (truth <= rows[:, _NAME["high"]])
    error = np.abs(rows[:, _NAME["point"]] / truth - 1)
    error = error[np.isfinite(error)]
    out: dict[str, Any] = {
        "p30": percent(good), "p30_published": percent(good[published]),
        "published_share": round(float(published.mean()), 4) if published.size else 0.0,
        "naive": _naive(name, rows),
        "best_single": None, "central": None,
        "interval_coverage_90": percent(inside[np.isfinite(rows[:, _NAME["low"]])]),
        "mdape": round(100 * float(np.median(error)), 2) if error.size else None,
    }  # fmt: skip
    for variant, key in (("single", "best_single"), ("central", "central")):
        if (name, variant) in run.rows:
            out[key] = percent(hits(judged(run.rows[name, variant])))
    return out


def _naive(name: str, rows: F64) -> float | None:
    """Known places: the same weekday, or carry-forward. New: the mean of the counted days of the place, of the
    same weekday where there is one. Never seen: the median place of the city on that weekday."""
    if name in LAGS:
        return max(percent(hits(rows, c)) or 0.0 for c in ("same week", "carry"))
    return percent(hits(rows, "carry"))


def write_rows(run: Run, path: Path) -> None:
    """Every prediction, for the scoreboard."""
    parts = []
    for (name, variant), rows in run.rows.items():
        table: dict[str, Any] = {c: rows[:, i] for c, i in _NAME.items()}
        table["place"] = [run.keys[int(p)] for p in rows[:, 0]]
        table["day"] = run.day[rows[:, 1].astype(np.int64)]
        parts.append(
            pa.table({"regime": [name] * len(rows), "variant": [variant] * len(rows), **table})
        )
    pq.write_table(pa.concat_tables(parts), path, compression="zstd")
