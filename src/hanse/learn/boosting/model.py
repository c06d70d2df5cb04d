"""What is asked of boosting, what goes in, and the blocks of a model that each party keeps for itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Fault
from hanse.learn.boosting.bins import Binned, Flags, checked, goes_left
from hanse.learn.boosting.losses import Loss, LossName
from hanse.wire import digest

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
MAXIMUM_DEPTH = 10
LEAST_ROWS = 20  # nobody may ask for smaller groups


@dataclass(frozen=True)
class Settings:
    """How to boost; the same at all parties (they compare digests before anything else)."""

    loss: LossName = "logistic"
    trees: int = 100
    depth: int = 5
    bins: int = 32
    learning_rate: float = 0.1
    l2: float = 1.0
    minimum_gain: float = 0.0
    minimum_rows: int = LEAST_ROWS  # of a leaf, and of every group whose sum the label holder reads
    row_share: float = 1.0  # of the rows, drawn anew for each tree
    column_share: float = 1.0  # of each party's columns, drawn anew by each party for each tree
    holdout: float = 0.0  # share of the rows that stop training early
    patience: int = 0  # trees without a better loss on the holdout before training stops; 0: never

    def __post_init__(self) -> None:
        ranges = {
            "trees": (1, 10_000), "depth": (1, MAXIMUM_DEPTH), "bins": (2, 254),
            "learning_rate": (1e-6, 10), "l2": (0, 1e9), "minimum_gain": (0, 1e9),
            "minimum_rows": (LEAST_ROWS, 1 << 30), "row_share": (0.01, 1), "column_share": (0.01, 1),
            "holdout": (0, 0.9), "patience": (0, 10_000),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise Fault(
                    "learn.settings", f"{name} must be {low} to {high}", where=f"settings.{name}"
                )
        if self.loss not in ("squared", "logistic", "poisson"):
            raise Fault(
                "learn.settings", "loss must be squared, logistic or poisson", where="settings.loss"
            )
        if self.patience and not self.holdout:
            raise Fault("learn.settings", "patience needs rows to judge by", where="settings.patience",
                        remedy="give holdout a share, 0.2 for instance")  # fmt: skip

    def digest(self) -> bytes:
        """32 bytes that parties compare."""
        return bytes.fromhex(digest(asdict(self)))


@dataclass(frozen=True)
class Rows:
    """One party's rows: ``keys`` in the order all parties agreed on, and columns with a value a key, NaN for
    missing.

    ``personal`` must be said: rows about people are refused here.
    """

    party: str
    keys: Sequence[Any] | NDArray[Any]
    columns: Mapping[str, NDArray[Any]]
    personal: bool

    def keys_digest(self) -> bytes:
        """SHA-256 over the keys in order."""
        return hashlib.sha256("\x1f".join(map(str, self.keys)).encode()).digest()


@dataclass(frozen=True)
class Split:
    """A split as its owner knows it. Nobody else has the column or the threshold."""

    tree: int
    column: str
    threshold: float
    missing_left: bool

    def left(self, values: F64) -> Flags:
        """Which rows go left."""
        return goes_left(values, self.threshold, self.missing_left)


@dataclass(frozen=True)
class Block:
    """A party's own part of a model: its splits, by the opaque numbers under which trees name them."""

    party: str
    splits: tuple[Split, ...]
    columns: tuple[str, ...]  # that were trained with, in order

    def directions(self, rows: Rows) -> NDArray[np.bool_]:
        """[splits, rows]: what each split says of each row."""
        out = np.zeros((len(self.splits), len(rows.keys)), np.bool_)
        known: dict[str, F64] = {}
        for number, split in enumerate(self.splits):
            if split.column not in rows.columns:
                raise Fault("learn.column", "a column that the model uses is missing",
                            where=f"{rows.party}.{split.column}",
                            remedy="score with the columns that were trained with")  # fmt: skip
            if split.column not in known:
                where = f"{rows.party}.{split.column}"
                known[split.column] = checked(rows.columns[split.column], len(rows.keys), where)
            out[number] = split.left(known[split.column])
        return out


@dataclass(frozen=True)
class Node:
    """A split of a tree: whose, under which number; children are numbers of the tree's nodes."""

    owner: int = -1  # 0: label holder, 1..: feature holders, -1: a leaf
    number: int = -1
    left: int = -1
    right: int = -1
    value: float = 0.0


@dataclass(frozen=True)
class LabelBlock:
    """The label holder's part: the trees' shape and leaf values, and its own splits."""

    own: Block
    loss: LossName
    start: float
    trees: tuple[tuple[Node, ...], ...]
    parties: tuple[str, ...]  # label holder first

    def split_counts(self) -> list[int]:
        """How many splits each party holds."""
        counts = [0] * len(self.parties)
        for tree in self.trees:
            for node in tree:
                if node.owner >= 0:
                    counts[node.owner] += 1
        return counts

    def scores(self, directions: list[NDArray[np.bool_]]) -> F64:
        """Scores on the linear scale from directions [splits, rows] of every party."""
        rows = directions[0].shape[1]
        total = np.full(rows, self.start)
        for tree in self.trees:
            at = {0: np.arange(rows)}
            while at:
                number, here = at.popitem()
                node = tree[number]
                if node.owner < 0:
                    total[here] += node.value
                    continue
                left = directions[node.owner][node.number, here]
                at[node.left], at[node.right] = here[left], here[~left]
        return total

    def predict(self, directions: list[NDArray[np.bool_]]) -> F64:
        """Expected labels."""
        return Loss(self.loss).mean(self.scores(directions))


@dataclass
class Owned:
    """Splits as their owner collects them while trees grow."""

    party: str
    binned: Binned
    splits: list[Split] = field(default_factory=list)

    def add(self, tree: int, column: int, position: int, missing_left: bool) -> Split:
        """Note a split of the owner's column ``column`` after ``position``."""
        threshold = self.binned.threshold(column, position)
        self.splits.append(Split(tree, self.binned.names[column], threshold, missing_left))
        return self.splits[-1]

    def lefts(self, column: int, position: int, missing_left: bool, rows: I64) -> Flags:
        """Which of ``rows`` go left, by code."""
        code = self.binned.codes[column, rows]
        return np.asarray(np.where(code == 0, missing_left, code <= position))

    def block(self, trees: int) -> Block:
        """The splits of the first ``trees`` trees."""
        kept = tuple(s for s in self.splits if s.tree < trees)
        return Block(self.party, kept, self.binned.names)
