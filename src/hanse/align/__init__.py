"""Private rows of several providers, joined into anonymous people on shares."""

from hanse.align.join import Aligned, JoinPolicy, Table, Upload, align, dummies_per_provider
from hanse.align.layout import Field, Layout, Part, merged
from hanse.align.roster import Roster, realign
from hanse.align.upload import padded

__all__ = [
    "Aligned",
    "Field",
    "JoinPolicy",
    "Layout",
    "Part",
    "Roster",
    "Table",
    "Upload",
    "align",
    "dummies_per_provider",
    "merged",
    "padded",
    "realign",
]
