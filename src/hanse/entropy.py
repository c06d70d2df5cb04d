"""Chance as an argument: secrets come from the operating system, or, in rehearsals, from a seed."""

from __future__ import annotations

import hashlib
import os
import threading
from typing import Protocol


class Entropy(Protocol):
    """A source of bytes fit for keys, nonces and masks."""

    def take(self, count: int) -> bytes:
        """``count`` fresh bytes."""
        ...


class SystemEntropy:
    """The operating system's generator: the only source a node uses."""

    def take(self, count: int) -> bytes:
        return os.urandom(count)


class SeededEntropy:
    """Repeatable bytes for tests and rehearsals (SHAKE-256 of the seed and a counter); never for a node."""

    def __init__(self, seed: str) -> None:
        self._seed = seed.encode()
        self._count = 0
        self._lock = threading.Lock()

    def take(self, count: int) -> bytes:
        with self._lock:
            number = self._count
            self._count += 1
        block = hashlib.shake_256(self._seed + b"|" + number.to_bytes(8, "big"))
        return block.digest(count)
