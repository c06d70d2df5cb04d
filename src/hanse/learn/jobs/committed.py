"""A provider's upload, made and committed to before anybody signs the job, and checked as it arrives.

 1. When it is asked what it brings, a provider shares its rows into a `Recorder` and keeps the messages.
 2. The commitment is one hash over what each seat will get, each seat's part with a nonce of its own, and over the
    seal of the rows it was made of, if there is one (`sealed`). It is in the job's request, so every permit is a
    signature over it.
 3. In the job the provider sends what it kept. Each seat checks every message against the commitment as it arrives
    (`Verified`), before anything is computed: a party that swaps its columns after signing is named.
Reveals: nothing; a nonce hides each seat's part from the others, who could guess at it otherwise. Assumes: SHA-256
is collision-resistant.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hanse.engine.shares import SEATS, octets
from hanse.entropy import Entropy
from hanse.errors import Fault, Foul
from hanse.learn.jobs.sealed import swapped
from hanse.wire import Array, Channel

_U8, _U64 = np.dtype("u1"), np.dtype("<u8")
_HASH = 32
NO_ROWS = bytes(_HASH)  # of an upload that is not made of rows
_MOST_MESSAGES = 100_000


class Recorder:
    """A channel that keeps what is sent into it; nothing can be received."""

    role = -1

    def __init__(self) -> None:
        self.messages: list[tuple[int, str, Array]] = []

    def send(self, to: int, step: str, array: Array) -> None:
        self.messages.append((to, step, np.ascontiguousarray(array)))

    def receive(
        self, source: int, step: str, dtype: np.dtype[Any], shape: tuple[int, ...]
    ) -> Array:
        del dtype, shape
        raise Fault("model.upload", f"an upload cannot wait for an answer ({step} of {source})")


@dataclass(frozen=True, repr=False)
class Upload:
    """Messages for the three seats, in order, and what commits to them."""

    party: str
    messages: list[tuple[int, str, Array]]
    nonces: tuple[bytes, ...]
    digests: tuple[tuple[bytes, ...], ...]  # by seat, of each of its messages
    rows: bytes = NO_ROWS  # the root of the seal of the rows

    @staticmethod
    def of(party: str, recorder: Recorder, entropy: Entropy, rows: bytes = NO_ROWS) -> Upload:
        nonces = tuple(entropy.take(_HASH) for _ in range(SEATS))
        # Seats often get the same array: it is hashed once.
        bodies: dict[int, bytes] = {}
        found: list[list[bytes]] = [[] for _ in range(SEATS)]
        for to, step, array in recorder.messages:
            body = bodies.get(id(array)) or hashlib.sha256(octets(array)).digest()
            bodies[id(array)] = body
            found[to].append(_message(nonces[to], step, array, body))
        return Upload(party, recorder.messages, nonces, tuple(tuple(d) for d in found), rows)

    @property
    def parts(self) -> tuple[bytes, ...]:
        """What commits to each seat's messages, and behind them what commits to the rows."""
        own = (_part(n, d) for n, d in zip(self.nonces, self.digests, strict=True))
        return (*own, self.rows)

    @property
    def commitment(self) -> str:
        """Hexadecimal, for the job's request."""
        return commitment_of(self.parts)

    def send(self, channel: Channel, before: Callable[[str], None] = lambda _step: None) -> None:
        """First what commits, then everything, to roles 0 to 2; ``before`` hears each step ahead of it."""
        for seat in range(SEATS):
            words = b"".join([*self.parts, self.nonces[seat], *self.digests[seat]])
            channel.send(seat, f"committed.{self.party}.count",
                         np.array([len(self.digests[seat])], np.uint64))  # fmt: skip
            channel.send(seat, f"committed.{self.party}", np.frombuffer(words, np.uint8))
        for to, step, array in self.messages:
            before(step)
            channel.send(to, step, array)


@dataclass
class _Awaited:
    party: str
    nonce: bytes
    digests: list[bytes]
    next: int = 0


@dataclass
class Verified:
    """A seat's channel that checks uploads against what was committed to. ``providers``: role to party.

    Steps that begin with ``keys.`` are no upload: which rows are in common is found in the job.
    """

    inner: Channel
    seat: int
    providers: Mapping[int, str]
    commitments: Mapping[str, str]  # by party
    role: int = -1
    _awaited: dict[int, _Awaited] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.role = self.inner.role

    def send(self, to: int, step: str, array: Array) -> None:
        self.inner.send(to, step, array)

    def receive(
        self, source: int, step: str, dtype: np.dtype[Any], shape: tuple[int, ...]
    ) -> Array:
        party = self.providers.get(source)
        if party is None or step.startswith("keys."):
            return self.inner.receive(source, step, dtype, shape)
        awaited = self._awaited.get(source) or self._commitment(source, party)
        array = self.inner.receive(source, step, dtype, shape)
        if awaited.next >= len(awaited.digests):  # it committed to fewer messages than it sends
            raise _swapped(party)
        body = hashlib.sha256(octets(array)).digest()
        if _message(awaited.nonce, step, array, body) != awaited.digests[awaited.next]:
            raise _swapped(party)
        awaited.next += 1
        return array

    def _commitment(self, source: int, party: str) -> _Awaited:
        count = int(self.inner.receive(source, f"committed.{party}.count", _U64, (1,))[0])
        if not 0 <= count <= _MOST_MESSAGES:
            raise Foul(
                "model.swapped", f"{party} announces {count} messages", where=f"provider {party}"
            )
        size = (SEATS + 2 + count) * _HASH
        raw = self.inner.receive(source, f"committed.{party}", _U8, (size,)).tobytes()
        words = [raw[i : i + _HASH] for i in range(0, len(raw), _HASH)]
        parts, nonce, digests = words[: SEATS + 1], words[SEATS + 1], words[SEATS + 2 :]
        honest = parts[self.seat] == _part(nonce, digests)
        if not honest or commitment_of(parts) != self.commitments.get(party):
            raise _swapped(party)
        found = self._awaited[source] = _Awaited(party, nonce, digests)
        return found


def commitment_of(parts: tuple[bytes, ...] | list[bytes]) -> str:
    """One hash over the seats' parts and the seal of the rows."""
    return hashlib.sha256(b"hanse-upload-v2|" + b"".join(parts)).hexdigest()


def _part(nonce: bytes, digests: tuple[bytes, ...] | list[bytes]) -> bytes:
    return hashlib.sha256(b"hanse-upload-part-v1|" + nonce + b"".join(digests)).digest()


def _message(nonce: bytes, step: str, array: Array, body: bytes) -> bytes:
    about = f"{step}|{array.dtype.str}|{array.shape}|".encode()
    return hashlib.sha256(nonce + len(about).to_bytes(4, "big") + about + body).digest()


def _swapped(party: str) -> Foul:
    return swapped(party, "sent other data than it had committed to")
