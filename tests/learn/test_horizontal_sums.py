"""Secure sums: right, tolerant of parties that vanish, closed to parts that are late, twice, wrong or too large."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.entropy import SeededEntropy
from hanse.errors import Fault, Foul, Refusal
from hanse.gate.sums import SumPolicy, Terms
from hanse.learn.horizontal import Dropout, Patience, SummingParty, together
from hanse.learn.horizontal.bounds import BUCKETS, DIRECT, SKETCHES
from hanse.learn.horizontal.numbers import scale_of
from hanse.learn.horizontal.parts import SUM, Head, send_head, send_part
from hanse.wire import Frame

POLICY = SumPolicy(("anna", "berta", "clara"))
FOUR = SumPolicy(("anna", "berta", "clara", "dora"))
QUICK = Patience(deadline=0.3, grace=0.05)
Vector = np.ndarray[Any, np.dtype[np.float64]]


def vectors(parties: int, length: int, size: float = 1.0, seed: int = 1) -> list[Vector]:
    random = np.random.default_rng(seed)
    return [random.normal(size=length) * size / np.sqrt(length) for _ in range(parties)]


def once(vector: Vector, **options: Any) -> Callable[[SummingParty], Any]:
    asked = {"norm": 2.0} | options
    return lambda party: party.sum("x", vector, **asked)


def sent_raw(
    elements: np.ndarray[Any, Any], length: int, norm: float = 2.0
) -> Callable[[SummingParty], Any]:
    """A party that skips its own checks and shares chosen ring elements under an honest head."""

    def work(party: SummingParty) -> Any:
        scale = scale_of(party.policy, "x", length, norm, 64)
        send_part(party._channel, party.rounds, scale.terms, elements.copy(), party._entropy)
        return party._outcome(scale)

    return work


# --- right ------------------------------------------------------------------------------------------


@settings(max_examples=8, deadline=None)
@given(
    parties=st.integers(3, 5), length=st.integers(1, 40), scale=st.sampled_from([1e-6, 1.0, 1e9]),
    width=st.sampled_from([32, 64]), seed=st.integers(0, 1 << 20),
)  # fmt: skip
def test_a_sum_is_the_sum(parties: int, length: int, scale: float, width: int, seed: int) -> None:
    parts = vectors(parties, length, scale, seed)
    norm = 1.01 * max(float(np.linalg.norm(p)) for p in parts)
    policy = SumPolicy(tuple(f"party {i}" for i in range(parties)))
    played = together([once(p, norm=norm, width=width) for p in parts], policy)
    off = np.abs(played.results[0].values - sum(parts)).max()
    assert off <= norm * parties * (2.0**-40 if width == 64 else 2.0**-24)
    assert all(r.contributors == policy.parties and r.included for r in played.results)


@pytest.mark.parametrize("width", [32, 64])
def test_a_long_sum_is_checked_by_sketches_and_right(width: int) -> None:
    parts = vectors(3, 3 * DIRECT, 1.9)
    played = together([once(p, width=width) for p in parts], POLICY)
    assert np.abs(played.results[1].values - sum(parts)).max() < 1e-6


def test_many_sums_in_one_job_each_with_its_own_shape() -> None:
    def work(number: int) -> Callable[[SummingParty], list[float]]:
        def run(party: SummingParty) -> list[float]:
            return [
                float(party.sum(f"s{i}", np.full(i + 1, number + 1.0), norm=9.0).values.sum())
                for i in range(4)
            ]

        return run

    assert together([work(n) for n in range(3)], POLICY).results[2] == [6.0, 12.0, 18.0, 24.0]


def test_upload_and_download_are_one_vector() -> None:
    length = 1 << 14
    played = together([once(p) for p in vectors(3, length)], POLICY)
    for party in range(3):
        assert played.by_role[3 + party] < 8 * length + 2000
    # Seats 0 and 1 send seat 2 their masked parts; the rest is the check of the bound.
    assert played.by_role[0] < 8 * length + 300_000


# --- who is in -------------------------------------------------------------------------------------


def test_a_party_that_vanishes_is_left_out_and_the_others_go_on() -> None:
    parts = vectors(4, 10)

    def gone(party: SummingParty) -> Any:
        raise Dropout

    played = together([*(once(p) for p in parts[:3]), gone], FOUR)
    assert played.results[3] is None
    assert played.results[0].contributors == ("anna", "berta", "clara")
    assert "dora" in played.results[0].left_out
    assert np.allclose(played.results[0].values, sum(parts[:3]))


def test_a_silent_party_misses_the_round_and_comes_back_in_the_next() -> None:
    parts = vectors(4, 10)
    held: list[Frame] = []
    hold = [True]

    def work(number: int) -> Callable[[SummingParty], Any]:
        def run(party: SummingParty) -> Any:
            if number == 3 and hold[0]:
                hold[0] = False
                scale = scale_of(party.policy, "r0", 10, 2.0, 64)
                first = party._outcome(
                    scale
                )  # says nothing in the first round, but hears the outcome
            else:
                first = party.sum("r0", parts[number], norm=2.0)
            return first, party.sum("r1", parts[number], norm=2.0)

        return run

    played = together([work(n) for n in range(4)], FOUR, patience=QUICK)
    assert not held
    for first, second in played.results:
        assert first.contributors == FOUR.parties[:3]
        assert np.allclose(first.values, sum(parts[:3]))
        assert second.contributors == FOUR.parties
        assert np.allclose(second.values, sum(parts))
    assert not played.results[3][0].included


def test_a_part_that_comes_late_is_refused_and_counts_in_no_later_round() -> None:
    parts = vectors(4, 10)

    def late(party: SummingParty) -> Any:
        scale = scale_of(party.policy, "r0", 10, 2.0, 64)
        first = party._outcome(scale)
        send_part(party._channel, 0, scale.terms, scale.encode(parts[3]), party._entropy)
        return first, party.sum("r1", parts[3], norm=2.0)

    def prompt(number: int) -> Callable[[SummingParty], Any]:
        return lambda p: (
            p.sum("r0", parts[number], norm=2.0),
            p.sum("r1", parts[number], norm=2.0),
        )

    played = together([*(prompt(n) for n in range(3)), late], FOUR, patience=QUICK)
    first, second = played.results[0]
    assert np.allclose(first.values, sum(parts[:3]))
    assert np.allclose(second.values, sum(parts))


def test_a_slow_party_that_missed_a_round_is_waited_for_again() -> None:
    parts = vectors(4, 10)
    over = threading.Event()

    def slow(party: SummingParty) -> Any:
        over.wait(10)  # until the first round is over
        first = party.sum("r0", parts[3], norm=2.0)
        over.clear()
        over.wait(0.2)  # longer than a moment, shorter than the deadline
        return first, party.sum("r1", parts[3], norm=2.0)

    def prompt(number: int) -> Callable[[SummingParty], Any]:
        def work(party: SummingParty) -> Any:
            first = party.sum("r0", parts[number], norm=2.0)
            over.set()
            return first, party.sum("r1", parts[number], norm=2.0)

        return work

    played = together([*(prompt(n) for n in range(3)), slow], FOUR, patience=Patience(0.5, 0.1))
    first, second = played.results[0]
    assert first.contributors == FOUR.parties[:3]
    assert second.contributors == FOUR.parties


def test_a_second_part_in_one_round_does_not_count() -> None:
    parts = vectors(4, 10)

    def twice(party: SummingParty) -> Any:
        scale = scale_of(party.policy, "x", 10, 2.0, 64)
        for _ in range(2):
            send_part(party._channel, 0, scale.terms, scale.encode(parts[3]), party._entropy)
        return party._outcome(scale)

    played = together([*(once(p) for p in parts[:3]), twice], FOUR, patience=QUICK)
    assert np.allclose(played.results[0].values, sum(parts))


def test_a_party_alone_learns_nothing_and_nothing_opens() -> None:
    def gone(party: SummingParty) -> Any:
        raise Dropout

    with pytest.raises(Refusal, match="only 1 parties took part"):
        together([once(np.ones(3)), gone, gone], POLICY)


def test_two_of_three_parties_learn_nothing() -> None:
    seen: list[str] = []

    def tap(frame: Frame) -> Frame:
        seen.append(frame.step)
        return frame

    def gone(party: SummingParty) -> Any:
        raise Dropout

    with pytest.raises(Refusal, match="only 2 parties took part"):
        together([once(np.ones(3)), once(np.ones(3)), gone], POLICY, tap=tap)
    assert not [step for step in seen if "total" in step or "mask" in step]


@pytest.mark.parametrize("least", [0, 1, 2])
def test_two_contributors_are_never_enough(least: int) -> None:
    with pytest.raises(Refusal, match="each of them the other's part"):
        SumPolicy(("anna", "berta", "clara"), least_contributors=least).check()


def test_a_skipping_party_holds_nobody_up() -> None:
    parts = vectors(4, 10)
    skip = lambda p: p.skip("x", 10, norm=2.0)  # noqa: E731
    played = together([*(once(p) for p in parts[:3]), skip], FOUR, patience=Patience(600.0))
    assert np.allclose(played.results[3].values, sum(parts[:3]))


# --- parts that are wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_update_of_nans_is_refused_at_home(bad: float) -> None:
    with pytest.raises(Fault, match="missing or infinite"):
        together([once(np.array([1.0, bad])), once(np.ones(2)), once(np.ones(2))], POLICY)


def test_a_long_vector_is_refused_at_home_or_clipped() -> None:
    long = np.full(4, 1e9)
    with pytest.raises(Fault, match="longer than was declared"):
        together([once(long), once(np.ones(4)), once(np.ones(4))], POLICY)
    played = together([once(long, clip=True), once(np.ones(4)), once(np.ones(4))], POLICY)
    assert np.allclose(played.results[0].values, 3.0)


ATTACKS = {
    "norm 1e9": lambda length, limit: np.full(length, int(1e9) * limit % (1 << 64), np.uint64),
    "twice the bound": lambda length, limit: _lonely(length, 5 * limit),
    "half the ring": lambda length, limit: _lonely(length, 1 << 63),
    "squares that wrap to nothing": lambda length, limit: np.full(length, 1 << 56, np.uint64),
    "minus a quarter of the ring": lambda length, limit: _lonely(length, 3 << 62),
    "many small ones": lambda length, limit: np.full(length, int(6 * limit / np.sqrt(length)), np.uint64),
}  # fmt: skip


def _lonely(length: int, value: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
    out = np.zeros(length, np.uint64)
    out[length // 2] = value
    return out


@pytest.mark.parametrize("length", [8, DIRECT + 3000])
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_part_beyond_its_bound_is_found_on_shares_and_left_out(attack: str, length: int) -> None:
    parts = vectors(4, length)
    limit = scale_of(FOUR, "x", length, 2.0, 64).terms.limit
    cheat = sent_raw(ATTACKS[attack](length, limit), length)
    played = together([*(once(p) for p in parts[:3]), cheat], FOUR)
    assert played.results[0].contributors == FOUR.parties[:3]
    assert played.results[0].left_out["dora"] == "its part was larger than the declared bound"
    assert np.allclose(played.results[0].values, sum(parts[:3]), atol=1e-6)


@pytest.mark.parametrize("length", [8, DIRECT + 3000])
@pytest.mark.parametrize("value", [1 << 31, 3 << 29, (1 << 32) - (1 << 30)])
def test_large_elements_of_32_bits_are_found_too(value: int, length: int) -> None:
    parts = vectors(4, length)
    scale = scale_of(FOUR, "x", length, 2.0, 32)
    assert 4 * scale.terms.limit <= 1 << 30

    def cheat(party: SummingParty) -> Any:
        elements = _lonely(length, value).astype(np.uint32)
        send_part(party._channel, 0, scale.terms, elements, party._entropy)
        return party._outcome(scale)

    played = together([*(once(p, width=32) for p in parts[:3]), cheat], FOUR)
    assert played.results[0].contributors == FOUR.parties[:3]
    assert np.allclose(played.results[0].values, sum(parts[:3]), atol=1e-4)


@pytest.mark.parametrize("length", [8, DIRECT + 3000])
def test_parts_at_the_bound_pass(length: int) -> None:
    parts = [v * (2.0 / float(np.linalg.norm(v))) * (1 - 1e-12) for v in vectors(3, length)]
    played = together([once(p) for p in parts], POLICY)
    assert played.results[0].contributors == POLICY.parties


def test_a_wrong_size_is_left_out() -> None:
    parts = vectors(4, 10)

    def wrong(party: SummingParty) -> Any:
        return party.sum("x", np.ones(11) / 9, norm=2.0)

    with pytest.raises(Foul, match="the others summed up something else"):
        together([*(once(p) for p in parts[:3]), wrong], FOUR)

    def lying(party: SummingParty) -> Any:  # a head of the right size, a share of another one
        scale = scale_of(party.policy, "x", 10, 2.0, 64)
        send_head(party._channel, 0, Head(SUM, scale.terms, ("0" * 64,) * 3))
        for seat in range(3):
            party._channel.send(seat, "sum.0.share", np.zeros(11, np.uint64))
        return party._outcome(scale)

    played = together([*(once(p) for p in parts[:3]), lying], FOUR)
    assert played.results[0].contributors == FOUR.parties[:3]
    assert np.allclose(played.results[0].values, sum(parts[:3]))


def test_a_party_that_tells_seats_different_things_is_left_out() -> None:
    parts = vectors(4, 10)

    def two_faced(party: SummingParty) -> Any:
        scale = scale_of(party.policy, "x", 10, 2.0, 64)
        before = party._channel.send

        def send(to: int, step: str, array: np.ndarray[Any, Any]) -> None:
            if step == "sum.0" and to == 1:
                array = np.frombuffer(Head(SUM, scale.terms, ("1" * 64,) * 3).octets(), np.uint8)
            before(to, step, array)

        party._channel.send = send  # type: ignore[method-assign]
        send_part(party._channel, 0, scale.terms, scale.encode(parts[3]), party._entropy)
        return party._outcome(scale)

    played = together([*(once(p) for p in parts[:3]), two_faced], FOUR)
    assert played.results[0].contributors == FOUR.parties[:3]


@pytest.mark.parametrize(
    "head", [b"{}", b"not json", b'{"what":"sum","terms":{},"held":[]}', b'{"what":1}']
)
def test_a_head_that_is_none_leaves_its_party_out(head: bytes) -> None:
    parts = vectors(4, 10)

    def wrong(party: SummingParty) -> Any:
        for seat in range(3):
            party._channel.send(seat, "sum.0", np.frombuffer(head, np.uint8))
        return party._outcome(scale_of(party.policy, "x", 10, 2.0, 64))

    played = together([*(once(p) for p in parts[:3]), wrong], FOUR)
    assert played.results[3].contributors == FOUR.parties[:3]


def test_a_replayed_frame_ends_the_job() -> None:
    kept: list[Frame] = []

    def tap(frame: Frame) -> Frame:
        if frame.source == 3 and frame.target == 2 and frame.step == "sum.1":
            return kept[0]
        if frame.source == 3 and frame.target == 2 and frame.step == "sum.0":
            kept.append(frame)
        return frame

    def work(party: SummingParty) -> Any:
        return party.sum("a", np.ones(2), norm=2.0), party.sum("b", np.ones(2), norm=2.0)

    with pytest.raises(Foul, match="replayed"):
        together([work] * 3, POLICY, tap=tap)


def test_a_share_altered_on_its_way_leaves_its_party_out() -> None:
    parts = vectors(4, 10)

    def tap(frame: Frame) -> Frame:
        if frame.source == 6 and frame.step == "sum.0.share" and frame.target == 2:
            frame.body[0] += 1  # type: ignore[index, operator]
        return frame

    played = together([once(p) for p in parts], FOUR, tap=tap)
    assert played.results[0].contributors == FOUR.parties[:3]


# --- what is seen, what is written down -----------------------------------------------------------------


def test_what_one_seat_sees_is_uniform_whatever_the_parts_are() -> None:
    """Chi-square over the 256 values of each byte that arrives at seats, n = 3 x 2,000 words, alpha = 1e-6."""
    from scipy.stats import chisquare

    seen: dict[tuple[int, str], list[bytes]] = {}

    def tap(frame: Frame) -> Frame:
        if (
            frame.target < 3
            and isinstance(frame.body, np.ndarray)
            and frame.body.dtype == np.uint64
        ):
            seen.setdefault((frame.target, frame.step.rpartition("/")[2]), []).append(
                frame.body.tobytes()
            )
        return frame

    together([once(np.full(2000, 0.01)) for _ in range(3)], POLICY, tap=tap)
    assert {(2, "sum.0.share"), (2, "masked"), (0, "parts"), (1, "parts"), (2, "parts")} <= set(
        seen
    )
    for (_, step), bodies in seen.items():
        if step in ("sum.0.share", "masked", "parts", "narrow.open", "narrow.rest"):
            for body in bodies:
                counts = np.bincount(np.frombuffer(body, np.uint8), minlength=256)
                assert chisquare(counts).pvalue > 1e-6, step


def test_every_sum_is_written_down_before_it_opens() -> None:
    played = together([once(p) for p in vectors(3, 5)], POLICY)
    told = [o for o in played.record.openings if o.to == POLICY.parties]
    assert [o.what for o in told] == ["the sum of 'x' over anna, berta, clara, exact"]
    assert told[0].values == 5
    seats = [o for o in played.record.openings if o.to == ("seats",)]
    assert len(seats) == 1
    assert seats[0].values == 3


def test_a_sum_opens_once() -> None:
    from hanse.gate.record import Record
    from hanse.gate.sums import SumsDoor

    door = SumsDoor(None, Record(), POLICY, SeededEntropy("x"), lambda _: None)  # type: ignore[arg-type]
    door._opened.add(7)
    with pytest.raises(Fault, match="opened before"):
        door.open(None, 7, Terms("x", 1, 64, 1), np.zeros(1, np.uint64), [0, 1, 2], [])  # type: ignore[arg-type]
    with pytest.raises(Refusal, match="only 2 parties"):
        door.open(None, 8, Terms("x", 1, 64, 1), np.zeros(1, np.uint64), [0, 1, 1], [])  # type: ignore[arg-type]


def test_the_sketch_has_the_sizes_that_its_proof_names() -> None:
    assert (BUCKETS, SKETCHES) == (128, 6)
    assert DIRECT <= SKETCHES * BUCKETS
