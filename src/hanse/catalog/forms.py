"""The slow, exact side of normalisation: one text at a time, for the rows a kernel asks about.

These functions are the definition; the kernels of `normalise` and `phones` are tested against them.
Each returns (normal text, `OK`), or (None, reason).
"""

from __future__ import annotations

import re
import unicodedata

from hanse.catalog.normalise import CHARACTERS, EMPTY, LENGTH, OK, OPTED_OUT, SYNTAX

Answer = tuple[str | None, int]

MAX_EMAIL_BYTES = 254
_LOCAL = re.compile(r"[a-z0-9!#$%&'*+\-/=?^_`{|}~.\u0080-\U0010ffff]+")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+(?=[a-z0-9-]*[a-z]){_LABEL}")


def opaque_text(text: str) -> Answer:
    """The exact text without white space at its ends."""
    text = text.strip()
    return (text, OK) if text else (None, EMPTY)


def email_text(text: str) -> Answer:
    """Trimmed, lower-case; Unicode in NFC, and a domain beyond ASCII in its IDNA form."""
    text = text.strip()
    if not text:
        return None, EMPTY
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    local, at, domain = text.lower().partition("@")
    if not at or "@" in domain:
        return None, SYNTAX
    if not domain.isascii():
        try:
            domain = domain.encode("idna").decode("ascii")
        except UnicodeError:
            return None, SYNTAX
    spaced = any(c.isspace() or unicodedata.category(c) == "Cc" for c in local)
    if spaced or not _LOCAL.fullmatch(local) or len(local.encode()) > 64:
        return None, SYNTAX
    if not _DOMAIN.fullmatch(domain):
        return None, SYNTAX
    address = f"{local}@{domain}"
    return (None, LENGTH) if len(address.encode()) > MAX_EMAIL_BYTES else (address, OK)


def long_oaid_text(text: str) -> Answer:
    """The 64-digit form that some makers issue, lower-case."""
    text = text.strip()
    if len(text) != 64:
        return None, LENGTH
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return None, CHARACTERS
    return (None, OPTED_OUT) if set(text) == {"0"} else (text.lower(), OK)
