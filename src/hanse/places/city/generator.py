"""The sample city: a made-up town with people, places, crowds and what four organisations see of them.

**All of it is synthetic; nobody and nothing here exists.** Drawn from a seed, so that everybody gets the same town.
Crowds are drawn as daily sums, not from the trips of people, so that ten thousand places over a year take seconds;
people and their trips are a sample of their own, for questions about people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hanse.catalog.gazetteers import Gazetteer
from hanse.errors import Fault
from hanse.places.city.days import Almanac, almanac, arrivals, means
from hanse.places.city.monthly import monthly, operator_monthly
from hanse.places.city.panels import Panels, Views, panels
from hanse.places.city.people import People, people
from hanse.places.city.town import KINDS, OWNERS, Town, build
from hanse.places.feeds.feed import Feed, Floats, day

LABEL = "synthetic: the sample city; nobody and nothing in it exists"
_METADATA = {b"hanse-synthetic": LABEL.encode()}


@dataclass(frozen=True)
class Wish:
    """What to draw. ``given`` places instead of made-up ones; ``kinds`` of places, all without any; ``shock`` is a
    sudden trouble late in the span.
    """

    places: int = 1000
    people: int = 20_000
    days: int = 365
    seed: int = 1
    starts: str = "2025-01-01"
    shock: bool = False
    views: Views = field(default_factory=Views)
    given: Gazetteer | None = None
    kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (
            20 <= self.places <= 200_000
            and 0 <= self.people <= 5_000_000
            and 30 <= self.days <= 3660
        ):
            raise Fault(
                "city.size",
                "a sample city has 20 to 200,000 places, up to 5,000,000 people and 30 to 3,660 days",
                remedy="choose numbers in these limits",
                where="city",
            )
        unknown = sorted(set(self.kinds) - set(KINDS))
        if unknown:
            raise Fault("city.kinds", f"there are no places of the kind {unknown[0]!r}", where="city",
                        remedy=f"choose among: {', '.join(KINDS)}")  # fmt: skip


@dataclass(frozen=True, eq=False)
class City:
    """``truth`` [places, days] are the arrivals as they were, which no organisation knows as a whole."""

    wish: Wish
    town: Town
    days: Almanac
    truth: Floats = field(repr=False)
    is_open: NDArray[np.bool_] = field(repr=False)
    panels: Panels
    people: People | None

    @property
    def places(self) -> Gazetteer:
        return self.town.places


def city(wish: Wish | None = None) -> City:
    """Draw the city that is wished for."""
    w = wish or Wish()
    town = build(w.places, w.seed, w.given, w.kinds)
    days = almanac(town, day(w.starts), w.days, w.seed, w.shock)
    truth, is_open = arrivals(means(town, days, w.seed), w.seed)
    seen = panels(town, days, truth, is_open, w.seed, w.views)
    who = people(town, w.people, days.dates, w.seed) if w.people else None
    return City(w, town, days, truth, is_open, seen, who)


def tables(made: City) -> dict[str, pa.Table]:
    """Every table of the city, by name; all say in their metadata that they are synthetic."""
    town, views = made.town, made.panels
    owner = {
        name: int(o) for name, o in zip(views.counters.places, views.owner.tolist(), strict=True)
    }
    counted = rows(views.counters, "arrivals")
    whose = [f"owner-{owner[name] + 1}" for name in views.counters.places]
    counted = counted.append_column("owner", pa.array(np.array(whose)[views.counters.place]))
    out = {
        "places": _places(made),
        "calendar": made.days.table(),
        "counters": counted,
        "map": rows(views.map_panel, "visits"),
        "payments": rows(views.payments, "payments"),
        "operator": rows(views.operator, "people"),
        "area": rows(views.area, "people"),
        "map_monthly": monthly(views.map_panel, made.days.dates, "visits"),
        "payments_monthly": monthly(views.payments, made.days.dates, "payments"),
        "operator_monthly": operator_monthly(town, views, made.days.dates),
        "cells": pa.table({
            "cell": list(town.cell_names), "lat": town.cell_lat, "lon": town.cell_lon,
            "side_m": town.cell_side.astype(np.int64),
            "district": np.array(town.districts)[town.cell_district],
        }),
        "events": pa.table({
            "place": np.array(town.places.ids)[made.days.event_place],
            "date": pa.array(made.days.dates[made.days.event_day], pa.date32()),
        }),
        "truth": _truth(made),
    }  # fmt: skip
    if made.people is not None:
        out |= made.people.tables
    return {name: table.replace_schema_metadata(_METADATA) for name, table in out.items()}


def rows(feed: Feed, value: str) -> pa.Table:
    """A feed as a table of key, date, value, reported."""
    return pa.table(
        {
            "key": pa.DictionaryArray.from_arrays(pa.array(feed.place), pa.array(feed.places)),
            "date": pa.array(feed.date, pa.date32()),
            value: feed.value,
            "reported": pa.array(feed.reported, pa.date32()),
        }
    )


def write(made: City, folder: Path, held: Mapping[str, pa.Table] | None = None) -> dict[str, Path]:
    """Write every table (``held``, if `tables` was asked already) as Parquet and ``city.toml``; the files by name.

    Raises `Fault` ``city.folder`` if there is something in the folder that is not a sample city.
    """
    marker = folder / "city.toml"
    if folder.exists() and any(folder.iterdir()) and not marker.exists():
        raise Fault("city.folder", f"the folder {folder.name!r} holds other files", where="city",
                    remedy="name a new folder, or an empty one")  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    out = {}
    for name, table in (held or tables(made)).items():
        out[name] = folder / f"{name}.parquet"
        pq.write_table(table, out[name], compression="zstd")
    marker.write_text(described(made), encoding="utf-8")
    config = folder / "places.toml"
    config.write_text(back_test(made), encoding="utf-8")
    return out | {"city": marker, "places_toml": config}


def described(made: City) -> str:
    """What was drawn, as TOML."""
    w = made.wish
    lines: Mapping[str, Any] = {
        "places": len(made.town), "people": w.people, "days": w.days, "seed": w.seed, "starts": w.starts,
        "shock": w.shock, "owners": OWNERS, "counted_places": len(made.panels.counters.places),
        "cells": len(made.town.cell_names), "districts": len(made.town.districts),
    }  # fmt: skip
    body = "\n".join(f"{key} = {_toml(value)}" for key, value in lines.items())
    return f'# {LABEL}\nsynthetic = true\nlabel = "{LABEL}"\n{body}\n'


def back_test(made: City) -> str:
    """The description that ``bench/places.py`` takes: the last 60 days are told, every place is counted by its
    owner."""
    dates = made.days.dates
    test = dates[max(0, dates.size - 60)]
    draw = dates[max(0, dates.size - 121)], dates[max(0, dates.size - 92)]
    return _BACK_TEST.format(label=LABEL, first=test, last=dates[-1], draw_first=draw[0], draw_last=draw[1],
                             lateness=made.wish.views.counter_lateness)  # fmt: skip


_BACK_TEST = """# {label}
# `python bench/places.py --config places.toml` in this folder
name = "sample city (synthetic)"
test = ["{first}", "{last}"]
draw_from = ["{draw_first}", "{draw_last}"]

[places]
path = "places.parquet"
key = "id"
latitude = "lat"
longitude = "lon"
area = "district"
labels = "type"
owner = "owner"

[owner]
path = "truth.parquet"
key = "key"
date = "date"
value = "arrivals"
lateness = {lateness}

[[map]]
path = "map.parquet"
key = "key"
date = "date"
values = "visits"
reported = "reported"

[[map]]
path = "places.parquet"
key = "id"
values = "area_m2"
static = true

[[operator]]
path = "operator_monthly.parquet"
key = "key"
date = "date"
values = "people_*"
reported = "reported"

[[operator]]
path = "area.parquet"
key = "key"
date = "date"
values = "people"
reported = "reported"

[[payments]]
path = "payments.parquet"
key = "key"
date = "date"
values = "payments"
reported = "reported"

[weather]
path = "calendar.parquet"
date = "date"
values = ["temp_avg", "rain_mm"]
holiday = "holiday_name"
"""


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _places(made: City) -> pa.Table:
    """The gazetteer with what the map company knows of each place."""
    town = made.town
    table = town.places.to_arrow()
    table = table.append_column("area_m2", pa.array(town.area))
    table = table.append_column("owner", pa.array([f"owner-{o + 1}" for o in town.owner.tolist()]))
    return table.append_column("kind", pa.array([KINDS[k] for k in town.kind.tolist()]))


def _truth(made: City) -> pa.Table:
    """The arrivals at all places: for judging what was learnt, of a kind that no real city has."""
    at, place = np.nonzero(made.is_open.T)
    names = pa.array(made.town.places.ids)
    return pa.table({
        "key": pa.DictionaryArray.from_arrays(pa.array(place.astype(np.int32)), names),
        "date": pa.array(made.days.dates[at], pa.date32()), "arrivals": made.truth[place, at],
    })  # fmt: skip
