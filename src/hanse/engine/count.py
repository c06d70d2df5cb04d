"""Counting secret bits: a carry-save tree, one AND a row, then a few lanes as ring elements.

Reveals: nothing. Assumes: semi-honest seats, honest majority.
Source: the Harley-Seal population count (Warren, "Hacker's Delight", section 5-1) on shares; each
full adder costs one AND (Boyar and Peralta 2005). A bit-to-ring conversion of every row would cost 128 times more.
"""

from __future__ import annotations

import numpy as np

from hanse.engine.boolean import and_
from hanse.engine.compare import ring_bits
from hanse.engine.costs import costs
from hanse.engine.session import Session
from hanse.engine.shares import Bits, Ring, trimmed


@costs(rounds="2+2*log2words", bytes_per_item="8*words+1024+1536*log2words")
def count_rows(s: Session, x: Bits, step: str = "count") -> Ring:
    """How many rows are 1 in each plane: planes [cells, words] to elements [cells]."""
    cells = x.shape[0]
    kept = trimmed(x)
    levels: list[list[Bits]] = [[Bits(kept.left, kept.right, 64)]]
    number = 0
    while any(sum(b.shape[-1] for b in level) > 2 for level in levels):
        levels = _compress(s, levels, f"{step}.{number}")
        number += 1
    lanes, weights = [], []
    for exponent, level in enumerate(levels):
        for part in level:
            for column in range(part.shape[-1]):
                lanes.append(Bits(part.left[:, column], part.right[:, column], 64))
                weights.append(1 << exponent)
    if not lanes:
        return Ring(np.zeros(cells, np.uint64), np.zeros(cells, np.uint64))
    packed = Bits(
        np.stack([lane.left for lane in lanes])[:, :, None],
        np.stack([lane.right for lane in lanes])[:, :, None],
        64,
    )
    ones = ring_bits(s, packed, f"{step}.lanes").sum(axis=-1)  # [lanes, cells]
    factors = np.array(weights, np.uint64)[:, None]
    return ones.times(factors).sum(axis=0)


def _compress(s: Session, levels: list[list[Bits]], step: str) -> list[list[Bits]]:
    """One layer of full adders at every weight at once: three words become a sum and a carry.

    sum = a ^ b ^ c, carry = c ^ (a ^ c) & (b ^ c); the ANDs of all weights travel in one message.
    """
    triples: list[tuple[int, Bits, Bits, Bits]] = []
    kept: list[list[Bits]] = [[] for _ in range(len(levels) + 1)]
    for weight, parts in enumerate(levels):
        if not parts:
            continue
        whole = parts[0] if len(parts) == 1 else _side_by_side(parts)
        third = whole.shape[-1] // 3
        if third == 0:
            kept[weight].append(whole)
            continue
        a, b, c = (whole[:, i * third : (i + 1) * third] for i in range(3))
        triples.append((weight, a, b, c))
        if whole.shape[-1] % 3:
            kept[weight].append(whole[:, 3 * third :])
    first = _side_by_side([a ^ c for _, a, _, c in triples])
    second = _side_by_side([b ^ c for _, _, b, c in triples])
    products = and_(s, first, second, step)
    start = 0
    for weight, a, b, c in triples:
        size = c.shape[-1]
        carry = c ^ products[:, start : start + size]
        start += size
        kept[weight].append(a ^ b ^ c)
        kept[weight + 1].append(carry)
    return kept


def _side_by_side(parts: list[Bits]) -> Bits:
    return Bits(
        np.concatenate([p.left for p in parts], axis=-1),
        np.concatenate([p.right for p in parts], axis=-1),
        64,
    )
