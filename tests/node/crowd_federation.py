"""Three organisations that tell the crowd of places every day: an owner of counters, a map company, an operator.

Their nodes run in this process (`start`), or as processes of their own (`processes`). The places and what everybody
sees of them are the sample city's: synthetic, and known exactly.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hanse.node.faces import facade
from hanse.node.jobs.runner import Outcome, Question
from hanse.places.city import City, Wish, city
from hanse.places.feeds.feed import Feed, from_matrix
from node_stage import Document, Nodes

NAMES = ("counters", "maps", "operator")
FEEDS = {"counted": "counters", "app": "maps", "mobiles": "operator"}
LATENESS = 3

COLUMNS: dict[str, list[Document]] = {
    name: [
        {"name": "place", "kind": "place", "uses": ["place"], "gazetteer": "city"},
        {"name": "day", "kind": "time", "uses": ["order"]},
        {"name": "told", "kind": "time", "uses": ["order"]},
        {"name": "people", "kind": "number", "uses": ["target" if name == "counted" else "feature"]},
    ]
    for name in FEEDS
}  # fmt: skip


def feeds(made: City) -> dict[str, Feed]:
    """What each of the three holds: all places but the last five are counted, three days late."""
    names, dates = made.places.ids, made.days.dates
    truth = np.where(made.is_open, made.truth, np.nan)
    truth[-5:] = np.nan
    late = made.wish.views.area_lateness
    area = made.panels.area.known(dates[-1] + late, dates)[made.town.district]
    return {
        "counted": from_matrix(names, dates, truth, lateness=LATENESS, name="counted"),
        "app": made.panels.map_panel.over(names),
        "mobiles": from_matrix(names, dates, area, lateness=late, name="mobiles"),
    }


def table(feed: Feed) -> pa.Table:
    """A feed as the table that its owner registers."""
    return pa.table({
        "place": np.array(feed.places)[feed.place], "day": pa.array(feed.date, pa.date32()),
        "told": pa.array(feed.reported, pa.date32()), "people": feed.value,
    })  # fmt: skip


def clause(**changes: Any) -> Document:
    """The crowd that is told."""
    columns = {"place": "place", "date": "day", "value": "people", "reported": "told"}
    return {
        "name": "shops", "gazetteer": "city",
        "owners": [{"truth": "arrivals", "dataset": "counted", **columns}],
        "signals": [{"dataset": "app", "lateness": 1, **columns}, {"dataset": "mobiles", "lateness": 1, **columns}],
        "recipients": ["counters", "maps"], "days_ahead": 2, "history_days": 270,
        "maximum_trainings": 4, "expiry_days": 60,
    } | changes  # fmt: skip


@dataclass
class CrowdFederation(Nodes):
    """The three, or more, by name."""

    made: City = field(kw_only=True)
    owned: dict[str, str] = field(default_factory=lambda: dict(FEEDS))  # dataset: party

    @classmethod
    def found(
        cls,
        root: Path,
        wish: Wish,
        names: tuple[str, ...] = NAMES,
        owned: dict[str, str] | None = None,
    ) -> CrowdFederation:
        """Nodes with their datasets registered; ``owned`` says whose each of the city's feeds is."""
        self = cls(root, made=city(wish), owned=dict(FEEDS) if owned is None else owned)
        self.settle_in(names)
        pq.write_table(self.made.places.to_arrow(), root / "places.parquet")
        held = feeds(self.made)
        for member in self.members.values():
            with facade.office_of(member.folder) as office:
                office.shelf.add(root / "places.parquet")
        for dataset, owner in self.owned.items():
            self.give(dataset, held[dataset])
            with facade.office_of(self.members[owner].folder) as office:
                office.register_dataset(self.described(dataset))
        return self

    def share_out(self, owners: tuple[str, ...] = NAMES) -> None:
        """Every one of the three gets a third of the places to count: ``mine-...`` each."""
        held = feeds(self.made)["counted"]
        for number, name in enumerate(owners):
            self.give(f"mine-{name}", held.where(held.place % 3 == number))
            with self.members[name].office() as office:
                office.register_dataset(self.described(f"mine-{name}"))

    def joint_contract(self, owners: tuple[str, ...] = NAMES, **changes: Any) -> str:
        """A contract of three owners; without signals, unless the crowd's ``changes`` name some."""
        terms = self.terms()
        columns = {"place": "place", "date": "day", "value": "people", "reported": "told"}
        named = [{"truth": f"seen-{n}", "dataset": f"mine-{n}", **columns} for n in owners]
        crowd = {"owners": named, "signals": [], "recipients": list(owners[:2])} | changes
        used = {one["dataset"] for one in [*crowd["signals"], *crowd.get("tables", ())]}
        counted = {**terms["datasets"][0], "columns": deepcopy(COLUMNS["counted"])}
        return self.contract(
            truths=[{**terms["truths"][0], "name": f"seen-{n}", "provider": n} for n in owners],
            datasets=[*({**counted, "name": f"mine-{n}", "provider": n} for n in owners),
                      *(d for d in terms["datasets"] if d["name"] in used)],
            crowds=[clause(**crowd)],
        )  # fmt: skip

    def described(self, dataset: str) -> Document:
        return {
            "name": dataset, "source": {"path": str(self.source(dataset))},
            "ids": [{"column": "place", "type": "place"}],
            "columns": [{"name": c["name"], "column": c["name"], "kind": c["kind"]} for c in COLUMNS["counted"]],
            "classification": "trade-secret", "description": "Numbers of places (synthetic).",
            "legal_basis": "not-personal",
        }  # fmt: skip

    def source(self, dataset: str) -> Path:
        return self.root / f"{dataset}.parquet"

    def give(self, dataset: str, feed: Feed) -> None:
        pq.write_table(table(feed), self.source(dataset))

    def day(self, before_last: int) -> date:
        last: date = self.made.days.dates[-1].astype(object)
        return last - timedelta(days=before_last)

    def terms(self, **changes: Any) -> Document:
        fields = self.common_terms(
            "crowds",
            gazetteers=[{"name": "city", "places": len(self.made.places), "digest": self.made.places.digest}],
            truths=[{"name": "arrivals", "title": "Visitors", "measures": "arrivals", "provider": "counters",
                        "gazetteer": "city", "error": 0.03, "lateness": LATENESS, "zone": "UTC"}],
            datasets=[
                {"name": name, "provider": owner, "capacity": 1000, "slots": 1, "personal": False,
                 "columns": deepcopy(COLUMNS[name])}
                for name, owner in self.owned.items()
            ],
            crowds=[clause()],
        )  # fmt: skip
        return fields | changes

    # --- running --------------------------------------------------------------------------------

    def train(self, contract: str, ends: date, asking: str = "counters") -> Outcome:
        return self.ask(contract, "crowd-train", asking, ends)

    def tell(
        self, contract: str, ends: date, asking: str = "counters", without: Iterable[str] = ()
    ) -> Outcome:
        return self.ask(contract, "crowd-day", asking, ends, without=list(without))

    def ask(
        self, contract: str, computation: str, asking: str, ends: date, **parameters: Any
    ) -> Outcome:
        asked = {"crowd": "shops", "ends": ends.isoformat(), **parameters}
        question = Question(contract, computation, asked, 0.0)
        return self.members[asking].running.runner.ask(question)


__all__ = ["FEEDS", "LATENESS", "NAMES", "CrowdFederation", "clause", "feeds", "table"]
