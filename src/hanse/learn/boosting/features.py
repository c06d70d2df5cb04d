"""A feature holder's part of boosting: sums of encrypted gradients, and directions of its own splits.

It sees ciphertexts, which rows a tree samples, and the partition of rows by every split; never a gradient,
label or leaf value. Its columns stand in another order in every tree, so that a place in its list tells nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hanse.engine.lattice import Encrypted, N, Public
from hanse.entropy import Entropy
from hanse.errors import Foul
from hanse.learn.boosting.bins import ENDS, I64, U8, Binned, Flags, bin_columns, grouped
from hanse.learn.boosting.blocks import Block, Owned
from hanse.learn.boosting.partition import LEAF, Partition, packed, unpacked
from hanse.learn.boosting.rows import Rows
from hanse.learn.boosting.settings import Settings
from hanse.learn.boosting.splits import CATEGORY, WORDS, mask_of
from hanse.learn.boosting.sums import Adder, rows_per_code
from hanse.wire import Channel

LABEL = 0  # the label holder's role
_U1, _U4, _I8 = (np.dtype(t) for t in ("u1", "<u4", "<i8"))


class FeatureHolder:
    """One party's columns during training. ``workers`` threads add and re-randomise."""

    def __init__(
        self, channel: Channel, roles: int, rows: Rows, settings: Settings, public: Public,
        entropy: Entropy, workers: int = 2,
    ) -> None:  # fmt: skip
        self._channel = channel
        self._entropy = entropy
        self._roles = roles
        self._rows = len(rows.keys)
        self._settings = settings
        self._binned = bin_columns(rows.columns, settings.bins, self._rows, rows.party)
        self._kinds = kinds_of(rows, self._binned)
        self._owned = Owned(rows.party, self._binned)
        self._adder = Adder(public, entropy, workers)
        # Which columns a tree sees, and in which order, is this party's secret.
        self._choice = np.random.Generator(
            np.random.Philox(key=int.from_bytes(entropy.take(16), "little"))
        )

    def train(self) -> Block:
        """Take part until the label holder ends it; this party's splits."""
        try:
            tree = self._settings.own_trees
            while self._channel.receive(LABEL, f"t{tree}.go", _I8, (1,))[0] < 0:
                self._tree(tree)
                tree += 1
        finally:
            self._adder.close()
        kept = int(self._channel.receive(LABEL, "kept", _I8, (1,))[0])
        gains = None
        if self._settings.tell_gains:
            count = sum(split.tree < kept for split in self._owned.splits)
            words = (
                self._channel.receive(LABEL, "gains", _I8, (count,))
                if count
                else np.zeros(0, np.int64)
            )
            gains = words.view(np.float64).tolist()
        return self._owned.block(kept, gains)

    def _tree(self, tree: int) -> None:
        receive, outputs = self._channel.receive, self._settings.outputs
        bits = receive(LABEL, f"t{tree}.rows", _U1, ((self._rows + 7) // 8,))
        sampled = np.unpackbits(bits, count=self._rows).astype(np.bool_)
        body = receive(LABEL, f"t{tree}.body", _U4, (outputs, self._rows))
        key = receive(LABEL, f"t{tree}.key", _U4, (outputs, N))
        rows = Encrypted(body, key)
        grown = Partition(sampled, self._settings.minimum_rows, self._settings.depth)
        self._grow(tree, grown, rows)

    def _grow(self, tree: int, grown: Partition, rows: Encrypted) -> None:
        """Step by step, until nothing is split."""
        columns = self._shuffled()
        self._channel.send(LABEL, f"t{tree}.kinds", (self._kinds[columns] + 1).astype(np.uint8))
        seen = _Seen(columns, self._binned)
        while grown.pairs or self._settings.growth == "leaf":
            step = f"t{tree}.s{grown.step}"
            if grown.pairs:
                self._sums(seen, grown, rows, step)
            slots = len(grown.fresh) if self._settings.growth == "level" else 1
            decisions = self._channel.receive(LABEL, f"{step}.splits", _I8, (slots, WORDS))
            if not self._divide(tree, columns, grown, decisions, step):
                return

    def _shuffled(self) -> I64:
        count = chosen_count(len(self._binned.names), self._settings.column_share)
        return np.asarray(self._choice.permutation(len(self._binned.names))[:count])

    def _sums(self, seen: _Seen, grown: Partition, rows: Encrypted, step: str) -> None:
        states = seen.describe(grown, self._settings.minimum_rows)
        self._channel.send(LABEL, f"{step}.state", states)
        used = [grown.sampled(node) for node, _ in grown.pairs]
        sums, bodies = self._adder.returned(
            rows, used, seen.codes, states, seen.columns, root=grown.step == 0
        )
        if bodies.size:
            self._channel.send(LABEL, f"{step}.sums", sums)
            self._channel.send(LABEL, f"{step}.sums.body", bodies)

    def _divide(
        self, tree: int, columns: I64, grown: Partition, decisions: NDArray[np.int64], step: str
    ) -> bool:
        """Carry out the splits of a step; False if there are none."""
        lefts: dict[int, Flags] = {}
        for row in decisions[decisions[:, 1] == self._channel.role]:
            node, _, chosen, position, missing_left = (int(v) for v in row[:5])
            if not (node in grown.nodes and 0 <= chosen < columns.size
                    and 0 <= position < self._binned.positions):  # fmt: skip
                raise _not_offered(step)
            column, mask = int(columns[chosen]), mask_of(row)
            split = column, position, bool(missing_left), mask
            lefts[node] = self._owned.lefts(*split, grown.rows(node))
            used = int(self._owned.lefts(*split, grown.sampled(node)).sum())
            if min(used, grown.sampled(node).size - used) < self._settings.minimum_rows:
                raise _not_offered(step)
            self._owned.add(tree, *split)
        owners = owners_of(decisions)
        exchange_directions(self._channel, self._roles, grown, owners, lefts, step)
        if lefts:
            grown.split(lefts)
        return bool(lefts)


def _not_offered(step: str) -> Foul:
    return Foul("learn.split", "the label holder asks for a split that was not offered", where=step,
                remedy="the label holder must check its node")  # fmt: skip


class _Seen:
    """What a feature holder keeps of the nodes that may be split: rows per code, and where groups end."""

    def __init__(self, columns: I64, binned: Binned) -> None:
        self.columns = columns  # those of this tree, in its order
        self.codes = binned.codes[columns]
        self._positions = binned.positions
        self._counts: dict[int, I64] = {}  # [columns, positions] by node
        self._ends: dict[int, Flags] = {}

    def describe(self, grown: Partition, least: int) -> U8:
        """State bytes [pairs, columns, positions]; remembers counts and ends for the nodes' children."""
        shape = (len(grown.pairs), self.columns.size, self._positions)
        built = np.zeros(shape, np.int64)
        others = None if grown.step == 0 else np.zeros(shape, np.int64)
        above = np.ones(shape, np.bool_)
        for number, (node, sibling) in enumerate(grown.pairs):
            built[number] = rows_per_code(self.codes, grown.sampled(node), self._positions)
            if sibling is not None and others is not None:
                parent = grown.parents[node]
                others[number] = self._counts[parent] - built[number]
                above[number] = self._ends[parent]
        states = grouped(built, others, above, least)
        for number, (node, sibling) in enumerate(grown.pairs):
            self._counts[node] = built[number]
            self._ends[node] = ends = (states[number] & ENDS) > 0
            if sibling is not None and others is not None:
                self._counts[sibling], self._ends[sibling] = others[number], ends
        return states


def kinds_of(rows: Rows, binned: Binned) -> NDArray[np.int8]:
    """What the label holder must know of each column: category, or numeric and how it may go."""
    kinds = [
        CATEGORY if number in binned.categories else rows.sign_of(name)
        for number, name in enumerate(binned.names)
    ]
    return np.array(kinds, np.int8)


def owners_of(decisions: NDArray[np.int64]) -> dict[int, int]:
    """Owner of each node that is split."""
    return {int(row[0]): int(row[1]) for row in decisions if row[1] != LEAF}


def exchange_directions(
    channel: Channel, roles: int, grown: Partition, owners: dict[int, int], lefts: dict[int, Flags],
    step: str,
) -> None:  # fmt: skip
    """Tell everybody which rows the own splits send left, and fill ``lefts`` with what the others tell."""
    for node, owner in owners.items():
        if not (0 <= owner < roles and node in grown.nodes):
            raise _not_offered(step)
    mine = sorted(node for node, owner in owners.items() if owner == channel.role)
    if mine:
        bits = packed([lefts[node] for node in mine])
        for other in range(roles):
            if other != channel.role:
                channel.send(other, f"{step}.directions", bits)
    for other in range(roles):
        nodes = sorted(node for node, owner in owners.items() if owner == other)
        if other != channel.role and nodes:
            size = (grown.size_of(nodes) + 7) // 8
            bits = channel.receive(other, f"{step}.directions", _U1, (size,))
            lefts.update(unpacked(bits, grown, nodes))


def chosen_count(columns: int, share: float) -> int:
    """How many of a party's columns a tree sees."""
    return min(columns, max(1, round(columns * share)))
