"""The price of several answers together."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.contracts import composed, fits, largest_next, period_of, spread
from hanse.errors import Fault

DELTA = 1e-8
epsilons = st.lists(st.floats(1e-3, 4.0), max_size=60)
deltas = st.floats(1e-12, 1e-6)


def test_nothing_costs_nothing() -> None:
    assert composed([], DELTA) == 0


def test_a_year_of_daily_alignments_costs_what_the_review_says() -> None:
    assert composed([0.02] * 365, DELTA) == pytest.approx(2.4, abs=0.02)
    assert math.fsum([0.02] * 365) > 7


def test_a_few_answers_cost_their_sum() -> None:
    assert composed([1.0, 0.5], DELTA) == 1.5
    assert composed([0.1] * 12, DELTA) == pytest.approx(1.2)


@settings(max_examples=200, deadline=None)
@given(epsilons, st.floats(1e-3, 4.0), deltas)
def test_every_answer_costs_something_and_never_more_than_its_epsilon_by_sum(
    spent: list[float], one: float, delta: float
) -> None:
    before, after = composed(spent, delta), composed([*spent, one], delta)
    assert after > before
    assert after <= math.fsum([*spent, one])
    assert after >= max([*spent, one]) * (1 - 1e-12)


@settings(max_examples=100, deadline=None)
@given(epsilons, st.randoms(use_true_random=False), deltas)
def test_the_order_of_answers_does_not_matter(
    spent: list[float], random: object, delta: float
) -> None:
    mixed = list(spent)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert composed(mixed, delta) == composed(spent, delta)


@settings(max_examples=200, deadline=None)
@given(epsilons, st.floats(0.1, 30.0), deltas)
def test_the_largest_next_fits_and_a_little_more_does_not(
    spent: list[float], budget: float, delta: float
) -> None:
    largest = largest_next(spent, budget, delta)
    if fits(spent, budget, delta):
        assert fits([*spent, largest], budget, delta)
        assert not fits([*spent, largest * 1.001 + 1e-4], budget, delta)
    else:
        assert largest == pytest.approx(0, abs=1e-6)


def test_the_largest_next_uses_what_composition_saves() -> None:
    spent = [0.02] * 365
    largest = largest_next(spent, 3.0, DELTA)
    assert 0.1 < largest < 1
    assert composed([*spent, largest], DELTA) == pytest.approx(3.0)


def test_decimal_fractions_fill_a_budget_exactly() -> None:
    for one, count, budget in ((0.1, 30, 3.0), (0.7, 10, 7.0), (1.0, 10, 10.0)):
        assert fits([one] * count, budget, DELTA)
        assert not fits([one] * (count + 1), budget, DELTA)


def test_a_month_is_a_calendar_month_in_utc() -> None:
    east = timezone(timedelta(hours=8))
    assert period_of("month", datetime(2026, 8, 1, 7, 59, tzinfo=east)) == "2026-07"
    assert period_of("month", datetime(2026, 8, 1, 8, 0, tzinfo=east)) == "2026-08"
    assert period_of("contract", datetime(2026, 8, 1, tzinfo=UTC)) == "contract"


def test_a_time_without_a_zone_is_a_fault() -> None:
    with pytest.raises(Fault) as caught:
        period_of("month", datetime(2026, 8, 1))
    assert caught.value.code == "clock.naive"


@pytest.mark.parametrize("epsilon", [0.01, 0.1, 0.5, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_the_spread_of_the_noise_is_its_exact_quantile(epsilon: float, level: float) -> None:
    a = math.exp(-epsilon)
    reach, mass = 0, (1 - a) / (1 + a)
    while mass < level:
        reach += 1
        mass += 2 * (1 - a) / (1 + a) * a**reach
    assert spread(epsilon, level) == reach


def test_the_spread_at_half_is_the_review_s_six_people() -> None:
    assert spread(0.5) == 6
