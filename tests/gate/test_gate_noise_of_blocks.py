"""Blocks of one job, each noised by its own sensitivity and share: the law of every block, and that they are apart.

Judged by chi-square over bins of about equal probability, alpha 1e-6 each; a law that is off by a tenth fails.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hanse.engine.session import Session
from hanse.engine.stage import on_stage
from hanse.gate import Record, ReleasePlan, Sums
from hanse.gate.laws import noise_law, noise_sd
from hanse.gate.plan import VALUE_OFFSET
from hanse.gate.release import Block, lock_counts
from secret_stage import Dealer, opened

ALPHA = 1e-6
CELLS = 16_000
EPSILON = 2.0
# People, people a person may be among five times, and a value capped at 250.
BLOCKS = (Block(CELLS, 0.5), Block(CELLS, 0.3, 10), Block(CELLS, 0.2, 500))
PARAMETERS = (0.5, 0.06, 0.0008)  # epsilon * share / sensitivity
HIGH = 1_000_000  # people in every cell, so that nothing is suppressed


def noised(blocks: tuple[Block, ...] = BLOCKS, seed: str = "blocks") -> np.ndarray:
    """Noise of every cell [blocks, cells] as a job opens it; the last block holds values, guarded by the first."""
    cells = sum(b.cells for b in blocks)
    guards = np.arange(cells)
    guards[-CELLS:] = np.arange(CELLS)
    plan = ReleasePlan(Sums.each(cells), EPSILON, 20, blocks=blocks, guards=guards)
    shares = Dealer(5).ring(np.full(cells, HIGH))

    def protocol(s: Session) -> np.ndarray:
        return opened(s, lock_counts(s, Record(), shares[s.seat], plan, [], ("media",)))

    read = on_stage(protocol, seed=seed)[0].view(np.int64)
    return np.asarray(read - np.where(plan.is_value, VALUE_OFFSET + 1, 1) - HIGH).reshape(-1, CELLS)


def fits(values: np.ndarray, parameter: float) -> float:
    """P-value against the discrete Laplace law, in bins that hold about a fortieth each."""
    offset, law = noise_law(parameter, 1)
    cumulated = np.cumsum(law)
    edges = np.unique(np.searchsorted(cumulated, np.linspace(0, 1, 41)[1:-1]))
    bins = np.searchsorted(edges, values + offset, side="left")
    expected = np.diff(np.concatenate([[0.0], cumulated[edges], [1.0]])) * values.size
    seen = np.bincount(bins, minlength=expected.size)
    return float(stats.chisquare(seen, expected).pvalue)


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return noised()


@pytest.mark.parametrize("block", range(3))
def test_every_block_has_the_law_of_its_own_sensitivity(noise: np.ndarray, block: int) -> None:
    plan = ReleasePlan(Sums.each(3 * CELLS), EPSILON, 20, blocks=BLOCKS)
    parameter = plan.cell_epsilon(BLOCKS[block])
    assert parameter == pytest.approx(PARAMETERS[block])
    assert fits(noise[block], parameter) > ALPHA
    assert plan.sd(block * CELLS) == pytest.approx(noise_sd(parameter, 1))
    assert noise[block].std() == pytest.approx(plan.sd(block * CELLS), rel=0.06)


@pytest.mark.parametrize("block", range(3))
@pytest.mark.parametrize("wrong", [0.9, 1.1])
def test_a_law_off_by_a_tenth_is_noticed(noise: np.ndarray, block: int, wrong: float) -> None:
    assert fits(noise[block], PARAMETERS[block] * wrong) < ALPHA


def test_the_laws_are_not_mixed_up(noise: np.ndarray) -> None:
    for block, other in ((0, 1), (1, 2), (2, 0)):
        assert fits(noise[block], PARAMETERS[other]) < ALPHA


def test_blocks_are_noised_independently(noise: np.ndarray) -> None:
    """Chi-square of signs and parities of the same place in two blocks."""
    for a, b in ((0, 1), (0, 2), (1, 2)):
        for feature in (noise > 0, noise % 2 == 1):
            table = np.zeros((2, 2))
            np.add.at(table, (feature[a].astype(int), feature[b].astype(int)), 1)
            assert stats.chi2_contingency(table).pvalue > ALPHA


def test_blocks_alike_are_not_noised_alike() -> None:
    twins = noised((Block(CELLS, 0.5), Block(CELLS, 0.5)), "twins")
    assert (twins[0] != twins[1]).mean() > 0.5
