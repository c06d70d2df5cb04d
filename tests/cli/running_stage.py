"""Three nodes in this process, with links, data and a live contract, for the command line to speak to.

Everybody knows everything here, so that results can be compared with a plain count.
"""

from __future__ import annotations

import csv
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hanse.clock import SystemClock
from hanse.contracts import Bundle, Contract
from hanse.node.daemon import Node
from hanse.node.faces import facade
from hanse.node.identity.keys import load_identity
from hanse.node.identity.partners import Partner

PARTIES = ("media-house", "retail-chain", "data-house")
PEOPLE = 900  # of whom two thirds bought, half of these are young
CONTRACT = "little-journey"

QUESTION = f"""
contract = "{CONTRACT}"
computation = "funnel"
epsilon = 4.0
recipients = ["media-house"]

[parameters]
starts = 2026-01-01
ends = 2026-03-01
time_unit = "day"

[[parameters.stages]]
name = "exposed"
any_of = [{{ dataset = "exposures" }}]

[[parameters.stages]]
name = "bought"
any_of = [{{ dataset = "purchases" }}]

[parameters.by]
dataset = "purchases"
column = "band"
merge = {{ "younger" = ["young"], "older" = ["old"] }}
"""


@dataclass(frozen=True)
class Stage:
    """The nodes' folders, and a place for files."""

    nodes: dict[str, Path]
    folder: Path
    running: dict[str, Node]

    @property
    def media(self) -> Path:
        return self.nodes["media-house"]

    @property
    def retailer(self) -> Path:
        return self.nodes["retail-chain"]

    @property
    def data(self) -> Path:
        return self.nodes["data-house"]

    def question(self, name: str, text: str = QUESTION) -> Path:
        """A question's file."""
        path = self.folder / name
        path.write_text(text)
        return path


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """The three nodes, running and linked."""
    folders = {party: folder / party for party in PARTIES}
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in PARTIES]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        addresses = {
            p: ("127.0.0.1", int(s.getsockname()[1])) for p, s in zip(PARTIES, probes, strict=True)
        }
    for party in PARTIES:
        facade.create_node(folders[party], party, f"Organisation {party}", addresses[party])
    cards = {p: load_identity(f, clock=SystemClock()).card for p, f in folders.items()}
    bundle = Bundle(contract(cards))
    for party, home in folders.items():
        with facade.office_of(home) as office:
            for other in PARTIES:
                if other != party:
                    office.add_partner(Partner(cards[other], addresses[other]))
            bundle = bundle.signed(party, office.identity.signing_key)
            for document in datasets(home).get(party, []):
                office.register_dataset(document)
    running: list[Node] = []
    try:
        for home in folders.values():
            with facade.office_of(home) as office:
                office.import_bundle(bundle)
            node = Node(home)
            running.append(node)
            node.start()
        for node in running:
            for other in PARTIES:
                if other != node.office.party:
                    node.exchange.wait_for(other, 20)
        yield Stage(folders, folder, {n.office.party: n for n in running})
    finally:
        for node in running:
            node.stop()


def datasets(home: Path) -> dict[str, list[dict[str, object]]]:
    """Write the files of a party and describe them."""
    home.joinpath("data").mkdir(exist_ok=True)
    seen, bought = home / "data" / "exposures.csv", home / "data" / "purchases.csv"
    if home.name == "media-house":
        with seen.open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["member", "at"])
            out.writerows([f"member-{i:04}", "2026-01-05"] for i in range(PEOPLE))
    if home.name == "retail-chain":
        with bought.open("w", newline="") as file:
            out = csv.writer(file)
            out.writerow(["member", "at", "band"])
            out.writerows(
                [f"member-{i:04}", "2026-02-01", "young" if i % 6 == 0 else "old"]
                for i in range(PEOPLE)
                if i % 3 != 2
            )
    common = {
        "ids": [{"column": "member", "type": "member"}], "classification": "personal",
        "description": "made-up people", "legal_basis": "consent", "evidence": "made-up people",
    }  # fmt: skip
    time = {"name": "at", "column": "at", "kind": "time"}
    return {
        "media-house": [
            {"name": "exposures", "source": {"path": str(seen)}, "columns": [time], **common}
        ],
        "retail-chain": [
            {"name": "purchases", "source": {"path": str(bought)},
             "columns": [time, {"name": "band", "column": "band", "kind": "category"}], **common}
        ],
    }  # fmt: skip


def contract(cards: dict[str, object]) -> Contract:
    """What the three have agreed on."""
    today = datetime.now(UTC).date()
    time = {"name": "at", "kind": "time", "uses": ["order"]}
    common = {
        "capacity": 1000,
        "slots": 1,
        "personal": True,
        "legal_basis": "consent",
        "evidence": "made up",
    }
    return Contract.from_fields(
        {
            "format": 1, "id": CONTRACT, "version": 1, "title": "A little journey", "purpose": "Tests",
            "starts": today - timedelta(days=1), "expires": today + timedelta(days=30), "maximum_jobs": 50,
            "seats": list(PARTIES), "independence": "Three temporary folders.", "retention_days": 1,
            "join": {"id_type": "member", "hash": "sha256", "epsilon": 1.0, "delta": 1e-8,
                     "epsilon_budget": 50.0},
            "privacy": {"k": 20, "epsilon_per_query": 4.0, "epsilon_budget": 40.0, "delta": 1e-8,
                        "period": "contract"},
            "parties": [
                {"name": p, "organisation": f"Organisation {p}",
                 "signing_key": cards[p].signing_key, "certificate": cards[p].fingerprint}  # type: ignore[attr-defined]
                for p in PARTIES
            ],
            "datasets": [
                {"name": "exposures", "provider": "media-house", "columns": [time], **common},
                {"name": "purchases", "provider": "retail-chain", **common,
                 "columns": [time, {"name": "band", "kind": "category", "uses": ["segment"],
                                    "values": ["young", "old"]}]},
            ],
            "computations": [
                {"name": name, "recipients": ["media-house", "retail-chain"],
                 "datasets": ["exposures", "purchases"]}
                for name in ("funnel", "journey")
            ],
        }
    )  # fmt: skip
