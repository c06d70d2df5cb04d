"""Pictures of a back-test: the scoreboard of each regime, a map of the last day, some places over time.

    python bench/places.py --config FILE.toml --rows rows.parquet
    python bench/places_pictures.py --rows rows.parquet --places FILE.parquet --out pictures

`--places` is the list of places (id, name, type, lat, lon, district), as `hanse places add` takes it; without it
there is no map and no breakdown by kind and district.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from hanse.catalog.gazetteers import Gazetteer, read_gazetteer
from hanse.errors import HanseError
from hanse.places.scoreboard.pictures import scoreboard_svg
from hanse.places.scoreboard.pictures_map import map_svg
from hanse.places.scoreboard.pictures_series import series_svg
from hanse.places.scoreboard.rows import regimes, told_of_rows
from hanse.places.scoreboard.scoreboard import (
    Division,
    Told,
    by_name,
    by_size,
    by_weekday,
    lines,
    scoreboard,
)


def main(arguments: list[str] | None = None) -> int:
    """Write the pictures; 1 and a plain sentence where that is not possible."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--places", type=Path)
    parser.add_argument("--variant", default="federated")
    parser.add_argument("--series", type=int, default=3, help="places that are drawn over time")
    parser.add_argument("--label", default="", help="what the tables are of, told in every title")
    parser.add_argument("--out", type=Path, default=Path("pictures"))
    args = parser.parse_args(arguments)
    try:
        rows = pq.read_table(args.rows)
        listed = read_gazetteer(args.places) if args.places else None
        args.out.mkdir(parents=True, exist_ok=True)
        for regime in regimes(rows):
            told, truth = told_of_rows(rows, regime, args.variant)
            label = f"{args.label}, {regime}" if args.label else regime
            draw(args.out, regime, label, told, truth, listed, args.series)
    except HanseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def draw(
    out: Path,
    regime: str,
    label: str,
    told: Told,
    truth: np.ndarray,
    listed: Gazetteer | None,
    series: int,
) -> None:
    """The pictures of one regime."""
    divisions: list[Division] = [by_size(truth), by_weekday(told.dates, len(told.places))]
    if listed is not None:
        at = [listed.position.get(name, -1) for name in told.places]
        divisions.insert(0, by_name("kind", [listed.types[p] if p >= 0 else "unknown" for p in at]))
        divisions.append(
            by_name("district", [listed.districts[p] if p >= 0 else "unknown" for p in at])
        )
    board = scoreboard(told, truth, divisions)
    print(f"{regime}:", *(line for line in lines(board) if line.startswith("all")))
    (out / f"{regime}-scoreboard.svg").write_text(
        scoreboard_svg(board, label=label), encoding="utf-8"
    )
    if listed is not None:
        number = {name: n for n, name in enumerate(told.places)}
        rows = np.array([number.get(name, -1) for name in listed.ids])
        here = rows >= 0
        last = -1
        point = np.where(here, told.point[rows, last], np.nan)
        confidence = np.where(here, told.confidence[rows, last], 0.0)
        shown = here & told.published[rows, last]
        text = map_svg(f"{label}, {told.dates[last]}", listed, point, confidence, shown)
        (out / f"{regime}-map.svg").write_text(text, encoding="utf-8")
    order = np.argsort(-np.nan_to_num(np.nanmedian(np.nan_to_num(truth), axis=1)), kind="stable")
    for rank in np.linspace(0, order.size - 1, max(1, series)).astype(int).tolist()[:series]:
        p = int(order[rank])
        name = told.places[p] if listed is None else listed.names[listed.position[told.places[p]]]
        text = series_svg(
            f"{name}, {label}",
            told.dates,
            told.point[p],
            told.low[p],
            told.high[p],
            told.published[p],
            truth[p],
        )
        (out / f"{regime}-series-{rank + 1}.svg").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
