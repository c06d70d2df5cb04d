"""What commits to a party's rows: hashes that stand in the signed job, checked at the start, opened to an auditor.

 1. When it is asked what it brings, a party reads its rows and seals them: a hash of the keys and one of all else
    (columns with names, label, weight, offset), each under a nonce of its own. A hash over both is in the request,
    so every permit is a signature over it.
 2. As the job starts, before anybody commits, every party hashes the rows that it is about to play with once more,
    and shows all others the two hashes (`show`). They must give what was signed (`shown`).
 3. Where parties show one another their keys anyway, they get their nonce too, and check them (`KeysSealed`).
 4. All nonces follow from one secret (`KeptEntropy`) that stays at home: with it and the data, the party can show
    an auditor that the rows of then are those of now, and nobody can without.

Reveals: nothing; hashes under nonces. Not checked: that a modified node plays with the rows that it sealed, where
what it plays is not itself committed to; and never whether rows are true. Assumes: SHA-256 is collision-resistant.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hanse.engine.shares import octets
from hanse.entropy import Entropy
from hanse.errors import Foul
from hanse.learn.jobs.terms import U64, HomeRows, Side, Table
from hanse.wire import Channel

SECRET_BYTES = 32
_HASH = 32
_U8 = np.dtype("u1")


class KeptEntropy:
    """Bytes that follow from a secret of 32 random bytes (SHAKE-256, a counter): drawn again at an audit."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._count = 0
        self._lock = threading.Lock()

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        with self._lock:
            number = self._count
            self._count += 1
        drawn = hashlib.shake_256(b"hanse-kept-v1|" + self._secret + number.to_bytes(8, "big"))
        return drawn.digest(count)


@dataclass(frozen=True, repr=False)
class Seal:
    """Of one party's rows. ``names``: of what is sealed beside the keys, in order."""

    party: str
    names: tuple[str, ...]
    nonces: tuple[bytes, bytes]
    keys: bytes
    rest: bytes

    @staticmethod
    def of(party: str, names: Sequence[str], rows: HomeRows, entropy: Entropy) -> Seal:
        """``names`` of the columns of ``rows.values``."""
        nonces = entropy.take(_HASH), entropy.take(_HASH)
        return Seal._made(party, tuple(names), rows, nonces)

    @staticmethod
    def _made(
        party: str, names: tuple[str, ...], rows: HomeRows, nonces: tuple[bytes, bytes]
    ) -> Seal:
        return Seal(
            party, names, nonces, keys_hash(nonces[0], rows.ids), _rest(nonces[1], names, rows)
        )

    @property
    def root(self) -> bytes:
        """What commits to everything."""
        return root_of(self.keys, self.rest)

    @property
    def commitment(self) -> str:
        """Hexadecimal, for the job's request."""
        return self.root.hex()

    def require(self, rows: HomeRows) -> None:
        """`Foul` ``model.swapped`` unless these are the rows that were sealed."""
        now = Seal._made(self.party, self.names, rows, self.nonces)
        if (now.keys, now.rest) != (self.keys, self.rest):
            raise swapped(self.party, "is about to use other rows than it had committed to")


def keys_hash(nonce: bytes, ids: U64) -> bytes:
    """Of keys [rows], rising."""
    head = b"hanse-sealed-keys-v1|" + nonce + ids.size.to_bytes(8, "big")
    return hashlib.sha256(head + octets(np.ascontiguousarray(ids, "<u8"))).digest()


def root_of(keys: bytes, rest: bytes) -> bytes:
    return hashlib.sha256(b"hanse-sealed-v1|" + keys + rest).digest()


def _rest(nonce: bytes, names: tuple[str, ...], rows: HomeRows) -> bytes:
    whole = hashlib.sha256(b"hanse-sealed-columns-v1|" + nonce)
    columns = [(name, rows.values[:, n]) for n, name in enumerate(names)]
    beside = (("\x1ftarget", rows.target), ("\x1fweight", rows.weight), ("\x1foffset", rows.offset))
    columns += [(name, values) for name, values in beside if values is not None]
    for name, values in columns:
        text = name.encode()
        whole.update(len(text).to_bytes(4, "big") + text + values.size.to_bytes(8, "big"))
        whole.update(hashlib.sha256(octets(np.ascontiguousarray(values, "<f8"))).digest())
    return whole.digest()


def swapped(party: str, what: str) -> Foul:
    """The error of a party that does not play what it signed."""
    return Foul(
        "model.swapped",
        f"{party} {what} before the job was signed",
        where=f"provider {party}",
        remedy=f"{party} must check its node; nothing was opened, and the job can be asked again",
    )


def opening_of(secret: bytes, parts: Iterable[bytes] = ()) -> dict[str, Any]:
    """What opens a commitment to an auditor who has the data. ``parts`` stand beside the seal in it."""
    return {"secret": secret.hex(), "parts": [part.hex() for part in parts]}


def commitments_of(job: Table, sides: Iterable[Side]) -> dict[str, str]:
    """What the signed job commits its parties to, by party."""
    return {side.party: job.request.commitments.get(side.dataset, "") for side in sides}


# --- at the start of a job --------------------------------------------------------------------------


def show(channel: Channel, roles: Iterable[int], party: str, seal: Seal) -> None:
    """Tell these roles the two hashes."""
    both = np.frombuffer(seal.keys + seal.rest, np.uint8)
    for role in roles:
        channel.send(role, f"sealed.{party}", both)


def shown(
    channel: Channel, roles: Mapping[str, int], commitments: Mapping[str, str]
) -> dict[str, bytes]:
    """By party, the hash of its keys, as it shows it; `Foul` ``model.swapped`` unless it fits what was signed."""
    found = {}
    for party, role in roles.items():
        both = channel.receive(role, f"sealed.{party}", _U8, (2 * _HASH,)).tobytes()
        if root_of(both[:_HASH], both[_HASH:]).hex() != commitments.get(party):
            raise swapped(party, "starts the job with other rows than it had committed to")
        found[party] = both[:_HASH]
    return found


@dataclass(frozen=True, repr=False)
class KeysSealed:
    """What binds the keys that parties show one another: this party's nonce, everybody's hashes by party."""

    nonce: bytes
    hashes: Mapping[str, bytes]

    def exchange(self, channel: Channel, roles: Mapping[str, int], keys: Mapping[str, U64]) -> None:
        """Give the others (by party) the nonce, and check the ``keys`` that they showed; `Foul` naming a liar."""
        for role in roles.values():
            channel.send(role, "keys.nonce", np.frombuffer(self.nonce, np.uint8))
        for party, role in roles.items():
            nonce = channel.receive(role, "keys.nonce", _U8, (_HASH,)).tobytes()
            if keys_hash(nonce, keys[party]) != self.hashes[party]:
                raise swapped(party, "shows other keys than it had committed to")
