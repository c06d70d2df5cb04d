"""Columns that stay with their holder: owners of counters boost over them and see none, nor are they seen.

    1. A tree starts: the owner encrypts the clipped residuals of its places, 0 for all others, under a fresh
       lattice secret (`hanse.engine.lattice`), and sends them.
    2. Each level: it says which places are in which node. The holder counts places per bin of its columns, adds
       ciphertexts up to each group of bins of at least `LEAST` places, adds an encryption of zero to each sum
       and returns counts and sums.
    3. The gate opens the sums to the owner that sent the residuals, and notes them. `Federation.sum` adds them
       over owners; the split follows.
    4. All owners name the split's column and bin; the holder checks that they name the same, and tells which places
       go right.

Reveals: to the holder nothing of residuals (RLWE; docs/decisions/0012) and which places are in which node; to the
owner counts per bin of unnamed columns, sums of its own residuals over groups of at least `LEAST` places (of which
some may be others'), and which places a split sends right. Other owners see none of this owner's messages.
A holder says nothing of nodes of fewer places, parts by offered splits only, and grows no more trees than agreed
(`Bounds`): an owner that asks otherwise would read its table place by place.
Source: SecureBoost (Cheng et al. 2021) for the division of labour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.engine import lattice_kernels as kernels
from hanse.engine.lattice import Encrypted, N, Public, Randomisers, Secret, encrypt, scales
from hanse.entropy import Entropy
from hanse.errors import Foul
from hanse.gate.histograms import open_histogram, require_open
from hanse.gate.record import Record
from hanse.places.crowd.trees import BINS, F64, I64, LEAST, U8, Flags, Open, add_up, group_ends
from hanse.wire import Channel

_U1, _U4, _I8 = np.dtype("u1"), np.dtype("<u4"), np.dtype("<i8")
_BEGIN, _COUNT, _SUMS, _RIGHT, _END = range(5)
_ALL = BINS + 1
MOST_COLUMNS = 64  # of one holder


@dataclass(frozen=True)
class Bounds:
    """How many trees all owners grow over a holder's columns in a job, and how many levels each has."""

    trees: int
    depth: int


class Hidden:
    """An owner's own view of its public columns and of what ``holders`` (name by role of ``channel``) keep."""

    def __init__(
        self, channel: Channel, holders: Sequence[tuple[int, str]], owner: str, public: U8, job: bytes,
        entropy: Entropy, record: Record,
    ) -> None:  # fmt: skip
        self._channel = channel
        self._holders = holders
        self._owner = owner
        self._open = Open(public)
        self._public = Public(job, public.shape[0])
        self._entropy = entropy
        self._record = record
        self._asked = dict.fromkeys((role for role, _ in holders), 0)
        self._secret: Secret | None = None
        self._scale = 1.0
        widths = [public.shape[1]]
        for role, name in holders:
            require_open(False, False, False, LEAST, name)
            width = int(channel.receive(role, "columns", _I8, (1,))[0])
            if not 1 <= width <= MOST_COLUMNS:
                raise Foul("crowd.columns", f"{name} says that its table makes {width} columns", where=name,
                           remedy=f"{name} must check its node: it brings 1 to {MOST_COLUMNS}")  # fmt: skip
            widths.append(width)
        self._first = np.concatenate([[0], np.cumsum(widths)]).astype(np.int64)
        self.width = int(self._first[-1])

    def begin(self, gradients: F64) -> None:
        """Encrypt and send; a secret serves one tree."""
        self._open.begin(gradients)
        self._scale = float(scales(np.abs(gradients).sum(keepdims=True))[0])
        whole = np.rint(gradients * self._scale).astype(np.int64)[None]
        self._secret, rows = encrypt(self._public, whole, self._entropy)
        for role, _ in self._holders:
            step = self._ask(role, _BEGIN)
            self._channel.send(role, f"{step}.body", rows.body)
            self._channel.send(role, f"{step}.key", rows.key)

    def counts(self, nodes: I64, count: int, columns: I64) -> I64:
        """See `Columns`."""
        out = np.zeros((count, columns.size, _ALL), np.int64)
        mine = self._of(columns, 0)
        out[:, mine] = self._open.counts(nodes, count, columns[mine])
        whole = np.bincount(nodes[nodes >= 0], minlength=count)[:, None]
        for number, (role, name) in enumerate(self._holders, 1):
            part = self._of(columns, number)
            if not part.any():
                continue
            step = self._ask(role, _COUNT)
            self._channel.send(role, f"{step}.nodes", nodes)
            self._channel.send(role, f"{step}.shape", np.array([count, part.sum()], np.int64))
            self._channel.send(role, f"{step}.columns", columns[part] - self._first[number])
            shape = (count, int(part.sum()), _ALL)
            told = self._channel.receive(role, f"{step}.counts", _I8, shape)
            if ((told < 0) | (told > len(nodes))).any() or (
                told.sum(axis=2) != np.where(whole < LEAST, 0, whole)
            ).any():
                raise Foul("crowd.bins", f"{name} counts other places than there are in the nodes", where=name,
                           remedy=f"{name} must check its node")  # fmt: skip
            out[:, part] = told
        return out

    def sums(self, nodes: I64, ends: Flags, columns: I64) -> F64:
        """See `Columns`; the holder knows nodes and columns from `counts`, which came before."""
        out = np.zeros(ends.shape)
        mine = self._of(columns, 0)
        out[:, mine] = self._open.sums(nodes, ends[:, mine], columns[mine])
        for number, (role, name) in enumerate(self._holders, 1):
            part = self._of(columns, number)
            wanted = ends[:, part]
            if not wanted.any():
                continue
            step = self._ask(role, _SUMS)
            size = int(wanted.sum())
            sums = self._channel.receive(role, f"{step}.sums", _U4, (size, N))
            body = self._channel.receive(role, f"{step}.body", _U4, (size, 1))
            table = np.zeros(wanted.shape)
            table[wanted] = self._opened(sums, body, name, step) / self._scale
            out[:, part] = table
        return out

    def right(self, column: int, last: int) -> Flags:
        """See `Columns`."""
        number = int(np.searchsorted(self._first, column, side="right")) - 1
        if number == 0:
            return self._open.right(column, last)
        role, _ = self._holders[number - 1]
        step = self._ask(role, _RIGHT)
        self._channel.send(
            role, f"{step}.split", np.array([column - self._first[number], last], np.int64)
        )
        places = self._public.rows
        bits = self._channel.receive(role, f"{step}.right", _U1, ((places + 7) // 8,))
        return np.unpackbits(bits, count=places).astype(np.bool_)

    def end(self) -> None:
        """Let the holders go."""
        for role, _ in self._holders:
            self._ask(role, _END)

    def _opened(
        self, sums: NDArray[np.uint32], body: NDArray[np.uint32], holder: str, step: str
    ) -> F64:
        if self._secret is None:
            raise Foul("crowd.order", "sums arrived before any residuals were sent", where=holder)
        opened = open_histogram(self._record, self._secret, sums, body, personal=False, holder=holder,
                                to=self._owner, minimum_rows=LEAST, step=step)  # fmt: skip
        return np.asarray(opened[:, 0], np.float64)

    def _of(self, columns: I64, number: int) -> Flags:
        return np.asarray((columns >= self._first[number]) & (columns < self._first[number + 1]))

    def _ask(self, role: int, what: int) -> str:
        step = f"ask.{self._asked[role]}"
        self._asked[role] += 1
        self._channel.send(role, step, np.array([what], np.int64))
        return step


class Holder:
    """A holder of columns ``codes`` uint8 [places, columns] that serves the ``owners`` (roles) until all end.

    `Foul` ``crowd.asked`` for more than ``bounds``, ``crowd.nodes`` or ``crowd.split`` for what is not there.
    """

    def __init__(
        self, channel: Channel, owners: Sequence[int], codes: U8, job: bytes, entropy: Entropy, bounds: Bounds
    ) -> None:  # fmt: skip
        self._channel = channel
        self._owners = list(owners)
        self._codes = codes
        self._rows = np.ascontiguousarray(codes.T)
        self._public = Public(job, codes.shape[0])
        self._zeros = Randomisers(self._public, entropy)
        self._asked = 0
        self._bounds = bounds
        self._begun: dict[int, int] = {}  # trees, by owner
        self._seen: dict[int, list[int]] = {}  # of the owner's tree: how often each kind was asked
        self._encrypted: dict[int, Encrypted] = {}
        self._nodes: dict[int, tuple[I64, Flags, I64]] = {}

    def serve(self) -> None:
        """Owners ask in the same order; each round is served for all of them before the next."""
        for role in self._owners:
            self._channel.send(role, "columns", np.array([self._codes.shape[1]], np.int64))
        while self._owners:
            said = []
            for role in list(self._owners):
                step = f"ask.{self._asked}"
                what = int(self._channel.receive(role, step, _I8, (1,))[0])
                said.append((what, self._answer(role, what, step)))
                if what == _END:
                    self._owners.remove(role)
            self._asked += 1
            if len({(what, told) for what, told in said}) > 1:
                raise Foul("crowd.disagree", "owners of counters ask for different splits",
                           remedy="let all owners run the same job with the same version")  # fmt: skip

    def _answer(self, role: int, what: int, step: str) -> bytes:
        """Serve one ask; what must be equal at all owners."""
        self._require_few(role, what)
        if what == _BEGIN:
            places = self._codes.shape[0]
            body = self._channel.receive(role, f"{step}.body", _U4, (1, places))
            key = self._channel.receive(role, f"{step}.key", _U4, (1, N))
            self._encrypted[role] = Encrypted(body, key)
        elif what == _COUNT:
            return self._count(role, step)
        elif what == _SUMS:
            self._sums(role, step)
        elif what == _RIGHT:
            split = self._channel.receive(role, f"{step}.split", _I8, (2,))
            column, last = self._split(role, split)
            self._channel.send(role, f"{step}.right", np.packbits(self._codes[:, column] > last))
            return split.tobytes()
        return b""

    def _require_few(self, role: int, what: int) -> None:
        """As many trees, levels and splits as were agreed on, in their order."""
        if what == _BEGIN:
            self._begun[role] = self._begun.get(role, 0) + 1
            self._seen[role] = [0] * (_END + 1)
            self._nodes.pop(role, None)
            if self._begun[role] > self._bounds.trees:
                raise _too_much()
            return
        if what == _END:
            return
        seen = self._seen.get(role)
        if seen is None or not _BEGIN <= what < _END:
            raise _too_much()
        seen[what] += 1
        nodes = (1 << self._bounds.depth) - 1
        most = {_COUNT: self._bounds.depth, _SUMS: seen[_COUNT], _RIGHT: nodes}
        if seen[what] > most[what] or (what != _COUNT and role not in self._nodes):
            raise _too_much()

    def _split(self, role: int, split: I64) -> tuple[int, int]:
        """A column and a bin that end a group of places in some node of the last count."""
        column, last = int(split[0]), int(split[1])
        _, ends, columns = self._nodes[role]
        if not 0 <= last < _ALL or not ends[:, columns == column, last].any():
            raise Foul("crowd.split", "an owner asks for a split that was not offered")
        return column, last

    def _count(self, role: int, step: str) -> bytes:
        nodes = self._channel.receive(role, f"{step}.nodes", _I8, (self._codes.shape[0],))
        count, width = (int(v) for v in self._channel.receive(role, f"{step}.shape", _I8, (2,)))
        offered = self._codes.shape[1]
        fine = 1 <= width <= offered and 1 <= count <= 1 << (self._bounds.depth - 1)
        if not fine or nodes.max(initial=-1) >= count or nodes.min(initial=-1) < -1:
            raise _no_nodes()
        columns = self._channel.receive(role, f"{step}.columns", _I8, (width,))
        if columns[0] < 0 or columns[-1] >= offered or (np.diff(columns) <= 0).any():
            raise _no_nodes()
        counts = np.rint(add_up(self._codes, nodes, np.ones(len(nodes)), columns, count)).astype(
            np.int64
        )
        counts[counts.sum(axis=2).min(axis=1) < LEAST] = 0
        self._nodes[role] = (nodes, group_ends(counts), columns)
        self._channel.send(role, f"{step}.counts", counts)
        return nodes.tobytes() + columns.tobytes()

    def _sums(self, role: int, step: str) -> None:
        """Running sums of this owner's ciphertexts up to each group's end, each with its own encryption of zero."""
        nodes, ends, columns = self._nodes[role]
        encrypted = self._encrypted[role]
        size = int(ends.sum())
        sums, body = np.zeros((size, N), np.uint32), np.zeros((size, 1), np.uint32)
        first = 0
        codes = np.ascontiguousarray(self._rows[columns])
        for node in range(len(ends)):
            groups, heads = _groups(ends[node])
            used = np.nonzero(nodes == node)[0]
            part = slice(first, first + heads.size)
            kernels.add_windows(self._public.windows, encrypted.body, used, codes, groups, max(used.size, 1024),
                                sums[part], body[part])  # fmt: skip
            kernels.add_up(heads, sums[part], body[part])
            first += heads.size
        self._zeros.apply(sums, body, encrypted.key)
        self._channel.send(role, f"{step}.sums", sums)
        self._channel.send(role, f"{step}.body", body)


def _no_nodes() -> Foul:
    return Foul("crowd.nodes", "an owner asks for nodes or columns that are not there")


def _too_much() -> Foul:
    return Foul("crowd.asked", "an owner asks for more of a table than the trees of a training need",
                remedy="let all owners run the same job with the same version; nothing more was told")  # fmt: skip


def _groups(ends: Flags) -> tuple[I64, Flags]:
    """(which sum each bin is added to [columns, bins], -1 beyond the last end; which sums are a column's first)."""
    number = np.full(ends.shape, -1, np.int64)
    flat = np.zeros(ends.shape, np.int64)
    flat[ends] = np.arange(int(ends.sum()))
    following = np.full(len(ends), -1, np.int64)
    for position in range(ends.shape[1] - 1, -1, -1):
        following = np.where(ends[:, position], flat[:, position], following)
        number[:, position] = following
    before = np.cumsum(ends, axis=1)
    return number, np.asarray((before == 1)[ends])
