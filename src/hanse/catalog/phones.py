"""Telephone numbers to E.164: the common forms by a kernel, the rest by the `phonenumbers` library.

The kernel decides a number only where the library's own rules leave one answer (the property tests
compare the two); with `ASK` it leaves everything else to `e164`, which is the definition.
"""

from __future__ import annotations

import numpy as np
import phonenumbers
from numpy.typing import NDArray

from hanse.catalog.digests import compiled, inlined
from hanse.catalog.normalise import (
    ASK,
    CHARACTERS,
    COUNTRY,
    EMPTY,
    LENGTH,
    NUMBERING_PLAN,
    OK,
    Bytes,
    Offsets,
    trimmed,
)
from hanse.catalog.numbering import EXIT, FIXED, GENERAL, MOBILE, TRUNK, NumberingPlan

_MAX_DIGITS = 20
_MAX_TEXT = 32
_ZERO, _NINE, _PLUS = ord("0"), ord("9"), ord("+")
_SPACE, _HYPHEN, _DOT, _OPEN, _CLOSE = ord(" "), ord("-"), ord("."), ord("("), ord(")")
_PAD = np.uint8(0x80)


def e164(text: str, region: str | None) -> tuple[str | None, int]:
    """The E.164 form of `text` dialled in `region`, or None and the reason (`normalise.REASONS`)."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException as error:
        if error.error_type == phonenumbers.NumberParseException.NOT_A_NUMBER:
            return None, CHARACTERS
        if error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE:
            return None, COUNTRY
        return None, LENGTH
    if phonenumbers.is_valid_number(number):
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164), OK
    possible = phonenumbers.is_possible_number_with_reason(number)
    return None, (
        NUMBERING_PLAN if possible == phonenumbers.ValidationResult.IS_POSSIBLE else LENGTH
    )


@inlined
def _collected(data: Bytes, start: int, stop: int, digits: Bytes) -> int:
    """Digits between `start` and `stop` (values 0-9), or -1 where anything unusual stands there."""
    if stop - start > _MAX_TEXT or data[stop - 1] < _ZERO or data[stop - 1] > _NINE:
        return -1
    count = 0
    for i in range(start, stop):
        byte = data[i]
        if _ZERO <= byte <= _NINE:
            if count == _MAX_DIGITS:
                return -1
            digits[count] = byte - _ZERO
            count += 1
        elif byte not in (_SPACE, _HYPHEN, _DOT, _OPEN, _CLOSE):
            return -1
    return count


@inlined
def _begins(digits: Bytes, at: int, count: int, prefix: Bytes) -> bool:
    if count - at < len(prefix):
        return False
    same = True
    for i in range(len(prefix)):
        same &= digits[at + i] == prefix[i]
    return bool(same)


@inlined
def _walk(
    digits: Bytes, at: int, count: int, steps: NDArray[np.uint16], labels: Bytes
) -> tuple[int, int, int, int]:
    """Label at the end, labels seen on the way, and where an EXIT and a TRUNK prefix would end.

    A prefix's end is 0 where there is none, -1 where it could end at two places.
    """
    state = np.uint16(1)
    shown = 0
    left = 0
    national = 0
    for i in range(at, count):
        state = steps[state, digits[i]]
        label = labels[state]
        shown |= label
        if label & EXIT:
            left = -1 if left else i + 1
        if label & TRUNK:
            national = -1 if national else i + 1
    return labels[state], shown, left, national


@inlined
def _is_valid(label: int, shown: int, size: int, limits: NDArray[np.int64]) -> bool:
    """Whether a walk over `size` digits was a valid number with no prefix left to take away."""
    if not label & GENERAL or shown & TRUNK or shown & limits[3] != limits[3]:
        return False
    bit = 1 << size
    is_fixed = label & FIXED and limits[0] & bit
    is_mobile = label & MOBILE and limits[1] & bit
    return bool(is_fixed or is_mobile)


@inlined
def _national_at(
    digits: Bytes,
    count: int,
    plus: bool,
    country: Bytes,
    trunk: Bytes,
    steps: NDArray[np.uint16],
    labels: Bytes,
    limits: NDArray[np.int64],
) -> int:
    """Where the national number begins in `digits`, or -1 where the library must say."""
    at = -1
    if plus:
        if _begins(digits, 0, count, country):
            at = len(country)
    else:
        label, shown, left, national = _walk(digits, 0, count, steps, labels)
        if left > 0:
            if _begins(digits, left, count, country):
                at = left + len(country)
        elif left == 0:
            if digits[0] and _is_valid(label, shown, count, limits):
                return 0
            if _begins(digits, 0, count, country):
                if count > limits[2]:
                    at = len(country)
            elif national == len(trunk) and national > 0 and _begins(digits, 0, count, trunk):
                at = national
    if at < 0 or at >= count or digits[at] == 0:
        return -1
    label, shown, _, _ = _walk(digits, at, count, steps, labels)
    return at if _is_valid(label, shown, count - at, limits) else -1


@compiled
def phone(
    data: Bytes,
    offsets: Offsets,
    blocks: Bytes,
    lengths: Bytes,
    status: Bytes,
    country: Bytes,
    trunk: Bytes,
    steps: NDArray[np.uint16],
    labels: Bytes,
    limits: NDArray[np.int64],
) -> None:
    """E.164 text of the numbers that the plan decides.

    `limits` holds the plan's fixed_lengths, mobile_lengths, longest and needed.
    """
    digits = np.zeros(_MAX_DIGITS, np.uint8)
    code = len(country)
    for row in range(len(lengths)):
        start, stop = trimmed(data, offsets[row], offsets[row + 1])
        if start == stop:
            status[row] = EMPTY
            continue
        status[row] = ASK
        plus = data[start] == _PLUS
        count = _collected(data, start + 1 if plus else start, stop, digits)
        if count < 3:
            continue
        at = _national_at(digits, count, plus, country, trunk, steps, labels, limits)
        if at < 0:
            continue
        blocks[row, 0] = _PLUS
        for i in range(code):
            blocks[row, 1 + i] = _ZERO + country[i]
        for i in range(at, count):
            blocks[row, 1 + code + i - at] = _ZERO + digits[i]
        lengths[row] = 1 + code + count - at
        blocks[row, lengths[row]] = _PAD
        status[row] = OK


def normalise_phones(
    plan: NumberingPlan,
    data: Bytes,
    offsets: Offsets,
    blocks: Bytes,
    lengths: Bytes,
    status: Bytes,
) -> None:
    """Run `phone` with one region's plan."""
    limits = np.array(
        [plan.fixed_lengths, plan.mobile_lengths, plan.longest, plan.needed], np.int64
    )
    phone(
        data, offsets, blocks, lengths, status,
        plan.country, plan.trunk, plan.steps, plan.labels, limits,
    )  # fmt: skip
