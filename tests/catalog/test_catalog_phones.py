"""Vectorised telephone numbers against the phonenumbers library."""

from __future__ import annotations

import random

import numpy as np
import phonenumbers
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.catalog import Hasher, hash_identifiers
from hanse.catalog.digests import sha256_of_one
from hanse.catalog.normalise import ASK, OK, REASONS
from hanse.catalog.numbering import numbering_plan
from hanse.catalog.phones import e164, normalise_phones

REGIONS = ["CN", "US", "GB", "KR", "JP", "IN", "DE", "FR", "RU", "BR", "IT", "SG", "AU", "ID"]


def expected_of(text: str, region: str | None) -> str | None:
    """The library alone."""
    try:
        number = phonenumbers.parse(text.strip(), region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def hashed(texts: list[str], region: str | None) -> list[int | None]:
    rows = Hasher("phone", region=region).hash(pa.array(texts))
    return [int(i) if valid else None for i, valid in zip(rows.ids, rows.valid, strict=True)]


def id_of(normal: str | None) -> int | None:
    return None if normal is None else sha256_of_one(normal.encode())[0]


def written(region: str, seed: int, count: int) -> list[str]:
    """Numbers as people write them: valid and nearly valid, with every usual prefix and separator."""
    chance = random.Random(seed)  # noqa: S311 - test data
    plan = phonenumbers.PhoneMetadata.metadata_for_region(region)
    code, trunk = str(plan.country_code), plan.national_prefix or ""
    kinds = [phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE]
    texts = []
    for _ in range(count):
        example = phonenumbers.example_number_for_type(region, chance.choice(kinds))
        digits = list(phonenumbers.national_significant_number(example))
        for place in range(chance.randrange(len(digits)), len(digits)):
            digits[place] = chance.choice("0123456789")
        if chance.random() < 0.1:
            digits.pop()
        prefix = chance.choice(
            [
                "",
                "",
                f"+{code}",
                f"+{code} ",
                f"+{code}{trunk}",
                code,
                trunk,
                f"00{code}",
                "011",
                "+",
            ]
        )
        text = prefix + "".join(digits)
        if chance.random() < 0.4:
            text = (
                text[0]
                + "".join(c + chance.choice(["", "", "-", " ", ".", "(", ") "]) for c in text[1:-1])
                + text[-1]
            )
        texts.append(chance.choice(["", "", " "]) + text)
    return texts


@pytest.mark.parametrize("region", REGIONS)
def test_numbers_as_people_write_them_equal_the_library(region: str) -> None:
    texts = written(region, seed=7, count=400)
    assert hashed(texts, region) == [id_of(expected_of(text, region)) for text in texts]


@given(st.lists(st.text("0123456789+-(). x/#;ext١３", max_size=20), max_size=20))
@settings(max_examples=80, deadline=None)
def test_any_text_equals_the_library(texts: list[str]) -> None:
    for region in ("CN", "US"):
        assert hashed(texts, region) == [id_of(expected_of(text, region)) for text in texts]


@pytest.mark.parametrize("region", REGIONS)
def test_the_kernel_itself_decides_the_common_forms(region: str) -> None:
    """If the kernel left common forms to the library, a million would take 20 seconds."""
    example = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    forms = [
        phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164),
        phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.INTERNATIONAL),
        phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.NATIONAL),
        phonenumbers.national_significant_number(example),
    ]
    plan = numbering_plan(region)
    assert plan is not None
    data = np.frombuffer("".join(forms).encode(), np.uint8)
    offsets = np.cumsum([0, *map(len, forms)]).astype(np.int64)
    blocks, lengths = np.zeros((4, 64), np.uint8), np.zeros(4, np.uint8)
    status = np.full(4, ASK, np.uint8)
    normalise_phones(plan, data, offsets, blocks, lengths, status)
    assert status.tolist() == [OK] * 4
    texts = {blocks[row, : lengths[row]].tobytes().decode() for row in range(4)}
    assert texts == {forms[0]}


@pytest.mark.parametrize(
    ("text", "region", "reason"),
    [
        ("", "CN", "empty"),
        ("   ", "CN", "empty"),
        ("hello", "CN", "characters"),
        ("+999 1234 5678", "CN", "country"),
        ("13812345678", None, "country"),
        ("1381234567", "CN", "numbering-plan"),
        ("138123456789012345", "CN", "length"),
        ("12345678901", "CN", "numbering-plan"),
    ],
)
def test_malformed_numbers_are_refused_with_a_reason(
    text: str, region: str | None, reason: str
) -> None:
    rows = Hasher("phone", region=region).hash(pa.array([text]))
    assert REASONS[int(rows.status[0])] == reason


def test_the_reason_agrees_with_the_definition() -> None:
    assert e164("13812345678", "CN") == ("+8613812345678", OK)
    assert e164("hello", "CN")[0] is None


def test_many_foreign_numbers_get_their_own_plan_and_the_same_ids() -> None:
    foreign = [f"+1 212 555 {i:04d}" for i in range(600)] + [
        f"+44 7911 12{i:04d}" for i in range(600)
    ]
    home = [f"138{i:08d}" for i in range(100)]
    texts = foreign + home + ["+1 000 000 0000", "nonsense"]
    assert hashed(texts, "CN") == [id_of(expected_of(text, "CN")) for text in texts]


def test_one_person_written_differently_is_one_person() -> None:
    texts = [
        "13812345678",
        "+86 138-1234-5678",
        "008613812345678",
        "8613812345678",
        "(138) 1234 5678",
    ]
    ids, report = hash_identifiers(pa.array(texts), "phone", region="CN")
    assert len(ids) == 1
    assert report.duplicates == 4
