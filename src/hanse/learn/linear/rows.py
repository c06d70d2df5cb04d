"""Joined rows of a model on shares: as they were uploaded, turned into numbers.

Hidden rows come as bits of declared width, so that no value can leave its range whatever a party sends. Rows that
are dummies of the join, or empty, are zero in every column, the intercept's too: they weigh nothing in any sum, and
no seat can tell which they are. Open rows come as ring elements, in an order that all parties know (`keys`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hanse.align import Aligned, Layout, padded
from hanse.engine.compare import ring_bits
from hanse.engine.functions import ring_numbers
from hanse.engine.session import Session
from hanse.engine.shares import U64, Bits, Ring, Words, words_for
from hanse.engine.slicing import planes_of
from hanse.entropy import Entropy
from hanse.errors import Fault
from hanse.learn.linear.families import Family, Label
from hanse.learn.linear.filed import filed, from_column
from hanse.learn.linear.plan import Number, Plan

_AT_ONCE = 1 << 21  # numbers turned at a time: more of them leave the caches and take gigabytes
_ZERO_LOG = -31.0  # stands for the logarithm of 0: its exponential is the least there is
Values = dict[str, NDArray[np.float64]]


@dataclass(frozen=True, repr=False)
class Rows:
    """Columns [width, rows], whether there is somebody [rows], label [classes, rows]; and by name what belongs to
    the label [rows]: its first response, logarithm, weight and so on. What is one bit is kept as a bit too.
    Columns of a model in batches lie in a file (`filed`); parts of them are in memory.
    """

    columns: Ring
    here: Ring
    label: Ring
    more: dict[str, Ring]
    here_bit: Bits  # [words]
    label_bit: Bits | None  # [words]; of a label of one bit

    @property
    def count(self) -> int:
        return int(self.columns.shape[1])

    def part(self, first: int, last: int) -> Rows:
        """Rows ``first`` to ``last``; their bits are not parted."""
        some = (slice(None), slice(first, last))
        more = {name: value[first:last] for name, value in self.more.items()}
        return Rows(
            self.columns[some], self.here[first:last], self.label[some], more, self.here_bit, None
        )

    def parts(self, batch: int | None, count: int | None = None) -> Iterator[Rows]:
        """The first ``count`` rows, all unless said, ``batch`` of them at a time, or at once."""
        last = self.count if count is None else count
        if last == self.count and (batch is None or batch >= last):
            yield self
            return
        for first in range(0, max(1, last), batch or max(1, last)):
            yield self.part(first, min(last, first + (batch or last)))


# --- at a provider ----------------------------------------------------------------------------------


def values_of(
    shared: NDArray[np.float64], label: Label | None, family: Family, count: int
) -> Values:
    """All numbers of a provider's rows by name, [count]: columns as they are shared, and the label."""
    found = {f"x{number}": shared[:, number] for number in range(shared.shape[1])}
    if label is None:
        return found
    y, offset = label.values, label.offset
    found["here"] = np.ones(count)
    if family.classes > 1:
        found |= {f"label{c}": (y == c).astype(np.float64) for c in range(family.classes)}
    found["label"] = y
    if label.weight is not None:
        found["weight"] = label.weight
    if offset is not None:
        found["offset"] = offset
    if family.log_link:
        w = first_mean(y, np.zeros_like(y) if offset is None else offset)
        found["start"] = start_of(y, w, family.power, offset)
        found["first"] = w ** (2 - family.power)
        found["entropy"] = entropy_of(y, family.power)
        found["log"] = np.where(y > 0, np.log(np.where(y > 0, y, 1.0)), _ZERO_LOG)
    return found


def first_mean(y: NDArray[np.float64], offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means to start from: halfway between the label and what coefficients of 0 give."""
    return np.asarray((y + np.exp(np.clip(offset, -12, 8))) / 2)


def entropy_of(y: NDArray[np.float64], power: float = 1.0) -> NDArray[np.float64]:
    """What a deviance wants that hangs on the label alone: of Poisson y log y."""
    if power == 1:
        return np.asarray(y * np.log(np.where(y > 0, y, 1.0)))
    if power == 2:
        return np.zeros_like(y)
    return np.asarray(-(y ** (2 - power)) / ((power - 1) * (2 - power)))


def start_of(
    y: NDArray[np.float64], w: NDArray[np.float64], power: float = 1.0,
    offset: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:  # fmt: skip
    """The weighted response of a first step from means w, not from 1: w**(2-p) (log w + (y - w) / w)."""
    wanted = np.log(w) - (0 if offset is None else offset)
    return np.asarray(w ** (2 - power) * (wanted + (y - w) / w))


def packed(
    ids: U64, values: Values, numbers: list[Number], layout: Layout, capacity: int, entropy: Entropy
) -> U64:
    """A provider's rows as they are uploaded where rows are hidden, sorted by id."""
    order = np.argsort(ids)
    rows = np.zeros((ids.size, layout.width), np.uint64)
    for number in numbers:
        layout.fill(rows, number.name, _unsigned(values[number.name][order], number))
    return padded(ids[order], rows, capacity, layout, entropy)


def _unsigned(values: NDArray[np.float64], number: Number) -> U64:
    """A flag, or two's complement of so many bits."""
    if number.flag:
        return np.asarray(values.astype(np.uint64))
    mask = np.uint64((1 << number.bits) - 1)
    return np.asarray(elements_of(values, number).view(np.uint64) & mask)


def elements_of(values: NDArray[np.float64], number: Number) -> NDArray[np.int64]:
    """Fixed-point values; `Fault` where one does not fit."""
    scaled = np.rint(values * float(1 << number.fraction))
    if not (np.abs(scaled) < 1 << (number.bits - 1)).all():
        raise Fault("learn.range", f"a value of {number.name} does not fit {number.bits} bits")
    return np.asarray(scaled.astype(np.int64))


def open_rows(values: Values, numbers: list[Number], count: int) -> tuple[U64, U64]:
    """(numbers [numbers, count] as ring elements, flags [flags, words] as bits) of open rows, in common order."""
    some = [n for n in numbers if not n.flag]
    elements = np.empty((len(some), count), np.uint64)
    for place, number in enumerate(some):
        elements[place] = elements_of(values[number.name], number).view(np.uint64)
    flags = [n for n in numbers if n.flag and n.name != "here"]
    planes = np.zeros((len(flags), words_for(count)), np.uint64)
    for place, number in enumerate(flags):
        planes[place] = planes_of(values[number.name].astype(np.uint64), 1)[0]
    return elements, planes


# --- at the seats -----------------------------------------------------------------------------------


def rows_of(s: Session, people: Aligned, plan: Plan) -> Rows:
    """Everybody's hidden columns beside each other, in the order of providers, the intercept first."""
    family, label_party = plan.family, plan.label_party
    columns = [(p.name, f"x{c}") for p in plan.providers for c in range(p.columns)]
    batch = max(1, _AT_ONCE // max(1, people.people))
    whole = _room(plan, plan.width, people.people)
    for first in range(0, len(columns), batch):
        some = [people.field(*name) for name in columns[first : first + batch]]
        numbers = _numbers(s, some, f"columns.{first}")
        for place in range(len(some)):
            whole.left[1 + first + place] = numbers.left[place]
            whole.right[1 + first + place] = numbers.right[place]
    owned = {n.name: n for n in plan.numbers(0) if not n.name.startswith("x")}
    planes = {name: people.field(label_party, name) for name in owned}
    more = {name: _numbers(s, [planes[name]], name)[0] for name, n in owned.items() if not n.flag}
    flags = [name for name, n in owned.items() if n.flag]
    bits = [
        np.concatenate(p)
        for p in zip(*((planes[f].left, planes[f].right) for f in flags), strict=True)
    ]
    ones = ring_bits(s, Bits(bits[0], bits[1], people.people), "flags")
    here, labels = ones[0], ones[1:]
    label_bit = planes["label"][0] if flags[1:] == ["label"] else None
    label = labels if labels.size else more.pop("label").reshape(1, people.people)
    one = here.times(1 << family.x)
    whole.left[0], whole.right[0] = one.left, one.right
    return Rows(whole, here, label, more, planes["here"][0], label_bit)


def _numbers(s: Session, fields: list[Bits], step: str) -> Ring:
    """Two's complement fields [bits, words] as elements [fields, rows]: half the range is added and taken off."""
    bits = fields[0].shape[0]
    planes = Bits(
        np.stack([f.left for f in fields], axis=1), np.stack([f.right for f in fields], axis=1),
        fields[0].rows,
    )  # fmt: skip
    flipped = s.invert(planes[bits - 1])
    planes.left[bits - 1], planes.right[bits - 1] = flipped.left, flipped.right
    raised = ring_numbers(s, planes, step)
    half = s.public_ring(1 << (bits - 1))
    return Ring(raised.left - half.left, raised.right - half.right)


def room_for(plan: Plan, count: int) -> tuple[Ring, list[list[int]]]:
    """Room for open numbers [all, count], and by provider the rows its numbers go to: the label's own, one for the
    intercept, then everybody's columns, which so lie together and are copied no more."""
    own = [n.name for n in _owned(plan)]
    size = len(own) + plan.width
    places, first = [], len(own) + 1
    for number, provider in enumerate(plan.providers):
        places.append(
            list(range(first, first + provider.columns))
            + (list(range(len(own))) if number == 0 else [])
        )
        first += provider.columns
    return _room(plan, size, count), places


def _room(plan: Plan, size: int, count: int) -> Ring:
    """Room for numbers [size, count]: in a file where a model is learned in batches."""
    if plan.filed(count):
        return filed(size, count)
    return Ring(np.empty((size, count), np.uint64), np.empty((size, count), np.uint64))


def _owned(plan: Plan) -> list[Number]:
    return [n for n in plan.numbers(0) if not n.flag and not n.name.startswith("x")]


def open_rows_of(s: Session, whole: Ring, flags: Words | None, plan: Plan) -> Rows:
    """Open rows from numbers [all, count], laid out as `room_for` says, and the label's flags."""
    f, count = plan.family, whole.shape[1]
    everybody = s.public_ring(np.ones(count, np.uint64))
    here_bit = s.public_bits(np.full(words_for(count), ~np.uint64(0)), count)
    own = [n.name for n in _owned(plan)]
    one = everybody.times(1 << f.x)
    whole.left[len(own)], whole.right[len(own)] = one.left, one.right
    more = {name: whole[place] for place, name in enumerate(own)}
    label_bit = None
    if flags is None:
        label = more.pop("label").reshape(1, count)
    else:
        planes = Bits(flags.left, flags.right, count)
        label = ring_bits(s, planes, "label")
        label_bit = planes[0] if f.classes == 1 else None
    return Rows(from_column(whole, len(own)), everybody, label, more, here_bit, label_bit)
