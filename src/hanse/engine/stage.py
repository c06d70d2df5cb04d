"""Key agreement of the three seats, and the local stage that runs them in one process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from hanse.engine.masks import KEY_BYTES, derive
from hanse.engine.session import Meter, Session
from hanse.engine.shares import SEATS
from hanse.entropy import Entropy, SeededEntropy
from hanse.errors import Fault, Foul, HanseError
from hanse.wire import Channel, Hall, Tap
from hanse.wire.hall import HallChannel

T = TypeVar("T")
_U8 = np.dtype("u1")
SEAT_NAMES = ("seat 0", "seat 1", "seat 2")


def agree(
    channel: Channel,
    seat: int,
    entropy: Entropy,
    job: bytes,
    *,
    progress: Callable[[str, float], None] | None = None,
) -> Session:
    """A fresh `Session`: each pair of seats agrees on a key bound to the job and to three nonces.

    Each seat sends both others an ephemeral X25519 key and its nonce; a pair's key is
    HKDF(shared secret, job || nonce 0 || nonce 1 || nonce 2). Seats that do not agree on ``job`` (contract,
    specification, attempt) compute unrelated keys; they find out in the check that follows, before any
    data. Every attempt has fresh keys. Reveals: nothing. Source: RFC 7748, RFC 5869.
    """
    nonces: list[bytes] = [b""] * SEATS
    nonces[seat] = entropy.take(32)
    secret = X25519PrivateKey.from_private_bytes(entropy.take(32))
    mine = np.frombuffer(secret.public_key().public_bytes_raw() + nonces[seat], np.uint8)
    others = [(seat + 1) % SEATS, (seat - 1) % SEATS]
    for other in others:
        channel.send(other, "agree", mine)
    shared: dict[int, bytes] = {}
    for other in others:
        theirs = channel.receive(other, "agree", _U8, (64,)).tobytes()
        nonces[other] = theirs[32:]
        try:
            shared[other] = secret.exchange(X25519PublicKey.from_public_bytes(theirs[:32]))
        except ValueError as error:
            raise Foul("engine.key", f"seat {other} sent a key that is none") from error
    context = b"hanse-seats-v1|" + job + b"".join(nonces)

    def key(other: int) -> bytes:
        low, high = sorted((seat, other))
        info = context + bytes([low, high])
        return HKDF(hashes.SHA256(), KEY_BYTES, None, info).derive(shared[other])

    right, left = others
    # Component `seat` is shared with the left neighbour, component `seat + 1` with the right one.
    session = Session(channel, seat, key(left), key(right), meter=Meter(), progress=progress)
    session.check_equal("agree.job", context, "descriptions of the job")
    for other in others:  # a key that was altered on its way is found here, not in the first shares
        channel.send(other, "agree.key", _proof(key(other)))
    for other in others:
        if not np.array_equal(
            channel.receive(other, "agree.key", _U8, (KEY_BYTES,)), _proof(key(other))
        ):
            raise Foul(
                "engine.disagree",
                f"seats {seat} and {other} did not agree on a key",
                remedy="compare the contract and the job on both nodes, then rerun",
            )
    session.meter.bytes = session.meter.messages = 0
    session.meter.by_step.clear()
    return session


def _proof(key: bytes) -> NDArray[np.uint8]:
    """What shows that a seat has the key, and says nothing of it."""
    return np.frombuffer(derive(key, "confirmation"), np.uint8)


def on_stage(
    protocol: Callable[[Session], T],
    *,
    seed: str = "stage",
    tap: Tap | None = None,
    patience: float = 60.0,
) -> list[T]:
    """Run ``protocol`` at three seats in one process (three threads); results in seat order.

    The first error of any seat ends the others' waits and is raised.
    """
    hall = Hall(SEATS, names=SEAT_NAMES, tap=tap, patience=patience)

    def play(seat: int) -> Callable[[Channel], T]:
        entropy = SeededEntropy(f"{seed}|{seat}")
        return lambda channel: protocol(agree(channel, seat, entropy, seed.encode()))

    return all_at_once(hall, [play(seat) for seat in range(SEATS)])


def all_at_once(
    hall: Hall, roles: Sequence[Callable[[HallChannel], T]], defect: str = "stage.error"
) -> list[T]:
    """Live every role of ``hall`` in a thread of its own; results by role.

    The first error of any role ends the others' waits and is raised; to them, one that is no `HanseError` is a
    `Fault` of the code ``defect``.
    """
    results: list[T | None] = [None] * len(roles)
    errors: list[BaseException] = []

    def live(role: int) -> None:
        try:
            results[role] = roles[role](hall.channel(role))
        except BaseException as error:  # handed to the caller below
            errors.append(error)
            hall.fail(error if isinstance(error, HanseError) else Fault(defect, repr(error)))

    threads = [
        threading.Thread(target=live, args=(role,), daemon=True) for role in range(len(roles))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results  # type: ignore[return-value]
