"""What leaves a job: which cells are noised by how much, which sums of them are told, from how many people on.

*Cells* are what is counted on shares; they come in *blocks*, each noised for what one person can move in it.
*Outputs* are sums of cells of one block: post-processing, at no further privacy cost. An output is shown if
the people behind it are enough: a count of people speaks for itself, a sum of values for a count beside it.
All of it is public and equal at every node.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hanse.errors import Fault, Refusal
from hanse.gate.laws import margin, noise_sd

SENSITIVITY = 2  # cells of which each person is in at most one: a change moves two of them by one
LEAST_K = 20
MOST_EPSILON = 4.0
LEAST_EPSILON = 0.001  # below it noise drowns any crowd
LEAST_CELL_EPSILON = 2.0**-44  # of a sum of values: below it the noise leaves the ring
VALUE_OFFSET = 1 << 60  # sums of values may be negative once they are noised

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """Cells that are noised alike.

    ``sensitivity`` is how far all its cells together can move (the sum of the moves) when one person's rows, at
    any set of providers, appear, disappear or change. It must hold by construction (by bit widths, by
    one-hot codes), whatever providers send. ``share`` is the block's part of the job's epsilon.
    """

    cells: int
    share: float = 1.0
    sensitivity: int = SENSITIVITY


@dataclass(frozen=True, eq=False)
class Sums:
    """A sparse 0/1 matrix [outputs, cells]: which cells each output is the sum of; never none."""

    members: Index  # cells, output after output
    starts: Index  # [outputs]: where each output's members begin
    cells: int

    @staticmethod
    def of(matrix: Any) -> Sums:
        """From a dense matrix [outputs, cells] of 0 and 1."""
        dense = np.asarray(matrix)
        rows, members = np.nonzero(dense)
        counts = np.bincount(rows, minlength=dense.shape[0])
        if not counts.all() or not np.isin(dense, (0, 1)).all():
            raise Fault(
                "gate.sums", "an output must be a sum of at least one cell, each taken once"
            )
        return Sums(members.astype(np.int64), np.cumsum(counts) - counts, dense.shape[1])

    @staticmethod
    def each(cells: int) -> Sums:
        """Every cell is an output."""
        return Sums(np.arange(cells), np.arange(cells), cells)

    @staticmethod
    def lists(members: Iterable[Sequence[int]], cells: int) -> Sums:
        """From a list of cells per output."""
        parts = [np.asarray(m, np.int64) for m in members]
        if not all(p.size for p in parts):
            raise Fault(
                "gate.sums", "an output must be a sum of at least one cell, each taken once"
            )
        sizes = np.array([p.size for p in parts], np.int64)
        return Sums(np.concatenate(parts), np.cumsum(sizes) - sizes, cells)

    @staticmethod
    def stacked(parts: Sequence[Sums]) -> Sums:
        """Outputs of several blocks, one block's cells after the other's."""
        cells = np.cumsum([0, *(p.cells for p in parts)])
        sizes = np.cumsum([0, *(p.members.size for p in parts)])
        return Sums(
            np.concatenate([p.members + cells[i] for i, p in enumerate(parts)]),
            np.concatenate([p.starts + sizes[i] for i, p in enumerate(parts)]),
            int(cells[-1]),
        )

    @property
    def outputs(self) -> int:
        return int(self.starts.size)

    @cached_property
    def sizes(self) -> Index:
        """How many cells each output sums."""
        return np.diff(np.append(self.starts, self.members.size))

    def apply(self, cells: NDArray[Any]) -> NDArray[Any]:
        """Values [cells] to outputs [outputs], in the values' own (wrapping) arithmetic."""
        return np.add.reduceat(np.asarray(cells)[self.members], self.starts)

    def member(self, output: int) -> Index:
        """The cells of one output."""
        start = int(self.starts[output])
        return self.members[start : start + int(self.sizes[output])]


@dataclass(frozen=True, eq=False)
class ReleasePlan:
    """What leaves, the price, the threshold.

    ``guards[i]`` is the output whose noised value must reach k and a margin for output i to be shown; without
    them every output is a count of people that guards itself. An output with another guard is a sum of
    values. ``blocks`` split the cells in order; without them there is one.
    """

    sums: Sums
    epsilon: float
    k: int
    noise: bool = True  # off only inside a rehearsal, never at a node
    blocks: tuple[Block, ...] = ()
    guards: Index | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.blocks:
            object.__setattr__(self, "blocks", (Block(self.sums.cells),))
        if self.guards is None:
            object.__setattr__(self, "guards", np.arange(self.sums.outputs))
        wrong = ""
        if sum(b.cells for b in self.blocks) != self.sums.cells:
            wrong = "the blocks do not cover the cells"
        elif not math.isclose(sum(b.share for b in self.blocks), 1.0, rel_tol=1e-9):
            wrong = "the blocks' shares of epsilon do not sum to one"
        elif any(b.share <= 0 or b.sensitivity < 1 for b in self.blocks):
            wrong = "a block has no share of epsilon or no sensitivity"
        elif (np.maximum.reduceat(self._block_of_member, self.sums.starts)
              != np.minimum.reduceat(self._block_of_member, self.sums.starts)).any():  # fmt: skip
            wrong = "an output sums cells of two blocks"
        elif (
            self.guarded.shape != (self.outputs,)
            or (self.guarded[self.guarded] != self.guarded).any()
        ):
            wrong = "an output's guard is not a count of people"
        if wrong:
            raise Fault("gate.plan", wrong)

    @property
    def outputs(self) -> int:
        return self.sums.outputs

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of what a request lists as outputs: one array."""
        return ((self.outputs,),)

    @property
    def cells(self) -> int:
        return self.sums.cells

    @property
    def guarded(self) -> Index:
        """The guard of each output [outputs]."""
        return np.asarray(self.guards)

    @cached_property
    def is_value(self) -> NDArray[np.bool_]:
        """Which outputs are sums of values, not counts of people."""
        return np.asarray(self.guarded != np.arange(self.outputs), np.bool_)

    @cached_property
    def _block_of_member(self) -> Index:
        owner = np.repeat(np.arange(len(self.blocks)), [b.cells for b in self.blocks])
        return owner[self.sums.members]

    @cached_property
    def block_of(self) -> Index:
        """The block of each output [outputs]."""
        return self._block_of_member[self.sums.starts]

    def cell_epsilon(self, block: Block) -> float:
        """The discrete Laplace parameter of the block's cells."""
        return self.epsilon * block.share / block.sensitivity

    def spread(self, output: int) -> tuple[float, int]:
        """(parameter, draws) of an output's noise: the sum of so many discrete Laplace values."""
        block = self.blocks[int(self.block_of[output])]
        return self.cell_epsilon(block), int(self.sums.sizes[output])

    def sd(self, output: int) -> float:
        """Standard deviation of an output's noise; 0 without noise."""
        return noise_sd(*self.spread(output)) if self.noise else 0.0

    def checked(self, *, rehearsal: bool) -> ReleasePlan:
        """`Refusal` unless the plan keeps the rules that no contract may loosen."""
        if self.k < LEAST_K:
            raise Refusal("gate.k", f"a threshold of {self.k} is below {LEAST_K}",
                          remedy=f"ask for k of at least {LEAST_K}")  # fmt: skip
        if not self.noise and not rehearsal:
            raise Refusal("gate.noise", "figures about people leave only with noise",
                          remedy="leave noise on; it is off only in rehearsals")  # fmt: skip
        if not LEAST_EPSILON <= self.epsilon <= MOST_EPSILON:
            allowed = f"{LEAST_EPSILON:g} to {MOST_EPSILON:g}"
            raise Refusal("gate.epsilon", f"epsilon {self.epsilon:g} is not within {allowed}",
                          remedy=f"ask for an epsilon from {allowed}")  # fmt: skip
        if any(self.cell_epsilon(b) < LEAST_CELL_EPSILON for b in self.blocks):
            raise Refusal("gate.sensitivity", "one person may move a sum too far for this epsilon",
                          remedy="lower the cap of the value, or ask with a larger epsilon")  # fmt: skip
        return self

    def why_suppressed(self, output: int) -> str:
        """The reason that a suppressed output is shown with."""
        return (
            f"fewer than {self.k} people, or too close to {self.k} to tell "
            f"(noised value below {self._limit(int(self.guarded[output]))})"
        )

    def thresholds(self) -> Index:
        """What each output's guard must reach: k plus the margin of its noise."""
        guards, inverse = np.unique(self.guarded, return_inverse=True)
        kinds, kind_of = np.unique(
            np.stack([self.block_of[guards], self.sums.sizes[guards]]), axis=1, return_inverse=True
        )
        firsts = [int(guards[np.flatnonzero(kind_of == i)[0]]) for i in range(kinds.shape[1])]
        limits = np.array([self._limit(i) for i in firsts], np.int64)
        return limits[kind_of.reshape(-1)][inverse]

    def _limit(self, output: int) -> int:
        return self.k + margin(*self.spread(output)) if self.noise else self.k
