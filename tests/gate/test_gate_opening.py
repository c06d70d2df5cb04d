"""What seats may see on the way: whether ids rise, and padded tags; each is written down before it opens."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.engine import reveal
from hanse.engine.session import Session
from hanse.engine.shares import Words
from hanse.engine.stage import on_stage
from hanse.errors import Foul
from hanse.gate import Opening, Record, opening
from hanse.wire import Frame, Tap
from secret_stage import Dealer, Tape, flipped, payload

TOP = (1 << 64) - 1
ids = st.integers(0, TOP) | st.sampled_from([0, 1, TOP, TOP - 1, 1 << 63, (1 << 63) - 1])


def passes(values: list[int], tap: Tap) -> bool:
    try:
        return accepted(values, tap=tap)
    except Foul:
        return False


def accepted(values: list[int], *, tap: Tap | None = None) -> bool:
    """Whether the gate lets a table with these ids pass at all three seats; other Fouls are raised."""
    shares = Dealer(len(values)).words(np.array(values, np.uint64).reshape(-1, 1))

    def protocol(s: Session) -> bool:
        opening.require_sorted_unique(s, Record(), shares[s.seat], "coupon")
        return True

    try:
        return all(on_stage(protocol, tap=tap))
    except Foul as foul:
        if (foul.code, foul.where) != ("align.order", "provider coupon"):
            raise
        return False


@settings(max_examples=60, deadline=None)
@given(st.lists(ids, max_size=70))
def test_any_list_passes_exactly_if_it_rises_strictly(values: list[int]) -> None:
    assert accepted(values) == all(a < b for a, b in pairwise(values))


@settings(max_examples=60, deadline=None)
@given(st.sets(ids, min_size=2, max_size=140), st.data())
def test_a_sorted_list_passes_and_one_slip_does_not(people: set[int], data: Any) -> None:
    values = sorted(people)
    assert accepted(values)
    at = data.draw(st.integers(0, len(values) - 2))
    values[at + 1] = values[at] if data.draw(st.booleans()) else values[at] - 1 if values[at] else 0
    assert not accepted(values)


@pytest.mark.parametrize("values", [[], [5], [0, TOP]])
def test_short_tables_pass(values: list[int]) -> None:
    assert accepted(values)


def test_one_word_is_opened_and_it_holds_one_bit() -> None:
    """On failure, too: which rows are wrong, or how many, stays secret."""
    shares = Dealer(1).words(np.array([9, 1, 1, 7, 3], np.uint64).reshape(-1, 1))
    tape = Tape()

    def protocol(s: Session) -> None:
        opening.require_sorted_unique(s, Record(), shares[s.seat], "coupon")

    with pytest.raises(Foul):
        on_stage(protocol, tap=tape)
    parts = [payload(f).view(np.uint64) for f in tape.frames if f.step == "order/open"]
    assert len(parts) == 3
    assert np.bitwise_xor.reduce(np.array(parts)).tolist() == [0]
    assert {f.step for f in tape.frames if f.step.endswith(".hash")} == {"order/open.hash"}


@pytest.mark.parametrize("cheat", range(3))
@pytest.mark.parametrize("part", ["order/open", "order/open.hash"])
def test_a_seat_that_changes_the_verdict_is_caught(cheat: int, part: str) -> None:
    """It could otherwise let a provider's duplicates pass, or frame an honest one."""

    def tap(frame: Frame) -> Frame:
        return flipped(frame) if frame.source == cheat and frame.step == part else frame

    with pytest.raises(Foul) as caught:
        accepted([1, 2, 3], tap=tap)
    assert caught.value.code == "engine.opening"
    assert not passes([1, 1, 3], tap), "whoever reports first, the table does not pass"


def tags_opened(tap: Tap | None = None) -> tuple[list[Any], list[Record]]:
    one = Dealer(1).bits(np.array([3, 1, 4, 15], np.uint64), 64)
    two = Dealer(2).bits(np.array([15, 9, 2, 6, 3], np.uint64), 64)
    records = [Record() for _ in range(3)]

    def protocol(s: Session) -> Any:
        parts = [one[s.seat], two[s.seat]]
        return opening.open_tags(
            s, records[s.seat], parts, ["media", "coupon"], 0.1, 1e-8, lambda mask: mask == 3
        )

    return on_stage(protocol, tap=tap), records


def test_tags_group_rows_and_the_record_says_what_the_seats_saw() -> None:
    groups, records = tags_opened()
    for seat in groups:
        assert sorted(map(tuple, seat.index.T.tolist())) == [(0, 4), (3, 0)]
        assert seat.sizes == {1: 2, 2: 3, 3: 2}
    assert len({r.digest() for r in records}) == 1
    (written,) = records[0].openings
    assert (written.epsilon, written.delta, written.values) == (0.1, 1e-8, 9)
    assert written.seen == {"media": 2, "coupon": 3, "media + coupon": 2}
    assert written.to == ("seats",)


@pytest.mark.parametrize("cheat", range(3))
def test_a_seat_that_changes_a_tag_is_caught(cheat: int) -> None:
    def tap(frame: Frame) -> Frame:
        changed = frame.source == cheat and frame.step == "tags/open.coupon"
        return flipped(frame, 17) if changed else frame

    with pytest.raises(Foul) as caught:
        tags_opened(tap)
    assert caught.value.code == "engine.opening"


def test_tags_are_written_down_even_if_the_opening_fails() -> None:
    """The record is what the disclosure report is made of: a cheat at the opening must not empty it."""
    records = [Record() for _ in range(3)]
    share = Dealer(1).bits(np.array([3, 1], np.uint64), 64)

    def tap(frame: Frame) -> Frame:
        return flipped(frame) if frame.step == "tags/open.media" and frame.source == 0 else frame

    def protocol(s: Session) -> Any:
        return opening.open_tags(
            s, records[s.seat], [share[s.seat]], ["media"], 0.1, 1e-8, lambda _mask: True
        )

    with pytest.raises(Foul):
        on_stage(protocol, tap=tap)
    assert all(record.openings for record in records)


def test_the_order_check_is_written_down_before_it_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    record, seen = Record(), []

    def watching(s: Session, x: Any, step: str) -> Any:
        if s.seat == 0:
            seen.append([o.step for o in record.openings])
        return reveal.open_bits(s, x, step)

    monkeypatch.setattr(opening, "open_bits", watching)
    shares = Dealer(1).words(np.array([[1], [2]], np.uint64))
    on_stage(lambda s: opening.require_sorted_unique(
        s, record if s.seat == 0 else Record(), Words(shares[s.seat].left, shares[s.seat].right), "media"
    ))  # fmt: skip
    assert seen == [["order"]]


def test_what_only_seats_saw_is_not_in_the_public_record() -> None:
    record = Record()
    record.write(Opening("tags", "tags", ("seats",), 5, 0.1, 1e-8))
    record.complete("tags", {"a + b": 7})
    assert record.openings[0].seen == {"a + b": 7}
    assert record.public().openings[0].seen == {}
    assert record.public().digest() != record.digest()
