"""Seats agree on keys that nobody else has, fork masks that never meet, and notice disagreement."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from hanse.engine.session import Session
from hanse.engine.stage import agree, on_stage
from hanse.entropy import SeededEntropy, SystemEntropy
from hanse.errors import Fault, Foul, HanseError
from hanse.wire import Frame
from secret_stage import Tape, flipped, payload, play


def agreed(jobs: list[bytes], *, tap: Any = None, seed: str = "s") -> list[Any]:
    def part(seat: int) -> Any:
        return lambda channel: agree(channel, seat, SeededEntropy(f"{seed}{seat}"), jobs[seat])

    return play([part(seat) for seat in range(3)], tap=tap)


def masks_of(s: Session) -> tuple[bytes, bytes]:
    return s.left.take(4).tobytes(), s.right.take(4).tobytes()


def test_each_pair_has_one_key_and_each_seat_misses_one() -> None:
    masks = [masks_of(s) for s in agreed([b"job"] * 3)]
    for seat in range(3):
        assert masks[seat][1] == masks[(seat + 1) % 3][0]
    assert len({m[0] for m in masks}) == 3


def test_every_attempt_has_keys_of_its_own() -> None:
    """A rerun under old masks would be a two-time pad. Job, and any one seat's chance, change all keys."""
    runs = [agreed([b"job"] * 3), agreed([b"another"] * 3), agreed([b"job"] * 3, seed="t")]
    masks = [masks_of(s)[0] for run in runs for s in run]
    assert len(set(masks)) == 9

    def fresh(seat: int) -> Any:
        entropy = SystemEntropy() if seat == 1 else SeededEntropy(f"s{seat}")
        return lambda channel: agree(channel, seat, entropy, b"job")

    again = [masks_of(s)[0] for s in play([fresh(seat) for seat in range(3)])]
    assert not set(again) & set(masks), "one seat's nonce must reach the key of the other two"


@pytest.mark.parametrize("odd", range(3))
def test_seats_that_disagree_about_the_job_stop_before_any_data(odd: int) -> None:
    tape = Tape()
    jobs = [b"job"] * 3
    jobs[odd] = b"other job"
    outcomes = agreed(jobs, tap=tape)
    assert all(isinstance(o, Foul) and o.code == "engine.disagree" and o.remedy for o in outcomes)
    assert {f.step for f in tape.frames} <= {"agree", "agree.job"}


@pytest.mark.parametrize("replacement", [bytes(32), b"\1" + bytes(31)])
def test_a_key_of_small_order_is_a_foul(replacement: bytes) -> None:
    def tap(frame: Frame) -> Frame:
        if frame.step == "agree" and frame.source == 2:
            body = np.frombuffer(replacement + payload(frame)[32:].tobytes(), np.uint8)
            return Frame(
                frame.kind, frame.stream, frame.source, frame.target, frame.sequence, "agree", body
            )
        return frame

    outcomes = agreed([b"job"] * 3, tap=tap)
    assert {o.code for o in outcomes if isinstance(o, HanseError)} == {"engine.key"}
    assert "seat 2" in str(outcomes[0])


@pytest.mark.parametrize("at", [0, 17, 32, 63])
@pytest.mark.parametrize("source", range(3))
def test_a_key_or_nonce_changed_on_the_way_is_noticed(source: int, at: int) -> None:
    """Keys (bytes 0..31) and nonces (32..63): the seats find out before any data, whichever it was."""
    target = (source + 1) % 3
    tape = Tape()

    def tap(frame: Frame) -> Frame:
        tape(frame)
        touched = frame.step == "agree" and (frame.source, frame.target) == (source, target)
        return flipped(frame, at) if touched else frame

    outcomes = agreed([b"job"] * 3, tap=tap)
    fouls = [o for o in outcomes if isinstance(o, Foul)]
    assert len(fouls) >= 2
    assert all(o.code == "engine.disagree" and o.remedy for o in fouls)
    assert {f.step for f in tape.frames} <= {"agree", "agree.job", "agree.key"}


def test_what_confirms_a_key_is_no_mask() -> None:
    """The proof that both have the key comes from a derivation of its own."""
    tape = Tape()
    masks = b"".join(b"".join(masks_of(s)) for s in agreed([b"job"] * 3, tap=tape))
    proofs = [payload(f).tobytes() for f in tape.frames if f.step == "agree.key"]
    assert len(proofs) == 6
    assert len(set(proofs)) == 3
    assert not any(proof in masks for proof in proofs)


def test_forks_have_masks_of_their_own() -> None:
    def protocol(s: Session) -> list[tuple[bytes, bytes]]:
        forks = [s, s.fork("a"), s.fork("b"), s.fork("ab")]
        forks.append(forks[1].fork("b"))
        return [masks_of(f) for f in forks]

    seats = on_stage(protocol)
    for seat in range(3):
        left, right = zip(*seats[seat], strict=True)
        assert len({*left, *right}) == 10
        assert [m[1] for m in seats[seat]] == [m[0] for m in seats[(seat + 1) % 3]]


def test_a_step_starts_once() -> None:
    def protocol(s: Session) -> None:
        s.fork("a").fork("a")
        s.fork("a")

    with pytest.raises(Fault, match="started twice") as caught:
        on_stage(protocol)
    assert caught.value.code == "session.step"


def test_two_ways_to_one_path_never_share_masks() -> None:
    def protocol(s: Session) -> bool:
        try:
            pair = s.fork("a/b"), s.fork("a").fork("b")
        except Fault:
            return True  # refusing the name is as good
        return masks_of(pair[0]) != masks_of(pair[1])

    assert on_stage(protocol) == [True] * 3


@pytest.mark.parametrize(("owner", "xor"), list(itertools.product(range(3), (True, False))))
def test_an_input_reaches_all_three(owner: int, xor: bool) -> None:
    value = np.arange(70, dtype=np.uint64).reshape(7, 10)

    def protocol(s: Session) -> Any:
        return s.input_from(owner, "in", value if s.seat == owner else None, value.shape, xor=xor)

    seats = on_stage(protocol)
    for seat in range(3):
        assert (seats[seat][1] == seats[(seat + 1) % 3][0]).all()
    a, b, c = (seats[i][0] for i in range(3))
    assert ((a ^ b ^ c if xor else a + b + c) == value).all()


def test_public_values_random_values_and_components() -> None:
    public = np.arange(5, dtype=np.uint64)

    def protocol(s: Session) -> Any:
        known = None if s.seat == 0 else public
        flipped_bits = s.invert(s.public_bits(public, 64))
        made = [s.public_ring(public), s.public_ring(-1), s.random_ring(5), s.random_bits(2, rows=70),
                s.public_bits(public, 64), flipped_bits, s.zeros_bits(2, rows=3)]  # fmt: skip
        pairs = [(m.left, m.right) for m in made]
        words = s.public_words(public.reshape(-1, 1))
        return [*pairs, (words.left, words.right), s.component(2, known, (5,))]

    seats = on_stage(protocol)
    for kind in range(9):
        for seat in range(3):
            assert (seats[seat][kind][1] == seats[(seat + 1) % 3][kind][0]).all()
    a, b, c = ([pair[0] for pair in seat] for seat in seats)
    assert (a[0] + b[0] + c[0] == public).all()
    assert a[1] + b[1] + c[1] == np.uint64(2**64 - 1)
    assert len({a[2].tobytes(), b[2].tobytes(), c[2].tobytes()}) == 3
    assert (a[4] ^ b[4] ^ c[4] == public).all()
    assert (a[5] ^ b[5] ^ c[5] == ~public).all()
    assert not (a[6] | b[6] | c[6]).any()
    assert (a[7] ^ b[7] ^ c[7] == public.reshape(-1, 1)).all()
    assert (a[8] ^ b[8] ^ c[8] == public).all()
    assert not (a[8] | b[8]).any(), "a component that two seats hold stays with them"


def test_a_seat_that_should_know_and_does_not() -> None:
    with pytest.raises(Fault) as owner:
        on_stage(lambda s: s.input_from(0, "in", None, (1,), xor=True))
    assert owner.value.code == "session.input"
    with pytest.raises(Fault) as holder:
        on_stage(lambda s: s.component(1, None, (1,)))
    assert holder.value.code == "session.component"
    with pytest.raises(ValueError, match="0, 1 or 2"):
        Session(None, 3, bytes(32), bytes(32))  # type: ignore[arg-type]


def test_the_meter_counts_what_leaves() -> None:
    """Bytes and messages per seat are those on the wire, per step and in all."""
    tape = Tape()

    def protocol(s: Session) -> Any:
        part = s.fork("part")
        part.pass_left("x", np.zeros(10, np.uint64))
        part.pass_left("y", np.zeros((2, 3), np.uint64))
        s.pass_left("z", np.zeros(1, np.uint64))
        return s.meter

    for seat, meter in enumerate(on_stage(protocol, tap=tape)):
        sent = [f for f in tape.frames if f.source == seat and not f.step.startswith("agree")]
        assert meter.bytes == sum(payload(f).size for f in sent) == 8 * 17
        assert (meter.messages, meter.rounds) == (len(sent), 3)
        assert meter.by_step == {"part": 128, "": 8}
        assert {f.step for f in sent} == {"part/x", "part/y", "z"}


def test_a_seat_that_is_ahead_is_told_so() -> None:
    def protocol(s: Session) -> Any:
        return s.pass_left("one" if s.seat else "two", np.zeros(1, np.uint64))

    with pytest.raises(Foul) as caught:
        on_stage(protocol)
    assert caught.value.code == "wire.step"


def test_one_seats_error_ends_the_others_waits() -> None:
    def protocol(s: Session) -> Any:
        if s.seat == 1:
            raise Fault("test.broken", "seat 1 broke")
        return s.receive(1, "never", (1,))

    with pytest.raises(Fault, match="seat 1 broke"):
        on_stage(protocol)
    with pytest.raises(ZeroDivisionError):
        on_stage(lambda s: 1 // 0 if s.seat == 0 else s.receive(0, "never", (1,)))
