"""One entry of the ledger: what happened, when, and a hash that ties it to all that came before.

What happened (time, kind, body) is committed to with a random salt; the hash is SHA-256 over the canonical JSON
of (sequence, previous hash, commitment), and the signature the node's Ed25519 over a prefix and the 32 bytes of
the hash. So an entry can be *sealed*: it keeps its place in the chain and its signature, and tells nothing of
what happened. An auditor of one contract gets its entries open and all others sealed (docs/decisions/0029).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hanse.entropy import Entropy
from hanse.errors import Fault
from hanse.ledger.redaction import redact
from hanse.wire.codec import canonical, digest

LEDGER_PREFIX = b"hanse-ledger-v2|"
GENESIS = "0" * 64
SALT_BYTES = 16

_KIND = re.compile("[a-z][a-z0-9-]{1,39}")
_CHAINED = {"previous": 64, "hash": 64, "signature": 128}
_HEX = {**_CHAINED, "salt": 2 * SALT_BYTES}
_HEX_SEALED = {**_CHAINED, "commitment": 64}


class Signer(Protocol):
    """A node's signing key, wherever it is kept; `Ed25519PrivateKey` is one."""

    def sign(self, data: bytes, /) -> bytes:
        """The 64-byte Ed25519 signature over ``data``."""
        ...


@dataclass(frozen=True, slots=True)
class Sealed:
    """The place of an entry in the chain, without what happened."""

    sequence: int
    commitment: str
    previous: str
    hash: str
    signature: str

    def fields(self) -> dict[str, Any]:
        """All fields as plain values."""
        return {
            "sequence": self.sequence,
            "commitment": self.commitment,
            "previous": self.previous,
            "hash": self.hash,
            "signature": self.signature,
        }

    def line(self) -> str:
        """As `Entry.line`."""
        return canonical(self.fields()).decode()

    def hashed(self) -> str:
        """What `hash` must be."""
        return digest(
            {"sequence": self.sequence, "previous": self.previous, "commitment": self.commitment}
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. ``sequence`` counts from 0; ``previous`` of the first is `GENESIS`."""

    sequence: int
    time: str
    kind: str
    body: Mapping[str, Any]
    salt: str
    previous: str
    hash: str
    signature: str

    def content(self) -> dict[str, Any]:
        """What is committed to."""
        return {"time": self.time, "kind": self.kind, "body": self.body, "salt": self.salt}

    def fields(self) -> dict[str, Any]:
        """All fields as plain values."""
        return {
            "sequence": self.sequence,
            **self.content(),
            "previous": self.previous,
            "hash": self.hash,
            "signature": self.signature,
        }

    def line(self) -> str:
        """The entry as one line of an export, without the line break: canonical JSON."""
        return canonical(self.fields()).decode()

    def sealed(self) -> Sealed:
        """The entry without what happened; the salt keeps it from being guessed."""
        return Sealed(
            self.sequence, digest(self.content()), self.previous, self.hash, self.signature
        )


def make_entry(
    *,
    sequence: int,
    moment: datetime,
    kind: str,
    body: Mapping[str, Any],
    previous: str,
    signer: Signer,
    entropy: Entropy,
) -> Entry:
    """A signed entry. Raises `Fault` ``ledger.kind`` or ``ledger.body`` for what may not stay."""
    if not _KIND.fullmatch(kind):
        raise Fault(
            "ledger.kind",
            f"{kind[:40]!r} is not a kind of entry",
            remedy="use 2 to 40 lower-case letters, digits and hyphens",
        )
    redact(body, kind)
    entry = Entry(
        sequence,
        moment.astimezone(UTC).isoformat(timespec="microseconds"),
        kind,
        # As it will be read back: what memory holds and what is stored must be the same value.
        json.loads(canonical(body)),
        entropy.take(SALT_BYTES).hex(),
        previous,
        hash="",
        signature="",
    )
    own_hash = entry.sealed().hashed()
    signature = signer.sign(LEDGER_PREFIX + bytes.fromhex(own_hash)).hex()
    return replace(entry, hash=own_hash, signature=signature)


def read_line(line: str | bytes) -> Entry | Sealed | str:
    """The entry in an exported line, or in words why it is none.

    The line must be exactly what `Entry.line` or `Sealed.line` writes, and at most a line break after it: any
    byte that differs is a change.
    """
    try:
        text = (line if isinstance(line, str) else line.decode()).removesuffix("\n")
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return "the line is not valid JSON"
    if not isinstance(fields, dict):
        return "the line does not have the fields of an entry"
    sealed = "commitment" in fields
    shape: type[Entry] | type[Sealed] = Sealed if sealed else Entry
    if set(fields) != set(shape.__dataclass_fields__):
        return "the line does not have the fields of an entry"
    reason = _mistyped(fields, sealed=sealed)
    if reason:
        return reason
    entry = shape(**fields)
    try:
        same = entry.line() == text
    except (ValueError, RecursionError):
        same = False
    return entry if same else "the line is not in canonical form"


def _mistyped(fields: Mapping[str, Any], *, sealed: bool) -> str:
    sequence = fields["sequence"]
    if not isinstance(sequence, int) or isinstance(sequence, bool):
        return "the entry's sequence or body has the wrong type"
    if not sealed:
        if not isinstance(fields["body"], dict):
            return "the entry's sequence or body has the wrong type"
        if not isinstance(fields["time"], str) or not isinstance(fields["kind"], str):
            return "the entry's time or kind has the wrong type"
    for name, length in (_HEX_SEALED if sealed else _HEX).items():
        value = fields[name]
        if not isinstance(value, str) or not re.fullmatch(f"[0-9a-f]{{{length}}}", value):
            return f"the entry's {name} is not {length} hexadecimal characters"
    return ""


def problem_with(entry: Entry | Sealed, sequence: int, previous: str, key: Ed25519PublicKey) -> str:
    """Why ``entry`` cannot stand at ``sequence`` after ``previous``; empty if it can."""
    if entry.sequence != sequence:
        return f"entry {sequence} is missing or out of order"
    if entry.previous != previous:
        return "the entry does not follow the one before it"
    try:
        sealed = entry if isinstance(entry, Sealed) else entry.sealed()
        if sealed.hashed() != entry.hash:
            return "the entry's content does not fit its hash"
        key.verify(bytes.fromhex(entry.signature), LEDGER_PREFIX + bytes.fromhex(entry.hash))
    except InvalidSignature:
        return "the entry is not signed with this node's key"
    except (TypeError, ValueError, RecursionError):
        return "the entry is not well formed"
    return ""
