"""Open rows that were committed to before a job was signed: shared whole, those in common taken out by the seats.

 1. Every party shares all rows of a part, in rising order of their keys, before it knows which are in common: so
    one hash in the signed job can commit to what each seat will get (`learn.jobs.committed`).
 2. Parties show one another their keys, as in `keys`. Each tells the seats the places of the common keys among its
    own, and a hash of the places among everybody's: every party saw all keys, so all hashes must be equal.
 3. Seats take the rows at these places out of their shares, which is local.
A party that shows others keys in another order than its rows have is found as far as one other party is honest.
Reveals: to all parties, the keys of every other one; to seats, how many rows each party has, how many match, and at
which places in the order of (hashed) keys those are. Assumes: semi-honest seats.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hanse.align.upload import compare_held, receive_rows
from hanse.engine.masks import KEY_BYTES, Stream
from hanse.engine.session import Session
from hanse.engine.shares import SEATS, U64, Ring, Words, octets, words_for
from hanse.engine.slicing import planes_of, values_of
from hanse.errors import Foul
from hanse.learn.linear.keys import keys_of_all, tell_found
from hanse.wire import Channel

_U64 = np.dtype("<u8")
_U8 = np.dtype("u1")
_HASH = 32


@dataclass(frozen=True)
class Places:
    """Which of a party's ``size`` rows are in common: their places [rows], rising."""

    size: int
    places: U64

    def digest(self) -> bytes:
        """SHA-256 of both."""
        whole = hashlib.sha256(b"hanse-places-v1|" + self.size.to_bytes(8, "little"))
        whole.update(octets(np.ascontiguousarray(self.places, _U64)))
        return whole.digest()


# --- at a provider ----------------------------------------------------------------------------------


def show_keys(
    channel: Channel, number: int, most: Sequence[tuple[str, int]], part: str, ids: U64
) -> list[U64]:
    """At provider ``number``: its keys to others, places of common ones to seats. Answers with the keys of all.

    ``most``: (name, how many rows there may be) of every party.
    """
    everybody = keys_of_all(channel, number, len(most), part, ids, most)
    found = everybody[0]
    for theirs in everybody[1:]:
        found = np.intersect1d(found, theirs)
    tell_found(channel, part, found)
    told = [Places(keys.size, np.searchsorted(keys, found).astype(np.uint64)) for keys in everybody]
    digests = np.frombuffer(b"".join(one.digest() for one in told), np.uint8)
    for seat in range(SEATS):
        channel.send(seat, f"keys.{part}.size", np.array([told[number].size], np.uint64))
        channel.send(seat, f"keys.{part}.places", told[number].places)
        channel.send(seat, f"keys.{part}.digests", digests)
    return everybody


# --- at a seat --------------------------------------------------------------------------------------


def places_of_all(
    s: Session, names: Sequence[str], part: str, count: int, capacities: Sequence[int]
) -> list[Places]:
    """By party, its rows in common, of which there are ``count``; `Foul` where parties do not say the same."""
    found, said = [], []
    for number, (name, capacity) in enumerate(zip(names, capacities, strict=True)):
        role = SEATS + number
        size = int(s.channel.receive(role, f"keys.{part}.size", _U64, (1,))[0])
        places = np.asarray(s.channel.receive(role, f"keys.{part}.places", _U64, (count,)))
        raw = s.channel.receive(role, f"keys.{part}.digests", _U8, (len(names) * _HASH,))
        if not count <= size <= capacity or not _rise_below(places, size):
            raise _differs(name, "places that no rows have")
        found.append(Places(size, places))
        said.append(raw.tobytes())
    own = [one.digest() for one in found]
    for number, (name, told) in enumerate(zip(names, said, strict=True)):
        theirs = [told[n * _HASH :][:_HASH] for n in range(len(names))]
        if theirs[number] != own[number]:
            raise _differs(name, "places of its own rows, and the hash of others")
        at = next((n for n in range(len(names)) if theirs[n] != own[n]), None)
        if at is not None:  # one of them says what is not so: seats cannot tell which
            raise Foul("learn.keys", f"{names[at]} tells the seats other places than {name} finds in the keys that "
                       "it says it was shown", where=f"providers {names[at]} and {name}",
                       remedy=f"{names[at]} and {name} must check their nodes; nothing was opened")  # fmt: skip
    s.check_equal(f"keys.{part}.places.equal", said[0], "places of rows in common")
    return found


def _rise_below(places: U64, size: int) -> bool:
    rising = bool((places[1:] > places[:-1]).all()) if places.size > 1 else True
    return rising and (places.size == 0 or int(places[-1]) < size)


def _differs(name: str, what: str) -> Foul:
    return Foul("learn.keys", f"{name} tells the seats {what}", where=f"provider {name}",
                remedy=f"{name} must check its node; nothing was opened, and the job can be rerun")  # fmt: skip


def receive_whole(
    s: Session, role: int, name: str, what: str, chosen: Places, into: tuple[Ring, Sequence[int]]
) -> None:
    """As `keys.receive_elements`, of all rows of a party; those ``chosen`` are put into rows of larger shares."""
    step = f"elements.{name}.{what}"
    target, rows = into
    held = []
    for component, side in zip(
        (s.seat, (s.seat + 1) % SEATS), (target.left, target.right), strict=True
    ):
        if component == 2:
            data = s.channel.receive(role, f"{step}.2", _U64, (len(rows), chosen.size))
            held.append(hashlib.sha256(octets(data)).digest())
            for row, values in zip(rows, data, strict=True):
                side[row] = values[chosen.places]
        else:
            key = s.channel.receive(role, f"{step}.{component}", _U8, (KEY_BYTES,)).tobytes()
            held.append(key)
            stream = Stream(key)
            for row in rows:
                side[row] = stream.take(chosen.size)[chosen.places]
    compare_held(s, step, (held[0], held[1]), name)


def receive_whole_flags(s: Session, role: int, name: str, planes: int, chosen: Places) -> Words:
    """Planes [planes, words] of the rows chosen, of flags of all rows."""
    whole = receive_rows(s, role, name, planes, words_for(chosen.size))
    return Words(_taken(whole.left, chosen), _taken(whole.right, chosen))


def _taken(planes: U64, chosen: Places) -> U64:
    picked = [
        planes_of(values_of(np.ascontiguousarray(plane).reshape(1, -1), chosen.size)[chosen.places], 1)[0]
        for plane in planes
    ]  # fmt: skip
    return np.stack(picked)
