"""The way out for what a model job tells: coefficients, metrics and scores, under locks of all providers.

 1. Every provider draws one seed per component and hands each to the two seats that hold it (`send_lock_seeds`).
 2. Seats add (or XOR) what the seeds give to each output, so that nobody can read it (`locked_numbers`,
    `locked_words`); each output has seeds of its own, derived by its name.
 3. Each provider's own gate, when it has seen the record and agrees, sends the derived seeds to the output's
    recipients (`unlock`). Without all of them a recipient reads noise. Seats send hashes of the derived seeds, so
    that a provider that tells another lock than it shared is named.
Reveals: to each named recipient its outputs, exactly; to seats nothing. A model about people needs their
authorisation, and the contract says who may read what: no noise bounds what exact numbers tell.
Assumes: semi-honest seats, honest majority; AES-256 in counter mode as a pseudo-random generator.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.engine.masks import KEY_BYTES, Stream, derive
from hanse.engine.reveal import receive_ring, receive_words, send_ring
from hanse.engine.shares import SEATS, U64, Ring, Words
from hanse.entropy import Entropy
from hanse.errors import Foul, Refusal
from hanse.gate.plan import LEAST_K
from hanse.gate.record import Opening, Record
from hanse.wire import Channel

_U8 = np.dtype("u1")
Seeds = tuple[bytes, bytes]  # of a seat's left and right component


@dataclass(frozen=True)
class Told:
    """One output: its step, what it is in words, which parties read it, how many numbers it has.

    ``words``: XOR-shared rows instead of ring elements.
    """

    step: str
    what: str
    to: tuple[str, ...]
    size: int
    words: bool = False

    @property
    def opening(self) -> Opening:
        return Opening(self.step, self.what, self.to, self.size)


@dataclass(frozen=True)
class ModelRelease:
    """What leaves a model job, for the gate: exact numbers, so no epsilon; the contract's k is carried along.

    ``besides``: steps at which parties tell each other something themselves, such as open keys.
    """

    told: tuple[Told, ...]
    k: int
    besides: tuple[str, ...] = ()
    epsilon: float = 0.0
    noise: bool = False

    @property
    def outputs(self) -> int:
        return sum(t.size for t in self.told)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple((t.size,) for t in self.told)

    def checked(self, *, rehearsal: bool) -> ModelRelease:
        """`Refusal` unless it keeps the rules that no contract may loosen."""
        del rehearsal
        if self.k < LEAST_K:
            raise Refusal("gate.k", f"a threshold of {self.k} is below {LEAST_K}",
                          remedy=f"ask for k of at least {LEAST_K}")  # fmt: skip
        return self

    def of(self, party: str) -> tuple[Told, ...]:
        """What the party reads."""
        return tuple(t for t in self.told if party in t.to)

    def require_announced(self, record: Record, where: str) -> None:
        """`Foul` unless the seats' record announces exactly these outputs, besides what seats see themselves."""
        own = (o for o in record.openings if o.step not in self.besides)
        announced = [o for o in own if o.to != ("seats",)]
        if announced != [t.opening for t in self.told]:
            raise Foul(
                "gate.record",
                "the seats are about to open something else than the job says",
                where=where,
                remedy="compare the seats' ledgers and versions before a rerun",
            )


# --- at a provider ----------------------------------------------------------------------------------


def draw_lock(entropy: Entropy) -> tuple[bytes, bytes, bytes]:
    """A fresh seed per component."""
    return entropy.take(KEY_BYTES), entropy.take(KEY_BYTES), entropy.take(KEY_BYTES)


def send_lock_seeds(channel: Channel, party: str, seeds: Sequence[bytes]) -> None:
    """Each seat (roles 0 to 2) the seeds of its two components."""
    for seat in range(SEATS):
        both = seeds[seat] + seeds[(seat + 1) % SEATS]
        channel.send(seat, f"lock.{party}", np.frombuffer(both, np.uint8))


def unlock(channel: Channel, party: str, seeds: Sequence[bytes], told: Told, role: int) -> None:
    """Let the recipient at ``role`` read one output: after this provider's own gate has agreed."""
    derived = b"".join(_derived(seed, told) for seed in seeds)
    channel.send(role, f"unlock.{party}.{told.step}", np.frombuffer(derived, np.uint8))


# --- at a seat --------------------------------------------------------------------------------------


def receive_lock_seeds(channel: Channel, role: int, party: str) -> Seeds:
    """A seat's two seeds of the lock of the provider at ``role``."""
    both = channel.receive(role, f"lock.{party}", _U8, (2 * KEY_BYTES,)).tobytes()
    return both[:KEY_BYTES], both[KEY_BYTES:]


def locked_numbers(record: Record, x: Ring, told: Told, locks: Iterable[Seeds]) -> Ring:
    """Elements [size] under every provider's lock; the opening is written down before it happens."""
    record.write(told.opening)
    left, right = x.left.reshape(-1), x.right.reshape(-1)
    for low, high in locks:
        left = left + Stream(_derived(low, told)).take(told.size)
        right = right + Stream(_derived(high, told)).take(told.size)
    return Ring(left, right)


def locked_words(record: Record, x: Words, told: Told, locks: Iterable[Seeds]) -> Ring:
    """Words [size] under every provider's lock, by XOR."""
    record.write(told.opening)
    left, right = x.left.reshape(-1), x.right.reshape(-1)
    for low, high in locks:
        left = left ^ Stream(_derived(low, told)).take(told.size)
        right = right ^ Stream(_derived(high, told)).take(told.size)
    return Ring(left, right)


def send_locked(
    channel: Channel, locked: Ring, told: Told, role: int, locks: Sequence[Seeds]
) -> None:
    """A seat's part of the opening to one recipient; the caller has committed."""
    send_ring(channel, locked, role, told.step)
    proofs = b"".join(_proof(_derived(seed, told)) for pair in locks for seed in pair)
    channel.send(role, f"{told.step}.locks", np.frombuffer(proofs, np.uint8))


# --- at a recipient ---------------------------------------------------------------------------------


def read_unlocked(
    channel: Channel, told: Told, providers: Sequence[tuple[str, int]], order: Sequence[str]
) -> U64:
    """The output [size]. ``providers``: (party, role), who unlock; ``order``: parties as seats took their locks.

    Raises `Foul` ``gate.lock`` naming the provider that told another lock than it shared.
    """
    keys: dict[str, list[bytes]] = {}
    for party, role in providers:
        raw = channel.receive(
            role, f"unlock.{party}.{told.step}", _U8, (SEATS * KEY_BYTES,)
        ).tobytes()
        keys[party] = [raw[i * KEY_BYTES : (i + 1) * KEY_BYTES] for i in range(SEATS)]
    receive = receive_words if told.words else receive_ring
    opened = receive(channel, (told.size,), told.step)
    for seat in range(SEATS):
        shape = (len(order) * 2 * KEY_BYTES,)
        proofs = channel.receive(seat, f"{told.step}.locks", _U8, shape).tobytes()
        for number, party in enumerate(order):
            at = 2 * number * KEY_BYTES
            wanted = _proof(keys[party][seat]) + _proof(keys[party][(seat + 1) % SEATS])
            if proofs[at : at + 2 * KEY_BYTES] != wanted:
                raise Foul(
                    "gate.lock",
                    f"{party} told another lock than it had shared with the seats",
                    where=f"provider {party}",
                    remedy=f"{party} must check its node, then the job can be rerun",
                )
    for party in order:
        for seed in keys[party]:
            mask = Stream(seed).take(told.size)
            opened = opened ^ mask if told.words else opened - mask
    return np.asarray(opened, np.uint64)


def _derived(seed: bytes, told: Told) -> bytes:
    return derive(seed, f"lock|{told.step}")


def _proof(seed: bytes) -> bytes:
    """Says which seed it is to whoever knows it, and nothing else."""
    return hashlib.sha256(b"hanse-lock-v1|" + seed).digest()


def flat(values: NDArray[np.float64]) -> U64:
    """Real numbers as words, to send them as they are."""
    return np.ascontiguousarray(values, np.float64).reshape(-1).view(np.uint64)
