"""What may not be written into the ledger: it is kept for years and shown to auditors.

The check is a net under the callers, not a licence: it finds raw bytes, arrays, long lists of
numbers, long unbroken strings (encoded shares or keys) and fields named like secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hanse.errors import Fault
from hanse.wire.codec import canonical

MAX_NUMBERS_IN_LIST = 4096
MAX_UNBROKEN_CHARACTERS = 4096
MAX_BODY_BYTES = 1 << 20
MAX_DEPTH = 32

_SECRET_NAMES = frozenset(
    {
        "identifiers",
        "ids",
        "mask",
        "masks",
        "passphrase",
        "password",
        "private_key",
        "secret",
        "secrets",
        "seed",
        "seeds",
        "share",
        "shares",
        "token",
        "tokens",
    }
)


def redact(body: Mapping[str, Any], kind: str) -> None:
    """Return only if ``body`` may be kept. Raises `Fault` ``ledger.body`` naming the field."""
    if not isinstance(body, Mapping):
        raise _refused(kind, "the body", "is not a mapping")
    _look(body, kind, "", 0)
    size = len(canonical(body))
    if size > MAX_BODY_BYTES:
        raise _refused(kind, "the body", f"is {size} bytes, over the limit of {MAX_BODY_BYTES}")


def _look(value: object, kind: str, path: str, depth: int) -> int:
    """Check ``value``; the number of numbers in it, if it is a list (lists of lists add up)."""
    at = path or "the body"
    if depth > MAX_DEPTH:
        raise _refused(kind, at, "is nested too deeply")
    if value is None or isinstance(value, bool):
        return 0
    if isinstance(value, int | float):
        if value in (float("inf"), float("-inf")) or value != value:  # noqa: PLR0124
            raise _refused(kind, at, "is not a finite number")
        return 1
    if isinstance(value, str):
        if max((len(word) for word in value.split()), default=0) > MAX_UNBROKEN_CHARACTERS:
            raise _refused(kind, at, "looks like encoded data")
        return 0
    if isinstance(value, Mapping):
        _look_into(value, kind, path, depth)
        return 0
    if isinstance(value, list | tuple):
        numbers = sum(_look(item, kind, path, depth + 1) for item in value)
        if numbers > MAX_NUMBERS_IN_LIST:
            raise _refused(kind, at, f"lists more than {MAX_NUMBERS_IN_LIST} numbers")
        return numbers
    raise _refused(kind, at, f"is a {type(value).__name__}, not a plain value")


def _look_into(table: Mapping[Any, Any], kind: str, path: str, depth: int) -> None:
    for name, value in table.items():
        if not isinstance(name, str):
            raise _refused(kind, path or "the body", "has a name that is not text")
        at = f"{path}.{name[:64]}" if path else name[:64]
        # A plain number under such a name is a count (a shop sells seeds); text or a list is not.
        if name.lower() in _SECRET_NAMES and isinstance(value, str | list | tuple | Mapping):
            raise _refused(kind, at, "is named like a secret")
        _look(value, kind, at, depth + 1)


def _refused(kind: str, at: str, why: str) -> Fault:
    return Fault(
        "ledger.body",
        f"an entry of kind {kind!r} may not be kept: {at} {why}",
        remedy="record a hash or a count instead",
        where=f"ledger entry {kind}",
    )
