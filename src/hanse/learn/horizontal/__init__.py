"""Learning over rows that lie at several parties with the same columns, by sums that tell no party's part."""

from hanse.gate.sums import SumPolicy
from hanse.learn.horizontal.seats import Patience, SummingSeat
from hanse.learn.horizontal.stage import Dropout, Played, together
from hanse.learn.horizontal.sums import Summed, SummingParty

__all__ = [
    "Dropout", "Patience", "Played", "SumPolicy", "Summed", "SummingParty", "SummingSeat", "together",
]  # fmt: skip
