"""Opening: where a secret stops being one. Only the room `gate` may import this module.

Each component is held by two seats: one sends it, the other sends its hash, so that a seat that sends
something else is caught (`Foul`). Reveals: exactly the opened values. Source: protocols as in Araki et
al. 2016, section 2.2, with the hash check of Furukawa et al. 2017.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from hanse.engine.session import Session
from hanse.engine.shares import SEATS, U64, Bits, Ring, octets
from hanse.errors import Foul
from hanse.wire import Channel

_U64 = np.dtype("<u8")
_U8 = np.dtype("u1")


def _hash(array: U64) -> NDArray[np.uint8]:
    return np.frombuffer(hashlib.sha256(octets(array)).digest(), np.uint8)


def _missing(s: Session, left: U64, right: U64, step: str) -> U64:
    """The component this seat does not hold, checked against the other holder's hash."""
    left = np.ascontiguousarray(left)
    s.send(s.right_seat, step, left)
    s.send(s.left_seat, f"{step}.hash", _hash(right))
    s.meter.rounds += 1
    value = s.receive(s.left_seat, step, left.shape)
    claimed = s.receive(s.right_seat, f"{step}.hash", (32,), _U8)
    if not np.array_equal(_hash(value), claimed):
        raise Foul(
            "engine.opening",
            f"seats {s.left_seat} and {s.right_seat} disagree about an opened value",
            where=step,
            remedy="one of the two nodes is faulty or cheats; compare their ledgers before a rerun",
        )
    return value


def open_bits(s: Session, x: Bits, step: str) -> U64:
    """The planes, in the clear, to all three seats."""
    return x.left ^ x.right ^ _missing(s, x.left, x.right, step)


def open_ring(s: Session, x: Ring, step: str) -> U64:
    """The elements, in the clear, to all three seats."""
    return x.left + x.right + _missing(s, x.left, x.right, step)


def send_ring(channel: Channel, x: Ring, to: int, step: str) -> None:
    """A seat's part of opening to role ``to`` only: its left component, and the hash of its right one."""
    channel.send(to, step, np.ascontiguousarray(x.left))
    channel.send(to, f"{step}.hash", _hash(x.right))


def receive_ring(channel: Channel, shape: tuple[int, ...], step: str) -> U64:
    """The recipient's part: three components, each checked against its second holder's hash."""
    parts = _components(channel, shape, step)
    total = parts[0] + parts[1] + parts[2]
    return np.asarray(total, np.uint64)


def receive_words(channel: Channel, shape: tuple[int, ...], step: str) -> U64:
    """The same for XOR-shared words, which a seat sends with `send_ring` as they are."""
    parts = _components(channel, shape, step)
    total = parts[0] ^ parts[1] ^ parts[2]
    return np.asarray(total, np.uint64)


def _components(channel: Channel, shape: tuple[int, ...], step: str) -> list[U64]:
    parts = [channel.receive(seat, step, _U64, shape) for seat in range(SEATS)]
    hashes = [channel.receive(seat, f"{step}.hash", _U8, (32,)) for seat in range(SEATS)]
    for component in range(SEATS):
        holder = (component - 1) % SEATS
        if not np.array_equal(_hash(parts[component]), hashes[holder]):
            raise Foul(
                "engine.opening",
                f"seats {component} and {holder} sent different values of one component",
                where=step,
                remedy="one of the two nodes is faulty or cheats; compare their ledgers before a rerun",
            )
    return [np.asarray(part, np.uint64) for part in parts]
