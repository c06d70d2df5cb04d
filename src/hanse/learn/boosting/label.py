"""The label holder's part of boosting: gradients out (encrypted), sums in (through the gate), the choice of splits.

It learns sums of its own gradients per group of bins of unnamed columns, over at least ``minimum_rows`` rows
each, and the partition of rows by every split. docs/claims/lattice.md says what that gives away.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hanse.engine.lattice import N, Public, Secret, encrypt, noise_deviation, scales
from hanse.entropy import Entropy
from hanse.errors import Foul
from hanse.gate.histograms import open_histogram
from hanse.gate.record import Record
from hanse.learn.boosting.bins import Flags, bin_columns, valid_splits
from hanse.learn.boosting.blocks import LabelBlock, Node, Owned
from hanse.learn.boosting.features import chosen_count, exchange_directions, kinds_of
from hanse.learn.boosting.kernels import add_rows
from hanse.learn.boosting.losses import Loss
from hanse.learn.boosting.partition import Partition
from hanse.learn.boosting.rows import Rows
from hanse.learn.boosting.settings import Settings
from hanse.learn.boosting.splits import (
    CATEGORY,
    NO_BOUNDS,
    Candidate,
    Offer,
    best,
    decision,
    left_sum,
    offers,
    sent,
    weight,
)
from hanse.wire import Channel

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
_U1, _U4 = np.dtype("u1"), np.dtype("<u4")
SURE = 12.0  # deviations of the noise of sums: beyond, other rows were added up


@dataclass(frozen=True)
class Partner:
    """A feature holder as the label holder knows it."""

    party: str
    columns: int
    personal: bool
    authorised: bool


@dataclass
class History:
    """Mean loss after each tree: on the rows that were learned from, and on those held out."""

    training: list[float] = field(default_factory=list)
    holdout: list[float] = field(default_factory=list)
    kept: int = 0


class LabelHolder:
    """Labels ``y`` and weights [rows] and own columns during training; partners are roles 1, 2, ..."""

    def __init__(
        self, channel: Channel, partners: list[Partner], rows: Rows, y: F64, weights: F64,
        settings: Settings, public: Public | None, entropy: Entropy, record: Record,
    ) -> None:  # fmt: skip
        self._channel = channel
        self._partners = partners
        self._rows = rows
        self._settings = settings
        self._public = public
        self._entropy = entropy
        self._record = record
        self._y = y
        self._weights = weights
        self._loss = Loss(settings.loss, settings.classes)
        self._binned = bin_columns(rows.columns, settings.bins, y.size, rows.party)
        self._kinds = kinds_of(rows, self._binned)
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
        start = self._loss.start(self._y[learned], self._weights[learned])
        score = np.repeat(start[:, None], self._y.size, axis=1)
        trees: list[tuple[Node, ...]] = []
        while len(trees) < self._settings.trees and not self._enough():
            trees.append(self._tree(len(trees), score, learned))
            self.history.training.append(self._average(score, learned))
            if held.any():
                self.history.holdout.append(self._average(score, held))
        kept = int(np.argmin(self.history.holdout)) + 1 if self._settings.patience else len(trees)
        self.history.kept = kept
        self._end(trees, kept)
        parties = (self._rows.party, *(p.party for p in self._partners))
        own = self._owned.block(kept, self._gains(trees[:kept], 0))
        return LabelBlock(own, self._settings.loss, self._settings.classes, tuple(start.tolist()),
                          tuple(trees[:kept]), parties)  # fmt: skip

    def _average(self, score: F64, rows: Flags) -> float:
        return self._loss.average(self._y[rows], score[:, rows], self._weights[rows])

    def _enough(self) -> bool:
        losses, patience = self.history.holdout, self._settings.patience
        return bool(patience) and len(losses) - 1 - int(np.argmin(losses or [0])) >= patience

    def _end(self, trees: list[tuple[Node, ...]], kept: int) -> None:
        last = max(len(trees), self._settings.own_trees)
        self._tell(f"t{last}.go", np.zeros(1, np.int64))
        self._tell("kept", np.array([kept], np.int64))
        if self._settings.tell_gains:
            for role in range(1, len(self._partners) + 1):
                gains = np.array(self._gains(trees[:kept], role), np.float64)
                if gains.size:
                    self._channel.send(role, "gains", gains.view(np.int64))  # the wire has integers

    def _gains(self, trees: list[tuple[Node, ...]], owner: int) -> list[float]:
        nodes = [node for tree in trees for node in tree if node.owner == owner]
        return [node.gain for node in sorted(nodes, key=lambda node: node.number)]

    def _tell(self, step: str, array: NDArray[np.generic]) -> None:
        for role in range(1, len(self._partners) + 1):
            self._channel.send(role, step, array)

    # --- one tree -----------------------------------------------------------------------------------

    def _tree(self, tree: int, score: F64, learned: Flags) -> tuple[Node, ...]:
        """Grow one tree; adds its leaf values to ``score`` in place."""
        settings = self._settings
        sampled = learned & (self._chance.random(learned.size) < settings.row_share)
        numbers = self._loss.gradients(self._y, score, self._weights)
        partners = self._partners if tree >= settings.own_trees else []
        grown = Partition(sampled, settings.minimum_rows, settings.depth)
        round_ = _Round(
            tree, numbers, np.ascontiguousarray(numbers.T), grown, self._chosen(), partners
        )
        if partners:
            self._send(round_, sampled)
        while grown.pairs or settings.growth == "leaf":
            if not self._step(round_):
                break
        self._closed(round_)
        return self._written(round_, score)

    def _closed(self, round_: _Round) -> None:
        """A tree is grown."""

    def _send(self, round_: _Round, sampled: Flags) -> None:
        """What a tree's partners start from: which rows, and their encrypted numbers."""
        if self._public is None:
            raise Foul("learn.order", "a training without partners encrypts nothing")
        numbers, step = round_.numbers, f"t{round_.tree}"
        round_.scales = scales(np.abs(numbers[:, sampled]).sum(axis=1))
        scaled = numbers * round_.scales[:, None]
        whole = np.rint(scaled).astype(np.int64)
        round_.rounding = np.abs(scaled - whole)[:, sampled].sum(axis=1) / round_.scales
        whole[:, ~sampled] = 0
        round_.secret, rows = encrypt(self._public, whole, self._entropy)
        self._tell(f"{step}.go", np.full(1, -1, np.int64))
        self._tell(f"{step}.rows", np.packbits(sampled))
        self._tell(f"{step}.body", rows.body)
        self._tell(f"{step}.key", rows.key)
        self._kinds_told(round_, step)

    def _kinds_told(self, round_: _Round, step: str) -> None:
        """What the partners say of their columns."""
        for role, partner in enumerate(round_.partners, 1):
            shape = (chosen_count(partner.columns, self._settings.column_share),)
            kinds = self._channel.receive(role, f"{step}.kinds", _U1, shape).astype(np.int8) - 1
            if kinds.max(initial=0) > CATEGORY or (
                self._settings.classes and np.isin(kinds, (-1, 1)).any()
            ):
                raise Foul("learn.kinds", f"{partner.party} declares columns of no known kind",
                           where=f"party {partner.party}")  # fmt: skip
            round_.kinds.append(kinds)

    def _chosen(self) -> I64:
        columns = len(self._binned.names)
        count = chosen_count(columns, self._settings.column_share)
        return np.sort(self._chance.permutation(columns)[:count])

    def _step(self, round_: _Round) -> bool:
        """Look at the fresh nodes, split some; False if none is split."""
        grown = round_.grown
        step = f"t{round_.tree}.s{grown.step}"
        for node in grown.fresh:
            round_.totals[node] = round_.numbers[:, grown.sampled(node)].sum(axis=1)
            round_.bounds.setdefault(node, NO_BOUNDS)
        chosen = self._decided(round_, step)
        owners = {node: candidate.owner for node, candidate in sorted(chosen.items())}
        lefts: dict[int, Flags] = {}
        for node, candidate in sorted(chosen.items()):
            if candidate.owner == 0:
                column = int(round_.columns[candidate.column])
                split = column, candidate.position, candidate.missing_left, candidate.mask
                self._owned.add(round_.tree, *split)
                lefts[node] = self._owned.lefts(*split, grown.rows(node))
        roles = len(round_.partners) + 1
        exchange_directions(self._channel, roles, grown, owners, lefts, step)
        if not chosen:
            return False
        self._compare(round_, chosen, lefts)
        grown.split(lefts)
        self._note(round_, chosen)
        return True

    def _compare(
        self, round_: _Round, chosen: dict[int, Candidate], lefts: dict[int, Flags]
    ) -> None:
        """`Foul` ``learn.directions`` where a partner sends other rows left than its sums were of."""
        for node, candidate in chosen.items():
            given = round_.offers.get(candidate.owner, {}).get(node)
            if given is None:  # own columns, or sums that nobody reads
                continue
            rows = round_.grown.sampled_left(node, lefts[node])
            offered, deviation = left_sum(given, candidate)
            apart = np.abs(round_.numbers[:, rows].sum(axis=1) - offered)
            if (apart > SURE * deviation + round_.rounding).any():
                party = round_.partners[candidate.owner - 1].party
                raise Foul("learn.directions", f"{party} sends other rows left than its sums were of",
                           where=f"party {party}",
                           remedy=f"{party} must check its node; then the job can be asked again")  # fmt: skip

    def _decided(self, round_: _Round, step: str) -> dict[int, Candidate]:
        """Which nodes are split now, and by what; told to the partners."""
        if round_.grown.pairs:
            self._look(round_, step)
        chosen = self._splits_now(round_)
        level = self._settings.growth == "level"
        slots = round_.grown.fresh if level else [next(iter(chosen), -1)]
        for role in range(1, len(round_.partners) + 1):
            rows = [decision(node, chosen.get(node)) for node in slots]
            told = np.array(rows, np.int64)
            told[told[:, 1] != role, 2:] = 0  # which column and position is its owner's business
            self._channel.send(role, f"{step}.splits", told)
        return chosen

    def _splits_now(self, round_: _Round) -> dict[int, Candidate]:
        """Level-wise: every fresh node that gains; leaf-wise: the open leaf that gains most, up to ``leaves``."""
        found = round_.candidates
        if self._settings.growth == "level":
            return {node: found[node] for node in round_.grown.fresh if node in found}
        open_ = [node for node in round_.grown.nodes if node in found]
        if not open_ or len(round_.grown.nodes) >= self._settings.leaves:
            return {}
        top = max(open_, key=lambda node: found[node].gain)
        return {top: found[top]}

    # --- what the nodes may be split by -------------------------------------------------------------

    def _look(self, round_: _Round, step: str) -> None:
        """Find the best split of each fresh node."""
        given: list[dict[int, Offer]] = [self._own(round_)]
        kinds = [self._kinds[round_.columns], *round_.kinds]
        given += self._others(round_, step)
        for node, sibling in round_.grown.pairs:
            for member in (node, sibling):
                if member is None:
                    continue
                found = [
                    best(owner, offer[member], kinds[owner], round_.totals[member],
                         round_.bounds[member], self._settings,
                         round_.own_sums[member][..., 0] if owner == 0 else None)
                    for owner, offer in enumerate(given)
                ]  # fmt: skip
                real = [candidate for candidate in found if candidate is not None]
                if real:
                    round_.candidates[member] = max(real, key=lambda c: c.gain)

    def _own(self, round_: _Round) -> dict[int, Offer]:
        """Offers of the label holder's own columns; the sibling's sums are the parent's less the summed node's."""
        codes = self._binned.codes[round_.columns]
        shape = (codes.shape[0], self._binned.positions, 1 + len(round_.numbers))
        found = {}
        for node, sibling in round_.grown.pairs:
            sums = np.zeros(shape)
            add_rows(codes, round_.grown.sampled(node), round_.by_row, sums)
            round_.own_sums[node] = sums
            if sibling is not None:
                parent = round_.own_sums[round_.grown.parents[node]]
                round_.own_sums[sibling] = np.where(
                    parent[..., :1] == sums[..., :1], 0.0, parent - sums
                )
            for member in (node, sibling):
                if member is not None:
                    found[member] = self._own_offer(round_.own_sums[member])
        return found

    def _own_offer(self, sums: F64) -> Offer:
        counts = np.rint(sums[..., 0]).astype(np.int64)
        everywhere = np.ones(counts.shape, np.bool_)
        valid = valid_splits(counts, counts > 0, everywhere[:, 0], self._settings.minimum_rows)
        prefix = np.ascontiguousarray(sums[..., 1:].cumsum(axis=1))
        return Offer(prefix, everywhere, counts > 0, valid, np.zeros(prefix.shape[-1]))

    def _others(self, round_: _Round, step: str) -> list[dict[int, Offer]]:
        pairs, out = round_.grown.pairs, []
        for role, partner in enumerate(round_.partners, 1):
            columns = round_.kinds[role - 1].size
            shape = (len(pairs), columns, self._settings.bins + 1)
            state = self._channel.receive(role, f"{step}.state", _U1, shape)
            known = round_.offers.setdefault(role, {})
            above = np.zeros((*shape, len(round_.numbers)))
            for number, (node, _) in enumerate(pairs):
                if node:
                    above[number] = known[round_.grown.parents[node]].prefix
            sums = self._opened(round_, role, partner, int(np.count_nonzero(sent(state))), step)
            members = [m for pair in pairs for m in pair if m is not None]
            noise = noise_deviation(sum(round_.grown.sampled(n).size for n in members))
            deep = max(round_.grown.depths[m] for m in members)
            deviation = float(noise) * np.sqrt(deep + 1) / round_.scales
            found = offers(state, sums, above, round_.totals, pairs, deviation)
            known.update(found)
            out.append(found)
        return out

    def _opened(self, round_: _Round, role: int, partner: Partner, count: int, step: str) -> F64:
        if count == 0:
            return np.zeros((0, len(round_.numbers)))
        if round_.secret is None:
            raise Foul(
                "learn.order", "sums arrived before any gradients were sent", where=partner.party
            )
        sums = self._channel.receive(role, f"{step}.sums", _U4, (count, N))
        body = self._channel.receive(role, f"{step}.sums.body", _U4, (count, len(round_.numbers)))
        own = self._rows
        opened = open_histogram(
            self._record, round_.secret, sums, body, personal=own.personal or partner.personal,
            holder=partner.party, to=own.party, minimum_rows=self._settings.minimum_rows,
            step=f"{step}.{partner.party}",
        )  # fmt: skip
        return np.asarray(opened / round_.scales)

    # --- what becomes of it -------------------------------------------------------------------------

    def _note(self, round_: _Round, chosen: dict[int, Candidate]) -> None:
        """The splits of a step: numbers, gains, children, and the bounds that a monotone column sets them."""
        children = iter(round_.grown.fresh)
        for node, candidate in sorted(chosen.items()):
            left, right = next(children), next(children)
            owner = candidate.owner
            round_.nodes[node] = Node(owner, self._counts[owner], left, right, (), candidate.gain)
            self._counts[owner] += 1
            low, high = round_.bounds[node]
            middle = sum(candidate.weights) / 2
            inner = {0: ((low, high), (low, high)), 1: ((low, middle), (middle, high)),
                     -1: ((middle, high), (low, middle))}  # fmt: skip
            round_.bounds[left], round_.bounds[right] = inner[candidate.sign]

    def _written(self, round_: _Round, score: F64) -> tuple[Node, ...]:
        """The tree's nodes; leaf values onto the scores of their rows."""
        classes, settings = self._loss.outputs, self._settings
        for node in round_.grown.nodes:
            total = round_.totals.get(node)
            if total is None:
                total = round_.numbers[:, round_.grown.sampled(node)].sum(axis=1)
            bounds = round_.bounds.get(node, NO_BOUNDS)
            values = [
                settings.learning_rate * weight(total[[k, classes + k]], settings.l2, bounds)
                for k in range(classes)
            ]
            round_.nodes[node] = Node(values=tuple(values))
            score[:, round_.grown.rows(node)] += np.array(values)[:, None]
        return tuple(round_.nodes[number] for number in range(len(round_.grown.depths)))


@dataclass
class _Round:
    """One tree while it grows; dictionaries are by node."""

    tree: int
    numbers: F64  # [outputs, rows] gradients, then curvatures
    by_row: F64  # the same, [rows, outputs]
    grown: Partition
    columns: I64  # own columns of this tree
    partners: list[Partner]
    scales: F64 = field(default_factory=lambda: np.zeros(0))  # [outputs]
    rounding: F64 = field(default_factory=lambda: np.zeros(0))  # of all numbers together, at most
    secret: Secret | None = None
    kinds: list[NDArray[np.int8]] = field(default_factory=list)  # of the partners' columns
    totals: dict[int, F64] = field(default_factory=dict)
    bounds: dict[int, tuple[float, float]] = field(default_factory=dict)
    own_sums: dict[int, F64] = field(default_factory=dict)
    offers: dict[int, dict[int, Offer]] = field(default_factory=dict)  # by role, then node
    candidates: dict[int, Candidate] = field(default_factory=dict)
    nodes: dict[int, Node] = field(default_factory=dict)
