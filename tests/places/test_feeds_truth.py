"""The truth as agreed: known when the contract says, and how good a prediction can look beside it."""

from __future__ import annotations

import numpy as np
import pytest

from hanse.contracts.truths import TruthClause
from hanse.places.feeds.feed import days_between, from_matrix
from hanse.places.truth import agreed, ceiling

CLAUSE = TruthClause(
    name="visitors", title="Visitors", measures="arrivals", provider="mall", gazetteer="towns", error=0.1,
    lateness=7, zone="Asia/Shanghai",
)  # fmt: skip
DAYS = days_between("2026-03-01", "2026-03-10")


def test_a_day_counts_as_known_when_the_contract_says() -> None:
    quick = agreed(from_matrix(["a"], DAYS, np.ones((1, 10)), lateness=1), CLAUSE)
    assert np.isfinite(quick.known("2026-03-10", DAYS)).sum() == 3
    slow = agreed(from_matrix(["a"], DAYS, np.ones((1, 10)), lateness=9), CLAUSE)
    assert np.isfinite(slow.known("2026-03-10", DAYS)).sum() == 1


@pytest.mark.parametrize("error", [0.0, 0.05, 0.13, 0.3, 0.6])
def test_the_ceiling_is_what_a_perfect_prediction_reaches(error: float) -> None:
    random = np.random.default_rng(4)
    judged = 1000 * np.exp(random.normal(0, error, 400_000))
    reached = float((np.abs(1000 - judged) <= 0.3 * judged).mean())
    assert ceiling(error) == pytest.approx(reached, abs=0.004)
