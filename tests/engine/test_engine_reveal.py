"""Openings: the value reaches exactly those it is for, and a seat that sends something else is caught."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hanse.engine import reveal
from hanse.engine.group import group
from hanse.engine.session import Session
from hanse.engine.stage import on_stage
from hanse.errors import Fault, Foul
from hanse.wire import Frame
from secret_stage import Dealer, Tape, flipped, payload, play, results, uniform_p_value, unpacked

tag_sets = st.sets(st.integers(0, 40) | st.just((1 << 64) - 1))
VALUES = np.arange(100, dtype=np.uint64)
words = arrays.arrays(np.uint64, st.integers(0, 70), elements=st.integers(0, (1 << 64) - 1))


@settings(max_examples=20, deadline=None)
@given(words)
def test_the_value_opens_at_all_three(values: np.ndarray) -> None:
    ring, bits = Dealer(1).ring(values), Dealer(2).bits(values, 64)

    def protocol(s: Session) -> Any:
        return reveal.open_ring(s, ring[s.seat], "r"), reveal.open_bits(s, bits[s.seat], "b")

    for elements, planes in on_stage(protocol):
        assert (elements == values).all()
        move = np.arange(64, dtype=np.uint64)[:, None]
        assert (unpacked(planes, values.size) == (values >> move & np.uint64(1))).all()


def test_an_opening_costs_one_round_and_its_size_and_a_hash() -> None:
    shares = Dealer(1).ring(VALUES)

    def protocol(s: Session) -> tuple[int, int]:
        before = s.meter.rounds, s.meter.bytes
        reveal.open_ring(s, shares[s.seat], "r")
        return s.meter.rounds - before[0], s.meter.bytes - before[1]

    assert on_stage(protocol) == [(1, 8 * VALUES.size + 32)] * 3


@pytest.mark.parametrize("cheat", range(3))
@pytest.mark.parametrize("part", ["r", "r.hash"])
@pytest.mark.parametrize("at", [0, -1])
def test_a_seat_that_flips_one_bit_of_an_opening_is_caught(cheat: int, part: str, at: int) -> None:
    shares = Dealer(1).ring(VALUES)

    def tap(frame: Frame) -> Frame:
        return flipped(frame, at) if frame.source == cheat and frame.step == part else frame

    with pytest.raises(Foul) as caught:
        on_stage(lambda s: reveal.open_ring(s, shares[s.seat], "r"), tap=tap)
    assert caught.value.code == "engine.opening"
    assert f"{cheat}" in caught.value.message
    assert caught.value.remedy


def to_recipient(tap: Any = None) -> list[Any]:
    shares = Dealer(3).ring(VALUES)

    def seat(number: int) -> Any:
        return lambda channel: reveal.send_ring(channel, shares[number], 3, "result")

    recipient = lambda channel: reveal.receive_ring(channel, VALUES.shape, "result")  # noqa: E731
    return play([seat(0), seat(1), seat(2), recipient], tap=tap)


def test_a_recipient_alone_learns_the_value() -> None:
    tape = Tape()
    assert (results(to_recipient(tape))[3] == VALUES).all()
    assert {f.target for f in tape.frames} == {3}, "seats hear nothing of each other's parts"


@pytest.mark.parametrize("cheat", range(3))
@pytest.mark.parametrize("part", ["result", "result.hash"])
def test_a_seat_that_lies_to_a_recipient_is_caught(cheat: int, part: str) -> None:
    def tap(frame: Frame) -> Frame:
        return flipped(frame) if frame.source == cheat and frame.step == part else frame

    outcome = to_recipient(tap)[3]
    assert isinstance(outcome, Foul)
    assert outcome.code == "engine.opening"
    assert f"{cheat}" in outcome.message


def test_two_parts_of_an_opening_say_nothing() -> None:
    """What a recipient could read without one seat is uniform: chi-square, alpha 1e-6."""
    shares = Dealer(4).ring(np.zeros(4000, np.uint64))
    for missing in range(3):
        parts = [shares[i].left for i in range(3) if i != missing]
        assert uniform_p_value((parts[0] + parts[1]).view(np.uint8)) > 1e-6


def test_hashes_are_of_what_was_sent() -> None:
    import hashlib

    tape = Tape()
    to_recipient(tape)
    by_step = {(f.source, f.step): payload(f).tobytes() for f in tape.frames}
    for seat in range(3):
        sent = by_step[(seat + 1) % 3, "result"]
        assert by_step[seat, "result.hash"] == hashlib.sha256(sent).digest()


# --- grouping by what was opened ----------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sets(st.integers(0, 40) | st.just((1 << 64) - 1)), min_size=1, max_size=6),
    st.integers(0, 63),
    st.randoms(),
)
def test_rows_with_one_tag_form_one_group(tables: list[set[int]], needed: int, random: Any) -> None:
    """Against a dictionary: which rows belong together, sizes of all patterns, only kept ones indexed."""
    tags = []
    for table in tables:
        order = list(table)
        random.shuffle(order)
        tags.append(np.array(order, np.uint64))
    needed &= (1 << len(tables)) - 1
    groups = group(tags, lambda mask: mask & needed == needed)
    want: dict[int, int] = {}
    for number, table in enumerate(tags):
        for tag in table.tolist():
            want[tag] = want.get(tag, 0) | 1 << number
    sizes: dict[int, int] = {}
    for mask in want.values():
        sizes[mask] = sizes.get(mask, 0) + 1
    assert groups.sizes == sizes
    kept = {mask: count for mask, count in sizes.items() if mask & needed == needed}
    assert {mask: b - a for mask, (a, b) in groups.patterns.items()} == kept
    assert groups.count == sum(kept.values())
    seen = set()
    for mask, (first, last) in groups.patterns.items():
        for column in groups.index[:, first:last].T.tolist():
            found = {int(tags[t][row]) for t, row in enumerate(column) if row >= 0}
            assert len(found) == 1
            assert (
                sum(1 << t for t, row in enumerate(column) if row >= 0) == mask == want[found.pop()]
            )
            seen.add(tuple(column))
    assert len(seen) == groups.count


def test_a_repeated_tag_is_a_foul_and_seven_tables_a_fault() -> None:
    with pytest.raises(Foul) as repeated:
        group([np.array([1, 2], np.uint64), np.array([5, 3, 5], np.uint64)])
    assert repeated.value.code == "group.repeated"
    for count in (0, 7):
        with pytest.raises(Fault) as caught:
            group([np.array([1], np.uint64)] * count)
        assert caught.value.code == "group.tables"
