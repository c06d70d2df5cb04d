"""A seat's handle on one attempt of one job: its channel, its masks, its meter."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hanse.engine.masks import Stream, derive
from hanse.engine.shares import SEATS, U64, Bits, Ring, Words, words_for
from hanse.errors import Fault, Foul
from hanse.wire import Array, Channel

_U64 = np.dtype("<u8")
_U8 = np.dtype("u1")


@dataclass
class Meter:
    """What a seat has sent so far, for declared costs and reports."""

    rounds: int = 0
    bytes: int = 0
    messages: int = 0
    by_step: dict[str, int] = field(default_factory=dict)


class Session:
    """Seat ``seat`` of one attempt. Keys: component ``seat`` (left) and ``seat + 1`` (right).

    The three seats run the same protocol code in lock step; every message carries its step name, so
    seats that have drifted apart stop at the first message.
    """

    def __init__(
        self,
        channel: Channel,
        seat: int,
        key_left: bytes,
        key_right: bytes,
        *,
        name: str = "",
        meter: Meter | None = None,
        progress: Callable[[str, float], None] | None = None,
    ) -> None:
        if not 0 <= seat < SEATS:
            raise ValueError("a seat is 0, 1 or 2")
        self.channel = channel
        self.seat = seat
        self.name = name
        self.left_seat = (seat - 1) % SEATS
        self.right_seat = (seat + 1) % SEATS
        self.left = Stream(derive(key_left, f"stream|{name}"))
        self.right = Stream(derive(key_right, f"stream|{name}"))
        self.meter = meter if meter is not None else Meter()
        self._keys = (key_left, key_right)
        self._forks: set[str] = set()
        self._progress = progress

    def __repr__(self) -> str:
        return f"<Session seat {self.seat} {self.name!r}>"

    def fork(self, name: str) -> Session:
        """A part of this session with masks of its own; a name serves once."""
        if (
            "/" in name
        ):  # it parts the steps of a path; else two ways could lead to one path, and one key
            raise Fault("session.step", f"a step cannot be called {name!r}", where=self.name)
        if name in self._forks:
            raise Fault("session.step", f"the step {name!r} was started twice", where=self.name)
        self._forks.add(name)
        path = f"{self.name}/{name}" if self.name else name
        return Session(
            self.channel,
            self.seat,
            *self._keys,
            name=path,
            meter=self.meter,
            progress=self._progress,
        )

    def report(self, step: str, share: float) -> None:
        """Tell whoever watches how far ``step`` is (0..1)."""
        if self._progress is not None:
            self._progress(step, share)

    # --- messages -------------------------------------------------------------------------------

    def send(self, seat: int, step: str, array: Array) -> None:
        """Send to another seat."""
        path = f"{self.name}/{step}" if self.name else step
        self.meter.bytes += array.nbytes
        self.meter.messages += 1
        self.meter.by_step[self.name] = self.meter.by_step.get(self.name, 0) + array.nbytes
        self.channel.send(seat, path, array)

    def receive(
        self, seat: int, step: str, shape: tuple[int, ...], dtype: np.dtype[Any] = _U64
    ) -> Array:
        """Receive from another seat; type and shape are checked."""
        path = f"{self.name}/{step}" if self.name else step
        return self.channel.receive(seat, path, dtype, shape)

    def pass_left(self, step: str, array: U64) -> U64:
        """Send ``array`` to the left neighbour, receive the right one's: one round, equal shapes."""
        self.send(self.left_seat, step, array)
        self.meter.rounds += 1
        return self.receive(self.right_seat, step, array.shape)

    def check_equal(self, step: str, mine: bytes, what: str, seats: tuple[int, ...] = ()) -> None:
        """Compare the SHA-256 of ``mine`` with other seats (default: both); `Foul` if they differ."""
        ours = np.frombuffer(hashlib.sha256(mine).digest(), np.uint8)
        others = seats or (self.left_seat, self.right_seat)
        for other in others:
            self.send(other, step, ours)
        for other in others:
            if not np.array_equal(ours, self.receive(other, step, (32,), _U8)):
                raise Foul(
                    "engine.disagree",
                    f"seats {self.seat} and {other} hold different {what}",
                    remedy="compare the contract and the job on both nodes, then rerun",
                )

    # --- shares of public values and of randomness ------------------------------------------------

    def public_ring(self, value: U64 | int) -> Ring:
        """A public value as shares: component 0 carries it."""
        array = np.asarray(np.uint64(value % (1 << 64)) if isinstance(value, int) else value)
        zero = np.zeros_like(array)
        return Ring(array if self.seat == 0 else zero, array if self.seat == 2 else zero)

    def public_bits(self, planes: U64, rows: int) -> Bits:
        """Public bit planes as shares."""
        zero = np.zeros_like(planes)
        return Bits(planes if self.seat == 0 else zero, planes if self.seat == 2 else zero, rows)

    def invert(self, x: Bits) -> Bits:
        """NOT: component 0 flips."""
        return Bits(
            ~x.left if self.seat == 0 else x.left, ~x.right if self.seat == 2 else x.right, x.rows
        )

    def zeros_bits(self, *leading: int, rows: int) -> Bits:
        """All-zero planes of shape [*leading, words]."""
        zero = np.zeros((*leading, words_for(rows)), np.uint64)
        return Bits(zero, zero, rows)

    def random_bits(self, *leading: int, rows: int) -> Bits:
        """Uniform bits that no seat knows; no message."""
        shape = (*leading, words_for(rows))
        count = int(np.prod(shape))
        return Bits(
            self.left.take(count).reshape(shape), self.right.take(count).reshape(shape), rows
        )

    def random_ring(self, *shape: int) -> Ring:
        """Uniform ring elements that no seat knows; no message."""
        count = int(np.prod(shape))
        return Ring(self.left.take(count).reshape(shape), self.right.take(count).reshape(shape))

    def component(self, number: int, value: U64 | None, shape: tuple[int, ...]) -> tuple[U64, U64]:
        """(left, right) of a value that sits wholly in component ``number``; zeros elsewhere.

        The two seats that hold the component pass the value, the third one passes None.
        """
        zero = np.zeros(shape, np.uint64)
        left = value if self.seat == number else zero
        right = value if (self.seat + 1) % SEATS == number else zero
        if left is None or right is None:
            raise Fault("session.component", f"seat {self.seat} must know component {number}")
        return left, right

    def input_from(
        self, owner: int, step: str, value: U64 | None, shape: tuple[int, ...], *, xor: bool
    ) -> tuple[U64, U64]:
        """(left, right) of a value known to seat ``owner``: one component random, one sent, one zero.

        Component ``owner`` is drawn from the stream the owner shares with its left neighbour, component
        ``owner + 1`` is the difference and goes to the right neighbour. One round, 8 bytes an element
        from the owner only. Reveals nothing: each other seat sees a uniform word or a zero.
        """
        count = int(np.prod(shape))
        zero = np.zeros(shape, np.uint64)
        self.meter.rounds += 1
        if self.seat == owner:
            if value is None:
                raise Fault("session.input", "the owner of an input must give its value")
            random = self.left.take(count).reshape(shape)
            rest = value ^ random if xor else value - random
            self.send(self.right_seat, step, rest)
            return random, rest
        if self.seat == (owner + 1) % SEATS:
            return self.receive(owner, step, shape), zero
        return zero, self.right.take(count).reshape(shape)

    def public_words(self, rows: U64) -> Words:
        """Public rows of words as shares."""
        zero = np.zeros_like(rows)
        return Words(rows if self.seat == 0 else zero, rows if self.seat == 2 else zero)
