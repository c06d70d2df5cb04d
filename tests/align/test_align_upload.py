"""A provider's rows on their way: padded to capacity, split in three, and checked between the seats."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from align_samples import LAYOUT, hashed, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.align import Layout, padded, upload
from hanse.engine.session import Session
from hanse.engine.shares import Ring, Words
from hanse.engine.stage import agree
from hanse.entropy import SeededEntropy
from hanse.errors import Fault, Foul
from hanse.wire import Frame
from secret_stage import Tape, flipped, payload, play, results, uniform_p_value

SEATS = (0, 1, 2)
PROVIDER = 3
ROWS = rows_of(hashed(range(40)), 0, 64)


# --- padding to the declared capacity -----------------------------------------------------------

id_sets = st.sets(st.integers(0, (1 << 64) - 1) | st.sampled_from([0, (1 << 64) - 1]), max_size=40)


@settings(max_examples=100, deadline=None)
@given(id_sets, st.integers(0, 30), st.integers(0, 1 << 32))
def test_rows_are_padded_sorted_and_unique(people: set[int], spare: int, seed: int) -> None:
    ids = np.array(sorted(people), np.uint64)
    columns = np.zeros((ids.size, 2), np.uint64)
    columns[:, 1] = np.arange(ids.size, dtype=np.uint64) + np.uint64(1)
    columns[:, 0] = 7  # ignored: word 0 is the id
    rows = padded(
        ids, columns, ids.size + spare, Layout.pack([("a", 64)]), SeededEntropy(f"{seed}")
    )
    assert rows.shape == (ids.size + spare, 2)
    assert (rows[1:, 0] > rows[:-1, 0]).all()
    assert dict(rows[rows[:, 1] > 0].tolist()) == dict(
        zip(ids.tolist(), columns[:, 1].tolist(), strict=True)
    )
    assert int((rows[:, 1] == 0).sum()) == spare, "spare rows are empty"


def test_too_many_people_are_refused_not_cut() -> None:
    with pytest.raises(Fault) as caught:
        rows_of(hashed(range(11)), 0, 10)
    assert caught.value.code == "align.capacity"
    assert "11" not in caught.value.message  # it may cross the wire; how many there are is private
    assert "11" in caught.value.detail
    assert "10" in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize("ids", [[2, 1], [1, 1], [1, 3, 2], [(1 << 64) - 1, 0]])
def test_unsorted_or_repeated_ids_do_not_leave_home(ids: list[int]) -> None:
    array = np.array(ids, np.uint64)
    with pytest.raises(Fault) as caught:
        padded(
            array, np.zeros((array.size, LAYOUT.width), np.uint64), 10, LAYOUT, SeededEntropy("x")
        )
    assert caught.value.code == "align.order"


def test_spare_ids_come_from_the_given_entropy_and_never_repeat() -> None:
    """An empty row must look like a person: uniform over 64 bits, new every time (chi-square, alpha 1e-6)."""
    empty, none = hashed([]), np.zeros((0, LAYOUT.width), np.uint64)
    entropy = SeededEntropy("spare")
    first, second = (padded(empty, none, 3000, LAYOUT, entropy)[:, 0] for _ in range(2))
    assert not set(first.tolist()) & set(second.tolist())
    assert uniform_p_value(first.copy().view(np.uint8)) > 1e-6


def test_a_spare_id_that_is_taken_is_drawn_again() -> None:
    class Repeating:
        """Gives the id 5 (taken), then 5 and 9, then 9 and 11."""

        def __init__(self) -> None:
            self.words = [5, 5, 9, 9, 11]

        def take(self, count: int) -> bytes:
            taken, self.words = self.words[: count // 8], self.words[count // 8 :]
            return np.array(taken, np.uint64).tobytes()

    rows = padded(
        np.array([5], np.uint64), np.zeros((1, LAYOUT.width), np.uint64), 3, LAYOUT, Repeating()
    )
    assert rows[:, 0].tolist() == [5, 9, 11]


# --- the way to the seats -----------------------------------------------------------------------


def uploaded(tap: Any = None, *, width: int = LAYOUT.width, capacity: int = 64) -> list[Any]:
    """Three seats and the provider: shares at the seats, the commitment at the provider."""

    def seat(number: int) -> Any:
        def run(channel: Any) -> Words:
            s = agree(channel, number, SeededEntropy(f"seat{number}"), b"job")
            return upload.receive_rows(s, PROVIDER, "coupon", capacity, width)

        return run

    def provider(channel: Any) -> str:
        return upload.send_rows(channel, SEATS, "coupon", ROWS, SeededEntropy("provider"))

    return play([seat(0), seat(1), seat(2), provider], names=("a", "b", "c", "coupon"), tap=tap)


def test_seats_hold_shares_of_the_rows() -> None:
    tape = Tape()
    *shares, commitment = results(uploaded(tape))
    for i in range(3):
        assert (shares[i].right == shares[(i + 1) % 3].left).all()
    total = shares[0].left ^ shares[1].left ^ shares[2].left
    assert (total == ROWS).all()
    assert len(commitment) == 64
    sent = sum(payload(f).size for f in tape.frames if f.source == PROVIDER)
    assert sent == 2 * ROWS.nbytes + 4 * 32, "two components travel as seeds"


def test_each_seat_misses_one_component_of_what_was_sent() -> None:
    tape = Tape()
    uploaded(tape)
    by_seat = {
        s: {f.step.split(".")[-1] for f in tape.received(s) if f.source == PROVIDER} for s in SEATS
    }
    assert by_seat == {0: {"seed0", "seed1"}, 1: {"seed1", "rows"}, 2: {"rows", "seed0"}}
    assert by_seat[0] | by_seat[1] | by_seat[2] == {"seed0", "seed1", "rows"}


def test_what_a_seat_receives_is_uniform() -> None:
    """The only data that travel are masked by a stream of a seed the reader lacks: alpha 1e-6 each."""
    tape = Tape()
    big = rows_of(hashed(range(40)), 0, 2000)
    play(
        [lambda channel: None] * 3
        + [lambda channel: upload.send_rows(channel, SEATS, "x", big, SeededEntropy("p"))],
        tap=tape,
    )
    for seat in (1, 2):
        data = next(payload(f) for f in tape.received(seat) if f.step.endswith("rows"))
        assert uniform_p_value(data) > 1e-6
    assert uniform_p_value(big.view(np.uint8).reshape(-1)) < 1e-6, "the rows themselves are not"


@pytest.mark.parametrize(
    ("target", "part"),
    [(0, "seed0"), (2, "seed0"), (0, "seed1"), (1, "seed1"), (1, "rows"), (2, "rows")],
)
def test_a_provider_that_tells_two_seats_different_things_is_named(target: int, part: str) -> None:
    """Both holders of the component notice, before anything is computed."""

    def tap(frame: Frame) -> Frame:
        different = (
            frame.source == PROVIDER and frame.target == target and frame.step.endswith(part)
        )
        return flipped(frame, -1) if different else frame

    outcomes = uploaded(tap)[:3]
    holders = {"seed0": (2, 0), "seed1": (0, 1), "rows": (1, 2)}[part]
    for (
        seat
    ) in holders:  # the third seat holds nothing that differs; it learns of the Foul from them
        outcome = outcomes[seat]
        assert isinstance(outcome, Foul)
        assert outcome.code == "align.upload"
        assert "coupon" in outcome.message
        assert outcome.where == "provider coupon"
        assert "coupon" in outcome.remedy


@pytest.mark.parametrize(
    ("width", "capacity"), [(LAYOUT.width + 1, 64), (LAYOUT.width, 63), (1, 128)]
)
def test_a_table_of_another_shape_than_declared_is_a_foul(width: int, capacity: int) -> None:
    outcomes = uploaded(width=width, capacity=capacity)[:3]
    fouls = [o for o in outcomes if isinstance(o, Foul)]
    assert fouls
    assert all(o.code == "wire.shape" and "coupon" in o.message for o in fouls)


def test_every_upload_has_fresh_seeds() -> None:
    entropy, commitments, tapes = SeededEntropy("twice"), [], [Tape(), Tape()]
    for tape in tapes:
        send = lambda channel: upload.send_rows(channel, SEATS, "x", ROWS, entropy)  # noqa: E731
        commitments.append(play([lambda channel: None] * 3 + [send], tap=tape)[3])
    assert commitments[0] != commitments[1]
    first, second = ({payload(f).tobytes() for f in tape.frames} for tape in tapes)
    assert not first & second


# --- locks --------------------------------------------------------------------------------------


def locked(tap: Any = None) -> list[Any]:
    def seat(number: int) -> Any:
        def run(channel: Any) -> Ring:
            s: Session = agree(channel, number, SeededEntropy(f"seat{number}"), b"job")
            return upload.receive_lock(s, PROVIDER, "coupon", 5)

        return run

    def provider(channel: Any) -> Any:
        return upload.send_lock(channel, SEATS, "coupon", 5, SeededEntropy("lock"))

    return play([seat(0), seat(1), seat(2), provider], tap=tap)


def test_a_lock_is_shared_and_uniform() -> None:
    *shares, lock = results(locked())
    assert (shares[0].left + shares[1].left + shares[2].left == lock).all()
    for i in range(3):
        assert (shares[i].right == shares[(i + 1) % 3].left).all()
    many = play(
        [lambda channel: None] * 3
        + [lambda channel: upload.send_lock(channel, SEATS, "x", 500, SeededEntropy("many"))]
    )[3]
    assert isinstance(many, np.ndarray)
    assert uniform_p_value(many.view(np.uint8)) > 1e-6


@pytest.mark.parametrize("target", SEATS)
@pytest.mark.parametrize("at", [0, -1])
def test_a_lock_that_differs_between_seats_names_its_provider(target: int, at: int) -> None:
    def tap(frame: Frame) -> Frame:
        return flipped(frame, at) if frame.source == PROVIDER and frame.target == target else frame

    outcomes = locked(tap)[:3]
    fouls = [o for o in outcomes if isinstance(o, Foul)]
    assert len(fouls) >= 2, "both holders of the component that differs"
    assert all(o.code == "align.upload" and "coupon" in o.message for o in fouls)
