"""Features of several parties looked at together: each side's part, as nodes and rehearsals run them.

Roles 0 to 2 are the seats, then the parties in the plan's order, the one with the mark (label, period) first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hanse.align import Aligned, Upload, align, padded
from hanse.align.upload import receive_rows, send_rows
from hanse.engine.fixed import decode
from hanse.engine.matrices import INVERSE_BITS, MATRIX_BITS
from hanse.engine.session import Session
from hanse.engine.shares import SEATS, U64, Ring, Words
from hanse.entropy import Entropy
from hanse.errors import Refusal
from hanse.gate.model import read_numbers, send_numbers
from hanse.gate.record import Record
from hanse.gate.release import read_locked
from hanse.learn.features.bins import Bins
from hanse.learn.features.correlation import Telling, release_correlations
from hanse.learn.features.counting import Evidence, read_counts, release_counts
from hanse.learn.features.fields import signed_values
from hanse.learn.features.plan import FRACTION, VALUE_BITS, FeaturePlan
from hanse.wire import Channel

Matrix = NDArray[np.float64]
Locks = Callable[[int], Sequence[Ring]]


def _unlocked(_: int) -> Sequence[Ring]:
    return ()


def run_seat(
    s: Session,
    record: Record,
    plan: FeaturePlan,
    tell: Telling = send_numbers,
    locks: Locks = _unlocked,
) -> int:
    """A seat's part; the noised number of matched rows. `Refusal` before anything opens where they are too few.

    Between organisations ``tell`` keeps exact figures until every provider's gate has agreed, and ``locks`` gives
    this seat's shares of the providers' locks on the counts of a party's columns, by the party's number.
    """
    plan.check()
    people, matched = _joined(s.fork("join"), record, plan)
    if matched < plan.rows_wanted:
        raise Refusal(
            "learn.rows", f"about {max(0, matched)} rows match (noised), and these figures need {plan.rows_wanted}",
            remedy="bring more rows in common or fewer columns",
        )  # fmt: skip
    for number, party in enumerate(plan.parties):
        if party.bins:
            release_counts(s, record, people, plan, number, locks(number))
    if plan.pairs or plan.inflation:
        release_correlations(s, record, people, plan, tell)
    return matched


def _joined(s: Session, record: Record, plan: FeaturePlan) -> tuple[Aligned, int]:
    everybody = (1 << len(plan.parties)) - 1
    own = Record()
    uploads = [
        Upload(p.name, plan.layout(n), _receiver(s, plan, n)) for n, p in enumerate(plan.parties)
    ]
    people = align(s, own, uploads, plan.policy, lambda mask: mask == everybody)
    for opening in own.openings:
        record.write(replace(opening, step=f"join.{opening.step}"))
    return people, people.people - plan.dummies()


def _receiver(s: Session, plan: FeaturePlan, number: int) -> Callable[[], Words]:
    party, width = plan.parties[number], plan.layout(number).width
    return lambda: receive_rows(s, SEATS + number, party.name, party.rows, width)


# --- at a party -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AtHome:
    """A party's rows: ids, bin numbers of counted columns [rows] each, standardised columns [rows, columns], and at
    the first party the mark.
    """

    ids: U64
    codes: tuple[NDArray[np.uint64], ...]
    standard: Matrix
    mark: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Told:
    """What a party read: evidence of columns (its own, or all at the party with the mark), correlations with other
    parties by their number [own columns, their columns], inflation of its own columns.
    """

    evidence: tuple[Evidence, ...]
    correlations: dict[int, Matrix]
    inflation: Matrix | None


def run_party(
    channel: Channel, plan: FeaturePlan, number: int, home: AtHome, bins: list[list[Bins]], entropy: Entropy,
    locks: Mapping[int, list[U64]] | None = None,
) -> Told:  # fmt: skip
    """A party's part. ``bins`` are all parties' counted columns: names and edges are needed to read counts.

    ``locks``: the providers' locks as this party was told them, by the number of the party they are for.
    """
    send_rows(
        channel, (0, 1, 2), plan.parties[number].name, packed(plan, number, home, entropy), entropy
    )
    me = SEATS + number
    evidence: list[Evidence] = []
    for other, party in enumerate(plan.parties):
        if party.bins and me in plan.readers(other):
            opened = read_locked(channel, plan.release(other), (locks or {}).get(other, []))
            evidence += read_counts(opened, plan.release(other), party.name, bins[other])
    found: dict[int, Matrix] = {}
    for a, b in plan.pairs:
        if number in (a, b):
            shape = plan.parties[a].columns, plan.parties[b].columns
            block = decode(
                read_numbers(channel, shape[0] * shape[1], f"correlation.{a}.{b}"), MATRIX_BITS
            )
            found[b if number == a else a] = (
                block.reshape(shape) if number == a else block.reshape(shape).T
            )
    inflated = None
    own = plan.parties[number]
    if plan.inflation and own.columns:
        inflated = decode(read_numbers(channel, own.columns, f"inflation.{own.name}"), INVERSE_BITS)
    return Told(tuple(evidence), found, inflated)


def packed(plan: FeaturePlan, number: int, home: AtHome, entropy: Entropy) -> U64:
    """A party's rows as they are uploaded, sorted by id and padded to its declared number."""
    layout, order = plan.layout(number), np.argsort(home.ids)
    rows = np.zeros((home.ids.size, layout.width), np.uint64)
    for column, codes in enumerate(home.codes):
        layout.fill(rows, f"b{column}", codes[order])
    values = signed_values(home.standard[order], FRACTION, VALUE_BITS)
    for column in range(values.shape[1]):
        layout.fill(rows, f"x{column}", values[:, column])
    if home.mark is not None:
        layout.fill(rows, "here", np.ones(home.ids.size, np.uint64))
        layout.fill(rows, "mark", home.mark[order].astype(np.uint64))
    return padded(home.ids[order], rows, plan.parties[number].rows, layout, entropy)


def standardised(values: Matrix) -> tuple[Matrix, NDArray[np.int64]]:
    """(columns [rows, kept] with mean 0 and deviation 1 at home, which columns vary)."""
    mean, sd = values.mean(axis=0), values.std(axis=0)
    kept = np.flatnonzero(sd > 1e-9 * np.maximum(1e-300, np.abs(mean)))
    return (values[:, kept] - mean[kept]) / sd[kept], kept
