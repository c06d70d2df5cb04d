"""What each holder of signals adds to a crowd model: figures within 30 % (P30) with all, and without it.

From back-tests on this organisation's own tables (`hanse.places.backtest`), each day told with what was known then.
Kept beside the store, the last one of each name, for the page on value.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any

from hanse.errors import Fault, Refusal
from hanse.node.disk import writing_to
from hanse.places import backtest
from hanse.places.backtest.description import HOLDERS
from hanse.places.backtest.tables import load

FOLDER = "backtests"
_MOST_KEPT = 50
Document = dict[str, Any]


def measure(config: Path, regime: str, workers: int = 1) -> Document:
    """P30 in percent with all holders of the tables, and without each of them.

    Raises `Refusal` ``backtest.regime``, or ``backtest.holders`` for tables that no holder brings.
    """
    if regime not in backtest.REGIMES:
        raise Refusal("backtest.regime", f"there is no regime {regime[:32]!r}",
                      remedy=f"use one of {', '.join(backtest.REGIMES)}")  # fmt: skip
    tables = load(config)
    kinds = [kind for kind in HOLDERS if kind in tables.holders]
    if not kinds:
        raise Refusal("backtest.holders", "the tables name no holder of signals",
                      remedy="add one of " + ", ".join(f"[[{kind}]]" for kind in HOLDERS))  # fmt: skip
    found: dict[str, float | None] = {}
    whole = None
    for left_out in ("", *kinds):
        run = backtest.run(config, [regime], ("federated",), workers, left_out)
        p30 = backtest.figures(run, regime)["p30"]
        if left_out:
            found[left_out] = p30
        else:
            whole = p30
    return {
        "name": tables.name, "regime": regime, "places": tables.city.ground.size, "days": len(tables.test),
        "owners": len(tables.owners), "p30": whole, "without": found,
    }  # fmt: skip


def keep(data: Path, found: Document, now: datetime) -> Path:
    """Write a back-test down; it takes the place of an earlier one of that name and regime."""
    name = re.sub(r"[^a-z0-9]+", "-", f"{found['name']}-{found['regime']}".lower()).strip("-")[:64]
    folder = data / FOLDER
    target = folder / f"{name or 'backtest'}.json"
    with writing_to(data):
        folder.mkdir(mode=0o700, exist_ok=True)
        target.write_text(
            json.dumps({**found, "at": now.isoformat(timespec="seconds")}, indent=1) + "\n"
        )
    return target


def kept(data: Path | None) -> list[Document]:
    """Back-tests that were kept, the newest first; `Fault` ``backtest.damaged`` for a file that cannot be read."""
    if data is None or not (data / FOLDER).is_dir():
        return []
    rows = []
    for path in sorted((data / FOLDER).glob("*.json"))[:_MOST_KEPT]:
        try:
            row = json.loads(path.read_text(encoding="utf-8"))
            rows.append(
                {"name": str(row["name"]), "regime": str(row["regime"]), "at": str(row["at"]),
                 "places": int(row["places"]), "days": int(row["days"]), "owners": int(row["owners"]),
                 "p30": _percent(row["p30"]), "without": {str(k): _percent(v) for k, v in row["without"].items()}}
            )  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise Fault("backtest.damaged", f"the back-test {path.name} cannot be read",
                        remedy="delete the file and run the back-test again") from error  # fmt: skip
    return sorted(rows, key=lambda row: (row["at"], row["name"]), reverse=True)


def _percent(value: Any) -> float | None:
    return None if value is None else float(value)
