"""Rows that are aligned in the open: parties tell each other their keys, and share what they have in common.

For keys that are not about people (places, products), or people who authorised it and whose contract says so. Each
party sends the others its keys, hashed to 64 bits, takes what all have, in rising order, and shares its columns in
that order. No padding, no join on shares. Seats check that all parties found the same rows.
Reveals: to all parties, the keys of every other one and so which rows match; to seats, how many rows match.
Assumes: parties that share the rows they said; seats as everywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from hanse.align.upload import compare_held
from hanse.engine.masks import KEY_BYTES, Stream
from hanse.engine.session import Session
from hanse.engine.shares import SEATS, U64, Ring, octets
from hanse.entropy import Entropy
from hanse.errors import Foul
from hanse.wire import Channel

_U64 = np.dtype("<u8")
_U8 = np.dtype("u1")
_DIGEST = 4  # words


def common_keys(channel: Channel, number: int, parties: int, part: str, ids: U64) -> U64:
    """At provider ``number``: the keys [rows] all parties have, rising; seats are told their count and hash."""
    found, *others = keys_of_all(channel, number, parties, part, ids)
    for theirs in others:
        found = np.intersect1d(found, theirs)
    tell_found(channel, part, found)
    return found


def keys_of_all(
    channel: Channel, number: int, parties: int, part: str, ids: U64,
    most: Sequence[tuple[str, int]] = (),
) -> list[U64]:  # fmt: skip
    """At provider ``number``: every party's keys, rising, by number.

    ``most``: (name, how many rows there may be) of every party. `Foul` for more keys, or keys that do not rise.
    """
    own = np.sort(ids)
    others = [n for n in range(parties) if n != number]
    for other in others:
        channel.send(SEATS + other, f"keys.{part}.count", np.array([own.size], np.uint64))
        channel.send(SEATS + other, f"keys.{part}", own)
    found = []
    for other in range(parties):
        theirs = own
        if other != number:
            count = int(channel.receive(SEATS + other, f"keys.{part}.count", _U64, (1,))[0])
            name, capacity = most[other] if most else (f"party {other}", count)
            require_few(name, count, capacity)
            theirs = np.asarray(channel.receive(SEATS + other, f"keys.{part}", _U64, (count,)))
            require_rising(name, theirs)
        found.append(theirs)
    return found


def require_few(party: str, count: int, capacity: int) -> None:
    """`Foul` for more keys than the party may have rows: nobody makes room for them."""
    if count > capacity:
        raise Foul("learn.keys", f"{party} shows more keys than the {capacity} rows that its dataset may have",
                   where=f"provider {party}", remedy=f"{party} must check its node; nothing opened")  # fmt: skip


def require_rising(party: str, keys: U64) -> None:
    """`Foul` for keys that are there twice, or out of order."""
    if not (keys[1:] > keys[:-1]).all():
        raise Foul("learn.keys", f"{party} shows keys twice, or out of order",
                   where=f"provider {party}", remedy=f"{party} must check its node; nothing opened")  # fmt: skip


def tell_found(channel: Channel, part: str, found: U64) -> None:
    """Tell the seats how many keys all parties have, and their hash."""
    digest = np.frombuffer(hashlib.sha256(octets(found)).digest(), _U64)
    for seat in range(SEATS):
        channel.send(seat, f"keys.{part}.found", np.array([found.size, *digest], np.uint64))


def rows_in_common(s: Session, names: list[str], part: str) -> int:
    """At a seat: how many rows all parties found; `Foul` where they differ."""
    told = [
        s.channel.receive(SEATS + n, f"keys.{part}.found", _U64, (1 + _DIGEST,))
        for n in range(len(names))
    ]
    for name, other in zip(names[1:], told[1:], strict=True):
        if not np.array_equal(told[0], other):
            raise Foul("learn.keys", f"{names[0]} and {name} found different rows in common",
                       where=f"provider {name}",
                       remedy="each party must send all others the same keys; rerun")  # fmt: skip
    s.check_equal(f"keys.{part}.equal", octets(told[0]).tobytes(), "rows in common")
    return int(told[0][0])


def send_elements(channel: Channel, name: str, what: str, values: U64, entropy: Entropy) -> None:
    """Share ring elements with the seats, roles 0 to 2: two components are streams of seeds, the third is sent."""
    seeds = [entropy.take(KEY_BYTES) for _ in range(2)]
    last = values.copy()
    for seed in seeds:
        last -= Stream(seed).take(values.size).reshape(values.shape)
    first, second = (np.frombuffer(seed, np.uint8) for seed in seeds)
    step = f"elements.{name}.{what}"
    channel.send(0, f"{step}.0", first)
    channel.send(0, f"{step}.1", second)
    channel.send(1, f"{step}.1", second)
    channel.send(1, f"{step}.2", last)
    channel.send(2, f"{step}.2", last)
    channel.send(2, f"{step}.0", first)


def receive_elements(
    s: Session, role: int, name: str, what: str, shape: tuple[int, ...],
    into: tuple[Ring, Sequence[int]] | None = None,
) -> Ring:  # fmt: skip
    """A seat's share of a provider's elements; components are compared between their holders.

    Elements [rows, count] may be put ``into`` rows of larger shares, which are then the answer.
    """
    step = f"elements.{name}.{what}"
    target, rows = _apart(shape) if into is None else into
    held = []
    for component, side in zip(
        (s.seat, (s.seat + 1) % SEATS), (target.left, target.right), strict=True
    ):
        if component == 2:
            data = s.channel.receive(role, f"{step}.2", _U64, shape)
            data = data.reshape(len(rows), side.shape[1])
            held.append(hashlib.sha256(octets(data)).digest())
            for row, values in zip(rows, data, strict=True):
                side[row] = values
        else:
            key = s.channel.receive(role, f"{step}.{component}", _U8, (KEY_BYTES,)).tobytes()
            held.append(key)
            stream = Stream(key)
            for row in rows:
                side[row] = stream.take(side.shape[1])
    compare_held(s, step, (held[0], held[1]), name)
    return target.reshape(*shape) if into is None else target


def _apart(shape: tuple[int, ...]) -> tuple[Ring, Sequence[int]]:
    rows = shape[0] if len(shape) > 1 else 1
    each = (rows, int(np.prod(shape[1:] if len(shape) > 1 else shape)))
    return Ring(np.empty(each, np.uint64), np.empty(each, np.uint64)), range(rows)
