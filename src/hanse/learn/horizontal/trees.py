"""Gradient boosting over rows at several parties: summed histograms, the same trees at everybody.

1. Bins: pooled counts of each column's values by order of magnitude (256 steps a sign), then finer counts where the
   wanted quantiles fall: the same edges at all parties, exact to a 32nd of a step.
2. Each level of a tree: every party sums gradients, curvatures and rows of its own rows by node, column and
   bin; the
   secure sum opens; everybody computes the same splits. Of two siblings the smaller is summed, the other is the
   rest.
3. Leaf values come from the same sums. A pooled holdout loss ends training early.
Reveals: to all parties those histograms over all contributors' rows, exact; the trees. A bin may hold few rows:
counts of the pooled rows are not suppressed. Source: Ke et al. 2017 (histograms); Chen and Guestrin 2016 (gains).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Refusal
from hanse.learn.horizontal.home import Rows, Scaling
from hanse.learn.horizontal.kinds import F64, Kind
from hanse.learn.horizontal.quantiles import edges_of
from hanse.learn.horizontal.rounds import Progress, pooled_loss
from hanse.learn.horizontal.sums import Summing

I64 = NDArray[np.int64]
LEAST_ROWS = 20  # nobody may ask for smaller leaves
_FIGURES = 3  # gradient, curvature, rows
_LOG_ROOM = 64.0


@dataclass(frozen=True)
class Boosting:
    """How to boost."""

    trees: int = 50
    depth: int = 4
    bins: int = 32
    rate: float = 0.1
    l2: float = 1.0
    minimum_gain: float = 0.0
    minimum_rows: int = LEAST_ROWS
    patience: int = 10

    def check(self) -> None:
        """`Refusal` where a setting is out of range."""
        for name, low, high in (
            ("trees", 1, 10_000), ("depth", 1, 10), ("bins", 2, 254), ("rate", 1e-6, 10), ("l2", 0, 1e9),
            ("minimum_gain", 0, 1e9), ("minimum_rows", LEAST_ROWS, 1 << 30), ("patience", 1, 10_000),
        ):  # fmt: skip
            if not low <= getattr(self, name) <= high:
                raise Refusal(
                    "learn.settings", f"{name} must be {low} to {high}", remedy="correct it"
                )


@dataclass(frozen=True)
class Tree:
    """Nodes in level order; a leaf's column is -1. Codes up to ``position`` go left, and missing (0) if so."""

    column: I64
    position: I64
    missing_left: NDArray[np.bool_]
    left: I64
    value: F64

    def leaves(self, codes: NDArray[np.uint8]) -> I64:
        """The leaf of each row of codes [columns, rows]."""
        at = np.zeros(codes.shape[1], np.int64)
        rows = np.arange(codes.shape[1])
        while True:
            inner = self.column[at] >= 0
            if not inner.any():
                return at
            nodes = at[inner]
            code = codes[self.column[nodes], rows[inner]]
            goes = np.where(code == 0, self.missing_left[nodes], code <= self.position[nodes])
            at[inner] = self.left[nodes] + np.where(goes, 0, 1)


@dataclass
class Trees:
    """A boosted model over columns in the model's units (NaN for missing is allowed here)."""

    kind: Kind
    edges: tuple[F64, ...]
    start: float
    trees: list[Tree] = field(default_factory=list)

    def codes(self, x: F64) -> NDArray[np.uint8]:
        """[columns, rows]: 0 for missing, else 1 + how many edges lie below the value."""
        out = np.zeros((len(self.edges), x.shape[0]), np.uint8)
        for number, edges in enumerate(self.edges):
            values = x[:, number]
            out[number] = np.where(
                np.isnan(values), 0, np.searchsorted(edges, values, side="left") + 1
            )
        return out

    def predictor(self, x: F64) -> F64:
        codes = self.codes(x)
        out = np.full(x.shape[0], self.start)
        for tree in self.trees:
            out += tree.value[tree.leaves(codes)]
        return out


class _Given:
    """Scores that are there already, as a model for `pooled_loss`."""

    def __init__(self, kind: Kind, scores: F64) -> None:
        self.kind = kind
        self._scores = scores

    def predictor(self, x: F64) -> F64:
        del x
        return self._scores


def boosted(
    party: Summing, learn: Rows, held: Rows, scaling: Scaling, how: Boosting
) -> tuple[Trees, Progress]:  # fmt: skip
    """Boost together; (the common model, what it was like)."""
    how.check()
    kind = scaling.kind
    if kind.outputs > 1:
        raise Refusal("learn.method", "summed histograms are for one predictor a row",
                      remedy="train one model for each class, or average networks")  # fmt: skip
    edges = edges_of(party, learn.x, how.bins, scaling.total)
    seen = Progress()
    model = Trees(kind, edges, _first(party, learn, scaling))
    codes, judged = model.codes(learn.x), model.codes(held.x)
    scores, others = np.full(learn.count, model.start), np.full(held.count, model.start)
    best = float("inf")
    for number in range(how.trees):
        tree = _grown(
            party, codes, kind.slopes(scores, learn.y), scaling, how, f"tree.{number}", seen
        )
        model.trees.append(tree)
        scores += tree.value[tree.leaves(codes)]
        others += tree.value[tree.leaves(judged)]
        loss = pooled_loss(party, _Given(kind, others), held, scaling, f"loss.{number}")  # type: ignore[arg-type]
        seen.losses.append(loss)
        if not loss >= best:
            best, seen.kept = loss if np.isfinite(loss) else best, number + 1
        elif number + 1 - seen.kept >= how.patience:
            break
        if tree.column[0] < 0:  # nothing to split any more
            break
    del model.trees[seen.kept :]
    return model, seen


def _first(party: Summing, learn: Rows, scaling: Scaling) -> float:
    """The best constant predictor of the pooled labels."""
    told = party.sum(
        "labels", np.array([learn.y.sum(), learn.count]), norm=scaling.total * _LOG_ROOM
    ).values
    mean = float(told[0] / max(1.0, told[1]))
    if scaling.kind.name == "logistic":
        mean = min(max(mean, 1e-6), 1 - 1e-6)
        return float(np.log(mean / (1 - mean)))
    return float(np.log(max(mean, 1e-9))) if scaling.kind.log_link else mean


def _grown(
    party: Summing, codes: NDArray[np.uint8], slopes: tuple[F64, F64], scaling: Scaling, how: Boosting,
    name: str, seen: Progress,
) -> Tree:  # fmt: skip
    """One tree, level by level."""
    own = _Own(
        codes, np.stack([*slopes, np.ones(codes.shape[1])]), np.zeros(codes.shape[1], np.int64)
    )
    built = _Built()
    level, above = [0], np.zeros((0, 0, 0, 0))
    before: tuple[str, ...] = ()
    for depth in range(how.depth):
        asked = built.smaller(level)
        found, who = own.summed(party, asked, scaling, how, f"{name}.{depth}", seen)
        by_node = dict(zip(asked, found, strict=True))
        others = [node for node in level if node not in by_node]
        if (
            others and who != before
        ):  # the parents' sums are of other parties: nothing to subtract from
            rest, _ = own.summed(party, others, scaling, how, f"{name}.{depth}.rest", seen)
            by_node |= dict(zip(others, rest, strict=True))
        for node in others:
            if node not in by_node:
                sibling = node - 1 if node - 1 in built.smaller_left else node + 1
                by_node[node] = above[built.parent[node]] - by_node[sibling]
        sums = np.stack([by_node[node] for node in level])
        if depth == 0:
            built.totals[0] = sums[0, 0].sum(axis=0)
        following: list[int] = []
        for number, (node, pick) in enumerate(zip(level, _splits(sums, how), strict=True)):
            if pick is not None:
                left = built.split(node, number, pick)
                own.divide(node, left, pick)
                following += [left, left + 1]
        if not following:
            break
        level, above, before = following, sums, who
    return built.tree(how)


@dataclass
class _Own:
    """A party's own rows while a tree grows."""

    codes: NDArray[np.uint8]  # [columns, rows]
    figures: F64  # [figures, rows]
    at: I64  # each row's node

    def summed(
        self, party: Summing, asked: list[int], scaling: Scaling, how: Boosting, name: str, seen: Progress
    ) -> tuple[F64, tuple[str, ...]]:  # fmt: skip
        """Pooled histograms [nodes asked, columns, positions, figures], and who is in them."""
        columns, positions = self.codes.shape[0], how.bins + 1
        place = np.full(max(int(self.at.max(initial=0)), *asked) + 1, -1, np.int64)
        place[asked] = np.arange(len(asked))
        mine = place[self.at] >= 0
        base, parts = place[self.at[mine]] * positions, self.figures[:, mine]
        own = np.zeros((columns, len(asked) * positions, _FIGURES))
        for column in range(columns):
            index = base + self.codes[column, mine]
            for figure in range(_FIGURES):
                own[column, :, figure] = np.bincount(index, parts[figure], len(asked) * positions)
        shaped = own.reshape(columns, len(asked), positions, _FIGURES).transpose(1, 0, 2, 3)
        # Every row is once in every column; its gradient and curvature are below the room of its kind.
        norm = max(1, scaling.total) * float(np.sqrt(columns)) * _room(scaling.kind)
        told = party.sum(name, shaped.reshape(-1), norm=norm)
        seen.note(told)
        return told.values.reshape(shaped.shape), told.contributors

    def divide(self, node: int, left: int, pick: _Pick) -> None:
        """Send the node's rows to its children."""
        here = np.flatnonzero(self.at == node)
        code = self.codes[pick.column, here]
        goes = np.where(code == 0, pick.missing_left, code <= pick.position)
        self.at[here] = left + np.where(goes, 0, 1)


@dataclass(frozen=True)
class _Pick:
    """A split: where, and [gradient, curvature, rows] of both sides."""

    column: int
    position: int
    missing_left: bool
    sides: tuple[F64, F64]


@dataclass
class _Built:
    """A tree while it grows, by node."""

    column: list[int] = field(default_factory=lambda: [-1])
    position: list[int] = field(default_factory=lambda: [0])
    missing_left: list[bool] = field(default_factory=lambda: [False])
    left: list[int] = field(default_factory=lambda: [-1])
    totals: dict[int, F64] = field(default_factory=dict)  # [gradient, curvature, rows]
    smaller_left: dict[int, bool] = field(default_factory=dict)  # by the left one of two siblings
    parent: dict[int, int] = field(default_factory=dict)  # place in the level above

    def smaller(self, level: list[int]) -> list[int]:
        """The root, or of each two siblings the one with fewer rows."""
        if level == [0]:
            return level
        return [left if self.smaller_left[left] else left + 1 for left in level[::2]]

    def split(self, node: int, place: int, pick: _Pick) -> int:
        """Note a split of ``node``, the ``place``-th of its level; the left child's number."""
        left = len(self.column)
        self.column[node], self.position[node] = pick.column, pick.position
        self.missing_left[node], self.left[node] = pick.missing_left, left
        for child in (left, left + 1):
            self.column.append(-1)
            self.position.append(0)
            self.missing_left.append(False)
            self.left.append(-1)
            self.totals[child] = pick.sides[child - left]
            self.parent[child] = place
        self.smaller_left[left] = bool(pick.sides[0][2] <= pick.sides[1][2])
        return left

    def tree(self, how: Boosting) -> Tree:
        totals = np.array([self.totals[node] for node in range(len(self.column))])
        value = -how.rate * totals[:, 0] / (np.maximum(totals[:, 1], 0.0) + how.l2 + 1e-12)
        return Tree(
            np.array(self.column),
            np.array(self.position),
            np.array(self.missing_left),
            np.array(self.left),
            value,
        )


def _room(kind: Kind) -> float:
    return 2.0 if kind.name == "logistic" else 64.0 if kind.name == "linear" else 2 * _LOG_ROOM


def _splits(sums: F64, how: Boosting) -> list[_Pick | None]:
    """The best split of each node of sums [nodes, columns, positions, figures], None where none helps."""
    prefix = sums.cumsum(axis=2)
    total = prefix[:, :, -1:, :]
    missing = sums[:, :, :1, :]
    out: list[_Pick | None] = []
    ways = np.stack([prefix, prefix - missing], axis=3)  # missing left, missing right
    rest = total[:, :, :, None, :] - ways
    fine = np.rint(np.minimum(ways[..., 2], rest[..., 2])) >= how.minimum_rows
    fine[:, :, 0, 1] = False
    some = np.rint(missing[:, :, 0, 2]) > 0
    fine[..., 1] &= some[:, :, None]

    def part(side: F64) -> F64:
        return np.asarray(side[..., 0] ** 2 / (np.maximum(side[..., 1], 0.0) + how.l2 + 1e-12))

    gain = np.where(fine, (part(ways) + part(rest) - part(total[:, :, :, None, :])) / 2, -np.inf)
    for node in range(sums.shape[0]):
        flat = int(gain[node].argmax())
        if not gain[node].reshape(-1)[flat] > how.minimum_gain + 1e-9:
            out.append(None)
            continue
        column, position, way = (int(v) for v in np.unravel_index(flat, gain.shape[1:]))
        sides = ways[node, column, position, way], rest[node, column, position, way]
        out.append(_Pick(column, position, way == 0, sides))
    return out
