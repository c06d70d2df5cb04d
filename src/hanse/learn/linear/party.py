"""A party's part of a model: what it does at home, what it shares, and what it reads in the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.align.upload import send_rows
from hanse.engine.fixed import decode
from hanse.engine.shares import U64
from hanse.entropy import Entropy
from hanse.errors import Refusal
from hanse.gate.model import read_numbers
from hanse.learn.linear import metrics
from hanse.learn.linear.certainty import VARIANCE, told_dispersion
from hanse.learn.linear.columns import send_columns
from hanse.learn.linear.families import Label
from hanse.learn.linear.home import Basis, basis_of
from hanse.learn.linear.keys import common_keys, send_elements
from hanse.learn.linear.penalties import matrix_of
from hanse.learn.linear.plan import BETA, Plan
from hanse.learn.linear.rows import elements_of, open_rows, packed, values_of
from hanse.learn.linear.tables import Table
from hanse.wire import Channel

Matrix = NDArray[np.float64]
_COLUMNS = 4  # that are turned at a time where they are shared one after another
NOTHING = np.zeros(0, np.uint64)


@dataclass(frozen=True)
class Party:
    """A party at home: its table, its basis, which rows are for the test."""

    table: Table
    basis: Basis
    test: NDArray[np.bool_]


@dataclass(frozen=True)
class Told:
    """What a party is told: its coefficients [classes, own] as shared; at the label party the sums of the metrics;
    and variances [own] of standardised coefficients, the intercept's first, where they were agreed."""

    block: Matrix
    sums: U64
    variances: Matrix | None = None
    at: tuple[float, float] = (
        0.0,
        0.0,
    )  # when it had its coefficients, by the clock and by the processor's


def at_home(table: Table, holdout: float, ridge: float, *, whiten: bool = True) -> Party:
    """``holdout``: the share of ids kept for the test; ``ridge``: the penalty over a row's weight at the start."""
    test = table.lots < holdout
    if table.rows == 0 or test.all():
        raise Refusal("learn.rows", "there are no rows to learn from", where=table.name)
    return Party(table, basis_of(table.columns, ~test, table.name, ridge, whiten), test)


def run_party(
    channel: Channel, plan: Plan, number: int, party: Party, label: Label | None, entropy: Entropy
) -> Told:
    """The part of provider ``number``, whose role is 3 + ``number``; ``label`` at the first one."""
    name = plan.providers[number].name
    _share(channel, plan, number, party, label, "training", entropy)
    share_penalties(channel, plan, number, party.basis, label, entropy)
    # In batches seats take rows as they want them: those to test on when the model is told.
    waits = plan.open and plan.batch_rows is not None
    if plan.holdout and not waits:
        _share(channel, plan, number, party, label, "holdout", entropy)
    block = plan.blocks()[number]
    own, classes = block.stop - block.start, plan.family.classes
    opened = read_numbers(channel, own * classes, f"model.{name}")
    at = time.perf_counter(), time.process_time()
    variances = None
    if plan.errors:
        found = read_numbers(channel, 1 + own, f"errors.{name}")
        variances = decode(found[1:], VARIANCE) / 2.0 ** int(found[0])
    if plan.holdout and waits:
        _share(channel, plan, number, party, label, "holdout", entropy)
    sums = read_numbers(channel, metrics.figures_of(plan), "metrics") if number == 0 else NOTHING
    return Told(decode(opened, BETA).reshape(classes, own), sums, variances, at)


def share_penalties(
    channel: Channel, plan: Plan, number: int, basis: Basis, label: Label | None, entropy: Entropy
) -> None:
    """What `penalties.receive_penalties` reads of provider ``number``; ``label`` at the first one."""
    name = plan.providers[number].name
    send_elements(channel, name, "penalty", matrix_of(basis, plan), entropy)
    if plan.errors and label is not None:
        told = told_dispersion(label, plan.family, name)
        send_elements(channel, name, "dispersion", told, entropy)


def _share(
    channel: Channel, plan: Plan, number: int, party: Party, label: Label | None, part: str,
    entropy: Entropy,
) -> None:  # fmt: skip
    chosen = np.flatnonzero(party.test if part == "holdout" else ~party.test)
    ids = party.table.ids[chosen]
    if plan.open:
        common = common_keys(channel, number, len(plan.providers), part, ids)
        order = np.argsort(ids)
        chosen = chosen[order[np.searchsorted(ids[order], common)]]
    own = None if label is None else label.part(chosen)
    name = plan.providers[number].name
    if plan.open and plan.filed(chosen.size):
        _share_columns(channel, plan, number, party, own, chosen, part, entropy)
        return
    shared = party.basis.shared(party.table.columns.values, chosen)
    values = values_of(shared, own, plan.family, chosen.size)
    if not plan.open:
        rows = packed(ids, values, plan.numbers(number), plan.layout(number), ids.size, entropy)
        send_rows(channel, (0, 1, 2), f"{name}.{part}", rows, entropy)
        return
    elements, flags = open_rows(values, plan.numbers(number), chosen.size)
    send_elements(channel, name, part, elements, entropy)
    if number == 0 and flags.shape[0]:
        send_rows(channel, (0, 1, 2), f"{name}.{part}.flags", flags, entropy)


def _share_columns(
    channel: Channel, plan: Plan, number: int, party: Party, label: Label | None,
    chosen: NDArray[np.intp], part: str, entropy: Entropy,
) -> None:  # fmt: skip
    """Open rows of a model in batches: what `columns.receive_columns` reads."""
    name, numbers = plan.providers[number].name, plan.numbers(number)
    own = values_of(np.empty((chosen.size, 0)), label, plan.family, chosen.size)

    def elements() -> Iterator[U64]:
        for first in range(0, party.basis.width, _COLUMNS):
            some = slice(first, first + _COLUMNS)
            shared = party.basis.shared(party.table.columns.values, chosen, some)
            for place, column in enumerate(shared.T):
                yield elements_of(column, numbers[first + place]).view(np.uint64)
        for other in numbers[party.basis.width :]:
            if not other.flag:
                yield elements_of(own[other.name], other).view(np.uint64)

    send_columns(channel, name, part, elements(), entropy)
    _, flags = open_rows(own, [n for n in numbers if n.flag], chosen.size)
    if number == 0 and flags.shape[0]:
        send_rows(channel, (0, 1, 2), f"{name}.{part}.flags", flags, entropy)
