"""What command line and console may ask of a node about daily crowds: train, tell a day, show, score."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from hanse.catalog.gazetteers import Gazetteer
from hanse.contracts import Contract
from hanse.contracts.crowds import CROWD_DAY, CROWD_TRAIN, CrowdClause, crowd_called
from hanse.errors import Refusal
from hanse.node.crowd_days.result import BOARD_DAYS, archived, feed_day, product_of, regimes_kept
from hanse.node.faces import facade
from hanse.node.office import ENDED, NodeOffice, bundle_of
from hanse.places.daily.kept import clean
from hanse.places.daily.reading import read_reports
from hanse.places.feeds.feed import Feed, days_between
from hanse.places.scoreboard.scoreboard import Scoreboard, Told
from hanse.places.truth import agreed

Document = dict[str, Any]


def _quiet(_document: Document) -> None:
    return None


def contract_with(
    office: NodeOffice, crowd: str, contract: str = ""
) -> tuple[Contract, CrowdClause]:
    """The contract under which ``crowd`` is told: the one named, or the only one that has it.

    `Refusal` ``crowd.unknown`` or ``crowd.contract`` naming those there are.
    """
    if contract:
        found = office.bundle(contract).contract
        return found, crowd_called(found, crowd)
    having = sorted(
        {c.id for c in office.store.contracts.all()
         if c.state != ENDED and any(one.name == crowd for one in bundle_of(c).contract.crowds)}
    )  # fmt: skip
    if not having:
        raise Refusal("crowd.unknown", f"no contract at {office.party} tells a crowd {crowd[:64]!r}",
                      remedy="agree on a contract that has [[crowds]]")  # fmt: skip
    if len(having) > 1:
        raise Refusal("crowd.contract", f"several contracts tell a crowd {crowd!r}: {', '.join(having)}",
                      remedy="say which one with --contract")  # fmt: skip
    agreed_on = office.bundle(having[0]).contract
    return agreed_on, crowd_called(agreed_on, crowd)


def day_of(text: str) -> date | None:
    """A day as people write it, None for "". `Refusal` ``question.malformed``."""
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Refusal("question.malformed", f"{text[:20]!r} is not a day",
                      remedy="write it like 2026-03-31") from error  # fmt: skip


def yesterday() -> date:
    """The last day that is over, by this machine's clock in UTC."""
    return datetime.now(UTC).date() - timedelta(days=1)


def train(
    folder: Path, crowd: str, ends: date | None = None, contract: str = "",
    watch: facade.Watch = _quiet,
) -> Document:  # fmt: skip
    """Train the crowd's model on what was known at the end of ``ends``, with the other parties of its contract."""
    return _run(folder, CROWD_TRAIN, crowd, ends, contract, (), watch)


def day(
    folder: Path, crowd: str, ends: date | None = None, contract: str = "",
    without: tuple[str, ...] = (), watch: facade.Watch = _quiet,
) -> Document:  # fmt: skip
    """Tell the crowd of ``ends`` and the days ahead; a model that is due is trained first."""
    return _run(folder, CROWD_DAY, crowd, ends, contract, without, watch)


def _run(
    folder: Path, computation: str, crowd: str, ends: date | None, contract: str,
    without: tuple[str, ...], watch: facade.Watch,
) -> Document:  # fmt: skip
    with facade.office_of(folder) as office:
        found, _ = contract_with(office, crowd, contract)
    parameters: Document = {"crowd": crowd, "ends": (ends or yesterday()).isoformat()}
    if without:
        parameters["without"] = list(without)
    question = {
        "contract": found.id,
        "computation": computation,
        "epsilon": 0.0,
        "parameters": parameters,
    }
    return facade.ask(folder, {"verb": "run", "question": question}, watch)


def listed(office: NodeOffice) -> list[Document]:
    """The crowds of this node's contracts, with what this node has of each."""
    rows = []
    products = {p.name: p for p in office.store.publications.products()}
    held = office.models.all()
    for stored in office.store.contracts.all():
        contract = bundle_of(stored).contract
        for clause in contract.crowds:
            product = products.get(product_of(contract, clause))
            models = [
                m for m in held if m.name == clause.name and m.note["contract"] == contract.id
            ]
            rows.append({
                "crowd": clause.name, "contract": contract.id, "state": stored.state,
                "owners": list(clause.owner_parties(contract)), "holders": list(clause.signal_parties(contract)),
                "trainings": office.spend.trainings(contract.id, clause.name),
                "model": models[-1].note["made"] if models else "",
                "told": "" if product is None else str(product.about.get("ends", "")),
                "said": [] if product is None else list(product.about.get("said", ())),
                "product": product_of(contract, clause),
            })  # fmt: skip
    return rows


def figures(office: NodeOffice, crowd: str, when: date, contract: str = "") -> list[Document]:
    """The newest figures of a day, by place, as this recipient has them, with what each rests on (``regime``)."""
    found, clause = contract_with(office, crowd, contract)
    changes = office.store.publications.day(product_of(found, clause), when)
    regimes = regimes_kept(office.desk.crowd_desk.folder, found, clause).of(when)
    return [{**one.body(), "regime": regimes.get(one.figure.place, "")} for one in changes]


@dataclass(frozen=True, eq=False)
class Board:
    """The scoreboard of an owner, with what its pictures are drawn from."""

    crowd: str
    scores: Scoreboard
    told: Told
    truth: Any  # float64 [places, days]
    places: Gazetteer


def board(office: NodeOffice, crowd: str, as_of: date | None = None, contract: str = "") -> Board:
    """How good the figures of the last 90 days were, by the owner's counts as they came in.

    `Refusal` ``crowd.owner`` at a party without counts: who is told figures cannot judge them.
    """
    found, clause = contract_with(office, crowd, contract)
    end = feed_day(as_of or yesterday())
    feed = truth_of(office, found, clause, end)
    places = office.library().gazetteer(found, clause.gazetteer)
    archive = archived(office.desk.crowd_desk.folder, found, clause)
    dates = days_between(end - BOARD_DAYS + 1, end)
    told = archive.kept.told(end, dates)
    truth = feed.over(told.places).known(end, dates)
    regimes = regimes_kept(office.desk.crowd_desk.folder, found, clause)
    return Board(clause.name, archive.board(feed, end, places, regimes), told, truth, places)


def truth_of(
    office: NodeOffice, contract: Contract, clause: CrowdClause, end: np.datetime64
) -> Feed:
    """The owner's counts by which figures are judged: what is wrong with them judges nothing."""
    counts = clause.counts_of(contract, office.party)
    truth = None if counts is None else contract.truth(counts.truth)
    if counts is None or truth is None:
        raise Refusal("crowd.owner", f"{office.party} has no counts of {clause.name!r}, so it cannot judge figures",
                      remedy="ask an owner of counters: " + ", ".join(clause.owner_parties(contract)))  # fmt: skip
    places = office.library().gazetteer(contract, clause.gazetteer)
    feed, _ = read_reports(office.dataset(counts.dataset), counts, truth.lateness, truth.zone)
    since = end - 2 * BOARD_DAYS
    return clean(agreed(feed, truth), end, places.ids, since, truth.lateness)[0]
