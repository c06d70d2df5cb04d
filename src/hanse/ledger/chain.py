"""The ledger of one node: entries that can be added and never changed, and their verifier.

A store keeps the entries; it must refuse an entry whose predecessor is no longer the last one
(`StaleHeadError`), which is all that is needed for several writers to share it.

*Detects:* any change, removal, insertion or reordering of entries, and entries of another key.
*Does not detect by itself:* entries cut off at the end, or a whole chain rewritten with the node's
own key. Compare with a head that somebody else has recorded (``known``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hanse.clock import Clock
from hanse.entropy import Entropy, SystemEntropy
from hanse.errors import Fault
from hanse.ledger.entries import (
    GENESIS,
    Entry,
    Sealed,
    Signer,
    make_entry,
    problem_with,
    read_line,
)

MAX_ATTEMPTS = 1000


class StaleHeadError(Exception):
    """Another entry was added first. Not an error of the caller: look again and retry."""


class LedgerStore(Protocol):
    """Where entries are kept. Implementations must be durable before `append` returns."""

    def append(self, entry: Entry, expected_previous: str) -> None:
        """Add ``entry`` if the last entry's hash is ``expected_previous`` (`GENESIS` if none).

        Compare and add in one atomic step. Raises `StaleHeadError` otherwise.
        """
        ...

    def read(self, since: int = 0) -> Iterable[Entry]:
        """Entries with sequence >= ``since``, in order."""
        ...

    def head(self) -> Entry | None:
        """The last entry."""
        ...


class MemoryStore:
    """A store for tests and rehearsals; thread-safe, gone with the process."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._entries = list(entries)
        self._lock = threading.Lock()

    def append(self, entry: Entry, expected_previous: str) -> None:
        with self._lock:
            last = self._entries[-1].hash if self._entries else GENESIS
            if last != expected_previous:
                raise StaleHeadError
            self._entries.append(entry)

    def read(self, since: int = 0) -> list[Entry]:
        with self._lock:
            return self._entries[since:]

    def head(self) -> Entry | None:
        with self._lock:
            return self._entries[-1] if self._entries else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found. ``count`` good entries; ``head`` is the last good one's hash."""

    ok: bool
    count: int
    first_bad: int | None
    reason: str
    head: str


class Ledger:
    """Appends to and reads from one node's chain. Thread-safe, and safe beside other processes."""

    def __init__(
        self, store: LedgerStore, signer: Signer, clock: Clock, entropy: Entropy | None = None
    ) -> None:
        self._store = store
        self._signer = signer
        self._clock = clock
        self._entropy = entropy or SystemEntropy()

    def append(self, kind: str, body: Mapping[str, Any]) -> Entry:
        """Add an entry at the end.

        Raises `Fault`: ``ledger.kind``, ``ledger.body`` (see `redact`), ``ledger.contended``.
        """
        for _ in range(MAX_ATTEMPTS):
            try:
                return self.append_after(self._store.head(), kind, body)
            except StaleHeadError:
                continue
        raise contended()

    def append_after(self, head: Entry | None, kind: str, body: Mapping[str, Any]) -> Entry:
        """Add an entry only if ``head`` is still the last one.

        For decisions that depend on what the ledger says: read, decide, and write only if nothing
        was added meanwhile. Raises `StaleHeadError` if something was, else as `append`.
        """
        previous = head.hash if head else GENESIS
        sequence = head.sequence + 1 if head else 0
        entry = make_entry(
            sequence=sequence,
            moment=self._clock.now(),
            kind=kind,
            body=body,
            previous=previous,
            signer=self._signer,
            entropy=self._entropy,
        )
        self._store.append(entry, previous)
        return entry

    def entries(self, kind: str | None = None, since: int = 0) -> Iterator[Entry]:
        """Entries from sequence ``since`` on, in order, of one kind or of all."""
        for entry in self._store.read(since):
            if kind is None or entry.kind == kind:
                yield entry

    def lines(self, shown: Callable[[Entry], bool] = lambda _entry: True) -> Iterator[str]:
        """The whole ledger as lines for `verify_lines`, without line breaks; entries not ``shown`` are sealed."""
        for entry in self._store.read():
            yield entry.line() if shown(entry) else entry.sealed().line()

    def verify(self, public_key: str, known: Iterable[tuple[int, str]] = ()) -> Verdict:
        """Check every entry under the node's ``public_key`` (hexadecimal).

        ``known`` are (sequence, hash) pairs that others have recorded: they must be in the chain.
        """
        return _verify(self._store.read(), public_key, known)


def verify_lines(
    lines: Iterable[str | bytes], public_key: str, known: Iterable[tuple[int, str]] = ()
) -> Verdict:
    """`Ledger.verify` for an exported file (open it in binary mode), without a node."""
    return _verify(map(read_line, lines), public_key, known)


def contended() -> Fault:
    """The error when other writers always came first."""
    return Fault(
        "ledger.contended",
        f"the ledger changed {MAX_ATTEMPTS} times while an entry was being added",
        remedy="see what else is writing to this node's store, and run the job again",
    )


def _verify(
    entries: Iterable[Entry | Sealed | str], public_key: str, known: Iterable[tuple[int, str]]
) -> Verdict:
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
    except ValueError as error:
        raise Fault(
            "ledger.key",
            "the public key is not an Ed25519 key",
            remedy="give the node's signing key as 64 hexadecimal characters",
        ) from error
    expected: dict[int, set[str]] = {}
    for sequence, recorded in known:
        expected.setdefault(sequence, set()).add(recorded)
    count, head = 0, GENESIS
    for entry in entries:
        reason = entry if isinstance(entry, str) else problem_with(entry, count, head, key)
        if not reason and not isinstance(entry, str):
            if expected.pop(count, {entry.hash}) == {entry.hash}:
                count, head = count + 1, entry.hash
                continue
            reason = "another hash was recorded elsewhere for this entry"
        return Verdict(False, count, count, reason, head)
    if expected:
        reason = f"the ledger ends before entry {min(expected)}, which was recorded elsewhere"
        return Verdict(False, count, count, reason, head)
    return Verdict(True, count, None, "", head)
