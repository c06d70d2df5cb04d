"""LightGBM over the same tables in one place: what a centralised model reaches that nobody built for places.

One model a regime, L1 on log counts, 400 trees, not tuned further. Rows are place-days of the year before the test;
features are the calendar, the weather, the holders' columns and what the truth said at the regime's lateness. For
new places each counted place is played as new, with anchors drawn from a month as the test's are. The same embargo
holds: nothing after the first test day's truth teaches.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.places.backtest import runs, tables
from hanse.places.crowd.columns import components
from hanse.places.crowd.outlook import Kernels
from hanse.places.crowd.regulars import means
from hanse.places.crowd.replay import City

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
SETTINGS = {"objective": "l1", "n_estimators": 400, "learning_rate": 0.05, "num_leaves": 31,
            "min_child_samples": 40, "colsample_bytree": 0.5, "subsample": 0.7, "subsample_freq": 1,
            "verbose": -1, "n_jobs": 1, "random_state": 1}  # fmt: skip
_YEAR, _EVERY, _COMPONENTS = 365, 3, 30


def add(config: Path, out: dict[str, Any], wanted: list[str]) -> None:
    """Put ``lightgbm`` into each regime's figures; null where the package is not installed."""
    for name in wanted:
        out[name]["lightgbm"] = None
    if importlib.util.find_spec("lightgbm") is None:
        return
    rival = Rival(tables.load(config), importlib.import_module("lightgbm").LGBMRegressor)
    for name in wanted:
        found = rival.known(runs.LAGS[name]) if name in runs.LAGS else rival.new(runs.COUNTS[name])
        out[name]["lightgbm"] = runs.percent(found)


class Rival:
    """The tables of a city in one place."""

    def __init__(self, city: tables.Tables, model: Any) -> None:
        self._tables = city
        self._city: City = city.city
        self._model = model
        truth = self._city.outcome()
        self._logs = np.where(
            np.isfinite(truth) & (truth > 0), np.log(np.maximum(truth, 1e-9)), np.nan
        )
        self._counted = np.nonzero(np.isfinite(self._logs).any(axis=1))[0]
        calendar = self._city.calendar
        season = calendar.days.astype(np.int64) / 365.25 * 2 * np.pi
        self._day = np.c_[calendar.features, self._city.weather, calendar.like, calendar.kind, np.sin(season),
                          np.cos(season)]  # fmt: skip
        made = self._city.tables(city.test.start)
        codes = (
            made[0].codes.astype(np.float64)
            if isinstance(made, tuple)
            else np.zeros((len(truth), 1))
        )
        self._place = np.c_[components(codes, _COMPONENTS), codes[:, :8], self._city.ground.labels]
        self._kernels = Kernels(calendar)
        self._key, self._mean = b"", np.zeros(0)

    def _fit(self, rows: F64, aim: F64) -> Any:
        fine = np.isfinite(aim)
        return self._model(**SETTINGS).fit(rows[fine], aim[fine])

    # --- known places -----------------------------------------------------------------------------------

    def known(self, lag: int) -> NDArray[np.bool_]:
        """Hits over the test span."""
        test = self._tables.test
        past = range(max(120, test.start - _YEAR), test.start - lag + 1, 1)
        taught = [self._history(day, lag) for day in past]
        base, rows = np.concatenate([b for b, _ in taught]), np.concatenate([r for _, r in taught])
        aim = np.concatenate([self._logs[self._counted, day] for day in past]) - base
        model = self._fit(rows, aim)
        hits = []
        for day in test:
            level, row = self._history(day, lag)
            hits.append(self._hits(level + model.predict(row), self._counted, day))
        return np.concatenate(hits)

    def _history(self, day: int, lag: int) -> tuple[F64, F64]:
        """(log mean of the same weekday, features) of every counted place."""
        span, same = self._kernels.same(day, lag, 14.0)
        logs = self._logs[self._counted, span]
        base = means(logs, same)
        extra = [means(logs, self._kernels.same(day, lag, h)[1]) - base for h in (0.25, 60.0)]
        level = means(logs, self._kernels.every(day, lag, 7.0)[1]) - base
        past, weights = self._kernels.years(day, lag)
        year = means(self._logs[self._counted, past], weights)
        columns = [*extra, level, year - base, base]
        return base, np.c_[
            np.stack(columns, axis=1), self._days(day, len(base)), self._place[self._counted]
        ]

    def _days(self, day: int, count: int) -> F64:
        return np.repeat(self._day[day][None], count, axis=0)

    # --- new places -------------------------------------------------------------------------------------

    def new(self, count: int) -> NDArray[np.bool_]:
        """Hits over the test span, folds and seeds as `bench/places.py` draws them."""
        new = runs.draws(self._tables, (count,))
        fold = runs.fold_of(self._city.ground.size, self._tables.folds)
        hits = []
        for number in range(self._tables.folds):
            held = self._counted[fold[self._counted] == number]
            rest = self._counted[fold[self._counted] != number]
            hits += self._fold(held, rest, count, new.draws)
        return np.concatenate(hits)

    def _fold(
        self, held: I64, rest: I64, count: int, draws: Mapping[int, Mapping[int, I64]]
    ) -> list[NDArray[np.bool_]]:
        test, late = self._tables.test, max(self._tables.lateness, 1)
        chance = np.random.default_rng(count)
        last = test.start - late
        rows, aims = [], []
        for day in range(max(120, last - _YEAR // 2), last, _EVERY):
            pool = np.arange(max(0, day - 130), day - 31)
            drawn = {int(p): np.sort(chance.choice(pool, count, replace=False)) for p in rest}
            level, row = self._new_rows(rest, rest, drawn, day, late)
            rows.append(row)
            aims.append(self._logs[rest, day] - level)
        model = self._fit(np.concatenate(rows), np.concatenate(aims))
        out = []
        for anchors in draws.values():
            for day in test:
                level, row = self._new_rows(held, rest, anchors, day, late)
                out.append(self._hits(level + model.predict(row), held, day))
        return out

    def _new_rows(
        self, places: I64, rest: I64, anchors: Mapping[int, I64], day: int, late: int
    ) -> tuple[F64, F64]:
        """(log level from the anchors, features): the others' change since the anchors is one of them."""
        others = self._others(rest, day, late)
        level, seen = np.zeros(len(places)), np.full((len(places), 3), np.nan)
        for row, place in enumerate(places):
            days = anchors[int(place)]
            known = days[np.isfinite(self._logs[place, days])]
            if known.size:
                level[row] = float(
                    np.mean(self._logs[place, known] + others - self._city_day(rest)[known])
                )
                off = self._city.calendar.off[known]
                for column, part in enumerate((known[~off], known[off])):
                    seen[row, column] = (
                        float(np.mean(self._logs[place, part])) - level[row]
                        if part.size
                        else np.nan
                    )
                seen[row, 2] = off.mean()
            else:
                level[row] = others
        return level, np.c_[seen, level, self._days(day, len(places)), self._place[places]]

    def _others(self, rest: I64, day: int, late: int) -> float:
        span, same = self._kernels.same(day, late, 14.0)
        return float(means(self._city_day(rest)[None, span], same)[0])

    def _city_day(self, rest: I64) -> F64:
        key = rest.tobytes()
        if self._key != key:
            self._key, self._mean = key, np.nanmean(self._logs[rest], axis=0)
        return self._mean

    def _hits(self, log: F64, places: I64, day: int) -> NDArray[np.bool_]:
        true = self._logs[places, day]
        fine = np.isfinite(true)
        return np.asarray(np.abs(np.exp(log[fine] - true[fine]) - 1) <= 0.3)
