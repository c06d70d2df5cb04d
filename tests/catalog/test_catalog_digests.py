"""The many-lane SHA-256 and MD5 against the standards' vectors and hashlib."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from hanse.catalog import digests

# FIPS 180-4 (and its example documents): messages of one block.
SHA_VECTORS = [
    (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (b"\xbd", "68325720aabd7c82f30f554b313d0570c95accbb7dc4b5aae11204c08ffe732b"),
    (bytes(55), "02779466cdec163811d078815c633f21901413081449002f24aa3e80f0b88ef7"),
]
# Two blocks: by the slow path only.
SHA_LONG = (
    b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
)
# RFC 1321, appendix A.5
MD5_VECTORS = [
    (b"", "d41d8cd98f00b204e9800998ecf8427e"),
    (b"a", "0cc175b9c0f1b6a831c399e269772661"),
    (b"abc", "900150983cd24fb0d6963f7d28e17f72"),
    (b"message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
    (b"abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b"),
]


def blocks_of(messages: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    blocks = np.zeros((len(messages), 64), np.uint8)
    for row, message in enumerate(messages):
        padded = message + b"\x80"
        blocks[row, : len(padded)] = list(padded)
    return blocks, np.array([len(m) for m in messages], np.uint8)


def sha256(messages: list[bytes]) -> list[str]:
    blocks, lengths = blocks_of(messages)
    ids = np.zeros(len(messages), np.uint64)
    checks = np.zeros(len(messages), np.uint64)
    digests.sha256(blocks.view(np.uint32), lengths, ids, checks)
    return [f"{first:016x}{second:016x}" for first, second in zip(ids, checks, strict=True)]


def md5(messages: list[bytes]) -> list[str]:
    blocks, lengths = blocks_of(messages)
    out = np.full((len(messages), 64), 255, np.uint8)
    digests.md5_hex(blocks.view(np.uint32), lengths, out)
    assert (out[:, 32] == 0x80).all()
    assert not out[:, 33:].any()
    return [row[:32].tobytes().decode() for row in out]


@pytest.mark.parametrize(("message", "expected"), SHA_VECTORS)
def test_sha256_gives_the_standards_vectors(message: bytes, expected: str) -> None:
    assert sha256([message]) == [expected[:32]]


@pytest.mark.parametrize(("message", "expected"), MD5_VECTORS)
def test_md5_gives_the_standards_vectors(message: bytes, expected: str) -> None:
    assert md5([message]) == [expected]


def test_a_flipped_bit_of_a_vector_is_noticed() -> None:
    message, expected = SHA_VECTORS[1]
    flipped = bytes([message[0] ^ 1, *message[1:]])
    assert sha256([flipped]) != [expected[:32]]
    assert md5([flipped]) != [MD5_VECTORS[2][1]]


def test_long_messages_go_through_the_library() -> None:
    message, expected = SHA_LONG
    first, second = digests.sha256_of_one(message)
    assert f"{first:016x}{second:016x}" == expected[:32]


@pytest.mark.parametrize("count", [1, 63, 64, 65, 200])
def test_every_lane_and_every_length_agrees_with_hashlib(count: int) -> None:
    generator = np.random.default_rng(count)
    messages = [generator.bytes((7 * i) % 56) for i in range(count)]
    assert sha256(messages) == [hashlib.sha256(m).hexdigest()[:32] for m in messages]
    assert md5(messages) == [hashlib.md5(m, usedforsecurity=False).hexdigest() for m in messages]
