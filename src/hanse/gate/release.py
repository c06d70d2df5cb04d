"""The way out: noise on shares, threshold on the noised value, an output lock of every provider.

1. Each *cell* gets discrete Laplace noise that no seat knows, by what one person can move in its block.
2. The *outputs* are public sums of cells (a funnel's stage counts are suffix sums): post-processing, at no
   further privacy cost.
3. An output is suppressed if its count of people, or the count that guards a sum of values, is below ``k`` plus a
   margin: the comparison sees the noised count only, so that "suppressed" says no more than it would.
4. Every provider's lock (a random number it shared at the start) is added. Seats send the locked shares to
   the named recipients; each provider's own gate sends its lock when it agrees. Without all of them a recipient
   reads noise.
Reveals: to each named recipient the published outputs and which are suppressed; to seats nothing.
Assumes: semi-honest seats, honest majority. Privacy: (epsilon, 2**-38)-DP per person, where one person's rows at
any set of providers may appear, disappear or change; blocks compose to the job's epsilon (docs/claims/noise.md).
Source: Ghosh, Roughgarden, Sundararajan 2009 (geometric mechanism).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hanse.engine.compare import ring_bits, sign_bit
from hanse.engine.multiply import multiply
from hanse.engine.noise import geometric_difference
from hanse.engine.reveal import receive_ring, send_ring
from hanse.engine.session import Session
from hanse.engine.shares import U64, Bits, Ring, join_elements
from hanse.errors import Foul
from hanse.gate.laws import FALSE_PUBLISH, margin, noise_law, noise_sd
from hanse.gate.plan import VALUE_OFFSET, Block, ReleasePlan, Sums
from hanse.gate.record import Opening, Record
from hanse.wire import Channel

__all__ = [
    "FALSE_PUBLISH", "Block", "Opened", "ReleasePlan", "Sums", "lock_counts", "margin", "noise_law", "noise_sd",
    "read_locked", "send_locked",
]  # fmt: skip
SUPPRESSED = 0
_MOST_PEOPLE = 1 << 40
_MOST_VALUE = 1 << 61


def lock_counts(
    s: Session, record: Record, counts: Ring, plan: ReleasePlan, locks: list[Ring],
    recipients: tuple[str, ...], step: str = "release",
) -> Ring:  # fmt: skip
    """Steps 1 to 4 up to the locked shares; nothing has left yet.

    ``counts`` [cells]; an output is 0 if suppressed, else its noised value + 1 (sums of values further up).
    """
    s = s.fork(step)
    record.write(Opening(step, _told(plan), recipients, plan.outputs, plan.epsilon))
    if plan.noise:
        counts = counts + _noise(s, plan)
    published = Ring(plan.sums.apply(counts.left), plan.sums.apply(counts.right))
    guards, place = np.unique(plan.guarded, return_inverse=True)
    people = Ring(published.left[guards], published.right[guards])
    thresholds = plan.thresholds()[guards].view(np.uint64)
    below = sign_bit(s, people - s.public_ring(thresholds), "below")
    reached = ring_bits(s, s.invert(Bits(below.left, below.right, guards.size)), "reached")
    raised = np.where(plan.is_value, VALUE_OFFSET + 1, 1).astype(np.uint64)
    shown = multiply(
        s,
        Ring(reached.left[place], reached.right[place]),
        published + s.public_ring(raised),
        "shown",
    )
    for lock in locks:
        shown = shown + lock
    return shown


def _told(plan: ReleasePlan) -> str:
    guarded = int(plan.is_value.sum())
    what = "counts of people" + (f" and {guarded} figures about these people" if guarded else "")
    each = "behind each" if guarded else "each"
    return f"{what}, noised, at least {plan.k} people {each}, else the word suppressed"


def _noise(s: Session, plan: ReleasePlan) -> Ring:
    """Noise of every cell [cells], each block's by its own parameter."""
    steps = [f"noise.{i}" if len(plan.blocks) > 1 else "noise" for i in range(len(plan.blocks))]
    return join_elements(
        [
            geometric_difference(s, plan.cell_epsilon(block), block.cells, step)
            for block, step in zip(plan.blocks, steps, strict=True)
        ]
    )


def send_locked(channel: Channel, locked: Ring, recipients: list[int]) -> None:
    """A seat's part of the opening; the caller has committed the budget."""
    for role in recipients:
        send_ring(channel, locked, role, "result")


class Opened(NamedTuple):
    """What a recipient read: values [outputs], 0 where suppressed, and which are published."""

    values: NDArray[np.int64]
    published: NDArray[np.bool_]

    def outputs(self) -> list[int | None]:
        """Plain values for storage: None where suppressed."""
        shown = zip(self.values.tolist(), self.published.tolist(), strict=True)
        return [value if there else None for value, there in shown]

    @staticmethod
    def of(outputs: Sequence[int | None]) -> Opened:
        """From plain values."""
        return Opened(
            np.array([value or 0 for value in outputs], np.int64),
            np.array([value is not None for value in outputs], np.bool_),
        )


def read_locked(channel: Channel, plan: ReleasePlan, locks: list[U64]) -> Opened:
    """The recipient's side of the opening, checked."""
    opened = receive_ring(channel, (plan.outputs,), "result")
    for lock in locks:
        opened = opened - lock
    values = opened.view(np.int64)
    published = values != SUPPRESSED
    most = np.where(plan.is_value, _MOST_VALUE, _MOST_PEOPLE)
    if (values < 0).any() or (values > most).any() or (published != published[plan.guarded]).any():
        raise Foul(
            "gate.lock",
            "the opened result is not a table of counts: a provider told another lock than it shared",
            remedy="let the providers check their nodes, then rerun the job",
        )
    raised = np.where(plan.is_value, VALUE_OFFSET + 1, 1)
    return Opened(np.where(published, values - raised, 0), published)
