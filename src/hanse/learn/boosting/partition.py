"""Which row is in which node: every party keeps the same account, from decisions and directions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]
LEAF = -1


class Partition:
    """The rows of one tree, level by level. Nodes of a level are numbered from 0; siblings are 2j and 2j + 1."""

    def __init__(self, sampled: Flags, least: int) -> None:
        self.level = 0
        self.nodes = 1
        self._sampled = sampled
        self._least = least
        self._place = np.zeros(sampled.size, np.int16)  # node of each row; -1: in a leaf already
        self._sort()

    def _sort(self) -> None:
        order = np.argsort(self._place, kind="stable")  # 16 bits: a radix sort
        edges = np.searchsorted(self._place[order], np.arange(self.nodes + 1))
        self._rows = [order[a:b] for a, b in pairwise(edges)]
        self._used = [rows[self._sampled[rows]] for rows in self._rows]

    def rows(self, node: int) -> I64:
        """All rows of a node, rising."""
        return self._rows[node]

    def sampled(self, node: int) -> I64:
        """The rows of a node that this tree learns from, rising."""
        return self._used[node]

    @property
    def pairs(self) -> list[tuple[int, int | None]]:
        """(node to sum, its sibling) wherever one of the two is large enough to be split; the smaller is summed."""
        sizes = [used.size for used in self._used]
        if self.level == 0:
            return [(0, None)] if sizes[0] >= 2 * self._least else []
        out: list[tuple[int, int | None]] = []
        for left in range(0, self.nodes, 2):
            if max(sizes[left : left + 2]) >= 2 * self._least:
                small = left + int(sizes[left + 1] < sizes[left])
                out.append((small, left ^ 1 if small == left else left))
        return out

    def owned(self, owners: I64, owner: int) -> list[int]:
        """Nodes that ``owner`` splits, in order."""
        return [int(node) for node in np.nonzero(owners == owner)[0]]

    def size_of(self, nodes: list[int]) -> int:
        """Rows in the nodes together."""
        return sum(self._rows[node].size for node in nodes)

    def split(self, owners: I64, lefts: dict[int, Flags]) -> None:
        """Go down a level: ``lefts[node]`` says which of its rows go left; nodes without one are leaves."""
        self._place[:] = LEAF
        following = 0
        for node in range(self.nodes):
            if owners[node] == LEAF:
                continue
            rows, left = self._rows[node], lefts[node]
            self._place[rows] = np.where(left, following, following + 1)
            following += 2
        self.level += 1
        self.nodes = following
        self._sort()


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
