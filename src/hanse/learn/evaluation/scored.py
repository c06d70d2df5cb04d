"""A model that is trained already, judged on new rows: each party shares its own part of the predictors, on shares.

1. home   each party computes its part of a row's log-odds from its own block, and shares it; one shares the mark:
          a label of two classes, or which of two periods a row is of
2. join   rows are aligned without anybody learning who is in both; parts add up to predictors, which nobody sees
3. judge  either all exact figures, to the party with the mark (`judging`), or noised counts of people in public
          bands, to the named parties (`banded`): of classes these are gain, calibration, AUC; of periods, stability

Reveals: what is told (docs/claims/evaluation.md); to seats nothing beyond the join and the noised number of matched
rows. Assumes: semi-honest seats, honest majority.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hanse.align import JoinPolicy, Layout, Upload, align, padded
from hanse.align.join import padding_law
from hanse.align.upload import receive_rows, send_rows
from hanse.engine.compare import ring_bits
from hanse.engine.functions import sigmoid
from hanse.engine.session import Session
from hanse.engine.shares import SEATS, U64, Bits, Ring, Words, join_planes
from hanse.entropy import Entropy
from hanse.errors import Refusal
from hanse.gate.model import read_numbers, send_numbers
from hanse.gate.plan import ReleasePlan
from hanse.gate.record import Record
from hanse.gate.release import read_locked, send_locked
from hanse.learn.evaluation.banded import Banded, locked_bands, read_bands, release_plan, two_kinds
from hanse.learn.evaluation.histogram import ETA
from hanse.learn.evaluation.judging import Judged, Metrics, judge, read, sums_of
from hanse.learn.evaluation.report import Curve
from hanse.learn.features.correlation import Telling
from hanse.learn.features.fields import signed_numbers, signed_values
from hanse.wire import Channel

PART_BITS = 1 + 5 + ETA  # of a party's part of a predictor: cut to (-32, 32)
MEAN_BITS = 20
LEAST_ROWS = 1000
Tell = Literal["figures", "bands"]
Column = NDArray[np.float64]


@dataclass(frozen=True)
class ScoredPlan:
    """Parties by name with their declared rows, the one with the mark first; the same at all roles.

    ``tell``: exact figures to the party with the mark, or noised bands to ``readers`` (parties' numbers).
    """

    parties: tuple[tuple[str, int], ...]
    policy: JoinPolicy
    tell: Tell = "bands"
    readers: tuple[int, ...] = (0,)
    epsilon: float = 1.0
    k: int = 20
    noise: bool = True
    least_rows: int = LEAST_ROWS

    @property
    def marked(self) -> str:
        return self.parties[0][0]

    def layout(self, number: int) -> Layout:
        """How a party's rows are packed."""
        fields = [("part", PART_BITS)]
        return Layout.pack([*fields, ("here", 1), ("mark", 1)] if number == 0 else fields)

    def release(self) -> ReleasePlan:
        """Bands of the two kinds."""
        return release_plan(2, self.epsilon, self.k, noise=self.noise)

    def dummies(self) -> int:
        """Expected dummies among the matched rows."""
        return SEATS * padding_law(len(self.parties), self.policy).shift

    def check(self) -> None:
        """`Refusal` unless the plan makes sense."""
        names = [name for name, _ in self.parties]
        if not 2 <= len(names) <= 6 or len(set(names)) != len(names):
            raise Refusal("learn.parties", "a model is judged by 2 to 6 parties, each of another name",
                          remedy="name every party of the model")  # fmt: skip
        if not self.readers or not set(self.readers) <= set(range(len(names))):
            raise Refusal("learn.readers", "who reads the bands is not among the parties",
                          remedy="name parties of the model")  # fmt: skip
        if self.tell == "bands":
            self.release().checked(rehearsal=not self.noise)


def run_seat(
    s: Session,
    record: Record,
    plan: ScoredPlan,
    tell: Telling = send_numbers,
    locks: Sequence[Ring] = (),
) -> int:
    """A seat's part; the noised number of matched rows. `Refusal` before anything opens where they are too few.

    Between organisations ``tell`` keeps exact figures until every provider's gate has agreed, and ``locks`` are
    this seat's shares of the providers' locks on the bands.
    """
    plan.check()
    joining, own = s.fork("join"), Record()
    everybody = (1 << len(plan.parties)) - 1
    uploads = [
        Upload(name, plan.layout(n), _receiver(joining, plan, n))
        for n, (name, _) in enumerate(plan.parties)
    ]
    people = align(joining, own, uploads, plan.policy, lambda mask: mask == everybody)
    for opening in own.openings:
        record.write(replace(opening, step=f"join.{opening.step}"))
    matched = people.people - plan.dummies()
    if matched < plan.least_rows:
        raise Refusal(
            "learn.rows", f"about {max(0, matched)} rows match (noised), and these figures need {plan.least_rows}",
            remedy="bring more rows in common",
        )  # fmt: skip
    judging = s.fork("judge")
    parts = signed_numbers(
        judging, [people.field(name, "part") for name, _ in plan.parties], "parts"
    )
    eta = parts.sum(axis=0)
    here, mark = (people.field(plan.marked, name)[0] for name in ("here", "mark"))
    if plan.tell == "bands":
        names = tuple(plan.parties[n][0] for n in plan.readers)
        kinds = two_kinds(judging, here, mark)
        locked = locked_bands(judging, record, eta, kinds, plan.release(), list(locks), names)
        send_locked(s.channel, locked, [SEATS + n for n in plan.readers])
        return matched
    both = ring_bits(judging, _beside(here, mark), "flags")
    mean = sigmoid(judging, eta, ETA, 47, MEAN_BITS, "sigmoid")
    label = both[1].times(1 << MEAN_BITS)
    sums = judge(judging, Judged(eta, mean, label, both[0], here, mark, MEAN_BITS))
    what = "the model's figures and ten bands of its score, exact, with the rows they come from"
    tell(s.channel, record, sums, what, (SEATS, plan.marked), "figures")
    return matched


def _receiver(s: Session, plan: ScoredPlan, number: int) -> Callable[[], Words]:
    (name, rows), width = plan.parties[number], plan.layout(number).width
    return lambda: receive_rows(s, SEATS + number, name, rows, width)


def _beside(a: Bits, b: Bits) -> Bits:
    return join_planes([a.reshape(1, -1), b.reshape(1, -1)])


# --- at a party -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """What a party read: exact metrics and their curve, or bands; None where it reads nothing."""

    metrics: Metrics | None = None
    curve: Curve | None = None
    bands: Banded | None = None


def run_party(
    channel: Channel, plan: ScoredPlan, number: int, ids: U64, part: Column, mark: NDArray[np.bool_] | None,
    entropy: Entropy, locks: Sequence[U64] = (),
) -> Told:  # fmt: skip
    """A party's part. ``part`` [rows]: its share of each row's log-odds; ``mark`` [rows] at the first party."""
    name, capacity = plan.parties[number]
    layout, order = plan.layout(number), np.argsort(ids)
    rows = np.zeros((ids.size, layout.width), np.uint64)
    layout.fill(rows, "part", signed_values(part[order], ETA, PART_BITS))
    if mark is not None:
        layout.fill(rows, "here", np.ones(ids.size, np.uint64))
        layout.fill(rows, "mark", mark[order].astype(np.uint64))
    send_rows(
        channel, (0, 1, 2), name, padded(ids[order], rows, capacity, layout, entropy), entropy
    )
    if plan.tell == "bands":
        if number not in plan.readers:
            return Told()
        return Told(
            bands=read_bands(read_locked(channel, plan.release(), list(locks)), plan.release())
        )
    if number:
        return Told()
    sums = read_numbers(channel, sums_of(classes=True, deviance=False), "figures")
    metrics, curve = read(sums, classes=True, deviance=False, fraction=MEAN_BITS)
    return Told(metrics, curve)
