"""Keyed streams that two seats share: where masks, random shares and permutations come from.

Reveals: nothing. Assumes: AES-256 in counter mode is a pseudo-random generator; keys are fresh for every
attempt of a job (a rerun with old keys would be a two-time pad, so keys never outlive an attempt).
Source: Araki et al. 2016, "High-Throughput Semi-Honest Secure Three-Party Computation with an Honest
Majority", section 3.3; cipher: NIST SP 800-38A, counter mode.
"""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hanse.engine.shares import U64

KEY_BYTES = 32
_ZEROS = memoryview(bytes(1 << 20))  # 1 MiB of plaintext: the keystream comes out as it is
_STEP = len(_ZEROS) // 8  # words at a time
_SLACK = 2  # words; the cipher's interface wants 15 bytes more room than it writes


def derive(key: bytes, purpose: str) -> bytes:
    """A key for ``purpose``, independent of the others derived from ``key`` (HKDF-SHA-256, RFC 5869)."""
    return HKDF(hashes.SHA256(), KEY_BYTES, None, purpose.encode()).derive(key)


def room(words: int) -> U64:
    """An uninitialised array of ``words``, with the slack behind it that `Stream.onto` needs."""
    return np.empty(words + _SLACK, np.uint64)[:words]


class Stream:
    """One key's stream of bytes. It only moves forward, so no mask is ever used twice."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError("a stream key has 32 bytes")
        self._cipher = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()

    def take(self, count: int) -> U64:
        """The next ``count`` words."""
        buffer = np.empty(count + _SLACK, np.uint64)
        done = 0
        while done < count:
            step = min(count - done, _STEP)
            window = buffer[done : done + step + _SLACK].view(np.uint8).data
            self._cipher.update_into(_ZEROS[: 8 * step], window)
            done += step
        return buffer[:count]

    def onto(self, target: U64) -> None:
        """XOR the next words onto ``target`` in place; it must come from `room`.

        One pass through the cipher instead of drawing a mask and XORing it: half the memory traffic.
        """
        count = target.size
        base = target.base
        if not isinstance(base, np.ndarray) or base.size < count + _SLACK or target.ndim != 1:
            raise ValueError("the target of a stream must come from masks.room")
        done = 0
        while done < count:
            step = min(count - done, _STEP)
            # The slack past `step` is written by no one: counter mode writes exactly what it reads.
            window = base[done : done + step + _SLACK].view(np.uint8).data
            self._cipher.update_into(window[: 8 * step], window)
            done += step
