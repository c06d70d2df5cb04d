"""``hanse standing`` and ``hanse roster``: what the node asks by itself, and what it keeps for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_stage import Hanse, MakeNode, Ran, refused

from hanse.contracts import RosterNote
from hanse.node.faces import facade
from hanse.node.jobs.rosters import ORDER
from hanse.rehearsal import Federation

QUESTION = """
contract = "rehearsal"
computation = "funnel"
epsilon = 0.5

[parameters]
starts = "yesterday"
ends = "today"
stages = [
    { name = "seen", any_of = [{ dataset = "exposures" }] },
    { name = "bought", any_of = [{ dataset = "baskets" }] },
]
"""


@pytest.fixture
def node(make_node: MakeNode) -> Path:
    """A node that holds a contract with rosters; nobody need sign it to add a query."""
    folder = make_node("media")
    table: dict[str, list[Any]] = {"person": ["p1", "p2"], "at": [datetime(2026, 3, 1)] * 2}
    fed = Federation(k=20, seed=1)
    fed.dataset("exposures", "media", table, id="person", time="at")
    fed.dataset("baskets", "shop", table, id="person", time="at")
    fields = fed.contract.fields()
    with facade.office_of(folder) as office:
        card = office.identity.card
        for party in fields["parties"]:
            if party["name"] == "media":
                party |= {"signing_key": card.signing_key, "certificate": card.fingerprint}
        bundle = facade.Bundle(facade.Contract.from_fields(fields))
        office.import_bundle(bundle)
    return folder


@pytest.fixture
def question(tmp_path: Path) -> Path:
    path = tmp_path / "morning_funnel.toml"
    path.write_text(QUESTION)
    return path


def add(hanse: Hanse, node: Path, question: Path, *more: str) -> Ran:
    return hanse("standing", "add", question, "--daily", "06:30", *more, "--node", node)


def test_a_query_is_added_listed_and_removed(hanse: Hanse, node: Path, question: Path) -> None:
    assert "no standing queries" in hanse("standing", "list", "--node", node).out
    added = add(hanse, node, question, "--roster", "daily")
    assert added.status == 0, added.err
    (found,) = hanse("standing", "list", "--json", "--node", node).json
    assert (found["name"], found["daily"], found["roster"]) == ("morning-funnel", "06:30", "daily")
    assert (found["computation"], found["last"]["state"]) == ("funnel", "never")
    coming = datetime.fromisoformat(found["next"])
    assert coming.strftime("%H:%M") == "06:30"
    assert timedelta(0) <= coming - datetime.now(UTC) <= timedelta(days=1)
    shown = hanse("standing", "list", "--node", node).out
    for word in ("morning-funnel", "funnel, rehearsal", "06:30", "daily", "never"):
        assert word in shown
    assert hanse("standing", "remove", "morning-funnel", "--node", node).status == 0
    refused(hanse("standing", "remove", "morning-funnel", "--node", node), "standing.unknown")
    assert hanse("standing", "list", "--json", "--node", node).json == []


def test_what_went_wrong_is_shown(hanse: Hanse, node: Path, question: Path) -> None:
    add(hanse, node, question)
    with facade.office_of(node) as office:
        one = office.store.standing.all()[0]
        slot = datetime(2026, 3, 2, 6, 30, tzinfo=UTC)
        office.store.standing.ran(
            one.after(slot=slot, state="failed", error="[peer.lost] the shop was away")
        )
    shown = hanse("standing", "list", "--node", node).out
    assert "[peer.lost] the shop was away" in shown
    assert "2026-03-02 06:30:00" in shown


@pytest.mark.parametrize(
    ("change", "more", "code"),
    [
        (("funnel", "funnels"), (), "menu.unknown"),
        (('"today"', '"someday"'), (), "question.malformed"),
        (('"rehearsal"', '"another"'), (), "contract.unknown"),
        (("epsilon = 0.5", 'epsilon = 0.5\nroster = "march"'), (), "question.malformed"),
        (("", ""), ("--roster", "No"), "standing.name"),
    ],
)
def test_a_query_that_could_never_be_asked_is_refused(
    hanse: Hanse, node: Path, question: Path, change: tuple[str, str], more: tuple[str, ...], code: str
) -> None:  # fmt: skip
    question.write_text(QUESTION.replace(*change, 1))
    refused(add(hanse, node, question, *more), code)
    assert hanse("standing", "list", "--json", "--node", node).json == []


def test_a_time_that_is_none_is_refused(hanse: Hanse, node: Path, question: Path) -> None:
    refused(
        hanse("standing", "add", question, "--daily", "half past six", "--node", node), "standing.daily"
    )  # fmt: skip


def test_rosters_are_listed_and_deleted_with_what_was_kept(hanse: Hanse, node: Path) -> None:
    assert "no rosters" in hanse("roster", "list", "--node", node).out
    now = datetime(2026, 3, 2, tzinfo=UTC)
    note = RosterNote("march", "ab" * 32, "rehearsal", "cd" * 32, ("baskets", "exposures"),
                      {"media": 2, "shop": 2}, now, now + timedelta(days=31))  # fmt: skip
    with facade.office_of(node) as office:
        office.rosters.keep(note, ORDER, {ORDER: np.arange(2, dtype=np.uint64)})
    (found,) = hanse("roster", "list", "--json", "--node", node).json
    assert (found["name"], found["kept"]) == ("march", [ORDER])
    assert "the order of its people" in hanse("roster", "list", "--node", node).out
    assert hanse("roster", "remove", "march", "--node", node).status == 0
    refused(hanse("roster", "remove", "march", "--node", node), "roster.unknown")
    with facade.office_of(node) as office:
        assert not office.rosters.has("ab" * 32, ORDER)
        assert [e.body["name"] for e in office.ledger.entries("roster")] == ["march"]
