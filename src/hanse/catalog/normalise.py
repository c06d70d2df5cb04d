"""Kernels that bring one column of identifiers to their normal form, straight into hash blocks.

Every kernel reads Arrow's layout (``data uint8[...]``, ``offsets int64[n+1]``) and writes, for row
r, the normal text to ``blocks[r]`` followed by 0x80 (a block of `digests`), its size to
``lengths[r]`` and a status to ``status[r]``: `OK`, a reason why it is no identifier, or `ASK` where
only the slow path knows (`identifiers` asks a library, row by row, once per distinct text).
The normal forms themselves are documented in `identifiers`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hanse.catalog.digests import MAX_MESSAGE_BYTES, compiled, inlined

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]
Longs = NDArray[np.uint64]

OK = 0
EMPTY = 1
CHARACTERS = 2
LENGTH = 3
CHECK_DIGIT = 4
OPTED_OUT = 5
PLACEHOLDER = 6
NUMBERING_PLAN = 7
SYNTAX = 8
COUNTRY = 9
ASK = 255

REASONS = {
    EMPTY: "empty",
    CHARACTERS: "characters",
    LENGTH: "length",
    CHECK_DIGIT: "check-digit",
    OPTED_OUT: "opted-out",
    PLACEHOLDER: "placeholder",
    NUMBERING_PLAN: "numbering-plan",
    SYNTAX: "syntax",
    COUNTRY: "country",
}

_PAD = np.uint8(0x80)
_ZERO, _NINE = ord("0"), ord("9")
_SPACE, _PLUS, _HYPHEN, _DOT = ord(" "), ord("+"), ord("-"), ord(".")
_UPPER_A, _UPPER_F, _UPPER_Z = ord("A"), ord("F"), ord("Z")
_LOWER_A, _LOWER_F, _LOWER_Z = ord("a"), ord("f"), ord("z")
_AT, _OPEN, _CLOSE, _COLON, _SLASH = ord("@"), ord("{"), ord("}"), ord(":"), ord("/")

_LOCAL = np.zeros(
    256, np.uint8
)  # characters allowed before the @ without quotes (RFC 5322 atext and dot)
for _character in "abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-/=?^_`{|}~.":
    _LOCAL[ord(_character)] = 1

_NIBBLE = np.full(256, 16, np.uint8)
for _value, _character in enumerate("0123456789abcdef"):
    _NIBBLE[ord(_character)] = _NIBBLE[ord(_character.upper())] = _value
_HEX_LOWER = np.frombuffer(b"0123456789abcdef", np.uint8)
_HEX_UPPER = np.frombuffer(b"0123456789ABCDEF", np.uint8)


@inlined
def is_space(byte: int) -> bool:
    """Whether `str.strip` takes this ASCII byte away."""
    return byte == _SPACE or 9 <= byte <= 13 or 28 <= byte <= 31


@inlined
def trimmed(data: Bytes, start: int, stop: int) -> tuple[int, int]:
    """The range without ASCII white space at its ends."""
    while start < stop and is_space(data[start]):
        start += 1
    while stop > start and is_space(data[stop - 1]):
        stop -= 1
    return start, stop


@compiled
def opaque(data: Bytes, offsets: Offsets, blocks: Bytes, lengths: Bytes, status: Bytes) -> None:
    """Exact text, trimmed; `ASK` where an end is not ASCII or the text is too long for a block."""
    for row in range(len(lengths)):
        start, stop = trimmed(data, offsets[row], offsets[row + 1])
        size = stop - start
        if size == 0:
            status[row] = EMPTY
        elif data[start] >= 0x80 or data[stop - 1] >= 0x80 or size > MAX_MESSAGE_BYTES:
            status[row] = ASK
        else:
            for i in range(size):
                blocks[row, i] = data[start + i]
            blocks[row, size] = _PAD
            lengths[row] = size
            status[row] = OK


@inlined
def _domain_is_sound(text: Bytes, start: int, stop: int) -> bool:
    """At least two labels of 1 to 63 letters, digits or inner hyphens; the last not all digits."""
    labels = 0
    label = 0
    letters = False
    for i in range(start, stop + 1):
        byte = text[i] if i < stop else _DOT
        if byte == _DOT:
            if label == 0 or label > 63 or text[i - 1] == _HYPHEN:
                return False
            labels += 1
            label = 0
            if i < stop:
                letters = False
        elif _LOWER_A <= byte <= _LOWER_Z:
            letters = True
            label += 1
        elif _ZERO <= byte <= _NINE or (byte == _HYPHEN and label > 0):
            label += 1
        else:
            return False
    return labels >= 2 and letters


@inlined
def _email_status(text: Bytes, size: int) -> int:
    at = -1
    for i in range(size):
        if text[i] == _AT:
            if at >= 0:
                return SYNTAX
            at = i
        elif at < 0 and _LOCAL[text[i]] == 0:
            return SYNTAX
    if at < 1 or at > 64:
        return SYNTAX
    return OK if _domain_is_sound(text, at + 1, size) else SYNTAX


@compiled
def email(data: Bytes, offsets: Offsets, blocks: Bytes, lengths: Bytes, status: Bytes) -> None:
    """Trimmed and lower-case; `ASK` beyond ASCII and for addresses too long for a block."""
    for row in range(len(lengths)):
        start, stop = trimmed(data, offsets[row], offsets[row + 1])
        size = stop - start
        if size == 0:
            status[row] = EMPTY
            continue
        if size > MAX_MESSAGE_BYTES:
            status[row] = ASK
            continue
        high = 0
        for i in range(size):
            byte = data[start + i]
            high |= byte
            blocks[row, i] = byte + 32 if _UPPER_A <= byte <= _UPPER_Z else byte
        if high >= 0x80:
            status[row] = ASK
            blocks[row, :size] = 0
            continue
        blocks[row, size] = _PAD
        lengths[row] = size
        status[row] = _email_status(blocks[row], size)


@compiled
def imei(data: Bytes, offsets: Offsets, blocks: Bytes, lengths: Bytes, status: Bytes) -> None:
    """15 digits with a valid Luhn check digit; 14 digits get theirs appended."""
    for row in range(len(lengths)):
        start, stop = trimmed(data, offsets[row], offsets[row + 1])
        if start == stop:
            status[row] = EMPTY
            continue
        state = OK
        count = 0
        total = 0
        nonzero = False
        for i in range(start, stop):
            byte = data[i]
            if _ZERO <= byte <= _NINE:
                if count < 15:
                    digit = byte - _ZERO
                    nonzero |= digit != 0
                    if count < 14:
                        doubled = digit * 2 if count % 2 else digit
                        total += doubled - 9 if doubled > 9 else doubled
                    blocks[row, count] = byte
                count += 1
            elif byte not in (_SPACE, _HYPHEN, _DOT, _SLASH):
                state = CHARACTERS
        check = _ZERO + (10 - total % 10) % 10
        if state == OK and count not in (14, 15):
            state = LENGTH
        elif state == OK and count == 15 and blocks[row, 14] != check:
            state = CHECK_DIGIT
        elif state == OK and not nonzero:
            state = PLACEHOLDER
        blocks[row, 14] = check
        blocks[row, 15] = _PAD
        lengths[row] = 15
        status[row] = state


@inlined
def _is_dash_place(position: int) -> bool:
    return position in (8, 13, 18, 23)


@compiled
def uuid(
    data: Bytes,
    offsets: Offsets,
    blocks: Bytes,
    lengths: Bytes,
    status: Bytes,
    upper: bool,
    makers_forms: bool,
) -> None:
    """8-4-4-4-12 hexadecimal digits; `makers_forms` also lets 16 digits through and asks about 64."""
    table = _HEX_UPPER if upper else _HEX_LOWER
    for row in range(len(lengths)):
        start, stop = trimmed(data, offsets[row], offsets[row + 1])
        if start == stop:
            status[row] = EMPTY
            continue
        if data[start] == _OPEN and data[stop - 1] == _CLOSE and stop - start > 2:
            start += 1
            stop -= 1
        size = stop - start
        dashed = size == 36
        plain = makers_forms and size == 16
        if not (dashed or plain or size == 32):
            status[row] = ASK if makers_forms and size == 64 else LENGTH
            continue
        state = OK
        seen = 0
        place = 0
        for i in range(size):
            byte = data[start + i]
            if dashed and _is_dash_place(i):
                if byte != _HYPHEN:
                    state = CHARACTERS
                continue
            nibble = _NIBBLE[byte]
            if nibble > 15:
                state = CHARACTERS
                break
            seen |= nibble
            if not plain and _is_dash_place(place):
                blocks[row, place] = _HYPHEN
                place += 1
            blocks[row, place] = table[nibble]
            place += 1
        if state == OK and seen == 0:
            state = OPTED_OUT
        if state == OK:
            blocks[row, place] = _PAD
            lengths[row] = place
        status[row] = state


@compiled
def mac(data: Bytes, offsets: Offsets, blocks: Bytes, lengths: Bytes, status: Bytes) -> None:
    """Twelve upper-case hexadecimal digits out of pairs, quads or none, with : - or . between."""
    for row in range(len(lengths)):
        start, stop = trimmed(data, offsets[row], offsets[row + 1])
        size = stop - start
        if size == 0:
            status[row] = EMPTY
            continue
        group = 2 if size == 17 else 4 if size == 14 else 12
        if group == 12 and size != 12:
            status[row] = LENGTH
            continue
        state = OK
        separator = data[start + group] if group < 12 else _COLON
        if separator not in (_COLON, _HYPHEN, _DOT):
            state = CHARACTERS
        place = 0
        seen = 0
        for i in range(size):
            byte = data[start + i]
            if i % (group + 1) == group:
                if byte != separator:
                    state = CHARACTERS
                continue
            nibble = _NIBBLE[byte]
            if nibble > 15:
                state = CHARACTERS
                break
            seen |= nibble
            blocks[row, place] = _HEX_UPPER[nibble]
            place += 1
        if state == OK and (seen == 0 or _NIBBLE[blocks[row, 1]] & 1):
            state = PLACEHOLDER  # no device has a group address (broadcast is one) or all zeros
        if state == OK:
            blocks[row, 12] = _PAD
            lengths[row] = 12
        status[row] = state


@compiled
def md5_form(data: Bytes, offsets: Offsets, blocks: Bytes, lengths: Bytes, status: Bytes) -> None:
    """32 hexadecimal digits, lower-cased: the text that the chain md5+sha256 hashes."""
    for row in range(len(lengths)):
        start, stop = trimmed(data, offsets[row], offsets[row + 1])
        if start == stop:
            status[row] = EMPTY
        elif stop - start != 32:
            status[row] = LENGTH
        else:
            worst = 0
            for i in range(32):
                nibble = _NIBBLE[data[start + i]]
                worst = max(worst, nibble)
                blocks[row, i] = _HEX_LOWER[nibble & 15]
            blocks[row, 32] = _PAD
            lengths[row] = 32
            status[row] = OK if worst < 16 else CHARACTERS


@compiled
def sha256_form(data: Bytes, offsets: Offsets, ids: Longs, checks: Longs, status: Bytes) -> None:
    """64 hexadecimal digits: the hash is already there, its first 16 digits are the id."""
    for row in range(len(status)):
        start, stop = trimmed(data, offsets[row], offsets[row + 1])
        if start == stop:
            status[row] = EMPTY
        elif stop - start != 64:
            status[row] = LENGTH
        else:
            worst = 0
            first = np.uint64(0)
            second = np.uint64(0)
            for i in range(64):
                nibble = _NIBBLE[data[start + i]]
                worst = max(worst, nibble)
                if i < 16:
                    first = np.uint64(first << np.uint64(4)) | np.uint64(nibble)
                elif i < 32:
                    second = np.uint64(second << np.uint64(4)) | np.uint64(nibble)
            ids[row] = first
            checks[row] = second
            status[row] = OK if worst < 16 else CHARACTERS
