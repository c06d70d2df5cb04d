"""What evaluating crowds and counting people cost on the wire: bounds that computations add up.

An AND costs one bit a person and seat; people are counted by a carry-save tree (about one AND a person and cell)
down to two lanes of 64 rows for each weight.
"""

from __future__ import annotations

from hanse.measure.algebra import Expression

_LANE_BYTES = 64 * 8  # 64 rows of a lane become ring elements at 8 bytes each
_WORD_ROWS = 64  # rows travel in words


def most_bytes(ands: int, cells: int, people: int) -> int:
    """Bytes that a seat sends at most for so many ANDs a person and so many counted cells."""
    words = -(-people // _WORD_ROWS)
    lanes = 2 * max(1, words).bit_length()
    return (ands + cells) * words * 8 + cells * lanes * _LANE_BYTES


def ands_of(crowd: Expression) -> int:
    """ANDs a person in evaluating a crowd."""
    if crowd.field is not None:
        return 0
    parts = len(crowd.parts)
    folded = crowd.kind == "none" or crowd.least in (1, parts)
    return (parts - 1 if folded else parts * crowd.least) + sum(map(ands_of, crowd.parts))
