"""Sums of encrypted rows by groups of codes, at a feature holder: running sums, over threads.

Which windows (public vectors) the root of a tree adds does not depend on gradients or secrets: where all trees
learn from the same rows they are added once, and each tree adds only its bodies. Every returned sum still gets an
encryption of zero of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from hanse.engine import lattice_kernels as kernels
from hanse.engine.lattice import U32, Encrypted, N, Public, Randomisers
from hanse.entropy import Entropy
from hanse.learn.boosting.bins import BUILT_EMPTY, ENDS, I64, U8, Flags
from hanse.learn.boosting.splits import last_ends, sent

_SPAN = 32  # ring blocks whose windows are added from at a time


class Adder:
    """Adds and re-randomises with ``workers`` threads."""

    def __init__(self, public: Public, entropy: Entropy, workers: int) -> None:
        self._public = public
        self._zeros = [Randomisers(public, entropy) for _ in range(workers)]
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers)
        self._root_rows: I64 | None = None
        self._root: dict[int, U32] = {}  # by column: running sums of windows of its groups

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()

    def returned(
        self,
        encrypted: Encrypted,
        rows: list[I64],
        codes: U8,
        states: U8,
        columns: I64,
        *,
        root: bool,
    ) -> tuple[U32, U32]:
        """(sums [sent, n], bodies [sent, outputs]) of the groups that are sent, re-randomised.

        ``rows`` of each summed node, ``codes`` [columns, all rows], ``states`` [nodes, columns, positions],
        ``columns`` the numbers by which this party knows them.
        """
        places, firsts = numbered(states)
        bodies = np.zeros((firsts.size, encrypted.body.shape[0]), np.uint32)
        if root:
            sums = self._at_root(encrypted, rows[0], codes, places[0], columns, bodies)
        else:
            sums = np.zeros((firsts.size, N), np.uint32)
            self._add(encrypted, rows, codes, places, sums, bodies)
            kernels.add_up(firsts, sums, np.empty((firsts.size, 0), np.uint32))
        kernels.add_up(firsts, np.empty((firsts.size, 0), np.uint32), bodies)
        summed = ((states & (ENDS | BUILT_EMPTY)) == ENDS) & ~last_ends(states)
        wanted = sent(states)[summed]
        if not wanted.all():
            sums, bodies = sums[wanted], bodies[wanted]
        self._randomise(sums, bodies, encrypted.key)
        return sums, bodies

    def prefixes(
        self, encrypted: Encrypted, rows: list[I64], codes: U8, positions: int, columns: I64, singles: Flags,
        *, root: bool,
    ) -> tuple[U32, U32]:  # fmt: skip
        """(sums [nodes * columns * positions, n], bodies [.., outputs]) of codes up to each position (or of each
        code, where ``singles`` [columns]), re-randomised; positions that no row reaches too."""
        shape = (len(rows), codes.shape[0], positions)
        places = np.full((*shape[:2], positions + 1), -1, np.int64)
        places[..., :positions] = np.arange(int(np.prod(shape))).reshape(shape)
        alone = np.broadcast_to(singles[:, None] | (np.arange(positions) == 0), shape).reshape(-1)
        size = alone.size
        bodies = np.zeros((size, encrypted.body.shape[0]), np.uint32)
        if root:
            sums = self._at_root(encrypted, rows[0], codes, places[0], columns, bodies, singles)
        else:
            sums = np.zeros((size, N), np.uint32)
            self._add(encrypted, rows, codes, places, sums, bodies)
            kernels.add_up(alone, sums, np.empty((size, 0), np.uint32))
        kernels.add_up(alone, np.empty((size, 0), np.uint32), bodies)
        self._randomise(sums, bodies, encrypted.key)
        return sums, bodies

    def _add(
        self, encrypted: Encrypted, rows: list[I64], codes: U8, places: I64, sums: U32, bodies: U32
    ) -> None:
        share = -(-codes.shape[0] // self._workers)

        def add(first: int) -> None:
            part = slice(first, first + share)
            for number, used in enumerate(rows):
                tile = max(1024, used.size * (_SPAN * N) // self._public.rows)
                kernels.add_windows(self._public.windows, encrypted.body, used, codes[part],
                                    places[number, part], tile, sums, bodies)  # fmt: skip

        self._all(add, range(0, codes.shape[0], share))

    def _at_root(
        self, encrypted: Encrypted, rows: I64, codes: U8, places: I64, columns: I64, bodies: U32,
        singles: Flags | None = None,
    ) -> U32:  # fmt: skip
        """Running sums of windows, kept for the next tree; bodies are added to ``bodies``."""
        if self._root_rows is None or not np.array_equal(self._root_rows, rows):
            self._root_rows, self._root = rows, {}
        missing = [k for k, column in enumerate(columns.tolist()) if column not in self._root]

        def add(number: int) -> None:
            place = places[number : number + 1]
            kept = place[place >= 0]  # numbers of one column's groups follow one another
            size = int(kept.max() - kept.min()) + 1 if kept.size else 0
            groups = np.where(place >= 0, place - kept.min(initial=places.size), -1)
            sums = np.zeros((size, N), np.uint32)
            none = np.empty((0, encrypted.body.shape[1]), np.uint32)
            kernels.add_windows(self._public.windows, none, rows, codes[number : number + 1], groups,
                                _SPAN * N, sums, np.empty((size, 0), np.uint32))  # fmt: skip
            firsts = np.full(size, singles is not None and bool(singles[number]))
            firsts[:1] = True
            kernels.add_up(firsts, sums, np.empty((size, 0), np.uint32))
            self._root[int(columns[number])] = sums

        self._all(add, missing)

        def bodies_of(first: int) -> None:
            part = slice(first, first + share)
            kernels.add_bodies(encrypted.body, rows, codes[part], places[part], bodies)

        share = -(-codes.shape[0] // self._workers)
        self._all(bodies_of, range(0, codes.shape[0], share))
        return np.concatenate([self._root[c] for c in columns.tolist()])

    def _randomise(self, sums: U32, bodies: U32, key: U32) -> None:
        share = max(1, -(-sums.shape[0] // self._workers))

        def work(number: int) -> None:
            part = slice(number * share, (number + 1) * share)
            self._zeros[number].apply(sums[part], bodies[part], key)

        self._all(work, range(self._workers))

    def _all(self, work: Callable[[int], None], items: range | list[int]) -> None:
        if len(items) == 1:
            work(items[0])
            return
        for done in [self._pool.submit(work, item) for item in items]:
            done.result()


def numbered(states: U8) -> tuple[I64, Flags]:
    """Which sum a code is added to [nodes, columns, positions] (-1: none), and which sums are a column's first.

    Groups without rows have no sum, nor has the last of a column.
    """
    summed = ((states & (ENDS | BUILT_EMPTY)) == ENDS) & ~last_ends(states)
    number = np.full(states.shape, -1, np.int64)
    number[summed] = np.arange(np.count_nonzero(summed))
    following = np.full(states.shape[:2], -1, np.int64)
    for p in range(states.shape[-1] - 1, -1, -1):
        ends = (states[..., p] & ENDS) > 0
        following = np.where(ends, number[..., p], following)
        number[..., p] = following
    before = np.cumsum(summed, axis=-1)
    return number, np.asarray((before == 1)[summed])


def rows_per_code(codes: U8, rows: I64, positions: int) -> NDArray[np.int64]:
    """[columns, positions]: how many of ``rows`` have each code."""
    counts = np.zeros((codes.shape[0], positions), np.int64)
    kernels.count_codes(codes, rows, counts)
    return counts
