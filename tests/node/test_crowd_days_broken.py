"""Broken feeds at a node: named in its owner's record and result, told to nobody else, never averaged in."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crowd_federation import LATENESS, CrowdFederation, feeds, table

from hanse.errors import Foul
from hanse.node.crowd_days.home import FEEDS, FOLDER
from hanse.node.crowd_days.result import product_of
from hanse.node.crowd_days.roles import _words
from hanse.node.jobs.runner import Outcome
from hanse.places.checks.checks import KINDS, TAKEN_OUT
from hanse.places.city import Wish
from hanse.places.feeds.feed import Feed

BACK = 12  # the day that is told, before the city's last one
ONE = np.timedelta64(1, "D")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CrowdFederation]:
    made = CrowdFederation.found(
        tmp_path_factory.mktemp("broken"), Wish(places=60, people=0, days=300, seed=3)
    )
    with made.run():
        yield made


@pytest.fixture(scope="module")
def trained(nodes: CrowdFederation) -> str:
    """A contract in a zone whose clocks change, with a model that was trained on sound counts."""
    terms = nodes.terms()
    contract = nodes.contract(truths=[{**terms["truths"][0], "zone": "Europe/Berlin"}])
    nodes.train(contract, nodes.day(BACK))
    return contract


@pytest.fixture(scope="module")
def sound(nodes: CrowdFederation, trained: str) -> dict[str, float]:
    """Numbers by place from counts that nothing is wrong with."""
    outcome, told = told_with(nodes, trained, table(feeds(nodes.made)["counted"]))
    assert outcome.result is not None
    assert not [line for line in outcome.result["findings"] if "taken out" in line]
    return told


def newest(nodes: CrowdFederation) -> np.datetime64:
    """The newest day of which counts are known."""
    return np.datetime64(nodes.day(BACK)) - LATENESS


# --- what can be wrong: the owner's feed, spoilt from the newest known day ``n`` back ---------------------


def changed(feed: Feed, rows: Any, value: Callable[[Any], Any]) -> Feed:
    return replace(feed, value=np.where(rows, value(feed.value), feed.value))


def copied(feed: Feed, n: np.datetime64) -> Feed:
    """The newest day repeats the one before it."""
    before = feed.known("9999-01-01", [n - ONE])[:, 0]
    return changed(feed, feed.date == n, lambda _: before[feed.place])


def again(feed: Feed, rows: Any, factor: float) -> Feed:
    """Rows that are there twice."""
    part = feed.where(rows)
    return feed.and_then(replace(part, value=part.value * factor))


def called_otherwise(feed: Feed, n: np.datetime64) -> Feed:
    """From the last week on, every place has another id."""
    new = feed.date > n - 7
    told = feed.where(new).renamed({name: name.replace("place-", "Site ") for name in feed.places})
    return feed.where(~new).and_then(told)


def foretold(feed: Feed, n: np.datetime64) -> Feed:
    """Counts of days that had not come, reported with the newest day."""
    part = feed.where(feed.date == n)
    return feed.and_then(replace(part, date=part.date + 10))


def odd_places(feed: Feed, n: np.datetime64) -> Feed:
    """Single places, each wrong in a way of its own."""
    place, last = feed.place, feed.date == n
    feed = changed(feed, (feed.date > n - 3) & (place == 7), lambda v: v * 1000)
    feed = changed(feed, last & (place == 8), lambda v: -v)
    feed = changed(feed, last & (place == 11), lambda v: v * 40)
    feed = changed(feed, (feed.date > n - 9) & (place == 12), lambda v: v * 0)
    feed = changed(feed, (feed.date > n - 9) & (place == 14), lambda v: v * 0 + 321)
    gone = ((place == 17) & (feed.date <= n - 20)) | ((place == 18) & (feed.date >= n - 30))
    return feed.where(~gone)


# How a feed is spoilt, and under which names of `hanse.places.checks.KINDS` it must be told.
FAULTS: dict[str, tuple[tuple[str, ...], Callable[[Feed, np.datetime64], Feed]]] = {
    "a day missing": (("missing-day",), lambda f, n: f.where(f.date != n - 3)),
    "ten days late": (("late",), lambda f, _: f.later(10)),
    "thousandfold": (("unit",), lambda f, n: changed(f, f.date > n - 3, lambda v: v * 1000)),
    "a day counted twice": (("doubled",), lambda f, n: changed(f, f.date == n - 1, lambda v: v * 2)),
    "a day copied": (("copied",), copied),
    "rows twice": (("repeated",), lambda f, n: again(f, f.date > n - 5, 1.0)),
    "rows twice, not alike": (("contradiction",), lambda f, n: again(f, f.date > n - 5, 3.0)),
    "renamed": (("renamed",), called_otherwise),
    "negative": (("negative",), lambda f, n: changed(f, f.date == n, lambda v: -v)),
    "days to come": (("future",), foretold),
    "odd places": (("unit", "negative", "absurd", "zero", "stuck", "appeared", "closed"), odd_places),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_to_its_owner_alone(
    nodes: CrowdFederation, trained: str, sound: dict[str, float], name: str
) -> None:
    kinds, spoil = FAULTS[name]
    spoilt = table(spoil(feeds(nodes.made)["counted"], newest(nodes)))
    outcome, told = told_with(nodes, trained, spoilt)
    for kind in kinds:
        flagged(nodes, outcome, kind)
    unharmed(nodes, sound, told)


def by_hour(feed: Feed, hole: np.datetime64) -> pa.Table:
    """The same counts hour by hour on the clock of Berlin; on one day everybody's hour of 14 is missing."""
    hours = np.tile(np.arange(24), len(feed))
    date, place = np.repeat(feed.date, 24), np.repeat(np.array(feed.places)[feed.place], 24)
    skipped = (date == np.datetime64("2025-03-30")) & (hours == 2)
    kept = ~skipped & ~((date == hole) & (hours == 14))
    moment = date.astype("datetime64[s]") + hours * np.timedelta64(3600, "s")
    told = np.repeat(feed.reported, 24)
    return pa.table({
        "place": place[kept], "day": moment[kept], "told": pa.array(told[kept], pa.date32()),
        "people": np.repeat(feed.value / 24, 24)[kept],
    })  # fmt: skip


def test_hours_and_a_clock_change(
    nodes: CrowdFederation, trained: str, sound: dict[str, float]
) -> None:
    held, hole = feeds(nodes.made)["counted"], newest(nodes) - 2
    outcome, told = told_with(nodes, trained, by_hour(held.where(held.date > hole - 250), hole))
    flagged(nodes, outcome, "hours")
    lines = [line for line in outcome.result["findings"] if line.startswith("counted: hours")]
    assert len(lines) == 1, "the day of 23 hours is whole"
    assert str(hole) in lines[0]
    unharmed(nodes, sound, told)


def test_a_past_that_is_told_anew(nodes: CrowdFederation, trained: str) -> None:
    """Between two mornings the source exports everything in another unit, and leaves out what is older."""
    held = feeds(nodes.made)["counted"]
    told_with(nodes, trained, table(held))
    late = held.where(held.date > newest(nodes) - 60)
    wrong = table(replace(late, value=late.value * 1000))
    outcome, told = told_after(nodes, trained, wrong, BACK - 1)
    flagged(nodes, outcome, "restated")
    good(nodes, told, BACK - 1)


def told_with(
    nodes: CrowdFederation, contract: str, rows: pa.Table
) -> tuple[Outcome, dict[str, float]]:
    """(the day as told from such a table in a fresh store, published numbers by place)."""
    shutil.rmtree(store_of(nodes, contract), ignore_errors=True)
    return told_after(nodes, contract, rows)


def told_after(
    nodes: CrowdFederation, contract: str, rows: pa.Table, back: int = BACK
) -> tuple[Outcome, dict[str, float]]:
    """The same, after what the store has."""
    sound = nodes.source("counted").read_bytes()
    pq.write_table(rows, nodes.source("counted"))
    try:
        outcome = nodes.tell(contract, nodes.day(back))
    finally:
        nodes.source("counted").write_bytes(sound)
    office = nodes["maps"].running.office
    told = office.store.publications.day(product(nodes, contract), nodes.day(back))
    return outcome, {c.figure.place: c.figure.value for c in told if c.figure.value is not None}


def product(nodes: CrowdFederation, contract: str) -> str:
    found = nodes["counters"].running.office.bundle(contract).contract
    return product_of(found, found.crowds[0])


def store_of(nodes: CrowdFederation, contract: str) -> Any:
    return nodes["counters"].data / FOLDER / product(nodes, contract) / FEEDS / "counted"


def flagged(nodes: CrowdFederation, outcome: Outcome, kind: str) -> None:
    """By name, in the owner's result and log and in nobody else's; with what was taken out, if anything was."""
    assert outcome.result is not None
    said = [line for line in outcome.result["findings"] if line.startswith(f"counted: {kind}: ")]
    assert said, outcome.result["findings"]
    assert kind in KINDS
    assert ("taken out" in said[0]) == (kind in TAKEN_OUT)
    logs = {name: "\n".join(line.message for line in m.running.office.store.jobs.lines(outcome.job, 1))
            for name, m in nodes.members.items()}  # fmt: skip
    assert f"counted: {kind}" in logs["counters"]
    assert all("counted: " not in logs[name] for name in ("maps", "operator"))


def good(nodes: CrowdFederation, told: dict[str, float], back: int = BACK) -> None:
    """Most numbers are within 30 % of the truth."""
    made = nodes.made
    column = np.where(made.is_open, made.truth, 0.0)[:, -1 - back]
    true = {p: v for p, v in zip(made.places.ids, column.tolist(), strict=True) if v > 0}
    hits = [abs(v - true[p]) <= 0.3 * true[p] for p, v in told.items() if p in true]
    assert len(hits) > 25
    assert np.mean(hits) > 0.8


def unharmed(nodes: CrowdFederation, sound: dict[str, float], told: dict[str, float]) -> None:
    """Numbers are as good as without the fault, and near what they would have been."""
    good(nodes, told)
    apart = {p: abs(np.log(told[p] / v)) for p, v in sound.items() if p in told}
    assert np.median(list(apart.values())) < 0.08
    assert max(apart.values()) < 0.7, max(apart, key=lambda p: apart[p])


@pytest.mark.parametrize("text", [b"[" * 60_000, b"{", b"\xff"])
def test_words_of_another_owner_that_cannot_be_read_are_its_fault(text: bytes) -> None:
    with pytest.raises(Foul, match="shop says about its figures") as foul:
        _words(text, "shop")
    assert (foul.value.code, foul.value.where) == ("crowd.figures", "shop")
