"""What is agreed before a model is trained: who brings what, the family, the limits. All of it is public."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hanse.align import JoinPolicy, Layout
from hanse.align.join import padding_law
from hanse.engine.matrices import rows_at_once
from hanse.engine.shares import SEATS
from hanse.errors import Refusal
from hanse.learn.linear.families import COLUMN_WHOLE, ETA, WEIGHT, WEIGHT_WHOLE, Family

LEAST_ROWS = 1000  # matched people of a model about people, and 20 for each coefficient
ROWS_PER_COLUMN = 20
LEAST_TEST = 200  # matched people to test a model on: exact figures of fewer, in ten bands, are about single people
BETA = 28  # fraction bits of a coefficient
MOST_PROVIDERS = 6
MOST_COEFFICIENTS = 4096  # of a multinomial model, over all classes
MOST_TOGETHER = 400  # of these: with more, each class is turned by its own curvature (`apart`)
LOG_BITS = (
    32  # y log y of a label of a log link: below 2**17, sign, and the fraction bits of a mean
)
LEAST_BATCH, MOST_BATCH = 1 << 10, 1 << 20  # rows of a batch
ALIGNMENTS = ("hidden", "open")


@dataclass(frozen=True)
class Provider:
    """A party with columns: its name, how many, and the declared rows to learn from and to test on."""

    name: str
    columns: int
    training: int
    holdout: int


@dataclass(frozen=True)
class Number:
    """A number of a row: ``bits`` bits in two's complement, ``fraction`` of them fraction; or a flag of one bit."""

    name: str
    fraction: int
    bits: int

    @property
    def flag(self) -> bool:
        return self.bits == 1


@dataclass(frozen=True)
class Plan:
    """One model. The first provider has the label; the intercept is its first coefficient.

    The mean loss, by weights where there are any, gets ``l2`` / 2 times the squared standardised coefficients and
    ``l1`` times their absolute values.
    """

    family: Family
    providers: tuple[Provider, ...]
    l2: float
    policy: JoinPolicy
    most_iterations: int = 20
    least_rows: int | None = None  # lower than the default only for data that are not about people
    l1: float = 0.0
    alignment: str = "hidden"  # or "open": parties see which rows they share
    weights: bool = False
    offset: bool = False
    errors: bool = False  # whether parties get the standard errors of their coefficients
    least_test: int = 0  # matched rows to test on, below which nothing is told
    batch_rows: int | None = None  # rows in memory at a time; None: all of them
    whole: bool = False  # open rows are shared whole, so that they can be committed to (`whole`)

    @property
    def label_party(self) -> str:
        return self.providers[0].name

    @property
    def open(self) -> bool:
        return self.alignment == "open"

    def filed(self, rows: int) -> bool:
        """Whether so many rows are more than a batch, so that their columns lie in a file (`filed`)."""
        return self.batch_rows is not None and self.batch_rows < rows

    @property
    def width(self) -> int:
        """Coefficients of a class, the intercept included."""
        return 1 + sum(p.columns for p in self.providers)

    @property
    def rows_wanted(self) -> int:
        """Matched rows below which nothing is learned."""
        if self.least_rows is not None:
            return self.least_rows
        return max(LEAST_ROWS, ROWS_PER_COLUMN * self.width * self.family.classes)

    @property
    def holdout(self) -> bool:
        """Whether some rows are kept for the metrics; else those come from the rows learned from."""
        return any(p.holdout for p in self.providers)

    @property
    def apart(self) -> bool:
        """Whether classes have so many coefficients that each has a curvature of its own only."""
        return self.family.classes > 1 and self.width * self.family.classes > MOST_TOGETHER

    def blocks(self) -> list[slice]:
        """Where each provider's coefficients are; the label party's block begins with the intercept."""
        ends = [1]
        for provider in self.providers:
            ends.append(ends[-1] + provider.columns)
        return [slice(0 if i == 0 else ends[i], ends[i + 1]) for i in range(len(self.providers))]

    def numbers(self, number: int) -> list[Number]:
        """What provider ``number`` shares of a row; of the label party also the label and what belongs to it."""
        f = self.family
        found = [Number(f"x{c}", f.x, f.column_bits) for c in range(self.providers[number].columns)]
        if number:
            return found
        found.append(Number("here", 0, 1))
        if f.classes > 1:
            found += [Number(f"label{c}", 0, 1) for c in range(f.classes)]
        else:
            found.append(Number("label", 0 if f.label_bits == 1 else f.mean, f.label_bits))
        if f.log_link:
            found.append(Number("start", f.mean, LOG_BITS))
        if 0 < f.power < 2:
            found.append(Number("entropy", f.mean, LOG_BITS))
        if f.power > 1:
            found.append(Number("log", ETA, 1 + COLUMN_WHOLE + ETA))
        if 1 < f.power < 2:
            found.append(Number("first", f.mean, LOG_BITS))
        if self.weights:
            found.append(Number("weight", WEIGHT, 1 + WEIGHT_WHOLE + WEIGHT))
        if self.offset and f.name != "linear":
            found.append(Number("offset", ETA, 1 + COLUMN_WHOLE + ETA))
        return found

    def layout(self, number: int) -> Layout:
        """How provider ``number``'s rows are packed where rows are hidden."""
        fields = [(n.name, n.bits) for n in self.numbers(number)]
        return Layout.pack(fields) if fields else Layout((), 1)

    def dummies(self) -> int:
        """Expected dummies among the matched rows."""
        return 0 if self.open else SEATS * padding_law(len(self.providers), self.policy).shift

    def check(self) -> None:
        """`Refusal` unless the job fits: parties, columns, and the ranges of every number on shares."""
        if not 2 <= len(self.providers) <= MOST_PROVIDERS:
            raise Refusal(
                "learn.parties",
                f"a model takes 2 to {MOST_PROVIDERS} parties, not {len(self.providers)}",
                remedy="name the file of each other party with --features",
            )
        if self.alignment not in ALIGNMENTS:
            raise Refusal("learn.alignment", f"there is no alignment {self.alignment!r}",
                          remedy="hidden: nobody learns who matched; open: all parties see it")  # fmt: skip
        if self.batch_rows is not None and not LEAST_BATCH <= self.batch_rows <= MOST_BATCH:
            raise Refusal("learn.batch", f"batches of {self.batch_rows} rows are out of range",
                          remedy=f"choose {LEAST_BATCH} to {MOST_BATCH}, or none")  # fmt: skip
        if self.width == 1:
            raise Refusal("learn.columns", "no party brings a column that varies",
                          remedy="bring columns that differ between rows")  # fmt: skip
        if self.errors and (self.l1 or self.family.classes > 1):
            raise Refusal("learn.errors", "standard errors come with one class and without an absolute penalty",
                          remedy="set l1 to 0, or leave the standard errors out")  # fmt: skip
        if self.l1 and self.family.classes > 1:
            raise Refusal("learn.l1", "an absolute penalty comes with one class",
                          remedy="set l1 to 0, or learn one class against the others")  # fmt: skip
        f = self.family
        predictor = f.x + BETA + COLUMN_WHOLE + 4 + math.ceil(math.log2(self.width))
        if predictor > 62 or (f.classes > 1 and self.width * f.classes > MOST_COEFFICIENTS):
            raise Refusal("learn.range", f"{self.width} coefficients are too many for one model",
                          remedy="select fewer columns")  # fmt: skip
        rows_at_once(self.gradient_bits)
        rows_at_once(self.curvature_bits)

    @property
    def _heavy(self) -> int:
        return WEIGHT_WHOLE if self.weights else 0

    @property
    def gradient_bits(self) -> int:
        """Bits of feature * weighted residual."""
        f = self.family
        return f.x + COLUMN_WHOLE + f.mean + f.residual_whole + self._heavy

    @property
    def weight_fraction(self) -> int:
        """Fraction bits of a row's weight in a curvature that steers."""
        f = self.family
        return min(6 if f.flat and self.weights else f.weight, self.weight_fraction_most)

    @property
    def weight_fraction_most(self) -> int:
        """As many as there is room for: of a curvature that variances come from."""
        f = self.family
        spare = 56 - 2 * (f.x + COLUMN_WHOLE) - f.weight_whole - self._heavy
        if f.classes > 1:  # weights stand on both sides there
            spare //= 2
        return min(12, spare)

    @property
    def curvature_bits(self) -> int:
        """Bits of feature * weight * feature; of several classes feature * weight on both sides."""
        return self.curvature_bits_of(self.weight_fraction)

    def curvature_bits_of(self, fraction: int) -> int:
        """The same for weights of so many fraction bits."""
        f = self.family
        bits = 2 * (f.x + COLUMN_WHOLE) + fraction + f.weight_whole + self._heavy
        return bits if f.classes == 1 else bits + fraction
