"""Stays from pings: where a device was for a while. At home: pings and stays never leave a provider.

A stay is a run of pings of one device within ``radius`` metres of their own mean, without a silence longer than
``longest_gap``. A single wrong fix in between does not end it. Runs shorter than ``shortest`` are passing by.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hanse.catalog.expressions import identifier
from hanse.catalog.files import connect, define_view, fail_reading, find_type, types_of
from hanse.errors import Fault
from hanse.places.home import kernels

EARTH = 6_371_008.8  # metres, the mean radius
Seconds = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Pings:
    """Sorted by device and time: ``device`` int64 [pings] counts in ``devices``, ``second`` is UTC, degrees WGS
    84."""

    devices: tuple[str, ...] = field(repr=False)
    device: NDArray[np.int64] = field(repr=False)
    second: Seconds = field(repr=False)
    lat: NDArray[np.float64] = field(repr=False)
    lon: NDArray[np.float64] = field(repr=False)
    dropped: int = (
        0  # rows without a readable device, time or position, or less exact than asked for
    )

    def __len__(self) -> int:
        return int(self.second.size)


@dataclass(frozen=True, eq=False)
class Stays:
    """``begin`` and ``end`` are seconds UTC [stays], ``lat`` and ``lon`` the mean of the pings."""

    devices: tuple[str, ...] = field(repr=False)
    device: NDArray[np.int64] = field(repr=False)
    begin: Seconds = field(repr=False)
    end: Seconds = field(repr=False)
    lat: NDArray[np.float64] = field(repr=False)
    lon: NDArray[np.float64] = field(repr=False)

    def __len__(self) -> int:
        return int(self.begin.size)


def read_pings(
    source: Path | pa.Table,
    *,
    device: str = "device",
    at: str = "at",
    lat: str = "lat",
    lon: str = "lon",
    accuracy: str = "",
    worst: float = 100.0,
    name: str = "pings",
) -> Pings:
    """Pings of a CSV or Parquet file, a folder of Parquet files or an Arrow table.

    ``accuracy`` is a column of metres; pings worse than ``worst`` are dropped. Times without a zone are UTC. Raises
    what reading a file raises, and `Fault` ``pings.empty``.
    """
    connection = connect([source] if isinstance(source, Path) else [])
    try:
        if isinstance(source, Path):
            define_view(connection, "rows", source, name)
        else:
            connection.register("rows", source)
        types = types_of(connection, "rows")
        for column in (device, at, lat, lon, *([accuracy] if accuracy else [])):
            find_type(types, column, repr(name), name)
        exact = f" AND TRY_CAST({identifier(accuracy)} AS DOUBLE) <= {worst}" if accuracy else ""
        connection.execute(
            f"CREATE TEMP TABLE pings AS SELECT CAST({identifier(device)} AS VARCHAR) AS device, "
            f"TRY_CAST({identifier(at)} AS TIMESTAMP) AS moment, TRY_CAST({identifier(lat)} AS DOUBLE) AS lat, "
            f"TRY_CAST({identifier(lon)} AS DOUBLE) AS lon, coalesce(TRUE{exact}, false) AS exact FROM rows"
        )
        return _fetched(connection, name)
    except duckdb.Error as error:
        fail_reading(error, name, repr(name))
    finally:
        connection.close()


def _fetched(connection: Any, name: str) -> Pings:
    good = (
        "device IS NOT NULL AND moment IS NOT NULL AND abs(lat) <= 90 AND abs(lon) <= 180 AND exact"
    )
    connection.execute(
        f"CREATE TEMP TABLE devices AS SELECT device, row_number() OVER (ORDER BY device) - 1 AS n "
        f"FROM (SELECT DISTINCT device FROM pings WHERE {good})"
    )
    found = connection.execute(
        f"SELECT n AS device, CAST(epoch(moment) AS BIGINT) AS second, lat, lon FROM pings JOIN devices "
        f"USING (device) WHERE {good} ORDER BY device, second, lat, lon"
    ).fetchnumpy()
    names = connection.execute("SELECT device FROM devices ORDER BY n").fetchall()
    rows = int(connection.execute("SELECT count(*) FROM pings").fetchone()[0])
    second = np.ma.getdata(found["second"]).astype(np.int64)
    if not second.size:
        raise Fault("pings.empty", f"{name!r} has no ping with a device, a time and a position",
                    remedy="check the columns that are named, and the accuracy asked for", where=name)  # fmt: skip
    return Pings(
        tuple(str(row[0]) for row in names), np.ma.getdata(found["device"]).astype(np.int64), second,
        np.ma.getdata(found["lat"]).astype(np.float64), np.ma.getdata(found["lon"]).astype(np.float64),
        rows - second.size,
    )  # fmt: skip


def stays(
    pings: Pings, *, radius: float = 150.0, shortest: float = 5.0, longest_gap: float = 90.0
) -> Stays:
    """The stays of at least ``shortest`` minutes; ``radius`` metres, ``longest_gap`` minutes of silence."""
    x, y = metres(pings.lat, pings.lon, float(np.median(pings.lat)))
    number = np.empty(len(pings), np.int64)
    count = kernels.stays_of(
        pings.device, pings.second, x, y, float(radius), int(longest_gap * 60), number
    )
    kept = number >= 0
    number, second = number[kept], pings.second[kept]
    if not count:
        return Stays(pings.devices, *_nothing())
    first = np.searchsorted(number, np.arange(count))
    last = np.append(first[1:], number.size) - 1
    size = np.bincount(number, minlength=count)
    lat = np.bincount(number, pings.lat[kept], count) / size
    lon = np.bincount(number, pings.lon[kept], count) / size
    long = second[last] - second[first] >= shortest * 60
    return Stays(
        pings.devices, pings.device[kept][first][long], second[first][long], second[last][long],
        lat[long], lon[long],
    )  # fmt: skip


def metres(
    lat: NDArray[np.float64], lon: NDArray[np.float64], middle: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(east, north) in metres on the plane that touches at the latitude ``middle``; good to a per mille in a
    city."""
    to = np.pi / 180 * EARTH
    return lon * (to * np.cos(np.radians(middle))), lat * to


def _nothing() -> tuple[Any, ...]:
    whole, real = np.zeros(0, np.int64), np.zeros(0)
    return whole, whole, whole, real, real
