"""A party's numbers on their way to the three seats: three components that add up modulo 2**64.

Components 0 and 1 are streams of two seeds, component 2 is the rest. Seat 0 gets both seeds, seats 1 and 2 get
component 2 and one seed each; two holders of a component compare hashes. Reveals: how many numbers. Assumes:
semi-honest seats, honest majority.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hanse.align.upload import compare_held
from hanse.engine.masks import KEY_BYTES, Stream
from hanse.engine.session import Session
from hanse.engine.shares import U64, Ring, octets
from hanse.entropy import Entropy
from hanse.wire import Channel

_U1, _U8 = np.dtype("u1"), np.dtype("<u8")


def send_elements(
    channel: Channel, seats: Sequence[int], step: str, values: NDArray[np.int64], entropy: Entropy
) -> None:
    """Share ``values`` (any shape) with the seats at these roles."""
    seeds = [entropy.take(KEY_BYTES) for _ in range(2)]
    last = values.reshape(-1).astype(np.int64).view(np.uint64)
    for seed in seeds:
        last = last - Stream(seed).take(last.size)
    packed = [np.frombuffer(seed, np.uint8) for seed in seeds]
    channel.send(seats[0], f"{step}.first", packed[0])
    channel.send(seats[0], f"{step}.second", packed[1])
    channel.send(seats[1], f"{step}.first", packed[1])
    channel.send(seats[1], f"{step}.rest", last)
    channel.send(seats[2], f"{step}.rest", last)
    channel.send(seats[2], f"{step}.first", packed[0])


def receive_elements(s: Session, role: int, party: str, step: str, shape: tuple[int, ...]) -> Ring:
    """A seat's share of what the party at ``role`` sent, checked against the other seats'."""
    size = int(np.prod(shape))

    def seed(name: str) -> tuple[U64, bytes]:
        key = s.channel.receive(role, f"{step}.{name}", _U1, (KEY_BYTES,)).tobytes()
        return Stream(key).take(size), hashlib.sha256(key).digest()

    def rest() -> tuple[U64, bytes]:
        data = np.asarray(s.channel.receive(role, f"{step}.rest", _U8, (size,)))
        return data, hashlib.sha256(octets(data)).digest()

    if s.seat == 0:
        (left, one), (right, two) = seed("first"), seed("second")
    elif s.seat == 1:
        left, one = seed("first")
        right, two = rest()
    else:
        left, one = rest()
        right, two = seed("first")
    compare_held(s, step, (one, two), party, "numbers")
    return Ring(left.reshape(shape), right.reshape(shape))
