"""Locks of model jobs: without every provider's seeds an output is noise, and a provider that lies is named."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hanse.engine.shares import Ring, Words
from hanse.entropy import SeededEntropy
from hanse.errors import Foul, HanseError, Refusal
from hanse.gate import Record
from hanse.gate.record import Opening
from hanse.gate.scores import (
    ModelRelease,
    Told,
    draw_lock,
    locked_numbers,
    locked_words,
    read_unlocked,
    receive_lock_seeds,
    send_lock_seeds,
    send_locked,
    unlock,
)
from hanse.wire import Frame, Hall

PROVIDERS = ("left", "right")
READER = 5  # roles: three seats, two providers, the recipient
VALUES = np.array([1, 2, 2**63, 2**64 - 1, 0], np.uint64)


def play(
    words: bool = False, tap: Any = None, told_locks: dict[str, list[bytes]] | None = None
) -> tuple[Any, Record]:
    """What the recipient reads, and seat 0's record. ``told_locks``: seeds that a provider tells instead."""
    told = Told("numbers", "five numbers", ("reader",), VALUES.size, words)
    hall = Hall(6, tap=tap, patience=10.0)
    entropy = SeededEntropy("scores")
    parts = [np.frombuffer(entropy.take(40), np.uint64) for _ in range(2)]
    last = VALUES ^ parts[0] ^ parts[1] if words else VALUES - parts[0] - parts[1]
    shares, seeds = [*parts, last], {p: list(draw_lock(entropy)) for p in PROVIDERS}
    records = [Record() for _ in range(3)]
    read: list[Any] = []
    errors: list[BaseException] = []

    def seat(number: int) -> None:
        channel = hall.channel(number)
        locks = [receive_lock_seeds(channel, 3 + i, p) for i, p in enumerate(PROVIDERS)]
        left, right = shares[number], shares[(number + 1) % 3]
        if words:
            locked = locked_words(
                records[number], Words(left[:, None], right[:, None]), told, locks
            )
        else:
            locked = locked_numbers(records[number], Ring(left, right), told, locks)
        send_locked(channel, locked, told, READER, locks)

    def provider(number: int) -> None:
        channel, party = hall.channel(3 + number), PROVIDERS[number]
        send_lock_seeds(channel, party, seeds[party])
        unlock(channel, party, (told_locks or {}).get(party, seeds[party]), told, READER)

    def reader(_number: int) -> None:
        order = [(p, 3 + i) for i, p in enumerate(PROVIDERS)]
        read.append(read_unlocked(hall.channel(READER), told, order, PROVIDERS))

    def live(work: Callable[[int], None], number: int) -> None:
        try:
            work(number)
        except HanseError as error:
            errors.append(error)
            hall.fail(error)

    lives = [*((seat, n) for n in range(3)), *((provider, n) for n in range(2)), (reader, 0)]
    threads = [threading.Thread(target=live, args=one) for one in lives]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return read[0], records[0]


@pytest.mark.parametrize("words", [False, True])
def test_with_all_locks_the_recipient_reads_the_output(words: bool) -> None:
    opened, record = play(words)
    assert np.array_equal(opened, VALUES)
    assert [o.body() for o in record.openings] == [
        Opening("numbers", "five numbers", ("reader",), 5).body()
    ]


@pytest.mark.parametrize("words", [False, True])
def test_what_seats_send_is_noise_without_one_lock(words: bool) -> None:
    """Taking off every lock but one leaves words that share nothing with the output."""
    sent: dict[int, np.ndarray] = {}
    hidden: list[bytes] = []

    def tap(frame: Frame) -> Frame:
        if frame.step == "numbers":
            sent[frame.source] = np.array(frame.body)
        if frame.step == "unlock.left.numbers":
            hidden.append(np.array(frame.body).tobytes())
        return frame

    play(words, tap)
    from hanse.engine.masks import Stream

    raw = sent[0] ^ sent[1] ^ sent[2] if words else sent[0] + sent[1] + sent[2]
    for number in range(3):  # with the left provider's seeds alone
        mask = Stream(hidden[0][32 * number : 32 * number + 32]).take(VALUES.size)
        raw = raw ^ mask if words else raw - mask
    assert not np.isin(raw, VALUES).any()


def test_a_provider_that_tells_another_lock_is_named() -> None:
    lies = {"right": list(draw_lock(SeededEntropy("a lie")))}
    with pytest.raises(Foul) as foul:
        play(told_locks=lies)
    assert foul.value.code == "gate.lock"
    assert "right" in foul.value.message


def test_a_seat_that_sends_something_else_is_noticed() -> None:
    def tap(frame: Frame) -> Frame:
        if frame.step == "numbers" and frame.source == 1:
            body = np.array(frame.body)
            body[0] ^= np.uint64(1)
            return Frame(
                **{**{n: getattr(frame, n) for n in Frame.__dataclass_fields__}, "body": body}
            )
        return frame

    with pytest.raises(Foul) as foul:
        play(tap=tap)
    assert foul.value.code == "engine.opening"


def test_the_record_must_announce_what_the_plan_says() -> None:
    told = Told("model.shop", "coefficients", ("shop",), 3)
    release = ModelRelease((told,), 100, besides=("keys",))
    record = Record()
    record.write(Opening("tags", "tags", ("seats",), 10))
    record.write(Opening("keys", "keys", ("shop", "media"), 10))
    record.write(told.opening)
    release.require_announced(record, "shop")
    record.write(Opening("model.media", "coefficients", ("shop",), 3))
    with pytest.raises(Foul) as foul:
        release.require_announced(record, "shop")
    assert foul.value.code == "gate.record"
    with pytest.raises(Refusal):
        ModelRelease((told,), 19).checked(rehearsal=True)
    assert release.shapes == ((3,),)
    assert release.of("media") == ()
