"""Tags for secret identifiers: SIMON-64/128 on bit-sliced shares, under a key that no seat knows.

SIMON-64/128 is a permutation with 1,408 ANDs in 44 rounds and a linear key schedule, which is free on
shares; rotations are free in bit-sliced form. AES-128 would need 5,120 ANDs. Because a block cipher permutes,
distinct ids always get distinct tags: there is no birthday loss at 64 bits.
Reveals: nothing here (opening the tags is the gate's business). Assumes: semi-honest seats, honest majority;
SIMON-64/128 is a strong pseudo-random permutation under a random secret key that is used for one alignment,
on at most 2**32 texts, part of them chosen (best published attack: 31 of 44 rounds).
Source: Beaulieu et al. 2013, "The SIMON and SPECK Families of Lightweight Block Ciphers", section 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hanse.engine import kernels
from hanse.engine.costs import costs
from hanse.engine.masks import room
from hanse.engine.session import Session
from hanse.engine.shares import U64, Bits, Silent, Words, words_for
from hanse.engine.slicing import slice_range

ROUNDS = 44
KEY_WORDS = 4
_MASK = 0xFFFFFFFF
# The constant sequence z3 of the specification, period 62.
_Z3 = "11011011101011000110010111100000010010001010011100110100001111"
BLOCK_ROWS = 1 << 18  # large messages cost the interpreter least; one message is 4 bytes a row
WAVE_BLOCKS = 4  # blocks under way at once, so that one is computed while another travels


def _rotate_right(x: int, by: int) -> int:
    return ((x >> by) | (x << (32 - by))) & _MASK


def expand(key: list[int], *, constants: bool) -> list[int]:
    """The 44 round keys of a 128-bit key given as [k0, k1, k2, k3].

    The schedule is linear but for its constants, so an XOR share of the key expands by itself;
    ``constants`` is true for exactly one component.
    """
    if len(key) != KEY_WORDS:
        raise ValueError("a key has four 32-bit words")
    keys = list(key)
    for i in range(KEY_WORDS, ROUNDS):
        t = _rotate_right(keys[i - 1], 3) ^ keys[i - 3]
        t ^= _rotate_right(t, 1)
        k = keys[i - 4] ^ t
        if constants:
            k ^= _MASK ^ 3 ^ int(_Z3[(i - KEY_WORDS) % 62])
        keys.append(k & _MASK)
    return keys


@dataclass(frozen=True, eq=False, repr=False)
class SecretKey(Silent):
    """A seat's two components of the expanded key."""

    left: tuple[int, ...]
    right: tuple[int, ...]


def _from_words(words: U64) -> list[int]:
    a, b = (int(w) for w in words)
    return [a & _MASK, a >> 32, b & _MASK, b >> 32]


def secret_key(s: Session) -> SecretKey:
    """A fresh key that no seat knows; no message. For one alignment only."""
    return share_of_key(s, _from_words(s.left.take(2)), _from_words(s.right.take(2)))


def share_of_key(s: Session, left: list[int], right: list[int]) -> SecretKey:
    """Expand key components (the constants ride on component 0)."""
    return SecretKey(
        tuple(expand(left, constants=s.seat == 0)), tuple(expand(right, constants=s.seat == 2))
    )


@dataclass(slots=True)
class _Block:
    """One block of rows under way; the halves of the cipher's state swap roles every round."""

    number: int
    xl: U64
    xr: U64
    yl: U64
    yr: U64
    z: U64


@costs(rounds=ROUNDS, bytes_per_item=176)
def tags(s: Session, table: Words, key: SecretKey, step: str = "prf") -> Bits:
    """Encrypt the ids in word 0 of ``table``: planes [64, words]."""
    rows = table.rows
    out = Bits(
        np.empty((64, words_for(rows)), np.uint64), np.empty((64, words_for(rows)), np.uint64), rows
    )
    starts = list(range(0, rows, BLOCK_ROWS))
    for wave_start in range(0, len(starts), WAVE_BLOCKS):
        wave = starts[wave_start : wave_start + WAVE_BLOCKS]
        _encrypt_wave(s, table, key, wave, out, step)
        s.report(step, min(1.0, (wave[-1] + BLOCK_ROWS) / rows))
    return out


def _blocks(table: Words, starts: list[int]) -> Iterator[_Block]:
    for start in starts:
        count = min(BLOCK_ROWS, table.rows - start)
        planes = slice_range(table, 0, start, count)
        words = planes.shape[-1]
        # The high half of the block is the word that SIMON's specification calls x.
        yield _Block(
            start // BLOCK_ROWS,
            planes.left[32:],
            planes.right[32:],
            planes.left[:32],
            planes.right[:32],
            room(32 * words),
        )


def _encrypt_wave(
    s: Session, table: Words, key: SecretKey, starts: list[int], out: Bits, step: str
) -> None:
    blocks = list(_blocks(table, starts))
    for block in blocks:
        kernels.simon_start(block.xl, block.xr, block.z.reshape(block.xl.shape))
        _send(s, block, step, 0)
    for number in range(ROUNDS):
        more = number + 1 < ROUNDS
        s.meter.rounds += 1
        for block in blocks:
            shape = block.xl.shape
            theirs = s.receive(s.right_seat, f"{step}.{block.number}.{number}", (block.z.size,))
            mine = block.z.reshape(shape)
            kernels.simon_step(
                block.xl, block.xr, block.yl, block.yr, mine, theirs.reshape(shape),
                np.uint64(key.left[number]), np.uint64(key.right[number]), mine, more,
            )  # fmt: skip
            block.xl, block.xr, block.yl, block.yr = block.yl, block.yr, block.xl, block.xr
            if more:
                _send(s, block, step, number + 1)
    for block in blocks:
        first = block.number * (BLOCK_ROWS // 64)
        window = slice(first, first + block.xl.shape[1])
        out.left[32:, window], out.right[32:, window] = block.xl, block.xr
        out.left[:32, window], out.right[:32, window] = block.yl, block.yr


def _send(s: Session, block: _Block, step: str, number: int) -> None:
    s.left.onto(block.z)
    s.right.onto(block.z)
    s.send(s.left_seat, f"{step}.{block.number}.{number}", block.z)


def encrypt_plain(text: int, key: list[int]) -> int:
    """The plain twin: SIMON-64/128 of one 64-bit block."""
    x, y = text >> 32, text & _MASK
    for k in expand(key, constants=True):
        rotated = [((x << by) | (x >> (32 - by))) & _MASK for by in (1, 8, 2)]
        x, y = y ^ (rotated[0] & rotated[1]) ^ rotated[2] ^ k, x
    return x << 32 | y
