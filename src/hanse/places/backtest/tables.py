"""Anyone's tables, named in a TOML file, as the city that a back-test runs on.

Paths are looked for in the folder of ``package`` (an installed Python package), else in $HANSE_DATA, else beside
the TOML file. docs/guide/crowd.md describes every key with an example.
"""

from __future__ import annotations

import csv
import tomllib
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.places.backtest.description import (
    HOLDERS,
    column_of,
    fault,
    find,
    key_texts,
    names_of,
    numbers,
    query,
    require_keys,
    roots_of,
    test_days,
    test_span,
    texts,
)
from hanse.places.crowd.columns import Areas, columns_of, distances
from hanse.places.crowd.ground import Ground, calendar, label_table, weather_features
from hanse.places.crowd.newcomers import public_columns
from hanse.places.crowd.outlook import Kernels
from hanse.places.crowd.regulars import Signal
from hanse.places.crowd.replay import City, log_counts
from hanse.places.crowd.trees import Binned, Open, binned
from hanse.places.feeds.feed import Feed, feed
from hanse.places.feeds.files import read_feed

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
_LEAST_DAYS = 42  # of counts before the test: from fewer nothing can be learned
_RECENT = 28  # days of a daily table that make a place's number


@dataclass(frozen=True, eq=False)
class Several(Signal):
    """Signals of several holders as one: the mean of their changes, since their levels are not alike."""

    parts: tuple[Signal, ...]

    def change(self, kernels: Kernels, target: int, lag: int, today: int = -1) -> F64:
        """[places]: the mean over the holders that have the place."""
        told = np.stack([part.change(kernels, target, lag, today) for part in self.parts])
        known = np.isfinite(told)
        count = known.sum(axis=0)
        total = np.where(known, told, 0.0).sum(axis=0)
        return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


@dataclass
class Tables:
    """A city as described, and who owns which place."""

    name: str
    city: City
    owners: list[I64]
    test: range
    draw_days: I64
    lateness: int
    folds: int
    seeds: tuple[int, ...]
    holders: list[str] = field(default_factory=list)
    area: list[str] = field(default_factory=list)  # of each place, for the scoreboard


def load(path: Path, without: str = "") -> Tables:
    """Read everything but the holder ``without``; `Fault` ``bench.config`` names what is missing."""
    try:
        config = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise fault(
            str(path.name), f"the file cannot be read: {error}", "check its path and its TOML"
        ) from error
    require_keys(config, "", config)
    for name in ("places", "areas", "owner", "weather"):
        if name in config:
            require_keys(config[name], name, config)
    for name in HOLDERS:
        for table in config.get(name, []):
            require_keys(table, "map", config)
    span = test_span(config)
    roots = roots_of(config, path)
    places = _Places(config, roots)
    truth = _truth(config["owner"], roots, places.keys)
    lateness = int(np.median((truth.reported - truth.date).astype(np.int64))) if len(truth) else 0
    last = max(span[1], truth.last_day)
    weather, holidays = _weather(config, roots, path)
    days = calendar(truth.date.min(), last, holidays, tuple(config.get("weekend", (5, 6))))
    measured = weather_features(_spread(weather, days.days), days.off)
    kinds = [kind for kind in HOLDERS if kind != without]
    holders = [
        _Holder(kind, table, roots, places) for kind in kinds for table in config.get(kind, [])
    ]
    test = test_days(span, days.days)
    _require_history(truth, days.days, test)
    draw = config.get("draw_from") or [
        str(days.days[max(0, test.start - 61)]),
        str(days.days[test.start - 31]),
    ]
    signals = [h.signal for h in holders if h.signal is not None]

    def tables(day: int) -> tuple[Binned, Open]:
        found = [h.columns(days.days[day], places) for h in holders]
        made = binned([public_columns(places.ground), *found])
        return made, Open(made.codes)

    def signal(day: int) -> Signal:
        known = [log_counts(s.known(days.days[day], days.days)) for s in signals]
        return Several(known[0], tuple(Signal(one) for one in known))

    city = City(places.ground, days, truth, measured, tables, signal if signals else None,
                int(config.get("retrain", 28)))  # fmt: skip
    return Tables(
        str(config.get("name", path.stem)), city, places.owners(config), test,
        np.arange(days.at(draw[0]), days.at(draw[1]) + 1), lateness, int(config.get("folds", 10)),
        tuple(config.get("seeds", (1, 2, 3))), [h.kind for h in holders], places.area_names,
    )  # fmt: skip


def _require_history(truth: Feed, days: NDArray[np.datetime64], test: range) -> None:
    """Counts of the test's days, and enough days before them."""
    first, last = days[test.start], days[test.stop - 1]
    if not ((truth.date >= first) & (truth.date <= last)).any():
        raise fault("owner", f"no place was counted from {first} to {last}, the days of test",
                    f"choose days up to {truth.last_day}")  # fmt: skip
    before = int(np.unique(truth.date[truth.date < first]).size)
    if before < _LEAST_DAYS:
        raise fault("owner", f"{before} days were counted before {first}; it takes {_LEAST_DAYS}",
                    "give a longer history, or begin the test later")  # fmt: skip


class _Places:
    """The public list: keys, positions in km, labels, areas."""

    def __init__(self, config: dict[str, Any], roots: list[Path]) -> None:
        own = config["places"]
        found = query(
            find(own["path"], roots), "SELECT * FROM {rows}{where}", where=own.get("where", "")
        )
        keys = key_texts(column_of(found, own["key"], "places"))
        origin: list[float] = []
        position = _position(found, own, origin)
        first = {
            key: row
            for row, key in reversed(list(enumerate(keys)))
            if np.isfinite(position[row]).all()
        }
        rows = np.array(sorted(first.values()), np.int64)
        self.keys = tuple(keys[row] for row in rows)
        labels = texts(column_of(found, own["labels"], "places")) if "labels" in own else []
        table = (
            label_table([labels[row] for row in rows], own.get("separator", "|"))
            if labels
            else np.zeros((0, 0), bool)
        )
        self.ground = Ground(self.keys, position[rows], table)
        self.area_names = (
            key_texts(column_of(found, own["area"], "places")[rows])
            if "area" in own
            else [""] * len(rows)
        )
        self.organisation = (
            texts(column_of(found, own["owner"], "places")[rows]) if "owner" in own else []
        )
        self.areas = self._areas(config, roots, origin)

    def _areas(
        self, config: dict[str, Any], roots: list[Path], origin: list[float]
    ) -> tuple[list[str], Areas]:
        """Names of areas and where they are: as given, else in the middle of their places."""
        if "areas" in config:
            own = config["areas"]
            found = query(find(own["path"], roots), "SELECT * FROM {rows}")
            names = key_texts(column_of(found, own["key"], "areas"))
            centre = _position(found, own, origin)
        else:
            names = sorted(set(self.area_names))
            index = np.array([names.index(a) for a in self.area_names])
            centre = np.array(
                [self.ground.position[index == i].mean(axis=0) for i in range(len(names))]
            )
        place_of = {name: number for number, name in enumerate(names)}
        of_place = np.array([place_of.get(a, -1) for a in self.area_names], np.int64)
        return names, Areas(centre, of_place)

    def owners(self, config: dict[str, Any]) -> list[I64]:
        """Places by organisation: as the list says, else split by area along the city's longer axis."""
        if self.organisation:
            names = sorted(set(self.organisation))
            return [np.nonzero(np.array(self.organisation) == name)[0] for name in names]
        count = int(config["owner"].get("organisations", 3))
        centred = self.ground.position - self.ground.position.mean(axis=0)
        axis = np.linalg.svd(centred, full_matrices=False)[2][0]
        return [
            np.sort(part)
            for part in np.array_split(np.argsort(centred @ axis, kind="stable"), count)
        ]


def _position(found: dict[str, Any], own: dict[str, Any], origin: list[float]) -> F64:
    """[rows, 2] in km: from metres x and y, or from degrees on a plane through ``origin`` (set by the first)."""
    if "x" in own and "y" in own:
        metres = [numbers(column_of(found, own[axis], "coordinates")) for axis in ("x", "y")]
        return np.stack(metres, axis=1) / 1000.0
    if "latitude" not in own or "longitude" not in own:
        raise fault(
            "places", "coordinates are needed", "name latitude and longitude, or x and y in metres"
        )
    north, east = (
        numbers(column_of(found, own[name], "coordinates")) for name in ("latitude", "longitude")
    )
    if not origin:
        origin[:] = [float(np.nanmean(north)), float(np.nanmean(east))]
    scale = np.cos(np.radians(origin[0]))
    return np.stack([(east - origin[1]) * 111.32 * scale, (north - origin[0]) * 110.57], axis=1)


def _truth(own: dict[str, Any], roots: list[Path], keys: tuple[str, ...]) -> Feed:
    path = find(own["path"], roots)
    lateness = own.get("lateness", 1)
    if own.get("layout") != "wide":
        for key in ("key", "value"):
            if key not in own:
                raise fault(
                    "owner", f"{key!r} is missing", "see docs/guide/crowd.md for an example"
                )
    else:
        return _wide(own, path, lateness).over(keys)
    return read_feed(path, key=own["key"], date=own["date"], value=own["value"], lateness=lateness,
                     reported=own.get("reported", ""), places=keys, name="owner")  # fmt: skip


def _wide(own: dict[str, Any], path: Path, lateness: int) -> Feed:
    """A table with one column a place: sums by day, of days with ``complete`` rows."""
    date, ignored = own["date"], {own["date"], *own.get("ignore", [])}
    places = [name for name in names_of(path) if name not in ignored]
    least = int(own.get("complete", 1))
    quoted = ['"' + name.replace('"', '""') + '"' for name in places]
    parts = ", ".join(
        f"CASE WHEN count(TRY_CAST({q} AS DOUBLE)) >= {least} THEN sum(TRY_CAST({q} AS DOUBLE)) END AS c{i}"
        for i, q in enumerate(quoted)
    )
    found = query(
        path,
        f'SELECT CAST("{date}" AS DATE) AS day, {{parts}} FROM {{rows}} GROUP BY 1 ORDER BY 1',
        parts,
    )
    days = np.asarray(np.ma.getdata(found["day"])).astype("datetime64[D]")
    values = np.stack([numbers(found[f"c{i}"]) for i in range(len(places))])
    place, at = np.nonzero(np.isfinite(values))
    return feed(
        [places[p] for p in place], days[at], values[place, at], lateness=lateness, name="owner"
    )


def _weather(
    config: dict[str, Any], roots: list[Path], path: Path
) -> tuple[dict[str, F64], dict[str, str]]:
    """(measures by ISO day, names of holidays by ISO day)."""
    holidays: dict[str, str] = {}
    if "holidays" in config:
        with find(config["holidays"], [*roots, path.resolve().parent]).open(
            encoding="utf-8"
        ) as file:
            holidays = {row["date"]: row["name"] for row in csv.DictReader(file)}
    own = config.get("weather")
    if not own:
        return {}, holidays
    found = query(find(own["path"], roots), "SELECT * FROM {rows}")
    days = np.asarray(np.ma.getdata(column_of(found, own["date"], "weather"))).astype(
        "datetime64[D]"
    )
    names = own.get("values", [])
    rows = (
        np.stack([numbers(column_of(found, n, "weather")) for n in names], axis=1)
        if names
        else np.zeros((days.size, 0))
    )
    if "holiday" in own:
        text = texts(column_of(found, own["holiday"], "weather"))
        holidays |= {
            str(d): t
            for d, t in zip(days, text, strict=True)
            if t and t.lower() not in ("nan", "0", "false")
        }
    measures = (
        {}
        if int(own.get("lateness", 0)) > 0
        else {str(d): r for d, r in zip(days, rows, strict=True)}
    )
    return measures, holidays


def _spread(weather: dict[str, F64], days: NDArray[np.datetime64]) -> F64:
    width = len(next(iter(weather.values()))) if weather else 0
    blank = np.full(width, np.nan)
    return np.array([weather.get(str(d), blank) for d in days]).reshape(days.size, width)


class _Holder:
    """A table of the map, the operator or the payments company."""

    def __init__(self, kind: str, own: dict[str, Any], roots: list[Path], places: _Places) -> None:
        self.kind = kind
        path = find(own["path"], roots)
        wanted = own["values"] if isinstance(own["values"], list) else [own["values"]]
        names = names_of(path)
        measures = [
            n
            for n in names
            if n not in (own["key"], own.get("date")) and any(fnmatch(n, w) for w in wanted)
        ]
        if not measures:
            raise fault(
                f"{kind} {path.name}", "no column matches values", f"use some of {', '.join(names)}"
            )
        found = query(path, "SELECT * FROM {rows}{where}", where=own.get("where", ""))
        keys = key_texts(column_of(found, own["key"], f"{kind} {path.name}"))
        self._by_place = len(set(keys) & set(places.keys)) > len(set(keys) & set(places.areas[0]))
        self._names = list(places.keys) if self._by_place else places.areas[0]
        self._fill = own.get("holes", np.nan)
        self._static: F64 | None = None
        self._feeds: list[Feed] = []
        self.signal: Feed | None = None
        if own.get("static") or "date" not in own:
            self._static = _last_of(
                keys, np.stack([numbers(found[m]) for m in measures], axis=1), self._names
            )
            return
        late = own.get("lateness", 1)
        self._feeds = [read_feed(path, key=own["key"], date=own["date"], value=m, lateness=late,
                                 reported=own.get("reported", ""), places=self._names, name=f"{kind} {m}")
                       for m in measures]  # fmt: skip
        dates = np.unique(np.concatenate([f.date for f in self._feeds]))
        self._daily = dates.size > 60 and int(np.median(np.diff(dates).astype(np.int64))) == 1
        if own.get("signal", self._daily):
            largest = max(self._feeds, key=lambda f: float(np.nansum(np.maximum(f.value, 0))))
            self.signal = self._at_places(largest, places)

    def _at_places(self, source: Feed, places: _Places) -> Feed:
        """The feed of a place's area as the place's own."""
        if self._by_place:
            return source
        names = places.areas[0]
        parts = [
            (key, names[a])
            for key, a in zip(places.keys, places.areas[1].of_place, strict=True)
            if a >= 0
        ]
        rows = {
            name: np.nonzero(source.place == source.position[name])[0]
            for _, name in parts
            if name in source.position
        }
        index = np.concatenate([rows[name] for _, name in parts if name in rows])
        keys = np.concatenate(
            [np.full(rows[name].size, key) for key, name in parts if name in rows]
        )
        return feed(keys.tolist(), source.date[index], source.value[index], reported=source.reported[index],
                    places=places.keys, name=source.name)  # fmt: skip

    def columns(self, as_of: np.datetime64, places: _Places) -> F64:
        """[places, columns] from what was known at the end of ``as_of``."""
        table = (
            self._static
            if self._static is not None
            else np.stack([self._latest(f, as_of) for f in self._feeds], axis=1)
        )
        table = np.where(np.isfinite(table), table, self._fill)
        areas = places.areas[1]
        if self._by_place:
            areas = Areas(places.ground.position, np.arange(places.ground.size))
        return columns_of(table, areas, places.ground.position)

    def _latest(self, source: Feed, as_of: np.datetime64) -> F64:
        known = source.as_known(as_of)
        out = np.full(len(source.places), np.nan)
        if self._daily and len(known):
            last = known.last_day
            recent = source.known(as_of, np.arange(last - _RECENT + 1, last + 1))
            count = np.isfinite(recent).sum(axis=1)
            return np.where(count > 0, np.nansum(recent, axis=1) / np.maximum(count, 1), np.nan)
        order = np.argsort(known.date, kind="stable")
        out[known.place[order]] = known.value[order]
        return out


def _last_of(keys: list[str], rows: F64, names: list[str]) -> F64:
    place_of = {name: number for number, name in enumerate(names)}
    out = np.full((len(names), rows.shape[1]), np.nan)
    for key, row in zip(keys, rows, strict=True):
        if key in place_of:
            out[place_of[key]] = row
    return out


__all__ = ["Tables", "distances", "fault", "load"]
