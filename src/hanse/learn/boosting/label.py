"""The label holder's part of boosting: gradients out (encrypted), sums in (through the gate), the choice of splits.

It learns sums of its own gradients per group of bins of unnamed columns, over at least ``minimum_rows`` rows
each, and the partition of rows by every split. docs/claims/lattice.md says what that gives away.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hanse.engine.lattice import Encrypted, N, Public, Secret, encrypt, noise_deviation, scales
from hanse.entropy import Entropy
from hanse.errors import Foul
from hanse.gate.histograms import open_histogram
from hanse.gate.record import Record
from hanse.learn.boosting.bins import Flags, bin_columns, valid_splits
from hanse.learn.boosting.features import OUTPUTS, chosen_count, exchange_directions
from hanse.learn.boosting.kernels import add_rows
from hanse.learn.boosting.losses import Loss
from hanse.learn.boosting.model import Block, LabelBlock, Node, Owned, Rows, Settings
from hanse.learn.boosting.partition import LEAF, Partition
from hanse.learn.boosting.splits import Offer, best, offer, sent
from hanse.wire import Channel

F64 = NDArray[np.float64]
_U1, _U4 = np.dtype("u1"), np.dtype("<u4")


@dataclass(frozen=True)
class Partner:
    """A feature holder as the label holder knows it."""

    party: str
    columns: int
    personal: bool


@dataclass
class History:
    """Mean loss after each tree: on the rows that were learned from, and on those held out."""

    training: list[float] = field(default_factory=list)
    holdout: list[float] = field(default_factory=list)
    kept: int = 0


class LabelHolder:
    """Labels ``y`` [rows] and own columns during training; partners are roles 1, 2, ..."""

    def __init__(
        self, channel: Channel, partners: list[Partner], rows: Rows, y: F64, settings: Settings,
        public: Public | None, entropy: Entropy, record: Record,
    ) -> None:  # fmt: skip
        self._channel = channel
        self._partners = partners
        self._party = rows.party
        self._personal = rows.personal
        self._settings = settings
        self._public = public
        self._entropy = entropy
        self._record = record
        self._y = y
        self._loss = Loss(settings.loss)
        self._binned = bin_columns(rows.columns, settings.bins, y.size, rows.party)
        self._owned = Owned(rows.party, self._binned)
        self._chance = np.random.Generator(
            np.random.Philox(key=int.from_bytes(entropy.take(16), "little"))
        )
        self._counts = [0] * (len(partners) + 1)  # splits so far, by owner
        self.history = History()

    def train(self) -> LabelBlock:
        """Grow trees until their number or the holdout's loss says stop; this party's part of the model."""
        held = self._chance.random(self._y.size) < self._settings.holdout
        learned = ~held
        start = self._loss.start(self._y[learned])
        score = np.full(self._y.size, start)
        trees: list[tuple[Node, ...]] = []
        while len(trees) < self._settings.trees and not self._enough():
            trees.append(self._tree(len(trees), score, learned))
            self.history.training.append(self._loss.average(self._y[learned], score[learned]))
            if held.any():
                self.history.holdout.append(self._loss.average(self._y[held], score[held]))
        kept = int(np.argmin(self.history.holdout)) + 1 if self._settings.patience else len(trees)
        self.history.kept = kept
        self._tell(f"t{len(trees)}.go", np.zeros(1, np.int64))
        self._tell("kept", np.array([kept], np.int64))
        parties = (self._party, *(p.party for p in self._partners))
        own: Block = self._owned.block(kept)
        return LabelBlock(own, self._settings.loss, start, tuple(trees[:kept]), parties)

    def _enough(self) -> bool:
        losses, patience = self.history.holdout, self._settings.patience
        return bool(patience) and len(losses) - 1 - int(np.argmin(losses or [0])) >= patience

    def _tell(self, step: str, array: NDArray[np.generic]) -> None:
        for role in range(1, len(self._partners) + 1):
            self._channel.send(role, step, array)

    def _tree(self, tree: int, score: F64, learned: Flags) -> tuple[Node, ...]:
        """Grow one tree; adds its leaf values to ``score`` in place."""
        sampled = learned & (self._chance.random(learned.size) < self._settings.row_share)
        numbers = self._loss.gradients(self._y, score)
        round_ = _Round(tree, numbers, scales(np.abs(numbers[:, sampled]).sum(axis=1)))
        self._tell(f"t{tree}.go", np.full(1, -1, np.int64))
        if self._public is not None:
            whole = np.rint(numbers * round_.scales[:, None]).astype(np.int64)
            whole[:, ~sampled] = 0
            round_.secret, rows = encrypt(self._public, whole, self._entropy)
            self._send(tree, sampled, rows)
        grown = Partition(sampled, self._settings.minimum_rows)
        while grown.nodes:
            self._level(round_, grown, score)
        return tuple(round_.nodes)

    def _send(self, tree: int, sampled: Flags, rows: Encrypted) -> None:
        self._tell(f"t{tree}.rows", np.packbits(sampled))
        self._tell(f"t{tree}.body", rows.body)
        self._tell(f"t{tree}.key", rows.key)

    def _level(self, round_: _Round, grown: Partition, score: F64) -> None:
        """Split or close every node of a level."""
        step = f"t{round_.tree}.l{grown.level}"
        totals = np.array(
            [round_.numbers[:, grown.sampled(n)].sum(axis=1) for n in range(grown.nodes)]
        )
        choice = np.full((grown.nodes, 4), LEAF, np.int64)
        if grown.level < self._settings.depth and grown.pairs:
            if grown.level == 0:
                round_.columns = self._chosen()
            offers = [self._own(round_, grown), *self._others(round_, grown, step)]
            choice = best(offers, totals, self._settings.l2, self._settings.minimum_gain)
        for role in range(1, len(self._partners) + 1):
            told = choice.copy()
            told[choice[:, 0] != role, 1:] = 0  # which column and position is its owner's business
            self._channel.send(role, f"{step}.splits", told)
        lefts: dict[int, Flags] = {}
        for node in grown.owned(choice[:, 0], 0):
            column, position, missing_left = (int(v) for v in choice[node, 1:])
            column = int(round_.columns[column])
            self._owned.add(round_.tree, column, position, bool(missing_left))
            lefts[node] = self._owned.lefts(column, position, bool(missing_left), grown.rows(node))
        exchange_directions(
            self._channel, len(self._partners) + 1, grown, choice[:, 0], lefts, step
        )
        self._write(round_, grown, choice[:, 0], totals, score)
        grown.split(choice[:, 0], lefts)

    def _chosen(self) -> NDArray[np.int64]:
        columns = len(self._binned.names)
        count = chosen_count(columns, self._settings.column_share)
        return np.sort(self._chance.permutation(columns)[:count])

    def _own(self, round_: _Round, grown: Partition) -> Offer:
        codes = self._binned.codes[round_.columns]
        shape = (grown.nodes, codes.shape[0], self._binned.positions)
        sums = np.zeros((*shape, 3))
        for pair in grown.pairs:
            for node in pair:
                if node is not None:
                    add_rows(codes, grown.sampled(node), round_.numbers, sums[node])
        counts = np.rint(sums[..., 0]).astype(np.int64)
        free = np.ones(shape[:2], np.bool_)
        valid = valid_splits(counts, counts > 0, free, self._settings.minimum_rows)
        return Offer(sums[..., 1:].cumsum(axis=2), free, valid, np.zeros(2))

    def _others(self, round_: _Round, grown: Partition, step: str) -> list[Offer]:
        pairs, out = grown.pairs, []
        parents = round_.parents[[node for node, _ in pairs]]
        for role, partner in enumerate(self._partners, 1):
            columns = chosen_count(partner.columns, self._settings.column_share)
            shape = (len(pairs), columns, self._settings.bins + 1)
            state = self._channel.receive(role, f"{step}.state", _U1, shape)
            above = np.zeros((*shape, 2))
            if grown.level > 0:
                above = round_.offers[role - 1].prefix[parents]
            sums = self._opened(round_, role, partner, int(np.count_nonzero(sent(state))), step)
            noise = noise_deviation(sum(grown.sampled(n).size for n in range(grown.nodes)))
            deviation = float(noise) * np.sqrt(grown.level + 1) / round_.scales
            out.append(offer(state, sums, above, pairs, grown.nodes, deviation))
        round_.offers = out
        return out

    def _opened(self, round_: _Round, role: int, partner: Partner, count: int, step: str) -> F64:
        if count == 0:
            return np.zeros((0, OUTPUTS))
        if round_.secret is None:
            raise Foul(
                "learn.order", "sums arrived before any gradients were sent", where=partner.party
            )
        sums = self._channel.receive(role, f"{step}.sums", _U4, (count, N))
        body = self._channel.receive(role, f"{step}.sums.body", _U4, (count, OUTPUTS))
        opened = open_histogram(
            self._record, round_.secret, sums, body, personal=self._personal or partner.personal,
            holder=partner.party, to=self._party, minimum_rows=self._settings.minimum_rows,
            step=f"{step}.{partner.party}",
        )  # fmt: skip
        return np.asarray(opened / round_.scales)

    def _write(
        self, round_: _Round, grown: Partition, owners: NDArray[np.int64], totals: F64, score: F64
    ) -> None:
        """Nodes of this level into the tree; leaf values onto the scores of their rows."""
        following: list[int] = []
        for node in range(grown.nodes):
            place = round_.places[node]
            owner = int(owners[node])
            if owner == LEAF:
                slope, curve = totals[node]
                value = -self._settings.learning_rate * slope / (curve + self._settings.l2 + 1e-12)
                round_.nodes[place] = Node(value=float(value))
                score[grown.rows(node)] += value
                continue
            left = len(round_.nodes)
            round_.nodes += [Node(), Node()]
            following += [left, left + 1]
            round_.nodes[place] = Node(owner, self._counts[owner], left, left + 1)
            self._counts[owner] += 1
        round_.places = following
        round_.parents = np.repeat(np.nonzero(owners != LEAF)[0], 2)


@dataclass
class _Round:
    """One tree while it grows."""

    tree: int
    numbers: F64  # [2, rows] gradients and curvatures
    scales: F64  # [2]
    secret: Secret | None = None
    columns: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    offers: list[Offer] = field(default_factory=list)  # of the partners, at the level above
    nodes: list[Node] = field(default_factory=lambda: [Node()])
    places: list[int] = field(default_factory=lambda: [0])  # in ``nodes``, of this level's nodes
    parents: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))
