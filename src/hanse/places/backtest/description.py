"""A description of tables in TOML, checked, and the files that it names, read.

Paths are looked for in the folder of ``package`` (an installed Python package), else in $HANSE_DATA, else beside
the TOML file. docs/guide/crowd.md describes every key with an example.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from hanse.errors import Fault

F64 = NDArray[np.float64]
HOLDERS = ("map", "operator", "payments")
KEYS = {
    "": {"name", "test", "draw_from", "package", "holidays", "weekend", "places", "areas", "owner", "weather",
         "folds", "seeds", "retrain", *HOLDERS},
    "places": {"path", "key", "where", "latitude", "longitude", "x", "y", "area", "labels", "separator", "owner"},
    "areas": {"path", "key", "latitude", "longitude", "x", "y"},
    "owner": {"path", "key", "date", "value", "lateness", "reported", "organisations", "layout", "ignore",
              "complete"},
    "weather": {"path", "date", "values", "holiday", "lateness"},
    "map": {"path", "key", "date", "values", "lateness", "reported", "static", "holes", "signal", "where"},
}  # fmt: skip
NEEDED = {"places": {"path", "key"}, "areas": {"path", "key"}, "owner": {"path", "date"},
          "weather": {"path", "date"}, "map": {"path", "key", "values"}}  # fmt: skip


def fault(where: str, message: str, remedy: str) -> Fault:
    """What is wrong in a TOML file."""
    return Fault("bench.config", message, where=where, remedy=remedy)


def test_span(config: dict[str, Any]) -> tuple[np.datetime64, np.datetime64]:
    """First and last day of ``test``."""
    try:
        first, last = (np.datetime64(str(text), "D") for text in config["test"])
    except (TypeError, ValueError) as error:
        raise fault("test", "it is not a first and a last day",
                    'write test = ["2025-10-01", "2025-12-31"]') from error  # fmt: skip
    return first, last


def test_days(span: tuple[np.datetime64, np.datetime64], days: NDArray[np.datetime64]) -> range:
    """Numbers of the days of ``span`` in ``days``, a row that reaches to its last at least."""
    first, last = span
    if not days[0] <= first <= last:
        raise fault("test", f"{first} to {last} is no span of days after {days[0]}, the first counted day",
                    "choose days that were counted")  # fmt: skip
    return range(int((first - days[0]).astype(int)), int((last - days[0]).astype(int)) + 1)


def column_of(found: dict[str, Any], name: str, where: str) -> Any:
    """A column of a table; `Fault` with the columns that there are."""
    if name not in found:
        raise fault(where, f"there is no column {name!r}", f"its columns are {', '.join(found)}")
    return found[name]


def require_keys(section: dict[str, Any], name: str, config: dict[str, Any]) -> None:
    if name == "" and not {"places", "owner", "test"} <= set(config):
        raise fault(
            "the top", "places, owner and test are needed", "see docs/guide/crowd.md for an example"
        )
    for key in sorted(NEEDED.get(name, set()) - set(section)):
        raise fault(name, f"{key!r} is missing", "see docs/guide/crowd.md for an example")
    for key in section:
        if key not in KEYS[name]:
            raise fault(
                name or "the top",
                f"{key!r} is no key here",
                f"use one of {', '.join(sorted(KEYS[name]))}",
            )


def roots_of(config: dict[str, Any], path: Path) -> list[Path]:
    roots = []
    if "package" in config:
        found = importlib.util.find_spec(config["package"])
        if found is None or not found.submodule_search_locations:
            raise fault("package", f"the package {config['package']} is not installed",
                        f"pip install {config['package'].replace('_', '-')}")  # fmt: skip
        roots += [Path(p) for p in found.submodule_search_locations]
    if os.environ.get("HANSE_DATA"):
        roots.append(Path(os.environ["HANSE_DATA"]))
    return [*roots, path.resolve().parent]


def find(name: str, roots: list[Path]) -> Path:
    """The first root that has the file."""
    for root in roots:
        if (root / name).is_file():
            return root / name
    raise fault(
        name,
        "the file is not there",
        "set HANSE_DATA to the folder of the data, or correct the path",
    )


def _rows(path: Path) -> str:
    literal = str(path).replace("'", "''")
    reader = "read_parquet" if path.suffix == ".parquet" else "read_csv"
    return f"{reader}('{literal}')"


def query(path: Path, sql: str, parts: str = "*", where: str = "") -> dict[str, Any]:
    condition = f" WHERE {where}" if where else ""
    try:
        return (
            duckdb.connect()
            .execute(sql.format(parts=parts, rows=_rows(path), where=condition))
            .fetchnumpy()
        )
    except duckdb.Error as error:
        raise fault(path.name, f"the table cannot be read: {str(error).splitlines()[0]}",
                    "check the column names and the condition") from error  # fmt: skip


def names_of(path: Path) -> list[str]:
    return [str(n) for n in query(path, "DESCRIBE SELECT * FROM {rows}")["column_name"]]


def texts(column: Any) -> list[str]:
    return ["" if v is None or v is np.ma.masked else str(v).strip() for v in column]


def numbers(column: Any) -> F64:
    return np.ma.filled(np.ma.asarray(column).astype(np.float64), np.nan)


def key_texts(column: Any) -> list[str]:
    """Keys as text; whole numbers without a point, as different files write them."""
    return [t[:-2] if t.endswith(".0") else t for t in texts(column)]
