"""Secrets and seats for the tests of engine, align and gate: dealt shares, keyed stages, transcripts.

Shares are dealt by the test itself (from a seeded generator), so that what a protocol costs and what its
seats see is the protocol's alone, not that of an input step.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from hanse.engine import reveal
from hanse.engine.masks import Stream
from hanse.engine.session import Session
from hanse.engine.shares import Bits, Ring, Words, words_for
from hanse.engine.slicing import planes_of
from hanse.errors import Fault, HanseError
from hanse.wire import Channel, Frame, Hall, Tap

U64 = NDArray[np.uint64]
T = TypeVar("T")
SEATS = 3


# --- dealing ------------------------------------------------------------------------------------


class Dealer:
    """Shares of known values for all three seats; indexed by seat.

    With ``blind`` a seat number, both components that seat holds are zero and the third carries the value:
    whatever that seat then learns, it learned from messages.
    """

    def __init__(self, seed: int, *, blind: int | None = None) -> None:
        self._random = np.random.default_rng(seed)
        self._blind = blind

    def _components(self, value: U64, *, xor: bool) -> list[U64]:
        if self._blind is not None:
            parts = [np.zeros_like(value) for _ in range(SEATS)]
            parts[(self._blind + 2) % SEATS] = value
            return parts
        first, second = (
            self._random.integers(0, 1 << 64, value.shape, np.uint64) for _ in range(2)
        )
        third = value ^ first ^ second if xor else value - first - second
        return [first, second, np.asarray(third)]

    def ring(self, values: NDArray[Any]) -> list[Ring]:
        c = self._components(unsigned(values), xor=False)
        return [Ring(c[i].copy(), c[(i + 1) % SEATS].copy()) for i in range(SEATS)]

    def bits(self, values: NDArray[Any], bits: int) -> list[Bits]:
        """Planes [bits, words] of ``values`` [rows]; the undefined bits past the last row are junk."""
        planes = planes_of(unsigned(values), bits)
        spare = -values.size % 64
        if spare and planes.size:
            junk = self._random.integers(0, 1 << 64, planes.shape[0], np.uint64)
            planes[:, -1] |= junk & ~np.uint64((1 << (64 - spare)) - 1)
        return self.planes(planes, values.size)

    def planes(self, planes: U64, rows: int) -> list[Bits]:
        c = self._components(planes, xor=True)
        return [Bits(c[i].copy(), c[(i + 1) % SEATS].copy(), rows) for i in range(SEATS)]

    def words(self, table: U64) -> list[Words]:
        c = self._components(table, xor=True)
        return [Words(c[i].copy(), c[(i + 1) % SEATS].copy()) for i in range(SEATS)]


def unsigned(values: NDArray[Any]) -> U64:
    """Two's complement words."""
    array = np.ascontiguousarray(values)
    return array if array.dtype == np.uint64 else array.astype(np.int64).view(np.uint64)


def unpacked(planes: U64, rows: int) -> NDArray[np.uint8]:
    """Planes [..., words] as 0/1 [..., rows]."""
    if rows == 0:
        return np.zeros((*planes.shape[:-1], 0), np.uint8)
    flat = np.ascontiguousarray(planes).reshape(-1, words_for(rows)).view(np.uint8)
    ones = np.unpackbits(flat, axis=1, count=rows, bitorder="little")
    return ones.reshape(*planes.shape[:-1], rows)


def digits(values: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """0/1 [bits, rows], low bit first: what `unpacked` gives for the values' planes."""
    move = np.arange(bits, dtype=np.uint64)[:, None]
    return ((unsigned(values)[None, :] >> move) & np.uint64(1)).astype(np.uint8)


def opened(s: Session, secret: Ring | Bits | Words, step: str = "opened") -> NDArray[Any]:
    """In the clear: elements, 0/1 [..., rows], or rows of words."""
    if isinstance(secret, Ring):
        return reveal.open_ring(s, secret, step)
    if isinstance(secret, Bits):
        return unpacked(reveal.open_bits(s, secret, step), secret.rows)
    return reveal.open_bits(s, Bits(secret.left, secret.right, secret.rows), step)


# --- stages -------------------------------------------------------------------------------------


def play(parts: Iterable[Callable[[Channel], T]], *, names: tuple[str, ...] = (), tap: Tap | None = None,
         patience: float = 20.0) -> list[T | BaseException]:  # fmt: skip
    """Run one function per role in one hall; each role's result, or the error it ended with."""
    functions = list(parts)
    hall = Hall(len(functions), names=names, tap=tap, patience=patience)
    outcomes: list[Any] = [None] * len(functions)

    def run(role: int) -> None:
        try:
            outcomes[role] = functions[role](hall.channel(role))
        except BaseException as error:  # handed to the test
            outcomes[role] = error
            hall.fail(error if isinstance(error, HanseError) else Fault("stage.error", repr(error)))

    threads = [threading.Thread(target=run, args=(role,)) for role in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def results(outcomes: list[T | BaseException]) -> list[T]:
    """The results, if no role failed."""
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return outcomes  # type: ignore[return-value]


def keyed(
    protocol: Callable[[Session], T], keys: list[bytes], *, tap: Tap | None = None
) -> list[T]:
    """Run ``protocol`` at three seats whose component keys the test chose."""

    def part(seat: int) -> Callable[[Channel], T]:
        return lambda channel: protocol(
            Session(channel, seat, keys[seat], keys[(seat + 1) % SEATS])
        )

    return results(play([part(seat) for seat in range(SEATS)], tap=tap))


class ZeroStream(Stream):
    """Masks switched off: what a stream of zeros would do. Only tests can make one."""

    def __init__(self) -> None:
        super().__init__(bytes(32))

    def take(self, count: int) -> U64:
        return np.zeros(count, np.uint64)

    def onto(self, target: U64) -> None:
        pass


# --- transcripts --------------------------------------------------------------------------------


class Tape:
    """A tap that keeps every frame; ``received(role)`` is what a role was sent, in order of sender."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self._lock = threading.Lock()

    def __call__(self, frame: Frame) -> Frame:
        body = frame.body.copy() if isinstance(frame.body, np.ndarray) else frame.body
        with self._lock:
            self.frames.append(
                Frame(frame.kind, frame.stream, frame.source, frame.target, frame.sequence, frame.step, body)
            )  # fmt: skip
        return frame

    def received(self, role: int) -> list[Frame]:
        mine = [f for f in self.frames if f.target == role]
        return sorted(mine, key=lambda f: (f.source, f.sequence))


def payload(frame: Frame) -> NDArray[np.uint8]:
    assert isinstance(frame.body, np.ndarray)
    return np.ascontiguousarray(frame.body).reshape(-1).view(np.uint8)


def uniform_p_value(octets: NDArray[np.uint8]) -> float:
    """Chi-square of 256 byte values against the uniform law; needs 5 expected in each."""
    assert octets.size >= 5 * 256
    return float(stats.chisquare(np.bincount(octets, minlength=256)).pvalue)


def flipped(frame: Frame, at: int = 0) -> Frame:
    """The frame with one bit of its payload changed."""
    assert isinstance(frame.body, np.ndarray)
    octets = payload(frame).copy()
    octets[at] ^= 1
    body = octets.view(frame.body.dtype).reshape(frame.body.shape)
    return Frame(
        frame.kind, frame.stream, frame.source, frame.target, frame.sequence, frame.step, body
    )
