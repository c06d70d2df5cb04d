"""A thin panel: what the median place's change tells, and that past days are judged by what was known then."""

from __future__ import annotations

import numpy as np

from hanse.places.crowd.ground import calendar
from hanse.places.crowd.outlook import Kernels
from hanse.places.crowd.regulars import Signal


def test_a_past_day_is_told_from_what_was_known_as_long_before_it() -> None:
    days = calendar(np.datetime64("2025-01-01"), np.datetime64("2025-03-31"), {})
    logs = np.zeros((3, days.size))
    logs[:, 60] = 1.0  # one day out of the usual
    logs[:, 71:] = np.nan  # known up to day 70; day 71 is told on day 71: one day late
    signal, kernels = Signal(logs), Kernels(days)
    assert signal.change(kernels, 60, 7)[0] == 1.0
    assert abs(signal.change(kernels, 60, 7, today=71)[0]) < 0.1
    assert signal.change(kernels, 61, 7, today=71)[0] == 1.0
