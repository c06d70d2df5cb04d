"""Three organisations that tell the crowd of places every day: an owner of counters, a map company, an operator.

Their nodes run in this process (`start`), or as processes of their own (`processes`). The places and what everybody
sees of them are the sample city's: synthetic, and known exactly.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from model_federation import Member, free_port, until

from hanse.clock import SystemClock
from hanse.contracts import Bundle, Contract
from hanse.entropy import SystemEntropy
from hanse.node.config import Listen, config_text
from hanse.node.control import ask_node
from hanse.node.faces import facade
from hanse.node.identity.keys import create_identity
from hanse.node.identity.partners import Partner
from hanse.node.jobs.runner import Outcome, Question
from hanse.node.transport.exchange import Tap
from hanse.places.city import City, Wish, city
from hanse.places.feeds import Feed, from_matrix

NAMES = ("counters", "maps", "operator")
FEEDS = {"counted": "counters", "app": "maps", "mobiles": "operator"}
LATENESS = 3
Document = dict[str, Any]

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
class CrowdFederation:
    """The three, by name."""

    root: Path
    made: City
    members: dict[str, Member] = field(default_factory=dict)
    contracts: int = 0
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    @classmethod
    def found(cls, root: Path, wish: Wish) -> CrowdFederation:
        self = cls(root, city(wish))
        for name in NAMES:
            folder, address = root / name, ("127.0.0.1", free_port())
            organisation = f"The {name} company (made up)"
            identity = create_identity(
                folder, name, organisation, clock=SystemClock(), entropy=SystemEntropy()
            )
            text = config_text(name, organisation, Listen(host=address[0], port=address[1]))
            (folder / "hanse.toml").write_text(text)
            (folder / "data").mkdir()
            self.members[name] = Member(name, folder, identity, address)
        pq.write_table(self.made.places.to_arrow(), root / "places.parquet")
        held = feeds(self.made)
        for dataset, owner in FEEDS.items():
            self.give(dataset, held[dataset])
            with facade.office_of(self.members[owner].folder) as office:
                office.shelf.add(root / "places.parquet")
                for other in self.members.values():
                    if other.name != owner:
                        office.add_partner(Partner(other.identity.card, other.address))
                office.register_dataset(self.described(dataset))
        return self

    def share_out(self) -> None:
        """Every party gets a third of the places to count: three owners, ``mine-...`` each."""
        held = feeds(self.made)["counted"]
        for number, name in enumerate(NAMES):
            self.give(f"mine-{name}", held.where(held.place % 3 == number))
            with self.members[name].office() as office:
                office.register_dataset(self.described(f"mine-{name}"))

    def joint_contract(self) -> str:
        """A contract of three owners without signals."""
        terms = self.terms()
        columns = {"place": "place", "date": "day", "value": "people", "reported": "told"}
        owners = [{"truth": f"seen-{n}", "dataset": f"mine-{n}", **columns} for n in NAMES]
        return self.contract(
            truths=[{**terms["truths"][0], "name": f"seen-{n}", "provider": n} for n in NAMES],
            datasets=[{**terms["datasets"][0], "name": f"mine-{n}", "provider": n} for n in NAMES],
            crowds=[clause(owners=owners, signals=[], recipients=["counters", "maps"])],
        )

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
        self.contracts += 1
        return {
            "format": 1, "id": f"crowds-{self.contracts}", "version": 1, "title": "Crowds",
            "purpose": "See whether crowds are told as agreed.", "starts": date(2020, 1, 1),
            "expires": date(2100, 1, 1), "maximum_jobs": 1000, "seats": list(NAMES),
            "independence": "Made-up companies.", "retention_days": 30,
            "join": {"id_type": "member", "hash": "sha256", "epsilon": 1.0, "delta": 1e-8,
                     "epsilon_budget": 1.0},
            "privacy": {"k": 20, "epsilon_per_query": 1.0, "epsilon_budget": 10.0, "delta": 1e-8,
                        "period": "contract"},
            "parties": [
                {"name": m.name, "organisation": m.identity.organisation,
                 "signing_key": m.identity.card.signing_key,
                 "certificate": m.identity.card.fingerprint}
                for m in self.members.values()
            ],
            "gazetteers": [{"name": "city", "places": len(self.made.places), "digest": self.made.places.digest}],
            "truths": [{"name": "arrivals", "title": "Visitors", "measures": "arrivals", "provider": "counters",
                        "gazetteer": "city", "error": 0.03, "lateness": LATENESS, "zone": "UTC"}],
            "datasets": [
                {"name": name, "provider": owner, "capacity": 1000, "slots": 1, "personal": False,
                 "columns": deepcopy(COLUMNS[name])}
                for name, owner in FEEDS.items()
            ],
            "crowds": [clause()],
        } | changes  # fmt: skip

    def contract(self, **changes: Any) -> str:
        """Agree on a contract at all nodes; its id."""
        bundle = Bundle(Contract.from_fields(self.terms(**changes)))
        for name in NAMES:
            bundle = bundle.signed(name, self.members[name].identity.signing_key)
        for member in self.members.values():
            with member.office() as office:
                office.import_bundle(bundle)
        return bundle.contract.id

    # --- running --------------------------------------------------------------------------------

    def start(self, taps: dict[str, Tap] | None = None) -> None:
        for member in self.members.values():
            member.start(tap=(taps or {}).get(member.name))
        until(lambda: all(s.connected for m in self.members.values()
                          for s in m.running.exchange.status()), 30, "linked")  # fmt: skip

    def stop(self) -> None:
        for member in self.members.values():
            member.stop()

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

    def processes(self) -> None:
        """Start the nodes as processes, and wait until they are linked."""
        for name in NAMES:
            command = [
                sys.executable,
                "-m",
                "hanse.cli",
                "node",
                "start",
                "--node",
                str(self[name].folder),
            ]
            with (self.root / f"{name}.log").open("ab") as log:
                self.running.append(subprocess.Popen(command, stdout=log, stderr=log))  # noqa: S603

        def linked() -> bool:
            try:
                found = [ask_node(self[n].data, {"verb": "status"})["links"] for n in NAMES]
            except Exception:
                return False
            return all(link["connected"] for links in found for link in links)

        until(linked, 60, "linked")

    def end(self) -> None:
        for process in self.running:
            process.terminate()
        for process in self.running:
            process.wait(15)
        self.running.clear()


__all__ = ["FEEDS", "LATENESS", "NAMES", "CrowdFederation", "clause", "feeds", "table"]
