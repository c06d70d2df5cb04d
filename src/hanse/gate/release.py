"""The way out: noise on shares, threshold on the noised value, an output lock of every provider.

1. Each *cell* (a person is in at most one) gets discrete Laplace noise that no seat knows.
2. The *outputs* are public integer combinations of cells (a funnel's stage counts are suffix sums):
   post-processing, at no further privacy cost.
3. An output below ``k`` plus a margin is suppressed: the comparison sees the noised value only, so that
   "suppressed" says no more than the value would.
4. Every provider's lock (a random number it shared at the start) is added. Seats send the locked shares to
   the named recipients; each provider's own gate sends its lock when it agrees. Without all of them a recipient
   reads noise.
Reveals: to each named recipient the published outputs and which are suppressed; to seats nothing.
Assumes: semi-honest seats, honest majority. Privacy: (epsilon, 2**-56)-DP per person, where one person's rows at
any set of providers may appear, disappear or change (they move one unit between two cells: sensitivity 2).
Source: Ghosh, Roughgarden, Sundararajan 2009 (geometric mechanism).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hanse.engine.compare import ring_bits, sign_bit
from hanse.engine.multiply import multiply
from hanse.engine.noise import geometric_difference
from hanse.engine.reveal import receive_ring, send_ring
from hanse.engine.session import Session
from hanse.engine.shares import U64, Bits, Ring
from hanse.errors import Foul, Refusal
from hanse.gate.record import Opening, Record
from hanse.wire import Channel

SENSITIVITY = 2  # cells that one person's change can move by one
FALSE_PUBLISH = 1e-6  # P(an output is published although fewer than k people are in it)
LEAST_K = 20
MOST_EPSILON = 4.0
LEAST_EPSILON = 0.001  # below it noise drowns any crowd, and its law takes too much memory
SUPPRESSED = 0


@dataclass(frozen=True)
class ReleasePlan:
    """What leaves: ``combine`` [outputs, cells] of 0/1, the price, the threshold. Public, equal everywhere."""

    combine: NDArray[np.int64]
    epsilon: float
    k: int
    noise: bool = True  # off only inside a rehearsal, never at a node

    @property
    def outputs(self) -> int:
        return int(self.combine.shape[0])

    @property
    def cells(self) -> int:
        return int(self.combine.shape[1])

    @property
    def epsilon_per_cell(self) -> float:
        """The geometric mechanism's parameter for one cell."""
        return self.epsilon / SENSITIVITY

    def checked(self, *, rehearsal: bool) -> ReleasePlan:
        """`Refusal` unless the plan keeps the rules that no contract may loosen."""
        if self.k < LEAST_K:
            raise Refusal("gate.k", f"a threshold of {self.k} is below {LEAST_K}",
                          remedy=f"ask for k of at least {LEAST_K}")  # fmt: skip
        if not self.noise and not rehearsal:
            raise Refusal("gate.noise", "figures about people leave only with noise",
                          remedy="leave noise on; it is off only in rehearsals")  # fmt: skip
        if not LEAST_EPSILON <= self.epsilon <= MOST_EPSILON:
            allowed = f"{LEAST_EPSILON:g} to {MOST_EPSILON:g}"
            raise Refusal("gate.epsilon", f"epsilon {self.epsilon:g} is not within {allowed}",
                          remedy=f"ask for an epsilon from {allowed}")  # fmt: skip
        return self

    def why_suppressed(self, output: int) -> str:
        """The reason that a suppressed output is shown with."""
        return (
            f"fewer than {self.k} people, or too close to {self.k} to tell "
            f"(noised value below {self.thresholds()[output]})"
        )

    def thresholds(self) -> NDArray[np.int64]:
        """k plus the margin of each output, by the number of noised cells in it."""
        parts = np.abs(self.combine).sum(axis=1)
        if not self.noise:
            return np.full(self.outputs, self.k, np.int64)
        return np.array([self.k + margin(self.epsilon_per_cell, int(n)) for n in parts], np.int64)


@lru_cache(maxsize=256)
def noise_law(epsilon: float, draws: int) -> tuple[int, NDArray[np.float64]]:
    """(offset, probabilities): P(sum of ``draws`` discrete Laplace values = i - offset).

    By FFT, on a circle wide enough that nothing of weight wraps around; right to about 1e-15.
    """
    if not draws:
        return 0, np.ones(1)
    reach = math.ceil(40 / epsilon) + math.ceil(12 * noise_sd(epsilon, draws))
    size = 1 << (2 * reach).bit_length()
    distance = np.minimum(np.arange(size), size - np.arange(size))
    one = np.exp(-epsilon * distance)
    one /= one.sum()
    law = np.fft.irfft(np.fft.rfft(one) ** draws, size)
    return reach, np.maximum(0.0, np.roll(law, reach)[: 2 * reach + 1])


@lru_cache(maxsize=256)
def margin(epsilon: float, draws: int) -> int:
    """Smallest m with P(noise > m) <= FALSE_PUBLISH: what a count of k - 1 must not exceed by luck."""
    offset, law = noise_law(epsilon, draws)
    upper = np.cumsum(law[::-1])[::-1]  # P(noise >= i - offset)
    allowed = np.flatnonzero(upper <= FALSE_PUBLISH)
    return max(0, int(allowed[0]) - offset - 1) if allowed.size else offset


def noise_sd(epsilon: float, draws: int) -> float:
    """Standard deviation of the sum of ``draws`` discrete Laplace values."""
    a = math.exp(-epsilon)
    return math.sqrt(draws * 2 * a) / (1 - a)


def lock_counts(
    s: Session, record: Record, counts: Ring, plan: ReleasePlan, locks: list[Ring],
    recipients: tuple[str, ...], step: str = "release",
) -> Ring:  # fmt: skip
    """Steps 1 to 4 up to the locked shares; nothing has left yet.

    ``counts`` [cells] are people; an output is 0 if suppressed, else its noised value + 1.
    """
    s = s.fork(step)
    record.write(
        Opening(
            step,
            f"counts of people, noised, at least {plan.k} each, else the word suppressed",
            recipients,
            plan.outputs,
            plan.epsilon,
        )
    )
    if plan.noise:
        counts = counts + geometric_difference(s, plan.epsilon_per_cell, plan.cells)
    weights = plan.combine.astype(np.int64).view(np.uint64)
    published = Ring(
        (weights * counts.left).sum(axis=1, dtype=np.uint64),
        (weights * counts.right).sum(axis=1, dtype=np.uint64),
    )
    thresholds = plan.thresholds().view(np.uint64)
    below = sign_bit(s, published - s.public_ring(thresholds), "below")
    reached = ring_bits(s, s.invert(Bits(below.left, below.right, plan.outputs)), "reached")
    shown = multiply(s, reached, published + s.public_ring(1), "shown")
    for lock in locks:
        shown = shown + lock
    return shown


def send_locked(channel: Channel, locked: Ring, recipients: list[int]) -> None:
    """A seat's part of the opening; the caller has committed the budget."""
    for role in recipients:
        send_ring(channel, locked, role, "result")


def read_locked(
    channel: Channel, outputs: int, locks: list[U64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The recipient's side: (values, published) [outputs]; values are 0 where suppressed."""
    opened = receive_ring(channel, (outputs,), "result")
    for lock in locks:
        opened = opened - lock
    values = opened.view(np.int64)
    if (values < 0).any() or (values > 1 << 40).any():
        raise Foul(
            "gate.lock",
            "the opened result is not a table of counts: a provider told another lock than it shared",
            remedy="let the providers check their nodes, then rerun the job",
        )
    published = values != SUPPRESSED
    return np.where(published, values - 1, 0), published
