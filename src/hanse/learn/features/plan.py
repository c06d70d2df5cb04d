"""What is agreed before features are looked at together: who brings what, who may read what. All is public."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from hanse.align import JoinPolicy, Layout
from hanse.align.join import padding_law
from hanse.engine.shares import SEATS
from hanse.errors import Refusal
from hanse.gate.plan import Block, ReleasePlan, Sums

WHOLE, FRACTION = 3, 12  # bits of a standardised value as it is shared: cut to (-8, 8)
VALUE_BITS = 1 + WHOLE + FRACTION
MOST_PROVIDERS = 6
LEAST_ROWS, ROWS_PER_COLUMN = 1000, 20


@dataclass(frozen=True)
class Brings:
    """A party: its name, declared rows, bins of each column to count, and how many columns to correlate."""

    name: str
    rows: int
    bins: tuple[int, ...] = ()
    columns: int = 0


@dataclass(frozen=True)
class FeaturePlan:
    """One look at features. The first party has the mark: a label of two classes, or a period of two.

    ``tell`` says who reads counts of a party's bins: their owner, the party with the mark, or both. ``pairs`` are
    the pairs of parties whose correlations are told, to these two; no other entry is opened. ``epsilon`` is the
    price of all counts together, ``k`` the least people behind a count; without ``noise`` (rows that are not
    people) only the threshold holds.
    """

    parties: tuple[Brings, ...]
    policy: JoinPolicy
    epsilon: float = 4.0
    k: int = 20
    noise: bool = True
    tell: tuple[str, ...] = ("owner", "mark")
    pairs: tuple[tuple[int, int], ...] = ()
    inflation: bool = False  # whether variance inflation is told, to each column's owner
    least_rows: int | None = None

    @property
    def marked(self) -> str:
        return self.parties[0].name

    @property
    def correlated(self) -> int:
        return sum(p.columns for p in self.parties)

    @property
    def counted(self) -> int:
        """Columns whose bins are counted."""
        return sum(len(p.bins) for p in self.parties)

    @property
    def rows_wanted(self) -> int:
        """Matched rows below which nothing is opened."""
        if self.least_rows is not None:
            return self.least_rows
        return max(LEAST_ROWS, ROWS_PER_COLUMN * self.correlated)

    def places(self) -> list[slice]:
        """Where each party's columns are among all that are correlated."""
        ends = [0]
        for party in self.parties:
            ends.append(ends[-1] + party.columns)
        return [slice(a, b) for a, b in pairwise(ends)]

    def layout(self, number: int) -> Layout:
        """How a party's rows are packed."""
        party = self.parties[number]
        fields = [(f"b{c}", max(1, (n - 1).bit_length())) for c, n in enumerate(party.bins)]
        fields += [(f"x{c}", VALUE_BITS) for c in range(party.columns)]
        if number == 0:
            fields += [("here", 1), ("mark", 1)]
        return Layout.pack(fields) if fields else Layout((), 1)

    def release(self, number: int) -> ReleasePlan:
        """Counts of one party's bins: cells [columns, 2 kinds, bins]; a person is in one cell of each column."""
        bins = self.parties[number].bins
        cells = 2 * sum(bins)
        blocks = tuple(Block(2 * n, 1 / len(bins)) for n in bins)
        epsilon = self.epsilon * len(bins) / self.counted
        return ReleasePlan(Sums.each(cells), epsilon, self.k, self.noise, blocks)

    def readers(self, number: int) -> list[int]:
        """Roles that read counts of a party's bins."""
        roles = [SEATS + number] if "owner" in self.tell else []
        if "mark" in self.tell and SEATS not in roles:
            roles.append(SEATS)
        return roles

    def dummies(self) -> int:
        """Expected dummies among the matched rows."""
        return SEATS * padding_law(len(self.parties), self.policy).shift

    def check(self) -> None:
        """`Refusal` unless the plan makes sense."""
        names = [p.name for p in self.parties]
        if not 2 <= len(names) <= MOST_PROVIDERS or len(set(names)) != len(names):
            raise Refusal("learn.parties", f"features are looked at by 2 to {MOST_PROVIDERS} parties of own names",
                          remedy="name the file of each other party with --features")  # fmt: skip
        if not self.counted and not self.correlated:
            raise Refusal("learn.columns", "no party brings a column to look at",
                          remedy="bring columns that differ between rows")  # fmt: skip
        for number, party in enumerate(self.parties):
            if party.bins:
                self.release(number).checked(rehearsal=not self.noise)
