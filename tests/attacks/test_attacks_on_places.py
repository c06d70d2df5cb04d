"""A provider that crafts where its people are, to learn a label of one of them from sums per place.

It knows all rows but one bit, and programs the target into its slots as it likes: into one place as often as there
are slots, or into as many places. The engine computes the sums of both worlds; they are released 2,000 times.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from guessing import (
    Counts,
    bits,
    guess,
    log_law,
    most,
    released,
    require_better,
    require_no_better,
)

from hanse.engine.programmed import Program, Shape, assembled, factored, orders, sums_by_place
from hanse.engine.session import Session
from hanse.engine.stage import on_stage
from hanse.entropy import SeededEntropy
from hanse.gate import Block, ReleasePlan, Sums
from secret_stage import Dealer, opened

ATTEMPTS = 2000
PEOPLE, PLACES, SLOTS = 40, 3, 4
TARGET = 0
HEAP = np.array([1, 1, 1, 1])  # the target four times at the first place
SPREAD = np.array([1, 2, 3, 0])  # once at each


def sums(own: Counts, secret: int) -> Counts:
    """Sums [places, 2] from the engine: people with the label "no" (cell 0) and "yes" (cell 1) at each place."""
    codes = np.zeros((PEOPLE, SLOTS), np.int64)
    codes[:, 0] = 1 + np.arange(PEOPLE) % PLACES
    codes[TARGET] = own
    labels = np.arange(PEOPLE) % 2
    labels[TARGET] = secret
    rows = (1 << labels).astype(np.uint64)[
        :, None
    ]  # one-hot: in one cell, whatever the owner programs
    shares = Dealer(3).words(rows)
    shape = Shape(PEOPLE, SLOTS, PLACES)

    def protocol(s: Session) -> Any:
        entropy = SeededEntropy("crafted")
        parts = []
        for order in orders(codes, shape):
            factors = factored(order, entropy)
            seeds = dict(enumerate(factors.seeds))
            parts.append(assembled(s.seat, seeds, factors.last, shape.entries))
        return opened(s, sums_by_place(s, shares[s.seat], 2, Program(shape, *parts)))

    return on_stage(protocol)[0].view(np.int64)


def attacked(own: Counts, epsilon: float, sensitivity: int, *, noise: bool = True) -> np.ndarray:
    """Which of the attempts guess the target's label right, from all noised cells."""
    worlds = (
        np.stack([sums(own, bit).reshape(-1) for bit in (0, 1)]) + 900
    )  # others, known and shown
    cells = worlds.shape[1]
    secret = bits(ATTEMPTS, 21)
    plan = ReleasePlan(
        Sums.each(cells * ATTEMPTS),
        epsilon,
        20,
        noise,
        (Block(cells * ATTEMPTS, 1.0, sensitivity),),
    )
    found = released(worlds[secret], plan, f"places{epsilon}{own}{sensitivity}", ATTEMPTS)
    assert found.published.all()
    parameter = epsilon / sensitivity
    ratios = log_law(parameter, found.values - worlds[1]) - log_law(
        parameter, found.values - worlds[0]
    )
    return guess(ratios.sum(axis=1), 22) == secret


@pytest.mark.parametrize("own", [HEAP, SPREAD], ids=["heap", "spread"])
def test_a_crafted_row_moves_all_cells_by_what_the_block_says(own: Counts) -> None:
    moved = int(np.abs(sums(own, 1) - sums(own, 0)).sum())
    assert moved == 2 * np.count_nonzero(own)
    assert moved <= 2 * SLOTS


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
@pytest.mark.parametrize("own", [HEAP, SPREAD], ids=["heap", "spread"])
def test_a_crafted_place_tells_no_more_than_epsilon(own: Counts, epsilon: float) -> None:
    right = attacked(own, epsilon, 2 * SLOTS)
    require_no_better(right, most(epsilon))
    if epsilon == 2.0:
        require_better(right, 0.6)  # it is an attack, and epsilon 2 lets it know something


def test_noise_for_one_place_a_person_would_be_too_little() -> None:
    """Were the slots left out of the sensitivity, the heap would tell four times what is charged."""
    right = attacked(HEAP, 1.0, 2)
    with pytest.raises(AssertionError, match="epsilon allows"):
        require_no_better(right, most(1.0))


def test_without_noise_the_label_is_known() -> None:
    assert attacked(HEAP, 1.0, 2 * SLOTS, noise=False).all()
