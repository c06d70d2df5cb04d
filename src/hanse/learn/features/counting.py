"""Weight of evidence and stability on shares: people by bin and mark, counted; the page of bins across parties.

1. home    a party bins its own columns and shares each row's bin numbers; another shares the mark (label or period)
2. join    rows are aligned without anybody learning who is in both (`align`)
3. count   people by column, mark and bin; each person is in one cell of a column
4. out     noise that no seat knows, a threshold, then to the readers the plan names (`gate.release`)
5. read    weight of evidence and information value of a label; of two periods the same sum is the stability index

Reveals: to the readers, counts that are (epsilon, 2**-38)-private per person (docs/claims/evaluation.md); to seats
nothing beyond the join. Assumes: semi-honest seats, honest majority.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.align import Aligned
from hanse.engine.boolean import and_, one_hot
from hanse.engine.count import count_rows
from hanse.engine.session import Session
from hanse.engine.shares import SEATS, Bits, Ring, join_planes
from hanse.gate.plan import ReleasePlan
from hanse.gate.record import Record
from hanse.gate.release import Opened, lock_counts, send_locked
from hanse.learn.evaluation.plain import woe
from hanse.learn.features.bins import Bins
from hanse.learn.features.plan import FeaturePlan

_DRAWS = 300
STABLE, MOVED = 0.1, 0.25  # of an index; the field's rule of thumb
WEAK, STRONG = 0.02, 0.5  # of an information value


def kinds_of(s: Session, here: Bits, mark: Bits) -> Bits:
    """Planes [2, words]: marked and not marked people, of planes [words]."""
    marked = and_(s, here.reshape(1, -1), mark.reshape(1, -1), "kinds")
    return join_planes([marked, here.reshape(1, -1) ^ marked])


def cells(s: Session, codes: Sequence[tuple[Bits, int]], kinds: Bits) -> Ring:
    """People by column, kind and bin, from (planes of bin numbers, how many bins) of each column."""
    parts = []
    for number, (code, bins) in enumerate(codes):
        hot = one_hot(s, code, bins, f"column{number}.hot")
        parts += [
            and_(s, hot, kinds[kind : kind + 1], f"column{number}.kind{kind}")
            for kind in range(kinds.shape[0])
        ]
    return count_rows(s, join_planes(parts), "cells")


def release_counts(
    s: Session,
    record: Record,
    people: Aligned,
    plan: FeaturePlan,
    number: int,
    locks: Sequence[Ring] = (),
) -> None:
    """A seat's part of one party's columns, to the readers that the plan names."""
    party = plan.parties[number]
    inner = s.fork(f"counts.{party.name}")
    here, mark = (people.field(plan.marked, name)[0] for name in ("here", "mark"))
    codes = [(people.field(party.name, f"b{c}"), bins) for c, bins in enumerate(party.bins)]
    found = cells(inner, codes, kinds_of(inner, here, mark))
    names = tuple(plan.parties[role - SEATS].name for role in plan.readers(number))
    locked = lock_counts(
        s, record, found, plan.release(number), list(locks), names, f"release.{party.name}"
    )
    send_locked(s.channel, locked, plan.readers(number))


# --- reading ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Evidence:
    """One column: people of both kinds by bin, None where suppressed; the weights; their value and its interval."""

    party: str
    column: str
    bins: tuple[str, ...]
    marked: tuple[int | None, ...]
    others: tuple[int | None, ...]
    weights: tuple[float | None, ...]
    value: float | None  # information value, or stability index
    low: float | None = None
    high: float | None = None

    @property
    def suppressed(self) -> int:
        return sum(w is None for w in self.weights)

    def body(self) -> dict[str, object]:
        """Plain values."""
        return {
            "party": self.party, "column": self.column, "value": self.value, "low": self.low, "high": self.high,
            "bins": [
                {"bin": b, "marked": m, "others": o, "weight": w}
                for b, m, o, w in zip(self.bins, self.marked, self.others, self.weights, strict=True)
            ],
        }  # fmt: skip


def read_counts(
    opened: Opened, plan: ReleasePlan, party: str, bins: Sequence[Bins]
) -> list[Evidence]:
    """Each column's evidence from a party's opened counts; bins with a suppressed count take no part."""
    found, first = [], 0
    for number, column in enumerate(bins):
        part = slice(first, first + 2 * column.count)
        first = part.stop
        values = np.maximum(0, opened.values[part]).reshape(2, column.count)
        published = opened.published[part].reshape(2, column.count)
        epsilon = plan.cell_epsilon(plan.blocks[number]) if plan.noise else 0.0
        found.append(_evidence(party, column, values, published, epsilon))
    return found


def home_evidence(
    party: str, bins: Bins, column: NDArray[np.float64], mark: NDArray[np.bool_]
) -> Evidence:
    """The same of a party's own column and own mark: nothing is shared, nothing noised."""
    codes = bins.codes(column).astype(np.int64)
    counts = np.stack([np.bincount(codes[rows], minlength=bins.count) for rows in (mark, ~mark)])
    return _evidence(party, bins, counts, np.ones(counts.shape, np.bool_), 0.0)


def _evidence(
    party: str,
    column: Bins,
    counts: NDArray[np.int64],
    published: NDArray[np.bool_],
    epsilon: float,
) -> Evidence:
    shown = published.all(axis=0)
    weights: list[float | None] = [None] * column.count
    value = low = high = None
    known = counts[:, shown].astype(np.float64)
    if shown.sum() >= 2 and (known.sum(axis=1) > 0).all():
        each, value = woe(known[0], known[1])
        for place, weight in zip(np.flatnonzero(shown).tolist(), each.tolist(), strict=True):
            weights[place] = weight
        low, high = _interval(known, value, epsilon)
    told = [
        [int(v) if p else None for v, p in zip(row, seen, strict=True)]
        for row, seen in zip(counts.tolist(), published.tolist(), strict=True)
    ]
    return Evidence(party, column.name, column.labels(), tuple(told[0]), tuple(told[1]), tuple(weights),
                    value, low, high)  # fmt: skip


def _interval(counts: NDArray[np.float64], value: float, epsilon: float) -> tuple[float, float]:
    """95 % of what the noise does to the value: noise makes it larger, which is taken off."""
    if not epsilon:
        return value, value
    random = np.random.default_rng(0)
    q = -np.expm1(-epsilon)
    shape = (_DRAWS, *counts.shape)
    noise = random.geometric(q, shape) - random.geometric(q, shape)
    drawn = [woe(np.maximum(0, c[0]), np.maximum(0, c[1]))[1] for c in counts + noise]
    least, most = np.quantile(drawn, (0.025, 0.975))
    return max(0.0, 2 * value - float(most)), max(0.0, 2 * value - float(least))
