"""A provider's rows on their way to the seats: padded to the declared capacity, sealed, split in three.

Components 0 and 1 are streams of two seeds, component 2 is the data XOR both. Seat 0 gets the two seeds, seats 1
and 2 get component 2 and one seed each; so every seat misses one component, and destroying the seeds
destroys the shares. Seats that hold the same component compare hashes: a provider that sends different
things to different seats is named.
Reveals: to seats, the declared capacity and the layout's width. Assumes: semi-honest seats, honest majority.
"""

from __future__ import annotations

import hashlib

import numpy as np

from hanse.align.layout import U64, Layout
from hanse.engine.masks import KEY_BYTES, Stream
from hanse.engine.session import Session
from hanse.engine.shares import Ring, Words, octets
from hanse.entropy import Entropy
from hanse.errors import Fault, Foul
from hanse.wire import Channel

_U64 = np.dtype("<u8")
_U8 = np.dtype("u1")


def padded(ids: U64, columns: U64, capacity: int, layout: Layout, entropy: Entropy) -> U64:
    """Rows [capacity, width] sorted by id: the people, and empty rows under fresh random ids.

    ``ids`` [n] rise strictly; ``columns`` [n, width] has the packed fields (its word 0 is ignored).
    """
    count = ids.size
    if count > capacity:
        raise Fault(
            "align.capacity",
            f"there are more people than the declared capacity of {capacity}",
            remedy="raise the capacity in the contract, or narrow the filter",
            detail=f"{count} people, capacity {capacity}",
        )
    if count > 1 and not (ids[1:] > ids[:-1]).all():
        raise Fault("align.order", "the ids to share are not sorted and unique")
    rows = np.zeros((capacity, layout.width), np.uint64)
    spare = _fresh_ids(ids, capacity - count, entropy)
    if spare.size == 0:
        rows[:, 1:] = columns[:, 1:]
        rows[:, 0] = ids
        return rows
    spare.sort()
    places = np.searchsorted(ids, spare) + np.arange(spare.size)
    real = np.ones(capacity, bool)
    real[places] = False
    rows[places, 0] = spare
    rows[real, 0] = ids
    rows[real, 1:] = columns[:, 1:]
    return rows


def _fresh_ids(taken: U64, count: int, entropy: Entropy) -> U64:
    """``count`` random ids that are new among themselves and to ``taken``."""
    found = np.empty(0, np.uint64)
    while found.size < count:
        more = np.frombuffer(entropy.take(8 * (count - found.size)), np.uint64)
        found = np.setdiff1d(np.concatenate([found, more]), taken)
    return found


def send_rows(channel: Channel, seats: tuple[int, int, int], name: str, rows: U64,
              entropy: Entropy) -> str:  # fmt: skip
    """Share ``rows`` [capacity, width] with the seats; returns the commitment (a hash of what they hold)."""
    seeds = [entropy.take(KEY_BYTES) for _ in range(2)]
    last = rows.copy()
    for seed in seeds:
        last ^= Stream(seed).take(rows.size).reshape(rows.shape)
    packed = [np.frombuffer(seed, np.uint8) for seed in seeds]
    step = f"upload.{name}"
    channel.send(seats[0], f"{step}.seed0", packed[0])
    channel.send(seats[0], f"{step}.seed1", packed[1])
    channel.send(seats[1], f"{step}.seed1", packed[1])
    channel.send(seats[1], f"{step}.rows", last)
    channel.send(seats[2], f"{step}.rows", last)
    channel.send(seats[2], f"{step}.seed0", packed[0])
    whole = hashlib.sha256(octets(last))
    for seed in seeds:
        whole.update(seed)
    return whole.hexdigest()


def receive_rows(s: Session, role: int, name: str, capacity: int, width: int) -> Words:
    """A seat's share of the rows of the provider at ``role``, checked against the other seats'."""
    step = f"upload.{name}"
    channel = s.channel
    shape = (capacity, width)

    def seed(number: int) -> bytes:
        return channel.receive(role, f"{step}.seed{number}", _U8, (KEY_BYTES,)).tobytes()

    def rows() -> U64:
        return np.asarray(channel.receive(role, f"{step}.rows", _U64, shape))

    def stream(key: bytes) -> U64:
        return Stream(key).take(capacity * width).reshape(shape)

    if s.seat == 0:
        left_key, right_key = seed(0), seed(1)
        held = left_key, right_key
        table = Words(stream(left_key), stream(right_key))
    elif s.seat == 1:
        key = seed(1)
        data = rows()
        held = key, _bytes(data)
        table = Words(stream(key), data)
    else:
        data = rows()
        key = seed(0)
        held = _bytes(data), key
        table = Words(data, stream(key))
    compare_held(s, step, held, name)
    return table


def _bytes(array: U64) -> bytes:
    return hashlib.sha256(octets(array)).digest()


def compare_held(
    s: Session, step: str, held: tuple[bytes, bytes], name: str,
    what: str = "shares of the same rows",
) -> None:  # fmt: skip
    """Each component's two holders compare hashes: (left, right) of what this seat holds."""
    left, right = (np.frombuffer(hashlib.sha256(h).digest(), np.uint8) for h in held)
    s.send(s.left_seat, f"{step}.held", left)
    s.send(s.right_seat, f"{step}.held", right)
    from_right = s.receive(s.right_seat, f"{step}.held", (32,), _U8)
    from_left = s.receive(s.left_seat, f"{step}.held", (32,), _U8)
    if not (np.array_equal(from_left, left) and np.array_equal(from_right, right)):
        raise Foul(
            "align.upload",
            f"{name} sent different {what} to different seats",
            where=f"provider {name}",
            remedy=f"{name} must check its node, then the job can be rerun",
        )


def send_lock(channel: Channel, seats: tuple[int, int, int], name: str, outputs: int,
              entropy: Entropy) -> U64:  # fmt: skip
    """Share a random lock [outputs] with the seats; returns it, to be told to recipients later."""
    parts = np.frombuffer(entropy.take(3 * 8 * outputs), np.uint64).reshape(3, outputs)
    for seat, role in enumerate(seats):
        channel.send(role, f"lock.{name}", np.stack([parts[seat], parts[(seat + 1) % 3]]))
    total = parts[0] + parts[1] + parts[2]
    return np.asarray(total, np.uint64)


def receive_lock(s: Session, role: int, name: str, outputs: int) -> Ring:
    """A seat's share of a provider's lock, checked like rows."""
    both = s.channel.receive(role, f"lock.{name}", _U64, (2, outputs))
    compare_held(s, f"lock.{name}", (_bytes(both[0]), _bytes(both[1])), name)
    return Ring(both[0], both[1])
