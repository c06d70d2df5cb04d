"""What a holder (map, operator, payments) knows of places, as bins that stay at its node.

    1. The holder reads its table under the contract: a number by place, or by place and day, of which the usual
       working and free day of the last weeks is taken from checked reports.
    2. It makes columns of it (`hanse.places.crowd.columns`: its own number, what is around, shares) and bins them.
    3. In a training the owners of counters grow trees over the bins of all holders, without seeing any: sums of
       encrypted errors come back (`hanse.places.crowd.hidden`). Places that nobody counts get a level from them.

A table that is gone or unreadable is one column that says nothing, and the training goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.catalog import Dataset
from hanse.contracts.crowds import CrowdTable
from hanse.entropy import Entropy
from hanse.gate.record import Record
from hanse.places.checks.checks import Finding
from hanse.places.crowd.columns import Areas, columns_of
from hanse.places.crowd.ground import Calendar, Ground
from hanse.places.crowd.hidden import MOST_COLUMNS, Bounds, Hidden, Holder
from hanse.places.crowd.newcomers import FOLDS, public_columns
from hanse.places.crowd.trees import BINS, TreeSettings, bin_column, binned
from hanse.places.daily.kept import clean
from hanse.places.daily.reading import Reported, read_numbers, read_reports
from hanse.wire import Channel

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]
MOST_EXPECTED = 3000  # places in a list up to which those without counts get an expectation
RECENT_DAYS = 56  # before the day, of which a usual day is taken
_LEAST = 3  # known days of a kind that make a usual one
# Ciphertexts are large (4 kB a sum), so trees between nodes are few and shallow. Of stores of the sample city that
# nobody counts 61 of 100 are within 30 % with these, as with the hundred deeper trees of the back-test.
TREES = TreeSettings(trees=12, depth=2, rate=0.3, column_share=0.2, clip=1.0)
BOOSTED = 0  # traits besides the level: the ridge on labels serves them
_SPREAD = max(1, TREES.trees * 3 // 5)  # trees that tell how far off a level may be
BOUNDS = Bounds(FOLDS * (TREES.trees * (1 + BOOSTED) + _SPREAD), TREES.depth)


@dataclass(frozen=True, eq=False)
class Bins:
    """A holder's columns of all places as bin numbers uint8 [places, columns], and what its checks found."""

    codes: U8
    findings: tuple[Finding, ...] = ()


def nothing(places: int) -> Bins:
    """Of a holder whose table cannot be read: one column that splits nothing."""
    return Bins(np.zeros((places, 1), np.uint8))


def bins_at_home(
    dataset: Dataset, table: CrowdTable, ground: Ground, calendar: Calendar, as_of: np.datetime64
) -> Bins:
    """The holder's columns from what it knows at the end of ``as_of``."""
    if table.date is None:
        numbers, findings = read_numbers(dataset, table, ground.keys), list[Finding]()
    else:
        numbers, findings = _usual(dataset, table, ground.keys, calendar, as_of)
    made = columns_of(numbers, Areas(ground.position, np.arange(ground.size)), ground.position)
    codes = [code for code in map(bin_column, made.T) if code is not None][:MOST_COLUMNS]
    if not codes:
        return Bins(nothing(ground.size).codes, tuple(findings))
    return Bins(np.ascontiguousarray(np.stack(codes, axis=1)), tuple(findings))


def _usual(
    dataset: Dataset, table: CrowdTable, places: Sequence[str], calendar: Calendar, as_of: np.datetime64
) -> tuple[F64, list[Finding]]:  # fmt: skip
    """[places, 2 a value]: the usual working and free day of the last weeks."""
    findings: list[Finding] = []
    columns = []
    recent = (calendar.days > as_of - RECENT_DAYS) & (calendar.days <= as_of)
    for value in table.values:
        named = Reported(table.place, str(table.date), value, table.reported)
        feed, hours = read_reports(dataset, named, 0)
        fine, found = clean(feed, as_of, places, as_of - 2 * RECENT_DAYS, None)
        findings += [*hours, *found]
        known = fine.known(as_of, calendar.days[recent])
        for kind in (~calendar.off[recent], calendar.off[recent]):
            part = known[:, kind]
            count = np.isfinite(part).sum(axis=1)
            total = np.where(np.isfinite(part), part, 0.0).sum(axis=1)
            columns.append(np.where(count >= _LEAST, total / np.maximum(count, 1), np.nan))
    return np.stack(columns, axis=1), findings


# --- in a training ------------------------------------------------------------------------------------


def most_sums(holders: int) -> int:
    """At most so many sums of an owner's errors open to it, whatever the tables hold."""
    columns = max(1, round(holders * MOST_COLUMNS * TREES.column_share)) + 1
    nodes = (1 << TREES.depth) - 1
    return BOUNDS.trees * nodes * columns * BINS


def hidden(
    channel: Channel, holders: Sequence[tuple[int, str]], owner: str, ground: Ground, job: bytes,
    entropy: Entropy, record: Record,
) -> Hidden:  # fmt: skip
    """An owner's view of all holders' columns, after public ones: position, kind, spacing."""
    public = binned([public_columns(ground)]).codes
    return Hidden(channel, holders, owner, public, job, entropy, record)


def serve(
    channel: Channel, owners: Sequence[int], bins: Bins, job: bytes, entropy: Entropy
) -> None:
    """A holder's part of a training, until all owners have ended."""
    Holder(channel, owners, bins.codes, job, entropy, BOUNDS).serve()
