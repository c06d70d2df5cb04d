"""The kinds of field that contracts and requests are made of, each with its own plain error.

Everything is strict: a number is not read from a string, nor a yes/no from a number, so that two
nodes which read the same document hold the same values and the same hash.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

MAX_CAPACITY = 100_000_000
MAX_SLOTS = 32
MAX_COLUMN_MAXIMUM = 2**40
MIN_K = 20
MAX_EPSILON_PER_QUERY = 4.0
MAX_EPSILON_PER_JOIN = 1.0
MAX_DELTA = 1e-8
MAX_ROSTER_DAYS = 92

# What no contract may carry, whatever the legal basis: the special categories of personal data.
SENSITIVE = frozenset(
    {
        "biometric",
        "criminal-record",
        "ethnicity",
        "genetic",
        "health",
        "political-opinion",
        "race",
        "religion",
        "sexual-orientation",
        "trade-union",
    }
)

# Encodings of the eight points of small order on Curve25519's Edwards form (sign bit cleared,
# including the two non-canonical ones). Under such a key one signature fits many messages, so a
# party that chose it could deny what it signed.
_SMALL_ORDER_KEYS = frozenset(
    {
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    }
)


class Document(BaseModel):
    """Base of every model in this room: frozen, strict, unknown keys are errors."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )


def _matching(pattern: str, words: str) -> Callable[[str], str]:
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(f"must be {words}")
        return text

    return check


def _some_words(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _signing_key(text: str) -> str:
    key = bytes.fromhex(text)
    if (key[:31] + bytes([key[31] & 0x7F])).hex() in _SMALL_ORDER_KEYS:
        raise ValueError("is a weak key; make a new one with `hanse init`")
    return text


def _not_sensitive(value: object) -> object:
    if isinstance(value, str) and value.lower().replace("_", "-") in SENSITIVE:
        raise ValueError("is a sensitive kind of data, which no contract may carry; remove it")
    return value


_HEX_32_BYTES = AfterValidator(
    _matching("[0-9a-f]{64}", "64 lower-case hexadecimal characters (32 bytes)")
)

Slug = Annotated[
    str,
    AfterValidator(_matching("[a-z0-9-]{3,64}", "3 to 64 lower-case letters, digits and hyphens")),
]
SlugOrEmpty = Annotated[
    str,
    AfterValidator(
        _matching("([a-z0-9-]{3,64})?", "3 to 64 lower-case letters, digits and hyphens, or empty")
    ),
]
Name = Annotated[
    str,
    AfterValidator(
        _matching(
            "[a-z0-9][a-z0-9_-]{1,63}",
            "2 to 64 lower-case letters, digits, hyphens and underscores, not starting with a mark",
        )
    ),
]
ColumnName = Annotated[
    str,
    BeforeValidator(_not_sensitive),
    AfterValidator(
        _matching(
            "[A-Za-z_][A-Za-z0-9_]{0,63}",
            "1 to 64 letters, digits and underscores, not starting with a digit",
        )
    ),
]
# In a request, a use of bare membership has no column.
ColumnNameOrEmpty = Annotated[
    str,
    AfterValidator(
        _matching("([A-Za-z_][A-Za-z0-9_]{0,63})?", "a column's name, or empty for membership")
    ),
]
Text = Annotated[str, Field(max_length=2000), AfterValidator(_some_words)]
Label = Annotated[str, Field(max_length=200), AfterValidator(_some_words)]
Hash = Annotated[str, _HEX_32_BYTES]
HashOrEmpty = Annotated[
    str,
    AfterValidator(
        _matching("([0-9a-f]{64})?", "64 lower-case hexadecimal characters (32 bytes), or empty")
    ),
]
SigningKey = Annotated[str, _HEX_32_BYTES, AfterValidator(_signing_key)]
Signature = Annotated[
    str,
    AfterValidator(_matching("[0-9a-f]{128}", "128 lower-case hexadecimal characters (64 bytes)")),
]
Nonce = Annotated[
    str,
    AfterValidator(_matching("[0-9a-f]{32}", "32 lower-case hexadecimal characters (16 bytes)")),
]
TimeZone = Annotated[
    str,
    AfterValidator(_matching("[A-Za-z_]+(/[A-Za-z0-9_+-]+){0,2}", "an IANA time zone")),
]
TimeOfDay = Annotated[
    str,
    AfterValidator(_matching("([01][0-9]|2[0-3]):[0-5][0-9]", "a time of day such as 04:00")),
]
Positive = Annotated[float, Field(gt=0)]
Delta = Annotated[float, Field(gt=0, le=MAX_DELTA)]
NotSensitive = BeforeValidator(_not_sensitive)
