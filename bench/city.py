"""What joining is worth: P30 of each party's tables alone and of all together, where it matters and where not.

    python bench/city.py --json                                   # stores of the sample city (synthetic)
    python bench/city.py --kinds "" --json                        # the whole sample city
    python bench/city.py --beside bench/seoul.toml --json         # stores, and real tables beside them
    python bench/city.py --config bench/seoul.toml --json         # real tables alone

In the sample city a map company and a payments company see every store, each off by a factor of its own at every
place, so that two are better than one. In the sample city as a whole nobody pays at half of the places, and in
Seoul the tables are about districts, not places: joining is worth less, and the same command says how much.

Regimes `never_seen` (stores that were never counted) and `k1`. Of each: P30 in percent with the owners' counts
alone, with each party's tables added alone, and with all (`joint`); `gain` is joint over the best single party.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import places_runs
from hanse.errors import HanseError
from hanse.places.city import LABEL, Views, Wish, city, write

HOLDERS = ("map", "operator", "payments")
_BLOCK = re.compile(r"\n(?=\[)")
_NAME = re.compile(r"\[\[(\w+)\]\]")


def main(arguments: list[str] | None = None) -> int:
    """Draw or read, run every variant, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--config", type=Path, help="real tables, as bench/places.py takes them")
    parser.add_argument("--beside", type=Path, help="real tables to print beside the sample city")
    parser.add_argument("--places", type=int, default=500)
    parser.add_argument("--days", type=int, default=420)
    parser.add_argument("--kinds", default="supermarket", help="of the sample city; empty: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--regimes", default="never_seen,k1")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        try:
            config = args.config or drawn(args, Path(folder))
            out = measure(config, args, LABEL if args.config is None else args.config.stem)
            if args.beside is not None:
                out["beside"] = measure(args.beside, args, args.beside.stem)
        except HanseError as error:
            print(error, file=sys.stderr)
            return 1
    print(json.dumps(out) if args.json else table(out))
    return 0


def drawn(args: argparse.Namespace, folder: Path) -> Path:
    """The sample city's tables in ``folder``, and their description."""
    kinds = tuple(kind for kind in args.kinds.split(",") if kind)
    wish = Wish(args.places, 0, args.days, args.seed, views=Views(counted=1.0), kinds=kinds)
    return write(city(wish), folder)["places_toml"]


def measure(config: Path, args: argparse.Namespace, name: str) -> dict[str, Any]:
    """P30 by regime and variant."""
    text = config.read_text(encoding="utf-8")
    given = [name for name in HOLDERS if f"[[{name}]]" in text]
    wanted = [name for name in args.regimes.split(",") if name]
    out: dict[str, Any] = {"name": name, "holders": given}
    for regime in wanted:
        out[regime] = {}
    for label, kept in {"owners": [], **{name: [name] for name in given}, "joint": given}.items():
        path = config.with_name(f".{config.stem}-{label}.toml")
        path.write_text(only(text, kept, args.folds), encoding="utf-8")
        try:
            run = places_runs.run(path, wanted, ("federated",), args.workers)
        finally:
            path.unlink()
        for regime in wanted:
            out[regime][label] = places_runs.figures(run, regime)["p30"]
    for regime in wanted:
        single = max(value for label, value in out[regime].items() if label != "joint")
        out[regime]["gain"] = round(out[regime]["joint"] - single, 2)
    return out


def only(text: str, kept: list[str], folds: int) -> str:
    """A description with the tables of some holders only, and so many folds."""
    blocks = [b for b in _BLOCK.split(text) if (m := _NAME.match(b)) is None or m[1] in kept]
    top = re.sub(r"(?m)^folds *=.*\n", "", blocks[0])
    return "\n".join([f"folds = {folds}\n{top}", *blocks[1:]])


def table(out: dict[str, Any]) -> str:
    """The figures as text."""
    regimes = [name for name in out if isinstance(out[name], dict) and name != "beside"]
    lines = [str(out["name"]), ""]
    for regime in regimes:
        told = "   ".join(
            f"{label} {value:.1f}" for label, value in out[regime].items() if label != "gain"
        )
        lines.append(
            f"{regime:12}{told}   gain over the best single party {out[regime]['gain']:+.1f}"
        )
    if "beside" in out:
        lines += ["", table(out["beside"])]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
