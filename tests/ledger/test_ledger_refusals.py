"""Refusals in the ledger: all of them are told, and no partner can fill it with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hanse.clock import ManualClock
from hanse.errors import Fault, Refusal
from hanse.ledger import Entry, Ledger, MemoryStore, Refusals
from hanse.ledger.refusals import MOST_CHARACTERS, ONE_BY_ONE
from hanse.wire.codec import digest

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SPENT = Refusal("budget.spent", "the budget is spent", remedy="wait for the next period")
OTHER = Refusal("contract.column", "no such column", remedy="name another")


class FullStore(MemoryStore):
    """A store whose disk can be full."""

    full = False

    def append(self, entry: Entry, expected_previous: str) -> None:
        if self.full:
            raise Fault("disk.full", "the disk is full", remedy="make room")
        super().append(entry, expected_previous)


class World:
    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.store = FullStore()
        self.key = Ed25519PrivateKey.generate()
        self.ledger = Ledger(self.store, self.key, self.clock)
        self.refusals = Refusals(self.ledger, self.clock)

    def ask(self, times: int, analyst: str = "elm", error: Refusal = SPENT) -> None:
        for number in range(times):
            self.refusals.note(analyst, digest(f"{analyst}-{error.code}-{number}"), error)
            self.clock.advance(timedelta(seconds=0.001))

    def told(self) -> int:
        """How many refusals the entries speak of."""
        return sum(e.body.get("count", 1) for e in self.ledger.entries("refusal"))

    def length(self) -> int:
        return len(list(self.ledger.entries()))


@pytest.fixture
def world() -> World:
    return World()


def test_a_few_stand_one_by_one_with_their_jobs(world: World) -> None:
    world.ask(ONE_BY_ONE)
    bodies = [entry.body for entry in world.ledger.entries("refusal")]
    assert len({body["job"] for body in bodies}) == ONE_BY_ONE
    assert all(body["code"] == "budget.spent" and "count" not in body for body in bodies)
    world.clock.advance(timedelta(seconds=7200))
    world.refusals.settle()
    assert world.length() == ONE_BY_ONE  # nothing was counted, so nothing is added


def test_a_flood_is_one_entry_more_and_tells_its_number_and_time(world: World) -> None:
    world.ask(5000)
    assert world.length() == ONE_BY_ONE
    world.clock.advance(timedelta(seconds=3600))
    world.refusals.settle()
    assert world.length() == ONE_BY_ONE + 1
    assert world.told() == 5000
    last = list(world.ledger.entries("refusal"))[-1].body
    assert (last["analyst"], last["code"], last["job"]) == ("elm", "budget.spent", "")
    first, end = datetime.fromisoformat(last["first"]), datetime.fromisoformat(last["last"])
    assert NOW < first < end < NOW + timedelta(seconds=6)
    assert world.ledger.verify(world.key.public_key().public_bytes_raw().hex()).ok


def test_every_partner_and_reason_is_counted_by_itself(world: World) -> None:
    world.ask(30)
    world.ask(30, error=OTHER)
    world.ask(30, analyst="oak")
    world.refusals.settle(everything=True)  # as a node does that stops
    counts = {(e.body["analyst"], e.body["code"]): e.body["count"]
              for e in world.ledger.entries("refusal") if "count" in e.body}  # fmt: skip
    ten = 30 - ONE_BY_ONE
    assert counts == {
        ("elm", "budget.spent"): ten,
        ("elm", "contract.column"): ten,
        ("oak", "budget.spent"): ten,
    }
    assert world.told() == 90


def test_the_next_refusal_closes_an_hour_that_is_over_and_begins_another(world: World) -> None:
    world.ask(ONE_BY_ONE + 3)
    world.clock.advance(timedelta(seconds=3601))
    world.ask(1, analyst="oak")
    assert world.told() == ONE_BY_ONE + 4
    world.ask(1)
    assert "count" not in list(world.ledger.entries("refusal"))[-1].body


def test_a_full_disk_loses_no_count(world: World) -> None:
    world.ask(ONE_BY_ONE + 3)
    world.clock.advance(timedelta(seconds=3601))
    world.store.full = True
    with pytest.raises(Fault, match="full"):
        world.refusals.settle()
    world.store.full = False
    world.refusals.settle()
    world.refusals.settle()
    assert world.told() == ONE_BY_ONE + 3


def test_what_a_partner_sends_cannot_make_entries_large(world: World) -> None:
    for _ in range(ONE_BY_ONE + 2):
        world.refusals.note("elm", "", Refusal("job.odd", "x" * 10**6, where="y" * 10**6))
    world.refusals.settle(everything=True)
    assert all(len(entry.line()) < 3 * MOST_CHARACTERS for entry in world.ledger.entries("refusal"))
