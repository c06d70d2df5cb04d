"""Learning over rows that lie at several parties with the same columns, by sums that tell no party's part."""

from hanse.gate.sums import SumPolicy
from hanse.learn.horizontal.home import Home
from hanse.learn.horizontal.rehearsal import Outcome, rehearse, rehearse_files
from hanse.learn.horizontal.roles import Plan, Result, run_party, run_seat
from hanse.learn.horizontal.rounds import Averaging
from hanse.learn.horizontal.seats import Patience, SummingSeat
from hanse.learn.horizontal.stage import Dropout, Played, together
from hanse.learn.horizontal.sums import Alone, Summed, Summing, SummingParty
from hanse.learn.horizontal.trees import Boosting

__all__ = [
    "Alone", "Averaging", "Boosting", "Dropout", "Home", "Outcome", "Patience", "Plan", "Played", "Result",
    "SumPolicy", "Summed", "Summing", "SummingParty", "SummingSeat", "rehearse", "rehearse_files", "run_party",
    "run_seat", "together",
]  # fmt: skip
