"""Published vectors of the ciphers, and broken ciphers that the vectors must notice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from engine_conformance import SIMON_KEY
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.engine import prf, reveal
from hanse.engine.masks import KEY_BYTES, Stream, derive, room
from hanse.engine.session import Session
from hanse.engine.slicing import values_of
from hanse.engine.stage import on_stage
from secret_stage import Dealer

# Beaulieu et al. 2013, appendix B: SIMON 64/128.
TEXT, CIPHER = 0x656B696C20646E75, 0x44C8FC20B9DFA07A
words = st.integers(0, (1 << 32) - 1)


def tags_on_shares(key_parts: list[list[int]], rows: list[int]) -> list[int]:
    """Tags of ``rows`` under the XOR of three key components, opened."""
    table = np.array(rows, np.uint64).reshape(-1, 1)
    shares = Dealer(1).words(table)

    def protocol(s: Session) -> Any:
        key = prf.share_of_key(s, key_parts[s.seat], key_parts[(s.seat + 1) % 3])
        return reveal.open_bits(s, prf.tags(s, shares[s.seat], key), "tags")

    seats = [values_of(planes, len(rows)).tolist() for planes in on_stage(protocol)]
    assert seats[0] == seats[1] == seats[2]
    return seats[0]


def require_vector() -> None:
    """The standard's vector, in the clear and on shares with the key in three components."""
    assert prf.encrypt_plain(TEXT, SIMON_KEY) == CIPHER
    first, second = [0xDEADBEEF, 1, 2, 3], [4, 5, 0xFFFFFFFF, 7]
    third = [k ^ a ^ b for k, a, b in zip(SIMON_KEY, first, second, strict=True)]
    assert tags_on_shares([first, second, third], [TEXT]) == [CIPHER]


def test_simon_64_128() -> None:
    require_vector()


@settings(max_examples=20, deadline=None)
@given(
    st.lists(words, min_size=12, max_size=12),
    st.lists(st.integers(0, (1 << 64) - 1), min_size=1, max_size=70),
)
def test_tags_are_the_ciphers_whatever_the_key_and_its_shares(
    key: list[int], rows: list[int]
) -> None:
    parts = [key[0:4], key[4:8], key[8:12]]
    whole = [a ^ b ^ c for a, b, c in zip(*parts, strict=True)]
    assert tags_on_shares(parts, rows) == [prf.encrypt_plain(r, whole) for r in rows]


def _rotated_wrongly(key: list[int], *, constants: bool) -> list[int]:
    keys = list(key)
    for i in range(4, 44):
        t = prf._rotate_right(keys[i - 1], 3) ^ keys[i - 3]
        t ^= prf._rotate_right(t, 2)
        constant = 0xFFFFFFFF ^ 3 ^ int(prf._Z3[(i - 4) % 62]) if constants else 0
        keys.append((keys[i - 4] ^ t ^ constant) & 0xFFFFFFFF)
    return keys


def _without_the_far_word(key: list[int], *, constants: bool) -> list[int]:
    """The schedule of SIMON-64/96, whose key has no k[i-3] term."""
    keys = list(key)
    for i in range(4, 44):
        t = prf._rotate_right(keys[i - 1], 3)
        t ^= prf._rotate_right(t, 1)
        constant = 0xFFFFFFFF ^ 3 ^ int(prf._Z3[(i - 4) % 62]) if constants else 0
        keys.append((keys[i - 4] ^ t ^ constant) & 0xFFFFFFFF)
    return keys


_good = prf.expand
BROKEN: dict[str, Callable[..., list[int]]] = {
    "no constants anywhere": lambda key, *, constants: _good(key, constants=False),
    "constants on every component": lambda key, *, constants: (
        _good(key, constants=True) if not constants else _good(key, constants=False)
    ),
    "words in the wrong order": lambda key, *, constants: _good(key[::-1], constants=constants),
    "one rotation wrong": _rotated_wrongly,
    "the schedule of a shorter key": _without_the_far_word,
    "one round key repeated": lambda key, *, constants: [
        *_good(key, constants=constants)[:43],
        _good(key, constants=constants)[42],
    ],
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_key_schedule_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prf, "expand", BROKEN[name])
    with pytest.raises(AssertionError):
        require_vector()


def test_a_wrong_constant_sequence_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    for position in range(40):
        flipped = list(prf._Z3)
        flipped[position] = "1" if flipped[position] == "0" else "0"
        monkeypatch.setattr(prf, "_Z3", "".join(flipped))
        assert prf.encrypt_plain(TEXT, SIMON_KEY) != CIPHER


def test_constants_that_ride_on_two_components_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would cancel: a slip that the plain twin cannot see, only the vector on shares."""
    monkeypatch.setattr(
        prf, "share_of_key",
        lambda s, left, right: prf.SecretKey(
            tuple(prf.expand(left, constants=s.seat in {0, 1})),
            tuple(prf.expand(right, constants=s.seat in {2, 0})),
        ),
    )  # fmt: skip
    assert prf.encrypt_plain(TEXT, SIMON_KEY) == CIPHER
    with pytest.raises(AssertionError):
        require_vector()


@settings(max_examples=50, deadline=None)
@given(st.lists(words, min_size=8, max_size=8))
def test_the_key_schedule_is_linear_but_for_its_constants(key: list[int]) -> None:
    a, b = key[:4], key[4:]
    both = [x ^ y for x, y in zip(a, b, strict=True)]
    sum_of = [
        x ^ y for x, y in zip(_good(a, constants=True), _good(b, constants=False), strict=True)
    ]
    assert _good(both, constants=True) == sum_of


def test_distinct_ids_have_distinct_tags_and_a_fresh_key_other_tags() -> None:
    rows = list(range(64)) + [(1 << 64) - 1 - i for i in range(64)]
    shares = Dealer(2).words(np.array(rows, np.uint64).reshape(-1, 1))

    def protocol(s: Session) -> Any:
        both = [prf.tags(s, shares[s.seat], prf.secret_key(s), f"prf{i}") for i in range(2)]
        return [values_of(reveal.open_bits(s, t, f"open{i}"), 128) for i, t in enumerate(both)]

    first, second = on_stage(protocol)[0]
    assert len(set(first.tolist())) == 128
    assert not set(first.tolist()) & set(second.tolist())


# --- AES-256 in counter mode: NIST SP 800-38A; its zero-key blocks are published with SP 800-38D ----

ZERO_KEY_BLOCKS = [
    "dc95c078a2408989ad48a21492842087",  # AES-256(0, 0): H of GCM test case 13
    "530f8afbc74536b9a963b4f1c4cb738b",  # AES-256(0, 1): tag of GCM test case 13
    "cea7403d4d606b6e074ec5d3baf39d18",  # AES-256(0, 2): ciphertext of GCM test case 14
]
keys = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)


def counter_mode(key: bytes, words_wanted: int) -> bytes:
    encryptor = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
    return encryptor.update(bytes(8 * words_wanted))


def test_a_stream_is_aes_256_in_counter_mode() -> None:
    assert Stream(bytes(32)).take(6).tobytes().hex() == "".join(ZERO_KEY_BLOCKS)


@settings(max_examples=50, deadline=None)
@given(keys, st.lists(st.integers(0, 40), max_size=8))
def test_a_stream_only_moves_forward(key: bytes, takes: list[int]) -> None:
    """Whatever pieces it is read in, and whichever way, the stream is one: no word comes twice."""
    stream, other, got, masked = Stream(key), Stream(key), [], []
    for count in takes:
        got.append(stream.take(count))
        target = room(count)
        target[:] = 0
        other.onto(target)
        masked.append(target)
    want = counter_mode(key, sum(takes))
    assert b"".join(a.tobytes() for a in got) == want
    assert b"".join(a.tobytes() for a in masked) == want


@pytest.mark.parametrize("extra", [-1, 0, 1, 3])
def test_a_stream_crosses_its_chunks_without_a_seam(extra: int) -> None:
    count = (1 << 17) + extra  # the cipher is fed 1 MiB at a time
    key = bytes(range(32))
    want = counter_mode(key, count + 5)
    stream = Stream(key)
    assert stream.take(count).tobytes() + stream.take(5).tobytes() == want
    target = room(count)
    target[:] = np.arange(count, dtype=np.uint64)
    Stream(key).onto(target)
    assert (target ^ np.arange(count, dtype=np.uint64)).tobytes() == want[: 8 * count]


def test_masking_in_place_refuses_memory_without_slack() -> None:
    for target in [np.zeros(4, np.uint64), np.zeros((2, 2), np.uint64), room(8).reshape(2, 4)]:
        with pytest.raises(ValueError, match=r"masks\.room"):
            Stream(bytes(32)).onto(target)


def test_masking_in_place_writes_nothing_behind_its_target() -> None:
    target = room(5)
    base = target.base
    assert isinstance(base, np.ndarray)
    base[:] = 7
    Stream(bytes(32)).onto(target)
    assert base[5:].tolist() == [7, 7]


def test_derived_keys_differ_by_purpose_and_key() -> None:
    made = {derive(key, purpose) for key in (bytes(32), b"\1" * 32) for purpose in ("a", "b", "")}
    assert len(made) == 6
    assert all(len(k) == KEY_BYTES for k in made)
    with pytest.raises(ValueError, match="32 bytes"):
        Stream(bytes(16))
