"""One entry of the ledger: what happened, when, and a hash that ties it to all that came before.

The hash is SHA-256 over the canonical JSON of every field but the hash and the signature; the
signature is the node's Ed25519 over a prefix and the 32 bytes of the hash.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hanse.errors import Fault
from hanse.ledger.redaction import redact
from hanse.wire.codec import canonical, digest

LEDGER_PREFIX = b"hanse-ledger-v1|"
GENESIS = "0" * 64

_KIND = re.compile("[a-z][a-z0-9-]{1,39}")
_HEX = {"previous": 64, "hash": 64, "signature": 128}


class Signer(Protocol):
    """A node's signing key, wherever it is kept; `Ed25519PrivateKey` is one."""

    def sign(self, data: bytes, /) -> bytes:
        """The 64-byte Ed25519 signature over ``data``."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. ``sequence`` counts from 0; ``previous`` of the first is `GENESIS`."""

    sequence: int
    time: str
    kind: str
    body: Mapping[str, Any]
    previous: str
    hash: str
    signature: str

    def content(self) -> dict[str, Any]:
        """What the hash is made over."""
        return {
            "sequence": self.sequence,
            "time": self.time,
            "kind": self.kind,
            "body": self.body,
            "previous": self.previous,
        }

    def fields(self) -> dict[str, Any]:
        """All fields as plain values."""
        return {**self.content(), "hash": self.hash, "signature": self.signature}

    def line(self) -> str:
        """The entry as one line of an export, without the line break: canonical JSON."""
        return canonical(self.fields()).decode()


def make_entry(
    *,
    sequence: int,
    moment: datetime,
    kind: str,
    body: Mapping[str, Any],
    previous: str,
    signer: Signer,
) -> Entry:
    """A signed entry. Raises `Fault` ``ledger.kind`` or ``ledger.body`` for what may not stay."""
    if not _KIND.fullmatch(kind):
        raise Fault(
            "ledger.kind",
            f"{kind[:40]!r} is not a kind of entry",
            remedy="use 2 to 40 lower-case letters, digits and hyphens",
        )
    redact(body, kind)
    content = {
        "sequence": sequence,
        "time": moment.astimezone(UTC).isoformat(timespec="microseconds"),
        "kind": kind,
        # As it will be read back: what memory holds and what is stored must be the same value.
        "body": json.loads(canonical(body)),
        "previous": previous,
    }
    own_hash = digest(content)
    signature = signer.sign(LEDGER_PREFIX + bytes.fromhex(own_hash)).hex()
    return Entry(**content, hash=own_hash, signature=signature)


def read_line(line: str | bytes) -> Entry | str:
    """The entry in an exported line, or in words why it is none.

    The line must be exactly what `Entry.line` writes, and at most a line break after it: any byte
    that differs is a change.
    """
    try:
        text = (line if isinstance(line, str) else line.decode()).removesuffix("\n")
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return "the line is not valid JSON"
    names = {"sequence", "time", "kind", "body", "previous", "hash", "signature"}
    if not isinstance(fields, dict) or set(fields) != names:
        return "the line does not have the fields of an entry"
    sequence, body = fields["sequence"], fields["body"]
    if not isinstance(sequence, int) or isinstance(sequence, bool) or not isinstance(body, dict):
        return "the entry's sequence or body has the wrong type"
    if not isinstance(fields["time"], str) or not isinstance(fields["kind"], str):
        return "the entry's time or kind has the wrong type"
    for name, length in _HEX.items():
        value = fields[name]
        if not isinstance(value, str) or not re.fullmatch(f"[0-9a-f]{{{length}}}", value):
            return f"the entry's {name} is not {length} hexadecimal characters"
    entry = Entry(**fields)
    try:
        same = entry.line() == text
    except (ValueError, RecursionError):
        same = False
    return entry if same else "the line is not in canonical form"


def problem_with(entry: Entry, sequence: int, previous: str, key: Ed25519PublicKey) -> str:
    """Why ``entry`` cannot stand at ``sequence`` after ``previous``; empty if it can."""
    if entry.sequence != sequence:
        return f"entry {sequence} is missing or out of order"
    if entry.previous != previous:
        return "the entry does not follow the one before it"
    try:
        if digest(entry.content()) != entry.hash:
            return "the entry's content does not fit its hash"
        key.verify(bytes.fromhex(entry.signature), LEDGER_PREFIX + bytes.fromhex(entry.hash))
    except InvalidSignature:
        return "the entry is not signed with this node's key"
    except (TypeError, ValueError, RecursionError):
        return "the entry is not well formed"
    return ""
