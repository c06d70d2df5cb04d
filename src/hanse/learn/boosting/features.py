"""A feature holder's part of boosting: sums of encrypted gradients, and directions of its own splits.

It sees ciphertexts, which rows a tree samples, and the partition of rows by every split; never a gradient,
label or leaf value.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from hanse.engine import lattice_kernels as kernels
from hanse.engine.lattice import U32, Encrypted, N, Public, Randomisers
from hanse.entropy import Entropy
from hanse.errors import Fault
from hanse.learn.boosting.bins import (
    BUILT_EMPTY,
    ENDS,
    I64,
    U8,
    Binned,
    Flags,
    bin_columns,
    grouped,
)
from hanse.learn.boosting.model import Block, Owned, Rows, Settings
from hanse.learn.boosting.partition import LEAF, Partition, packed, unpacked
from hanse.learn.boosting.splits import last_ends, sent
from hanse.wire import Channel

LABEL = 0  # the label holder's role
OUTPUTS = 2  # gradient and curvature
_U1, _U4, _I8 = np.dtype("u1"), np.dtype("<u4"), np.dtype("<i8")


class FeatureHolder:
    """One party's columns during training. ``workers`` threads add and re-randomise."""

    def __init__(
        self, channel: Channel, roles: int, rows: Rows, settings: Settings, public: Public,
        entropy: Entropy, workers: int = 2,
    ) -> None:  # fmt: skip
        self._channel = channel
        self._roles = roles
        self._rows = len(rows.keys)
        self._settings = settings
        self._public = public
        self._binned = bin_columns(rows.columns, settings.bins, self._rows, rows.party)
        self._owned = Owned(rows.party, self._binned)
        self._zeros = [Randomisers(public, entropy) for _ in range(workers)]
        self._workers = workers
        # Which columns a tree sees is no secret of this party; the seed is, so that others cannot foresee it.
        self._choice = np.random.Generator(
            np.random.Philox(key=int.from_bytes(entropy.take(16), "little"))
        )

    def train(self) -> Block:
        """Take part until the label holder ends it; this party's splits."""
        with ThreadPoolExecutor(self._workers) as pool:
            tree = 0
            while self._channel.receive(LABEL, f"t{tree}.go", _I8, (1,))[0] < 0:
                self._tree(tree, pool)
                tree += 1
            kept = int(self._channel.receive(LABEL, "kept", _I8, (1,))[0])
        return self._owned.block(kept)

    def _tree(self, tree: int, pool: ThreadPoolExecutor) -> None:
        receive = self._channel.receive
        bits = receive(LABEL, f"t{tree}.rows", _U1, ((self._rows + 7) // 8,))
        sampled = np.unpackbits(bits, count=self._rows).astype(np.bool_)
        body = receive(LABEL, f"t{tree}.body", _U4, (OUTPUTS, self._rows))
        key = receive(LABEL, f"t{tree}.key", _U4, (OUTPUTS, N))
        grown = Partition(sampled, self._settings.minimum_rows)
        level = _Level(self._chosen(), self._binned)
        while grown.nodes:
            step = f"t{tree}.l{grown.level}"
            if grown.level < self._settings.depth and grown.pairs:
                self._sums(level, grown, Encrypted(body, key), step, pool)
            decisions = receive(LABEL, f"{step}.splits", _I8, (grown.nodes, 4))
            self._divide(tree, level, grown, decisions, step)

    def _chosen(self) -> I64:
        count = chosen_count(len(self._binned.names), self._settings.column_share)
        return np.sort(self._choice.permutation(len(self._binned.names))[:count])

    def _sums(
        self, level: _Level, grown: Partition, rows: Encrypted, step: str, pool: ThreadPoolExecutor
    ) -> None:
        states = level.describe(grown, self._settings.minimum_rows)
        places, firsts = numbered(states)
        sums = np.zeros((firsts.size, N), np.uint32)
        body = np.zeros((firsts.size, OUTPUTS), np.uint32)
        share = -(-level.columns.size // self._workers)

        def add(first: int) -> None:
            part = slice(first, first + share)
            for number, (node, _) in enumerate(grown.pairs):
                used = grown.sampled(node)
                tile = max(1024, used.size * (32 * N) // self._rows)
                kernels.add_windows(self._public.windows, rows.body, used, level.codes[part],
                                    places[number, part], tile, sums, body)  # fmt: skip

        _all(pool, add, range(0, level.columns.size, share))
        kernels.add_up(firsts, sums, body)
        summed = ((states & (ENDS | BUILT_EMPTY)) == ENDS) & ~last_ends(states)
        wanted = sent(states)[summed]
        if not wanted.all():
            sums, body = sums[wanted], body[wanted]
        self._channel.send(LABEL, f"{step}.state", states)
        self._randomise(sums, body, rows.key, pool)
        if body.size:
            self._channel.send(LABEL, f"{step}.sums", sums)
            self._channel.send(LABEL, f"{step}.sums.body", body)

    def _randomise(self, sums: U32, body: U32, key: U32, pool: ThreadPoolExecutor) -> None:
        share = max(1, -(-sums.shape[0] // self._workers))

        def work(number: int) -> None:
            part = slice(number * share, (number + 1) * share)
            self._zeros[number].apply(sums[part], body[part], key)

        _all(pool, work, range(self._workers))

    def _divide(
        self, tree: int, level: _Level, grown: Partition, decisions: NDArray[np.int64], step: str
    ) -> None:
        owners = decisions[:, 0]
        me = self._channel.role
        lefts: dict[int, Flags] = {}
        for node in grown.owned(owners, me):
            chosen, position, missing_left = (int(v) for v in decisions[node, 1:])
            if not (0 <= chosen < level.columns.size and 0 <= position < self._binned.positions):
                raise Fault(
                    "learn.split",
                    "the label holder asks for a split that was not offered",
                    where=step,
                )
            column = int(level.columns[chosen])
            self._owned.add(tree, column, position, bool(missing_left))
            lefts[node] = self._owned.lefts(column, position, bool(missing_left), grown.rows(node))
        exchange_directions(self._channel, self._roles, grown, owners, lefts, step)
        level.descend(owners)
        grown.split(owners, lefts)


class _Level:
    """What a feature holder keeps of the level above: rows per code, and where groups ended, of each node."""

    def __init__(self, columns: I64, binned: Binned) -> None:
        self.columns = columns  # those of this tree
        everything = columns.size == len(binned.names)
        self.codes = binned.codes if everything else binned.codes[columns]
        shape = (1, columns.size, binned.positions)
        self._counts = np.zeros(shape, np.int64)  # by node of this level, or of the parents
        self._ends = np.ones(shape, np.bool_)
        self._parents = np.zeros(1, np.int64)  # place of a node's parent in the two arrays

    def describe(self, grown: Partition, least: int) -> U8:
        """State bytes [pairs, columns, positions]; remembers the nodes' counts and ends for their children."""
        positions = self._counts.shape[-1]
        pairs = grown.pairs
        counts = np.zeros((grown.nodes, self.columns.size, positions), np.int64)
        ends = np.zeros(counts.shape, np.bool_)
        for node, sibling in pairs:
            counts[node] = rows_per_code(self.codes, grown.sampled(node), positions)
            if sibling is not None:
                counts[sibling] = self._counts[self._parents[node]] - counts[node]
        built = counts[[node for node, _ in pairs]]
        above = self._ends[self._parents[[node for node, _ in pairs]]]
        others = None if grown.level == 0 else counts[[s for _, s in pairs if s is not None]]
        states = grouped(built, others, above, least)
        for number, (node, sibling) in enumerate(pairs):
            for member in (node, sibling):
                if member is not None:
                    ends[member] = (states[number] & ENDS) > 0
        self._counts, self._ends = counts, ends
        return states

    def descend(self, owners: NDArray[np.int64]) -> None:
        """The next level's nodes are the children of the nodes that were split, two each."""
        self._parents = np.repeat(np.nonzero(owners != LEAF)[0], 2)


def rows_per_code(codes: U8, rows: I64, positions: int) -> I64:
    """[columns, positions]: how many of ``rows`` have each code."""
    counts = [np.bincount(code[rows], minlength=positions) for code in codes]
    return np.array(counts, np.int64).reshape(len(codes), positions)


def numbered(states: U8) -> tuple[I64, Flags]:
    """Which sum a code is added to [pairs, columns, positions] (-1: none), and which sums are a column's first.

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


def exchange_directions(
    channel: Channel, roles: int, grown: Partition, owners: NDArray[np.int64], lefts: dict[int, Flags],
    step: str,
) -> None:  # fmt: skip
    """Tell everybody which rows the own splits send left, and fill ``lefts`` with what the others tell."""
    mine = grown.owned(owners, channel.role)
    if mine:
        bits = packed([lefts[node] for node in mine])
        for other in range(roles):
            if other != channel.role:
                channel.send(other, f"{step}.directions", bits)
    for other in range(roles):
        nodes = grown.owned(owners, other)
        if other != channel.role and nodes:
            size = (grown.size_of(nodes) + 7) // 8
            bits = channel.receive(other, f"{step}.directions", _U1, (size,))
            lefts.update(unpacked(bits, grown, nodes))


def chosen_count(columns: int, share: float) -> int:
    """How many of a party's columns a tree sees."""
    return min(columns, max(1, round(columns * share)))


def _all(pool: ThreadPoolExecutor, work: Callable[[int], None], items: range) -> None:
    if len(items) == 1:
        work(items[0])
        return
    for done in [pool.submit(work, item) for item in items]:
        done.result()
