"""Programs from a provider to the seats: right sums per place, and whoever programs anything else is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from align_samples import LAYOUT, QUICK, hashed, rows_of, upload_of, value_of

from hanse.align import Part, align
from hanse.align.programs import (
    Placement,
    counts_by_place,
    placed,
    receive_programs,
    send_factors,
    send_programs,
)
from hanse.engine.masks import KEY_BYTES
from hanse.engine.programmed import Factors, factored, orders
from hanse.engine.session import Session
from hanse.engine.stage import agree
from hanse.entropy import SeededEntropy
from hanse.errors import Fault, Foul
from hanse.gate import Record
from secret_stage import Dealer, opened, play, results

SEATS, PROVIDER = (0, 1, 2), 3
NOWHERE = Part(hashed(range(5)), {})
Send = Callable[[Any], None]


def seat_of(number: int, work: Callable[[Session], Any]) -> Callable[[Any], Any]:
    return lambda channel: work(agree(channel, number, SeededEntropy(f"seat{number}"), b"job"))


def programs_of(send: Send, wanted: Placement, capacity: int) -> list[Any]:
    """What the three seats hold (or end with) after a provider's programs; and their records."""

    def receive(s: Session) -> Any:
        record = Record()
        found = receive_programs(s, record, PROVIDER, "mall", [wanted], capacity)
        return found, record.openings

    seats = [seat_of(number, receive) for number in range(3)]
    return play([*seats, send], names=("a", "b", "c", "mall"))


# --- honest ---------------------------------------------------------------------------------------


def test_people_are_counted_where_the_provider_says_they_are() -> None:
    """Two providers: one knows a flag and a value, the other up to two places; sums by a plain loop."""
    labelled, there = hashed(range(60)), hashed(range(20, 90))
    codes = np.array([[1 + i % 3, 0 if i % 2 else 4] for i in range(there.size)])
    codes[5] = 0
    wanted = Placement("visited", 2, 5)
    rows = rows_of(labelled, 0, 64), rows_of(there, 1, 80)
    shares = [Dealer(number).words(r) for number, r in enumerate(rows)]

    def seat(s: Session) -> Any:
        programs = receive_programs(s, Record(), PROVIDER, "mall", [wanted], 80)
        parts = [upload_of("media", shares[0][s.seat]), upload_of("mall", shares[1][s.seat])]
        people = replace(align(s, Record(), parts, QUICK), programs=programs)
        bits = people.field("media", "value")[:3]
        (sums,) = counts_by_place(s, people, "mall", ["visited"], bits, "places")
        return opened(s, sums)

    def provider(channel: Any) -> None:
        part = Part(there, {}, {"visited": codes})
        ids = rows[1][:, 0].copy()
        send_programs(channel, SEATS, "mall", [wanted], [part], ids, SeededEntropy("mall"))

    want = np.zeros((5, 3), np.uint64)
    for person, named in zip(there, codes.tolist(), strict=True):
        if person in labelled:
            value = int(value_of(np.array([person]), 0)[0])
            for code in filter(None, named):
                want[code - 1] += np.array([value >> b & 1 for b in range(3)], np.uint64)
    assert want[:4].any(axis=1).all()
    assert not want[4].any()
    for got in results(play([*(seat_of(n, seat) for n in range(3)), provider]))[:3]:
        assert (got == want).all()


def test_codes_go_to_the_padded_rows() -> None:
    ids = np.array([2, 3, 5, 7], np.uint64)
    parts = [
        Part(np.array([3, 7], np.uint64), {}, {"home": np.array([[1], [2]])}),
        Part(np.array([2], np.uint64), {}, {"work": np.array([[9]])}),
    ]
    assert placed(parts, ids, Placement("home", 1, 2))[:, 0].tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize("places", [1, 4])
def test_one_bit_is_opened_and_recorded(places: int) -> None:
    wanted = Placement("home", 1, places)

    def send(channel: Any) -> None:
        send_programs(channel, SEATS, "mall", [wanted], [NOWHERE], NOWHERE.ids, SeededEntropy("m"))

    for _, openings in results(programs_of(send, wanted, 5))[:3]:
        assert [(o.to, o.values) for o in openings] == ([(("seats",), 1)] if places > 1 else [])


def test_the_order_of_rows_must_have_been_kept() -> None:
    shares = Dealer(1).words(rows_of(hashed(range(3)), 0, 4))

    def seat(s: Session) -> Any:
        people = align(s, Record(), [upload_of("mall", shares[s.seat])], QUICK)
        people = replace(
            people,
            tables=(replace(people.tables[0], permutation=None),),
            programs=receive_programs(s, Record(), PROVIDER, "mall", [wanted], 4),
        )
        return counts_by_place(s, people, "mall", ["home"], people.field("mall", "flag"), "x")

    wanted = Placement("home", 1, 2)

    def send(channel: Any) -> None:
        ids = np.arange(4, dtype=np.uint64)
        send_programs(channel, SEATS, "mall", [wanted], [], ids, SeededEntropy("m"))

    caught = play([*(seat_of(n, seat) for n in range(3)), send])[0]
    assert isinstance(caught, Fault)
    assert caught.code == "align.order"
    assert LAYOUT.width == 2


# --- a provider that cheats -------------------------------------------------------------------------

WANTED = Placement("home", 1, 3)
CODES = np.array([[1], [2], [0], [3], [1]])


def made() -> list[Factors]:
    entropy = SeededEntropy("mall")
    return [factored(order, entropy) for order in orders(CODES, WANTED.shape(5))]


def named(halves: list[Factors], tamper: Callable[[str, Any], Any] = lambda _step, x: x) -> Foul:
    """The first `Foul` of the seats after such a provider."""

    class Tampering:
        def __init__(self, channel: Any) -> None:
            self.channel = channel
            self.sent = 0

        def send(self, to: int, step: str, array: Any) -> None:
            self.sent += 1
            self.channel.send(to, step, tamper(f"{to} {step}", array))

    def send(channel: Any) -> None:
        for half, factors in zip(("sort", "read"), halves, strict=True):
            send_factors(Tampering(channel), SEATS, f"program.mall.home.{half}", factors)

    outcomes = programs_of(send, WANTED, 5)[:3]
    fouls = [o for o in outcomes if isinstance(o, Foul)]
    assert len(fouls) == 3, outcomes
    assert {f.where for f in fouls} == {"provider mall"}
    assert all("mall" in f.message for f in fouls)
    return fouls[0]


@pytest.mark.parametrize("half", [0, 1])
def test_an_order_with_a_row_twice_is_a_foul(half: int) -> None:
    halves = made()
    halves[half].last[0] = halves[half].last[1]
    assert named(halves).code == "align.program"


@pytest.mark.parametrize("half", [0, 1])
def test_a_row_that_does_not_exist_is_a_foul(half: int) -> None:
    halves = made()
    halves[half].last[0] = 1 << 31
    assert named(halves).code == "align.program"


@pytest.mark.parametrize("step", ["1 program.mall.home.sort.rows", "2 program.mall.home.read.seed0",
                                  "0 program.mall.home.read.seed1"])  # fmt: skip
def test_different_factors_for_two_seats_are_a_foul(step: str) -> None:
    def tamper(at: str, array: Any) -> Any:
        if at != step:
            return array
        return array[::-1].copy() if at.endswith("rows") else array ^ np.uint8(1)

    assert named(made(), tamper).code == "align.upload"


def test_places_that_overlap_are_a_foul() -> None:
    """The second place's end before the first's: its rows would count at both."""
    sort, read = orders(CODES, WANTED.shape(5))
    read[[0, 1]] = read[[1, 0]]
    entropy = SeededEntropy("mall")
    assert named([factored(sort, entropy), factored(read, entropy)]).code == "align.places"


def test_an_honest_provider_is_not_named() -> None:
    def send(channel: Any) -> None:
        for half, factors in zip(("sort", "read"), made(), strict=True):
            send_factors(channel, SEATS, f"program.mall.home.{half}", factors)

    results(programs_of(send, WANTED, 5))
    assert len(made()[0].seeds[0]) == KEY_BYTES
