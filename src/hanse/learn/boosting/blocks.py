"""The blocks of a model: what each party keeps for itself, as plain values for its store.

A feature holder's `Block` has its splits by the opaque numbers under which trees name them. The label holder's
`LabelBlock` has the trees' shape, gains and leaf values, and its own splits. Nobody can score alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Fault
from hanse.learn.boosting.bins import (
    U8,
    Binned,
    Categories,
    Flags,
    checked,
    checked_texts,
    goes_left,
    is_text,
)
from hanse.learn.boosting.kernels import walk
from hanse.learn.boosting.losses import Loss, LossName
from hanse.learn.boosting.rows import Rows

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
FORM = "boosting"
VERSION = 1


@dataclass(frozen=True)
class Split:
    """A split as its owner knows it; nobody else has the column, the threshold or the codes.

    ``codes`` are those that go left, of a category column (see `Categories`); ``gain`` is NaN unless the label
    holder told it.
    """

    tree: int
    column: str
    threshold: float
    missing_left: bool
    codes: tuple[int, ...] | None = None
    gain: float = math.nan


@dataclass(frozen=True)
class Block:
    """A party's own part of a model."""

    party: str
    splits: tuple[Split, ...]
    columns: tuple[str, ...]  # that were trained with, in order
    categories: Mapping[str, Categories] = field(default_factory=dict)

    def directions(self, rows: Rows, part: slice = slice(None)) -> U8:
        """[splits, ceil(rows / 8)] bits: what each split says of each row (of ``part`` of the rows)."""
        size = len(range(*part.indices(len(rows.keys))))
        out = np.zeros((len(self.splits), (size + 7) // 8), np.uint8)
        known: dict[str, NDArray[Any]] = {}
        for number, split in enumerate(self.splits):
            if split.column not in known:
                known[split.column] = self._values(rows, split.column, part)
            values = known[split.column]
            if split.codes is not None:
                left = np.isin(values, split.codes)
            else:
                left = goes_left(values, split.threshold, split.missing_left)
            out[number] = np.packbits(left)
        return out

    def _values(self, rows: Rows, column: str, part: slice) -> NDArray[Any]:
        """Numbers, or codes of a category column, of a part of the rows."""
        where = f"{rows.party}.{column}"
        if column not in rows.columns:
            raise Fault("learn.column", "a column that the model uses is missing", where=where,
                        remedy="score with the columns that were trained with")  # fmt: skip
        raw = np.asarray(rows.columns[column])
        if raw.shape != (len(rows.keys),):
            raise Fault("learn.column", f"a column has shape {raw.shape}, not ({len(rows.keys)},)", where=where,
                        remedy="give every column one value for each key")  # fmt: skip
        raw = raw[part]
        size = raw.size
        if column in self.categories:
            return self.categories[column].codes(checked_texts(raw, size, where))
        if is_text(raw):
            raise Fault("learn.column", "a column that was trained as numbers holds texts", where=where,
                        remedy="score with columns of the types that were trained with")  # fmt: skip
        return checked(raw, size, where)

    def importance(self) -> dict[str, float]:
        """Own columns' shares of this party's splits, by gain where it was told, else by number; largest first."""
        told = not any(math.isnan(s.gain) for s in self.splits)
        found = dict.fromkeys(self.columns, 0.0)
        for split in self.splits:
            found[split.column] += split.gain if told else 1.0
        whole = sum(found.values()) or 1.0
        return {n: v / whole for n, v in sorted(found.items(), key=lambda pair: -pair[1])}

    def body(self) -> dict[str, Any]:
        """Plain values for JSON; minus infinity and NaN are null."""
        return {
            "form": FORM, "version": VERSION, "role": "features", "party": self.party,
            "columns": list(self.columns),
            "categories": {n: {"values": list(c.values), "pooled": c.pooled}
                           for n, c in self.categories.items()},
            "splits": [
                {"tree": s.tree, "column": s.column, "missing_left": s.missing_left,
                 "threshold": s.threshold if math.isfinite(s.threshold) else None,
                 "codes": None if s.codes is None else list(s.codes),
                 "gain": s.gain if math.isfinite(s.gain) else None}
                for s in self.splits
            ],
        }  # fmt: skip

    @staticmethod
    def from_body(body: Mapping[str, Any]) -> Block:
        """The inverse of `body`; `Fault` ``model.damaged`` for anything else."""
        try:
            _require_form(body, "features")
            splits = tuple(
                Split(int(s["tree"]), str(s["column"]),
                      _number(s["threshold"], -math.inf if s["codes"] is None else math.nan),
                      bool(s["missing_left"]),
                      None if s["codes"] is None else tuple(map(int, s["codes"])),
                      _number(s["gain"], math.nan))
                for s in body["splits"]
            )  # fmt: skip
            columns = tuple(map(str, body["columns"]))
            known = {
                str(n): Categories(tuple(map(str, c["values"])), bool(c["pooled"]))
                for n, c in body["categories"].items()
            }
            if not {s.column for s in splits} <= set(columns):
                raise ValueError("a split of an unknown column")
            return Block(str(body["party"]), splits, columns, known)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _damaged() from error


@dataclass(frozen=True)
class Node:
    """A split of a tree: whose, under which number; children are numbers of the tree's nodes. Or a leaf."""

    owner: int = -1  # 0: label holder, 1..: feature holders, -1: a leaf
    number: int = -1
    left: int = -1
    right: int = -1
    values: tuple[float, ...] = ()  # of a leaf, one for each output
    gain: float = 0.0


@dataclass(frozen=True)
class LabelBlock:
    """The label holder's part: the trees' shape, gains and leaf values, and its own splits."""

    own: Block
    loss: LossName
    classes: int
    start: tuple[float, ...]
    trees: tuple[tuple[Node, ...], ...]
    parties: tuple[str, ...]  # label holder first

    def split_counts(self) -> list[int]:
        """How many splits each party holds."""
        counts = [0] * len(self.parties)
        for node in self._splits():
            counts[node.owner] += 1
        return counts

    def _splits(self) -> list[Node]:
        return [node for tree in self.trees for node in tree if node.owner >= 0]

    def importance(self) -> dict[str, float]:
        """Each party's share of the model's gain: whose columns matter, not which."""
        gains = [0.0] * len(self.parties)
        for node in self._splits():
            gains[node.owner] += node.gain
        whole = sum(gains) or 1.0
        return {p: g / whole for p, g in zip(self.parties, gains, strict=True)}

    def scores(self, directions: Sequence[U8], rows: int) -> F64:
        """Scores [outputs, rows] on the linear scale, from the bits [splits, ceil(rows / 8)] of every party."""
        first = np.cumsum([0, *(len(d) for d in directions)])
        shapes: list[tuple[int, int, int]] = []
        values, roots = [], []
        for tree in self.trees:
            base = len(shapes)
            roots.append(base)
            for node in tree:
                at = int(first[node.owner]) + node.number if node.owner >= 0 else -1
                shapes.append((at, base + node.left, base + node.right))
                values.append(node.values or (0.0,) * len(self.start))
        out = np.repeat(np.array(self.start)[:, None], rows, axis=1)
        if roots:
            bits = np.concatenate([np.ascontiguousarray(d) for d in directions])
            walk(np.array(roots), np.array(shapes), np.array(values), bits, out)
        return out

    def predict(self, directions: Sequence[U8], rows: int) -> F64:
        """Expected labels [rows], of several classes probabilities [rows, classes]."""
        return Loss(self.loss, self.classes).mean(self.scores(directions, rows))

    def body(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "form": FORM, "version": VERSION, "role": "label", "loss": self.loss,
            "classes": self.classes, "start": list(self.start), "parties": list(self.parties),
            "own": self.own.body(),
            "trees": [
                [[n.owner, n.number, n.left, n.right, list(n.values), n.gain] for n in tree]
                for tree in self.trees
            ],
        }  # fmt: skip

    @staticmethod
    def from_body(body: Mapping[str, Any]) -> LabelBlock:
        """The inverse of `body`; `Fault` ``model.damaged`` for anything else, also for trees that lead nowhere."""
        try:
            _require_form(body, "label")
            trees = tuple(
                tuple(
                    Node(int(o), int(k), int(a), int(b), tuple(map(float, v)), float(g))
                    for o, k, a, b, v, g in tree
                )
                for tree in body["trees"]
            )
            start = tuple(map(float, body["start"]))
            parties = tuple(map(str, body["parties"]))
            for tree in trees:
                _require_sound(tree, len(parties), len(start))
            own = Block.from_body(body["own"])
            if body["loss"] not in ("squared", "logistic", "multinomial", "poisson"):
                raise ValueError("an unknown loss")
            return LabelBlock(own, body["loss"], int(body["classes"]), start, trees, parties)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _damaged() from error


def _require_sound(tree: Sequence[Node], parties: int, outputs: int) -> None:
    """Children come after their node, so no walk can go round; leaves have all their values."""
    for number, node in enumerate(tree):
        leaf = node.owner == -1
        inside = number < node.left < len(tree) and number < node.right < len(tree)
        if leaf and len(node.values) != outputs:
            raise ValueError("a leaf without its values")
        if not leaf and not (0 <= node.owner < parties and node.number >= 0 and inside):
            raise ValueError("a split that leads nowhere")
    if not tree:
        raise ValueError("a tree without a root")


def _require_form(body: Mapping[str, Any], role: str) -> None:
    if (body["form"], body["version"], body["role"]) != (FORM, VERSION, role):
        raise ValueError("another form")


def _number(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else float(value)


def _damaged() -> Fault:
    return Fault("model.damaged", "a part of a boosted model cannot be read",
                 remedy="train the model again; if it was copied, copy it again")  # fmt: skip


@dataclass
class Owned:
    """Splits as their owner collects them while trees grow."""

    party: str
    binned: Binned
    splits: list[Split] = field(default_factory=list)

    def add(self, tree: int, column: int, position: int, missing_left: bool, mask: int) -> None:
        """Note a split of the owner's column ``column`` after ``position``, or of the codes in ``mask``."""
        name = self.binned.names[column]
        if column in self.binned.categories:
            codes = tuple(c for c in range(self.binned.used(column)) if mask >> c & 1)
            self.splits.append(Split(tree, name, math.nan, bool(mask & 1), codes))
        else:
            threshold = self.binned.threshold(column, position)
            self.splits.append(Split(tree, name, threshold, missing_left))

    def lefts(self, column: int, position: int, missing_left: bool, mask: int, rows: I64) -> Flags:
        """Which of ``rows`` go left, by code."""
        size = self.binned.positions
        if column in self.binned.categories:
            table = np.array([mask >> c & 1 for c in range(size)], np.bool_)
        else:
            table = np.arange(size) <= position
            table[0] = missing_left
        return np.asarray(table[self.binned.codes[column, rows]])

    def block(self, trees: int, gains: Sequence[float] | None = None) -> Block:
        """The splits of the first ``trees`` trees."""
        kept = [s for s in self.splits if s.tree < trees]
        if gains is not None:
            kept = [
                Split(s.tree, s.column, s.threshold, s.missing_left, s.codes, float(g))
                for s, g in zip(kept, gains, strict=True)
            ]
        categories = {self.binned.names[k]: c for k, c in self.binned.categories.items()}
        return Block(self.party, tuple(kept), self.binned.names, categories)
