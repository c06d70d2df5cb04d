"""The truth that predictions are judged by: what the contract calls the crowd, with the source's own error.

The definition is a clause of the contract (`hanse.contracts.truths`). Here it meets the numbers: when a day counts
as known, and how good a prediction can look at all when the counter that judges it is off as well.
"""

from __future__ import annotations

from dataclasses import replace
from math import erf, log, sqrt

import numpy as np

from hanse.contracts.truths import TruthClause
from hanse.places.feeds.feed import Feed

WITHIN = 0.3  # P30: the share of predictions within 30 % of the truth


def agreed(feed: Feed, clause: TruthClause) -> Feed:
    """The owner's counts, known no earlier than the contract says they come.

    A source that is quick in its files must not make a back-test look better than the daily run will be.
    """
    promised = feed.date + np.timedelta64(clause.lateness, "D")
    return replace(feed, reported=np.maximum(feed.reported, promised))


def ceiling(error: float, within: float = WITHIN) -> float:
    """The share of days on which even a perfect prediction is within 30 % of a counter that is off by ``error``.

    ``error`` is the standard deviation of the logarithm of the counter's own error. Two standard deviations of 13 %
    reach the borders, so a counter that is worse than this cannot show a P30 of 95 %.
    """
    if error <= 0:
        return 1.0
    # A prediction p of a day that is p is judged by p * exp(e): inside where exp(-e) is within 0.7 to 1.3.
    low, high = -log(1 + within), -log(1 - within)
    return 0.5 * (erf(high / error / sqrt(2)) - erf(low / error / sqrt(2)))
