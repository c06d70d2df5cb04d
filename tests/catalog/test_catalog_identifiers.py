"""Normal forms, pre-hashed columns, hash chains, and the report of what became of every row."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.catalog import Hasher, gather, hash_identifiers
from hanse.catalog.forms import email_text
from hanse.catalog.normalise import OK, REASONS
from hanse.errors import Fault


def sha(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def reasons(values: list[str | None], id_type: str, **options: str) -> list[str]:
    rows = Hasher(id_type, **options).hash(pa.array(values, pa.string()))  # type: ignore[arg-type]
    return [REASONS.get(int(s), "ok") for s in rows.status]


def ids_of(values: list[str], id_type: str, **options: str) -> list[int]:
    rows = Hasher(id_type, **options).hash(pa.array(values, pa.string()))  # type: ignore[arg-type]
    assert rows.valid.all(), [REASONS.get(int(s)) for s in rows.status]
    return [int(i) for i in rows.ids]


NORMAL_FORMS = [
    ("email", [" Ann@Example.COM ", "ann@example.com", "ANN@EXAMPLE.COM\t"], "ann@example.com"),
    ("email", ["A.N.N+News@gmail.com"], "a.n.n+news@gmail.com"),
    ("email", ["Jörg@Bücher.example"], "jörg@xn--bcher-kva.example"),
    ("email", ["a" * 60 + "@" + "b" * 40 + ".org"], "a" * 60 + "@" + "b" * 40 + ".org"),
    ("imei", ["490154203237518", "49-015420-323751-8", "49015420323751", " 490154203237518"], "490154203237518"),
    ("idfa", ["6d92078a-8246-4ba4-ae5b-76104861e7dc", "{6D92078A82464BA4AE5B76104861E7DC}"],
     "6D92078A-8246-4BA4-AE5B-76104861E7DC"),
    ("gaid", ["6D92078A-8246-4BA4-AE5B-76104861E7DC", "6d92078a82464ba4ae5b76104861e7dc"],
     "6d92078a-8246-4ba4-ae5b-76104861e7dc"),
    ("oaid", ["6D92078A-8246-4BA4-AE5B-76104861E7DC"], "6d92078a-8246-4ba4-ae5b-76104861e7dc"),
    ("oaid", ["A1B2C3D4E5F60718"], "a1b2c3d4e5f60718"),
    ("oaid", ["AB" * 32], "ab" * 32),
    ("mac", ["00:1b:44:11:3a:b7", "00-1B-44-11-3A-B7", "001b.4411.3ab7", "001B44113AB7"], "001B44113AB7"),
    ("household", [" A-17 ", "A-17", "\u3000A-17\u3000"], "A-17"),
    ("household", ["x" * 300], "x" * 300),
    ("household", ["名前"], "名前"),
]  # fmt: skip


@pytest.mark.parametrize(("id_type", "values", "normal"), NORMAL_FORMS)
def test_every_notation_comes_to_the_documented_form(
    id_type: str, values: list[str], normal: str
) -> None:
    assert ids_of(values, id_type) == [sha(normal)] * len(values)
    assert ids_of(values, id_type, chain="md5+sha256") == [sha(md5(normal))] * len(values)


def test_a_known_vector_from_the_standard() -> None:
    """SHA-256("abc"), FIPS 180-4: the id is its first eight bytes, big-endian."""
    assert ids_of(["abc"], "household") == [0xBA7816BF8F01CFEA]


MALFORMED = [
    ("email", "", "empty"),
    ("email", None, "empty"),
    ("email", "ann.example.com", "syntax"),
    ("email", "ann@@example.com", "syntax"),
    ("email", "@example.com", "syntax"),
    ("email", "ann@", "syntax"),
    ("email", "ann@localhost", "syntax"),
    ("email", "ann@-x.com", "syntax"),
    ("email", "ann@x-.com", "syntax"),
    ("email", "ann@10.0.0.1", "syntax"),
    ("email", "an n@example.com", "syntax"),
    ("email", "a" * 65 + "@example.com", "syntax"),
    ("email", "ann@example..com", "syntax"),
    ("email", "ann@" + "x" * 64 + ".com", "syntax"),
    ("email", "a@" + ".".join(["b" * 60] * 5) + ".com", "length"),
    ("imei", "", "empty"),
    ("imei", "490154203237519", "check-digit"),
    ("imei", "4901542032375", "length"),
    ("imei", "4901542032375181", "length"),
    ("imei", "49015420323751x", "characters"),
    ("imei", "000000000000000", "placeholder"),
    ("idfa", "", "empty"),
    ("idfa", "00000000-0000-0000-0000-000000000000", "opted-out"),
    ("gaid", "00000000000000000000000000000000", "opted-out"),
    ("oaid", "0" * 64, "opted-out"),
    ("oaid", "0" * 16, "opted-out"),
    ("oaid", "zz" * 32, "characters"),
    ("gaid", "6d92078a-8246-4ba4-ae5b-76104861e7d", "length"),
    ("gaid", "6d92078a-8246-4ba4-ae5b-76104861e7dg", "characters"),
    ("gaid", "6d92078a8-246-4ba4-ae5b-76104861e7dc", "characters"),
    ("gaid", "a1b2c3d4e5f60718", "length"),
    ("mac", "", "empty"),
    ("mac", "00:00:00:00:00:00", "placeholder"),
    ("mac", "ff:ff:ff:ff:ff:ff", "placeholder"),
    ("mac", "01:00:5e:00:00:fb", "placeholder"),
    ("mac", "02:00:00:00:00:00", "placeholder"),
    ("mac", "00:1b:44-11:3a:b7", "characters"),
    ("mac", "00:1b:44:11", "length"),
    ("mac", "00:1b:44:11:3a:bx", "characters"),
    ("household", " \t ", "empty"),
    ("household", "\u3000", "empty"),
    ("household", "NULL", "placeholder"),
]


@pytest.mark.parametrize(("id_type", "value", "reason"), MALFORMED)
def test_malformed_ids_are_refused_with_a_reason(
    id_type: str, value: str | None, reason: str
) -> None:
    assert reasons([value], id_type) == [reason]


def test_hashed_columns_meet_plain_ones() -> None:
    plain = "ann@example.com"
    sha_hex = hashlib.sha256(plain.encode()).hexdigest()
    both = hashlib.sha256(md5(plain).encode()).hexdigest()
    short = ids_of([plain], "email")
    assert ids_of([sha_hex, sha_hex.upper(), f" {sha_hex} "], "email", format="sha256") == short * 3
    chained = ids_of([plain], "email", chain="md5+sha256")
    assert chained != short
    upper = md5(plain).upper()
    assert ids_of([md5(plain), upper], "email", format="md5", chain="md5+sha256") == chained * 2
    assert (
        ids_of([both, both.upper()], "email", format="md5+sha256", chain="md5+sha256")
        == chained * 2
    )


@pytest.mark.parametrize(("format", "size"), [("md5", 32), ("sha256", 64), ("md5+sha256", 64)])
def test_malformed_hashes_are_refused_with_a_reason(format: str, size: int) -> None:
    chain = "sha256" if format == "sha256" else "md5+sha256"
    values = ["", "a" * (size - 1), "a" * (size + 1), "g" * size, "a" * size]
    found = reasons(values, "email", format=format, chain=chain)
    assert found == ["empty", "length", "length", "characters", "ok"]


def test_hashes_of_nothing_are_placeholders() -> None:
    empty = [md5(""), md5("null"), md5("00000000-0000-0000-0000-000000000000"), md5("x")]
    found = reasons(empty, "gaid", format="md5", chain="md5+sha256")
    assert found == ["placeholder", "placeholder", "opted-out", "ok"]


@pytest.mark.parametrize(
    ("format", "chain"), [("md5", "sha256"), ("md5+sha256", "sha256"), ("sha256", "md5+sha256")]
)
def test_a_hash_cannot_serve_another_chain(format: str, chain: str) -> None:
    with pytest.raises(Fault, match="cannot be undone") as caught:
        Hasher("email", format, chain)  # type: ignore[arg-type]
    assert caught.value.code == "catalog.chain"
    assert "md5+sha256" in caught.value.remedy or "sha256" in caught.value.remedy


def test_an_unknown_region_is_refused() -> None:
    with pytest.raises(Fault) as caught:
        Hasher("phone", region="XX")
    assert caught.value.code == "catalog.region"


def test_ids_that_lost_their_digits_are_refused() -> None:
    with pytest.raises(Fault) as caught:
        hash_identifiers(np.array([1.38e10]), "phone", region="CN")
    assert caught.value.code == "catalog.id-values"


def test_whole_numbers_and_every_array_type_are_the_same_texts() -> None:
    expected, _ = hash_identifiers(pa.array(["17", "5"]), "household")
    for values in (
        np.array([17, 5]),
        np.array(["17", "5"]),
        pa.array([17, 5]),
        pa.array(["17", "5"], pa.large_string()),
        pa.array(["17", "5"]).dictionary_encode(),
        pa.chunked_array([["17"], ["5"]]),
        pa.array(["x", "17", "5", "y"])[1:3],
    ):
        assert hash_identifiers(values, "household")[0].tolist() == expected.tolist()


def test_an_empty_column_is_no_error() -> None:
    ids, report = hash_identifiers(pa.array([], pa.string()), "household")
    assert ids.dtype == np.uint64
    assert len(ids) == report.rows == 0
    for nothing in (pa.nulls(3), pa.nulls(3, pa.string())):
        assert hash_identifiers(nothing, "phone", region="CN")[1].empty == 3


def test_the_report_accounts_for_every_row() -> None:
    values = ["a@b.co", "A@B.CO", None, "", "nobody", "c@d.co", "x y@d.co"]
    ids, report = hash_identifiers(pa.array(values), "email")
    assert report.rows == 7
    assert report.empty == 2
    assert report.invalid == {"syntax": 2}
    assert report.duplicates == 1
    assert report.distinct == len(ids) == 2
    assert ids.tolist() == sorted({sha("a@b.co"), sha("c@d.co")})


@given(st.lists(st.text(max_size=80), max_size=40), st.integers(1, 40))
@settings(max_examples=100, deadline=None)
def test_opaque_ids_are_exactly_the_trimmed_text(values: list[str], cut: int) -> None:
    hasher = Hasher("household")
    parts = [
        hasher.hash(pa.array(values[:cut], pa.string())),
        hasher.hash(pa.array(values[cut:], pa.string())),
    ]
    ids = np.concatenate([part.ids for part in parts])
    status = np.concatenate([part.status for part in parts])
    for text, found, state in zip(values, ids, status, strict=True):
        if not text.strip():
            assert REASONS[int(state)] == "empty"
        elif state == OK:
            assert int(found) == sha(text.strip())
        else:
            assert REASONS[int(state)] == "placeholder"


_LOCALS = st.text("abcXYZ019.+_-'~é@ ", max_size=12)
_DOMAINS = st.text("abZ09.-ü@", max_size=14)


@given(
    st.lists(st.tuples(_LOCALS, st.sampled_from(["@", "@", "@", "", "@@"]), _DOMAINS), max_size=40)
)
@settings(max_examples=200, deadline=None)
def test_the_email_kernel_equals_the_definition(parts: list[tuple[str, str, str]]) -> None:
    values = ["".join(part) for part in parts] + [f"{a}{b}{c}.Com" for a, b, c in parts]
    rows = Hasher("email").hash(pa.array(values, pa.string()))
    for text, found, state in zip(values, rows.ids, rows.status, strict=True):
        normal, status = email_text(text)
        assert int(state) == status, text
        if normal is not None:
            assert int(found) == sha(normal)


@given(st.lists(st.text("0123456789- /.x", max_size=18), max_size=40))
@settings(max_examples=100, deadline=None)
def test_the_imei_kernel_equals_a_plain_luhn(values: list[str]) -> None:
    def plain(text: str) -> str | None:
        digits = "".join(c for c in text.strip() if c not in "- /.")
        if not digits.isdigit() or len(digits) not in {14, 15} or set(digits) == {"0"}:
            return None
        total = sum(
            sum(divmod(int(d) * (2 if i % 2 else 1), 10)) for i, d in enumerate(digits[:14])
        )
        normal = digits[:14] + str(-total % 10)
        return normal if len(digits) == 14 or digits == normal else None

    values += [f"{i:014d}" for i in range(49015420323751, 49015420323760)]
    rows = Hasher("imei").hash(pa.array(values, pa.string()))
    expected = [plain(text) for text in values]
    assert rows.valid.tolist() == [normal is not None for normal in expected]
    assert rows.ids[rows.valid].tolist() == [sha(normal) for normal in expected if normal]


def test_colliding_hashes_are_dropped_and_counted() -> None:
    """Two people with one 64-bit hash differ in the check word; the hash itself cannot be made to."""
    ids = np.array([5, 9, 5, 7, 9, 9], np.uint64)
    checks = np.array([1, 1, 2, 1, 1, 1], np.uint64)
    crowd = gather(ids, checks)
    assert crowd.ids.tolist() == [7, 9]
    assert crowd.colliding == 2
    assert crowd.rows == 6
    assert crowd.person_of_row().tolist() == [-1, 1, -1, 0, 1, 1]


def test_ids_do_not_print() -> None:
    rows = Hasher("household").hash(pa.array(["secret"]))
    assert str(sha("secret")) not in repr(rows)
    assert "array" not in repr(rows)
