"""What is agreed before a model is trained: who brings what, the family, the limits. All of it is public."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hanse.align import JoinPolicy, Layout
from hanse.align.join import padding_law
from hanse.engine.matrices import rows_at_once
from hanse.engine.shares import SEATS
from hanse.errors import Refusal
from hanse.learn.linear.families import COLUMN_WHOLE, Family

LEAST_ROWS = 1000  # matched people of a model about people, and 20 for each coefficient
ROWS_PER_COLUMN = 20
BETA = 28  # fraction bits of a coefficient
MOST_PROVIDERS = 6


@dataclass(frozen=True)
class Provider:
    """A party with columns: its name, how many, and the declared rows to learn from and to test on."""

    name: str
    columns: int
    training: int
    holdout: int


@dataclass(frozen=True)
class Plan:
    """One model. The first provider has the label; the intercept is its first coefficient."""

    family: Family
    providers: tuple[Provider, ...]
    l2: float
    policy: JoinPolicy
    most_iterations: int = 20
    least_rows: int | None = None  # lower than the default only for data that are not about people

    @property
    def label_party(self) -> str:
        return self.providers[0].name

    @property
    def width(self) -> int:
        """Coefficients, the intercept included."""
        return 1 + sum(p.columns for p in self.providers)

    @property
    def rows_wanted(self) -> int:
        """Matched rows below which nothing is learned."""
        if self.least_rows is not None:
            return self.least_rows
        return max(LEAST_ROWS, ROWS_PER_COLUMN * self.width)

    @property
    def holdout(self) -> bool:
        """Whether some rows are kept for the metrics; else those come from the rows learned from."""
        return any(p.holdout for p in self.providers)

    def blocks(self) -> list[slice]:
        """Where each provider's coefficients are; the label party's block begins with the intercept."""
        ends = [1]
        for provider in self.providers:
            ends.append(ends[-1] + provider.columns)
        return [slice(0 if i == 0 else ends[i], ends[i + 1]) for i in range(len(self.providers))]

    def layout(self, number: int) -> Layout:
        """How provider ``number``'s rows are packed."""
        fields = [(f"x{c}", self.family.column_bits) for c in range(self.providers[number].columns)]
        if number == 0:
            fields += [("here", 1), ("label", self.family.label_bits)]
            if self.family.name == "poisson":
                fields += [("entropy", LOG_BITS), ("start", LOG_BITS)]
        return Layout.pack(fields) if fields else Layout((), 1)

    def dummies(self) -> int:
        """Expected dummies among the matched rows."""
        return SEATS * padding_law(len(self.providers), self.policy).shift

    def check(self) -> None:
        """`Refusal` unless the job fits: parties, columns, and the ranges of every number on shares."""
        if not 2 <= len(self.providers) <= MOST_PROVIDERS:
            raise Refusal(
                "learn.parties",
                f"a model takes 2 to {MOST_PROVIDERS} parties, not {len(self.providers)}",
                remedy="name the file of each other party with --features",
            )
        if self.width == 1:
            raise Refusal("learn.columns", "no party brings a column that varies",
                          remedy="bring columns that differ between rows")  # fmt: skip
        f = self.family
        predictor = f.x + BETA + COLUMN_WHOLE + 4 + math.ceil(math.log2(self.width))
        if predictor > 62:
            raise Refusal("learn.range", f"{self.width} coefficients are too many for one model",
                          remedy="select fewer columns")  # fmt: skip
        rows_at_once(self.gradient_bits)
        rows_at_once(self.curvature_bits)

    @property
    def gradient_bits(self) -> int:
        """Bits of feature * residual."""
        return self.family.x + COLUMN_WHOLE + self.family.mean + self.family.residual_whole

    @property
    def curvature_bits(self) -> int:
        """Bits of feature * weight * feature."""
        f = self.family
        return 2 * (f.x + COLUMN_WHOLE) + f.weight + f.weight_whole


LOG_BITS = 32  # y log y of a Poisson label: below 2**17, sign, and the fraction bits of a mean
