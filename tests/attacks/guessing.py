"""An attacker who guesses a secret bit about one person, and the most that epsilon lets it know.

The attacker knows everything but the bit, the law of the noise included, and guesses by likelihood ratio: nobody
guesses better (Neyman and Pearson 1933). For a fair bit, (epsilon, delta)-privacy caps the share of right guesses
at (e**epsilon + delta) / (1 + e**epsilon) (Kairouz, Oh, Viswanath 2015). Judged by exact binomial tails.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from hanse.engine.session import Session
from hanse.engine.stage import on_stage
from hanse.gate import Record, ReleasePlan
from hanse.gate.laws import noise_law
from hanse.gate.plan import VALUE_OFFSET
from hanse.gate.release import lock_counts
from secret_stage import Dealer, opened

ALPHA = 1e-6  # of every one-sided judgement: a correct gate fails one in a million runs
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Opened:
    """What the recipient reads of many jobs: values and published, both [jobs, outputs]; 0 where suppressed."""

    values: Counts
    published: NDArray[np.bool_]


def released(cells: Counts, plan: ReleasePlan, seed: str, jobs: int) -> Opened:
    """The gate's own release stage at three seats, over the cells of ``jobs`` alike jobs at once.

    ``cells`` are in the plan's order; outputs [outputs] are taken as [jobs, outputs of a job].
    """
    shares = Dealer(1).ring(cells.reshape(-1))

    def protocol(s: Session) -> NDArray[np.uint64]:
        shown = lock_counts(s, Record(), shares[s.seat], plan, [], ("media",))
        return opened(s, shown)

    read = on_stage(protocol, seed=seed)[0].view(np.int64)
    published = read != 0
    raised = np.where(plan.is_value, VALUE_OFFSET + 1, 1)
    values = np.where(published, read - raised, 0)
    return Opened(values.reshape(jobs, -1), published.reshape(jobs, -1))


def bits(attempts: int, seed: int) -> NDArray[np.int64]:
    """A fair secret bit per attempt."""
    return np.random.default_rng(seed).integers(0, 2, attempts)


def log_law(epsilon: float, seen: Counts, draws: int = 1) -> Floats:
    """Log probability of the noise ``seen``: a sum of ``draws`` discrete Laplace values of parameter epsilon."""
    if draws == 1:
        return np.asarray(-epsilon * np.abs(seen) + math.log(math.tanh(epsilon / 2)))
    offset, law = noise_law(epsilon, draws)
    with np.errstate(divide="ignore"):
        logs = np.log(law)
    return np.asarray(logs[np.clip(seen + offset, 0, law.size - 1)])


def guess(ratios: Floats, seed: int) -> NDArray[np.int64]:
    """1 where the log likelihood ratio speaks for the bit being 1; a coin where it says nothing."""
    coins = np.random.default_rng(seed + 1).integers(0, 2, ratios.size)
    return np.where(np.abs(ratios) < 1e-9, coins, (ratios > 0).astype(np.int64))


def most(epsilon: float, delta: float = 0.0) -> float:
    """The largest share of right guesses that (epsilon, delta)-privacy allows."""
    return (math.exp(epsilon) + delta) / (1 + math.exp(epsilon))


def best_share(one: Floats, other: Floats) -> float:
    """The best attacker's share of right guesses, from the two laws of what it sees."""
    return float(np.maximum(one, other).sum() / 2)


def require_no_better(right: NDArray[np.bool_], share: float) -> None:
    """AssertionError if so many right guesses are out of reach (probability below ALPHA) for ``share``."""
    hits, attempts = int(right.sum()), right.size
    beyond = float(stats.binom.sf(hits - 1, attempts, share))
    assert beyond >= ALPHA, f"{hits} of {attempts} guesses are right; epsilon allows {share:.1%}"


def require_better(right: NDArray[np.bool_], share: float) -> None:
    """AssertionError if so few right guesses are out of reach (probability below ALPHA) for ``share``."""
    hits, attempts = int(right.sum()), right.size
    below = float(stats.binom.cdf(hits, attempts, share))
    assert below >= ALPHA, f"only {hits} of {attempts} guesses are right; {share:.1%} were possible"


def alike(sums: Sequence[Sequence[int]], cells: int, jobs: int) -> list[list[int]]:
    """The outputs of one job, for each of ``jobs`` jobs whose cells follow one another."""
    return [[job * cells + cell for cell in members] for job in range(jobs) for members in sums]
