"""Recorded answers: the same question about the same data is answered from the ledger, for free.

Not by drawing the same noise again: same noise on data that differs in one row would give that row
away. So the key holds the hashes of the shares that the seats hold, not a version that a provider
claims.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hanse.errors import Fault
from hanse.ledger.chain import Ledger
from hanse.wire.codec import digest

_HASH = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What was opened for a question, and by which job."""

    job: str
    time: str
    value: Mapping[str, Any]


def answer_key(question: Mapping[str, Any], commitments: Mapping[str, str]) -> str:
    """The key of a question over committed data, in hexadecimal.

    ``commitments`` maps every dataset used to the hash of its shares. Raises `Fault`
    ``ledger.commitment`` if one is missing: such a key would fit other data as well.
    """
    unbound = sorted(name for name, value in commitments.items() if not _HASH.fullmatch(value))
    if unbound or not commitments:
        raise Fault(
            "ledger.commitment",
            "an answer needs the hash of every dataset it came from; missing: "
            + (", ".join(unbound) or "all"),
            remedy="compute the key after the shares have arrived",
        )
    return digest({"question": dict(question), "commitments": dict(commitments)})


class Answers:
    """The recorded answers of one node. Thread-safe; what it has read once is not read again."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._places: dict[str, int] = {}  # of the first answer to each key
        self._next = 0

    def record(self, key: str, job: str, value: Mapping[str, Any]) -> None:
        """Keep what the job opened. If two jobs raced with one question, the first one counts."""
        self._ledger.append("answer", {"key": key, "job": job, "value": dict(value)})

    def find(self, key: str) -> Answer | None:
        """The recorded answer, which costs nothing more, or None."""
        with self._lock:
            for entry in self._ledger.entries(since=self._next):
                if entry.kind == "answer":
                    self._places.setdefault(entry.body["key"], entry.sequence)
                self._next = entry.sequence + 1
            place = self._places.get(key)
        if place is None:
            return None
        entry = next(self._ledger.entries(since=place))
        return Answer(entry.body["job"], entry.time, entry.body["value"])
