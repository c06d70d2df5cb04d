"""Boosting with masks: the label holder decrypts uniform words, three seats choose the splits on shares.

The parties' parts; the seats' is `choosing`. What differs from the open form: a feature holder adds a uniform mask
to every sum it returns and shares the masks, the label holder shares what it decrypts. Every column is asked for at
every position; how many rows stand where is told to nobody, only, on shares, where a split may be. A category
column is split one value against the others.

Roles of the channel: 0 the label holder, 1, ... feature holders, then the three seats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.engine.lattice import Encrypted, N, mask, noise_deviation
from hanse.engine.shares import SEATS
from hanse.errors import Foul
from hanse.gate.histograms import open_masked, read_splits
from hanse.learn.boosting.bins import I64, Flags, valid_splits
from hanse.learn.boosting.blocks import LabelBlock
from hanse.learn.boosting.choosing import FACTOR, LOW, PLACES, WAYS, WIDEST
from hanse.learn.boosting.elements import send_elements
from hanse.learn.boosting.features import LABEL, FeatureHolder, chosen_count
from hanse.learn.boosting.label import LabelHolder, Partner, _Round
from hanse.learn.boosting.partition import LEAF, Partition
from hanse.learn.boosting.splits import CATEGORY, WORDS, Candidate, best
from hanse.learn.boosting.sums import rows_per_code
from hanse.wire import Array, Channel

F64 = NDArray[np.float64]
_U4 = np.dtype("<u4")
_SMALLEST = float(1 << 17)  # of what numbers are scaled by, in units of the lattice: noise is 2**13
_MOST_L2, _MOST_THRESHOLD = float(1 << 40), float(1 << 40)


@dataclass
class _Seats:
    """The channel with the three seats as roles 0, 1, 2."""

    inner: Channel
    first: int
    role: int = -1

    def send(self, to: int, step: str, array: Array) -> None:
        self.inner.send(self.first + to, step, array)

    def receive(
        self, source: int, step: str, dtype: np.dtype[Any], shape: tuple[int, ...]
    ) -> Array:
        return self.inner.receive(self.first + source, step, dtype, shape)


def members_of(grown: Partition) -> list[int]:
    """Nodes that may be split, in the seats' order."""
    return [node for pair in grown.pairs for node in pair if node is not None]


class MaskedLabelHolder(LabelHolder):
    """The label holder's part; it learns whose columns split a node, and no sums."""

    _levels = 0  # of a tree that the seats have seen

    @property
    def _seats(self) -> _Seats:
        return _Seats(self._channel, len(self._partners) + 1)

    def train(self) -> LabelBlock:
        """The same, with the seats."""
        self._tell_seats("columns", np.array([self._width(p) for p in self._partners]))
        return super().train()

    def _tell(self, step: str, array: NDArray[np.generic]) -> None:
        super()._tell(step, array)
        if step.endswith(".go"):
            self._tell_seats(step, array)

    def _tell_seats(self, step: str, array: NDArray[Any]) -> None:
        for seat in range(SEATS):
            self._seats.send(seat, step, np.asarray(array, np.int64))

    def _kinds_told(self, round_: _Round, step: str) -> None:
        del round_, step  # nothing is told: a column's kind stays with its owner
        self._levels = 0

    def _width(self, partner: Partner) -> int:
        return chosen_count(partner.columns, self._settings.column_share)

    def _decided(self, round_: _Round, step: str) -> dict[int, Candidate]:
        if not round_.partners:
            return super()._decided(round_, step)
        grown = round_.grown
        self._tell_seats(f"{step}.size", np.array([len(grown.pairs)]))
        pairs = [(a, -1 if b is None else b, grown.parents[a]) for a, b in grown.pairs]
        self._tell_seats(f"{step}.pairs", np.array(pairs))
        mine = self._own_best(round_)
        for role, partner in enumerate(round_.partners, 1):
            self._hand_over(round_, role, partner, step)
        members = members_of(grown)
        constants = np.array([self._constants(round_, node) for node in members])
        own = np.array([self._fraction(round_, node, mine.get(node), row)
                        for node, row in zip(members, constants, strict=True)])  # fmt: skip
        send_elements(self._channel, self._seat_roles, f"{step}.nodes", constants, self._entropy)
        send_elements(self._channel, self._seat_roles, f"{step}.own", own, self._entropy)
        owners = read_splits(self._seats, len(members), step, "owner") - 1
        chosen: dict[int, Candidate] = {}
        for node, owner in zip(members, owners.tolist(), strict=True):
            if owner == 0:
                chosen[node] = mine[node]
            elif owner > 0:
                chosen[node] = Candidate(owner, 0.0, -1)
        self._levels = grown.step + 1
        return chosen

    def _closed(self, round_: _Round) -> None:
        if round_.partners:
            self._tell_seats(f"t{round_.tree}.s{self._levels}.size", np.zeros(1))

    @property
    def _seat_roles(self) -> list[int]:
        return [len(self._partners) + 1 + seat for seat in range(SEATS)]

    def _hand_over(self, round_: _Round, role: int, partner: Partner, step: str) -> None:
        """What was decrypted, to the seats."""
        if round_.secret is None:
            raise Foul(
                "learn.order", "sums arrived before any gradients were sent", where=partner.party
            )
        shape = (len(round_.grown.pairs), self._width(partner), self._settings.bins, 2)
        count = shape[0] * shape[1] * shape[2]
        sums = self._channel.receive(role, f"{step}.sums", _U4, (count, N))
        body = self._channel.receive(role, f"{step}.sums.body", _U4, (count, 2))
        opened = open_masked(self._record, round_.secret, sums, body, holder=partner.party,
                             to=self._rows.party, step=f"{step}.{partner.party}")  # fmt: skip
        seen = opened.astype(np.int64) + (1 << 31)
        send_elements(
            self._channel, self._seat_roles, f"{step}.{role - 1}.seen", seen, self._entropy
        )

    def _own_best(self, round_: _Round) -> dict[int, Candidate]:
        """The best split of each node by own columns."""
        kinds, found = self._kinds[round_.columns], {}
        for node, offer in self._own(round_).items():
            counts = round_.own_sums[node][..., 0]
            one = best(
                0, offer, kinds, round_.totals[node], round_.bounds[node], self._settings, counts
            )
            if one is not None:
                found[node] = one
        return found

    def _constants(self, round_: _Round, node: int) -> list[int]:
        """What the seats need of a node, see `choosing.CONSTANTS`."""
        slope, curve = (float(v) for v in round_.totals[node])
        scale_x, scale_h = (float(v) for v in round_.scales)
        used = round_.grown.sampled(node)
        size = max(float(np.abs(round_.numbers[0, used]).sum()) * scale_x, _SMALLEST)
        l2 = min(self._settings.l2 * scale_h, _MOST_L2)
        whole = max(curve * scale_h + 2 * l2, _SMALLEST)
        factor_x, factor_h = (round(2.0 ** (PLACES + FACTOR) / v) for v in (size, whole))
        noise = float(noise_deviation(used.size)) * np.sqrt(round_.grown.depths[node] + 1)
        blur = noise * factor_x / 2**FACTOR
        least = 3 * noise * factor_h / 2**FACTOR
        d = whole / scale_h
        alone = slope**2 / max(d - l2 / scale_h, 1e-300) - slope**2 / d
        wanted = d * (2 * self._settings.minimum_gain + alone)
        threshold = wanted / (size / scale_x) ** 2 * 2**PLACES
        total = slope * scale_x * factor_x / 2**FACTOR
        return [factor_x, factor_h, round(total), round(l2), round(blur**2),
                round(least) + 1, round(min(threshold, _MOST_THRESHOLD)) + 1]  # fmt: skip

    def _fraction(
        self, round_: _Round, node: int, one: Candidate | None, constants: NDArray[np.int64]
    ) -> list[int]:
        """(z**2, p (1 - p)) of the best own split, in the seats' units; below all others if there is none."""
        if one is None:
            return [-(1 << LOW), 1 << WIDEST]
        sums = round_.own_sums[node][one.column, :, 1:]
        if self._kinds[round_.columns[one.column]] == CATEGORY:
            left = np.array([one.mask >> c & 1 for c in range(len(sums))], np.bool_)
        else:
            left = np.arange(len(sums)) <= one.position
            left[0] = one.missing_left
        x, h = (float(v) for v in sums[left].sum(axis=0) * round_.scales)
        factor_x, factor_h, total, l2 = (float(v) for v in constants[:4])
        p = min(max((h + l2) * factor_h / 2**FACTOR, 1.0), 2.0**PLACES - 1)
        z = x * factor_x / 2**FACTOR - total * p / 2**PLACES
        return [round(z**2), max(1, round(p * (2**PLACES - p) / 2**PLACES))]


class MaskedFeatureHolder(FeatureHolder):
    """A feature holder's part; which of its columns are chosen it learns from the seats."""

    def _grow(self, tree: int, grown: Partition, rows: Encrypted) -> None:
        columns = self._shuffled()
        singles = self._kinds[columns] == CATEGORY
        counts: dict[int, I64] = {}
        while grown.pairs:
            step = f"t{tree}.s{grown.step}"
            self._sums_masked(columns, singles, counts, grown, rows, step)
            decisions = self._decisions(columns, singles, grown, step)
            if not self._divide(tree, columns, grown, decisions, step):
                return

    def _sums_masked(
        self, columns: I64, singles: Flags, counts: dict[int, I64], grown: Partition, rows: Encrypted,
        step: str,
    ) -> None:  # fmt: skip
        bins, codes = self._settings.bins, self._binned.codes[columns]
        used = [grown.sampled(node) for node, _ in grown.pairs]
        sums, body = self._adder.prefixes(
            rows, used, codes, bins, columns, singles, root=grown.step == 0
        )
        masks = mask(body, self._entropy)
        self._channel.send(LABEL, f"{step}.sums", sums)
        self._channel.send(LABEL, f"{step}.sums.body", body)
        for node, sibling in grown.pairs:
            counts[node] = rows_per_code(codes, grown.sampled(node), self._binned.positions)
            if sibling is not None:
                counts[sibling] = counts[grown.parents[node]] - counts[node]
        valid = np.array([self._valid(counts[node], singles) for node in members_of(grown)])
        seats = [self._roles + seat for seat in range(SEATS)]
        name = f"{step}.{self._channel.role - 1}"
        send_elements(self._channel, seats, f"{name}.masks", masks.astype(np.int64), self._entropy)
        send_elements(self._channel, seats, f"{name}.valid", valid, self._entropy)

    def _valid(self, counts: I64, singles: Flags) -> I64:
        """[columns, positions, ways]: 1 where a split leaves enough rows on both sides."""
        bins, least = self._settings.bins, self._settings.minimum_rows
        everywhere = np.ones(counts.shape, np.bool_)
        bits = valid_splits(counts, everywhere, everywhere[:, 0], least)[:, :bins]
        alone = (counts >= least) & (counts.sum(axis=1, keepdims=True) - counts >= least)
        bits = np.where(singles[:, None], alone[:, :bins], bits)
        return np.stack([bits >> way & 1 for way in range(WAYS)], axis=-1).astype(np.int64)

    def _decisions(
        self, columns: I64, singles: Flags, grown: Partition, step: str
    ) -> NDArray[np.int64]:
        """What the seats tell, as the label holder would have told it in the open."""
        members, me = members_of(grown), self._channel.role
        seats = _Seats(self._channel, self._roles)
        owners = read_splits(seats, len(members), step, "owner") - 1
        mine = np.flatnonzero(owners == me)
        places = (
            read_splits(seats, mine.size, step, "place") if mine.size else np.zeros(0, np.int64)
        )
        out = np.zeros((len(members), WORDS), np.int64)
        out[:, 0], out[:, 1] = members, np.where(owners < 0, LEAF, owners)
        shape = (columns.size, self._settings.bins, WAYS)
        for row, place in zip(mine, places.tolist(), strict=True):
            if not 0 <= place < int(np.prod(shape)):
                raise Foul("learn.split", "the seats name a split that was not offered", where=step)
            column, position, way = (int(v) for v in np.unravel_index(place, shape))
            out[row, 2:5] = column, position, way == 0
            if singles[column]:
                word, bit = divmod(position, 64)
                out[row, 5 + word] = np.uint64(1 << bit).astype(np.int64)
        # Splits are numbered in the order of nodes, by everybody alike.
        return out[np.argsort(out[:, 0])]
