"""Guessing one person's secret from published figures: no better than epsilon allows, and no worse than it does.

Every attack is made 4,000 times with the gate's own release stage; the attacker is the best there is (see
`guessing`). Each is also made with noise off, where it must always be right, and each kind with three times the
epsilon that is charged, where the judgement must fail: so the tests can fail.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from guessing import (
    Counts,
    Floats,
    Opened,
    alike,
    best_share,
    bits,
    guess,
    log_law,
    most,
    released,
    require_better,
    require_no_better,
)

from hanse.gate import ReleasePlan, Sums
from hanse.gate.laws import noise_law
from hanse.gate.release import Block

ATTEMPTS = 4000
CROWD = 400  # people who are surely shown
K = 20
WRONG = 3.0  # a gate that would charge a third of what it spends


def plan_of(
    sums: list[list[int]], cells: int, epsilon: float, *, jobs: int = ATTEMPTS, noise: bool = True
) -> ReleasePlan:
    """One plan for the cells of many alike jobs. Noise is drawn per cell, so jobs are as if each ran alone."""
    return ReleasePlan(Sums.lists(alike(sums, cells, jobs), cells * jobs), epsilon, K, noise)


def ratio(seen: Counts, cell_epsilon: float, if_one: Counts, if_none: Counts) -> Floats:
    """Log likelihood ratio per attempt, summed over noised cells [attempts, cells]."""
    one = log_law(cell_epsilon, seen - if_one)
    other = log_law(cell_epsilon, seen - if_none)
    return np.asarray((one - other).reshape(len(seen), -1).sum(axis=1))


# --- membership guessing ----------------------------------------------------------------------------

# The target's furthest stage is 0 (bit 0) or 2 (bit 1); told are the stages' suffix sums.
FUNNEL = [[0, 1, 2], [1, 2], [2]]
ELSEWHERE, THERE = np.array([1, 0, 0]), np.array([0, 0, 1])


def stages_of(secret: Counts, epsilon: float, seed: str, *, noise: bool = True) -> Counts:
    """The attacker knows all others, and gets back the noised cells as differences of published stages."""
    cells = CROWD + np.where(secret[:, None] == 1, THERE, ELSEWHERE)
    found = released(cells, plan_of(FUNNEL, 3, epsilon, noise=noise), seed, ATTEMPTS)
    assert found.published.all()
    return found.values - np.append(found.values[:, 1:], np.zeros((ATTEMPTS, 1), int), axis=1)


def guessed(secret: Counts, noised: Counts, epsilon: float) -> np.ndarray:
    ratios = ratio(noised, epsilon / 2, CROWD + THERE, CROWD + ELSEWHERE)
    return guess(ratios, 3) == secret


def two_cells(epsilon: float) -> float:
    """The best attacker's share of right guesses if one person moves between two cells, exactly."""
    offset, law = noise_law(epsilon / 2, 1)
    reach = min(offset - 1, 60)
    middle = law[offset - reach : offset + reach + 1]
    moved = law[offset - reach - 1 : offset + reach]
    return best_share(np.outer(middle, moved), np.outer(moved, middle))


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 2.0])
def test_guessing_a_stage_from_a_whole_funnel(epsilon: float) -> None:
    secret = bits(ATTEMPTS, 1)
    right = guessed(secret, stages_of(secret, epsilon, f"stage{epsilon}"), epsilon)
    require_no_better(right, most(epsilon))
    require_no_better(right, two_cells(epsilon))
    require_better(right, two_cells(epsilon))  # it is the best attacker, not a weak one
    assert 0.5 + epsilon / 20 < two_cells(epsilon) <= most(epsilon)


def test_without_noise_the_stage_is_always_guessed() -> None:
    secret = bits(ATTEMPTS, 2)
    assert guessed(secret, stages_of(secret, 1.0, "bare", noise=False), 1.0).all()


def test_too_little_noise_is_noticed() -> None:
    secret = bits(ATTEMPTS, 2)
    right = guessed(secret, stages_of(secret, WRONG, "thin"), WRONG)
    with pytest.raises(AssertionError, match="epsilon allows"):
        require_no_better(right, most(1.0))


# --- differencing -----------------------------------------------------------------------------------


def differenced(secret: Counts, epsilon: float, seed: str, *, noise: bool = True) -> Opened:
    """Two questions about crowds that differ by one person, who bought (cell 1) or did not (cell 0).

    How many others there are, the attacker does not know: it subtracts. Two jobs of two cells each.
    """
    others = np.random.default_rng(7).integers(100, 900, (ATTEMPTS, 2))
    target = np.stack([1 - secret, secret], axis=1)
    cells = np.stack([others + target, others], axis=1)
    plan = plan_of([[0], [1]], 2, epsilon, jobs=2 * ATTEMPTS, noise=noise)
    return released(cells, plan, seed, ATTEMPTS)


def subtracted(secret: Counts, found: Opened, epsilon: float) -> np.ndarray:
    with_target, without = found.values[:, :2], found.values[:, 2:]
    difference = with_target - without
    ratios = [
        log_law(epsilon / 2, difference[:, cell] - 1, draws=2) - log_law(epsilon / 2, difference[:, cell], draws=2)
        for cell in (0, 1)
    ]  # fmt: skip
    return guess(ratios[1] - ratios[0], 9) == secret


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_subtracting_two_crowds_that_differ_by_one_person(epsilon: float) -> None:
    secret = bits(ATTEMPTS, 4)
    found = differenced(secret, epsilon, f"difference{epsilon}")
    assert found.published.all()
    right = subtracted(secret, found, epsilon)
    require_no_better(right, most(epsilon))  # the target is in one of the two crowds only
    if epsilon == 2.0:
        require_better(right, 0.6)  # subtracting does tell something: that is what epsilon says


def test_without_noise_subtracting_is_always_right() -> None:
    secret = bits(ATTEMPTS, 5)
    found = differenced(secret, 1.0, "bare", noise=False)
    assert subtracted(secret, found, 1.0).all()


# --- crafted crowds of one --------------------------------------------------------------------------


def test_a_crowd_of_one_among_invented_ids_is_never_shown() -> None:
    """The attacker's table holds one real id, or that and ids that nobody has: the cell counts 0 or 1."""
    secret = bits(ATTEMPTS, 6)
    cells = np.stack([1 - secret, secret], axis=1)
    found = released(cells, plan_of([[0], [1]], 2, 1.0), "one", ATTEMPTS)
    assert not found.published.any(), "4,000 crowds of one, each shown with probability below 1e-6"


def threshold_oracle(secret: Counts, plan: ReleasePlan, known: int, seed: str) -> Opened:
    """A crowd of ``known`` members of the attacker's own, and the target, who is in the count or is not."""
    return released((known + secret)[:, None], plan, seed, secret.size)


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 4.0])
def test_a_crowd_at_the_threshold_tells_no_more_than_noise_does(epsilon: float) -> None:
    """Shown or not, and if shown, which value: the likelihood ratio of both, at the worst place for the target."""
    plan = plan_of([[0]], 1, epsilon)
    least = int(plan.thresholds()[0])
    known = least - 1
    secret = bits(ATTEMPTS, 8)
    found = threshold_oracle(secret, plan, known, f"oracle{epsilon}")
    offset, law = noise_law(epsilon / 2, 1)
    hidden = [math.log(law[: offset + least - known - b].sum()) for b in (0, 1)]
    values = found.values[:, 0]
    ratios = np.where(
        found.published[:, 0],
        log_law(epsilon / 2, values - known - 1) - log_law(epsilon / 2, values - known),
        hidden[1] - hidden[0],
    )
    right = guess(ratios, 11) == secret
    assert 0.2 < found.published.mean() < 0.8, "the crowd is at the threshold"
    require_no_better(right, most(epsilon / 2))  # one cell moves: half the price
    require_better(right, 0.5 + epsilon / 40)


def test_without_noise_the_threshold_is_an_oracle() -> None:
    plan = plan_of([[0]], 1, 1.0, noise=False)
    secret = bits(ATTEMPTS, 10)
    found = threshold_oracle(secret, plan, K - 1, "oracle bare")
    assert (found.published[:, 0] == secret).all()


# --- values, in blocks of their own -----------------------------------------------------------------

CAP = 50


def spent_and_counted(secret: Counts, epsilon: float, seed: str, *, noise: bool = True) -> Opened:
    """One job tells how many bought in two shops and what they spent there; the target spent CAP in one of them."""
    blocks = (
        Block(2 * ATTEMPTS, 0.5),
        Block(2 * ATTEMPTS, 0.5, 2 * CAP),
    )
    here = np.stack([1 - secret, secret], axis=1)
    cells = np.stack([CROWD + here, 7 * CROWD + CAP * here])
    guards = np.tile(np.arange(2 * ATTEMPTS), 2)
    plan = ReleasePlan(Sums.each(cells.size), epsilon, K, noise, blocks, guards)
    found = released(cells, plan, seed, 2)
    return Opened(
        found.values.reshape(2, ATTEMPTS, 2).swapaxes(0, 1),
        found.published.reshape(2, ATTEMPTS, 2).swapaxes(0, 1),
    )


def by_count_and_value(secret: Counts, found: Opened, epsilon: float) -> np.ndarray:
    counts, values = found.values[:, 0], found.values[:, 1]
    there, elsewhere = np.array([0, 1]), np.array([1, 0])
    ratios = ratio(counts, epsilon * 0.5 / 2, CROWD + there, CROWD + elsewhere)
    ratios += ratio(
        values, epsilon * 0.5 / (2 * CAP), 7 * CROWD + CAP * there, 7 * CROWD + CAP * elsewhere
    )
    return guess(ratios, 13) == secret


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_guessing_from_counts_and_sums_of_values_together(epsilon: float) -> None:
    secret = bits(ATTEMPTS, 12)
    found = spent_and_counted(secret, epsilon, f"value{epsilon}")
    assert found.published.all()
    right = by_count_and_value(secret, found, epsilon)
    require_no_better(right, most(epsilon))
    require_better(right, 0.5 + epsilon / 20)


def test_without_noise_counts_and_values_tell_all() -> None:
    secret = bits(ATTEMPTS, 12)
    found = spent_and_counted(secret, 1.0, "value bare", noise=False)
    assert by_count_and_value(secret, found, 1.0).all()


# --- repeated questions -----------------------------------------------------------------------------


def test_repeated_questions_cost_what_they_tell() -> None:
    """The same question over data that change elsewhere: fresh noise, charged each time; evidence adds up."""
    attempts, times, epsilon = 2000, 12, 0.3
    secret = bits(attempts, 14)
    cells = np.stack([1 - secret, secret], axis=1)[:, None, :] + np.full((1, times, 1), CROWD)
    plan = plan_of([[0], [1]], 2, epsilon, jobs=times * attempts)
    found = released(cells, plan, "repeat", attempts)
    there, elsewhere = np.tile([0, 1], times), np.tile([1, 0], times)
    ratios = ratio(found.values, epsilon / 2, CROWD + there, CROWD + elsewhere)
    right = guess(ratios, 15) == secret
    require_no_better(right, most(times * epsilon))
    require_better(right, 0.6)
    with pytest.raises(AssertionError, match="epsilon allows"):
        require_no_better(
            right, most(epsilon)
        )  # asked often, it tells more than once: hence the budget
