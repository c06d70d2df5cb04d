"""The crowd of places, back-tested under embargo on anyone's tables.

    python bench/places.py --config bench/seoul.toml --json
    python bench/places.py --config bench/auckland.toml --regimes known_lag7 --json

Regimes: `known_lag1`, `known_lag7`, `known_lag30` (places counted all along, counts so many days late), `k1`, `k7`,
`k28` (new places with so many counted days, drawn with fixed seeds from a month before the test), `never_seen`
(whole places left out, fold by fold). P30 is the share of predictions within 30 % of the truth, in percent. Each:

    p30, p30_published, published_share   of the joint model, owners federated
    naive                                 the best rule of thumb
    best_single                           the same model at each owner of counters alone, without the others' tables
    central                               the same model with everything in one place
    lightgbm                              boosted trees over the same tables in one place (null without lightgbm)
    interval_coverage_90, mdape           of the joint model: share of truths inside, median error in percent

docs/guide/crowd.md says what exactly each regime knows, and how to describe tables in TOML.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault(
    "OPENBLAS_NUM_THREADS", "1"
)  # small matrices in many threads: before numpy is loaded

import places_rivals
import places_runs
from hanse.errors import HanseError

REGIMES = ("known_lag1", "known_lag7", "known_lag30", "k1", "k7", "k28", "never_seen")
FIGURES = (
    "p30",
    "p30_published",
    "published_share",
    "naive",
    "best_single",
    "central",
    "interval_coverage_90",
    "mdape",
)


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked; 1 and a plain sentence where it cannot be run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--regimes", default=",".join(REGIMES), help="a list with commas")
    parser.add_argument("--quick", action="store_true", help="the federated figures only")
    parser.add_argument(
        "--without", default="", help="leave out a holder: map, operator or payments"
    )
    parser.add_argument(
        "--workers", type=int, default=min(2, os.cpu_count() or 1), help="processes"
    )
    parser.add_argument("--rows", type=Path, help="write every prediction to this Parquet file")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(arguments)
    wanted = [name for name in args.regimes.split(",") if name]
    if not wanted or set(wanted) - set(REGIMES):
        print(f"regimes are {', '.join(REGIMES)}", file=sys.stderr)
        return 1
    try:
        out = measure(args, wanted)
    except HanseError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(out) if args.json else table(out))
    return 0


def measure(args: argparse.Namespace, wanted: list[str]) -> dict[str, Any]:
    """The figures of the wanted regimes."""
    variants = ("federated",) if args.quick else places_runs.VARIANTS
    run = places_runs.run(args.config, wanted, variants, args.workers, args.without)
    out: dict[str, Any] = {
        "name": run.name,
        "places": run.places,
        "days": run.days,
        "owners": run.owners,
    }
    for name in wanted:
        out[name] = places_runs.figures(run, name)
    if not args.quick:
        places_rivals.add(args.config, out, wanted)
    out["train_s"], out["daily_s"] = round(run.train_s, 3), round(run.daily_s, 4)
    out["sums"] = {"numbers": run.numbers}
    if args.rows is not None:
        places_runs.write_rows(run, args.rows)
    return out


def table(out: dict[str, Any]) -> str:
    """The figures as text."""
    columns = (*FIGURES, "lightgbm")
    lines = [
        f"{out['name']}: {out['places']} places, {out['days']} days, {out['owners']} owners of counters",
        "",
    ]
    lines.append(f"{'':12}" + "".join(f"{c.replace('_', ' ')[:20]:>21}" for c in columns))
    for name in REGIMES:
        if name in out:
            values = [out[name].get(c) for c in columns]
            lines.append(
                f"{name:12}"
                + "".join(f"{'-' if v is None else format(v, '.2f'):>21}" for v in values)
            )
    lines.append(f"\ntraining {out['train_s']} s, a day {out['daily_s']} s")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
