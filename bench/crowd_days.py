"""Daily crowds between three node processes over mutual TLS: training, days, bytes on the wire, memory.

    python bench/crowd_days.py --places 10000 --days 365

The sample city (synthetic): an owner counts all its places, a map company and an operator bring signals; each of
the three also holds a seat. Two trainings, so that the second pays for the guard, and two days, one after another.
Seconds are wall time of the whole job as its asker sees it, `cpu_s` of all three processes together.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import federation as fed
from hanse.contracts import Contract
from hanse.places.city import City, Wish, city
from hanse.places.feeds.feed import Feed, from_matrix

NAMES = ("counters", "maps", "operator")
FEEDS = {"counted": "counters", "app": "maps", "mobiles": "operator"}
LATENESS = 3


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--places", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=365)
    args = parser.parse_args()
    made = city(Wish(places=args.places, people=0, days=args.days, seed=3))
    with tempfile.TemporaryDirectory() as folder:
        print(
            json.dumps(
                {"places": args.places, "days": args.days, **measure(made, Path(folder))}, indent=2
            )
        )


def measure(made: City, root: Path) -> dict[str, Any]:
    """Set up, train twice, tell two days."""
    members = fed.found(root, NAMES)
    datasets = {owner: [_given(name, feed, root)] for (name, owner), feed in
                zip(FEEDS.items(), _feeds(made).values(), strict=True)}  # fmt: skip
    places = root / "places.parquet"
    pq.write_table(made.places.to_arrow(), places)
    fed.set_up(members, Contract.from_fields(_terms(made, members)), datasets, places=places)
    last: date = made.days.dates[-1].astype(object)
    out: dict[str, Any] = {}
    with fed.running(members):
        for name, job, back in (("train", "crowd-train", 12), ("train_guarded", "crowd-train", 9),
                                ("day", "crowd-day", 8), ("next_day", "crowd-day", 7)):  # fmt: skip
            out[name] = _asked(members, job, last - timedelta(days=back))
        out["peak_mib"] = {m.name: round(m.peak_mib()) for m in members.members.values()}
    return out


def _asked(members: fed.Federation, computation: str, ends: date) -> dict[str, Any]:
    before, cpu, started = _sent(members), members.cpu_s(), time.perf_counter()
    question = {"contract": "crowd-bench", "computation": computation, "epsilon": 0.0,
                "parameters": {"crowd": "shops", "ends": ends.isoformat()}}  # fmt: skip
    answer = members.members["counters"].ask({"verb": "run", "question": question})
    result = answer["result"]
    told = {k: result[k] for k in ("guard", "published", "abstained", "said") if k in result}
    return {"s": round(time.perf_counter() - started, 2), "cpu_s": round(members.cpu_s() - cpu, 2),
            "wire_mib": round((_sent(members) - before) / 2**20, 1), **told}  # fmt: skip


def _sent(members: fed.Federation) -> int:
    links = [link for m in members.members.values() for link in m.ask({"verb": "status"})["links"]]
    return sum(int(link["bytes_sent"]) for link in links)


def _feeds(made: City) -> dict[str, Feed]:
    names, dates = made.places.ids, made.days.dates
    truth = np.where(made.is_open, made.truth, np.nan)
    late = made.wish.views.area_lateness
    area = made.panels.area.known(dates[-1] + late, dates)[made.town.district]
    return {
        "counted": from_matrix(names, dates, truth, lateness=LATENESS),
        "app": made.panels.map_panel.over(names),
        "mobiles": from_matrix(names, dates, area, lateness=late),
    }


def _given(name: str, feed: Feed, root: Path) -> dict[str, Any]:
    path = root / f"{name}.parquet"
    pq.write_table(pa.table({
        "place": np.array(feed.places)[feed.place], "day": pa.array(feed.date, pa.date32()),
        "told": pa.array(feed.reported, pa.date32()), "people": feed.value,
    }), path)  # fmt: skip
    kinds = {"place": "place", "day": "time", "told": "time", "people": "number"}
    return {"name": name, "source": {"path": str(path)}, "ids": [{"column": "place", "type": "place"}],
            "columns": [{"name": n, "column": n, "kind": k} for n, k in kinds.items()],
            "classification": "trade-secret", "description": "Numbers of places (synthetic).",
            "legal_basis": "not-personal"}  # fmt: skip


def _terms(made: City, members: fed.Federation) -> dict[str, Any]:
    columns = {"place": "place", "date": "day", "value": "people", "reported": "told"}
    days = made.days.dates.size
    return {
        "format": 1, "id": "crowd-bench", "version": 1, "title": "Crowds", "purpose": "A benchmark.",
        "starts": date(2020, 1, 1), "expires": date(2100, 1, 1), "maximum_jobs": 1000, "seats": list(NAMES),
        "independence": "Made-up companies.", "retention_days": 30,
        "join": {"id_type": "member", "hash": "sha256", "epsilon": 1.0, "delta": 1e-8, "epsilon_budget": 1.0},
        "privacy": {"k": 20, "epsilon_per_query": 1.0, "epsilon_budget": 10.0, "delta": 1e-8,
                    "period": "contract"},
        "parties": [
            {"name": m.name, "organisation": m.identity.organisation, "signing_key": m.identity.card.signing_key,
             "certificate": m.identity.card.fingerprint}
            for m in members.members.values()
        ],
        "gazetteers": [{"name": "city", "places": len(made.places), "digest": made.places.digest}],
        "truths": [{"name": "arrivals", "title": "Visitors", "measures": "arrivals", "provider": "counters",
                    "gazetteer": "city", "error": 0.03, "lateness": LATENESS, "zone": "UTC"}],
        "datasets": [
            {"name": name, "provider": owner, "capacity": 10_000_000, "slots": 1, "personal": False, "columns": [
                {"name": "place", "kind": "place", "uses": ["place"], "gazetteer": "city"},
                {"name": "day", "kind": "time", "uses": ["order"]},
                {"name": "told", "kind": "time", "uses": ["order"]},
                {"name": "people", "kind": "number", "uses": ["target" if name == "counted" else "feature"]},
            ]}
            for name, owner in FEEDS.items()
        ],
        "crowds": [{
            "name": "shops", "gazetteer": "city", "recipients": ["counters", "maps"], "days_ahead": 7,
            "history_days": max(180, days - 13), "maximum_trainings": 100, "expiry_days": 60,
            "owners": [{"truth": "arrivals", "dataset": "counted", **columns}],
            "signals": [{"dataset": name, "lateness": 1, **columns} for name in ("app", "mobiles")],
        }],
    }  # fmt: skip


if __name__ == "__main__":
    main()
