"""Which row is in which node: every party keeps the same account, from decisions and directions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]
Pair = tuple[int, int | None]
LEAF = -1


class Partition:
    """The rows of one tree while it grows. Nodes are numbered as they are made: 0 is the root, siblings 2j-1, 2j.

    ``fresh`` are the nodes that the last step made: all children of a level, or two leaf-wise.
    """

    def __init__(self, sampled: Flags, least: int, depth: int) -> None:
        self.step = 0
        self.fresh: list[int] = [0]
        self.depths = [0]
        self.parents = [LEAF]
        self._sampled = None if sampled.all() else sampled
        self._least = least
        self._deepest = depth
        self._rows: dict[int, I64] = {0: np.arange(sampled.size)}
        self._used: dict[int, I64] = {0: self._learned(self._rows[0])}
        self.pairs = self._pairs()

    def _learned(self, rows: I64) -> I64:
        return rows if self._sampled is None else rows[self._sampled[rows]]

    @property
    def nodes(self) -> list[int]:
        """Nodes that were not split, rising: leaves so far."""
        return sorted(self._rows)

    def rows(self, node: int) -> I64:
        """All rows of a node that was not split, rising."""
        return self._rows[node]

    def sampled(self, node: int) -> I64:
        """The rows of a node that this tree learns from, rising."""
        return self._used[node]

    def sampled_left(self, node: int, left: Flags) -> I64:
        """Those of a node's rows that this tree learns from and that ``left`` [rows of the node] sends left."""
        return self._learned(self._rows[node][left])

    def _pairs(self) -> list[Pair]:
        """(node to sum, its sibling) of fresh nodes of which one is large enough to be split; the smaller is
        summed."""
        if self.step == 0:
            return [(0, None)] if self._used[0].size >= 2 * self._least else []
        out: list[Pair] = []
        for left, right in zip(self.fresh[::2], self.fresh[1::2], strict=True):
            sizes = self._used[left].size, self._used[right].size
            if max(sizes) >= 2 * self._least and self.depths[left] < self._deepest:
                out.append((right, left) if sizes[1] < sizes[0] else (left, right))
        return out

    def size_of(self, nodes: Sequence[int]) -> int:
        """Rows in the nodes together."""
        return sum(self._rows[node].size for node in nodes)

    def split(self, lefts: dict[int, Flags]) -> None:
        """A step further: ``lefts[node]`` says which of the node's rows go left. Children in the nodes' order."""
        self.fresh = []
        for node in sorted(lefts):
            rows, left = self._rows.pop(node), lefts[node]
            del self._used[node]
            for part in (rows[left], rows[~left]):
                made = len(self.depths)
                self.depths.append(self.depths[node] + 1)
                self.parents.append(node)
                self._rows[made], self._used[made] = part, self._learned(part)
                self.fresh.append(made)
        self.step += 1
        self.pairs = self._pairs()


def packed(lefts: list[Flags]) -> NDArray[np.uint8]:
    """Directions of several nodes' rows, one after another, as bits."""
    return np.packbits(np.concatenate(lefts) if lefts else np.zeros(0, np.bool_))


def unpacked(bits: NDArray[np.uint8], partition: Partition, nodes: list[int]) -> dict[int, Flags]:
    """The inverse of `packed`."""
    flags = np.unpackbits(bits, count=partition.size_of(nodes)).astype(np.bool_)
    out: dict[int, Flags] = {}
    start = 0
    for node in nodes:
        size = partition.rows(node).size
        out[node] = flags[start : start + size]
        start += size
    return out
