"""What is asked of boosting: the same at all parties, compared by digest before anything else."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from hanse.errors import Fault
from hanse.learn.boosting.losses import LOSSES, LossName
from hanse.wire import digest

MAXIMUM_DEPTH = 10
MAXIMUM_CLASSES = (
    32  # each adds two hints on what hides the rows of a sum (docs/claims/lattice.md, 4)
)
LEAST_ROWS = 20  # nobody may ask for smaller groups
Growth = Literal["level", "leaf"]


@dataclass(frozen=True)
class Settings:
    """How to boost. `Fault` ``learn.settings`` where a value makes no sense, naming it."""

    loss: LossName = "logistic"
    trees: int = 100
    depth: int = 5
    bins: int = 32  # of a numeric column; also the most categories told apart in a category column
    learning_rate: float = 0.1
    l2: float = 1.0
    minimum_gain: float = 0.0
    minimum_rows: int = LEAST_ROWS  # of a leaf, and of every group whose sum the label holder reads
    classes: int = 0  # of a multinomial model: labels are 0 .. classes - 1
    growth: Growth = "level"  # all nodes of a level, or always the leaf that gains most
    leaves: int = 31  # at most so many, leaf-wise
    category_l2: float = 10.0  # added to l2 for splits of category columns
    row_share: float = 1.0  # of the rows, drawn anew for each tree
    column_share: float = 1.0  # of each party's columns, drawn anew by each party for each tree
    holdout: float = 0.0  # share of the rows that stop training early
    patience: int = 0  # trees without a better loss on the holdout before training stops; 0: never
    own_trees: int = 0  # first trees that only the label holder's columns make, untold to others
    tell_gains: bool = False  # tell owners what each of their splits gained
    masked: bool = False  # sums carry masks, and three seats choose the splits on shares

    def __post_init__(self) -> None:
        ranges = {
            "trees": (1, 10_000), "depth": (1, MAXIMUM_DEPTH), "bins": (2, 254),
            "learning_rate": (1e-6, 10), "l2": (0, 1e9), "minimum_gain": (0, 1e9),
            "minimum_rows": (LEAST_ROWS, 1 << 30), "leaves": (2, 1 << MAXIMUM_DEPTH),
            "category_l2": (0, 1e9), "row_share": (0.01, 1), "column_share": (0.01, 1),
            "holdout": (0, 0.9), "patience": (0, 10_000), "own_trees": (0, 10_000),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise _wrong(name, f"{name} must be {low} to {high}")
        if self.loss not in LOSSES:
            raise _wrong("loss", f"loss must be one of {', '.join(LOSSES)}")
        if self.growth not in ("level", "leaf"):
            raise _wrong("growth", "growth must be level or leaf")
        if self.loss == "multinomial" and not 2 <= self.classes <= MAXIMUM_CLASSES:
            raise _wrong(
                "classes",
                f"a multinomial model needs 2 to {MAXIMUM_CLASSES} classes",
                "say how many",
            )
        if self.masked and (self.classes or self.growth == "leaf" or self.tell_gains):
            raise _wrong("masked", "with masks boosting is level-wise, of one output, and gains stay unknown",
                         "choose another loss, level-wise growth and tell_gains = false")  # fmt: skip
        if self.loss != "multinomial" and self.classes:
            raise _wrong("classes", f"a {self.loss} model has no classes", "leave classes at 0")
        if self.patience and not self.holdout:
            raise _wrong("patience", "patience needs rows to judge by",
                         "give holdout a share, 0.2 for instance")  # fmt: skip

    @property
    def outputs(self) -> int:
        """Numbers of a row that are encrypted: gradients, then curvatures, of each class."""
        return 2 * max(1, self.classes)

    def digest(self) -> bytes:
        """32 bytes that parties compare."""
        return bytes.fromhex(digest(asdict(self)))


def _wrong(name: str, said: str, remedy: str = "choose a value in range") -> Fault:
    return Fault("learn.settings", said, where=f"settings.{name}", remedy=remedy)
