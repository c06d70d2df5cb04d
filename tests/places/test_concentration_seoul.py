"""Real places with synthetic people: the stations of Seoul. Nobody in these tables exists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hanse.places import sample_people
from hanse.rehearsal import Column, Federation


def stations(folder: Path) -> pa.Table:
    """Stations within the city as a list of places; districts are the first five digits of the dong."""
    table = pq.read_table(folder / "seoul" / "places.parquet")
    table = table.filter(pc.and_(table["in_seoul"], pc.greater(table["dong"], 0)))
    return pa.table(
        {
            "id": table["station"], "name": table["station"], "lat": table["lat"], "lon": table["lon"],
            "type": ["station"] * table.num_rows,
            "h3": table["h3_8"],
            "district": [str(d)[:5] for d in table["dong"].to_pylist()],
            "city": ["Seoul"] * table.num_rows,
        }
    )  # fmt: skip


def test_synthetic_people_at_real_stations(hanse_data: Path) -> None:
    """What is told is near the truth, and the areas that stand out are those that do."""
    listed = stations(hanse_data)
    assert listed.num_rows == 301
    people = sample_people(listed, 120_000)
    fed = Federation(k=20, seed="seoul")
    fed.places("stations", listed)
    fed.dataset("labels", "insurer", people["labels"], id="id", columns=["car"])
    fed.dataset("homes", "operator", people["homes"], id="id",
                columns={"home": Column("home", gazetteer="stations")})  # fmt: skip
    answer = fed.concentration(
        targets={"buyers": {"dataset": "labels", "where": [{"column": "car", "equals": "intends"}]}},
        at=[{"name": "home", "dataset": "homes", "column": "home"}],
        levels=["place", "district", "city"], starts="2026-03-01", ends="2026-04-01", epsilon=4.0,
    )  # fmt: skip
    told, truth = answer.result, answer.twin()
    held = number = 0
    for level in told.levels:
        mine, exact = level.target("buyers"), truth.level(level.level).target("buyers")
        there = np.isfinite(mine.tgi.value)
        inside = (mine.tgi.low <= exact.tgi.value) & (exact.tgi.value <= mine.tgi.high)
        held, number = held + int(inside[there].sum()), number + int(there.sum())
    assert number > 100
    assert held >= 0.95 * number  # of what these people are; the interval is for people like them
    district = told.level("district").target("buyers")
    best = truth.level("district").target("buyers")
    assert set(np.argsort(district.rank)[:3]) == set(np.argsort(best.rank)[:3])
    whole = told.level("city").target("buyers").tgi
    assert whole.low[0] <= 100 <= whole.high[0]
    assert told.to_svg("place").count("<circle") > 100
